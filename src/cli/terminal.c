#include "cli/terminal.h"

#include "base/file.h"
#include "base/utf8.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool is_terminal(FILE *stream) {
    return isatty(fileno(stream)) == 1;
}

static bool understands_escapes(void) {
    const char *kind = getenv("TERM");
    return kind && *kind && strcmp(kind, "dumb") != 0;
}

bool has_colours(FILE *stream) {
    const char *no_colour = getenv("NO_COLOR");
    return is_terminal(stream) && understands_escapes() && !(no_colour && *no_colour);
}

bool can_redraw(FILE *stream) {
    return is_terminal(stream) && understands_escapes();
}

/* ---- progress ------------------------------------------------------------------------------------ */

#define BAR_DELAY 0.3    /* seconds; what is faster needs no bar */
#define BAR_INTERVAL 0.1 /* seconds between drawings */
enum { BAR_WIDTH = 30 };

progress_bar progress_bar_start(const char *label, size_t total_tokens) {
    return (progress_bar){.label = label, .total_tokens = total_tokens, .started = time_seconds()};
}

static void bar_draw(const progress_bar *bar, size_t done, size_t total) {
    char line[BAR_WIDTH + 1];
    size_t filled = total ? done * BAR_WIDTH / total : 0;
    if (filled > BAR_WIDTH) filled = BAR_WIDTH;
    memset(line, '.', BAR_WIDTH);
    memset(line, '=', filled);
    line[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %zu of %zu tokens", bar->label, line, done, total);
    fflush(stderr);
}

bool progress_bar_step(void *context, size_t done_tokens, size_t total_tokens) {
    progress_bar *bar = context;
    double now = time_seconds();
    if (now - bar->started > BAR_DELAY && now - bar->drawn > BAR_INTERVAL && can_redraw(stderr)) {
        bar_draw(bar, bar->done_before + done_tokens, bar->total_tokens ? bar->total_tokens : total_tokens);
        bar->drawn = now;
    }
    return interrupted();
}

void progress_bar_clear(progress_bar *bar) {
    if (bar->drawn > 0) fputs("\r\033[K", stderr);
    bar->drawn = 0;
}

/* ---- answers ------------------------------------------------------------------------------------- */

static const char grey[] = "\033[90m", normal[] = "\033[0m";

answer_printer answer_printer_start(void) {
    answer_printer printer = {.text_is_terminal = is_terminal(stdout), .last = '\n'};
    if (printer.text_is_terminal)
        printer.reasoning = stdout;
    else if (is_terminal(stderr))
        printer.reasoning = stderr;
    return printer;
}

static void put(answer_printer *printer, FILE *stream, const char *bytes, size_t n_bytes) {
    if (!n_bytes) return;
    if (stream == stdout)
        stdout_write(bytes, n_bytes);
    else
        fwrite(bytes, 1, n_bytes, stream);
    printer->last = bytes[n_bytes - 1];
}

static void put_string(answer_printer *printer, FILE *stream, const char *string) {
    put(printer, stream, string, strlen(string));
}

/* Bytes of the character that starts with lead, 1 if none does. */
static size_t expected_bytes(unsigned char lead) {
    return lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
}

static void put_character(answer_printer *printer, FILE *stream, const char *bytes, size_t n_bytes) {
    uint32_t code_point;
    bool valid = utf8_decode(bytes, n_bytes, &code_point) == n_bytes;
    bool control = valid && ((code_point < 0x20 && code_point != '\n' && code_point != '\t') ||
                             (code_point >= 0x7f && code_point < 0xa0));
    if (valid && !control)
        put(printer, stream, bytes, n_bytes);
    else
        put_string(printer, stream, "\xef\xbf\xbd"); /* U+FFFD */
}

static void release_held(answer_printer *printer, FILE *stream) {
    for (size_t i = 0; i < printer->n_held; i++) put_character(printer, stream, printer->held + i, 1);
    printer->n_held = 0;
}

/* Whole characters only, so that each can be judged. */
static void put_filtered(answer_printer *printer, FILE *stream, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        bool continues = ((unsigned char)bytes[i] & 0xc0) == 0x80;
        if (printer->n_held && !continues) release_held(printer, stream);
        printer->held[printer->n_held++] = bytes[i];
        if (printer->n_held < expected_bytes((unsigned char)printer->held[0])) continue;
        put_character(printer, stream, printer->held, printer->n_held);
        printer->n_held = 0;
    }
}

static void begin_reasoning(answer_printer *printer) {
    printer->in_reasoning = true;
    put_string(printer, printer->reasoning, has_colours(printer->reasoning) ? grey : "<think>\n");
}

static void end_reasoning(answer_printer *printer) {
    release_held(printer, printer->reasoning);
    printer->in_reasoning = false;
    const char *line_end = printer->last == '\n' ? "" : "\n";
    put_string(printer, printer->reasoning, line_end);
    put_string(printer, printer->reasoning, has_colours(printer->reasoning) ? normal : "</think>\n");
    if (printer->reasoning != stdout) fflush(printer->reasoning);
    printer->last = '\n';
}

void answer_printer_add(answer_printer *printer, bool is_reasoning, const char *bytes, size_t n_bytes) {
    if (!n_bytes || (is_reasoning && !printer->reasoning)) return;
    if (is_reasoning && !printer->in_reasoning) begin_reasoning(printer);
    if (!is_reasoning && printer->in_reasoning) {
        end_reasoning(printer);
        put_string(printer, printer->reasoning, "\n");
    }
    FILE *stream = is_reasoning ? printer->reasoning : stdout;
    printer->any_text |= !is_reasoning;
    if (is_reasoning || printer->text_is_terminal)
        put_filtered(printer, stream, bytes, n_bytes);
    else
        put(printer, stream, bytes, n_bytes);
    if (stream == stdout)
        stdout_flush();
    else
        fflush(stream);
}

void answer_printer_finish(answer_printer *printer) {
    if (printer->in_reasoning) end_reasoning(printer);
    release_held(printer, stdout);
    if (printer->any_text && printer->last != '\n') stdout_write("\n", 1);
    stdout_flush();
}
