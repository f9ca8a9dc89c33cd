/* The ds4 program from outside: what it prints where, and how it ends. */
#define _XOPEN_SOURCE 700 /* pseudo terminals */

#include "test.h"

#include "base/file.h"

#include "support/tiny_model.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef DS4_BINARY
#define DS4_BINARY "build/ds4"
#endif
#ifndef NANO_FILE
#define NANO_FILE "models/ds4-nano.gguf"
#endif
#define VOCABULARY "tests/data/vocab.gguf"

extern char **environ;

static char binary[4096]; /* absolute: links and other directories need it */
static char folder[64];   /* for files of these tests */
static const char *model; /* a tiny model */

/* ---- running the program ------------------------------------------------------------------------- */

enum { MAX_WORDS = 24 };

typedef struct run_result {
    char *out, *err; /* with a NUL behind */
    size_t n_out, n_err;
    int status; /* of the exit; 128 + signal if one ended it */
} run_result;

static char *read_stream(FILE *stream, size_t *n_bytes) {
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    long size = ftell(stream);
    assert_true(size >= 0);
    rewind(stream);
    char *content = malloc((size_t)size + 1);
    assert_non_null(content);
    *n_bytes = fread(content, 1, (size_t)size, stream);
    assert_int_equal(*n_bytes, (size_t)size);
    content[*n_bytes] = '\0';
    return content;
}

static int exit_status(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static pid_t start(const char *program, char *const *argv, int in, int out, int err) {
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    /* the test itself may have been started deaf to Ctrl-C, or to lost readers */
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGPIPE);
    assert_int_equal(posix_spawnattr_init(&attributes), 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid;
    int failed = posix_spawn(&pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed) fail_msg("%s: %s", program, strerror(failed));
    return pid;
}

static run_result run_words(const char *program, char *const *argv, const void *input, size_t n_bytes) {
    FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile();
    assert_true(in && out && err);
    assert_int_equal(fwrite(input, 1, n_bytes, in), n_bytes);
    rewind(in);
    run_result result = {0};
    result.status = exit_status(start(program, argv, fileno(in), fileno(out), fileno(err)));
    result.out = read_stream(out, &result.n_out);
    result.err = read_stream(err, &result.n_err);
    fclose(in), fclose(out), fclose(err);
    return result;
}

static void result_free(run_result *result) {
    free(result->out);
    free(result->err);
}

static run_result run_bytes(const void *input, size_t n_bytes, const char *const *words) {
    char *argv[MAX_WORDS + 2] = {binary};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i < MAX_WORDS);
        argv[i + 1] = (char *)(uintptr_t)words[i];
    }
    return run_words(binary, argv, input, n_bytes);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RUN(input, ...) run_bytes(input, strlen(input), WORDS(__VA_ARGS__))

static char *path_in_folder(const char *name) {
    static char path[4][128];
    static int next;
    char *chosen = path[next++ % 4];
    snprintf(chosen, sizeof path[0], "%s/%s", folder, name);
    return chosen;
}

static const char *make_file(const char *name, const void *bytes, size_t n_bytes) {
    const char *path = path_in_folder(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
    return path;
}

static char *read_file(const char *path, size_t *n_bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s: %s", path, strerror(errno));
    char *content = read_stream(file, n_bytes);
    fclose(file);
    return content;
}

/* ---- failures ------------------------------------------------------------------------------------ */

static void assert_one_line(const run_result *result, int status, const char *said, const char *what) {
    const char *end = strchr(result->err, '\n');
    if (result->status != status || !end || end[1] || strncmp(result->err, "ds4: ", 5) != 0 ||
        !strstr(result->err, said))
        fail_msg("%s: status %d, expected %d and one line with '%s', stderr: %s", what, result->status, status, said,
                 result->err);
}

typedef struct bad_case {
    const char *words[MAX_WORDS];
    const char *input; /* NULL: empty */
    const char *said;  /* part of the line */
} bad_case;

static void check_bad_cases(const bad_case *cases, size_t n, int status) {
    for (size_t i = 0; i < n; i++) {
        char what[512] = "ds4";
        for (size_t w = 0; cases[i].words[w]; w++)
            snprintf(what + strlen(what), sizeof what - strlen(what), " %s", cases[i].words[w]);
        const char *input = cases[i].input ? cases[i].input : "";
        run_result result = run_bytes(input, strlen(input), cases[i].words);
        assert_one_line(&result, status, cases[i].said, what);
        if (result.n_out) fail_msg("%s: prints '%s' on stdout", what, result.out);
        result_free(&result);
    }
}

#define CHECK_BAD(cases, status) check_bad_cases(cases, sizeof(cases) / sizeof *(cases), status)

static void wrong_usage_is_one_line_and_status_2(void **state) {
    (void)state;
    const bad_case cases[] = {
        {{"nonsense"}, NULL, "unknown command 'nonsense'"},
        {{"agent"}, NULL, "unknown command"},
        {{"serve", "--host", "0.0.0.0", "--port", "0"}, NULL, "--host 0.0.0.0: others could use this server"},
        {{"serve", "--port", "99999"}, NULL, "--port: '99999', expected a whole number from 0 to 65535"},
        {{"serve", "--parallel", "0"}, NULL, "--parallel: '0', expected a whole number from 1 to 64"},
        {{"serve", "--kv-ram", "x"}, NULL, "--kv-ram: 'x', expected MiB"},
        {{"serve", "--api-key", ""}, NULL, "--api-key: the key is empty"},
        {{""}, NULL, "unknown command"},
        {{"two\nlines"}, NULL, "unknown command 'two?lines'"},
        /* the chat */
        {{"--nonsense"}, NULL, "unknown option --nonsense"},
        {{"-x"}, NULL, "unknown option -x"},
        {{"--special", "-p", "x"}, NULL, "unknown option --special"},
        {{"-p", "x", "y"}, NULL, "unexpected argument 'y'"},
        {{"-p"}, NULL, "-p needs a value"},
        {{"--prompt"}, NULL, "--prompt needs a value"},
        {{"-p", ""}, NULL, "prompt is empty"},
        {{"-m", "x"}, "", "prompt is empty"},
        {{"-m", "x", "-p", "-"}, "\n", "prompt is empty"},
        {{"-m", "", "-p", "x"}, NULL, "-m: the name of the model is empty"},
        {{"-p", "x", "--ctx", "many"}, NULL, "--ctx: 'many', expected a whole number from 1"},
        {{"-p", "x", "--ctx", "0"}, NULL, "--ctx: '0'"},
        {{"-p", "x", "--ctx", "-5"}, NULL, "--ctx: '-5'"},
        {{"-p", "x", "--ctx", "1e3"}, NULL, "--ctx: '1e3'"},
        {{"-p", "x", "--ctx", "12k"}, NULL, "--ctx: '12k'"},
        {{"-p", "x", "--ctx", " 12"}, NULL, "--ctx: ' 12'"},
        {{"-p", "x", "--ctx="}, NULL, "--ctx: ''"},
        {{"-p", "x", "-c", "99999999999999999999"}, NULL, "-c: '99999999999999999999'"},
        {{"-p", "x", "-n", "0"}, NULL, "-n: '0'"},
        {{"-p", "x", "-nx"}, NULL, "-n: 'x'"},
        {{"-p", "x", "-t", "0"}, NULL, "-t: '0'"},
        {{"-p", "x", "--threads", "1000000"}, NULL, "--threads: '1000000'"},
        {{"-p", "x", "--seed", "-1"}, NULL, "--seed: '-1'"},
        {{"-p", "x", "--seed", "9223372036854775808"}, NULL, "to 9223372036854775807"},
        {{"-p", "x", "--temp", "nan"}, NULL, "--temp: 'nan', expected a number from 0"},
        {{"-p", "x", "--temp", "inf"}, NULL, "--temp: 'inf'"},
        {{"-p", "x", "--temp", "0x1"}, NULL, "--temp: '0x1'"},
        {{"-p", "x", "--temp", "1e"}, NULL, "--temp: '1e'"},
        {{"-p", "x", "--temp", "-0.1"}, NULL, "--temp: '-0.1'"},
        {{"-p", "x", "--top-p", "1.1"}, NULL, "--top-p: '1.1'"},
        {{"-p", "x", "--min-p", "2"}, NULL, "--min-p: '2'"},
        {{"-p", "x", "--top-k", "1.5"}, NULL, "--top-k: '1.5'"},
        {{"-p", "x", "--think", "hard"}, NULL, "--think: 'hard', expected off, high or max"},
        {{"-p", "x", "--backend", "abacus"}, NULL, "backend 'abacus' is not in this build; available: cpu, sim"},
        {{"-h=1"}, NULL, "-h takes no value"},
        {{"--help=1"}, NULL, "--help takes no value"},
        /* inspect */
        {{"inspect"}, NULL, "MODEL is missing"},
        {{"inspect", "a", "b"}, NULL, "unexpected argument 'b'"},
        {{"inspect", "-m", "a"}, NULL, "unknown option -m"},
        /* tokenize */
        {{"tokenize", "--model="}, NULL, "-m: the name of the model is empty"},
        {{"tokenize", "-m"}, NULL, "-m needs a value"},
        {{"tokenize", "-m", VOCABULARY, "text"}, NULL, "unexpected argument 'text'"},
        {{"tokenize", "-m", VOCABULARY, "--special", "--decode"}, NULL, "do not go together"},
        {{"tokenize", "-m", VOCABULARY, "--ctx", "5"}, NULL, "unknown option --ctx"},
        /* render */
        {{"render", "request.json"}, NULL, "unexpected argument"},
        {{"render", "--tokens=x"}, NULL, "--tokens takes no value"},
        /* logits */
        {{"logits"}, NULL, "--tokens FILE is missing"},
        {{"logits", "--tokens", "x"}, NULL, "--out FILE is missing"},
        {{"logits", "--tokens"}, NULL, "--tokens needs a value"},
        {{"logits", "--positions", "some"}, NULL, "--positions: 'some', expected all or last"},
        {{"logits", "--chunk", "0"}, NULL, "--chunk: '0'"},
        {{"logits", "--tokens", "x", "--out", "y", "-m", "z", "--backend", "gpu"}, NULL, "backend 'gpu'"},
        {{"logits", "x"}, NULL, "unexpected argument 'x'"},
        /* score */
        {{"score"}, NULL, "FILE is missing"},
        {{"score", "x", "y"}, NULL, "unexpected argument 'y'"},
        {{"score", "--ctx", "none", "x"}, NULL, "--ctx: 'none'"},
        /* bench */
        {{"bench", "--json", "--csv"}, NULL, "--json and --csv do not go together"},
        {{"bench", "--count", "q3"}, NULL, "q3"},
        {{"bench", "--count", "q2", "--ctx", "1,x"}, NULL, "--ctx"},
        {{"bench", "--count", "q2", "--chunk", "0"}, NULL, "--chunk: '0'"},
        /* synth */
        {{"synth"}, NULL, "is missing"},
        {{"synth", "q2"}, NULL, "OUT.gguf is missing"},
        {{"synth", "q3", "x"}, NULL, "'q3', expected one of q2, q2-imatrix, q4, q4-imatrix, q2-q4"},
        {{"synth", "q2", "x", "--experts", "5"}, NULL, "--experts: '5', expected a whole number from 6 to 256"},
        {{"synth", "q2", "x", "--experts", "257"}, NULL, "--experts: '257'"},
        {{"synth", "q2", "x", "y"}, NULL, "unexpected argument 'y'"},
    };
    CHECK_BAD(cases, 2);
}

static void failures_are_one_line_and_status_1(void **state) {
    (void)state;
    char *absent = strdup(path_in_folder("absent"));
    char *empty = strdup(make_file("empty", "", 0));
    char *odd = strdup(make_file("odd.i32", "12345", 5));
    char *foreign = strdup(make_file("foreign.i32", "\xff\xff\xff\x7f", 4));
    char *one = strdup(make_file("one.i32", "\1\0\0\0", 4));
    char *nowhere = strdup(path_in_folder("absent/out.f32"));
    const bad_case cases[] = {
        {{"-m", absent, "-p", "x"}, NULL, "absent"},
        {{"-m", "LICENSE", "-p", "x"}, NULL, "LICENSE"},
        {{"-m", VOCABULARY, "-p", "x"}, NULL, VOCABULARY},
        {{"-m", folder, "-p", "x"}, NULL, folder},
        {{"-m", model, "-p", "broken \xff"}, NULL, "byte 7"},
        {{"-m", model, "--system", "\xc3", "-p", "x"}, NULL, "system text"},
        {{"-m", model, "--ctx", "8", "-p", "more than eight tokens"}, NULL, "the context has room for 8"},
        {{"inspect", absent}, NULL, "absent"},
        {{"inspect", "LICENSE"}, NULL, "LICENSE"},
        {{"tokenize", "-m", absent}, NULL, "absent"},
        {{"tokenize", "-m", VOCABULARY, "--decode"}, "1 2\n3 x\n", "line 2: 'x' is not a token id"},
        {{"tokenize", "-m", VOCABULARY, "--decode"}, "\n\n129280", "line 3: token id 129280, expected 0 to 129279"},
        {{"tokenize", "-m", VOCABULARY, "--decode"}, "-1", "line 1: token id -1"},
        {{"tokenize", "-m", VOCABULARY, "--decode"}, "99999999999999999999999999999999999999999", "line 1: '9999"},
        {{"render"}, "", ""},
        {{"render"}, "{", ""},
        {{"render"}, "[]", ""},
        {{"render"}, "{\"messages\": 5}", "messages"},
        {{"render", "--tokens", "-m", absent}, "{}", "absent"},
        {{"logits", "-m", model, "--tokens", absent, "--out", absent}, NULL, "absent"},
        {{"logits", "-m", model, "--tokens", empty, "--out", absent}, NULL, "0 bytes, expected a positive multiple"},
        {{"logits", "-m", model, "--tokens", odd, "--out", absent}, NULL, "5 bytes"},
        {{"logits", "-m", model, "--tokens", foreign, "--out", absent},
         NULL,
         "token 0 is 2147483647, expected 0 to 511"},
        {{"logits", "-m", model, "--tokens", one, "--out", nowhere}, NULL, "absent/out.f32"},
        {{"logits", "-m", VOCABULARY, "--tokens", one, "--out", absent}, NULL, VOCABULARY},
        {{"score", "-m", model, absent}, NULL, "absent"},
        {{"score", "-m", model, empty}, NULL, "nothing to score"},
        {{"score", "-m", VOCABULARY, "LICENSE"}, NULL, VOCABULARY},
    };
    CHECK_BAD(cases, 1);
    assert_int_equal(access(absent, F_OK), -1);
    free(absent), free(empty), free(odd), free(foreign), free(one), free(nowhere);
}

static void a_damaged_model_is_inspected_with_status_1(void **state) {
    (void)state;
    size_t n_bytes;
    char *bytes = read_file(model, &n_bytes);
    const char *cut = make_file("cut.gguf", bytes, n_bytes / 2);
    free(bytes);
    run_result result = RUN("", "inspect", cut);
    assert_one_line(&result, 1, "problem", "inspect of half a model");
    assert_true(result.n_out > 0);
    result_free(&result);
}

static void lost_output_is_a_failure(void **state) {
    (void)state;
    const bad_case commands[] = {
        {{"--help"}, NULL, ""},
        {{"--version"}, NULL, ""},
        {{"inspect", model}, NULL, ""},
        {{"tokenize", "-m", VOCABULARY}, "text", ""},
        {{"render"}, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", ""},
        {{"score", "-m", model, VOCABULARY ".absent"}, NULL, ""}, /* a failure of its own keeps its line */
        {{"-m", model, "--think", "off", "--seed", "1", "-p", "Hi"}, NULL, ""},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char *argv[MAX_WORDS + 1] = {binary};
        for (size_t w = 0; commands[i].words[w]; w++) argv[w + 1] = (char *)(uintptr_t)commands[i].words[w];
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        close(ends[0]); /* nobody reads */
        FILE *in = tmpfile(), *err = tmpfile();
        if (commands[i].input) fputs(commands[i].input, in);
        rewind(in);
        run_result result = {.status = exit_status(start(binary, argv, fileno(in), ends[1], fileno(err)))};
        result.err = read_stream(err, &result.n_err);
        fclose(in), fclose(err), close(ends[1]);
        assert_one_line(&result, 1, "", commands[i].words[0]);
        result_free(&result);
    }
}

/* ---- help and dispatch --------------------------------------------------------------------------- */

static const char *const command_names[] = {"inspect", "tokenize", "render", "logits", "score",
                                            "bench",   "synth",    "pull",   "plan",   "serve"};
enum { N_COMMANDS = sizeof command_names / sizeof *command_names };

static void every_command_has_help(void **state) {
    (void)state;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        run_result result = RUN("", command_names[i], "--help");
        char usage[32];
        snprintf(usage, sizeof usage, "usage: ds4 %s ", command_names[i]);
        assert_int_equal(result.status, 0);
        assert_int_equal(result.n_err, 0);
        assert_memory_equal(result.out, usage, strlen(usage));
        result_free(&result);
        result = RUN("", command_names[i], "--version");
        assert_string_equal(result.out, "ds4 " DS4_VERSION "\n");
        result_free(&result);
    }
}

static void the_help_lists_the_commands_and_no_others(void **state) {
    (void)state;
    static const char *const later[] = {"agent"};
    run_result result = RUN("", "-h");
    assert_int_equal(result.status, 0);
    for (size_t i = 0; i < N_COMMANDS; i++) assert_non_null(strstr(result.out, command_names[i]));
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) assert_null(strstr(result.out, later[i]));
    result_free(&result);
}

static void a_link_name_chooses_the_command(void **state) {
    (void)state;
    const char *link = path_in_folder("ds4-tokenize"), *other = path_in_folder("ds4-other");
    assert_int_equal(symlink(binary, link), 0);
    assert_int_equal(symlink(binary, other), 0);
    char *argv[] = {(char *)(uintptr_t)link, "--help", NULL};
    run_result result = run_words(link, argv, "", 0);
    assert_non_null(strstr(result.out, "usage: ds4 tokenize"));
    result_free(&result);
    argv[0] = (char *)(uintptr_t)other;
    result = run_words(other, argv, "", 0);
    assert_non_null(strstr(result.out, "usage: ds4 [-m MODEL]"));
    result_free(&result);
    const char *server = path_in_folder("ds4-server"); /* what it is called where programs start one */
    assert_int_equal(symlink(binary, server), 0);
    argv[0] = (char *)(uintptr_t)server;
    result = run_words(server, argv, "", 0);
    assert_non_null(strstr(result.out, "usage: ds4 serve"));
    result_free(&result);
}

static void options_take_their_value_in_every_usual_form(void **state) {
    (void)state;
    run_result spaced = RUN("Hello", "tokenize", "-m", VOCABULARY),
               attached = RUN("Hello", "tokenize", "-m" VOCABULARY),
               long_form = RUN("Hello", "tokenize", "--model=" VOCABULARY),
               twice = RUN("Hello", "tokenize", "-m", "absent", "--model", VOCABULARY, "--");
    assert_string_equal(spaced.out, "19923\n");
    assert_string_equal(attached.out, spaced.out);
    assert_string_equal(long_form.out, spaced.out);
    assert_string_equal(twice.out, spaced.out);
    result_free(&spaced), result_free(&attached), result_free(&long_form), result_free(&twice);
}

static void the_model_may_come_from_the_environment(void **state) {
    (void)state;
    setenv("DS4_MODEL", VOCABULARY, 1);
    run_result result = RUN("Hello", "tokenize");
    unsetenv("DS4_MODEL");
    assert_string_equal(result.out, "19923\n");
    result_free(&result);
}

/* The command with these words in front of its options prints the same for each way to name the built-in model. */
static void assert_built_in(const char *input, const char *const *words) {
    static const char *const ways[][2] = {{"-m", NANO_FILE}, {"-m", "nano"}, {NULL}};
    char *first = NULL;
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        const char *all[MAX_WORDS] = {NULL};
        size_t n = 0;
        for (; words[n]; n++) all[n] = words[n];
        for (size_t i = 0; i < 2; i++) all[n + i] = ways[way][i];
        run_result result = run_bytes(input, strlen(input), all);
        assert_string_equal(result.err, "");
        assert_int_equal(result.status, 0);
        assert_true(result.n_out > 0);
        if (first) assert_string_equal(result.out, first);
        if (!first) first = strdup(result.out);
        result_free(&result);
    }
    free(first);
}

static void without_a_model_the_built_in_one_is_used(void **state) {
    (void)state;
    assert_built_in("Hello", WORDS("tokenize"));
    assert_built_in("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", WORDS("render", "--tokens"));
    assert_built_in("", WORDS("score", make_file("said", "Hello", 5)));
    assert_built_in("", WORDS("-p", "Hello", "--temp", "0", "--think", "off", "-n", "8"));
    setenv("DS4_MODEL", "", 1); /* as if it were not there */
    assert_built_in("Hello", WORDS("tokenize"));
    setenv("DS4_MODEL", "nano", 1);
    assert_built_in("Hello", WORDS("tokenize"));
    unsetenv("DS4_MODEL");
    run_result built_in = RUN("", "inspect", "nano"), file = RUN("", "inspect", NANO_FILE);
    assert_int_equal(built_in.status, 0);
    assert_non_null(strstr(built_in.out, " ds4-nano\n"));
    assert_string_equal(strchr(built_in.out, '\n'), strchr(file.out, '\n')); /* the first line is the name */
    result_free(&built_in), result_free(&file);

    char *tokens = strdup(make_file("two.i32", "\1\0\0\0\2\0\0\0", 8)), *out = strdup(path_in_folder("two.f32"));
    run_result bare = RUN("", "logits", "--tokens", tokens, "--out", out);
    size_t n_bytes, n_bytes_of_file;
    char *logits = read_file(out, &n_bytes);
    run_result named = RUN("", "logits", "--tokens", tokens, "--out", out, "-m", NANO_FILE);
    char *logits_of_file = read_file(out, &n_bytes_of_file);
    assert_true(bare.status == 0 && named.status == 0 && n_bytes > 0);
    assert_int_equal(n_bytes, n_bytes_of_file);
    assert_memory_equal(logits, logits_of_file, n_bytes);
    free(tokens), free(out), free(logits), free(logits_of_file);
    result_free(&bare), result_free(&named);
}

static void a_file_called_nano_comes_before_the_built_in_model(void **state) {
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    make_file("nano", "no model", 8);
    assert_int_equal(chdir(folder), 0);
    run_result tokenize = RUN("x", "tokenize", "-m", "nano"), inspect = RUN("", "inspect", "nano");
    assert_int_equal(chdir(before), 0);
    assert_one_line(&tokenize, 1, "nano: not a GGUF file", "tokenize");
    assert_one_line(&inspect, 1, "nano: not a GGUF file", "inspect");
    result_free(&tokenize), result_free(&inspect);
}

/* ---- text ---------------------------------------------------------------------------------------- */

static void tokens_become_the_same_bytes_again(void **state) {
    (void)state;
    static const char text[] = "Zwei\n\tW\xc3\xb6rter \xe4\xb8\xad\xe6\x96\x87 <think> \0 \xff\xfe.";
    run_result ids = run_bytes(text, sizeof text, WORDS("tokenize", "-m", VOCABULARY));
    assert_int_equal(ids.status, 0);
    run_result back = run_bytes(ids.out, ids.n_out, WORDS("tokenize", "-m", VOCABULARY, "--decode"));
    assert_int_equal(back.status, 0);
    assert_int_equal(back.n_out, sizeof text);
    assert_memory_equal(back.out, text, sizeof text);
    result_free(&ids), result_free(&back);
}

static void special_makes_control_tokens(void **state) {
    (void)state;
    run_result special = RUN("<think>", "tokenize", "-m", VOCABULARY, "--special"),
               plain = RUN("<think>", "tokenize", "-m", VOCABULARY);
    assert_string_equal(special.out, "128821\n");
    assert_null(strstr(plain.out, "128821"));
    assert_true(plain.n_out > special.n_out);
    result_free(&special), result_free(&plain);
}

static void a_request_is_rendered_exactly(void **state) {
    (void)state;
    static const char request[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"<think>\"},"
                                  "{\"role\":\"user\",\"content\":\"Hello\"}],\"reasoning_effort\":\"none\"}";
    run_result text = RUN(request, "render"), ids = RUN(request, "render", "--tokens", "-m", VOCABULARY);
    assert_string_equal(text.out, "<｜begin▁of▁sentence｜><think><｜User｜>Hello<｜Assistant｜></think>");
    assert_int_equal(ids.status, 0);
    /* control tokens where the template has them, none where the text has their string */
    assert_memory_equal(ids.out, "0\n", 2);
    assert_null(strstr(ids.out, "128821"));
    assert_non_null(strstr(ids.out, "\n128803\n19923\n128804\n128822\n"));
    result_free(&text), result_free(&ids);
}

/* ---- numbers ------------------------------------------------------------------------------------- */

enum { N_VOCAB = 512 };

static float *logits_of(const int32_t *tokens, size_t n, const char *positions, size_t *n_values) {
    char *in = strdup(make_file("in.i32", tokens, n * sizeof *tokens)), *out = strdup(path_in_folder("out.f32"));
    run_result result =
        RUN("", "logits", "-m", model, "--tokens", in, "--out", out, "--positions", positions, "--exact");
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
    assert_int_equal(result.n_out, 0);
    size_t n_bytes;
    float *logits = (float *)(void *)read_file(out, &n_bytes);
    *n_values = n_bytes / sizeof *logits;
    unlink(out);
    free(in), free(out);
    result_free(&result);
    return logits;
}

static void logits_have_a_row_for_each_position(void **state) {
    (void)state;
    int32_t tokens[] = {0, 17, 300, 511, 4, 4, 4};
    size_t n_all, n_last;
    float *all = logits_of(tokens, 7, "all", &n_all), *last = logits_of(tokens, 7, "last", &n_last);
    assert_int_equal(n_all, 7 * N_VOCAB);
    assert_int_equal(n_last, N_VOCAB);
    for (size_t i = 0; i < N_VOCAB; i++) assert_true(fabsf(all[6 * N_VOCAB + i] - last[i]) < 1e-3f);
    free(all), free(last);
}

static void the_score_is_that_of_the_logits(void **state) {
    (void)state;
    enum { MAX = 64, WINDOW = 10 };
    static const char text[] = "Shapes at the declaration.";
    run_result ids = RUN(text, "tokenize", "-m", model);
    int32_t tokens[MAX];
    size_t n = 0;
    for (char *at = ids.out; *at && n < MAX;) tokens[n++] = (int32_t)strtol(at, &at, 10), at += *at == '\n';
    result_free(&ids);
    assert_true(n > 2 * WINDOW && n < MAX);

    double sum = 0;
    for (size_t at = 0; at < n; at += WINDOW) {
        int32_t window[WINDOW] = {0}; /* begins with BOS */
        size_t in_window = n - at < WINDOW ? n - at : WINDOW, n_values;
        memcpy(window + 1, tokens + at, (in_window - 1) * sizeof *tokens);
        float *logits = logits_of(window, in_window, "all", &n_values);
        for (size_t i = 0; i < in_window; i++) {
            double mass = 0;
            for (size_t v = 0; v < N_VOCAB; v++) mass += exp((double)logits[i * N_VOCAB + v]);
            sum += log(mass) - (double)logits[i * N_VOCAB + (size_t)tokens[at + i]];
        }
        free(logits);
    }
    run_result result = RUN("", "score", "-m", model, "--ctx", "10", make_file("text", text, strlen(text)));
    assert_int_equal(result.status, 0);
    size_t n_scored;
    double nll, perplexity;
    assert_int_equal(
        sscanf(result.out, "tokens %zu\nnll_per_token %lf\nperplexity %lf\n", &n_scored, &nll, &perplexity), 3);
    assert_int_equal(n_scored, n);
    assert_true(fabs(nll - sum / (double)n) < 1e-4);
    assert_true(fabs(perplexity / exp(nll) - 1) < 1e-6);
    result_free(&result);
}

static size_t files_that_remain(const char *beginning) {
    char command[256];
    snprintf(command, sizeof command, "ls '%s' | grep -c '^%s'", folder, beginning);
    FILE *count = popen(command, "r");
    assert_non_null(count);
    size_t n = 0;
    assert_int_equal(fscanf(count, "%zu", &n), 1);
    pclose(count);
    return n;
}

static void an_interrupted_run_leaves_no_file(void **state) {
    (void)state;
    enum { MANY = 200000 }; /* minutes of work */
    int32_t *tokens = calloc(MANY, sizeof *tokens);
    assert_non_null(tokens);
    char *in = strdup(make_file("many.i32", tokens, MANY * sizeof *tokens)), *out = strdup(path_in_folder("never.f32"));
    free(tokens);
    char *argv[] = {binary, "logits", "-m", (char *)(uintptr_t)model, "--tokens", in, "--out", out, NULL};
    FILE *none = tmpfile(), *err = tmpfile();
    pid_t pid = start(binary, argv, fileno(none), fileno(none), fileno(err));
    for (int i = 0; i < 3000 && files_that_remain("never") == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(kill(pid, SIGINT), 0);
    run_result result = {.status = exit_status(pid)};
    result.err = read_stream(err, &result.n_err);
    assert_one_line(&result, 1, "interrupted", "logits");
    assert_int_equal(files_that_remain("never"), 0);
    fclose(none), fclose(err);
    free(in), free(out);
    result_free(&result);
}

/* ---- the server ---------------------------------------------------------------------------------- */

static void a_server_that_is_told_to_end_does_so(void **state) {
    (void)state;
    char *argv[] = {binary, "serve", "-m", NANO_FILE, "--port", "0", NULL};
    FILE *none = tmpfile(), *err = tmpfile();
    pid_t pid = start(binary, argv, fileno(none), fileno(none), fileno(err));
    struct stat said = {0};
    for (int i = 0; i < 3000 && said.st_size == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        assert_int_equal(fstat(fileno(err), &said), 0);
    }
    assert_int_equal(kill(pid, SIGTERM), 0);
    run_result result = {.status = exit_status(pid)};
    result.err = read_stream(err, &result.n_err);
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(result.err, " listens at http://127.0.0.1:"));
    assert_non_null(strstr(result.err, "shutting down"));
    fclose(none), fclose(err);
    result_free(&result);
}

/* ---- answers ------------------------------------------------------------------------------------- */

#define ANSWER(input, ...) RUN(input, "-m", model, "--seed", "7", "-n", "12", "--think", "off", __VA_ARGS__)

static void an_answer_is_repeatable_with_its_seed(void **state) {
    (void)state;
    run_result one = ANSWER("", "-p", "Hello"), two = ANSWER("", "-p", "Hello"),
               other = ANSWER("", "-p", "Hello", "--seed", "8");
    assert_int_equal(one.status, 0);
    assert_string_equal(one.err, "");
    assert_true(one.n_out > 1 && one.out[one.n_out - 1] == '\n');
    assert_int_equal(one.n_out, two.n_out);
    assert_memory_equal(one.out, two.out, one.n_out);
    assert_true(one.n_out != other.n_out || memcmp(one.out, other.out, one.n_out) != 0);
    result_free(&one), result_free(&two), result_free(&other);
}

static void the_prompt_may_come_from_standard_input(void **state) {
    (void)state;
    run_result option = ANSWER("", "-p", "Hello"), dash = ANSWER("Hello\n", "-p", "-"), bare = ANSWER("Hello\n", "--"),
               more = ANSWER("Hello\n\n", "-p", "-");
    assert_int_equal(dash.status, 0);
    assert_string_equal(option.out, dash.out);
    assert_string_equal(option.out, bare.out);
    assert_string_not_equal(option.out, more.out);
    result_free(&option), result_free(&dash), result_free(&bare), result_free(&more);
}

static void reasoning_does_not_go_to_a_file(void **state) {
    (void)state;
    /* greedy and short: the tiny model does not end its reasoning */
    run_result result = RUN("", "-m", model, "--temp", "0", "-n", "5", "-p", "Hello");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.out, "");
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void a_full_context_ends_the_answer_with_a_note(void **state) {
    (void)state;
    run_result result =
        RUN("", "-m", model, "--system", "", "--think", "off", "--seed", "1", "--ctx", "20", "-p", "Hello");
    assert_one_line(&result, 0, "the context of 20 tokens is full", "answer");
    result_free(&result);
}

static void maximum_effort_becomes_high_in_a_small_context(void **state) {
    (void)state;
    run_result maximum = RUN("", "-m", model, "--think", "max", "--seed", "1", "-n", "1", "-p", "Hello");
    assert_one_line(&maximum, 0, "needs a context of 393216 tokens", "--think max");
    result_free(&maximum);
}

/* ---- the interactive chat ------------------------------------------------------------------------ */

typedef struct session {
    int terminal;
    pid_t pid;
    char seen[1 << 16]; /* since the last expect */
    size_t n_seen;
} session;

static void session_start(session *self, char *const *argv) {
    *self = (session){.terminal = posix_openpt(O_RDWR | O_NOCTTY)};
    assert_true(self->terminal >= 0 && grantpt(self->terminal) == 0 && unlockpt(self->terminal) == 0);
    const char *name = ptsname(self->terminal);
    assert_non_null(name);
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0) {
        signal(SIGINT, SIG_DFL);
        setsid();
        int line = open(name, O_RDWR); /* becomes the controlling terminal: Ctrl-C is a signal there */
        dup2(line, 0), dup2(line, 1), dup2(line, 2);
        close(self->terminal);
        execv(argv[0], argv);
        _exit(127);
    }
}

enum { PATIENCE_MS = 60000, RETRY_MS = 500 };

static void session_fail(session *self, const char *text) {
    kill(self->pid, SIGKILL);
    fail_msg("expected '%s', seen: %s", text, self->seen);
}

/* Waits until text has been printed, and forgets what was. False if it does not come in that time. */
static bool session_wait(session *self, const char *text, int timeout_ms) {
    struct pollfd ready = {.fd = self->terminal, .events = POLLIN};
    char *found;
    double end = time_seconds() + timeout_ms * 1e-3;
    self->seen[self->n_seen] = '\0';
    while (!(found = strstr(self->seen, text))) {
        double left = end - time_seconds();
        if (left <= 0 || poll(&ready, 1, (int)(left * 1000) + 1) == 0) return false;
        ssize_t n = -1;
        if (self->n_seen + 1 < sizeof self->seen)
            n = read(self->terminal, self->seen + self->n_seen, sizeof self->seen - 1 - self->n_seen);
        if (n <= 0) session_fail(self, text);
        for (ssize_t i = 0; i < n; i++)
            if (!self->seen[self->n_seen + (size_t)i]) self->seen[self->n_seen + (size_t)i] = '?';
        self->n_seen += (size_t)n;
        self->seen[self->n_seen] = '\0';
    }
    size_t used = (size_t)(found - self->seen) + strlen(text);
    memmove(self->seen, self->seen + used, self->n_seen - used);
    self->n_seen -= used;
    return true;
}

static void session_expect(session *self, const char *text) {
    if (!session_wait(self, text, PATIENCE_MS)) session_fail(self, text);
}

static void session_type(session *self, const char *text) {
    assert_int_equal(write(self->terminal, text, strlen(text)), (ssize_t)strlen(text));
}

/* A key that arrives while the terminal changes between line editing and answer is lost, as it would be for a
 * person, who presses it again. */
static void session_press_until(session *self, const char *key, const char *text) {
    for (int waited = 0; waited < PATIENCE_MS; waited += RETRY_MS) {
        session_type(self, key);
        if (session_wait(self, text, RETRY_MS)) return;
    }
    session_fail(self, text);
}

/* Ctrl-D until the program has ended; its status. One that comes while the terminal changes to line editing can
 * become a character of the line, which Ctrl-C then drops. */
static int session_end(session *self) {
    int status;
    for (int waited = 0; waited < PATIENCE_MS; waited += RETRY_MS) {
        const char *keys = waited ? "\003\004" : "\004";
        if (write(self->terminal, keys, strlen(keys)) < 0 && errno != EIO) break;
        for (int i = 0; i < 10; i++) {
            if (waitpid(self->pid, &status, WNOHANG) == self->pid) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            poll(NULL, 0, RETRY_MS / 10);
        }
    }
    session_fail(self, "the end");
    return -1;
}

/* Types a line at the prompt and expects an output before the next prompt. */
static void session_try(session *self, const char *line, const char *expected) {
    session_expect(self, "ds4> ");
    session_type(self, line);
    session_expect(self, expected);
}

static void the_interactive_chat_goes_on_after_mistakes(void **state) {
    (void)state;
    setenv("HOME", folder, 1);
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    char *argv[] = {binary, "-m", (char *)(uintptr_t)model, "--seed", "3", "--ctx", "8000", NULL};
    session chat;
    session_start(&chat, argv);
    session_expect(&chat, "context of 8000 tokens");
    session_try(&chat, "/help\r", "/think-max");
    session_try(&chat, "/nonsense\r", "ds4: unknown command /nonsense");
    session_try(&chat, "/ctx many\r", "ds4: /ctx: 'many', expected a whole number");
    session_try(&chat, "/ctx 99999999\r", "ds4: /ctx: '99999999'");
    session_try(&chat, "/read absent.txt\r", "ds4: absent.txt: cannot open");
    session_try(&chat, "/quit now\r", "ds4: /quit takes nothing behind it");
    session_try(&chat, "/think-max\r", "becomes high");
    /* Ctrl-C ends reasoning, which is marked, and the part that came stays in the timeline */
    session_try(&chat, "Hello\r", "<think>");
    session_press_until(&chat, "\003", "generation: ");
    session_try(&chat, "/nothink\r", "thinking: off");
    session_try(&chat, "/ctx 7000\r", "of 7000 tokens used");
    session_try(&chat, "again\r", "\n");
    session_press_until(&chat, "\003", "ds4> ");
    /* Ctrl-C drops a line */
    session_type(&chat, "half a line");
    session_expect(&chat, "half a line");
    session_press_until(&chat, "\003", "ds4> ");
    session_type(&chat, "/reset\r");
    session_expect(&chat, "new conversation");
    session_expect(&chat, "ds4> ");
    assert_int_equal(session_end(&chat), 0);
    close(chat.terminal);

    struct stat info;
    const char *history = path_in_folder(".ds4_history");
    assert_int_equal(stat(history, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    size_t n_bytes;
    char *lines = read_file(history, &n_bytes);
    assert_non_null(strstr(lines, "Hello"));
    assert_null(strstr(lines, "half"));
    free(lines);
}

static void a_terminal_is_told_that_the_model_is_the_built_in_one(void **state) {
    (void)state;
    setenv("HOME", folder, 1);
    char *argv[] = {binary, NULL};
    session chat;
    session_start(&chat, argv);
    session_expect(&chat, "ds4: no model given: using the built-in ds4-nano");
    session_expect(&chat, "ds4> ");
    assert_int_equal(session_end(&chat), 0);
    close(chat.terminal);
}

/* ---- main ---------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    const char *chosen = getenv("DS4_BINARY");
    if (!realpath(chosen && *chosen ? chosen : DS4_BINARY, binary)) {
        fprintf(stderr, "%s: %s\n", DS4_BINARY, strerror(errno));
        return -1;
    }
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/ds4-cli-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) return -1;
    model = tiny_model_path("tiny-a-f");
    unsetenv("DS4_MODEL");
    setenv("XDG_DATA_HOME", folder, 1); /* nothing is downloaded there */
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_usage_is_one_line_and_status_2),
        cmocka_unit_test(failures_are_one_line_and_status_1),
        cmocka_unit_test(a_damaged_model_is_inspected_with_status_1),
        cmocka_unit_test(lost_output_is_a_failure),
        cmocka_unit_test(every_command_has_help),
        cmocka_unit_test(the_help_lists_the_commands_and_no_others),
        cmocka_unit_test(a_link_name_chooses_the_command),
        cmocka_unit_test(options_take_their_value_in_every_usual_form),
        cmocka_unit_test(the_model_may_come_from_the_environment),
        cmocka_unit_test(without_a_model_the_built_in_one_is_used),
        cmocka_unit_test(a_file_called_nano_comes_before_the_built_in_model),
        cmocka_unit_test(tokens_become_the_same_bytes_again),
        cmocka_unit_test(special_makes_control_tokens),
        cmocka_unit_test(a_request_is_rendered_exactly),
        cmocka_unit_test(logits_have_a_row_for_each_position),
        cmocka_unit_test(the_score_is_that_of_the_logits),
        cmocka_unit_test(an_interrupted_run_leaves_no_file),
        cmocka_unit_test(a_server_that_is_told_to_end_does_so),
        cmocka_unit_test(an_answer_is_repeatable_with_its_seed),
        cmocka_unit_test(the_prompt_may_come_from_standard_input),
        cmocka_unit_test(reasoning_does_not_go_to_a_file),
        cmocka_unit_test(a_full_context_ends_the_answer_with_a_note),
        cmocka_unit_test(maximum_effort_becomes_high_in_a_small_context),
        cmocka_unit_test(the_interactive_chat_goes_on_after_mistakes),
        cmocka_unit_test(a_terminal_is_told_that_the_model_is_the_built_in_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
