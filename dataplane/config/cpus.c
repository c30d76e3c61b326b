/* See cpus.h. Reads /proc/self/cgroup and walks up, since a limit may stand on any parent group. */
#include "dataplane/config/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_MAX_BYTES 1024

/* The first one or two numbers of a file; "max" reads none. */
static bool numbers_read(const char *path, long long *a, long long *b)
{
    FILE *f = fopen(path, "r");
    if (f == NULL) return false;
    *b = 0;
    int n = fscanf(f, "%lld %lld", a, b);
    fclose(f);
    return n >= 1;
}

/* CPUs of one group's quota in thousandths, 0: no limit. */
static long long group_quota(const char *root, bool v2, const char *mount, const char *group)
{
    char path[PATH_MAX_BYTES];
    long long quota, period;
    if (v2) {
        snprintf(path, sizeof(path), "%s%s%s/cpu.max", root, mount, group);
        if (!numbers_read(path, &quota, &period) || period <= 0) return 0; /* "max 100000" reads no number */
        return quota * 1000 / period;
    }
    snprintf(path, sizeof(path), "%s%s%s/cpu.cfs_quota_us", root, mount, group);
    long long none;
    if (!numbers_read(path, &quota, &none) || quota <= 0) return 0;
    snprintf(path, sizeof(path), "%s%s%s/cpu.cfs_period_us", root, mount, group);
    if (!numbers_read(path, &period, &none) || period <= 0) return 0;
    return quota * 1000 / period;
}

static long long smallest(const char *root, bool v2, const char *mount, char *group)
{
    long long least = 0;
    for (;;) {
        long long q = group_quota(root, v2, mount, group);
        if (q > 0 && (least == 0 || q < least)) least = q;
        char *slash = strrchr(group, '/');
        if (slash == NULL) return least;
        *slash = '\0';
        if (slash == group) {
            q = group_quota(root, v2, mount, "");
            return q > 0 && (least == 0 || q < least) ? q : least;
        }
    }
}

static bool has_controller(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; *at != '\0'; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
    return false;
}

static long long quota_find(const char *root)
{
    char path[PATH_MAX_BYTES], line[PATH_MAX_BYTES];
    long long least = 0;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) continue;
        *controllers++ = '\0';
        *group++ = '\0';
        bool v2 = strcmp(line, "0") == 0 && *controllers == '\0';
        if (!v2 && !has_controller(controllers, "cpu")) continue;
        long long q = smallest(root, v2, v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group);
        if (q == 0) { /* inside a container the group's path is often not mounted: the mount's root is the group */
            char top[2] = "";
            q = smallest(root, v2, v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", top);
        }
        if (q > 0 && (least == 0 || q < least)) least = q;
    }
    if (f != NULL) fclose(f);
    return least;
}

uint32_t weir_cpus_allowed(const char *root)
{
    cpu_set_t set;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
    long long quota = quota_find(root);
    if (quota > 0 && (quota + 999) / 1000 < cpus) cpus = (long)((quota + 999) / 1000);
    return cpus < 1 ? 1 : (uint32_t)cpus;
}
