/* Bytes of an upstream against the HTTP/1 client codec. The first byte chooses options and the request, the second what the
 * owner does, the third how the rest is cut. Checked: the order of events, no event after the end, every block given back. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/codec/codec.h"

struct owner {
    struct weir_worker worker;
    struct weir_codec *codec;
    struct weir_codec_stream *stream;
    struct weir_arena arena;
    uint8_t request, acts;
    bool headers, ended, paused, wants_output, read_paused, errored, draining;
};

static void act(struct owner *o)
{
    if ((o->acts & 1) != 0 && o->stream != NULL) {
        o->paused = true;
        weir_codec_stream_read_pause(o->stream, true);
    }
    if ((o->acts & 2) != 0 && o->stream != NULL) {
        weir_codec_stream_reset(o->stream, WEIR_RESET_LOCAL);
        o->stream = NULL;
    }
}

static void on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && !o->headers);
    assert(h->count > 0 && h->at[0].id == WEIR_H_STATUS && h->at[0].value.n == 3);
    for (uint32_t i = 1; i < h->count; i++)
        assert(weir_header_name_valid(h->at[i].name) && weir_header_value_valid(h->at[i].value));
    o->headers = true;
    o->ended = end;
    act(o);
}

static void on_informational(void *ctx, struct weir_headers *h)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && !o->headers && h->count > 0);
}

static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && o->headers && !o->ended && !o->paused);
    assert(end || data->bytes > 0);
    o->ended = end;
    if ((o->acts & 4) != 0)
        act(o);
}

static void on_trailers(void *ctx, struct weir_headers *h)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && o->headers && !o->ended && h->count > 0);
    o->ended = true;
}

static void on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct owner *o = ctx;
    (void)details;
    assert(o->stream != NULL);
    assert(reason != WEIR_RESET_NONE || o->ended);
    o->stream = NULL;
}

static const struct weir_stream_events stream_events = {
    .on_headers = on_headers,
    .on_informational = on_informational,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_closed = on_closed,
};

static void on_output(void *owner)
{
    ((struct owner *)owner)->wants_output = true;
}

static void on_read_pause(void *owner, bool pause)
{
    struct owner *o = owner;
    assert(o->read_paused != pause);
    o->read_paused = pause;
}

static void on_draining(void *owner)
{
    struct owner *o = owner;
    assert(!o->draining);
    o->draining = true;
}

static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct owner *o = owner;
    assert(!o->errored && o->draining && e->status == 0 && o->stream == NULL);
    o->errored = true;
}

static const struct weir_codec_events events = {
    .on_output = on_output, .on_read_pause = on_read_pause, .on_draining = on_draining, .on_error = on_error};

static void pull(struct owner *o)
{
    for (int turns = 0; o->wants_output; turns++) {
        assert(turns < 100000);
        struct weir_buffer to;
        weir_buffer_init(&to);
        o->wants_output = false;
        weir_codec_output(o->codec, &to);
        weir_buffer_deinit(&to);
    }
}

static void ask(struct owner *o)
{
    if (o->stream != NULL || weir_codec_capacity(o->codec) == 0)
        return;
    weir_arena_deinit(&o->arena);
    weir_arena_init(&o->arena, 0);
    o->headers = o->ended = o->paused = false;
    o->stream = weir_codec_open(o->codec, &stream_events, o, &o->arena);
    static const struct weir_str methods[] = {
        WEIR_STR_INIT("GET"), WEIR_STR_INIT("HEAD"), WEIR_STR_INIT("POST"), WEIR_STR_INIT("CONNECT")};
    struct weir_headers h;
    weir_headers_init(&h, &o->arena);
    weir_headers_add(&h, WEIR_H_METHOD, methods[o->request & 3]);
    weir_headers_add(&h, WEIR_H_AUTHORITY, WEIR_STR("a:80"));
    if ((o->request & 3) != 3)
        weir_headers_add(&h, WEIR_H_PATH, WEIR_STR("/"));
    bool tunnel = (o->request & 3) == 3 || (o->request & 4) != 0;
    if ((o->request & 4) != 0)
        weir_headers_add(&h, WEIR_H_UPGRADE, WEIR_STR("x"));
    bool body = tunnel || (o->request & 8) != 0;
    enum weir_err err = weir_codec_stream_send_headers(o->stream, &h, !body);
    assert(err == WEIR_OK);
    if (body) {
        struct weir_buffer data;
        weir_buffer_init(&data);
        weir_buffer_append(&data, &o->worker.blocks, "data", 4);
        weir_codec_stream_send_data(o->stream, &data, (o->acts & 8) == 0);
    }
    pull(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct owner *o = calloc(1, sizeof *o);
    assert(o != NULL);
    weir_block_pool_init(&o->worker.blocks);
    struct weir_codec_config config = {
        .header_bytes_max = (data[0] & 16) != 0 ? 128 : 81920,
        .header_count_max = (data[0] & 16) != 0 ? 4 : 100,
        .h1_enable_trailers = (data[0] & 32) != 0,
        .max_requests_per_connection = (data[0] & 64) != 0 ? 2 : 0,
    };
    o->request = data[0];
    o->acts = data[1];
    size_t cut = data[2] == 0 ? size : data[2];
    o->codec = weir_h1_client_create(&o->worker, &config, &events, o);
    ask(o);
    for (size_t at = 3; at < size;) {
        size_t n = size - at < cut ? size - at : cut;
        struct weir_block *block = weir_block_create(&o->worker.blocks, n);
        memcpy(block->data, data + at, n);
        weir_codec_input(o->codec, ((struct weir_slice){block->data, n, block}));
        at += n;
        pull(o);
        if ((o->acts & 16) != 0)
            ask(o);
    }
    if ((o->acts & 32) != 0)
        weir_codec_fail(o->codec, WEIR_RESET_CONNECTION, WEIR_STR(""));
    else
        weir_codec_input_eof(o->codec);
    if (o->stream != NULL && o->paused) {
        o->paused = false;
        weir_codec_stream_read_pause(o->stream, false);
    }
    pull(o);
    weir_codec_destroy(o->codec);
    weir_arena_deinit(&o->arena);
    assert(o->worker.blocks.live == 0);
    weir_block_pool_deinit(&o->worker.blocks);
    free(o);
    return 0;
}
