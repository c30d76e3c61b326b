/* Which fields mean nothing in a trailer section, whatever the version: those that frame, route or authorise a message, or say how
 * its content is read (RFC 9110 6.5.1). A receiver that merged them into the head would be led by what came behind the body. */
#ifndef WEIR_CODEC_TRAILERS_H
#define WEIR_CODEC_TRAILERS_H

#include "dataplane/base/headers.h"

static inline bool weir_trailer_dropped(enum weir_header_id id)
{
    switch (id) {
    case WEIR_H_CONTENT_LENGTH:
    case WEIR_H_TRANSFER_ENCODING:
    case WEIR_H_HOST:
    case WEIR_H_CONNECTION:
    case WEIR_H_KEEP_ALIVE:
    case WEIR_H_PROXY_CONNECTION:
    case WEIR_H_UPGRADE:
    case WEIR_H_TE:
    case WEIR_H_TRAILER:
    case WEIR_H_EXPECT:
    case WEIR_H_AUTHORIZATION:
    case WEIR_H_PROXY_AUTHORIZATION:
    case WEIR_H_CONTENT_TYPE:
    case WEIR_H_CONTENT_ENCODING:
    case WEIR_H_COOKIE:
    case WEIR_H_SET_COOKIE: return true;
    default: return false;
    }
}

#endif
