/* HTTP/2 sessions: making and ending them and their streams, and telling owners what has come. h2_receive.c turns bytes into
 * the state of streams that is delivered here, h2_send.c what owners send into bytes. */
#include "dataplane/codec/h2_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"

#define STREAMS_UNLIMITED 0x7fffffffu

static void *must(void *p)
{
    if (p != NULL) return p;
    (void)fprintf(stderr, "weir: out of memory\n");
    abort();
}

void weir_h2_must(int rv)
{
    if (rv >= 0) return;
    (void)fprintf(stderr, "weir: nghttp2: %s\n", nghttp2_strerror(rv));
    abort();
}

static nghttp2_option *options_of(const struct weir_codec_config *config)
{
    nghttp2_option *o = NULL;
    weir_h2_must(nghttp2_option_new(&o));
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_http_messaging(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_outbound_ack(
        o, weir_h2_setting(config->h2_max_outbound_control_frames, WEIR_H2_OUTBOUND_CONTROL_FRAMES_MAX));
    nghttp2_option_set_max_deflate_dynamic_table_size(
        o, weir_h2_setting(config->h2_header_table_size, WEIR_H2_HEADER_TABLE_DEFAULT));
    nghttp2_option_set_max_send_header_block_length(o, 2 * (size_t)WEIR_HEADERS_BYTES_MAX);
    /* Header blocks have a limit of ours; nghttp2's must not come before it. */
    nghttp2_option_set_max_continuations(o, 8 + config->header_bytes_max / WEIR_H2_FRAME_PAYLOAD_MAX);
    /* Resets have one of ours too, which spares streams that were answered. */
    nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
    return o;
}

static void settings_submit(struct weir_h2_session *s, const struct weir_codec_config *config)
{
    nghttp2_settings_entry iv[5];
    size_t n = 0;
    iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE,
                                       weir_h2_setting(config->h2_header_table_size, WEIR_H2_HEADER_TABLE_DEFAULT)};
    /* nghttp2 would end the connection where the peer passes the limit; RFC 9113 5.1.2 asks for REFUSED_STREAM. So it is told
     * of none, and h2_send.c writes the true value into the frame. */
    iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                       s->base.server ? STREAMS_UNLIMITED : s->streams_max};
    iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                       weir_h2_setting(config->h2_stream_window, WEIR_H2_STREAM_WINDOW_DEFAULT)};
    if (s->base.server)
        iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, config->h2_allow_connect};
    else
        iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    weir_h2_must(nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, iv, n));
    uint32_t window = weir_h2_setting(config->h2_connection_window, WEIR_H2_CONNECTION_WINDOW_DEFAULT);
    if (window > NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE)
        weir_h2_must(nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)window));
}

struct weir_h2_session *weir_h2_session_create(struct weir_worker *w, const struct weir_codec_config *config,
                                               const struct weir_codec_events *events, void *owner, bool server)
{
    struct weir_h2_session *s = must(calloc(1, sizeof(*s)));
    s->base = (struct weir_codec){
        .ops = server ? &weir_h2_server_ops : &weir_h2_client_ops,
        .events = events,
        .owner = owner,
        .worker = w,
        .config = config,
        .kind = WEIR_CODEC_H2,
        .server = server,
    };
    weir_list_init(&s->streams);
    weir_list_init(&s->ready);
    weir_list_init(&s->water);
    weir_list_init(&s->graves);
    weir_h2_guard_init(&s->guard, server, config);
    s->preface_left = server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    s->streams_max = weir_h2_setting(config->h2_max_concurrent_streams, WEIR_H2_CONCURRENT_STREAMS_DEFAULT);
    s->high_water = weir_h2_setting(config->stream_high_water, WEIR_BUFFER_LIMIT_DEFAULT);
    s->low_water = config->stream_low_water != 0 ? config->stream_low_water : s->high_water / 2;

    nghttp2_session_callbacks *cbs = NULL;
    weir_h2_must(nghttp2_session_callbacks_new(&cbs));
    weir_h2_receive_callbacks(cbs);
    weir_h2_send_callbacks(cbs);
    nghttp2_option *o = options_of(config);
    weir_h2_must(server ? nghttp2_session_server_new2(&s->ng, cbs, s, o) : nghttp2_session_client_new2(&s->ng, cbs, s, o));
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cbs);
    settings_submit(s, config);
    weir_h2_want_output(s);
    return s;
}

struct weir_h2_stream *weir_h2_stream_create(struct weir_h2_session *s, int32_t id)
{
    struct weir_h2_stream *st = must(calloc(1, sizeof(*st)));
    st->base.ops = s->base.server ? &weir_h2_server_stream_ops : &weir_h2_client_stream_ops;
    st->base.codec = &s->base;
    st->base.protocol = WEIR_HTTP2;
    st->id = id;
    st->in_session = id != 0;
    st->start_ns = s->base.worker->now_ns;
    st->rx_expected = -1;
    weir_list_push_back(&s->streams, &st->node);
    s->stream_count++;
    s->base.active_streams++;
    if (s->base.stats != NULL) weir_stat_add(s->base.stats, WEIR_H2_STAT_STREAMS_ACTIVE, 1);
    return st;
}

void weir_h2_consume(struct weir_h2_session *s, struct weir_h2_stream *st, size_t n)
{
    assert(s->held >= n);
    s->held -= n;
    if (n != 0 && st->in_session && !st->reset_sent && !s->dead)
        weir_h2_must(nghttp2_session_consume_stream(s->ng, st->id, n));
}

/* The connection's window: what has come and is not held back for a paused reader. nghttp2 would wait until half of it was
 * consumed, which never comes where paused streams hold the other half; so it goes back earlier when little is left. */
static void give_credit(struct weir_h2_session *s)
{
    int32_t window = nghttp2_session_get_effective_local_window_size(s->ng);
    int64_t used = nghttp2_session_get_effective_recv_data_length(s->ng), free_again = used - (int64_t)s->held;
    if (free_again <= 0 || (free_again < window / 2 && window - used > window / 4)) return;
    weir_h2_must(nghttp2_submit_window_update(s->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)free_again));
}

static void drop_received(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    weir_h2_consume(s, st, st->rx.bytes);
    weir_buffer_deinit(&st->rx);
    st->head = st->trailers = NULL;
    st->informational = NULL;
}

void weir_h2_stream_orphan(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    assert(!st->orphan);
    st->orphan = true;
    drop_received(s, st);
    weir_list_remove(&st->ready);
    weir_list_remove(&st->water);
    if (s->block_stream == st) s->block_stream = NULL;
    if (s->error_stream == st) s->error_stream = NULL;
    st->block = NULL;
    s->base.active_streams--;
}

void weir_h2_stream_free(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    if (!st->orphan) weir_h2_stream_orphan(s, st);
    weir_list_remove(&st->node);
    s->stream_count--;
    s->capacity_changed = !s->base.server;
    if (s->base.stats != NULL) weir_stat_add(s->base.stats, WEIR_H2_STAT_STREAMS_ACTIVE, -1);
    weir_buffer_deinit(&st->tx);
    weir_arena_destroy(st->own_arena);
    st->own_arena = NULL;
    if (s->busy != 0)
        weir_list_push_back(&s->graves, &st->node);
    else
        free(st);
}

void weir_h2_stream_ready(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    if (!weir_list_linked(&st->ready)) weir_list_push_back(&s->ready, &st->ready);
}

void weir_h2_want_output(struct weir_h2_session *s)
{
    if (s->output_asked || s->dead || s->busy != 0) return; /* weir_h2_leave() looks again */
    s->output_asked = true;
    s->base.events->on_output(s->base.owner);
}

void weir_h2_stream_rst(struct weir_h2_session *s, struct weir_h2_stream *st, uint32_t code)
{
    if (!st->in_session || st->reset_sent) return;
    st->reset_sent = true;
    weir_h2_count(s, WEIR_H2_STAT_TX_RESET);
    weir_h2_must(nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, code));
}

void weir_h2_stream_close(struct weir_h2_session *s, struct weir_h2_stream *st, enum weir_reset reason, struct weir_str details)
{
    if (st->closed || st->orphan) return;
    st->closed = true;
    st->close_reason = reason;
    st->rx_details = details;
    weir_h2_stream_ready(s, st);
}

void weir_h2_stream_count_reset(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    if (!s->base.server || st->counted || st->head_sent) return;
    if (s->base.worker->now_ns - st->start_ns > WEIR_H2_PREMATURE_NS) return;
    st->counted = true;
    s->resets_unanswered++;
    uint64_t done = s->streams_done < WEIR_H2_PREMATURE_RESETS_TOTAL ? WEIR_H2_PREMATURE_RESETS_TOTAL : s->streams_done;
    if (s->resets_unanswered * 2 >= done)
        weir_h2_fail_flood(s, WEIR_CODEC_DETAILS_PREMATURE_RESETS, NULL);
}

void weir_h2_fail(struct weir_h2_session *s, uint32_t code, struct weir_str details, struct weir_h2_stream *st)
{
    if (s->failed) return;
    s->failed = true;
    s->error_code = code;
    s->error_details = details;
    s->error_stream = st;
}

void weir_h2_fail_flood(struct weir_h2_session *s, struct weir_str details, struct weir_h2_stream *st)
{
    s->flood |= !s->failed;
    weir_h2_fail(s, NGHTTP2_ENHANCE_YOUR_CALM, details, st);
}

bool weir_h2_can_send(const struct weir_h2_session *s)
{
    return !s->blocked && !s->silent && !s->dead && nghttp2_session_want_write(s->ng);
}

void weir_h2_enter(struct weir_h2_session *s)
{
    s->busy++;
}

static void deliver_data(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    bool end = st->rx_end && st->trailers == NULL;
    size_t n = st->rx.bytes;
    if (n == 0 && (!end || st->rx_end_told)) return;
    struct weir_buffer data;
    weir_buffer_init(&data);
    weir_buffer_move(&data, &st->rx);
    st->rx_end_told = end;
    weir_h2_consume(s, st, n);
    st->base.events->on_data(st->base.ctx, &data, end);
    weir_buffer_deinit(&data);
}

static void deliver_head(struct weir_h2_stream *st)
{
    const struct weir_stream_events *e = st->base.events;
    while (st->informational != NULL) {
        struct weir_h2_informational *i = st->informational;
        st->informational = i->next;
        if (e->on_informational != NULL) e->on_informational(st->base.ctx, &i->headers);
        if (st->orphan) return;
    }
    if (st->head == NULL) return;
    struct weir_headers *head = st->head;
    st->head = NULL;
    st->rx_end_told = st->end_with_head;
    e->on_headers(st->base.ctx, head, st->end_with_head);
}

static void deliver_body(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    deliver_data(s, st);
    if (st->orphan || st->trailers == NULL) return;
    struct weir_headers *trailers = st->trailers;
    st->trailers = NULL;
    st->rx_end_told = true;
    st->base.events->on_trailers(st->base.ctx, trailers);
}

/* Tells the owner of one stream what has come, in order, as far as it may be told now. A server drops what came of a request
 * that is no more; a client passes on what came before the end, but not the body of a message that breaks the rules. */
static void deliver_stream(struct weir_h2_session *s, struct weir_h2_stream *st)
{
    bool broken = st->closed && st->close_reason != WEIR_RESET_NONE;
    bool whole = st->rx_end || st->end_with_head;
    bool tell_head = !broken || !s->base.server;
    bool tell_body = tell_head && !(broken && st->close_reason == WEIR_RESET_PROTOCOL && !whole);
    if (tell_head) deliver_head(st);
    if (!st->orphan && tell_body && !st->rx_paused) deliver_body(s, st);
    if (st->orphan || !st->closed || (tell_body && whole && !st->rx_end_told)) return;
    const struct weir_stream_events *e = st->base.events;
    enum weir_reset reason = st->close_reason;
    struct weir_str details = st->rx_details;
    void *ctx = st->base.ctx;
    weir_h2_stream_orphan(s, st);
    if (!st->in_session) weir_h2_stream_free(s, st);
    e->on_closed(ctx, reason, details);
}

/* Every stream is over, except that a client goes on to deliver responses that have come whole. */
static void fail_streams(struct weir_h2_session *s, enum weir_reset reason, struct weir_str details)
{
    for (struct weir_list *at = s->streams.next, *next; at != &s->streams; at = next) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(at, struct weir_h2_stream, node);
        next = at->next;
        bool own = s->error_stream == NULL || s->error_stream == st;
        weir_h2_stream_close(s, st, reason, own ? details : WEIR_H2_DETAILS_CODEC);
    }
}

void weir_h2_settle(struct weir_h2_session *s)
{
    bool streams_cut = s->base.active_streams != 0;
    if (s->failed && !s->failed_told) {
        if (!s->dead) weir_h2_must(nghttp2_session_terminate_session(s->ng, s->error_code));
        fail_streams(s, WEIR_RESET_PROTOCOL, s->error_details);
    }
    while (!weir_list_empty(&s->ready)) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(s->ready.next, struct weir_h2_stream, ready);
        weir_list_remove(&st->ready);
        deliver_stream(s, st);
    }
    const struct weir_codec_events *e = s->base.events;
    if (s->settings_seen && !s->base.server) weir_h2_client_settings(s);
    if (s->draining && !s->draining_told) {
        s->draining_told = true;
        if (e->on_draining != NULL) e->on_draining(s->base.owner);
    }
    if (s->capacity_changed && !s->failed && !s->dead) {
        s->capacity_changed = false;
        if (e->on_capacity != NULL) e->on_capacity(s->base.owner);
    }
    if (s->pong) {
        s->pong = false;
        if (e->on_pong != NULL) e->on_pong(s->base.owner);
    }
    if (s->failed && !s->failed_told) {
        s->failed_told = true;
        e->on_error(s->base.owner, &(struct weir_codec_error){.details = s->error_details, .flood = s->flood, .streams_cut = streams_cut});
    }
}

void weir_h2_leave(struct weir_h2_session *s)
{
    if (s->busy == 1) {
        weir_h2_settle(s);
        while (!weir_list_empty(&s->graves)) {
            struct weir_h2_stream *st = WEIR_CONTAINER_OF(s->graves.next, struct weir_h2_stream, node);
            weir_list_remove(&st->node);
            free(st);
        }
    }
    s->busy--;
    if (s->busy == 0 && !s->failed && !s->dead) give_credit(s);
    if (s->busy == 0 && (weir_h2_can_send(s) || !weir_list_empty(&s->ready))) weir_h2_want_output(s);
}

static uint32_t reset_code(bool server, enum weir_reset reason)
{
    switch (reason) {
    case WEIR_RESET_LOCAL_REFUSED: return NGHTTP2_REFUSED_STREAM;
    case WEIR_RESET_REMOTE_NO_ERROR: return NGHTTP2_NO_ERROR;
    case WEIR_RESET_PROTOCOL: return NGHTTP2_PROTOCOL_ERROR;
    case WEIR_RESET_CONNECT: return NGHTTP2_CONNECT_ERROR;
    default: return server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL;
    }
}

/* The owner's arena may go with the owner. */
static void keep_trailers(struct weir_h2_stream *st)
{
    const struct weir_headers *theirs = st->tx_trailers;
    if (theirs == NULL) return;
    st->own_arena = weir_arena_create();
    st->tx_trailers = WEIR_NEW(st->own_arena, struct weir_headers, 1);
    weir_headers_init(st->tx_trailers, st->own_arena);
    for (uint32_t i = 0; i < theirs->count; i++)
        weir_headers_add_copy(st->tx_trailers, theirs->at[i].name, theirs->at[i].value);
}

void weir_h2_reset(struct weir_codec_stream *cs, enum weir_reset reason)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    weir_h2_stream_orphan(s, st);
    if (reason == WEIR_RESET_NONE && s->base.server && st->tx_end) {
        st->reset_after_end = true;
        keep_trailers(st);
        if (st->tx_end_left && !st->rx_end && !st->end_with_head) weir_h2_stream_rst(s, st, NGHTTP2_NO_ERROR);
    } else {
        weir_buffer_deinit(&st->tx);
        st->reset_code = reset_code(s->base.server, reason);
        st->reset_after_head = st->in_session && st->head_sent && !st->tx_head_left;
        if (!st->reset_after_head) weir_h2_stream_rst(s, st, st->reset_code);
    }
    if (!st->in_session) weir_h2_stream_free(s, st);
    weir_h2_want_output(s);
}

void weir_h2_read_pause(struct weir_codec_stream *cs, bool pause)
{
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    struct weir_h2_session *s = weir_h2_session_of(cs->codec);
    if (st->rx_paused == pause) return;
    st->rx_paused = pause;
    if (pause || (st->rx.bytes == 0 && st->trailers == NULL && !st->closed && !(st->rx_end && !st->rx_end_told))) return;
    weir_h2_stream_ready(s, st);
    weir_h2_want_output(s);
}

void weir_h2_input_eof(struct weir_codec *c)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    weir_h2_enter(s);
    /* Without window updates from the peer no stream can go on for long, and no client of HTTP/2 half-closes. */
    fail_streams(s, WEIR_RESET_CONNECTION, c->server ? WEIR_STR("downstream_remote_disconnect") : WEIR_STR(""));
    s->draining = true;
    weir_h2_leave(s);
}

void weir_h2_connection_gone(struct weir_codec *c, enum weir_reset reason, struct weir_str details)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    weir_h2_enter(s);
    s->dead = true;
    for (struct weir_list *at = s->streams.next; at != &s->streams; at = at->next) {
        /* Now or never, also for what was over already and waited for its reader. */
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(at, struct weir_h2_stream, node);
        st->rx_paused = false;
        if (!st->orphan) weir_h2_stream_ready(s, st);
    }
    fail_streams(s, reason, details);
    weir_h2_leave(s);
}

void weir_h2_transport_blocked(struct weir_codec *c, bool blocked)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    if (s->blocked == blocked) return;
    s->blocked = blocked;
    weir_h2_enter(s);
    for (struct weir_list *at = s->streams.next; at != &s->streams; at = at->next)
        weir_h2_check_water(s, WEIR_CONTAINER_OF(at, struct weir_h2_stream, node));
    weir_h2_tell_water(s);
    weir_h2_leave(s);
}

/* A server's answers that nobody owns any more may have bytes that wait for the client's window. */
bool weir_h2_idle(const struct weir_codec *c)
{
    return c->active_streams == 0 && (!c->server || ((const struct weir_h2_session *)c)->stream_count == 0);
}

void weir_h2_ping(struct weir_codec *c)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    weir_h2_must(nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, NULL));
    weir_h2_want_output(s);
}

void weir_h2_reply(struct weir_codec *c, const struct weir_codec_error *e, struct weir_str date, struct weir_str server_name)
{
    /* Answers without a stream are HTTP/1's; here GOAWAY says all there is to say. */
    (void)c;
    (void)e;
    (void)date;
    (void)server_name;
}

void weir_h2_destroy(struct weir_codec *c)
{
    struct weir_h2_session *s = weir_h2_session_of(c);
    assert(s->busy == 0);
    s->dead = true;
    while (!weir_list_empty(&s->streams))
        weir_h2_stream_free(s, WEIR_CONTAINER_OF(s->streams.next, struct weir_h2_stream, node));
    nghttp2_session_del(s->ng);
    free(s);
}
