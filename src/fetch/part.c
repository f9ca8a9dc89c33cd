#include "fetch/part.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static ds4_status io_error(ds4_error *error, const char *path, const char *doing) {
    return error_set(error, DS4_ERROR_IO, "%s: cannot %s: %s", path, doing, strerror(errno));
}

/* ---- the record ---------------------------------------------------------------------------------- */

enum { MAX_RECORD_BYTES = 4096 };

part_record part_record_of(const fetch_reply *reply, const fetch_extent *extent) {
    part_record record = {.known = true, .total_bytes = extent->total};
    memcpy(record.etag, reply->etag, sizeof record.etag);
    memcpy(record.sha256, reply->sha256, sizeof record.sha256);
    return record;
}

part_match part_record_compare(const part_record *old, const part_record *new) {
    /* what is not known has no size: it can only be told by its sum */
    if (old->known && old->total_bytes != new->total_bytes) return PART_CHANGED;
    if (old->sha256[0] && new->sha256[0]) return strcmp(old->sha256, new->sha256) == 0 ? PART_SAME : PART_CHANGED;
    if (old->sha256[0] || new->sha256[0]) return PART_SAME;
    return old->etag[0] && strcmp(old->etag, new->etag) == 0 ? PART_SAME : PART_CHANGED;
}

static bool get_string(const json_t *object, const char *key, char *text, size_t capacity) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) || json_string_length(value) >= capacity) return false;
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool is_sha256_or_empty(const char *text) {
    size_t n = strlen(text);
    return n == 0 || (n == SHA256_HEX_BYTES - 1 && strspn(text, "0123456789abcdef") == n);
}

/* Anything that is not as part_record_save writes it is an unknown file. */
static part_record record_read(const char *path) {
    part_record record = {0};
    ds4_buffer text = {0};
    json_t *object = NULL;
    if (file_read_all(path, MAX_RECORD_BYTES, &text, NULL) == DS4_OK && text.n_bytes)
        object = json_loadb(text.data, text.n_bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *bytes = json_object_get(object, "bytes");
    record.known = json_is_integer(bytes) && json_integer_value(bytes) >= 0 &&
                   get_string(object, "etag", record.etag, sizeof record.etag) &&
                   get_string(object, "sha256", record.sha256, sizeof record.sha256) &&
                   is_sha256_or_empty(record.sha256);
    if (record.known)
        record.total_bytes = (uint64_t)json_integer_value(bytes);
    else
        record = (part_record){0};
    json_decref(object);
    ds4_buffer_deinit(&text);
    return record;
}

ds4_status part_record_save(part_file *part, const part_record *record, ds4_error *error) {
    json_t *object = json_pack("{s:I, s:s, s:s}", "bytes", (json_int_t)record->total_bytes, "etag", record->etag,
                               "sha256", record->sha256);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text) return error_memory(error, part->record_path, MAX_RECORD_BYTES);
    file_writer writer;
    ds4_status status = file_writer_open(part->record_path, &writer, error);
    if (status == DS4_OK) {
        status = file_writer_write(&writer, text, strlen(text), error);
        if (status == DS4_OK) status = file_writer_commit(&writer, error);
        file_writer_abandon(&writer);
    }
    free(text);
    if (status == DS4_OK) part->record = *record;
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------- */

static char *join(const char *a, const char *b) {
    size_t n_a = strlen(a), n_b = strlen(b) + 1;
    char *joined = malloc(n_a + n_b);
    if (!joined) return NULL;
    memcpy(joined, a, n_a);
    memcpy(joined + n_a, b, n_b);
    return joined;
}

/* Some network disks have no locks; there two processes are on their own. */
static bool is_locked_by_another(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

static ds4_status open_locked(part_file *part, ds4_error *error) {
    struct stat opened, named;
    for (int attempt = 0; attempt < 10; attempt++) {
        part->fd = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
        if (part->fd < 0) return io_error(error, part->path, "open");
        if (fstat(part->fd, &opened) != 0) return io_error(error, part->path, "stat");
        if (!S_ISREG(opened.st_mode)) return error_set(error, DS4_ERROR_IO, "%s: not a regular file", part->path);
        if (is_locked_by_another(part->fd))
            return error_set(error, DS4_ERROR_IO, "%s: another process is downloading it", part->path);
        /* Before the lock came, another process may have completed it: then this is the final file. */
        if (stat(part->path, &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev) {
            part->n_bytes = (uint64_t)opened.st_size;
            return DS4_OK;
        }
        close(part->fd);
        part->fd = -1;
    }
    return error_set(error, DS4_ERROR_IO, "%s: another process keeps replacing it", part->path);
}

static void free_paths(part_file *part) {
    free(part->final_path);
    free(part->path);
    free(part->record_path);
    *part = (part_file){.fd = -1};
}

ds4_status part_open(const char *final_path, part_file *part, ds4_error *error) {
    *part = (part_file){.fd = -1};
    part->final_path = strdup(final_path);
    part->path = join(final_path, ".part");
    part->record_path = join(final_path, ".part.json");
    ds4_status status = DS4_OK;
    if (!part->final_path || !part->path || !part->record_path)
        status = error_memory(error, final_path, strlen(final_path));
    if (status == DS4_OK) status = open_locked(part, error);
    if (status == DS4_OK) {
        part->record = record_read(part->record_path);
    } else {
        if (part->fd >= 0) close(part->fd);
        free_paths(part);
    }
    return status;
}

void part_close(part_file *part) {
    if (part->fd >= 0 && !part->n_bytes) part_remove(part);
    if (part->fd >= 0) close(part->fd);
    free_paths(part);
}

/* ---- bytes --------------------------------------------------------------------------------------- */

ds4_status part_append(part_file *part, const void *bytes, size_t n_bytes, ds4_error *error) {
    const char *data = bytes;
    while (n_bytes) {
        ssize_t n = pwrite(part->fd, data, n_bytes, (off_t)part->n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(error, part->path, "write");
        if (n == 0) return error_set(error, DS4_ERROR_IO, "%s: cannot write", part->path);
        part->n_bytes += (uint64_t)n;
        data += n;
        n_bytes -= (size_t)n;
    }
    return DS4_OK;
}

ds4_status part_restart(part_file *part, ds4_error *error) {
    if (ftruncate(part->fd, 0) != 0) return io_error(error, part->path, "truncate");
    part->n_bytes = 0;
    part->record = (part_record){0};
    unlink(part->record_path);
    return DS4_OK;
}

ds4_status part_check_room(const part_file *part, uint64_t n_bytes, ds4_error *error) {
    struct statvfs disk;
    if (fstatvfs(part->fd, &disk) != 0) return io_error(error, part->path, "ask for free space");
    uint64_t block = (uint64_t)disk.f_frsize, blocks = (uint64_t)disk.f_bavail;
    if (!block || n_bytes / block < blocks) return DS4_OK; /* some file systems do not say */
    return error_set(error, DS4_ERROR_IO, "%s: needs %" PRIu64 " bytes more, the disk has %" PRIu64 " free", part->path,
                     n_bytes, block * blocks);
}

/* ---- the end ------------------------------------------------------------------------------------- */

/* So that the new name survives a power cut. Not every file system can. */
static void sync_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

ds4_status part_commit(part_file *part, ds4_error *error) {
    if (fsync(part->fd) != 0) return io_error(error, part->path, "write");
    if (rename(part->path, part->final_path) != 0) return io_error(error, part->final_path, "create");
    unlink(part->record_path);
    sync_folder_of(part->final_path);
    close(part->fd);
    part->fd = -1;
    return DS4_OK;
}

void part_remove(part_file *part) {
    unlink(part->record_path);
    unlink(part->path);
    close(part->fd); /* now the lock ends: another process may make a new part */
    part->fd = -1;
    part->n_bytes = 0;
}
