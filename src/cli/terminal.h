/* What is shown to people: whether there is a terminal, progress, an answer with its reasoning. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "ds4.h"

#include <stdio.h>

/* Whether the stream is a terminal, and one on which colours are wanted (NO_COLOR, TERM). */
bool is_terminal(FILE *stream);
bool has_colours(FILE *stream);
/* Whether a line can be drawn again and again in place. */
bool can_redraw(FILE *stream);

/* A bar on standard error, only if that is a terminal and only after a moment. */
typedef struct progress_bar {
    const char *label;
    size_t done_before, total_tokens; /* total 0: progress_bar_step's numbers are those of the whole */
    double started, drawn;            /* seconds; drawn 0: not on the screen */
} progress_bar;

progress_bar progress_bar_start(const char *label, size_t total_tokens);
/* A ds4_progress; context is the bar. Also stops the evaluation at Ctrl-C. */
bool progress_bar_step(void *context, size_t done_tokens, size_t total_tokens);
void progress_bar_clear(progress_bar *bar);

/* Prints an answer piece by piece. Its text goes to standard output. Reasoning goes to standard output if
 * that is a terminal, otherwise to standard error if that is one, otherwise nowhere. On a terminal nothing
 * but text comes out: control characters are replaced, or a file that the model was asked about could
 * drive the terminal. */
typedef struct answer_printer {
    FILE *reasoning; /* NULL: not shown */
    bool text_is_terminal;
    bool in_reasoning, any_text;
    char last;    /* byte written, '\n' at the start of a line */
    char held[4]; /* start of a character whose end has not come yet */
    size_t n_held;
} answer_printer;

answer_printer answer_printer_start(void);
void answer_printer_add(answer_printer *printer, bool is_reasoning, const char *bytes, size_t n_bytes);
/* Ends the colour and the line. */
void answer_printer_finish(answer_printer *printer);

#endif
