/* Files and time. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "ds4.h"

#include <stdio.h>

/* A whole file mapped read-only. Zero-initialise. */
typedef struct file_map {
    const uint8_t *data; /* NULL if the file is empty */
    size_t n_bytes;
} file_map;

ds4_status file_map_open(const char *path, file_map *map, ds4_error *error);
/* Bytes that are not there: a map of n_bytes that begins with a copy of start[n_start] and goes on with zeros, which
 * take addresses but no memory. It cannot be written. name is for messages. */
ds4_status file_map_zeros(const char *name, const void *start, size_t n_start, size_t n_bytes, file_map *map,
                          ds4_error *error);
void file_map_close(file_map *map);

/* Reads a stream to its end; DS4_ERROR_FORMAT if it has more than max_bytes. name is for messages. */
ds4_status stream_read_all(FILE *stream, const char *name, size_t max_bytes, ds4_buffer *content, ds4_error *error);
ds4_status file_read_all(const char *path, size_t max_bytes, ds4_buffer *content, ds4_error *error);

/* A file that appears under its name only when it is whole: written beside it, synced, renamed.
 * A target that exists and is not a regular file (a pipe, /dev/stdout) is written directly. */
typedef struct file_writer {
    FILE *stream;
    char *path;
    char *temporary_path; /* NULL: written directly */
} file_writer;

ds4_status file_writer_open(const char *path, file_writer *writer, ds4_error *error);
ds4_status file_writer_write(file_writer *writer, const void *bytes, size_t n_bytes, ds4_error *error);
/* Makes the file appear. In every case the writer is closed; when this fails nothing has appeared. */
ds4_status file_writer_commit(file_writer *writer, ds4_error *error);
/* Gives up: nothing appears. Harmless after commit. */
void file_writer_abandon(file_writer *writer);

/* Path of a file in the folder of the running program (where symbolic links lead), whether or not it exists. The caller
 * frees it. NULL if the system does not say, or without memory. */
char *path_beside_program(const char *name);

/* Monotonic clock. */
double time_seconds(void);

#endif
