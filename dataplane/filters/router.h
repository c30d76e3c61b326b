/* The router, the terminal filter: answers what the route says itself (no route, redirects, direct responses), or takes the
 * request to a host of the route's cluster, in one attempt or several, and brings the response back. Included by the router's
 * own files only; others see weir_filter_router.
 *
 * One struct weir_router a stream, in the filter's state. At most one attempt runs at a time; between two of them the timer's
 * `retry` due waits for the back-off. Events come from three sides: the filter callbacks (request), the attempt (response),
 * the timer. Each of them may end the router's part (weir_router_end()); after that nothing of it runs any more. */
#ifndef WEIR_FILTERS_ROUTER_H
#define WEIR_FILTERS_ROUTER_H

#include "dataplane/cluster/cluster_stats.h"
#include "dataplane/cluster/config.h"
#include "dataplane/http/filter.h"
#include "dataplane/upstream/attempt.h"

/* http.PREFIX.*, what the router counts there. */
#define WEIR_ROUTER_STATS(X)                                                                                            \
    X(no_cluster) X(no_route) X(passthrough_internal_redirect_bad_location) X(passthrough_internal_redirect_no_route)           \
    X(passthrough_internal_redirect_predicate) X(passthrough_internal_redirect_too_many_redirects)                              \
    X(passthrough_internal_redirect_unsafe_scheme) X(rq_direct_response) X(rq_overload_local_reply) X(rq_redirect)              \
    X(rq_reset_after_downstream_response_started) X(rq_total)
enum weir_router_stat {
#define X(name) WEIR_RS_##name,
    WEIR_ROUTER_STATS(X)
#undef X
        WEIR_RS_COUNT
};

/* extensions.filters.http.router.v3.Router. */
struct weir_router_config {
    struct weir_stats *stats; /* NULL: not counted */
    bool suppress_envoy_headers, respect_expected_rq_timeout;
};

/* router_timeout.c. Dues in milliseconds of the wheel's clock, 0: none. */
enum weir_router_due {
    WEIR_DUE_RESPONSE,     /* RouteAction.timeout, from the end of the request */
    WEIR_DUE_TRY,          /* RetryPolicy.per_try_timeout */
    WEIR_DUE_TRY_IDLE,     /* RetryPolicy.per_try_idle_timeout */
    WEIR_DUE_MAX_DURATION, /* the cluster's max_stream_duration */
    WEIR_DUE_RETRY,        /* the back-off is over */
    WEIR_DUE_COUNT
};
struct weir_router_times {
    struct weir_timer timer; /* one for all dues; may fire early */
    uint64_t due_ms[WEIR_DUE_COUNT];
    uint64_t response_ms, try_ms, try_idle_ms; /* 0: none */
    uint32_t status;                           /* what a timeout answers: 504, or 204 where the request asks for it */
};

/* router_retry.c */
struct weir_router_retry {
    uint32_t on;   /* enum weir_retry_on bits; 0: no retry any more */
    uint32_t left; /* retries that may still follow */
    const struct weir_retry_policy *policy; /* NULL: only the request's headers ask for retries */
    uint64_t next_ms, max_ms;               /* the next back-off is below next_ms */
    uint32_t code_count;
    const uint32_t *codes;
    struct weir_host **tried; /* for `previous_hosts` */
    uint32_t tried_count, tried_capacity;
    struct weir_cluster *holds; /* one of its retries breaker is ours; NULL: none */
    bool retried;               /* this is not the first attempt */
};

struct weir_router {
    struct weir_stream *stream;
    struct weir_worker *worker;
    struct weir_request *request;
    struct weir_headers *headers; /* the request's, as forwarded */
    struct weir_arena *arena;
    const struct weir_router_config *config;
    struct weir_stats_shard *stats; /* NULL: not counted */
    struct weir_route_result decision;
    struct weir_cluster *cluster; /* a reference is held; NULL: none yet */

    struct weir_attempt *attempt; /* NULL: none */
    struct weir_str sni, san;     /* auto_sni, auto_san_validation */

    struct weir_buffer body; /* of the request: what an attempt will need or still lacks */
    struct weir_headers *trailers;
    uint64_t body_max;         /* how much is kept for retries */
    uint64_t request_ended_ns; /* 0: not yet */
    bool head_ended;           /* the request ended with its head: what ended later, if empty, ends later upstream, too (gRPC) */

    bool sending;         /* the attempt has the request's head */
    bool keep;            /* body keeps everything, for retries; else only what the attempt has not got yet */
    bool upgrade, raw;    /* an upgrade or CONNECT; CONNECT that is ended here */
    bool accepted;        /* ... and the upstream has accepted */
    bool response_over;   /* of a tunnel: the request's direction goes on */
    bool request_unwanted; /* the upstream has refused the upgrade */
    bool host_rewritten;   /* auto_host_rewrite has been there */
    bool request_paused, attempt_blocked, downstream_blocked;
    bool begun;           /* the response's head went on */
    bool over;            /* nothing is to be done any more */
    bool grpc_undecided;  /* whether it was a success is told by the trailers */
    bool canary;

    struct weir_router_times times;
    struct weir_router_retry retry;
};

/* router.c */
static inline void weir_router_count(struct weir_router *r, enum weir_router_stat stat)
{
    if (r->stats != NULL) weir_stat_inc(r->stats, stat);
}
static inline void weir_router_count_cluster(struct weir_router *r, enum weir_cluster_stat stat)
{
    weir_stat_inc(r->cluster->stats, stat);
}
/* The cluster of the decision as it is now, with a reference; NULL: none. */
struct weir_cluster *weir_router_find_cluster(const struct weir_router *r);
/* Sends what the attempt has not got of the request. */
void weir_router_send_body(struct weir_router *r);
/* Stops or resumes the client as buffers and the upstream require. */
void weir_router_update_pause(struct weir_router *r);
/* Everything is given up: attempt, timer, buffers. The stream has its response's end, gets one from elsewhere, or ends. */
void weir_router_end(struct weir_router *r);

/* router_attempt.c */
/* Picks a host and starts an attempt there; answers where that fails. */
void weir_router_try(struct weir_router *r);
/* Lets go of the attempt; its times and bytes stay in the request. */
void weir_router_drop_attempt(struct weir_router *r);
/* The response is whole, in a tunnel both directions are. */
void weir_router_response_complete(struct weir_router *r);
/* Counts a response status of the cluster; `host`: who gave it, NULL: nobody. */
void weir_router_charge(struct weir_router *r, uint32_t status, struct weir_cluster_host *host);
/* The same for the present attempt, which failed or ran out of time. */
void weir_router_charge_abort(struct weir_router *r, uint32_t status, struct weir_cluster_host *host);
/* The host that the attempt talks to; NULL while it waits for a connection. */
static inline struct weir_cluster_host *weir_router_host(const struct weir_router *r)
{
    return r->attempt != NULL && r->sending ? r->attempt->host : NULL;
}
void weir_router_report(struct weir_router *r, enum weir_outlier_result result, uint32_t status);

/* router_headers.c: the request as forwarded. */
void weir_router_prepare_request(struct weir_router *r);
void weir_router_refresh_request(struct weir_router *r); /* before another attempt */
void weir_router_rewrite_host(struct weir_router *r, struct weir_str hostname);

/* router_reply.c. Each ends the router's part. */
/* What the route answers itself. False: the request goes to a cluster. */
bool weir_router_answer_route(struct weir_router *r);
/* Maintenance mode and drop_overload. */
bool weir_router_answer_shedding(struct weir_router *r);
void weir_router_answer_no_host(struct weir_router *r);
void weir_router_answer_reset(struct weir_router *r, enum weir_upstream_reset why, struct weir_str failure);
/* `details`: response_timeout and its like. */
void weir_router_answer_timeout(struct weir_router *r, struct weir_str details);
void weir_router_answer_max_duration(struct weir_router *r);
void weir_router_answer_body_too_large(struct weir_router *r);

/* router_timeout.c */
void weir_router_times_init(struct weir_router *r); /* reads and removes the headers that ask for timeouts */
void weir_router_due_in(struct weir_router *r, enum weir_router_due due, uint64_t ms);
void weir_router_due_clear(struct weir_router *r, enum weir_router_due due);
void weir_router_times_attempt_open(struct weir_router *r);
void weir_router_times_request_ended(struct weir_router *r);
void weir_router_times_activity(struct weir_router *r);
void weir_router_times_attempt_over(struct weir_router *r);
void weir_router_times_stop(struct weir_router *r);
/* What the upstream may expect to have left, in milliseconds; 0: no bound. */
uint64_t weir_router_times_expected(const struct weir_router *r);
/* grpc-timeout says it too. */
bool weir_router_times_for_grpc(const struct weir_router *r);

/* router_retry.c */
void weir_router_retry_init(struct weir_router *r); /* reads and removes the headers that ask for retries */
/* True: the request is tried again, the back-off runs, and the caller drops the attempt. False may set the flag of a retry
 * that was wanted and not granted. */
bool weir_router_retry_headers(struct weir_router *r, const struct weir_headers *h, uint32_t status);
bool weir_router_retry_reset(struct weir_router *r, enum weir_upstream_reset why);
void weir_router_retry_due(struct weir_router *r);
/* No retry from now on: the body need not be kept. */
void weir_router_retry_forget(struct weir_router *r);
void weir_router_retry_release(struct weir_router *r); /* gives the breaker back */

#endif
