/* Bytes of a client to codec/h2_server.c. Byte 0 picks the size of the pieces and how it ends, byte 1 the owner's mood; with
 * bit 7 of byte 0 the preface and SETTINGS come first by themselves. */
#include "test/fuzz/support/h2_owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    if (size < 2 || size > 60000) return 0;
    struct owner *owner = calloc(1, sizeof(*owner));
    CHECK(owner != NULL);
    uint8_t how = data[0];
    owner_start(owner, true, data[1]);
    if ((how & 0x80) != 0) owner_input(owner, preface, sizeof(preface)); /* its NUL ends the frame's stream id */
    data += 2;
    size -= 2;
    size_t piece = (how & 0x30) == 0 ? size : (size_t)1 << (2 * (how >> 4 & 3));
    for (uint32_t turn = 0; size != 0; turn++) {
        size_t n = size < piece ? size : piece;
        owner_input(owner, data, n);
        data += n;
        size -= n;
        if ((how & 4) != 0 && turn % 8 == 3) weir_codec_transport_blocked(owner->codec, true);
        owner_output(owner);
        if ((how & 4) != 0 && turn % 8 == 7) weir_codec_transport_blocked(owner->codec, false);
        if ((how & 8) != 0 && turn % 16 == 15) owner_unpause(owner);
        if ((how & 0x40) != 0 && turn == 20) weir_codec_shutdown(owner->codec, (how & 1) != 0);
    }
    weir_codec_transport_blocked(owner->codec, false);
    owner_output(owner);
    owner_end(owner, how);
    return 0;
}
