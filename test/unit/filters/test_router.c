/* The router between a connection manager over real codecs and attempts that the test plays: what it sends upstream, what
 * the client and the access log get, which counters move. Words and numbers are those of Envoy. */
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
    for (uint32_t i = 0; i < h->count; i++) text_add(&up.sent, "%.*s=%.*s ", WEIR_STR_ARG(h->at[i].name), WEIR_STR_ARG(h->at[i].value));
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

static void up_ready(void)
{
    up.a->events->on_ready(up.a->ctx, up.a);
}
static void up_headers(bool end, const char *const *fields)
{
    struct weir_attempt *a = up.a;
    a->response_ended = end;
    a->events->on_headers(a->ctx, a, rig_headers(a->arena, fields), end);
}
static void up_data(struct rig *r, const char *body, bool end)
{
    struct weir_attempt *a = up.a;
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &r->w->blocks, body, strlen(body));
    a->events->on_data(a->ctx, a, &b, end);
    weir_buffer_deinit(&b);
}
static void up_reset(enum weir_upstream_reset why, const char *failure)
{
    up.a->events->on_reset(up.a->ctx, up.a, why, weir_str_of(failure));
}
static const char *up_sent(void)
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
static void use_route(struct world *x, enum weir_route_path kind)
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

static void world_init(struct world *x, const char *more)
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
static void world_deinit(struct world *x)
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
static void retry_on(struct world *x, uint32_t on, uint32_t times)
{
    x->retry = (struct weir_retry_policy){
        .on = on, .num_retries = times, .back_off_base_ms = 25, .back_off_max_ms = 250, .host_selection_max_attempts = 1};
    x->route.retry = &x->retry;
}
static int64_t stat(const struct world *x, enum weir_cluster_stat s)
{
    return weir_stat_sum(x->cluster->stats, s);
}
static int64_t router_stat(const struct world *x, enum weir_router_stat s)
{
    return weir_stat_sum(x->router.stats, s);
}

#define GET "GET /p HTTP/1.1\r\nhost: a.test\r\n\r\n"
#define POST "POST /p HTTP/1.1\r\nhost: a.test\r\ncontent-length: 6\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"

static void get(struct world *x)
{
    rig_connect(&x->rig);
    rig_send_text(&x->rig, GET);
}
static void post(struct world *x, const char *body)
{
    rig_connect(&x->rig);
    rig_send_text(&x->rig, POST);
    rig_send(&x->rig, body, strlen(body));
}
static void answer_200(struct world *x)
{
    up_headers(false, LIST(":status", "200", "content-length", "2"));
    up_data(&x->rig, "ok", true);
    rig_turn(&x->rig);
}
static void assert_access(struct world *x, const char *expected)
{
    assert_string_equal(x->rig.access.n > 0 ? x->rig.access.p : "", expected);
}
static void assert_reply(struct world *x, const char *status_line, const char *body)
{
    rig_turn(&x->rig);
    const char *got = rig_take(&x->rig);
    const char *end = strstr(got, "\r\n\r\n");
    if (strncmp(got, status_line, strlen(status_line)) != 0) fail_msg("expected %s, got %s", status_line, got);
    assert_non_null(end);
    assert_string_equal(end + 4, body);
}

/* ---- the plain way ---- */

static void test_request_and_response_pass(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    const char *sent = up_sent();
    assert_non_null(strstr(sent, ":method=GET"));
    assert_non_null(strstr(sent, "x-envoy-expected-rq-timeout-ms=15000 !"));
    rig_advance(&x.rig, 7);
    answer_200(&x);
    rig_assert_got(&x.rig, OK_2 "x-envoy-upstream-service-time: 7\r\n" RIG_TAIL "\r\nok");
    rig_turn(&x.rig);
    assert_access(&x, "200 - via_upstream");
    assert_int_equal(router_stat(&x, WEIR_RS_rq_total), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_200), 1);
    assert_int_equal(stat(&x, WEIR_CS_external_upstream_rq_2xx), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_completed), 1);
    assert_int_equal(weir_stat_sum(x.cluster->stats, WEIR_CS_upstream_rq_time), 1);
    world_deinit(&x);
}
static void test_suppress_envoy_headers(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.router.suppress_envoy_headers = true;
    get(&x);
    assert_null(strstr(up_sent(), "x-envoy-"));
    answer_200(&x);
    rig_assert_got(&x.rig, OK_2 RIG_TAIL "\r\nok");
    world_deinit(&x);
}
static void test_attempt_counts_both_ways(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.vhost.include_request_attempt_count = x.vhost.include_attempt_count_in_response = true;
    get(&x);
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=15000 x-envoy-attempt-count=1 !"));
    up_reset(WEIR_UPSTREAM_REMOTE_RESET, "");
    rig_turn(&x.rig);
    assert_non_null(strstr(rig_take(&x.rig), "x-envoy-attempt-count: 1\r\n"));
    world_deinit(&x);
}
static void test_body_waits_for_the_connection(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    up.next = WEIR_ATTEMPT_WAITING;
    post(&x, "abc");
    assert_sent("");
    up_ready();
    assert_non_null(strstr(up_sent(), "|<abc>"));
    rig_send_text(&x.rig, "def");
    assert_sent("<def>!");
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_a_waiting_body_is_bounded(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.rig.chain.buffer_limit_bytes = 4;
    up.next = WEIR_ATTEMPT_WAITING;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, POST "abcde");
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_PAUSED_READING_TOTAL), 1);
    up_ready();
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_RESUMED_READING_TOTAL), 1);
    world_deinit(&x);
}
static void test_a_slow_upstream_stops_the_client(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    post(&x, "abc");
    up.a->events->on_blocked(up.a->ctx, up.a, true);
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_PAUSED_READING_TOTAL), 1);
    up.a->events->on_blocked(up.a->ctx, up.a, false);
    assert_int_equal(rig_stat(&x.rig, WEIR_HTTP_FLOW_CONTROL_RESUMED_READING_TOTAL), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_flow_control_backed_up_total), 1);
    world_deinit(&x);
}
static void test_an_early_answer_ends_the_request(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    post(&x, "abc");
    up_headers(false, LIST(":status", "413", "content-length", "3"));
    up_data(&x.rig, "big", true);
    assert_null(up.a);
    assert_reply(&x, "HTTP/1.1 413", "big");
    assert_access(&x, "413 - via_upstream");
    world_deinit(&x);
}
static void test_a_client_that_leaves_ends_the_attempt(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    rig_vanish(&x.rig);
    assert_null(up.a);
    world_deinit(&x);
}
static void test_server_names_for_the_upstream(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.cluster->auto_sni = x.cluster->auto_san_validation = true;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: a.test:8443\r\n\r\n");
    assert_string_equal(up.sni.p, "a.test/a.test");
    answer_200(&x);
    text_free(&up.sni);
    up.sni = (struct text){0};
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: [::1]:8443\r\n\r\n");
    assert_string_equal(up.sni.p, "/::1");
    world_deinit(&x);
}

/* ---- what the route answers ---- */

static void test_answers_of_the_route(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "GET /other HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_reply(&x, "HTTP/1.1 404 Not Found", "");
    x.route.cluster_slot = 5;
    rig_send_text(&x.rig, GET);
    assert_reply(&x, "HTTP/1.1 503", "");
    x.route.cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    x.route.cluster_header = WEIR_STR("x-cluster");
    x.route.cluster_not_found_status = 404;
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: a.test\r\nx-cluster: nobody\r\n\r\n");
    assert_reply(&x, "HTTP/1.1 404", "");
    x.route.action = WEIR_ROUTE_DIRECT_RESPONSE;
    x.route.direct_status = 418;
    x.route.direct_body = WEIR_STR("teapot");
    rig_send_text(&x.rig, GET);
    assert_reply(&x, "HTTP/1.1 418", "teapot");
    x.route.direct_status = 304;
    rig_send_text(&x.rig, GET);
    rig_turn(&x.rig);
    assert_non_null(strstr(rig_take(&x.rig), "location: http://a.test/p\r\n"));
    rig_turn(&x.rig);
    assert_access(&x, "404 NR route_not_found\n503 NC cluster_not_found\n404 NC cluster_not_found\n418 - direct_response\n"
                      "304 - direct_response");
    assert_int_equal(router_stat(&x, WEIR_RS_no_route), 1);
    assert_int_equal(router_stat(&x, WEIR_RS_no_cluster), 2);
    assert_int_equal(router_stat(&x, WEIR_RS_rq_direct_response), 2);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_completed), 0);
    world_deinit(&x);
}
static void test_a_cluster_found_by_a_headers_name(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.cluster_slot = WEIR_CLUSTER_SLOT_NONE;
    x.route.cluster_header = WEIR_STR("x-cluster");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "GET /p HTTP/1.1\r\nhost: a.test\r\nx-cluster: c\r\n\r\n");
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_no_host_and_no_pool(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "{'name': 'c', 'load_assignment': {'cluster_name': 'c'}}");
    get(&x);
    assert_reply(&x, "HTTP/1.1 503", "no healthy upstream");
    rig_turn(&x.rig);
    assert_access(&x, "503 UH no_healthy_upstream");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_503), 1);
    world_deinit(&x);
    world_init(&x, "");
    up.next = WEIR_ATTEMPT_NO_POOL;
    get(&x);
    assert_reply(&x, "HTTP/1.1 503", "no healthy upstream");
    world_deinit(&x);
}
static void test_dropped_overload(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "{'name': 'c', 'load_assignment': {'cluster_name': 'c', 'policy': {'drop_overloads': [{'category': 'x',"
                   "'drop_percentage': {'numerator': 100}}]}}}");
    get(&x);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-unconditional-drop-overload: true\r\ncontent-length: 27\r\n"
                           "content-type: text/plain\r\n" RIG_TAIL "\r\nunconditional drop overload");
    rig_turn(&x.rig);
    assert_access(&x, "503 UDO unconditional_drop_overload");
    world_deinit(&x);
}
static void test_maintenance_mode(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    struct weir_str layer = WEIR_STR("l");
    struct weir_runtime *runtime = weir_runtime_create(&layer, 1);
    weir_runtime_set(runtime, 0, WEIR_STR("upstream.maintenance_mode.c"), WEIR_STR("100"));
    x.rig.w->snapshot.runtime = runtime;
    get(&x);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-overloaded: true\r\ncontent-length: 16\r\n"
                           "content-type: text/plain\r\n" RIG_TAIL "\r\nmaintenance mode");
    rig_turn(&x.rig);
    assert_access(&x, "503 UO maintenance_mode");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_maintenance_mode), 1);
    x.rig.w->snapshot.runtime = NULL;
    weir_resource_release(weir_runtime_resource(runtime));
    world_deinit(&x);
}

/* ---- what becomes of attempts ---- */

#define UCE "upstream connect error or disconnect/reset before headers. "
static void test_resets_before_the_response(void **state)
{
    (void)state;
    static const struct {
        enum weir_upstream_reset why;
        const char *failure, *status, *body, *access;
    } cases[] = {
        {WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, "delayed connect error: Connection refused", "HTTP/1.1 503",
         UCE "reset reason: remote connection failure",
         "503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"},
        {WEIR_UPSTREAM_CONNECTION_TIMEOUT, "", "HTTP/1.1 503", UCE "reset reason: connection timeout",
         "503 UF upstream_reset_before_response_started{connection_timeout}"},
        {WEIR_UPSTREAM_CONNECTION_TERMINATION, "", "HTTP/1.1 503", UCE "reset reason: connection termination",
         "503 UC upstream_reset_before_response_started{connection_termination}"},
        {WEIR_UPSTREAM_PROTOCOL_ERROR, "", "HTTP/1.1 502", UCE "reset reason: protocol error",
         "502 UPE upstream_reset_before_response_started{protocol_error}"},
        {WEIR_UPSTREAM_REMOTE_REFUSED, "", "HTTP/1.1 503", UCE "reset reason: remote refused stream reset",
         "503 UR upstream_reset_before_response_started{remote_refused_stream_reset}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world x;
        world_init(&x, "");
        up.next = WEIR_ATTEMPT_WAITING;
        get(&x);
        up_reset(cases[i].why, cases[i].failure);
        assert_reply(&x, cases[i].status, cases[i].body);
        rig_turn(&x.rig);
        assert_access(&x, cases[i].access);
        assert_int_equal(stat(&x, WEIR_CS_upstream_rq_5xx), 1);
        world_deinit(&x);
    }
}
static void test_an_open_circuit_breaker(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 3); /* makes no difference */
    up.next = WEIR_ATTEMPT_OVERFLOW;
    get(&x);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 503 Service Unavailable\r\nx-envoy-overloaded: true\r\ncontent-length: 81\r\n"
                           "content-type: text/plain\r\n" RIG_TAIL "\r\n" UCE "reset reason: overflow");
    rig_turn(&x.rig);
    assert_access(&x, "503 UO upstream_reset_before_response_started{overflow}");
    assert_int_equal(up.started, 1);
    world_deinit(&x);
}
static void test_a_reset_within_the_response(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "100"));
    up_data(&x.rig, "0123456789", false);
    rig_turn(&x.rig);
    up_reset(WEIR_UPSTREAM_PROTOCOL_ERROR, "");
    rig_turn(&x.rig);
    assert_reply(&x, "HTTP/1.1 200", "0123456789");
    assert_true(x.rig.finished || x.rig.closed);
    assert_access(&x, "200 UPE upstream_reset_after_response_started{protocol_error}");
    world_deinit(&x);
}
static void test_headers_that_no_wire_takes(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 3);
    up.refuse_headers = true;
    get(&x);
    assert_reply(&x, "HTTP/1.1 503", UCE "reset reason: local reset");
    assert_int_equal(up.started, 1);
    world_deinit(&x);
}

/* ---- retries ---- */

static void test_a_retry_sends_the_whole_request_again(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    x.vhost.include_request_attempt_count = true;
    post(&x, "abc");
    rig_send_text(&x.rig, "def");
    assert_non_null(strstr(up_sent(), "|<abc><def>!"));
    up_headers(false, LIST(":status", "503"));
    assert_null(up.a);
    assert_int_equal(stat(&x, WEIR_CS_default_rq_retry_open), 0);
    assert_int_equal(x.shared->breakers[0].held[WEIR_BREAKER_RETRIES], 1);
    rig_advance(&x.rig, 25);
    assert_non_null(up.a);
    const char *sent = up_sent();
    assert_non_null(strstr(sent, "x-envoy-attempt-count=2 "));
    assert_non_null(strstr(sent, "|<abcdef>!"));
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    rig_turn(&x.rig);
    assert_access(&x, "200 - via_upstream");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_backoff_exponential), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_success), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_completed), 1);
    world_deinit(&x);
}
static void test_the_rest_of_a_body_may_come_between_two_attempts(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_CONNECT_FAILURE, 1);
    up.next = WEIR_ATTEMPT_WAITING;
    post(&x, "abc");
    up_reset(WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, "");
    rig_send_text(&x.rig, "def");
    assert_sent("");
    up.next = WEIR_ATTEMPT_READY;
    rig_advance(&x.rig, 25);
    assert_non_null(strstr(up_sent(), "|<abcdef>!"));
    answer_200(&x);
    world_deinit(&x);
}
static void test_retries_end(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    get(&x);
    for (int i = 0; i < 2; i++) {
        up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
        rig_advance(&x.rig, 250);
    }
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    assert_reply(&x, "HTTP/1.1 503", UCE "retried and the latest reset reason: connection termination");
    rig_turn(&x.rig);
    assert_access(&x, "503 UC,URX upstream_reset_before_response_started{connection_termination}");
    assert_int_equal(up.started, 3);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry), 2);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_limit_exceeded), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_503), 1);
    world_deinit(&x);
}
static void test_the_last_answer_passes_when_retries_end(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_GATEWAY_ERROR, 1);
    get(&x);
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_advance(&x.rig, 25);
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_turn(&x.rig);
    assert_access(&x, "503 URX via_upstream");
    world_deinit(&x);
}
static void test_conditions(void **state)
{
    (void)state;
    static const struct {
        uint32_t on;
        const char *status, *grpc; /* status NULL: a reset */
        enum weir_upstream_reset why;
        bool again;
    } cases[] = {
        {WEIR_RETRY_5XX, "500", NULL, 0, true},
        {WEIR_RETRY_5XX, "499", NULL, 0, false},
        {WEIR_RETRY_GATEWAY_ERROR, "500", NULL, 0, false},
        {WEIR_RETRY_GATEWAY_ERROR, "504", NULL, 0, true},
        {WEIR_RETRY_RETRIABLE_4XX, "409", NULL, 0, true},
        {WEIR_RETRY_RETRIABLE_STATUS_CODES, "418", NULL, 0, true},
        {WEIR_RETRY_RETRIABLE_STATUS_CODES, "503", NULL, 0, false},
        {WEIR_RETRY_CONNECT_FAILURE, "503", NULL, 0, false},
        {WEIR_RETRY_GRPC_UNAVAILABLE, "200", "14", 0, true},
        {WEIR_RETRY_GRPC_UNAVAILABLE, "200", "13", 0, false},
        {WEIR_RETRY_CONNECT_FAILURE, NULL, NULL, WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE, true},
        {WEIR_RETRY_CONNECT_FAILURE, NULL, NULL, WEIR_UPSTREAM_CONNECTION_TIMEOUT, true},
        {WEIR_RETRY_CONNECT_FAILURE, NULL, NULL, WEIR_UPSTREAM_CONNECTION_TERMINATION, false},
        {WEIR_RETRY_REFUSED_STREAM, NULL, NULL, WEIR_UPSTREAM_REMOTE_REFUSED, true},
        {WEIR_RETRY_REFUSED_STREAM, NULL, NULL, WEIR_UPSTREAM_REMOTE_RESET, false},
        {WEIR_RETRY_RESET, NULL, NULL, WEIR_UPSTREAM_REMOTE_RESET, true},
        {WEIR_RETRY_RETRIABLE_4XX, NULL, NULL, WEIR_UPSTREAM_REMOTE_RESET, false},
    };
    static const uint32_t codes[] = {418};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world x;
        world_init(&x, "");
        retry_on(&x, cases[i].on, 1);
        x.retry.status_codes = codes;
        x.retry.status_code_count = 1;
        get(&x);
        if (cases[i].status == NULL) {
            up_reset(cases[i].why, "");
        } else if (cases[i].grpc != NULL) {
            up_headers(true, LIST(":status", cases[i].status, "grpc-status", cases[i].grpc));
        } else {
            up_headers(true, LIST(":status", cases[i].status));
        }
        rig_advance(&x.rig, 25);
        if ((up.started == 2) != cases[i].again) fail_msg("case %zu", i);
        world_deinit(&x);
    }
}
static void test_max_retries_of_the_cluster(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, ", 'circuit_breakers': {'thresholds': [{'max_retries': 0}]}");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    get(&x);
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_turn(&x.rig);
    assert_access(&x, "503 UO via_upstream");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_overflow), 1);
    world_deinit(&x);
}
static void test_a_large_body_is_not_sent_again(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    x.route.retry_buffer_bytes = 4;
    post(&x, "abc");
    rig_send_text(&x.rig, "def");
    assert_non_null(strstr(up_sent(), "|<abc><def>!"));
    up_headers(true, LIST(":status", "503", "content-length", "0"));
    rig_turn(&x.rig);
    assert_access(&x, "503 - via_upstream");
    assert_int_equal(stat(&x, WEIR_CS_retry_or_shadow_abandoned), 1);
    world_deinit(&x);
}
static void test_a_large_body_between_two_attempts(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    x.route.retry_buffer_bytes = 4;
    post(&x, "abc");
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    rig_send_text(&x.rig, "def");
    assert_reply(&x, "HTTP/1.1 507", "exceeded request buffer limit while retrying upstream");
    assert_access(&x, "507 - request_payload_exceeded_retry_buffer_limit");
    world_deinit(&x);
}
static void test_no_retry_once_the_response_has_begun(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_RESET | WEIR_RETRY_5XX, 2);
    get(&x);
    up_headers(false, LIST(":status", "200"));
    up_reset(WEIR_UPSTREAM_REMOTE_RESET, "");
    rig_advance(&x.rig, 300);
    assert_int_equal(up.started, 1);
    assert_access(&x, "200 UR upstream_reset_after_response_started{remote_reset}");
    world_deinit(&x);
}
static void test_a_retry_finds_the_cluster_anew(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 2);
    get(&x);
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    weir_cluster_remove(x.rig.w, 0);
    rig_advance(&x.rig, 25);
    assert_reply(&x, "HTTP/1.1 503", "no healthy upstream");
    world_deinit(&x);
}

/* ---- times ---- */

static void test_the_route_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.timeout_ms = 300;
    post(&x, "abc");
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=300 |"));
    rig_advance(&x.rig, 1000); /* the request has not ended */
    rig_assert_got(&x.rig, "");
    rig_send_text(&x.rig, "def");
    rig_advance(&x.rig, 299);
    rig_assert_got(&x.rig, "");
    rig_advance(&x.rig, 2);
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT response_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_timeout), 1);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_504), 1);
    world_deinit(&x);
}
static void test_the_route_timeout_within_the_response(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.timeout_ms = 300;
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "100"));
    rig_advance(&x.rig, 301);
    assert_null(up.a);
    assert_access(&x, "200 UT response_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_504), 0);
    world_deinit(&x);
}
static void test_no_route_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.timeout_ms = 0;
    get(&x);
    assert_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms"));
    rig_advance(&x.rig, 1000000);
    answer_200(&x);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_per_try_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 1);
    x.retry.per_try_timeout_ms = 300;
    get(&x);
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=300 !"));
    rig_advance(&x.rig, 301);
    rig_advance(&x.rig, 26);
    assert_int_equal(up.started, 2);
    rig_advance(&x.rig, 301);
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT,URX upstream_per_try_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_per_try_timeout), 2);
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_retry_limit_exceeded), 1);
    world_deinit(&x);
}
static void test_per_try_timeout_ends_with_the_head(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 1);
    x.retry.per_try_timeout_ms = 300;
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "2"));
    rig_advance(&x.rig, 1000);
    up_data(&x.rig, "ok", true);
    assert_reply(&x, "HTTP/1.1 200", "ok");
    world_deinit(&x);
}
static void test_per_try_idle_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 0);
    x.retry.per_try_idle_timeout_ms = 300;
    get(&x);
    rig_advance(&x.rig, 301);
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT,URX upstream_per_try_idle_timeout");
    world_deinit(&x);
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 0);
    x.retry.per_try_idle_timeout_ms = 300;
    get(&x);
    up_headers(false, LIST(":status", "200", "content-length", "20"));
    for (int i = 0; i < 3; i++) {
        rig_advance(&x.rig, 200);
        up_data(&x.rig, "01", false);
    }
    rig_advance(&x.rig, 301);
    assert_access(&x, "200 UT upstream_per_try_idle_timeout");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_per_try_idle_timeout), 1);
    world_deinit(&x);
}
static void test_max_stream_duration_of_the_cluster(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.cluster->max_stream_duration_ms = 300;
    get(&x);
    rig_advance(&x.rig, 301);
    assert_reply(&x, "HTTP/1.1 504", "upstream max stream duration reached");
    assert_access(&x, "504 UMSDR upstream_max_stream_duration_reached");
    assert_int_equal(stat(&x, WEIR_CS_upstream_rq_504), 0);
    world_deinit(&x);
}
static void test_the_back_off_counts_in_the_route_timeout(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    retry_on(&x, WEIR_RETRY_5XX, 100);
    x.route.timeout_ms = 500;
    get(&x);
    while (up.a != NULL || x.rig.access.n == 0) {
        if (up.a != NULL) up_reset(WEIR_UPSTREAM_REMOTE_RESET, "");
        rig_advance(&x.rig, 10);
        assert_true(x.rig.w->now_ns < 3000000000u);
    }
    assert_reply(&x, "HTTP/1.1 504", "upstream request timeout");
    assert_access(&x, "504 UT response_timeout");
    world_deinit(&x);
}

/* ---- gRPC, upgrades ---- */

#define GRPC "POST /p HTTP/1.1\r\nhost: a.test\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n"
static void test_grpc_counts_by_its_own_status(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, GRPC "\r\n");
    struct weir_host *host = up.a->host->host;
    up_headers(true, LIST(":status", "200", "grpc-status", "14"));
    assert_int_equal(host->rq_error, 1);
    rig_turn(&x.rig);
    rig_send_text(&x.rig, GRPC "\r\n");
    up_headers(false, LIST(":status", "200"));
    struct weir_attempt *a = up.a;
    a->events->on_trailers(a->ctx, a, rig_headers(a->arena, LIST("grpc-status", "0")));
    assert_int_equal(host->rq_success, 1);
    rig_turn(&x.rig);
    rig_send_text(&x.rig, GRPC "\r\n");
    up_headers(false, LIST(":status", "200"));
    up_reset(WEIR_UPSTREAM_CONNECTION_TERMINATION, "");
    assert_int_equal(host->rq_error, 2);
    assert_int_equal(router_stat(&x, WEIR_RS_rq_reset_after_downstream_response_started), 1);
    world_deinit(&x);
}
static void test_grpc_timeout_bounds_the_route_timeout_where_asked(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    x.route.max_grpc_timeout_ms = 0;
    rig_connect(&x.rig);
    rig_send_text(&x.rig, GRPC "grpc-timeout: 200m\r\n\r\n");
    assert_non_null(strstr(up_sent(), "x-envoy-expected-rq-timeout-ms=200"));
    rig_advance(&x.rig, 201);
    assert_non_null(strstr(rig_take(&x.rig), "grpc-status: 14\r\ngrpc-message: upstream request timeout\r\n"));
    world_deinit(&x);
    world_init(&x, "");
    rig_connect(&x.rig);
    rig_send_text(&x.rig, GRPC "grpc-timeout: 200m\r\n\r\n");
    const char *sent = up_sent();
    assert_non_null(strstr(sent, "x-envoy-expected-rq-timeout-ms=15000"));
    assert_non_null(strstr(sent, "grpc-timeout=200m"));
    world_deinit(&x);
}
#define WEBSOCKET "GET /p HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
static void upgrade(struct world *x)
{
    static const struct weir_upgrade_config on = {.type = WEIR_STR_INIT("websocket"), .enabled = true};
    x->route.upgrades = &on;
    x->route.upgrade_count = 1;
    rig_connect(&x->rig);
    rig_send_text(&x->rig, WEBSOCKET "early");
}
static void test_an_upgrade_opens_with_the_101(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    upgrade(&x);
    assert_null(strstr(up_sent(), "early"));
    up_headers(false, LIST(":status", "101", "upgrade", "websocket"));
    rig_turn(&x.rig);
    assert_sent("<early>");
    const char *got = rig_take(&x.rig);
    assert_non_null(strstr(got, "HTTP/1.1 101"));
    assert_null(strstr(got, "x-envoy-upstream-service-time"));
    rig_send_text(&x.rig, "more");
    assert_sent("<more>");
    up_data(&x.rig, "back", false);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "back");
    rig_advance(&x.rig, 100000); /* no timeout */
    up_data(&x.rig, "bye", true);
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "bye");
    world_deinit(&x);
}
static void test_a_refused_upgrade(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    upgrade(&x);
    up_headers(false, LIST(":status", "403", "content-length", "2"));
    up_data(&x.rig, "no", true);
    assert_reply(&x, "HTTP/1.1 403", "no");
    assert_null(strstr(up_sent(), "early"));
    assert_access(&x, "403 - via_upstream");
    world_deinit(&x);
    world_init(&x, "");
    upgrade(&x);
    up_headers(false, LIST(":status", "200", "content-length", "2"));
    assert_reply(&x, "HTTP/1.1 200", "");
    assert_access(&x, "200 - websocket_handshake_unsuccessful");
    world_deinit(&x);
}
static void test_connect_that_ends_here(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    static const struct weir_upgrade_config on = {.type = WEIR_STR_INIT("connect"), .enabled = true, .connect_terminated = true};
    x.route.upgrades = &on;
    x.route.upgrade_count = 1;
    use_route(&x, WEIR_PATH_CONNECT);
    rig_connect(&x.rig);
    rig_send_text(&x.rig, "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n");
    assert_true(up.raw);
    up_headers(false, LIST(":status", "200"));
    rig_turn(&x.rig);
    rig_assert_got(&x.rig, "HTTP/1.1 200 OK\r\n" RIG_TAIL "\r\n");
    (void)up_sent();
    rig_send_text(&x.rig, "bytes");
    assert_sent("<bytes>");
    world_deinit(&x);
}
static void test_a_slow_client_stops_the_attempt(void **state)
{
    (void)state;
    struct world x;
    world_init(&x, "");
    get(&x);
    x.rig.slow_client = true;
    up_headers(false, LIST(":status", "200"));
    static char big[200000];
    memset(big, 'x', sizeof(big) - 1);
    up_data(&x.rig, big, false);
    rig_turn(&x.rig);
    if (x.rig.queue >= x.rig.transport.high_water) x.rig.transport.above_high = true;
    rig_turn(&x.rig);
    up_data(&x.rig, big, false);
    rig_turn(&x.rig);
    assert_true(up.paused);
    world_deinit(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_response_pass),
        cmocka_unit_test(test_suppress_envoy_headers),
        cmocka_unit_test(test_attempt_counts_both_ways),
        cmocka_unit_test(test_body_waits_for_the_connection),
        cmocka_unit_test(test_a_waiting_body_is_bounded),
        cmocka_unit_test(test_a_slow_upstream_stops_the_client),
        cmocka_unit_test(test_a_slow_client_stops_the_attempt),
        cmocka_unit_test(test_an_early_answer_ends_the_request),
        cmocka_unit_test(test_a_client_that_leaves_ends_the_attempt),
        cmocka_unit_test(test_server_names_for_the_upstream),
        cmocka_unit_test(test_answers_of_the_route),
        cmocka_unit_test(test_a_cluster_found_by_a_headers_name),
        cmocka_unit_test(test_no_host_and_no_pool),
        cmocka_unit_test(test_dropped_overload),
        cmocka_unit_test(test_maintenance_mode),
        cmocka_unit_test(test_resets_before_the_response),
        cmocka_unit_test(test_an_open_circuit_breaker),
        cmocka_unit_test(test_a_reset_within_the_response),
        cmocka_unit_test(test_headers_that_no_wire_takes),
        cmocka_unit_test(test_a_retry_sends_the_whole_request_again),
        cmocka_unit_test(test_the_rest_of_a_body_may_come_between_two_attempts),
        cmocka_unit_test(test_retries_end),
        cmocka_unit_test(test_the_last_answer_passes_when_retries_end),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_max_retries_of_the_cluster),
        cmocka_unit_test(test_a_large_body_is_not_sent_again),
        cmocka_unit_test(test_a_large_body_between_two_attempts),
        cmocka_unit_test(test_no_retry_once_the_response_has_begun),
        cmocka_unit_test(test_a_retry_finds_the_cluster_anew),
        cmocka_unit_test(test_the_route_timeout),
        cmocka_unit_test(test_the_route_timeout_within_the_response),
        cmocka_unit_test(test_no_route_timeout),
        cmocka_unit_test(test_per_try_timeout),
        cmocka_unit_test(test_per_try_timeout_ends_with_the_head),
        cmocka_unit_test(test_per_try_idle_timeout),
        cmocka_unit_test(test_max_stream_duration_of_the_cluster),
        cmocka_unit_test(test_the_back_off_counts_in_the_route_timeout),
        cmocka_unit_test(test_grpc_counts_by_its_own_status),
        cmocka_unit_test(test_grpc_timeout_bounds_the_route_timeout_where_asked),
        cmocka_unit_test(test_an_upgrade_opens_with_the_101),
        cmocka_unit_test(test_a_refused_upgrade),
        cmocka_unit_test(test_connect_that_ends_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
