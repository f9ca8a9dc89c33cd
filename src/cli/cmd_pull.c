/* ds4 pull: downloads a published model file to where -m finds it by its name. */
#include "base/error.h"
#include "cli/cli.h"
#include "cli/pull_progress.h"
#include "fetch/download.h"
#include "fetch/fetch.h"
#include "model/published.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct pull_job {
    const published_file *file;
    char *url;
    char *default_folder; /* NULL: the environment names none */
    char *folder;         /* where the file goes, from the root */
    char *path;
} pull_job;

static void pull_job_deinit(pull_job *job) {
    free(job->url);
    free(job->default_folder);
    free(job->folder);
    free(job->path);
}

static ds4_status path_in(const char *folder, const char *file_name, char **path, ds4_error *error) {
    size_t n_bytes = strlen(folder) + strlen(file_name) + 2;
    *path = malloc(n_bytes);
    if (!*path) return error_memory(error, file_name, n_bytes);
    snprintf(*path, n_bytes, "%s/%s", folder, file_name);
    return DS4_OK;
}

/* ---- folders ------------------------------------------------------------------------------------- */

/* With those above it. */
static ds4_status folder_make(const char *folder, ds4_error *error) {
    char path[PATH_MAX];
    size_t n_bytes = strlen(folder);
    if (n_bytes >= sizeof path) return error_set(error, DS4_ERROR_IO, "%s: the name is too long", folder);
    memcpy(path, folder, n_bytes + 1);
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return error_set(error, DS4_ERROR_IO, "%s: cannot make the folder: %s", path, strerror(errno));
        if (!slash) return DS4_OK;
        *slash = '/';
    }
}

/* --to must be there: a name that is mistyped, or a disk that is not mounted, would fill another one. */
static ds4_status folder_choose(pull_job *job, const char *to, ds4_error *error) {
    ds4_status status = published_folder(&job->default_folder, error);
    if (status == DS4_OK && !job->default_folder && !to)
        return error_set(error, DS4_ERROR_ARGUMENT, "neither XDG_DATA_HOME nor HOME is set; --to DIR says where to");
    if (status == DS4_OK && job->default_folder && !to) status = folder_make(job->default_folder, error);
    if (status != DS4_OK) return status;
    job->folder = realpath(to ? to : job->default_folder, NULL);
    if (!job->folder) return error_set(error, DS4_ERROR_IO, "%s: %s", to ? to : job->default_folder, strerror(errno));
    return DS4_OK;
}

/* ---- a link for a file elsewhere ----------------------------------------------------------------- */

static bool is_same_file(const char *a, const char *b) {
    struct stat info_a, info_b;
    return stat(a, &info_a) == 0 && stat(b, &info_b) == 0 && info_a.st_ino == info_b.st_ino &&
           info_a.st_dev == info_b.st_dev;
}

static ds4_status link_replace(const char *link, const char *target, ds4_error *error) {
    struct stat info;
    if (is_same_file(link, target)) return DS4_OK;
    if (lstat(link, &info) == 0 && !S_ISLNK(info.st_mode)) {
        cli_note("%s is there too, and is what the name stands for", link);
        return DS4_OK;
    }
    if ((unlink(link) != 0 && errno != ENOENT) || symlink(target, link) != 0)
        return error_set(error, DS4_ERROR_IO, "%s: cannot make the link: %s", link, strerror(errno));
    return DS4_OK;
}

static ds4_status make_findable(const pull_job *job, ds4_error *error) {
    char *link = NULL;
    if (!job->default_folder) return DS4_OK;
    ds4_status status = folder_make(job->default_folder, error);
    if (status == DS4_OK) status = path_in(job->default_folder, job->file->file_name, &link, error);
    if (status == DS4_OK) status = link_replace(link, job->path, error);
    free(link);
    return status;
}

/* ---- the download -------------------------------------------------------------------------------- */

static int fail(const pull_job *job, ds4_status status, const download_result *result, ds4_error *error) {
    ds4_error why = *error;
    char kept[PULL_BYTES_TEXT];
    if (status == DS4_CANCELLED) error_set(&why, status, "%s: interrupted", job->file->name);
    if (result->was_there || !result->n_bytes) return cli_fail(&why);
    error_set(error, status, "%.380s (%s are kept: the same command goes on from there)", why.message,
              pull_bytes_text(result->n_bytes, kept));
    return cli_fail(error);
}

static void print_result(const pull_job *job, const download_result *result) {
    const char *checked = result->hash_verified  ? "SHA-256 verified"
                          : !result->was_there   ? "no SHA-256 is published"
                          : result->size_checked ? "size as published"
                                                 : "not compared: no answer from the server";
    char line[PATH_MAX + 256];
    int n = snprintf(line, sizeof line, "%s%s: %s (%" PRIu64 " bytes, %s)\n", job->file->name,
                     result->was_there ? " is there" : "", job->path, result->n_bytes, checked);
    if (n > 0) stdout_write(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static int pull(const cli_options *options, pull_job *job) {
    ds4_error error;
    ds4_status status = folder_choose(job, options->to, &error);
    if (status == DS4_OK) status = path_in(job->folder, job->file->file_name, &job->path, &error);
    if (status == DS4_OK) status = published_url(job->file, options->from, &job->url, &error);
    if (status != DS4_OK) return cli_fail(&error);

    pull_progress progress = {.name = job->file->name};
    download_options download = {.url = job->url,
                                 .path = job->path,
                                 .token = fetch_token(job->url),
                                 .verify = options->verify,
                                 .progress = pull_progress_step,
                                 .context = &progress};
    download_result result;
    interrupt_arm();
    status = download_file(&download, &result, &error);
    pull_progress_clear(&progress);
    if (status != DS4_OK) return fail(job, status, &result, &error);
    print_result(job, &result);
    return make_findable(job, &error) == DS4_OK ? EXIT_OK : cli_fail(&error);
}

static int run(const cli_options *options) {
    pull_job job = {.file = published_find(options->operand)};
    if (!job.file) return cli_usage("'%s' is not published, expected one of " PUBLISHED_NAMES, options->operand);
    if (options->to && !*options->to) return cli_usage("--to: the name of the folder is empty");
    if (options->from && strncasecmp(options->from, "http://", 7) != 0 &&
        strncasecmp(options->from, "https://", 8) != 0)
        return cli_usage("--from: '%s', expected http://... or https://...", options->from);
    int exit_status = pull(options, &job);
    pull_job_deinit(&job);
    return exit_status;
}

static const cli_option options[] = {
    {.kind = OPTION_STRING,
     .name = "to",
     .argument = "DIR",
     .offset = offsetof(cli_options, to),
     .help = "put the file into this folder (default: $XDG_DATA_HOME/ds4, else ~/.local/share/ds4)"},
    {.kind = OPTION_STRING,
     .name = "from",
     .argument = "URL",
     .offset = offsetof(cli_options, from),
     .help = "a mirror: URL/FILE is downloaded (default: from Hugging Face)"},
    {.kind = OPTION_FLAG,
     .name = "verify",
     .offset = offsetof(cli_options, verify),
     .help = "also compare a file that is there already with the published SHA-256"},
    OPTION_END,
};

const cli_command command_pull = {
    .name = "pull",
    .synopsis = "q2|q2-imatrix|q4|q4-imatrix|mtp [--to DIR] [--from URL] [--verify]",
    .summary = "download a model, or continue a download; -m q2 finds it afterwards",
    .operand = "the name of a model",
    .options = options,
    .notes = "q2 is 87 GB, q4 165 GB, each also made with an importance matrix (-imatrix); mtp is 3.5 GB and no model\n"
             "of its own. An interrupted download goes on with the same command. HF_TOKEN is sent to\n"
             "https://huggingface.co and nowhere else; http_proxy, https_proxy, all_proxy and no_proxy are honoured.\n",
    .run = run,
};
