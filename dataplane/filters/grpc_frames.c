/* Counting gRPC messages: a prefix of a flag and a length, then so many bytes. */
#include "dataplane/filters/grpc_frames.h"

#define PREFIX_BYTES 5

uint32_t weir_grpc_frames_count(struct weir_grpc_frames *f, const struct weir_buffer *data)
{
    uint32_t messages = 0;
    for (uint32_t i = 0; i < data->count; i++) {
        const struct weir_slice *s = weir_buffer_slice(data, i);
        for (size_t at = 0; at < s->n;) {
            if (f->left > 0) {
                size_t n = s->n - at < f->left ? s->n - at : f->left;
                f->left -= (uint32_t)n;
                at += n;
                continue;
            }
            if (f->prefix > 0) f->length = f->length << 8 | s->p[at];
            at++;
            if (++f->prefix < PREFIX_BYTES) continue;
            messages++;
            f->left = f->length;
            f->length = 0;
            f->prefix = 0;
        }
    }
    return messages;
}
