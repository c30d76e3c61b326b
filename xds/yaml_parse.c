/* YAML to tree over libyaml's events. Called for bootstrap, file sources and weir-control-plane. Bounded: depth, bytes, and
 * nodes counted as often as aliases use them, so that a "billion laughs" document ends early. */
#include <yaml.h>

#include "dataplane/base/map.h"
#include "dataplane/limits.h"
#include "xds/tree.h"

struct yaml {
    struct weir_arena *arena;
    const char *file;
    struct weir_error *error;
    yaml_parser_t parser;
    struct weir_map anchors; /* name → node; a node whose `expanded` is 0 is still open */
    uint64_t nodes;
};

static enum weir_err fail(struct yaml *y, const yaml_mark_t *at, const char *what)
{
    return weir_error_set(y->error, WEIR_ERR_INVALID, "%s:%zu:%zu: %s", y->file, at->line + 1, at->column + 1, what);
}

static enum weir_err next_event(struct yaml *y, yaml_event_t *event)
{
    if (yaml_parser_parse(&y->parser, event)) return WEIR_OK;
    const yaml_mark_t *at = &y->parser.problem_mark;
    const char *problem = y->parser.problem != NULL ? y->parser.problem : "cannot be read";
    if (y->parser.error == YAML_READER_ERROR)
        return weir_error_set(y->error, WEIR_ERR_INVALID, "%s: byte %zu: %s", y->file, y->parser.problem_offset, problem);
    if (y->parser.context != NULL)
        return weir_error_set(y->error, WEIR_ERR_INVALID, "%s:%zu:%zu: %s %s", y->file, at->line + 1, at->column + 1, problem,
                              y->parser.context);
    return fail(y, at, problem);
}

static struct weir_tree *node_new(struct yaml *y, enum weir_tree_kind kind, const yaml_mark_t *at)
{
    struct weir_tree *n = WEIR_NEW(y->arena, struct weir_tree, 1);
    n->kind = kind;
    n->line = (uint32_t)at->line + 1;
    n->column = (uint32_t)at->column + 1;
    return n;
}

static enum weir_err count_nodes(struct yaml *y, uint64_t n, const yaml_mark_t *at)
{
    y->nodes += n;
    if (y->nodes <= WEIR_YAML_NODES_MAX) return WEIR_OK;
    fail(y, at, "document is too large once its aliases are expanded");
    y->error->code = WEIR_ERR_LIMIT;
    return WEIR_ERR_LIMIT;
}

static void anchor_set(struct yaml *y, const yaml_char_t *anchor, struct weir_tree *n)
{
    if (anchor == NULL) return;
    weir_map_set(&y->anchors, weir_arena_str(y->arena, weir_str_of((const char *)anchor)), n);
}

static bool is_null_text(struct weir_str s)
{
    return s.n == 0 || weir_str_eq(s, WEIR_STR("~")) || weir_str_eq(s, WEIR_STR("null")) || weir_str_eq(s, WEIR_STR("Null")) ||
           weir_str_eq(s, WEIR_STR("NULL"));
}

static enum weir_err scalar_new(struct yaml *y, const yaml_event_t *event, const struct weir_tree **out)
{
    struct weir_str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    struct weir_tree *n = node_new(y, WEIR_TREE_SCALAR, &event->start_mark);
    const char *tag = (const char *)event->data.scalar.tag;
    n->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || (tag != NULL && strcmp(tag, YAML_STR_TAG) == 0);
    if (!n->quoted && is_null_text(text)) n->kind = WEIR_TREE_NULL;
    n->text = weir_arena_str(y->arena, text);
    n->expanded = 1;
    anchor_set(y, event->data.scalar.anchor, n);
    *out = n;
    return count_nodes(y, 1, &event->start_mark);
}

static enum weir_err alias_find(struct yaml *y, const yaml_event_t *event, const struct weir_tree **out)
{
    struct weir_tree *n = weir_map_get(&y->anchors, weir_str_of((const char *)event->data.alias.anchor));
    if (n == NULL) return fail(y, &event->start_mark, "alias to an anchor that is not defined before it");
    if (n->expanded == 0) return fail(y, &event->start_mark, "alias inside the very node that it names");
    *out = n;
    return count_nodes(y, n->expanded, &event->start_mark);
}

static enum weir_err value_parse(struct yaml *y, yaml_event_t *event, uint32_t depth, const struct weir_tree **out);

static enum weir_err list_parse(struct yaml *y, struct weir_tree *n, uint32_t depth)
{
    uint64_t expanded = 1;
    for (;;) {
        yaml_event_t event;
        enum weir_err err = next_event(y, &event);
        if (err != WEIR_OK) return err;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            n->expanded = expanded;
            return WEIR_OK;
        }
        const struct weir_tree *item = NULL;
        err = value_parse(y, &event, depth, &item);
        yaml_event_delete(&event);
        if (err != WEIR_OK) return err;
        n->items = weir_tree_grow(y->arena, n->items, n->count, sizeof(*n->items));
        n->items[n->count++] = item;
        expanded += item->expanded;
    }
}

static void entry_add(struct yaml *y, struct weir_tree *n, struct weir_tree_entry entry)
{
    n->entries = weir_tree_grow(y->arena, n->entries, n->count, sizeof(entry));
    n->entries[n->count++] = entry;
}

/* "<<": a map, or a list of maps of which earlier ones win. What the map says itself wins over all (YAML 1.1 merge key). */
static enum weir_err merge_keys(struct yaml *y, struct weir_tree *n, const struct weir_tree *from, struct weir_map *own)
{
    if (from->kind == WEIR_TREE_LIST) {
        for (uint32_t i = 0; i < from->count; i++) {
            if (from->items[i]->kind == WEIR_TREE_LIST) break;
            enum weir_err err = merge_keys(y, n, from->items[i], own);
            if (err != WEIR_OK) return err;
        }
        return WEIR_OK;
    }
    if (from->kind != WEIR_TREE_MAP)
        return weir_error_set(y->error, WEIR_ERR_INVALID, "%s:%u:%u: a merge key takes a map or a list of maps", y->file,
                              from->line, from->column);
    for (uint32_t i = 0; i < from->count; i++) {
        struct weir_tree_entry e = from->entries[i];
        if (weir_map_get(own, e.key->text) != NULL) continue;
        weir_map_set(own, e.key->text, (void *)(uintptr_t)e.key);
        entry_add(y, n, e);
    }
    return WEIR_OK;
}

static enum weir_err map_parse(struct yaml *y, struct weir_tree *n, uint32_t depth)
{
    struct weir_map own = {0};
    const struct weir_tree *merges[16];
    size_t merge_count = 0;
    uint64_t expanded = 1;
    enum weir_err err = WEIR_OK;
    for (;;) {
        yaml_event_t event;
        if ((err = next_event(y, &event)) != WEIR_OK) break;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        yaml_mark_t at = event.start_mark;
        bool merge = event.type == YAML_SCALAR_EVENT && event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                     strcmp((const char *)event.data.scalar.value, "<<") == 0;
        const struct weir_tree *key = NULL, *value = NULL;
        if (event.type != YAML_SCALAR_EVENT && event.type != YAML_ALIAS_EVENT)
            err = fail(y, &at, "a key must be a scalar");
        else
            err = value_parse(y, &event, depth, &key);
        yaml_event_delete(&event);
        if (err == WEIR_OK && key->kind != WEIR_TREE_SCALAR && key->kind != WEIR_TREE_NULL)
            err = fail(y, &at, "a key must be a scalar");
        if (err != WEIR_OK || (err = next_event(y, &event)) != WEIR_OK) break;
        err = value_parse(y, &event, depth, &value);
        yaml_event_delete(&event);
        if (err != WEIR_OK) break;
        expanded += key->expanded + value->expanded;
        if (merge) {
            if (merge_count == sizeof(merges) / sizeof(merges[0])) {
                err = fail(y, &at, "too many merge keys in one map");
                break;
            }
            merges[merge_count++] = value;
            continue;
        }
        if (weir_map_set(&own, key->text, (void *)(uintptr_t)key) != NULL) {
            err = weir_error_set(y->error, WEIR_ERR_INVALID, "%s:%u:%u: key '%.*s' is given twice in one map", y->file, key->line,
                                 key->column, WEIR_STR_ARG(key->text));
            break;
        }
        entry_add(y, n, (struct weir_tree_entry){key, value});
    }
    for (size_t i = 0; i < merge_count && err == WEIR_OK; i++) err = merge_keys(y, n, merges[i], &own);
    weir_map_deinit(&own);
    n->expanded = expanded;
    return err;
}

static enum weir_err value_parse(struct yaml *y, yaml_event_t *event, uint32_t depth, const struct weir_tree **out)
{
    if (depth > WEIR_YAML_DEPTH_MAX) return fail(y, &event->start_mark, "nested too deeply");
    struct weir_tree *n;
    enum weir_err err;
    switch (event->type) {
    case YAML_SCALAR_EVENT: return scalar_new(y, event, out);
    case YAML_ALIAS_EVENT: return alias_find(y, event, out);
    case YAML_SEQUENCE_START_EVENT:
        n = node_new(y, WEIR_TREE_LIST, &event->start_mark);
        anchor_set(y, event->data.sequence_start.anchor, n);
        *out = n;
        err = count_nodes(y, 1, &event->start_mark);
        return err != WEIR_OK ? err : list_parse(y, n, depth + 1);
    case YAML_MAPPING_START_EVENT:
        n = node_new(y, WEIR_TREE_MAP, &event->start_mark);
        anchor_set(y, event->data.mapping_start.anchor, n);
        *out = n;
        err = count_nodes(y, 1, &event->start_mark);
        return err != WEIR_OK ? err : map_parse(y, n, depth + 1);
    default: return fail(y, &event->start_mark, "a value was expected");
    }
}

static enum weir_err stream_parse(struct yaml *y, const struct weir_tree ***documents, size_t *count)
{
    for (;;) {
        yaml_event_t event;
        enum weir_err err = next_event(y, &event);
        if (err != WEIR_OK) return err;
        yaml_event_type_t type = event.type;
        const struct weir_tree *root = NULL;
        if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT ||
            type == YAML_ALIAS_EVENT) {
            err = value_parse(y, &event, 0, &root);
        }
        yaml_event_delete(&event);
        if (err != WEIR_OK) return err;
        if (type == YAML_DOCUMENT_START_EVENT) weir_map_deinit(&y->anchors); /* anchors end with their document */
        if (type == YAML_STREAM_END_EVENT) return WEIR_OK;
        if (root == NULL) continue;
        *documents = weir_tree_grow(y->arena, *documents, *count, sizeof(**documents));
        (*documents)[(*count)++] = root;
    }
}

enum weir_err weir_yaml_parse(struct weir_arena *a, const char *file, struct weir_str bytes, const struct weir_tree ***documents,
                              size_t *count, struct weir_error *e)
{
    struct yaml y = {.arena = a, .file = file, .error = e};
    *documents = NULL;
    *count = 0;
    if (bytes.n > WEIR_YAML_BYTES_MAX) return weir_error_set(e, WEIR_ERR_LIMIT, "%s: larger than %u bytes", file, WEIR_YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&y.parser)) return weir_error_set(e, WEIR_ERR_LIMIT, "%s: no memory for the YAML parser", file);
    yaml_parser_set_input_string(&y.parser, (const unsigned char *)(bytes.p != NULL ? bytes.p : ""), bytes.n);
    enum weir_err err = stream_parse(&y, documents, count);
    yaml_parser_delete(&y.parser);
    weir_map_deinit(&y.anchors);
    return err;
}
