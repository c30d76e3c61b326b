/* Heads, chunk lines and trailer sections of HTTP/1 messages as bytes (RFC 9112 3 to 7). Called by h1_server and h1_client.
 * A name or value that would break the framing is refused here once more, wherever it came from. */
#ifndef WEIR_CODEC_H1_WRITE_H
#define WEIR_CODEC_H1_WRITE_H

#include "dataplane/base/buffer.h"
#include "dataplane/base/headers.h"

/* Envoy's phrase of a status, "Unknown" where it has none. Static bytes. */
struct weir_str weir_http_reason(uint32_t status);

/* Small pieces of framing, written one after the other into blocks of their own. Zeroed is empty. */
struct weir_h1_frames {
    struct weir_block *block;
    uint32_t used;
};
void weir_h1_frames_deinit(struct weir_h1_frames *f);
/* Room for n bytes, and what was written into it (at most n) to the end of `out`. */
uint8_t *weir_h1_frames_reserve(struct weir_h1_frames *f, size_t n) __attribute__((returns_nonnull));
void weir_h1_frames_commit(struct weir_h1_frames *f, struct weir_buffer *out, const uint8_t *end);

/* What the end of a head says, after the message's own headers. */
struct weir_h1_head_end {
    struct weir_str connection; /* value; empty: no connection header */
    bool upgrade;               /* the message's `upgrade` header stays */
    bool drop_length;           /* the message's content-length goes */
    bool chunked;               /* transfer-encoding: chunked */
    bool zero_length;           /* content-length: 0 */
    bool proper_case;           /* Http1ProtocolOptions.header_key_format.proper_case_words */
};

/* The whole head. Pseudo headers and hop-by-hop headers of `h` are left out. Returns its length, 0 when a name or a value holds
 * what may not stand there: then nothing was written. */
size_t weir_h1_write_response(struct weir_h1_frames *f, struct weir_buffer *out, uint32_t status, bool http10,
                              const struct weir_headers *h, const struct weir_h1_head_end *e) WEIR_MUST_USE;
/* `host` from :authority comes first. absolute: `SCHEME://AUTHORITY` before the path. */
size_t weir_h1_write_request(struct weir_h1_frames *f, struct weir_buffer *out, const struct weir_headers *h, bool absolute,
                             const struct weir_h1_head_end *e) WEIR_MUST_USE;
/* The line before n bytes of data (n > 0), which CR LF must follow; returns its length. */
size_t weir_h1_write_chunk_line(struct weir_h1_frames *f, struct weir_buffer *out, uint64_t n);
/* The end of a chunked body with trailers; returns its length. Trailers that may not be written are left out. */
size_t weir_h1_write_trailers(struct weir_h1_frames *f, struct weir_buffer *out, const struct weir_headers *trailers,
                              bool proper_case);

#endif
