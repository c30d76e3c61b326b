#include "test/sim/support/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/config/names.h"
#include "dataplane/listener/listener.h"
#include "dataplane/observe/stats.h"
#include "test/sim/support/plane.h"
#include "test/unit/support/pb_text.h"

#define DRAIN_S 60u /* longer than any request takes */

static void on_wanted(void *ctx, enum weir_resource_type type)
{
    struct proxy *p = ctx;
    if (p->plane != NULL) plane_on_wanted(p->plane, type);
}
static void on_forget(void *ctx, enum weir_resource_type type, uint32_t source, struct weir_str name)
{
    struct proxy *p = ctx;
    if (p->plane != NULL) plane_on_forget(p->plane, type, source, name);
}
static void on_warmed(void *ctx)
{
    (void)ctx;
}
static const struct weir_publisher_events publisher_events = {on_wanted, on_forget, on_warmed};

struct proxy *proxy_create(struct sim *s, uint32_t worker_count)
{
    struct proxy *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->sim = s;
    p->worker_count = worker_count;
    p->control = sim_add_worker(s, worker_count, worker_count);
    for (uint32_t i = 0; i < worker_count; i++)
        p->workers[i] = sim_add_worker(s, i, worker_count);
    p->names = weir_names_create();
    p->stats = weir_stats_registry_create(worker_count);
    p->memory = weir_compile_memory_create();
    p->env = (struct weir_compile_env){.names = weir_names_for_compile(p->names), .stats = p->stats, .worker_count = worker_count};
    p->clusters =
        (struct weir_cluster_env){.control = p->control, .workers = p->workers, .worker_count = worker_count, .stats = p->stats};
    struct weir_publisher_options o = {
        .control = p->control,
        .workers = p->workers,
        .worker_count = worker_count,
        .names = p->names,
        .stats = p->stats,
        .clusters = &p->clusters,
        .drain_time_s = DRAIN_S,
        .drain_immediately = true,
    };
    p->publisher = weir_publisher_create(&o, &publisher_events, p);
    return p;
}

static const ProtobufCMessageDescriptor *descriptor_of(enum weir_resource_type type)
{
    switch (type) {
    case WEIR_CLUSTERS: return &pb_cluster_type;
    case WEIR_ENDPOINTS: return &pb_load_assignment_type;
    case WEIR_LISTENERS: return &pb_listener_type;
    default: return &pb_route_configuration_type;
    }
}

void proxy_apply(struct proxy *p, enum weir_resource_type type, const struct proxy_resource *resources, size_t count,
                 const char *removed, bool full)
{
    struct weir_compile_job *job = weir_compile_job_create(type, count, removed != NULL ? 1 : 0);
    job->source = 1;
    job->full = full;
    job->version = WEIR_STR("v");
    for (size_t i = 0; i < count; i++) {
        job->items[i].name = weir_str_of(resources[i].name);
        job->items[i].packed = pb_text_packed(&job->arena, descriptor_of(type), resources[i].json);
    }
    if (removed != NULL) job->removed[0] = weir_str_of(removed);
    weir_compile_job_run(&p->env, p->memory, job);
    const char *nack = weir_publisher_apply(p->publisher, job);
    if (nack != NULL) fail_msg("%s", nack);
    weir_compile_job_destroy(job);
}

void proxy_apply_one(struct proxy *p, enum weir_resource_type type, const char *name, const char *json)
{
    proxy_apply(p, type, &(struct proxy_resource){name, json}, 1, NULL, false);
}

void proxy_forget(struct proxy *p, enum weir_resource_type type, uint32_t source, const char *name)
{
    struct weir_compile_job *job = weir_compile_job_create(type, 0, 1);
    job->source = source;
    job->removed[0] = weir_str_of(name);
    weir_compile_job_run(&p->env, p->memory, job);
    weir_compile_job_destroy(job);
}

void proxy_start(struct proxy *p)
{
    struct weir_error e = {0};
    assert_int_equal(weir_publisher_start_listening(p->publisher, &e), WEIR_OK);
}

/* ---- ports ---- */

static struct weir_worker *choose(void *ctx)
{
    struct proxy_port *port = ctx;
    struct proxy *p = port->proxy;
    port->next = p->workers[weir_random_below(&p->sim->random, p->worker_count)];
    return port->next;
}

static void on_accept(void *ctx, struct weir_transport *t)
{
    struct proxy_port *port = ctx;
    struct weir_listener *l = weir_listener_find(port->next, weir_str_of(port->name));
    if (l == NULL) {
        port->proxy->refusals++;
        weir_transport_close(t, true);
        return;
    }
    weir_listener_take(l, t);
}

void proxy_open_port(struct proxy *p, const char *listener, struct weir_address address)
{
    struct proxy_port *port = &p->ports[p->port_count++];
    assert_true(p->port_count <= PROXY_LISTENERS_MAX);
    *port = (struct proxy_port){
        .proxy = p,
        .listener = {.address = address, .on_accept = on_accept, .worker = choose, .ctx = port},
        .name = listener,
    };
    sim_listen(p->sim, &port->listener);
}

/* ---- the end ---- */

static void on_idle(struct weir_worker *w, struct weir_mail *m)
{
    (void)w;
    WEIR_CONTAINER_OF(m, struct proxy_mail, mail)->proxy->idle_workers++;
}

void proxy_shutdown(struct proxy *p, uint64_t linger_ms, uint64_t drain_ms)
{
    for (uint32_t i = 0; i < p->worker_count; i++) {
        p->idle[i].mail.deliver = on_idle;
        p->idle[i].proxy = p;
        weir_listeners_shutdown(p->workers[i], &(struct weir_shutdown_order){WEIR_SHUTDOWN_ALL, linger_ms, drain_ms}, &p->idle[i].mail, p->control);
    }
}

bool proxy_idle(void *proxy)
{
    struct proxy *p = proxy;
    return p->idle_workers == p->worker_count;
}

/* ---- numbers ---- */

struct sum {
    struct weir_str name;
    int64_t value;
};

static void add_value(void *ctx, const struct weir_stat_value *v)
{
    struct sum *sum = ctx;
    if (v->prefix.n + v->leaf.n != sum->name.n) return;
    if (weir_str_eq(v->prefix, (struct weir_str){sum->name.p, v->prefix.n}) && weir_str_ends(sum->name, v->leaf)) sum->value += v->value;
}

static void visit(struct proxy *p, void (*fn)(void *ctx, const struct weir_stat_value *v), void *ctx)
{
    struct weir_stats_view view;
    weir_stats_view_init(&view, p->stats);
    for (size_t i = 0; i < view.count;)
        i = weir_stats_view_visit(&view, i, fn, ctx);
    weir_stats_view_deinit(&view);
}

int64_t proxy_stat(struct proxy *p, const char *name)
{
    struct sum sum = {weir_str_of(name), 0};
    visit(p, add_value, &sum);
    return sum.value;
}

static void check_gauge(void *ctx, const struct weir_stat_value *v)
{
    bool pooled = *(bool *)ctx;
    if (v->kind != WEIR_GAUGE || v->value == 0) return;
    bool living = weir_str_ends(v->leaf, WEIR_STR("_active")) || weir_str_ends(v->leaf, WEIR_STR("_open")) ||
                  weir_str_ends(v->leaf, WEIR_STR("_buffered"));
    bool of_pools = weir_str_eq(v->leaf, WEIR_STR("upstream_cx_active")) || weir_str_ends(v->leaf, WEIR_STR("cx_open"));
    if (!living || (pooled && of_pools)) return;
    fail_msg("%.*s%.*s is %lld at rest", WEIR_STR_ARG(v->prefix), WEIR_STR_ARG(v->leaf), (long long)v->value);
}

void proxy_assert_at_rest(struct proxy *p, bool pooled)
{
    visit(p, check_gauge, &pooled);
}

void proxy_destroy(struct proxy *p)
{
    for (uint32_t i = 0; i < p->port_count; i++)
        sim_unlisten(&p->ports[i].listener);
    if (p->idle_workers == 0) {
        proxy_shutdown(p, 0, 0);
        assert_true(sim_run(p->sim, proxy_idle, p, 60000 * (uint64_t)SIM_MS));
    }
    for (uint32_t i = 0; i < p->worker_count; i++) {
        weir_clusters_deinit(p->workers[i]);
        weir_publish_worker_deinit(p->workers[i]);
    }
    sim_pass(p->sim, 10000 * (uint64_t)SIM_MS);
    proxy_assert_at_rest(p, false);
    weir_publisher_destroy(p->publisher);
    sim_pass(p->sim, 1000 * (uint64_t)SIM_MS);
    weir_compile_memory_destroy(p->memory);
    weir_names_destroy(p->names);
    struct weir_stats_registry *stats = p->stats;
    struct sim *s = p->sim;
    free(p);
    sim_destroy(s);
    weir_stats_registry_destroy(stats);
}
