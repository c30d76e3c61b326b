/* Bytes of a client against the HTTP/1 server codec. The first byte chooses options, the second what the owner does, the
 * third how the rest is cut. Checked: the order of events, no event after the end, every block given back. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/codec/codec.h"

struct owner {
    struct weir_worker worker;
    struct weir_codec *codec;
    struct weir_codec_stream *stream;
    struct weir_arena arena;
    uint8_t acts;
    bool headers, ended, answered, paused, wants_output, read_paused, errored;
    uint64_t body;
};

static void answer(struct owner *o, uint32_t status, bool length)
{
    if (o->stream == NULL || o->answered)
        return;
    o->answered = true;
    struct weir_headers h;
    weir_headers_init(&h, &o->arena);
    weir_headers_set_int(&h, WEIR_H_STATUS, status);
    if (length)
        weir_headers_add(&h, WEIR_H_CONTENT_LENGTH, WEIR_STR("2"));
    enum weir_err err = weir_codec_stream_send_headers(o->stream, &h, false);
    assert(err == WEIR_OK);
    struct weir_buffer data;
    weir_buffer_init(&data);
    weir_buffer_append(&data, &o->worker.blocks, "ok", 2);
    weir_codec_stream_send_data(o->stream, &data, true);
}

static void act(struct owner *o)
{
    if ((o->acts & 1) != 0 && o->stream != NULL) {
        o->paused = true;
        weir_codec_stream_read_pause(o->stream, true);
    }
    if ((o->acts & 2) != 0)
        answer(o, 413, true);
    if ((o->acts & 4) != 0 && o->stream != NULL) {
        weir_codec_stream_reset(o->stream, o->answered ? WEIR_RESET_NONE : WEIR_RESET_LOCAL);
        o->stream = NULL;
    }
}

static void check_headers(const struct weir_headers *h)
{
    bool regular = false;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct weir_header *f = &h->at[i];
        bool pseudo = f->name.n > 0 && f->name.p[0] == ':';
        assert(pseudo ? !regular : weir_header_name_valid(f->name));
        regular |= !pseudo;
        assert(weir_header_value_valid(f->value));
        assert(weir_header_id(f->name) == f->id);
        assert(f->id != WEIR_H_HOST && f->id != WEIR_H_CONNECTION && f->id != WEIR_H_TRANSFER_ENCODING);
    }
}

static void on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && !o->headers);
    o->headers = true;
    o->ended = end;
    check_headers(h);
    struct weir_str upgrade = weir_headers_get(h, WEIR_H_UPGRADE);
    bool connect = weir_str_eq(weir_headers_get(h, WEIR_H_METHOD), WEIR_STR("CONNECT"));
    act(o);
    if (end || ((o->acts & 8) != 0 && (upgrade.n > 0 || connect)))
        answer(o, upgrade.n > 0 ? 101 : 200, upgrade.n == 0 && (o->acts & 16) != 0);
}

static void on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && o->headers && !o->ended && !o->paused);
    o->body += data->bytes;
    o->ended = end;
    if ((o->acts & 32) != 0)
        act(o);
    if (end)
        answer(o, 200, (o->acts & 16) != 0);
}

static void on_trailers(void *ctx, struct weir_headers *h)
{
    struct owner *o = ctx;
    assert(o->stream != NULL && o->headers && !o->ended && h->count > 0);
    o->ended = true;
    answer(o, 200, false);
}

static void on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct owner *o = ctx;
    (void)details;
    assert(o->stream != NULL);
    assert(reason != WEIR_RESET_NONE || o->answered);
    o->stream = NULL;
}

static const struct weir_stream_events stream_events = {
    .on_headers = on_headers, .on_data = on_data, .on_trailers = on_trailers, .on_closed = on_closed};

static void on_stream(void *owner, struct weir_codec_stream *s)
{
    struct owner *o = owner;
    assert(o->stream == NULL && !o->errored);
    weir_arena_deinit(&o->arena);
    weir_arena_init(&o->arena, 0);
    s->events = &stream_events;
    s->ctx = o;
    s->arena = &o->arena;
    o->stream = s;
    o->headers = o->ended = o->answered = o->paused = false;
}

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

static void on_error(void *owner, const struct weir_codec_error *e)
{
    struct owner *o = owner;
    assert(!o->errored && e->status >= 400);
    o->errored = true;
    answer(o, e->status, true);
}

static const struct weir_codec_events events = {
    .on_stream = on_stream, .on_output = on_output, .on_read_pause = on_read_pause, .on_error = on_error};

static void pull(struct owner *o)
{
    for (int turns = 0; o->wants_output; turns++) {
        assert(turns < 100000);
        struct weir_buffer to;
        weir_buffer_init(&to);
        o->wants_output = false;
        weir_codec_output(o->codec, &to);
        weir_buffer_deinit(&to);
        if (o->stream != NULL && o->paused && turns > 0) {
            o->paused = false;
            weir_codec_stream_read_pause(o->stream, false);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct owner *o = calloc(1, sizeof *o);
    assert(o != NULL);
    weir_block_pool_init(&o->worker.blocks);
    struct weir_codec_config config = {
        .header_bytes_max = (data[0] & 1) != 0 ? 128 : 61440,
        .header_count_max = (data[0] & 1) != 0 ? 4 : 100,
        .h1_accept_http_10 = (data[0] & 2) != 0,
        .h1_enable_trailers = (data[0] & 4) != 0,
        .h1_allow_absolute_url = (data[0] & 8) != 0,
        .h1_allow_chunked_length = (data[0] & 16) != 0,
        .h1_allow_custom_methods = (data[0] & 32) != 0,
        .underscores = data[0] >> 6 == 3 ? WEIR_UNDERSCORE_REJECT : data[0] >> 6,
    };
    o->acts = data[1];
    size_t cut = data[2] == 0 ? size : data[2];
    o->codec = weir_h1_server_create(&o->worker, &config, &events, o);
    for (size_t at = 3; at < size;) {
        size_t n = size - at < cut ? size - at : cut;
        struct weir_block *block = weir_block_create(&o->worker.blocks, n);
        memcpy(block->data, data + at, n);
        weir_codec_input(o->codec, ((struct weir_slice){block->data, n, block}));
        at += n;
        if ((o->acts & 64) == 0)
            pull(o);
    }
    pull(o);
    if ((o->acts & 128) != 0)
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
