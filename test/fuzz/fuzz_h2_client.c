/* Bytes of an upstream to codec/h2_client.c, which has requests of every kind under way. Byte 0 picks the size of the pieces
 * and how it ends, byte 1 the owner's mood; with bit 7 of byte 0 empty SETTINGS come first by themselves. */
#include "test/fuzz/support/h2_owner.h"

static void request(struct owner *owner, struct weir_str method, bool upgrade, bool end)
{
    struct owned *o = owned_new(owner);
    o->s = weir_codec_open(owner->codec, &owned_events, o, o->arena);
    if (o->s == NULL) return;
    struct weir_headers h;
    weir_headers_init(&h, o->arena);
    weir_headers_add(&h, WEIR_H_AUTHORITY, WEIR_STR("a.test"));
    weir_headers_add(&h, WEIR_H_PATH, WEIR_STR("/"));
    weir_headers_add(&h, WEIR_H_METHOD, method);
    weir_headers_add(&h, WEIR_H_SCHEME, WEIR_STR("http"));
    if (upgrade) weir_headers_add(&h, WEIR_H_UPGRADE, WEIR_STR("websocket"));
    o->answered = true; /* its body goes on as the response comes */
    o->sent_end = end;
    if (weir_codec_stream_send_headers(o->s, &h, end) != WEIR_OK) owned_reset(o, WEIR_RESET_LOCAL);
}

static void requests(struct owner *owner)
{
    request(owner, WEIR_STR("GET"), false, true);
    request(owner, WEIR_STR("POST"), false, false);
    request(owner, WEIR_STR("HEAD"), false, true);
    request(owner, WEIR_STR("CONNECT"), false, false);
    request(owner, WEIR_STR("GET"), true, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t settings[9] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    if (size < 2 || size > 60000) return 0;
    struct owner *owner = calloc(1, sizeof(*owner));
    CHECK(owner != NULL);
    uint8_t how = data[0];
    owner_start(owner, false, data[1]);
    requests(owner);
    owner_output(owner);
    if ((how & 0x80) != 0) owner_input(owner, settings, sizeof(settings));
    data += 2;
    size -= 2;
    size_t piece = (how & 0x30) == 0 ? size : (size_t)1 << (2 * (how >> 4 & 3));
    for (uint32_t turn = 0; size != 0; turn++) {
        size_t n = size < piece ? size : piece;
        owner_input(owner, data, n);
        data += n;
        size -= n;
        owner_output(owner);
        if ((how & 8) != 0 && turn % 16 == 15) owner_unpause(owner);
        if (turn % 32 == 31 && owner->count + 5 < OWNED_STREAMS_MAX) requests(owner);
        if ((how & 4) != 0 && turn == 10) weir_codec_input_eof(owner->codec);
        owner_output(owner);
    }
    owner_end(owner, how);
    return 0;
}
