/*
 * The missing wait: the CPU reads a result, or overwrites an input, while the command buffer is in flight. The pages of
 * a buffer in flight are made inaccessible; the first access to a page faults, is noted and let through. When the
 * commands run, a noted byte that the GPU touches too (one of them writing) is a mistake. A later access to the same
 * page goes unnoticed, so this can miss some; what it reports is true.
 */
#define _GNU_SOURCE
#include "metal_internal.h"

#include "metalsim.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { MAX_TOUCHES = 256, PAGE = 4096, PAGE_FAULT_WAS_WRITE = 2 };

static struct {
    const struct buffer *buffer;
    size_t offset;
    bool is_write, is_reported;
} touch[MAX_TOUCHES];
static int n_touches;
static bool has_handler;

static size_t whole_pages(size_t bytes) {
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* Memory that the program gave us keeps the protection it has. */
static bool can_watch(const struct buffer *buffer) {
    return metalsim_device.watch_buffers && sim_options.check && !buffer->is_no_copy;
}

static struct buffer *watched_at(const char *address) {
    for (struct buffer *buffer = all_buffers; buffer; buffer = buffer->next)
        if (buffer->n_in_flight > 0 && address >= buffer->memory && address < buffer->memory + buffer->bytes)
            return buffer;
    return NULL;
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    const ucontext_t *machine = context;
    char *address = info->si_addr;
    struct buffer *buffer = watched_at(address);
    if (!buffer) {
        signal(signal_number, SIG_DFL); /* a fault of the program itself: let it happen again */
        return;
    }
    size_t offset = (size_t)(address - buffer->memory);
    bool is_write = machine->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WAS_WRITE;
    mprotect(buffer->memory + offset / PAGE * PAGE, PAGE, PROT_READ | PROT_WRITE);
    if (n_touches < MAX_TOUCHES) {
        touch[n_touches].buffer = buffer;
        touch[n_touches].offset = offset;
        touch[n_touches].is_write = is_write;
        touch[n_touches++].is_reported = false;
    }
}

static void install_handler(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    action.sa_sigaction = on_fault;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    has_handler = true;
}

void watch_begin(struct buffer *buffer) {
    if (buffer->n_in_flight++ > 0 || !can_watch(buffer)) return;
    if (!has_handler) install_handler();
    mprotect(buffer->memory, whole_pages(buffer->bytes), PROT_NONE);
}

void watch_pause(struct buffer *buffer) {
    if (can_watch(buffer)) mprotect(buffer->memory, whole_pages(buffer->bytes), PROT_READ | PROT_WRITE);
}

void watch_resume(struct buffer *buffer) {
    if (can_watch(buffer) && buffer->n_in_flight > 0) mprotect(buffer->memory, whole_pages(buffer->bytes), PROT_NONE);
}

void watch_forget(const struct buffer *buffer) {
    int n = 0;
    for (int i = 0; i < n_touches; i++)
        if (touch[i].buffer != buffer) touch[n++] = touch[i];
    n_touches = n;
}

void watch_end(struct buffer *buffer) {
    if (--buffer->n_in_flight == 0) watch_forget(buffer);
}

void watch_gpu_access(const struct buffer *buffer, size_t offset, size_t bytes, bool writes) {
    for (int i = 0; i < n_touches; i++) {
        if (touch[i].buffer != buffer || touch[i].offset - offset >= bytes || touch[i].is_reported) continue;
        if (!writes && !touch[i].is_write) continue;
        touch[i].is_reported = true;
        framework_error("the CPU %s byte %zu of a buffer of %zu before the command buffer that %s it had completed",
                        touch[i].is_write ? "wrote" : "read", touch[i].offset, buffer->bytes,
                        writes ? "writes" : "reads");
    }
}
