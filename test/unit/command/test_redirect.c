/* Flags of weir redirect and the rules that come of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/command/redirect.h"

static struct weir_redirect r;
static struct weir_error error;

/* Flags in one text, separated by blanks. */
static enum weir_err parse(const char *text)
{
    static char copy[1 << 16];
    char *argv[64], *rest = NULL;
    int argc = 0;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *at = strtok_r(copy, " ", &rest); at != NULL; at = strtok_r(NULL, " ", &rest)) argv[argc++] = at;
    error = (struct weir_error){0};
    return weir_redirect_parse(argc, argv, &r, &error);
}

static void prints(const char *flags, const char *expected)
{
    char *text = NULL;
    size_t n;
    if (parse(flags) != WEIR_OK) fail_msg("%s: %s", flags, error.text);
    FILE *to = open_memstream(&text, &n);
    weir_redirect_print(&r, to);
    (void)fclose(to);
    assert_string_equal(text, expected);
    free(text);
}

#define BEGIN "add table inet weir\ndelete table inet weir\n"
#define INBOUND "\tchain inbound {\n\t\ttype nat hook prerouting priority -100; policy accept;\n\t\tiifname \"lo\" return\n\t\tmeta l4proto != tcp return\n"
#define OUTBOUND "\tchain outbound {\n\t\ttype nat hook output priority -100; policy accept;\n\t\toifname \"lo\" return\n\t\tmeta l4proto != tcp return\n"
#define TO(port) "\t\tmeta l4proto tcp redirect to :" port "\n\t}\n"

static void test_both_sides_are_taken_by_default(void **state)
{
    (void)state;
    prints("--proxy-uid 65532", BEGIN "table inet weir {\n" INBOUND TO("15006") OUTBOUND "\t\tmeta skuid { 65532 } return\n" TO("15001") "}\n");
    prints("--proxy-uid=2,1,2 --proxy-gid 3 --inbound-port 6 --outbound-port 1",
           BEGIN "table inet weir {\n" INBOUND TO("6") OUTBOUND "\t\tmeta skuid { 1, 2 } return\n\t\tmeta skgid { 3 } return\n" TO("1") "}\n");
}

static void test_one_side_can_be_left_alone(void **state)
{
    (void)state;
    prints("--outbound-port none", BEGIN "table inet weir {\n" INBOUND TO("15006") "}\n");
    prints("--inbound-port none --proxy-gid 7", BEGIN "table inet weir {\n" OUTBOUND "\t\tmeta skgid { 7 } return\n" TO("15001") "}\n");
}

static void test_exclusions_stand_before_inclusions(void **state)
{
    (void)state;
    prints("--proxy-uid 1 --exclude-outbound-ports 22,9000-9010 --exclude-outbound-ip-ranges 10.0.0.0/8,fd00::/8,192.0.2.1 "
           "--include-outbound-ports 80,443 --include-outbound-ip-ranges 203.0.113.0/24,2001:db8::/32 "
           "--exclude-inbound-ports 15020,15021 --exclude-inbound-ip-ranges 198.51.100.0/24 --include-inbound-ports 8080 "
           "--include-inbound-ip-ranges 10.0.0.0/8",
           BEGIN "table inet weir {\n" INBOUND "\t\ttcp dport { 15020-15021 } return\n"
                 "\t\tip saddr { 198.51.100.0/24 } return\n"
                 "\t\ttcp dport != { 8080 } return\n"
                 "\t\tip saddr != { 10.0.0.0/8 } return\n"
                 "\t\tmeta nfproto ipv6 return\n" TO("15006") OUTBOUND "\t\tmeta skuid { 1 } return\n"
                 "\t\ttcp dport { 22, 9000-9010 } return\n"
                 "\t\tip daddr { 10.0.0.0/8, 192.0.2.1 } return\n"
                 "\t\tip6 daddr { fd00::/8 } return\n"
                 "\t\ttcp dport != { 80, 443 } return\n"
                 "\t\tip daddr != { 203.0.113.0/24 } return\n"
                 "\t\tip6 daddr != { 2001:db8::/32 } return\n" TO("15001") "}\n");
}

static void test_everything_and_nothing(void **state)
{
    (void)state;
    prints("--inbound-port none --proxy-uid 1 --include-outbound-ports * --include-outbound-ip-ranges * --exclude-outbound-ports= "
           "--exclude-outbound-ip-ranges=",
           BEGIN "table inet weir {\n" OUTBOUND "\t\tmeta skuid { 1 } return\n" TO("15001") "}\n");
    prints("--inbound-port none --proxy-uid 1 --include-outbound-ip-ranges 0.0.0.0/0",
           BEGIN "table inet weir {\n" OUTBOUND "\t\tmeta skuid { 1 } return\n\t\tmeta nfproto ipv6 return\n" TO("15001") "}\n");
    prints("--inbound-port none --proxy-uid 1 --exclude-outbound-ip-ranges ::/0,fd00::/8",
           BEGIN "table inet weir {\n" OUTBOUND "\t\tmeta skuid { 1 } return\n\t\tmeta nfproto ipv6 return\n" TO("15001") "}\n");
}

static void test_lists_are_sorted_and_merged(void **state)
{
    (void)state;
    assert_int_equal(parse("--proxy-uid 1 --exclude-inbound-ports 9,1-3,4,7-8,2-2,65535 --exclude-inbound-ip-ranges "
                           "10.1.0.0/16,10.0.0.0/8,10.200.3.4,11.0.0.1,fd00:1::/32,fd00::/8,10.0.0.0/8"),
                     WEIR_OK);
    const struct weir_port_list *p = &r.inbound.exclude_ports;
    assert_int_equal(p->count, 3);
    assert_int_equal(p->at[0].first, 1);
    assert_int_equal(p->at[0].last, 4);
    assert_int_equal(p->at[1].first, 7);
    assert_int_equal(p->at[1].last, 9);
    assert_int_equal(p->at[2].last, 65535);
    assert_int_equal(r.inbound.exclude_ranges.count, 3);
    assert_int_equal(r.inbound.exclude_ranges.at[1].bits, 32);
    assert_true(r.inbound.exclude_ranges.at[2].v6);
}

static void test_removal_is_the_same_text_always(void **state)
{
    (void)state;
    prints("--remove", BEGIN);
    prints("--remove --proxy-uid 1", BEGIN);
}

static void test_bad_flags_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *flags, *text;
    } bad[] = {
        {"", "--proxy-uid or --proxy-gid is necessary: without it weir's own connections come back to weir"},
        {"--inbound-port none --outbound-port none", "--inbound-port and --outbound-port are both none: nothing is left to do"},
        {"--no-such 1", "unknown flag '--no-such'"},
        {"install", "'install' is no flag"},
        {"--proxy-uid", "--proxy-uid needs a value"},
        {"--proxy-uid weir", "--proxy-uid: 'weir' is no numeric id"},
        {"--proxy-uid -1", "--proxy-uid: '-1' is no numeric id"},
        {"--proxy-uid 4294967295", "--proxy-uid: '4294967295' is no numeric id"},
        {"--inbound-port 0", "--inbound-port: '0' is no port; none leaves this side alone"},
        {"--outbound-port 65536", "--outbound-port: '65536' is no port; none leaves this side alone"},
        {"--exclude-inbound-ports 80,0", "--exclude-inbound-ports: '0' is no port or range of ports (80, 8000-8010)"},
        {"--exclude-inbound-ports 9-8", "--exclude-inbound-ports: '9-8' is no port or range of ports (80, 8000-8010)"},
        {"--exclude-inbound-ports *", "--exclude-inbound-ports: '*' is no port or range of ports (80, 8000-8010)"},
        {"--include-outbound-ip-ranges 10.0.0.0/33", "--include-outbound-ip-ranges: '10.0.0.0/33' is no IP range (10.0.0.0/8, fd00::/8)"},
        {"--include-outbound-ip-ranges fd00::/129", "--include-outbound-ip-ranges: 'fd00::/129' is no IP range (10.0.0.0/8, fd00::/8)"},
        {"--exclude-outbound-ip-ranges example.com", "--exclude-outbound-ip-ranges: 'example.com' is no IP range (10.0.0.0/8, fd00::/8)"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i].flags), WEIR_ERR_INVALID);
        assert_string_equal(error.text, bad[i].text);
    }
    static char many[1 << 15];
    char *at = many + snprintf(many, sizeof(many), "--proxy-uid 1 --exclude-inbound-ports ");
    for (unsigned i = 0; i <= WEIR_REDIRECT_LIST_MAX; i++) at += snprintf(at, (size_t)(many + sizeof(many) - at), "%u,", i * 2 + 1);
    assert_int_equal(parse(many), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "--exclude-inbound-ports: more than 512 items");
}

static void test_help_is_asked_for_beside_anything(void **state)
{
    (void)state;
    assert_int_equal(parse("--help --no-such"), WEIR_OK);
    assert_int_equal(r.mode, WEIR_REDIRECT_HELP);
    assert_int_equal(parse("--dry-run --proxy-uid 1"), WEIR_OK);
    assert_true(r.dry_run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sides_are_taken_by_default), cmocka_unit_test(test_one_side_can_be_left_alone),
        cmocka_unit_test(test_exclusions_stand_before_inclusions), cmocka_unit_test(test_everything_and_nothing),
        cmocka_unit_test(test_lists_are_sorted_and_merged),     cmocka_unit_test(test_removal_is_the_same_text_always),
        cmocka_unit_test(test_bad_flags_are_named),             cmocka_unit_test(test_help_is_asked_for_beside_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
