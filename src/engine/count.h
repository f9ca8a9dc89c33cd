/* What evaluating a published model costs on a GPU, counted without its file and without a GPU. */
#ifndef ENGINE_COUNT_H
#define ENGINE_COUNT_H

#include "backend/gpu/counting.h"
#include "model/layout.h"

typedef struct counter counter;

ds4_status counter_new(const layout_recipe *recipe, int max_tokens, counter **out, ds4_error *error);
/* The same for a model that is open and outlives the counter; of its file only the directory is looked at. */
ds4_status counter_new_on(const ds4_model *model, int max_tokens, counter **out, ds4_error *error);
void counter_free(counter *c);

/* One batch of n_tokens tokens of a conversation that has `position` tokens already; the last one gets logits. The
 * counts are then those of the device. */
ds4_status counter_run(counter *c, size_t position, int n_tokens, ds4_error *error);
const device *counter_device(const counter *c);

/* Bytes of weights that such a batch cannot do without, each counted once: from the list of tensors, not from what the
 * backend does. Its tokens differ and use the experts as evenly as possible. */
uint64_t counter_minimum(const counter *c, size_t position, int n_tokens);
uint64_t counter_tensor_bytes(const counter *c);
size_t counter_max_context(const counter *c);

#endif
