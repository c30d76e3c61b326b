#include "test/unit/support/h2_harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

/* ---- text ---- */

void text_add_bytes(struct text *t, const void *p, size_t n)
{
    if (t->n + n + 1 > t->capacity) {
        t->capacity = (t->n + n + 1) * 2;
        t->p = realloc(t->p, t->capacity);
        assert_non_null(t->p);
    }
    if (n != 0) memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = '\0';
}

void text_add(struct text *t, const char *fmt, ...)
{
    char line[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    assert_in_range(n, 0, sizeof(line) - 1);
    text_add_bytes(t, line, (size_t)n);
}

static void text_add_header(struct text *t, bool first, const void *name, size_t name_n, const void *value, size_t value_n)
{
    if (!first) text_add_bytes(t, " ", 1);
    text_add_bytes(t, name, name_n);
    text_add_bytes(t, "=", 1);
    text_add_bytes(t, value, value_n);
}

void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

/* ---- frames by hand ---- */

void wire_free(struct wire *w)
{
    text_free(&w->bytes);
}

void wire_bytes(struct wire *w, const void *p, size_t n)
{
    text_add_bytes(&w->bytes, p, n);
}

void wire_frame(struct wire *w, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t n)
{
    uint8_t head[9] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n,         type,       flags,
                       (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    wire_bytes(w, head, sizeof(head));
    wire_bytes(w, payload, n);
}

void wire_u32_frame(struct wire *w, uint8_t type, uint8_t flags, uint32_t id, uint32_t value)
{
    uint8_t p[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    wire_frame(w, type, flags, id, p, sizeof(p));
}

void wire_preface(struct wire *w)
{
    wire_bytes(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    wire_frame(w, SETTINGS, 0, 0, NULL, 0);
}

/* RFC 7541 5.1 with a prefix of 7 bits. */
static void block_length(struct text *b, size_t n)
{
    uint8_t byte;
    if (n < 127) {
        byte = (uint8_t)n;
        text_add_bytes(b, &byte, 1);
        return;
    }
    byte = 127;
    text_add_bytes(b, &byte, 1);
    for (n -= 127; n >= 128; n >>= 7) {
        byte = (uint8_t)(0x80 | (n & 0x7f));
        text_add_bytes(b, &byte, 1);
    }
    byte = (uint8_t)n;
    text_add_bytes(b, &byte, 1);
}

static void block_field(struct text *b, const char *name, const char *value, size_t value_n)
{
    text_add_bytes(b, "\0", 1);
    block_length(b, strlen(name));
    text_add_bytes(b, name, strlen(name));
    block_length(b, value_n);
    text_add_bytes(b, value, value_n);
}

/* "\0" cannot stand in a C string: a value's "%00" becomes NUL. */
void wire_block(struct text *block, const char *const *fields)
{
    for (size_t i = 0; fields[i] != NULL; i += 2) {
        char value[512];
        size_t n = strlen(fields[i + 1]);
        const char *nul = strstr(fields[i + 1], "%00");
        if (nul == NULL || n >= sizeof(value)) {
            block_field(block, fields[i], fields[i + 1], n);
            continue;
        }
        size_t at = (size_t)(nul - fields[i + 1]);
        memcpy(value, fields[i + 1], at);
        value[at] = '\0';
        memcpy(value + at + 1, nul + 3, n - at - 3);
        block_field(block, fields[i], value, n - 2);
    }
}

void wire_headers(struct wire *w, uint32_t id, bool end, const char *const *fields)
{
    struct text block = {0};
    wire_block(&block, fields);
    uint8_t type = HEADERS, flags = end ? FLAG_END_STREAM : 0;
    size_t at = 0;
    do {
        size_t n = block.n - at < 16384 ? block.n - at : 16384;
        if (at + n == block.n) flags |= FLAG_END_HEADERS;
        wire_frame(w, type, flags, id, block.p + at, n);
        at += n;
        type = CONTINUATION;
        flags = 0;
    } while (at != block.n);
    text_free(&block);
}

void wire_data(struct wire *w, uint32_t id, bool end, const char *body)
{
    wire_frame(w, DATA, end ? FLAG_END_STREAM : 0, id, body, strlen(body));
}

static void read_block(struct wire_reader *r, const uint8_t *p, size_t n, struct text *out)
{
    nghttp2_hd_inflater *inflater = r->inflater;
    if (inflater == NULL) assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
    r->inflater = inflater;
    text_add(out, "[");
    for (bool first = true;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t m = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, p, n, 1);
        assert_true(m >= 0);
        p += m;
        n -= (size_t)m;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            text_add_header(out, first, nv.name, nv.namelen, nv.value, nv.valuelen);
            first = false;
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater);
    text_add(out, "] ");
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void read_frame(struct wire_reader *r, const uint8_t *head, const uint8_t *p, size_t n, struct text *out)
{
    unsigned id = u32(head + 5);
    const char *end = (head[4] & FLAG_END_STREAM) != 0 ? " ES" : "";
    switch (head[3]) {
    case DATA:
        r->data_bytes += n;
        text_add(out, "DATA(%u %zu%s) ", id, n, end);
        break;
    case HEADERS:
        assert_true((head[4] & FLAG_END_HEADERS) != 0);
        text_add(out, "HEADERS(%u%s)", id, end);
        read_block(r, p, n, out);
        break;
    case RST_STREAM: text_add(out, "RST(%u %u) ", id, u32(p)); break;
    case GOAWAY: text_add(out, "GOAWAY(%u %u) ", u32(p), u32(p + 4)); break;
    case PING: text_add(out, "PING%s ", end[0] != '\0' ? "(ACK)" : ""); break;
    case SETTINGS:
        if (!r->all) break;
        text_add(out, "SETTINGS(%s", end[0] != '\0' ? "ACK" : "");
        for (size_t i = 0; i + 6 <= n; i += 6)
            text_add(out, "%s%u=%u", i == 0 ? "" : " ", (unsigned)(p[i] << 8 | p[i + 1]), u32(p + i + 2));
        text_add(out, ") ");
        break;
    case WINDOW_UPDATE:
        if (id == 0) r->window_credit += u32(p);
        if (r->all) text_add(out, "WINDOW_UPDATE(%u %u) ", id, u32(p));
        break;
    default: text_add(out, "FRAME(%u) ", head[3]);
    }
}

void wire_read(struct wire_reader *r, const void *bytes, size_t n, struct text *out)
{
    text_add_bytes(&r->pending, bytes, n);
    const uint8_t *p = (const uint8_t *)r->pending.p;
    size_t at = 0;
    if (!r->magic_seen && r->pending.n >= 24) {
        r->magic_seen = true;
        if (memcmp(p, "PRI ", 4) == 0) at = 24;
    }
    while (r->pending.n - at >= 9) {
        size_t length = (size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2];
        if (r->pending.n - at - 9 < length) break;
        read_frame(r, p + at, p + at + 9, length, out);
        at += 9 + length;
    }
    memmove(r->pending.p, r->pending.p + at, r->pending.n - at);
    r->pending.n -= at;
}

void wire_reader_free(struct wire_reader *r)
{
    if (r->inflater != NULL) nghttp2_hd_inflate_del(r->inflater);
    text_free(&r->pending);
    *r = (struct wire_reader){0};
}

/* ---- a worker and a configuration ---- */

struct weir_worker *worker_by_hand(void)
{
    struct weir_worker *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    weir_block_pool_init(&w->blocks);
    weir_random_seed(&w->random, 1);
    w->now_ns = 1000000000u;
    return w;
}

void worker_by_hand_free(struct weir_worker *w)
{
    assert_int_equal(w->blocks.live, 0);
    weir_block_pool_deinit(&w->blocks);
    free(w);
}

struct weir_codec_config config_by_default(void)
{
    return (struct weir_codec_config){
        .header_bytes_max = 61440,
        .header_count_max = 100,
        .stream_high_water = 262144,
        .stream_low_water = 131072,
    };
}

/* ---- events ---- */

static void log_headers(struct stream_record *r, const char *kind, const struct weir_headers *h)
{
    text_add(&r->log, "%s[", kind);
    for (uint32_t i = 0; i < h->count; i++)
        text_add_header(&r->log, i == 0, h->at[i].name.p, h->at[i].name.n, h->at[i].value.p, h->at[i].value.n);
    text_add(&r->log, "]");
}

static void heard_end(struct stream_record *r)
{
    assert_false(r->ended);
    r->ended = true;
    text_add(&r->log, "!");
    if (r->peer->on_end != NULL) r->peer->on_end(r);
}

static void on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct stream_record *r = ctx;
    assert_non_null(r->s);
    r->headers = h;
    log_headers(r, "H", h);
    if (r->peer->on_headers != NULL) r->peer->on_headers(r, end);
    if (end && r->s != NULL) heard_end(r);
}

static void on_informational(void *ctx, struct weir_headers *h)
{
    log_headers(ctx, "I", h);
}

static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct stream_record *r = ctx;
    assert_non_null(r->s);
    assert_true(data->bytes != 0 || end);
    if (data->bytes != 0 && (r->log.n == 0 || r->log.p[r->log.n - 1] != 'D')) text_add(&r->log, "D");
    r->body_bytes += data->bytes;
    for (uint32_t i = 0; i < data->count && r->keep_body; i++) {
        const struct weir_slice *s = weir_buffer_slice(data, i);
        text_add_bytes(&r->body, s->p, s->n);
    }
    if (r->peer->on_body != NULL) r->peer->on_body(r, data);
    if (end && r->s != NULL) heard_end(r);
}

static void on_trailers(void *ctx, struct weir_headers *h)
{
    struct stream_record *r = ctx;
    log_headers(r, "T", h);
    heard_end(r);
}

static void on_send_blocked(void *ctx)
{
    text_add(&((struct stream_record *)ctx)->log, "B");
}

static void on_send_ready(void *ctx)
{
    text_add(&((struct stream_record *)ctx)->log, "R");
}

static void on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    static const char *const names[] = {"NONE",           "LOCAL",      "LOCAL_REFUSED", "REMOTE", "REMOTE_REFUSED",
                                        "REMOTE_NO_ERROR", "CONNECTION", "PROTOCOL",      "LIMIT",  "CONNECT"};
    struct stream_record *r = ctx;
    assert_non_null(r->s);
    text_add(&r->log, "X(%s%s%.*s)", names[reason], details.n != 0 ? " " : "", WEIR_STR_ARG(details));
    r->s = NULL;
}

static const struct weir_stream_events stream_events = {
    .on_headers = on_headers,
    .on_informational = on_informational,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_send_blocked = on_send_blocked,
    .on_send_ready = on_send_ready,
    .on_closed = on_closed,
};

static struct stream_record *record_add(struct peer *p)
{
    struct stream_record *r = calloc(1, sizeof(*r));
    p->streams = realloc(p->streams, sizeof(p->streams[0]) * (p->count + 1));
    assert_non_null(r);
    assert_non_null(p->streams);
    p->streams[p->count++] = r;
    r->peer = p;
    r->arena = weir_arena_create();
    r->keep_body = true;
    return r;
}

static void on_stream(void *owner, struct weir_codec_stream *s)
{
    struct stream_record *r = record_add(owner);
    r->s = s;
    s->events = &stream_events;
    s->ctx = r;
    s->arena = r->arena;
}

static void on_output(void *owner)
{
    struct peer *p = owner;
    assert_false(p->wants_output);
    p->wants_output = true;
}

static void on_draining(void *owner)
{
    struct peer *p = owner;
    assert_false(p->draining);
    p->draining = true;
}

static void on_capacity(void *owner)
{
    ((struct peer *)owner)->capacity_events++;
}

static void on_pong(void *owner)
{
    ((struct peer *)owner)->pongs++;
}

static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct peer *p = owner;
    assert_false(p->failed);
    p->failed = true;
    p->flood = e->flood;
    p->streams_cut = e->streams_cut;
    (void)snprintf(p->error, sizeof(p->error), "%.*s", WEIR_STR_ARG(e->details));
    for (size_t i = 0; i < p->count; i++)
        assert_null(p->streams[i]->s); /* all have heard of it */
}

static const struct weir_codec_events codec_events = {
    .on_stream = on_stream,
    .on_output = on_output,
    .on_draining = on_draining,
    .on_capacity = on_capacity,
    .on_pong = on_pong,
    .on_error = on_error,
};

void peer_init(struct peer *p, struct weir_worker *w, const struct weir_codec_config *config, bool server)
{
    *p = (struct peer){.worker = w};
    p->codec = server ? weir_h2_server_create(w, config, &codec_events, p) : weir_h2_client_create(w, config, &codec_events, p);
    assert_true(p->wants_output); /* the preface */
}

void peer_free(struct peer *p)
{
    weir_codec_destroy(p->codec);
    for (size_t i = 0; i < p->count; i++) {
        weir_arena_destroy(p->streams[i]->arena);
        text_free(&p->streams[i]->log);
        text_free(&p->streams[i]->body);
        free(p->streams[i]);
    }
    free(p->streams);
}

struct stream_record *peer_open(struct peer *p)
{
    struct stream_record *r = record_add(p);
    r->s = weir_codec_open(p->codec, &stream_events, r, r->arena);
    return r->s != NULL ? r : NULL;
}

/* Headers made in a map that is gone when the call returns: codecs must not keep it. */
static void map_fill(struct weir_headers *h, struct weir_arena *a, const char *const *fields)
{
    weir_headers_init(h, a);
    for (size_t i = 0; fields[i] != NULL; i += 2)
        weir_headers_add_copy(h, weir_str_of(fields[i]), weir_str_of(fields[i + 1]));
}

enum weir_err send_headers(struct stream_record *r, bool end, const char *const *fields)
{
    struct weir_headers h;
    struct weir_arena *a = weir_arena_create();
    map_fill(&h, a, fields);
    enum weir_err err = weir_codec_stream_send_headers(r->s, &h, end);
    weir_arena_destroy(a);
    return err;
}

void send_informational(struct stream_record *r, const char *const *fields)
{
    struct weir_headers h;
    struct weir_arena *a = weir_arena_create();
    map_fill(&h, a, fields);
    weir_codec_stream_send_informational(r->s, &h);
    weir_arena_destroy(a);
}

void send_trailers(struct stream_record *r, const char *const *fields)
{
    struct weir_headers h;
    struct weir_arena *a = weir_arena_create();
    map_fill(&h, a, fields);
    weir_codec_stream_send_trailers(r->s, &h);
    weir_arena_destroy(a);
}

void send_body(struct stream_record *r, const char *body, bool end)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &r->peer->worker->blocks, body, strlen(body));
    weir_codec_stream_send_data(r->s, &b, end);
    assert_int_equal(b.bytes, 0);
    weir_buffer_deinit(&b);
}

void send_bytes(struct stream_record *r, size_t n, bool end)
{
    struct weir_buffer b;
    weir_buffer_init(&b);
    while (n != 0) {
        size_t m = n < 10000 ? n : 10000;
        struct weir_block *block = weir_block_create(&r->peer->worker->blocks, m);
        for (size_t i = 0; i < m; i++)
            block->data[i] = (uint8_t)(i * 7);
        weir_buffer_push(&b, (struct weir_slice){block->data, m, block});
        n -= m;
    }
    weir_codec_stream_send_data(r->s, &b, end);
    assert_int_equal(b.bytes, 0);
    weir_buffer_deinit(&b);
}

void stream_reset(struct stream_record *r, enum weir_reset reason)
{
    struct weir_codec_stream *s = r->s;
    r->s = NULL;
    text_add(&r->log, "reset");
    weir_codec_stream_reset(s, reason);
    weir_arena_destroy(r->arena); /* nothing of it may be used any more */
    r->arena = NULL;
    r->headers = NULL;
}

/* ---- bytes ---- */

void peer_input(struct peer *p, const void *bytes, size_t n, size_t piece, struct weir_random *random)
{
    const uint8_t *from = bytes;
    while (n != 0) {
        size_t m = piece == 0 || piece > n ? n : piece;
        if (random != NULL) m = 1 + weir_random_below(random, m);
        struct weir_block *block = weir_block_create(&p->worker->blocks, m);
        memcpy(block->data, from, m);
        weir_codec_input(p->codec, ((struct weir_slice){block->data, m, block}));
        from += m;
        n -= m;
    }
}

void peer_input_wire(struct peer *p, const struct wire *w)
{
    peer_input(p, w->bytes.p, w->bytes.n, 0, NULL);
}

static size_t take_output(struct peer *p, struct text *bytes)
{
    size_t total = 0;
    while (p->wants_output) {
        struct weir_buffer b;
        weir_buffer_init(&b);
        p->wants_output = false;
        weir_codec_output(p->codec, &b);
        for (uint32_t i = 0; i < b.count && bytes != NULL; i++) {
            const struct weir_slice *s = weir_buffer_slice(&b, i);
            text_add_bytes(bytes, s->p, s->n);
        }
        total += b.bytes;
        weir_buffer_deinit(&b);
    }
    return total;
}

size_t peer_output(struct peer *p, struct wire_reader *r, struct text *out)
{
    struct text bytes = {0};
    size_t n = take_output(p, &bytes);
    if (r != NULL && bytes.n != 0) wire_read(r, bytes.p, bytes.n, out);
    text_free(&bytes);
    return n;
}

void exchange(struct peer *a, struct peer *b, size_t piece, struct weir_random *random)
{
    while (a->wants_output || b->wants_output) {
        for (int side = 0; side < 2; side++) {
            struct text bytes = {0};
            (void)take_output(side == 0 ? a : b, &bytes);
            peer_input(side == 0 ? b : a, bytes.p, bytes.n, piece, random);
            text_free(&bytes);
        }
    }
}
