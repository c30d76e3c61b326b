/* Configuration that never rests under traffic: a control plane changes, removes and brings back what it likes, at any moment.
 * Nothing that goes to what stays may be lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/sim/support/seeds.h"
#include "test/sim/support/world.h"

#define EXCHANGES 60
#define SLOWEST_NEWS_NS (250 * (uint64_t)SIM_MS) /* from a change at the control plane to the last worker that knows it */

struct churn {
    struct world world;
    uint32_t changes; /* still to come */
    uint64_t gap_ns;
    bool faded, side_gone;
};

static uint64_t below(struct churn *c, uint64_t n)
{
    return weir_random_below(&c->world.sim->random, n);
}

static void set_fading(struct churn *c)
{
    world_set_cluster(&c->world, "fading1", false, "fading1", "");
    world_set_cluster(&c->world, "fading2", true, "fading2", "");
    world_set_endpoints(&c->world, "fading1", false, 7);
    world_set_endpoints(&c->world, "fading2", true, 7);
}

static void fade(struct churn *c)
{
    struct traffic *t = &c->world.traffic;
    uint64_t now = c->world.sim->worker->now_ns;
    if (c->faded) {
        set_fading(c);
        t->absences[t->absence_count - 1].to_ns = now + SLOWEST_NEWS_NS;
    } else if (t->absence_count < TRAFFIC_ABSENCES_MAX) {
        plane_remove(c->world.plane, WEIR_CLUSTERS, "fading1");
        plane_remove(c->world.plane, WEIR_CLUSTERS, "fading2");
        if (below(c, 2) == 0) plane_remove(c->world.plane, WEIR_ENDPOINTS, "fading1");
        t->absences[t->absence_count++] = (struct traffic_absence){now, UINT64_MAX};
    } else {
        return;
    }
    c->faded = !c->faded;
}

static void set_side(struct churn *c, bool there)
{
    if (there)
        world_set_listener(&c->world, "side", 2, "routes", "");
    else
        plane_remove(c->world.plane, WEIR_LISTENERS, "side");
    c->side_gone = !there;
}

static void change_cluster(struct churn *c, bool h2)
{
    char more[64];
    (void)snprintf(more, sizeof(more), "'connect_timeout': '%us',", 1 + (unsigned)below(c, 9));
    /* Now and then another set of endpoints: the cluster warms, the old one serves. */
    static const char *const sets[2][2] = {{"h1", "h1-other"}, {"h2", "h2-other"}};
    world_set_cluster(&c->world, h2 ? "h2" : "h1", h2, sets[h2][below(c, 2)], more);
}

static void change_routes(struct churn *c)
{
    char first[256];
    (void)snprintf(first, sizeof(first), "{'match': {'path': '/none/%u'}, 'direct_response': {'status': 200}},", (unsigned)below(c, 1000));
    world_set_routes(&c->world, below(c, 2) == 0 ? "routes" : "routes-other", first);
}

static void change_listener(struct churn *c)
{
    char more[64];
    (void)snprintf(more, sizeof(more), "'stream_idle_timeout': '%us',", 100 + (unsigned)below(c, 5));
    world_set_listener(&c->world, "in", 1, below(c, 2) == 0 ? "routes" : "routes-other", more);
}

static void change(struct sim *s, void *ctx)
{
    struct churn *c = ctx;
    bool h2 = below(c, 2) == 0;
    switch (below(c, 8)) {
    case 0:
    case 1: world_set_endpoints(&c->world, h2 ? "h2" : "h1", h2, 1 + (unsigned)below(c, 7)); break;
    case 2: world_set_endpoints(&c->world, h2 ? "h2-other" : "h1-other", h2, 1 + (unsigned)below(c, 7)); break;
    case 3: change_cluster(c, h2); break;
    case 4: change_routes(c); break;
    case 5: change_listener(c); break;
    case 6: fade(c); break;
    default: set_side(c, c->side_gone); break;
    }
    if (--c->changes != 0) {
        /* Often at once: the control plane says much in one breath. */
        sim_at(s, below(c, 3) == 0 ? 0 : below(c, c->gap_ns), change, c);
        return;
    }
    if (c->faded) fade(c);
    if (c->side_gone) set_side(c, true);
}

static bool all_over(void *ctx)
{
    struct churn *c = ctx;
    return c->changes == 0 && traffic_done(&c->world.traffic);
}

static void run(uint64_t seed, struct traffic_options o)
{
    struct churn c = {0};
    struct world *w = &c.world;
    o.plane = o.fading = true;
    world_init(w, seed, &o, EXCHANGES);
    world_set_endpoints(w, "h1-other", false, 7);
    world_set_endpoints(w, "h2-other", true, 7);
    world_set_routes(w, "routes-other", "");
    set_fading(&c);
    set_side(&c, true);
    proxy_open_port(w->proxy, "side", sim_address(2, 80));
    sim_pass(w->sim, SLOWEST_NEWS_NS);
    uint64_t span = world_add_clients(w, EXCHANGES / 2);
    w->traffic.front = sim_address(2, 80);
    (void)world_add_clients(w, EXCHANGES / 2);
    c.changes = 1 + (uint32_t)below(&c, 40);
    c.gap_ns = 1 + 2 * span / c.changes;
    sim_at(w->sim, below(&c, span), change, &c);
    (void)sim_run(w->sim, all_over, &c, 120 * S);
    (void)world_end(w);
}

static void run_churn(uint64_t seed)
{
    run(seed, (struct traffic_options){.body_max = 100000});
}

static void test_nothing_is_lost_while_configuration_changes(void **state)
{
    (void)state;
    run_seeds("churn", 60, 10, run_churn);
}

static void run_churn_and_faults(uint64_t seed)
{
    run(seed, (struct traffic_options){.faults = true, .client_faults = true, .body_max = 50000});
}

static void test_faults_under_changes_harm_only_whom_they_meet(void **state)
{
    (void)state;
    run_seeds("churn-faults", 60, 10, run_churn_and_faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scenario_test(test_nothing_is_lost_while_configuration_changes),
        scenario_test(test_faults_under_changes_harm_only_whom_they_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
