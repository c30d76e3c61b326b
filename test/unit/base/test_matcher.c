/* base/matcher.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/matcher.h"
#include "dataplane/base/pb_names.h"

#define S WEIR_STR

struct fixture {
    struct weir_arena *arena;
    struct weir_error error;
    struct weir_compile c;
    struct weir_headers h;
};
static struct fixture f;

static int setup(void **state)
{
    (void)state;
    f = (struct fixture){.arena = weir_arena_create()};
    f.c = (struct weir_compile){.arena = f.arena, .error = &f.error, .scratch = f.arena};
    weir_headers_init(&f.h, f.arena);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_arena_destroy(f.arena);
    return 0;
}

enum { EXACT = 1, PREFIX = 2, SUFFIX = 3, REGEX = 5, CONTAINS = 7 };
static pb_regex_matcher regex_pb = ENVOY__TYPE__MATCHER__V3__REGEX_MATCHER__INIT;
static pb_string_matcher string_pb(int kind, const char *text, bool ignore_case)
{
    pb_string_matcher pb = ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__INIT;
    pb.match_pattern_case = (unsigned)kind;
    pb.ignore_case = ignore_case;
    if (kind == REGEX) {
        regex_pb.regex = (char *)(uintptr_t)text;
        pb.safe_regex = &regex_pb;
    } else {
        pb.exact = (char *)(uintptr_t)text; /* the members of the union are all strings */
    }
    return pb;
}
static bool string_matches(int kind, const char *text, bool ignore_case, const char *s)
{
    pb_string_matcher pb = string_pb(kind, text, ignore_case);
    struct weir_string_matcher m;
    assert_int_equal(weir_string_matcher_compile(&f.c, "name", -1, &pb, &m), WEIR_OK);
    return weir_string_matcher_match(&m, weir_str_of(s));
}

static void test_strings(void **state)
{
    (void)state;
    assert_true(string_matches(EXACT, "abc", false, "abc"));
    assert_false(string_matches(EXACT, "abc", false, "ABC"));
    assert_true(string_matches(EXACT, "abc", true, "ABC"));
    assert_true(string_matches(EXACT, "", false, ""));
    assert_true(string_matches(PREFIX, "ab", false, "abc"));
    assert_true(string_matches(PREFIX, "ab", true, "aBc"));
    assert_false(string_matches(PREFIX, "bc", false, "abc"));
    assert_true(string_matches(SUFFIX, "bc", false, "abc"));
    assert_true(string_matches(CONTAINS, "b", false, "abc"));
    assert_false(string_matches(CONTAINS, "B", false, "abc"));
    assert_true(string_matches(CONTAINS, "BC", true, "abc"));
    assert_false(string_matches(CONTAINS, "BCD", true, "abc"));
    assert_true(string_matches(REGEX, "a.c", false, "abc"));
    assert_false(string_matches(REGEX, "a.", false, "abc")); /* the whole string */
}

static void test_bad_patterns_are_refused_with_their_path(void **state)
{
    (void)state;
    struct weir_string_matcher m;
    pb_string_matcher pb = string_pb(REGEX, "(", false);
    assert_int_equal(weir_string_matcher_compile(&f.c, "patterns", 3, &pb, &m), WEIR_ERR_INVALID);
    assert_memory_equal(f.error.text, "patterns[3].safe_regex: ", 24);
    pb = string_pb(REGEX, "(a{50}){50}", false);
    assert_int_equal(weir_string_matcher_compile(&f.c, "patterns", 3, &pb, &m), WEIR_ERR_INVALID);
    pb = string_pb(REGEX, "a", true);
    assert_int_equal(weir_string_matcher_compile(&f.c, "m", -1, &pb, &m), WEIR_ERR_INVALID);
    assert_memory_equal(f.error.text, "m.ignore_case: ", 15);
    assert_int_equal(f.c.path_length, 0);
}

static bool header_matches(pb_header_matcher *pb)
{
    struct weir_header_matcher m;
    assert_int_equal(weir_header_matcher_compile(&f.c, "headers", 0, pb, &m), WEIR_OK);
    return weir_header_matcher_match(&m, &f.h);
}

static void test_header_values_are_tried_one_by_one(void **state)
{
    (void)state;
    weir_headers_add_name(&f.h, S("x-a"), S("one"));
    weir_headers_add_name(&f.h, S("x-a"), S("two"));
    pb_string_matcher two = string_pb(EXACT, "two", false), both = string_pb(EXACT, "one,two", false);
    pb_header_matcher pb = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__INIT;
    pb.name = (char *)"X-A";
    pb.header_match_specifier_case = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
    pb.string_match = &two;
    assert_true(header_matches(&pb));
    pb.invert_match = true;
    assert_false(header_matches(&pb));
    pb.string_match = &both;
    assert_true(header_matches(&pb));
}

static void test_missing_header_matches_only_where_it_counts_as_empty(void **state)
{
    (void)state;
    pb_string_matcher empty = string_pb(EXACT, "", false);
    pb_header_matcher pb = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__INIT;
    pb.name = (char *)"x-a";
    pb.header_match_specifier_case = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
    pb.string_match = &empty;
    assert_false(header_matches(&pb));
    pb.invert_match = true;
    assert_false(header_matches(&pb));
    pb.treat_missing_header_as_empty = true;
    assert_false(header_matches(&pb));
    pb.invert_match = false;
    assert_true(header_matches(&pb));
}

static void test_presence(void **state)
{
    (void)state;
    pb_header_matcher pb = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__INIT;
    pb.name = (char *)"content-type";
    for (int there = 0; there < 2; there++) {
        if (there) weir_headers_add(&f.h, WEIR_H_CONTENT_TYPE, S(""));
        for (int want = 0; want < 2; want++) {
            for (int invert = 0; invert < 2; invert++) {
                pb.header_match_specifier_case = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
                pb.present_match = want;
                pb.invert_match = invert;
                assert_int_equal(header_matches(&pb), (there == want) != invert);
            }
        }
        pb.header_match_specifier_case = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER__NOT_SET;
        pb.invert_match = false;
        assert_int_equal(header_matches(&pb), there); /* nothing said: present */
    }
}

static void test_ranges_are_half_open(void **state)
{
    (void)state;
    Envoy__Type__V3__Int64Range range = ENVOY__TYPE__V3__INT64_RANGE__INIT;
    range.start = -10;
    range.end = 10;
    pb_header_matcher pb = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__INIT;
    pb.name = (char *)"n";
    pb.header_match_specifier_case = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH;
    pb.range_match = &range;
    static const struct { const char *value; bool match; } all[] = {{"-10", true}, {"9", true}, {"10", false}, {"-11", false}, {"x", false}, {"", false}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        weir_headers_set_name(&f.h, S("n"), weir_str_of(all[i].value));
        assert_int_equal(header_matches(&pb), all[i].match);
    }
}

static void test_host_rules_see_the_authority(void **state)
{
    (void)state;
    weir_headers_add(&f.h, WEIR_H_AUTHORITY, S("a.test"));
    pb_string_matcher name = string_pb(EXACT, "a.test", false);
    pb_header_matcher pb = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__INIT;
    pb.header_match_specifier_case = ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
    pb.string_match = &name;
    pb.name = (char *)"Host";
    assert_true(header_matches(&pb));
    pb.name = (char *)":authority";
    assert_true(header_matches(&pb));
}

static void test_metadata(void **state)
{
    (void)state;
    struct weir_value items[] = {{.kind = WEIR_VALUE_STRING, .string = S("x")}, {.kind = WEIR_VALUE_NUMBER, .number = 4}};
    struct weir_value_field fields[] = {{S("l"), {.kind = WEIR_VALUE_LIST, .list = {items, 2}}},
                                        {S("b"), {.kind = WEIR_VALUE_BOOL, .boolean = true}},
                                        {S("z"), {.kind = WEIR_VALUE_NULL}}};
    struct weir_value tree = weir_value_struct(f.arena, fields, 3);
    struct weir_metadata metadata = {0};
    weir_metadata_merge(&metadata, f.arena, S("ns"), &tree);
    Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment segment = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__INIT;
    Envoy__Type__Matcher__V3__MetadataMatcher__PathSegment *path[] = {&segment};
    segment.segment_case = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__PATH_SEGMENT__SEGMENT_KEY;
    segment.key = (char *)"l";
    Envoy__Type__V3__DoubleRange range = ENVOY__TYPE__V3__DOUBLE_RANGE__INIT;
    range.start = 4;
    range.end = 5;
    Envoy__Type__Matcher__V3__DoubleMatcher number = ENVOY__TYPE__MATCHER__V3__DOUBLE_MATCHER__INIT;
    number.match_pattern_case = ENVOY__TYPE__MATCHER__V3__DOUBLE_MATCHER__MATCH_PATTERN_RANGE;
    number.range = &range;
    pb_value_matcher element = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__INIT, value = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__INIT;
    element.match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_DOUBLE_MATCH;
    element.double_match = &number;
    Envoy__Type__Matcher__V3__ListMatcher list = ENVOY__TYPE__MATCHER__V3__LIST_MATCHER__INIT;
    list.one_of = &element;
    value.match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_LIST_MATCH;
    value.list_match = &list;
    pb_metadata_matcher pb = ENVOY__TYPE__MATCHER__V3__METADATA_MATCHER__INIT;
    pb.filter = (char *)"ns";
    pb.n_path = 1;
    pb.path = path;
    pb.value = &value;
    struct weir_metadata_matcher m;
    assert_int_equal(weir_metadata_matcher_compile(&f.c, "matcher", &pb, &m), WEIR_OK);
    assert_true(weir_metadata_matcher_match(&m, &metadata));
    assert_false(weir_metadata_matcher_match(&m, NULL));
    items[1].number = 5;
    assert_false(weir_metadata_matcher_match(&m, &metadata));
    pb.invert = true;
    assert_int_equal(weir_metadata_matcher_compile(&f.c, "matcher", &pb, &m), WEIR_OK);
    assert_true(weir_metadata_matcher_match(&m, &metadata));
    pb.invert = false;
    segment.key = (char *)"z";
    value.match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_NULL_MATCH;
    assert_int_equal(weir_metadata_matcher_compile(&f.c, "matcher", &pb, &m), WEIR_OK);
    assert_true(weir_metadata_matcher_match(&m, &metadata));
    segment.key = (char *)"none";
    value.match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_PRESENT_MATCH;
    value.present_match = false;
    assert_int_equal(weir_metadata_matcher_compile(&f.c, "matcher", &pb, &m), WEIR_OK);
    assert_true(weir_metadata_matcher_match(&m, &metadata));
    value.match_pattern_case = ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN__NOT_SET;
    assert_int_equal(weir_metadata_matcher_compile(&f.c, "matcher", &pb, &m), WEIR_ERR_INVALID);
    assert_string_equal(f.error.text, "matcher.value: says nothing to match");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_patterns_are_refused_with_their_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_values_are_tried_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_header_matches_only_where_it_counts_as_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_presence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges_are_half_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_host_rules_see_the_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metadata, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
