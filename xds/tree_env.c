/* weir_tree_expand. The bounds are the tree's own: it was counted with its aliases expanded, so a walk over it is bounded. */
#include <stdio.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "xds/tree.h"

#define NAME_MAX_BYTES 256u
#define PATH_MAX_BYTES 512u

struct walk {
    struct weir_arena *arena;
    const char *file;
    const struct weir_tree_env *env;
    struct weir_error *error;
    char path[PATH_MAX_BYTES]; /* of the node at hand, cut where it is longer */
};

static bool name_char(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

/* Length of the reference "$(NAME)" at s.p[at], 0 where there is none. */
static size_t reference(struct weir_str s, size_t at)
{
    size_t i = at + 2;
    if (i >= s.n || s.p[at] != '$' || s.p[at + 1] != '(') return 0;
    while (i < s.n && name_char(s.p[i], i == at + 2)) i++;
    return i < s.n && s.p[i] == ')' && i > at + 2 && i - at - 2 < NAME_MAX_BYTES ? i + 1 - at : 0;
}

static bool has_reference(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (reference(s, i) != 0) return true;
    return false;
}

/* What stands for the reference: its value, or itself where nothing is known of it. */
static enum weir_err value_of(struct walk *w, const struct weir_tree *t, struct weir_str whole, struct weir_str *out)
{
    char name[NAME_MAX_BYTES];
    size_t n = whole.n - 3;
    memcpy(name, whole.p + 2, n);
    name[n] = '\0';
    const char *value = w->env->find(w->env->ctx, name);
    *out = value != NULL ? weir_str_of(value) : whole;
    if (value != NULL || w->env->unknown == NULL) return WEIR_OK;
    if (w->env->unknown(w->env->ctx, w->path, (struct weir_str){name, n}, w->error) == WEIR_OK) return WEIR_OK;
    return weir_error_prefix(w->error, "%s:%u:%u", w->file, t->line, t->column);
}

static enum weir_err text_expand(struct walk *w, const struct weir_tree *t, struct weir_str *out)
{
    struct weir_str from = t->text;
    size_t room = from.n + 1, n = 0;
    char *to = weir_arena_alloc(w->arena, room);
    for (size_t i = 0; i < from.n;) {
        struct weir_str piece = {from.p + i, 1};
        size_t step = 1, length;
        if (from.p[i] == '$' && i + 1 < from.n && (length = reference(from, i + 1)) != 0) {
            piece = (struct weir_str){from.p + i + 1, length};
            step = length + 1;
        } else if ((length = reference(from, i)) != 0) {
            enum weir_err err = value_of(w, t, (struct weir_str){from.p + i, length}, &piece);
            if (err != WEIR_OK) return err;
            step = length;
        }
        if (n + piece.n + (from.n - i) > room) {
            char *more = weir_arena_alloc(w->arena, room = 2 * (n + piece.n + from.n - i) + 1);
            memcpy(more, to, n);
            to = more;
        }
        if (piece.n > 0) memcpy(to + n, piece.p, piece.n);
        n += piece.n;
        i += step;
    }
    *out = (struct weir_str){to, n};
    return WEIR_OK;
}

static enum weir_err expand(struct walk *w, const struct weir_tree *t, const struct weir_tree **out);

static struct weir_tree *copy_of(struct walk *w, const struct weir_tree *t)
{
    struct weir_tree *c = WEIR_NEW(w->arena, struct weir_tree, 1);
    *c = *t;
    return c;
}

static enum weir_err list_expand(struct walk *w, const struct weir_tree *t, const struct weir_tree **out)
{
    size_t depth = strlen(w->path);
    struct weir_tree *copy = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct weir_tree *item;
        snprintf(w->path + depth, sizeof(w->path) - depth, "[%u]", i);
        enum weir_err err = expand(w, t->items[i], &item);
        if (err != WEIR_OK) return err;
        if (item == t->items[i]) continue;
        if (copy == NULL) {
            copy = copy_of(w, t);
            copy->items = WEIR_NEW(w->arena, const struct weir_tree *, t->count);
            memcpy(copy->items, t->items, t->count * sizeof(*t->items));
        }
        copy->items[i] = item;
    }
    w->path[depth] = '\0';
    *out = copy != NULL ? copy : t;
    return WEIR_OK;
}

static enum weir_err map_expand(struct walk *w, const struct weir_tree *t, const struct weir_tree **out)
{
    size_t depth = strlen(w->path);
    struct weir_tree *copy = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct weir_tree *value;
        snprintf(w->path + depth, sizeof(w->path) - depth, "%s%.*s", depth > 0 ? "." : "", WEIR_STR_ARG(t->entries[i].key->text));
        enum weir_err err = expand(w, t->entries[i].value, &value);
        if (err != WEIR_OK) return err;
        if (value == t->entries[i].value) continue;
        if (copy == NULL) {
            copy = copy_of(w, t);
            copy->entries = WEIR_NEW(w->arena, struct weir_tree_entry, t->count);
            memcpy(copy->entries, t->entries, t->count * sizeof(*t->entries));
        }
        copy->entries[i].value = value;
    }
    w->path[depth] = '\0';
    *out = copy != NULL ? copy : t;
    return WEIR_OK;
}

static enum weir_err expand(struct walk *w, const struct weir_tree *t, const struct weir_tree **out)
{
    *out = t;
    switch (t->kind) {
    case WEIR_TREE_NULL: return WEIR_OK;
    case WEIR_TREE_LIST: return list_expand(w, t, out);
    case WEIR_TREE_MAP: return map_expand(w, t, out);
    case WEIR_TREE_SCALAR: break;
    }
    if (!has_reference(t->text)) return WEIR_OK;
    struct weir_tree *copy = copy_of(w, t);
    *out = copy;
    return text_expand(w, t, &copy->text);
}

enum weir_err weir_tree_expand(struct weir_arena *a, const char *file, const struct weir_tree *tree, const struct weir_tree_env *env,
                               const struct weir_tree **out, struct weir_error *e)
{
    struct walk w = {.arena = a, .file = file, .env = env, .error = e};
    return expand(&w, tree, out);
}
