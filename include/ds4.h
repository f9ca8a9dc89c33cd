/*
 * ds4: run DeepSeek V4 models from a GGUF file.
 *
 * The objects, in the order in which a program meets them:
 *
 *   ds4_model      a mapped GGUF file: tokenizer, hyperparameters, weights. Read-only, shared by threads.
 *   ds4_tokenizer  text <-> token ids. Belongs to its model.
 *   ds4_prompt     a rendered conversation: text in which the places of control tokens are known, so that
 *                  what a user typed can never become one.
 *   ds4_parser     the way back: bytes of the model's answer -> reasoning, text and tool calls.
 *   ds4_engine     a backend with its scratch memory; runs batches of spans.
 *   ds4_timeline   the state of one conversation: its tokens and what the model remembers of them.
 *   ds4_checkpoint a timeline's state at one position, to go back to or to fork from.
 *   ds4_sampler    logits -> next token.
 *
 * Conventions. Functions that can fail return a ds4_status and write one line into *error (which may be
 * NULL). On failure output parameters are untouched and nothing is lost. _new/_open have a matching _free
 * that accepts NULL; structs that callers own by value have a _deinit. Nothing here prints or exits.
 */
#ifndef DS4_H
#define DS4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DS4_VERSION "0.1.0"

/* ---- errors and bytes ---------------------------------------------------------------------------- */

typedef enum ds4_status {
    DS4_OK = 0,
    DS4_ERROR_IO,       /* a file could not be opened, read or written */
    DS4_ERROR_FORMAT,   /* a file, request or text is not what it should be */
    DS4_ERROR_ARGUMENT, /* the caller asked for something impossible */
    DS4_ERROR_MEMORY,   /* an allocation failed */
    DS4_ERROR_CONTEXT,  /* the timeline has no room for the tokens */
    DS4_CANCELLED,      /* the progress callback said so; completed chunks are kept */
} ds4_status;

typedef struct ds4_error {
    char message[512]; /* one line of UTF-8 without control characters: what, where, what was expected */
} ds4_error;

/* Bytes that the library allocated for the caller. data is NULL or NUL-terminated behind n_bytes. */
typedef struct ds4_buffer {
    char *data;
    size_t n_bytes;
    size_t capacity_bytes;
} ds4_buffer;

void ds4_buffer_deinit(ds4_buffer *buffer);

/* A growable list of token ids. Zero-initialise it. */
typedef struct ds4_tokens {
    int32_t *id;
    size_t n;
    size_t capacity;
} ds4_tokens;

ds4_status ds4_tokens_append(ds4_tokens *tokens, const int32_t *id, size_t n, ds4_error *error);
void ds4_tokens_deinit(ds4_tokens *tokens);

/* ---- model --------------------------------------------------------------------------------------- */

typedef struct ds4_model ds4_model;
typedef struct ds4_tokenizer ds4_tokenizer;

typedef enum ds4_model_parts {
    DS4_MODEL_TEXT, /* the tokenizer only: works on a file without tensors */
    DS4_MODEL_FULL, /* tokenizer, hyperparameters and every weight checked */
} ds4_model_parts;

/* Maps the file at path. Weights stay in the file and are paged in as they are used. */
ds4_status ds4_model_open(const char *path, ds4_model_parts parts, ds4_model **model, ds4_error *error);
/* The same for a model file in memory. The bytes stay the caller's, are only read, and must outlive the model;
 * data is aligned to 8 bytes (DS4_ERROR_ARGUMENT if not). name stands for the path in messages. */
ds4_status ds4_model_open_memory(const void *data, size_t n_bytes, const char *name, ds4_model_parts parts,
                                 ds4_model **model, ds4_error *error);
void ds4_model_free(ds4_model *model);

const ds4_tokenizer *ds4_model_tokenizer(const ds4_model *model);
/* Number of logits per position; 0 if the model was opened for text only. */
size_t ds4_model_n_vocab(const ds4_model *model);
/* Largest context the model was made for, in tokens; 0 if the model was opened for text only. */
size_t ds4_model_max_context(const ds4_model *model);

/* ---- tokenizer ----------------------------------------------------------------------------------- */

/* Appends the ids of n_bytes of text (any bytes, NUL included). With special, the strings of control
 * tokens in the text become those tokens; without it they are ordinary text. */
ds4_status ds4_tokenizer_encode(const ds4_tokenizer *tokenizer, const char *text, size_t n_bytes, bool special,
                                ds4_tokens *tokens, ds4_error *error);
/* Appends the bytes of n tokens. An id outside the vocabulary is DS4_ERROR_ARGUMENT. */
ds4_status ds4_tokenizer_decode(const ds4_tokenizer *tokenizer, const int32_t *id, size_t n, ds4_buffer *text,
                                ds4_error *error);
/* The bytes of one token (possibly part of a UTF-8 character), owned by the tokenizer; NULL for an id
 * outside the vocabulary. */
const char *ds4_tokenizer_token_bytes(const ds4_tokenizer *tokenizer, int32_t id, size_t *n_bytes);
size_t ds4_tokenizer_n_tokens(const ds4_tokenizer *tokenizer);
/* Id of a control token by its string, e.g. "<｜User｜>"; -1 if the vocabulary has no such control token. */
int32_t ds4_tokenizer_control_id(const ds4_tokenizer *tokenizer, const char *string);
/* Whether id is a control token; false for an id outside the vocabulary. */
bool ds4_tokenizer_is_control(const ds4_tokenizer *tokenizer, int32_t id);
/* Beginning and end of sequence. */
int32_t ds4_tokenizer_bos(const ds4_tokenizer *tokenizer);
int32_t ds4_tokenizer_eos(const ds4_tokenizer *tokenizer);

/* ---- prompts ------------------------------------------------------------------------------------- */

/* A stretch of ds4_prompt.text that is exactly the string of one control token put there by the template. */
typedef struct ds4_control_span {
    size_t offset_bytes;
    size_t n_bytes;
} ds4_control_span;

/* A rendered conversation. Zero-initialise; control spans are in order and do not overlap. */
typedef struct ds4_prompt {
    ds4_buffer text;
    ds4_control_span *control;
    size_t n_control;
    size_t control_capacity;
} ds4_prompt;

/* Maximum effort was trained with contexts of at least this many tokens; with less it should be high. */
#define DS4_MAX_EFFORT_CONTEXT 393216

/* Renders a request (JSON: messages, tools, reasoning_effort "none" | "high" | "max", as in the official
 * encoder) to the model's prompt text. Errors name the message and field. */
ds4_status ds4_prompt_render(const char *request_json, size_t n_bytes, ds4_prompt *prompt, ds4_error *error);
/* Appends the prompt's tokens: control spans become control tokens, everything else is plain text. */
ds4_status ds4_prompt_encode(const ds4_prompt *prompt, const ds4_tokenizer *tokenizer, ds4_tokens *tokens,
                             ds4_error *error);
void ds4_prompt_deinit(ds4_prompt *prompt);

/* ---- parsing answers ----------------------------------------------------------------------------- */

typedef enum ds4_event_kind {
    DS4_EVENT_REASONING,  /* bytes: a piece of the reasoning between <think> and </think> */
    DS4_EVENT_TEXT,       /* bytes: a piece of the visible answer */
    DS4_EVENT_CALL_START, /* bytes: the tool's name */
    DS4_EVENT_ARGUMENTS,  /* bytes: a piece of the call's arguments, one JSON object in all */
    DS4_EVENT_CALL_END,   /* the arguments are complete; no bytes */
    DS4_EVENT_INVALID,    /* bytes: what is wrong with the tool call block. The call that was open, if any,
                             is void; the rest of the output follows as text. */
} ds4_event_kind;

/* Pieces of one reasoning, text or arguments stretch may be cut anywhere (also inside a character);
 * joined they do not depend on how the input was cut. bytes are valid during the callback only. */
typedef struct ds4_event {
    ds4_event_kind kind;
    size_t call; /* 0-based number of the call, for CALL_* and ARGUMENTS */
    const char *bytes;
    size_t n_bytes;
} ds4_event;

typedef void ds4_event_sink(void *context, const ds4_event *event);

typedef struct ds4_parser ds4_parser;

/* thinking: the prompt ended with <think>, so the output starts inside the reasoning. */
ds4_status ds4_parser_new(bool thinking, ds4_event_sink *sink, void *context, ds4_parser **parser, ds4_error *error);
/* Takes the next bytes of the answer (without the end-of-sequence token). */
ds4_status ds4_parser_feed(ds4_parser *parser, const char *bytes, size_t n_bytes, ds4_error *error);
/* The answer has ended: held-back bytes come out; an unfinished tool call is DS4_EVENT_INVALID. */
ds4_status ds4_parser_finish(ds4_parser *parser, ds4_error *error);

/* What the next byte of the answer would belong to. */
typedef enum ds4_parser_place {
    DS4_PLACE_REASONING,
    DS4_PLACE_TEXT,        /* also white space that may turn out to be in front of a block, and all behind the end */
    DS4_PLACE_STRUCTURE,   /* tags of tool calls, from "<｜DSML｜" on; a closing tag from its second byte on */
    DS4_PLACE_ARGUMENT,    /* inside a value */
    DS4_PLACE_AFTER_CALLS, /* the block is closed: a caller that wants no more text stops here */
} ds4_parser_place;
ds4_parser_place ds4_parser_where(const ds4_parser *parser);
void ds4_parser_free(ds4_parser *parser);

/* ---- engine -------------------------------------------------------------------------------------- */

typedef struct ds4_engine ds4_engine;
typedef struct ds4_timeline ds4_timeline;
typedef struct ds4_checkpoint ds4_checkpoint;

/* Zero means the default everywhere. */
typedef struct ds4_engine_options {
    const char *backend; /* "cpu", "metal" (on macOS), "sim": the GPU kernels simulated, for tests; default "cpu" */
    int n_threads;       /* CPU threads; default: one per processor */
    bool exact;          /* CPU: multiply decoded weights with float32 activations instead of int8 ones; slow */
    int chunk_tokens;    /* tokens evaluated in one pass over the weights; default 512, at most 16384 */
    bool any_context;    /* timelines may be longer than the model was made for, up to 2^20 tokens */
    bool float_rows; /* test only: keep rows as float32 instead of FP8/FP4 (compressed rows: and f16 rotary channels) */
    bool no_qat;     /* test only: no FP8/FP4 rounding of rows and indexer queries; implies float_rows */
    bool no_compressed_rows; /* test only: attention sees the window's raw rows and no compressed ones */
} ds4_engine_options;

/* Whether this build has the backend; if not, the message lists those that it has. */
ds4_status ds4_backend_check(const char *name, ds4_error *error);

/* The model must outlive the engine, and the engine its timelines and checkpoints. An engine with its
 * timelines and checkpoints is used by one thread at a time; engines may share a model. */
ds4_status ds4_engine_new(const ds4_model *model, const ds4_engine_options *options, ds4_engine **engine,
                          ds4_error *error);
void ds4_engine_free(ds4_engine *engine);
/* Bytes of all rows of the engine's timelines and checkpoints (pages that they share count once), and of the
 * checkpoints' frontiers and token lists. Not the rings, which every timeline has and which do not grow. */
size_t ds4_engine_held_bytes(const ds4_engine *engine);

/* An empty timeline for at most max_tokens tokens. Memory grows with use. */
ds4_status ds4_timeline_new(ds4_engine *engine, size_t max_tokens, ds4_timeline **timeline, ds4_error *error);
void ds4_timeline_free(ds4_timeline *timeline);
/* The tokens evaluated so far; valid until the timeline changes. */
const int32_t *ds4_timeline_tokens(const ds4_timeline *timeline, size_t *n);
size_t ds4_timeline_max_tokens(const ds4_timeline *timeline);
/* Bytes of rows and frontier held by this timeline; rows shared with forks and checkpoints count for each. */
size_t ds4_timeline_n_bytes(const ds4_timeline *timeline);

/* The state at the present position. Rows are shared (copied when written), the frontier is copied. */
ds4_status ds4_timeline_checkpoint(const ds4_timeline *timeline, ds4_checkpoint **checkpoint, ds4_error *error);
/* Sets the timeline to the checkpoint, which may come from another timeline of the same engine and stays
 * valid. */
ds4_status ds4_timeline_restore(ds4_timeline *timeline, const ds4_checkpoint *checkpoint, ds4_error *error);
/* Takes back the last n tokens without a checkpoint: possible for at least DS4_FREE_REWIND_TOKENS tokens
 * of what was evaluated since the last restore or failed evaluation; DS4_ERROR_ARGUMENT if it is too far. */
ds4_status ds4_timeline_rewind(ds4_timeline *timeline, size_t n_tokens, ds4_error *error);
/* A new timeline with the same state. */
ds4_status ds4_timeline_fork(const ds4_timeline *timeline, ds4_timeline **fork, ds4_error *error);
size_t ds4_checkpoint_n_tokens(const ds4_checkpoint *checkpoint);
void ds4_checkpoint_free(ds4_checkpoint *checkpoint);

#define DS4_FREE_REWIND_TOKENS 16

typedef enum ds4_wanted_logits { DS4_LOGITS_NONE, DS4_LOGITS_LAST, DS4_LOGITS_ALL } ds4_wanted_logits;

/* Tokens to append to one timeline. */
typedef struct ds4_span {
    ds4_timeline *timeline;
    const int32_t *tokens; /* not part of the timeline's own list */
    size_t n_tokens;       /* at least 1 */
    ds4_wanted_logits wanted;
    float *logits; /* [1 or n_tokens][n_vocab], the caller's; unused for DS4_LOGITS_NONE */
} ds4_span;

/* Called between layers; true stops the evaluation. done and total count the tokens of all spans. Called once
 * more when all is done (done = total); stopping is then too late and means nothing. */
typedef bool ds4_progress(void *context, size_t done_tokens, size_t total_tokens);

/* Evaluates the spans, each of another timeline, together. The result for a span depends neither on the
 * other spans nor on how it is cut. When it fails or is cancelled every timeline keeps the chunks that
 * were completed (ds4_timeline_tokens tells) and nothing of an unfinished one. progress may be NULL. */
ds4_status ds4_engine_evaluate(ds4_engine *engine, const ds4_span *spans, size_t n_spans, ds4_progress *progress,
                               void *progress_context, ds4_error *error);

/* ---- sampling ------------------------------------------------------------------------------------ */

typedef struct ds4_sampling {
    float temperature; /* <= 0: the most likely token */
    int top_k;         /* <= 0: no limit */
    float top_p;       /* outside (0, 1]: 1 */
    float min_p;       /* relative to the most likely token; < 0: 0 */
    /* Subtracted from the logits of tokens that the answer has: once, and once for each time. 0: none. */
    float presence_penalty, frequency_penalty;
} ds4_sampling;

#define DS4_SAMPLING_DEFAULT ((ds4_sampling){.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .min_p = 0.05f})

typedef struct ds4_sampler ds4_sampler;

/* A sampler for logits of n_vocab tokens. The same seed and logits give the same draws. */
ds4_status ds4_sampler_new(const ds4_sampling *sampling, size_t n_vocab, uint64_t seed, ds4_sampler **sampler,
                           ds4_error *error);
typedef struct ds4_logit_bias {
    int32_t id;
    float bias;
} ds4_logit_bias;

/* Copied; added to the logits of every draw, several of one token together; n = 0: none any more. An id outside the
 * vocabulary or a bias that is no finite number is DS4_ERROR_ARGUMENT. */
ds4_status ds4_sampler_set_bias(ds4_sampler *sampler, const ds4_logit_bias *bias, size_t n, ds4_error *error);
/* The token is part of the answer now, drawn or not: it counts for the penalties. */
void ds4_sampler_note(ds4_sampler *sampler, int32_t id);
/* Draws a token id from logits[n_vocab]. Logits that are not finite are never drawn; -1 if none is finite. */
int32_t ds4_sampler_draw(ds4_sampler *sampler, const float *logits);
/* As a draw with temperature 0, bias and penalties included. The random state stays as it is. */
int32_t ds4_sampler_most_likely(ds4_sampler *sampler, const float *logits);
void ds4_sampler_free(ds4_sampler *sampler);

typedef struct ds4_logprob {
    int32_t id;
    float logprob; /* natural logarithm */
} ds4_logprob;

/* Logarithms of the probabilities that the model gives, without temperature, bias and penalties: of id, and of the
 * n_top likeliest tokens, best first, the lower id first among equals. Logits that are not finite have -infinity and
 * are not among the likeliest. Returns how many of top are filled: less than n_top if there are not as many. */
size_t ds4_logprobs(const float *logits, size_t n_vocab, int32_t id, float *logprob, ds4_logprob *top, size_t n_top);

#ifdef __cplusplus
}
#endif

#endif
