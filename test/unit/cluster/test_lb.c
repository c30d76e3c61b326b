/* Choosing among hosts: shares by weight, load and locality, spreading over priorities, panic. Random numbers are seeded. */
#include "dataplane/cluster/lb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOSTS_MAX 16

/* A balancer over hosts that the test describes one by one. */
struct fixture {
    struct weir_cluster_config config;
    struct weir_random random;
    struct weir_host_set *set;
    struct weir_cluster_host hosts[HOSTS_MAX];
    struct weir_cluster_host *by_slot[HOSTS_MAX];
    struct weir_locality localities[4];
    struct weir_lb *lb;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->config.choice_count = 2;
    f->config.active_request_bias = 1.0;
    f->config.panic_percent = 50;
    weir_random_seed(&f->random, 7);
    f->set = weir_host_set_create(NULL, HOSTS_MAX, NULL);
    f->set->localities = f->localities;
    f->set->locality_count = 4;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    weir_lb_destroy(f->lb);
    weir_host_set_release(f->set);
    free(f);
    return 0;
}

static struct weir_host *add(struct fixture *f, uint32_t priority, uint32_t weight, enum weir_host_health health, uint32_t locality)
{
    struct weir_address address;
    assert_true(weir_address_parse(WEIR_STR("127.0.0.1"), (uint16_t)(1000 + f->set->count), &address));
    struct weir_host *h = weir_host_create(&address, (struct weir_str){0}, (struct weir_str){0});
    h->slot = f->set->count;
    f->hosts[h->slot] = (struct weir_cluster_host){.host = h, .weight = weight};
    f->by_slot[h->slot] = &f->hosts[h->slot];
    f->set->at[f->set->count++] = (struct weir_host_member){
        .host = h, .weight = weight, .locality = locality, .priority = priority, .health = health};
    if (priority + 1 > f->set->priority_count) f->set->priority_count = priority + 1;
    return h;
}

static void build(struct fixture *f)
{
    weir_lb_destroy(f->lb);
    f->lb = weir_lb_create(&f->config, NULL, &f->random, f->set, f->by_slot);
}

static uint32_t draw(struct fixture *f)
{
    bool panicked;
    struct weir_cluster_host *h = weir_lb_draw(f->lb, &panicked);
    assert_non_null(h);
    return h->host->slot;
}

static void count(struct fixture *f, uint32_t times, uint32_t *out)
{
    memset(out, 0, sizeof(*out) * HOSTS_MAX);
    for (uint32_t i = 0; i < times; i++)
        out[draw(f)]++;
}

static void assert_near(uint32_t got, uint32_t want, uint32_t slack)
{
    assert_in_range(got, want - slack, want + slack);
}

static void test_round_robin_visits_every_host_in_turn(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    build(f);
    uint32_t first = draw(f);
    for (uint32_t i = 1; i < 10; i++)
        assert_int_equal(draw(f), (first + i) % 3);
}

static void test_round_robin_gives_exact_shares_by_weight_and_spreads_them(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 3, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    build(f);
    uint32_t got[HOSTS_MAX], run = 0, longest = 0;
    memset(got, 0, sizeof(got));
    for (int i = 0; i < 400; i++) {
        uint32_t at = draw(f);
        got[at]++;
        run = at == 0 ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    assert_int_equal(got[0], 300);
    assert_int_equal(got[1], 100);
    assert_in_range(longest, 3, 4); /* equal deadlines may fall either way */
}

static void test_random_draws_by_weight(void **state)
{
    struct fixture *f = *state;
    f->config.lb_policy = WEIR_LB_RANDOM;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 4, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 5, WEIR_HOST_HEALTHY, 0);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 10000, got);
    assert_near(got[0], 1000, 150);
    assert_near(got[1], 4000, 250);
    assert_near(got[2], 5000, 250);
}

static void test_random_of_equal_weights_is_even(void **state)
{
    struct fixture *f = *state;
    f->config.lb_policy = WEIR_LB_RANDOM;
    for (int i = 0; i < 4; i++)
        add(f, 0, 2, WEIR_HOST_HEALTHY, 0);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 8000, got);
    for (int i = 0; i < 4; i++)
        assert_near(got[i], 2000, 200);
}

static void test_least_request_of_two_choices_avoids_the_busy_host(void **state)
{
    struct fixture *f = *state;
    f->config.lb_policy = WEIR_LB_LEAST_REQUEST;
    struct weir_host *busy = add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    busy->rq_active = 10;
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 9000, got);
    /* Only when both draws hit it: one in nine. */
    assert_near(got[0], 1000, 200);
}

static void test_least_request_full_scan_takes_the_idlest(void **state)
{
    struct fixture *f = *state;
    f->config.lb_policy = WEIR_LB_LEAST_REQUEST;
    f->config.full_scan = true;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0)->rq_active = 2;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0)->rq_active = 1;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0)->rq_active = 1;
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 1000, got);
    assert_int_equal(got[0], 0);
    assert_near(got[1], 500, 100);
}

static void test_least_request_with_weights_counts_load_against_weight(void **state)
{
    struct fixture *f = *state;
    f->config.lb_policy = WEIR_LB_LEAST_REQUEST;
    add(f, 0, 2, WEIR_HOST_HEALTHY, 0)->rq_active = 3; /* 2 / 4 */
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);                /* 1 / 1 */
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 3000, got);
    assert_near(got[0], 1000, 10);
    assert_near(got[1], 2000, 10);
}

static void test_unhealthy_draining_and_ejected_hosts_get_nothing(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_UNHEALTHY, 0);
    struct weir_host *ejected = add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    ejected->flags = WEIR_HOST_EJECTED;
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 100, got);
    assert_int_equal(got[0], 50);
    assert_int_equal(got[1], 0);
    assert_int_equal(got[2], 0);
    assert_int_equal(got[3], 50);
    ejected->flags = 0;
    build(f);
    count(f, 99, got);
    assert_int_equal(got[2], 33);
}

static void test_below_the_panic_threshold_all_hosts_are_used(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        add(f, 0, 1, i < 4 ? WEIR_HOST_HEALTHY : WEIR_HOST_UNHEALTHY, 0);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 100, got);
    for (int i = 0; i < 10; i++)
        assert_int_equal(got[i], 10);
    bool panicked = false;
    (void)weir_lb_draw(f->lb, &panicked);
    assert_true(panicked);
}

static void test_at_the_panic_threshold_only_healthy_hosts_are_used(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        add(f, 0, 1, i < 5 ? WEIR_HOST_HEALTHY : WEIR_HOST_UNHEALTHY, 0);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 100, got);
    for (int i = 0; i < 10; i++)
        assert_int_equal(got[i], i < 5 ? 20 : 0);
}

static void test_without_panic_and_healthy_hosts_there_is_no_host(void **state)
{
    struct fixture *f = *state;
    f->config.panic_percent = 0;
    add(f, 0, 1, WEIR_HOST_UNHEALTHY, 0);
    build(f);
    bool panicked;
    assert_null(weir_lb_draw(f->lb, &panicked));
    assert_false(panicked);
}

static void test_an_empty_cluster_panics_and_has_no_host(void **state)
{
    struct fixture *f = *state;
    build(f);
    bool panicked = false;
    assert_null(weir_lb_draw(f->lb, &panicked));
    assert_true(panicked);
}

static void test_degraded_hosts_take_what_healthy_ones_cannot(void **state)
{
    struct fixture *f = *state;
    /* 1 of 4 healthy: 140 % of 25 % is 35 %; the other 65 % go to the degraded. */
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    for (int i = 0; i < 3; i++)
        add(f, 0, 1, WEIR_HOST_DEGRADED, 0);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 10000, got);
    assert_near(got[0], 3500, 300);
}

static void test_the_next_priority_takes_the_overflow(void **state)
{
    struct fixture *f = *state;
    /* Priority 0 half healthy: 140 % of 50 % is 70 %. */
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_UNHEALTHY, 0);
    add(f, 1, 1, WEIR_HOST_HEALTHY, 1);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 10000, got);
    assert_near(got[0], 7000, 300);
    assert_int_equal(got[1], 0);
    assert_near(got[2], 3000, 300);
}

static void spread_of(uint32_t hosts0, uint32_t healthy0, uint32_t hosts1, uint32_t healthy1, struct weir_lb_priority *p)
{
    memset(p, 0, sizeof(*p) * 2);
    p[0].hosts = hosts0;
    p[0].healthy = healthy0;
    p[1].hosts = hosts1;
    p[1].healthy = healthy1;
    weir_lb_spread(p, 2, 140, 50);
}

static void test_loads_of_priorities_add_up_to_100(void **state)
{
    (void)state;
    struct weir_lb_priority p[2];
    for (uint32_t a = 0; a <= 10; a++)
        for (uint32_t b = 0; b <= 7; b++) {
            spread_of(10, a, 7, b, p);
            assert_int_equal(p[0].healthy_load + p[1].healthy_load, 100);
        }
}

/* The documentation's table of priority levels: 100 hosts each, healthy percentages to loads. */
static void test_loads_follow_the_documented_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t healthy0, healthy1, load0, load1;
    } rows[] = {{100, 100, 100, 0}, {72, 72, 100, 0}, {71, 71, 99, 1}, {50, 50, 70, 30}, {25, 100, 35, 65}, {25, 25, 50, 50}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct weir_lb_priority p[2];
        spread_of(100, rows[i].healthy0, 100, rows[i].healthy1, p);
        assert_int_equal(p[0].healthy_load, rows[i].load0);
        assert_int_equal(p[1].healthy_load, rows[i].load1);
    }
}

static void test_localities_share_by_their_weights(void **state)
{
    struct fixture *f = *state;
    f->config.locality_weighted = true;
    f->localities[0].weight = 1;
    f->localities[1].weight = 3;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 1);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 2); /* no weight: no load */
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 400, got);
    assert_int_equal(got[0], 50);
    assert_int_equal(got[1], 50);
    assert_int_equal(got[2], 300);
    assert_int_equal(got[3], 0);
}

static void test_a_half_dead_locality_keeps_a_part_of_its_weight(void **state)
{
    struct fixture *f = *state;
    f->config.locality_weighted = true;
    f->localities[0].weight = 1;
    f->localities[1].weight = 1;
    add(f, 0, 1, WEIR_HOST_HEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_UNHEALTHY, 0);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 1);
    add(f, 0, 1, WEIR_HOST_HEALTHY, 1);
    build(f);
    uint32_t got[HOSTS_MAX];
    count(f, 1700, got);
    /* 0.7 to 1.0 */
    assert_near(got[0], 700, 5);
    assert_near(got[2] + got[3], 1000, 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_round_robin_visits_every_host_in_turn),
        T(test_round_robin_gives_exact_shares_by_weight_and_spreads_them),
        T(test_random_draws_by_weight),
        T(test_random_of_equal_weights_is_even),
        T(test_least_request_of_two_choices_avoids_the_busy_host),
        T(test_least_request_full_scan_takes_the_idlest),
        T(test_least_request_with_weights_counts_load_against_weight),
        T(test_unhealthy_draining_and_ejected_hosts_get_nothing),
        T(test_below_the_panic_threshold_all_hosts_are_used),
        T(test_at_the_panic_threshold_only_healthy_hosts_are_used),
        T(test_without_panic_and_healthy_hosts_there_is_no_host),
        T(test_an_empty_cluster_panics_and_has_no_host),
        T(test_degraded_hosts_take_what_healthy_ones_cannot),
        T(test_the_next_priority_takes_the_overflow),
        T(test_loads_of_priorities_add_up_to_100),
        T(test_loads_follow_the_documented_table),
        T(test_localities_share_by_their_weights),
        T(test_a_half_dead_locality_keeps_a_part_of_its_weight),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
