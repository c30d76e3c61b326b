#include "test/sim/support/traffic_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

void traffic_init(struct traffic *t, struct sim *s, struct proxy *p, const struct traffic_options *o, struct weir_address front,
                  uint32_t count)
{
    *t = (struct traffic){.sim = s, .proxy = p, .options = *o, .front = front};
    t->exchanges = calloc(count, sizeof(t->exchanges[0]));
    assert_non_null(t->exchanges);
    weir_list_init(&t->upstreams);
    weir_list_init(&t->clients);
}

bool traffic_done(void *traffic)
{
    const struct traffic *t = traffic;
    return t->done == t->count;
}

/* Which attempts an upstream still works on when no client waits for them any more. */
static void tell_live_serves(struct traffic *t, uint64_t seed)
{
    for (struct weir_list *i = t->upstreams.next; i != &t->upstreams; i = i->next) {
        struct upstream *u = WEIR_CONTAINER_OF(i, struct upstream, node);
        for (struct weir_list *k = u->connections.next; k != &u->connections; k = k->next) {
            struct connection *c = WEIR_CONTAINER_OF(k, struct connection, node);
            for (struct weir_list *at = c->serves.next; at != &c->serves; at = at->next) {
                const struct serve *v = WEIR_CONTAINER_OF(at, struct serve, node);
                if (v->exchange == NULL) continue;
                print_error("seed %llu: HTTP/%d upstream still has exchange %u (attempt %u, head %d, received %llu, end %d, sent %u)\n",
                            (unsigned long long)seed, u->h2 ? 2 : 1, v->exchange->id, v->exchange->attempts, v->headed,
                            (unsigned long long)v->received, v->ended, v->sender.sent);
                print_exchange(v->exchange);
            }
        }
    }
}

void traffic_deinit(struct traffic *t, uint64_t seed)
{
    while (!weir_list_empty(&t->clients)) {
        struct client *c = WEIR_CONTAINER_OF(t->clients.next, struct client, node);
        if (c->peer != NULL) http_peer_break(c->peer, false);
        weir_list_remove(&c->node);
        assert_true(weir_list_empty(&c->waiting));
        free(c);
    }
    /* A client that has left after its FIN is known to be gone when it is written to: at the route's timeout at the latest. */
    sim_pass(t->sim, 20000 * (uint64_t)SIM_MS);
    tell_live_serves(t, seed);
    assert_int_equal(t->live_clients, 0);
    assert_int_equal(t->live_serves, 0);
    proxy_assert_at_rest(t->proxy, true);
    while (!weir_list_empty(&t->upstreams)) {
        struct upstream *u = WEIR_CONTAINER_OF(t->upstreams.next, struct upstream, node);
        while (!weir_list_empty(&u->connections))
            http_peer_break(WEIR_CONTAINER_OF(u->connections.next, struct connection, node)->peer, false);
        sim_unlisten(&u->listener);
        weir_list_remove(&u->node);
        free(u);
    }
    sim_pass(t->sim, 1000 * (uint64_t)SIM_MS);
    free(t->exchanges);
}
