/* Trees of values (google.protobuf.Struct) and metadata (core.v3.Metadata): namespaces, one tree each. Used for what a
 * configuration says (compiled, of routes, clusters, hosts) and for what filters say of a stream; read by formats and
 * matchers. Nodes are immutable; they live in the arena that they were made in, or longer. */
#ifndef WEIR_BASE_METADATA_H
#define WEIR_BASE_METADATA_H

#include "dataplane/base/arena.h"

enum weir_value_kind {
    WEIR_VALUE_NULL,
    WEIR_VALUE_BOOL,
    WEIR_VALUE_NUMBER,
    WEIR_VALUE_STRING,
    WEIR_VALUE_STRUCT,
    WEIR_VALUE_LIST,
};
struct weir_value_field;
struct weir_value {
    enum weir_value_kind kind;
    union {
        bool boolean;
        double number;
        struct weir_str string;
        struct {
            const struct weir_value_field *at; /* sorted by key, no key twice */
            uint32_t count;
        } fields;
        struct {
            const struct weir_value *at;
            uint32_t count;
        } list;
    };
};
struct weir_value_field {
    struct weir_str key;
    struct weir_value value;
};

/* google.protobuf.Struct and Value as messages of the API; strings are copied. The depth is bounded by the wire check. */
struct weir_value weir_value_from_struct(struct weir_arena *a, const void *struct_message);
struct weir_value weir_value_from_value(struct weir_arena *a, const void *value_message);
/* Fields in any order, the last of a key counts; shares the nodes. */
struct weir_value weir_value_struct(struct weir_arena *a, const struct weir_value_field *fields, size_t count);
/* Fields of `over` added to or in place of those of `under` (protobuf's MergeFrom of a Struct). Both are structs. */
struct weir_value weir_value_merge(struct weir_arena *a, const struct weir_value *under, const struct weir_value *over);
/* NULL where there is no such field or `v` is no struct (or NULL). */
const struct weir_value *weir_value_field(const struct weir_value *v, struct weir_str key);
bool weir_value_equal(const struct weir_value *a, const struct weir_value *b);
/* Shortest decimal that reads back as the same number; whole numbers without a point. NUL-terminated, returns the length. */
#define WEIR_NUMBER_TEXT_MAX 32
size_t weir_number_print(double v, char out[WEIR_NUMBER_TEXT_MAX]);

struct weir_metadata_entry {
    struct weir_str name; /* the namespace, such as "envoy.lb" */
    struct weir_value value; /* a struct */
};
/* Zeroed is empty. Few entries: lookups are linear. */
struct weir_metadata {
    struct weir_metadata_entry *at;
    uint32_t count, capacity;
};
/* core.v3.Metadata, may be NULL: then NULL. typed_filter_metadata is left out. */
const struct weir_metadata *weir_metadata_compile(struct weir_arena *a, const void *metadata_message);
/* The tree of a namespace, or NULL. m may be NULL. */
const struct weir_value *weir_metadata_get(const struct weir_metadata *m, struct weir_str name);
/* Down from the namespace by keys; NULL where something is missing. */
const struct weir_value *weir_metadata_find(const struct weir_metadata *m, struct weir_str name, const struct weir_str *path,
                                            size_t path_count);
/* Merges a struct into a namespace, as a filter sets dynamic metadata. Name and nodes must outlive m; m grows in `a`. */
void weir_metadata_merge(struct weir_metadata *m, struct weir_arena *a, struct weir_str name, const struct weir_value *value);

#endif
