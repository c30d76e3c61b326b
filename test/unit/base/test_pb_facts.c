/* The facts table agrees with the descriptors and carries what the .proto files say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_names.h"

static const struct weir_pb_field *field_of(const char *message, const char *name)
{
    const struct weir_pb_message *m = weir_pb_find(weir_str_of(message));
    assert_non_null(m);
    const ProtobufCMessageDescriptor *d = weir_pb_descriptor(m);
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(d, name);
    assert_non_null(f);
    return weir_pb_field(m, (size_t)(f - d->fields));
}

static const struct weir_pb_rule *rule_of(const char *message, const char *name, enum weir_pb_op op)
{
    for (const struct weir_pb_rule *r = weir_pb_rules(field_of(message, name)); r->op != WEIR_PB_OP_END; r++)
        if (r->op == op)
            return r;
    return NULL;
}

static void test_every_fact_lies_in_lockstep_with_its_descriptor(void **state)
{
    (void)state;
    size_t messages = 0;
    for (size_t i = 0; i < weir_pb_count(); i++) {
        const struct weir_pb_message *m = weir_pb_at(i);
        const ProtobufCMessageDescriptor *d = weir_pb_descriptor(m);
        assert_int_equal(d->magic, PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
        assert_ptr_equal(weir_pb_find(weir_str_of(d->name)), m);
        assert_ptr_equal(weir_pb_of(d), m);
        assert_int_equal(m->field_count, d->n_fields);
        messages += m->kind != WEIR_PB_MAP_ENTRY;
        for (unsigned k = 0; k < d->n_fields; k++) {
            const struct weir_pb_field *f = weir_pb_field(m, k);
            const struct weir_pb_message *child = weir_pb_child(f);
            assert_int_equal(child != NULL, d->fields[k].type == PROTOBUF_C_TYPE_MESSAGE);
            if (child != NULL)
                assert_ptr_equal(weir_pb_descriptor(child), d->fields[k].descriptor);
            assert_int_equal(f->oneof != 0, (d->fields[k].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0);
            assert_true(f->oneof <= m->oneof_count);
            assert_int_equal((f->flags & WEIR_PB_MAP) != 0, child != NULL && child->kind == WEIR_PB_MAP_ENTRY);
            assert_true(f->support != WEIR_PB_IGNORED || weir_pb_note(f)[0] != '\0');
        }
    }
    assert_int_equal(messages, 1292);
}

static void test_messages_are_found_by_type_url_only_when_it_is_one(void **state)
{
    (void)state;
    assert_ptr_equal(weir_pb_find_url(WEIR_STR(WEIR_URL_CLUSTER)), weir_pb_of(&pb_cluster_type));
    assert_non_null(weir_pb_find_url(WEIR_STR("example.com/some/envoy.config.cluster.v3.Cluster")));
    assert_null(weir_pb_find_url(WEIR_STR("envoy.config.cluster.v3.Cluster")));
    assert_null(weir_pb_find_url(WEIR_STR("type.googleapis.com/no.such.Type")));
    assert_null(weir_pb_find_url(WEIR_STR("type.googleapis.com/")));
    assert_null(weir_pb_find(WEIR_STR("")));
}

static void test_marks_of_fields_and_messages(void **state)
{
    (void)state;
    assert_int_equal(field_of("envoy.config.route.v3.VirtualHost", "cors")->flags & ~WEIR_PB_CHECKED, WEIR_PB_DEPRECATED);
    assert_int_equal(field_of("envoy.config.route.v3.VirtualHost", "typed_per_filter_config")->flags & ~WEIR_PB_CHECKED, WEIR_PB_MAP);
    assert_int_equal(field_of("envoy.extensions.transport_sockets.tls.v3.TlsCertificate", "private_key")->flags & ~WEIR_PB_CHECKED,
                     WEIR_PB_SENSITIVE);
    assert_int_equal(field_of("envoy.config.route.v3.RateLimit.Action", "dynamic_metadata")->flags & ~WEIR_PB_CHECKED,
                     WEIR_PB_DEPRECATED | WEIR_PB_DISALLOWED);
    assert_int_equal(weir_pb_find(WEIR_STR("google.protobuf.UInt32Value"))->kind, WEIR_PB_WRAPPER);
    assert_int_equal(weir_pb_find(WEIR_STR("google.protobuf.Any"))->kind, WEIR_PB_ANY);
    assert_int_equal(weir_pb_find(WEIR_STR("envoy.type.v3.RateLimitStrategy"))->flags, WEIR_PB_WORK_IN_PROGRESS);
    assert_int_equal(weir_pb_enum_flags(&envoy__config__core__v3__api_config_source__api_type__descriptor, 0),
                     WEIR_PB_DEPRECATED | WEIR_PB_DISALLOWED);
    assert_int_equal(weir_pb_enum_flags(&envoy__config__core__v3__api_config_source__api_type__descriptor, 2), 0);
}

static void test_oneofs_have_names_and_explicit_presence_is_told_apart(void **state)
{
    (void)state;
    const struct weir_pb_message *m = weir_pb_of(&pb_socket_address_type);
    const struct weir_pb_field *f = field_of("envoy.config.core.v3.SocketAddress", "port_value");
    assert_int_equal(f->oneof, 1);
    assert_string_equal(weir_pb_text(weir_pb_oneof(m, 0)->name), "port_specifier");
    assert_true(weir_pb_oneof(m, 0)->required);
    f = field_of("opentelemetry.proto.metrics.v1.HistogramDataPoint", "sum");
    assert_int_equal(f->flags & ~WEIR_PB_CHECKED, WEIR_PB_PRESENCE);
}

static void test_rules_carry_their_values(void **state)
{
    (void)state;
    const struct weir_pb_rule *r = rule_of("envoy.config.core.v3.SocketAddress", "port_value", WEIR_PB_OP_LTE);
    assert_non_null(r);
    assert_int_equal(r->number, WEIR_PB_UNSIGNED);
    assert_int_equal(r->value.u, 65535);
    r = rule_of("envoy.config.cluster.v3.Cluster", "connect_timeout", WEIR_PB_OP_GT);
    assert_non_null(r);
    assert_int_equal(r->number, WEIR_PB_NANOSECONDS);
    assert_int_equal(r->value.i, 0);
    r = rule_of("envoy.type.v3.Percent", "value", WEIR_PB_OP_LTE);
    assert_non_null(r);
    assert_int_equal(r->number, WEIR_PB_DOUBLE);
    assert_true(r->value.d == 100.0);
    r = rule_of("envoy.config.route.v3.RouteMatch", "path_separated_prefix", WEIR_PB_OP_PATTERN);
    assert_non_null(r);
    assert_string_equal(weir_pb_text(r->text), "^[^?#]+[^?#/]$");
    r = rule_of("envoy.config.route.v3.RouteMatch", "prefix", WEIR_PB_OP_PATTERN);
    assert_null(r);
}

static void test_removed_field_names_are_known(void **state)
{
    (void)state;
    assert_true(weir_pb_was_removed(weir_pb_of(&pb_cluster_type), WEIR_STR("hosts")));
    assert_true(weir_pb_was_removed(weir_pb_of(&pb_cluster_type), WEIR_STR("extension_protocol_options")));
    assert_false(weir_pb_was_removed(weir_pb_of(&pb_cluster_type), WEIR_STR("host")));
    assert_false(weir_pb_was_removed(weir_pb_of(&pb_cluster_type), WEIR_STR("")));
    assert_false(weir_pb_was_removed(weir_pb_of(&pb_address_type), WEIR_STR("hosts")));
}

static void test_presence_of_each_kind_of_field(void **state)
{
    (void)state;
    pb_socket_address a;
    envoy__config__core__v3__socket_address__init(&a);
    const ProtobufCFieldDescriptor *port = protobuf_c_message_descriptor_get_field_by_name(&pb_socket_address_type, "port_value");
    const ProtobufCFieldDescriptor *text = protobuf_c_message_descriptor_get_field_by_name(&pb_socket_address_type, "address");
    assert_false(weir_pb_is_set(&a.base, port));
    assert_false(weir_pb_is_set(&a.base, text));
    a.port_specifier_case = ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
    assert_true(weir_pb_is_set(&a.base, port)); /* zero, but the member that is set */
    a.address = (char *)(uintptr_t)"::1";
    assert_true(weir_pb_is_set(&a.base, text));
    assert_string_equal(*(char *const *)weir_pb_value(&a.base, text, 0), "::1");

    pb_address address;
    envoy__config__core__v3__address__init(&address);
    assert_false(weir_pb_is_set(&address.base, &pb_address_type.fields[0]));

    char *names[] = {(char *)(uintptr_t)"a", (char *)(uintptr_t)"b"};
    pb_virtual_host vhost;
    envoy__config__route__v3__virtual_host__init(&vhost);
    const ProtobufCFieldDescriptor *domains = protobuf_c_message_descriptor_get_field_by_name(&pb_virtual_host_type, "domains");
    assert_int_equal(weir_pb_length(&vhost.base, domains), 0);
    vhost.n_domains = 2;
    vhost.domains = names;
    assert_int_equal(weir_pb_length(&vhost.base, domains), 2);
    assert_string_equal(*(char *const *)weir_pb_value(&vhost.base, domains, 1), "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_fact_lies_in_lockstep_with_its_descriptor),
        cmocka_unit_test(test_messages_are_found_by_type_url_only_when_it_is_one),
        cmocka_unit_test(test_marks_of_fields_and_messages),
        cmocka_unit_test(test_oneofs_have_names_and_explicit_presence_is_told_apart),
        cmocka_unit_test(test_rules_carry_their_values),
        cmocka_unit_test(test_removed_field_names_are_known),
        cmocka_unit_test(test_presence_of_each_kind_of_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
