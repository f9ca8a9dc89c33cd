/*
 * Who computes what and when. One thread, which alone uses the engine, its timelines and checkpoints: it takes requests
 * from a queue, gives them slots, evaluates one batch after another and puts what comes out into the replies. Other
 * threads submit, wake and ask; one mutex and condition for queue and flags, never held during a step.
 */
#ifndef SERVER_SCHEDULER_H
#define SERVER_SCHEDULER_H

#include "server/call_memory.h"
#include "server/ids.h"
#include "server/metrics.h"
#include "server/reply.h"
#include "server/script.h"

typedef struct scheduler_options {
    size_t parallel;       /* answers at once, 1..64; default 4 */
    size_t context_tokens; /* of each */
    size_t queue;          /* requests that may wait; default 64 */
    size_t kv_ram_bytes;
    double step_seconds; /* longest step while somebody streams; default 0.25 */
    script *script;      /* NULL: the model speaks */
} scheduler_options;

enum { SCHEDULER_MAX_PARALLEL = 64 };
#define SCHEDULER_OPTIONS_DEFAULT \
    ((scheduler_options){.parallel = 4, .queue = 64, .kv_ram_bytes = (size_t)1 << 30, .step_seconds = 0.25})

typedef struct scheduler scheduler;

/* Starts the thread, which alone uses engine from now on. model, engine, memory, metrics, ids and script must outlive
 * it. */
ds4_status scheduler_new(const ds4_model *model, ds4_engine *engine, call_memory *memory, metrics *metrics, ids *ids,
                         const scheduler_options *options, scheduler **out, ds4_error *error);

typedef enum submit_result { SUBMIT_OK, SUBMIT_FULL, SUBMIT_DRAINING } submit_result;
/* Takes one hold of reply if OK (the caller keeps the other). Any thread. */
submit_result scheduler_submit(scheduler *self, reply *reply, double *retry_after_seconds);
void scheduler_wake(void *scheduler);  /* for reply_new */
void scheduler_drain(scheduler *self); /* no more submissions */
/* Whether nothing runs and nothing waits; waits for that up to so many seconds. */
bool scheduler_is_idle(scheduler *self, double wait_seconds);
/* What still runs fails with 503; joins the thread. */
void scheduler_free(scheduler *self);

#endif
