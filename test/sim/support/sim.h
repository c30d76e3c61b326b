/* A world without kernel and clock: workers whose network is memory and whose time is one number, all on one thread.
 * Everything random comes from one seed, so that a run can be repeated. Scripted clients and upstreams use the same transports as
 * weir does, on a worker of their own. */
#ifndef TEST_SIM_SUPPORT_SIM_H
#define TEST_SIM_SUPPORT_SIM_H

#include "dataplane/base/random.h"
#include "dataplane/transport/transport.h"

struct sim;

/* Something that happens at a moment; same moment: in the order in which it was scheduled. */
typedef void sim_fn(struct sim *s, void *ctx);

/* What connections are like. Times in ns. Each direction of a link keeps its order; a piece's way takes a random time between
 * the two. */
struct sim_network {
    uint64_t latency_min_ns, latency_max_ns;
    size_t window_bytes; /* sent and not yet read, each direction: then a writer waits */
    size_t piece_max;    /* 0: any; pieces that bytes are cut into on their way are random up to it */
};

/* A place to connect to. */
struct sim_listener {
    struct weir_list node;
    struct weir_address address;
    enum { SIM_ACCEPT, SIM_REFUSE, SIM_BLACK_HOLE } mode;
    /* Takes the server's end: attaches to it or closes it. */
    void (*on_accept)(void *ctx, struct weir_transport *t);
    /* On whose worker that end lives. NULL: the world's. */
    struct weir_worker *(*worker)(void *ctx);
    void *ctx;
};
#define SIM_WORKERS_MAX 8

struct sim_event;
struct sim {
    struct weir_transport_factory factory; /* of every worker */
    struct weir_worker *worker;            /* the world's: of clients, upstreams and scripts */
    struct weir_worker *workers[SIM_WORKERS_MAX];
    uint32_t worker_count;
    struct weir_random random; /* of the world; each worker has its own */
    struct sim_network network;
    struct weir_list listeners;
    struct sim_event *events; /* heap */
    size_t event_count, event_capacity;
    uint64_t event_sequence;
    struct weir_list ends; /* transports alive */
    uint32_t end_count;
    size_t queued_max; /* the most that one of weir's transports ever had to write */
    uint64_t trace; /* a hash of all that happened: equal for equal seeds */
    bool log;       /* print what happens */
};

struct sim *sim_create(uint64_t seed);
/* One more worker, as weir_worker_create_simulated() makes it; destroyed with the world, before it others that came later. */
struct weir_worker *sim_add_worker(struct sim *s, uint32_t index, uint32_t worker_count);
/* Runs what is left until nothing happens any more, then checks that nothing is left behind: no transport, no block. */
void sim_destroy(struct sim *s);

void sim_at(struct sim *s, uint64_t delay_ns, sim_fn *fn, void *ctx);
/* Goes to the next moment at which something happens, and lets it happen: events, then the rest of the worker's turn.
 * False: nothing will ever happen. */
bool sim_step(struct sim *s);
/* Steps until `done` or until so much virtual time has passed. Whether `done`. */
bool sim_run(struct sim *s, bool (*done)(void *ctx), void *ctx, uint64_t limit_ns);
/* Lets time pass. */
void sim_pass(struct sim *s, uint64_t ns);
void sim_note(struct sim *s, const char *what, uint64_t a, uint64_t b); /* into the trace */

void sim_listen(struct sim *s, struct sim_listener *l);
void sim_unlisten(struct sim_listener *l);
struct weir_address sim_address(uint8_t host, uint16_t port); /* 10.0.0.host:port */
/* Two ends that are connected already, on the world's worker. */
void sim_socket_pair(struct sim *s, struct weir_transport **a, struct weir_transport **b);

#define SIM_MS 1000000u

#endif
