/* Filter chains of one worker: what a connection looks at for its configuration, moved to the newest version in place. */
#include <stdlib.h>

#include "dataplane/listener/internal.h"

static void on_deadline(struct weir_timer *t)
{
    weir_listener_chain_close(WEIR_CONTAINER_OF(t, struct weir_listener_chain, deadline));
}

void weir_listener_chain_close(struct weir_listener_chain *c)
{
    c->refs++;
    while (!weir_list_empty(&c->connections)) {
        struct weir_list *node = c->connections.next;
        weir_listener_connection_close(WEIR_CONTAINER_OF(node, struct weir_listener_connection, node));
        /* Who does not let go at once is not asked twice. */
        if (c->connections.next == node) break;
    }
    weir_listener_chain_release(c);
}

struct weir_listener_chain *weir_listener_chain_create(struct weir_listener *l, struct weir_pin *pin, const struct weir_chain_config *config)
{
    struct weir_listener_chain *c = calloc(1, sizeof(*c) + config->identity.n + 1);
    if (c == NULL) abort();
    char *identity = (char *)(c + 1);
    if (config->identity.n != 0) memcpy(identity, config->identity.p, config->identity.n);
    c->identity = (struct weir_str){identity, config->identity.n};
    c->listener = l;
    c->refs = 1;
    c->deadline.on_due = on_deadline;
    weir_list_init(&c->connections);
    weir_list_push_back(&l->all_chains, &c->node);
    weir_listener_chain_update(c, pin, config);
    return c;
}

void weir_listener_chain_update(struct weir_listener_chain *c, struct weir_pin *pin, const struct weir_chain_config *config)
{
    struct weir_pin *old = c->c.pin;
    const struct weir_listener_config *l = (const struct weir_listener_config *)(void *)pin->resource;
    c->c.pin = weir_pin_acquire(pin);
    c->c.filters = config->filters;
    c->c.filter_count = config->filter_count;
    c->c.buffer_limit_bytes = l->buffer_limit_bytes;
    c->c.name = config->name;
    c->c.listener_name = l->resource.name;
    c->c.drain = c->listener->drain;
    c->tls = config->tls;
    c->connect_timeout_ms = config->transport_socket_connect_timeout_ms;
    c->state_bytes = config->state_bytes;
    if (old != NULL) weir_pin_release(old);
}

void weir_listener_chain_drain(struct weir_listener_chain *c, uint64_t drain_ms, bool immediately)
{
    c->c.drain = (struct weir_drain){c->listener->worker->now_ns, immediately ? 0 : drain_ms * 1000000u, true};
    if (!immediately) return; /* each answer draws whether it is the last: weir_connection_drain_close() */
    struct weir_list *next;
    c->refs++;
    for (struct weir_list *n = c->connections.next; n != &c->connections; n = next) {
        next = n->next;
        weir_listener_connection_drain(WEIR_CONTAINER_OF(n, struct weir_listener_connection, node));
    }
    weir_listener_chain_release(c);
}

void weir_listener_chain_close_at(struct weir_listener_chain *c, uint64_t delay_ms)
{
    weir_timer_start(&c->listener->worker->timers, &c->deadline, delay_ms);
}

void weir_listener_chain_release(struct weir_listener_chain *c)
{
    if (--c->refs != 0) return;
    weir_timer_stop(&c->listener->worker->timers, &c->deadline);
    weir_list_remove(&c->node);
    weir_pin_release(c->c.pin);
    free(c);
}
