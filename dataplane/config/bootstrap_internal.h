/* Between bootstrap.c, bootstrap_sources.c and bootstrap_channel.c only. */
#ifndef WEIR_CONFIG_BOOTSTRAP_INTERNAL_H
#define WEIR_CONFIG_BOOTSTRAP_INTERNAL_H

#include "dataplane/config/bootstrap.h"

/* dynamic_resources into cds, lds, ads. Errors carry the field path. */
enum weir_err weir_bootstrap_sources(struct weir_bootstrap *b, struct weir_error *e) WEIR_MUST_USE;

/* Target, TLS and keepalive of the stream's channel, out of static_resources.clusters[index]. */
enum weir_err weir_bootstrap_channel(struct weir_bootstrap *b, const pb_cluster *cluster, size_t index, struct weir_ads_config *out,
                                     struct weir_error *e) WEIR_MUST_USE;

#endif
