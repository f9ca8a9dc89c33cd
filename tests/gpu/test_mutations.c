/*
 * Mistakes made on purpose in the kernels, one at a time, must be noticed: by a comparison with the exact operations or
 * by the simulator, which looks at every access. tests/gpu/mutations.txt lists them, with the scenes that they are
 * tried in. All are compiled at once, see tools/mutate_kernels.sh.
 *
 * A process prepares a scene and forks for every mistake that is tried in it; as many scenes as there are processors
 * are at work. The tests then report what came of it.
 */
#include "test.h"

#include "base/threads.h"
#include "support/twins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_MUTATIONS = 200, TEXT_BYTES = 256, MAX_SECONDS = 120 /* of one mutation in a scene */ };

/* ---- scenes ---- */

/* What the timelines have behind them, and a batch. */
struct scene {
    const char *name, *model;
    twins_rows rows;
    int first_layer, end_layer;
    int before[3], batch[3];
    bool all_wanted;
};

/* tiny-c-f has odd shapes. The scenes that take longest come first. */
static const struct scene SCENES[] = {
    {"long", "tiny-c-f", TWINS_FLOATS, 1, 2, {60, 3, 0}, {150, 3, 0}, false},
    {"prefill-odd", "tiny-c-f", TWINS_ROUNDED_FLOATS, 0, 2, {3, 690, 0}, {3, 34, 0}, true},
    {"one", "tiny-a-q2", TWINS_CODES, 2, 4, {639, 0, 0}, {1, 0, 0}, true},
    {"many", "tiny-b-q2", TWINS_CODES, 2, 4, {9, 505, 127}, {1, 11, 3}, true},
    {"prefill", "tiny-a-q2", TWINS_CODES, 2, 4, {61, 505, 0}, {5, 20, 0}, false},
    {"few-odd", "tiny-c-f", TWINS_CODES, 0, 2, {2, 126, 700}, {1, 2, 1}, false},
    {"few", "tiny-a-q2", TWINS_CODES, 2, 4, {2, 64, 515}, {2, 1, 1}, false},
    {"prefill-q4", "tiny-a-q4", TWINS_CODES, 2, 4, {505, 3, 0}, {20, 5, 0}, true},
    {"one-odd", "tiny-c-f", TWINS_FLOATS, 0, 2, {767, 0, 0}, {1, 0, 0}, true},
    {"one-q4", "tiny-a-q4", TWINS_CODES, 2, 4, {639, 0, 0}, {1, 0, 0}, true},
};

enum { N_SCENES = sizeof SCENES / sizeof *SCENES };

static void play(struct twins *twins, const struct scene *scene) {
    twins_check_batch(twins, scene->batch, scene->all_wanted);
}

/* ---- the list ---- */

typedef enum outcome { NOT_RUN, SURVIVED, BY_COMPARISON, BY_SIMULATOR, DIED } outcome;

/* Shared with the processes that try it. */
struct result {
    outcome outcome;
    int scene;
    double seconds;
    char message[TEXT_BYTES];
};

struct mutation {
    char name[TEXT_BYTES], scenes[TEXT_BYTES]; /* of the first of them that notices, the result */
    struct result *result;
};

static struct mutation mutations[MAX_MUTATIONS + 1]; /* from 1 on, as mutate_kernels.sh counts */
static int n_mutations;
static struct result *controls; /* [N_SCENES]: the kernels as they are */

static _Noreturn void give_up(const char *what) {
    perror(what);
    exit(1);
}

/* A name is at the start of a line; the first indented line ends with the scenes. */
static void read_list(const char *path) {
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file) give_up(path);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!line[0] || line[0] == '#') continue;
        struct mutation *m = &mutations[n_mutations];
        const char *bar = strrchr(line, '|');
        if (line[0] != ' ') {
            if (n_mutations == MAX_MUTATIONS) give_up("too many mutations");
            snprintf(mutations[++n_mutations].name, TEXT_BYTES, "%.*s", TEXT_BYTES - 1, line);
        } else if (!m->scenes[0] && bar) {
            snprintf(m->scenes, sizeof m->scenes, "%.*s ", TEXT_BYTES - 2, bar + 1);
        }
    }
    fclose(file);
}

static bool tried_in(const struct mutation *m, const struct scene *scene) {
    char name[TEXT_BYTES];
    snprintf(name, sizeof name, " %s ", scene->name);
    return strstr(m->scenes, name) || strstr(m->scenes, " all ");
}

/* ---- processes ---- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* An empty file without a name. */
static int new_output(void) {
    FILE *file = tmpfile();
    int output = file ? dup(fileno(file)) : -1;
    if (output < 0) give_up("tmpfile");
    fclose(file);
    return output;
}

/* What cmocka wrote of a failure, as older and newer versions do. */
static void read_message(int output, char *message) {
    static const char *const START[] = {"ERROR: ", "[  ERROR   ] --- "};
    static char text[1 << 16];
    ssize_t n = pread(output, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line != '\0')
        for (int i = 0; i < 2; i++) {
            size_t length = strlen(START[i]);
            if (strncmp(line, START[i], length) != 0) continue;
            snprintf(message, TEXT_BYTES, "%.*s", (int)strcspn(line + length, "\n"), line + length);
            return;
        }
}

static void write_result(struct result *result, int scene, int status, int output, double seconds) {
    if (result->outcome > SURVIVED) return; /* another scene has noticed */
    *result = (struct result){.scene = scene, .seconds = seconds};
    if (WIFSIGNALED(status)) {
        result->outcome = DIED;
        snprintf(result->message, sizeof result->message, "signal %d", WTERMSIG(status));
        return;
    }
    result->outcome = SURVIVED;
    if (WEXITSTATUS(status) == 0) return;
    read_message(output, result->message);
    result->outcome = strstr(result->message, "simulator: kernel") ? BY_SIMULATOR : BY_COMPARISON;
}

static bool is_forked; /* this process tries one mutation */

/* True in the new process, whose failed check leads to main through cmocka. */
static bool try_mutation(int number, int scene, struct result *result, int output) {
    char text[16];
    int status;
    double start = now();
    if (lseek(output, 0, SEEK_SET) != 0 || ftruncate(output, 0) != 0) give_up("output");
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) give_up("fork");
    if (pid == 0) {
        is_forked = true;
        snprintf(text, sizeof text, "%d", number);
        setenv("DS4_SIMULATOR_MUTATION", text, 1);
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        alarm(MAX_SECONDS);
        return true;
    }
    if (waitpid(pid, &status, 0) != pid) give_up("waitpid");
    write_result(result, scene, status, output, now() - start);
    return false;
}

static void play_scene(void **state) {
    const struct scene *scene = *state;
    int index = (int)(scene - SCENES);
    int output = new_output();
    struct twins *twins = twins_open(scene->model, scene->rows, 3);
    twins_skip(twins, scene->before);
    twins_use_layers(twins, scene->first_layer, scene->end_layer);
    if (try_mutation(0, index, &controls[index], output)) {
        play(twins, scene);
        return;
    }
    for (int i = 1; i <= n_mutations; i++) {
        struct mutation *m = &mutations[i];
        if (m->result->outcome > SURVIVED || !tried_in(m, scene)) continue;
        if (try_mutation(i, index, m->result, output)) {
            play(twins, scene);
            return;
        }
    }
    twins_close(twins);
    close(output);
}

/* A scene's process; inside, the processes of mutations end here, too. */
static _Noreturn void run_scene(const struct scene *scene) {
    const struct CMUnitTest test[] = {{scene->name, play_scene, NULL, NULL, (void *)(uintptr_t)scene}};
    int output = new_output();
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    int n_failed = cmocka_run_group_tests_name("scene", test, NULL, NULL);
    fflush(NULL);
    if (n_failed && !is_forked) read_message(output, controls[scene - SCENES].message);
    _exit(n_failed != 0);
}

static void run_scenes(void) {
    int n_processes = processor_count(), n_running = 0;
    for (int s = 0; s < N_SCENES || n_running > 0;) {
        if (s < N_SCENES && n_running < n_processes) {
            fflush(NULL);
            pid_t pid = fork();
            if (pid < 0) give_up("fork");
            if (pid == 0) run_scene(&SCENES[s]);
            n_running++;
            s++;
        } else {
            if (wait(NULL) < 0) give_up("wait");
            n_running--;
        }
    }
}

/* ---- tests: what came of it ---- */

static void must_pass(void **state) {
    const struct result *result = *state;
    if (result->outcome != SURVIVED) fail_msg("%s", result->message);
    print_message("             %.1f s\n", result->seconds);
}

static void must_be_noticed(void **state) {
    static const char *const TEXT[] = {[NOT_RUN] = "not tried", [SURVIVED] = "not noticed", [DIED] = "died"};
    const struct mutation *m = *state;
    const struct result *result = m->result;
    if (result->outcome != BY_COMPARISON && result->outcome != BY_SIMULATOR)
        fail_msg("%s (scenes:%s): %s", TEXT[result->outcome], m->scenes, result->message);
    print_message("             %s, %.1f s: %s\n", SCENES[result->scene].name, result->seconds, result->message);
}

static void *shared_memory(size_t n_bytes) {
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    if (memory == MAP_FAILED) give_up("mmap");
    return memory;
}

int main(void) {
    static struct CMUnitTest tests[N_SCENES + MAX_MUTATIONS];
    static char names[N_SCENES][TEXT_BYTES];
    setenv("DS4_SIMULATOR", MUTATIONS_FOLDER "/ds4-simulator.so", 1);
    setenv("DS4_SIMULATOR_CHECK", "1", 0);
    setenv("DS4_SIMULATOR_BUFFER_MB", "4", 1); /* so that races are noticed */
    read_list("tests/gpu/mutations.txt");
    controls = shared_memory(((size_t)N_SCENES + MAX_MUTATIONS) * sizeof *controls);
    for (int i = 1; i <= n_mutations; i++) mutations[i].result = &controls[N_SCENES + i - 1];
    run_scenes();

    for (int s = 0; s < N_SCENES; s++) {
        snprintf(names[s], sizeof names[s], "no mistake: %s", SCENES[s].name);
        tests[s] = (struct CMUnitTest){names[s], must_pass, NULL, NULL, &controls[s]};
    }
    for (int i = 1; i <= n_mutations; i++)
        tests[N_SCENES + i - 1] = (struct CMUnitTest){mutations[i].name, must_be_noticed, NULL, NULL, &mutations[i]};
    /* the number of tests is not known when this is compiled */
    return _cmocka_run_group_tests("mutations", tests, (size_t)(N_SCENES + n_mutations), NULL, NULL);
}
