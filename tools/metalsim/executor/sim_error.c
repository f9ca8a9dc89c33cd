#include "sim_internal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

struct sim_statistics sim_statistics;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *kernel_name = "";
static int n_errors;
static char first_error[256];

void errors_begin(const char *kernel) {
    kernel_name = kernel;
    n_errors = 0;
    first_error[0] = '\0';
}

const char *sim_first_error(void) {
    return first_error;
}

void sim_error(const char *format, ...) {
    va_list arguments;
    char message[256];
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    pthread_mutex_lock(&mutex);
    sim_statistics.errors++;
    if (n_errors == 0) snprintf(first_error, sizeof first_error, "%s", message);
    if (n_errors++ < sim_options.max_printed) {
        fprintf(stderr, "metalsim: %s: ", kernel_name);
        if (sim_worker && sim_thread_now)
            fprintf(stderr, "[group %u,%u,%u thread %u] ", sim_group_now->in_grid[0], sim_group_now->in_grid[1],
                    sim_group_now->in_grid[2], sim_thread_now->index);
        fprintf(stderr, "%s\n", message);
    }
    pthread_mutex_unlock(&mutex);
}
