/* Requests in the simulated world, and the model that they are held against. Each exchange has a plan made from a number: who
 * sends how much in which pieces, what the upstream answers, what goes wrong. The number travels with the request, so that the
 * upstream knows what to do; then both ends compare what they see with the plan, byte for byte. */
#ifndef TEST_SIM_SUPPORT_TRAFFIC_H
#define TEST_SIM_SUPPORT_TRAFFIC_H

#include "test/sim/support/http_peer.h"
#include "test/sim/support/plan.h"
#include "test/sim/support/proxy.h"

#define TRAFFIC_ABSENCES_MAX 16u

struct traffic;
struct exchange {
    struct traffic *traffic;
    uint32_t id;
    struct plan plan;
    bool client_h2;
    /* What the upstream saw. */
    uint32_t attempts, collateral; /* collateral: other connections' breaks took it along, or might have */
    bool sick;                     /* a sick host has answered it */
    bool answered;                 /* the answer of the plan was begun */
    bool request_seen_whole, request_wrong;
    /* What the client saw. */
    uint32_t status, sends;
    uint64_t received;
    bool started, done, head, ended, wrong, foreign, trailers, reset;
    bool refused;  /* the proxy that ends took no connection for it */
    bool vanished; /* its client broke the connection, for this or another exchange */
    uint32_t vanishes_at_end; /* traffic->vanishes when the client had both directions behind it */
    uint64_t start_ns, end_ns, breaks_at_start;
    uint64_t active_ns, silent_ns; /* last piece sent; since when one side is silent by plan */
    bool after_break; /* a connection broke so shortly before that the proxy may not have heard of it */
};

struct traffic {
    struct sim *sim;
    struct proxy *proxy;
    struct traffic_options options;
    struct weir_address front; /* of the proxy's listener: for clients that are added from now on */
    struct traffic_absence {
        uint64_t from_ns, to_ns;
    } absences[TRAFFIC_ABSENCES_MAX]; /* of the clusters that fade */
    uint32_t vanishes; /* connections that clients broke */
    uint32_t absence_count;
    uint64_t closing_ns;  /* when the proxy was told to end; 0: not */
    uint64_t deadline_ns; /* when it ends what is left */
    struct exchange *exchanges;
    uint32_t count, done;
    uint32_t live_clients, live_serves; /* streams */
    uint32_t most_serves, connections, most_connections; /* at the upstreams */
    uint64_t breaks, last_break_ns;     /* of connections, by upstreams */
    struct weir_list upstreams, clients;
};

void traffic_init(struct traffic *t, struct sim *s, struct proxy *p, const struct traffic_options *o, struct weir_address front,
                  uint32_t count);
/* An upstream host. */
void traffic_add_upstream(struct traffic *t, struct weir_address at, bool h2);
/* Such a host answers 503 to everything. */
void traffic_set_sick(struct traffic *t, const struct weir_address *at, bool sick);
/* Requests that this host has seen. */
uint32_t traffic_seen(const struct traffic *t, const struct weir_address *at);
/* A client that makes `count` of the exchanges, at random times within `span_ns`. */
void traffic_add_client(struct traffic *t, bool h2, uint32_t count, uint64_t span_ns);
bool traffic_done(void *traffic);
/* Compares every exchange with its plan; fails the test with what it was. */
void traffic_check(struct traffic *t, uint64_t seed);
void traffic_deinit(struct traffic *t, uint64_t seed);

#endif
