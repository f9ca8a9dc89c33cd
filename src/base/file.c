#include "base/file.h"
#include "base/error.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <limits.h>
#include <mach-o/dyld.h>
#endif

static ds4_status io_error(ds4_error *error, const char *path, const char *doing) {
    return error_set(error, DS4_ERROR_IO, "%s: cannot %s: %s", path, doing, strerror(errno));
}

ds4_status file_map_open(const char *path, file_map *map, ds4_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* or a named pipe would wait for its writer */
    if (fd < 0) return io_error(error, path, "open");
    ds4_status status = DS4_OK;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = io_error(error, path, "stat");
    } else if (!S_ISREG(info.st_mode)) {
        status = error_set(error, DS4_ERROR_IO, "%s: not a regular file", path);
    } else if (info.st_size == 0) {
        *map = (file_map){0};
    } else {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = io_error(error, path, "map");
        else
            *map = (file_map){.data = data, .n_bytes = (size_t)info.st_size};
    }
    close(fd);
    return status;
}

ds4_status file_map_zeros(const char *name, const void *start, size_t n_start, size_t n_bytes, file_map *map,
                          ds4_error *error) {
    uint8_t *memory = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return error_set(error, DS4_ERROR_MEMORY, "%s: cannot reserve %zu bytes of addresses: %s", name, n_bytes,
                         strerror(errno));
    bool copied = mprotect(memory, n_start, PROT_READ | PROT_WRITE) == 0;
    if (copied) {
        memcpy(memory, start, n_start);
        copied = mprotect(memory, n_start, PROT_READ) == 0;
    }
    if (!copied) {
        munmap(memory, n_bytes);
        return error_memory(error, name, n_start);
    }
    *map = (file_map){.data = memory, .n_bytes = n_bytes};
    return DS4_OK;
}

void file_map_close(file_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->n_bytes);
    *map = (file_map){0};
}

ds4_status stream_read_all(FILE *stream, const char *name, size_t max_bytes, ds4_buffer *content, ds4_error *error) {
    char piece[1 << 16];
    size_t before = content->n_bytes;
    for (;;) {
        size_t n = fread(piece, 1, sizeof piece, stream);
        if (content->n_bytes - before + n > max_bytes)
            return error_set(error, DS4_ERROR_FORMAT, "%s: larger than %zu bytes", name, max_bytes);
        if (!buffer_append(content, piece, n)) return error_memory(error, name, n);
        if (n < sizeof piece) break;
    }
    return ferror(stream) ? io_error(error, name, "read") : DS4_OK;
}

ds4_status file_read_all(const char *path, size_t max_bytes, ds4_buffer *content, ds4_error *error) {
    FILE *stream = fopen(path, "rb");
    if (!stream) return io_error(error, path, "open");
    ds4_status status = stream_read_all(stream, path, max_bytes, content, error);
    fclose(stream);
    return status;
}

ds4_status file_writer_open(const char *path, file_writer *writer, ds4_error *error) {
    *writer = (file_writer){0};
    if (!*path) return error_set(error, DS4_ERROR_ARGUMENT, "the name of the file to write is empty");
    *writer = (file_writer){.path = strdup(path)};
    if (!writer->path) return error_memory(error, path, strlen(path));
    struct stat info;
    int fd;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        static const char suffix[] = ".partial-XXXXXX";
        size_t n_bytes = strlen(path) + sizeof suffix;
        writer->temporary_path = malloc(n_bytes);
        if (!writer->temporary_path) {
            file_writer_abandon(writer);
            return error_memory(error, path, n_bytes);
        }
        snprintf(writer->temporary_path, n_bytes, "%s%s", path, suffix);
        fd = mkstemp(writer->temporary_path);
        if (fd >= 0) {
            mode_t mask = umask(0);
            umask(mask);
            fchmod(fd, 0666 & ~mask); /* mkstemp made it private; the file shall be as any other */
        } else {
            free(writer->temporary_path); /* there is nothing to unlink */
            writer->temporary_path = NULL;
        }
    }
    writer->stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!writer->stream) {
        ds4_status status = io_error(error, path, "open for writing");
        if (fd >= 0) close(fd);
        file_writer_abandon(writer);
        return status;
    }
    return DS4_OK;
}

ds4_status file_writer_write(file_writer *writer, const void *bytes, size_t n_bytes, ds4_error *error) {
    if (n_bytes && fwrite(bytes, 1, n_bytes, writer->stream) != n_bytes) return io_error(error, writer->path, "write");
    return DS4_OK;
}

ds4_status file_writer_commit(file_writer *writer, ds4_error *error) {
    bool ok = fflush(writer->stream) == 0 && !ferror(writer->stream);
    if (ok && writer->temporary_path) ok = fsync(fileno(writer->stream)) == 0;
    ds4_status status = ok ? DS4_OK : io_error(error, writer->path, "write");
    if (fclose(writer->stream) != 0 && ok) status = io_error(error, writer->path, "write");
    writer->stream = NULL;
    if (status == DS4_OK && writer->temporary_path) {
        if (rename(writer->temporary_path, writer->path) == 0) {
            free(writer->temporary_path);
            writer->temporary_path = NULL;
        } else {
            status = io_error(error, writer->path, "replace");
        }
    }
    file_writer_abandon(writer);
    return status;
}

void file_writer_abandon(file_writer *writer) {
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary_path) unlink(writer->temporary_path);
    free(writer->temporary_path);
    free(writer->path);
    *writer = (file_writer){0};
}

static char *program_path(void) {
#ifdef __APPLE__
    char path[PATH_MAX];
    uint32_t capacity = sizeof path;
    return _NSGetExecutablePath(path, &capacity) == 0 ? realpath(path, NULL) : NULL;
#else
    return realpath("/proc/self/exe", NULL);
#endif
}

char *path_beside_program(const char *name) {
    char *program = program_path();
    if (!program) return NULL;
    size_t n_folder = (size_t)(strrchr(program, '/') + 1 - program), n_name = strlen(name) + 1;
    char *path = malloc(n_folder + n_name);
    if (path) {
        memcpy(path, program, n_folder);
        memcpy(path + n_folder, name, n_name);
    }
    free(program);
    return path;
}

double time_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
