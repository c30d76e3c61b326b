/* See cluster_rig.h. */
#include "test/unit/support/cluster_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_cluster.h"
#include "test/unit/support/pb_text.h"

int cluster_rig_setup(void **state)
{
    struct cluster_rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->control = weir_worker_create_simulated(2, 2, 1);
    for (uint32_t i = 0; i < 2; i++) r->workers[i] = weir_worker_create_simulated(i, 2, 2 + i);
    r->control->now_ns = r->workers[0]->now_ns = r->workers[1]->now_ns = 1000000000;
    r->registry = weir_stats_registry_create(2);
    r->env = (struct weir_cluster_env){.control = r->control, .workers = r->workers, .worker_count = 2, .stats = r->registry};
    *state = r;
    return 0;
}

void cluster_rig_turn(struct cluster_rig *r, uint64_t ms)
{
    struct weir_worker *all[] = {r->control, r->workers[0], r->workers[1]};
    for (int i = 0; i < 3; i++) all[i]->now_ns += ms * 1000000;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) weir_worker_finish_turn(all[i]);
}

int cluster_rig_teardown(void **state)
{
    struct cluster_rig *r = *state;
    if (r->shared != NULL) weir_cluster_shared_close(r->shared);
    cluster_rig_turn(r, 0);
    for (int i = 0; i < 2; i++) {
        assert_null(weir_snapshot_cluster(&r->workers[i]->snapshot, 0));
        weir_clusters_deinit(r->workers[i]);
        weir_worker_destroy(r->workers[i]);
    }
    weir_worker_destroy(r->control);
    if (r->config != NULL) {
        assert_int_equal(r->config->resource.refs, 1);
        weir_resource_release(&r->config->resource);
    }
    weir_arena_deinit(&r->scratch);
    weir_stats_registry_destroy(r->registry);
    free(r);
    return 0;
}

static void on_ready(void *ctx, struct weir_cluster_shared *s)
{
    (void)s;
    ((struct cluster_rig *)ctx)->ready++;
}

struct weir_cluster_config *cluster_rig_compile(struct cluster_rig *r, const char *json)
{
    struct weir_error error;
    struct weir_compile c = {.error = &error, .stats = r->registry, .worker_count = 2, .scratch = &r->scratch};
    struct weir_cluster_config *out = NULL;
    assert_int_equal(weir_cluster_compile(&c, pb_text(&r->scratch, &pb_cluster_type, json), &out), WEIR_OK);
    return out;
}

void cluster_rig_create(struct cluster_rig *r, const char *json)
{
    r->config = cluster_rig_compile(r, json);
    r->shared = weir_cluster_shared_create(&r->env, 0, r->config, on_ready, r);
}

int64_t cluster_rig_stat(const struct cluster_rig *r, enum weir_cluster_control_stat s)
{
    return weir_stat_sum(r->config->control_stats, s);
}
