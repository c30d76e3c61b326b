/* gRPC's length-prefixed messages in a body (gRPC over HTTP/2, "Length-Prefixed-Message"), counted as they pass. */
#ifndef WEIR_FILTERS_GRPC_FRAMES_H
#define WEIR_FILTERS_GRPC_FRAMES_H

#include "dataplane/base/buffer.h"

/* Zeroed: at the start of a message. */
struct weir_grpc_frames {
    uint32_t left;      /* bytes of the message at hand */
    uint32_t length;    /* so far, of the prefix */
    uint8_t prefix;     /* bytes of the prefix that were read */
};
/* How many messages begin in `data`. */
uint32_t weir_grpc_frames_count(struct weir_grpc_frames *f, const struct weir_buffer *data);

#endif
