/* What is the same for every kind of transport: dispatch and watermarks. */
#include "dataplane/transport/transport.h"

#include "dataplane/transport/ops.h"

void weir_transport_attach(struct weir_transport *t, const struct weir_transport_events *events, void *owner)
{
    t->events = events;
    t->owner = owner;
}

void weir_transport_read(struct weir_transport *t, bool on)
{
    t->ops->read(t, on);
}

void weir_transport_write(struct weir_transport *t, struct weir_buffer *b)
{
    t->ops->write(t, b);
    if (t->high_water != 0 && !t->above_high && t->ops->queued(t) >= t->high_water) t->above_high = true;
}

size_t weir_transport_queued(const struct weir_transport *t)
{
    return t->ops->queued(t);
}

void weir_transport_set_water(struct weir_transport *t, uint32_t high, uint32_t low)
{
    t->high_water = high;
    t->low_water = low < high ? low : high;
}

void weir_transport_notify_flushed(struct weir_transport *t)
{
    t->ops->notify_flushed(t);
}

void weir_transport_shutdown(struct weir_transport *t)
{
    t->ops->shutdown(t);
}

void weir_transport_close(struct weir_transport *t, bool reset)
{
    t->ops->close(t, reset);
}

void weir_transport_finish(struct weir_transport *t, uint32_t linger_ms)
{
    t->ops->finish(t, linger_ms);
}

bool weir_transport_unread(const struct weir_transport *t)
{
    return t->ops->unread != NULL && t->ops->unread(t);
}

void weir_transport_idle(struct weir_transport *t)
{
    t->ops->idle(t);
}

struct weir_transport *weir_transport_connect(struct weir_worker *w, const struct weir_connect_options *o,
                                              const struct weir_transport_events *events, void *owner)
{
    const struct weir_transport_factory *f = w->net != NULL ? w->net : &weir_transport_sockets;
    return f->connect(w, o, events, owner);
}
