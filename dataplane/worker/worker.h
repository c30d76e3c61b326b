/* A loop thread and what belongs to it alone: clock, timers, buffer blocks, random numbers, and its view of the published
 * configuration. Workers never lock and never parse; they learn of changes by mailbox (worker/mailbox.h). The control
 * thread runs the same loop without listeners. One turn: events of the kernel → mail → due timers → deferred work (codecs flush)
 * → transports write → what died is freed. */
#ifndef WEIR_WORKER_WORKER_H
#define WEIR_WORKER_WORKER_H

#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/base/list.h"
#include "dataplane/base/random.h"
#include "dataplane/base/timer.h"
#include "dataplane/worker/mailbox.h"
#include "dataplane/worker/snapshot.h"

struct weir_transport_factory;
struct weir_hangups; /* transport/raw.c */
struct weir_own_connections; /* transport/own.h */
struct st_h2o_evloop_t;

/* Work put off to the end of the turn; queued at most once at a time. Zeroed is idle. */
struct weir_deferred {
    struct weir_list node;
    void (*run)(struct weir_deferred *d);
};

struct weir_worker {
    uint32_t index;           /* 0 .. worker_count-1; worker_count: the control thread */
    uint64_t now_ns;          /* monotonic, read once a turn */
    uint64_t wall_ns;         /* Unix time of the same turn */
    struct weir_timer_wheel timers;
    struct weir_block_pool blocks;
    struct weir_arena_pool arenas; /* streams' arenas at rest */
    struct weir_random random;
    struct weir_mailbox mailbox;
    struct weir_snapshot snapshot;
    const struct weir_transport_factory *net; /* sockets, or the simulation's memory (transport/transport.h) */
    struct st_h2o_evloop_t *loop;             /* NULL in simulation */
    struct weir_list deferred, flushing, dead, locals;
    struct weir_list lingering; /* transports that finish without an owner */
    struct weir_block *room;      /* what sockets read into, shared by all of them: an idle one holds nothing */
    uint32_t room_used;
    uint32_t unflushed; /* transports that were given up, and tunnels, with bytes still to be written */
    struct weir_hangups *hangups; /* sockets that are not read for a while; made at first use */
    struct weir_own_connections *own; /* of the process; NULL: none are noted */
    char date[32]; /* RFC 9110 IMF-fixdate of this second, for `date` headers */
    uint32_t date_length;
    uint64_t date_s;
    uint64_t connection_ids; /* next id; each worker counts in steps of worker_count */
    uint32_t worker_count;
    bool draining;            /* answer with Connection: close, GOAWAY (worker/drain.h) */
    bool overloaded;          /* new requests are refused: the process is near its memory limit */
    bool stop;
    bool ticked; /* the clock has been read in this turn */
    _Atomic uintptr_t thread; /* that runs the loop; 0: not yet */
};

/* Creates the loop. `net` NULL: real sockets (weir_transport_connect() knows). NULL when the system refuses. */
struct weir_worker *weir_worker_create(uint32_t index, uint32_t worker_count);
/* A worker without loop, sockets and wake-ups: the caller sets now_ns and wall_ns and calls weir_worker_finish_turn(). */
struct weir_worker *weir_worker_create_simulated(uint32_t index, uint32_t worker_count, uint64_t seed);
/* On any thread once run() has returned. Delivers the mail that is left, runs what is deferred, frees what is dead. */
void weir_worker_destroy(struct weir_worker *w);
/* Turns until w->stop. Call on the thread that owns the worker. */
void weir_worker_run(struct weir_worker *w);
/* One turn: waits at most max_wait_ms. For tests and for run(). */
void weir_worker_turn(struct weir_worker *w, uint32_t max_wait_ms);
/* The parts of a turn after the kernel's events: what a simulation calls with its own clock (fields now_ns, wall_ns set). */
void weir_worker_finish_turn(struct weir_worker *w);
/* Reads the clock at the first event of a turn; what the loop calls calls this before anything else. */
void weir_worker_read_clock(struct weir_worker *w);
static inline void weir_worker_tick(struct weir_worker *w)
{
    if (!w->ticked) weir_worker_read_clock(w);
}

void weir_worker_defer(struct weir_worker *w, struct weir_deferred *d);
void weir_worker_undefer(struct weir_deferred *d);
/* The same for what comes after all deferred work: transports write. */
void weir_worker_flush_later(struct weir_worker *w, struct weir_deferred *d);
/* Frees with fn at the end of the turn, when no callback of the object is on the stack any more. */
struct weir_dead {
    struct weir_list node;
    void (*destroy)(struct weir_dead *d);
};
void weir_worker_bury(struct weir_worker *w, struct weir_dead *d);
/* What another room keeps once for each worker; destroyed with the worker, newest first. */
struct weir_worker_local {
    struct weir_list node;
    void (*destroy)(struct weir_worker_local *l);
};
void weir_worker_add_local(struct weir_worker *w, struct weir_worker_local *l);
struct weir_str weir_worker_date(struct weir_worker *w); /* valid until the next turn */
uint64_t weir_worker_next_connection_id(struct weir_worker *w);

static inline uint64_t weir_worker_now_ms(const struct weir_worker *w)
{
    return w->now_ns / 1000000u;
}

#endif
