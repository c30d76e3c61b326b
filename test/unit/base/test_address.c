/* base/address.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/address.h"

#define S WEIR_STR

static struct weir_address ip(const char *text, uint16_t port)
{
    struct weir_address a;
    assert_true(weir_address_parse(weir_str_of(text), port, &a));
    return a;
}

static void assert_prints(const struct weir_address *a, const char *want)
{
    char out[WEIR_ADDRESS_TEXT_MAX];
    assert_int_equal(weir_address_print(a, out), strlen(want));
    assert_string_equal(out, want);
}

static void test_addresses_print_as_they_are_written(void **state)
{
    (void)state;
    struct weir_address a = ip("127.0.0.1", 80);
    assert_prints(&a, "127.0.0.1:80");
    a = ip("2001:DB8:0:0::1", 65535);
    assert_prints(&a, "[2001:db8::1]:65535");
    char out[WEIR_ADDRESS_TEXT_MAX];
    (void)weir_address_print_ip(&a, out);
    assert_string_equal(out, "2001:db8::1");
    assert_true(weir_address_unix(S("/run/x.sock"), &a));
    assert_prints(&a, "/run/x.sock");
    assert_true(weir_address_unix(S("@abstract"), &a));
    assert_int_equal(a.un.sun_path[0], '\0');
    assert_prints(&a, "@abstract");
    a = (struct weir_address){0};
    assert_prints(&a, "");
    struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
    assert_true(weir_address_from((struct sockaddr *)&unnamed, sizeof(sa_family_t), &a));
    assert_prints(&a, "");
}

static void test_a_kept_address_is_the_same_again(void **state)
{
    (void)state;
    struct weir_address all[5] = {ip("192.0.2.7", 80), ip("2001:db8::1", 65535)}, got;
    assert_true(weir_address_unix(S("/run/a/path/that/is/longer/than/an/address.sock"), &all[2]));
    assert_true(weir_address_unix(S("@x"), &all[3]));
    struct weir_address_kept k = {0};
    weir_address_kept_get(&k, &got);
    assert_int_equal(got.length, 0);
    for (int i = 0; i < 20; i++) { /* each takes the place of another kind */
        const struct weir_address *a = &all[(i * 3) % 5];
        weir_address_keep(&k, a);
        weir_address_kept_get(&k, &got);
        assert_int_equal(got.length, a->length);
        assert_memory_equal(&got, a, sizeof(got));
    }
    weir_address_kept_deinit(&k);
    assert_true(sizeof(k) <= 40);
}

static void test_names_and_rubbish_are_no_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "localhost", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4x", "::g", "[::1]", "1.2.3.4:80"};
    struct weir_address a;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(weir_address_parse(weir_str_of(bad[i]), 1, &a));
    char long_path[200];
    memset(long_path, 'a', sizeof(long_path));
    assert_false(weir_address_unix((struct weir_str){long_path, 108}, &a));
    assert_true(weir_address_unix((struct weir_str){long_path, 107}, &a));
    assert_false(weir_address_unix((struct weir_str){"a\0b", 3}, &a));
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    assert_false(weir_address_from((struct sockaddr *)&v4, 3, &a));
    struct sockaddr odd = {.sa_family = 77};
    assert_false(weir_address_from(&odd, sizeof(odd), &a));
}

static void test_kinds_of_addresses(void **state)
{
    (void)state;
    static const struct { const char *text; bool internal, loopback; } all[] = {
        {"10.1.2.3", true, false}, {"172.16.0.1", true, false}, {"172.31.255.255", true, false}, {"172.32.0.1", false, false},
        {"192.168.9.9", true, false}, {"192.169.0.1", false, false}, {"127.5.5.5", true, true}, {"8.8.8.8", false, false},
        {"::1", true, true}, {"fd00::1", true, false}, {"2001:db8::1", false, false}, {"::ffff:10.0.0.1", true, false},
        {"::ffff:8.8.8.8", false, false},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct weir_address a = ip(all[i].text, 1);
        assert_int_equal(weir_address_is_internal(&a), all[i].internal);
        assert_int_equal(weir_address_is_loopback(&a), all[i].loopback);
        assert_true(weir_address_is_ip(&a));
    }
}

static void test_equality_with_and_without_port(void **state)
{
    (void)state;
    struct weir_address a = ip("1.2.3.4", 1), b = ip("1.2.3.4", 2), c = ip("::1", 1), none = {0};
    assert_true(weir_address_equal(&a, &b, false));
    assert_false(weir_address_equal(&a, &b, true));
    assert_false(weir_address_equal(&a, &c, false));
    assert_false(weir_address_equal(&a, &none, false));
    assert_true(weir_address_equal(&none, &none, true));
    weir_address_set_port(&b, 1);
    assert_int_equal(weir_address_port(&b), 1);
    assert_true(weir_address_equal(&a, &b, true));
}

static void test_prefixes(void **state)
{
    (void)state;
    struct weir_cidr c;
    struct weir_address a = ip("10.20.30.40", 0), mapped = ip("::ffff:10.20.30.40", 0), six = ip("2001:db8::5", 0);
    for (uint32_t bits = 0; bits <= 32; bits++) {
        assert_true(weir_cidr_make(S("10.20.30.40"), bits, &c));
        assert_true(weir_cidr_has(&c, &a));
        assert_true(weir_cidr_has(&c, &mapped));
        assert_false(weir_cidr_has(&c, &six));
        if (bits == 0) continue;
        struct weir_address other = a;
        other.v4.sin_addr.s_addr ^= htonl((uint32_t)1 << (32 - bits));
        assert_false(weir_cidr_has(&c, &other));
    }
    assert_false(weir_cidr_make(S("10.0.0.0"), 33, &c));
    assert_true(weir_cidr_make(S("2001:db8::"), 32, &c));
    assert_true(weir_cidr_has(&c, &six));
    assert_false(weir_cidr_has(&c, &a));
    assert_false(weir_cidr_make(S("::"), 129, &c));
    struct weir_address unix_address;
    assert_true(weir_address_unix(S("/x"), &unix_address));
    assert_false(weir_cidr_has(&c, &unix_address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_print_as_they_are_written),
        cmocka_unit_test(test_a_kept_address_is_the_same_again),
        cmocka_unit_test(test_names_and_rubbish_are_no_addresses),
        cmocka_unit_test(test_kinds_of_addresses),
        cmocka_unit_test(test_equality_with_and_without_port),
        cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
