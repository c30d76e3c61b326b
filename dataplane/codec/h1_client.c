/* The client side of HTTP/1.1: one request at a time. Called by upstream/pool through the codec operations. A connection
 * whose peer breaks the protocol, or that carried a body until its close, is not used again. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/h1_codec.h"
#include "dataplane/limits.h"

static const struct weir_codec_stream_ops stream_ops;

static void end_connection(struct weir_h1 *h, enum weir_reset reason, struct weir_str details)
{
    h->dropping = true;
    weir_h1_set_draining(h);
    if (h->x != NULL)
        weir_buffer_deinit(&h->x->out);
    weir_h1_close_stream(h, reason, details);
}

/* What was read is no response, or stands where none was asked for. A response that had come whole stays one. */
static void fault(struct weir_h1 *h, enum weir_h1_fault f)
{
    struct weir_codec_error e = {.status = 0, .details = weir_h1_error(f)->details};
    bool whole = h->x != NULL && h->x->open && h->x->reading == WEIR_H1_READ_DONE;
    end_connection(h, whole ? WEIR_RESET_NONE : WEIR_RESET_PROTOCOL, whole ? WEIR_STR("") : e.details);
    h->codec.events->on_error(h->codec.owner, &e);
}

static bool begin(struct weir_h1 *h, const uint8_t **p, const uint8_t *end)
{
    *p = end;
    fault(h, WEIR_H1_FAULT_CODEC);
    return false;
}

static void informational(struct weir_h1 *h, struct weir_headers *headers)
{
    struct weir_h1_exchange *x = h->x;
    if (++x->informationals > WEIR_H1_INFORMATIONAL_MAX) {
        fault(h, WEIR_H1_FAULT_TOO_MANY);
        return;
    }
    weir_h1_parser_start(h, WEIR_H1_RESPONSE);
    if (x->stream.events->on_informational != NULL)
        x->stream.events->on_informational(x->stream.ctx, headers);
}

/* The answer to a tunnel request: what was to go through it goes, or is dropped. */
static void settle_tunnel(struct weir_h1 *h)
{
    struct weir_h1_exchange *x = h->x;
    if (x->in.tunnel != WEIR_TUNNEL_NONE) {
        x->stream.wire_bytes_tx += x->early->bytes;
        weir_buffer_move(&x->out, x->early);
        weir_h1_arm(h);
    } else {
        weir_buffer_deinit(x->early);
        x->out_body = WEIR_H1_BODY_NONE;
        x->out_done = true;
    }
    free(x->early);
    x->early = NULL;
}

static void head(struct weir_h1 *h, char *bytes)
{
    struct weir_h1_exchange *x = h->x;
    struct weir_headers *headers = WEIR_NEW(x->stream.arena, struct weir_headers, 1);
    enum weir_h1_fault f = weir_h1_response_read(&x->parser, bytes, h->codec.config, &x->request, headers, &x->in);
    if (f != WEIR_H1_FAULT_NONE) {
        fault(h, f);
        return;
    }
    x->stream.protocol = x->in.http10 ? WEIR_HTTP10 : WEIR_HTTP11;
    if (x->in.status < 200 && x->in.tunnel == WEIR_TUNNEL_NONE) {
        informational(h, headers);
        return;
    }
    x->in_left = x->in.length;
    x->reading = x->in.body == WEIR_H1_BODY_NONE ? WEIR_H1_READ_DONE : WEIR_H1_READ_BODY;
    if (x->early != NULL)
        settle_tunnel(h);
    if (!x->in.persistent)
        h->codec.peer_closes = true;
    if (!x->in.persistent || x->in.body == WEIR_H1_BODY_CLOSE || x->in.body == WEIR_H1_BODY_TUNNEL)
        weir_h1_set_draining(h);
    x->stream.events->on_headers(x->stream.ctx, headers, x->reading == WEIR_H1_READ_DONE);
}

/* What an end of the connection means for the response. */
static void cut(struct weir_h1 *h, enum weir_reset reason, struct weir_str details)
{
    const struct weir_h1_exchange *x = h->x;
    if (x == NULL || !x->open) {
        end_connection(h, reason, details);
    } else if (x->reading == WEIR_H1_READ_DONE) {
        end_connection(h, WEIR_RESET_NONE, WEIR_STR(""));
    } else if (x->reading == WEIR_H1_READ_HEAD && x->parser.at == 0) {
        end_connection(h, reason, details);
    } else if (x->reading == WEIR_H1_READ_BODY && (x->in.body == WEIR_H1_BODY_CLOSE || x->in.body == WEIR_H1_BODY_TUNNEL)) {
        end_connection(h, reason, details);
    } else {
        end_connection(h, WEIR_RESET_PROTOCOL, weir_h1_error(WEIR_H1_FAULT_CODEC)->details);
    }
}

static void eof(struct weir_h1 *h)
{
    const struct weir_h1_exchange *x = h->x;
    if (x != NULL && x->open && x->reading == WEIR_H1_READ_BODY &&
        (x->in.body == WEIR_H1_BODY_CLOSE || x->in.body == WEIR_H1_BODY_TUNNEL)) {
        weir_h1_deliver_end(h);
        return;
    }
    cut(h, WEIR_RESET_CONNECTION, WEIR_STR(""));
}

static bool finish(struct weir_h1 *h)
{
    struct weir_h1_exchange *x = h->x;
    if (x == NULL || !x->open)
        return false;
    if (x->broken) {
        end_connection(h, WEIR_RESET_LOCAL, weir_h1_error(WEIR_H1_FAULT_BODY_DISALLOWED)->details);
        return true;
    }
    if (x->reading != WEIR_H1_READ_DONE)
        return false;
    if (h->eof && !x->out_done && x->in.body != WEIR_H1_BODY_TUNNEL)
        return cut(h, WEIR_RESET_CONNECTION, WEIR_STR("")), true;
    if (!x->out_done || !weir_buffer_empty(&x->out))
        return false;
    weir_h1_close_stream(h, WEIR_RESET_NONE, WEIR_STR(""));
    if (!h->draining && h->codec.events->on_capacity != NULL)
        h->codec.events->on_capacity(h->codec.owner);
    return true;
}

static const struct weir_h1_role role = {.begin = begin, .head = head, .fault = fault, .eof = eof, .finish = finish};

/* RFC 9110: no content is meant where none is sent, so nothing need be said of its length. */
static bool seldom_has_body(struct weir_str method)
{
    return weir_str_eq(method, WEIR_STR("GET")) || weir_str_eq(method, WEIR_STR("HEAD")) ||
           weir_str_eq(method, WEIR_STR("DELETE")) || weir_str_eq(method, WEIR_STR("TRACE")) ||
           weir_str_eq(method, WEIR_STR("CONNECT"));
}

static enum weir_err frame_request(struct weir_h1_exchange *x, const struct weir_headers *headers, bool end,
                                   struct weir_h1_head_end *e)
{
    struct weir_str method = weir_headers_get(headers, WEIR_H_METHOD);
    const struct weir_header *length = weir_headers_find(headers, WEIR_H_CONTENT_LENGTH);
    x->request = (struct weir_h1_message){
        .head = weir_str_eq(method, WEIR_STR("HEAD")),
        .tunnel = weir_tunnel_asked(headers),
    };
    x->out_body = WEIR_H1_BODY_NONE;
    if (x->request.tunnel != WEIR_TUNNEL_NONE) {
        x->out_body = WEIR_H1_BODY_TUNNEL;
        e->drop_length = true;
        if (x->request.tunnel == WEIR_TUNNEL_UPGRADE) {
            e->connection = WEIR_STR("Upgrade");
            e->upgrade = true;
        }
    } else if (length != NULL) {
        if (!weir_str_u64(length->value, &x->out_left) || (end && x->out_left > 0))
            return WEIR_ERR_INVALID;
        x->out_body = WEIR_H1_BODY_LENGTH;
    } else if (end) {
        e->zero_length = !seldom_has_body(method);
    } else {
        x->out_body = WEIR_H1_BODY_CHUNKED;
        e->chunked = true;
    }
    return WEIR_OK;
}

static enum weir_err send_headers(struct weir_codec_stream *s, const struct weir_headers *headers, bool end)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    const struct weir_codec_config *config = h->codec.config;
    assert(x->open && !x->head_sent);
    struct weir_h1_head_end e = {.proper_case = config->h1_proper_case};
    enum weir_err err = frame_request(x, headers, end, &e);
    if (err != WEIR_OK)
        return err;
    size_t n = weir_h1_write_request(&x->frames, &x->out, headers, config->h1_send_absolute_url, &e);
    if (n == 0)
        return WEIR_ERR_INVALID;
    if (x->request.tunnel != WEIR_TUNNEL_NONE) {
        x->early = malloc(sizeof *x->early);
        if (x->early == NULL)
            abort();
        weir_buffer_init(x->early);
    }
    s->header_bytes_tx += n;
    s->wire_bytes_tx += n;
    x->head_sent = true;
    x->out_done = end;
    x->reading = WEIR_H1_READ_HEAD;
    h->requests++;
    if (config->max_requests_per_connection > 0 && h->requests >= config->max_requests_per_connection)
        weir_h1_set_draining(h);
    weir_h1_arm(h);
    return WEIR_OK;
}

static void send_informational(struct weir_codec_stream *s, const struct weir_headers *headers)
{
    (void)s, (void)headers; /* clients have none */
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

static uint32_t capacity(const struct weir_codec *c)
{
    const struct weir_h1 *h = weir_h1_of(c);
    return h->draining || h->dropping || h->eof || (h->x != NULL && h->x->open) ? 0 : 1;
}

static struct weir_codec_stream *open_stream(struct weir_codec *c, const struct weir_stream_events *events, void *ctx,
                                             struct weir_arena *arena)
{
    struct weir_h1 *h = weir_h1_of(c);
    if (capacity(c) == 0)
        return NULL;
    struct weir_h1_exchange *x = weir_h1_exchange_start(h, &stream_ops);
    x->stream.events = events;
    x->stream.ctx = ctx;
    x->stream.arena = arena;
    x->reading = WEIR_H1_READ_HEAD;
    weir_h1_parser_start(h, WEIR_H1_RESPONSE);
    return &x->stream;
}

static void shutdown_codec(struct weir_codec *c, bool final)
{
    (void)final;
    weir_h1_set_draining(weir_h1_of(c));
}

static void reply(struct weir_codec *c, const struct weir_codec_error *e, struct weir_str date, struct weir_str server_name)
{
    (void)c, (void)e, (void)date, (void)server_name;
}

static void fail(struct weir_codec *c, enum weir_reset reason, struct weir_str details)
{
    struct weir_h1 *h = weir_h1_of(c);
    weir_h1_enter(h);
    cut(h, reason, details);
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

struct weir_codec *weir_h1_client_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner)
{
    return weir_h1_create(w, config, events, owner, &ops, &role, false);
}
