/* listener/chain_match.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "dataplane/listener/chain_match.h"

static struct weir_arena arena;
static struct weir_chain_match *m;

static int setup(void **state)
{
    (void)state;
    weir_arena_init(&arena, 0);
    m = weir_chain_match_create(&arena);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_arena_deinit(&arena);
    return 0;
}
static void add(uint32_t chain, const struct weir_chain_rule *r)
{
    uint32_t other;
    assert_int_equal(weir_chain_match_add(m, r, chain, &other), WEIR_OK);
}
static struct weir_address address(const char *text, uint16_t port)
{
    struct weir_address a;
    if (text[0] == '/')
        assert_true(weir_address_unix(weir_str_of(text), &a));
    else
        assert_true(weir_address_parse(weir_str_of(text), port, &a));
    return a;
}
static struct weir_cidr cidr(const char *text, uint32_t bits)
{
    struct weir_cidr c;
    assert_true(weir_cidr_make(weir_str_of(text), bits, &c));
    return c;
}
/* local:port, remote:port, then what the hello said. */
static uint32_t find(const char *local, uint16_t port, const char *remote, uint16_t remote_port, const char *sni, const char *transport,
                     const char *alpn)
{
    struct weir_address l = address(local, port), r = address(remote, remote_port);
    struct weir_chain_input in = {&l, &r, &r, weir_str_of(sni), weir_str_of(transport), weir_str_of(alpn)};
    return weir_chain_match_find(m, &in);
}
static uint32_t find_sni(const char *sni)
{
    return find("10.0.0.1", 443, "192.0.2.1", 5000, sni, "tls", "");
}

static void test_empty_match_takes_everything(void **state)
{
    (void)state;
    assert_int_equal(find_sni(""), WEIR_CHAIN_NONE);
    add(0, &(struct weir_chain_rule){0});
    assert_int_equal(find_sni("x"), 0);
    assert_int_equal(find("/l", 0, "/r", 0, "", "raw_buffer", ""), 0);
}

static void test_server_names_exact_then_longest_suffix_then_any(void **state)
{
    (void)state;
    const struct weir_str exact[] = {WEIR_STR("www.example.com"), WEIR_STR("example.com")}, wide[] = {WEIR_STR("*.com")},
                          suffix[] = {WEIR_STR("*.example.com")};
    add(0, &(struct weir_chain_rule){.server_names = wide, .server_name_count = 1});
    add(1, &(struct weir_chain_rule){.server_names = suffix, .server_name_count = 1});
    add(2, &(struct weir_chain_rule){.server_names = exact, .server_name_count = 2});
    assert_int_equal(find_sni("www.example.com"), 2);
    assert_int_equal(find_sni("example.com"), 2);
    assert_int_equal(find_sni("a.b.example.com"), 1);
    assert_int_equal(find_sni("other.com"), 0);
    assert_int_equal(find_sni("example.org"), WEIR_CHAIN_NONE);
    assert_int_equal(find_sni("com"), WEIR_CHAIN_NONE);
    assert_int_equal(find_sni(".com"), WEIR_CHAIN_NONE); /* no name before the suffix */
    assert_int_equal(find_sni(""), WEIR_CHAIN_NONE);
    add(3, &(struct weir_chain_rule){0});
    assert_int_equal(find_sni("example.org"), 3);
    assert_int_equal(find_sni(""), 3);
}

static void test_the_longest_prefix_of_the_destination_wins(void **state)
{
    (void)state;
    struct weir_cidr a[] = {cidr("10.0.0.0", 8)}, b[] = {cidr("10.1.0.0", 16)}, c[] = {cidr("10.1.2.3", 32), cidr("2001:db8::", 33)};
    add(0, &(struct weir_chain_rule){.destinations = a, .destination_count = 1});
    add(1, &(struct weir_chain_rule){.destinations = b, .destination_count = 1});
    add(2, &(struct weir_chain_rule){.destinations = c, .destination_count = 2});
    assert_int_equal(find("10.9.9.9", 1, "1.1.1.1", 1, "", "", ""), 0);
    assert_int_equal(find("10.1.9.9", 1, "1.1.1.1", 1, "", "", ""), 1);
    assert_int_equal(find("10.1.2.3", 1, "1.1.1.1", 1, "", "", ""), 2);
    assert_int_equal(find("::ffff:10.1.2.3", 1, "1.1.1.1", 1, "", "", ""), 2);
    assert_int_equal(find("2001:db8:7fff::1", 1, "::1", 1, "", "", ""), 2);
    assert_int_equal(find("2001:db8:8000::1", 1, "::1", 1, "", "", ""), WEIR_CHAIN_NONE);
    assert_int_equal(find("11.0.0.1", 1, "1.1.1.1", 1, "", "", ""), WEIR_CHAIN_NONE);
    assert_int_equal(find("/path", 0, "/r", 0, "", "", ""), WEIR_CHAIN_NONE);
}

static void test_an_earlier_criterion_decides_without_going_back(void **state)
{
    (void)state;
    const struct weir_str name[] = {WEIR_STR("a.example")}, h2[] = {WEIR_STR("h2")};
    add(0, &(struct weir_chain_rule){.destination_port = 8443, .server_names = name, .server_name_count = 1});
    add(1, &(struct weir_chain_rule){.application_protocols = h2, .application_protocol_count = 1});
    add(2, &(struct weir_chain_rule){0});
    /* The port matches chain 0 alone, whose name does not: no other chain is asked. */
    assert_int_equal(find("10.0.0.1", 8443, "1.1.1.1", 1, "b.example", "tls", "\x02h2"), WEIR_CHAIN_NONE);
    assert_int_equal(find("10.0.0.1", 8443, "1.1.1.1", 1, "a.example", "tls", ""), 0);
    assert_int_equal(find("10.0.0.1", 443, "1.1.1.1", 1, "a.example", "tls", "\x02h2"), 1);
    assert_int_equal(find("10.0.0.1", 443, "1.1.1.1", 1, "", "tls", "\x08http/1.1"), 2);
}

static void test_transport_and_application_protocols(void **state)
{
    (void)state;
    const struct weir_str h1[] = {WEIR_STR("http/1.1"), WEIR_STR("http/1.0")}, h2[] = {WEIR_STR("h2")};
    add(0, &(struct weir_chain_rule){.transport_protocol = WEIR_STR("tls"), .application_protocols = h1, .application_protocol_count = 2});
    add(1, &(struct weir_chain_rule){.transport_protocol = WEIR_STR("tls"), .application_protocols = h2, .application_protocol_count = 1});
    add(2, &(struct weir_chain_rule){.transport_protocol = WEIR_STR("raw_buffer")});
    assert_int_equal(find("1.1.1.1", 1, "1.1.1.2", 1, "", "tls", "\x02h2\x08http/1.1"), 1); /* the client's order */
    assert_int_equal(find("1.1.1.1", 1, "1.1.1.2", 1, "", "tls", "\x08http/1.1\x02h2"), 0);
    assert_int_equal(find("1.1.1.1", 1, "1.1.1.2", 1, "", "tls", "\x03xyz"), WEIR_CHAIN_NONE);
    assert_int_equal(find("1.1.1.1", 1, "1.1.1.2", 1, "", "raw_buffer", ""), 2);
}

static void test_sources_by_type_prefix_and_port(void **state)
{
    (void)state;
    struct weir_cidr lan[] = {cidr("192.168.0.0", 16)};
    uint16_t ports[] = {1000, 1001};
    add(0, &(struct weir_chain_rule){.source_type = WEIR_SOURCE_SAME_IP_OR_LOOPBACK});
    add(1, &(struct weir_chain_rule){.source_type = WEIR_SOURCE_EXTERNAL, .sources = lan, .source_count = 1});
    add(2, &(struct weir_chain_rule){.source_type = WEIR_SOURCE_EXTERNAL, .sources = lan, .source_count = 1, .source_ports = ports,
                                     .source_port_count = 2});
    add(3, &(struct weir_chain_rule){0});
    assert_int_equal(find("10.0.0.1", 80, "127.0.0.1", 9, "", "", ""), 0);
    assert_int_equal(find("10.0.0.1", 80, "10.0.0.1", 9, "", "", ""), 0);
    assert_int_equal(find("/l", 0, "/r", 0, "", "", ""), 0);
    assert_int_equal(find("10.0.0.1", 80, "192.168.3.4", 9, "", "", ""), 1);
    assert_int_equal(find("10.0.0.1", 80, "192.168.3.4", 1001, "", "", ""), 2);
    /* External decides before the address does. */
    assert_int_equal(find("10.0.0.1", 80, "203.0.113.1", 9, "", "", ""), WEIR_CHAIN_NONE);
}

static void test_source_type_that_no_chain_names_falls_to_any(void **state)
{
    (void)state;
    add(0, &(struct weir_chain_rule){.source_type = WEIR_SOURCE_SAME_IP_OR_LOOPBACK});
    add(1, &(struct weir_chain_rule){0});
    assert_int_equal(find("10.0.0.1", 80, "203.0.113.1", 9, "", "", ""), 1);
}

static void test_direct_source_is_the_peer_not_the_claimed_one(void **state)
{
    (void)state;
    struct weir_cidr lb[] = {cidr("10.9.0.0", 16)};
    add(0, &(struct weir_chain_rule){.directs = lb, .direct_count = 1});
    struct weir_address l = address("10.0.0.1", 80), direct = address("10.9.1.1", 1), claimed = address("203.0.113.9", 2);
    struct weir_chain_input in = {&l, &direct, &claimed, {0}, {0}, {0}};
    assert_int_equal(weir_chain_match_find(m, &in), 0);
    in.direct_remote = &claimed;
    assert_int_equal(weir_chain_match_find(m, &in), WEIR_CHAIN_NONE);
}

static void test_the_same_rule_twice_is_found(void **state)
{
    (void)state;
    const struct weir_str first[] = {WEIR_STR("a"), WEIR_STR("b")}, second[] = {WEIR_STR("c"), WEIR_STR("b")};
    uint32_t other = 99;
    add(7, &(struct weir_chain_rule){.server_names = first, .server_name_count = 2});
    struct weir_chain_rule again = {.server_names = second, .server_name_count = 2};
    assert_int_equal(weir_chain_match_add(m, &again, 8, &other), WEIR_ERR_EXISTS);
    assert_int_equal(other, 7);
}

static void test_products_beyond_the_bound_are_refused(void **state)
{
    (void)state;
    static struct weir_cidr many[4096];
    static uint16_t ports[4096];
    uint32_t other;
    for (uint32_t i = 0; i < 4096; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.%u.%u.0", i / 256, i % 256);
        many[i] = cidr(text, 24);
        ports[i] = (uint16_t)(i + 1);
    }
    struct weir_chain_rule r = {.sources = many, .source_count = 4096, .source_ports = ports, .source_port_count = 4096};
    assert_int_equal(weir_chain_match_add(m, &r, 0, &other), WEIR_ERR_LIMIT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_empty_match_takes_everything),
        T(test_server_names_exact_then_longest_suffix_then_any),
        T(test_the_longest_prefix_of_the_destination_wins),
        T(test_an_earlier_criterion_decides_without_going_back),
        T(test_transport_and_application_protocols),
        T(test_sources_by_type_prefix_and_port),
        T(test_source_type_that_no_chain_names_falls_to_any),
        T(test_direct_source_is_the_peer_not_the_claimed_one),
        T(test_the_same_rule_twice_is_found),
        T(test_products_beyond_the_bound_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
