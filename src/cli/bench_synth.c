/*
 * The model of --synth has ten gigabytes, and nobody wants to find them on a disk later. As soon as it is open its name
 * can go. Until then a guard looks after it: a small process that waits for this one to end or to say that it is done,
 * whichever way that comes about, and then removes the folder.
 */
#include "base/file.h"
#include "base/memory.h"
#include "cli/bench.h"
#include "cli/terminal.h"
#include "model/synth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Memory beside the model's: activations, rows, and what bandwidth is measured on. */
#define OTHER_BYTES ((uint64_t)1 << 30)

/* ---- the guard ---- */

static void remove_folder(const char *folder) {
    DIR *entries = opendir(folder);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));) unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    rmdir(folder);
}

/* Does not return. In a session of its own: what is meant for the command, from the terminal or for its group, shall
 * not end the guard first. */
static void guard_folder(const char *folder, int from_command) {
    char byte;
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (int fd = 0; fd < 3; fd++) close(fd); /* whoever reads the command's output shall not wait for the guard */
    while (read(from_command, &byte, 1) < 0 && errno == EINTR) continue;
    remove_folder(folder);
    _exit(0);
}

static ds4_status start_guard(bench_synth *synth, ds4_error *error) {
    int ends[2];
    if (pipe(ends) != 0)
        return error_set(error, DS4_ERROR_IO, "%s: cannot make a pipe: %s", synth->folder, strerror(errno));
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    pid_t guard = fork();
    if (guard == 0) {
        close(ends[1]);
        guard_folder(synth->folder, ends[0]);
    }
    int fork_errno = errno;
    close(ends[0]);
    if (guard < 0) {
        close(ends[1]);
        return error_set(error, DS4_ERROR_MEMORY, "%s: cannot start a process: %s", synth->folder,
                         strerror(fork_errno));
    }
    synth->guard = guard;
    synth->to_guard = ends[1];
    return DS4_OK;
}

/* ---- the folder ---- */

static char *path_join(const char *folder, const char *name) {
    size_t n_bytes = strlen(folder) + 1 + strlen(name) + 1;
    char *path = malloc(n_bytes);
    if (path) snprintf(path, n_bytes, "%s/%s", folder, name);
    return path;
}

static ds4_status make_folder(bench_synth *synth, ds4_error *error) {
    const char *parent = getenv("TMPDIR");
    if (!parent || !*parent) parent = "/var/tmp";
    char *folder = path_join(parent, "ds4-bench-XXXXXX");
    if (!folder) return error_memory(error, parent, strlen(parent));
    if (!mkdtemp(folder)) {
        ds4_status status =
            error_set(error, DS4_ERROR_IO, "%s: cannot make a folder for the model: %s", parent, strerror(errno));
        free(folder);
        return status;
    }
    synth->folder = folder;
    synth->path = path_join(folder, "model.gguf");
    return synth->path ? DS4_OK : error_memory(error, folder, strlen(folder));
}

void bench_synth_close(bench_synth *synth) {
    if (synth->guard > 0) {
        close(synth->to_guard);
        while (waitpid(synth->guard, NULL, 0) < 0 && errno == EINTR) continue;
    } else if (synth->folder) {
        remove_folder(synth->folder);
    }
    free(synth->folder);
    free(synth->path);
    *synth = (bench_synth){0};
}

/* ---- writing ---- */

typedef struct synth_progress {
    const char *recipe, *folder;
    bool checked;
    uint64_t missing_bytes; /* of memory; 0: none */
    double drawn;           /* seconds; 0: not on the screen */
} synth_progress;

/* A ds4_progress in bytes. The first call, before anything is written, is the one that knows how much it will be. */
static bool synth_step(void *context, size_t done, size_t total) {
    synth_progress *progress = context;
    if (!progress->checked) {
        uint64_t available = system_memory_available_bytes(), needed = (uint64_t)total + OTHER_BYTES;
        if (available && available < needed) progress->missing_bytes = needed - available;
        progress->checked = true;
    }
    double now = time_seconds();
    if (!progress->missing_bytes && now - progress->drawn > 0.2 && can_redraw(stderr)) {
        fprintf(stderr, "\rwriting a model of the shape of %s to %s: %.1f of %.1f GB", progress->recipe,
                progress->folder, (double)done * 1e-9, (double)total * 1e-9);
        fflush(stderr);
        progress->drawn = now;
    }
    return progress->missing_bytes || interrupted();
}

ds4_status bench_synth_open(const char *recipe, bench_synth *synth, ds4_error *error) {
    *synth = (bench_synth){0};
    synth_options options = {.recipe = layout_recipe_find(recipe)};
    ds4_status status = make_folder(synth, error);
    if (status == DS4_OK) status = start_guard(synth, error);
    if (status == DS4_OK) {
        synth_progress progress = {.recipe = recipe, .folder = synth->folder};
        status = synth_write(&options, synth->path, synth_step, &progress, error);
        if (progress.drawn > 0) fputs("\r\033[K", stderr);
        if (progress.missing_bytes)
            status = error_set(error, DS4_ERROR_MEMORY,
                               "--synth %s: %.1f GB of memory are missing, and without them the disk would be measured",
                               recipe, (double)progress.missing_bytes * 1e-9);
        else if (status == DS4_CANCELLED)
            error_set(error, status, "interrupted");
    }
    if (status != DS4_OK) bench_synth_close(synth);
    return status;
}
