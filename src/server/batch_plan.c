#include "server/batch_plan.h"

enum { FIRST_SLICE = 128 /* before anything was measured */ };
static const double least_slice = 16;        /* tokens of prompts that are worth a step */
static const double prompt_step_seconds = 2; /* longest step if only prompts run, but others want their turn */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* What a prompt can take at once. */
static size_t appetite(const plan_entry *entry) {
    if (!entry->is_prompt || entry->paused) return 0;
    return entry->to_mark ? smaller(entry->remaining, entry->to_mark) : entry->remaining;
}

/* How many tokens of prompts the step can have. */
static size_t slice_of(const plan_limits *limits, size_t room, size_t n_prompts, bool streams) {
    if (!streams && n_prompts <= 1 && !limits->others_wait) return room;
    if (limits->seconds_per_token <= 0) return smaller(room, FIRST_SLICE);
    double seconds = streams ? limits->step_seconds : prompt_step_seconds;
    double affordable = (seconds - limits->decode_seconds) / limits->seconds_per_token;
    /* with less, most of the step would be what every step takes */
    double least = limits->decode_seconds / limits->seconds_per_token;
    if (least < least_slice) least = least_slice;
    if (affordable < least) affordable = least;
    return affordable < (double)room ? (size_t)affordable : room;
}

void batch_plan(const plan_entry *entry, size_t n, size_t turn, const plan_limits *limits, size_t *n_tokens) {
    size_t room = limits->chunk_tokens, n_hungry = 0;
    /* answers could fill every pass: a prompt whose turn it is has a token in any case */
    size_t kept = n && appetite(&entry[turn % n]) ? 1 : 0;
    bool streams = false;
    for (size_t k = 0; k < n; k++) {
        size_t i = (turn + k) % n;
        bool speaks = !entry[i].is_prompt && !entry[i].paused;
        n_tokens[i] = speaks ? smaller(entry[i].remaining, room - kept) : 0;
        room -= n_tokens[i];
        streams |= n_tokens[i] > 0;
        n_hungry += appetite(&entry[i]) > 0;
    }
    /* Equal shares, so that a short prompt does not wait for a long one; what one does not need goes to the others. */
    for (size_t slice = slice_of(limits, room, n_hungry, streams); slice && n_hungry;) {
        size_t share = slice / n_hungry ? slice / n_hungry : 1;
        n_hungry = 0;
        for (size_t k = 0; k < n; k++) {
            size_t i = (turn + k) % n, appetite_left = appetite(&entry[i]);
            if (!appetite_left) continue;
            appetite_left -= n_tokens[i];
            size_t given = smaller(smaller(appetite_left, share), slice);
            n_tokens[i] += given;
            slice -= given;
            n_hungry += given < appetite_left;
        }
    }
}
