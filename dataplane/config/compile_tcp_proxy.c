/* The configuration of tcp_proxy: clusters to slots, times with Envoy's defaults. */
#include "dataplane/config/compile_tcp_proxy.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/listener/tcp_proxy.h"

#define IDLE_TIMEOUT_MS_DEFAULT 3600000u

static void release_stats(void *s)
{
    weir_stats_release(s);
}

static enum weir_err add_cluster(struct weir_compile *c, const char *name, uint32_t weight, struct weir_tcp_cluster *out)
{
    out->name = weir_compile_str(c, name);
    out->weight = weight;
    if (out->name.n == 0) return weir_reject(c, "cluster", "a cluster is needed");
    out->slot = c->names->cluster_slot(c->names->ctx, out->name);
    return WEIR_OK;
}

static enum weir_err compile_clusters(struct weir_compile *c, const pb_tcp_proxy *pb, struct weir_tcp_proxy *out)
{
    enum weir_err err = WEIR_OK;
    if (pb->cluster_specifier_case == ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER) {
        struct weir_tcp_cluster *one = weir_new(c, struct weir_tcp_cluster, 1);
        out->clusters = one;
        out->cluster_count = 1;
        out->weight_total = 1;
        return add_cluster(c, pb->cluster, 1, one);
    }
    const pb_tcp_weighted_cluster *w = pb->weighted_clusters;
    struct weir_tcp_cluster *at = weir_new(c, struct weir_tcp_cluster, w->n_clusters);
    out->clusters = at;
    out->cluster_count = (uint32_t)w->n_clusters;
    for (size_t i = 0; i < w->n_clusters && err == WEIR_OK; i++) {
        err = add_cluster(c, w->clusters[i]->name, w->clusters[i]->weight, &at[i]);
        out->weight_total += at[i].weight;
    }
    return err;
}

enum weir_err weir_tcp_proxy_compile(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_listener_facts *l, const void **out)
{
    const pb_tcp_proxy *p = (const pb_tcp_proxy *)(const void *)pb;
    struct weir_tcp_proxy *t = weir_new(c, struct weir_tcp_proxy, 1);
    (void)l;
    t->stat_prefix = weir_arena_printf(c->arena, "tcp.%s.", p->stat_prefix);
    t->idle_timeout_ms = weir_duration_ms(p->idle_timeout, IDLE_TIMEOUT_MS_DEFAULT);
    t->connect_attempts_max = p->max_connect_attempts != NULL ? p->max_connect_attempts->value : 1;
    enum weir_err err = compile_clusters(c, p, t);
    if (err == WEIR_OK) err = weir_access_logs_compile(c, "access_log", p->n_access_log, (void *const *)p->access_log, &t->access_logs);
    if (err != WEIR_OK) return err;
    if (c->stats != NULL) {
        t->stats = weir_stats_acquire(c->stats, t->stat_prefix, weir_tcp_stat_descs, WEIR_TCPS_COUNT);
        weir_arena_on_destroy(c->arena, release_stats, t->stats);
    }
    *out = t;
    return WEIR_OK;
}
