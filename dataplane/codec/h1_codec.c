/* One HTTP/1 connection's flow of bytes, the same for both sides: reading as far as the exchange allows, holding the rest,
 * sending in order. Called through the codec operations; what differs is in h1_server.c and h1_client.c. */
#include "dataplane/codec/h1_codec.h"

#include <assert.h>
#include <stdlib.h>

#include "dataplane/limits.h"

const struct weir_stat_desc weir_h1_stat_descs[WEIR_H1_STAT_COUNT] = {
#define X(id, name, kind) {name, kind},
    WEIR_H1_STATS(X)
#undef X
};

void weir_h1_count_underscores(const struct weir_h1 *h, uint32_t count)
{
    if (count == 0 || h->codec.stats == NULL)
        return;
    if (h->codec.config->underscores == WEIR_UNDERSCORE_DROP)
        weir_stat_add(h->codec.stats, WEIR_H1_STAT_DROPPED_HEADERS_WITH_UNDERSCORES, count);
    else
        weir_stat_inc(h->codec.stats, WEIR_H1_STAT_REQUESTS_REJECTED_WITH_UNDERSCORES);
}

static void *allocate(size_t size)
{
    void *p = malloc(size);
    if (p == NULL)
        abort(); /* as the arena does: there is nothing left to answer with */
    return p;
}

struct weir_codec *weir_h1_create(struct weir_worker *w, const struct weir_codec_config *config,
                                  const struct weir_codec_events *events, void *owner, const struct weir_codec_ops *ops,
                                  const struct weir_h1_role *role, bool server)
{
    struct weir_h1 *h = allocate(sizeof *h);
    *h = (struct weir_h1){.role = role};
    h->codec = (struct weir_codec){
        .ops = ops,
        .events = events,
        .owner = owner,
        .worker = w,
        .config = config,
        .kind = WEIR_CODEC_H1,
        .server = server,
    };
    return &h->codec;
}

static void exchange_free(struct weir_h1 *h)
{
    struct weir_h1_exchange *x = h->x;
    weir_buffer_deinit(&x->out);
    weir_buffer_deinit(&x->held);
    if (x->early != NULL)
        weir_buffer_deinit(x->early);
    free(x->early);
    weir_h1_frames_deinit(&x->frames);
    free(x);
    h->x = NULL;
}

struct weir_h1_exchange *weir_h1_exchange_start(struct weir_h1 *h, const struct weir_codec_stream_ops *ops)
{
    struct weir_h1_exchange *x = h->x;
    if (x == NULL) {
        x = h->x = allocate(sizeof *x);
        weir_buffer_init(&x->out);
        weir_buffer_init(&x->held);
        x->early = NULL;
        x->frames = (struct weir_h1_frames){0};
    }
    assert(x->early == NULL);
    memset(&x->stream, 0, sizeof x->stream);
    memset(&x->parser, 0, sizeof *x - offsetof(struct weir_h1_exchange, parser));
    x->stream.ops = ops;
    x->stream.codec = &h->codec;
    x->open = true;
    h->codec.active_streams++;
    return x;
}

void weir_h1_parser_start(struct weir_h1 *h, enum weir_h1_kind kind)
{
    struct weir_h1_exchange *x = h->x;
    weir_h1_parser_init(&x->parser, kind, h->codec.config, x->stream.arena);
    x->head = NULL;
    x->head_n = x->head_capacity = 0;
}

void weir_h1_arm(struct weir_h1 *h)
{
    if (h->armed)
        return;
    h->armed = true;
    h->codec.events->on_output(h->codec.owner);
}

void weir_h1_set_draining(struct weir_h1 *h)
{
    if (h->draining)
        return;
    h->draining = true;
    if (h->codec.events->on_draining != NULL)
        h->codec.events->on_draining(h->codec.owner);
}

void weir_h1_close_stream(struct weir_h1 *h, enum weir_reset reason, struct weir_str details)
{
    struct weir_h1_exchange *x = h->x;
    if (x == NULL || !x->open)
        return;
    x->open = false;
    h->codec.active_streams--;
    x->stream.events->on_closed(x->stream.ctx, reason, details);
}

/* Reading. */

static bool may_read(const struct weir_h1_exchange *x)
{
    return x->reading == WEIR_H1_READ_HEAD ||
           ((x->reading == WEIR_H1_READ_BODY || x->reading == WEIR_H1_READ_TRAILERS) && !x->paused);
}

static void hold_front(struct weir_h1 *h, struct weir_slice s)
{
    weir_buffer_push_front(&h->x->held, s);
    if (!h->read_paused) {
        h->read_paused = true;
        h->codec.events->on_read_pause(h->codec.owner, true);
    }
}

/* Takes data's bytes in any case. */
static void deliver(struct weir_h1 *h, struct weir_buffer *data, bool end)
{
    struct weir_h1_exchange *x = h->x;
    if (end)
        x->reading = WEIR_H1_READ_DONE;
    x->stream.events->on_data(x->stream.ctx, data, end);
    weir_buffer_deinit(data);
}

void weir_h1_deliver_end(struct weir_h1 *h)
{
    struct weir_buffer none;
    weir_buffer_init(&none);
    deliver(h, &none, true);
}

static struct weir_slice part_of(struct weir_block *block, const uint8_t *p, size_t n)
{
    if (block != NULL)
        weir_block_acquire(block);
    return (struct weir_slice){p, n, block};
}

static void finish_trailers(struct weir_h1 *h, char *head)
{
    struct weir_h1_exchange *x = h->x;
    struct weir_headers *trailers = WEIR_NEW(x->stream.arena, struct weir_headers, 1);
    if (h->codec.config->h1_enable_trailers)
        weir_h1_trailers_read(&x->parser, head, trailers);
    if (trailers->count == 0) {
        weir_h1_deliver_end(h);
        return;
    }
    x->reading = WEIR_H1_READ_DONE;
    x->stream.events->on_trailers(x->stream.ctx, trailers);
}

static char *copy_head(struct weir_arena *arena, const char *p, size_t n)
{
    char *copy = weir_h1_room(arena, n);
    memcpy(copy, p, n);
    return copy;
}

static void head_done(struct weir_h1 *h, char *head)
{
    if (h->x->reading == WEIR_H1_READ_TRAILERS)
        finish_trailers(h, head);
    else
        h->role->head(h, head);
}

/* A head that comes whole is read where it lies and copied once; one in pieces is gathered. Returns the bytes used. */
static size_t take_head(struct weir_h1 *h, const uint8_t *p, size_t n)
{
    struct weir_h1_exchange *x = h->x;
    struct weir_h1_parser *parser = &x->parser;
    const char *head = (const char *)p;
    uint32_t before = x->head_n;
    enum weir_h1_result r = before == 0 ? weir_h1_parse(parser, head, n) : WEIR_H1_MORE;
    if (r == WEIR_H1_MORE) {
        size_t most = (size_t)parser->bytes_max + 1 - before;
        n = n < most ? n : most;
        if (x->head_capacity - before < n) {
            uint32_t capacity = x->head_capacity == 0 ? 512 : x->head_capacity * 2;
            while (capacity - before < n)
                capacity *= 2;
            char *more = weir_h1_room(x->stream.arena, capacity);
            if (before > 0)
                memcpy(more, x->head, before);
            x->head = more;
            x->head_capacity = capacity;
        }
        memcpy(x->head + before, p, n);
        x->head_n += (uint32_t)n;
        head = x->head;
        r = before == 0 ? r : weir_h1_parse(parser, head, x->head_n);
    }
    size_t used = r == WEIR_H1_MORE ? n : parser->at - before;
    x->stream.wire_bytes_rx += used;
    if (r == WEIR_H1_MORE)
        return n;
    if (x->reading == WEIR_H1_READ_HEAD)
        x->stream.header_bytes_rx += parser->at;
    if (r == WEIR_H1_BAD)
        h->role->fault(h, (enum weir_h1_fault)parser->fault);
    else
        head_done(h, head == x->head ? x->head : copy_head(x->stream.arena, head, parser->at));
    return used;
}

/* All data chunks of one piece go on together. */
static size_t take_chunks(struct weir_h1 *h, struct weir_block *block, const uint8_t *start, const uint8_t *end)
{
    struct weir_h1_exchange *x = h->x;
    struct weir_buffer data;
    weir_buffer_init(&data);
    const uint8_t *p = start;
    size_t n = 0;
    enum weir_h1_chunked_result r;
    while ((r = weir_h1_chunked_next(&x->chunked, &p, end, &n)) == WEIR_H1_CHUNKED_DATA) {
        weir_buffer_push(&data, part_of(block, p, n));
        p += n;
    }
    bool over = false;
    if (r == WEIR_H1_CHUNKED_END) {
        if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
            over = true;
            p += 2;
        } else {
            x->reading = WEIR_H1_READ_TRAILERS;
            weir_h1_parser_start(h, WEIR_H1_TRAILERS);
        }
    }
    x->stream.wire_bytes_rx += (size_t)(p - start);
    if (over || !weir_buffer_empty(&data))
        deliver(h, &data, over);
    else
        weir_buffer_deinit(&data);
    if (r == WEIR_H1_CHUNKED_BAD && x->open)
        h->role->fault(h, WEIR_H1_FAULT_CODEC);
    return (size_t)(p - start);
}

static size_t take_body(struct weir_h1 *h, struct weir_block *block, const uint8_t *p, const uint8_t *end)
{
    struct weir_h1_exchange *x = h->x;
    size_t n = (size_t)(end - p);
    if (x->in.body == WEIR_H1_BODY_CHUNKED)
        return take_chunks(h, block, p, end);
    bool over = false;
    if (x->in.body == WEIR_H1_BODY_LENGTH) {
        n = n < x->in_left ? n : (size_t)x->in_left;
        x->in_left -= n;
        over = x->in_left == 0;
    }
    x->stream.wire_bytes_rx += n;
    struct weir_buffer data;
    weir_buffer_init(&data);
    weir_buffer_push(&data, part_of(block, p, n));
    deliver(h, &data, over);
    return n;
}

/* Uses the bytes as far as the exchange may be read; the rest waits at the front of what is held. */
static void take(struct weir_h1 *h, struct weir_slice s)
{
    const uint8_t *p = s.p, *end = s.p + s.n;
    while (p < end && !h->dropping) {
        struct weir_h1_exchange *x = h->x;
        if (x == NULL || !x->open) {
            h->role->begin(h, &p, end);
            continue;
        }
        if (!may_read(x)) {
            if (h->draining && x->reading == WEIR_H1_READ_DONE && h->codec.server)
                break; /* a request after the last */
            if (x->reading == WEIR_H1_READ_DONE && !h->codec.server) {
                h->role->fault(h, WEIR_H1_FAULT_CODEC); /* bytes after the response */
                break;
            }
            hold_front(h, (struct weir_slice){p, (size_t)(end - p), s.block});
            return;
        }
        if (x->reading == WEIR_H1_READ_BODY)
            p += take_body(h, s.block, p, end);
        else
            p += take_head(h, p, (size_t)(end - p));
    }
    if (s.block != NULL)
        weir_block_release(s.block);
}

static void pump(struct weir_h1 *h)
{
    struct weir_h1_exchange *x;
    while ((x = h->x) != NULL && x->held.count > 0 && !h->dropping && (!x->open || may_read(x))) {
        if (!x->open && h->begun >= WEIR_H1_TURN_REQUESTS_MAX) {
            weir_h1_arm(h);
            return;
        }
        struct weir_slice s = *weir_buffer_slice(&x->held, 0);
        if (s.block != NULL)
            weir_block_acquire(s.block);
        weir_buffer_consume(&x->held, s.n);
        take(h, s);
    }
    if (h->x != NULL && h->x->held.count > 0)
        return;
    if (h->eof && !h->eof_seen && !h->dropping && (h->x == NULL || !h->x->open || may_read(h->x))) {
        h->eof_seen = true;
        h->role->eof(h);
    }
    if (h->read_paused && !h->eof && !h->dropping) {
        h->read_paused = false;
        h->codec.events->on_read_pause(h->codec.owner, false);
    }
}

static void run(struct weir_h1 *h)
{
    do
        pump(h);
    while (h->role->finish(h));
}

void weir_h1_enter(struct weir_h1 *h)
{
    if (h->calls++ == 0)
        h->begun = 0;
}

static void settle(struct weir_h1 *h)
{
    struct weir_h1_exchange *x = h->x;
    if (h->calls > 0 || x == NULL)
        return;
    if (h->dropping)
        weir_buffer_deinit(&x->held);
    if (!x->open && x->held.count == 0 && weir_buffer_empty(&x->out))
        exchange_free(h);
}

void weir_h1_leave(struct weir_h1 *h)
{
    h->calls--;
    settle(h);
}

void weir_h1_input(struct weir_codec *c, struct weir_slice bytes)
{
    struct weir_h1 *h = weir_h1_of(c);
    weir_h1_enter(h);
    if (h->dropping || bytes.n == 0) {
        if (bytes.block != NULL)
            weir_block_release(bytes.block);
    } else if (h->x != NULL && h->x->held.count > 0) {
        weir_buffer_push(&h->x->held, bytes);
    } else {
        take(h, bytes);
        run(h);
    }
    weir_h1_leave(h);
}

void weir_h1_input_eof(struct weir_codec *c)
{
    struct weir_h1 *h = weir_h1_of(c);
    weir_h1_enter(h);
    h->eof = true;
    run(h);
    weir_h1_leave(h);
}

/* Sending. */

static void arm_if_wanted(struct weir_h1 *h)
{
    const struct weir_h1_exchange *x = h->x;
    if (x == NULL)
        return;
    bool output = !h->blocked && !weir_buffer_empty(&x->out);
    if (output || (!x->open && x->held.count > 0 && !h->dropping))
        weir_h1_arm(h);
}

void weir_h1_output(struct weir_codec *c, struct weir_buffer *to)
{
    struct weir_h1 *h = weir_h1_of(c);
    weir_h1_enter(h);
    /* Held up until the end: what events send meanwhile leaves with this call. */
    h->armed = true;
    bool again;
    do {
        pump(h);
        struct weir_h1_exchange *x = h->x;
        if (x != NULL) {
            if (!h->blocked)
                weir_buffer_move(to, &x->out);
            if (x->out_body == WEIR_H1_BODY_TUNNEL && x->out_done && x->open && !h->write_ended && weir_buffer_empty(&x->out)) {
                h->write_ended = true;
                if (h->codec.events->on_write_end != NULL)
                    h->codec.events->on_write_end(h->codec.owner);
            }
            if (h->blocked && x->open && !x->told_blocked) {
                x->told_blocked = true;
                if (x->stream.events != NULL && x->stream.events->on_send_blocked != NULL)
                    x->stream.events->on_send_blocked(x->stream.ctx);
            }
        }
        again = h->role->finish(h);
    } while (again);
    h->armed = false;
    arm_if_wanted(h);
    weir_h1_leave(h);
}

void weir_h1_transport_blocked(struct weir_codec *c, bool blocked)
{
    struct weir_h1 *h = weir_h1_of(c);
    if (h->blocked == blocked)
        return;
    weir_h1_enter(h);
    h->blocked = blocked;
    struct weir_h1_exchange *x = h->x;
    if (x != NULL && x->open && x->told_blocked != blocked) {
        x->told_blocked = blocked;
        void (*event)(void *) = blocked ? x->stream.events->on_send_blocked : x->stream.events->on_send_ready;
        if (event != NULL)
            event(x->stream.ctx);
    }
    weir_h1_leave(h);
    arm_if_wanted(h);
}

/* A body of known length is kept to it: more would be read as the next message, less leaves the peer waiting. */
static void send_length(struct weir_h1 *h, struct weir_h1_exchange *x, struct weir_buffer *data, bool end)
{
    size_t n = data->bytes < x->out_left ? data->bytes : (size_t)x->out_left;
    bool excess = n < data->bytes;
    weir_buffer_move_n(&x->out, data, n);
    x->out_left -= n;
    if (excess || (end && x->out_left > 0)) {
        x->broken = true;
        weir_h1_set_draining(h);
    }
}

void weir_h1_send_data(struct weir_codec_stream *s, struct weir_buffer *data, bool end)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    assert(x->open && x->head_sent && (!x->out_done || x->out_body == WEIR_H1_BODY_NONE));
    size_t before = x->out.bytes;
    size_t n = data->bytes;
    switch ((enum weir_h1_body)x->out_body) {
    case WEIR_H1_BODY_NONE:
        break;
    case WEIR_H1_BODY_LENGTH:
        send_length(h, x, data, end);
        break;
    case WEIR_H1_BODY_CHUNKED:
        if (n > 0) {
            weir_h1_write_chunk_line(&x->frames, &x->out, n);
            weir_buffer_move(&x->out, data);
            weir_buffer_push_static(&x->out, end ? WEIR_STR("\r\n0\r\n\r\n") : WEIR_STR("\r\n"));
        } else if (end) {
            weir_buffer_push_static(&x->out, WEIR_STR("0\r\n\r\n"));
        }
        break;
    case WEIR_H1_BODY_CLOSE:
        weir_buffer_move(&x->out, data);
        break;
    case WEIR_H1_BODY_TUNNEL:
        weir_buffer_move(x->early != NULL ? x->early : &x->out, data);
        break;
    }
    weir_buffer_deinit(data);
    s->wire_bytes_tx += x->out.bytes - before;
    x->out_done |= end;
    weir_h1_arm(h);
}

void weir_h1_send_trailers(struct weir_codec_stream *s, const struct weir_headers *t)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    bool http10 = h->codec.server && x->in.http10;
    if (x->out_body == WEIR_H1_BODY_CHUNKED && t->count > 0 && h->codec.config->h1_enable_trailers && !http10) {
        assert(x->open && x->head_sent && !x->out_done);
        s->wire_bytes_tx += weir_h1_write_trailers(&x->frames, &x->out, t, h->codec.config->h1_proper_case);
        x->out_done = true;
        weir_h1_arm(h);
        return;
    }
    struct weir_buffer none;
    weir_buffer_init(&none);
    weir_h1_send_data(s, &none, true);
}

void weir_h1_reset(struct weir_codec_stream *s, enum weir_reset reason)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    (void)reason; /* an HTTP/1 connection ends in any case: what is queued of a response still leaves */
    assert(x->open);
    x->open = false;
    h->codec.active_streams--;
    h->dropping = true;
    weir_h1_set_draining(h);
    if (!h->codec.server)
        weir_buffer_deinit(&x->out); /* nobody wants the rest of the request: of one that has not left yet nothing is seen */
    if (!weir_buffer_empty(&x->out))
        weir_h1_arm(h);
    settle(h);
}

void weir_h1_read_pause(struct weir_codec_stream *s, bool pause)
{
    struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    struct weir_h1 *h = weir_h1_of(s->codec);
    x->paused = pause;
    if (!pause && (x->held.count > 0 || (h->eof && !h->eof_seen)))
        weir_h1_arm(h);
}

size_t weir_h1_send_queued(const struct weir_codec_stream *s)
{
    const struct weir_h1_exchange *x = weir_h1_exchange_of(s);
    return x->out.bytes + (x->early != NULL ? x->early->bytes : 0);
}

bool weir_h1_idle(const struct weir_codec *c)
{
    const struct weir_h1 *h = weir_h1_of(c);
    return h->x == NULL || (!h->x->open && (h->dropping || h->x->held.count == 0));
}

void weir_h1_destroy(struct weir_codec *c)
{
    struct weir_h1 *h = weir_h1_of(c);
    assert(h->calls == 0);
    if (h->x != NULL)
        exchange_free(h);
    free(h);
}
