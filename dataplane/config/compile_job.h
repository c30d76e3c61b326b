/* From packed bytes to immutable resources, on a thread of its own. A job is one response of a source (or the static part of a
 * bootstrap, or a file): its resources are pre-walked, unpacked, validated and compiled one by one; unchanged bytes cost a
 * hash comparison, refused bytes that come again are not compiled again. The finished job goes to the control thread.
 *
 * Two lanes: endpoints go before clusters, listeners and routes, so that a large push delays no endpoint change. */
#ifndef WEIR_CONFIG_COMPILE_JOB_H
#define WEIR_CONFIG_COMPILE_JOB_H

#include "dataplane/base/compile.h"
#include "dataplane/base/list.h"
#include "dataplane/worker/mailbox.h"
#include "xds/resource_type.h"

/* What every compile function needs; outlives all jobs. */
struct weir_compile_env {
    const struct weir_compile_names *names;
    struct weir_stats_registry *stats;
    uint32_t worker_count;
    struct weir_support_log *support; /* may be NULL */
    struct weir_log_sinks *log_sinks; /* where access logs open their files; NULL: nothing is opened (--mode validate) */
    const struct weir_compile_node *node; /* may be NULL */
    const struct weir_runtime *runtime;   /* what keys hold that are read once, when a resource is compiled; may be NULL */
};

#define WEIR_SOURCE_STATIC 0u /* the bootstrap; other sources count from 1 */

enum weir_compiled_state {
    WEIR_COMPILED_NEW,     /* `resource` holds one reference for the control thread */
    WEIR_COMPILED_SAME,    /* equal to what was accepted last */
    WEIR_COMPILED_REFUSED, /* `error` says why */
    WEIR_COMPILED_HEARTBEAT, /* equal by the word of the control plane, which sent no bytes */
};
struct weir_compile_item {
    struct weir_str name, version, packed; /* in the job's arena or outliving it */
    struct weir_str type_url;              /* of the Any; empty: the job's type */
    enum weir_compiled_state state;
    bool again; /* refused before with the same bytes */
    bool heartbeat; /* no bytes: what was accepted under this version lives on */
    uint64_t ttl_ms; /* the time that the resource lives from now on; 0: without end */
    uint64_t heard;  /* set by the run: which word on this resource it is */
    uint64_t hash;
    struct weir_resource *resource;
    const char *error;
};
struct weir_compile_job {
    struct weir_mail mail;
    struct weir_list node; /* the compile thread's lane */
    struct weir_arena arena;
    enum weir_resource_type type;
    uint32_t source;       /* who sent it: names are tracked by source, so that a full set removes only its own */
    bool full;             /* all there is of this type from this source: what is not in it is removed (CDS, LDS) */
    struct weir_str version;
    size_t count, removed_count;
    struct weir_compile_item *items;
    struct weir_str *removed; /* given (delta), or found (full) */
    const uint64_t *removed_heard; /* NULL, or for each: void (the name becomes empty) when a later word has been heard */
    uint64_t received_wall_ns;
    /* Control thread; owns the job from then on (weir_compile_job_destroy). */
    void (*done)(struct weir_compile_job *job);
    void (*dropped)(struct weir_compile_job *job); /* instead of done when the process ends before; may be NULL */
    void *ctx;
};
struct weir_compile_job *weir_compile_job_create(enum weir_resource_type type, size_t count, size_t removed_count);
void weir_compile_job_destroy(struct weir_compile_job *job); /* releases resources that were not taken */

/* What was accepted and refused so far; belongs to whoever runs jobs: the compile thread, or main before it starts. */
struct weir_compile_memory;
struct weir_compile_memory *weir_compile_memory_create(void);
void weir_compile_memory_destroy(struct weir_compile_memory *m);
/* Compiles in place: main for static resources and --mode validate. */
void weir_compile_job_run(const struct weir_compile_env *env, struct weir_compile_memory *memory, struct weir_compile_job *job);

struct weir_worker;
struct weir_compiler; /* the thread */
/* Takes `memory`. Finished jobs arrive as mail on `control`. */
struct weir_compiler *weir_compiler_create(const struct weir_compile_env *env, struct weir_compile_memory *memory,
                                           struct weir_worker *control);
void weir_compiler_submit(struct weir_compiler *c, struct weir_compile_job *job); /* any thread */
void weir_compiler_destroy(struct weir_compiler *c); /* waits for the job at hand; drops those in the lanes */

/* One resource, the pure function beneath: decode, validate, check support, compile; every cluster counts as known. For tests
 * and fuzzing too. */
enum weir_err weir_compile_resource(const struct weir_compile_env *env, enum weir_resource_type type, struct weir_str name,
                                    struct weir_str packed, struct weir_resource **out, struct weir_error *e) WEIR_MUST_USE;

#endif
