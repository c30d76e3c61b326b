/* weir_compile_any(): what an extension slot holds, decoded and checked like a resource of its own. A TypedStruct (which Go
 * control planes send for types that they do not know) becomes the message that it names. */
#include <stdio.h>

#include "dataplane/base/compile.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/config/compile_types.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "udpa/type/v1/typed_struct.pb-c.h"
#include "xds/pb_tree.h"
#include "xds/type/v3/typed_struct.pb-c.h"

/* What is wrong inside: a path there goes on from the path of the slot, so that the whole names one field. */
static enum weir_err reject_inside(struct weir_compile *c, const char *field, const ProtobufCMessageDescriptor *type, const char *text)
{
    char first[128], path[WEIR_ERROR_TEXT_MAX];
    const char *colon = strstr(text, ": ");
    size_t n = colon != NULL ? (size_t)(colon - text) : 0, name = strcspn(text, ".[:");
    if (n == 0 || n >= sizeof(path) || name > n || name >= sizeof(first)) return weir_reject(c, field, "%s", text);
    memcpy(first, text, name);
    first[name] = '\0';
    if (protobuf_c_message_descriptor_get_field_by_name(type, first) == NULL) return weir_reject(c, field, "%s", text);
    memcpy(path, text, n);
    path[n] = '\0';
    if (field != NULL) (void)weir_path_push(c, field, -1);
    return weir_reject(c, path, "%s", colon + 2);
}

static enum weir_err struct_to_message(struct weir_compile *c, const char *field, const char *type_url, const Google__Protobuf__Struct *value,
                                       const ProtobufCMessage **out)
{
    const struct weir_pb_message *facts = type_url != NULL ? weir_pb_find_url(weir_str_of(type_url)) : NULL;
    if (facts == NULL) return weir_reject(c, field, "unknown type '%s' in a TypedStruct", type_url != NULL ? type_url : "");
    struct weir_out json = {0};
    if (value != NULL) weir_pb_to_json(&value->base, &(struct weir_json_options){0}, &json);
    else weir_out_add(&json, WEIR_STR("{}"));
    const struct weir_tree *tree = NULL;
    ProtobufCMessage *m = NULL;
    struct weir_error e = {0};
    enum weir_err err = weir_json_parse(c->scratch, "TypedStruct", weir_arena_str(c->scratch, (struct weir_str){json.p, json.n}), &tree, &e);
    weir_out_deinit(&json);
    if (err == WEIR_OK) err = weir_tree_to_pb(c->scratch, "TypedStruct", tree, weir_pb_descriptor(facts), &m, &e);
    if (err == WEIR_OK) err = weir_config_check(m, c->support, &e);
    if (err != WEIR_OK) return reject_inside(c, field, weir_pb_descriptor(facts), e.text);
    *out = m;
    return WEIR_OK;
}

enum weir_err weir_compile_any(struct weir_compile *c, const char *field, const void *any, const ProtobufCMessage **out)
{
    const Google__Protobuf__Any *a = any;
    *out = NULL;
    if (a == NULL || a->type_url == NULL || a->type_url[0] == '\0') return weir_reject(c, field, "a typed configuration is required");
    const struct weir_pb_message *facts = weir_pb_find_url(weir_str_of(a->type_url));
    if (facts == NULL) return weir_reject(c, field, "unknown type '%s'", a->type_url);
    struct weir_error e = {0};
    ProtobufCMessage *m = NULL;
    enum weir_err err = weir_config_decode(c->scratch, weir_pb_descriptor(facts), (struct weir_str){(const char *)a->value.data, a->value.len}, c->support, &m, &e);
    if (err != WEIR_OK) return reject_inside(c, field, weir_pb_descriptor(facts), e.text);
    if (m->descriptor == &xds__type__v3__typed_struct__descriptor) {
        const Xds__Type__V3__TypedStruct *t = (const Xds__Type__V3__TypedStruct *)(const void *)m;
        return struct_to_message(c, field, t->type_url, t->value, out);
    }
    if (m->descriptor == &udpa__type__v1__typed_struct__descriptor) {
        const Udpa__Type__V1__TypedStruct *t = (const Udpa__Type__V1__TypedStruct *)(const void *)m;
        return struct_to_message(c, field, t->type_url, t->value, out);
    }
    *out = m;
    return WEIR_OK;
}
