/* What an exchange must have come to, by its plan alone. */
#include "test/sim/support/traffic_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const fault_names[] = {"none", "refuse", "reset", "break", "503", "cut", "silent"};

#define IDLE_NS (1000 * (uint64_t)SIM_MS) /* of the routes */
#define IDLE_SLACK_NS (400 * (uint64_t)SIM_MS) /* news on their way, windows that open late */

/* Silence ends it, not sooner and not much later. */
static const char *judge_stall(const struct exchange *x, bool told)
{
    if (x->silent_ns == 0) return "ended before it fell silent";
    if (x->end_ns + 2 * SIM_MS < x->active_ns + IDLE_NS) return "was cut before its idle timeout";
    if (x->end_ns > x->silent_ns + IDLE_NS + IDLE_SLACK_NS) return "its silence was borne for too long";
    if (x->plan.stall == STALL_BODY) return x->head && x->reset ? NULL : "an answer that stopped passes for whole";
    return told && (x->status == 504 || x->status == 408) ? NULL : "nobody told the client of the timeout";
}

static bool may_be_absent(const struct exchange *x)
{
    const struct traffic *t = x->traffic;
    for (uint32_t i = 0; i < t->absence_count; i++)
        if (x->end_ns >= t->absences[i].from_ns && x->start_ns <= t->absences[i].to_ns) return true;
    return false;
}

#define TAIL_NS (500 * (uint64_t)SIM_MS) /* what the client sent last is still on its way through the proxy */
#define TICK_NS (2 * (uint64_t)SIM_MS)   /* the proxy's clock counts whole milliseconds */

static bool past_deadline(const struct exchange *x, uint64_t slack_ns)
{
    return x->traffic->closing_ns != 0 && x->end_ns + slack_ns >= x->traffic->deadline_ns;
}

/* What is wrong with an exchange, or NULL. */
static const char *judge(const struct exchange *x)
{
    const struct plan *p = &x->plan;
    if (p->way == WAY_ROUGH) return NULL; /* it has ended, that is all */
    bool own = x->received != UINT64_MAX; /* the upstream's answer, not one of the proxy's making */
    if (x->foreign) return "got the answer of another request";
    if (x->wrong) return "bytes of the answer are wrong";
    if (x->request_wrong) return "the upstream got another request than was sent";
    if (own && x->received > p->response_bytes && x->status != 503) return "more bytes than were sent";
    bool whole = x->ended && !x->reset;
    /* Others' broken connections may have taken it along, on HTTP/2 without the upstream knowing. */
    bool disturbed = x->collateral != 0 || (p->upstream_h2 && (x->after_break || x->traffic->breaks != x->breaks_at_start)) || x->traffic->options.moved;
    /* The end of an HTTP/1 tunnel says nothing of how it ended. */
    bool blunt = p->tunnel != TUNNEL_NONE && !(x->client_h2 && p->upstream_h2) && (p->fault == FAULT_CUT || disturbed || past_deadline(x, TICK_NS));
    if (whole && own && !blunt && x->status == p->status && x->received != p->response_bytes) return "an answer that was cut passes for whole";
    if (p->client_fault != CLIENT_FINE || x->vanished) return NULL;

    uint32_t fails = p->fault == FAULT_NONE ? 0 : p->fails;
    bool good = whole && own && x->status == p->status && x->received == p->response_bytes;
    if (good && p->tunnel != TUNNEL_NONE && !x->request_seen_whole && !disturbed && !past_deadline(x, TAIL_NS)) return "what went through the tunnel to the upstream was lost";
    if (good && p->response_trailers && p->upstream_h2 && x->client_h2 && !x->trailers) return "trailers were lost";
    if (p->stall != STALL_NONE) return judge_stall(x, whole && !own);
    if (good) return NULL;
    if (x->sick) return whole && x->status == 503 ? NULL : "neither the answer nor that of a sick host";
    /* Silent upstreams hold all connections: others wait until their own time is over. */
    if (x->traffic->options.limited && (x->status == 504 || x->reset) && x->end_ns - x->start_ns >= (p->way == WAY_SHORT ? 490 : 14990) * (uint64_t)SIM_MS) return NULL;
    if (x->traffic->options.limited && (x->attempts == 0 || fails != 0) && whole && x->status == 503) return NULL;
    if (p->way == WAY_FADING && x->attempts == 0 && may_be_absent(x))
        return whole && !own && (x->status == 503 || x->status == 404) ? NULL : "neither an answer nor word that there is no cluster";
    if (p->way == WAY_SHORT && x->end_ns - x->start_ns >= 498 * (uint64_t)SIM_MS && (x->status == 504 || x->reset)) return NULL;
    const struct traffic *t = x->traffic;
    bool closing = t->closing_ns != 0 && x->end_ns >= t->closing_ns;
    /* One that came too late: nobody has worked on it. */
    if (closing && x->attempts == 0 && !x->head) return NULL;
    if (past_deadline(x, TICK_NS)) return NULL;
    if (fails == 0 && !disturbed) return "was lost though nothing went wrong";
    if (p->fault == FAULT_CUT && fails != 0) return x->reset || blunt || !whole || x->status >= 500 ? NULL : "a cut answer passes for whole";
    if (p->fault == FAULT_SILENT && fails != 0) return x->status == 504 || disturbed ? NULL : "no 504 for a silent upstream";
    if (p->way == WAY_RETRY && !disturbed) return "was lost though a retry was allowed";
    if (disturbed) return NULL;
    return whole && x->status == 503 ? NULL : "neither the answer nor a 503";
}

void print_exchange(const struct exchange *x)
{
    static const char *const ways[] = {"plain", "retry", "short", "fading", "idle", "rough"}, *const client_faults[] = {"", ", client cancels", ", client vanishes"};
    static const char *const tunnels[] = {"request", "websocket", "connect"};
    const struct plan *p = &x->plan;
    static const char *const stalls[] = {"", ", client stalls", ", head stalls", ", body stalls"};
    print_error("  HTTP/%d to HTTP/%d %s %s, %s %u bytes in %u, answer %u with %u bytes in %u, fault %s x%u%s at %.1f%s%s%s\n"
                "  attempts %u, collateral %u, sends %u; the client saw status %u, %lld bytes%s%s, from %.1f to %.1f ms\n",
                x->client_h2 ? 2 : 1, p->upstream_h2 ? 2 : 1, ways[p->way], tunnels[p->tunnel], p->method, p->request_bytes, p->request_pieces, p->status,
                p->response_bytes, p->response_pieces, fault_names[p->fault], p->fails, client_faults[p->client_fault],
                (double)p->client_fault_ns / SIM_MS, stalls[p->stall], p->early ? ", early" : "", p->slow ? ", slow" : "", x->attempts, x->collateral,
                x->sends, x->status, (long long)x->received, x->ended ? ", end" : "", x->reset ? ", reset" : "",
                (double)x->start_ns / SIM_MS, (double)x->end_ns / SIM_MS);
}

void traffic_check(struct traffic *t, uint64_t seed)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct exchange *x = &t->exchanges[i];
        const char *why = x->done ? judge(x) : "never ended";
        if (why == NULL) continue;
        print_error("seed %llu, exchange %u: %s\n", (unsigned long long)seed, x->id, why);
        print_exchange(x);
        fail();
    }
}
