#include "server/models.h"

#include <string.h>

/* Clients look here for what they may send. */
static json_t *supported_parameters(void) {
    return json_pack("[s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s]", "max_tokens", "temperature", "top_p", "top_k", "min_p",
                     "presence_penalty", "frequency_penalty", "logit_bias", "seed", "stop", "logprobs", "top_logprobs",
                     "n", "tools", "tool_choice", "response_format", "structured_outputs", "reasoning");
}

json_t *models_one(const server_facts *facts, const char *id) {
    json_int_t context = (json_int_t)facts->context_tokens;
    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:o}", "id", id, "object", "model", "type", "model",
                     "created", 0, "created_at", "1970-01-01T00:00:00Z", "owned_by", "ds4", "display_name",
                     facts->model_id, "context_length", context, "max_model_len", context, "supported_parameters",
                     supported_parameters());
}

json_t *models_list(const server_facts *facts) {
    const char *id = facts->model_id;
    return json_pack("{s:s, s:[o], s:b, s:s, s:s}", "object", "list", "data", models_one(facts, id), "has_more", 0,
                     "first_id", id, "last_id", id);
}
