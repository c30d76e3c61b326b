/* Heads and trailer sections of HTTP/1 messages (RFC 9112 2 to 5), pure bytes: a strict tokeniser that can be fed in
 * pieces, and the step from tokens to headers and framing. Called by h1_server and h1_client. The tokeniser's answer for some
 * bytes does not depend on how they were cut into pieces. */
#ifndef WEIR_CODEC_H1_PARSE_H
#define WEIR_CODEC_H1_PARSE_H

#include "dataplane/codec/codec.h"
#include "dataplane/codec/tunnel.h"

enum weir_h1_kind { WEIR_H1_REQUEST, WEIR_H1_RESPONSE, WEIR_H1_TRAILERS };
enum weir_h1_result { WEIR_H1_MORE, WEIR_H1_DONE, WEIR_H1_BAD };

/* What is wrong with a message; weir_h1_error() has the answer that a client gets. */
enum weir_h1_fault {
    WEIR_H1_FAULT_NONE,
    WEIR_H1_FAULT_CODEC,
    WEIR_H1_FAULT_CHARACTERS, /* a control character in target or value */
    WEIR_H1_FAULT_TOO_LARGE,
    WEIR_H1_FAULT_TOO_MANY,
    WEIR_H1_FAULT_LOW_VERSION,
    WEIR_H1_FAULT_TRANSFER_ENCODING,
    WEIR_H1_FAULT_LENGTH_AND_CHUNKED,
    WEIR_H1_FAULT_AUTHORITY,
    WEIR_H1_FAULT_URL,
    WEIR_H1_FAULT_UNDERSCORE,
    WEIR_H1_FAULT_CONNECTION_HEADER,
    WEIR_H1_FAULT_BODY_DISALLOWED,
    WEIR_H1_FAULT_COUNT,
};
const struct weir_codec_error *weir_h1_error(enum weir_h1_fault f); /* static; not for NONE */

/* A field line by offsets from the head's first byte; the value is trimmed. */
struct weir_h1_field {
    uint32_t name, name_n, value, value_n;
};

struct weir_h1_parser {
    uint8_t kind, state, fault; /* enum weir_h1_kind; of h1_parse.c; enum weir_h1_fault */
    uint8_t major, minor;       /* minor 9 with major 0: a request line without version */
    bool custom_methods;
    uint16_t status;
    uint32_t at; /* bytes seen; after DONE: length of the head */
    uint32_t bytes_max, count_max;
    uint32_t token, name_n; /* where the token in the making starts; length of the name before it */
    uint32_t name;
    uint32_t method_n, target, target_n;
    uint32_t count, capacity;
    struct weir_h1_field *fields; /* in `arena` */
    struct weir_arena *arena;
};

/* Arena bytes that are written before they are read: not zeroed, never NULL. */
void *weir_h1_room(struct weir_arena *arena, size_t size) __attribute__((returns_nonnull));

/* A small copy of `config` is taken: its header limits and method rule. */
void weir_h1_parser_init(struct weir_h1_parser *x, enum weir_h1_kind kind, const struct weir_codec_config *config,
                         struct weir_arena *arena);
/* head[0..n): all bytes since the head's start, of which x->at have been seen by earlier calls. A request's empty lines before
 * it are not part of it. DONE: x->at bytes were the head. BAD: x->fault. */
enum weir_h1_result weir_h1_parse(struct weir_h1_parser *x, const char *head, size_t n);

enum weir_h1_body { WEIR_H1_BODY_NONE, WEIR_H1_BODY_LENGTH, WEIR_H1_BODY_CHUNKED, WEIR_H1_BODY_CLOSE, WEIR_H1_BODY_TUNNEL };

/* What a head means for the connection. */
struct weir_h1_message {
    enum weir_h1_body body; /* NONE for a tunnel request: what follows waits for the answer */
    uint64_t length;        /* of LENGTH */
    bool http10, persistent, head; /* head: HEAD request */
    enum weir_tunnel tunnel;       /* request: asked for; response: accepted */
    uint16_t status;
    uint32_t underscores; /* fields whose names hold one, where the configuration drops or refuses them */
};

/* After DONE. `head` is the head in the arena that `out` gets (names are lowered in place, values point into it). Hop-by-hop
 * headers are used up, but `upgrade` of a tunnel and `te: trailers`. */
enum weir_h1_fault weir_h1_request_read(const struct weir_h1_parser *x, char *head, const struct weir_codec_config *config,
                                        struct weir_headers *out, struct weir_h1_message *m) WEIR_MUST_USE;
/* `request` is the message that this answers: its `head` and `tunnel` count. 1xx other than an accepted 101: body NONE. */
enum weir_h1_fault weir_h1_response_read(const struct weir_h1_parser *x, char *head, const struct weir_codec_config *config,
                                         const struct weir_h1_message *request, struct weir_headers *out,
                                         struct weir_h1_message *m) WEIR_MUST_USE;
/* Fields that frame, route or authorise are dropped (RFC 9110 6.5.1). */
void weir_h1_trailers_read(const struct weir_h1_parser *x, char *head, struct weir_headers *out);

#endif
