/* See h1_harness.h. */
#include "test/unit/support/h1_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/str.h"

void h1_text_add(struct h1_text *t, const char *p, size_t n)
{
    if (t->n + n + 1 > t->capacity) {
        t->capacity = (t->n + n + 1) * 2;
        t->p = realloc(t->p, t->capacity);
        assert_non_null(t->p);
    }
    if (n > 0)
        memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = '\0';
}

void h1_text_printf(struct h1_text *t, const char *fmt, ...)
{
    char buffer[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(buffer, sizeof buffer, fmt, args);
    va_end(args);
    h1_text_add(t, buffer, n < (int)sizeof buffer ? (size_t)n : sizeof buffer - 1);
}

static void end_data(struct h1_harness *h)
{
    if (h->in_data)
        h1_text_add(&h->log, "\n", 1);
    h->in_data = false;
}

static void log_headers(struct h1_harness *h, const char *what, const struct weir_headers *headers, bool end)
{
    end_data(h);
    h1_text_printf(&h->log, "%s%s", what, end ? " end" : "");
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct weir_header *f = &headers->at[i];
        assert_int_equal(f->id, weir_header_id(f->name));
        h1_text_add(&h->log, " ", 1);
        h1_text_add(&h->log, f->name.p, f->name.n);
        h1_text_add(&h->log, "=", 1);
        h1_text_add(&h->log, f->value.p, f->value.n);
    }
    h1_text_add(&h->log, "\n", 1);
}

static void on_headers(void *ctx, struct weir_headers *headers, bool end)
{
    struct h1_harness *h = ctx;
    log_headers(h, "headers", headers, end);
    if (h->on_headers != NULL)
        h->on_headers(h, headers, end);
    if (end && h->on_end != NULL && h->stream != NULL)
        h->on_end(h);
}

static void on_informational(void *ctx, struct weir_headers *headers)
{
    log_headers(ctx, "informational", headers, false);
}

static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct h1_harness *h = ctx;
    if (!h->in_data && (data->bytes > 0 || end))
        h1_text_printf(&h->log, "data ");
    h->in_data = true;
    for (uint32_t i = 0; i < data->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(data, i);
        h1_text_add(&h->log, (const char *)s->p, s->n);
    }
    if (!end)
        return;
    h1_text_printf(&h->log, " end");
    end_data(h);
    if (h->on_end != NULL && h->stream != NULL)
        h->on_end(h);
}

static void on_trailers(void *ctx, struct weir_headers *trailers)
{
    struct h1_harness *h = ctx;
    log_headers(h, "trailers", trailers, true);
    if (h->on_end != NULL && h->stream != NULL)
        h->on_end(h);
}

static void on_send_blocked(void *ctx)
{
    end_data(ctx);
    h1_text_printf(&((struct h1_harness *)ctx)->log, "blocked\n");
}

static void on_send_ready(void *ctx)
{
    end_data(ctx);
    h1_text_printf(&((struct h1_harness *)ctx)->log, "ready\n");
}

static void on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct h1_harness *h = ctx;
    end_data(h);
    assert_non_null(h->stream);
    h->stream = NULL;
    h1_text_printf(&h->log, "closed %d%s%.*s\n", (int)reason, details.n > 0 ? " " : "", WEIR_STR_ARG(details));
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

static struct weir_arena *next_arena(struct h1_harness *h)
{
    assert_true(h->streams < sizeof h->arenas / sizeof *h->arenas);
    return &h->arenas[h->streams++];
}

static void on_stream(void *owner, struct weir_codec_stream *s)
{
    struct h1_harness *h = owner;
    assert_null(h->stream);
    end_data(h);
    h1_text_printf(&h->log, "stream\n");
    s->events = &stream_events;
    s->ctx = h;
    s->arena = next_arena(h);
    h->stream = s;
}

static void on_output(void *owner)
{
    struct h1_harness *h = owner;
    assert_false(h->wants_output);
    h->wants_output = true;
}

static void log_connection(struct h1_harness *h, const char *what)
{
    if (!h->log_connection)
        return;
    end_data(h);
    h1_text_printf(&h->log, "%s\n", what);
}

static void on_read_pause(void *owner, bool pause)
{
    struct h1_harness *h = owner;
    assert_true(h->read_paused != pause);
    h->read_paused = pause;
    log_connection(h, pause ? "pause" : "resume");
}

static void on_draining(void *owner)
{
    struct h1_harness *h = owner;
    assert_false(h->draining);
    h->draining = true;
    log_connection(h, "draining");
}

static void on_write_end(void *owner)
{
    struct h1_harness *h = owner;
    assert_false(h->write_end);
    h->write_end = true;
    log_connection(h, "write end");
}

static void on_capacity(void *owner)
{
    log_connection(owner, "capacity");
}

static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct h1_harness *h = owner;
    assert_false(h->errored);
    h->errored = true;
    end_data(h);
    h1_text_printf(&h->log, "error %u %.*s\n", e->status, WEIR_STR_ARG(e->details));
    if (!h->codec->server || h->stream == NULL)
        return;
    char length[32], status[32];
    (void)snprintf(length, sizeof length, "content-length: %zu", e->body.n);
    (void)snprintf(status, sizeof status, ":status: %u", e->status);
    h1_send(h, false, status, length, NULL);
    h1_send_bytes(h, e->body.p, true);
}

static const struct weir_codec_events codec_events = {
    .on_stream = on_stream,
    .on_output = on_output,
    .on_read_pause = on_read_pause,
    .on_draining = on_draining,
    .on_write_end = on_write_end,
    .on_capacity = on_capacity,
    .on_error = on_error,
};

void h1_harness_init(struct h1_harness *h)
{
    memset(h, 0, sizeof *h);
    h->pull = true;
    weir_block_pool_init(&h->worker.blocks);
    h->config = (struct weir_codec_config){
        .header_bytes_max = 61440,
        .header_count_max = 100,
        .stream_high_water = 65536,
        .stream_low_water = 32768,
        .h1_allow_absolute_url = true,
    };
    h1_text_add(&h->log, "", 0);
    h1_text_add(&h->wire, "", 0);
}

void h1_harness_server(struct h1_harness *h)
{
    h->codec = weir_h1_server_create(&h->worker, &h->config, &codec_events, h);
}

void h1_harness_client(struct h1_harness *h)
{
    h->codec = weir_h1_client_create(&h->worker, &h->config, &codec_events, h);
}

void h1_harness_deinit(struct h1_harness *h)
{
    weir_codec_destroy(h->codec);
    for (uint32_t i = 0; i < h->streams; i++)
        weir_arena_deinit(&h->arenas[i]);
    assert_int_equal(h->worker.blocks.live, 0);
    weir_block_pool_deinit(&h->worker.blocks);
    free(h->log.p);
    free(h->wire.p);
}

void h1_pull(struct h1_harness *h)
{
    for (int turns = 0; h->wants_output; turns++) {
        assert_true(turns < 1000);
        struct weir_buffer to;
        weir_buffer_init(&to);
        h->wants_output = false;
        weir_codec_output(h->codec, &to);
        for (uint32_t i = 0; i < to.count; i++) {
            const struct weir_slice *s = weir_buffer_slice(&to, i);
            h1_text_add(&h->wire, (const char *)s->p, s->n);
        }
        weir_buffer_deinit(&to);
    }
}

void h1_feed(struct h1_harness *h, const char *p, size_t n)
{
    struct weir_block *block = weir_block_create(&h->worker.blocks, n);
    memcpy(block->data, p, n);
    weir_codec_input(h->codec, ((struct weir_slice){block->data, n, block}));
    if (h->pull)
        h1_pull(h);
}

void h1_feed_eof(struct h1_harness *h)
{
    weir_codec_input_eof(h->codec);
    if (h->pull)
        h1_pull(h);
}

static void add_line(struct weir_headers *out, const char *line)
{
    const char *colon = strchr(line + 1, ':');
    assert_non_null(colon);
    struct weir_str value = weir_str_of(colon + 1);
    weir_headers_add_copy(out, (struct weir_str){line, (size_t)(colon - line)}, weir_str_trim(value));
}

void h1_send(struct h1_harness *h, int end, ...)
{
    struct weir_headers headers;
    weir_headers_init(&headers, h->stream->arena);
    va_list args;
    va_start(args, end);
    for (const char *line; (line = va_arg(args, const char *)) != NULL;)
        add_line(&headers, line);
    va_end(args);
    assert_int_equal(weir_codec_stream_send_headers(h->stream, &headers, end != 0), WEIR_OK);
}

void h1_send_bytes(struct h1_harness *h, const char *p, bool end)
{
    struct weir_buffer data;
    weir_buffer_init(&data);
    weir_buffer_append(&data, &h->worker.blocks, p, strlen(p));
    weir_codec_stream_send_data(h->stream, &data, end);
    assert_true(weir_buffer_empty(&data));
}

void h1_open(struct h1_harness *h)
{
    assert_null(h->stream);
    h->stream = weir_codec_open(h->codec, &stream_events, h, next_arena(h));
    assert_non_null(h->stream);
}

void h1_reply_ok(struct h1_harness *h)
{
    h->replies_sent++;
    h1_send(h, false, ":status: 200", "content-length: 2", NULL);
    h1_send_bytes(h, "ok", true);
}

void h1_assert_text(const struct h1_text *t, const char *expected, const char *file, int line)
{
    if (strcmp(t->p, expected) == 0)
        return;
    print_error("have:\n%s\nwant:\n%s\n", t->p, expected);
    _fail(file, line);
}

void h1_clear(struct h1_harness *h)
{
    end_data(h);
    h->log.n = h->wire.n = 0;
    h->log.p[0] = h->wire.p[0] = '\0';
}
