/* What becomes of the bodies of requests whose messages are in pieces: items of responses, blocks of messages. */
#include "base/memory.h"
#include "support/request_cases.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- responses ----------------------------------------------------------------------------------- */

#define RF_TOOL "{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"},\"strict\":false}"
#define RG_TOOL "{\"type\":\"function\",\"name\":\"g\",\"defer_loading\":true}"
#define NAMESPACE_TOOL                                                                                             \
    "{\"type\":\"namespace\",\"name\":\"multi\",\"description\":\"d\",\"tools\":[{\"type\":\"function\",\"name\":" \
    "\"spawn\"}]}"
#define SEARCH_TOOL "{\"type\":\"tool_search\",\"execution\":\"client\",\"description\":\"Find.\"}"

static void each_field_of_responses_does_what_it_says(void **state) {
    (void)state;
    static const field_case cases[] = {
        {"\"model\":\"any\"", "model=any"},
        {"\"max_output_tokens\":1", "max_tokens=1"},
        {"\"max_output_tokens\":0", "! max_output_tokens: 0, expected an integer of at least 1"},
        {"\"temperature\":0.2,\"top_p\":0.3,\"top_k\":4,\"min_p\":0.5,\"seed\":6,\"stop\":\"x\",\"presence_penalty\":1,"
         "\"logit_bias\":{\"3\":1}",
         "temperature=0.2; top_p=0.3; top_k=4; min_p=0.5; presence=1; seed=6; bias 3=1; stop=x"},
        {"\"top_logprobs\":3,\"include\":[\"message.output_text.logprobs\"]", "logprobs=3"},
        {"\"include\":[\"reasoning.encrypted_content\",\"web_search_call.action.sources\"]", "encrypted"},
        {"\"include\":\"all\"", "! include: a string, expected an array"},
        {"\"stream\":true,\"stream_options\":{\"include_obfuscation\":false}", "stream"},
        {"\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\",\"context\":\"all\"}", "summary"},
        {"\"reasoning\":{\"effort\":\"none\",\"summary\":null}", "effort=none"},
        {"\"reasoning\":{\"effort\":\"xhigh\"}", "effort=max"},
        {"\"reasoning\":{\"effort\":\"some\"}",
         "! reasoning.effort: \"some\" is not one of none, minimal, low, medium, high, xhigh, max"},
        {"\"reasoning\":\"high\"", "! reasoning: a string, expected an object"},
        {"\"text\":{\"verbosity\":\"low\"}", ""},
        {"\"text\":{\"format\":{\"type\":\"text\"}}", ""},
        {"\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"x\",\"strict\":true,\"schema\":{\"type\":"
         "\"object\"}}}",
         "format=schema; schema={\"type\": \"object\"}"},
        {"\"text\":{\"format\":{\"type\":\"json_schema\"}}", "! text.format.schema: missing, expected an object"},

        {"\"tools\":[" RF_TOOL "," NAMESPACE_TOOL "]", "function f; function multi__spawn as spawn of multi"},
        {"\"tools\":[{\"type\":\"namespace\",\"name\":\"mcp__x__\",\"tools\":[{\"type\":\"function\",\"name\":\"y\"}]}"
         "]",
         "function mcp__x__y as y of mcp__x__"},
        {"\"tools\":[{\"type\":\"custom\",\"name\":\"apply_patch\",\"format\":{\"type\":\"grammar\",\"syntax\":"
         "\"lark\","
         "\"definition\":\"d\"}}]",
         "custom apply_patch"},
        {"\"tools\":[{\"type\":\"web_search\"},{\"type\":\"local_shell\"},{\"type\":\"image_generation\"}]", ""},
        {"\"tools\":[{\"type\":\"magic\",\"name\":\"m\"}]",
         "! tools[0].type: \"magic\" is not supported (unsupported_value)"},
        {"\"tools\":[{\"name\":\"m\"}]", "! tools[0].type: missing, expected a string"},
        {"\"tools\":[{\"type\":\"function\"}]", "! tools[0].name: missing, expected a string"},
        {"\"tools\":[" SEARCH_TOOL "," RG_TOOL "]", "search tool_search; function g, deferred"},
        {"\"tools\":[" RG_TOOL "]", "function g"}, /* nobody could find it */
        {"\"tools\":[" RF_TOOL "],\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}",
         "function f; choice=named; chosen=f"},
        {"\"tools\":[" NAMESPACE_TOOL "],\"tool_choice\":{\"type\":\"function\",\"name\":\"spawn\",\"namespace\":"
         "\"multi\"}",
         "function multi__spawn as spawn of multi; choice=named; chosen=multi__spawn"},
        {"\"tools\":[" RF_TOOL "],\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":"
         "\"function\",\"name\":\"f\"}]}",
         "function f"},
        {"\"tools\":[" RF_TOOL
         "],\"tool_choice\":{\"type\":\"allowed_tools\",\"tools\":[{\"type\":\"function\",\"name\":"
         "\"x\"}]}",
         "! tool_choice.tools[0]: there is no tool \"x\""},
        {"\"tools\":[" NAMESPACE_TOOL "," RF_TOOL
         ",{\"type\":\"web_search\"}],\"tool_choice\":{\"type\":\"allowed_tools\","
         "\"tools\":[{\"type\":\"web_search\"},{\"type\":\"function\",\"name\":\"spawn\",\"namespace\":\"multi\"}]}",
         "function multi__spawn as spawn of multi; function f, deferred"},
        {"\"tool_choice\":{\"type\":\"web_search\"}",
         "! tool_choice.type: \"web_search\" is not supported (unsupported_parameter)"},
        {"\"tools\":[" RF_TOOL "],\"parallel_tool_calls\":false,\"tool_choice\":\"required\"",
         "function f; choice=required; one call"},

        {"\"store\":false,\"metadata\":{},\"prompt_cache_key\":\"k\",\"client_metadata\":{},\"user\":\"u\","
         "\"service_tier\":\"auto\",\"max_tool_calls\":3,\"truncation\":\"disabled\",\"background\":false,"
         "\"previous_response_id\":null,\"conversation\":null,\"prompt\":null,\"n\":1",
         ""},
        {"\"store\":true", "! store: is not supported: answers are not kept (unsupported_parameter)"},
        {"\"previous_response_id\":\"resp_1\"",
         "! previous_response_id: is not supported: send the whole input (unsupported_parameter)"},
        {"\"conversation\":\"c\"", "! conversation: is not supported: send the whole input (unsupported_parameter)"},
        {"\"background\":true", "! background: is not supported (unsupported_parameter)"},
        {"\"prompt\":{\"id\":\"p\"}",
         "! prompt: is not supported: send instructions and input (unsupported_parameter)"},
        {"\"truncation\":\"auto\"", "! truncation: is not supported: send the whole input (unsupported_parameter)"},
        {"\"n\":2", "! n: is not supported (unsupported_parameter)"},

        {"\"input\":null", "! input: null, expected a string or an array of items"},
        {"\"input\":[7]", "! input[0]: an integer, expected an object"},
        {"\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]",
         "! input[0].type: \"item_reference\" is not supported: answers are not stored, send \"store\": false and the "
         "whole input (unsupported_value)"},
        {"\"input\":[{\"type\":\"computer_call\"}]",
         "! input[0].type: \"computer_call\" is not supported (unsupported_value)"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"data:\"}]}]",
         "! input[0].content[0]: images are not supported by this model (unsupported_value)"},
        {"\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]",
         "! input[0].content[0]: files are not supported by this model (unsupported_value)"},
        {"\"input\":[{\"type\":\"function_call\",\"arguments\":\"{}\"}]",
         "! input[0].name: missing, expected a string"},
        {"\"input\":[{\"type\":\"custom_tool_call\",\"name\":\"p\"}]", "! input[0].input: missing, expected a string"},
    };
    check_fields(&api_responses, RESPONSES_SMALLEST, cases, COUNT(cases));
}

#define INPUT(list) "{\"tools\":[" RF_TOOL "],\"input\":[" list "]}"
#define WITH_F(prompt) "\n\nTOOLS({\"name\": \"f\", \"parameters\": {\"type\": \"object\"}})" prompt
#define SAID(text) \
    "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"" text "\"}]}"
#define FUNCTION_CALL(id, name, arguments)                                                \
    "{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"" id "\",\"name\":\"" name \
    "\",\"arguments\":\"" arguments "\"}"
#define OUTPUT(id, output) "{\"type\":\"function_call_output\",\"call_id\":\"" id "\",\"output\":" output "}"

static void items_of_responses_become_the_official_prompt(void **state) {
    (void)state;
    static const prompt_case cases[] = {
        {"{\"input\":\"\",\"max_output_tokens\":1}", "[U][A]<think>"},
        {"{\"input\":[]}", "[U][A]<think>"},
        {"{\"instructions\":\"s\",\"input\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":"
         "\"hi\"}]}",
         "s\n\nd[U]hi[A]<think>"},
        /* reasoning, text and calls are one turn again */
        {INPUT(SAID(
             "a") ",{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"content\":null,\"encrypted_content\":"
                  "\"ds4:SG0u\"},{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
                  "\"output_text\",\"text\":\"I look.\"}]}," FUNCTION_CALL("1", "f", "{}") "," FUNCTION_CALL(
                      "2", "f",
                      "{}") "," OUTPUT("1", "\"one\"") "," OUTPUT("2", "[{\"type\":\"input_text\",\"text\":\"two\"}]")),
         WITH_F("[U]a[A]<think>Hm.</think>I look." BLOCK(INVOKE("f", "") INVOKE(
             "f", "")) "[E][U]<tool_result>one</tool_result>\n\n<tool_result>two</tool_result>[A]<think>")},
        {INPUT(SAID("a") ",{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"s\"}],"
                         "\"encrypted_content\":\"gAAA\"}," FUNCTION_CALL("1", "f", "{}") "," OUTPUT("1", "\"\"")),
         WITH_F("[U]a[A]<think>s</think>" BLOCK(INVOKE("f", "")) "[E][U]<tool_result></tool_result>[A]<think>")},
        {INPUT(SAID("a") ",{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":"
                         "\"c\"}]},{\"role\":\"assistant\",\"content\":\"b\"}," SAID("c")),
         WITH_F("[U]a[A]<think>c</think>b[E][U]c[A]<think>")},
        {INPUT(SAID("a") ",{\"type\":\"reasoning\",\"encrypted_content\":\"ds4:SA==\"},{\"type\":\"reasoning\","
                         "\"encrypted_content\":\"ds4:SG0=\"},{\"role\":\"assistant\",\"content\":\"b\"}," SAID("c")),
         WITH_F("[U]a[A]<think>H\n\nHm</think>b[E][U]c[A]<think>")},
        {INPUT(
             SAID("a") ",{\"type\":\"reasoning\",\"encrypted_content\":\"ds4:*\"},{\"role\":\"assistant\",\"content\":"
                       "\"b\"}," SAID("c")),
         WITH_F("[U]a[A]<think></think>b[E][U]c[A]<think>")},
        /* reasoning that led to nothing */
        {INPUT(SAID("a") ",{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"ds4:SG0u\"}," SAID(
             "b") ",{\"role\":\"assistant\",\"content\":\"c\"}," SAID("d")),
         WITH_F("[U]a\n\nb[A]<think></think>c[E][U]d[A]<think>")},
        {INPUT(SAID("a") ",{\"type\":\"custom_tool_call\",\"call_id\":\"1\",\"name\":\"p\",\"input\":\"x\\ny\"},{"
                         "\"type\":\"custom_tool_call_output\",\"call_id\":\"1\",\"output\":\"ok\"}"),
         WITH_F("[U]a[A]<think></think>" BLOCK(
             INVOKE("p", PARAMETER("input", "true", "x\ny"))) "[E][U]<tool_result>ok</tool_result>[A]<think>")},
        {"{\"tools\":[" NAMESPACE_TOOL "],\"input\":[" SAID(
             "a") ",{\"type\":\"function_call\",\"call_id\":\"1\",\"namespace\":\"multi\",\"name\":\"spawn\","
                  "\"arguments\":\"{}\"}," OUTPUT("1", "[{\"type\":\"input_image\"}]") "]}",
         "\n\nTOOLS({\"name\": \"multi__spawn\"})[U]a[A]<think></think>" BLOCK(
             INVOKE("multi__spawn", "")) "[E][U]<tool_result>[Unsupported image]</tool_result>[A]<think>"},
        {INPUT(SAID("a") ",{\"type\":\"local_shell_call\",\"call_id\":\"1\",\"action\":{\"command\":[\"ls\"]}},{"
                         "\"type\":\"local_shell_call_output\",\"call_id\":\"1\",\"output\":\"x\"}"),
         WITH_F("[U]a[A]<think></think>" BLOCK(
             INVOKE("local_shell",
                    PARAMETER("command", "false", "[\"ls\"]"))) "[E][U]<tool_result>x</tool_result>[A]<think>")},
        /* tools that are found later do not change what was in front */
        {"{\"tools\":[" SEARCH_TOOL "," RG_TOOL "],\"input\":[" SAID(
             "a") ",{\"type\":\"tool_search_call\",\"call_id\":\"1\",\"execution\":\"client\",\"arguments\":{\"query\":"
                  "\"q\"}},{\"type\":\"tool_search_output\",\"call_id\":\"1\",\"tools\":[" RG_TOOL "," RF_TOOL
                  "," NAMESPACE_TOOL "]},{\"type\":\"tool_search_output\",\"call_id\":\"1\",\"tools\":[" NAMESPACE_TOOL
                  "]}]}",
         "\n\nTOOLS({\"description\": \"Find.\", \"name\": \"tool_search\"})[U]a[A]<think></think>" BLOCK(
             INVOKE("tool_search", PARAMETER("query", "true",
                                             "q"))) "[E][U]<tool_result>g is available now:\n{\"name\": \"g\"}\n\nf is "
                                                    "available now:\n{\"name\": \"f\", \"parameters\": {\"type\": "
                                                    "\"object\"}}\n\nmulti__spawn is available now:\n{\"name\": "
                                                    "\"multi__spawn\"}</tool_result>\n\n<tool_result>multi__spawn is "
                                                    "available.</tool_result>[A]<think>"},
        {"{\"input\":[{\"type\":\"additional_tools\",\"tools\":[" RF_TOOL "," RG_TOOL
         "]},{\"type\":\"additional_tools\",\"tools\":[" RF_TOOL "]}," SAID("a") "]}",
         "\n\nTOOLS({\"name\": \"f\", \"parameters\": {\"type\": \"object\"}}\n{\"name\": \"g\"})[U]a[A]<think>"},
        {"{\"input\":[" SAID("a") ",{\"type\":\"additional_tools\",\"tools\":[]}]}", "[U]a[A]<think>"},
        {"{\"input\":[{\"type\":\"additional_tools\",\"tools\":[" RF_TOOL "]}," SAID("a") "]}",
         WITH_F("[U]a[A]<think>")},
        {"{\"input\":[" SAID("a") ",{\"type\":\"additional_tools\",\"tools\":[" RF_TOOL "]}]}",
         "[U]a\n\nf is available now:\n{\"name\": \"f\", \"parameters\": {\"type\": \"object\"}}[A]<think>"},
        {INPUT(SAID("a") ",{\"type\":\"web_search_call\"},{\"type\":\"compaction\",\"encrypted_content\":\"x\"}"),
         WITH_F("[U]a[A]<think>")},
    };
    check_prompts(&api_responses, cases, COUNT(cases));
}

/* ---- messages ------------------------------------------------------------------------------------ */

#define MF_TOOL "{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"cache_control\":{\"type\":\"ephemeral\"}}"
#define MG_TOOL "{\"name\":\"g\",\"input_schema\":{},\"defer_loading\":true}"

static void each_field_of_messages_does_what_it_says(void **state) {
    (void)state;
    static const field_case cases[] = {
        {"\"model\":\"claude-any\"", "model=claude-any"},
        {"\"max_tokens\":100", "max_tokens=100"},
        {"\"max_tokens\":null", "! max_tokens: null, expected an integer"},
        {"\"temperature\":0.5,\"top_p\":0.5,\"top_k\":5,\"min_p\":0.1,\"seed\":3",
         "temperature=0.5; top_p=0.5; top_k=5; "
         "min_p=0.1; seed=3"},
        {"\"temperature\":1.5", "! temperature: 1.5, expected a number from 0 to 1"},
        {"\"stop_sequences\":[\"a\",\"b\"]", "stop=a; stop=b"},
        {"\"stop_sequences\":[1]", "! stop_sequences.0: an integer, expected a string"},
        {"\"stream\":true", "stream"},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000},\"temperature\":1", "effort=high; budget=5000"},
        {"\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}", "effort=high"},
        {"\"thinking\":{\"type\":\"disabled\"}", ""},
        {"\"thinking\":{\"type\":\"always\"}", "! thinking.type: \"always\" is not one of disabled, enabled, adaptive"},
        {"\"output_config\":{\"effort\":\"max\"}", ""},
        {"\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"max\"}", "effort=max"},
        {"\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}}",
         "format=schema; schema={\"type\": \"object\"}"},
        {"\"output_format\":{\"type\":\"json_schema\",\"schema\":{}}", "format=schema; schema={}"},
        {"\"output_config\":{\"format\":{\"type\":\"json_schema\"}}",
         "! output_config.format.schema: missing, expected an object"},
        {"\"tools\":[" MF_TOOL "," MG_TOOL
         ",{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\":8}]",
         "function f; function g, deferred"},
        {"\"tools\":[{\"input_schema\":{}}]", "! tools.0.name: missing, expected a string"},
        {"\"tools\":[{\"name\":\"f\",\"input_schema\":7}]", "! tools.0.input_schema: an integer, expected an object"},
        {"\"tools\":[" MF_TOOL "],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}",
         "function f; one call"},
        {"\"tools\":[" MF_TOOL "],\"tool_choice\":{\"type\":\"any\"}", "function f; choice=required"},
        {"\"tools\":[" MF_TOOL "],\"tool_choice\":{\"type\":\"none\"}", "function f; choice=none"},
        {"\"tools\":[" MF_TOOL "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}",
         "function f; choice=named; chosen=f"},
        {"\"tools\":[" MG_TOOL "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\"}",
         "function g; choice=named; chosen=g"},
        {"\"tools\":[" MF_TOOL "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"h\"}",
         "! tool_choice.name: there is no tool \"h\""},
        {"\"tools\":[" MG_TOOL "],\"tool_choice\":{\"type\":\"any\"}",
         "! tool_choice: a call is required, but there are no tools"},
        {"\"tool_choice\":\"auto\"", "! tool_choice: a string, expected an object"},
        {"\"metadata\":{\"user_id\":\"u\"},\"context_management\":{\"edits\":[]},\"service_tier\":\"auto\","
         "\"mcp_servers\":[],\"container\":null,\"unknown\":1",
         ""},
        {"\"mcp_servers\":[{}]", "! mcp_servers: is not supported"},
        {"\"container\":\"c\"", "! container: is not supported"},
        {"\"messages\":[]", "! messages: empty, expected at least one message"},
        {"\"messages\":[{\"role\":\"tool\"}]", "! messages.0.role: \"tool\" is not one of user, assistant, system"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]",
         "! messages.0.content.0: images are not supported by this model"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\"}]}]",
         "! messages.0.content.0: documents are not supported by this model"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]}]",
         "! messages.0.content.0.type: missing, expected a string"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\",\"name\":\"f\"}]}]",
         "! messages.0.content.0.type: \"tool_use\" is not supported here"},
        {"\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"input\":{}}]}]",
         "! messages.0.content.0.name: missing, expected a string"},
        {"\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\"}]}]",
         "! messages.0.content.0.thinking: missing, expected a string"},
        {"\"system\":7", "! system: an integer, expected a string or an array of parts"},
    };
    check_fields(&api_messages, MESSAGES_SMALLEST, cases, COUNT(cases));
}

#define BODY(rest) "{\"max_tokens\":9,\"thinking\":{\"type\":\"adaptive\"}," rest "}"
#define BLOCKS(role, list) "{\"role\":\"" role "\",\"content\":[" list "]}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define TOOL_USE(id, name, input) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":" input "}"
#define TOOL_RESULT(id, rest) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\"" rest "}"

static void blocks_of_messages_become_the_official_prompt(void **state) {
    (void)state;
    static const prompt_case cases[] = {
        {MESSAGES_SMALLEST, "[U]hi[A]</think>"},
        {BODY("\"messages\":[" USER("hi") "]"), "[U]hi[A]<think>"},
        {BODY("\"system\":\"s\",\"messages\":[" USER("hi") "]"), "s[U]hi[A]<think>"},
        /* as Claude Code begins */
        {BODY("\"system\":[" TEXT("x-anthropic-billing-header: cc_version=2;") "," TEXT("You are.") "," TEXT(
             "More.") "],\"messages\":[" BLOCKS("user", TEXT("<reminder>") "," TEXT("hi")) "," SYSTEM("note") "]"),
         "You are.\n\nMore.[U]<reminder>\n\nhi\n\nnote[A]<think>"},
        {BODY("\"tools\":[" MF_TOOL "," MG_TOOL "],\"messages\":[" USER("a") "," BLOCKS(
             "assistant",
             "{\"type\":\"thinking\",\"thinking\":\"Hm.\",\"signature\":\"x\"},{\"type\":\"redacted_thinking\","
             "\"data\":"
             "\"y\"}," TEXT("I look.") "," TOOL_USE("1", "f", "{\"x\":\"y\",\"n\":2}") "," TOOL_USE(
                 "2", "f", "{}")) "," BLOCKS("user",
                                             TOOL_RESULT("2", ",\"content\":\"two\",\"is_error\":true") "," TOOL_RESULT(
                                                 "1", ",\"content\":[" TEXT(
                                                          "one") ",{\"type\":\"image\"},{\"type\":\"tool_reference\","
                                                                 "\"tool_name\":\"g\"},{\"type\":\"tool_reference\","
                                                                 "\"tool_name\":\"h\"}]") "," TEXT("go on")) "]"),
         WITH_F("[U]a[A]<think>Hm.</think>I look." BLOCK(
             INVOKE("f", PARAMETER("x", "true", "y") "\n" PARAMETER("n", "false", "2")) INVOKE(
                 "f", "")) "[E][U]<tool_result>one\n\n[Unsupported image]\n\ng is available now:\n{\"name\": \"g\", "
                           "\"parameters\": {}}\n\nh is not available.</tool_result>\n\n<tool_result>Error: "
                           "two</tool_result>\n\ngo on[A]<think>")},
        {BODY("\"messages\":[" USER("a") "," BLOCKS("assistant", TOOL_USE("1", "f", "{}")) "," BLOCKS(
             "user", TOOL_RESULT("1", "") "," TOOL_RESULT("2", ",\"content\":\"Error: x\",\"is_error\":true")) "]"),
         "[U]a[A]</think>" BLOCK(
             INVOKE("f", "")) "[E][U]<tool_result></tool_result>\n\n<tool_result>Error: x</tool_result>[A]<think>"},
        /* what Anthropic's own tools did */
        {BODY("\"messages\":[" USER("a") "," BLOCKS(
             "assistant", "{\"type\":\"server_tool_use\",\"name\":\"web_search\"},"
                          "{\"type\":\"web_search_tool_result\",\"content\":[]}," TEXT("b")) "," USER("c") "]"),
         "[U]a[A]</think>b[E][U]c[A]<think>"},
        /* an answer that is to be continued */
        {BODY("\"messages\":[" USER("a") "," ASSISTANT("{") "]"), "[U]a[A]</think>{"},
    };
    check_prompts(&api_messages, cases, COUNT(cases));
}

/* ---- calls that come back ------------------------------------------------------------------------ */

/* The model's own spelling, which JSON does not keep. */
static const char spelling[] = "\n\n<%tool_calls> spelled </%tool_calls>";

static void check_replay(const api *of, const char *name, const char *arguments, const char *body_text, bool known) {
    ds4_error error;
    call_memory *memory;
    ds4_prompt block = {0};
    assert_ok(call_memory_new(1 << 20, &memory, &error), &error);
    assert_true(buffer_append_string(&block.text, spelling));
    call_memory_add(memory, &(remembered_call){"id1", name, arguments, strlen(arguments)}, 1, &block);
    json_t *body = json_of(body_text);
    request *asked;
    problem why;
    if (!read_with(of, body, &usual_facts, false, memory, &asked, &why)) fail_msg("%s: %s", body_text, why.message);
    assert_int_equal(strstr(asked->prompt.text.data, spelling) != NULL, known);
    request_free(asked);
    json_decref(body);
    ds4_prompt_deinit(&block);
    call_memory_free(memory);
}

static void a_call_that_comes_back_is_spelled_as_the_model_wrote_it(void **state) {
    (void)state;
    check_replay(&api_chat, "f", "{\"x\": 1, \"y\": [2]}",
                 "{\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"id1\",\"function\":{"
                                             "\"name\":\"f\",\"arguments\":\"{\\\"y\\\":[2],\\\"x\\\":1}\"}}]}]}",
                 true);
    check_replay(&api_chat, "f", "{\"x\": 1}",
                 "{\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"id1\",\"function\":{"
                                             "\"name\":\"f\",\"arguments\":\"{\\\"x\\\":2}\"}}]}]}",
                 false);
    check_replay(&api_chat, "p", "{\"input\": \"a\\nb\"}",
                 "{\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"id1\",\"type\":"
                                             "\"custom\",\"custom\":{\"name\":\"p\",\"input\":\"a\\nb\"}}]}]}",
                 true);
    check_replay(&api_responses, "multi__spawn", "{}",
                 "{\"tools\":[" NAMESPACE_TOOL "],\"input\":[" SAID(
                     "a") ",{\"type\":\"function_call\",\"call_id\":\"id1\",\"namespace\":\"multi\",\"name\":\"spawn\","
                          "\"arguments\":\"{}\"}]}",
                 true);
    check_replay(&api_responses, "tool_search", "{\"query\": \"q\"}",
                 "{\"tools\":[" SEARCH_TOOL "],\"input\":[" SAID(
                     "a") ",{\"type\":\"tool_search_call\",\"call_id\":\"id1\",\"arguments\":{\"query\":\"q\"}}]}",
                 true);
    check_replay(&api_messages, "f", "{\"x\": 1.5}",
                 BODY("\"messages\":[" USER("a") "," BLOCKS("assistant", TOOL_USE("id1", "f", "{\"x\":1.5}")) "]"),
                 true);
    check_replay(&api_messages, "f", "{}",
                 BODY("\"messages\":[" USER("a") "," BLOCKS("assistant", TOOL_USE("id2", "f", "{}")) "]"), false);
}

static void arguments_that_a_client_adds_may_be_defaults_of_the_schema(void **state) {
    (void)state;
#define EDIT_TOOL                                                                                  \
    "\"tools\":[{\"name\":\"edit\",\"input_schema\":{\"properties\":{\"all\":{\"default\":false}," \
    "\"path\":{\"type\":\"string\"}}}}],"
#define EDIT(input) \
    BODY(EDIT_TOOL "\"messages\":[" USER("a") "," BLOCKS("assistant", TOOL_USE("id1", "edit", input)) "]")
    static const char remembered[] = "{\"path\": \"p\"}";
    check_replay(&api_messages, "edit", remembered, EDIT("{\"all\":false,\"path\":\"p\"}"), true);
    check_replay(&api_messages, "edit", remembered, EDIT("{\"all\":true,\"path\":\"p\"}"), false);
    check_replay(&api_messages, "edit", remembered, EDIT("{\"all\":false,\"path\":\"q\"}"), false);
    check_replay(&api_messages, "edit", remembered, EDIT("{\"all\":false}"), false);
    check_replay(&api_messages, "edit", remembered, EDIT("{\"other\":null,\"path\":\"p\"}"), false);
    check_replay(&api_messages, "edit", "{\"all\": true, \"path\": \"p\"}", EDIT("{\"path\":\"p\"}"), false);
}

/* ---- without memory ------------------------------------------------------------------------------ */

static long until_failure = -1; /* allocations; < 0: none fails */

static void *failing_malloc(size_t n_bytes) {
    return until_failure >= 0 && until_failure-- == 0 ? NULL : malloc(n_bytes);
}

/* Whichever allocation of JSON fails while a body is read, the prompt is either right or none. */
static void check_without_memory(const api *of, const char *text) {

    ds4_buffer whole = {0};
    for (long n = -1;; n++) {
        request *asked = request_new();
        problem why = {0};
        json_t *body = json_of(text);
        until_failure = n;
        bool ok = of->read(body, &usual_facts, asked, &why), failed = until_failure < 0;
        until_failure = -1;
        ok = ok && request_encode(asked, vocabulary(), NULL, usual_facts.context_tokens, &why);
        if (n < 0) {
            assert_true(ok);
            assert_true(buffer_append(&whole, asked->prompt.text.data, asked->prompt.text.n_bytes));
        } else if (ok) {
            assert_string_equal(asked->prompt.text.data, whole.data);
        } else {
            assert_int_equal(why.kind, PROBLEM_DRAINING);
        }
        request_free(asked);
        json_decref(body);
        if (n >= 0 && !failed) break;
    }
    ds4_buffer_deinit(&whole);
}

static void a_request_without_memory_is_refused(void **state) {
    (void)state;
    json_set_alloc_funcs(failing_malloc, free);
    check_without_memory(&api_chat,
                         "{\"response_format\":{\"type\":\"json_object\"},\"tools\":[{\"type\":\"function\","
                         "\"function\":{\"name\":\"f\"}},{\"type\":\"custom\",\"custom\":{\"name\":\"p\"}}],"
                         "\"messages\":[" SYSTEM("s") "," USER(
                             "a") ",{\"role\":\"assistant\",\"content\":\"b\",\"reasoning_content\":\"r\","
                                  "\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":{}}},"
                                  "{\"type\":\"custom\",\"custom\":{\"name\":\"p\",\"input\":\"i\"}}]},{\"role\":"
                                  "\"tool\",\"tool_call_id\":\"1\",\"content\":\"x\"}]}");
    check_without_memory(&api_chat,
                         "{\"response_format\":{\"type\":\"json_object\"},\"tools\":[{\"type\":\"function\","
                         "\"function\":{\"name\":\"f\"}}],\"stop\":[\"a\"],\"store\":false,\"suffix\":\"\","
                         "\"messages\":[" SYSTEM("s") "," USER("a") "," ASSISTANT(
                             "b") ",{\"role\":"
                                  "\"assistant\",\"reasoning_content\":\"r\",\"content\":\"c\"}," USER("d") "]}");
    check_without_memory(&api_responses,
                         "{\"tools\":[" SEARCH_TOOL "," RG_TOOL "," NAMESPACE_TOOL "],\"input\":[" SAID(
                             "a") ",{\"type\":\"tool_search_call\",\"call_id\":\"1\",\"arguments\":{}},{\"type\":"
                                  "\"tool_search_output\",\"call_id\":\"1\",\"tools\":[" RF_TOOL "]}]}");
    check_without_memory(
        &api_messages,
        BODY("\"tools\":[" MF_TOOL "],\"messages\":[" USER("a") "," BLOCKS(
            "assistant",
            TEXT("b") "," TOOL_USE(
                "1", "f", "{\"x\":1}")) "," BLOCKS("user",
                                                   TOOL_RESULT("1", ",\"content\":\"x\",\"is_error\":true")) "]"));
    json_set_alloc_funcs(malloc, free);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_of_responses_does_what_it_says),
        cmocka_unit_test(items_of_responses_become_the_official_prompt),
        cmocka_unit_test(each_field_of_messages_does_what_it_says),
        cmocka_unit_test(blocks_of_messages_become_the_official_prompt),
        cmocka_unit_test(a_call_that_comes_back_is_spelled_as_the_model_wrote_it),
        cmocka_unit_test(arguments_that_a_client_adds_may_be_defaults_of_the_schema),
        cmocka_unit_test(a_request_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, open_vocabulary, close_vocabulary);
}
