/* The wire check refuses every malformed message with place and reason, and unpacking agrees with protobuf-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/limits.h"
#include "test/unit/support/pb_text.h"
#include "xds/wire_check.h"

#define BYTES(literal) WEIR_STR(literal)

static enum weir_err check(const ProtobufCMessageDescriptor *type, struct weir_str bytes, struct weir_error *error)
{
    error->text[0] = '\0';
    return weir_wire_check(type, bytes, NULL, error);
}

static void assert_refused(const ProtobufCMessageDescriptor *type, struct weir_str bytes, enum weir_err err, const char *text)
{
    struct weir_error error;
    assert_int_equal(check(type, bytes, &error), err);
    assert_string_equal(error.text, text);
}

static void test_malformed_fields_are_refused_with_place_and_reason(void **state)
{
    (void)state;
    const struct {
        struct weir_str bytes;
        const char *text;
    } cases[] = {
        {BYTES("\x0a\x05"
               "a"),
         "name: the value is longer than what holds it (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0a"), "name: the length is cut off (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0a\xff\xff\xff\xff\x0f"),
         "name: the value is longer than what holds it (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0a\x80\x80\x80\x80\x80\x00"),
         "name: the length is longer than 5 bytes (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x08\x01"), "name: the wire type does not fit the field (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0b\x0c"), "name: the wire type does not fit the field (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x10\x80"), "type: the number is cut off (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
         "type: the number is longer than 10 bytes (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x8a\x80\x80\x80\x80\x00"), "the tag is longer than 5 bytes (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x8a"), "the tag is cut off (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x00"), "the field number is out of range (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\xf8\xff\xff\xff\x7f"), "the field number is out of range (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0e\x00"), "name: there is no such wire type (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0c"), "name: a group ends that did not begin (byte 0 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0a\x01\xff"), "name: the string is not valid UTF-8 (byte 2 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x0a\x03"
               "a\x00"
               "b"),
         "name: the string contains a NUL (byte 2 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x22\x00\x22\x00"), "connect_timeout: the message is sent twice (byte 2 of envoy.config.cluster.v3.Cluster)"},
        {BYTES("\x22\x02\x08\x80"),
         "connect_timeout.seconds: the number is cut off (byte 2 of envoy.config.cluster.v3.Cluster)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&pb_cluster_type, cases[i].bytes, WEIR_ERR_INVALID, cases[i].text);
}

static void test_the_path_counts_list_elements(void **state)
{
    (void)state;
    /* Two virtual hosts; the second has domains "a", "b" and one that is no UTF-8, with an unknown field between. */
    assert_refused(&pb_route_configuration_type,
                   BYTES("\x12\x00\x12\x0c\x12\x01"
                         "a\xf8\x06\x07\x12\x01"
                         "b\x12\x01\x80"),
                   WEIR_ERR_INVALID,
                   "virtual_hosts[1].domains[2]: the string is not valid UTF-8 (byte 15 of "
                   "envoy.config.route.v3.RouteConfiguration)");
}

static void test_unknown_fields_and_groups_are_skipped_and_counted(void **state)
{
    (void)state;
    struct weir_error error;
    struct weir_wire_report report;
    /* Field 999: a varint; a group that holds a string and a nested group; then the name. */
    struct weir_str bytes = BYTES("\xb8\x3e\x07\xbb\x3e\x0a\x01\x00\x13\x09"
                                  "12345678\x14\xbc\x3e\x0a\x01"
                                  "n");
    assert_int_equal(weir_wire_check(&pb_cluster_type, bytes, &report, &error), WEIR_OK);
    assert_int_equal(report.unknown_fields, 2);
    struct weir_arena arena = {0};
    ProtobufCMessage *m;
    assert_int_equal(weir_pb_decode(&arena, &pb_cluster_type, bytes, &m, &error), WEIR_OK);
    assert_string_equal(((pb_cluster *)m)->name, "n");
    assert_int_equal(m->n_unknown_fields, 0);
    weir_arena_deinit(&arena);

    assert_refused(&pb_cluster_type, BYTES("\xbb\x3e\x0a\x01\x00"), WEIR_ERR_INVALID,
                   "a group does not end (byte 0 of envoy.config.cluster.v3.Cluster)");
    assert_refused(&pb_cluster_type, BYTES("\xbb\x3e\x14"), WEIR_ERR_INVALID,
                   "a group ends under another number (byte 0 of envoy.config.cluster.v3.Cluster)");
    char deep[4 * WEIR_PB_DEPTH_MAX];
    for (size_t i = 0; i < sizeof deep; i += 2)
        memcpy(deep + i, "\xbb\x3e", 2);
    assert_refused(&pb_cluster_type, (struct weir_str){deep, sizeof deep}, WEIR_ERR_INVALID,
                   "groups are nested too deep (byte 0 of envoy.config.cluster.v3.Cluster)");
}

/* A google.protobuf.Value that holds a list that holds a Value ..., `levels` messages in all. */
static struct weir_str nested_value(struct weir_arena *arena, size_t levels)
{
    size_t room = levels * 5 + 16, at = room;
    uint8_t *bytes = weir_arena_alloc(arena, room);
    for (size_t i = 1; i < levels; i++) {
        size_t n = room - at;
        uint8_t length[5];
        size_t k = 0;
        for (size_t left = n; left > 0 || k == 0; left >>= 7)
            length[k++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        at -= k;
        memcpy(bytes + at, length, k);
        bytes[--at] = (levels - i) % 2 == 1 ? 0x32 : 0x0a; /* Value.list_value or ListValue.values */
    }
    return (struct weir_str){(const char *)bytes + at, room - at};
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    struct weir_error error;
    ProtobufCMessage *m;
    assert_int_equal(weir_pb_decode(&arena, &pb_value_type, nested_value(&arena, WEIR_PB_DEPTH_MAX), &m, &error), WEIR_OK);
    assert_int_equal(check(&pb_value_type, nested_value(&arena, WEIR_PB_DEPTH_MAX + 1), &error), WEIR_ERR_LIMIT);
    assert_non_null(strstr(error.text, "messages are nested too deep"));
    assert_int_equal(check(&pb_value_type, nested_value(&arena, 100000), &error), WEIR_ERR_LIMIT);
    weir_arena_deinit(&arena);
}

static void test_memory_when_unpacked_is_bounded(void **state)
{
    (void)state;
    size_t n = 12u << 20;
    char *bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i += 2)
        memcpy(bytes + i, "\x0a\x00", 2); /* ListValue.values: an empty Value */
    struct weir_error error;
    assert_int_equal(check(&pb_list_value_type, (struct weir_str){bytes, n}, &error), WEIR_ERR_LIMIT);
    assert_non_null(strstr(error.text, "too much memory when unpacked"));
    struct weir_wire_report report;
    assert_int_equal(weir_wire_check(&pb_list_value_type, (struct weir_str){bytes, 2000}, &report, &error), WEIR_OK);
    struct weir_arena arena;
    weir_arena_init(&arena, 8192);
    ProtobufCMessage *m = NULL;
    assert_int_equal(weir_pb_decode(&arena, &pb_list_value_type, (struct weir_str){bytes, 2000}, &m, &error), WEIR_ERR_LIMIT);
    assert_null(m);
    weir_arena_deinit(&arena);
    weir_arena_init(&arena, 0);
    assert_int_equal(weir_pb_decode(&arena, &pb_list_value_type, (struct weir_str){bytes, 2000}, &m, &error), WEIR_OK);
    assert_true(report.unpacked_bytes >= 1000 * sizeof(pb_value));
    assert_true(report.unpacked_bytes <= arena.bytes);
    weir_arena_deinit(&arena);
    free(bytes);
}

static void test_numbers_arrive_packed_and_not(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    struct weir_error error;
    ProtobufCMessage *m;
    /* RetryPolicy.retriable_status_codes: 500 alone, then 501 and 502 packed, an empty pack, 503 alone. */
    struct weir_str bytes = BYTES("\x38\xf4\x03\x3a\x04\xf5\x03\xf6\x03\x3a\x00\x38\xf7\x03");
    assert_int_equal(weir_pb_decode(&arena, &pb_retry_policy_type, bytes, &m, &error), WEIR_OK);
    const pb_retry_policy *p = (pb_retry_policy *)m;
    assert_int_equal(p->n_retriable_status_codes, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(p->retriable_status_codes[i], 500 + i);
    assert_refused(&pb_retry_policy_type, BYTES("\x3a\x01\xf5"), WEIR_ERR_INVALID,
                   "retriable_status_codes[0]: a packed number is cut off or longer than 10 bytes (byte 2 of "
                   "envoy.config.route.v3.RetryPolicy)");
    weir_arena_deinit(&arena);
}

static void test_the_last_member_of_a_oneof_holds_even_when_empty(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    struct weir_error error;
    ProtobufCMessage *m;
    /* RouteMatch: path "/a", then prefix "". */
    assert_int_equal(weir_pb_decode(&arena, &pb_route_match_type, BYTES("\x12\x02/a\x0a\x00"), &m, &error), WEIR_OK);
    const pb_route_match *match = (pb_route_match *)m;
    assert_int_equal(match->path_specifier_case, ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX);
    assert_string_equal(match->prefix, "");
    struct weir_str packed = pb_pack(&arena, m);
    assert_int_equal(packed.n, 2);
    weir_arena_deinit(&arena);
}

/* What protobuf-c makes of the bytes, packed again; n == SIZE_MAX when it refuses them. */
static struct weir_str by_protobuf_c(struct weir_arena *arena, const ProtobufCMessageDescriptor *type, struct weir_str bytes)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, bytes.n, (const uint8_t *)bytes.p);
    if (m == NULL)
        return (struct weir_str){NULL, SIZE_MAX};
    struct weir_str packed = pb_pack(arena, m);
    protobuf_c_message_free_unpacked(m, NULL);
    return packed;
}

/* Never crashes; what is accepted unpacks, and as protobuf-c would have it. */
static bool decode_agrees(const ProtobufCMessageDescriptor *type, struct weir_str bytes)
{
    struct weir_arena arena = {0};
    struct weir_error error = {0};
    struct weir_wire_report report;
    ProtobufCMessage *m;
    char *exact = malloc(bytes.n); /* so that a sanitizer sees a read beyond */
    if (bytes.n > 0)
        memcpy(exact, bytes.p, bytes.n);
    bytes.p = exact;
    bool accepted = weir_wire_check(type, bytes, &report, &error) == WEIR_OK;
    assert_int_equal(weir_pb_decode(&arena, type, bytes, &m, &error) == WEIR_OK, accepted);
    if (!accepted) {
        assert_true(error.text[0] != '\0');
    } else if (report.unknown_fields == 0) {
        struct weir_str ours = pb_pack(&arena, m), theirs = by_protobuf_c(&arena, type, bytes);
        assert_int_equal(ours.n, theirs.n);
        assert_memory_equal(ours.p, theirs.p, ours.n);
    }
    free(exact);
    weir_arena_deinit(&arena);
    return accepted;
}

static void test_samples_survive_unpacking(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    struct weir_error error;
    const struct {
        const ProtobufCMessageDescriptor *type;
        const char *json;
    } samples[] = {{&pb_cluster_type, pb_text_cluster}, {&pb_route_configuration_type, pb_text_route_configuration}};
    for (size_t i = 0; i < 2; i++) {
        struct weir_str bytes = pb_text_packed(&arena, samples[i].type, samples[i].json);
        ProtobufCMessage *m;
        assert_int_equal(weir_pb_decode(&arena, samples[i].type, bytes, &m, &error), WEIR_OK);
        struct weir_str again = pb_pack(&arena, m);
        assert_int_equal(again.n, bytes.n);
        assert_memory_equal(again.p, bytes.p, bytes.n);
        assert_true(decode_agrees(samples[i].type, bytes));
    }
    weir_arena_deinit(&arena);
}

static void test_every_truncation_is_refused_or_unpacks(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    struct weir_str bytes = pb_text_packed(&arena, &pb_cluster_type, pb_text_cluster);
    for (size_t n = 0; n < bytes.n; n++)
        decode_agrees(&pb_cluster_type, (struct weir_str){bytes.p, n});
    weir_arena_deinit(&arena);
}

static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static void test_mutations_are_refused_or_unpack(void **state)
{
    (void)state;
    struct weir_arena arena = {0};
    uint32_t seed = 20240607;
    size_t accepted = 0, rounds = 20000;
    struct weir_str bytes = pb_text_packed(&arena, &pb_route_configuration_type, pb_text_route_configuration);
    char *mutant = malloc(bytes.n);
    for (size_t i = 0; i < rounds; i++) {
        memcpy(mutant, bytes.p, bytes.n);
        for (uint32_t k = next(&seed) % 3 + 1; k > 0; k--) {
            size_t at = next(&seed) % bytes.n;
            uint32_t random = next(&seed);
            mutant[at] = (char)(random % 4 == 0 ? random >> 8 : (uint32_t)mutant[at] ^ (1u << (random >> 8) % 8));
        }
        accepted += decode_agrees(&pb_route_configuration_type, (struct weir_str){mutant, bytes.n});
    }
    assert_true(accepted > rounds / 100 && accepted < rounds);
    free(mutant);
    weir_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_fields_are_refused_with_place_and_reason),
        cmocka_unit_test(test_the_path_counts_list_elements),
        cmocka_unit_test(test_unknown_fields_and_groups_are_skipped_and_counted),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_memory_when_unpacked_is_bounded),
        cmocka_unit_test(test_numbers_arrive_packed_and_not),
        cmocka_unit_test(test_the_last_member_of_a_oneof_holds_even_when_empty),
        cmocka_unit_test(test_samples_survive_unpacking),
        cmocka_unit_test(test_every_truncation_is_refused_or_unpacks),
        cmocka_unit_test(test_mutations_are_refused_or_unpack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
