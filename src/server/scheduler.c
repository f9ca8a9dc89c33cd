#include "server/scheduler.h"

#include "base/condition.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "engine/engine.h"
#include "server/batch_plan.h"
#include "server/prefix_tree.h"
#include "server/sequence.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SHARED_TOKENS = 1024 /* worth waiting for while another request evaluates them */ };
static const double cost_weight = 0.2; /* of a new measurement in the average */

/* A request that has its slots: one for each choice. */
typedef struct job {
    reply *reply; /* a hold */
    const request *asked;
    sequence *choice[SCHEDULER_MAX_PARALLEL]; /* NULL: given up its slot */
    size_t n_ended;
    reply_usage usage;
    bool is_over; /* the client has it all, or never will: reply is gone */
    double began;
} job;

struct scheduler {
    scheduler_options options;
    sequence_parts parts;
    pthread_t thread;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t woken, quiet;
    reply **queue;           /* [options.queue + options.parallel], oldest first */
    size_t n_queued, n_used; /* n_used: slots */
    bool wakes, drains;
    double answer_seconds; /* moving average */
    atomic_bool stops;

    /* the thread's own */
    job *job[SCHEDULER_MAX_PARALLEL];
    size_t n_jobs, turn;
    uint64_t seed;
    double decode_seconds, seconds_per_token;
};

/* What one sequence, a choice of the job, has of a step. */
typedef struct place {
    job *job;
    size_t k;
    size_t n_tokens;
} place;

typedef struct step {
    scheduler *self;
    place place[SCHEDULER_MAX_PARALLEL];
    size_t n, n_tokens, n_prompt_tokens;
} step;

/* ---- queue: any thread --------------------------------------------------------------------------- */

static double retry_after(const scheduler *self) {
    double seconds = (double)self->n_queued * self->answer_seconds / (double)self->options.parallel;
    return fmin(fmax(ceil(seconds), 1), 60);
}

submit_result scheduler_submit(scheduler *self, reply *to, double *retry_after_seconds) {
    pthread_mutex_lock(&self->lock);
    submit_result result = SUBMIT_OK;
    size_t n_free = self->options.parallel > self->n_used ? self->options.parallel - self->n_used : 0;
    if (self->drains)
        result = SUBMIT_DRAINING;
    else if (self->n_queued >= self->options.queue + n_free)
        result = SUBMIT_FULL;
    *retry_after_seconds = retry_after(self);
    if (result == SUBMIT_OK) {
        self->queue[self->n_queued++] = to;
        self->wakes = true;
        pthread_cond_signal(&self->woken);
    }
    pthread_mutex_unlock(&self->lock);
    return result;
}

void scheduler_wake(void *context) {
    scheduler *self = context;
    pthread_mutex_lock(&self->lock);
    self->wakes = true;
    pthread_cond_signal(&self->woken);
    pthread_mutex_unlock(&self->lock);
}

void scheduler_drain(scheduler *self) {
    pthread_mutex_lock(&self->lock);
    self->drains = true;
    pthread_mutex_unlock(&self->lock);
}

bool scheduler_is_idle(scheduler *self, double wait_seconds) {
    double until = wait_seconds > 0 ? time_seconds() + wait_seconds : 0;
    pthread_mutex_lock(&self->lock);
    while ((self->n_queued || self->n_used) && condition_wait_until(&self->quiet, &self->lock, until)) continue;
    bool idle = !self->n_queued && !self->n_used;
    pthread_mutex_unlock(&self->lock);
    return idle;
}

/* The i-th of the queue leaves it, for so many slots. */
static void queue_remove(scheduler *self, size_t i, size_t n_slots) {
    pthread_mutex_lock(&self->lock);
    memmove(self->queue + i, self->queue + i + 1, (self->n_queued - i - 1) * sizeof *self->queue);
    self->n_queued--;
    self->n_used += n_slots;
    pthread_mutex_unlock(&self->lock);
}

static reply *queue_at(scheduler *self, size_t i) {
    pthread_mutex_lock(&self->lock);
    reply *found = i < self->n_queued ? self->queue[i] : NULL;
    pthread_mutex_unlock(&self->lock);
    return found;
}

/* ---- jobs ---------------------------------------------------------------------------------------- */

static size_t slots_used(const scheduler *self) {
    size_t n = 0;
    for (size_t i = 0; i < self->n_jobs; i++)
        for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++) n += self->job[i]->choice[k] != NULL;
    return n;
}

/* Of timelines and checkpoints, and of the tree in which these are found. */
static size_t held_bytes(const scheduler *self) {
    return ds4_engine_held_bytes(self->parts.engine) + prefix_tree_bytes(self->parts.tree);
}

/* What others may see of the slots, and of the memory behind them. */
static void publish(scheduler *self) {
    size_t n = slots_used(self);
    metrics_set(self->parts.counts, METRIC_RUNNING, (double)n);
    metrics_set(self->parts.counts, METRIC_CHECKPOINTS, (double)prefix_tree_n(self->parts.tree));
    metrics_set(self->parts.counts, METRIC_KV_BYTES, (double)held_bytes(self));
    pthread_mutex_lock(&self->lock);
    self->n_used = n;
    size_t n_queued = self->n_queued;
    if (!n && !n_queued) pthread_cond_broadcast(&self->quiet);
    pthread_mutex_unlock(&self->lock);
    metrics_set(self->parts.counts, METRIC_WAITING, (double)n_queued);
}

static void put_failure(reply *to, int status, double retry_after_seconds, const char *message) {
    reply_event event = {.kind = REPLY_FAILED, .error = {.status = status, .retry_after = retry_after_seconds}};
    size_t n = strlen(message) < sizeof event.error.message ? strlen(message) : sizeof event.error.message - 1;
    memcpy(event.error.message, message, n);
    /* without memory for it: the connection sees this, too */
    if (!reply_put(to, &event)) reply_cancel(to);
}

static void job_let_go(scheduler *self, job *j) {
    if (j->is_over) return;
    j->is_over = true;
    double seconds = time_seconds() - j->began;
    pthread_mutex_lock(&self->lock);
    self->answer_seconds =
        self->answer_seconds > 0 ? (1 - cost_weight) * self->answer_seconds + cost_weight * seconds : seconds;
    pthread_mutex_unlock(&self->lock);
    for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++)
        if (j->choice[k]) j->choice[k]->to = NULL, j->choice[k]->asked = NULL;
    reply_release(j->reply);
    j->reply = NULL;
    j->asked = NULL;
}

/* What they have said counts, also if it has not come to an end. */
static void job_free_sequences(scheduler *self, job *j) {
    for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++) {
        const sequence *s = j->choice[k];
        if (s && s->phase != SEQUENCE_CLOSING)
            metrics_add(self->parts.counts, METRIC_ANSWER_TOKENS, (double)answer_reader_usage(s->reader)->answer);
        sequence_free(j->choice[k]);
        j->choice[k] = NULL;
    }
}

static void job_fail(scheduler *self, job *j, int status, const char *message) {
    if (!j->is_over) put_failure(j->reply, status, 1, message);
    job_free_sequences(self, j);
    job_let_go(self, j);
}

/* The client has gone: what is computed may serve again. */
static void job_cancel(scheduler *self, job *j) {
    double now = time_seconds();
    metrics_add(self->parts.counts, METRIC_CANCELLED, 1);
    for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++) {
        sequence *s = j->choice[k];
        if (s && s->timeline) sequence_keep(s, &self->parts, now);
    }
    job_free_sequences(self, j);
    job_let_go(self, j);
}

/* Jobs without slots are done. */
static void sweep_jobs(scheduler *self) {
    size_t n = 0;
    for (size_t i = 0; i < self->n_jobs; i++) {
        job *j = self->job[i];
        bool is_empty = true;
        for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++) is_empty &= !j->choice[k];
        if (is_empty) {
            job_let_go(self, j);
            free(j);
        } else {
            self->job[n++] = j;
        }
    }
    self->n_jobs = n;
}

static void drop_cancelled(scheduler *self) {
    for (size_t i = 0; i < self->n_jobs; i++)
        if (!self->job[i]->is_over && reply_is_cancelled(self->job[i]->reply)) job_cancel(self, self->job[i]);
    sweep_jobs(self);
    reply *waiting;
    for (size_t i = 0; (waiting = queue_at(self, i));) {
        if (!reply_is_cancelled(waiting)) {
            i++;
            continue;
        }
        queue_remove(self, i, 0);
        metrics_add(self->parts.counts, METRIC_CANCELLED, 1);
        reply_release(waiting);
    }
}

/* ---- memory -------------------------------------------------------------------------------------- */

static void evict_to_budget(scheduler *self) {
    while (held_bytes(self) > self->options.kv_ram_bytes && prefix_tree_evict(self->parts.tree)) continue;
}

/* There is less memory than the budget says. False: nothing is left to give. */
static bool evict_half(scheduler *self) {
    size_t n = (prefix_tree_n(self->parts.tree) + 1) / 2, evicted = 0;
    while (evicted < n && prefix_tree_evict(self->parts.tree)) evicted++;
    return evicted > 0;
}

/* ---- admission ----------------------------------------------------------------------------------- */

/* Whether another request is about to evaluate a long beginning that this one can have then. Six agents that start
 * together shall compute their system prompt once. */
static bool waits_for_prefix(scheduler *self, const request *asked, double now) {
    for (size_t i = 0; i < self->n_jobs; i++) {
        const sequence *s = self->job[i]->choice[0];
        if (!s || s->phase != SEQUENCE_PROMPT) continue;
        size_t common = sequence_common(s, &asked->tokens);
        if (common == asked->tokens.n) common--; /* one token is always left */
        size_t mark = sequence_mark_before(s, common);
        if (mark >= SHARED_TOKENS && mark - SHARED_TOKENS >= prefix_tree_find(self->parts.tree, asked, now).n_tokens)
            return true;
    }
    return false;
}

static bool is_closing(const scheduler *self) {
    for (size_t i = 0; i < self->n_jobs; i++)
        for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++)
            if (self->job[i]->choice[k] && self->job[i]->choice[k]->phase == SEQUENCE_CLOSING) return true;
    return false;
}

static uint64_t next_seed(scheduler *self) {
    return self->seed = self->seed * 6364136223846793005u + 1442695040888963407u;
}

/* The script comes last: its blocks are gone then. */
static ds4_status job_begin(scheduler *self, job *j, double now, ds4_error *error) {
    const request *asked = j->asked;
    uint64_t seed = asked->has_seed ? asked->seed : next_seed(self);
    ds4_status status = DS4_OK;
    for (size_t k = 0; status == DS4_OK && k < asked->n; k++)
        status = sequence_new(&self->parts, j->reply, k, seed + k, &j->choice[k], error);
    if (status == DS4_OK) status = sequence_begin(j->choice[0], &self->parts, now, error);
    for (size_t k = 0; status == DS4_OK && k < asked->n; k++)
        status = sequence_prepare_answer(j->choice[k], &self->parts, error);
    if (status != DS4_OK) job_free_sequences(self, j);
    return status;
}

static bool put_started(scheduler *self, job *j) {
    const sequence *s = j->choice[0];
    j->usage = (reply_usage){.prompt = s->n_prompt, .cached = s->n_cached};
    metrics_add(self->parts.counts, METRIC_PROMPT_TOKENS, (double)s->n_prompt);
    metrics_add(self->parts.counts, METRIC_CACHED_TOKENS, (double)s->n_cached);
    const reply_event event = {.kind = REPLY_STARTED, .usage = j->usage};
    return reply_put(j->reply, &event);
}

/* Takes the reply. */
static void start(scheduler *self, reply *waiting, double now) {
    const request *asked = reply_request(waiting);
    ds4_error error;
    job *j = array_new(1, sizeof *j);
    if (!j) {
        put_failure(waiting, 503, 1, "there is no memory for the request");
        reply_release(waiting);
        return;
    }
    *j = (job){.reply = waiting, .asked = asked, .began = now};
    self->job[self->n_jobs++] = j;
    if (!asked->n || asked->n > self->options.parallel || !asked->tokens.n ||
        asked->tokens.n >= self->options.context_tokens) {
        job_fail(self, j, 400, "the request does not fit into this server");
        return;
    }
    ds4_status status = job_begin(self, j, now, &error);
    if (status == DS4_ERROR_MEMORY && evict_half(self)) status = job_begin(self, j, now, &error);
    if (status != DS4_OK)
        job_fail(self, j, status == DS4_ERROR_MEMORY ? 503 : 500, error.message);
    else if (!put_started(self, j))
        job_fail(self, j, 503, "there is no memory for the answer");
}

/* In the order of arrival, but past those that wait for a prefix. */
static void admit(scheduler *self) {
    double now = time_seconds();
    /* the next request of a conversation finds the end of the last answer one step later */
    if (is_closing(self)) return;
    reply *waiting;
    for (size_t i = 0; (waiting = queue_at(self, i)) && slots_used(self) < self->options.parallel;) {
        const request *asked = reply_request(waiting);
        if (waits_for_prefix(self, asked, now)) {
            i++;
            continue;
        }
        if (asked->n <= self->options.parallel && slots_used(self) + asked->n > self->options.parallel) break;
        queue_remove(self, i, asked->n);
        start(self, waiting, now);
        sweep_jobs(self);
    }
}

/* ---- a step -------------------------------------------------------------------------------------- */

/* NULL: its job has failed since. */
static sequence *sequence_of(const place *at) {
    return at->job->choice[at->k];
}

/* Between layers. A hang-up stops a step that is mostly for whoever hung up; a token of somebody's answer is not worth
 * the others' work. */
static bool should_stop(void *context, size_t done, size_t total) {
    const step *now = context;
    (void)done, (void)total;
    if (atomic_load(&now->self->stops)) return true;
    size_t n_cancelled = 0;
    for (size_t i = 0; i < now->n; i++) {
        const job *j = now->place[i].job;
        if (!j->is_over && reply_is_cancelled(j->reply)) n_cancelled += now->place[i].n_tokens;
    }
    return n_cancelled > now->n_tokens / 2;
}

/* Who gets what. False: nobody can do anything. */
static bool plan(scheduler *self, step *next) {
    plan_entry entry[SCHEDULER_MAX_PARALLEL];
    size_t n_tokens[SCHEDULER_MAX_PARALLEL], n = 0;
    place all[SCHEDULER_MAX_PARALLEL];
    for (size_t i = 0; i < self->n_jobs; i++)
        for (size_t k = 0; k < SCHEDULER_MAX_PARALLEL; k++) {
            sequence *s = self->job[i]->choice[k];
            if (!s) continue;
            bool is_prompt = s->phase == SEQUENCE_PROMPT;
            all[n] = (place){.job = self->job[i], .k = k};
            entry[n++] = (plan_entry){.remaining = s->pending.n - s->at,
                                      .to_mark = is_prompt ? sequence_to_mark(s) : 0,
                                      .is_prompt = is_prompt,
                                      .paused = s->phase == SEQUENCE_WAITS || (s->to && reply_is_full(s->to))};
        }
    plan_limits limits = {.chunk_tokens = (size_t)self->parts.engine->chunk_tokens,
                          .step_seconds = self->options.step_seconds,
                          .others_wait = queue_at(self, 0) != NULL,
                          .decode_seconds = self->decode_seconds,
                          .seconds_per_token = self->seconds_per_token};
    batch_plan(entry, n, self->turn++, &limits, n_tokens);
    *next = (step){.self = self};
    for (size_t i = 0; i < n; i++) {
        if (!n_tokens[i]) continue;
        next->place[next->n] = all[i];
        next->place[next->n++].n_tokens = n_tokens[i];
        next->n_tokens += n_tokens[i];
        if (entry[i].is_prompt) next->n_prompt_tokens += n_tokens[i];
    }
    return next->n > 0;
}

static ds4_status evaluate(step *now, ds4_error *error) {
    ds4_span span[SCHEDULER_MAX_PARALLEL];
    for (size_t i = 0; i < now->n; i++) {
        sequence *s = sequence_of(&now->place[i]);
        size_t n = now->place[i].n_tokens;
        bool wants_logits = s->phase != SEQUENCE_CLOSING && s->at + n == s->pending.n;
        span[i] = (ds4_span){.timeline = s->timeline,
                             .tokens = s->pending.id + s->at,
                             .n_tokens = n,
                             .wanted = wants_logits ? DS4_LOGITS_LAST : DS4_LOGITS_NONE,
                             .logits = wants_logits ? s->logits : NULL};
    }
    return ds4_engine_evaluate(now->self->parts.engine, span, now->n, should_stop, now, error);
}

static void average(double *value, double measured) {
    *value = *value > 0 ? (1 - cost_weight) * *value + cost_weight * measured : measured;
}

static void measure(scheduler *self, const step *done, double seconds) {
    metrics_observe(self->parts.counts, HISTOGRAM_STEP, seconds);
    if (!done->n_prompt_tokens) {
        average(&self->decode_seconds, seconds);
        return;
    }
    metrics_observe(self->parts.counts, HISTOGRAM_STEP_TOKENS, (double)done->n_prompt_tokens);
    average(&self->seconds_per_token, fmax((seconds - self->decode_seconds) / (double)done->n_prompt_tokens, 1e-7));
}

/* The sequence's answer is over. Its slot is free at once, or after the step that closes it. */
static bool end_choice(job *j, size_t k) {
    sequence *s = j->choice[k];
    const reply_usage *usage = answer_reader_usage(s->reader);
    j->usage.answer += usage->answer;
    j->usage.reasoning += usage->reasoning;
    j->n_ended++;
    s->asked = NULL;
    s->to = NULL;
    bool ok = true;
    if (j->n_ended == j->asked->n) {
        const reply_event event = {.kind = REPLY_END, .usage = j->usage};
        ok = reply_put(j->reply, &event);
    }
    if (!s->pending.n) {
        sequence_free(s);
        j->choice[k] = NULL;
    }
    return ok;
}

static ds4_status speak(scheduler *self, job *j, size_t k, double now, ds4_error *error) {
    bool ended;
    ds4_status status = sequence_speak(j->choice[k], &self->parts, now, &ended, error);
    if (status != DS4_OK || !ended) return status;
    return end_choice(j, k) ? DS4_OK : error_memory(error, "answer", sizeof(reply_event));
}

/* The prompt is evaluated: its choices part. */
static ds4_status fork_choices(scheduler *self, job *j, double now, ds4_error *error) {
    ds4_status status = DS4_OK;
    size_t n = j->asked->n;
    for (size_t k = 1; status == DS4_OK && k < n; k++)
        status = sequence_fork(j->choice[k], j->choice[0], &self->parts, error);
    for (size_t k = 0; status == DS4_OK && k < n; k++) status = speak(self, j, k, now, error);
    return status;
}

/* Its tokens are on the timeline. */
static void follow_up(scheduler *self, const place *done, double now) {
    sequence *s = sequence_of(done);
    job *j = done->job;
    size_t k = done->k;
    if (!s) return;
    sequence_advance(s, &self->parts, done->n_tokens, now);
    if (s->at < s->pending.n) return;
    ds4_error error;
    ds4_status status = DS4_OK;
    switch (s->phase) {
    case SEQUENCE_WAITS: break;
    case SEQUENCE_PROMPT: status = fork_choices(self, j, now, &error); break;
    case SEQUENCE_ANSWER: status = speak(self, j, k, now, &error); break;
    case SEQUENCE_CLOSING:
        sequence_free(s);
        j->choice[k] = NULL;
        break;
    }
    if (status != DS4_OK)
        job_fail(self, j, status == DS4_ERROR_MEMORY ? 503 : 500, error.message);
    else if (!j->is_over && j->n_ended == j->asked->n)
        job_let_go(self, j);
}

static void fail_step(scheduler *self, const step *failed, ds4_status status, const char *message) {
    if (status == DS4_ERROR_MEMORY) {
        const place *largest = &failed->place[0];
        for (size_t i = 1; i < failed->n; i++)
            if (sequence_position(sequence_of(&failed->place[i])) > sequence_position(sequence_of(largest)))
                largest = &failed->place[i];
        job_fail(self, largest->job, 503, message);
    } else {
        for (size_t i = 0; i < failed->n; i++) job_fail(self, failed->place[i].job, 500, message);
    }
    sweep_jobs(self);
}

/* False: there was nothing to do. */
static bool run_step(scheduler *self) {
    step now;
    ds4_error error;
    if (!plan(self, &now)) return false;
    double began = time_seconds();
    ds4_status status = evaluate(&now, &error);
    if (status == DS4_ERROR_MEMORY && evict_half(self)) status = evaluate(&now, &error);
    if (status == DS4_CANCELLED) return true; /* nothing has changed; the next plan is without whoever left */
    double ended = time_seconds();
    if (status == DS4_OK) {
        measure(self, &now, ended - began);
        for (size_t i = 0; i < now.n; i++) follow_up(self, &now.place[i], ended);
        sweep_jobs(self);
    } else {
        fail_step(self, &now, status, error.message);
    }
    evict_to_budget(self);
    return true;
}

/* ---- the thread ---------------------------------------------------------------------------------- */

static void forget_wakes(scheduler *self) {
    pthread_mutex_lock(&self->lock);
    self->wakes = false;
    pthread_mutex_unlock(&self->lock);
}

static void wait_for_wake(scheduler *self) {
    pthread_mutex_lock(&self->lock);
    while (!self->wakes && !atomic_load(&self->stops)) pthread_cond_wait(&self->woken, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

static void *run(void *context) {
    scheduler *self = context;
    while (!atomic_load(&self->stops)) {
        /* whoever wakes us from here on has changed something that we may have looked at already */
        forget_wakes(self);
        drop_cancelled(self);
        admit(self);
        publish(self);
        if (!run_step(self)) wait_for_wake(self);
        publish(self);
    }
    for (size_t i = 0; i < self->n_jobs; i++) job_fail(self, self->job[i], 503, "the server is shutting down");
    sweep_jobs(self);
    for (reply *waiting; (waiting = queue_at(self, 0));) {
        queue_remove(self, 0, 0);
        put_failure(waiting, 503, 1, "the server is shutting down");
        reply_release(waiting);
    }
    /* pages are counted by this thread alone */
    prefix_tree_free(self->parts.tree);
    self->parts.tree = NULL;
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------- */

ds4_status scheduler_new(const ds4_model *model, ds4_engine *engine, call_memory *memory, metrics *counts, ids *names,
                         const scheduler_options *options, scheduler **out, ds4_error *error) {
    scheduler *self = array_new(1, sizeof *self);
    if (!self) return error_memory(error, "scheduler", sizeof *self);
    self->options = *options;
    self->seed = system_seed();
    self->parts = (sequence_parts){.tokenizer = ds4_model_tokenizer(model),
                                   .n_vocab = ds4_model_n_vocab(model),
                                   .engine = engine,
                                   .context_tokens = options->context_tokens,
                                   .memory = memory,
                                   .counts = counts,
                                   .names = names,
                                   .script = options->script};
    atomic_init(&self->stops, false);
    self->queue = array_new(options->queue + options->parallel, sizeof *self->queue);
    ds4_status status = self->queue ? prefix_tree_new(self->parts.tokenizer, &self->parts.tree, error)
                                    : error_memory(error, "queue", options->queue * sizeof *self->queue);
    if (status != DS4_OK) {
        free(self->queue);
        free(self);
        return status;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->woken, NULL);
    condition_init(&self->quiet);
    if (pthread_create(&self->thread, NULL, run, self) == 0) {
        *out = self;
        return DS4_OK;
    }
    prefix_tree_free(self->parts.tree);
    pthread_cond_destroy(&self->quiet);
    pthread_cond_destroy(&self->woken);
    pthread_mutex_destroy(&self->lock);
    free(self->queue);
    free(self);
    return error_set(error, DS4_ERROR_MEMORY, "cannot start the scheduler's thread");
}

void scheduler_free(scheduler *self) {
    if (!self) return;
    pthread_mutex_lock(&self->lock);
    self->drains = true;
    atomic_store(&self->stops, true);
    pthread_cond_signal(&self->woken);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->quiet);
    pthread_cond_destroy(&self->woken);
    pthread_mutex_destroy(&self->lock);
    free(self->queue);
    free(self);
}
