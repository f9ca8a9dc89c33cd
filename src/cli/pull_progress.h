/* The line that ds4 pull shows on a terminal. */
#ifndef CLI_PULL_PROGRESS_H
#define CLI_PULL_PROGRESS_H

#include "fetch/download.h"

typedef struct pull_progress {
    const char *name; /* of what is downloaded */
    double drawn;     /* seconds; 0: not on the screen */
    double measured;  /* when done_bytes was as here; 0: never */
    uint64_t done_bytes;
    double speed; /* bytes a second, lately; 0: not known */
} pull_progress;

/* A download_progress; context is a pull_progress. Draws if standard error is a terminal, and cancels at Ctrl-C. */
bool pull_progress_step(void *context, const download_state *state);
void pull_progress_clear(pull_progress *progress);

/* "86.7 GB" */
#define PULL_BYTES_TEXT 32
const char *pull_bytes_text(uint64_t n_bytes, char text[PULL_BYTES_TEXT]);

#endif
