/* The router's times: of the whole response, of one try, of silence within a try, of a stream towards the cluster, and the
 * back-off before a retry. One timer serves all: events move dues, the timer is left to fire early and then set anew. */
#include "dataplane/base/str.h"
#include "dataplane/cluster/host.h"
#include "dataplane/filters/router.h"
#include "dataplane/http/local_reply.h"

static uint64_t now_ms(const struct weir_router *r)
{
    return r->worker->timers.clock_ms;
}

static void on_due(struct weir_timer *t);

static void arm(struct weir_router *r)
{
    struct weir_router_times *t = &r->times;
    uint64_t first = 0, now = now_ms(r);
    for (int i = 0; i < WEIR_DUE_COUNT; i++)
        if (t->due_ms[i] != 0 && (first == 0 || t->due_ms[i] < first)) first = t->due_ms[i];
    if (first == 0 || (weir_timer_running(&t->timer) && t->timer.due_ms <= first)) return;
    t->timer.on_due = on_due;
    weir_timer_start(&r->worker->timers, &t->timer, first > now ? first - now : 0);
}

void weir_router_due_in(struct weir_router *r, enum weir_router_due due, uint64_t ms)
{
    uint64_t now = now_ms(r);
    /* 0 says none, and a far due must not come round again. */
    r->times.due_ms[due] = ms < UINT64_MAX / 2 ? now + ms : UINT64_MAX / 2;
    if (r->times.due_ms[due] == 0) r->times.due_ms[due] = 1;
    arm(r);
}

void weir_router_due_clear(struct weir_router *r, enum weir_router_due due)
{
    r->times.due_ms[due] = 0;
}

void weir_router_times_stop(struct weir_router *r)
{
    for (int i = 0; i < WEIR_DUE_COUNT; i++) r->times.due_ms[i] = 0;
    if (weir_timer_running(&r->times.timer)) weir_timer_stop(&r->worker->timers, &r->times.timer);
}

/* ---- how long ---- */

/* Takes a header with a number of milliseconds out of the request. */
static bool take_ms(struct weir_router *r, enum weir_header_id id, uint64_t *out)
{
    struct weir_str v = weir_headers_get(r->headers, id);
    if (v.p == NULL) return false;
    uint64_t ms;
    bool valid = weir_str_u64(v, &ms);
    weir_headers_remove(r->headers, id);
    if (valid) *out = ms;
    return valid;
}

/* RouteAction.max_grpc_timeout: grpc-timeout takes the place of the route's timeout. */
static bool grpc_bounds(const struct weir_router *r)
{
    return r->request->is_grpc && r->decision.route->max_grpc_timeout_ms != UINT64_MAX;
}

static uint64_t route_timeout(const struct weir_router *r)
{
    const struct weir_route *route = r->decision.route;
    if (route->has_max_stream_duration) return 0; /* the connection manager times the stream */
    if (!grpc_bounds(r)) return route->timeout_ms != UINT64_MAX ? route->timeout_ms : 15000;
    uint64_t asked = 0, max = route->max_grpc_timeout_ms, offset = route->grpc_timeout_offset_ms;
    if (weir_grpc_timeout(r->headers, &asked) && offset != UINT64_MAX && asked > offset) asked -= offset;
    return max != 0 && (asked == 0 || asked > max) ? max : asked;
}

void weir_router_times_init(struct weir_router *r)
{
    struct weir_router_times *t = &r->times;
    const struct weir_route *route = r->decision.route;
    const struct weir_retry_policy *retry = r->cluster->config->retry != NULL ? r->cluster->config->retry : route->retry;
    t->response_ms = route_timeout(r);
    if (retry != NULL) {
        t->try_ms = retry->per_try_timeout_ms;
        t->try_idle_ms = retry->per_try_idle_timeout_ms;
    }
    uint64_t expected;
    struct weir_str told = weir_headers_get(r->headers, WEIR_H_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS);
    if (r->config->respect_expected_rq_timeout && told.p != NULL) {
        if (weir_str_u64(told, &expected)) t->response_ms = expected;
    } else {
        (void)take_ms(r, WEIR_H_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, &t->response_ms);
    }
    (void)take_ms(r, WEIR_H_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, &t->try_ms);
    if (t->response_ms != 0 && t->try_ms >= t->response_ms) t->try_ms = 0;
    if (weir_headers_remove(r->headers, WEIR_H_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE) > 0) t->status = 204;
}

bool weir_router_times_for_grpc(const struct weir_router *r)
{
    return grpc_bounds(r) && !r->decision.route->has_max_stream_duration;
}

uint64_t weir_router_times_expected(const struct weir_router *r)
{
    const struct weir_router_times *t = &r->times;
    uint64_t expected = t->try_ms != 0 ? t->try_ms : t->response_ms;
    if (expected == 0 || t->response_ms == 0) return expected;
    uint64_t gone = r->request_ended_ns != 0 ? (r->worker->now_ns - r->request_ended_ns) / 1000000u : 0;
    if (gone >= t->response_ms) return 1; /* 0 would say that there is no hurry */
    uint64_t left = t->response_ms - gone;
    return expected < left ? expected : left;
}

/* ---- what happens ---- */

static void start_try(struct weir_router *r)
{
    if (r->times.try_ms != 0 && !r->begun) weir_router_due_in(r, WEIR_DUE_TRY, r->times.try_ms);
}

void weir_router_times_request_ended(struct weir_router *r)
{
    if (r->times.response_ms != 0 && !r->upgrade) weir_router_due_in(r, WEIR_DUE_RESPONSE, r->times.response_ms);
    if (r->sending) start_try(r);
}

void weir_router_times_attempt_open(struct weir_router *r)
{
    uint64_t duration = r->cluster->config->max_stream_duration_ms;
    if (duration != 0) weir_router_due_in(r, WEIR_DUE_MAX_DURATION, duration);
    if (r->request_ended_ns != 0) start_try(r);
    weir_router_times_activity(r);
}

void weir_router_times_activity(struct weir_router *r)
{
    if (r->times.try_idle_ms != 0) weir_router_due_in(r, WEIR_DUE_TRY_IDLE, r->times.try_idle_ms);
}

void weir_router_times_attempt_over(struct weir_router *r)
{
    weir_router_due_clear(r, WEIR_DUE_TRY);
    weir_router_due_clear(r, WEIR_DUE_TRY_IDLE);
    weir_router_due_clear(r, WEIR_DUE_MAX_DURATION);
}

static void count_host_timeout(struct weir_router *r)
{
    struct weir_cluster_host *host = weir_router_host(r);
    if (host != NULL) atomic_fetch_add_explicit(&host->host->rq_timeout, 1, memory_order_relaxed);
}

static void response_timeout(struct weir_router *r)
{
    if (r->attempt != NULL) {
        weir_router_count_cluster(r, WEIR_CS_upstream_rq_timeout);
        count_host_timeout(r);
        if (!r->begun) {
            if (r->sending) weir_router_report(r, WEIR_OUTLIER_TIMEOUT, r->times.status);
            weir_router_charge_abort(r, r->times.status, weir_router_host(r));
        }
    }
    weir_router_answer_timeout(r, WEIR_STR("response_timeout"));
}

static void try_timeout(struct weir_router *r, enum weir_cluster_stat stat, struct weir_str details)
{
    weir_router_count_cluster(r, stat);
    count_host_timeout(r);
    weir_router_report(r, WEIR_OUTLIER_TIMEOUT, r->times.status);
    if (weir_router_retry_reset(r, WEIR_UPSTREAM_LOCAL_RESET)) {
        weir_router_drop_attempt(r);
        return;
    }
    weir_router_charge_abort(r, r->times.status, weir_router_host(r));
    weir_router_answer_timeout(r, details);
}

static void max_duration_reached(struct weir_router *r)
{
    weir_router_count_cluster(r, WEIR_CS_upstream_rq_max_duration_reached);
    if (weir_router_retry_reset(r, WEIR_UPSTREAM_LOCAL_RESET)) {
        weir_router_drop_attempt(r);
        return;
    }
    weir_router_answer_max_duration(r);
}

static void on_due(struct weir_timer *timer)
{
    struct weir_router_times *t = WEIR_CONTAINER_OF(timer, struct weir_router_times, timer);
    struct weir_router *r = WEIR_CONTAINER_OF(t, struct weir_router, times);
    uint64_t now = now_ms(r);
    for (int i = 0; i < WEIR_DUE_COUNT && !r->over; i++) {
        if (t->due_ms[i] == 0 || t->due_ms[i] > now) continue;
        t->due_ms[i] = 0;
        switch ((enum weir_router_due)i) {
        case WEIR_DUE_RESPONSE: response_timeout(r); break;
        case WEIR_DUE_TRY: try_timeout(r, WEIR_CS_upstream_rq_per_try_timeout, WEIR_STR("upstream_per_try_timeout")); break;
        case WEIR_DUE_TRY_IDLE:
            try_timeout(r, WEIR_CS_upstream_rq_per_try_idle_timeout, WEIR_STR("upstream_per_try_idle_timeout"));
            break;
        case WEIR_DUE_MAX_DURATION: max_duration_reached(r); break;
        case WEIR_DUE_RETRY: weir_router_retry_due(r); break;
        case WEIR_DUE_COUNT: break;
        }
    }
    if (!r->over) arm(r);
}
