/* The resources of a directory: what weir-control-plane serves. Loaded as a whole into one generation, which is immutable:
 * a load that fails leaves the caller's last generation as it is. Files in the directory itself are the common set; those
 * of a subdirectory are the set of the node whose id or cluster it is named after. */
#ifndef WEIR_CONTROL_PLANE_RESOURCES_H
#define WEIR_CONTROL_PLANE_RESOURCES_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"
#include "dataplane/base/map.h"

struct weir_plane_resource {
    struct weir_str name, type_url;
    ProtobufCBinaryData body; /* the packed message */
    struct weir_str any;      /* type_url and body as a packed google.protobuf.Any */
    uint64_t version;         /* hash of the body, never 0; the same in every process */
    struct weir_str place;    /* FILE:LINE:COLUMN */
};
struct weir_plane_type {
    struct weir_str url;
    size_t count;
    struct weir_plane_resource **list; /* in the order of the files */
    struct weir_map by_name;           /* to struct weir_plane_resource */
};
struct weir_plane_set {
    size_t type_count, count;
    struct weir_plane_type **types;
    struct weir_plane_resource **list; /* all types */
    struct weir_map by_url;            /* to struct weir_plane_type */
};
struct weir_plane_resources {
    struct weir_arena *arena; /* holds all, this struct too */
    uint64_t generation;      /* counts up with every load of the process */
    size_t file_count, count;
    struct weir_plane_set common;
    struct weir_map by_node; /* subdirectory's name to struct weir_plane_set */
};

/* Reads *.yaml, *.yml and *.json: documents that are one resource with @type each, or hold a list `resources` of them.
 * The error reads "FILE:LINE:COLUMN: reason". Names that begin with a dot are passed over (..data of a mounted ConfigMap). */
enum weir_err weir_plane_resources_load(const char *directory, uint64_t generation, struct weir_plane_resources **out,
                                        struct weir_error *e) WEIR_MUST_USE;
void weir_plane_resources_destroy(struct weir_plane_resources *r); /* NULL is fine */
/* The set of a node: by its id, else by its cluster, else the common one. */
const struct weir_plane_set *weir_plane_set_of(const struct weir_plane_resources *r, struct weir_str id, struct weir_str cluster);
/* NULL: no resource of the type. */
const struct weir_plane_type *weir_plane_type_of(const struct weir_plane_set *s, struct weir_str url);
/* Writes the common set as JSON, {"resources": [...]}; the file is replaced in one step. */
enum weir_err weir_plane_resources_write(const struct weir_plane_resources *r, const char *file, struct weir_error *e) WEIR_MUST_USE;

#endif
