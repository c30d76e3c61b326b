/* What the tests of the router share: attempts that the test plays in place of those of dataplane/upstream/attempt.c, and a
 * world of one cluster, one route and a connection manager over real codecs. It defines the functions of attempts, so exactly one source
 * of an executable includes it; that is also why it is not part of test/unit/support/. */
#ifndef TEST_UNIT_FILTERS_ROUTER_WORLD_H
#define TEST_UNIT_FILTERS_ROUTER_WORLD_H

#include "test/unit/support/http_rig.h"

#include <stdlib.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/config/compile_cluster.h"
#include "dataplane/filters/filters.h"
#include "dataplane/filters/router.h"
#include "dataplane/route/index.h"
#include "dataplane/route/vhost.h"
#include "test/unit/support/pb_text.h"

/* ---- attempts under the test's hand ---- */

static struct {
    enum weir_attempt_state next; /* what start says */
    struct weir_attempt *a;       /* the newest that lives; NULL: none */
    uint32_t started, cancelled;
    bool refuse_headers, paused, raw;
    struct text sent, sni;
} up;

enum weir_attempt_state weir_attempt_start(struct weir_attempt *a, const struct weir_attempt_options *o,
                                           const struct weir_attempt_events *events, void *ctx)
{
    *a = (struct weir_attempt){.events = events, .ctx = ctx, .arena = o->arena, .host = o->host};
    a->protocol = WEIR_HTTP11;
    up.a = a;
    up.raw = o->raw;
    up.started++;
    text_add(&up.sni, "%.*s/%.*s", WEIR_STR_ARG(o->sni), WEIR_STR_ARG(o->san));
    return up.next;
}
enum weir_err weir_attempt_send_headers(struct weir_attempt *a, const struct weir_headers *h, bool end)
{
    if (up.refuse_headers) return WEIR_ERR_INVALID;
    a->first_tx_ns = 1;
    a->request_ended = end;
    for (uint32_t i = 0; i < h->count; i++)
        text_add(&up.sent, "%.*s=%.*s ", WEIR_STR_ARG(h->at[i].name), WEIR_STR_ARG(h->at[i].value));
    text_add(&up.sent, end ? "!" : "|");
    return WEIR_OK;
}
void weir_attempt_send_data(struct weir_attempt *a, struct weir_buffer *data, bool end)
{
    char bytes[64];
    size_t n = weir_buffer_copy_out(data, 0, bytes, sizeof(bytes));
    text_add(&up.sent, "<%.*s%s", (int)n, bytes, end ? ">!" : ">");
    weir_buffer_deinit(data);
    a->request_ended = end;
}
void weir_attempt_send_trailers(struct weir_attempt *a, const struct weir_headers *h)
{
    (void)h;
    text_add(&up.sent, "T!");
    a->request_ended = true;
}
void weir_attempt_pause(struct weir_attempt *a, bool pause)
{
    (void)a;
    up.paused = pause;
}
void weir_attempt_cancel(struct weir_attempt *a)
{
    if (a->host == NULL) return;
    weir_cluster_host_release(a->host);
    a->host = NULL;
    up.cancelled++;
    if (up.a == a) up.a = NULL;
}
const struct weir_transport *weir_attempt_transport(const struct weir_attempt *a)
{
    (void)a;
    return NULL;
}

static inline void up_ready(void)
{
    up.a->events->on_ready(up.a->ctx, up.a);
}
static inline void up_headers(bool end, const char *const *fields)
{
    struct weir_attempt *a = up.a;
    a->response_ended = end;
    a->events->on_headers(a->ctx, a, rig_headers(a->arena, fields), end);
}
static inline void up_data(struct rig *r, const char *body, bool end)
{
    struct weir_attempt *a = up.a;
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &r->w->blocks, body, strlen(body));
    a->events->on_data(a->ctx, a, &b, end);
    weir_buffer_deinit(&b);
}
static inline void up_reset(enum weir_upstream_reset why, const char *failure)
{
    up.a->events->on_reset(up.a->ctx, up.a, why, weir_str_of(failure));
}
static inline const char *up_sent(void)
{
    static char out[4096];
    (void)snprintf(out, sizeof(out), "%s", up.sent.n > 0 ? up.sent.p : "");
    text_free(&up.sent);
    up.sent = (struct text){0};
    return out;
}
#define assert_sent(expected) assert_string_equal(up_sent(), (expected))

/* ---- the world ---- */

struct world {
    struct rig rig;
    struct weir_arena arena;
    struct weir_cluster_env env;
    struct weir_cluster_config *cluster;
    struct weir_cluster_shared *shared;
    struct weir_router_config router;
    struct weir_route_table table;
    struct weir_virtual_host vhost;
    struct weir_route_match match;
    struct weir_route route;
    struct weir_retry_policy retry;
};
static const struct weir_stat_desc router_stats[WEIR_RS_COUNT] = {
#define X(name) [WEIR_RS_##name] = {#name, WEIR_COUNTER},
    WEIR_ROUTER_STATS(X)
#undef X
};
static const char one_host[] =
    "{'name': 'c', 'connect_timeout': '1s', 'load_assignment': {'cluster_name': 'c', 'endpoints': [{'lb_endpoints': ["
    "{'endpoint': {'hostname': 'up.test', 'address': {'socket_address': {'address': '10.0.0.1', 'port_value': 80}}}}]}]}%s}";

/* One virtual host for all, with the one route for paths below /p. */
static inline void use_route(struct world *x, enum weir_route_path kind)
{
    struct weir_arena *arena = &x->rig.pin->resource->arena;
    x->match = (struct weir_route_match){.kind = kind, .path = WEIR_STR("/p"), .plain = true};
    x->route.match = &x->match;
    x->vhost = (struct weir_virtual_host){.name = WEIR_STR("v"), .table = &x->table, .route_count = 1, .routes = &x->route};
    x->vhost.index = weir_route_index_build(arena, &x->route, 1);
    struct weir_vhost_domain domain = {WEIR_STR("*"), &x->vhost};
    uint32_t again;
    assert_int_equal(weir_vhost_index_build(arena, &domain, 1, &again, &x->table.vhosts), WEIR_OK);
    x->table.name = WEIR_STR("routes");
    x->rig.hcm->routes = &x->table;
}

static inline void world_init(struct world *x, const char *more)
{
    memset(x, 0, sizeof(*x));
    memset(&up, 0, sizeof(up));
    up.next = WEIR_ATTEMPT_READY;
    rig_init(&x->rig);
    struct rig *r = &x->rig;
    x->env = (struct weir_cluster_env){.control = r->w, .workers = &r->w, .worker_count = 1, .stats = r->registry};
    char json[1024];
    if (more[0] == '{') {
        (void)snprintf(json, sizeof(json), "%s", more);
    } else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(json, sizeof(json), one_host, more);
#pragma GCC diagnostic pop
    }
    struct weir_error error = {0};
    struct weir_compile c = {.error = &error, .stats = r->registry, .worker_count = 1, .scratch = &x->arena, .arena = &x->arena};
    if (weir_cluster_compile(&c, pb_text(&x->arena, &pb_cluster_type, json), &x->cluster) != WEIR_OK) fail_msg("%s", error.text);
    x->shared = weir_cluster_shared_create(&x->env, 0, x->cluster, NULL, NULL);
    weir_cluster_install(r->w, 0, x->shared, x->cluster, x->shared->hosts);

    x->router.stats = weir_stats_acquire(r->registry, WEIR_STR("http.in."), router_stats, WEIR_RS_COUNT);
    x->route = (struct weir_route){
        .name = WEIR_STR("r"),
        .vhost = &x->vhost,
        .action = WEIR_ROUTE_CLUSTER,
        .cluster_slot = 0,
        .cluster_not_found_status = 503,
        .timeout_ms = 15000,
        .idle_timeout_ms = UINT64_MAX,
        .max_stream_duration_ms = UINT64_MAX,
        .grpc_timeout_header_max_ms = UINT64_MAX,
        .grpc_timeout_header_offset_ms = UINT64_MAX,
        .max_grpc_timeout_ms = UINT64_MAX,
        .grpc_timeout_offset_ms = UINT64_MAX,
        .retry_buffer_bytes = UINT64_MAX,
    };
    use_route(x, WEIR_PATH_PREFIX);
    rig_add_filter(r, &weir_filter_router, &x->router);
}
static inline void world_deinit(struct world *x)
{
    struct rig *r = &x->rig;
    if (r->base != NULL) rig_vanish(r);
    rig_turn(r);
    assert_null(up.a);
    assert_int_equal(up.started, up.cancelled);
    for (int i = 0; i < WEIR_BREAKER_COUNT; i++) assert_int_equal(x->shared->breakers[0].held[i], 0);
    weir_clusters_deinit(r->w);
    weir_cluster_shared_close(x->shared);
    weir_resource_release(&x->cluster->resource);
    weir_stats_release(x->router.stats);
    weir_arena_deinit(&x->arena);
    text_free(&up.sent);
    text_free(&up.sni);
    rig_deinit(r);
}
static inline void retry_on(struct world *x, uint32_t on, uint32_t times)
{
    x->retry = (struct weir_retry_policy){
        .on = on, .num_retries = times, .back_off_base_ms = 25, .back_off_max_ms = 250, .host_selection_max_attempts = 1};
    x->route.retry = &x->retry;
}
static inline int64_t stat(const struct world *x, enum weir_cluster_stat s)
{
    return weir_stat_sum(x->cluster->stats, s);
}
static inline int64_t router_stat(const struct world *x, enum weir_router_stat s)
{
    return weir_stat_sum(x->router.stats, s);
}

#define GET "GET /p HTTP/1.1\r\nhost: a.test\r\n\r\n"
#define POST "POST /p HTTP/1.1\r\nhost: a.test\r\ncontent-length: 6\r\n\r\n"
#define UCE "upstream connect error or disconnect/reset before headers. "
#define OK_2 "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"

static inline void get(struct world *x)
{
    rig_connect(&x->rig);
    rig_send_text(&x->rig, GET);
}
static inline void post(struct world *x, const char *body)
{
    rig_connect(&x->rig);
    rig_send_text(&x->rig, POST);
    rig_send(&x->rig, body, strlen(body));
}
static inline void answer_200(struct world *x)
{
    up_headers(false, LIST(":status", "200", "content-length", "2"));
    up_data(&x->rig, "ok", true);
    rig_turn(&x->rig);
}
static inline void assert_access(struct world *x, const char *expected)
{
    assert_string_equal(x->rig.access.n > 0 ? x->rig.access.p : "", expected);
}
static inline void assert_reply(struct world *x, const char *status_line, const char *body)
{
    rig_turn(&x->rig);
    const char *got = rig_take(&x->rig);
    const char *end = strstr(got, "\r\n\r\n");
    if (strncmp(got, status_line, strlen(status_line)) != 0) fail_msg("expected %s, got %s", status_line, got);
    assert_non_null(end);
    assert_string_equal(end + 4, body);
}

#endif
