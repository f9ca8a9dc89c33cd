/* ds4 bench from outside: that what it prints can be read and fits together. How fast anything is does not matter here.
 */
#define _XOPEN_SOURCE 700 /* pseudo terminals */

#include "test.h"

#include "base/bandwidth.h"
#include "base/file.h"
#include "base/system.h"

#include "support/tiny_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef DS4_BINARY
#define DS4_BINARY "build/ds4"
#endif

extern char **environ;

static char binary[4096];
static char folder[64]; /* for files of these tests, and the program's TMPDIR */
static const char *model;

/* ---- running the program ------------------------------------------------------------------------- */

enum { MAX_WORDS = 24, PATIENCE_SECONDS = 120 };

typedef struct run_result {
    char *out, *err; /* with a NUL behind */
    int status;      /* of the exit; 128 + signal if one ended it */
} run_result;

typedef struct running {
    pid_t pid;
    FILE *out, *err;
} running;

static char *read_stream(FILE *stream) {
    ds4_buffer content = {0};
    ds4_error error;
    rewind(stream);
    assert_ok(stream_read_all(stream, "output", (size_t)1 << 24, &content, &error), &error);
    fclose(stream);
    return content.data ? content.data : calloc(1, 1);
}

static running start(const char *program, const char *const *words, int err) {
    char *argv[MAX_WORDS + 2] = {(char *)(uintptr_t)program};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i < MAX_WORDS);
        argv[i + 1] = (char *)(uintptr_t)words[i];
    }
    running self = {.out = tmpfile(), .err = tmpfile()};
    assert_true(self.out && self.err);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fileno(self.out), 1);
    posix_spawn_file_actions_adddup2(&actions, err >= 0 ? err : fileno(self.err), 2);
    /* the test itself may have been started deaf to Ctrl-C */
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    assert_int_equal(posix_spawnattr_init(&attributes), 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(&self.pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed) fail_msg("%s: %s", program, strerror(failed));
    return self;
}

static run_result finish(running self) {
    int status;
    while (waitpid(self.pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return (run_result){.out = read_stream(self.out),
                        .err = read_stream(self.err),
                        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
}

static void result_free(run_result *result) {
    free(result->out);
    free(result->err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RUN(...) finish(start(binary, WORDS("bench", __VA_ARGS__), -1))
/* Quick: little work, and bandwidth is not measured. */
#define SMALL "--ctx", "2,5,9", "-n", "2", "--repeat", "2", "--bandwidth", "10", "-t", "2"

static char *path_in_folder(const char *name) {
    static char path[4][160];
    static int next;
    char *chosen = path[next++ % 4];
    snprintf(chosen, sizeof path[0], "%s/%s", folder, name);
    return chosen;
}

/* Another name for the model. */
static char *model_called(const char *name) {
    char cwd[2048], target[4096], *link = path_in_folder(name);
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(target, sizeof target, "%s/%s", cwd, model);
    unlink(link);
    assert_int_equal(symlink(target, link), 0);
    return link;
}

static size_t files_with(const char *part) {
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(entries));) n += strstr(entry->d_name, part) != NULL;
    closedir(entries);
    return n;
}

static bool wait_for_files(const char *part, bool wanted) {
    for (int i = 0; i < PATIENCE_SECONDS * 100; i++) {
        if ((files_with(part) > 0) == wanted) return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

static void assert_one_line(const run_result *result, int status, const char *said, const char *what) {
    const char *end = strchr(result->err, '\n');
    if (result->status != status || !end || end[1] || strncmp(result->err, "ds4: ", 5) != 0 ||
        !strstr(result->err, said))
        fail_msg("%s: status %d, expected %d and one line with '%s', stderr: %s", what, result->status, status, said,
                 result->err);
}

static void assert_good(const run_result *result) {
    if (result->status != 0 || *result->err) fail_msg("status %d, stderr: %s", result->status, result->err);
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static json_t *parse(const char *text) {
    json_error_t error;
    json_t *object = json_loads(text, 0, &error);
    if (!object) fail_msg("not JSON: %s in line %d of: %s", error.text, error.line, text);
    return object;
}

static double number(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("'%s' is not a number", key);
    return json_number_value(value);
}

static void assert_speed(const json_t *row, const char *key, int n_runs) {
    const json_t *speed = json_object_get(row, key);
    assert_int_equal((int)number(speed, "runs"), n_runs);
    assert_true(number(speed, "lowest") > 0);
    assert_true(number(speed, "lowest") <= number(speed, "median"));
    assert_true(number(speed, "median") <= number(speed, "highest"));
    if (n_runs == 1) assert_true(number(speed, "lowest") == number(speed, "highest"));
}

static void assert_near(double a, double b) {
    if (fabs(a - b) > 1e-4 * fabs(b)) fail_msg("%g, expected %g", a, b);
}

static void json_says_what_was_measured_at_each_context(void **state) {
    (void)state;
    static const int context[] = {2, 5, 9};
    run_result result = RUN("-m", model, SMALL, "--chunk", "3", "--json");
    assert_good(&result);
    json_t *object = parse(result.out), *rows = json_object_get(object, "contexts");
    assert_string_equal(json_string_value(json_object_get(object, "version")), DS4_VERSION);
    assert_string_equal(json_string_value(json_object_get(object, "model")), model);
    assert_string_equal(json_string_value(json_object_get(object, "backend")), "cpu");
    assert_true(json_is_true(json_object_get(object, "complete")));
    assert_int_equal((int)number(object, "chunk"), 3);
    assert_int_equal((int)number(object, "threads"), 2);
    assert_int_equal((int)number(object, "decode_tokens"), 2);
    assert_true(number(object, "load_seconds") > 0);
    struct stat info;
    assert_int_equal(stat(model, &info), 0);
    assert_true(number(object, "model_bytes") == (double)info.st_size);
    assert_int_equal(json_array_size(rows), 3);
    double before = 0, first_token = 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *row = json_array_get(rows, i);
        assert_int_equal((int)number(row, "context"), context[i]);
        assert_true(number(row, "prefill_tokens") == context[i] - before);
        assert_speed(row, "prefill_tokens_per_second", 2);
        assert_speed(row, "decode_tokens_per_second", 2);
        double decode = number(json_object_get(row, "decode_tokens_per_second"), "median");
        assert_true(number(row, "weight_bytes") > 0 && number(row, "weight_bytes") < (double)info.st_size);
        assert_near(number(row, "weight_gb_per_second"), number(row, "weight_bytes") * decode * 1e-9);
        assert_near(number(row, "bandwidth_share"), number(row, "weight_gb_per_second") / 10);
        assert_true(number(row, "first_token_seconds") > first_token);
        assert_true(number(row, "timeline_bytes") > 0);
        first_token = number(row, "first_token_seconds");
        before = context[i];
    }
    json_decref(object);
    result_free(&result);
}

static void bandwidth_and_memory_are_those_of_the_run(void **state) {
    (void)state;
    run_result result = RUN("-m", model, "--ctx", "3", "-n", "1", "--json", "-t", "2");
    assert_good(&result);
    json_t *object = parse(result.out), *bandwidth = json_object_get(object, "bandwidth"),
           *memory = json_object_get(object, "memory");
    double measured = number(bandwidth, "before"), after = number(bandwidth, "after");
    assert_true(measured > 0.01 && after > 0.01);
    assert_near(number(bandwidth, "gb_per_second"), measured > after ? measured : after);
    assert_true(number(memory, "resident_bytes") > 0);
    assert_true(number(memory, "peak_bytes") >= number(memory, "resident_bytes"));
#ifdef __linux__
    /* the model is small: what bandwidth was measured on is not counted */
    assert_true(number(memory, "peak_bytes") < (double)BANDWIDTH_DEFAULT_BYTES);
    assert_true(number(memory, "anonymous_bytes") > 0 && number(memory, "file_bytes") > 0);
#endif
    json_decref(object);
    result_free(&result);
}

static void a_gpu_has_no_share_of_what_processors_read(void **state) {
    (void)state;
    run_result result = RUN("-m", model, "--ctx", "3", "-n", "1", "--repeat", "1", "--json", "--backend", "sim");
    if (result.status == 1 && strstr(result.err, "simulator")) { /* not built: nothing to show, and it says so */
        result_free(&result);
        return;
    }
    assert_good(&result);
    json_t *object = parse(result.out), *row = json_array_get(json_object_get(object, "contexts"), 0);
    assert_true(json_is_null(json_object_get(json_object_get(object, "bandwidth"), "gb_per_second")));
    assert_true(json_is_null(json_object_get(row, "bandwidth_share")));
    assert_true(number(row, "weight_gb_per_second") > 0);
    json_decref(object);
    result_free(&result);
}

static void one_run_has_no_range(void **state) {
    (void)state;
    run_result result =
        RUN("-m", model, "--ctx", "5", "-n", "1", "--repeat", "1", "--bandwidth", "0.5", "--json", "--exact");
    assert_good(&result);
    json_t *object = parse(result.out), *row = json_array_get(json_object_get(object, "contexts"), 0);
    assert_speed(row, "prefill_tokens_per_second", 1);
    assert_speed(row, "decode_tokens_per_second", 1);
    assert_true(json_is_true(json_object_get(object, "exact")));
    json_decref(object);
    result_free(&result);
}

/* ---- table and CSV ------------------------------------------------------------------------------- */

static void the_table_has_a_line_for_each_context(void **state) {
    (void)state;
    run_result result = RUN("-m", model, SMALL);
    assert_good(&result);
    assert_memory_equal(result.out, "ds4 " DS4_VERSION, strlen("ds4 " DS4_VERSION));
    const char *at = strstr(result.out, "\n  context ");
    assert_non_null(at);
    for (int i = 0; i < 3; i++) {
        static const long context[] = {2, 5, 9};
        at = strchr(at + 1, '\n');
        char *end;
        assert_int_equal(strtol(at, &end, 10), context[i]);
        assert_true(strtod(end, NULL) > 0);
    }
    assert_non_null(strstr(result.out, "bandwidth taken as 10.00 GB/s, not measured"));
    result_free(&result);
}

enum { MAX_FIELDS = 48 };

/* Cuts a line of CSV into its fields, in place; returns the line behind it. */
static char *split_csv(char *line, char *field[MAX_FIELDS], size_t *n_fields) {
    *n_fields = 0;
    for (;;) {
        bool quoted = *line == '"';
        char *to = line += quoted;
        assert_true(*n_fields < MAX_FIELDS);
        field[(*n_fields)++] = to;
        for (; quoted ? *line != '"' || line[1] == '"' : *line != ',' && *line != '\n'; line++) {
            assert_true(*line);
            line += quoted && *line == '"';
            *to++ = *line;
        }
        line += quoted;
        char end = *line;
        *to = '\0';
        assert_true(end == ',' || end == '\n');
        line++;
        if (end == '\n') return line;
    }
}

static const char *column(char *const *names, char *const *fields, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return fields[i];
    fail_msg("there is no column '%s'", name);
    return NULL;
}

static void csv_has_the_same_columns_in_every_row(void **state) {
    (void)state;
    const char *odd = model_called("a \"model\", or two");
    run_result result = RUN("-m", odd, SMALL, "--csv");
    assert_good(&result);
    char *names[MAX_FIELDS], *fields[MAX_FIELDS];
    size_t n_names, n_fields, n_rows = 0;
    for (char *at = split_csv(result.out, names, &n_names); *at; n_rows++) {
        at = split_csv(at, fields, &n_fields);
        assert_int_equal(n_fields, n_names);
        assert_string_equal(column(names, fields, n_names, "model"), odd);
        assert_string_equal(column(names, fields, n_names, "version"), DS4_VERSION);
        assert_string_equal(column(names, fields, n_names, "decode_runs"), "2");
        double share = atof(column(names, fields, n_names, "bandwidth_share"));
        assert_true(share > 0);
        assert_near(share, atof(column(names, fields, n_names, "weight_gb_per_second")) / 10);
    }
    assert_int_equal(n_rows, 3);
    assert_int_equal(n_names, 31);
    assert_string_equal(names[0], "context");
    assert_string_equal(names[n_names - 1], "date");
    result_free(&result);
}

/* ---- the plot ------------------------------------------------------------------------------------ */

/* Elements that are closed in order, quoted attributes, known entities: what XML wants of this file. */
static void assert_well_formed(const char *text) {
    char open[16][16];
    size_t depth = 0;
    for (const char *at = text; *at;) {
        if (*at == '&') {
            static const char *const entities[] = {"&amp;", "&lt;", "&gt;"};
            bool known = false;
            for (size_t i = 0; i < 3; i++) known = known || strncmp(at, entities[i], strlen(entities[i])) == 0;
            if (!known) fail_msg("a bare & at: %.40s", at);
        }
        if (*at++ != '<') continue;
        bool closes = *at == '/';
        size_t n = strspn(at += closes, "abcdefghijklmnopqrstuvwxyz");
        if (n == 0 || n >= sizeof open[0]) fail_msg("no element at: %.40s", at);
        if (closes) {
            if (!depth-- || strncmp(open[depth], at, n) != 0 || open[depth][n] || at[n] != '>')
                fail_msg("nothing to close at: %.40s", at);
            continue;
        }
        const char *name = at;
        bool quoted = false;
        for (at += n; quoted || *at != '>'; at++) {
            if (!*at || (quoted ? *at == '<' : *at == '<')) fail_msg("an element without end: %.40s", name);
            quoted ^= *at == '"';
        }
        if (at[-1] == '/') continue;
        assert_true(depth < 16);
        snprintf(open[depth++], sizeof open[0], "%.*s", (int)n, name);
    }
    assert_int_equal(depth, 0);
}

static size_t count_of(const char *text, const char *part) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++) n++;
    return n;
}

static void assert_plot(const char *path, size_t n_contexts, const char *said) {
    ds4_buffer text = {0};
    ds4_error error;
    assert_ok(file_read_all(path, 1 << 20, &text, &error), &error);
    assert_well_formed(text.data);
    assert_int_equal(count_of(text.data, "<circle class=\"dot prefill\""), n_contexts);
    assert_int_equal(count_of(text.data, "<circle class=\"dot decode\""), n_contexts);
    if (!strstr(text.data, said)) fail_msg("the plot does not say '%s'", said);
    if (strstr(text.data, "nan") || strstr(text.data, "inf\"")) fail_msg("the plot has numbers that are none");
    ds4_buffer_deinit(&text);
}

static void the_plot_is_well_formed_and_has_a_point_for_each_context(void **state) {
    (void)state;
    char *plot = strdup(path_in_folder("plot.svg"));
    run_result result = RUN("-m", model_called("a<b>&c.gguf"), SMALL, "--plot", plot);
    assert_good(&result);
    assert_plot(plot, 3, "a&lt;b&gt;&amp;c.gguf");
    result_free(&result);
    /* one context leaves nothing to scale an axis with; a bandwidth that is not much more than is reached is drawn */
    result = RUN("-m", model, "--ctx", "7", "-n", "1", "--bandwidth", "0.001", "--plot", plot, "--json");
    assert_good(&result);
    json_decref(parse(result.out));
    assert_plot(plot, 1, "Decode");
    assert_int_equal(files_with("partial"), 0);
    unlink(plot);
    free(plot);
    result_free(&result);
}

static void a_plot_that_cannot_be_written_is_noticed_at_once(void **state) {
    (void)state;
    /* the model is not even looked for */
    run_result result = RUN("-m", path_in_folder("absent.gguf"), "--plot", path_in_folder("absent/plot.svg"));
    assert_one_line(&result, 1, "absent/plot.svg: cannot open for writing", "--plot");
    assert_string_equal(result.out, "");
    result_free(&result);
}

static void a_full_disk_leaves_the_old_plot(void **state) {
    (void)state;
    char *plot = strdup(path_in_folder("old.svg"));
    FILE *old = fopen(plot, "w");
    assert_true(old && fputs("old", old) >= 0 && fclose(old) == 0);
    char command[4400];
    snprintf(command, sizeof command, "ulimit -f 1; exec '%s' \"$@\"", binary);
    run_result result = finish(start("/bin/sh",
                                     WORDS("-c", command, "ds4", "bench", "-m", model, "--ctx", "3,4,5,6,7,8,9,10",
                                           "-n", "1", "--repeat", "1", "--bandwidth", "1", "--plot", plot),
                                     -1));
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, "old.svg: cannot write"));
    assert_int_equal(files_with("partial"), 0);
    ds4_buffer text = {0};
    ds4_error error;
    assert_ok(file_read_all(plot, 16, &text, &error), &error);
    assert_string_equal(text.data, "old");
    ds4_buffer_deinit(&text);
    unlink(plot);
    free(plot);
    result_free(&result);
}

/* ---- wrong usage and failures -------------------------------------------------------------------- */

typedef struct bad_case {
    const char *words[MAX_WORDS];
    const char *said;
} bad_case;

static void check_bad(const bad_case *cases, size_t n, int status) {
    for (size_t i = 0; i < n; i++) {
        char what[512] = "";
        const char *words[MAX_WORDS + 1] = {"bench"};
        for (size_t w = 0; cases[i].words[w]; w++) {
            words[w + 1] = cases[i].words[w];
            snprintf(what + strlen(what), sizeof what - strlen(what), " %s", words[w + 1]);
        }
        run_result result = finish(start(binary, words, -1));
        assert_one_line(&result, status, cases[i].said, what);
        if (*result.out) fail_msg("%s: prints '%s' on stdout", what, result.out);
        result_free(&result);
    }
}

static void wrong_usage_is_one_line_and_status_2(void **state) {
    (void)state;
    static const char many[] =
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33";
    const bad_case cases[] = {
        {{"--ctx", "512,512"}, "--ctx: '512,512', expected ascending numbers"},
        {{"--ctx", "512,128"}, "--ctx: '512,128', expected ascending numbers"},
        {{"--ctx", "0,512"}, "--ctx: '0,512'"},
        {{"--ctx", ""}, "--ctx: ''"},
        {{"--ctx", "512,"}, "--ctx: '512,'"},
        {{"--ctx", "512;1024"}, "--ctx: '512;1024'"},
        {{"--ctx", "99999999999999999999999999"}, "--ctx: '9999"},
        {{"--ctx", many}, "at most 32"},
        {{"-m", model, "--bandwidth", "1", "--ctx", "8,2000000000"}, "--ctx: 2000000000, the model allows at most "},
        {{"-n", "0"}, "-n: '0'"},
        {{"--repeat", "0"}, "--repeat: '0'"},
        {{"--repeat", "many"}, "--repeat: 'many'"},
        {{"--chunk", "0"}, "--chunk: '0'"},
        {{"--bandwidth", "0"}, "--bandwidth: '0'"},
        {{"--bandwidth", "nan"}, "--bandwidth: 'nan'"},
        {{"--json", "--csv"}, "--json and --csv do not go together"},
        {{"-m", model, "--synth", "q2"}, "-m and --synth do not go together"},
        {{"--synth", "q3"}, "--synth: 'q3', expected q2, q2-imatrix, q4, q4-imatrix or q2-q4"},
        {{"--backend", "abacus"}, "backend 'abacus' is not in this build"},
        {{"--count", "q2", "--csv"}, "--count and --csv do not go together"},
        {{"--count", "q2", "-m", model}, "--count and -m do not go together"},
        {{"--count", "q2", "--plot", "x.svg"}, "--count and --plot do not go together"},
        {{"--count", "q3"}, "--count: 'q3', expected q2"},
        {{"x"}, "unexpected argument 'x'"},
    };
    check_bad(cases, sizeof cases / sizeof *cases, 2);
}

static void failures_are_one_line_and_status_1(void **state) {
    (void)state;
    const bad_case cases[] = {
        {{"-m", path_in_folder("absent"), "--bandwidth", "1"}, "absent: cannot open"},
        {{"-m", "LICENSE", "--bandwidth", "1"}, "LICENSE"},
        {{"-m", model, "--bandwidth", "1", "--plot", ""}, "name of the file to write is empty"},
    };
    check_bad(cases, sizeof cases / sizeof *cases, 1);
}

static void counting_still_predicts(void **state) {
    (void)state;
    run_result result = RUN("--count", "q2", "--ctx", "0,9000", "--chunk", "2", "--json");
    assert_good(&result);
    json_t *object = parse(result.out), *prediction = json_object_get(object, "prediction"),
           *machines = json_object_get(prediction, "decode");
    assert_int_equal(json_array_size(json_object_get(object, "cases")), 3);
    size_t n_fit = 0, n = json_array_size(machines);
    for (size_t i = 0; i < n; i++) {
        const json_t *speeds = json_object_get(json_array_get(machines, i), "tokens_per_second");
        assert_int_equal(json_array_size(speeds), 2);
        n_fit += json_is_number(json_array_get(speeds, 1));
    }
    assert_true(n_fit > 0 && n_fit < n); /* the smallest machines cannot hold it */
    json_decref(object);
    result_free(&result);
}

/* ---- interruptions ------------------------------------------------------------------------------- */

/* A terminal that shows what the program does. */
static int terminal_open(int *program_end) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    *program_end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(*program_end >= 0);
    return terminal;
}

/* Ends the program if it does not come. */
static void terminal_expect(int terminal, const running *self, const char *text) {
    enum { KEPT = 256 };
    char seen[2 * KEPT + 1];
    size_t n = 0;
    do {
        if (n > KEPT) memmove(seen, seen + n - KEPT, KEPT), n = KEPT;
        ssize_t got = read(terminal, seen + n, KEPT);
        if (got <= 0) {
            kill(self->pid, SIGKILL);
            fail_msg("expected '%s', seen: %.*s", text, (int)n, seen);
        }
        seen[n += (size_t)got] = '\0';
    } while (!strstr(seen, text));
}

static void an_interrupted_run_shows_what_it_has_measured(void **state) {
    (void)state;
    int line, terminal = terminal_open(&line);
    setenv("TERM", "xterm", 1);
    char *plot = strdup(path_in_folder("half.svg"));
    running self = start(binary,
                         WORDS("bench", "-m", model, "--ctx", "4,30000", "-n", "4096", "--repeat", "100", "--bandwidth",
                               "1", "--json", "--plot", plot),
                         line);
    close(line);
    terminal_expect(terminal, &self, "decode at 4 ");
    assert_int_equal(kill(self.pid, SIGINT), 0);
    terminal_expect(terminal, &self, "ds4: interrupted");
    run_result result = finish(self);
    assert_int_equal(result.status, 1);
    json_t *object = parse(result.out), *rows = json_object_get(object, "contexts");
    assert_true(json_is_false(json_object_get(object, "complete")));
    assert_int_equal(json_array_size(rows), 1);
    const json_t *row = json_array_get(rows, 0), *decode = json_object_get(row, "decode_tokens_per_second");
    assert_true(number(json_object_get(row, "prefill_tokens_per_second"), "median") > 0);
    if (number(decode, "runs") == 0) {
        assert_true(json_is_null(json_object_get(decode, "median")));
        assert_true(json_is_null(json_object_get(row, "bandwidth_share")));
    }
    assert_int_equal(files_with("half.svg.partial"), 0);
    assert_int_equal(access(plot, F_OK), 0);
    unlink(plot);
    free(plot);
    json_decref(object);
    result_free(&result);
    close(terminal);
}

/* ---- synthetic models ---------------------------------------------------------------------------- */

/* What a machine with too little memory says to --synth before anything is written; the tests below then show that. */
static const char TOO_SMALL[] = "of memory are missing";

static void a_model_that_cannot_be_written_leaves_nothing(void **state) {
    (void)state;
    char command[4400];
    snprintf(command, sizeof command, "ulimit -f 8192; exec '%s' \"$@\"", binary);
    run_result result = finish(start("/bin/sh", WORDS("-c", command, "ds4", "bench", "--synth", "q2"), -1));
    assert_one_line(&result, 1, strstr(result.err, TOO_SMALL) ? TOO_SMALL : "model.gguf: cannot write", "--synth");
    assert_string_equal(result.out, "");
    assert_int_equal(files_with("ds4-bench"), 0);
    result_free(&result);
    setenv("TMPDIR", path_in_folder("absent"), 1);
    result = RUN("--synth", "q2");
    setenv("TMPDIR", folder, 1);
    assert_one_line(&result, 1, "absent: cannot make a folder", "--synth");
    result_free(&result);
}

static void however_writing_a_model_ends_nothing_stays(void **state) {
    (void)state;
    static const int signals[] = {SIGINT, SIGKILL};
    for (size_t i = 0; i < 2; i++) {
        running self = start(binary, WORDS("bench", "--synth", "q2"), -1);
        bool begun = wait_for_files("ds4-bench", true);
        /* inside the folder something grows */
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
        assert_int_equal(kill(self.pid, signals[i]), 0);
        run_result result = finish(self);
        if (strstr(result.err, TOO_SMALL)) {
            assert_one_line(&result, 1, TOO_SMALL, "--synth");
        } else if (signals[i] == SIGINT) {
            assert_true(begun);
            assert_one_line(&result, 1, "interrupted", "--synth");
            assert_int_equal(files_with("ds4-bench"), 0);
        } else {
            assert_int_equal(result.status, 128 + SIGKILL);
            assert_true(wait_for_files("ds4-bench", false));
        }
        result_free(&result);
    }
}

/* ---- the machine --------------------------------------------------------------------------------- */

static void bandwidth_is_measured(void **state) {
    (void)state;
    ds4_error error;
    for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
        double rate = 0;
        assert_ok(bandwidth_measure(n_threads, ((size_t)5 << 20) + 12345, &rate, &error), &error);
        assert_true(rate > 1e6 && rate < 1e14);
    }
    double untouched = -1;
    assert_int_equal(bandwidth_measure(0, 0, &untouched, &error), DS4_ERROR_ARGUMENT);
    assert_int_equal(bandwidth_measure(1, 1000, &untouched, &error), DS4_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "1000 bytes"));
    assert_int_equal(bandwidth_measure(1, SIZE_MAX / 2, &untouched, &error), DS4_ERROR_MEMORY);
    assert_true(untouched == -1);
}

static void memory_in_use_is_seen(void **state) {
    (void)state;
    enum { N_BYTES = 64 << 20 };
    uint64_t total = system_memory_bytes();
    assert_true(total > (uint64_t)1 << 26 && system_memory_available_bytes() <= total);
    process_memory before = process_memory_now();
    void *bytes = mmap(NULL, N_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    assert_true(bytes != MAP_FAILED);
    memset(bytes, 1, N_BYTES);
    process_memory during = process_memory_now();
    munmap(bytes, N_BYTES);
    process_memory after = process_memory_now();
    assert_true(during.resident_bytes > before.resident_bytes + N_BYTES / 2);
    assert_true(after.resident_bytes < during.resident_bytes - N_BYTES / 2);
    assert_true(after.peak_bytes > before.resident_bytes + N_BYTES / 2);
    if (process_memory_reset_peak()) assert_true(process_memory_now().peak_bytes < during.resident_bytes - N_BYTES / 2);
}

/* ---- main ---------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    const char *chosen = getenv("DS4_BINARY"), *temporary = getenv("TMPDIR");
    if (!realpath(chosen && *chosen ? chosen : DS4_BINARY, binary)) {
        fprintf(stderr, "%s: %s\n", DS4_BINARY, strerror(errno));
        return -1;
    }
    snprintf(folder, sizeof folder, "%.40s/ds4-test-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) return -1;
    setenv("TMPDIR", folder, 1);
    unsetenv("DS4_MODEL");
    model = tiny_model_path("tiny-a-q2");
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
        cmocka_unit_test(json_says_what_was_measured_at_each_context),
        cmocka_unit_test(bandwidth_and_memory_are_those_of_the_run),
        cmocka_unit_test(a_gpu_has_no_share_of_what_processors_read),
        cmocka_unit_test(one_run_has_no_range),
        cmocka_unit_test(the_table_has_a_line_for_each_context),
        cmocka_unit_test(csv_has_the_same_columns_in_every_row),
        cmocka_unit_test(the_plot_is_well_formed_and_has_a_point_for_each_context),
        cmocka_unit_test(a_plot_that_cannot_be_written_is_noticed_at_once),
        cmocka_unit_test(a_full_disk_leaves_the_old_plot),
        cmocka_unit_test(wrong_usage_is_one_line_and_status_2),
        cmocka_unit_test(failures_are_one_line_and_status_1),
        cmocka_unit_test(counting_still_predicts),
        cmocka_unit_test(an_interrupted_run_shows_what_it_has_measured),
        cmocka_unit_test(a_model_that_cannot_be_written_leaves_nothing),
        cmocka_unit_test(however_writing_a_model_ends_nothing_stays),
        cmocka_unit_test(bandwidth_is_measured),
        cmocka_unit_test(memory_in_use_is_seen),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
