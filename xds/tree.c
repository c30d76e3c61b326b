/* What both parsers share: reading files, looking up, locating a field path, merging. */
#include "xds/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/str.h"
#include "dataplane/limits.h"

enum weir_err weir_tree_read_file(struct weir_arena *a, const char *file, struct weir_str *bytes, struct weir_error *e)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return weir_error_set(e, WEIR_ERR_IO, "%s: cannot be opened: %s", file, strerror(errno));
    size_t n = 0, capacity = 65536;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0) capacity = (size_t)st.st_size + 1;
    enum weir_err err = WEIR_OK;
    char *p = NULL;
    while (err == WEIR_OK) {
        if (n > WEIR_YAML_BYTES_MAX || capacity > (size_t)WEIR_YAML_BYTES_MAX + 2) {
            err = weir_error_set(e, WEIR_ERR_LIMIT, "%s: larger than %u bytes", file, WEIR_YAML_BYTES_MAX);
            break;
        }
        char *wider = weir_arena_alloc(a, capacity);
        if (n != 0) memcpy(wider, p, n);
        p = wider;
        ssize_t got = 1;
        while (n < capacity && (got = read(fd, p + n, capacity - n)) > 0) n += (size_t)got;
        if (got == 0) break;
        if (got < 0 && errno != EINTR) err = weir_error_set(e, WEIR_ERR_IO, "%s: cannot be read: %s", file, strerror(errno));
        if (n == capacity) capacity *= 2;
    }
    close(fd);
    *bytes = (struct weir_str){p, n};
    return err;
}

enum weir_err weir_tree_parse(struct weir_arena *a, const char *file, struct weir_str bytes, const struct weir_tree ***documents,
                              size_t *count, struct weir_error *e)
{
    bool json = weir_str_ends_nocase(weir_str_of(file), WEIR_STR(".json"));
    struct weir_str trimmed = bytes;
    while (trimmed.n > 0 && strchr(" \t\r\n", *trimmed.p) != NULL && *trimmed.p != '\0') {
        trimmed.p++;
        trimmed.n--;
    }
    if (json || (trimmed.n > 0 && *trimmed.p == '{')) {
        const struct weir_tree **one = WEIR_NEW(a, const struct weir_tree *, 1);
        enum weir_err err = weir_json_parse(a, file, bytes, one, e);
        if (err == WEIR_OK) {
            *documents = one;
            *count = 1;
        }
        if (json || err == WEIR_OK) return err;
    }
    return weir_yaml_parse(a, file, bytes, documents, count, e);
}

const struct weir_tree *weir_tree_get(const struct weir_tree *map, struct weir_str key)
{
    if (map == NULL || map->kind != WEIR_TREE_MAP) return NULL;
    for (uint32_t i = 0; i < map->count; i++)
        if (weir_str_eq(map->entries[i].key->text, key)) return map->entries[i].value;
    return NULL;
}

/* snake_case and lowerCamel name the same field. */
static bool same_field(struct weir_str a, struct weir_str b)
{
    size_t i = 0, j = 0;
    for (; i < a.n && j < b.n; i++, j++) {
        if (a.p[i] == '_') i++;
        if (b.p[j] == '_') j++;
        if (i >= a.n || j >= b.n || weir_lower(a.p[i]) != weir_lower(b.p[j])) return false;
    }
    return i == a.n && j == b.n;
}

static const struct weir_tree *entry_of(const struct weir_tree *n, struct weir_str name)
{
    const struct weir_tree *exact = weir_tree_get(n, name);
    if (exact != NULL || n->kind != WEIR_TREE_MAP) return exact;
    for (uint32_t i = 0; i < n->count; i++)
        if (same_field(n->entries[i].key->text, name)) return n->entries[i].value;
    return NULL;
}

const struct weir_tree *weir_tree_locate(const struct weir_tree *root, const char *path)
{
    const struct weir_tree *at = root;
    while (at != NULL && *path != '\0') {
        const struct weir_tree *next = NULL;
        if (*path == '[') {
            size_t n = strcspn(path, "]");
            struct weir_str inside = {path + 1, n > 0 ? n - 1 : 0};
            uint64_t index;
            if (weir_str_u64(inside, &index)) {
                if (at->kind == WEIR_TREE_LIST && index < at->count) next = at->items[index];
                else if (at->kind == WEIR_TREE_MAP && index < at->count) next = at->entries[index].value;
            } else {
                if (inside.n >= 2 && (inside.p[0] == '"' || inside.p[0] == '\'')) inside = (struct weir_str){inside.p + 1, inside.n - 2};
                next = weir_tree_get(at, inside);
            }
            path += n + (path[n] == ']');
        } else {
            if (*path == '.') path++;
            size_t n = strcspn(path, ".[");
            next = entry_of(at, (struct weir_str){path, n});
            path += n;
            if (next == NULL && n == 0) break;
        }
        if (next == NULL) break;
        at = next;
    }
    return at;
}

static const struct weir_tree *merge_maps(struct weir_arena *a, const struct weir_tree *base, const struct weir_tree *over)
{
    struct weir_tree *n = WEIR_NEW(a, struct weir_tree, 1);
    *n = *over;
    n->entries = WEIR_NEW(a, struct weir_tree_entry, (size_t)base->count + over->count);
    if (base->count != 0) memcpy(n->entries, base->entries, base->count * sizeof(*n->entries));
    n->count = base->count;
    for (uint32_t i = 0; i < over->count; i++) {
        uint32_t j = 0;
        while (j < base->count && !same_field(base->entries[j].key->text, over->entries[i].key->text)) j++;
        if (j == base->count) n->entries[n->count++] = over->entries[i];
        else n->entries[j].value = weir_tree_merge(a, base->entries[j].value, over->entries[i].value);
    }
    return n;
}

const struct weir_tree *weir_tree_merge(struct weir_arena *a, const struct weir_tree *base, const struct weir_tree *over)
{
    if (base == NULL || base->kind != over->kind || base->kind == WEIR_TREE_SCALAR) return over;
    if (base->kind == WEIR_TREE_NULL) return over;
    if (base->kind == WEIR_TREE_MAP) return merge_maps(a, base, over);
    struct weir_tree *n = WEIR_NEW(a, struct weir_tree, 1);
    *n = *over;
    n->count = base->count + over->count;
    n->items = WEIR_NEW(a, const struct weir_tree *, n->count);
    if (base->count != 0) memcpy(n->items, base->items, base->count * sizeof(*n->items));
    if (over->count != 0) memcpy(n->items + base->count, over->items, over->count * sizeof(*n->items));
    return n;
}

void *weir_tree_grow(struct weir_arena *a, void *old, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) return old;
    void *wider = weir_arena_alloc(a, (count == 0 ? 1 : count * 2) * size);
    if (count != 0) memcpy(wider, old, count * size);
    return wider;
}
