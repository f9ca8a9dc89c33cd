/*
 * Fields that several APIs share: how to draw, when to stop, how to think, which tools. Plain functions for the readers
 * of requests; false with the problem set.
 */
#ifndef SERVER_ANSWER_FIELDS_H
#define SERVER_ANSWER_FIELDS_H

#include "server/fields.h"
#include "server/turns.h"

/* Reads a body with `read`, which fills in the turns of a conversation and ends them (turns_finish). */
bool read_conversation(json_t *body, const server_facts *facts, request *asked, problem *why,
                       bool (*read)(field_reader *fields, turns *to));
/* messages: one at least, each read by read_message, which is told its place. */
bool read_messages(field_reader *fields, bool (*read_message)(json_t *message, const char *place, turns *to),
                   turns *to);

/* model (absent: the server's). */
bool read_model(field_reader *fields, const server_facts *facts, request *asked);
/* temperature, top_p, top_k, min_p, presence_penalty, frequency_penalty, seed, logit_bias. */
bool read_sampling(field_reader *fields, const server_facts *facts, double max_temperature, request *asked);
/* A string, or up to REQUEST_MAX_STOPS strings. */
bool read_stop(field_reader *fields, const char *name, request *asked);
/* At least 1; absent: as many as the context has room for. */
bool read_max_tokens(field_reader *fields, const char *name, request *asked);
bool read_choices(field_reader *fields, const server_facts *facts, request *asked);
/* stream, stream_options.include_usage. */
bool read_stream(field_reader *fields, request *asked);

/* What the model's name says about thinking; otherwise it stays. */
void effort_of_model(const char *model, turns *to);
/* none, minimal, low, medium, high, xhigh, max; absent: no change. */
bool read_effort(field_reader *fields, const char *name, turns *to);
/* thinking: a boolean, or {type: enabled | disabled | adaptive, budget_tokens}. */
bool read_thinking(field_reader *fields, const char *name, turns *to);

/* {type: text | json_object | json_schema}. The schema is in "json_schema" (chat), or beside the type if nested is
 * NULL. */
bool read_format(json_t *format, const char *place, const char *nested, request *asked, problem *why);

/* ---- tools --------------------------------------------------------------------------------------- */

/* A function: name, description, and the parameters under that name. Order of keys is the client's. */
bool read_function(json_t *function, const char *parameters, const char *api_namespace, tool_kind kind,
                   const char *place, bool deferred, turns *to);
/* A tool with one text: name, description, format. */
bool read_custom(json_t *custom, const char *place, turns *to);
/* tool_choice of OpenAI. nested: the name is in an object called like the type. */
bool read_tool_choice(field_reader *fields, bool nested, turns *to);
/* Makes that tool the one that is called. */
bool choose_tool(turns *to, const char *api_namespace, const char *name, const char *place);
/* After reading: a choice that demands a call needs tools. */
bool check_tool_choice(turns *to);

#endif
