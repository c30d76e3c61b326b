/* Pools under everything at once, seeded: requests come and are given up, connections come up, fail, answer, break off and
 * say goodbye, time passes, the cluster changes. At the end nothing may be left: upstream_rig_deinit() looks at breakers,
 * gauges, buffers and references. A request that nobody broke is answered. */
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/support/upstream_rig.h"

#define SEEDS 200
#define STEPS 250
#define USERS_MAX 12

struct chaos {
    struct upstream_rig rig;
    struct weir_random random;
    struct upstream_user *users[USERS_MAX];
    bool h2;
};

static uint32_t below(struct chaos *c, uint32_t n)
{
    return (uint32_t)weir_random_below(&c->random, n);
}

static void configure(struct chaos *c, struct weir_cluster_config *config)
{
    config->protocol = c->h2 ? WEIR_UPSTREAM_H2 : WEIR_UPSTREAM_H1;
    config->limits[0].connections = 1 + below(c, 6);
    config->limits[0].pending = 1 + below(c, 8);
    config->limits[0].requests = 1 + below(c, 10);
    config->max_requests_per_connection = below(c, 3) == 0 ? 1 + below(c, 4) : 0;
    config->idle_timeout_ms = below(c, 2) == 0 ? 500 : 3600000;
    config->max_connection_duration_ms = below(c, 4) == 0 ? 2000 : 0;
    config->h2_streams_max = config->h2.h2_max_concurrent_streams = 1 + below(c, 4);
}

/* Some open peer in the wanted state; NULL: there is none. */
static struct upstream_peer *peer(struct chaos *c, bool connected)
{
    struct upstream_rig *r = &c->rig;
    uint32_t first = r->peer_count > 0 ? below(c, r->peer_count) : 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct upstream_peer *p = r->peers[(first + i) % r->peer_count];
        if (!p->closed && p->connected == connected) return p;
    }
    return NULL;
}

static void user_start(struct chaos *c)
{
    struct weir_lb_context x = {0};
    struct weir_cluster_host *h = weir_cluster_pick(upstream_rig_cluster(&c->rig), &x);
    if (h == NULL) return;
    weir_cluster_host_release(h);
    for (int i = 0; i < USERS_MAX; i++) {
        if (c->users[i] != NULL) continue;
        c->users[i] = upstream_user_start_with(&c->rig, below(c, 2) ? "GET" : "POST", below(c, 2) == 0, false);
        return;
    }
}

static void user_go_on(struct chaos *c)
{
    struct upstream_user *u = c->users[below(c, USERS_MAX)];
    if (u != NULL && u->attempt.stream != NULL && !u->attempt.request_ended && !u->end_with_headers)
        upstream_user_send(u, "some", below(c, 2) == 0);
}

static void user_end(struct chaos *c)
{
    uint32_t i = below(c, USERS_MAX);
    if (c->users[i] == NULL) return;
    upstream_user_end(c->users[i]);
    c->users[i] = NULL;
}

static void connect_ends(struct chaos *c)
{
    struct upstream_peer *p = peer(c, false);
    if (p == NULL) return;
    if (below(c, 5) == 0)
        upstream_peer_refuse(p, below(c, 2) ? WEIR_CLOSE_CONNECT_REFUSED : WEIR_CLOSE_CONNECT_TIMEOUT);
    else if (c->h2)
        upstream_peer_accept_h2(p, c->rig.config->h2_streams_max);
    else
        upstream_peer_accept(p, NULL);
}

static void answer(struct chaos *c)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart",
        "rubbish\r\n\r\n",
    };
    struct upstream_peer *p = peer(c, true);
    if (p == NULL) return;
    if (!c->h2) {
        p->n = 0;
        upstream_peer_say(p, texts[below(c, 10) < 7 ? below(c, 3) : below(c, 8)]);
        return;
    }
    for (uint32_t i = 0; i < p->stream_count; i++) {
        if (p->streams[i].codec == NULL || !p->streams[i].headers) continue;
        if (below(c, 4) == 0)
            weir_codec_stream_reset(p->streams[i].codec, WEIR_RESET_LOCAL), p->streams[i].codec = NULL, upstream_rig_turn(&c->rig);
        else
            upstream_peer_answer_h2(p, i, "200", true), p->streams[i].headers = false;
        return;
    }
}

static void break_off(struct chaos *c)
{
    struct upstream_peer *p = peer(c, true);
    if (p == NULL) return;
    switch (below(c, 3)) {
    case 0: upstream_peer_eof(p); break;
    case 1: upstream_peer_break(p); break;
    default:
        if (c->h2) upstream_peer_goaway(p);
        break;
    }
}

static void change(struct chaos *c)
{
    struct weir_cluster_config *next = upstream_rig_copy(&c->rig, below(c, 4));
    configure(c, next);
    upstream_rig_update(&c->rig, next);
}

static void step(struct chaos *c)
{
    switch (below(c, 16)) {
    case 0: case 1: case 2: case 3: user_start(c); break;
    case 4: user_end(c); break;
    case 5: user_go_on(c); break;
    case 6: case 7: case 8: connect_ends(c); break;
    case 9: case 10: case 11: case 12: answer(c); break;
    case 13: break_off(c); break;
    case 14: upstream_rig_advance(&c->rig, below(c, 800)); break;
    default:
        if (below(c, 6) == 0) change(c);
        break;
    }
}

static void test_nothing_is_left_whatever_happens(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct chaos *c = calloc(1, sizeof(*c));
        weir_random_seed(&c->random, seed);
        c->h2 = seed % 2 == 0;
        upstream_rig_init(&c->rig, 2);
        configure(c, c->rig.config);
        upstream_rig_install(&c->rig);
        for (int i = 0; i < STEPS; i++)
            step(c);
        for (int i = 0; i < USERS_MAX; i++)
            if (c->users[i] != NULL) upstream_user_end(c->users[i]);
        upstream_rig_deinit(&c->rig);
        free(c);
    }
}

/* No connection fails, every one answers: so every request is answered, whatever the limits make it wait for. */
static void test_every_request_is_answered_when_nothing_breaks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct chaos *c = calloc(1, sizeof(*c));
        weir_random_seed(&c->random, seed);
        upstream_rig_init(&c->rig, 1 + below(c, 3));
        c->rig.config->limits[0].connections = 1 + below(c, 4);
        upstream_rig_install(&c->rig);
        for (int i = 0; i < USERS_MAX; i++)
            c->users[i] = upstream_user_start(&c->rig);
        bool all = false;
        for (int round = 0; round < 200 && !all; round++) {
            struct upstream_peer *p = peer(c, false);
            if (p != NULL) upstream_peer_accept(p, NULL);
            p = peer(c, true);
            if (p != NULL && p->n > 0) {
                p->n = 0;
                upstream_peer_say(p, "HTTP/1.1 204 No Content\r\n\r\n");
            }
            if (below(c, 4) == 0) change(c); /* hosts come and go meanwhile */
            all = true;
            for (int i = 0; i < USERS_MAX; i++)
                all = all && strstr(c->users[i]->log, "headers 204 end") != NULL;
        }
        if (!all) fail_msg("seed %llu: a request was lost", (unsigned long long)seed);
        for (int i = 0; i < USERS_MAX; i++)
            upstream_user_end(c->users[i]);
        upstream_rig_deinit(&c->rig);
        free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_left_whatever_happens),
        cmocka_unit_test(test_every_request_is_answered_when_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
