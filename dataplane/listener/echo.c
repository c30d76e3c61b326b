/* Reading stops while the peer does not take its own bytes back: at most the buffer limit is held. */
#include "dataplane/listener/echo.h"

#define LINGER_MS 1000u

static void on_read(void *owner, struct weir_slice bytes)
{
    struct weir_connection *c = owner;
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_push(&b, bytes);
    weir_transport_write(c->transport, &b);
    weir_buffer_deinit(&b);
    if (c->transport->above_high) weir_transport_read(c->transport, false);
}
static void on_drained(void *owner)
{
    struct weir_connection *c = owner;
    weir_transport_read(c->transport, true);
}
static void on_closed(void *owner, enum weir_close_reason reason)
{
    (void)reason;
    weir_connection_done(owner);
}
static void on_flushed(void *owner)
{
    (void)owner;
}
static void end(struct weir_connection *c)
{
    weir_transport_finish(c->transport, LINGER_MS);
    weir_connection_done(c);
}
static void on_eof(void *owner)
{
    end(owner);
}
static const struct weir_transport_events echo_events = {
    .on_read = on_read, .on_eof = on_eof, .on_drained = on_drained, .on_flushed = on_flushed, .on_closed = on_closed};

static enum weir_network_verdict on_connection(struct weir_connection *c)
{
    weir_transport_attach(c->transport, &echo_events, c);
    weir_transport_set_water(c->transport, c->chain->buffer_limit_bytes, c->chain->buffer_limit_bytes / 2);
    weir_transport_read(c->transport, true);
    return WEIR_NETWORK_CONTINUE;
}

const struct weir_network_filter weir_network_filter_echo = {
    .name = "envoy.filters.network.echo", .terminal = true, .on_connection = on_connection, .on_drain = end, .on_deadline = end};
