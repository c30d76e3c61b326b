/* What HTTP asks of a header block (RFC 9113 8): names, values, pseudo headers, what may stand together. Pure: header
 * fields in, a header map and a verdict out. Called by h2_receive.c for each field that HPACK gives. */
#ifndef WEIR_CODEC_H2_MESSAGE_H
#define WEIR_CODEC_H2_MESSAGE_H

#include "dataplane/codec/codec.h"

enum weir_h2_block { WEIR_H2_REQUEST, WEIR_H2_RESPONSE, WEIR_H2_TRAILERS };

enum weir_h2_fault {
    WEIR_H2_FINE,
    WEIR_H2_FIELD,      /* a field that may not be: "http2.invalid.header.field" */
    WEIR_H2_RULE,       /* fields that do not make a message: "http2.violation.of.messaging.rule" */
    WEIR_H2_MANY,       /* more fields than header_count_max */
    WEIR_H2_LARGE,      /* more bytes than header_bytes_max */
    WEIR_H2_UNDERSCORE, /* refused as headers_with_underscores_action says */
    WEIR_H2_DROPPED,    /* left out for the same reason; no fault */
};

/* One header block being received. */
struct weir_h2_message {
    enum weir_h2_block block;
    bool connect_protocol;  /* we said SETTINGS_ENABLE_CONNECT_PROTOCOL */
    bool regular;           /* a regular field has been seen: no pseudo header may follow */
    bool connect;           /* :method is CONNECT */
    bool asterisk;          /* :path is "*" */
    bool options;           /* :method is OPTIONS */
    bool host;              /* a host field has been seen */
    uint8_t pseudo;         /* bits of the pseudo headers seen */
    uint16_t status;        /* RESPONSE; 0: none yet */
    uint32_t count, bytes;  /* fields, names and values as received */
    uint32_t cookies;       /* cookie crumbs in the map */
    int64_t content_length; /* -1: none */
};

void weir_h2_message_init(struct weir_h2_message *m, enum weir_h2_block block, bool connect_protocol);
/* Checks one field and copies it into the map's arena. */
enum weir_h2_fault weir_h2_message_field(struct weir_h2_message *m, const struct weir_codec_config *config,
                                         struct weir_headers *h, struct weir_str name, struct weir_str value);
/* The block is complete; end_stream: nothing follows it. Joins cookie crumbs, moves `host` into :authority. */
enum weir_h2_fault weir_h2_message_end(struct weir_h2_message *m, struct weir_headers *h, bool end_stream);

#endif
