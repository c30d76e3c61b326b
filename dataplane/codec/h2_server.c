/* HTTP/2 towards clients: requests in, responses out. Created by http/conn_manager. Extended CONNECT (RFC 8441) becomes the
 * `upgrade` request that codec.h describes, and the 101 that accepts it becomes a 200. */
#include <assert.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/h2_session.h"

/* RFC 8441 4 to RFC 9110 7.8. */
static void tunnel_request(struct weir_h2_stream *st, struct weir_headers *h)
{
    struct weir_str protocol = weir_headers_get(h, WEIR_H_PROTOCOL);
    if (protocol.n == 0) {
        st->tunnel = WEIR_TUNNEL_CONNECT;
        return;
    }
    st->tunnel = WEIR_TUNNEL_UPGRADE;
    weir_headers_set(h, WEIR_H_METHOD, WEIR_STR("GET"));
    (void)weir_headers_remove(h, WEIR_H_PROTOCOL);
    weir_headers_add(h, WEIR_H_UPGRADE, protocol);
}

bool weir_h2_server_head(struct weir_h2_session *s, struct weir_h2_stream *st, struct weir_headers *h, bool end)
{
    st->rx_expected = s->message.content_length;
    if (s->message.connect) {
        tunnel_request(st, h);
        st->rx_expected = -1;
        (void)weir_headers_remove(h, WEIR_H_CONTENT_LENGTH);
    }
    st->head = h;
    st->end_with_head = end;
    return true;
}

/* The response as field lines; `accepts`: it opens the tunnel that the request asked for. */
static void response_fields(struct weir_h2_fields *f, const struct weir_headers *h, struct weir_str status, bool accepts)
{
    weir_h2_fields_init(f, h);
    weir_h2_fields_add(f, WEIR_H_STATUS, status);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct weir_header *x = &h->at[i];
        if (x->name.n == 0 || x->name.p[0] == ':' || weir_h2_hop_by_hop(x)) continue;
        if (accepts && x->id == WEIR_H_CONTENT_LENGTH) continue; /* RFC 9110 9.3.6 */
        weir_h2_fields_add_header(f, x);
    }
}

static enum weir_err send_headers(struct weir_codec_stream *cs, const struct weir_headers *h, bool end)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    assert(!st->head_sent && !st->orphan);
    struct weir_str status = weir_headers_get(h, WEIR_H_STATUS);
    uint64_t number = 0;
    if (status.n != 3 || !weir_str_u64(status, &number) || number < 100) return WEIR_ERR_INVALID;
    bool accepts = weir_tunnel_accepts(st->tunnel, (uint32_t)number);
    if (number == 101) {
        if (!accepts) return WEIR_ERR_INVALID;
        status = WEIR_STR("200");
    }
    if (st->closed) return WEIR_OK;
    struct weir_h2_fields f;
    response_fields(&f, h, status, accepts);
    st->head_sent = true;
    st->tx_end = end;
    nghttp2_data_provider body = weir_h2_data_of(st);
    weir_h2_must(nghttp2_submit_response(s->ng, st->id, f.at, f.count, end ? NULL : &body));
    weir_h2_fields_deinit(&f);
    weir_h2_want_output(s);
    return WEIR_OK;
}

static void send_informational(struct weir_codec_stream *cs, const struct weir_headers *h)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    if (st->closed || st->head_sent) return;
    struct weir_h2_fields f;
    response_fields(&f, h, weir_headers_get(h, WEIR_H_STATUS), true);
    weir_h2_must(nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, st->id, NULL, f.at, f.count, NULL));
    weir_h2_fields_deinit(&f);
    weir_h2_want_output(s);
}

static struct weir_codec_stream *no_open(struct weir_codec *c, const struct weir_stream_events *e, void *ctx, struct weir_arena *a)
{
    (void)c;
    (void)e;
    (void)ctx;
    (void)a;
    return NULL;
}

static uint32_t no_capacity(const struct weir_codec *c)
{
    (void)c;
    return 0;
}

/* RFC 9113 6.8: first a notice that names no stream, so that requests on their way are still served, then the true last one. */
static void shut_down(struct weir_codec *c, bool final)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    if (s->goaway_final || s->failed || s->dead) return;
    if (!final) {
        if (s->goaway_notice) return;
        s->goaway_notice = true;
        weir_h2_must(nghttp2_submit_shutdown_notice(s->ng));
    } else {
        s->goaway_final = true;
        s->draining = true;
        weir_h2_must(nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng), NGHTTP2_NO_ERROR,
                                      NULL, 0));
    }
    weir_h2_want_output(s);
}

const struct weir_codec_stream_ops weir_h2_server_stream_ops = {
    .send_headers = send_headers,
    .send_informational = send_informational,
    .send_data = weir_h2_send_data,
    .send_trailers = weir_h2_send_trailers,
    .reset = weir_h2_reset,
    .read_pause = weir_h2_read_pause,
    .send_queued = weir_h2_send_queued,
};
const struct weir_codec_ops weir_h2_server_ops = {
    .input = weir_h2_input,
    .input_eof = weir_h2_input_eof,
    .output = weir_h2_output,
    .open = no_open,
    .capacity = no_capacity,
    .shutdown = shut_down,
    .reply = weir_h2_reply,
    .fail = weir_h2_connection_gone,
    .transport_blocked = weir_h2_transport_blocked,
    .idle = weir_h2_idle,
    .ping = weir_h2_ping,
    .destroy = weir_h2_destroy,
};

struct weir_codec *weir_h2_server_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner)
{
    struct weir_h2_session *s = weir_h2_session_create(w, config, events, owner, true);
    return &s->base;
}
