/* How much memory the cgroup (v1 or v2) lets the process have, and how much of it is gone. Page cache that the kernel can drop at
 * once does not count, as for a kubelet. */
#ifndef WEIR_CONFIG_MEMORY_LIMIT_H
#define WEIR_CONFIG_MEMORY_LIMIT_H

#include "dataplane/weir.h"

#define WEIR_CGROUP_PATH_MAX 1024

struct weir_memory_limit {
    uint64_t bytes;                     /* 0: no limit */
    bool v2;
    char directory[WEIR_CGROUP_PATH_MAX]; /* of the group that sets it */
};
/* The smallest limit of the process's own group and those above it. `root` stands before /proc and /sys paths: "" outside tests. */
void weir_memory_limit_find(const char *root, struct weir_memory_limit *out);
uint64_t weir_memory_limit_used(const struct weir_memory_limit *l); /* bytes; 0 when it cannot be read */

#endif
