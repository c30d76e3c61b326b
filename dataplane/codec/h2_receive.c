/* The receiving half of HTTP/2: bytes in, state of streams out (h2_session.c tells the owners). nghttp2 is fed frame by
 * frame, so that h2_guard.c judges each frame by the state that the ones before it left. */
#include <assert.h>

#include "dataplane/codec/h2_session.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113 3.4 */
/* A smaller slice that waits for its reader is copied: it must not hold a whole read block. */
#define KEEP_BY_REFERENCE_MIN 1024

int weir_h2_preface_check(const uint8_t *p, size_t n)
{
    size_t m = n < sizeof(PREFACE) - 1 ? n : sizeof(PREFACE) - 1;
    if (memcmp(p, PREFACE, m) != 0) return 0;
    return m == sizeof(PREFACE) - 1 ? 1 : -1;
}

static struct weir_h2_stream *stream_by_id(const struct weir_h2_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s->ng, id);
}

/* The peer broke a rule on one stream: we reset it. */
static void stream_error(struct weir_h2_session *s, struct weir_h2_stream *st, uint32_t code, enum weir_reset reason,
                         struct weir_str details)
{
    s->control_queued++;
    weir_h2_stream_rst(s, st, code);
    weir_h2_stream_count_reset(s, st);
    weir_h2_stream_close(s, st, reason, details);
}

/* ---- header blocks ---- */

/* RFC 9113 8.1.1. Ends the connection, as Envoy does, unless the configuration says the stream. */
static int messaging_error(struct weir_h2_session *s, struct weir_h2_stream *st, struct weir_str details)
{
    weir_h2_count(s, WEIR_H2_STAT_RX_MESSAGING_ERROR);
    if (!s->base.config->h2_override_stream_error) {
        weir_h2_fail(s, NGHTTP2_PROTOCOL_ERROR, details, st);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    stream_error(s, st, NGHTTP2_PROTOCOL_ERROR, WEIR_RESET_PROTOCOL, details);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int limit_error(struct weir_h2_session *s, struct weir_h2_stream *st, enum weir_h2_stat stat, struct weir_str details)
{
    weir_h2_count(s, stat);
    stream_error(s, st, NGHTTP2_INTERNAL_ERROR, s->base.server ? WEIR_RESET_LIMIT : WEIR_RESET_REMOTE, details);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* What a header callback returns to nghttp2. */
static int block_fault(struct weir_h2_session *s, struct weir_h2_stream *st, enum weir_h2_fault fault)
{
    s->block_stream = fault == WEIR_H2_DROPPED ? st : NULL;
    switch (fault) {
    case WEIR_H2_FINE: break;
    case WEIR_H2_DROPPED: weir_h2_count(s, WEIR_H2_STAT_DROPPED_HEADERS_WITH_UNDERSCORES); break;
    case WEIR_H2_FIELD: return messaging_error(s, st, WEIR_H2_DETAILS_FIELD);
    case WEIR_H2_RULE: return messaging_error(s, st, WEIR_H2_DETAILS_RULE);
    case WEIR_H2_MANY: return limit_error(s, st, WEIR_H2_STAT_HEADER_OVERFLOW, WEIR_H2_DETAILS_MANY);
    case WEIR_H2_LARGE: return limit_error(s, st, WEIR_H2_STAT_HEADER_LIST_SIZE_TOO_LARGE, WEIR_H2_DETAILS_LARGE);
    case WEIR_H2_UNDERSCORE:
        return limit_error(s, st, WEIR_H2_STAT_REQUESTS_REJECTED_WITH_UNDERSCORES, WEIR_H2_DETAILS_UNDERSCORE);
    }
    return 0;
}

static void block_begin(struct weir_h2_session *s, struct weir_h2_stream *st, enum weir_h2_block block)
{
    st->block = WEIR_NEW(st->base.arena, struct weir_headers, 1);
    weir_headers_init(st->block, st->base.arena);
    weir_h2_message_init(&s->message, block, s->base.server && s->base.config->h2_allow_connect);
    s->block_stream = st;
}

/* A new request. Streams beyond what we announced are refused (RFC 9113 5.1.2); the block is decoded all the same. */
static int request_begin(struct weir_h2_session *s, const nghttp2_frame *frame)
{
    int32_t id = frame->hd.stream_id;
    if (s->stream_count >= s->streams_max || s->goaway_final) {
        weir_h2_count(s, WEIR_H2_STAT_STREAM_REFUSED_ERRORS);
        weir_h2_count(s, WEIR_H2_STAT_TX_RESET);
        weir_h2_guard_reset(&s->guard, id);
        s->control_queued++;
        if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    struct weir_h2_stream *st = weir_h2_stream_create(s, id);
    if (nghttp2_session_set_stream_user_data(s->ng, id, st) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    st->base.header_bytes_rx = st->base.wire_bytes_rx = WEIR_H2_FRAME_HEADER + frame->hd.length;
    s->base.events->on_stream(s->base.owner, &st->base);
    if (st->orphan) return 0;
    assert(st->base.events != NULL && st->base.arena != NULL);
    block_begin(s, st, WEIR_H2_REQUEST);
    return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    (void)ng;
    struct weir_h2_session *s = user_data;
    s->block_stream = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) return request_begin(s, frame);
    struct weir_h2_stream *st = stream_by_id(s, frame->hd.stream_id);
    if (st == NULL || st->orphan || st->closed) return 0;
    block_begin(s, st, s->base.server || st->final_seen ? WEIR_H2_TRAILERS : WEIR_H2_RESPONSE);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value,
                     size_t value_n, uint8_t flags, void *user_data)
{
    (void)ng;
    (void)frame;
    (void)flags;
    struct weir_h2_session *s = user_data;
    struct weir_h2_stream *st = s->block_stream;
    if (st == NULL) return 0;
    enum weir_h2_fault fault =
        weir_h2_message_field(&s->message, s->base.config, st->block, (struct weir_str){(const char *)name, name_n},
                              (struct weir_str){(const char *)value, value_n});
    return fault == WEIR_H2_FINE ? 0 : block_fault(s, st, fault);
}

/* The body is longer or shorter than content-length said: RFC 9113 8.1.1. */
static void length_mismatch(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    stream_error(s, st, NGHTTP2_PROTOCOL_ERROR, WEIR_RESET_PROTOCOL, WEIR_H2_DETAILS_RESET);
}

static void body_end(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    if (st->rx_expected >= 0 && st->rx_bytes != st->rx_expected) {
        length_mismatch(s, st);
        return;
    }
    st->rx_end = true;
    weir_h2_stream_ready(s, st);
}

static int headers_end(struct weir_h2_session *s, bool end)
{
    struct weir_h2_stream *st = s->block_stream;
    if (st == NULL) return 0;
    s->block_stream = NULL;
    enum weir_h2_fault fault = weir_h2_message_end(&s->message, st->block, end);
    if (fault != WEIR_H2_FINE)
        return block_fault(s, st, fault) == NGHTTP2_ERR_CALLBACK_FAILURE ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    struct weir_headers *block = st->block;
    st->block = NULL;
    if (s->message.block == WEIR_H2_TRAILERS) {
        if (s->base.server) weir_h2_count(s, WEIR_H2_STAT_TRAILERS); /* those of requests, as it says */
        if (block->count != 0) st->trailers = block;
        body_end(s, st);
        return 0;
    }
    if (!(s->base.server ? weir_h2_server_head(s, st, block, end) : weir_h2_client_head(s, st, block, end)))
        return messaging_error(s, st, WEIR_H2_DETAILS_RULE) == NGHTTP2_ERR_CALLBACK_FAILURE ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    weir_h2_stream_ready(s, st);
    return 0;
}

/* ---- bodies ---- */

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t n, void *user_data)
{
    (void)ng;
    (void)flags;
    struct weir_h2_session *s = user_data;
    struct weir_h2_stream *st = stream_by_id(s, stream_id);
    if (st != NULL && !st->orphan && !st->closed) {
        st->rx_bytes += (int64_t)n;
        bool early = !s->base.server && !st->final_seen;
        if (early || (st->rx_expected >= 0 && st->rx_bytes > st->rx_expected)) length_mismatch(s, st);
    }
    if (st == NULL || st->orphan || st->closed) return 0;
    s->held += n;
    if (st->rx_paused && n < KEEP_BY_REFERENCE_MIN) {
        weir_buffer_append(&st->rx, &s->base.worker->blocks, data, n);
        return 0;
    }
    if (s->input.block != NULL) weir_block_acquire(s->input.block);
    weir_buffer_push(&st->rx, (struct weir_slice){data, n, s->input.block});
    if (!st->rx_paused) weir_h2_stream_ready(s, st);
    return 0;
}

static int data_end(struct weir_h2_session *s, const nghttp2_frame *frame)
{
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct weir_h2_stream *st = stream_by_id(s, frame->hd.stream_id);
    const struct weir_h2_guard_fault *fault = weir_h2_guard_payload(&s->guard, frame->hd.length - frame->data.padlen, end);
    if (fault != NULL) {
        weir_h2_count(s, (enum weir_h2_stat)fault->stat);
        weir_h2_fail_flood(s, fault->details, st != NULL && !st->orphan ? st : NULL);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (st == NULL || st->orphan || st->closed) return 0;
    if (!s->base.server && !st->final_seen)
        length_mismatch(s, st); /* a body before its head, and be it an empty one */
    else if (end)
        body_end(s, st);
    return 0;
}

/* ---- other frames ---- */

static void reset_received(struct weir_h2_session *s, const nghttp2_frame *frame)
{
    struct weir_h2_stream *st = stream_by_id(s, frame->hd.stream_id);
    if (st == NULL) return;
    weir_h2_count(s, WEIR_H2_STAT_RX_RESET);
    st->reset_seen = true;
    if (st->orphan) return;
    weir_h2_stream_count_reset(s, st);
    switch (frame->rst_stream.error_code) {
    case NGHTTP2_NO_ERROR:
        /* Only of a server it says that the rest is not wanted (RFC 9113 8.1). */
        if (s->base.server) weir_h2_stream_close(s, st, WEIR_RESET_REMOTE, WEIR_H2_DETAILS_RESET);
        else weir_h2_stream_close(s, st, WEIR_RESET_REMOTE_NO_ERROR, WEIR_STR(""));
        break;
    case NGHTTP2_REFUSED_STREAM: weir_h2_stream_close(s, st, WEIR_RESET_REMOTE_REFUSED, WEIR_H2_DETAILS_REFUSE); break;
    case NGHTTP2_CONNECT_ERROR: weir_h2_stream_close(s, st, WEIR_RESET_CONNECT, WEIR_H2_DETAILS_RESET); break;
    case NGHTTP2_PROTOCOL_ERROR: weir_h2_stream_close(s, st, WEIR_RESET_PROTOCOL, WEIR_H2_DETAILS_RESET); break;
    default: weir_h2_stream_close(s, st, WEIR_RESET_REMOTE, WEIR_H2_DETAILS_RESET); break;
    }
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    (void)ng;
    struct weir_h2_session *s = user_data;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: return headers_end(s, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    case NGHTTP2_DATA: return data_end(s, frame);
    case NGHTTP2_RST_STREAM: reset_received(s, frame); return 0;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) return 0;
        s->settings_seen = true;
        s->capacity_changed = !s->base.server;
        return 0;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) s->pong = true;
        return 0;
    case NGHTTP2_GOAWAY:
        /* nghttp2 answers a client no more once its streams are over, not even a PING: it hears so, and the connection ends. */
        if (s->base.server)
            weir_codec_shutdown(&s->base, true);
        else
            s->draining = s->base.peer_closes = true;
        return 0;
    default: return 0;
    }
}

/* In input() or output(): nghttp2 knows the stream no more. */
static int on_stream_close(nghttp2_session *ng, int32_t stream_id, uint32_t code, void *user_data)
{
    (void)ng;
    struct weir_h2_session *s = user_data;
    struct weir_h2_stream *st = stream_by_id(s, stream_id);
    if (st == NULL) return 0;
    bool whole = st->rx_end || st->end_with_head;
    st->in_session = false;
    s->streams_done++;
    if (!whole && !st->reset_seen) weir_h2_guard_reset(&s->guard, stream_id);
    if (s->block_stream == st) s->block_stream = NULL;
    if (st->orphan) {
        weir_h2_stream_free(s, st);
        return 0;
    }
    if (code == NGHTTP2_NO_ERROR && whole) {
        weir_h2_stream_close(s, st, WEIR_RESET_NONE, WEIR_STR(""));
    } else if (code == NGHTTP2_REFUSED_STREAM && !s->base.server) {
        /* Beyond the last stream of a GOAWAY. */
        weir_h2_stream_close(s, st, WEIR_RESET_REMOTE_REFUSED, WEIR_H2_DETAILS_REFUSE);
    } else if (!st->closed) {
        weir_h2_stream_count_reset(s, st);
        weir_h2_stream_close(s, st, WEIR_RESET_PROTOCOL, WEIR_H2_DETAILS_RESET);
    }
    return 0;
}

void weir_h2_receive_callbacks(nghttp2_session_callbacks *cbs)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
}

/* ---- bytes ---- */

/* Whether to go on. */
static bool feed(struct weir_h2_session *s, const uint8_t *p, size_t n)
{
    ssize_t rv = n == 0 ? 0 : nghttp2_session_mem_recv(s->ng, p, n);
    switch (rv) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        s->silent = true;
        weir_h2_fail(s, NGHTTP2_PROTOCOL_ERROR, WEIR_STR("codec_error:Bad_client_magic_byte_string"), NULL);
        break;
    case NGHTTP2_ERR_FLOODED:
        weir_h2_count(s, WEIR_H2_STAT_OUTBOUND_CONTROL_FLOOD);
        weir_h2_fail_flood(s, WEIR_STR("codec_error:Too_many_control_frames_in_the_outbound_queue."), NULL);
        break;
    default:
        if (rv < 0) weir_h2_fail(s, NGHTTP2_INTERNAL_ERROR, WEIR_H2_DETAILS_CODEC, NULL);
    }
    return !s->failed;
}

static bool frame_begin(struct weir_h2_session *s, const uint8_t *head)
{
    struct weir_h2_frame f;
    weir_h2_frame_parse(&f, head);
    struct weir_h2_stream *st = NULL;
    if (f.type == NGHTTP2_DATA || f.type == NGHTTP2_HEADERS)
        st = stream_by_id(s, f.stream_id);
    else if (f.type == NGHTTP2_CONTINUATION)
        st = s->block_stream;
    int32_t last_id = s->guard.last_id;
    const struct weir_h2_guard_fault *fault = weir_h2_guard_frame(&s->guard, &f, st != NULL);
    if (fault != NULL) {
        if (fault->stat >= 0) weir_h2_count(s, (enum weir_h2_stat)fault->stat);
        if (fault->code == NGHTTP2_ENHANCE_YOUR_CALM) weir_h2_fail_flood(s, fault->details, st != NULL && !st->orphan ? st : NULL);
        else weir_h2_fail(s, fault->code, fault->details, NULL);
        return false;
    }
    /* After the last GOAWAY nghttp2 ignores new streams, and so all that comes on them. */
    if (s->goaway_final && s->guard.last_id != last_id) weir_h2_guard_reset(&s->guard, f.stream_id);
    s->frame_left = f.length;
    if (st == NULL) return true;
    st->base.wire_bytes_rx += WEIR_H2_FRAME_HEADER + f.length;
    if (f.type != NGHTTP2_DATA) st->base.header_bytes_rx += WEIR_H2_FRAME_HEADER + f.length;
    return true;
}

/* One frame or what there is of it, or the preface; returns the bytes taken. */
static size_t input_some(struct weir_h2_session *s, const uint8_t *p, size_t n)
{
    if (s->preface_left != 0) {
        size_t m = n < s->preface_left ? n : s->preface_left;
        s->preface_left -= (uint32_t)m;
        (void)feed(s, p, m);
        return m;
    }
    size_t head = 0; /* bytes of the frame's header at p */
    if (s->frame_left == 0) {
        if (s->frame_head_n != 0 || n < WEIR_H2_FRAME_HEADER) {
            size_t want = WEIR_H2_FRAME_HEADER - s->frame_head_n;
            size_t m = n < want ? n : want;
            memcpy(s->frame_head + s->frame_head_n, p, m);
            s->frame_head_n += (uint32_t)m;
            if (m < want) return m;
            s->frame_head_n = 0;
            if (frame_begin(s, s->frame_head)) (void)feed(s, s->frame_head, WEIR_H2_FRAME_HEADER);
            return m;
        }
        head = WEIR_H2_FRAME_HEADER;
        if (!frame_begin(s, p)) return n;
    }
    size_t m = n - head < s->frame_left ? n - head : s->frame_left;
    s->frame_left -= (uint32_t)m;
    (void)feed(s, p, head + m);
    return head + m;
}

void weir_h2_input(struct weir_codec *c, struct weir_slice bytes)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    weir_h2_enter(s);
    s->input = bytes;
    for (size_t at = 0; at < bytes.n && !s->failed && !s->dead;)
        at += input_some(s, bytes.p + at, bytes.n - at);
    s->input = (struct weir_slice){0};
    if (bytes.block != NULL) weir_block_release(bytes.block);

    uint32_t control_max = weir_h2_setting(c->config->h2_max_outbound_control_frames, WEIR_H2_OUTBOUND_CONTROL_FRAMES_MAX);
    uint32_t frames_max = weir_h2_setting(c->config->h2_max_outbound_frames, WEIR_H2_OUTBOUND_FRAMES_MAX);
    if (s->control_queued > control_max) {
        if (!s->failed) weir_h2_count(s, WEIR_H2_STAT_OUTBOUND_CONTROL_FLOOD);
        weir_h2_fail_flood(s, WEIR_STR("codec_error:Too_many_control_frames_in_the_outbound_queue."), NULL);
    } else if (nghttp2_session_get_outbound_queue_size(s->ng) > frames_max) {
        if (!s->failed) weir_h2_count(s, WEIR_H2_STAT_OUTBOUND_FLOOD);
        weir_h2_fail_flood(s, WEIR_STR("http2.outbound_frames_flood"), NULL);
    }
    weir_h2_leave(s);
}
