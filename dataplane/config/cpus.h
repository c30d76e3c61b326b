/* How many workers to run: what the CPU quota of the cgroup (v1 or v2) and the affinity mask allow, not the machine. */
#ifndef WEIR_CONFIG_CPUS_H
#define WEIR_CONFIG_CPUS_H

#include "dataplane/weir.h"

/* At least 1. `root` stands before /proc and /sys paths: "" outside tests. The quota is rounded up. */
uint32_t weir_cpus_allowed(const char *root);

#endif
