/* Libraries, functions, pipelines. */
#include "metal_internal.h"

#include "metalsim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char LIBRARY_DOMAIN[] = "MTLLibraryErrorDomain", PIPELINE_DOMAIN[] = "AGXMetal";
enum { ERROR_COMPILE_FAILURE = 3, ERROR_FUNCTION_NOT_FOUND = 5, ERROR_FILE_NOT_FOUND = 6 };

/* ---- MTLCompileOptions ---- */

struct compile_options {
    struct objc_object object;
    NSUInteger language;
};

static void options_set_language(id self, SEL selector, NSUInteger version) {
    (void)selector;
    ((struct compile_options *)self)->language = version;
}
static NSUInteger options_language(id self) {
    return ((struct compile_options *)self)->language;
}
static const struct method_entry OPTIONS_METHODS[] = {
    METHOD("setLanguageVersion:", options_set_language),
    METHOD("languageVersion", options_language),
    METHOD("setFastMathEnabled:", ignore_message),
    METHOD("setOptimizationLevel:", ignore_message),
    METHOD_SINCE(15, "setMathMode:", ignore_message),
    METHOD_SINCE(15, "setMathFloatingPointFunctions:", ignore_message),
    METHODS_END,
};
struct objc_class class_MTLCompileOptions = {
    NULL, "MTLCompileOptions", sizeof(struct compile_options), OPTIONS_METHODS, NULL, NULL, 0};

/* ---- MTLFunctionConstantValues ---- */

enum { MAX_VALUES = 64, MAX_VALUE_BYTES = 16 };
enum {
    TYPE_FLOAT = 3,
    TYPE_HALF = 16,
    TYPE_INT = 29,
    TYPE_UINT = 33,
    TYPE_SHORT = 37,
    TYPE_USHORT = 41,
    TYPE_CHAR = 45,
    TYPE_UCHAR = 49,
    TYPE_BOOL = 53,
    TYPE_LONG = 81,
    TYPE_ULONG = 85
};

struct constant_values {
    struct objc_object object;
    int n;
    struct {
        int index;
        size_t bytes;
        char value[MAX_VALUE_BYTES];
    } value[MAX_VALUES];
};

static size_t bytes_of_type(NSUInteger type) {
    switch (type) {
    case TYPE_BOOL:
    case TYPE_CHAR:
    case TYPE_UCHAR: return 1;
    case TYPE_HALF:
    case TYPE_SHORT:
    case TYPE_USHORT: return 2;
    case TYPE_FLOAT:
    case TYPE_INT:
    case TYPE_UINT: return 4;
    case TYPE_LONG:
    case TYPE_ULONG: return 8;
    default: return 0;
    }
}

static void values_set(id self, SEL selector, const void *value, NSUInteger type, NSUInteger index) {
    (void)selector;
    struct constant_values *values = (struct constant_values *)self;
    size_t bytes = bytes_of_type(type);
    if (bytes == 0 || values->n == MAX_VALUES) {
        framework_error("setConstantValue: type %lu is not known here, or there are more than %d", type, MAX_VALUES);
        return;
    }
    values->value[values->n].index = (int)index;
    values->value[values->n].bytes = bytes;
    memcpy(values->value[values->n++].value, value, bytes);
}
static void values_reset(id self) {
    ((struct constant_values *)self)->n = 0;
}
static const struct method_entry VALUES_METHODS[] = {
    METHOD("setConstantValue:type:atIndex:", values_set),
    METHOD("reset", values_reset),
    METHODS_END,
};
struct objc_class class_MTLFunctionConstantValues = {
    NULL, "MTLFunctionConstantValues", sizeof(struct constant_values), VALUES_METHODS, NULL, NULL, 0};

/* ---- MTLFunction ---- */

static id function_name(id self) {
    return object_autorelease(string_new(((struct function *)self)->kernel->name));
}
static void function_deinit(id self) {
    struct function *function = (struct function *)self;
    if (function->code != function->library->code) sim_library_close(function->code);
    object_release(&function->library->object);
}
static const struct method_entry FUNCTION_METHODS[] = {
    METHOD("name", function_name),
    METHOD("setLabel:", ignore_message),
    METHODS_END,
};
static struct objc_class class_MTLFunction = {
    NULL, "MTLFunction", sizeof(struct function), FUNCTION_METHODS, NULL, function_deinit, 0};

static id function_new(struct library *library, sim_library *code, const char *name) {
    struct function *function = (struct function *)object_new(&class_MTLFunction);
    function->library = (struct library *)object_retain(&library->object);
    function->code = code;
    function->kernel = sim_library_kernel(code, name);
    return &function->object;
}

/* ---- MTLLibrary ---- */

static id library_function(id self, SEL selector, id name) {
    (void)selector;
    struct library *library = (struct library *)self;
    if (!sim_library_kernel(library->code, string_text(name))) return NULL;
    return function_new(library, library->code, string_text(name));
}

static id library_function_with_constants(id self, SEL selector, id name, id constants, id *error) {
    (void)selector;
    struct library *library = (struct library *)self;
    const struct constant_values *values = (const struct constant_values *)constants;
    if (!sim_library_kernel(library->code, string_text(name)))
        return set_error(error, LIBRARY_DOMAIN, ERROR_FUNCTION_NOT_FOUND, "Function %s was not found in the library",
                         string_text(name));
    sim_library *code = sim_library_copy(library->code);
    for (int i = 0; values && i < values->n; i++)
        sim_library_set_constant(code, values->value[i].index, values->value[i].value, values->value[i].bytes);
    return function_new(library, code, string_text(name));
}

static id library_names(id self) {
    enum { MAX_NAMES = 1024 };
    id name[MAX_NAMES];
    size_t n = 0;
    const struct sim_kernel *kernel = sim_library_kernels(((struct library *)self)->code);
    for (; kernel->name && n < MAX_NAMES; kernel++) name[n++] = string_new(kernel->name);
    id names = array_of(name, n);
    for (size_t i = 0; i < n; i++) object_release(name[i]);
    return names;
}

static void library_deinit(id self) {
    sim_library_close(((struct library *)self)->code);
}
static const struct method_entry LIBRARY_METHODS[] = {
    METHOD("newFunctionWithName:", library_function),
    METHOD("newFunctionWithName:constantValues:error:", library_function_with_constants),
    METHOD("functionNames", library_names),
    METHOD("setLabel:", ignore_message),
    METHODS_END,
};
static struct objc_class class_MTLLibrary = {
    NULL, "MTLLibrary", sizeof(struct library), LIBRARY_METHODS, NULL, library_deinit, 0};

static id library_open(const char *path, id *error) {
    const char *why = "";
    sim_library *code = sim_library_open(path, &why);
    if (!code) return set_error(error, LIBRARY_DOMAIN, ERROR_FILE_NOT_FOUND, "%s: %s", path, why);
    if (sim_options.check && !sim_library_is_checked(code))
        framework_error("%s was built without access checks (msl-build -c), but they are asked for", path);
    struct library *library = (struct library *)object_new(&class_MTLLibrary);
    library->code = code;
    return &library->object;
}

id library_from_url(id device, SEL selector, id url, id *error) {
    (void)device, (void)selector;
    return library_open(url_path(url), error);
}

static bool write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file) return false;
    bool ok = fputs(text, file) >= 0;
    return fclose(file) == 0 && ok;
}

/* What the tools printed, for the NSError. */
static void read_text(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, size - 1, file) : 0;
    text[n] = '\0';
    if (file) fclose(file);
}

/* Really compiles, with the strict check first: a kernel that Apple's compiler would refuse must not run. */
id library_from_source(id device, SEL selector, id source, id options, id *error) {
    (void)device, (void)selector, (void)options;
    const char *parent = getenv("TMPDIR");
    char folder[200], path[250], command[1200], output[3000];
    snprintf(folder, sizeof folder, "%s/metalsim-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder)) return set_error(error, LIBRARY_DOMAIN, ERROR_COMPILE_FAILURE, "cannot make %s", folder);
    snprintf(path, sizeof path, "%s/program_source.metal", folder);
    if (!write_text(path, string_text(source))) framework_error("cannot write %s", path);
    snprintf(command, sizeof command,
             "tools='%s'; file='%s/program_source.metal'; { \"$tools/msl-check\" \"$file\" && "
             "\"$tools/msl-build\" %s \"$file\" '%s/library.so'; } >'%s/output' 2>&1",
             metalsim_device.tools, folder, sim_options.check ? "-c" : "", folder, folder);
    int status = system(command);
    snprintf(path, sizeof path, "%s/output", folder);
    read_text(path, output, sizeof output);
    id library = NULL;
    snprintf(path, sizeof path, "%s/library.so", folder);
    if (status == 0)
        library = library_open(path, error);
    else
        set_error(error, LIBRARY_DOMAIN, ERROR_COMPILE_FAILURE, "%s", output);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) framework_error("cannot remove %s", folder);
    return library;
}

/* ---- MTLComputePipelineState ---- */

static NSUInteger pipeline_max_threads(id self) {
    return ((struct pipeline *)self)->max_threads;
}
static NSUInteger pipeline_width(id self) {
    (void)self;
    return SIM_LANES;
}
static NSUInteger pipeline_static_bytes(id self) {
    return ((struct pipeline *)self)->function->kernel->threadgroup_bytes;
}
static void pipeline_deinit(id self) {
    if (is_in_use(self)) framework_error("a pipeline is freed while a command buffer uses it");
    object_release(&((struct pipeline *)self)->function->object);
}
static const struct method_entry PIPELINE_METHODS[] = {
    METHOD("maxTotalThreadsPerThreadgroup", pipeline_max_threads),
    METHOD("threadExecutionWidth", pipeline_width),
    METHOD("staticThreadgroupMemoryLength", pipeline_static_bytes),
    METHODS_END,
};
static struct objc_class class_MTLComputePipelineState = {
    NULL, "MTLComputePipelineState", sizeof(struct pipeline), PIPELINE_METHODS, NULL, pipeline_deinit, 0};

static struct pipeline *pipeline_new(id function, id *error) {
    struct function *f = (struct function *)function;
    if (!f) {
        framework_error("a pipeline from a nil function");
        return NULL;
    }
    if (f->kernel->threadgroup_bytes > sim_options.max_threadgroup_bytes) {
        set_error(error, PIPELINE_DOMAIN, 3,
                  "Threadgroup memory size (%zu) exceeds the maximum threadgroup memory allowed (%zu)",
                  f->kernel->threadgroup_bytes, sim_options.max_threadgroup_bytes);
        return NULL;
    }
    struct pipeline *pipeline = (struct pipeline *)object_new(&class_MTLComputePipelineState);
    size_t limit = metalsim_device.max_threads_per_threadgroup, wanted = (size_t)f->kernel->max_threads;
    pipeline->function = (struct function *)object_retain(function);
    pipeline->max_threads = wanted < limit ? wanted : limit;
    return pipeline;
}

id pipeline_from_function(id device, SEL selector, id function, id *error) {
    (void)device, (void)selector;
    struct pipeline *pipeline = pipeline_new(function, error);
    return pipeline ? &pipeline->object : NULL;
}

/* ---- MTLComputePipelineDescriptor ---- */

struct pipeline_descriptor {
    struct objc_object object;
    id function;
    NSUInteger max_threads;
    BOOL multiple_of_width;
};

static void descriptor_set_function(id self, SEL selector, id function) {
    (void)selector;
    struct pipeline_descriptor *descriptor = (struct pipeline_descriptor *)self;
    object_retain(function);
    object_release(descriptor->function);
    descriptor->function = function;
}
static void descriptor_set_max_threads(id self, SEL selector, NSUInteger threads) {
    (void)selector;
    ((struct pipeline_descriptor *)self)->max_threads = threads;
}
static void descriptor_set_multiple(id self, SEL selector, BOOL yes) {
    (void)selector;
    ((struct pipeline_descriptor *)self)->multiple_of_width = yes;
}
static void descriptor_deinit(id self) {
    object_release(((struct pipeline_descriptor *)self)->function);
}
static const struct method_entry DESCRIPTOR_METHODS[] = {
    METHOD("setComputeFunction:", descriptor_set_function),
    METHOD("setMaxTotalThreadsPerThreadgroup:", descriptor_set_max_threads),
    METHOD("setThreadGroupSizeIsMultipleOfThreadExecutionWidth:", descriptor_set_multiple),
    METHOD("setLabel:", ignore_message),
    METHODS_END,
};
struct objc_class class_MTLComputePipelineDescriptor = {NULL,
                                                        "MTLComputePipelineDescriptor",
                                                        sizeof(struct pipeline_descriptor),
                                                        DESCRIPTOR_METHODS,
                                                        NULL,
                                                        descriptor_deinit,
                                                        0};

id pipeline_from_descriptor(id device, SEL selector, id descriptor, NSUInteger options, id *reflection, id *error) {
    (void)device, (void)selector, (void)options;
    const struct pipeline_descriptor *d = (const struct pipeline_descriptor *)descriptor;
    struct pipeline *pipeline = pipeline_new(d ? d->function : NULL, error);
    if (reflection) *reflection = NULL;
    if (!pipeline) return NULL;
    const struct sim_kernel *kernel = pipeline->function->kernel;
    if (d->max_threads && kernel->max_threads != SIM_MAX_THREADS && (int)d->max_threads != kernel->max_threads)
        framework_error("pipeline %s: the descriptor has %lu threads a threadgroup, the kernel %d", kernel->name,
                        d->max_threads, kernel->max_threads);
    if (d->max_threads && d->max_threads < pipeline->max_threads) pipeline->max_threads = d->max_threads;
    pipeline->multiple_of_width = d->multiple_of_width;
    return &pipeline->object;
}
