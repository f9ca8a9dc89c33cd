#include "cli/pull_progress.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/terminal.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_INTERVAL 0.1    /* seconds between drawings */
#define MEASURE_INTERVAL 0.5 /* seconds over which bytes are counted */
#define NEW_SHARE 0.2        /* of what was measured last in the speed that is shown */

enum { LINE_BYTES = 512 };

const char *pull_bytes_text(uint64_t n_bytes, char text[PULL_BYTES_TEXT]) {
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)n_bytes / 1000;
    size_t unit = 0;
    for (; value >= 999.95 && unit + 1 < sizeof units / sizeof *units; unit++) value /= 1000;
    if (n_bytes < 1000)
        snprintf(text, PULL_BYTES_TEXT, "%" PRIu64 " bytes", n_bytes);
    else
        snprintf(text, PULL_BYTES_TEXT, "%.1f %s", value, units[unit]);
    return text;
}

/* ---- speed --------------------------------------------------------------------------------------- */

static void measure(pull_progress *progress, const download_state *state, double now) {
    double passed = now - progress->measured;
    /* waiting, another phase or a new beginning are no speed */
    if (state->phase != DOWNLOAD_RECEIVING || progress->measured <= 0 || state->done_bytes < progress->done_bytes) {
        progress->measured = state->phase == DOWNLOAD_RECEIVING ? now : 0;
        progress->done_bytes = state->done_bytes;
    } else if (passed >= MEASURE_INTERVAL) {
        double speed = (double)(state->done_bytes - progress->done_bytes) / passed;
        progress->speed = progress->speed > 0 ? progress->speed + NEW_SHARE * (speed - progress->speed) : speed;
        progress->measured = now;
        progress->done_bytes = state->done_bytes;
    }
}

/* ---- the line ------------------------------------------------------------------------------------ */

static void time_text(double seconds, char *text, size_t capacity) {
    if (seconds < 99)
        snprintf(text, capacity, "%.0f s", seconds);
    else if (seconds < 99 * 60.0)
        snprintf(text, capacity, "%.0f min", seconds / 60);
    else if (seconds < 99 * 3600.0)
        snprintf(text, capacity, "%.0f h %02d min", (double)(int)(seconds / 3600), (int)(seconds / 60) % 60);
    else
        snprintf(text, capacity, "days");
}

static void receiving_line(const pull_progress *progress, const download_state *state, char *line) {
    char total[PULL_BYTES_TEXT], done[PULL_BYTES_TEXT], speed[PULL_BYTES_TEXT], left[32];
    double percent = state->total_bytes ? 100.0 * (double)state->done_bytes / (double)state->total_bytes : 0;
    int n = snprintf(line, LINE_BYTES, "%s %5.1f %%  %s of %s", progress->name, percent,
                     pull_bytes_text(state->done_bytes, done), pull_bytes_text(state->total_bytes, total));
    if (n < 0 || n >= LINE_BYTES || progress->speed < 1) return;
    time_text((double)(state->total_bytes - state->done_bytes) / progress->speed, left, sizeof left);
    snprintf(line + n, LINE_BYTES - (size_t)n, "  %s/s  %s left", pull_bytes_text((uint64_t)progress->speed, speed),
             left);
}

static void format_line(const pull_progress *progress, const download_state *state, char *line) {
    switch (state->phase) {
    case DOWNLOAD_CONNECTING: snprintf(line, LINE_BYTES, "%s connecting", progress->name); break;
    case DOWNLOAD_RECEIVING: receiving_line(progress, state, line); break;
    case DOWNLOAD_WAITING:
        snprintf(line, LINE_BYTES, "%s again in %.0f s: %.300s", progress->name, state->wait_seconds, state->problem);
        break;
    case DOWNLOAD_VERIFYING:
        snprintf(line, LINE_BYTES, "%s verifying (SHA-256) %5.1f %%", progress->name,
                 state->total_bytes ? 100.0 * (double)state->done_bytes / (double)state->total_bytes : 100.0);
        break;
    }
}

/* Ends the line before the last column: a longer one could not be drawn over. No character takes more columns than it
 * has bytes, so bytes are counted. */
static void cut_line(char *line) {
    struct winsize size;
    size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    size_t at = 0, n_bytes = strlen(line);
    while (at < n_bytes) {
        uint32_t code_point;
        size_t n = utf8_decode(line + at, n_bytes - at, &code_point);
        if (!n || at + n >= columns) break;
        at += n;
    }
    line[at] = '\0';
}

bool pull_progress_step(void *context, const download_state *state) {
    pull_progress *progress = context;
    double now = time_seconds();
    measure(progress, state, now);
    if (now - progress->drawn > DRAW_INTERVAL && can_redraw(stderr)) {
        char line[LINE_BYTES];
        format_line(progress, state, line);
        cut_line(line);
        fprintf(stderr, "\r%s\033[K", line);
        fflush(stderr);
        progress->drawn = now;
    }
    return interrupted();
}

void pull_progress_clear(pull_progress *progress) {
    if (progress->drawn > 0) fputs("\r\033[K", stderr);
    progress->drawn = 0;
}
