#include "base/system.h"
#include "base/cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

uint64_t system_seed(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec) * 0x9e3779b97f4a7c15u + (uint64_t)getpid();
}

uint64_t system_memory_bytes(void) {
#ifdef __APPLE__
    uint64_t n_bytes = 0;
    size_t size = sizeof n_bytes;
    return sysctlbyname("hw.memsize", &n_bytes, &size, NULL, 0) == 0 ? n_bytes : 0;
#else
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
#endif
}

#ifdef __APPLE__

uint64_t system_memory_available_bytes(void) {
    vm_statistics64_data_t statistics;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&statistics, &count) != KERN_SUCCESS)
        return 0;
    uint64_t pages = (uint64_t)statistics.free_count + statistics.inactive_count + (uint64_t)statistics.purgeable_count;
    return pages * (uint64_t)vm_kernel_page_size;
}

void system_cpu_name(char *name, size_t capacity) {
    size_t size = capacity;
    if (sysctlbyname("machdep.cpu.brand_string", name, &size, NULL, 0) != 0) name[0] = '\0';
    name[capacity - 1] = '\0';
}

static uint64_t peak_bytes(const struct rusage *usage) {
    return (uint64_t)usage->ru_maxrss;
}

static void read_process_memory(process_memory *memory) {
    mach_task_basic_info_data_t info;
    mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count) == KERN_SUCCESS)
        memory->resident_bytes = info.resident_size;
}

bool process_memory_reset_peak(void) {
    return false;
}

#else

/* The line "FIELD: VALUE" of a file of /proc; false if there is none. Of several the first counts. */
static bool proc_field(const char *path, const char *field, char *value, size_t capacity) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    char line[512];
    size_t n = strlen(field);
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        const char *at = line + n;
        if (strncmp(line, field, n) != 0) continue;
        at += strspn(at, " \t");
        if (*at != ':') continue;
        at += 1 + strspn(at + 1, " \t");
        found = true;
        snprintf(value, capacity, "%.*s", (int)strcspn(at, "\n"), at);
    }
    fclose(file);
    return found;
}

static uint64_t proc_kilobytes(const char *path, const char *field) {
    char value[32];
    uint64_t kilobytes = 0;
    if (!proc_field(path, field, value, sizeof value) || sscanf(value, "%" SCNu64, &kilobytes) != 1) return 0;
    return kilobytes * 1024;
}

uint64_t system_memory_available_bytes(void) {
    uint64_t available = proc_kilobytes("/proc/meminfo", "MemAvailable");
    uint64_t allowed = cgroup_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    return available < allowed ? available : allowed;
}

void system_cpu_name(char *name, size_t capacity) {
    if (!proc_field("/proc/cpuinfo", "model name", name, capacity)) name[0] = '\0';
}

static uint64_t peak_bytes(const struct rusage *usage) {
    return (uint64_t)usage->ru_maxrss * 1024;
}

static void read_process_memory(process_memory *memory) {
    static const char status[] = "/proc/self/status";
    memory->resident_bytes = proc_kilobytes(status, "VmRSS");
    memory->anonymous_bytes = proc_kilobytes(status, "RssAnon");
    memory->file_bytes = proc_kilobytes(status, "RssFile") + proc_kilobytes(status, "RssShmem");
    uint64_t peak = proc_kilobytes(status, "VmHWM");
    if (peak) memory->peak_bytes = peak;
}

bool process_memory_reset_peak(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file) return false;
    bool written = fputs("5\n", file) >= 0;
    return fclose(file) == 0 && written;
}

#endif

process_memory process_memory_now(void) {
    process_memory memory = {0};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) memory.peak_bytes = peak_bytes(&usage);
    read_process_memory(&memory);
    return memory;
}
