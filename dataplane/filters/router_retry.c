/* Retries: whether an attempt that failed is made again, and when. By RetryPolicy (the cluster's, else the route's) and, on
 * internal requests, x-envoy-retry-on and its kin. */
#include "dataplane/base/str.h"
#include "dataplane/cluster/breaker.h"
#include "dataplane/cluster/host.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/filters/router.h"

#define BACK_OFF_BASE_MS 25u

/* ---- what is asked for ---- */

#define GRPC_CONDITIONS                                                                                                 \
    (uint32_t)(WEIR_RETRY_GRPC_CANCELLED | WEIR_RETRY_GRPC_DEADLINE_EXCEEDED | WEIR_RETRY_GRPC_RESOURCE_EXHAUSTED |                       \
     WEIR_RETRY_GRPC_UNAVAILABLE | WEIR_RETRY_GRPC_INTERNAL)

/* The policy's codes and those of x-envoy-retriable-status-codes. */
static void add_codes(struct weir_router *r, struct weir_str value)
{
    struct weir_router_retry *retry = &r->retry;
    size_t at = 0, more = 0;
    struct weir_str word;
    while (weir_header_list_next(value, &at, &word)) more++;
    uint32_t *codes = WEIR_NEW(r->arena, uint32_t, retry->code_count + more);
    for (uint32_t i = 0; i < retry->code_count; i++) codes[i] = retry->codes[i];
    at = 0;
    while (weir_header_list_next(value, &at, &word)) {
        uint64_t code;
        if (weir_str_u64(word, &code) && code < 1000) codes[retry->code_count++] = (uint32_t)code;
    }
    retry->codes = codes;
}

static void read_headers(struct weir_router *r)
{
    struct weir_router_retry *retry = &r->retry;
    struct weir_headers *h = r->headers;
    uint64_t max;
    retry->on |= weir_retry_on_parse(weir_headers_get(h, WEIR_H_X_ENVOY_RETRY_ON)) & ~GRPC_CONDITIONS;
    retry->on |= weir_retry_on_parse(weir_headers_get(h, WEIR_H_X_ENVOY_RETRY_GRPC_ON)) & GRPC_CONDITIONS;
    if (retry->on != 0 && weir_str_u64(weir_headers_get(h, WEIR_H_X_ENVOY_MAX_RETRIES), &max))
        retry->left = max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
    struct weir_str codes = weir_headers_get(h, WEIR_H_X_ENVOY_RETRIABLE_STATUS_CODES);
    if (codes.n > 0) add_codes(r, codes);
}

/* Only internal requests still have them. */
static void drop_headers(struct weir_headers *h)
{
    static const enum weir_header_id ids[] = {
        WEIR_H_X_ENVOY_RETRY_ON,
        WEIR_H_X_ENVOY_RETRY_GRPC_ON,
        WEIR_H_X_ENVOY_MAX_RETRIES,
        WEIR_H_X_ENVOY_RETRIABLE_STATUS_CODES,
        WEIR_H_X_ENVOY_RETRIABLE_HEADER_NAMES,
        WEIR_H_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
    };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) weir_headers_remove(h, ids[i]);
}

void weir_router_retry_init(struct weir_router *r)
{
    struct weir_router_retry *retry = &r->retry;
    const struct weir_route *route = r->decision.route;
    const struct weir_retry_policy *policy = r->cluster->config->retry != NULL ? r->cluster->config->retry : route->retry;
    retry->left = 1;
    retry->policy = policy;
    if (policy != NULL) {
        retry->on = policy->on;
        retry->left = policy->num_retries;
        retry->code_count = policy->status_code_count;
        retry->codes = policy->status_codes;
    }
    if (r->request->internal) {
        read_headers(r);
        drop_headers(r->headers);
    }
    if (retry->on == 0) return;
    uint64_t base = policy != NULL ? policy->back_off_base_ms : 0;
    if (base == 0) base = weir_runtime_u64(r->worker->snapshot.runtime, WEIR_STR("upstream.base_retry_backoff_ms"), BACK_OFF_BASE_MS);
    if (base == 0) base = 1;
    retry->next_ms = base;
    retry->max_ms = policy != NULL && policy->back_off_max_ms != 0 ? policy->back_off_max_ms : 10 * base;
    r->keep = true;
    r->body_max = weir_stream_buffer_limit(r->stream);
    if (route->retry_buffer_bytes == UINT64_MAX) return;
    if (!route->retry_buffer_at_most_connection || route->retry_buffer_bytes < r->body_max) r->body_max = route->retry_buffer_bytes;
}

/* ---- what is granted ---- */

static bool status_listed(const struct weir_router_retry *retry, uint32_t status)
{
    for (uint32_t i = 0; i < retry->code_count; i++)
        if (retry->codes[i] == status) return true;
    return false;
}

static bool grpc_wanted(uint32_t on, const struct weir_headers *h)
{
    uint64_t status;
    if (!weir_str_u64(weir_headers_get(h, WEIR_H_GRPC_STATUS), &status)) return false;
    switch (status) {
    case 1: return (on & WEIR_RETRY_GRPC_CANCELLED) != 0;
    case 4: return (on & WEIR_RETRY_GRPC_DEADLINE_EXCEEDED) != 0;
    case 8: return (on & WEIR_RETRY_GRPC_RESOURCE_EXHAUSTED) != 0;
    case 13: return (on & WEIR_RETRY_GRPC_INTERNAL) != 0;
    case 14: return (on & WEIR_RETRY_GRPC_UNAVAILABLE) != 0;
    default: return false;
    }
}

static bool headers_wanted(const struct weir_router_retry *retry, const struct weir_headers *h, uint32_t status)
{
    uint32_t on = retry->on;
    /* Another proxy limits the rate: trying again at once makes it worse. */
    if (weir_headers_find(h, WEIR_H_X_ENVOY_RATELIMITED) != NULL) return (on & WEIR_RETRY_ENVOY_RATELIMITED) != 0;
    if ((on & WEIR_RETRY_5XX) && status >= 500 && status < 600) return true;
    if ((on & WEIR_RETRY_GATEWAY_ERROR) && status >= 502 && status <= 504) return true;
    if ((on & WEIR_RETRY_RETRIABLE_4XX) && status == 409) return true;
    if ((on & WEIR_RETRY_RETRIABLE_STATUS_CODES) && status_listed(retry, status)) return true;
    return (on & GRPC_CONDITIONS) && grpc_wanted(on, h);
}

static bool reset_wanted(const struct weir_router *r, enum weir_upstream_reset why)
{
    uint32_t on = r->retry.on;
    if (why == WEIR_UPSTREAM_OVERFLOW) return false;
    bool connecting = why == WEIR_UPSTREAM_LOCAL_CONNECTION_FAILURE || why == WEIR_UPSTREAM_REMOTE_CONNECTION_FAILURE ||
                      why == WEIR_UPSTREAM_CONNECTION_TIMEOUT;
    bool request_started = r->attempt != NULL && r->attempt->first_tx_ns != 0;
    if ((on & WEIR_RETRY_RESET_BEFORE_REQUEST) && !request_started) return true;
    if (on & (WEIR_RETRY_RESET | WEIR_RETRY_5XX | WEIR_RETRY_GATEWAY_ERROR)) return true;
    if ((on & WEIR_RETRY_REFUSED_STREAM) && why == WEIR_UPSTREAM_REMOTE_REFUSED) return true;
    return (on & WEIR_RETRY_CONNECT_FAILURE) && connecting;
}

static struct weir_breaker *breaker_of(const struct weir_router *r, struct weir_cluster *c)
{
    return &c->shared->breakers[r->decision.route->priority];
}

static const struct weir_breaker_limits *limits_of(const struct weir_router *r, const struct weir_cluster *c)
{
    return &c->limits[r->decision.route->priority];
}

void weir_router_retry_release(struct weir_router *r)
{
    struct weir_cluster *c = r->retry.holds;
    if (c == NULL) return;
    r->retry.holds = NULL;
    weir_breaker_give(breaker_of(r, c), limits_of(r, c), WEIR_BREAKER_RETRIES, c->stats, r->decision.route->priority);
    weir_cluster_release(c);
}

static void remember_host(struct weir_router *r)
{
    struct weir_router_retry *retry = &r->retry;
    if (retry->policy == NULL || !retry->policy->previous_hosts || r->attempt == NULL || r->attempt->host == NULL) return;
    if (retry->tried_count == retry->tried_capacity) {
        uint32_t capacity = retry->tried_capacity > 0 ? 2 * retry->tried_capacity : 4;
        struct weir_host **wider = WEIR_NEW(r->arena, struct weir_host *, capacity);
        for (uint32_t i = 0; i < retry->tried_count; i++) wider[i] = retry->tried[i];
        retry->tried = wider;
        retry->tried_capacity = capacity;
    }
    retry->tried[retry->tried_count++] = r->attempt->host->host; /* compared, never followed */
}

/* Before those that say what came of the last attempt. */
static void note_flag(struct weir_router *r, uint64_t flag)
{
    r->request->flags |= flag;
    r->request->flags_first |= flag;
}

/* The outcome of an attempt is known; `wanted`: the policy would try again. */
static bool decide(struct weir_router *r, bool wanted)
{
    struct weir_router_retry *retry = &r->retry;
    struct weir_cluster *c = r->cluster;
    if (retry->holds != NULL && !wanted) weir_router_count_cluster(r, WEIR_CS_upstream_rq_retry_success);
    weir_router_retry_release(r);
    if (!wanted) return false;
    if (retry->left == 0) {
        weir_router_count_cluster(r, WEIR_CS_upstream_rq_retry_limit_exceeded);
        note_flag(r, WEIR_FLAG(RETRY_LIMIT_EXCEEDED));
        return false;
    }
    retry->left--;
    if (!weir_breaker_has_room(breaker_of(r, c), limits_of(r, c), WEIR_BREAKER_RETRIES)) {
        weir_router_count_cluster(r, WEIR_CS_upstream_rq_retry_overflow);
        note_flag(r, WEIR_FLAG(UPSTREAM_OVERFLOW));
        return false;
    }
    uint64_t percent = weir_runtime_u64(r->worker->snapshot.runtime, WEIR_STR("upstream.use_retry"), 100);
    if (percent < 100 && weir_random_below(&r->worker->random, 100) >= percent) return false;
    weir_breaker_take(breaker_of(r, c), limits_of(r, c), WEIR_BREAKER_RETRIES, c->stats, r->decision.route->priority);
    retry->holds = weir_cluster_acquire(c);
    if (r->attempt != NULL && r->attempt->host != NULL)
        atomic_fetch_add_explicit(&r->attempt->host->host->rq_error, 1, memory_order_relaxed);
    remember_host(r);
    weir_router_count_cluster(r, WEIR_CS_upstream_rq_retry);
    weir_router_count_cluster(r, WEIR_CS_upstream_rq_retry_backoff_exponential);
    uint64_t wait = weir_random_below(&r->worker->random, retry->next_ms);
    if (wait > retry->max_ms) wait = retry->max_ms;
    retry->next_ms = retry->next_ms < retry->max_ms / 2 ? 2 * retry->next_ms : retry->max_ms;
    if (retry->next_ms == 0) retry->next_ms = 1;
    weir_router_due_in(r, WEIR_DUE_RETRY, wait);
    return true;
}

bool weir_router_retry_headers(struct weir_router *r, const struct weir_headers *h, uint32_t status)
{
    return r->retry.on != 0 && decide(r, headers_wanted(&r->retry, h, status));
}

bool weir_router_retry_reset(struct weir_router *r, enum weir_upstream_reset why)
{
    return r->retry.on != 0 && !r->begun && decide(r, reset_wanted(r, why));
}

void weir_router_retry_forget(struct weir_router *r)
{
    weir_router_retry_release(r);
    r->retry.on = 0;
    if (!r->keep) return;
    r->keep = false;
    /* What an attempt has already is not needed any more; what waits for one still is. */
    if (r->sending && r->accepted) weir_buffer_deinit(&r->body);
    weir_router_update_pause(r);
}

void weir_router_retry_due(struct weir_router *r)
{
    struct weir_cluster *now = weir_router_find_cluster(r);
    r->retry.retried = true;
    if (now == NULL) {
        weir_router_answer_no_host(r);
        return;
    }
    weir_cluster_release(r->cluster);
    r->cluster = now;
    weir_router_try(r);
}
