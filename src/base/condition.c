#include "base/condition.h"
#include "base/file.h"

#include <math.h>
#include <time.h>

#ifdef __APPLE__
/* Its conditions know the clock of the day only; waiting for a time from now, which others do not have, they do not. */
void condition_init(pthread_cond_t *condition) {
    pthread_cond_init(condition, NULL);
}

static int wait_for(pthread_cond_t *condition, pthread_mutex_t *locked, double seconds) {
    double whole = floor(seconds);
    struct timespec time = {.tv_sec = (time_t)whole, .tv_nsec = (long)((seconds - whole) * 1e9)};
    return pthread_cond_timedwait_relative_np(condition, locked, &time);
}
#else
void condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int wait_for(pthread_cond_t *condition, pthread_mutex_t *locked, double seconds) {
    double until = time_seconds() + seconds, whole = floor(until);
    struct timespec time = {.tv_sec = (time_t)whole, .tv_nsec = (long)((until - whole) * 1e9)};
    return pthread_cond_timedwait(condition, locked, &time);
}
#endif

bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *locked, double until) {
    double left = until - time_seconds();
    return left > 0 && wait_for(condition, locked, left) == 0;
}
