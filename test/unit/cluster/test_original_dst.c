/* ORIGINAL_DST clusters: where to, hosts made and cleaned up on each worker, what the control thread shows of them. */
#include "dataplane/cluster/original_dst.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/base/metadata.h"
#include "dataplane/limits.h"
#include "test/unit/support/cluster_rig.h"

#define CLUSTER(more) "{'name': 'c', 'type': 'ORIGINAL_DST', 'lb_policy': 'CLUSTER_PROVIDED'" more "}"
static void create(struct cluster_rig *f, const char *json)
{
    cluster_rig_create(f, json);
    assert_true(weir_cluster_shared_ready(f->shared));
    weir_cluster_shared_publish(f->shared);
    cluster_rig_turn(f, 0);
}

static struct weir_cluster *cluster(struct cluster_rig *f, int worker)
{
    return weir_snapshot_cluster(&f->workers[worker]->snapshot, 0);
}

static struct weir_cluster_host *pick_for(struct cluster_rig *f, int worker, const char *ip, uint16_t port, const struct weir_request *request)
{
    struct weir_address at;
    struct weir_lb_context x = {.request = request};
    if (ip != NULL) {
        assert_true(weir_address_parse(weir_str_of(ip), port, &at));
        x.original_dst = &at;
    }
    return weir_cluster_pick(cluster(f, worker), &x);
}

/* The address picked, "" for none. */
static const char *pick(struct cluster_rig *f, const char *ip, uint16_t port, const struct weir_request *request)
{
    static char text[WEIR_ADDRESS_TEXT_MAX];
    struct weir_cluster_host *h = pick_for(f, 0, ip, port, request);
    text[0] = '\0';
    if (h == NULL) return text;
    (void)weir_address_print(&h->host->address, text);
    weir_cluster_host_release(h);
    return text;
}

static void test_the_host_is_where_the_connection_was_going(void **state)
{
    struct cluster_rig *f = *state;
    create(f, CLUSTER(""));
    assert_string_equal(pick(f, "10.0.0.1", 80, NULL), "10.0.0.1:80");
    assert_string_equal(pick(f, "2001:db8::1", 80, NULL), "[2001:db8::1]:80");
    assert_string_equal(pick(f, NULL, 0, NULL), "");
    assert_int_equal(weir_stat_sum(f->config->stats, WEIR_CS_upstream_cx_none_healthy), 1);
    struct weir_cluster_host *a = pick_for(f, 0, "10.0.0.1", 80, NULL), *b = pick_for(f, 0, "10.0.0.1", 80, NULL);
    assert_ptr_equal(a, b);
    assert_true(weir_str_eq(a->host->hostname, WEIR_STR("c10.0.0.1:80")));
    weir_cluster_host_release(a);
    weir_cluster_host_release(b);
}

static void test_a_request_may_say_where_to(void **state)
{
    struct cluster_rig *f = *state;
    struct weir_headers headers;
    struct weir_metadata metadata = {0};
    struct weir_request r = {.headers = &headers, .metadata = &metadata};
    create(f, CLUSTER(", 'original_dst_lb_config': {'use_http_header': true, 'metadata_key': {'key': 'n', 'path': [{'key': 'to'}]}}"));
    weir_headers_init(&headers, &f->scratch);
    assert_string_equal(pick(f, "10.0.0.1", 80, &r), "10.0.0.1:80");
    weir_headers_add_name(&headers, WEIR_STR("x-envoy-original-dst-host"), WEIR_STR("10.0.0.2:81"));
    struct weir_header *h = weir_headers_find_name(&headers, WEIR_STR("x-envoy-original-dst-host"));
    assert_string_equal(pick(f, "10.0.0.1", 80, &r), "10.0.0.2:81");
    h->value = WEIR_STR("[2001:db8::2]:81");
    assert_string_equal(pick(f, NULL, 0, &r), "[2001:db8::2]:81");
    static const char *const bad[] = {"", "host", "host:80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", ":80", "2001:db8::2:80", "[10.0.0.1]:80", "[]:80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        h->value = weir_str_of(bad[i]);
        assert_string_equal(pick(f, "10.0.0.1", 80, &r), "10.0.0.1:80");
        assert_int_equal(cluster_rig_stat(f, WEIR_CC_original_dst_host_invalid), i + 1);
    }
    struct weir_value to = weir_value_struct(&f->scratch, &(struct weir_value_field){WEIR_STR("to"), {WEIR_VALUE_STRING, .string = WEIR_STR("10.0.0.3:82")}}, 1);
    weir_metadata_merge(&metadata, &f->scratch, WEIR_STR("n"), &to);
    assert_string_equal(pick(f, "10.0.0.1", 80, &r), "10.0.0.3:82");
}

static void test_the_port_can_be_another(void **state)
{
    struct cluster_rig *f = *state;
    create(f, CLUSTER(", 'original_dst_lb_config': {'upstream_port_override': 8080}"));
    assert_string_equal(pick(f, "10.0.0.1", 80, NULL), "10.0.0.1:8080");
    assert_string_equal(pick(f, "2001:db8::1", 80, NULL), "[2001:db8::1]:8080");
}

static void test_unused_hosts_go_and_used_ones_stay(void **state)
{
    struct cluster_rig *f = *state;
    create(f, CLUSTER(", 'cleanup_interval': '1s'"));
    struct weir_cluster_host *busy = pick_for(f, 0, "10.0.0.1", 80, NULL);
    atomic_fetch_add(&busy->host->cx_active, 1);
    (void)pick(f, "10.0.0.2", 80, NULL);
    struct weir_cluster_host *other = pick_for(f, 1, "10.0.0.1", 80, NULL);
    assert_ptr_not_equal(other->host, busy->host);
    weir_cluster_host_release(other);
    cluster_rig_turn(f, 100);
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 3);
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_total), 3);
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_healthy), 3);
    cluster_rig_turn(f, 1000); /* all were used within this second */
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 3);
    (void)pick(f, "10.0.0.3", 80, NULL);
    cluster_rig_turn(f, 1000);
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 2);
    assert_false(busy->removed);
    atomic_fetch_sub(&busy->host->cx_active, 1);
    cluster_rig_turn(f, 1000);
    cluster_rig_turn(f, 1000);
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 0);
    assert_int_equal(cluster_rig_stat(f, WEIR_CC_membership_total), 0);
    assert_true(busy->removed); /* still ours */
    weir_cluster_host_release(busy);
}

static void test_hosts_are_bounded(void **state)
{
    struct cluster_rig *f = *state;
    char ip[32];
    create(f, CLUSTER(""));
    struct weir_cluster_host *first = pick_for(f, 0, "10.0.0.0", 80, NULL);
    atomic_fetch_add(&first->host->cx_active, 1);
    for (unsigned i = 1; i <= WEIR_ORIGINAL_DST_HOSTS_MAX; i++) {
        snprintf(ip, sizeof(ip), "10.0.%u.%u", i >> 8, i & 255);
        assert_string_not_equal(pick(f, ip, 80, NULL), ""); /* the last one has taken the place of those without a connection */
    }
    assert_false(first->removed);
    cluster_rig_turn(f, 100);
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 2);
    atomic_fetch_sub(&first->host->cx_active, 1);
    weir_cluster_host_release(first);
}

static void test_another_configuration_makes_its_own_hosts(void **state)
{
    struct cluster_rig *f = *state;
    create(f, CLUSTER(""));
    (void)pick(f, "10.0.0.1", 80, NULL);
    struct weir_cluster_config *before = f->config;
    f->config = cluster_rig_compile(f, CLUSTER(", 'original_dst_lb_config': {'upstream_port_override': 81}"));
    weir_cluster_shared_set_config(f->shared, f->config);
    weir_cluster_shared_publish(f->shared);
    weir_resource_release(&before->resource);
    cluster_rig_turn(f, 100);
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 0);
    assert_string_equal(pick(f, "10.0.0.1", 80, NULL), "10.0.0.1:81");
    before = f->config;
    f->config = cluster_rig_compile(f, "{'name': 'c', 'type': 'STATIC'}");
    weir_cluster_shared_set_config(f->shared, f->config);
    weir_cluster_shared_publish(f->shared);
    weir_resource_release(&before->resource);
    cluster_rig_turn(f, 100);
    cluster_rig_turn(f, 100);
    assert_int_equal(weir_cluster_shared_hosts(f->shared)->count, 0);
    assert_string_equal(pick(f, "10.0.0.1", 80, NULL), "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, cluster_rig_setup, cluster_rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_the_host_is_where_the_connection_was_going),
        T(test_a_request_may_say_where_to),
        T(test_the_port_can_be_another),
        T(test_unused_hosts_go_and_used_ones_stay),
        T(test_hosts_are_bounded),
        T(test_another_configuration_makes_its_own_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
