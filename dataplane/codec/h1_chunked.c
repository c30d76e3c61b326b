/* Decoder of the chunked coding; called by h1_codec.c for each piece of a body. */
#include "dataplane/codec/h1_chunked.h"

#include "dataplane/limits.h"

enum { S_FIRST, S_SIZE, S_BLANK, S_EXTENSION, S_LINE_LF, S_DATA, S_DATA_CR, S_DATA_LF, S_END };

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_size(struct weir_h1_chunked *d, uint8_t c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (d->left >> 58 != 0) /* sums of bytes must not wrap either */
            return false;
        d->left = d->left << 4 | (uint64_t)digit;
        d->state = S_SIZE;
        return true;
    }
    if (d->state == S_FIRST)
        return false;
    if (c == '\r')
        d->state = S_LINE_LF;
    else if (c == ';')
        d->state = S_EXTENSION;
    else if (c == ' ' || c == '\t')
        d->state = S_BLANK; /* allowed before an extension only */
    else
        return false;
    return true;
}

static bool take_line_byte(struct weir_h1_chunked *d, uint8_t c)
{
    if (++d->line > WEIR_H1_CHUNK_LINE_BYTES_MAX)
        return false;
    switch (d->state) {
    case S_FIRST:
    case S_SIZE:
        return take_size(d, c);
    case S_BLANK:
        if (c == ';')
            d->state = S_EXTENSION;
        return c == ';' || c == ' ' || c == '\t';
    case S_EXTENSION:
        if (c == '\r')
            d->state = S_LINE_LF;
        return c == '\r' || c == '\t' || (c >= 0x20 && c != 0x7f);
    default: /* S_LINE_LF */
        if (c != '\n')
            return false;
        d->state = d->left > 0 ? S_DATA : S_END;
        return true;
    }
}

/* Tiny chunks in long lines make us read far more than we pass on; honest ones stay within what the data explains. */
static bool line_explained(struct weir_h1_chunked *d)
{
    uint64_t earned = 16 + d->left * 2;
    d->overhead += d->line;
    d->overhead = earned >= d->overhead ? 0 : d->overhead - (uint32_t)earned;
    d->line = 0;
    return d->overhead <= WEIR_H1_CHUNK_OVERHEAD_BYTES_MAX;
}

enum weir_h1_chunked_result weir_h1_chunked_next(struct weir_h1_chunked *d, const uint8_t **p, const uint8_t *end, size_t *data_n)
{
    while (*p < end) {
        if (d->state == S_DATA) {
            *data_n = (uint64_t)(end - *p) < d->left ? (size_t)(end - *p) : (size_t)d->left;
            d->left -= *data_n;
            if (d->left == 0)
                d->state = S_DATA_CR;
            return WEIR_H1_CHUNKED_DATA;
        }
        uint8_t c = *(*p)++;
        if (d->state == S_DATA_CR) {
            if (c != '\r')
                return WEIR_H1_CHUNKED_BAD;
            d->state = S_DATA_LF;
        } else if (d->state == S_DATA_LF) {
            if (c != '\n')
                return WEIR_H1_CHUNKED_BAD;
            d->state = S_FIRST;
        } else if (!take_line_byte(d, c)) {
            return WEIR_H1_CHUNKED_BAD;
        } else if ((d->state == S_DATA || d->state == S_END) && !line_explained(d)) {
            return WEIR_H1_CHUNKED_BAD;
        }
        if (d->state == S_END)
            return WEIR_H1_CHUNKED_END;
    }
    return WEIR_H1_CHUNKED_MORE;
}
