/* The server side of HTTP/1.1 and 1.0: requests in order, one at a time; what is pipelined waits. Called by
 * http/conn_manager through the codec operations. A malformed request gets one answer and is the connection's last. */
#include <assert.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/h1_codec.h"

static const struct weir_codec_stream_ops stream_ops;

static void fault(struct weir_h1 *h, enum weir_h1_fault f)
{
    struct weir_h1_exchange *x = h->x;
    h->dropping = true;
    x->reading = WEIR_H1_READ_DONE;
    x->failed = true;
    weir_h1_set_draining(h);
    h->codec.events->on_error(h->codec.owner, weir_h1_error(f));
}

/* Empty lines before a request are skipped (RFC 9112 2.2). */
static bool begin(struct weir_h1 *h, const uint8_t **p, const uint8_t *end)
{
    for (; *p < end; (*p)++) {
        if (h->cr != (**p == '\n') || (!h->cr && **p != '\r'))
            break;
        h->cr = !h->cr;
    }
    if (*p == end)
        return false;
    h->begun++;
    struct weir_h1_exchange *x = weir_h1_exchange_start(h, &stream_ops);
    h->codec.events->on_stream(h->codec.owner, &x->stream);
    assert(x->stream.arena != NULL && x->stream.events != NULL);
    x->stream.protocol = WEIR_HTTP11; /* until the head says otherwise */
    weir_h1_parser_start(h, WEIR_H1_REQUEST);
    if (h->cr)
        fault(h, WEIR_H1_FAULT_CODEC);
    return x->open;
}

static void head(struct weir_h1 *h, char *bytes)
{
    struct weir_h1_exchange *x = h->x;
    const struct weir_codec_config *config = h->codec.config;
    struct weir_headers *headers = WEIR_NEW(x->stream.arena, struct weir_headers, 1);
    enum weir_h1_fault f = weir_h1_request_read(&x->parser, bytes, config, headers, &x->in);
    weir_h1_count_underscores(h, x->in.underscores);
    if (f != WEIR_H1_FAULT_NONE) {
        x->in.http10 = false; /* the answer to what is no request is ours */
        fault(h, f);
        return;
    }
    x->stream.protocol = x->in.http10 ? WEIR_HTTP10 : WEIR_HTTP11;
    x->in_left = x->in.length;
    if (x->in.tunnel != WEIR_TUNNEL_NONE)
        x->reading = WEIR_H1_READ_WAIT;
    else
        x->reading = x->in.body == WEIR_H1_BODY_NONE ? WEIR_H1_READ_DONE : WEIR_H1_READ_BODY;
    h->requests++;
    x->close = !x->in.persistent || (config->max_requests_per_connection > 0 && h->requests >= config->max_requests_per_connection);
    if (x->close)
        weir_h1_set_draining(h);
    x->stream.events->on_headers(x->stream.ctx, headers, x->reading == WEIR_H1_READ_DONE);
}

/* A client that has half-closed still gets its answer. */
static void eof(struct weir_h1 *h)
{
    struct weir_h1_exchange *x = h->x;
    weir_h1_set_draining(h);
    if (x == NULL || !x->open)
        return;
    if (x->reading == WEIR_H1_READ_BODY && x->in.body == WEIR_H1_BODY_TUNNEL) {
        weir_h1_deliver_end(h);
        return;
    }
    h->dropping = true;
    weir_h1_close_stream(h, WEIR_RESET_CONNECTION, WEIR_STR("downstream_remote_disconnect"));
}

static bool finish(struct weir_h1 *h)
{
    struct weir_h1_exchange *x = h->x;
    if (x == NULL || !x->open || !x->out_done || x->reading != WEIR_H1_READ_DONE || !weir_buffer_empty(&x->out))
        return false;
    if (h->draining)
        h->dropping = true;
    weir_h1_close_stream(h, WEIR_RESET_NONE, WEIR_STR(""));
    return true;
}

static const struct weir_h1_role role = {.begin = begin, .head = head, .fault = fault, .eof = eof, .finish = finish};

static uint32_t status_of(const struct weir_headers *headers)
{
    uint64_t status;
    if (!weir_str_u64(weir_headers_get(headers, WEIR_H_STATUS), &status) || status < 100 || status > 999)
        return 0;
    return (uint32_t)status;
}

/* How the body's end will be told (RFC 9112 6.3), and what the head's end says of it. */
static enum weir_err frame_response(struct weir_h1_exchange *x, const struct weir_headers *headers, uint32_t status, bool end,
                                    struct weir_h1_head_end *e)
{
    const struct weir_header *length = weir_headers_find(headers, WEIR_H_CONTENT_LENGTH);
    bool bodiless = status == 204 || status == 304;
    x->out_body = WEIR_H1_BODY_NONE;
    if (status == 204) {
        e->drop_length = true;
    } else if (bodiless || x->in.head) {
        /* The head is that of a GET: what a GET would have been told. */
        e->chunked = !bodiless && length == NULL && !x->in.http10;
    } else if (length != NULL) {
        if (!weir_str_u64(length->value, &x->out_left))
            return WEIR_ERR_INVALID;
        x->out_body = WEIR_H1_BODY_LENGTH;
    } else if (end) {
        e->zero_length = true;
    } else if (x->in.http10) {
        x->out_body = WEIR_H1_BODY_CLOSE;
        x->close = true;
    } else {
        x->out_body = WEIR_H1_BODY_CHUNKED;
        e->chunked = true;
    }
    return WEIR_OK;
}

static void frame_tunnel(struct weir_h1_exchange *x, struct weir_h1_head_end *e)
{
    x->out_body = WEIR_H1_BODY_TUNNEL;
    x->in.body = WEIR_H1_BODY_TUNNEL;
    x->reading = WEIR_H1_READ_BODY;
    e->drop_length = true;
    if (x->in.tunnel == WEIR_TUNNEL_UPGRADE) {
        e->connection = WEIR_STR("Upgrade");
        e->upgrade = true;
    }
}

static enum weir_err send_headers(struct weir_codec_stream *s, const struct weir_headers *headers, bool end)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    assert(x->open && !x->head_sent);
    uint32_t status = status_of(headers);
    bool tunnel = x->reading == WEIR_H1_READ_WAIT && weir_tunnel_accepts(x->in.tunnel, status);
    if (status < 200 && !tunnel)
        return WEIR_ERR_INVALID;
    struct weir_h1_head_end e = {.proper_case = h->codec.config->h1_proper_case};
    if (tunnel) {
        frame_tunnel(x, &e);
    } else {
        enum weir_err err = frame_response(x, headers, status, end, &e);
        if (err != WEIR_OK)
            return err;
        /* Of a request whose rest is not here yet nobody knows where the next one starts. */
        x->close |= h->drain || (h->eof && x->held.count == 0) || x->failed || x->reading != WEIR_H1_READ_DONE;
        if (x->reading == WEIR_H1_READ_WAIT)
            x->reading = WEIR_H1_READ_DONE;
        e.connection = x->close ? WEIR_STR("close") : x->in.http10 ? WEIR_STR("keep-alive") : WEIR_STR("");
    }
    size_t n = weir_h1_write_response(&x->frames, &x->out, status, x->in.http10, headers, &e);
    if (n == 0)
        return WEIR_ERR_INVALID;
    s->header_bytes_tx += n;
    s->wire_bytes_tx += n;
    x->head_sent = true;
    x->out_done = end;
    if (end && x->out_body == WEIR_H1_BODY_LENGTH && x->out_left > 0) {
        x->broken = true;
        x->close = true;
    }
    if (x->close || tunnel)
        weir_h1_set_draining(h);
    weir_h1_arm(h);
    return WEIR_OK;
}

static void send_informational(struct weir_codec_stream *s, const struct weir_headers *headers)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    uint32_t status = status_of(headers);
    if (x->head_sent || x->in.http10 || status < 100 || status >= 200 || status == 101)
        return;
    struct weir_h1_head_end e = {.drop_length = true, .proper_case = h->codec.config->h1_proper_case};
    size_t n = weir_h1_write_response(&x->frames, &x->out, status, false, headers, &e);
    s->header_bytes_tx += n;
    s->wire_bytes_tx += n;
    if (n > 0)
        weir_h1_arm(h);
}

static const struct weir_codec_stream_ops stream_ops = {
    .send_headers = send_headers,
    .send_informational = send_informational,
    .send_data = weir_h1_send_data,
    .send_trailers = weir_h1_send_trailers,
    .reset = weir_h1_reset,
    .read_pause = weir_h1_read_pause,
    .send_queued = weir_h1_send_queued,
};

static struct weir_codec_stream *open_stream(struct weir_codec *c, const struct weir_stream_events *events, void *ctx,
                                             struct weir_arena *arena)
{
    (void)c, (void)events, (void)ctx, (void)arena;
    return NULL;
}

static uint32_t capacity(const struct weir_codec *c)
{
    (void)c;
    return 0;
}

static void shutdown_codec(struct weir_codec *c, bool final)
{
    struct weir_h1 *h = weir_h1_of(c);
    h->drain = true;
    if (final || weir_h1_idle(c)) {
        weir_h1_set_draining(h);
        if (h->x == NULL || !h->x->open)
            h->dropping = true;
    }
}

static void reply(struct weir_codec *c, const struct weir_codec_error *e, struct weir_str date, struct weir_str server_name)
{
    struct weir_h1 *h = weir_h1_of(c);
    if (h->x != NULL && h->x->open)
        return;
    struct weir_h1_exchange *x = weir_h1_exchange_start(h, &stream_ops);
    x->open = false;
    h->codec.active_streams--;
    h->dropping = true;
    char length[20];
    struct weir_header at[] = {
        {weir_header_name(WEIR_H_CONTENT_LENGTH), {length, weir_u64_print(length, e->body.n)}, WEIR_H_CONTENT_LENGTH},
        {weir_header_name(WEIR_H_CONTENT_TYPE), WEIR_STR("text/plain"), WEIR_H_CONTENT_TYPE},
        {weir_header_name(WEIR_H_DATE), date, WEIR_H_DATE},
        {weir_header_name(WEIR_H_SERVER), server_name, WEIR_H_SERVER},
    };
    struct weir_headers headers = {.at = at, .count = sizeof at / sizeof *at};
    struct weir_h1_head_end end = {.connection = WEIR_STR("close"), .proper_case = c->config->h1_proper_case};
    if (weir_h1_write_response(&x->frames, &x->out, e->status, false, &headers, &end) > 0)
        weir_buffer_push_static(&x->out, e->body);
    weir_h1_set_draining(h);
    weir_h1_arm(h);
}

static void fail(struct weir_codec *c, enum weir_reset reason, struct weir_str details)
{
    struct weir_h1 *h = weir_h1_of(c);
    weir_h1_enter(h);
    h->dropping = true;
    weir_h1_set_draining(h);
    if (h->x != NULL)
        weir_buffer_deinit(&h->x->out);
    weir_h1_close_stream(h, reason, details);
    weir_h1_leave(h);
}

static const struct weir_codec_ops ops = {
    .input = weir_h1_input,
    .input_eof = weir_h1_input_eof,
    .output = weir_h1_output,
    .open = open_stream,
    .capacity = capacity,
    .shutdown = shutdown_codec,
    .reply = reply,
    .fail = fail,
    .transport_blocked = weir_h1_transport_blocked,
    .idle = weir_h1_idle,
    .destroy = weir_h1_destroy,
};

struct weir_codec *weir_h1_server_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner)
{
    return weir_h1_create(w, config, events, owner, &ops, &role, true);
}
