/* What becomes of the bodies of requests: chat and plain completions, and what all APIs have in common. */
#include "base/memory.h"
#include "support/request_cases.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chat completions ---------------------------------------------------------------------------- */

#define F_TOOL "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}"
#define G_TOOL "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"

static void each_field_of_chat_does_what_it_says(void **state) {
    (void)state;
    static const field_case cases[] = {
        {"\"model\":\"any\"", "model=any"},
        {"\"model\":\"deepseek-chat\"", "model=deepseek-chat; effort=none"},
        {"\"model\":\"deepseek-chat\",\"thinking\":{\"type\":\"enabled\"}", "model=deepseek-chat"},
        {"\"model\":7", "! model: an integer, expected a string"},
        {"\"temperature\":0.5", "temperature=0.5"},
        {"\"temperature\":0", "temperature=0"},
        {"\"temperature\":null", ""},
        {"\"temperature\":2.5", "! temperature: 2.5, expected a number from 0 to 2"},
        {"\"temperature\":\"1\"", "! temperature: a string, expected a number"},
        {"\"top_p\":0.9", "top_p=0.9"},
        {"\"top_p\":0", "top_k=1"},
        {"\"top_p\":1.1", "! top_p: 1.1, expected a number from 0 to 1"},
        {"\"top_k\":40", "top_k=40"},
        {"\"top_k\":-1", ""},
        {"\"top_k\":1.5", "! top_k: a number, expected an integer"},
        {"\"min_p\":0", "min_p=0"},
        {"\"min_p\":-1", "! min_p: -1, expected a number from 0 to 1"},
        {"\"presence_penalty\":1.5", "presence=1.5"},
        {"\"frequency_penalty\":-2", "frequency=-2"},
        {"\"frequency_penalty\":3", "! frequency_penalty: 3, expected a number from -2 to 2"},
        {"\"seed\":42", "seed=42"},
        {"\"seed\":9223372036854775807", "seed=9223372036854775807"},
        {"\"seed\":99999999999999999999", "! seed: 99999999999999999999, expected an integer of at least -9.22337e+18"},
        {"\"logit_bias\":{\"15\":-100,\"7\":2.5}", "bias 15=-100; bias 7=2.5"},
        {"\"logit_bias\":{}", ""},
        {"\"logit_bias\":{\"x\":1}", "! logit_bias: \"x\" is no token, expected numbers from 0 to 129279"},
        {"\"logit_bias\":{\"129280\":1}", "! logit_bias: \"129280\" is no token, expected numbers from 0 to 129279"},
        {"\"logit_bias\":{\"1\":101}", "! logit_bias.1: 101, expected a number from -100 to 100"},
        {"\"max_tokens\":100", "max_tokens=100"},
        {"\"max_tokens\":100,\"max_completion_tokens\":50", "max_tokens=50"},
        {"\"max_completion_tokens\":0", "! max_completion_tokens: 0, expected an integer of at least 1"},
        {"\"stop\":\"END\"", "stop=END"},
        {"\"stop\":[\"a\",\"b\"]", "stop=a; stop=b"},
        {"\"stop\":[]", ""},
        {"\"stop\":[\"a\",\"\"]", "! stop[1]: 0 bytes, expected 1 to 256 without NUL"},
        {"\"stop\":\"a\\u0000b\"", "! stop: 3 bytes, expected 1 to 256 without NUL"},
        {"\"stop\":[1]", "! stop[0]: an integer, expected a string"},
        {"\"stop\":{}", "! stop: an object, expected a string or an array of strings"},
        {"\"stop\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "! stop: 17 strings, expected at most 16"},
        {"\"n\":4", "n=4"},
        {"\"n\":5", "! n: 5, expected an integer from 1 to 4"},
        {"\"logprobs\":true", "logprobs=0"},
        {"\"logprobs\":true,\"top_logprobs\":5", "logprobs=5"},
        {"\"logprobs\":true,\"top_logprobs\":21", "! top_logprobs: 21, expected an integer from 0 to 20"},
        {"\"top_logprobs\":5", "! top_logprobs: needs logprobs: true"},
        {"\"stream\":true", "stream"},
        {"\"stream\":true,\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false}", "stream; usage"},
        {"\"stream\":1", "! stream: an integer, expected a boolean"},
        {"\"stream_options\":[]", "! stream_options: an array, expected an object"},

        {"\"reasoning_effort\":\"none\"", "effort=none"},
        {"\"reasoning_effort\":\"minimal\"", ""},
        {"\"reasoning_effort\":\"high\"", ""},
        {"\"reasoning_effort\":\"xhigh\"", "effort=max"},
        {"\"reasoning_effort\":\"max\"", "effort=max"},
        {"\"reasoning_effort\":\"huge\"",
         "! reasoning_effort: \"huge\" is not one of none, minimal, low, medium, high, xhigh, max"},
        {"\"reasoning\":{\"enabled\":false}", "effort=none"},
        {"\"reasoning\":{\"effort\":\"max\"}", "effort=max"},
        {"\"thinking\":false", "effort=none"},
        {"\"thinking\":{\"type\":\"disabled\"}", "effort=none"},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}", "budget=2000"},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":0}", "effort=none"},
        {"\"thinking\":{}", "! thinking.type: missing, expected one of disabled, enabled, adaptive"},
        {"\"thinking\":\"on\"", "! thinking: a string, expected a boolean or an object"},
        {"\"think\":false", "effort=none"},

        {"\"response_format\":{\"type\":\"text\"}", ""},
        {"\"response_format\":{\"type\":\"json_object\"}", "format=object"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":"
         "\"object\"}}}",
         "format=schema; schema={\"type\": \"object\"}"},
        {"\"response_format\":{\"type\":\"json_schema\"}",
         "! response_format.json_schema: missing, expected an object"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}",
         "! response_format.json_schema.schema: missing, expected an object"},
        {"\"response_format\":{\"type\":\"xml\"}",
         "! response_format.type: \"xml\" is not one of text, json_object, json_schema"},

        {"\"tools\":[]", ""},
        {"\"tools\":[" F_TOOL "," G_TOOL "]", "function f; function g"},
        {"\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"patch\"}}]", "custom patch"},
        {"\"tools\":[" F_TOOL "],\"tool_choice\":\"none\"", "function f; choice=none"},
        {"\"tools\":[" F_TOOL "],\"tool_choice\":\"required\"", "function f; choice=required"},
        {"\"tool_choice\":\"required\"", "! tool_choice: a call is required, but there are no tools"},
        {"\"tool_choice\":\"none\"", "choice=none"},
        {"\"tool_choice\":\"any\"", "! tool_choice: \"any\" is not one of auto, none, required"},
        {"\"tools\":[" F_TOOL "," G_TOOL "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}",
         "function f; function g; choice=named; chosen=g"},
        {"\"tools\":[" F_TOOL "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"h\"}}",
         "! tool_choice: there is no tool \"h\""},
        {"\"tools\":[" F_TOOL "],\"tool_choice\":{\"type\":\"function\"}",
         "! tool_choice.name: missing, expected a string"},
        {"\"tools\":[" F_TOOL "],\"tool_choice\":{\"type\":\"web_search\"}",
         "! tool_choice.type: \"web_search\" is not supported (unsupported_parameter)"},
        {"\"tools\":[" F_TOOL "," G_TOOL "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
         "\"required\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}}",
         "function f, deferred; function g; choice=required"},
        {"\"tools\":[" F_TOOL "],\"parallel_tool_calls\":false", "function f; one call"},
        {"\"parallel_tool_calls\":true", ""},
        {"\"tools\":[" F_TOOL "," F_TOOL "]", "! tools[1].function.name: two tools have the name \"f\""},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]",
         "! tools[0].function.name: \"a b\" cannot be the name of a tool: expected 1 to 256 characters without blanks, "
         "quotes, <, > and &"},
        {"\"tools\":[{\"type\":\"function\"}]", "! tools[0].function: missing, expected an object"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{}}]", "! tools[0].function.name: missing, expected a string"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":[]}}]",
         "! tools[0].function.parameters: an array, expected an object"},
        {"\"tools\":[{\"type\":\"web_search\"}]",
         "! tools[0].type: \"web_search\" is not supported, only function and custom (unsupported_value)"},
        {"\"tools\":[7]", "! tools[0]: an integer, expected an object"},
        {"\"tools\":{}", "! tools: an object, expected an array"},

        {"\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"store\":false,\"service_tier\":\"auto\",\"verbosity\":\"low\","
         "\"prompt_cache_key\":\"k\",\"safety_identifier\":\"s\",\"modalities\":[\"text\"],\"prediction\":{},"
         "\"functions\":[],\"echo\":false,\"best_of\":1,\"suffix\":\"\",\"unknown\":{\"x\":1}",
         ""},
        {"\"store\":true", "! store: is not supported: answers are not kept (unsupported_parameter)"},
        {"\"audio\":{}", "! audio: is not supported (unsupported_parameter)"},
        {"\"modalities\":[\"text\",\"audio\"]",
         "! modalities: is not supported: only [\"text\"] (unsupported_parameter)"},
        {"\"functions\":[{}]", "! functions: is not supported: use tools (unsupported_parameter)"},
        {"\"function_call\":\"auto\"", "! function_call: is not supported: use tools (unsupported_parameter)"},
        {"\"web_search_options\":{}", "! web_search_options: is not supported (unsupported_parameter)"},
        {"\"echo\":true", "! echo: is not supported (unsupported_parameter)"},
        {"\"best_of\":2", "! best_of: is not supported (unsupported_parameter)"},
        {"\"suffix\":\"x\"", "! suffix: is not supported (unsupported_parameter)"},
        {"\"guided_json\":{}", "! guided_json: is not supported: use response_format (unsupported_parameter)"},
        {"\"grammar\":\"x\"", "! grammar: is not supported (unsupported_parameter)"},

        {"\"messages\":null", "! messages: null, expected an array"},
        {"\"messages\":[]", "! messages: empty, expected at least one message"},
        {"\"messages\":\"hi\"", "! messages: a string, expected an array"},
        {"\"messages\":[\"hi\"]", "! messages[0]: a string, expected an object"},
        {"\"messages\":[{\"content\":\"hi\"}]", "! messages[0].role: missing, expected a string"},
        {"\"messages\":[{\"role\":\"king\"}]",
         "! messages[0].role: \"king\" is not one of system, developer, user, assistant, tool, function"},
        {"\"messages\":[{\"role\":\"user\",\"content\":7}]",
         "! messages[0].content: an integer, expected a string or an array of parts"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]",
         "! messages[0].content[0].text: missing, expected a string"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"data:\"}}]}]",
         "! messages[0].content[1]: images are not supported by this model (unsupported_value)"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]",
         "! messages[0].content[0]: audio is not supported by this model (unsupported_value)"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"hologram\"}]}]",
         "! messages[0].content[0].type: \"hologram\" is not supported here (unsupported_value)"},
        {"\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":7}}]}]",
         "! messages[0].tool_calls[0].function.arguments: an integer, expected a string or an object"},
        {"\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\"}]}]",
         "! messages[0].tool_calls[0].function: missing, expected an object"},
        {"\"messages\":[{\"role\":\"tool\",\"tool_call_id\":7,\"content\":\"\"}]",
         "! messages[0].tool_call_id: an integer, expected a string"},
    };
    check_fields(&api_chat, CHAT_SMALLEST, cases, COUNT(cases));
}

#define MESSAGES(list) "{\"messages\":[" list "]}"
#define CALLS(content, list) "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[" list "]}"
#define CALL(id, name, arguments) \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":" arguments "}}"
#define RESULT(id, content) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":" content "}"

static void messages_of_chat_become_the_official_prompt(void **state) {
    (void)state;
    static const prompt_case cases[] = {
        {MESSAGES(USER("hi")), "[U]hi[A]<think>"},
        {"{\"reasoning_effort\":\"none\",\"messages\":[" USER("hi") "]}", "[U]hi[A]</think>"},
        {MESSAGES(SYSTEM("a") "," SYSTEM("b") "," USER("hi")), "a\n\nb[U]hi[A]<think>"},
        {MESSAGES("{\"role\":\"developer\",\"content\":\"a\"}," USER("hi")), "a[U]hi[A]<think>"},
        {MESSAGES(SYSTEM("") "," USER("hi")), "[U]hi[A]<think>"},
        /* content in all its forms is the same prompt */
        {MESSAGES("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{}},{\"type\":"
                  "\"text\",\"text\":\"b\"}]}"),
         "[U]a\n\nb[A]<think>"},
        {MESSAGES("{\"role\":\"user\",\"content\":[\"a\",{\"type\":\"input_text\",\"text\":\"b\"}]}"),
         "[U]a\n\nb[A]<think>"},
        {MESSAGES(USER("a") "," USER("b")), "[U]a\n\nb[A]<think>"},
        {MESSAGES("{\"role\":\"user\",\"content\":null}"), "[U][A]<think>"},
        /* the billing line that Claude Code puts in front differs each time */
        {MESSAGES("{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: "
                  "1\"},{\"type\":\"text\",\"text\":\"s\"}]}," USER("hi")),
         "s[U]hi[A]<think>"},
        {MESSAGES(SYSTEM("x-anthropic-billing-header: 1\\n\\ns") "," USER("hi")), "s[U]hi[A]<think>"},
        {MESSAGES(USER("x-anthropic-1")), "[U]x-anthropic-1[A]<think>"},
        /* later instructions are the user's, whatever follows */
        {MESSAGES(SYSTEM("s") "," USER("a") "," ASSISTANT("b") "," SYSTEM("now c") "," USER("d")),
         "s[U]a[A]</think>b[E][U]now c\n\nd[A]<think>"},
        {MESSAGES(USER("a") "," SYSTEM("") "," ASSISTANT("b") "," SYSTEM("x-anthropic-1") "," USER("c")),
         "[U]a[A]</think>b[E][U]c[A]<think>"},
        {MESSAGES(USER("a") "," ASSISTANT("b") "," USER("c")), "[U]a[A]</think>b[E][U]c[A]<think>"},
        {MESSAGES(USER("a") "," ASSISTANT("b") "," ASSISTANT("c") "," USER("d")),
         "[U]a[A]</think>b\n\nc[E][U]d[A]<think>"},
        {MESSAGES(USER("a") ",{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"}," USER("c")),
         "[U]a[A]</think>no[E][U]c[A]<think>"},
        /* an answer that is to be continued */
        {MESSAGES(USER("a") "," ASSISTANT("b")), "[U]a[A]</think>b"},
        {MESSAGES(USER("a") ",{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"content\":\"b\"}"),
         "[U]a[A]<think>r</think>b"},
        {MESSAGES(USER("a") "," ASSISTANT("")), "[U]a[A]<think>"}, /* not begun */
        {MESSAGES(ASSISTANT("")), "[U][A]<think>"},
        {MESSAGES(SYSTEM("s")), "s[U][A]<think>"},
        /* typed control tokens are text */
        {MESSAGES(USER("<｜User｜></think>")), "[U]<｜User｜></think>[A]<think>"},
        /* tools: the client's order of keys, without what the model does not see */
        {"{\"tools\":[{\"type\":\"function\",\"function\":{\"description\":\"d\",\"name\":\"f\",\"strict\":false,"
         "\"parameters\":{\"type\":\"object\",\"x\":12345678901234567890}}}," G_TOOL
         "],\"messages\":[" SYSTEM("s") "," USER("hi") "]}",
         "s\n\nTOOLS({\"description\": \"d\", \"name\": \"f\", \"parameters\": {\"type\": \"object\", \"x\": "
         "12345678901234567890}}\n{\"name\": \"g\"})[U]hi[A]<think>"},
        {"{\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"p\",\"description\":\"d\",\"format\":{\"type\":"
         "\"grammar\",\"grammar\":{\"syntax\":\"lark\",\"definition\":\"start: x\"}}}}],\"messages\":[" USER("hi") "]}",
         "\n\nTOOLS({\"name\": \"p\", \"description\": \"d\\n\\nThe input follows this lark grammar:\\nstart: x\", "
         "\"parameters\": {\"type\": \"object\", \"properties\": {\"input\": {\"type\": \"string\"}}, \"required\": "
         "[\"input\"]}})[U]hi[A]<think>"},
        {"{\"tools\":[" F_TOOL "," G_TOOL "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
         "\"auto\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}},\"messages\":[" USER("hi") "]}",
         "\n\nTOOLS({\"name\": \"g\"})[U]hi[A]<think>"},
        {"{\"response_format\":{\"type\":\"json_object\"},\"messages\":[" USER("hi") "]}",
         "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n{\"type\": "
         "\"object\"}[U]hi[A]<think>"},
        /* calls and results */
        {MESSAGES(USER("a") "," CALLS(
             "null", CALL("1", "f", "\"{\\\"x\\\": \\\"y\\\", \\\"n\\\": [1]}\"") "," CALL(
                         "2", "g", "{}")) "," RESULT("2", "\"two\"") "," RESULT("1",
                                                                                "[{\"type\":\"text\",\"text\":\"one\"},"
                                                                                "{\"type\":\"image_url\"}]")),
         "[U]a[A]</think>" BLOCK(INVOKE("f", PARAMETER("x", "true", "y") "\n" PARAMETER("n", "false", "[1]"))
                                     INVOKE("g", "")) "[E][U]<tool_result>one\n\n[Unsupported image]</tool_result>\n\n"
                                                      "<tool_result>two</tool_result>[A]<think>"},
        {MESSAGES(USER("a") "," CALLS("\"b\"", CALL("1", "f", "\"\"")) "," RESULT("1", "null")),
         "[U]a[A]</think>b" BLOCK(INVOKE("f", "")) "[E][U]<tool_result></tool_result>[A]<think>"},
        {MESSAGES(USER("a") "," CALLS("\"\"", CALL("1", "f", "\"not json\"")) ",{\"role\":\"tool\",\"content\":\"r\"}"),
         "[U]a[A]</think>" BLOCK(INVOKE("f", PARAMETER("arguments", "true", "not json"))) "[E][U]<tool_result>r</"
                                                                                          "tool_result>[A]<think>"},
        {MESSAGES(USER("a") "," CALLS("null", "{\"id\":\"1\",\"type\":\"custom\",\"custom\":{\"name\":\"p\",\"input\":"
                                              "\"*** Begin\"}}") "," RESULT("1", "\"ok\"")),
         "[U]a[A]</think>" BLOCK(
             INVOKE("p", PARAMETER("input", "true", "*** Begin"))) "[E][U]<tool_result>ok</tool_result>[A]<think>"},
        /* text behind calls is a message of its own */
        {MESSAGES(USER("a") "," CALLS("null", CALL("1", "f", "{}")) "," ASSISTANT("b") "," USER("c")),
         "[U]a[A]</think>" BLOCK(INVOKE("f", "")) "[E]b[E][U]c[A]<think>"},
        /* calls without results: the model still gets to speak */
        {MESSAGES(USER("a") "," CALLS("null", CALL("1", "f", "\"{}\""))),
         "[U]a[A]</think>" BLOCK(INVOKE("f", "")) "[E][U][A]<think>"},
        /* with tools reasoning stays */
        {"{\"tools\":[" G_TOOL "],\"messages\":[" USER(
             "a") ",{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"content\":\"b\"}," USER("c") "]}",
         "\n\nTOOLS({\"name\": \"g\"})[U]a[A]<think>r</think>b[E][U]c[A]<think>"},
    };
    check_prompts(&api_chat, cases, COUNT(cases));
}

/* ---- completions --------------------------------------------------------------------------------- */

static void each_field_of_completions_does_what_it_says(void **state) {
    (void)state;
    static const field_case cases[] = {
        {"\"max_tokens\":1", "max_tokens=1"},
        {"\"max_tokens\":null", ""},
        {"\"logprobs\":0", "logprobs=0"},
        {"\"logprobs\":5", "logprobs=5"},
        {"\"logprobs\":6", "! logprobs: 6, expected an integer from 0 to 5"},
        {"\"logprobs\":true", "! logprobs: a boolean, expected an integer"},
        {"\"temperature\":0.5,\"top_p\":0.5,\"seed\":1,\"stop\":\"x\",\"n\":2,\"presence_penalty\":1,\"logit_bias\":"
         "{\"3\":1},\"stream\":true",
         "temperature=0.5; top_p=0.5; presence=1; seed=1; bias 3=1; stop=x; n=2; stream"},
        {"\"echo\":false,\"best_of\":1,\"suffix\":null,\"user\":\"u\"", ""},
        {"\"echo\":true", "! echo: is not supported (unsupported_parameter)"},
        {"\"best_of\":3", "! best_of: is not supported (unsupported_parameter)"},
        {"\"suffix\":\"x\"", "! suffix: is not supported (unsupported_parameter)"},
        {"\"prompt\":null", "! prompt: null, expected a string or an array of tokens"},
        {"\"prompt\":[]", "! prompt: empty, expected a prompt"},
        {"\"prompt\":[\"a\",\"b\"]", "! prompt: several prompts are not supported (unsupported_parameter)"},
        {"\"prompt\":[1,\"b\"]", "! prompt[1]: a string, expected a token's number"},
        {"\"prompt\":[1,129280]", "! prompt[1]: 129280 is no token, expected 0 to 129279"},
        {"\"prompt\":[1,-1]", "! prompt[1]: -1 is no token, expected 0 to 129279"},
    };
    check_fields(&api_completions, "{\"prompt\":\"Once\"}", cases, COUNT(cases));
}

static void a_prompt_is_text_or_tokens(void **state) {
    (void)state;
    static const prompt_case cases[] = {
        {"{\"prompt\":\"<think>Once\"}", "<think>Once"},
        {"{\"prompt\":[\"Once\"]}", "Once"},
        {"{\"prompt\":\"\"}", ""},
    };
    check_prompts(&api_completions, cases, COUNT(cases));

    const ds4_tokenizer *tokenizer = vocabulary();
    int32_t bos = ds4_tokenizer_bos(tokenizer);
    static const char *const bodies[] = {"{\"prompt\":[72,105]}", "{\"prompt\":[[72,105]]}",
                                         "{\"prompt\":[%d,72,105]}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        char text[100];
        snprintf(text, sizeof text, bodies[i], bos);
        json_t *body = json_of(text);
        request *asked;
        problem why;
        assert_true(read_with(&api_completions, body, &usual_facts, false, NULL, &asked, &why));
        const int32_t expected[] = {bos, 72, 105};
        assert_int_equal(asked->tokens.n, 3);
        assert_memory_equal(asked->tokens.id, expected, sizeof expected);
        request_free(asked);
        json_decref(body);
    }
}

/* ---- the context --------------------------------------------------------------------------------- */

static void check_too_long(const api *of, const char *text, const char *expected) {
    server_facts small = usual_facts;
    small.context_tokens = 4;
    json_t *body = json_of(text);
    request *asked;
    problem why;
    assert_false(read_with(of, body, &small, false, NULL, &asked, &why));
    assert_int_equal(problem_status(why.kind), 400);
    ds4_buffer message = {0};
    describe_problem(&message, of, &why);
    assert_string_equal(message.data, expected);
    ds4_buffer_deinit(&message);
    request_free(asked);
    json_decref(body);
}

static void a_prompt_that_fills_the_context_is_refused_in_the_words_that_clients_know(void **state) {
    (void)state;
    check_too_long(&api_chat, CHAT_SMALLEST,
                   "! This model's maximum context length is 4 tokens. However, your messages resulted in 5 tokens. "
                   "(context_length_exceeded)");
    check_too_long(&api_responses, RESPONSES_SMALLEST,
                   "! This model's maximum context length is 4 tokens. However, your input resulted in 5 tokens. "
                   "(context_length_exceeded)");
    check_too_long(&api_messages, MESSAGES_SMALLEST, "! prompt is too long: 5 tokens > 4 maximum");
    check_too_long(&api_completions, "{\"prompt\":[1,2,3]}",
                   "! This model's maximum context length is 4 tokens. However, your prompt resulted in 4 tokens. "
                   "(context_length_exceeded)");
}

static void counting_needs_no_room_and_no_limit(void **state) {
    (void)state;
    static const struct {
        const api *of;
        const char *body, *answer;
    } cases[] = {
        {&api_responses, RESPONSES_SMALLEST, "{\"object\":\"response.input_tokens\",\"input_tokens\":5}"},
        {&api_messages, CHAT_SMALLEST, "{\"input_tokens\":5}"},
    };
    server_facts small = usual_facts;
    small.context_tokens = 4;
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *body = json_of(cases[i].body);
        request *asked;
        problem why;
        ds4_buffer answer = {0};
        assert_true(read_with(cases[i].of, body, &small, true, NULL, &asked, &why));
        assert_true(api_write_json(&answer, cases[i].of->count(asked)));
        assert_string_equal(answer.data, cases[i].answer);
        ds4_buffer_deinit(&answer);
        request_free(asked);
        json_decref(body);
    }
}

static void every_api_wants_an_object(void **state) {
    (void)state;
    static const api *const all[] = {&api_chat, &api_completions, &api_responses, &api_messages};
    for (size_t i = 0; i < COUNT(all); i++) {
        json_t *body = json_of("[]");
        request *asked;
        problem why;
        ds4_buffer message = {0};
        assert_false(read_with(all[i], body, &usual_facts, false, NULL, &asked, &why));
        describe_problem(&message, all[i], &why);
        assert_string_equal(message.data, "! the request: an array, expected an object");
        ds4_buffer_deinit(&message);
        request_free(asked);
        json_decref(body);
    }
}

/* The same problem in the words of both. */
static void errors_have_the_shape_of_the_api(void **state) {
    (void)state;
    static const struct {
        problem_kind kind;
        int status;
        const char *openai, *anthropic;
    } cases[] = {
        {PROBLEM_INVALID, 400, "\"invalid_request_error\",\"param\":\"a[1].b\",\"code\":null", "invalid_request_error"},
        {PROBLEM_KEY, 401, "\"invalid_request_error\",\"param\":\"a[1].b\",\"code\":\"invalid_api_key\"",
         "authentication_error"},
        {PROBLEM_FORBIDDEN, 403, "\"invalid_request_error\",\"param\":\"a[1].b\",\"code\":\"forbidden\"",
         "permission_error"},
        {PROBLEM_NOT_FOUND, 404, "\"invalid_request_error\",\"param\":\"a[1].b\",\"code\":\"not_found\"",
         "not_found_error"},
        {PROBLEM_METHOD, 405, "\"invalid_request_error\",\"param\":\"a[1].b\",\"code\":\"method_not_allowed\"",
         "invalid_request_error"},
        {PROBLEM_TOO_LARGE, 413, "\"invalid_request_error\",\"param\":\"a[1].b\",\"code\":\"request_too_large\"",
         "request_too_large"},
        {PROBLEM_BUSY, 429, "\"rate_limit_error\",\"param\":\"a[1].b\",\"code\":\"rate_limit_exceeded\"",
         "rate_limit_error"},
        {PROBLEM_ENGINE, 500, "\"server_error\",\"param\":\"a[1].b\",\"code\":null", "api_error"},
        {PROBLEM_DRAINING, 503, "\"server_error\",\"param\":\"a[1].b\",\"code\":\"service_unavailable\"",
         "overloaded_error"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        problem why = {0};
        assert_false(problem_set(&why, cases[i].kind, "a[1].b", "%s", "bad"));
        assert_int_equal(problem_status(why.kind), cases[i].status);
        ds4_buffer text = {0};
        char expected[200];
        assert_true(api_write_json(&text, api_responses.error(&why, "req_1")));
        snprintf(expected, sizeof expected, "{\"error\":{\"message\":\"a[1].b: bad\",\"type\":%s}}", cases[i].openai);
        assert_string_equal(text.data, expected);
        buffer_clear(&text);
        assert_true(api_write_json(&text, api_messages.error(&why, "req_1")));
        snprintf(expected, sizeof expected,
                 "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"a.1.b: bad\"},\"request_id\":\"req_1\"}",
                 cases[i].anthropic);
        assert_string_equal(text.data, expected);
        ds4_buffer_deinit(&text);
    }
}

static void nothing_of_a_text_is_lost(void **state) {
    (void)state;
    /* NUL first is where exact_json puts its marks */
    json_t *body = json_of("{\"messages\":[{\"role\":\"user\",\"content\":\"\\u0000i12\\u0000\"},{\"role\":\"user\","
                           "\"content\":[{\"type\":\"text\",\"text\":\"\\u0000s\"}]}]}");
    request *asked;
    problem why;
    ds4_buffer prompt = {0};
    assert_true(read_with(&api_chat, body, &usual_facts, false, NULL, &asked, &why));
    short_prompt(&asked->prompt, &prompt);
    static const char expected[] = "[U]\0i12\0\n\n\0s[A]<think>";
    assert_int_equal(prompt.n_bytes, sizeof expected - 1);
    assert_memory_equal(prompt.data, expected, sizeof expected - 1);
    ds4_buffer_deinit(&prompt);
    request_free(asked);
    json_decref(body);
}

static void maximum_effort_needs_a_large_context(void **state) {
    (void)state;
    json_t *body = json_of("{\"reasoning_effort\":\"max\",\"messages\":[" USER("hi") "]}");
    for (int large = 0; large < 2; large++) {
        server_facts some = usual_facts;
        some.context_tokens = DS4_MAX_EFFORT_CONTEXT - (large ? 0 : 1);
        request *asked;
        problem why;
        assert_true(read_with(&api_chat, body, &some, false, NULL, &asked, &why));
        const char *effort = json_string_value(json_object_get(asked->prompt_json, "reasoning_effort"));
        assert_string_equal(effort, large ? "max" : "high");
        assert_true(asked->starts_in_reasoning);
        request_free(asked);
    }
    json_decref(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_of_chat_does_what_it_says),
        cmocka_unit_test(messages_of_chat_become_the_official_prompt),
        cmocka_unit_test(each_field_of_completions_does_what_it_says),
        cmocka_unit_test(a_prompt_is_text_or_tokens),
        cmocka_unit_test(counting_needs_no_room_and_no_limit),
        cmocka_unit_test(every_api_wants_an_object),
        cmocka_unit_test(errors_have_the_shape_of_the_api),
        cmocka_unit_test(nothing_of_a_text_is_lost),
        cmocka_unit_test(a_prompt_that_fills_the_context_is_refused_in_the_words_that_clients_know),
        cmocka_unit_test(maximum_effort_needs_a_large_context),
    };
    return cmocka_run_group_tests(tests, open_vocabulary, close_vocabulary);
}
