/* The owner of an HTTP/2 codec under fuzzing: answers in ways that the input picks, and checks that the codec keeps its word
 * (codec.h): events in order, one end a stream, nothing after it, every block given back. */
#ifndef TEST_FUZZ_SUPPORT_H2_OWNER_H
#define TEST_FUZZ_SUPPORT_H2_OWNER_H

#include <stdlib.h>

#include "dataplane/codec/codec.h"

#define OWNED_STREAMS_MAX 4096u
#define CHECK(x)                                                                                                        \
    do {                                                                                                                \
        if (!(x)) abort();                                                                                              \
    } while (0)

struct owned {
    struct owner *owner;
    struct weir_codec_stream *s; /* NULL: over */
    struct weir_arena *arena;
    uint32_t mood;
    bool head, ended, answered, sent_end, paused;
};
struct owner {
    struct weir_worker worker;
    struct weir_codec_config config;
    struct weir_codec *codec;
    struct owned *streams[OWNED_STREAMS_MAX];
    uint32_t count;
    uint32_t mood; /* taken from the input */
    bool wants_output, failed, in_call;
};

static void owned_answer(struct owned *o)
{
    if (o->answered || o->s == NULL || !o->owner->codec->server) return;
    struct weir_headers h;
    weir_headers_init(&h, o->arena);
    weir_headers_add(&h, WEIR_H_STATUS, (o->mood & 1) != 0 ? WEIR_STR("200") : WEIR_STR("404"));
    weir_headers_add(&h, WEIR_H_CONTENT_TYPE, WEIR_STR("text/plain"));
    o->answered = true;
    o->sent_end = (o->mood & 6) == 0;
    CHECK(weir_codec_stream_send_headers(o->s, &h, o->sent_end) == WEIR_OK);
}

static void owned_send(struct owned *o, struct weir_buffer *data, bool end)
{
    if (o->s == NULL || !o->answered || o->sent_end) return;
    struct weir_buffer mine;
    weir_buffer_init(&mine);
    if (data != NULL) weir_buffer_move(&mine, data);
    if (end && (o->mood & 8) != 0) {
        weir_codec_stream_send_data(o->s, &mine, false);
        struct weir_headers h;
        weir_headers_init(&h, o->arena);
        weir_headers_add(&h, WEIR_H_GRPC_STATUS, WEIR_STR("0"));
        weir_codec_stream_send_trailers(o->s, &h);
    } else {
        weir_codec_stream_send_data(o->s, &mine, end);
    }
    o->sent_end = end;
    weir_buffer_deinit(&mine);
}

static void owned_reset(struct owned *o, enum weir_reset reason)
{
    if (o->s == NULL) return;
    struct weir_codec_stream *s = o->s;
    o->s = NULL;
    weir_codec_stream_reset(s, reason);
}

static void owned_ended(struct owned *o)
{
    CHECK(!o->ended);
    o->ended = true;
    owned_answer(o);
    owned_send(o, NULL, true);
}

static void owned_on_headers(void *ctx, struct weir_headers *h, bool end)
{
    struct owned *o = ctx;
    CHECK(o->s != NULL && !o->head && h->count != 0);
    o->head = true;
    for (uint32_t i = 0; i < h->count; i++) {
        CHECK(weir_header_value_valid(h->at[i].value));
        struct weir_str name = h->at[i].name;
        if (name.n != 0 && name.p[0] == ':') name = (struct weir_str){name.p + 1, name.n - 1};
        CHECK(weir_header_name_valid(name));
    }
    if ((o->mood & 0x10) != 0) owned_answer(o);
    if ((o->mood & 0x60) == 0x60) {
        weir_codec_stream_read_pause(o->s, true);
        o->paused = true;
    }
    if ((o->mood & 0x380) == 0x380) owned_reset(o, (o->mood & 1) != 0 ? WEIR_RESET_NONE : WEIR_RESET_LOCAL);
    if (end) owned_ended(o);
}

static void owned_on_informational(void *ctx, struct weir_headers *h)
{
    struct owned *o = ctx;
    CHECK(o->s != NULL && !o->head && h->count != 0);
}

static void owned_on_data(void *ctx, struct weir_buffer *data, bool end)
{
    struct owned *o = ctx;
    CHECK(o->s != NULL && o->head && !o->ended && !o->paused);
    CHECK(data->bytes != 0 || end);
    if ((o->mood & 0x400) != 0) owned_send(o, data, false);
    if ((o->mood & 0x3800) == 0x3800) owned_reset(o, WEIR_RESET_LOCAL);
    if (end) owned_ended(o);
}

static void owned_on_trailers(void *ctx, struct weir_headers *h)
{
    struct owned *o = ctx;
    CHECK(o->s != NULL && o->head && !o->ended && !o->paused);
    for (uint32_t i = 0; i < h->count; i++)
        CHECK(weir_header_name_valid(h->at[i].name) && weir_header_value_valid(h->at[i].value));
    owned_ended(o);
}

static void owned_on_water(void *ctx)
{
    CHECK(((struct owned *)ctx)->s != NULL);
}

static void owned_on_closed(void *ctx, enum weir_reset reason, struct weir_str details)
{
    struct owned *o = ctx;
    CHECK(o->s != NULL);
    CHECK(reason != WEIR_RESET_NONE || (o->ended && o->sent_end));
    CHECK(details.n < 256);
    o->s = NULL;
}

static const struct weir_stream_events owned_events = {
    .on_headers = owned_on_headers,
    .on_informational = owned_on_informational,
    .on_data = owned_on_data,
    .on_trailers = owned_on_trailers,
    .on_send_blocked = owned_on_water,
    .on_send_ready = owned_on_water,
    .on_closed = owned_on_closed,
};

static struct owned *owned_new(struct owner *owner)
{
    struct owned *o = calloc(1, sizeof(*o));
    CHECK(o != NULL && owner->count < OWNED_STREAMS_MAX);
    owner->streams[owner->count++] = o;
    o->owner = owner;
    o->arena = weir_arena_create();
    o->mood = owner->mood * 2654435761u + owner->count * 40503u;
    o->mood ^= o->mood >> 15;
    return o;
}

static void owner_on_stream(void *ctx, struct weir_codec_stream *s)
{
    struct owned *o = owned_new(ctx);
    o->s = s;
    s->events = &owned_events;
    s->ctx = o;
    s->arena = o->arena;
}

static void owner_on_output(void *ctx)
{
    struct owner *owner = ctx;
    CHECK(!owner->wants_output);
    owner->wants_output = true;
}

static void owner_on_error(void *ctx, const struct weir_codec_error *e)
{
    struct owner *owner = ctx;
    CHECK(!owner->failed && e->status == 0);
    owner->failed = true;
    for (uint32_t i = 0; i < owner->count; i++)
        CHECK(owner->streams[i]->s == NULL || !owner->codec->server);
}

static const struct weir_codec_events owner_events = {
    .on_stream = owner_on_stream,
    .on_output = owner_on_output,
    .on_error = owner_on_error,
};

static void owner_start(struct owner *owner, bool server, uint32_t mood)
{
    weir_block_pool_init(&owner->worker.blocks);
    owner->worker.now_ns = 1;
    owner->mood = mood;
    owner->config = (struct weir_codec_config){
        .header_bytes_max = 8192,
        .header_count_max = 32,
        .stream_high_water = 4096,
        .stream_low_water = 1024,
        .h2_stream_window = 65535,
        .h2_connection_window = 100000,
        .h2_max_concurrent_streams = 64,
        .h2_allow_connect = (mood & 1) != 0,
        .h2_override_stream_error = (mood & 2) != 0,
        .underscores = (mood & 12) == 12 ? WEIR_UNDERSCORE_REJECT : (mood & 12) == 8 ? WEIR_UNDERSCORE_DROP : WEIR_UNDERSCORE_ALLOW,
    };
    owner->codec = server ? weir_h2_server_create(&owner->worker, &owner->config, &owner_events, owner)
                          : weir_h2_client_create(&owner->worker, &owner->config, &owner_events, owner);
}

static void owner_output(struct owner *owner)
{
    for (int i = 0; owner->wants_output && i < 1000; i++) {
        struct weir_buffer b;
        weir_buffer_init(&b);
        owner->wants_output = false;
        weir_codec_output(owner->codec, &b);
        weir_buffer_deinit(&b);
    }
    CHECK(!owner->wants_output); /* it comes to rest */
}

static void owner_input(struct owner *owner, const uint8_t *p, size_t n)
{
    struct weir_block *block = weir_block_create(&owner->worker.blocks, n);
    memcpy(block->data, p, n);
    weir_codec_input(owner->codec, ((struct weir_slice){block->data, n, block}));
}

static void owner_unpause(struct owner *owner)
{
    for (uint32_t i = 0; i < owner->count; i++) {
        struct owned *o = owner->streams[i];
        if (o->s == NULL || !o->paused) continue;
        o->paused = false;
        weir_codec_stream_read_pause(o->s, false);
    }
    owner_output(owner);
}

static void owner_end(struct owner *owner, uint32_t how)
{
    if ((how & 1) != 0) weir_codec_input_eof(owner->codec);
    owner_unpause(owner);
    if ((how & 2) != 0) weir_codec_fail(owner->codec, WEIR_RESET_CONNECTION, WEIR_STR("gone"));
    if ((how & 1) != 0 || (how & 2) != 0 || owner->failed)
        for (uint32_t i = 0; i < owner->count; i++)
            CHECK(owner->streams[i]->s == NULL);
    weir_codec_destroy(owner->codec);
    for (uint32_t i = 0; i < owner->count; i++) {
        weir_arena_destroy(owner->streams[i]->arena);
        free(owner->streams[i]);
    }
    CHECK(owner->worker.blocks.live == 0);
    weir_block_pool_deinit(&owner->worker.blocks);
    free(owner);
}

#endif
