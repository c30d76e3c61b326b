/* Timeouts of a stream: request_headers_timeout, request_timeout, stream_idle_timeout (a route's idle_timeout), and
 * max_stream_duration with grpc-timeout. Each stream has one timer. Events only move dues; the timer is left to fire early and
 * then set to what is due next, so that a request costs one start and one stop. */
#include "dataplane/base/str.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/stream.h"

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b != 0 && (a == 0 || b < a) ? b : a;
}
static uint64_t next_due(const struct weir_stream *s)
{
    uint64_t due = sooner(sooner(s->headers_due_ms, s->request_due_ms), s->duration_due_ms);
    return sooner(due, s->idle_ms != 0 ? s->active_ms + s->idle_ms : 0);
}
static void arm(struct weir_stream *s)
{
    uint64_t due = next_due(s), now = s->worker->timers.clock_ms;
    if (due == 0 || (weir_timer_running(&s->timer) && s->timer.due_ms <= due)) return;
    weir_timer_start(&s->worker->timers, &s->timer, due > now ? due - now : 0);
}
/* 408 while the client still owes a part of the request, 504 when the wait is for the upstream. */
static void time_out(struct weir_stream *s, uint32_t status, struct weir_str body, struct weir_str details, int grpc_status,
                     uint64_t flags)
{
    struct weir_local_reply reply = {.status = status, .grpc_status = grpc_status, .body = body, .details = details, .flags = flags};
    weir_stream_reply_self(s, &reply);
}
static void on_due(struct weir_timer *t)
{
    struct weir_stream *s = WEIR_CONTAINER_OF(t, struct weir_stream, timer);
    uint64_t now = s->worker->timers.clock_ms;
    uint32_t status = s->request_ended ? 504 : 408;
    if (s->headers_due_ms != 0 && now >= s->headers_due_ms) {
        weir_stream_count(s, WEIR_HTTP_RQ_HEADER_TIMEOUT);
        time_out(s, 408, WEIR_STR("request header timeout"), WEIR_STR("request_header_timeout"), -1, 0);
    } else if (s->request_due_ms != 0 && now >= s->request_due_ms) {
        weir_stream_count(s, WEIR_HTTP_RQ_TIMEOUT);
        time_out(s, 408, WEIR_STR("request timeout"), WEIR_STR("request_overall_timeout"), -1, 0);
    } else if (s->duration_due_ms != 0 && now >= s->duration_due_ms) {
        weir_stream_count(s, WEIR_HTTP_RQ_MAX_DURATION_REACHED);
        time_out(s, status, WEIR_STR("downstream duration timeout"), WEIR_STR("max_duration_timeout"), 4, 0);
    } else if (s->idle_ms != 0 && now >= s->active_ms + s->idle_ms) {
        weir_stream_count(s, WEIR_HTTP_RQ_IDLE_TIMEOUT);
        time_out(s, status, WEIR_STR("stream timeout"), WEIR_STR("stream_idle_timeout"), -1, WEIR_FLAG(STREAM_IDLE_TIMEOUT));
    } else {
        arm(s);
        return;
    }
    /* The answer itself may stay unread: what is still to be written has one more idle time. */
    if (s->ended) return;
    s->headers_due_ms = s->request_due_ms = s->duration_due_ms = 0;
    weir_stream_touch(s);
    arm(s);
}

void weir_stream_timeouts_start(struct weir_stream *s)
{
    const struct weir_hcm *hcm = s->hcm;
    uint64_t now = s->worker->timers.clock_ms;
    s->timer.on_due = on_due;
    s->active_ms = now;
    s->idle_ms = hcm->stream_idle_timeout_ms;
    if (hcm->request_headers_timeout_ms != 0) s->headers_due_ms = now + hcm->request_headers_timeout_ms;
    if (hcm->request_timeout_ms != 0) s->request_due_ms = now + hcm->request_timeout_ms;
    arm(s);
}
void weir_stream_timeouts_headers_done(struct weir_stream *s)
{
    s->headers_due_ms = 0;
    if (s->hcm->max_stream_duration_ms != 0) {
        s->duration_due_ms = s->worker->timers.clock_ms + s->hcm->max_stream_duration_ms;
        arm(s);
    }
}
void weir_stream_timeouts_request_done(struct weir_stream *s)
{
    s->request_due_ms = 0;
}

void weir_stream_timeouts_route(struct weir_stream *s)
{
    const struct weir_route *route = s->route.route;
    if (route == NULL) return;
    uint64_t now = s->worker->timers.clock_ms, duration = s->hcm->max_stream_duration_ms, asked;
    if (route->idle_timeout_ms != UINT64_MAX) s->idle_ms = route->idle_timeout_ms;
    if (route->max_stream_duration_ms != UINT64_MAX) duration = route->max_stream_duration_ms;
    if (route->grpc_timeout_header_max_ms != UINT64_MAX && weir_grpc_timeout(s->request_headers, &asked)) {
        uint64_t max = route->grpc_timeout_header_max_ms, offset = route->grpc_timeout_header_offset_ms;
        if (offset != UINT64_MAX && asked > offset) asked -= offset;
        duration = max != 0 && asked > max ? max : asked;
        if (duration == 0) duration = 1; /* asked for and over at once; 0 would mean none */
    }
    s->duration_due_ms = duration != 0 ? now + duration : 0;
    arm(s);
}
void weir_stream_timeouts_stop(struct weir_stream *s)
{
    if (weir_timer_running(&s->timer)) weir_timer_stop(&s->worker->timers, &s->timer);
}
