/* path_config_source for CDS and LDS: a file that holds a DiscoveryResponse in YAML or JSON, read at start and again
 * whenever it is replaced (a rename over it, or a swap of the symbolic link of a mounted ConfigMap). */
#ifndef WEIR_CONFIG_FILE_SOURCE_H
#define WEIR_CONFIG_FILE_SOURCE_H

#include "dataplane/config/bootstrap.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/worker/worker.h"

struct weir_file_source;
struct weir_file_source_events {
    /* A readable file became a job (ctx and done are the receiver's to set); it is a full set. */
    void (*on_job)(void *ctx, struct weir_compile_job *job);
    /* The file cannot be read or is broken: `error` names file, line and column. What was accepted serves on. */
    void (*on_broken)(void *ctx, enum weir_resource_type type, const struct weir_error *error);
};
/* Control thread. Reads at once: the first event comes from inside. `source` outlives it. */
struct weir_file_source *weir_file_source_create(struct weir_worker *control, enum weir_resource_type type, uint32_t source_id,
                                                 const struct weir_source *source, const struct weir_file_source_events *events, void *ctx);
void weir_file_source_destroy(struct weir_file_source *f);

#endif
