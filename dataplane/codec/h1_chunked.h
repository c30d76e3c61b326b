/* The chunked coding (RFC 9112 7.1), decoded in pieces: sizes strict, extensions skipped and bounded, the trailer section left
 * to the caller. Called by h1_codec.c. */
#ifndef WEIR_CODEC_H1_CHUNKED_H
#define WEIR_CODEC_H1_CHUNKED_H

#include "dataplane/weir.h"

/* Zeroed is at the start of a body. */
struct weir_h1_chunked {
    uint8_t state;
    uint32_t line;     /* bytes of the chunk line so far */
    uint32_t overhead; /* bytes of chunk lines that the data does not explain */
    uint64_t left;     /* of the chunk */
};
enum weir_h1_chunked_result {
    WEIR_H1_CHUNKED_MORE, /* all bytes used */
    WEIR_H1_CHUNKED_DATA, /* *data_n bytes at *p are data: the caller takes them and moves *p */
    WEIR_H1_CHUNKED_END,  /* the last chunk's line is over; at *p the trailer section begins */
    WEIR_H1_CHUNKED_BAD,
};
enum weir_h1_chunked_result weir_h1_chunked_next(struct weir_h1_chunked *d, const uint8_t **p, const uint8_t *end,
                                                 size_t *data_n);

#endif
