/* One cluster between a control thread and two workers, all simulated: time passes when a test says so. */
#ifndef WEIR_TEST_SUPPORT_CLUSTER_RIG_H
#define WEIR_TEST_SUPPORT_CLUSTER_RIG_H

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/shared.h"

struct cluster_rig {
    struct weir_worker *control, *workers[2];
    struct weir_stats_registry *registry;
    struct weir_cluster_env env;
    struct weir_arena scratch;
    struct weir_cluster_config *config;  /* NULL until cluster_rig_create() */
    struct weir_cluster_shared *shared;
    int ready; /* how often the cluster has said so */
};
/* cmocka's: the rig is *state. At the end all that was made must have gone. */
int cluster_rig_setup(void **state);
int cluster_rig_teardown(void **state);
/* Every thread has its turns until mail back and forth has arrived. */
void cluster_rig_turn(struct cluster_rig *r, uint64_t ms);
/* config.cluster.v3.Cluster as JSON with single quotes; a reference is the caller's. */
struct weir_cluster_config *cluster_rig_compile(struct cluster_rig *r, const char *json);
void cluster_rig_create(struct cluster_rig *r, const char *json); /* compiles, and makes the shared part */
int64_t cluster_rig_stat(const struct cluster_rig *r, enum weir_cluster_control_stat s);

#endif
