/*
 * What a server gives 1, 2, 4 and 8 conversations at once: tokens a second of all together, and how long each waits for
 * its first token and between two.
 *
 *   serve_load URL [TOKENS [TURNS [WORDS]]]     TOKENS of each answer (default 64), TURNS of each conversation (4),
 * WORDS of its first question (200); $DS4_API_KEY is sent if it is set
 *
 * Every conversation begins with other words and sends all that was said before with each question. Answers are made
 * that long by ruling out the end of the answer (token 1 of DeepSeek's vocabularies).
 */
#include "base/file.h"
#include "base/memory.h"

#include <curl/curl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONVERSATIONS = 8, MAX_TURNS = 1000, LIMIT_SECONDS = 3600 };

static _Noreturn void give_up(const char *message) {
    fprintf(stderr, "serve_load: %s\n", message);
    exit(1);
}

static void put(ds4_buffer *text, const char *string) {
    if (!buffer_append_string(text, string)) give_up("no memory");
}

/* ---- figures ------------------------------------------------------------------------------------- */

typedef struct figures {
    double *value;
    size_t n, capacity;
} figures;

static void note(figures *f, double value) {
    if (!array_reserve((void **)&f->value, &f->capacity, f->n + 1, sizeof *f->value)) give_up("no memory");
    f->value[f->n++] = value;
}

static void note_all(figures *f, const figures *others) {
    for (size_t i = 0; i < others->n; i++) note(f, others->value[i]);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest value that at least that share does not exceed, in milliseconds. */
static double percentile(const figures *f, double share) {
    if (!f->n) return NAN;
    qsort(f->value, f->n, sizeof *f->value, compare);
    size_t rank = (size_t)ceil(share * (double)f->n);
    return 1000 * f->value[rank ? rank - 1 : 0];
}

/* ---- one conversation ---------------------------------------------------------------------------- */

typedef struct load {
    const char *url;
    size_t n_tokens, n_turns, n_words;
    struct curl_slist *headers;
} load;

typedef struct conversation {
    const load *load;
    size_t number; /* no two begin alike */
    json_t *messages;
    ds4_buffer line, answer; /* of the stream: what has come of a line; of the answer */
    double asked, last;      /* when; last 0: nothing came yet */
    figures first, later, between;
    size_t n_prompt, n_cached, n_answer, n_answers_before;
    bool complete;
} conversation;

static void take_usage(conversation *c, const json_t *usage) {
    const json_t *details = json_object_get(usage, "prompt_tokens_details");
    c->n_prompt += (size_t)json_integer_value(json_object_get(usage, "prompt_tokens"));
    c->n_answer += (size_t)json_integer_value(json_object_get(usage, "completion_tokens"));
    c->n_cached += (size_t)json_integer_value(json_object_get(details, "cached_tokens"));
}

static void take_piece(conversation *c, const char *piece) {
    double now = time_seconds();
    if (c->last > 0)
        note(&c->between, now - c->last);
    else
        note(c->n_answers_before ? &c->later : &c->first, now - c->asked);
    c->last = now;
    put(&c->answer, piece);
}

static void take_line(conversation *c, const char *line) {
    static const char data[] = "data: ";
    if (strncmp(line, data, sizeof data - 1) != 0) return;
    line += sizeof data - 1;
    if (strcmp(line, "[DONE]") == 0) {
        c->complete = true;
        return;
    }
    json_t *event = json_loads(line, 0, NULL);
    if (!event || json_object_get(event, "error")) give_up(line);
    json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
    const char *piece = json_string_value(json_object_get(json_object_get(choice, "delta"), "content"));
    if (piece && *piece) take_piece(c, piece);
    json_t *usage = json_object_get(event, "usage");
    if (json_is_object(usage)) take_usage(c, usage);
    json_decref(event);
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *context) {
    conversation *c = context;
    n *= size;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            if (!buffer_append(&c->line, &bytes[i], 1)) return 0;
            continue;
        }
        if (c->line.n_bytes) take_line(c, c->line.data);
        buffer_clear(&c->line);
    }
    return n;
}

static void add_message(conversation *c, const char *role, const char *text) {
    json_t *message = json_pack("{s:s,s:s}", "role", role, "content", text);
    if (json_array_append_new(c->messages, message) != 0) give_up("no memory");
}

static void add_question(conversation *c, size_t turn) {
    static const char *const words[] = {"model", "file", "token", "row", "layer", "head", "page", "batch"};
    ds4_buffer text = {0};
    char piece[64];
    for (size_t i = 0; turn == 0 && i < c->load->n_words; i++) {
        snprintf(piece, sizeof piece, "%s %zu ", words[(i + c->number) % 8], c->number * 1000 + i);
        put(&text, piece);
    }
    snprintf(piece, sizeof piece, "What is %zu + %zu?", 10 + c->number % 80, 11 + turn % 80);
    put(&text, piece);
    add_message(c, "user", text.data);
    ds4_buffer_deinit(&text);
}

static void ask(conversation *c) {
    char failure[CURL_ERROR_SIZE] = "", message[CURL_ERROR_SIZE + 64];
    long status = 0;
    json_t *body = json_pack("{s:O,s:b,s:{s:b},s:I,s:i,s:b,s:{s:i}}", "messages", c->messages, "stream", 1,
                             "stream_options", "include_usage", 1, "max_tokens", (json_int_t)c->load->n_tokens,
                             "temperature", 0, "thinking", 0, "logit_bias", "1", -100);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    CURL *curl = curl_easy_init();
    if (!text || !curl) give_up("no memory");
    curl_easy_setopt(curl, CURLOPT_URL, c->load->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, c->load->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, failure);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)LIMIT_SECONDS);
    c->asked = time_seconds();
    c->last = 0;
    c->complete = false;
    buffer_clear(&c->answer);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200 || !c->complete) {
        snprintf(message, sizeof message, "%s: status %ld %s", c->load->url, status, failure);
        give_up(message);
    }
    curl_easy_cleanup(curl);
    free(text);
    json_decref(body);
}

static void *converse(void *context) {
    conversation *c = context;
    for (size_t turn = 0; turn < c->load->n_turns; turn++) {
        add_question(c, turn);
        ask(c);
        c->n_answers_before++;
        put(&c->answer, "");
        add_message(c, "assistant", c->answer.data);
    }
    return NULL;
}

/* ---- several at once ----------------------------------------------------------------------------- */

static void conversation_deinit(conversation *c) {
    json_decref(c->messages);
    ds4_buffer_deinit(&c->line);
    ds4_buffer_deinit(&c->answer);
    free(c->first.value);
    free(c->later.value);
    free(c->between.value);
}

static void measure(const load *what, size_t n, size_t *number) {
    conversation c[MAX_CONVERSATIONS] = {{0}};
    pthread_t thread[MAX_CONVERSATIONS];
    figures first = {0}, later = {0}, between = {0};
    size_t n_prompt = 0, n_cached = 0, n_answer = 0;
    double began = time_seconds();
    for (size_t i = 0; i < n; i++) {
        c[i] = (conversation){.load = what, .number = (*number)++, .messages = json_array()};
        if (!c[i].messages || pthread_create(&thread[i], NULL, converse, &c[i]) != 0) give_up("no thread");
    }
    for (size_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
    double seconds = time_seconds() - began;
    for (size_t i = 0; i < n; i++) {
        note_all(&first, &c[i].first);
        note_all(&later, &c[i].later);
        note_all(&between, &c[i].between);
        n_prompt += c[i].n_prompt;
        n_cached += c[i].n_cached;
        n_answer += c[i].n_answer;
        conversation_deinit(&c[i]);
    }
    printf("| %zu | %.1f | %.0f | %.0f | %.0f | %.0f | %.1f | %.1f | %.1f |\n", n, (double)n_answer / seconds,
           percentile(&first, 0.5), percentile(&first, 0.99), percentile(&later, 0.5), percentile(&later, 0.99),
           percentile(&between, 0.5), percentile(&between, 0.99), 100.0 * (double)n_cached / (double)n_prompt);
    fflush(stdout);
    free(first.value);
    free(later.value);
    free(between.value);
}

static size_t count_of(const char *text, size_t max) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || !*text || value < 1 || value > max) give_up("usage: serve_load URL [TOKENS [TURNS [WORDS]]]");
    return value;
}

int main(int argc, char **argv) {
    const char *key = getenv("DS4_API_KEY");
    ds4_buffer url = {0}, header = {0};
    size_t number = (size_t)time_seconds() % 100000 * 100; /* nothing of an earlier run is of use */
    if (argc < 2 || argc > 5) give_up("usage: serve_load URL [TOKENS [TURNS [WORDS]]]");
    put(&url, argv[1]);
    put(&url, argv[1][strlen(argv[1]) - 1] == '/' ? "v1/chat/completions" : "/v1/chat/completions");
    load what = {.url = url.data,
                 .n_tokens = argc > 2 ? count_of(argv[2], 1 << 20) : 64,
                 .n_turns = argc > 3 ? count_of(argv[3], MAX_TURNS) : 4,
                 .n_words = argc > 4 ? count_of(argv[4], 1 << 20) : 200};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    what.headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (key && *key) {
        put(&header, "Authorization: Bearer ");
        put(&header, key);
        what.headers = curl_slist_append(what.headers, header.data);
    }
    printf("| conversations | tokens/s | first token ms, first question: p50 | p99 | later: p50 | p99 |"
           " between tokens ms: p50 | p99 | %% reused |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t n = 1; n <= MAX_CONVERSATIONS; n *= 2) measure(&what, n, &number);
    curl_slist_free_all(what.headers);
    curl_global_cleanup();
    ds4_buffer_deinit(&url);
    ds4_buffer_deinit(&header);
    return 0;
}
