/* One end of an HTTP connection in the simulated world: a codec over a transport, as conn_manager and the pool use them, without
 * anything of theirs. What streams hear is the caller's. */
#ifndef TEST_SIM_SUPPORT_HTTP_PEER_H
#define TEST_SIM_SUPPORT_HTTP_PEER_H

#include "dataplane/codec/codec.h"
#include "test/sim/support/sim.h"

struct http_peer {
    struct sim *sim;
    struct weir_transport *t; /* NULL: gone */
    struct weir_codec *codec;
    struct weir_deferred flush;
    struct weir_dead dead;
    bool h2, server;
    bool connected, output_wanted, write_end, broken, eof, last, leaving;
    bool tunnel;   /* a stream of it is one: the proxy may end its direction alone */
    bool vanished; /* http_peer_break() was called */
    /* Server: a request begins. */
    void (*on_stream)(struct http_peer *p, struct weir_codec_stream *s);
    /* Client: connected, or room for more streams. */
    void (*on_room)(struct http_peer *p);
    /* The connection is gone and every stream has heard of it. The peer is freed at the turn's end. */
    void (*on_gone)(struct http_peer *p);
    void *owner;
};

/* Takes the transport. */
struct http_peer *http_peer_serve(struct sim *s, struct weir_transport *t, bool h2, void *owner);
struct http_peer *http_peer_connect(struct sim *s, const struct weir_address *to, bool h2, void *owner);
/* No further requests: ends when the last stream has. */
void http_peer_leave(struct http_peer *p);
void http_peer_break(struct http_peer *p, bool reset);
/* Gives a stream of this peer up. */
void http_peer_reset(struct http_peer *p, struct weir_codec_stream *s, enum weir_reset reason);
/* Client: whether a stream may be opened now. */
bool http_peer_room(const struct http_peer *p);

#endif
