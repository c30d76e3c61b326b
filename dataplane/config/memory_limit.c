/* See memory_limit.h. Like cpus.c it walks up: a limit may stand on any group above. */
#include "dataplane/config/memory_limit.h"

#include <inttypes.h>
#include <stdio.h>

#define UNLIMITED (UINT64_C(1) << 60) /* v1 writes a number near 2^63 for none */

static bool number_read(const char *directory, const char *file, uint64_t *out)
{
    char path[WEIR_CGROUP_PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    FILE *f = fopen(path, "re");
    if (f == NULL) return false;
    bool ok = fscanf(f, "%" SCNu64, out) == 1; /* "max" reads none */
    (void)fclose(f);
    return ok;
}

static void consider(const char *directory, bool v2, struct weir_memory_limit *out)
{
    uint64_t bytes;
    if (!number_read(directory, v2 ? "memory.max" : "memory.limit_in_bytes", &bytes) || bytes == 0 || bytes >= UNLIMITED) return;
    if (out->bytes != 0 && out->bytes <= bytes) return;
    out->bytes = bytes;
    out->v2 = v2;
    snprintf(out->directory, sizeof(out->directory), "%s", directory);
}

/* The group and all above it, up to the mount's own; inside a container that is the only one there. */
static void walk(const char *root, bool v2, char *group, struct weir_memory_limit *out)
{
    const char *mount = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    char directory[WEIR_CGROUP_PATH_MAX];
    for (;;) {
        if (snprintf(directory, sizeof(directory), "%s%s%s", root, mount, group) < (int)sizeof(directory)) consider(directory, v2, out);
        char *slash = strrchr(group, '/');
        if (slash == NULL) return;
        *slash = '\0';
    }
}

static bool names_memory(const char *controllers)
{
    for (const char *at = controllers; (at = strstr(at, "memory")) != NULL; at += 6)
        if ((at == controllers || at[-1] == ',') && (at[6] == ',' || at[6] == '\0')) return true;
    return false;
}

void weir_memory_limit_find(const char *root, struct weir_memory_limit *out)
{
    char path[WEIR_CGROUP_PATH_MAX], line[WEIR_CGROUP_PATH_MAX];
    *out = (struct weir_memory_limit){0};
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) continue;
        *controllers++ = '\0';
        *group++ = '\0';
        bool v2 = strcmp(line, "0") == 0 && *controllers == '\0';
        if (v2 || names_memory(controllers)) walk(root, v2, group, out);
    }
    if (f != NULL) (void)fclose(f);
}

uint64_t weir_memory_limit_used(const struct weir_memory_limit *l)
{
    char path[WEIR_CGROUP_PATH_MAX + 64], line[128];
    uint64_t used, cache = 0, n;
    if (!number_read(l->directory, l->v2 ? "memory.current" : "memory.usage_in_bytes", &used)) return 0;
    snprintf(path, sizeof(path), "%s/memory.stat", l->directory);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, l->v2 ? "inactive_file %" SCNu64 : "total_inactive_file %" SCNu64, &n) == 1) cache = n;
    if (f != NULL) (void)fclose(f);
    return used > cache ? used - cache : 0;
}
