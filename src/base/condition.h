/* Waiting for another thread no longer than until some time, also while the clock of the day is set. */
#ifndef BASE_CONDITION_H
#define BASE_CONDITION_H

#include <pthread.h>
#include <stdbool.h>

/* As pthread_cond_init; destroy with pthread_cond_destroy. */
void condition_init(pthread_cond_t *condition);
/* As pthread_cond_wait, until time_seconds() (base/file.h) says `until`; false: it does, or did. */
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *locked, double until);

#endif
