/* What a compile function may use: the arena of the resource in making, the path of the field at hand, and reject(),
 * whose text becomes the NACK or the start-up error. Compile functions run on the compile thread (or in main for
 * --mode validate), touch no global state and may be given hostile messages: the validator has checked the rules and the
 * support table before, nothing else. */
#ifndef WEIR_BASE_COMPILE_H
#define WEIR_BASE_COMPILE_H

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/error.h"
#include "dataplane/base/resource.h"

#define WEIR_COMPILE_PATH_MAX 512

struct weir_stats;
struct weir_stats_registry;
struct weir_log_sinks;
struct weir_runtime;
struct weir_support_log;

/* Names to dense indexes. An index is stable for the life of the process; the slot may be empty in a worker (a cluster that
 * is not there yet or any more). Thread-safe. Implemented by config/names.c. */
struct weir_compile_names {
    uint32_t (*cluster_slot)(void *ctx, struct weir_str cluster_name);
    /* For a table that comes by RDS: the resource that asks waits for it while it warms, at most initial_fetch_timeout_ms
     * (0: for ever), ConfigSource.initial_fetch_timeout. `stats` of the subscription lives as long as the resource. */
    uint32_t (*route_table_slot)(void *ctx, struct weir_str route_config_name, uint64_t initial_fetch_timeout_ms, struct weir_stats *stats);
    /* Whether a cluster of that name has been accepted, be it warming (RouteConfiguration.validate_clusters). NULL: all are. */
    bool (*cluster_known)(void *ctx, struct weir_str cluster_name);
    void *ctx;
};

/* What the process says of itself: bootstrap.node, --service-*. */
struct weir_compile_node {
    struct weir_str id, cluster, zone;
    struct weir_str local_ip; /* first address of the machine that is not loopback, else 127.0.0.1 */
};

struct weir_compile {
    struct weir_arena *arena;       /* of the resource */
    struct weir_resource *resource; /* may be NULL in tests */
    struct weir_error *error;
    const struct weir_compile_names *names;
    struct weir_stats_registry *stats; /* where a compiled object registers its counters; NULL in some tests */
    struct weir_log_sinks *log_sinks; /* where access logs open their files; NULL: nowhere (--mode validate, tests) */
    const struct weir_runtime *runtime;
    struct weir_support_log *support; /* counts and warns of ignored fields (config/support.h); may be NULL */
    const struct weir_compile_node *node; /* NULL in some tests */
    uint32_t worker_count;
    struct weir_arena *scratch; /* gone after the compile: unpacked Any payloads */
    size_t path_length;
    char path[WEIR_COMPILE_PATH_MAX]; /* "virtual_hosts[2].routes[0].match" */
};

/* Field path. push returns a mark that pop takes. index < 0: a singular field. */
size_t weir_path_push(struct weir_compile *c, const char *field, int index);
void weir_path_pop(struct weir_compile *c, size_t mark);
/* Refuses: text is "PATH.field: reason". field may be NULL. Always returns WEIR_ERR_INVALID. */
enum weir_err weir_reject(struct weir_compile *c, const char *field, const char *fmt, ...) WEIR_PRINTF(3, 4);
#define weir_new(c, type, count) WEIR_NEW((c)->arena, type, count)
struct weir_str weir_compile_str(struct weir_compile *c, const char *z); /* copied into the arena; "" for NULL */

/* The type of what an Any holds, a TypedStruct looked into; NULL: weir does not know it. Implemented in config/any_type.c. */
const ProtobufCMessageDescriptor *weir_compile_any_type(struct weir_compile *c, const void *any);
/* Unpacks an Any (google.protobuf.Any) into c->scratch: resolves the type URL, pre-walks, unpacks, validates rules and
 * support classes; errors carry the path of the field. xds.type.v3.TypedStruct and udpa.type.v1.TypedStruct are converted.
 * Implemented in config/any.c. */
enum weir_err weir_compile_any(struct weir_compile *c, const char *field, const void *any, const ProtobufCMessage **out)
    WEIR_MUST_USE;

/* Durations (google.protobuf.Duration, may be NULL) to milliseconds, rounded up; `otherwise` when not set. */
uint64_t weir_duration_ms(const void *duration, uint64_t otherwise);

#endif
