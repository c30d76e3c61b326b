/* Clusters and endpoints from their messages: called on the compile thread, by config/ and by --mode validate. */
#ifndef WEIR_CONFIG_COMPILE_CLUSTER_H
#define WEIR_CONFIG_COMPILE_CLUSTER_H

#include "dataplane/base/compile.h"
#include "dataplane/cluster/config.h"
#include "dataplane/cluster/endpoints.h"

/* pb: config.cluster.v3.Cluster, validated. The resource is created here (c->arena and c->resource are set to it during the
 * call and restored); on success *out has one reference, on failure nothing is left. */
enum weir_err weir_cluster_compile(struct weir_compile *c, const ProtobufCMessage *pb, struct weir_cluster_config **out) WEIR_MUST_USE;
/* pb: config.endpoint.v3.ClusterLoadAssignment, validated, of EDS: every address is numeric or a pipe. As above. */
enum weir_err weir_endpoints_compile(struct weir_compile *c, const ProtobufCMessage *pb, struct weir_endpoints **out) WEIR_MUST_USE;

/* For weir_cluster_compile: a load_assignment into c->arena, with names allowed where `dns`. */
enum weir_err weir_endpoints_fill(struct weir_compile *c, const ProtobufCMessage *pb, bool dns, struct weir_endpoints *out) WEIR_MUST_USE;
/* cleanup_interval and original_dst_lb_config of a cluster of type ORIGINAL_DST, and what such a cluster must not have
 * (config/compile_original_dst.c). */
enum weir_err weir_original_dst_compile(struct weir_compile *c, const ProtobufCMessage *cluster, struct weir_original_dst_config *out)
    WEIR_MUST_USE;
/* HttpProtocolOptions and kin of a cluster into `out` (config/compile_upstream_http.c). `any` NULL: defaults. */
enum weir_err weir_upstream_http_compile(struct weir_compile *c, const ProtobufCMessage *cluster, struct weir_cluster_config *out)
    WEIR_MUST_USE;

#endif
