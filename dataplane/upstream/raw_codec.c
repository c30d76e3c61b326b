/* A codec without a protocol: one stream, whose body is what the connection carries. For CONNECT that is ended here
 * (RouteAction.UpgradeConfig.connect_config): the connection being there is the acceptance, so the stream answers itself. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/upstream/connection.h"

struct raw {
    struct weir_codec codec; /* first */
    struct weir_codec_stream stream;
    struct weir_buffer out, held; /* held: came while the owner had stopped reading */
    bool opened, open, answer, paused, blocked, tx_end, tx_end_told, eof, rx_end;
};

static struct raw *raw_of(const struct weir_codec *c)
{
    return (struct raw *)(uintptr_t)c;
}
static struct raw *raw_of_stream(const struct weir_codec_stream *s)
{
    return WEIR_CONTAINER_OF((struct weir_codec_stream *)(uintptr_t)s, struct raw, stream);
}

static void wake(struct raw *r)
{
    r->codec.events->on_output(r->codec.owner);
}

static void closed(struct raw *r, enum weir_reset reason)
{
    if (!r->open) return;
    r->open = false;
    r->codec.active_streams = 0;
    r->stream.events->on_closed(r->stream.ctx, reason, WEIR_STR(""));
}

/* What was read goes on in order: the answer first. */
static void deliver(struct raw *r)
{
    if (!r->open || r->answer || r->paused || r->rx_end) return;
    if (weir_buffer_empty(&r->held) && !r->eof) return;
    struct weir_buffer data;
    weir_buffer_init(&data);
    weir_buffer_move(&data, &r->held);
    r->rx_end = r->eof;
    r->stream.events->on_data(r->stream.ctx, &data, r->rx_end);
    weir_buffer_deinit(&data);
}

static void finish(struct raw *r)
{
    if (r->rx_end && r->tx_end && weir_buffer_empty(&r->out)) closed(r, WEIR_RESET_NONE);
}

static void input(struct weir_codec *c, struct weir_slice bytes)
{
    struct raw *r = raw_of(c);
    r->stream.wire_bytes_rx += bytes.n;
    weir_buffer_push(&r->held, bytes);
    deliver(r);
}

static void input_eof(struct weir_codec *c)
{
    struct raw *r = raw_of(c);
    r->eof = true;
    deliver(r);
    finish(r);
}

static void answer(struct raw *r)
{
    struct weir_headers *h = WEIR_NEW(r->stream.arena, struct weir_headers, 1);
    weir_headers_init(h, r->stream.arena);
    weir_headers_add(h, WEIR_H_STATUS, WEIR_STR("200"));
    r->answer = false;
    r->stream.protocol = WEIR_TCP;
    r->stream.events->on_headers(r->stream.ctx, h, false);
}

static void output(struct weir_codec *c, struct weir_buffer *to)
{
    struct raw *r = raw_of(c);
    if (r->open && r->answer) answer(r);
    deliver(r);
    if (r->blocked) return; /* the owner asks again when it is not */
    weir_buffer_move(to, &r->out);
    if (r->tx_end && !r->tx_end_told) {
        r->tx_end_told = true;
        if (c->events->on_write_end != NULL) c->events->on_write_end(c->owner);
    }
    finish(r);
}

static enum weir_err send_headers(struct weir_codec_stream *s, const struct weir_headers *h, bool end)
{
    struct raw *r = raw_of_stream(s);
    (void)h;
    r->answer = true;
    r->tx_end = end;
    wake(r);
    return WEIR_OK;
}

static void send_informational(struct weir_codec_stream *s, const struct weir_headers *h)
{
    (void)s;
    (void)h;
}

static void send_data(struct weir_codec_stream *s, struct weir_buffer *data, bool end)
{
    struct raw *r = raw_of_stream(s);
    s->wire_bytes_tx += data->bytes;
    weir_buffer_move(&r->out, data);
    r->tx_end = r->tx_end || end;
    wake(r);
}

static void send_trailers(struct weir_codec_stream *s, const struct weir_headers *h)
{
    (void)h; /* TCP has none */
    raw_of_stream(s)->tx_end = true;
    wake(raw_of_stream(s));
}

static void reset(struct weir_codec_stream *s, enum weir_reset reason)
{
    struct raw *r = raw_of_stream(s);
    (void)reason;
    r->open = false;
    r->codec.active_streams = 0;
    weir_buffer_deinit(&r->out);
    weir_buffer_deinit(&r->held);
}

static void read_pause(struct weir_codec_stream *s, bool pause)
{
    struct raw *r = raw_of_stream(s);
    if (r->paused == pause) return;
    r->paused = pause;
    r->codec.events->on_read_pause(r->codec.owner, pause);
    if (!pause) wake(r);
}

static size_t send_queued(const struct weir_codec_stream *s)
{
    return raw_of_stream(s)->out.bytes;
}

static const struct weir_codec_stream_ops stream_ops = {
    .send_headers = send_headers,
    .send_informational = send_informational,
    .send_data = send_data,
    .send_trailers = send_trailers,
    .reset = reset,
    .read_pause = read_pause,
    .send_queued = send_queued,
};

static struct weir_codec_stream *open_stream(struct weir_codec *c, const struct weir_stream_events *e, void *ctx, struct weir_arena *a)
{
    struct raw *r = raw_of(c);
    if (r->opened) return NULL;
    r->opened = r->open = true;
    c->active_streams = 1;
    r->stream = (struct weir_codec_stream){.ops = &stream_ops, .events = e, .ctx = ctx, .arena = a, .codec = c};
    return &r->stream;
}

static uint32_t capacity(const struct weir_codec *c)
{
    return raw_of(c)->opened ? 0 : 1;
}

static void shut_down(struct weir_codec *c, bool final)
{
    (void)c;
    (void)final;
}

static void reply(struct weir_codec *c, const struct weir_codec_error *e, struct weir_str date, struct weir_str server)
{
    (void)c;
    (void)e;
    (void)date;
    (void)server;
}

static void fail(struct weir_codec *c, enum weir_reset reason, struct weir_str details)
{
    (void)details;
    closed(raw_of(c), reason);
}

static void transport_blocked(struct weir_codec *c, bool blocked)
{
    struct raw *r = raw_of(c);
    if (r->blocked == blocked || !r->open) return;
    r->blocked = blocked;
    if (blocked)
        r->stream.events->on_send_blocked(r->stream.ctx);
    else
        r->stream.events->on_send_ready(r->stream.ctx);
}

static bool idle(const struct weir_codec *c)
{
    return !raw_of(c)->open;
}

static void destroy(struct weir_codec *c)
{
    struct raw *r = raw_of(c);
    weir_buffer_deinit(&r->out);
    weir_buffer_deinit(&r->held);
    free(r);
}

static const struct weir_codec_ops ops = {
    .input = input,
    .input_eof = input_eof,
    .output = output,
    .open = open_stream,
    .capacity = capacity,
    .shutdown = shut_down,
    .reply = reply,
    .fail = fail,
    .transport_blocked = transport_blocked,
    .idle = idle,
    .destroy = destroy,
};

struct weir_codec *weir_raw_codec_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner)
{
    struct raw *r = calloc(1, sizeof(*r));
    if (r == NULL) abort();
    r->codec = (struct weir_codec){.ops = &ops, .events = events, .owner = owner, .worker = w, .config = config, .kind = WEIR_CODEC_H1};
    weir_buffer_init(&r->out);
    weir_buffer_init(&r->held);
    return &r->codec;
}
