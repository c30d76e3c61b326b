#include "test/sim/support/http_peer.h"

#include <assert.h>
#include <stdlib.h>

static const struct weir_codec_config config = {
    .header_bytes_max = 60u * 1024u,
    .header_count_max = 100,
    .stream_high_water = 65536,
    .stream_low_water = 32768,
    .h1_enable_trailers = true,
    .h2_allow_connect = true,
};

static void wake(struct http_peer *p)
{
    weir_worker_defer(p->sim->worker, &p->flush);
}

static void destroy(struct weir_dead *d)
{
    free(WEIR_CONTAINER_OF(d, struct http_peer, dead));
}

static void end(struct http_peer *p)
{
    if (p->t == NULL) return;
    p->t = NULL;
    weir_worker_undefer(&p->flush);
    if (p->codec != NULL) {
        weir_codec_fail(p->codec, WEIR_RESET_CONNECTION, WEIR_STR("gone"));
        weir_codec_destroy(p->codec);
        p->codec = NULL;
    }
    p->on_gone(p);
    p->dead.destroy = destroy;
    weir_worker_bury(p->sim->worker, &p->dead);
}

static void flush(struct weir_deferred *d)
{
    struct http_peer *p = WEIR_CONTAINER_OF(d, struct http_peer, flush);
    struct weir_transport *t = p->t;
    if (p->codec == NULL) return;
    if (p->output_wanted) {
        struct weir_buffer out;
        weir_buffer_init(&out);
        p->output_wanted = false;
        weir_codec_output(p->codec, &out);
        weir_transport_write(t, &out);
        weir_buffer_deinit(&out);
    }
    if (p->write_end && !p->output_wanted) {
        p->write_end = false;
        weir_transport_shutdown(t);
    }
    bool over = p->broken || p->eof || p->last || p->leaving;
    if (p->output_wanted || !over || p->codec->active_streams != 0) return;
    end(p);
    weir_transport_finish(t, 1000);
}

/* ---- codec ---- */

static void on_stream(void *owner, struct weir_codec_stream *s)
{
    struct http_peer *p = owner;
    p->on_stream(p, s);
}

static void on_output(void *owner)
{
    struct http_peer *p = owner;
    p->output_wanted = true;
    wake(p);
}

static void on_read_pause(void *owner, bool pause)
{
    weir_transport_read(((struct http_peer *)owner)->t, !pause);
}

static void on_draining(void *owner)
{
    struct http_peer *p = owner;
    p->last = true;
    wake(p);
}

static void on_write_end(void *owner)
{
    struct http_peer *p = owner;
    p->write_end = true;
    wake(p);
}

static void on_capacity(void *owner)
{
    struct http_peer *p = owner;
    if (p->on_room != NULL && http_peer_room(p)) p->on_room(p);
}

static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct http_peer *p = owner;
    (void)e;
    p->broken = true;
    wake(p);
}

static const struct weir_codec_events codec_events = {
    .on_stream = on_stream,
    .on_output = on_output,
    .on_read_pause = on_read_pause,
    .on_draining = on_draining,
    .on_write_end = on_write_end,
    .on_capacity = on_capacity,
    .on_error = on_error,
};

static void make_codec(struct http_peer *p)
{
    struct weir_worker *w = p->sim->worker;
    if (p->server)
        p->codec = p->h2 ? weir_h2_server_create(w, &config, &codec_events, p) : weir_h1_server_create(w, &config, &codec_events, p);
    else
        p->codec = p->h2 ? weir_h2_client_create(w, &config, &codec_events, p) : weir_h1_client_create(w, &config, &codec_events, p);
}

/* ---- transport ---- */

static void on_connected(void *owner)
{
    struct http_peer *p = owner;
    p->connected = true;
    make_codec(p);
    weir_transport_read(p->t, true);
    if (p->on_room != NULL) p->on_room(p);
}

static void on_read(void *owner, struct weir_slice bytes)
{
    struct http_peer *p = owner;
    weir_codec_input(p->codec, bytes);
    wake(p); /* a stream may have ended */
}

static void on_eof(void *owner)
{
    struct http_peer *p = owner;
    if (p->server && !p->tunnel) {
        /* weir never half-closes a connection to an upstream: it has given it up. */
        http_peer_break(p, false);
        return;
    }
    p->eof = true;
    weir_codec_input_eof(p->codec);
    wake(p);
}

static void on_closed(void *owner, enum weir_close_reason reason)
{
    (void)reason;
    end(owner);
}

static const struct weir_transport_events transport_events = {
    .on_connected = on_connected,
    .on_read = on_read,
    .on_eof = on_eof,
    .on_closed = on_closed,
};

static struct http_peer *peer_new(struct sim *s, bool h2, bool server, void *owner)
{
    struct http_peer *p = calloc(1, sizeof(*p));
    assert(p != NULL);
    p->sim = s;
    p->h2 = h2;
    p->server = server;
    p->owner = owner;
    p->flush.run = flush;
    return p;
}

struct http_peer *http_peer_serve(struct sim *s, struct weir_transport *t, bool h2, void *owner)
{
    struct http_peer *p = peer_new(s, h2, true, owner);
    p->t = t;
    p->connected = true;
    weir_transport_attach(t, &transport_events, p);
    make_codec(p);
    weir_transport_read(t, true);
    return p;
}

struct http_peer *http_peer_connect(struct sim *s, const struct weir_address *to, bool h2, void *owner)
{
    struct http_peer *p = peer_new(s, h2, false, owner);
    struct weir_connect_options o = {.remote = to, .connect_timeout_ms = 10000};
    p->t = weir_transport_connect(s->worker, &o, &transport_events, p);
    return p;
}

void http_peer_leave(struct http_peer *p)
{
    if (p->codec == NULL) {
        http_peer_break(p, false);
        return;
    }
    p->leaving = true;
    wake(p);
}

void http_peer_break(struct http_peer *p, bool reset)
{
    struct weir_transport *t = p->t;
    if (t == NULL) return;
    p->vanished = true;
    end(p);
    weir_transport_close(t, reset);
}

void http_peer_reset(struct http_peer *p, struct weir_codec_stream *s, enum weir_reset reason)
{
    weir_codec_stream_reset(s, reason);
    wake(p); /* it may have been the last one */
}

bool http_peer_room(const struct http_peer *p)
{
    if (p->codec == NULL || p->broken || p->eof || p->last || p->leaving) return false;
    return weir_codec_capacity(p->codec) != 0;
}
