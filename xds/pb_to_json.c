/* Messages to JSON by descriptor, as Envoy's admin prints them: proto field names, defaults left out, Any expanded,
 * sensitive fields redacted. */
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/str.h"
#include "dataplane/limits.h"
#include "xds/pb_tree.h"
#include "xds/scalar.h"

static void add(struct weir_out *o, const char *z)
{
    weir_out_add(o, weir_str_of(z));
}

struct printer {
    const struct weir_json_options *o;
    struct weir_out *out;
    uint32_t level, depth;
    bool hide; /* inside a sensitive field */
};

static void line(struct printer *p)
{
    if (p->o->indent == 0) return;
    add(p->out, "\n");
    for (uint32_t i = 0; i < p->level * p->o->indent; i++) add(p->out, " ");
}

static void message_print(struct printer *p, const ProtobufCMessage *m, const struct weir_pb_message *facts);

static void redacted_print(struct printer *p, const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_BYTES) add(p->out, "\"W3JlZGFjdGVkXQ==\""); /* "[redacted]" in base64 */
    else add(p->out, "\"[redacted]\"");
}

static void scalar_print(struct printer *p, const ProtobufCFieldDescriptor *f, const void *v)
{
    char text[64];
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: snprintf(text, sizeof(text), "%d", *(const int32_t *)v); break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: snprintf(text, sizeof(text), "%u", *(const uint32_t *)v); break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64: snprintf(text, sizeof(text), "\"%lld\"", (long long)*(const int64_t *)v); break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: snprintf(text, sizeof(text), "\"%llu\"", (unsigned long long)*(const uint64_t *)v); break;
    case PROTOBUF_C_TYPE_FLOAT: weir_scalar_double_print(*(const float *)v, true, text); break;
    case PROTOBUF_C_TYPE_DOUBLE: weir_scalar_double_print(*(const double *)v, false, text); break;
    case PROTOBUF_C_TYPE_BOOL: snprintf(text, sizeof(text), "%s", *(const protobuf_c_boolean *)v ? "true" : "false"); break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int32_t *)v);
        if (e != NULL) weir_out_string(p->out, weir_str_of(e->name));
        snprintf(text, sizeof(text), "%d", *(const int32_t *)v);
        if (e != NULL) return;
        break;
    }
    case PROTOBUF_C_TYPE_STRING:
        weir_out_string(p->out, weir_str_of(*(char *const *)v));
        return;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = v;
        struct weir_arena a = {0};
        weir_out_string(p->out, weir_scalar_base64_print(&a, b->data, b->len));
        weir_arena_deinit(&a);
        return;
    }
    case PROTOBUF_C_TYPE_MESSAGE: return;
    }
    add(p->out, text);
}

static void element_print(struct printer *p, const ProtobufCFieldDescriptor *f, const struct weir_pb_field *fact, const void *v)
{
    bool outer = p->hide;
    if (p->o->redact && fact->flags & WEIR_PB_SENSITIVE) p->hide = true;
    if (p->hide && (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES)) {
        redacted_print(p, f);
        p->hide = outer;
        return;
    }
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
        scalar_print(p, f, v);
        p->hide = outer;
        return;
    }
    const ProtobufCMessage *sub = *(ProtobufCMessage *const *)v;
    if (sub == NULL) add(p->out, "{}");
    else message_print(p, sub, weir_pb_child(fact));
    p->hide = outer;
}

static void key_print(struct printer *p, bool *first, struct weir_str name)
{
    if (!*first) add(p->out, ",");
    *first = false;
    line(p);
    weir_out_string(p->out, name);
    add(p->out, p->o->indent > 0 ? ": " : ":");
}

static void open_print(struct printer *p, const char *bracket)
{
    add(p->out, bracket);
    p->level++;
}

static void close_print(struct printer *p, const char *bracket, bool empty)
{
    p->level--;
    if (!empty) line(p);
    add(p->out, bracket);
}

static void list_print(struct printer *p, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct weir_pb_field *fact)
{
    size_t n = weir_pb_length(m, f);
    open_print(p, "[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) add(p->out, ",");
        line(p);
        element_print(p, f, fact, weir_pb_value(m, f, i));
    }
    close_print(p, "]", n == 0);
}

static void map_print(struct printer *p, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct weir_pb_field *fact)
{
    const struct weir_pb_message *entry = weir_pb_child(fact);
    size_t n = weir_pb_length(m, f);
    bool first = true;
    open_print(p, "{");
    for (size_t i = 0; i < n; i++) {
        const ProtobufCMessage *e = *(ProtobufCMessage *const *)weir_pb_value(m, f, i);
        const ProtobufCFieldDescriptor *key = &e->descriptor->fields[0], *value = &e->descriptor->fields[1];
        char text[24];
        struct weir_str name;
        if (key->type == PROTOBUF_C_TYPE_STRING) {
            name = weir_str_of(*(char *const *)((const char *)e + key->offset));
        } else {
            if (key->type == PROTOBUF_C_TYPE_BOOL) snprintf(text, sizeof(text), "%s", *(const protobuf_c_boolean *)((const char *)e + key->offset) ? "true" : "false");
            else if (weir_pb_value_size(key->type) == 8) snprintf(text, sizeof(text), "%lld", (long long)*(const int64_t *)((const char *)e + key->offset));
            else snprintf(text, sizeof(text), "%d", *(const int32_t *)((const char *)e + key->offset));
            name = weir_str_of(text);
        }
        key_print(p, &first, name);
        element_print(p, value, weir_pb_field(entry, 1), (const char *)e + value->offset);
    }
    close_print(p, "}", n == 0);
}

static void field_print(struct printer *p, const ProtobufCMessage *m, unsigned i, const struct weir_pb_field *fact)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
    if (fact->flags & WEIR_PB_MAP) map_print(p, m, f, fact);
    else if (f->label == PROTOBUF_C_LABEL_REPEATED) list_print(p, m, f, fact);
    else element_print(p, f, fact, weir_pb_value(m, f, 0));
}

/* Fields without the braces around them. */
static void fields_print(struct printer *p, const ProtobufCMessage *m, const struct weir_pb_message *facts, bool *first)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (!weir_pb_is_set(m, f)) continue;
        key_print(p, first, weir_str_of(f->name));
        field_print(p, m, i, weir_pb_field(facts, i));
    }
}

static int64_t number_of(const ProtobufCMessage *m, const char *name)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
    const void *at = (const char *)m + f->offset;
    return f->type == PROTOBUF_C_TYPE_INT32 ? *(const int32_t *)at : *(const int64_t *)at;
}

static void time_print(struct printer *p, const ProtobufCMessage *m, bool timestamp)
{
    char text[48];
    int64_t seconds = number_of(m, "seconds");
    int32_t nanos = (int32_t)number_of(m, "nanos");
    if (timestamp) weir_scalar_timestamp_print(seconds, nanos, text);
    else weir_scalar_duration_print(seconds, nanos, text);
    weir_out_string(p->out, weir_str_of(text));
}

static void field_mask_print(struct printer *p, const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[0];
    struct weir_out text = {0};
    for (size_t i = 0; i < weir_pb_length(m, f); i++) {
        if (i > 0) add(&text, ",");
        add(&text, *(char *const *)weir_pb_value(m, f, i));
    }
    weir_out_string(p->out, (struct weir_str){text.p, text.n});
    weir_out_deinit(&text);
}

static void value_print(struct printer *p, const ProtobufCMessage *m, const struct weir_pb_message *facts)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (!weir_pb_is_set(m, f)) continue;
        if (strcmp(f->name, "null_value") == 0) break;
        element_print(p, f, weir_pb_field(facts, i), weir_pb_value(m, f, 0));
        return;
    }
    add(p->out, "null");
}

static bool any_body(struct printer *p, struct weir_str type_url, ProtobufCBinaryData value)
{
    const struct weir_pb_message *facts = weir_pb_find_url(type_url);
    if (facts == NULL || p->depth > WEIR_PB_DEPTH_MAX) return false;
    ProtobufCMessage *m = protobuf_c_message_unpack(weir_pb_descriptor(facts), NULL, value.len, value.data);
    if (m == NULL) return false;
    bool first = true;
    p->depth++;
    open_print(p, "{");
    key_print(p, &first, WEIR_STR("@type"));
    weir_out_string(p->out, type_url);
    if (facts->kind == WEIR_PB_PLAIN || facts->kind == WEIR_PB_EMPTY) {
        fields_print(p, m, facts, &first);
    } else {
        key_print(p, &first, WEIR_STR("value"));
        message_print(p, m, facts);
    }
    close_print(p, "}", false);
    p->depth--;
    protobuf_c_message_free_unpacked(m, NULL);
    return true;
}

static void any_print(struct printer *p, const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const ProtobufCFieldDescriptor *url = protobuf_c_message_descriptor_get_field_by_name(d, "type_url");
    const ProtobufCFieldDescriptor *value = protobuf_c_message_descriptor_get_field_by_name(d, "value");
    struct weir_str type_url = weir_str_of(*(char *const *)((const char *)m + url->offset));
    const ProtobufCBinaryData *bytes = (const ProtobufCBinaryData *)(const void *)((const char *)m + value->offset);
    if (any_body(p, type_url, *bytes)) return;
    bool first = true;
    open_print(p, "{");
    key_print(p, &first, WEIR_STR("@type"));
    weir_out_string(p->out, type_url);
    key_print(p, &first, WEIR_STR("value"));
    scalar_print(p, value, bytes);
    close_print(p, "}", false);
}

static void message_print(struct printer *p, const ProtobufCMessage *m, const struct weir_pb_message *facts)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    bool first = true;
    switch (facts->kind) {
    case WEIR_PB_WRAPPER: element_print(p, &d->fields[0], weir_pb_field(facts, 0), (const char *)m + d->fields[0].offset); return;
    case WEIR_PB_DURATION: time_print(p, m, false); return;
    case WEIR_PB_TIMESTAMP: time_print(p, m, true); return;
    case WEIR_PB_FIELD_MASK: field_mask_print(p, m); return;
    case WEIR_PB_ANY: any_print(p, m); return;
    case WEIR_PB_VALUE: value_print(p, m, facts); return;
    case WEIR_PB_STRUCT: map_print(p, m, &d->fields[0], weir_pb_field(facts, 0)); return;
    case WEIR_PB_LIST_VALUE: list_print(p, m, &d->fields[0], weir_pb_field(facts, 0)); return;
    case WEIR_PB_PLAIN:
    case WEIR_PB_EMPTY:
    case WEIR_PB_MAP_ENTRY: break;
    }
    open_print(p, "{");
    fields_print(p, m, facts, &first);
    close_print(p, "}", first);
}

void weir_pb_to_json(const ProtobufCMessage *m, const struct weir_json_options *o, struct weir_out *out)
{
    struct printer p = {.o = o, .out = out, .level = o->level};
    message_print(&p, m, weir_pb_of(m->descriptor));
}

void weir_pb_field_to_json(const ProtobufCMessage *m, unsigned field, const struct weir_json_options *o, struct weir_out *out)
{
    struct printer p = {.o = o, .out = out, .level = o->level};
    field_print(&p, m, field, weir_pb_field(weir_pb_of(m->descriptor), field));
}

bool weir_any_to_json(struct weir_str type_url, ProtobufCBinaryData value, const struct weir_json_options *o, struct weir_out *out)
{
    struct printer p = {.o = o, .out = out, .level = o->level};
    return any_body(&p, type_url, value);
}
