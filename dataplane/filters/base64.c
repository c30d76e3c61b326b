/* Base64 over buffers, block by block. */
#include "dataplane/filters/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}
/* One character; bytes of a finished group go to out. Returns how many, or -1. */
static int decode_one(struct weir_base64 *b, uint8_t c, uint8_t out[3])
{
    if (c == '=') {
        if (b->have < 2) return -1;
        b->padding++;
        b->bits <<= 6;
    } else {
        int v = value_of(c);
        if (v < 0 || b->padding > 0) return -1;
        b->bits = b->bits << 6 | (uint32_t)v;
    }
    if (++b->have < 4) return 0;
    out[0] = (uint8_t)(b->bits >> 16);
    out[1] = (uint8_t)(b->bits >> 8);
    out[2] = (uint8_t)b->bits;
    int n = 3 - b->padding;
    *b = (struct weir_base64){0};
    return n;
}
bool weir_base64_decode(struct weir_base64 *b, struct weir_buffer *data, struct weir_block_pool *pool)
{
    if (data->bytes == 0) return true;
    struct weir_block *block = weir_block_create(pool, (data->bytes + b->have) / 4 * 3 + 3);
    size_t n = 0;
    bool good = true;
    for (uint32_t i = 0; good && i < data->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(data, i);
        for (size_t at = 0; good && at < s->n; at++) {
            int got = decode_one(b, s->p[at], block->data + n);
            good = got >= 0;
            if (good) n += (size_t)got;
        }
    }
    weir_buffer_deinit(data);
    weir_buffer_push(data, (struct weir_slice){block->data, n, block});
    return good;
}
void weir_base64_encode(struct weir_buffer *data, struct weir_block_pool *pool)
{
    if (data->bytes == 0) return;
    struct weir_block *block = weir_block_create(pool, (data->bytes + 2) / 3 * 4);
    size_t n = 0;
    uint32_t bits = 0, have = 0;
    for (uint32_t i = 0; i < data->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(data, i);
        for (size_t at = 0; at < s->n; at++) {
            bits = bits << 8 | s->p[at];
            if (++have < 3) continue;
            for (int shift = 18; shift >= 0; shift -= 6) block->data[n++] = (uint8_t)alphabet[bits >> shift & 63];
            bits = have = 0;
        }
    }
    if (have > 0) {
        bits <<= have == 1 ? 16 : 8;
        block->data[n++] = (uint8_t)alphabet[bits >> 18 & 63];
        block->data[n++] = (uint8_t)alphabet[bits >> 12 & 63];
        block->data[n++] = have == 2 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        block->data[n++] = '=';
    }
    weir_buffer_deinit(data);
    weir_buffer_push(data, (struct weir_slice){block->data, n, block});
}
