#include "test/sim/support/plan.h"

#include "dataplane/base/str.h"

static bool chance(struct weir_random *r, unsigned percent)
{
    return weir_random_below(r, 100) < percent;
}

static uint32_t body_bytes(struct weir_random *r, uint32_t max)
{
    switch (weir_random_below(r, 4)) {
    case 0: return 0;
    case 1: return (uint32_t)weir_random_below(r, 100);
    case 2: return (uint32_t)weir_random_below(r, max / 20 + 1);
    default: return (uint32_t)weir_random_below(r, max + 1);
    }
}

static void plan_faults(struct plan *p, struct weir_random *r, const struct traffic_options *o)
{
    if (o->faults && chance(r, 40)) {
        p->fault = (enum fault)(1 + weir_random_below(r, FAULT_SILENT));
        p->fails = 1 + (uint32_t)weir_random_below(r, 3);
    }
    if (o->client_faults && chance(r, 25)) {
        p->client_fault = chance(r, 50) ? CLIENT_CANCELS : CLIENT_VANISHES;
        p->client_fault_ns = weir_random_below(r, 60 * SIM_MS);
    }
}

static void plan_stall(struct plan *p, struct weir_random *r)
{
    p->way = WAY_IDLE;
    p->fault = FAULT_NONE;
    p->early = p->slow = false;
    p->stall = (enum stall)weir_random_below(r, 4);
    p->request_gap_ns = weir_random_below(r, 50 * SIM_MS);
    if (p->stall == STALL_CLIENT) {
        p->method = "POST";
        p->request_bytes += 1000;
        p->request_pieces += 1;
    }
    if (p->stall == STALL_BODY) {
        p->response_bytes += 1000;
        p->response_pieces += 1;
    }
}

static void plan_tunnel(struct plan *p, struct weir_random *r, const struct traffic_options *o)
{
    bool connect = chance(r, 50);
    p->tunnel = connect ? TUNNEL_CONNECT : TUNNEL_WEBSOCKET;
    p->way = WAY_PLAIN;
    p->method = connect ? "CONNECT" : "GET";
    p->status = connect ? 200 : 101;
    p->request_bytes = body_bytes(r, o->body_max);
    p->request_length = p->response_length = p->request_trailers = p->response_trailers = p->early = p->slow = false;
    if (p->fault == FAULT_SILENT) p->fault = FAULT_RESET; /* a request that goes on has no timeout but the idle one */
}

void plan_make(struct plan *p, struct weir_random *r, const struct traffic_options *o)
{
    static const uint32_t statuses[] = {200, 200, 200, 201, 404, 299};
    *p = (struct plan){.way = (enum way)weir_random_below(r, 3), .upstream_h2 = chance(r, 50), .status = statuses[weir_random_below(r, 6)]};
    p->method = chance(r, 50) ? "GET" : "POST";
    p->request_bytes = p->method[0] == 'P' ? body_bytes(r, o->body_max) : 0;
    p->response_bytes = body_bytes(r, o->body_max);
    p->request_pieces = 1 + (uint32_t)weir_random_below(r, 8);
    p->response_pieces = 1 + (uint32_t)weir_random_below(r, 8);
    p->request_length = chance(r, 50);
    p->response_length = chance(r, 50);
    p->request_trailers = p->request_bytes != 0 && !p->request_length && chance(r, 20);
    p->response_trailers = !p->response_length && chance(r, 30);
    if (chance(r, 50)) p->request_gap_ns = weir_random_below(r, 5 * SIM_MS);
    if (chance(r, 50)) p->response_gap_ns = weir_random_below(r, 5 * SIM_MS);
    if (chance(r, 50)) p->think_ns = weir_random_below(r, 50 * SIM_MS);
    p->slow = chance(r, 20);
    p->early = chance(r, 5);
    plan_faults(p, r, o);
    if (o->tunnels && chance(r, 50)) plan_tunnel(p, r, o);
    if (o->stalls && p->tunnel == TUNNEL_NONE && chance(r, 40)) plan_stall(p, r);
    if (o->rough && chance(r, 25)) p->way = WAY_ROUGH;
    if (o->fading && chance(r, 30)) p->way = WAY_FADING;
    if (p->fault != FAULT_CUT) return;
    /* There must be something to cut off. */
    p->response_bytes += 1000;
    p->response_pieces++;
}

static uint8_t body_byte(uint32_t id, bool response, uint64_t at)
{
    return (uint8_t)(id * 131u + (response ? 77u : 0u) + at * 7u + (at >> 8) * 3u);
}

void body_fill(struct weir_worker *w, struct weir_buffer *b, uint32_t id, bool response, uint64_t from, size_t n)
{
    while (n != 0) {
        size_t m = n < 16384 ? n : 16384;
        struct weir_block *block = weir_block_create(&w->blocks, m);
        for (size_t i = 0; i < m; i++)
            block->data[i] = body_byte(id, response, from + i);
        weir_buffer_push(b, (struct weir_slice){block->data, m, block});
        from += m;
        n -= m;
    }
}

bool body_matches(const struct weir_buffer *b, uint32_t id, bool response, uint64_t from)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(b, i);
        for (size_t k = 0; k < s->n; k++)
            if (s->p[k] != body_byte(id, response, from + k)) return false;
        from += s->n;
    }
    return true;
}

size_t sender_next(struct sender *s)
{
    s->sent_pieces++;
    size_t left = s->bytes - s->sent, n = s->sent_pieces >= s->pieces ? left : left / (s->pieces - s->sent_pieces + 1);
    s->sent += (uint32_t)n;
    return n;
}

bool sender_done(const struct sender *s)
{
    return s->sent == s->bytes && s->sent_pieces >= s->pieces;
}
