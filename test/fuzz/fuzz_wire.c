/* Wire bytes as a control plane might send them: first byte chooses the message, the rest is checked, unpacked, validated and
 * judged by support class. What the check accepts must unpack, and as protobuf-c would have it. */
#include <assert.h>
#include <stdlib.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/support.h"
#include "dataplane/config/validate.h"
#include "xds/wire_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const ProtobufCMessageDescriptor *type, struct weir_str bytes, const ProtobufCMessage *ours)
{
    ProtobufCMessage *theirs = protobuf_c_message_unpack(type, NULL, bytes.n, (const uint8_t *)bytes.p);
    assert(theirs != NULL);
    size_t n = protobuf_c_message_get_packed_size(ours);
    assert(n == protobuf_c_message_get_packed_size(theirs));
    uint8_t *a = malloc(n + 1), *b = malloc(n + 1);
    assert(a != NULL && b != NULL);
    protobuf_c_message_pack(ours, a);
    protobuf_c_message_pack(theirs, b);
    assert(memcmp(a, b, n) == 0);
    free(a);
    free(b);
    protobuf_c_message_free_unpacked(theirs, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &pb_cluster_type,           &pb_listener_type,  &pb_route_configuration_type, &pb_load_assignment_type,
        &pb_discovery_response_type, &pb_bootstrap_type, &pb_hcm_type,                 &pb_value_type,
        &pb_downstream_tls_type,
    };
    if (size == 0)
        return 0;
    const ProtobufCMessageDescriptor *type = types[data[0] % (sizeof types / sizeof types[0])];
    struct weir_str bytes = {(const char *)data + 1, size - 1};
    struct weir_error error = {0};
    struct weir_wire_report report;
    if (weir_wire_check(type, bytes, &report, &error) != WEIR_OK) {
        assert(error.text[0] != '\0');
        return 0;
    }
    struct weir_arena arena;
    weir_arena_init(&arena, 64u << 20);
    ProtobufCMessage *m = NULL;
    enum weir_err err = weir_pb_decode(&arena, type, bytes, &m, &error);
    assert(err == WEIR_OK || err == WEIR_ERR_LIMIT);
    if (err == WEIR_OK) {
        assert(arena.bytes >= report.unpacked_bytes || report.unpacked_bytes < 65536);
        if (report.unknown_fields == 0)
            compare(type, bytes, m);
        if (weir_validate(m, &error) == WEIR_OK)
            err = weir_support_check(m, NULL, &error);
    }
    weir_arena_deinit(&arena);
    return 0;
}
