/*
 * Bodies of all four APIs to requests and prompts: any bytes give a request that keeps its promises, or a problem that
 * can be told, and the same bytes give the same prompt. The first byte chooses the API and more. So that most inputs
 * are JSON, bytes from 128 on stand for words that bodies have, those from 4 to 31 for whole fields and messages, 2 and
 * 3 close one bracket and all but the first, 1 makes the next byte literal, and what is open at the end is closed. Run
 * from the root of the repository.
 */
#include "base/memory.h"
#include "server/api.h"
#include "server/turns.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { PARALLEL = 4, MAX_DEPTH = 64, MAX_TEXT_BYTES = 16 << 10 };

static ds4_model *model;
static const ds4_tokenizer *tokenizer;
static ids *names;

static const char *const word[128] = {
    "{\"messages\":[",
    "\"messages\":[",
    "\"input\":[",
    "\"input\":\"a\",",
    "\"prompt\":",
    "\"prompt\":\"a\",",
    "{\"role\":\"user\",\"content\":\"a\"},",
    "{\"role\":\"user\",\"content\":[",
    "{\"role\":\"assistant\",",
    "{\"role\":\"tool\",\"content\":",
    "{\"role\":\"system\",\"content\":\"b\"},",
    "\"role\":\"developer\",",
    "\"content\":",
    "\"content\":[{\"type\":\"text\",\"text\":\"c\"}],",
    "{\"type\":\"text\",\"text\":",
    "\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{",
    "\"name\":\"f\",",
    "\"name\":\"g\",",
    "\"arguments\":\"{\\\"a\\\":1}\",",
    "\"arguments\":{\"a\":1},",
    "\"arguments\":",
    "\"tool_call_id\":\"x\",",
    "\"reasoning_content\":\"r\",",
    "\"tools\":[",
    "{\"type\":\"function\",\"function\":{",
    "{\"type\":\"function\",\"name\":\"f\",",
    "{\"type\":\"custom\",\"name\":\"g\",",
    "{\"type\":\"custom\",\"custom\":{",
    "\"format\":{\"type\":\"grammar\",\"syntax\":\"lark\",\"definition\":\"d\"},",
    "\"description\":\"d\",",
    "\"parameters\":{\"type\":\"object\"},",
    "\"input_schema\":{\"type\":\"object\"},",
    "\"defer_loading\":true,",
    "{\"type\":\"namespace\",\"name\":\"s__\",\"tools\":[",
    "{\"type\":\"tool_search\",\"execution\":\"client\",",
    "\"tool_choice\":",
    "\"tool_choice\":\"required\",",
    "\"tool_choice\":\"none\",",
    "\"tool_choice\":{\"type\":",
    "\"type\":\"allowed_tools\",",
    "\"allowed_tools\":{\"tools\":[",
    "\"type\":\"any\",",
    "\"type\":\"tool\",",
    "\"disable_parallel_tool_use\":true,",
    "\"parallel_tool_calls\":false,",
    "\"namespace\":\"s__\",",
    "{\"type\":\"function_call\",\"call_id\":\"x\",",
    "{\"type\":\"function_call_output\",\"call_id\":\"x\",\"output\":",
    "{\"type\":\"custom_tool_call\",\"call_id\":\"x\",",
    "{\"type\":\"tool_search_call\",",
    "\"input\":",
    "{\"type\":\"tool_search_output\",\"tools\":[",
    "{\"type\":\"additional_tools\",\"tools\":[",
    "{\"type\":\"local_shell_call\",\"action\":{",
    "{\"type\":\"reasoning\",",
    "\"summary\":[",
    "\"encrypted_content\":\"ds4:YQ==\",",
    "{\"type\":\"message\",\"role\":\"user\",\"content\":",
    "{\"type\":\"web_search_call\"},",
    "\"instructions\":\"i\",",
    "{\"type\":\"tool_use\",\"id\":\"x\",\"name\":\"f\",\"input\":{",
    "{\"type\":\"tool_result\",\"tool_use_id\":\"x\",",
    "{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},",
    "{\"type\":\"redacted_thinking\"},",
    "{\"type\":\"tool_reference\",\"tool_name\":\"f\"},",
    "{\"type\":\"image\"},",
    "\"is_error\":true,",
    "\"system\":\"x-anthropic-billing: 1\\n",
    "\"system\":[",
    "\"max_tokens\":9,",
    "\"max_tokens\":",
    "\"model\":\"deepseek-chat\",",
    "\"model\":\"m\",",
    "\"temperature\":0.5,",
    "\"temperature\":",
    "\"top_p\":0,",
    "\"top_k\":-1,",
    "\"min_p\":0.1,",
    "\"presence_penalty\":2,",
    "\"frequency_penalty\":",
    "\"logit_bias\":{\"5\":-100,",
    "\"logit_bias\":{",
    "\"seed\":7,",
    "\"seed\":",
    "\"stop\":[\"s\",\"t\"],",
    "\"stop\":",
    "\"stop_sequences\":[",
    "\"n\":2,",
    "\"n\":",
    "\"logprobs\":true,",
    "\"logprobs\":3,",
    "\"top_logprobs\":20,",
    "\"stream\":true,",
    "\"stream_options\":{\"include_usage\":true},",
    "\"store\":false,",
    "\"store\":true,",
    "\"response_format\":{\"type\":\"json_object\"},",
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{",
    "\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{",
    "\"output_format\":{",
    "\"output_config\":{\"effort\":\"max\",",
    "\"reasoning_effort\":\"high\",",
    "\"reasoning\":{\"effort\":\"none\",",
    "\"summary\":\"auto\",",
    "\"enabled\":true,",
    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":",
    "\"thinking\":false,",
    "\"think\":true,",
    "\"include\":[\"reasoning.encrypted_content\",",
    "\"message.output_text.logprobs\",",
    "\"metadata\":{\"a\":\"b\"},",
    "\"previous_response_id\":\"r\",",
    "\"truncation\":\"auto\",",
    "\"<｜User｜>\",",
    "\"</think>\",",
    "\"\\ud800\",",
    "\"\\u0000\",",
    "null,",
    "true,",
    "false,",
    "-1,",
    "1e999,",
    "123456789012345678901,",
    "\"\",",
    "{},",
    "[],",
};

/* Whole fields, messages and items. */
static const char *const part[] = {
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":"
    "\"object\"}}},{\"type\":\"custom\",\"custom\":{\"name\":\"g\",\"format\":{\"type\":\"grammar\",\"grammar\":{"
    "\"syntax\":\"lark\",\"definition\":\"d\"}}}}],",
    "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}},{\"type\":\"custom\",\"name\":\"g\"},{"
    "\"type\":\"namespace\",\"name\":\"s\",\"tools\":[{\"name\":\"h\",\"defer_loading\":true}]},{\"type\":\"tool_"
    "search\",\"execution\":\"client\",\"description\":\"d\"},{\"type\":\"web_search\"}],",
    "\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}},{\"name\":\"g\",\"input_"
    "schema\":{},\"defer_loading\":true},{\"type\":\"bash_20250124\",\"name\":\"bash\"}],",
    "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],",
    "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"reasoning_"
    "content\":\"r\",\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
    "\\\"a\\\":1}\"}},{\"id\":\"y\",\"type\":\"custom\",\"custom\":{\"name\":\"g\",\"input\":\"i\"}}]},{\"role\":"
    "\"tool\",\"tool_call_id\":\"x\",\"content\":\"c\"},",
    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{}}]},{\"role\":"
    "\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\"},{\"type\":\"text\",\"text\":\"b\"},{"
    "\"type\":\"tool_use\",\"id\":\"x\",\"name\":\"f\",\"input\":{\"a\":1}}]},{\"role\":\"user\",\"content\":[{"
    "\"type\":\"tool_result\",\"tool_use_id\":\"x\",\"is_error\":true,\"content\":[{\"type\":\"text\",\"text\":\"c\"},{"
    "\"type\":\"image\"},{\"type\":\"tool_reference\",\"tool_name\":\"g\"},",
    "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}]},{\"type\":\"reasoning\","
    "\"summary\":[{\"type\":\"summary_text\",\"text\":\"r\"}]},{\"type\":\"function_call\",\"call_id\":\"x\",\"name\":"
    "\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"x\",\"output\":\"o\"},",
    "{\"type\":\"custom_tool_call\",\"call_id\":\"y\",\"name\":\"g\",\"input\":\"i\"},{\"type\":\"custom_tool_call_"
    "output\",\"call_id\":\"y\",\"output\":[{\"type\":\"input_text\",\"text\":\"o\"},{\"type\":\"input_image\"}]},",
    "{\"type\":\"function_call\",\"call_id\":\"z\",\"namespace\":\"s\",\"name\":\"h\",\"arguments\":{\"a\":1}},",
    "{\"type\":\"tool_search_call\",\"call_id\":\"w\",\"arguments\":{\"query\":\"q\"}},{\"type\":\"tool_search_"
    "output\",\"call_id\":\"w\",\"tools\":[{\"type\":\"function\",\"name\":\"k\"},{\"type\":\"namespace\",\"name\":"
    "\"s\",\"tools\":[{\"name\":\"h\"}]}]},",
    "{\"type\":\"additional_tools\",\"tools\":[{\"type\":\"function\",\"name\":\"l\"}]},",
    "{\"type\":\"reasoning\",\"encrypted_content\":\"ds4:YQ==\",\"summary\":[]},",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"b\"}]},",
    "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"x-anthropic-a: "
    "b\\n\\nc\"},{\"type\":\"text\",\"text\":\"\"}]},",
    "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},",
    "\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"required\",\"tools\":[{\"type\":\"function\",\"name\":"
    "\"f\"}],\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"g\"}}]}},",
    "\"tool_choice\":{\"type\":\"function\",\"name\":\"h\",\"namespace\":\"s\"},",
    "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true},",
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"object\",\"required\":["
    "\"a\"]}}},",
    "\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"a\":1}}},",
    "\"output_config\":{\"effort\":\"low\",\"format\":{\"type\":\"json_schema\",\"schema\":{}}},",
    "\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],",
    "\"include\":[\"reasoning.encrypted_content\",\"message.output_text.logprobs\"],\"top_logprobs\":2,",
    "\"reasoning\":{\"effort\":\"max\",\"summary\":\"auto\",\"enabled\":true},",
    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":3},",
    "\"stream\":true,\"stream_options\":{\"include_usage\":true},",
    "\"logprobs\":true,\"top_logprobs\":3,\"n\":2,\"stop\":[\"a\",\"b\"],",
    "\"prompt\":[[5,6,7]],\"logprobs\":2,",
};
_Static_assert(sizeof part / sizeof *part == 28, "bytes 4 to 31");

static void require(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const uint64_t seed = 1;
    require(!ds4_model_open("tests/data/vocab.gguf", DS4_MODEL_TEXT, &model, NULL));
    tokenizer = ds4_model_tokenizer(model);
    require(!ids_new(&seed, &names, NULL));
    return 0;
}

/* ---- the body ------------------------------------------------------------------------------------ */

/* What is open in the JSON so far. */
typedef struct brackets {
    char close[MAX_DEPTH];
    size_t depth;
    bool in_string, escaped;
} brackets;

static void put(ds4_buffer *text, brackets *open, char byte) {
    bool was_escaped = open->escaped;
    open->escaped = false;
    if (open->in_string) {
        open->escaped = byte == '\\' && !was_escaped;
        if (byte == '"' && !was_escaped) open->in_string = false;
    } else if (byte == '"') {
        open->in_string = true;
    } else if ((byte == '{' || byte == '[') && open->depth < MAX_DEPTH) {
        open->close[open->depth++] = byte == '{' ? '}' : ']';
    } else if (byte == '}' || byte == ']') {
        if (open->depth) open->depth--;
        if (text->n_bytes && text->data[text->n_bytes - 1] == ',') text->n_bytes--;
    }
    require(buffer_append(text, &byte, 1));
}

static void put_all(ds4_buffer *text, brackets *open, const char *bytes) {
    for (; bytes && *bytes; bytes++) put(text, open, *bytes);
}

/* Closes brackets until depth are open; what follows is another element. */
static void close_to(ds4_buffer *text, brackets *open, size_t depth) {
    while (open->in_string) put(text, open, '"');
    while (open->depth > depth) put(text, open, open->close[open->depth - 1]);
    put(text, open, ',');
}

static void make_body(const uint8_t *data, size_t n_bytes, ds4_buffer *text) {
    brackets open = {.depth = 0};
    put(text, &open, '{');
    for (size_t i = 0; i < n_bytes && text->n_bytes < MAX_TEXT_BYTES; i++) {
        uint8_t byte = data[i];
        if (byte == 1 && i + 1 < n_bytes)
            put(text, &open, (char)data[++i]);
        else if (byte == 2 && open.depth > 1)
            close_to(text, &open, open.depth - 1);
        else if (byte == 3)
            close_to(text, &open, 1);
        else if (byte >= 4 && byte < 32)
            put_all(text, &open, part[byte - 4]);
        else if (byte >= 128)
            put_all(text, &open, word[byte - 128]);
        else
            put(text, &open, (char)byte);
    }
    while (open.in_string) put(text, &open, '"');
    while (open.depth) put(text, &open, open.close[open.depth - 1]);
}

/* ---- what holds of every request ----------------------------------------------------------------- */

static void check_problem(const api *asked, const problem *why) {
    require(why->message[0] || why->kind == PROBLEM_TOO_LONG);
    require(memchr(why->message, '\0', sizeof why->message) && memchr(why->param, '\0', sizeof why->param));
    require(problem_status(why->kind) == 400);
    ds4_buffer out = {0};
    require(api_write_json(&out, asked->error(why, "req_1")));
    require(out.n_bytes && !memchr(out.data, '\n', out.n_bytes));
    ds4_buffer_deinit(&out);
}

static void check_options(const request *asked, const server_facts *facts) {
    const ds4_sampling *sampling = &asked->sampling;
    require(asked->model && asked->n >= 1 && asked->n <= facts->parallel);
    require(sampling->temperature >= 0 && sampling->temperature <= 2 && sampling->top_p > 0 && sampling->top_p <= 1);
    require(sampling->top_k >= 0 && sampling->min_p >= 0 && sampling->min_p <= 1);
    require(asked->top_logprobs >= 0 && asked->top_logprobs <= REQUEST_MAX_TOP_LOGPROBS);
    for (size_t i = 0; i < asked->n_bias; i++)
        require(asked->bias[i].id >= 0 && (size_t)asked->bias[i].id < facts->n_vocab);
    require(asked->n_stop <= REQUEST_MAX_STOPS);
    for (size_t i = 0; i < asked->n_stop; i++) {
        size_t length = strlen(asked->stop[i]);
        require(length >= 1 && length <= REQUEST_MAX_STOP_BYTES);
    }
    require(asked->choice != CHOICE_NAMED || asked->chosen_tool < asked->n_tools);
    for (size_t i = 0; i < asked->n_tools; i++) {
        const request_tool *tool = &asked->tool[i];
        require(tool->name && tool->api_name && json_is_object(tool->schema));
        require(request_find_tool(asked, tool->name, strlen(tool->name)) == i);
    }
    require(asked->format != FORMAT_JSON_SCHEMA || json_is_object(asked->format_schema));
}

static void check_prompt(const request *asked, const server_facts *facts) {
    const ds4_tokens *tokens = &asked->tokens;
    require(tokens->n && tokens->id[0] == ds4_tokenizer_bos(tokenizer));
    require(asked->counts_only || tokens->n < facts->context_tokens);
    ds4_buffer text = {0};
    require(!ds4_tokenizer_decode(tokenizer, tokens->id, tokens->n, &text, NULL));
    require(text.n_bytes == asked->prompt.text.n_bytes);
    require(memcmp(text.data, asked->prompt.text.data, text.n_bytes) == 0);
    ds4_buffer_deinit(&text);
    size_t n_control = 0; /* what was typed is none */
    for (size_t i = 0; i < tokens->n; i++) n_control += ds4_tokenizer_is_control(tokenizer, tokens->id[i]);
    require(n_control == asked->prompt.n_control);
}

/* Reasoning, text, and a call of every tool and of one that is not there. */
static void play_choice(stream *out, size_t choice) {
    static const char arguments[] = "{\"input\": \"x\"}";
    const request *asked = out->log.request;
    const reply_logprob logprob = {.id = 5, .logprob = -1, .top = {{6, -2}}, .n_top = asked->top_logprobs > 0};
    const reply_event reasoning = {.kind = REPLY_REASONING, .choice = choice, .bytes = "r", .n_bytes = 1};
    reply_event text = {.kind = REPLY_TEXT, .choice = choice, .bytes = "t", .n_bytes = 1};
    if (asked->logprobs) text.logprob = &logprob, text.n_logprobs = 1;
    if (!asked->raw) require(stream_take(out, &reasoning));
    require(stream_take(out, &text));
    for (size_t i = 0; i <= asked->n_tools && !asked->raw; i++) {
        const char *name = i < asked->n_tools ? asked->tool[i].name : "other";
        reply_event call = {.kind = REPLY_CALL_START, .choice = choice, .call = i, .tool = i, .id = "call_1"};
        call.bytes = name;
        call.n_bytes = strlen(name);
        require(stream_take(out, &call));
        call.kind = REPLY_ARGUMENTS;
        call.bytes = arguments;
        call.n_bytes = sizeof arguments - 1;
        require(stream_take(out, &call));
        require(stream_take(out, &(reply_event){.kind = REPLY_CALL_END, .choice = choice, .call = i}));
    }
    require(stream_take(out, &(reply_event){.kind = REPLY_CHOICE_END, .choice = choice, .finish = FINISH_CALLS}));
}

/* An answer, as a stream or as a body, and what it repeats of the request. */
static void check_answer(const request *asked) {
    const reply_event started = {.kind = REPLY_STARTED}, end = {.kind = REPLY_END};
    stream out;
    require(stream_init(&out, asked, tokenizer, names, 0) && (!asked->stream || asked->api->begin(&out)));
    require(stream_take(&out, &started) && (!asked->stream || asked->api->keep_alive(&out)));
    for (size_t i = 0; i < asked->n; i++) play_choice(&out, i);
    require(stream_take(&out, &end));
    if (!asked->stream) require(api_write_json(&out.out, asked->api->body(&out)));
    require(out.out.n_bytes);
    stream_free(&out);
}

/* NULL, and a problem that was looked at. */
static request *read_request(const api *of, bool counts_only, const ds4_buffer *body, const server_facts *facts) {
    json_t *json = NULL;
    problem why = {0};
    if (exact_json_read(body->data, body->n_bytes, "request", &json, NULL) != DS4_OK) return NULL;
    request *asked = request_new();
    require(asked != NULL);
    asked->api = of;
    asked->counts_only = counts_only && of->count;
    bool ok = of->read(json, facts, asked, &why) && request_encode(asked, tokenizer, NULL, facts->context_tokens, &why);
    json_decref(json);
    if (ok) return asked;
    check_problem(of, &why);
    request_free(asked);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static const api *const apis[] = {&api_chat, &api_completions, &api_responses, &api_messages};
    if (!n_bytes) return 0;
    const api *of = apis[data[0] & 3];
    bool counts_only = data[0] & 4;
    const server_facts facts = {.context_tokens = data[0] & 8 ? DS4_MAX_EFFORT_CONTEXT : 200,
                                .parallel = PARALLEL,
                                .n_vocab = ds4_tokenizer_n_tokens(tokenizer),
                                .model_id = "ds4",
                                .sampling = {.temperature = 1, .top_p = 1}};
    ds4_buffer body = {0};
    if (data[0] & 16) /* as they are */
        require(buffer_append(&body, (const char *)data + 1, n_bytes - 1));
    else
        make_body(data + 1, n_bytes - 1, &body);
    require(buffer_append(&body, "", 0));
    request *asked = read_request(of, counts_only, &body, &facts);
    if (asked) {
        check_options(asked, &facts);
        check_prompt(asked, &facts);
        if (asked->counts_only) {
            ds4_buffer out = {0};
            require(api_write_json(&out, of->count(asked)));
            ds4_buffer_deinit(&out);
        } else {
            check_answer(asked);
        }
        request *again = read_request(of, counts_only, &body, &facts);
        require(again && again->tokens.n == asked->tokens.n);
        require(memcmp(again->tokens.id, asked->tokens.id, asked->tokens.n * sizeof *asked->tokens.id) == 0);
        request_free(again);
        request_free(asked);
    }
    ds4_buffer_deinit(&body);
    return 0;
}
