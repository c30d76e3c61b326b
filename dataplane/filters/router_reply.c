/* Answers that the router makes itself: what the route says, and what becomes of a request that no upstream answered. The
 * words are Envoy's. */
#include "dataplane/base/substitution.h"
#include "dataplane/filters/router.h"

static struct weir_headers *extra_headers(struct weir_router *r)
{
    struct weir_headers *h = WEIR_NEW(r->arena, struct weir_headers, 1);
    weir_headers_init(h, r->arena);
    return h;
}

/* ---- by the route ---- */

static struct weir_str own_url(const struct weir_router *r, struct weir_str scheme)
{
    struct weir_str host = weir_headers_get(r->headers, WEIR_H_AUTHORITY), path = weir_headers_get(r->headers, WEIR_H_PATH);
    return weir_arena_printf(r->arena, "%.*s://%.*s%.*s", WEIR_STR_ARG(scheme), WEIR_STR_ARG(host), WEIR_STR_ARG(path));
}

static void direct(struct weir_router *r, uint32_t status, struct weir_str location, struct weir_str body, struct weir_str type)
{
    struct weir_headers *extra = extra_headers(r);
    if (type.n > 0) weir_headers_add(extra, WEIR_H_CONTENT_TYPE, type);
    if (location.n > 0) weir_headers_add(extra, WEIR_H_LOCATION, location);
    struct weir_local_reply reply = {
        .status = status, .grpc_status = -1, .body = body, .details = WEIR_STR("direct_response"), .extra = extra};
    weir_router_count(r, WEIR_RS_rq_direct_response);
    weir_router_end(r);
    weir_stream_reply(r->stream, &reply);
}

static void direct_response(struct weir_router *r, const struct weir_route *route)
{
    struct weir_str location = {0}, body = route->direct_body, type = {0};
    if (route->direct_status == 201 || route->direct_status / 100 == 3)
        location = own_url(r, weir_headers_get(r->headers, WEIR_H_SCHEME));
    if (route->direct_body_format != NULL) {
        struct weir_text text = {.arena = r->arena};
        weir_substitution_print(route->direct_body_format, r->request, body, &text);
        body = (struct weir_str){text.p, text.n};
        type = weir_substitution_content_type(route->direct_body_format);
    }
    direct(r, route->direct_status, location, body, type);
}

static void no_route(struct weir_router *r)
{
    struct weir_local_reply reply = {
        .status = 404, .grpc_status = -1, .details = WEIR_STR("route_not_found"), .flags = WEIR_FLAG(NO_ROUTE_FOUND)};
    weir_router_count(r, WEIR_RS_no_route);
    weir_router_end(r);
    weir_stream_reply(r->stream, &reply);
}

static void no_cluster(struct weir_router *r, const struct weir_route *route)
{
    struct weir_local_reply reply = {
        .status = route->cluster_not_found_status != 0 ? route->cluster_not_found_status : 503,
        .grpc_status = -1,
        .details = WEIR_STR("cluster_not_found"),
        .flags = WEIR_FLAG(NO_CLUSTER_FOUND),
    };
    weir_router_count(r, WEIR_RS_no_cluster);
    r->request->cluster_name = (struct weir_str){0}; /* a name that stands for nothing */
    weir_router_end(r);
    weir_stream_reply(r->stream, &reply);
}

bool weir_router_answer_route(struct weir_router *r)
{
    const struct weir_route *route = r->decision.route;
    if (r->decision.tls_redirect) {
        direct(r, 301, weir_route_tls_location(r->request), (struct weir_str){0}, (struct weir_str){0});
        return true;
    }
    if (route == NULL) {
        no_route(r);
        return true;
    }
    switch (route->action) {
    case WEIR_ROUTE_REDIRECT:
        direct(r, route->redirect->status, weir_route_location(route, r->request), (struct weir_str){0},
               (struct weir_str){0});
        return true;
    case WEIR_ROUTE_DIRECT_RESPONSE: direct_response(r, route); return true;
    case WEIR_ROUTE_NON_FORWARDING: break;
    case WEIR_ROUTE_CLUSTER: r->cluster = weir_router_find_cluster(r); break;
    }
    if (r->cluster == NULL) no_cluster(r, route);
    return r->cluster == NULL;
}

/* ---- by the cluster ---- */

/* An answer in the upstream's stead. After the response has begun it can only break off. */
static void answer(struct weir_router *r, struct weir_local_reply *reply, struct weir_headers *extra)
{
    const struct weir_virtual_host *vhost = r->decision.vhost;
    bool begun = r->begun;
    weir_router_end(r);
    if (begun) {
        weir_stream_respond_reset(r->stream, reply->details, reply->flags);
        return;
    }
    if (vhost != NULL && vhost->include_attempt_count_in_response && r->request->attempts > 0) {
        if (extra == NULL) extra = extra_headers(r);
        weir_headers_set_int(extra, WEIR_H_X_ENVOY_ATTEMPT_COUNT, r->request->attempts);
    }
    reply->grpc_status = -1;
    reply->extra = extra;
    weir_stream_reply(r->stream, reply);
}

/* 503 before any host was asked. `header`: what tells the client's side why, empty: nothing. */
static void shed(struct weir_router *r, struct weir_str body, struct weir_str details, struct weir_str header, uint64_t flag)
{
    struct weir_headers *extra = NULL;
    if (header.n > 0 && !r->config->suppress_envoy_headers) {
        extra = extra_headers(r);
        weir_headers_add_name(extra, header, WEIR_STR("true"));
    }
    weir_router_charge(r, 503, NULL);
    answer(r, &(struct weir_local_reply){.status = 503, .body = body, .details = details, .flags = flag}, extra);
}

bool weir_router_answer_shedding(struct weir_router *r)
{
    const struct weir_runtime *runtime = r->worker->snapshot.runtime;
    uint64_t percent = runtime != NULL ? weir_runtime_u64(runtime, r->cluster->config->maintenance_key, 0) : 0;
    if (percent > 0 && weir_random_below(&r->worker->random, 100) < percent) {
        weir_router_count_cluster(r, WEIR_CS_upstream_rq_maintenance_mode);
        shed(r, WEIR_STR("maintenance mode"), WEIR_STR("maintenance_mode"), WEIR_STR("x-envoy-overloaded"),
             WEIR_FLAG(UPSTREAM_OVERFLOW));
        return true;
    }
    switch (weir_cluster_drop_overload(r->cluster)) {
    case 0: return false;
    case 1:
        shed(r, WEIR_STR("drop overload"), WEIR_STR("drop_overload"), WEIR_STR("x-envoy-drop-overload"), WEIR_FLAG(DROP_OVERLOAD));
        return true;
    default:
        shed(r, WEIR_STR("unconditional drop overload"), WEIR_STR("unconditional_drop_overload"),
             WEIR_STR("x-envoy-unconditional-drop-overload"), WEIR_FLAG(UNCONDITIONAL_DROP_OVERLOAD));
        return true;
    }
}

void weir_router_answer_no_host(struct weir_router *r)
{
    shed(r, WEIR_STR("no healthy upstream"), WEIR_STR("no_healthy_upstream"), (struct weir_str){0}, WEIR_FLAG(NO_HEALTHY_UPSTREAM));
}

/* ---- by an attempt ---- */

/* One word, as access logs like it. */
static struct weir_str without_blanks(struct weir_arena *arena, struct weir_str s)
{
    char *p = weir_arena_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++) p[i] = s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r') ? '_' : s.p[i];
    return (struct weir_str){p, s.n};
}

void weir_router_answer_reset(struct weir_router *r, enum weir_upstream_reset why, struct weir_str failure)
{
    struct weir_str reason = weir_upstream_reset_text(why);
    bool dropped = why == WEIR_UPSTREAM_OVERFLOW;
    struct weir_local_reply reply = {
        .status = why == WEIR_UPSTREAM_PROTOCOL_ERROR ? 502 : 503,
        .flags = weir_upstream_reset_flag(why),
    };
    if (failure.n > 0) {
        failure = without_blanks(r->arena, failure);
        r->request->upstream_transport_failure_reason = failure;
    }
    struct weir_str word = without_blanks(r->arena, reason);
    reply.details =
        weir_arena_printf(r->arena, "upstream_reset_%s_response_started{%.*s%s%.*s}", r->begun ? "after" : "before",
                          WEIR_STR_ARG(word), failure.n > 0 ? "|" : "", WEIR_STR_ARG(failure));
    reply.body = weir_arena_printf(r->arena, "upstream connect error or disconnect/reset before headers. %sreset reason: %.*s",
                                   r->retry.retried ? "retried and the latest " : "", WEIR_STR_ARG(reason));
    struct weir_headers *extra = NULL;
    if (dropped && !r->config->suppress_envoy_headers) {
        extra = extra_headers(r);
        weir_headers_add(extra, WEIR_H_X_ENVOY_OVERLOADED, WEIR_STR("true"));
    }
    answer(r, &reply, extra);
}

void weir_router_answer_timeout(struct weir_router *r, struct weir_str details)
{
    struct weir_local_reply reply = {
        .status = r->times.status, .details = details, .flags = WEIR_FLAG(UPSTREAM_REQUEST_TIMEOUT)};
    if (reply.status == 504) reply.body = WEIR_STR("upstream request timeout");
    answer(r, &reply, NULL);
}

void weir_router_answer_max_duration(struct weir_router *r)
{
    struct weir_local_reply reply = {
        .status = r->request_ended_ns != 0 ? 504 : 408,
        .body = WEIR_STR("upstream max stream duration reached"),
        .details = WEIR_STR("upstream_max_stream_duration_reached"),
        .flags = WEIR_FLAG(UPSTREAM_MAX_STREAM_DURATION),
    };
    answer(r, &reply, NULL);
}

void weir_router_answer_body_too_large(struct weir_router *r)
{
    struct weir_local_reply reply = {
        .status = 507,
        .body = WEIR_STR("exceeded request buffer limit while retrying upstream"),
        .details = WEIR_STR("request_payload_exceeded_retry_buffer_limit"),
    };
    answer(r, &reply, NULL);
}
