/*
 * The part of a file that is there already, while it is downloaded.
 *
 * For FILE it is FILE.part, and what is known of the whole file is in FILE.part.json:
 *
 *   {"bytes": 81234567890, "etag": "\"5f2c...\"", "sha256": "4f0c..."}
 *
 * etag and sha256 are strings, empty if the server did not say. The record is written before the first byte that it is
 * about, so whenever a process ends the part can be continued, or it is known that it cannot. A part without a record,
 * from another program for example, is of an unknown file.
 *
 * The part is locked while it is open (flock), so that two processes cannot write one.
 */
#ifndef FETCH_PART_H
#define FETCH_PART_H

#include "fetch/reply.h"

typedef struct part_record {
    bool known;
    uint64_t total_bytes;
    char etag[FETCH_ETAG_BYTES];
    char sha256[SHA256_HEX_BYTES];
} part_record;

/* What a response tells about the whole file. */
part_record part_record_of(const fetch_reply *reply, const fetch_extent *extent);

typedef enum part_match {
    PART_SAME,    /* continuing gives the right file, or a wrong SHA-256 at the end */
    PART_CHANGED, /* another file, or nothing shows that it is the same */
} part_match;

/* Whether bytes of the file that the record old is of may be continued with those of new. Same size; and if one of
 * them has a SHA-256 the end will show (if both have one it must be the same), otherwise the same ETag. */
part_match part_record_compare(const part_record *old, const part_record *new);

typedef struct part_file {
    char *final_path, *path, *record_path;
    int fd; /* -1: not open */
    uint64_t n_bytes;
    part_record record;
} part_file;

/* Opens the part for the file at final_path, an empty one if there is none. DS4_ERROR_IO also if another process has
 * it. On failure there is nothing to close. */
ds4_status part_open(const char *final_path, part_file *part, ds4_error *error);
/* Lets go of it; the files stay, except for an empty part. */
void part_close(part_file *part);

/* What the part is of from now on. */
ds4_status part_record_save(part_file *part, const part_record *record, ds4_error *error);
ds4_status part_append(part_file *part, const void *bytes, size_t n_bytes, ds4_error *error);
/* Throws away what is there, the record too. */
ds4_status part_restart(part_file *part, ds4_error *error);
/* DS4_ERROR_IO if the disk has no room for n_bytes more. */
ds4_status part_check_room(const part_file *part, uint64_t n_bytes, ds4_error *error);
/* Syncs the part and gives it its final name. */
ds4_status part_commit(part_file *part, ds4_error *error);
/* Takes away the part and its record; then only part_close. */
void part_remove(part_file *part);

#endif
