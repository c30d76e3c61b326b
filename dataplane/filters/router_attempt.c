/* Attempts: choosing a host, opening, and bringing the response back. */
#include "dataplane/base/str.h"
#include "dataplane/cluster/host.h"
#include "dataplane/filters/router.h"

static const struct weir_attempt_events attempt_events;

/* ---- books ---- */

static bool is_5xx(uint32_t status)
{
    return status >= 500 && status < 600;
}

static void bump(_Atomic uint64_t *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void weir_router_charge(struct weir_router *r, uint32_t status, struct weir_cluster_host *host)
{
    if (r->request->health_check) return;
    weir_cluster_count_status(r->cluster->stats, status, r->request->internal, r->canary);
    if (host != NULL && is_5xx(status)) bump(&host->host->rq_error);
}

void weir_router_charge_abort(struct weir_router *r, uint32_t status, struct weir_cluster_host *host)
{
    if (!r->begun) {
        weir_router_charge(r, status, host);
        if (host != NULL && !is_5xx(status)) bump(&host->host->rq_error);
    } else if (r->grpc_undecided) {
        r->grpc_undecided = false;
        if (host != NULL) bump(&host->host->rq_error);
        weir_router_count(r, WEIR_RS_rq_reset_after_downstream_response_started);
    }
}

void weir_router_report(struct weir_router *r, enum weir_outlier_result result, uint32_t status)
{
    if (r->attempt != NULL && r->attempt->host != NULL) weir_cluster_report(r->cluster, r->attempt->host->host, result, status);
}

/* HTTP's word for a gRPC status, for outlier detection. */
static uint32_t http_of_grpc(uint64_t status)
{
    switch (status) {
    case 0: return 200;
    case 1: return 499;  /* CANCELLED */
    case 3:              /* INVALID_ARGUMENT */
    case 9:              /* FAILED_PRECONDITION */
    case 11: return 400; /* OUT_OF_RANGE */
    case 4: return 504;  /* DEADLINE_EXCEEDED */
    case 5: return 404;  /* NOT_FOUND */
    case 6:              /* ALREADY_EXISTS */
    case 10: return 409; /* ABORTED */
    case 7: return 403;  /* PERMISSION_DENIED */
    case 8: return 429;  /* RESOURCE_EXHAUSTED */
    case 12: return 501; /* UNIMPLEMENTED */
    case 14: return 503; /* UNAVAILABLE */
    case 16: return 401; /* UNAUTHENTICATED */
    default: return 500;
    }
}

/* Whether a grpc-status is there, and what it amounts to. */
static bool grpc_outcome(const struct weir_headers *h, uint32_t *http)
{
    struct weir_str v = weir_headers_get(h, WEIR_H_GRPC_STATUS);
    uint64_t status;
    if (v.p == NULL) return false;
    *http = weir_str_u64(v, &status) ? http_of_grpc(status) : 500;
    return true;
}

static void note_success(struct weir_router *r, bool good)
{
    struct weir_host *host = r->attempt->host->host;
    bump(good ? &host->rq_success : &host->rq_error);
    r->grpc_undecided = false;
}

/* ---- what the access log says of the upstream ---- */

static struct weir_str *copy_strs(struct weir_arena *arena, const struct weir_str *from, uint32_t count)
{
    struct weir_str *to = WEIR_NEW(arena, struct weir_str, count);
    for (uint32_t i = 0; i < count; i++) to[i] = weir_arena_str(arena, from[i]);
    return to;
}

/* The connection may be gone when the log is written. */
static const struct weir_tls_info *copy_tls(struct weir_arena *arena, const struct weir_tls_info *from)
{
    struct weir_tls_info *to = WEIR_NEW(arena, struct weir_tls_info, 1);
    *to = *from;
    struct weir_str *texts[] = {&to->sni, &to->alpn, &to->version, &to->cipher, &to->session_id, &to->peer_subject,
                                &to->peer_issuer, &to->peer_serial, &to->peer_fingerprint_256, &to->peer_fingerprint_1,
                                &to->local_subject};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) *texts[i] = weir_arena_str(arena, *texts[i]);
    to->peer_uri_sans = copy_strs(arena, from->peer_uri_sans, from->peer_uri_san_count);
    to->peer_dns_sans = copy_strs(arena, from->peer_dns_sans, from->peer_dns_san_count);
    to->local_uri_sans = copy_strs(arena, from->local_uri_sans, from->local_uri_san_count);
    to->local_dns_sans = copy_strs(arena, from->local_dns_sans, from->local_dns_san_count);
    return to;
}

static void release_pin(void *pin)
{
    weir_pin_release(pin);
}

static void note_host(struct weir_router *r, const struct weir_cluster_host *h)
{
    struct weir_request *q = r->request;
    q->upstream_host = h->host->address;
    q->upstream_hostname = h->host->hostname.n > 0 ? weir_arena_str(r->arena, h->host->hostname) : (struct weir_str){0};
    q->cluster_metadata = r->cluster->config->metadata;
    q->host_metadata = h->metadata;
    /* Both are read when the stream ends, whatever has become of the cluster by then. */
    if (q->cluster_metadata != NULL) weir_arena_on_destroy(r->arena, release_pin, weir_pin_acquire(r->cluster->pin));
    if (q->host_metadata != NULL && r->cluster->endpoints != NULL)
        weir_arena_on_destroy(r->arena, release_pin, weir_pin_acquire(r->cluster->endpoints));
}

static void note_connection(struct weir_router *r)
{
    const struct weir_attempt *a = r->attempt;
    const struct weir_transport *t = weir_attempt_transport(a);
    struct weir_request *q = r->request;
    q->upstream_protocol = a->protocol;
    q->upstream_connect_start_ns = a->start_ns;
    q->upstream_connected_ns = a->connected_ns;
    q->upstream_connection_id = a->connection_id;
    if (t == NULL) return;
    weir_address_kept_get(&t->local, &q->upstream_local);
    q->upstream_tls = t->tls != NULL ? copy_tls(r->arena, t->tls) : NULL;
}

static void note_times(struct weir_router *r)
{
    const struct weir_attempt *a = r->attempt;
    struct weir_request *q = r->request;
    q->first_upstream_tx_ns = a->first_tx_ns;
    q->last_upstream_tx_ns = a->last_tx_ns;
    q->first_upstream_rx_ns = a->first_rx_ns;
    q->last_upstream_rx_ns = a->last_rx_ns;
    const struct weir_codec_stream *s = a->stream;
    q->upstream_rx_header_bytes = s != NULL ? s->header_bytes_rx : a->header_rx;
    q->upstream_tx_header_bytes = s != NULL ? s->header_bytes_tx : a->header_tx;
    q->upstream_rx_wire_bytes = s != NULL ? s->wire_bytes_rx : a->wire_rx;
    q->upstream_tx_wire_bytes = s != NULL ? s->wire_bytes_tx : a->wire_tx;
}

/* ---- start ---- */

void weir_router_drop_attempt(struct weir_router *r)
{
    struct weir_attempt *a = r->attempt;
    if (a == NULL) return;
    note_times(r);
    r->attempt = NULL;
    r->sending = false;
    r->attempt_blocked = false;
    weir_router_times_attempt_over(r);
    weir_attempt_cancel(a);
}

static struct weir_cluster_host *pick(struct weir_router *r)
{
    const struct weir_router_retry *retry = &r->retry;
    struct weir_lb_context x = {
        .request = r->request,
        .original_dst = r->request->downstream_local_restored ? r->request->downstream_local : NULL,
        .avoid = retry->tried,
        .avoid_count = retry->tried_count,
        .avoid_attempts = retry->policy != NULL ? retry->policy->host_selection_max_attempts : 0,
    };
    return weir_cluster_pick(r->cluster, &x);
}

static void attempt_failed(struct weir_router *r, enum weir_upstream_reset why, struct weir_str failure)
{
    if (why != WEIR_UPSTREAM_OVERFLOW) weir_router_report(r, WEIR_OUTLIER_CONNECT_FAILED, 0);
    if (weir_router_retry_reset(r, why)) {
        weir_router_drop_attempt(r);
        return;
    }
    weir_router_charge_abort(r, why == WEIR_UPSTREAM_PROTOCOL_ERROR ? 502 : 503, r->attempt->host);
    weir_router_answer_reset(r, why, failure);
}

static void opened(struct weir_router *r)
{
    struct weir_attempt *a = r->attempt;
    bool ended = r->head_ended && !r->upgrade;
    note_connection(r);
    weir_router_report(r, WEIR_OUTLIER_CONNECT_SUCCESS, 0);
    if (weir_attempt_send_headers(a, r->headers, ended) != WEIR_OK) {
        /* Not the host's fault, and another one would not take them either. */
        weir_router_charge(r, 503, NULL);
        weir_router_answer_reset(r, WEIR_UPSTREAM_LOCAL_RESET, (struct weir_str){0});
        return;
    }
    r->sending = true;
    if (r->downstream_blocked) weir_attempt_pause(a, true);
    if (!ended) weir_router_send_body(r);
    weir_router_times_attempt_open(r);
}

void weir_router_try(struct weir_router *r)
{
    r->request->attempts++;
    struct weir_cluster_host *host = pick(r);
    if (host == NULL) {
        weir_router_answer_no_host(r);
        return;
    }
    if (!r->retry.retried) {
        weir_router_prepare_request(r);
    } else {
        weir_router_refresh_request(r);
    }
    const struct weir_route *route = r->decision.route;
    if (route->auto_host_rewrite && host->host->hostname.n > 0) weir_router_rewrite_host(r, host->host->hostname);
    struct weir_attempt_options o = {
        .host = host,
        .priority = route->priority,
        .downstream = r->request->protocol,
        .raw = r->raw,
        .sni = r->sni,
        .san = r->san,
        .arena = r->arena,
    };
    struct weir_attempt *a = WEIR_NEW(r->arena, struct weir_attempt, 1);
    r->attempt = a;
    enum weir_attempt_state state = weir_attempt_start(a, &o, &attempt_events, r);
    if (state == WEIR_ATTEMPT_NO_POOL) {
        weir_router_answer_no_host(r);
        return;
    }
    note_host(r, host);
    if (state == WEIR_ATTEMPT_READY) opened(r);
    if (state == WEIR_ATTEMPT_OVERFLOW) attempt_failed(r, WEIR_UPSTREAM_OVERFLOW, (struct weir_str){0});
}

/* ---- the response ---- */

static uint32_t status_of(const struct weir_headers *h)
{
    struct weir_str v = weir_headers_get(h, WEIR_H_STATUS);
    uint64_t status = 0;
    return weir_str_u64(v, &status) && status <= UINT16_MAX ? (uint32_t)status : 0;
}

/* The response has been passed on to its end. */
void weir_router_response_complete(struct weir_router *r)
{
    if (r->over) return;
    if (r->upgrade && r->accepted && r->request_ended_ns == 0) {
        r->response_over = true; /* a tunnel: the other direction goes on */
        return;
    }
    if (r->grpc_undecided) note_success(r, false);
    if (r->request_ended_ns != 0 && !r->request->health_check) {
        uint64_t ms = (r->worker->now_ns - r->request_ended_ns) / 1000000u;
        weir_cluster_record_time(r->cluster->stats, ms, r->request->internal, r->canary);
    }
    /* Of a request that goes on nobody wants the rest. */
    if (r->request_ended_ns == 0) weir_router_drop_attempt(r);
    /* The attempt ends by itself once all of the request has left. */
    if (r->attempt != NULL) note_times(r);
    struct weir_attempt *a = r->attempt;
    r->attempt = NULL;
    weir_router_end(r);
    r->attempt = a;
}

static void report_response(struct weir_router *r, const struct weir_headers *h, uint32_t status)
{
    uint32_t outcome = status;
    if (r->request->is_grpc) (void)grpc_outcome(h, &outcome);
    weir_router_report(r, WEIR_OUTLIER_RESPONSE, outcome);
}

static void count_success(struct weir_router *r, const struct weir_headers *h, uint32_t status, bool end)
{
    uint32_t outcome;
    if (is_5xx(status)) return; /* an error, counted with the status */
    if (!r->request->is_grpc) {
        note_success(r, true);
    } else if (!end) {
        r->grpc_undecided = true;
    } else {
        note_success(r, grpc_outcome(h, &outcome) && !is_5xx(outcome));
    }
}

/* What weir says in the head of every upstream's response. */
static void add_headers(struct weir_router *r, struct weir_headers *h)
{
    const struct weir_virtual_host *vhost = r->decision.vhost;
    if (r->request_ended_ns != 0 && !r->config->suppress_envoy_headers)
        weir_headers_set_int(h, WEIR_H_X_ENVOY_UPSTREAM_SERVICE_TIME, (r->worker->now_ns - r->request_ended_ns) / 1000000u);
    r->request->response_headers = h;
    weir_route_apply_response(&r->decision, r->request, h);
    if (vhost != NULL && vhost->include_attempt_count_in_response)
        weir_headers_set_int(h, WEIR_H_X_ENVOY_ATTEMPT_COUNT, r->request->attempts);
}

static bool canary(const struct weir_router *r, const struct weir_headers *h)
{
    return r->attempt->host->canary || weir_str_eq(weir_headers_get(h, WEIR_H_X_ENVOY_UPSTREAM_CANARY), WEIR_STR("true"));
}

/* An upgrade is accepted by 101, CONNECT by any 2xx. */
static bool upgrade_accepted(const struct weir_router *r, uint32_t status)
{
    if (status == 101) return true;
    bool connect = weir_str_eq(weir_headers_get(r->headers, WEIR_H_METHOD), WEIR_STR("CONNECT"));
    return status / 100 == 2 && (connect || r->raw);
}

static void settle_upgrade(struct weir_router *r, uint32_t status)
{
    r->accepted = upgrade_accepted(r, status);
    if (r->accepted && r->attempt != NULL) r->attempt->tunnel = true;
    if (r->accepted) return;
    r->request_unwanted = true;
    weir_buffer_deinit(&r->body);
    weir_router_update_pause(r);
}

/* A 2xx that accepts no upgrade: nothing that a client could use. It gets the head, and the cluster's books do not count it. */
static void answer_unsuccessful(struct weir_router *r, struct weir_headers *h)
{
    weir_headers_remove(h, WEIR_H_CONTENT_LENGTH);
    r->request->code_details = WEIR_STR("websocket_handshake_unsuccessful");
    add_headers(r, h);
    weir_stream_respond_headers(r->stream, h, true);
    weir_router_end(r);
}

static void on_headers(void *ctx, struct weir_attempt *a, struct weir_headers *h, bool end)
{
    struct weir_router *r = ctx;
    if (r->over) return;
    uint32_t status = status_of(h);
    weir_router_times_activity(r);
    r->request->upstream_protocol = a->protocol;
    report_response(r, h, status);
    if (weir_router_retry_headers(r, h, status)) {
        if (!r->request->health_check) weir_cluster_count_status_under(r->cluster->stats, "retry.", status);
        weir_router_drop_attempt(r);
        return;
    }
    r->begun = true;
    r->canary = canary(r, h);
    r->request->status = status;
    r->request->code_details = WEIR_STR("via_upstream");
    weir_router_due_clear(r, WEIR_DUE_TRY);
    weir_router_retry_forget(r);
    if (r->upgrade) {
        settle_upgrade(r, status);
        if (!r->accepted && status / 100 == 2) {
            answer_unsuccessful(r, h);
            return;
        }
    }
    weir_router_charge(r, status, a->host);
    count_success(r, h, status, end);
    add_headers(r, h);
    weir_stream_respond_headers(r->stream, h, end);
    if (end) {
        weir_router_response_complete(r);
    } else if (r->upgrade) {
        weir_router_send_body(r);
    }
}

static void on_informational(void *ctx, struct weir_attempt *a, struct weir_headers *h)
{
    struct weir_router *r = ctx;
    if (r->over) return;
    weir_router_times_activity(r);
    weir_router_charge(r, status_of(h), a->host);
    weir_router_retry_forget(r);
    weir_stream_respond_informational(r->stream, h);
}

static void on_data(void *ctx, struct weir_attempt *a, struct weir_buffer *data, bool end)
{
    struct weir_router *r = ctx;
    (void)a;
    if (r->over) return;
    weir_router_times_activity(r);
    weir_stream_respond_data(r->stream, data, end);
    if (end) weir_router_response_complete(r);
}

static void on_trailers(void *ctx, struct weir_attempt *a, struct weir_headers *h)
{
    struct weir_router *r = ctx;
    (void)a;
    uint32_t outcome;
    if (r->over) return;
    if (r->grpc_undecided) note_success(r, grpc_outcome(h, &outcome) && !is_5xx(outcome));
    weir_stream_respond_trailers(r->stream, h);
    weir_router_response_complete(r);
}

static void on_ready(void *ctx, struct weir_attempt *a)
{
    (void)a;
    opened(ctx);
}

static void on_blocked(void *ctx, struct weir_attempt *a, bool blocked)
{
    struct weir_router *r = ctx;
    (void)a;
    if (r->over) return;
    r->attempt_blocked = blocked;
    weir_router_count_cluster(r, blocked ? WEIR_CS_upstream_flow_control_backed_up_total
                                         : WEIR_CS_upstream_flow_control_drained_total);
    weir_router_update_pause(r);
}

static void on_reset(void *ctx, struct weir_attempt *a, enum weir_upstream_reset why, struct weir_str failure)
{
    struct weir_router *r = ctx;
    (void)a;
    if (r->over) {
        weir_router_drop_attempt(r);
        return;
    }
    attempt_failed(r, why, failure);
}

static void on_closed(void *ctx, struct weir_attempt *a)
{
    (void)a;
    weir_router_drop_attempt(ctx);
}

static const struct weir_attempt_events attempt_events = {
    .on_ready = on_ready,
    .on_headers = on_headers,
    .on_informational = on_informational,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_blocked = on_blocked,
    .on_reset = on_reset,
    .on_closed = on_closed,
};
