/* The bootstrap: read from -c and --config-yaml, checked like any resource, taken apart into what main starts. An error
 * names file, line and column of the field. */
#ifndef WEIR_CONFIG_BOOTSTRAP_H
#define WEIR_CONFIG_BOOTSTRAP_H

#include "dataplane/base/address.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/runtime.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/config/options.h"
#include "xds/ads.h"
#include "xds/tree.h"

/* Where CDS or LDS come from. */
enum weir_source_kind { WEIR_FROM_NOWHERE, WEIR_FROM_ADS, WEIR_FROM_FILE };
struct weir_source {
    enum weir_source_kind kind;
    uint64_t initial_fetch_timeout_ms; /* 15,000 unless set; 0: for ever */
    struct weir_str path;              /* FILE */
    struct weir_str watched_directory; /* FILE; empty: the file's own directory */
};

/* All of it lives in `arena`, but for what is gone once the static resources serve. */
struct weir_bootstrap {
    struct weir_arena arena;
    struct weir_arena scratch; /* tree, whole; until weir_bootstrap_settle() */
    const char *file; /* as messages call it */
    const struct weir_tree *tree;
    const pb_bootstrap *whole; /* with static_resources */
    pb_bootstrap *pb;          /* without */
    struct weir_str packed;    /* the whole, for weir_bootstrap_whole() */
    pb_node *node; /* as it goes out: flags applied, user agent and client features filled */
    struct weir_compile_node self; /* the same for compile functions */
    bool has_admin;
    struct weir_address admin;
    struct weir_compile_job *clusters, *listeners; /* static_resources, not run yet; owned until taken */
    struct weir_source cds, lds;
    bool has_ads;
    struct weir_ads_config ads; /* node set */
    struct weir_str ads_cluster;
    struct weir_runtime *runtime; /* NULL: no layers; one reference */
    struct weir_runtime *runtime_at_start; /* as the bootstrap has it, whatever admin changes: by it resources are compiled */
    int admin_layer;              /* index of the admin layer, -1: none */
};
/* On success the caller owns *out (weir_bootstrap_deinit). */
enum weir_err weir_bootstrap_load(const struct weir_options *o, struct weir_support_log *support, struct weir_bootstrap *out,
                                  struct weir_error *e) WEIR_MUST_USE;
void weir_bootstrap_deinit(struct weir_bootstrap *b);
/* The static resources serve: their messages and the places of their fields in the file are not needed any more, which is most of
 * what a large bootstrap takes. */
void weir_bootstrap_settle(struct weir_bootstrap *b);
/* The bootstrap as it was read, with the node as it goes out; unpacked into `arena`, for /config_dump. */
const pb_bootstrap *weir_bootstrap_whole(const struct weir_bootstrap *b, struct weir_arena *arena);
/* "PATH: reason" becomes "FILE:LINE:COLUMN: PATH: reason". */
void weir_bootstrap_locate(const struct weir_bootstrap *b, struct weir_error *e);
/* Runs the static jobs; the first refused resource is the error. */
enum weir_err weir_bootstrap_compile(struct weir_bootstrap *b, const struct weir_compile_env *env, struct weir_compile_memory *memory,
                                     struct weir_error *e) WEIR_MUST_USE;

#endif
