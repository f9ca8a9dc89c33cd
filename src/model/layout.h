/* The published model files, described without having them: names, types and shapes of all tensors. */
#ifndef MODEL_LAYOUT_H
#define MODEL_LAYOUT_H

#include "model/model.h"

typedef struct layout_recipe {
    const char *name;
    int first_q4,
        end_q4; /* routed experts of these layers are Q4_K; of all others IQ2_XXS (gate, up) and Q2_K (down) */
} layout_recipe;

/* Ends with a NULL name. Files made with an importance matrix have the types of those made without. */
extern const layout_recipe layout_recipes[];

/* NULL if there is none of that name. */
const layout_recipe *layout_recipe_find(const char *name);

/* A file of the model of hyperparameters_flash without metadata. Tensors have addresses that tell them apart, in memory
 * that cannot be written, reads as zeros and takes no room. Free with gguf_close. */
ds4_status layout_open(const layout_recipe *recipe, gguf_file **file, ds4_error *error);
/* The same for the file of the model's multi-token prediction block. */
ds4_status layout_open_mtp(gguf_file **file, ds4_error *error);
/* The same for a model of another shape. */
ds4_status layout_open_shape(const layout_recipe *recipe, const hyperparameters *hparams, gguf_file **file,
                             ds4_error *error);

#endif
