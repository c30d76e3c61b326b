/* Walk of an unpacked message in lockstep with its facts; contract in validate.h, the rules of single values in
 * validate_value.c. Invariant: recursion is bounded, time is linear but for sorting lists whose elements must be unique. */
#include "dataplane/config/validate.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/config/validate_value.h"
#include "dataplane/limits.h"

/* Seconds of ten thousand years: what google.protobuf.Duration may hold. */
#define DURATION_SECONDS_MAX INT64_C(315576000000)
/* 0001-01-01 and 9999-12-31 in seconds since 1970, for google.protobuf.Timestamp. */
#define TIMESTAMP_SECONDS_MIN INT64_C(-62135596800)
#define TIMESTAMP_SECONDS_MAX INT64_C(253402300799)

static enum weir_err check_message(struct weir_validator *v, const struct weir_pb_message *facts, const ProtobufCMessage *m,
                                   const struct weir_pb_path *up, unsigned depth);

static bool has_rule(const struct weir_pb_rule *rules, enum weir_pb_op op)
{
    for (; rules->op != WEIR_PB_OP_END; rules++)
        if (rules->op == op && rules->scope == WEIR_PB_ON_FIELD)
            return true;
    return false;
}

static enum weir_err check_time(struct weir_validator *v, enum weir_pb_kind kind, const ProtobufCMessage *m,
                                const struct weir_pb_path *path)
{
    struct weir_seconds t = weir_seconds_of(m);
    if (kind == WEIR_PB_TIMESTAMP) {
        if (t.seconds < TIMESTAMP_SECONDS_MIN || t.seconds > TIMESTAMP_SECONDS_MAX || t.nanos < 0 || t.nanos > 999999999)
            return weir_validator_refuse(v, path, "value must be a time in the years 1 to 9999");
        return WEIR_OK;
    }
    bool opposed = (t.seconds > 0 && t.nanos < 0) || (t.seconds < 0 && t.nanos > 0);
    if (t.seconds < -DURATION_SECONDS_MAX || t.seconds > DURATION_SECONDS_MAX || t.nanos < -999999999 ||
        t.nanos > 999999999 || opposed)
        return weir_validator_refuse(v, path, "value must be a duration of at most 315576000000s with nanos of the same sign");
    return WEIR_OK;
}

/* One message that is there: a field, a list element, a map value. */
static enum weir_err check_submessage(struct weir_validator *v, const struct weir_pb_message *child, const ProtobufCMessage *m,
                                      const struct weir_pb_path *path, unsigned depth)
{
    switch ((enum weir_pb_kind)child->kind) {
    case WEIR_PB_DURATION:
    case WEIR_PB_TIMESTAMP:
        return check_time(v, child->kind, m, path);
    case WEIR_PB_PLAIN:
    case WEIR_PB_MAP_ENTRY:
        return check_message(v, child, m, path, depth + 1);
    default: /* no rules below these */
        return WEIR_OK;
    }
}

/* A value that is there, with the rules of its scope. d describes the value, child what it is when it is a message. */
static enum weir_err check_value(struct weir_validator *v, const struct weir_pb_rule *rules, enum weir_pb_scope scope,
                                 const ProtobufCFieldDescriptor *d, const struct weir_pb_message *child, const void *value,
                                 const struct weir_pb_path *path, unsigned depth)
{
    if (child == NULL)
        return weir_validate_scalar(v, rules, scope, d, value, path);
    const ProtobufCMessage *m = *(ProtobufCMessage *const *)value;
    if (m == NULL) /* a map entry without value: the empty message */
        return WEIR_OK;
    enum weir_err err = has_rule(rules, WEIR_PB_OP_SKIP) ? WEIR_OK : check_submessage(v, child, m, path, depth);
    if (err != WEIR_OK || rules->op == WEIR_PB_OP_END)
        return err;
    if (child->kind == WEIR_PB_WRAPPER) {
        const ProtobufCFieldDescriptor *inner = &m->descriptor->fields[0];
        return weir_validate_scalar(v, rules, scope, inner, weir_pb_value(m, inner, 0), path);
    }
    return child->kind == WEIR_PB_DURATION ? weir_validate_duration(v, rules, scope, m, path) : WEIR_OK;
}

static enum weir_err check_map_entry(struct weir_validator *v, const struct weir_pb_field *f,
                                     const ProtobufCFieldDescriptor *d, const ProtobufCMessage *entry,
                                     const struct weir_pb_path *up, unsigned depth)
{
    const struct weir_pb_message *facts = weir_pb_child(f);
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0], *value = &entry->descriptor->fields[1];
    const void *key_at = weir_pb_value(entry, key, 0);
    char number[24];
    struct weir_str name;
    if (key->type == PROTOBUF_C_TYPE_STRING) {
        const char *z = *(char *const *)key_at;
        name = weir_str_of(z != NULL ? z : "");
    } else {
        name = weir_value_print(key, key_at, number, sizeof number);
    }
    struct weir_pb_path path = {up, d->name, WEIR_PB_PATH_SINGLE, name};
    enum weir_err err = weir_validate_scalar(v, weir_pb_rules(f), WEIR_PB_ON_KEYS, key, key_at, &path);
    if (err != WEIR_OK)
        return err;
    return check_value(v, weir_pb_rules(f), WEIR_PB_ON_VALUES, value, weir_pb_child(weir_pb_field(facts, 1)),
                       weir_pb_value(entry, value, 0), &path, depth);
}

static enum weir_err check_list(struct weir_validator *v, const struct weir_pb_field *f, const ProtobufCFieldDescriptor *d,
                                const ProtobufCMessage *m, const struct weir_pb_path *up, unsigned depth)
{
    struct weir_pb_path path = {up, d->name, WEIR_PB_PATH_SINGLE, {NULL, 0}};
    const struct weir_pb_rule *rules = weir_pb_rules(f);
    size_t count = weir_pb_length(m, d);
    enum weir_err err = weir_validate_count(v, rules, count, &path);
    if (err == WEIR_OK && has_rule(rules, WEIR_PB_OP_UNIQUE))
        err = weir_validate_unique(v, m, d, count, &path);
    const struct weir_pb_message *child = weir_pb_child(f);
    if (child == NULL && rules->op == WEIR_PB_OP_END && d->type != PROTOBUF_C_TYPE_ENUM)
        return err;
    for (size_t i = 0; err == WEIR_OK && i < count; i++) {
        const void *value = weir_pb_value(m, d, i);
        path.index = (uint32_t)i;
        if (!(f->flags & WEIR_PB_MAP))
            err = check_value(v, rules, WEIR_PB_ON_ITEMS, d, child, value, &path, depth);
        else
            err = check_map_entry(v, f, d, *(ProtobufCMessage *const *)value, up, depth);
    }
    return err;
}

static enum weir_err check_field(struct weir_validator *v, const struct weir_pb_field *f, const ProtobufCFieldDescriptor *d,
                                 const ProtobufCMessage *m, const struct weir_pb_path *up, unsigned depth)
{
    struct weir_pb_path path = {up, d->name, WEIR_PB_PATH_SINGLE, {NULL, 0}};
    bool set = weir_pb_is_set(m, d);
    if (set && (f->flags & WEIR_PB_DISALLOWED))
        return weir_validator_refuse(v, &path, "the API no longer allows this field");
    if (d->label == PROTOBUF_C_LABEL_REPEATED)
        return check_list(v, f, d, m, up, depth);
    if (!set && (f->oneof != 0 || d->label == PROTOBUF_C_LABEL_OPTIONAL) && d->type != PROTOBUF_C_TYPE_MESSAGE)
        return WEIR_OK;
    const void *value = weir_pb_value(m, d, 0);
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (!set && f->oneof != 0)
            return WEIR_OK;
        if (!set || *(ProtobufCMessage *const *)value == NULL)
            return has_rule(weir_pb_rules(f), WEIR_PB_OP_REQUIRED) ? weir_validator_refuse(v, &path, "value must be set")
                                                                  : WEIR_OK;
    }
    return check_value(v, weir_pb_rules(f), WEIR_PB_ON_FIELD, d, weir_pb_child(f), value, &path, depth);
}

/* A required oneof without member. */
static enum weir_err refuse_oneof(struct weir_validator *v, const struct weir_pb_message *facts, size_t oneof,
                                  const struct weir_pb_path *up)
{
    const ProtobufCMessageDescriptor *d = weir_pb_descriptor(facts);
    char names[512];
    size_t n = 0;
    for (unsigned i = 0; i < d->n_fields && n < sizeof names; i++) {
        if (weir_pb_field(facts, i)->oneof != oneof + 1)
            continue;
        int length = snprintf(names + n, sizeof names - n, "%s%s", n > 0 ? ", " : "", d->fields[i].name);
        n += length > 0 ? (size_t)length : 0;
    }
    return weir_validator_refuse(v, up, "%s must be set: one of %s", weir_pb_text(weir_pb_oneof(facts, oneof)->name), names);
}

static enum weir_err check_message(struct weir_validator *v, const struct weir_pb_message *facts, const ProtobufCMessage *m,
                                   const struct weir_pb_path *up, unsigned depth)
{
    if (depth > WEIR_PB_DEPTH_MAX)
        return weir_validator_refuse(v, up, "messages must not be nested deeper than %d", WEIR_PB_DEPTH_MAX);
    const ProtobufCMessageDescriptor *type = m->descriptor;
    uint64_t oneofs_set = 0;
    for (unsigned i = 0; i < facts->field_count; i++) {
        const struct weir_pb_field *f = weir_pb_field(facts, i);
        if (!(f->flags & WEIR_PB_CHECKED))
            continue;
        enum weir_err err = check_field(v, f, &type->fields[i], m, up, depth);
        if (err != WEIR_OK)
            return err;
        if (f->oneof != 0 && weir_pb_is_set(m, &type->fields[i]))
            oneofs_set |= UINT64_C(1) << (f->oneof - 1);
    }
    for (size_t i = 0; i < facts->oneof_count; i++)
        if (weir_pb_oneof(facts, i)->required && (oneofs_set >> i & 1) == 0)
            return refuse_oneof(v, facts, i, up);
    return WEIR_OK;
}

enum weir_err weir_validate(const ProtobufCMessage *m, struct weir_error *error)
{
    const struct weir_pb_message *facts = weir_pb_of(m->descriptor);
    if (facts == NULL)
        return weir_error_set(error, WEIR_ERR_NOT_FOUND, "%s: the message is unknown", m->descriptor->name);
    struct weir_validator v = {.root = m->descriptor->name, .error = error};
    enum weir_err err = check_message(&v, facts, m, NULL, 1);
    weir_validator_deinit(&v);
    return err;
}
