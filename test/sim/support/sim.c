/* Time and events of the simulated world; its transports are in net.c. */
#include "test/sim/support/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/sim/support/net.h"

struct sim_event {
    uint64_t at_ns, sequence;
    sim_fn *fn;
    void *ctx;
};

static bool sooner(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->sequence < b->sequence);
}

static void swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event x = *a;
    *a = *b;
    *b = x;
}

void sim_at(struct sim *s, uint64_t delay_ns, sim_fn *fn, void *ctx)
{
    if (s->event_count == s->event_capacity) {
        s->event_capacity = s->event_capacity * 2 + 64;
        s->events = realloc(s->events, sizeof(s->events[0]) * s->event_capacity);
        assert(s->events != NULL);
    }
    size_t i = s->event_count++;
    s->events[i] = (struct sim_event){s->worker->now_ns + delay_ns, s->event_sequence++, fn, ctx};
    for (; i != 0 && sooner(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&s->events[i], &s->events[(i - 1) / 2]);
}

static struct sim_event take_first(struct sim *s)
{
    struct sim_event first = s->events[0];
    s->events[0] = s->events[--s->event_count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < s->event_count && sooner(&s->events[child], &s->events[least])) least = child;
        if (least == i) return first;
        swap(&s->events[i], &s->events[least]);
        i = least;
    }
}

struct weir_worker *sim_add_worker(struct sim *s, uint32_t index, uint32_t worker_count)
{
    assert(s->worker_count < SIM_WORKERS_MAX);
    struct weir_worker *w = weir_worker_create_simulated(index, worker_count, weir_random_u64(&s->random));
    assert(w != NULL);
    w->wall_ns = 1700000000000000000u;
    if (s->worker != NULL) {
        w->now_ns = s->worker->now_ns;
        w->wall_ns = s->worker->wall_ns;
        weir_timer_wheel_set_clock(&w->timers, w->now_ns / SIM_MS);
    }
    w->net = &s->factory;
    s->workers[s->worker_count++] = w;
    return w;
}

struct sim *sim_create(uint64_t seed)
{
    struct sim *s = calloc(1, sizeof(*s));
    assert(s != NULL);
    weir_random_seed(&s->random, seed);
    s->factory.connect = sim_net_connect;
    s->network = (struct sim_network){.latency_min_ns = 10000, .latency_max_ns = 2 * SIM_MS, .window_bytes = 65536};
    weir_list_init(&s->listeners);
    weir_list_init(&s->ends);
    s->log = getenv("WEIR_SIM_LOG") != NULL;
    s->worker = sim_add_worker(s, 0, 1);
    s->worker->connection_ids = 1000000; /* so that its ends are told from those of weir in the log */
    return s;
}

void sim_destroy(struct sim *s)
{
    while (sim_step(s))
        continue;
    for (uint32_t i = 0; i < s->worker_count; i++)
        weir_worker_finish_turn(s->workers[i]); /* the dead are freed */
    sim_net_tell_ends(s);
    assert(s->end_count == 0);
    while (s->worker_count != 0) {
        struct weir_worker *w = s->workers[--s->worker_count];
        uint64_t live = w->blocks.live - (w->room != NULL);
        assert(live == 0);
        (void)live;
        weir_worker_destroy(w);
    }
    free(s->events);
    free(s);
}

void sim_note(struct sim *s, const char *what, uint64_t a, uint64_t b)
{
    if (s->log) (void)fprintf(stderr, "%10.3f %s %llu %llu\n", (double)s->worker->now_ns / SIM_MS, what, (unsigned long long)a, (unsigned long long)b);
    uint64_t h = s->trace ^ s->worker->now_ns ^ a * 0x9e3779b97f4a7c15u ^ b * 0xd6e8feb86659fd93u;
    for (const char *p = what; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    s->trace = h ^ h >> 29;
}

static uint64_t worker_moment(const struct weir_worker *w)
{
    if (!weir_list_empty(&w->deferred) || !weir_list_empty(&w->flushing) || !weir_mailbox_empty(&w->mailbox)) return w->now_ns;
    uint64_t wait_ms = weir_timer_wheel_wait_ms(&w->timers);
    if (wait_ms == UINT64_MAX) return UINT64_MAX;
    uint64_t at = (w->timers.now_ms + wait_ms) * SIM_MS;
    return at > w->now_ns ? at : w->now_ns;
}

/* UINT64_MAX: never. */
static uint64_t next_moment(const struct sim *s)
{
    uint64_t next = s->event_count != 0 ? s->events[0].at_ns : UINT64_MAX;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        uint64_t at = worker_moment(s->workers[i]);
        if (at < next) next = at;
    }
    return next;
}

static void go_to(struct sim *s, uint64_t at_ns)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct weir_worker *w = s->workers[i];
        assert(at_ns >= w->now_ns);
        w->wall_ns += at_ns - w->now_ns;
        w->now_ns = at_ns;
    }
}

bool sim_step(struct sim *s)
{
    uint64_t at = next_moment(s);
    if (at == UINT64_MAX) return false;
    go_to(s, at);
    for (uint32_t i = 0; i < s->worker_count; i++)
        weir_timer_wheel_set_clock(&s->workers[i]->timers, at / SIM_MS);
    while (s->event_count != 0 && s->events[0].at_ns <= at) {
        struct sim_event e = take_first(s);
        e.fn(s, e.ctx);
    }
    for (uint32_t i = 0; i < s->worker_count; i++)
        weir_worker_finish_turn(s->workers[i]);
    return true;
}

bool sim_run(struct sim *s, bool (*done)(void *ctx), void *ctx, uint64_t limit_ns)
{
    uint64_t end = s->worker->now_ns + limit_ns;
    while (!done(ctx)) {
        uint64_t next = next_moment(s);
        if (next == UINT64_MAX || next > end) return false;
        (void)sim_step(s);
    }
    return true;
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

void sim_pass(struct sim *s, uint64_t ns)
{
    uint64_t end = s->worker->now_ns + ns;
    (void)sim_run(s, never, NULL, ns);
    if (s->worker->now_ns < end) go_to(s, end);
}

void sim_listen(struct sim *s, struct sim_listener *l)
{
    weir_list_push_back(&s->listeners, &l->node);
}

void sim_unlisten(struct sim_listener *l)
{
    weir_list_remove(&l->node);
}

struct weir_address sim_address(uint8_t host, uint16_t port)
{
    char text[32];
    struct weir_address a;
    int n = snprintf(text, sizeof(text), "10.0.0.%u", host);
    bool ok = weir_address_parse((struct weir_str){text, (size_t)n}, port, &a);
    assert(ok);
    (void)ok;
    return a;
}
