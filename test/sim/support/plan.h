/* What one exchange of the simulated world is to be: who sends how much in which pieces, what the upstream answers, what goes
 * wrong. Made from random numbers; both ends and the model read the same plan. */
#ifndef TEST_SIM_SUPPORT_PLAN_H
#define TEST_SIM_SUPPORT_PLAN_H

#include "dataplane/base/buffer.h"
#include "test/sim/support/sim.h"

enum fault {
    FAULT_NONE,
    FAULT_REFUSE, /* HTTP/2: REFUSED_STREAM; HTTP/1: FIN without an answer */
    FAULT_RESET,  /* HTTP/2: RST_STREAM; HTTP/1: RST, before the head */
    FAULT_BREAK,  /* the connection breaks before the head */
    FAULT_503,
    FAULT_CUT,    /* after the head and a part of the body */
    FAULT_SILENT, /* no answer ever */
};
enum tunnel { TUNNEL_NONE, TUNNEL_WEBSOCKET, TUNNEL_CONNECT }; /* bodies are what goes through it, both ways at once */
enum stall { STALL_NONE, STALL_CLIENT, STALL_HEAD, STALL_BODY }; /* who falls silent: the client in its body, the upstream before or in its */
enum client_fault { CLIENT_FINE, CLIENT_CANCELS, CLIENT_VANISHES };
/* No retries; three; a timeout of half a second; to a cluster that is not always there; no timeout but a second of silence;
 * to hostile upstreams (hostile.h). */
enum way { WAY_PLAIN, WAY_RETRY, WAY_SHORT, WAY_FADING, WAY_IDLE, WAY_ROUGH };

struct plan {
    enum way way;
    bool upstream_h2; /* which cluster */
    enum tunnel tunnel;
    const char *method;
    uint32_t request_bytes, request_pieces, response_bytes, response_pieces;
    uint64_t request_gap_ns, response_gap_ns, think_ns; /* between pieces; before the head */
    uint32_t status;
    bool request_length, response_length; /* content-length is sent */
    bool request_trailers, response_trailers;
    bool early;   /* the upstream answers before the request has ended */
    bool slow;    /* the client stops reading now and then */
    enum fault fault;
    enum stall stall;
    uint32_t fails; /* so many attempts meet the fault, the next ones do not */
    enum client_fault client_fault;
    uint64_t client_fault_ns;
};

/* What plans may hold. What is not asked for draws no random numbers: seeds keep their meaning when something is added. */
struct traffic_options {
    bool faults, client_faults;
    bool moved; /* hosts come and go: a connection may end under a request that is on its way to it */
    bool plane; /* configuration comes from a control plane (plane.h) and may change */
    bool fading;
    bool tunnels; /* half of the exchanges */
    bool sick;    /* hosts may be (traffic_set_sick()): a plan says nothing of it */
    bool limited; /* the proxy may answer 503 itself, untried: circuit breakers */
    bool rough;
    bool stalls;  /* on routes with an idle timeout: one side falls silent in the middle */
    uint32_t body_max;
};

void plan_make(struct plan *p, struct weir_random *r, const struct traffic_options *o);

/* Bodies: each exchange has its own bytes in each direction. */
void body_fill(struct weir_worker *w, struct weir_buffer *b, uint32_t id, bool response, uint64_t from, size_t n);
bool body_matches(const struct weir_buffer *b, uint32_t id, bool response, uint64_t from);

/* One end's sending of a body, piece by piece. */
struct sender {
    uint32_t bytes, pieces, sent, sent_pieces;
};
/* The size of the next piece; the last one brings all to an end. */
size_t sender_next(struct sender *s);
bool sender_done(const struct sender *s);

#endif
