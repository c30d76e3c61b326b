/* See json_mask.h. */
#include "dataplane/config/json_mask.h"

#include "dataplane/base/str.h"

static void line(struct weir_out *out, uint32_t level)
{
    weir_out_add(out, WEIR_STR("\n"));
    for (uint32_t i = 0; i < level; i++) weir_out_add(out, WEIR_STR(" "));
}

static void print(const struct weir_tree *t, uint32_t level, struct weir_out *out)
{
    switch (t->kind) {
    case WEIR_TREE_NULL: weir_out_add(out, WEIR_STR("null")); return;
    case WEIR_TREE_SCALAR:
        if (t->quoted) weir_out_string(out, t->text);
        else weir_out_add(out, t->text);
        return;
    case WEIR_TREE_LIST:
        weir_out_add(out, WEIR_STR("["));
        for (uint32_t i = 0; i < t->count; i++) {
            if (i > 0) weir_out_add(out, WEIR_STR(","));
            line(out, level + 1);
            print(t->items[i], level + 1, out);
        }
        if (t->count > 0) line(out, level);
        weir_out_add(out, WEIR_STR("]"));
        return;
    case WEIR_TREE_MAP:
        weir_out_add(out, WEIR_STR("{"));
        for (uint32_t i = 0; i < t->count; i++) {
            if (i > 0) weir_out_add(out, WEIR_STR(","));
            line(out, level + 1);
            weir_out_string(out, t->entries[i].key->text);
            weir_out_add(out, WEIR_STR(": "));
            print(t->entries[i].value, level + 1, out);
        }
        if (t->count > 0) line(out, level);
        weir_out_add(out, WEIR_STR("}"));
        return;
    }
}

/* The part of t that `path` names, NULL when there is none. */
static const struct weir_tree *cut(struct weir_arena *a, const struct weir_tree *t, struct weir_str path)
{
    if (path.n == 0) return t;
    struct weir_tree *part = WEIR_NEW(a, struct weir_tree, 1);
    *part = *t;
    part->count = 0;
    if (t->kind == WEIR_TREE_LIST) {
        part->items = WEIR_NEW(a, const struct weir_tree *, t->count + 1);
        for (uint32_t i = 0; i < t->count; i++) {
            const struct weir_tree *item = cut(a, t->items[i], path);
            if (item != NULL) part->items[part->count++] = item;
        }
        return part->count > 0 ? part : NULL;
    }
    if (t->kind != WEIR_TREE_MAP) return NULL;
    size_t dot = weir_str_find(path, '.');
    struct weir_str name = {path.p, dot}, rest = dot < path.n ? (struct weir_str){path.p + dot + 1, path.n - dot - 1} : (struct weir_str){0};
    const struct weir_tree *value = weir_tree_get(t, name), *below = value != NULL ? cut(a, value, rest) : NULL;
    if (below == NULL) return NULL;
    part->entries = WEIR_NEW(a, struct weir_tree_entry, 2);
    for (uint32_t i = 0; i < t->count; i++) {
        if (weir_str_eq(t->entries[i].key->text, WEIR_STR("@type"))) part->entries[part->count++] = t->entries[i];
        if (weir_str_eq(t->entries[i].key->text, name)) part->entries[part->count++] = (struct weir_tree_entry){t->entries[i].key, below};
    }
    return part;
}

static const struct weir_tree *cut_all(struct weir_arena *a, const struct weir_tree *t, struct weir_str mask)
{
    const struct weir_tree *all = NULL;
    while (mask.n > 0) {
        size_t comma = weir_str_find(mask, ',');
        const struct weir_tree *one = cut(a, t, weir_str_trim((struct weir_str){mask.p, comma}));
        if (one != NULL) all = all == NULL ? one : weir_tree_merge(a, all, one);
        mask = comma < mask.n ? (struct weir_str){mask.p + comma + 1, mask.n - comma - 1} : (struct weir_str){0};
    }
    return all;
}

bool weir_json_mask_print(struct weir_arena *a, const struct weir_tree *value, struct weir_str mask, uint32_t level, struct weir_out *out)
{
    const struct weir_tree *part = cut_all(a, value, mask);
    if (part == NULL) return false;
    print(part, level, out);
    return true;
}

bool weir_json_mask_next(struct weir_str *mask, struct weir_str *path)
{
    if (mask->n == 0) return false;
    size_t comma = weir_str_find(*mask, ',');
    *path = weir_str_trim((struct weir_str){mask->p, comma});
    comma += comma < mask->n;
    *mask = (struct weir_str){mask->p + comma, mask->n - comma};
    return true;
}

enum weir_mask_says weir_json_mask_below(struct weir_arena *a, struct weir_str mask, struct weir_str name, struct weir_str *below)
{
    struct weir_str paths = {0};
    *below = paths;
    if (mask.n == 0) return WEIR_MASK_WHOLE;
    for (struct weir_str path; weir_json_mask_next(&mask, &path);) {
        size_t dot = weir_str_find(path, '.');
        if (!weir_str_eq((struct weir_str){path.p, dot}, name)) continue;
        if (dot + 1 >= path.n) return WEIR_MASK_WHOLE;
        struct weir_str rest = {path.p + dot + 1, path.n - dot - 1};
        paths = weir_arena_printf(a, "%.*s%s%.*s", WEIR_STR_ARG(paths), paths.n > 0 ? "," : "", WEIR_STR_ARG(rest));
    }
    *below = paths;
    return paths.n > 0 ? WEIR_MASK_PART : WEIR_MASK_NOT;
}
