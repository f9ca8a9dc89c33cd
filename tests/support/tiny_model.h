/*
 * Tiny random models of the family, for tests: whole files with real tensor names, formats and metadata but
 * 70 MB or less. Every weight is a pure function of (seed, tensor name), so the files need not be kept; they
 * are made when a test first wants them and recognised by their SHA-256.
 *
 *   tiny-a-f   matrices F16, routers and hyper-connections F32
 *   tiny-a-q2  formats of the published 2 bit file: IQ2_XXS gate and up, Q2_K down, Q8_0, F16
 *   tiny-a-q4  formats of the published 4 bit file: Q4_K experts
 *   tiny-b-q2  other shapes, 2 bit
 *   tiny-c-f   odd shapes and long heads, F16 and F32; without a prediction block
 */
#ifndef SUPPORT_TINY_MODEL_H
#define SUPPORT_TINY_MODEL_H

#include "ds4.h"

/* Path of the file, relative to the repository's root (the current directory). What goes wrong is printed
 * and ends the test program. The string belongs to this module. */
const char *tiny_model_path(const char *name);
/* The same for the model's multi-token prediction block. */
const char *tiny_model_mtp_path(const char *name);

/* Writes a model to a path. mtp: its prediction block instead. */
ds4_status tiny_model_write(const char *name, bool mtp, const char *path, ds4_error *error);

#endif
