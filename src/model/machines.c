/*
 * The table has what makers publish. Apple has told the arithmetic of its GPUs for the M1 family and the M2 (float32;
 * half precision is as fast); the larger M2s have more of the same cores, and for later chips there is no figure to go
 * by. NVIDIA's is that of the tensor cores, dense, and of the SXM form. A GPU's own memory is what it shows to
 * programs, a little less than is printed on its box.
 */
#include "model/machines.h"

#include <ctype.h>
#include <string.h>

const machine machines[] = {
    {"M1", MACHINE_APPLE, 68, {16, 8}, 2.6},
    {"M1 Pro", MACHINE_APPLE, 200, {32, 16}, 5.2},
    {"M1 Max", MACHINE_APPLE, 400, {64, 32}, 10.4},
    {"M1 Ultra", MACHINE_APPLE, 800, {128, 64}, 21},
    {"M2", MACHINE_APPLE, 100, {24, 16, 8}, 3.6},
    {"M2 Pro", MACHINE_APPLE, 200, {32, 16}, 6.8},
    {"M2 Max", MACHINE_APPLE, 400, {96, 64, 32}, 13.6},
    {"M2 Ultra", MACHINE_APPLE, 800, {192, 128, 64}, 27.2},
    {"M3", MACHINE_APPLE, 100, {24, 16, 8}, 0},
    {"M3 Pro", MACHINE_APPLE, 150, {36, 18}, 0},
    {"M3 Max 30-core", MACHINE_APPLE, 300, {96, 36}, 0},
    {"M3 Max", MACHINE_APPLE, 400, {128, 64, 48}, 0},
    {"M3 Ultra", MACHINE_APPLE, 819, {512, 256, 96}, 0},
    {"M4", MACHINE_APPLE, 120, {32, 24, 16}, 0},
    {"M4 Pro", MACHINE_APPLE, 273, {64, 48, 24}, 0},
    {"M4 Max 32-core", MACHINE_APPLE, 410, {36}, 0},
    {"M4 Max", MACHINE_APPLE, 546, {128, 64, 48}, 0},
    {"M5", MACHINE_APPLE, 153, {32, 24, 16}, 0},
    {"DGX Spark", MACHINE_CUDA, 273, {128}, 0},
    {"H100", MACHINE_CUDA, 3350, {79}, 989},
    {"H200", MACHINE_CUDA, 4800, {140}, 989},
    {NULL, MACHINE_CPU, 0, {0}, 0},
};

/* ---- names ---- */

static char folded(char c) {
    return c == '-' || c == '_' ? ' ' : (char)tolower((unsigned char)c);
}

/* The length of prefix if name begins with it, else 0. */
static size_t begins_with(const char *name, const char *prefix) {
    size_t n = 0;
    for (; prefix[n]; n++)
        if (folded(name[n]) != folded(prefix[n])) return 0;
    return n;
}

static bool is_sold_with(const machine *m, int memory_gib) {
    for (int i = 0; i < MACHINE_MEMORY_SIZES; i++)
        if (m->memory_gib[i] == memory_gib) return true;
    return false;
}

const machine *machine_find(const char *name, int memory_gib) {
    name += begins_with(name, "Apple ");
    name += begins_with(name, "NVIDIA ");
    const machine *found = NULL;
    for (const machine *m = machines; m->name; m++) {
        size_t n = begins_with(name, m->name);
        if (n && !name[n]) found = m;
    }
    if (!found || !memory_gib || is_sold_with(found, memory_gib)) return found;
    /* the same chip with fewer cores: "M3 Max 30-core" */
    for (const machine *m = machines; m->name; m++)
        if (begins_with(m->name, found->name) && m->name[strlen(found->name)] == ' ' &&
            m->name[strlen(found->name) + 1] < 'A' && is_sold_with(m, memory_gib))
            return m;
    return found;
}

/* ---- memory and time ---- */

uint64_t machine_default_working_bytes(const machine *m, uint64_t n_bytes) {
    if (m->kind != MACHINE_APPLE) return n_bytes;
    return n_bytes > (uint64_t)32 << 30 ? n_bytes / 4 * 3 : n_bytes / 3 * 2;
}

double machine_bandwidth_part(machine_kind kind) {
    return kind == MACHINE_CPU ? 0.8 : 0.7;
}

double machine_dispatch_seconds(machine_kind kind) {
    return kind == MACHINE_CPU ? 0 : 3e-6;
}

double machine_read_seconds(const machine *m, double n_bytes, double n_dispatches) {
    return n_bytes / (m->bandwidth_gb * 1e9 * machine_bandwidth_part(m->kind)) +
           n_dispatches * machine_dispatch_seconds(m->kind);
}

double machine_compute_part(void) {
    return 0.4;
}

double machine_compute_seconds(const machine *m, double n_operations) {
    return m->tflops > 0 ? n_operations / (m->tflops * 1e12 * machine_compute_part()) : 0;
}
