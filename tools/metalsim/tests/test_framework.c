/*
 * The simulated framework must let a correct program through and report every mistake. Each test is a process of its
 * own that starts with a device, a queue and a library, does something, and cleans up.
 * test_framework FRAMEWORK.metallib FRAMEWORK.metal [TEST]
 */
#include "framework_scene.h"
#include "report.h"

#include <sys/wait.h>

static const char *library_path, *source_path;

static void set_scene(struct scene *s) {
    id error = NULL;
    *s = (struct scene){.pool = objc_autoreleasePoolPush(), .source_path = source_path};
    s->device = MTLCreateSystemDefaultDevice();
    s->queue = mtl_new_queue(s->device);
    s->library = mtl_new_library_from_url(s->device, ns_file(library_path), &error);
    require(s->library != NULL, library_path);
    s->x = mtl_new_buffer(s->device, BYTES, MTL_SHARED);
    s->y = mtl_new_buffer(s->device, BYTES, MTL_SHARED);
    for (int i = 0; i < N_FLOATS; i++) ((float *)mtl_contents(s->x))[i] = (float)i;
    s->add = new_pipeline(s, "add");
    s->lower_half = new_pipeline(s, "lower_half");
    s->upper_half = new_pipeline(s, "upper_half");
    s->count = new_pipeline(s, "count");
    s->reverse = new_pipeline(s, "reverse");
}

static void clear_scene(struct scene *s) {
    const id objects[] = {s->add, s->lower_half, s->upper_half, s->count, s->reverse,
                          s->x,   s->y,          s->library,    s->queue, s->device};
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) ns_release(objects[i]);
    objc_autoreleasePoolPop(s->pool);
}

/* In a process of its own; what is reported goes to standard error. */
static int run_test(const struct framework_test *test) {
    struct scene s;
    sim_options.check = true;
    set_scene(&s);
    test->function(&s);
    clear_scene(&s);
    return metalsim_finish();
}

static void start_test(const struct framework_test *test) {
    static char output[4000];
    int channel[2];
    if (pipe(channel) != 0) abort();
    pid_t child = fork();
    if (child == 0) {
        dup2(channel[1], STDERR_FILENO);
        close(channel[0]);
        close(channel[1]);
        _exit(run_test(test) != 0);
    }
    close(channel[1]);
    size_t length = 0;
    ssize_t n;
    while ((n = read(channel[0], output + length, sizeof output - 1 - length)) > 0) length += (size_t)n;
    output[length] = '\0';
    close(channel[0]);
    int status = -1;
    waitpid(child, &status, 0);
    bool has_mistake = test->message[0] != '\0';
    bool ok = has_mistake ? status != 0 && strstr(output, test->message) : status == 0 && length == 0;
    report_test(ok, test->name, length ? output : "nothing was reported");
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    library_path = argv[1];
    source_path = argv[2];
    if (getenv("METALSIM_TOOLS")) metalsim_device.tools = getenv("METALSIM_TOOLS");
    const struct framework_test *const suites[] = {framework_programs, framework_mistakes};
    for (int i = 0; i < 2; i++)
        for (const struct framework_test *test = suites[i]; test->name; test++)
            if (argc < 4 || strcmp(test->name, argv[3]) == 0) start_test(test);
    return report_end("framework");
}
