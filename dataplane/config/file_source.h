/* path_config_source for CDS and LDS: a file that holds a DiscoveryResponse in YAML or JSON, read at start and again
 * whenever it is replaced (a rename over it, or a swap of the symbolic link of a mounted ConfigMap: these are atomic) or was
 * written in place. */
#ifndef WEIR_CONFIG_FILE_SOURCE_H
#define WEIR_CONFIG_FILE_SOURCE_H

#include "dataplane/config/bootstrap.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/worker/worker.h"

struct weir_file_source;
/* Control thread. `on_change` is called when the file may have changed; nothing is read before weir_file_source_read. `source`
 * outlives it. */
struct weir_file_source *weir_file_source_create(struct weir_worker *control, enum weir_resource_type type, uint32_t source_id,
                                                 const struct weir_source *source, void (*on_change)(void *ctx), void *ctx);
void weir_file_source_destroy(struct weir_file_source *f);

enum weir_file_state {
    WEIR_FILE_SAME,    /* the bytes that were read last */
    WEIR_FILE_CHANGED, /* *out is a job over all that it holds (full; ctx and done are the receiver's to set), owned by the caller */
    WEIR_FILE_TORN,    /* the same as below, but somebody may be writing it: to be read again in WEIR_FILE_SETTLE_MS */
    WEIR_FILE_BROKEN,  /* it cannot be read or is no list of resources: the error names file, line and column */
};
enum weir_file_state weir_file_source_read(struct weir_file_source *f, struct weir_compile_job **out, struct weir_error *e);
/* Whether the file may have changed since this was asked last, or on_change was called; that call then does not come. */
bool weir_file_source_changed(struct weir_file_source *f);
/* What was read last has not been used: the next read gives it again. */
void weir_file_source_forget(struct weir_file_source *f);
struct weir_str weir_file_source_path(const struct weir_file_source *f);

#endif
