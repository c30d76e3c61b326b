/* What the parts of the traffic share: upstream.c, client.c, model.c, traffic.c. */
#ifndef TEST_SIM_SUPPORT_TRAFFIC_INTERNAL_H
#define TEST_SIM_SUPPORT_TRAFFIC_INTERNAL_H

#include "test/sim/support/traffic.h"

#define QUEUED_MAX 200000u /* a sender waits while so much of its body is queued */

struct upstream {
    struct weir_list node;
    struct traffic *traffic;
    struct sim_listener listener;
    bool h2, sick;
    uint32_t seen;
    struct weir_list connections;
};
struct connection { /* at an upstream */
    struct weir_list node;
    struct upstream *upstream;
    struct http_peer *peer;
    struct weir_list serves;
};
/* One attempt of an exchange, as the upstream sees it. */
struct serve {
    struct weir_list node;
    struct connection *connection;
    struct exchange *exchange;
    struct weir_codec_stream *s; /* NULL: gone */
    struct weir_arena *arena;
    uint32_t pending; /* events that know this */
    uint64_t received;
    struct sender sender;
    bool faulty, headed, ended, answering, finished;
};

struct client {
    struct weir_list node;
    struct traffic *traffic;
    struct weir_address front;
    bool h2;
    struct http_peer *peer; /* NULL: none, or one that takes no more requests */
    struct weir_list waiting;
};

void print_exchange(const struct exchange *x);

static inline struct weir_str number(struct weir_arena *a, uint64_t n)
{
    return weir_arena_printf(a, "%llu", (unsigned long long)n);
}

static inline struct weir_headers *headers_new(struct weir_arena *a)
{
    struct weir_headers *h = WEIR_NEW(a, struct weir_headers, 1);
    weir_headers_init(h, a);
    return h;
}

#endif
