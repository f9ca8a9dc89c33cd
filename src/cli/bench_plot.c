/*
 * The picture of a run, as SVG: tokens a second over the context, prefill above decode. Points are medians, bars reach
 * from the slowest run to the fastest. A dashed line is what the memory's bandwidth allows.
 */
#include "cli/bench.h"

#include <math.h>
#include <string.h>

/* In pixels. */
#define WIDTH 760.0
#define LEFT 70.0
#define RIGHT 30.0
#define TOP 108.0
#define PANEL_HEIGHT 180.0
#define PANEL_GAP 64.0
#define HEIGHT (TOP + 2 * PANEL_HEIGHT + PANEL_GAP + 56)
#define INDENT 44.0      /* of the first point from the axis */
#define LABEL_WIDTH 76.0 /* labels nearer to each other are left out */

enum { MAX_TICKS = 5 };

static const char STYLE[] = "<style>\n"
                            "svg { font: 12px system-ui, sans-serif; }\n"
                            ".ground { fill: #ffffff; }\n"
                            "text { fill: #1f2328; }\n"
                            ".title { font-size: 17px; font-weight: 600; }\n"
                            ".heading { font-size: 13px; font-weight: 600; }\n"
                            ".faint { fill: #59636e; }\n"
                            ".grid { stroke: #d1d9e0; }\n"
                            ".axis { stroke: #59636e; }\n"
                            ".line { fill: none; stroke-width: 2; }\n"
                            ".limit { stroke: #59636e; stroke-dasharray: 5 4; fill: none; }\n"
                            ".prefill { stroke: #0969da; }\n"
                            ".decode { stroke: #bc4c00; }\n"
                            ".dot { stroke: none; }\n"
                            ".dot.prefill { fill: #0969da; }\n"
                            ".dot.decode { fill: #bc4c00; }\n"
                            "@media (prefers-color-scheme: dark) {\n"
                            ".ground { fill: #0d1117; }\n"
                            "text { fill: #e6edf3; }\n"
                            ".faint { fill: #9198a1; }\n"
                            ".grid { stroke: #30363d; }\n"
                            ".axis, .limit { stroke: #9198a1; }\n"
                            ".prefill { stroke: #58a6ff; }\n"
                            ".decode { stroke: #f0883e; }\n"
                            ".dot.prefill { fill: #58a6ff; }\n"
                            ".dot.decode { fill: #f0883e; }\n"
                            "}\n"
                            "</style>\n";

/* ---- text ---- */

static void add_escaped(bench_text *text, const char *string) {
    for (; *string; string++) {
        if (*string == '&')
            bench_add(text, "&amp;");
        else if (*string == '<')
            bench_add(text, "&lt;");
        else if (*string == '>')
            bench_add(text, "&gt;");
        else
            bench_add(text, "%c", *string);
    }
}

static void add_label(bench_text *text, double x, double y, const char *anchor, const char *style, const char *string) {
    bench_add(text, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, style);
    add_escaped(text, string);
    bench_add(text, "</text>\n");
}

/* "512", "32K", "1M" */
static void format_context(size_t context, char *string, size_t capacity) {
    if (context % (1 << 20) == 0)
        snprintf(string, capacity, "%zuM", context >> 20);
    else if (context % (1 << 10) == 0)
        snprintf(string, capacity, "%zuK", context >> 10);
    else
        snprintf(string, capacity, "%zu", context);
}

/* ---- scales ---- */

typedef struct plot_panel {
    const char *style; /* "prefill" or "decode" */
    double top;
    double max, step; /* tokens a second at the upper edge, between grid lines */
} plot_panel;

static const bench_speed *speed_in(const plot_panel *panel, const bench_row *row) {
    return strcmp(panel->style, "prefill") == 0 ? &row->prefill : &row->decode;
}

static bool is_decode(const plot_panel *panel) {
    return strcmp(panel->style, "decode") == 0;
}

static double x_of(const bench_report *r, size_t context) {
    double first = log((double)r->row[0].context), last = log((double)r->row[r->n_rows - 1].context);
    double from = LEFT + INDENT, to = WIDTH - RIGHT - INDENT;
    return last > first ? from + (to - from) * (log((double)context) - first) / (last - first) : (from + to) / 2;
}

static double y_of(const plot_panel *panel, double speed) {
    return panel->top + PANEL_HEIGHT * (1 - speed / panel->max);
}

/* What decoding would reach if it read its weights at the full bandwidth, and nothing else took time; 0: unknown. */
static double speed_limit(const bench_report *r, const bench_row *row) {
    return row->weight_bytes ? r->bandwidth / (double)row->weight_bytes : 0;
}

/* 1, 2 or 5 times a power of ten, so that at most MAX_TICKS of it reach beyond max. */
static double nice_step(double max) {
    double least = max / (int)MAX_TICKS, power = pow(10, floor(log10(least)));
    double part = least / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

/* From zero to a little more than what is drawn; the limit is shown if that does not make everything else small. */
static plot_panel panel_new(const bench_report *r, const char *style, double top) {
    plot_panel panel = {.style = style, .top = top};
    double highest = 0, limit = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        double speed = speed_in(&panel, &r->row[i])->highest;
        if (speed > highest) highest = speed;
        if (is_decode(&panel) && speed_limit(r, &r->row[i]) > limit) limit = speed_limit(r, &r->row[i]);
    }
    if (limit < 4 * highest && limit > highest) highest = limit;
    if (highest <= 0) highest = 1;
    panel.step = nice_step(highest * 1.12); /* room for a label above the highest point */
    panel.max = panel.step * ceil(highest * 1.12 / panel.step);
    return panel;
}

/* ---- drawing ---- */

static void add_grid(bench_text *text, const bench_report *r, const plot_panel *panel, const char *heading) {
    add_label(text, LEFT, panel->top - 12, "start", "heading", heading);
    int n_steps = (int)(panel->max / panel->step + 0.5);
    for (int i = 0; i <= n_steps; i++) {
        char number[32];
        double y = y_of(panel, i * panel->step);
        bench_add(text, "<path class=\"%s\" d=\"M%g %.1fH%g\"/>\n", i ? "grid" : "axis", LEFT, y, WIDTH - RIGHT);
        snprintf(number, sizeof number, "%g", i * panel->step);
        add_label(text, LEFT - 8, y + 4, "end", "faint", number);
    }
    double labelled = -LABEL_WIDTH;
    for (size_t i = 0; i < r->n_rows; i++) {
        char context[32];
        double x = x_of(r, r->row[i].context), bottom = panel->top + PANEL_HEIGHT;
        bench_add(text, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>\n", x, bottom);
        if (x - labelled < LABEL_WIDTH / 2.0) continue;
        format_context(r->row[i].context, context, sizeof context);
        add_label(text, x, bottom + 19, "middle", "faint", context);
        labelled = x;
    }
}

static void add_limit(bench_text *text, const bench_report *r, const plot_panel *panel) {
    double last = speed_limit(r, &r->row[r->n_rows - 1]);
    for (size_t i = 0; i < r->n_rows; i++)
        if (speed_limit(r, &r->row[i]) > panel->max) return;
    if (last <= 0) return;
    bench_add(text, "<path class=\"limit\" d=\"M%g %.1fH%.1f", LEFT, y_of(panel, speed_limit(r, &r->row[0])),
              x_of(r, r->row[0].context));
    for (size_t i = 1; i < r->n_rows; i++)
        bench_add(text, "L%.1f %.1f", x_of(r, r->row[i].context), y_of(panel, speed_limit(r, &r->row[i])));
    bench_add(text, "H%g\"/>\n", WIDTH - RIGHT);
    add_label(text, WIDTH - RIGHT, y_of(panel, last) - 6, "end", "faint", "100 % of the bandwidth");
}

static void add_point(bench_text *text, const bench_report *r, const plot_panel *panel, const bench_row *row,
                      bool has_label) {
    const bench_speed *speed = speed_in(panel, row);
    double x = x_of(r, row->context), y = y_of(panel, speed->median), share = bench_share(r, row);
    double highest = y_of(panel, speed->highest), lowest = y_of(panel, speed->lowest);
    bench_add(text, "<path class=\"line %s\" d=\"M%.1f %.1fV%.1f\"/>\n", panel->style, x, highest, lowest);
    bench_add(text, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\">", panel->style, x, y);
    char median[BENCH_NUMBER_BYTES], low[BENCH_NUMBER_BYTES], high[BENCH_NUMBER_BYTES];
    bench_add(text, "<title>%zu tokens: %s tokens/s (%s to %s)</title></circle>\n", row->context,
              bench_number(speed->median, median), bench_number(speed->lowest, low),
              bench_number(speed->highest, high));
    if (!has_label) return;
    char label[64];
    int n = snprintf(label, sizeof label, "%s", median);
    if (is_decode(panel) && share > 0)
        snprintf(label + n, sizeof label - (size_t)n, share < 0.095 ? " (%.1f %%)" : " (%.0f %%)", 100 * share);
    /* above, but below where the limit's line would be written through */
    double limit = speed_limit(r, row), limit_y = y_of(panel, limit);
    bool collides = is_decode(panel) && limit > 0 && limit_y > highest - 26 && limit_y < highest - 2;
    add_label(text, x, collides ? lowest + 18 : highest - 8, "middle", "value", label);
}

static void add_series(bench_text *text, const bench_report *r, const plot_panel *panel) {
    const char *command = "M";
    bench_add(text, "<path class=\"line %s\" d=\"", panel->style);
    for (size_t i = 0; i < r->n_rows; i++) {
        const bench_speed *speed = speed_in(panel, &r->row[i]);
        if (!speed->n_runs) continue;
        bench_add(text, "%s%.1f %.1f", command, x_of(r, r->row[i].context), y_of(panel, speed->median));
        command = "L";
    }
    bench_add(text, "\"/>\n");
    double labelled = -LABEL_WIDTH;
    for (size_t i = 0; i < r->n_rows; i++) {
        double x = x_of(r, r->row[i].context);
        bool has_label = x - labelled >= LABEL_WIDTH;
        if (!speed_in(panel, &r->row[i])->n_runs) continue;
        add_point(text, r, panel, &r->row[i], has_label);
        if (has_label) labelled = x;
    }
}

static void add_panel(bench_text *text, const bench_report *r, const char *style, double top, const char *heading) {
    plot_panel panel = panel_new(r, style, top);
    add_grid(text, r, &panel, heading);
    if (is_decode(&panel)) add_limit(text, r, &panel);
    add_series(text, r, &panel);
}

static void add_title(bench_text *text, const bench_report *r) {
    char line[320], rate[BENCH_NUMBER_BYTES];
    const char *slash = strrchr(r->model, '/');
    snprintf(line, sizeof line, "ds4: %.200s", slash ? slash + 1 : r->model);
    add_label(text, LEFT, 28, "start", "title", line);
    int n = snprintf(line, sizeof line, "%.120s%s%d thread%s, %s%s%s%s", r->cpu, *r->cpu ? ", " : "", r->n_threads,
                     r->n_threads == 1 ? "" : "s", r->backend, *r->kernels ? " " : "", r->kernels,
                     r->exact ? " exact" : "");
    if (r->bandwidth > 0)
        snprintf(line + n, sizeof line - (size_t)n, ", memory %s GB/s", bench_number(r->bandwidth * 1e-9, rate));
    add_label(text, LEFT, 47, "start", "faint", line);
    snprintf(line, sizeof line, "version %s, %s", DS4_VERSION, r->date);
    add_label(text, LEFT, 64, "start", "faint", line);
}

void bench_add_plot(bench_text *text, const bench_report *r) {
    bench_add(text, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\">\n",
              WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (const char *at = STYLE; *at; at += strcspn(at, "\n") + 1)
        bench_add(text, "%.*s\n", (int)strcspn(at, "\n"), at);
    bench_add(text, "<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n");
    add_title(text, r);
    double top = TOP, second = TOP + PANEL_HEIGHT + PANEL_GAP;
    add_panel(text, r, "prefill", top, "Prefill, tokens/s (of the part that ends at the context)");
    add_panel(text, r, "decode", second,
              r->bandwidth > 0 ? "Decode, tokens/s (share of the memory's bandwidth)" : "Decode, tokens/s");
    add_label(text, (LEFT + WIDTH - RIGHT) / 2.0, second + PANEL_HEIGHT + 42, "middle", "faint",
              "context, tokens (logarithmic)");
    bench_add(text, "</svg>\n");
}
