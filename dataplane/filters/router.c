/* The router's filter callbacks: configuration, the request's way in, the end. Registered in filters/filters.c. */
#include "dataplane/filters/router.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/filters/filters.h"

static const struct weir_stat_desc stat_descs[WEIR_RS_COUNT] = {
#define X(name) [WEIR_RS_##name] = {#name, WEIR_COUNTER},
    WEIR_ROUTER_STATS(X)
#undef X
};

/* ---- configuration ---- */

static void release_stats(void *set)
{
    weir_stats_release(set);
}

static enum weir_err compile(struct weir_compile *c, const ProtobufCMessage *msg, struct weir_str stat_prefix, const void **out)
{
    const pb_router *p = (const pb_router *)(const void *)msg;
    struct weir_router_config *config = weir_new(c, struct weir_router_config, 1);
    config->suppress_envoy_headers = p->suppress_envoy_headers;
    config->respect_expected_rq_timeout = p->respect_expected_rq_timeout;
    if (c->stats != NULL) {
        config->stats = weir_stats_acquire(c->stats, stat_prefix, stat_descs, WEIR_RS_COUNT);
        weir_arena_on_destroy(c->arena, release_stats, config->stats);
    }
    *out = config;
    return WEIR_OK;
}

/* ---- the request ---- */

struct weir_cluster *weir_router_find_cluster(const struct weir_router *r)
{
    const struct weir_snapshot *snapshot = &r->worker->snapshot;
    struct weir_cluster *c = weir_snapshot_cluster(snapshot, r->decision.cluster_slot);
    if (c == NULL && r->decision.cluster_slot == WEIR_CLUSTER_SLOT_NONE && r->decision.cluster_name.n > 0)
        c = weir_map_get(&snapshot->clusters_by_name, r->decision.cluster_name);
    return c != NULL ? weir_cluster_acquire(weir_cluster_use(c)) : NULL;
}

static void init(struct weir_router *r, struct weir_stream *s, const struct weir_filter *f)
{
    r->stream = s;
    r->worker = weir_stream_worker(s);
    r->request = weir_stream_request(s);
    r->headers = weir_stream_request_headers(s);
    r->arena = weir_stream_arena(s);
    r->config = f->config;
    r->decision = *weir_stream_route(s);
    r->times.status = 504;
    if (r->config->stats != NULL) r->stats = weir_stats_shard(r->config->stats, r->worker->index);
    weir_buffer_init(&r->body);
}

/* RouteAction.UpgradeConfig.connect_config: the payload of CONNECT is a TCP connection's. */
static bool connect_ends_here(const struct weir_router *r)
{
    const struct weir_route *route = r->decision.route;
    struct weir_str method = weir_headers_get(r->headers, WEIR_H_METHOD);
    for (uint32_t i = 0; i < route->upgrade_count; i++) {
        const struct weir_upgrade_config *u = &route->upgrades[i];
        if (!u->connect_terminated || !u->enabled || !weir_str_eq(u->type, WEIR_STR("connect"))) continue;
        return weir_str_eq(method, WEIR_STR("CONNECT")) || (u->allow_post && weir_str_eq(method, WEIR_STR("POST")));
    }
    return false;
}

/* The whole request is here: the clock of the route's timeout starts. */
static void request_ended(struct weir_router *r)
{
    r->request_ended_ns = r->worker->now_ns;
    weir_router_times_request_ended(r);
    if (r->response_over) weir_router_response_complete(r);
}

static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    struct weir_router *r = f->state;
    init(r, s, f);
    weir_router_count(r, WEIR_RS_rq_total);
    if (weir_router_answer_route(r) || weir_router_answer_shedding(r)) return WEIR_ENDED;
    r->upgrade = weir_stream_is_upgrade(s);
    r->raw = connect_ends_here(r);
    if (r->raw) r->upgrade = true;
    r->accepted = !r->upgrade;
    r->head_ended = end;
    if (end) r->request_ended_ns = r->worker->now_ns;
    weir_router_try(r);
    if (r->over) return WEIR_ENDED;
    if (end) request_ended(r);
    return WEIR_CONTINUE;
}

/* The attempt takes body bytes. An upgrade's are held back until it is accepted: where it is refused, they belong to nobody. */
static bool takes_body(const struct weir_router *r)
{
    return r->sending && r->accepted;
}

/* Another reference to the same bytes. */
static void share(struct weir_buffer *to, const struct weir_buffer *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct weir_slice s = *weir_buffer_slice(from, i);
        if (s.block != NULL) weir_block_acquire(s.block);
        weir_buffer_push(to, s);
    }
}

static void send_data(struct weir_router *r, struct weir_buffer *data, bool end)
{
    if (data->bytes == 0 && !end) return;
    weir_attempt_send_data(r->attempt, data, end);
    weir_router_times_activity(r);
}

void weir_router_send_body(struct weir_router *r)
{
    if (!takes_body(r) || r->attempt->request_ended) return;
    bool ended = r->request_ended_ns != 0;
    struct weir_buffer data;
    weir_buffer_init(&data);
    if (r->keep) {
        share(&data, &r->body);
    } else {
        weir_buffer_move(&data, &r->body);
    }
    send_data(r, &data, ended && r->trailers == NULL);
    weir_buffer_deinit(&data);
    if (ended && r->trailers != NULL) weir_attempt_send_trailers(r->attempt, r->trailers);
    weir_router_update_pause(r);
}

void weir_router_update_pause(struct weir_router *r)
{
    bool full = !r->keep && !takes_body(r) && r->body.bytes > 0 && r->body.bytes >= weir_stream_buffer_limit(r->stream);
    bool pause = !r->over && (r->attempt_blocked || full);
    if (pause == r->request_paused) return;
    r->request_paused = pause;
    weir_stream_pause_request(r->stream, pause);
}

/* False: the body became too large to be kept, and nobody can take it. */
static bool keep_or_forget(struct weir_router *r, const struct weir_buffer *data)
{
    if (!r->keep || r->body.bytes + data->bytes <= r->body_max) return true;
    weir_router_count_cluster(r, WEIR_CS_retry_or_shadow_abandoned);
    weir_router_retry_forget(r);
    if (r->attempt != NULL) return true;
    weir_router_answer_body_too_large(r);
    return false;
}

static enum weir_verdict on_request_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    struct weir_router *r = f->state;
    (void)s;
    if (r->over || r->request_unwanted) return WEIR_CONTINUE;
    if (!keep_or_forget(r, data)) return WEIR_ENDED;
    if (r->keep) {
        struct weir_buffer copy;
        weir_buffer_init(&copy);
        if (takes_body(r)) {
            share(&copy, data);
            send_data(r, &copy, end);
        }
        weir_buffer_deinit(&copy);
        weir_buffer_move(&r->body, data);
    } else if (takes_body(r)) {
        send_data(r, data, end);
    } else {
        weir_buffer_move(&r->body, data);
    }
    if (end) request_ended(r);
    weir_router_update_pause(r);
    return WEIR_CONTINUE;
}

static enum weir_verdict on_request_trailers(struct weir_stream *s, struct weir_filter *f, struct weir_headers *trailers)
{
    struct weir_router *r = f->state;
    (void)s;
    if (r->over || r->request_unwanted) return WEIR_CONTINUE;
    r->trailers = trailers;
    if (takes_body(r)) weir_attempt_send_trailers(r->attempt, trailers);
    request_ended(r);
    return WEIR_CONTINUE;
}

/* ---- the rest ---- */

static void on_downstream_blocked(struct weir_stream *s, struct weir_filter *f, bool blocked)
{
    struct weir_router *r = f->state;
    (void)s;
    r->downstream_blocked = blocked;
    if (r->over || r->attempt == NULL) return;
    weir_router_count_cluster(r, blocked ? WEIR_CS_upstream_flow_control_paused_reading_total
                                         : WEIR_CS_upstream_flow_control_resumed_reading_total);
    weir_attempt_pause(r->attempt, blocked);
}

void weir_router_end(struct weir_router *r)
{
    if (r->over) return;
    r->over = true;
    weir_router_times_stop(r);
    weir_router_drop_attempt(r);
    weir_router_retry_release(r);
    weir_router_update_pause(r);
    weir_buffer_deinit(&r->body);
}

static void on_destroy(struct weir_stream *s, struct weir_filter *f)
{
    struct weir_router *r = f->state;
    (void)s;
    if (r->stream == NULL) return; /* an earlier filter has answered */
    weir_router_end(r);
    weir_router_drop_attempt(r);
    if (r->cluster != NULL) weir_cluster_release(r->cluster);
    r->cluster = NULL;
}

const struct weir_http_filter weir_filter_router = {
    .name = "envoy.filters.http.router",
    .config_type = &pb_router_type,
    .state_size = sizeof(struct weir_router),
    .terminal = true,
    .compile = compile,
    .on_request_headers = on_request_headers,
    .on_request_data = on_request_data,
    .on_request_trailers = on_request_trailers,
    .on_downstream_blocked = on_downstream_blocked,
    .on_destroy = on_destroy,
};
