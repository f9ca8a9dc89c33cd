/*
 * Coding agents at work, replayed: what Claude Code, Codex, opencode and Pi sent while each did a task of many calls
 * (tests/data/agent_trace.json: their messages as they were, their long texts replaced), six conversations at once,
 * with titles and counts of tokens in between. The answers are those of the recording, but for each conversation's last
 * one and the titles, which the model draws.
 *
 * sequence.c is looked at from inside, for two things that no client sees: which tokens a prompt had, and the logits
 * that each token of an answer was, or would have been, drawn from. A fresh engine then reads the same tokens in one
 * go.
 */
#include "test.h"

#define sequence_new inner_new
#define sequence_free inner_free
#define sequence_prepare_answer inner_prepare_answer
#define sequence_speak inner_speak
#include "server/sequence.c"
#undef sequence_new
#undef sequence_free
#undef sequence_prepare_answer
#undef sequence_speak

#include "base/file.h"
#include "support/http_client.h"
#include "support/served.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#define TRACE "tests/data/agent_trace.json"
enum { N_AGENTS = 6, MAX_TURNS = 32, FREE_TOKENS = 40, CONTEXT_TOKENS = 16384, PATIENCE_SECONDS = 600 };

/* ---- the recording ------------------------------------------------------------------------------- */

static json_t *trace;

static json_t *agent_data(size_t number) {
    return json_array_get(json_object_get(trace, "conversations"), number);
}

static json_t *base_data(const json_t *data) {
    const char *name = json_string_value(json_object_get(data, "base"));
    return name ? json_object_get(json_object_get(trace, "bases"), name) : NULL;
}

static json_t *request_data(size_t number, size_t turn) {
    return json_array_get(json_object_get(agent_data(number), "requests"), turn);
}

/* Of requests: the conversation and its turn. */
#define MODEL_NAME "agent-%zu-%zu"
#define TITLE_NAME "title"

/* What the model says to a request of that model's name; NULL: the model draws. */
static const char *recorded_answer(const char *model) {
    size_t number, turn;
    if (sscanf(model, MODEL_NAME, &number, &turn) != 2) return NULL;
    return json_string_value(json_object_get(request_data(number, turn), "answer"));
}

/* ---- sequences, looked at ------------------------------------------------------------------------ */

void sequence_free(sequence *self);
ds4_status sequence_new(const sequence_parts *parts, reply *to, size_t choice, uint64_t seed, sequence **out,
                        ds4_error *error);
ds4_status sequence_prepare_answer(sequence *self, const sequence_parts *parts, ds4_error *error);
ds4_status sequence_speak(sequence *self, const sequence_parts *parts, double now, bool *ended, ds4_error *error);

/* One token of an answer. */
typedef struct draw {
    XXH64_hash_t logits;
    int32_t id; /* -1: not known */
    bool greedy;
} draw;

typedef struct record {
    const sequence *of; /* NULL: it is over */
    char model[32];
    ds4_sampling sampling;
    uint64_t seed;
    ds4_tokens tokens; /* prompt and answer */
    size_t n_prompt;
    draw *draw; /* [n] */
    size_t n, capacity;
} record;

/* The scheduler's thread writes them (no assertions there); they are read when it has ended. */
static record *records;
static size_t n_records, records_capacity;

static record *record_of(const sequence *s) {
    for (size_t i = n_records; i-- > 0;)
        if (records[i].of == s) return &records[i];
    return NULL;
}

ds4_status sequence_new(const sequence_parts *parts, reply *to, size_t choice, uint64_t seed, sequence **out,
                        ds4_error *error) {
    const request *asked = reply_request(to);
    ds4_status status = inner_new(parts, to, choice, seed, out, error);
    if (status != DS4_OK) return status;
    if (!array_reserve((void **)&records, &records_capacity, n_records + 1, sizeof *records)) abort();
    record *r = &records[n_records++];
    *r = (record){.of = *out, .sampling = asked->sampling, .seed = seed};
    snprintf(r->model, sizeof r->model, "%s", asked->model);
    return status;
}

ds4_status sequence_prepare_answer(sequence *self, const sequence_parts *parts, ds4_error *error) {
    ds4_status status = inner_prepare_answer(self, parts, error);
    const char *text = recorded_answer(self->asked->model);
    self->scripted.n = 0;
    if (status != DS4_OK || !text) return status;
    script *answer;
    status = script_new(text, strlen(text), TRACE, parts->tokenizer, &answer, error);
    if (status == DS4_OK) {
        status = script_next(answer, self->asked->starts_in_reasoning, &self->scripted, error);
        script_free(answer);
    }
    return status;
}

ds4_status sequence_speak(sequence *self, const sequence_parts *parts, double now, bool *ended, ds4_error *error) {
    record *r = record_of(self);
    sequence_parts mine = *parts;
    if (!recorded_answer(r->model)) mine.script = NULL;
    if (!array_reserve((void **)&r->draw, &r->capacity, r->n + 1, sizeof *r->draw)) abort();
    draw *d = &r->draw[r->n++];
    *d = (draw){XXH3_64bits(self->logits, parts->n_vocab * sizeof *self->logits), -1,
                answer_reader_wants_greedy(self->reader)};
    ds4_status status = inner_speak(self, &mine, now, ended, error);
    if (status == DS4_OK && self->pending.n) d->id = self->pending.id[0];
    return status;
}

void sequence_free(sequence *self) {
    record *r = self ? record_of(self) : NULL;
    if (r) {
        size_t n = 0;
        const int32_t *tokens = self->timeline ? ds4_timeline_tokens(self->timeline, &n) : NULL;
        if (ds4_tokens_append(&r->tokens, tokens, n, NULL) != DS4_OK) abort();
        r->n_prompt = self->n_prompt;
        r->of = NULL;
    }
    inner_free(self);
}

static void forget_records(void) {
    for (size_t i = 0; i < n_records; i++) {
        ds4_tokens_deinit(&records[i].tokens);
        free(records[i].draw);
    }
    free(records);
    records = NULL;
    n_records = records_capacity = 0;
}

/* ---- clients: a thread each ---------------------------------------------------------------------- */

typedef struct usage {
    size_t prompt, cached, answer;
} usage;

typedef struct agent {
    const char *url;
    size_t number, n_turns;
    json_t *data; /* its own copy, as reference counts are nobody's */
    json_t *base;
    json_t *answer[MAX_TURNS];
    usage used[MAX_TURNS];
    char problem[512]; /* "": none; cmocka's assertions are for the first thread */
    pthread_t thread;
} agent;

/* "@2/content/1/id": that member of the answer to request 2. */
static json_t *look_up(const agent *self, const char *reference) {
    char *rest;
    size_t turn = strtoul(reference + 1, &rest, 10);
    json_t *at = turn < MAX_TURNS ? self->answer[turn] : NULL;
    while (at && *rest == '/') {
        char name[32];
        size_t n = strcspn(++rest, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, rest);
        rest += n;
        at = json_is_array(at) ? json_array_get(at, strtoul(name, NULL, 10)) : json_object_get(at, name);
    }
    return at;
}

/* A copy with what the server has answered. */
static json_t *fill_in(agent *self, json_t *value) {
    const char *key, *text = json_string_value(value);
    json_t *copy, *member;
    size_t i;
    if (text && text[0] == '@' && text[1] >= '0' && text[1] <= '9') {
        json_t *found = look_up(self, text);
        if (!found) snprintf(self->problem, sizeof self->problem, "%s: not in the answer", text);
        return json_incref(found ? found : value);
    }
    if (json_is_array(value)) {
        copy = json_array();
        json_array_foreach(value, i, member) json_array_append_new(copy, fill_in(self, member));
        return copy;
    }
    if (!json_is_object(value)) return json_incref(value);
    copy = json_object();
    json_object_foreach(value, key, member) json_object_set_new(copy, key, fill_in(self, member));
    return copy;
}

/* The answer, or NULL with the problem set. http_call would not wait long enough where a sanitizer slows everything. */
static json_t *post(const char *url, const char *path, const json_t *body, char problem[512]) {
    static const char never[] = "\1";
    ds4_buffer response = {0};
    char *text = json_dumps(body, 0);
    int socket = http_connect(url);
    bool sent = http_ask(socket, "POST", path, "Content-Type: application/json\r\nConnection: close\r\n", text);
    http_read_until(socket, &response, never, PATIENCE_SECONDS);
    close(socket);
    const char *found = sent && response.data ? strstr(response.data, "\r\n\r\n") : NULL;
    json_t *answer = found && strncmp(response.data, "HTTP/1.1 200", 12) == 0 ? json_loads(found, 0, NULL) : NULL;
    if (!answer) snprintf(problem, 512, "%s: %s", path, response.data ? response.data : "no answer");
    ds4_buffer_deinit(&response);
    free(text);
    return answer;
}

static size_t number(const json_t *value, const char *name) {
    return (size_t)json_integer_value(json_object_get(value, name));
}

static usage usage_of(const json_t *answer) {
    const json_t *u = json_object_get(answer, "usage"), *read = json_object_get(u, "cache_read_input_tokens");
    if (json_object_get(u, "prompt_tokens"))
        return (usage){number(u, "prompt_tokens"), number(json_object_get(u, "prompt_tokens_details"), "cached_tokens"),
                       number(u, "completion_tokens")};
    size_t cached = read ? number(u, "cache_read_input_tokens")
                         : number(json_object_get(u, "input_tokens_details"), "cached_tokens");
    return (usage){number(u, "input_tokens") + (read ? cached : 0), cached, number(u, "output_tokens")};
}

/* What the client does not say: whose request it is, so that it can be known again, and no stream. */
static void sign(json_t *body, const char *path, const char *model, bool is_free) {
    json_object_set_new(body, "model", json_string(model));
    json_object_set_new(body, "stream", json_false());
    json_object_del(body, "stream_options");
    json_object_set_new(body, "seed", json_integer(7));
    if (!is_free) return;
    json_object_del(body, "max_completion_tokens");
    json_object_set_new(body, strstr(path, "responses") ? "max_output_tokens" : "max_tokens",
                        json_integer(FREE_TOKENS));
}

static void ask(agent *self, json_t *messages, size_t turn) {
    json_t *asked = json_array_get(json_object_get(self->data, "requests"), turn), *body = json_deep_copy(self->base);
    const char *path = json_string_value(json_object_get(self->data, "path"));
    const char *list = json_string_value(json_object_get(self->data, "list"));
    char model[32];
    while (json_array_size(messages) > number(asked, "keep"))
        json_array_remove(messages, json_array_size(messages) - 1);
    json_t *added = fill_in(self, json_object_get(asked, "add"));
    json_array_extend(messages, added);
    json_decref(added);
    json_object_set(body, list, messages);
    const char *first = json_string_value(json_object_get(asked, "system_line"));
    if (first) json_object_set_new(json_array_get(json_object_get(body, "system"), 0), "text", json_string(first));
    snprintf(model, sizeof model, MODEL_NAME, self->number, turn);
    sign(body, path, model, !json_object_get(asked, "answer"));
    if (!*self->problem) self->answer[turn] = post(self->url, path, body, self->problem);
    if (self->answer[turn]) self->used[turn] = usage_of(self->answer[turn]);
    json_decref(body);
}

static void *work(void *context) {
    agent *self = context;
    json_t *messages = json_array();
    for (size_t t = 0; t < self->n_turns && !*self->problem; t++) ask(self, messages, t);
    json_decref(messages);
    return NULL;
}

/* Titles and counts, one after the other. */
static void *interrupt(void *context) {
    agent *self = context;
    json_t *side;
    size_t i;
    json_array_foreach(self->data, i, side) {
        const char *path = json_string_value(json_object_get(side, "path"));
        json_t *body = base_data(side) ? json_deep_copy(base_data(side)) : json_object();
        json_object_update(body, json_object_get(side, "body"));
        sign(body, path, TITLE_NAME, !strstr(path, "count"));
        if (!*self->problem) json_decref(post(self->url, path, body, self->problem));
        json_decref(body);
    }
    return NULL;
}

static void start(agent *self, const served *s, json_t *data, void *(*run)(void *)) {
    self->url = s->url;
    self->data = json_deep_copy(data);
    assert_int_equal(pthread_create(&self->thread, NULL, run, self), 0);
}

static void agent_deinit(agent *self) {
    json_decref(self->data);
    json_decref(self->base);
    for (size_t t = 0; t < self->n_turns; t++) json_decref(self->answer[t]);
}

static void replay(agent agents[N_AGENTS]) {
    served_options options = served_options_default();
    options.engine.n_threads = 1; /* for single tokens a second one mostly waits, and other tests run beside */
    options.script_text = "x";    /* the answers come from recorded_answer */
    options.server.schedule.context_tokens = CONTEXT_TOKENS;
    options.server.patience_seconds = PATIENCE_SECONDS; /* whole answers, not chunks */
    options.server.stalled_seconds = PATIENCE_SECONDS;
    served s = served_start(&options);
    agent side = {0};
    for (size_t i = 0; i < N_AGENTS; i++) {
        json_t *data = agent_data(i);
        agents[i].number = i;
        agents[i].n_turns = json_array_size(json_object_get(data, "requests"));
        assert_in_range(agents[i].n_turns, 9, MAX_TURNS);
        agents[i].base = json_deep_copy(base_data(data));
        start(&agents[i], &s, data, work);
    }
    start(&side, &s, json_object_get(trace, "side"), interrupt);
    for (size_t i = 0; i < N_AGENTS; i++) pthread_join(agents[i].thread, NULL);
    pthread_join(side.thread, NULL);
    served_stop(&s);
    for (size_t i = 0; i < N_AGENTS; i++)
        if (*agents[i].problem) fail_msg("agent %zu: %s", i, agents[i].problem);
    if (*side.problem) fail_msg("titles: %s", side.problem);
    agent_deinit(&side);
}

/* ---- the fresh engine ---------------------------------------------------------------------------- */

/* A timeline that has read so far, and nothing else. */
typedef struct fresh {
    ds4_engine *engine;
    ds4_timeline *timeline;
    size_t n_vocab, n;
    float *logits;
} fresh;

static void evaluate(const fresh *f, ds4_timeline *on, const int32_t *tokens, size_t n, ds4_wanted_logits wanted,
                     float *logits) {
    ds4_error error;
    ds4_span span = {.timeline = on, .tokens = tokens, .n_tokens = n, .wanted = wanted, .logits = logits};
    if (n) assert_ok(ds4_engine_evaluate(f->engine, &span, 1, NULL, NULL, &error), &error);
}

static void expect_same_answer(const fresh *f, const record *r, const float *logits) {
    ds4_error error;
    ds4_sampler *sampler;
    assert_ok(ds4_sampler_new(&r->sampling, f->n_vocab, r->seed, &sampler, &error), &error);
    for (size_t i = 0; i < r->n; i++) {
        const draw *d = &r->draw[i];
        const float *row = logits + i * f->n_vocab;
        if (XXH3_64bits(row, f->n_vocab * sizeof *row) != d->logits)
            fail_msg("%s: a fresh engine has other logits for token %zu of the answer", r->model, i);
        if (recorded_answer(r->model) || d->id < 0) continue;
        int32_t id = d->greedy ? ds4_sampler_most_likely(sampler, row) : ds4_sampler_draw(sampler, row);
        if (id != d->id) fail_msg("%s: token %zu of the answer is %d, of a fresh engine %d", r->model, i, d->id, id);
        ds4_sampler_note(sampler, id);
    }
    ds4_sampler_free(sampler);
}

static size_t common(const ds4_tokens *a, const ds4_tokens *b) {
    size_t n = 0;
    while (n < a->n && n < b->n && a->id[n] == b->id[n]) n++;
    return n;
}

static void expect_same(fresh *f, const record *r) {
    size_t start = r->n_prompt - 1, end = start + r->n; /* of the tokens that were drawn from */
    assert_true(r->n > 0 && end <= r->tokens.n);
    assert_true(f->n <= start);
    evaluate(f, f->timeline, r->tokens.id + f->n, start - f->n, DS4_LOGITS_NONE, NULL);
    float *logits = array_new(r->n * f->n_vocab, sizeof *logits);
    assert_non_null(logits);
    evaluate(f, f->timeline, r->tokens.id + start, r->n, DS4_LOGITS_ALL, logits);
    expect_same_answer(f, r, logits);
    free(logits);
    f->n = end;
}

/* The conversation of that request; N_AGENTS: it is a title. */
static size_t agent_of(const char *model) {
    size_t number, turn;
    return sscanf(model, MODEL_NAME, &number, &turn) == 2 ? number : N_AGENTS;
}

/* The record after the i-th of the same conversation; n_records: none. */
static size_t next_of(size_t i) {
    size_t next = i + 1, whose = agent_of(records[i].model);
    if (whose == N_AGENTS) return n_records;
    while (next < n_records && agent_of(records[next].model) != whose) next++;
    return next;
}

/* Every answer, conversation by conversation, each on a timeline of its own. */
static void expect_answers_of_a_fresh_engine(void) {
    ds4_model *model;
    ds4_error error;
    const ds4_engine_options options = {.n_threads = 2, .any_context = true};
    assert_ok(ds4_model_open("models/ds4-nano.gguf", DS4_MODEL_FULL, &model, &error), &error);
    bool *done = array_new(n_records, sizeof *done);
    assert_non_null(done);
    for (size_t first = 0; first < n_records; first++) {
        if (done[first]) continue;
        fresh f = {.n_vocab = ds4_model_n_vocab(model)};
        assert_ok(ds4_engine_new(model, &options, &f.engine, &error), &error);
        assert_ok(ds4_timeline_new(f.engine, CONTEXT_TOKENS, &f.timeline, &error), &error);
        for (size_t i = first, next; i < n_records; i = next) {
            next = next_of(i);
            const ds4_tokens *now = &records[i].tokens;
            if (next < n_records && common(now, &records[next].tokens) < now->n)
                fail_msg("%s does not go on in %s", records[i].model, records[next].model);
            expect_same(&f, &records[i]);
            done[i] = true;
        }
        ds4_timeline_free(f.timeline);
        ds4_engine_free(f.engine);
    }
    free(done);
    ds4_model_free(model);
}

/* ---- the test ------------------------------------------------------------------------------------ */

static usage sum_of(const agent *self, size_t from) {
    usage sum = {0};
    for (size_t t = from; t < self->n_turns; t++) {
        sum.prompt += self->used[t].prompt;
        sum.cached += self->used[t].cached;
        sum.answer += self->used[t].answer;
    }
    return sum;
}

/* All that the server has seen of it, the token that ended the last answer included. */
static void expect_found(const agent *self) {
    for (size_t t = 1; t < self->n_turns; t++) {
        const usage *before = &self->used[t - 1], *now = &self->used[t];
        size_t seen = before->prompt + before->answer + 1;
        if (now->cached < seen)
            fail_msg("agent %zu, request %zu: %zu tokens of %zu found, but %zu were seen", self->number, t, now->cached,
                     now->prompt, seen);
    }
}

/* What was looked at is what the clients were told, and all of it. */
static void expect_all_recorded(const agent agents[N_AGENTS]) {
    size_t n[N_AGENTS + 1] = {0};
    for (size_t i = 0; i < n_records; i++) {
        const record *r = &records[i];
        size_t number = agent_of(r->model), turn = n[number]++;
        assert_null(r->of);
        if (number == N_AGENTS) continue;
        assert_in_range(turn, 0, agents[number].n_turns - 1);
        assert_int_equal(r->n_prompt, agents[number].used[turn].prompt);
        assert_in_range(r->n, agents[number].used[turn].answer, agents[number].used[turn].answer + 1); /* the end */
    }
    for (size_t i = 0; i < N_AGENTS; i++) assert_int_equal(n[i], agents[i].n_turns);
    assert_true(n[N_AGENTS] > 0);
}

/* Whose first request came second found the tools and system text that both have, though a line of it differs. */
static void expect_shared(const agent *a, const agent *b) {
    const usage *one = &a->used[0], *other = &b->used[0], *second = one->cached > other->cached ? one : other;
    if (second->cached < second->prompt * 3 / 4)
        fail_msg("agents %zu and %zu begin alike, but only %zu tokens of %zu were found", a->number, b->number,
                 second->cached, second->prompt);
}

static void six_agents_at_once_find_what_they_said_and_get_a_fresh_engines_answers(void **state) {
    (void)state;
    static agent agents[N_AGENTS];
    usage later = {0}, all = {0};
    size_t n_requests = 0;
    replay(agents);
    for (size_t i = 0; i < N_AGENTS; i++) {
        usage here = sum_of(&agents[i], 1), whole = sum_of(&agents[i], 0);
        const usage *first = &agents[i].used[0], *last = &agents[i].used[agents[i].n_turns - 1];
        print_message("%-12s %zu requests: first prompt %zu, %zu found; last %zu; later %.1f %% found; answers %zu\n",
                      json_string_value(json_object_get(agent_data(i), "client")), agents[i].n_turns, first->prompt,
                      first->cached, last->prompt, 100.0 * (double)here.cached / (double)here.prompt, whole.answer);
        later.prompt += here.prompt, later.cached += here.cached;
        all.prompt += whole.prompt, all.cached += whole.cached;
        n_requests += agents[i].n_turns;
    }
    print_message("%zu requests: found %.2f %% of %zu tokens of later prompts, %.2f %% of all %zu\n", n_requests,
                  100.0 * (double)later.cached / (double)later.prompt, later.prompt,
                  100.0 * (double)all.cached / (double)all.prompt, all.prompt);
    for (size_t i = 0; i < N_AGENTS; i++) expect_found(&agents[i]);
    for (size_t i = 0; i < N_AGENTS; i++)
        for (size_t k = 0; k < i; k++)
            if (base_data(agent_data(i)) == base_data(agent_data(k))) expect_shared(&agents[i], &agents[k]);
    assert_true((double)later.cached >= 0.95 * (double)later.prompt);
    expect_all_recorded(agents);
    expect_answers_of_a_fresh_engine();
    forget_records();
    for (size_t i = 0; i < N_AGENTS; i++) agent_deinit(&agents[i]);
}

static int load(void **state) {
    (void)state;
    json_error_t where;
    trace = json_load_file(TRACE, 0, &where);
    if (!trace) print_error(TRACE ": %d: %s\n", where.line, where.text);
    return trace ? 0 : -1;
}

static int unload(void **state) {
    (void)state;
    json_decref(trace);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_agents_at_once_find_what_they_said_and_get_a_fresh_engines_answers),
    };
    return cmocka_run_group_tests_name("server_trace", tests, load, unload);
}
