/* Linux control groups: how much memory a container lets its processes use. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdint.h>

/* The smallest memory limit among the groups that the file `membership` (/proc/self/cgroup) names, of version 1 or 2,
 * mounted at `mount` (/sys/fs/cgroup), and of those above them; UINT64_MAX if there is none. */
uint64_t cgroup_memory_limit(const char *membership, const char *mount);

#endif
