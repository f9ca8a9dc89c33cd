/* Golden records: arrays with names, as the reference implementation computed them. */
#ifndef SUPPORT_D4G_H
#define SUPPORT_D4G_H

#include <stddef.h>
#include <stdint.h>

#define D4G_MAX_DIMS 8

typedef struct d4g_record {
    char *name;
    int is_int;
    size_t n_dims;
    size_t dims[D4G_MAX_DIMS]; /* the last one is contiguous */
    size_t n;                  /* product of dims; 1 if there are none */
    float *f;                  /* [n], NULL if is_int */
    int32_t *i;                /* [n], NULL if not is_int */
} d4g_record;

typedef struct d4g_file d4g_file;

/* NULL if the file cannot be read or is not what d4g.c says. */
d4g_file *d4g_open(const char *path);
/* NULL if there is none of that name. */
const d4g_record *d4g_find(const d4g_file *file, const char *name);
void d4g_close(d4g_file *file);

#endif
