/* The names of one DNS cluster, asked for again and again (config.cluster.v3.Cluster: dns_refresh_rate, respect_dns_ttl,
 * dns_failure_refresh_rate, dns_jitter). A query that nobody answers keeps the answer before it; that a name has
 * no addresses is an answer. Control thread; owned by the cluster's shared part. */
#ifndef WEIR_CLUSTER_RESOLUTION_H
#define WEIR_CLUSTER_RESOLUTION_H

#include "dataplane/cluster/config.h"
#include "dataplane/cluster/dns.h"
#include "dataplane/cluster/shared.h"

struct weir_dns_resolution;
/* Starts asking for every name of config->endpoints. weir_cluster_shared_resolved() is told of each change and of the moment
 * when every name has been asked once. `dns` NULL: nothing is asked, all names are done with no address. `before`: the cluster's
 * resolution so far, whose answers stand until there are new ones; NULL: none. */
struct weir_dns_resolution *weir_dns_resolution_create(struct weir_cluster_shared *shared, struct weir_dns *dns,
                                                       const struct weir_cluster_config *config,
                                                       const struct weir_dns_resolution *before);
void weir_dns_resolution_destroy(struct weir_dns_resolution *r);
bool weir_dns_resolution_done(const struct weir_dns_resolution *r); /* every name was answered or failed at least once */
/* Addresses of the endpoint at `index` of the configuration's endpoints, without port. */
uint32_t weir_dns_resolution_addresses(const struct weir_dns_resolution *r, uint32_t index, const struct weir_address **out);

#endif
