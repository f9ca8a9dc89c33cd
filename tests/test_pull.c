/* ds4 pull from outside, and finding what it downloaded by name. */
#define _XOPEN_SOURCE 700 /* pseudo terminals */

#include "test.h"

#include "base/file.h"
#include "base/sha256.h"
#include "model/published.h"
#include "support/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef DS4_BINARY
#define DS4_BINARY "build/ds4"
#endif
/* stands for a model: enough for `ds4 tokenize` */
#define VOCABULARY "tests/data/vocab.gguf"
#define Q2_FILE "DeepSeek-V4-Flash-IQ2XXS-w2Q2K-AProjQ8-SExpQ8-OutQ8-chat-v2.gguf"
#define MTP_FILE "DeepSeek-V4-Flash-MTP-Q4K-Q8_0-F32.gguf"

extern char **environ;

static char binary[4096], input[4096]; /* absolute; the text that programs find on standard input */
static char folder[64];                /* of these tests; its subfolder "data" is XDG_DATA_HOME */
static char data_folder[128];          /* where downloaded models lie */
static ds4_buffer content;             /* of VOCABULARY */
static char linked[256];               /* the headers that publish its SHA-256 */
static http_server *server;

/* ---- running the program ------------------------------------------------------------------------- */

typedef struct run_result {
    char *out, *err;
    int status; /* 128 + signal if one ended it */
} run_result;

typedef struct running {
    pid_t pid;
    FILE *out, *err;
} running;

static running start(const char *const *words) {
    enum { MAX_WORDS = 16 };
    char *argv[MAX_WORDS + 2] = {binary};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i < MAX_WORDS);
        argv[i + 1] = (char *)(uintptr_t)words[i];
    }
    running program = {.out = tmpfile(), .err = tmpfile()};
    assert_true(program.out && program.err);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fileno(program.out), 1);
    posix_spawn_file_actions_adddup2(&actions, fileno(program.err), 2);
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGPIPE);
    assert_int_equal(posix_spawnattr_init(&attributes), 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    assert_int_equal(posix_spawn(&program.pid, binary, &actions, &attributes, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return program;
}

static char *read_all(FILE *stream) {
    ds4_buffer text = {0};
    ds4_error error;
    rewind(stream);
    assert_ok(stream_read_all(stream, "output", 1 << 26, &text, &error), &error);
    fclose(stream);
    return text.data ? text.data : strdup("");
}

static int exit_status(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static run_result finish(running program) {
    run_result result = {.status = exit_status(program.pid)};
    result.out = read_all(program.out);
    result.err = read_all(program.err);
    return result;
}

static void result_free(run_result *result) {
    free(result->out);
    free(result->err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RUN(...) finish(start(WORDS(__VA_ARGS__)))
#define START_PULL(...) start(WORDS("pull", "--from", http_server_url(server), __VA_ARGS__))
#define PULL(...) finish(START_PULL(__VA_ARGS__))

static void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("'%s' is not in '%s'", part, text);
}

/* One line on standard error with this in it, nothing on the other. */
static void assert_one_line(run_result result, int status, const char *part) {
    assert_contains(result.err, part);
    assert_string_equal(result.out, "");
    assert_memory_equal(result.err, "ds4: ", 5);
    assert_ptr_equal(strchr(result.err, '\n'), result.err + strlen(result.err) - 1);
    assert_int_equal(result.status, status);
    result_free(&result);
}

/* Without a terminal a pull says one line when all is well. */
static void assert_pulled(run_result result, const char *path, const char *checked) {
    char expected[512];
    if (result.status) fail_msg("%s", result.err);
    assert_string_equal(result.err, "");
    snprintf(expected, sizeof expected, ": %s (%zu bytes, %s)\n", path, content.n_bytes, checked);
    assert_contains(result.out, expected);
    result_free(&result);
}

/* ---- files --------------------------------------------------------------------------------------- */

static const char *path_of(const char *in, const char *name) {
    static char path[16][256];
    static int next;
    char *chosen = path[next++ % 16];
    snprintf(chosen, sizeof path[0], "%s/%s", in, name);
    return chosen;
}

static size_t file_bytes(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}

static void assert_content(const char *path) {
    ds4_buffer found = {0};
    ds4_error error;
    assert_ok(file_read_all(path, content.n_bytes + 1, &found, &error), &error);
    assert_int_equal(found.n_bytes, content.n_bytes);
    assert_memory_equal(found.data, content.data, content.n_bytes);
    ds4_buffer_deinit(&found);
}

static void make_file(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Before each test: nothing is there. */
static int empty_folder(void **state) {
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'/data '%s'/elsewhere && mkdir '%s'/elsewhere", folder, folder,
             folder);
    return system(command) == 0 ? 0 : -1;
}

static void make_data_folder(void) {
    assert_int_equal(mkdir(path_of(folder, "data"), 0777), 0);
    assert_int_equal(mkdir(data_folder, 0777), 0);
}

static void wait_for_bytes(const char *path, size_t n_bytes) {
    for (int i = 0; i < 3000 && file_bytes(path) < n_bytes; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_true(file_bytes(path) >= n_bytes);
}

/* A model that takes long enough to be interrupted: about two seconds. */
#define SLOWLY .piece_bytes = 50000, .pause_ms = 20

/* ---- pulling and finding ------------------------------------------------------------------------- */

/* As those of the downloaded model, and not of the built-in one. */
static void assert_its_tokens(const char *const *words) {
    static char *expected;
    if (!expected) {
        run_result result = RUN("tokenize", "-m", VOCABULARY), built_in = RUN("tokenize", "-m", "nano");
        assert_string_not_equal(result.out, built_in.out);
        expected = result.out;
        free(result.err);
        result_free(&built_in);
    }
    run_result found = finish(start(words));
    assert_string_equal(found.err, "");
    assert_int_equal(found.status, 0);
    assert_string_equal(found.out, expected);
    result_free(&found);
}

static void assert_inspects_as(const char *name) {
    run_result result = RUN("inspect", name);
    assert_contains(result.out, Q2_FILE);
    result_free(&result);
}

static void a_pulled_model_is_found_by_its_name(void **state) {
    (void)state;
    const char *path = path_of(data_folder, Q2_FILE);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_one_line(RUN("tokenize", "-m", "q2"), 1, "ds4: q2: not downloaded (ds4 pull q2 would)\n");
    assert_one_line(RUN("inspect", "q2"), 1, "ds4: q2: not downloaded (ds4 pull q2 would)\n");
    assert_pulled(PULL("q2"), path, "SHA-256 verified");
    assert_string_equal(http_server_request(server, 0).target, "/" Q2_FILE);
    assert_content(path);
    assert_int_equal(access(path_of(data_folder, Q2_FILE ".part"), F_OK), -1);
    assert_int_equal(access(path_of(data_folder, Q2_FILE ".part.json"), F_OK), -1);

    assert_its_tokens(WORDS("tokenize", "-m", "q2"));
    assert_its_tokens(WORDS("tokenize"));
    setenv("DS4_MODEL", "q2", 1);
    assert_its_tokens(WORDS("tokenize"));
    unsetenv("DS4_MODEL");
    assert_inspects_as("q2");

    run_result again = PULL("q2");
    assert_contains(again.out, "q2 is there: ");
    assert_pulled(again, path, "size as published");
    assert_pulled(PULL("q2", "--verify"), path, "SHA-256 verified");
    HTTP_SCRIPT(server, {.status = 503});
    assert_pulled(PULL("q2"), path, "not compared: no answer from the server");
}

static void a_file_of_the_name_comes_before_the_downloaded_model(void **state) {
    (void)state;
    char before[4096];
    make_data_folder();
    make_file(path_of(data_folder, Q2_FILE), "downloaded");
    make_file(path_of(folder, "elsewhere/q2"), "here");
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(path_of(folder, "elsewhere")), 0);
    run_result file = RUN("tokenize", "-m", "q2"), other = RUN("tokenize", "-m", "../elsewhere/../q2");
    assert_int_equal(chdir(before), 0);
    assert_one_line(file, 1, "ds4: q2: not a GGUF file");
    assert_one_line(other, 1, "ds4: ../elsewhere/../q2: cannot open");
    assert_one_line(RUN("tokenize", "-m", "q2"), 1, Q2_FILE ": not a GGUF file");
}

static void a_file_pulled_elsewhere_is_found_too(void **state) {
    (void)state;
    const char *path = path_of(folder, "elsewhere/" Q2_FILE);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_pulled(PULL("q2", "--to", path_of(folder, "elsewhere")), path, "SHA-256 verified");
    assert_content(path);
    assert_its_tokens(WORDS("tokenize", "-m", "q2"));
    assert_pulled(PULL("q2", "--to", path_of(folder, "elsewhere/.")), path, "size as published");
    run_result there = PULL("q2");
    assert_contains(there.out, "q2 is there: ");
    result_free(&there);

    assert_int_equal(unlink(path), 0);
    assert_one_line(RUN("tokenize", "-m", "q2"), 1, "not downloaded");
    /* a link that leads nowhere is no obstacle */
    assert_pulled(PULL("q2"), path_of(data_folder, Q2_FILE), "SHA-256 verified");
    /* and a file in the usual place stays what the name stands for */
    run_result both = PULL("q2", "--to", path_of(folder, "elsewhere"));
    assert_int_equal(both.status, 0);
    assert_contains(both.err, Q2_FILE " is there too, and is what the name stands for\n");
    result_free(&both);
    assert_content(path);
    assert_one_line(PULL("q2", "--to", path_of(folder, "none")), 1, "/none: No such file or directory");
}

static void a_name_without_a_file_says_what_to_do(void **state) {
    (void)state;
    make_data_folder();
    make_file(path_of(data_folder, Q2_FILE ".part"), "unfinished");
    assert_one_line(RUN("-m", "q2", "-p", "Hello"), 1, "ds4: q2: not downloaded (ds4 pull q2 would)\n");
    make_file(path_of(data_folder, MTP_FILE), "of no use alone");
    assert_one_line(RUN("tokenize", "-m", "mtp"), 1, "ds4: mtp: belongs to a model and is none itself\n");
    assert_one_line(RUN("inspect", "mtp"), 1, MTP_FILE ": not a GGUF file");
}

static void the_model_is_chosen_in_a_fixed_order(void **state) {
    (void)state;
    const published_file *file;
    char *path;
    ds4_error error;
    make_data_folder();
    make_file(path_of(data_folder, MTP_FILE), "mtp");
    make_file(path_of(data_folder, Q2_FILE ".part"), "unfinished");
    assert_ok(published_choose(&file, &path, &error), &error);
    assert_true(!file && !path);
    static const char *const order[] = {"q4", "q4-imatrix", "q2", "q2-imatrix"}; /* each beats those before */
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const published_file *added = published_find(order[i]);
        assert_true(added && added->is_model);
        make_file(path_of(data_folder, added->file_name), "a model");
        assert_ok(published_choose(&file, &path, &error), &error);
        assert_ptr_equal(file, added);
        assert_string_equal(path, path_of(data_folder, added->file_name));
        free(path);
        assert_ok(published_find_local(order[i], &path, &error), &error);
        assert_string_equal(path, path_of(data_folder, added->file_name));
        free(path);
    }
    assert_ok(published_find_local("q2-q4", &path, &error), &error);
    assert_null(path);
}

static void the_folder_follows_the_environment(void **state) {
    (void)state;
    char *path, data[256];
    ds4_error error;
    snprintf(data, sizeof data, "%s", getenv("XDG_DATA_HOME"));
    setenv("HOME", "/home/ada", 1);
    assert_ok(published_folder(&path, &error), &error);
    assert_string_equal(path, data_folder);
    free(path);
    setenv("XDG_DATA_HOME", "relative", 1);
    assert_ok(published_folder(&path, &error), &error);
    assert_string_equal(path, "/home/ada/.local/share/ds4");
    free(path);
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "", 1);
    assert_ok(published_folder(&path, &error), &error);
    assert_null(path);
    assert_ok(published_find_local("q2", &path, &error), &error);
    assert_null(path);
    run_result nowhere = PULL("q2"), nano = RUN("tokenize");
    setenv("XDG_DATA_HOME", data, 1);
    assert_one_line(nowhere, 1, "neither XDG_DATA_HOME nor HOME is set; --to DIR says where to");
    assert_int_equal(nano.status, 0);
    result_free(&nano);
}

static void files_have_their_published_addresses(void **state) {
    (void)state;
    char *url;
    ds4_error error;
    assert_ok(published_url(published_find("q2"), NULL, &url, &error), &error);
    assert_string_equal(url, "https://huggingface.co/antirez/deepseek-v4-gguf/resolve/main/" Q2_FILE);
    free(url);
    assert_ok(published_url(published_find("mtp"), "http://mirror/", &url, &error), &error);
    assert_string_equal(url, "http://mirror/" MTP_FILE);
    free(url);
    assert_null(published_find("Q2"));
    assert_null(published_find(""));
    size_t n = 0;
    for (const published_file *file = published_files; file->name; file++, n++)
        assert_contains(PUBLISHED_NAMES, file->name);
    assert_int_equal(n, 5);
}

static void wrong_usage_is_told(void **state) {
    (void)state;
    assert_one_line(RUN("pull"), 2, "the name of a model is missing");
    assert_one_line(RUN("pull", "q5"), 2, "ds4: 'q5' is not published, expected one of q2, q2-imatrix, q4, ");
    assert_one_line(RUN("pull", "q2", "--from", "ftp://x"), 2, "--from: 'ftp://x', expected http://... or https://...");
    assert_one_line(RUN("pull", "q2", "--to", ""), 2, "--to: the name of the folder is empty");
}

/* ---- interruptions ------------------------------------------------------------------------------- */

static void a_killed_download_goes_on(void **state) {
    (void)state;
    const char *part = path_of(data_folder, Q2_FILE ".part");
    for (int killed = 0; killed < 2; killed++) {
        HTTP_SCRIPT(server, {.headers = linked, SLOWLY});
        size_t before = file_bytes(part);
        running pull = START_PULL("q2");
        wait_for_bytes(part, before + 200000);
        assert_int_equal(kill(pull.pid, SIGKILL), 0);
        run_result result = finish(pull);
        assert_int_equal(result.status, 128 + SIGKILL);
        result_free(&result);
        assert_one_line(RUN("tokenize", "-m", "q2"), 1, "not downloaded");
    }
    size_t kept = file_bytes(part);
    assert_true(kept >= 400000 && kept < content.n_bytes);
    char range[64];
    snprintf(range, sizeof range, "bytes=%zu-", kept);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_pulled(PULL("q2"), path_of(data_folder, Q2_FILE), "SHA-256 verified");
    assert_string_equal(http_server_request(server, 0).range, range);
    assert_content(path_of(data_folder, Q2_FILE));
}

static void ctrl_c_keeps_what_is_there(void **state) {
    (void)state;
    const char *part = path_of(data_folder, Q2_FILE ".part");
    HTTP_SCRIPT(server, {.headers = linked, SLOWLY}, {.headers = linked});
    running pull = START_PULL("q2");
    wait_for_bytes(part, 200000);
    assert_int_equal(kill(pull.pid, SIGINT), 0);
    run_result result = finish(pull);
    assert_contains(result.err, "B are kept: the same command goes on from there)\n");
    assert_one_line(result, 1, "ds4: q2: interrupted (");
    assert_pulled(PULL("q2"), path_of(data_folder, Q2_FILE), "SHA-256 verified");
    assert_content(path_of(data_folder, Q2_FILE));
}

static void a_second_pull_at_the_same_time_is_refused(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = linked, SLOWLY});
    running pull = START_PULL("q2");
    wait_for_bytes(path_of(data_folder, Q2_FILE ".part"), 100000);
    assert_one_line(PULL("q2"), 1, ".part: another process is downloading it\n");
    assert_int_equal(kill(pull.pid, SIGKILL), 0);
    run_result result = finish(pull);
    result_free(&result);
}

static void failures_are_one_line(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.status = 404});
    assert_one_line(PULL("q2"), 1, Q2_FILE ": status 404: no such file there\n");
    HTTP_SCRIPT(server, {.status = 403});
    assert_one_line(PULL("q2"), 1, "HF_TOKEN\n");
    HTTP_SCRIPT(server, {.headers = linked, .drop_after = 70000}, {.status = 404});
    assert_one_line(PULL("q2"), 1, ": status 404: no such file there (70.0 kB are kept: the same command goes on");
}

/* ---- the way there ------------------------------------------------------------------------------- */

static void the_token_does_not_go_to_a_mirror(void **state) {
    (void)state;
    setenv("HF_TOKEN", "secret", 1);
    HTTP_SCRIPT(server, {.headers = linked});
    assert_pulled(PULL("q2"), path_of(data_folder, Q2_FILE), "SHA-256 verified");
    assert_string_equal(http_server_request(server, 0).authorization, "");
    unsetenv("HF_TOKEN");
}

static void a_proxy_is_used(void **state) {
    (void)state;
    setenv("http_proxy", http_server_url(server), 1);
    HTTP_SCRIPT(server, {.headers = linked});
    run_result through = RUN("pull", "q2", "--from", "http://models.invalid/some/");
    unsetenv("http_proxy");
    assert_pulled(through, path_of(data_folder, Q2_FILE), "SHA-256 verified");
    assert_string_equal(http_server_request(server, 0).target, "http://models.invalid/some/" Q2_FILE);
    /* https goes through it as a tunnel, in which nobody sees the token */
    empty_folder(NULL);
    setenv("https_proxy", http_server_url(server), 1);
    setenv("HF_TOKEN", "secret", 1);
    HTTP_SCRIPT(server, {.status = 403});
    run_result tunnel = RUN("pull", "q2");
    unsetenv("https_proxy");
    unsetenv("HF_TOKEN");
    assert_one_line(tunnel, 1, "CONNECT");
    assert_string_equal(http_server_request(server, 0).method, "CONNECT");
    assert_string_equal(http_server_request(server, 0).target, "huggingface.co:443");
    assert_string_equal(http_server_request(server, 0).authorization, "");
    assert_string_equal(http_server_request(server, 0).proxy_authorization, "");
    /* hosts may be excepted */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    HTTP_SCRIPT(server, {.headers = linked});
    run_result past = PULL("q2");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    assert_pulled(past, path_of(data_folder, Q2_FILE), "SHA-256 verified");
}

/* ---- a terminal ---------------------------------------------------------------------------------- */

/* What the program prints on a terminal of this width, without any input. */
static char *run_on_terminal(const char *const *words, unsigned short columns) {
    enum { MAX_SEEN = 1 << 16 };
    char *argv[16] = {binary}, *seen = malloc(MAX_SEEN);
    for (size_t i = 0; words[i] && i < 14; i++) argv[i + 1] = (char *)(uintptr_t)words[i];
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(seen && terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    const char *name = ptsname(terminal);
    assert_non_null(name);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setsid();
        int line = open(name, O_RDWR);
        ioctl(line, TIOCSWINSZ, &size);
        dup2(open("/dev/null", O_RDONLY), 0), dup2(line, 1), dup2(line, 2);
        close(terminal);
        execv(argv[0], argv);
        _exit(127);
    }
    size_t n = 0;
    for (ssize_t got; n + 1 < MAX_SEEN && (got = read(terminal, seen + n, MAX_SEEN - 1 - n)) > 0;) n += (size_t)got;
    seen[n] = '\0';
    assert_int_equal(exit_status(pid), 0);
    close(terminal);
    return seen;
}

static void a_terminal_sees_progress_in_one_line(void **state) {
    (void)state;
    setenv("TERM", "xterm", 1);
    HTTP_SCRIPT(server, {.headers = linked, .drop_after = 1000000, SLOWLY}, {.headers = linked, SLOWLY});
    const char *const *words = WORDS("pull", "q2", "--from", http_server_url(server));
    char *seen = run_on_terminal(words, 80);
    assert_contains(seen, "\rq2 connecting");
    assert_contains(seen, " of 5.2 MB");
    assert_contains(seen, " MB/s  ");
    assert_contains(seen, " s left\033[K");
    assert_contains(seen, "\rq2 again in 0 s: ");
    assert_contains(seen, "\r\033[Kq2: ");
    free(seen);

    empty_folder(NULL);
    HTTP_SCRIPT(server, {.headers = linked, .drop_after = 1000000, SLOWLY}, {.headers = linked});
    seen = run_on_terminal(words, 20);
    size_t n_lines = 0;
    for (char *line = strtok(seen, "\r"); line; line = strtok(NULL, "\r")) {
        char *end = strstr(line, "\033[K");
        if (!end || end == line) continue; /* the result: the last line is as long as it is */
        *end = '\0';
        if (strlen(line) > 19) fail_msg("'%s' is too long", line);
        n_lines++;
    }
    assert_true(n_lines > 3);
    free(seen);
}

static void a_terminal_is_told_which_model_is_used(void **state) {
    (void)state;
    HTTP_SCRIPT(server, {.headers = linked});
    run_result pulled = PULL("q2");
    assert_int_equal(pulled.status, 0);
    result_free(&pulled);
    char *seen = run_on_terminal(WORDS("tokenize"), 80);
    assert_contains(seen, "ds4: no model given: using the downloaded q2 (-m FILE or DS4_MODEL chooses another)");
    free(seen);
}

/* ---- main ---------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    const char *chosen = getenv("DS4_BINARY");
    if (!realpath(chosen && *chosen ? chosen : DS4_BINARY, binary)) {
        fprintf(stderr, "%s: %s\n", DS4_BINARY, strerror(errno));
        return -1;
    }
    if (!realpath("LICENSE", input)) return -1;
    static const char *const variables[] = {"DS4_MODEL", "HF_TOKEN",  "http_proxy", "https_proxy", "HTTPS_PROXY",
                                            "all_proxy", "ALL_PROXY", "no_proxy",   "NO_PROXY"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);

    char sha[SHA256_HEX_BYTES], data[128];
    if (file_read_all(VOCABULARY, 1 << 26, &content, NULL) != DS4_OK) return -1;
    if (!sha256_hex(content.data, content.n_bytes, sha)) return -1;
    snprintf(linked, sizeof linked, "X-Linked-Size: %zu\r\nX-Linked-ETag: \"%s\"\r\n", content.n_bytes, sha);

    const char *temporary = getenv("TMPDIR");
    char *real = realpath(temporary && *temporary ? temporary : "/tmp", NULL);
    if (!real) return -1;
    snprintf(folder, sizeof folder, "%.40s/ds4-pull-XXXXXX", real);
    free(real);
    if (!mkdtemp(folder)) return -1;
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(data_folder, sizeof data_folder, "%s/data/ds4", folder);
    setenv("XDG_DATA_HOME", data, 1);
    setenv("HOME", folder, 1);
    server = http_server_start(content.data, content.n_bytes);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    http_server_stop(server);
    ds4_buffer_deinit(&content);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

#define TEST(function) cmocka_unit_test_setup(function, empty_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_pulled_model_is_found_by_its_name),
        TEST(a_file_of_the_name_comes_before_the_downloaded_model),
        TEST(a_file_pulled_elsewhere_is_found_too),
        TEST(a_name_without_a_file_says_what_to_do),
        TEST(the_model_is_chosen_in_a_fixed_order),
        TEST(the_folder_follows_the_environment),
        TEST(files_have_their_published_addresses),
        TEST(wrong_usage_is_told),
        TEST(a_killed_download_goes_on),
        TEST(ctrl_c_keeps_what_is_there),
        TEST(a_second_pull_at_the_same_time_is_refused),
        TEST(failures_are_one_line),
        TEST(the_token_does_not_go_to_a_mirror),
        TEST(a_proxy_is_used),
        TEST(a_terminal_sees_progress_in_one_line),
        TEST(a_terminal_is_told_which_model_is_used),
    };
    return cmocka_run_group_tests_name("pull", tests, set_up, tear_down);
}
