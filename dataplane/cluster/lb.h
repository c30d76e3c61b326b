/* One worker's choice among the hosts of a cluster. Built from the host set and the hosts' health, and rebuilt when either
 * changes: how much load each priority takes (overprovisioning, panic), then for each priority the lists to draw from, then
 * the policy's state for each list. The numbers are Envoy's. Called by cluster/cluster.c. */
#ifndef WEIR_CLUSTER_LB_H
#define WEIR_CLUSTER_LB_H

#include "dataplane/base/random.h"
#include "dataplane/cluster/cluster.h"
#include "dataplane/cluster/config.h"
#include "dataplane/cluster/edf.h"
#include "dataplane/cluster/host_set.h"

/* Hosts to draw from, with the policy's state. */
struct weir_lb_list {
    uint32_t count, next; /* next: round robin */
    struct weir_cluster_host **at;
    bool equal; /* weights are all the same: no schedule needed */
    struct weir_edf edf;
    uint64_t weight_sum;
    uint64_t *weight_ends; /* RANDOM with unequal weights: running sums */
};
/* The hosts of one priority in one condition. */
struct weir_lb_tier {
    struct weir_lb_list all;
    /* Locality weighted: a list for each locality that takes load; otherwise locality_count is 0. */
    uint32_t locality_count;
    struct weir_lb_list *localities;
    double *locality_weights;
    struct weir_edf locality_edf;
};
enum weir_lb_tier_kind { WEIR_LB_HEALTHY, WEIR_LB_DEGRADED, WEIR_LB_ANY };
struct weir_lb_priority {
    uint32_t hosts, healthy, degraded;
    uint32_t healthy_load, degraded_load; /* percent of the cluster's requests */
    bool panic;
    struct weir_lb_tier tiers[3]; /* only those that take load are filled */
};
struct weir_lb {
    struct weir_arena arena; /* all below */
    const struct weir_cluster_config *config;
    struct weir_random *random;
    double bias; /* active_request_bias as runtime has it now */
    uint32_t priority_count;
    struct weir_lb_priority *priorities;
    bool single; /* priority 0 takes all load with healthy hosts: no draw for the priority */
};

/* `runtime`: upstream.healthy_panic_threshold, the key of active_request_bias. `by_slot`: the worker's hosts by weir_host.slot. */
struct weir_lb *weir_lb_create(const struct weir_cluster_config *config, const struct weir_runtime *runtime, struct weir_random *random,
                               const struct weir_host_set *set, struct weir_cluster_host *const *by_slot);
void weir_lb_destroy(struct weir_lb *lb);
/* NULL: no host may be used. *panicked: the priority's panic threshold was passed (counted by the caller). No reference. */
struct weir_cluster_host *weir_lb_draw(struct weir_lb *lb, bool *panicked);

/* Load of each priority in percent, from its numbers of hosts: for weir_lb_create and tests. */
void weir_lb_spread(struct weir_lb_priority *p, uint32_t count, uint32_t overprovisioning_percent, uint32_t panic_percent);

#endif
