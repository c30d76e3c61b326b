/* Names of clusters asked of a DNS server that the test is itself, on loopback: families, time to live, failures. */
#include "dataplane/cluster/dns.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/config/compile_cluster.h"
#include "test/unit/support/net.h"
#include "test/unit/support/pb_text.h"

#define RECORDS_MAX 8
struct fixture {
    struct weir_worker *w; /* the control thread; there are no workers */
    struct weir_stats_registry *registry;
    struct weir_arena scratch;
    int server;
    struct weir_address at;
    /* What the server says. */
    const char *v4[RECORDS_MAX], *v6[RECORDS_MAX];
    uint32_t ttl_s;
    uint8_t rcode;
    bool silent;
    int questions_v4, questions_v6;

    struct weir_dns *dns;
    struct weir_cluster_env env;
    struct weir_cluster_config *config;
    struct weir_cluster_shared *shared;
    bool answered;
    struct weir_dns_answer answer;
    struct weir_address addresses[RECORDS_MAX];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(sin);
    f->w = weir_worker_create(0, 0);
    f->registry = weir_stats_registry_create(0);
    f->server = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(f->server, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(getsockname(f->server, (struct sockaddr *)&sin, &n), 0);
    assert_true(weir_address_from((struct sockaddr *)&sin, n, &f->at));
    net_nonblocking(f->server);
    f->ttl_s = 60;
    f->dns = weir_dns_create(f->w);
    f->env = (struct weir_cluster_env){.control = f->w, .stats = f->registry, .dns = f->dns};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->shared != NULL) weir_cluster_shared_close(f->shared);
    weir_dns_destroy(f->dns);
    weir_worker_turn(f->w, 0);
    if (f->config != NULL) weir_resource_release(&f->config->resource);
    weir_arena_deinit(&f->scratch);
    weir_worker_destroy(f->w);
    weir_stats_registry_destroy(f->registry);
    close(f->server);
    free(f);
    return 0;
}

static size_t put_record(const struct fixture *f, uint8_t *p, uint16_t type, const char *text)
{
    size_t length = type == 1 ? 4 : 16;
    const uint8_t head[] = {0xc0, 12, 0, (uint8_t)type, 0, 1, (uint8_t)(f->ttl_s >> 24), (uint8_t)(f->ttl_s >> 16),
                            (uint8_t)(f->ttl_s >> 8), (uint8_t)f->ttl_s, 0, (uint8_t)length};
    struct weir_address a;
    memcpy(p, head, sizeof(head));
    assert_true(weir_address_parse(weir_str_of(text), 0, &a));
    memcpy(p + sizeof(head), type == 1 ? (const void *)&a.v4.sin_addr : (const void *)&a.v6.sin6_addr, length);
    return sizeof(head) + length;
}

/* RFC 1035 4: answers one question, if one has come. */
static void serve(struct fixture *f)
{
    uint8_t m[512];
    struct sockaddr_in from;
    socklen_t from_n = sizeof(from);
    ssize_t n = recvfrom(f->server, m, sizeof(m) / 2, 0, (struct sockaddr *)&from, &from_n);
    if (n < 12) return;
    size_t at = 12;
    while (m[at] != 0)
        at += m[at] + 1u;
    uint16_t type = (uint16_t)(m[at + 1] << 8 | m[at + 2]);
    at += 5;
    *(type == 1 ? &f->questions_v4 : &f->questions_v6) += 1;
    if (f->silent) return;
    uint8_t count = 0;
    for (const char *const *r = type == 1 ? f->v4 : f->v6; f->rcode == 0 && *r != NULL; r++, count++)
        at += put_record(f, m + at, type, *r);
    m[2] = 0x84;
    m[3] = f->rcode;
    m[6] = 0;
    m[7] = count;
    m[8] = m[9] = m[10] = m[11] = 0;
    assert_int_equal(sendto(f->server, m, at, 0, (struct sockaddr *)&from, from_n), (ssize_t)at);
}

#define SERVE_UNTIL(f, condition) TURN_UNTIL((f)->w, (serve(f), (condition)))

static void on_answer(void *ctx, const struct weir_dns_answer *a)
{
    struct fixture *f = ctx;
    f->answered = true;
    f->answer = *a;
    assert_true(a->count <= RECORDS_MAX);
    for (uint32_t i = 0; i < a->count; i++)
        f->addresses[i] = a->at[i];
}

static void look_up(struct fixture *f, enum weir_dns_family family)
{
    struct weir_dns_config c = {.family = family, .resolver_count = 1, .resolvers = &f->at, .no_default_search = true};
    f->answered = false;
    f->questions_v4 = f->questions_v6 = 0;
    assert_non_null(weir_dns_lookup(f->dns, WEIR_STR("up.test"), &c, on_answer, f));
    assert_false(f->answered);
    SERVE_UNTIL(f, f->answered);
}

static void test_addresses_come_with_the_smallest_time_to_live(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    f->v4[1] = "127.0.0.2";
    look_up(f, WEIR_DNS_V4_ONLY);
    assert_int_equal(f->answer.status, WEIR_DNS_OK);
    assert_int_equal(f->answer.count, 2);
    assert_int_equal(f->answer.ttl_s, 60);
    assert_int_equal(f->questions_v6, 0);
}

static void test_families_are_asked_in_their_order(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    look_up(f, WEIR_DNS_AUTO);
    assert_int_equal(f->answer.count, 1);
    assert_int_equal(f->questions_v6, 1);
    assert_int_equal(f->questions_v4, 1);
    f->v6[0] = "::1";
    look_up(f, WEIR_DNS_AUTO);
    assert_int_equal(f->addresses[0].any.sa_family, AF_INET6);
    assert_int_equal(f->questions_v4, 0);
    look_up(f, WEIR_DNS_V4_PREFERRED);
    assert_int_equal(f->addresses[0].any.sa_family, AF_INET);
    assert_int_equal(f->questions_v6, 0);
    look_up(f, WEIR_DNS_ALL);
    assert_int_equal(f->answer.count, 2);
    look_up(f, WEIR_DNS_V6_ONLY);
    assert_int_equal(f->answer.count, 1);
    assert_int_equal(f->questions_v4, 0);
}

static void test_a_name_that_does_not_exist_is_an_answer(void **state)
{
    struct fixture *f = *state;
    f->rcode = 3;
    look_up(f, WEIR_DNS_V4_ONLY);
    assert_int_equal(f->answer.status, WEIR_DNS_NO_RECORD);
}

static void test_a_cancelled_query_says_nothing(void **state)
{
    struct fixture *f = *state;
    struct weir_dns_config c = {.family = WEIR_DNS_V4_ONLY, .resolver_count = 1, .resolvers = &f->at, .no_default_search = true};
    struct weir_dns_query *q = weir_dns_lookup(f->dns, WEIR_STR("up.test"), &c, on_answer, f);
    SERVE_UNTIL(f, f->questions_v4 > 0);
    weir_dns_cancel(q);
    f->questions_v4 = 0;
    look_up(f, WEIR_DNS_V4_ONLY); /* the answer to the first has been read by then */
    assert_int_equal(f->questions_v4, 1);
}

/* ---- clusters ---- */

static void cluster(struct fixture *f, const char *more)
{
    struct weir_error error;
    struct weir_compile c = {.error = &error, .stats = f->registry, .scratch = &f->scratch};
    char json[2048];
    (void)snprintf(json, sizeof(json),
                   "{'name': 'c', 'type': 'STRICT_DNS', 'dns_lookup_family': 'V4_ONLY', 'dns_resolution_config': {'resolvers': "
                   "[{'socket_address': {'address': '127.0.0.1', 'port_value': %u}}], 'dns_resolver_options': "
                   "{'no_default_search_domain': true}}, %s 'load_assignment': {'cluster_name': 'c', 'endpoints': [{'lb_endpoints': "
                   "[{'endpoint': {'address': {'socket_address': {'address': 'up.test', 'port_value': 80}}}}]}]}}",
                   weir_address_port(&f->at), more);
    assert_int_equal(weir_cluster_compile(&c, pb_text(&f->scratch, &pb_cluster_type, json), &f->config), WEIR_OK);
    f->shared = weir_cluster_shared_create(&f->env, 0, f->config, NULL, NULL);
}

static struct weir_host *has_host(const struct fixture *f, const char *text)
{
    for (uint32_t i = 0; i < f->shared->hosts->count; i++)
        if (weir_str_eq(f->shared->hosts->at[i].host->address_text, weir_str_of(text))) return f->shared->hosts->at[i].host;
    return NULL;
}

static void test_a_cluster_follows_what_its_name_resolves_to(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    f->v4[1] = "127.0.0.2";
    cluster(f, "'dns_refresh_rate': '0.02s',");
    assert_false(weir_cluster_shared_ready(f->shared));
    SERVE_UNTIL(f, weir_cluster_shared_ready(f->shared));
    assert_int_equal(f->shared->hosts->count, 2);
    struct weir_host *stays = has_host(f, "127.0.0.2:80");
    assert_non_null(stays);
    f->v4[0] = "127.0.0.3";
    SERVE_UNTIL(f, has_host(f, "127.0.0.3:80") != NULL);
    assert_null(has_host(f, "127.0.0.1:80"));
    assert_ptr_equal(has_host(f, "127.0.0.2:80"), stays);
}

static void test_what_was_resolved_stays_while_nobody_answers(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    cluster(f, "'dns_refresh_rate': '0.02s',");
    SERVE_UNTIL(f, weir_cluster_shared_ready(f->shared));
    f->rcode = 2; /* server failure */
    int asked = f->questions_v4;
    SERVE_UNTIL(f, f->questions_v4 > asked + 8);
    assert_true(has_host(f, "127.0.0.1:80"));
    assert_true(weir_stat_sum(f->config->control_stats, WEIR_CC_update_failure) > 0);
    f->rcode = 0;
    f->v4[0] = "127.0.0.9";
    SERVE_UNTIL(f, has_host(f, "127.0.0.9:80"));
}

static void test_a_name_that_is_gone_takes_its_hosts_with_it(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    cluster(f, "'dns_refresh_rate': '0.02s',");
    SERVE_UNTIL(f, weir_cluster_shared_ready(f->shared));
    f->rcode = 3;
    SERVE_UNTIL(f, f->shared->hosts->count == 0);
}

static void test_the_time_to_live_is_respected_when_asked(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    f->ttl_s = 1;
    cluster(f, "'dns_refresh_rate': '600s', 'respect_dns_ttl': true,");
    SERVE_UNTIL(f, weir_cluster_shared_ready(f->shared));
    int asked = f->questions_v4;
    SERVE_UNTIL(f, f->questions_v4 > asked);
}

static void test_a_cluster_whose_name_fails_is_ready_and_empty(void **state)
{
    struct fixture *f = *state;
    f->rcode = 2;
    cluster(f, "");
    SERVE_UNTIL(f, weir_cluster_shared_ready(f->shared));
    assert_int_equal(f->shared->hosts->count, 0);
}

static void test_a_new_configuration_keeps_known_addresses_until_it_is_answered(void **state)
{
    struct fixture *f = *state;
    f->v4[0] = "127.0.0.1";
    cluster(f, "");
    SERVE_UNTIL(f, weir_cluster_shared_ready(f->shared));
    struct weir_cluster_config *before = f->config;
    struct weir_cluster_shared *shared = f->shared;
    struct weir_host *host = shared->hosts->at[0].host;
    cluster(f, "'connect_timeout': '1s',");
    weir_cluster_shared_close(f->shared);
    f->shared = shared;
    f->rcode = 2;
    int asked = f->questions_v4;
    weir_cluster_shared_set_config(shared, f->config);
    weir_resource_release(&before->resource);
    SERVE_UNTIL(f, f->questions_v4 > asked + 4);
    assert_int_equal(shared->hosts->count, 1);
    assert_ptr_equal(shared->hosts->at[0].host, host);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_addresses_come_with_the_smallest_time_to_live),
        T(test_families_are_asked_in_their_order),
        T(test_a_name_that_does_not_exist_is_an_answer),
        T(test_a_cancelled_query_says_nothing),
        T(test_a_cluster_follows_what_its_name_resolves_to),
        T(test_what_was_resolved_stays_while_nobody_answers),
        T(test_a_name_that_is_gone_takes_its_hosts_with_it),
        T(test_the_time_to_live_is_respected_when_asked),
        T(test_a_cluster_whose_name_fails_is_ready_and_empty),
        T(test_a_new_configuration_keeps_known_addresses_until_it_is_answered),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
