/* A parsed YAML or JSON document: nodes that know where they stand, so that every complaint names line and column. Both
 * parsers make the same tree; xds/tree_to_pb.c turns it into a message. Nodes live in the caller's arena. YAML aliases
 * share nodes, so the tree is a DAG without cycles; its expanded size is bounded while parsing. */
#ifndef WEIR_XDS_TREE_H
#define WEIR_XDS_TREE_H

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"

enum weir_tree_kind { WEIR_TREE_NULL, WEIR_TREE_SCALAR, WEIR_TREE_LIST, WEIR_TREE_MAP };

struct weir_tree;
struct weir_tree_entry {
    const struct weir_tree *key; /* a scalar */
    const struct weir_tree *value;
};
struct weir_tree {
    enum weir_tree_kind kind;
    bool quoted; /* scalar written as a string: never a number, boolean or null */
    uint32_t line, column; /* from 1 */
    uint32_t count;
    uint64_t expanded; /* nodes of the subtree, aliases counted as often as they are used */
    struct weir_str text;
    union {
        const struct weir_tree **items;  /* LIST */
        struct weir_tree_entry *entries; /* MAP, in order of the document, merge keys resolved */
    };
};

/* All documents of a stream ("---" between them). `file` is for messages: "FILE:LINE:COLUMN: ...". */
enum weir_err weir_yaml_parse(struct weir_arena *a, const char *file, struct weir_str bytes, const struct weir_tree ***documents,
                              size_t *count, struct weir_error *e) WEIR_MUST_USE;
/* RFC 8259, one document. */
enum weir_err weir_json_parse(struct weir_arena *a, const char *file, struct weir_str bytes, const struct weir_tree **document,
                              struct weir_error *e) WEIR_MUST_USE;
/* By name: ".json" is JSON; anything else YAML, where a text that begins with "{" is tried as JSON first. */
enum weir_err weir_tree_parse(struct weir_arena *a, const char *file, struct weir_str bytes, const struct weir_tree ***documents,
                              size_t *count, struct weir_error *e) WEIR_MUST_USE;
/* Reads the file, bounded by WEIR_YAML_BYTES_MAX; the bytes live in the arena. */
enum weir_err weir_tree_read_file(struct weir_arena *a, const char *file, struct weir_str *bytes, struct weir_error *e) WEIR_MUST_USE;

/* Value of a key, NULL where there is none. */
const struct weir_tree *weir_tree_get(const struct weir_tree *map, struct weir_str key);
/* The deepest node on a field path ("static_resources.listeners[0].name") that exists, by either spelling of names; never
 * NULL for a non-NULL root. For giving a place to what a later check complains about. */
const struct weir_tree *weir_tree_locate(const struct weir_tree *root, const char *path);
/* `over` wins: maps are merged key by key, lists are appended, anything else replaced (protobuf's MergeFrom, as Envoy does
 * with --config-yaml over -c). */
const struct weir_tree *weir_tree_merge(struct weir_arena *a, const struct weir_tree *base, const struct weir_tree *over);

/* Kubernetes' references in scalars: $(NAME) becomes the variable's value, $$(NAME) the text $(NAME); names are of letters, digits,
 * '_', '-' and '.', no digit first. `find` answers NULL for an unknown one, which then stays as it is written; `unknown`, when not
 * NULL, is told of it and of the key path it stands at, and ends the walk by an error (whose text it sets, without a place).
 * Keys are left alone. What holds no reference is shared with `tree`. */
struct weir_tree_env {
    const char *(*find)(void *ctx, const char *name);
    enum weir_err (*unknown)(void *ctx, const char *path, struct weir_str name, struct weir_error *e);
    void *ctx;
};
enum weir_err weir_tree_expand(struct weir_arena *a, const char *file, const struct weir_tree *tree, const struct weir_tree_env *env,
                               const struct weir_tree **out, struct weir_error *e) WEIR_MUST_USE;

/* For the parsers. Room for element `count` of an arena array: doubles at powers of two; what is left behind stays in the
 * arena, at most as much again. */
void *weir_tree_grow(struct weir_arena *a, void *old, size_t count, size_t size);

#endif
