/* HTTP/2 towards upstreams: requests out, responses in. Created by upstream/pool. A request with `upgrade` goes out as an
 * extended CONNECT (RFC 8441), and the 2xx that accepts it comes back as a 101. */
#include <assert.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/h2_session.h"

/* ---- responses ---- */

static void tunnel_accepted(struct weir_h2_stream *st, struct weir_headers *h)
{
    st->rx_expected = -1;
    (void)weir_headers_remove(h, WEIR_H_CONTENT_LENGTH);
    if (st->tunnel != WEIR_TUNNEL_UPGRADE) return;
    weir_headers_set(h, WEIR_H_STATUS, WEIR_STR("101"));
    weir_headers_add(h, WEIR_H_UPGRADE, st->protocol);
}

bool weir_h2_client_head(struct weir_h2_session *s, struct weir_h2_stream *st, struct weir_headers *h, bool end)
{
    uint32_t status = s->message.status;
    if (status < 200) {
        if (++st->informational_count > WEIR_H2_INFORMATIONAL_MAX) return false;
        struct weir_h2_informational *i = WEIR_NEW(st->base.arena, struct weir_h2_informational, 1), **last = &st->informational;
        i->headers = *h;
        while (*last != NULL)
            last = &(*last)->next;
        *last = i;
        return true;
    }
    bool bodyless = st->head_request || status == 204 || status == 304;
    st->rx_expected = bodyless ? 0 : s->message.content_length;
    if (st->tunnel != WEIR_TUNNEL_NONE && status < 300) tunnel_accepted(st, h);
    if (end && st->rx_expected > 0) return false;
    st->final_seen = true;
    st->head = h;
    st->end_with_head = end;
    return true;
}

/* ---- requests ---- */

static struct weir_codec_stream *open_stream(struct weir_codec *c, const struct weir_stream_events *e, void *ctx,
                                             struct weir_arena *a)
{
    if (weir_codec_capacity(c) == 0) return NULL;
    struct weir_h2_stream *st = weir_h2_stream_create(weir_h2_session_of(c), 0);
    st->base.events = e;
    st->base.ctx = ctx;
    st->base.arena = a;
    return &st->base;
}

/* A pseudo header of the request as it goes out, in the place where the caller's map has it. */
static void pseudo_field(struct weir_h2_fields *f, const struct weir_h2_stream *st, const struct weir_header *x)
{
    if (x->id == WEIR_H_PROTOCOL) return;
    if (x->id == WEIR_H_METHOD && st->tunnel == WEIR_TUNNEL_UPGRADE)
        weir_h2_fields_add(f, WEIR_H_METHOD, WEIR_STR("CONNECT"));
    else if (st->tunnel != WEIR_TUNNEL_CONNECT || (x->id != WEIR_H_SCHEME && x->id != WEIR_H_PATH))
        weir_h2_fields_add_header(f, x);
}

static void request_fields(struct weir_h2_fields *f, const struct weir_h2_stream *st, const struct weir_headers *h)
{
    weir_h2_fields_init(f, h);
    uint32_t i = 0;
    bool authority = false, scheme = false;
    for (; i < h->count && h->at[i].name.n != 0 && h->at[i].name.p[0] == ':'; i++) {
        authority |= h->at[i].id == WEIR_H_AUTHORITY;
        scheme |= h->at[i].id == WEIR_H_SCHEME;
        pseudo_field(f, st, &h->at[i]);
    }
    struct weir_str host = weir_headers_get(h, WEIR_H_HOST);
    if (!authority && host.p != NULL) weir_h2_fields_add(f, WEIR_H_AUTHORITY, host);
    if (!scheme && st->tunnel != WEIR_TUNNEL_CONNECT) weir_h2_fields_add(f, WEIR_H_SCHEME, WEIR_STR("http"));
    if (st->tunnel == WEIR_TUNNEL_UPGRADE) weir_h2_fields_add(f, WEIR_H_PROTOCOL, st->protocol);
    for (; i < h->count; i++) {
        const struct weir_header *x = &h->at[i];
        if (x->id == WEIR_H_HOST || weir_h2_hop_by_hop(x)) continue;
        if (st->tunnel != WEIR_TUNNEL_NONE && x->id == WEIR_H_CONTENT_LENGTH) continue;
        weir_h2_fields_add_header(f, x);
    }
}

static enum weir_err submit(struct weir_h2_session *s, struct weir_h2_stream *st, const struct weir_headers *h, bool end)
{
    struct weir_h2_fields f;
    request_fields(&f, st, h);
    nghttp2_data_provider body = weir_h2_data_of(st);
    int32_t id = nghttp2_submit_request(s->ng, NULL, f.at, f.count, end ? NULL : &body, st);
    weir_h2_fields_deinit(&f);
    if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
        s->draining = true;
        return WEIR_ERR_LIMIT;
    }
    weir_h2_must(id);
    st->id = id;
    st->in_session = true;
    weir_h2_guard_opened(&s->guard, id);
    weir_h2_want_output(s);
    return WEIR_OK;
}

static bool tunnels_allowed(const struct weir_h2_session *s)
{
    return nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

static enum weir_err send_headers(struct weir_codec_stream *cs, const struct weir_headers *h, bool end)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    assert(st->id == 0 && st->waiting == NULL && !st->orphan);
    if (weir_headers_get(h, WEIR_H_METHOD).n == 0) return WEIR_ERR_INVALID;
    if (st->closed) return WEIR_OK;
    st->tunnel = weir_tunnel_asked(h);
    st->head_request = weir_str_eq(weir_headers_get(h, WEIR_H_METHOD), WEIR_STR("HEAD"));
    st->tx_end = end;
    if (st->tunnel != WEIR_TUNNEL_UPGRADE) return submit(s, st, h, end);

    st->protocol = weir_arena_str(cs->arena, weir_headers_get(h, WEIR_H_UPGRADE));
    if (s->settings_seen) return tunnels_allowed(s) ? submit(s, st, h, end) : WEIR_ERR_UNSUPPORTED;
    /* RFC 8441 3: not before the peer has said that it knows :protocol. */
    st->waiting = WEIR_NEW(cs->arena, struct weir_headers, 1);
    weir_headers_init(st->waiting, cs->arena);
    for (uint32_t i = 0; i < h->count; i++)
        weir_headers_add_copy(st->waiting, h->at[i].name, h->at[i].value);
    return WEIR_OK;
}

void weir_h2_client_settings(struct weir_h2_session *s)
{
    for (struct weir_list *at = s->streams.next; at != &s->streams; at = at->next) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(at, struct weir_h2_stream, node);
        if (st->waiting == NULL || st->orphan || st->closed) continue;
        struct weir_headers *h = st->waiting;
        st->waiting = NULL;
        if (!tunnels_allowed(s) || submit(s, st, h, st->tx_end && st->tx.bytes == 0 && st->tx_trailers == NULL) != WEIR_OK)
            weir_h2_stream_close(s, st, WEIR_RESET_PROTOCOL, WEIR_STR("http2.extended_connect_not_enabled"));
    }
}

static void no_informational(struct weir_codec_stream *cs, const struct weir_headers *h)
{
    (void)cs;
    (void)h;
}

static uint32_t capacity(const struct weir_codec *c)
{
    const struct weir_h2_session *s = (const struct weir_h2_session *)c;
    if (s->draining || s->failed || s->dead) return 0;
    uint32_t theirs = nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    uint32_t most = theirs < s->streams_max ? theirs : s->streams_max;
    return most > s->stream_count ? most - s->stream_count : 0;
}

static void shut_down(struct weir_codec *c, bool final)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    if (!final || s->goaway_final || s->failed || s->dead) return;
    s->goaway_final = true;
    s->draining = true;
    weir_h2_must(nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0));
    weir_h2_want_output(s);
}

const struct weir_codec_stream_ops weir_h2_client_stream_ops = {
    .send_headers = send_headers,
    .send_informational = no_informational,
    .send_data = weir_h2_send_data,
    .send_trailers = weir_h2_send_trailers,
    .reset = weir_h2_reset,
    .read_pause = weir_h2_read_pause,
    .send_queued = weir_h2_send_queued,
};
const struct weir_codec_ops weir_h2_client_ops = {
    .input = weir_h2_input,
    .input_eof = weir_h2_input_eof,
    .output = weir_h2_output,
    .open = open_stream,
    .capacity = capacity,
    .shutdown = shut_down,
    .reply = weir_h2_reply,
    .fail = weir_h2_connection_gone,
    .transport_blocked = weir_h2_transport_blocked,
    .idle = weir_h2_idle,
    .ping = weir_h2_ping,
    .destroy = weir_h2_destroy,
};

struct weir_codec *weir_h2_client_create(struct weir_worker *w, const struct weir_codec_config *config,
                                         const struct weir_codec_events *events, void *owner)
{
    struct weir_h2_session *s = weir_h2_session_create(w, config, events, owner, false);
    return &s->base;
}
