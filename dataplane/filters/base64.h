/* Base64 (RFC 4648 4) of bodies on their way. */
#ifndef WEIR_FILTERS_BASE64_H
#define WEIR_FILTERS_BASE64_H

#include "dataplane/base/buffer.h"

/* Zeroed: at the start. */
struct weir_base64 {
    uint32_t bits;
    uint8_t have;   /* characters of the group at hand, 0 to 3 */
    uint8_t padding;
};
/* Decodes what is in `data` in place of it; groups may be cut anywhere, padded groups may be followed by others. false: not
 * base64. At the end `have` must be 0. */
bool weir_base64_decode(struct weir_base64 *b, struct weir_buffer *data, struct weir_block_pool *pool) WEIR_MUST_USE;
/* Encodes `data` in place of it, padded at its end. */
void weir_base64_encode(struct weir_buffer *data, struct weir_block_pool *pool);

#endif
