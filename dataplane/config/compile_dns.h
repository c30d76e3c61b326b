/* Parts of the compilation of clusters that concern DNS, between compile_dns.c, compile_cluster.c and bootstrap_channel.c only. */
#ifndef WEIR_CONFIG_COMPILE_DNS_H
#define WEIR_CONFIG_COMPILE_DNS_H

#include "dataplane/base/compile.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/config.h"

/* The cluster's own DNS fields, the deprecated ones too; all defaults where it says nothing. */
enum weir_err weir_cluster_dns_compile(struct weir_compile *c, const pb_cluster *p, struct weir_dns_config *out) WEIR_MUST_USE;
/* Cluster.cluster_type: sets out->type, and out->dns anew. DnsCluster is the only kind that is supported. */
enum weir_err weir_cluster_type_compile(struct weir_compile *c, const Envoy__Config__Cluster__V3__Cluster__CustomClusterType *p,
                                        struct weir_cluster_config *out) WEIR_MUST_USE;

#endif
