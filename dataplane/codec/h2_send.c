/* The sending half of HTTP/2: field lines for nghttp2, bodies by reference, and what nghttp2 has to say into one chain, small
 * frames side by side in a block: a connection's whole turn leaves in one system call. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/h2_session.h"

/* ---- field lines ---- */

void weir_h2_fields_init(struct weir_h2_fields *f, const struct weir_headers *h)
{
    size_t most = (size_t)h->count + 2;
    f->count = 0;
    f->at = f->inline_at;
    if (most <= WEIR_H2_FIELDS_ON_STACK) return;
    f->at = malloc(sizeof(f->at[0]) * most);
    if (f->at == NULL) weir_h2_must(NGHTTP2_ERR_NOMEM);
}

void weir_h2_fields_deinit(struct weir_h2_fields *f)
{
    if (f->at != f->inline_at) free(f->at);
}

/* Values that differ with every message would only push others out of the peer's table. */
static bool worth_indexing(enum weir_header_id id)
{
    return id != WEIR_H_X_REQUEST_ID && id != WEIR_H_TRACEPARENT && id != WEIR_H_SEC_WEBSOCKET_KEY;
}

static void add(struct weir_h2_fields *f, struct weir_str name, enum weir_header_id id, struct weir_str value)
{
    uint8_t flags = id != WEIR_H_NONE ? NGHTTP2_NV_FLAG_NO_COPY_NAME : NGHTTP2_NV_FLAG_NONE; /* interned: static */
    if (!worth_indexing(id)) flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    static const uint8_t nothing[1] = {0};
    f->at[f->count++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p,
                                     (uint8_t *)(uintptr_t)(value.n != 0 ? (const uint8_t *)value.p : nothing), name.n,
                                     value.n, flags};
}

void weir_h2_fields_add(struct weir_h2_fields *f, enum weir_header_id id, struct weir_str value)
{
    add(f, weir_header_name(id), id, value);
}

void weir_h2_fields_add_header(struct weir_h2_fields *f, const struct weir_header *x)
{
    add(f, x->id != WEIR_H_NONE ? weir_header_name((enum weir_header_id)x->id) : x->name, (enum weir_header_id)x->id, x->value);
}

bool weir_h2_hop_by_hop(const struct weir_header *x)
{
    switch (x->id) {
    case WEIR_H_CONNECTION:
    case WEIR_H_KEEP_ALIVE:
    case WEIR_H_PROXY_CONNECTION:
    case WEIR_H_TRANSFER_ENCODING:
    case WEIR_H_UPGRADE:
    case WEIR_H_HTTP2_SETTINGS: return true;
    case WEIR_H_TE: return !weir_str_eq_nocase(x->value, WEIR_STR("trailers"));
    default: return false;
    }
}

/* ---- bodies ---- */

static void submit_trailers(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    struct weir_h2_fields f;
    weir_h2_fields_init(&f, st->tx_trailers);
    for (uint32_t i = 0; i < st->tx_trailers->count; i++) {
        const struct weir_header *x = &st->tx_trailers->at[i];
        if (!weir_h2_hop_by_hop(x) && x->name.n != 0 && x->name.p[0] != ':') weir_h2_fields_add_header(&f, x);
    }
    weir_h2_must(nghttp2_submit_trailer(s->ng, st->id, f.at, f.count));
    weir_h2_fields_deinit(&f);
}

/* nghttp2 asks how much of a body goes into the next frame. */
static ssize_t read_body(nghttp2_session *ng, int32_t stream_id, uint8_t *buf, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *user_data)
{
    (void)ng;
    (void)stream_id;
    (void)buf;
    struct weir_h2_session *s = user_data;
    struct weir_h2_stream *st = source->ptr;
    if (st->tx.bytes == 0 && !st->tx_end) {
        st->tx_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t m = st->tx.bytes < n ? st->tx.bytes : n;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (m != st->tx.bytes || !st->tx_end) return (ssize_t)m;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->tx_trailers == NULL) return (ssize_t)m;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    submit_trailers(s, st);
    return (ssize_t)m;
}

nghttp2_data_provider weir_h2_data_of(struct weir_h2_stream *st)
{
    return (nghttp2_data_provider){.source = {.ptr = st}, .read_callback = read_body};
}

static void resume(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    if (st->tx_deferred && st->in_session) {
        st->tx_deferred = false;
        (void)nghttp2_session_resume_data(s->ng, st->id); /* fails where nghttp2 is resetting the stream by itself */
    }
    weir_h2_want_output(s);
}

/* Of a blocked connection every stream is that has something to send: what each may queue adds up. */
static bool water_turned(const struct weir_h2_session *s, const struct weir_h2_stream *st)
{
    if (st->orphan || st->closed) return false;
    size_t line = s->blocked ? 0 : st->tx_blocked ? s->low_water : s->high_water;
    return (st->tx.bytes > line) != st->tx_blocked;
}

void weir_h2_check_water(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    if (water_turned(s, st) && !weir_list_linked(&st->water)) weir_list_push_back(&s->water, &st->water);
}

/* Takes what is to be sent. Small pieces that have to wait are copied together: each would hold a whole read block. */
static void queue(struct weir_h2_session *s, struct weir_h2_stream *st, struct weir_buffer *data)
{
    if (st->tx.bytes < WEIR_BLOCK_BYTES || data->bytes / data->count >= WEIR_H2_COPY_BYTES_MAX) {
        weir_buffer_move(&st->tx, data);
        return;
    }
    for (uint32_t i = 0; i < data->count; i++) {
        const struct weir_slice *slice = weir_buffer_slice(data, i);
        weir_buffer_append(&st->tx, &s->base.worker->blocks, slice->p, slice->n);
    }
    weir_buffer_deinit(data);
}

void weir_h2_send_data(struct weir_codec_stream *cs, struct weir_buffer *data, bool end)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    assert(!st->tx_end && !st->orphan);
    if (st->closed) { /* the peer's reset is on its way to the owner */
        weir_buffer_deinit(data);
        return;
    }
    if (data->count != 0) queue(s, st, data);
    st->tx_end = end;
    weir_h2_check_water(s, st);
    if (st->tx.bytes != 0 || end) resume(s, st);
}

void weir_h2_send_trailers(struct weir_codec_stream *cs, const struct weir_headers *h)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    assert(!st->tx_end && !st->orphan);
    if (st->closed) return;
    st->tx_end = true;
    /* They go when the body has gone; the caller's map may be gone by then. */
    st->tx_trailers = WEIR_NEW(cs->arena, struct weir_headers, 1);
    weir_headers_init(st->tx_trailers, cs->arena);
    for (uint32_t i = 0; i < h->count; i++)
        weir_headers_add_copy(st->tx_trailers, h->at[i].name, h->at[i].value);
    resume(s, st);
}

size_t weir_h2_send_queued(const struct weir_codec_stream *cs)
{
    return ((const struct weir_h2_stream *)cs)->tx.bytes;
}

/* ---- output ---- */

/* Copies a frame or a part of one into the block that this call fills. */
static void put(struct weir_h2_session *s, const uint8_t *p, size_t n)
{
    s->output_bytes += n;
    while (n != 0) {
        if (s->output_block == NULL || s->output_used == s->output_block->capacity) {
            if (s->output_block != NULL) weir_block_release(s->output_block);
            s->output_block = weir_block_create(&s->base.worker->blocks, 0);
            s->output_used = 0;
        }
        size_t room = s->output_block->capacity - s->output_used, m = n < room ? n : room;
        uint8_t *at = s->output_block->data + s->output_used;
        memcpy(at, p, m);
        weir_block_acquire(s->output_block);
        weir_buffer_push(s->output, (struct weir_slice){at, m, s->output_block});
        s->output_used += (uint32_t)m;
        p += m;
        n -= m;
    }
}

static void put_body(struct weir_h2_session *s, struct weir_h2_stream *st, size_t n)
{
    if (n > WEIR_H2_COPY_BYTES_MAX) {
        s->output_bytes += n;
        weir_buffer_move_n(s->output, &st->tx, n);
        return;
    }
    for (size_t left = n; left != 0;) {
        const struct weir_slice *first = weir_buffer_slice(&st->tx, 0);
        size_t m = first->n < left ? first->n : left;
        put(s, first->p, m);
        weir_buffer_consume(&st->tx, m);
        left -= m;
    }
}

static int send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n, nghttp2_data_source *source,
                     void *user_data)
{
    (void)ng;
    (void)frame;
    struct weir_h2_session *s = user_data;
    struct weir_h2_stream *st = source->ptr;
    put(s, head, WEIR_H2_FRAME_HEADER);
    put_body(s, st, n);
    st->base.wire_bytes_tx += WEIR_H2_FRAME_HEADER + n;
    s->guard.data_sent++;
    weir_h2_check_water(s, st);
    return s->output_bytes < WEIR_H2_OUTPUT_BYTES_MAX ? 0 : NGHTTP2_ERR_PAUSE;
}

static void end_left(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    st->tx_end_left = true;
    if (st->reset_after_end && !st->rx_end && !st->end_with_head) weir_h2_stream_rst(s, st, NGHTTP2_NO_ERROR);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct weir_h2_session *s = user_data;
    struct weir_h2_stream *st = NULL;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        if (st == NULL) break;
        st->base.header_bytes_tx += WEIR_H2_FRAME_HEADER + frame->hd.length;
        st->base.wire_bytes_tx += WEIR_H2_FRAME_HEADER + frame->hd.length;
        st->tx_head_left |= st->head_sent;
        if (end) end_left(s, st);
        if (st->reset_after_head) weir_h2_stream_rst(s, st, st->reset_code);
        break;
    case NGHTTP2_DATA:
        if (!end) break;
        st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        if (st != NULL) end_left(s, st);
        break;
    case NGHTTP2_GOAWAY:
        weir_h2_count(s, WEIR_H2_STAT_GOAWAY_SENT);
        /* nghttp2's own judgement of what the peer sent. */
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
            weir_h2_fail(s, frame->goaway.error_code, WEIR_H2_DETAILS_CODEC, NULL);
        break;
    default: break;
    }
    return 0;
}

/* Headers that cannot be put on the wire; those of streams that are over are no loss. */
static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user_data)
{
    struct weir_h2_session *s = user_data;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (error != NGHTTP2_ERR_FRAME_SIZE_ERROR && error != NGHTTP2_ERR_HEADER_COMP) return 0;
    struct weir_h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (st == NULL) return 0;
    weir_h2_stream_rst(s, st, NGHTTP2_INTERNAL_ERROR);
    weir_h2_stream_close(s, st, WEIR_RESET_LOCAL, WEIR_STR(""));
    return 0;
}

void weir_h2_send_callbacks(nghttp2_session_callbacks *cbs)
{
    nghttp2_session_callbacks_set_send_data_callback(cbs, send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_frame_not_send);
}

/* The first SETTINGS: the number of streams that we allow, which nghttp2 was not told (settings_submit()). */
static void put_settings(struct weir_h2_session *s, const uint8_t *p, size_t n)
{
    uint8_t copy[WEIR_H2_FRAME_HEADER + 16 * 6];
    assert(n <= sizeof(copy));
    memcpy(copy, p, n);
    for (size_t at = WEIR_H2_FRAME_HEADER; at + 6 <= n; at += 6) {
        if (copy[at] != 0 || copy[at + 1] != NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) continue;
        for (int i = 0; i < 4; i++)
            copy[at + 2 + (size_t)i] = (uint8_t)(s->streams_max >> (24 - 8 * i));
    }
    put(s, copy, n);
}

static void drain(struct weir_h2_session *s)
{
    s->output_bytes = 0;
    while (s->output_bytes < WEIR_H2_OUTPUT_BYTES_MAX) {
        const uint8_t *p = NULL;
        ssize_t n = nghttp2_session_mem_send(s->ng, &p);
        weir_h2_must((int)n);
        if (n == 0) break;
        if (!s->settings_left && n >= (ssize_t)WEIR_H2_FRAME_HEADER && p[3] == NGHTTP2_SETTINGS && p[0] == 0) {
            s->settings_left = true;
            put_settings(s, p, (size_t)n);
            continue;
        }
        put(s, p, (size_t)n);
    }
    if (s->output_block != NULL) weir_block_release(s->output_block);
    s->output_block = NULL;
    if (s->output_bytes < WEIR_H2_OUTPUT_BYTES_MAX) s->control_queued = 0;
}

/* Owners hear of their watermarks at most once a call, after the bytes that could leave have left. */
void weir_h2_tell_water(struct weir_h2_session *s)
{
    while (!weir_list_empty(&s->water)) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(s->water.next, struct weir_h2_stream, water);
        weir_list_remove(&st->water);
        if (!water_turned(s, st)) continue;
        st->tx_blocked = !st->tx_blocked;
        void (*event)(void *) = st->tx_blocked ? st->base.events->on_send_blocked : st->base.events->on_send_ready;
        if (event != NULL) event(st->base.ctx);
    }
}

void weir_h2_output(struct weir_codec *c, struct weir_buffer *to)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    s->output_asked = false;
    weir_h2_enter(s);
    weir_h2_settle(s);
    if (weir_h2_can_send(s)) {
        s->output = to;
        drain(s);
        s->output = NULL;
    }
    weir_h2_tell_water(s);
    weir_h2_leave(s);
}
