/* The walk over set fields and the printed table; contract in support.h, the classes come from api/support.txt by way of
 * base/pb_facts.h. */
#include "dataplane/config/support.h"

#include <string.h>

#include "dataplane/base/pb_facts.h"
#include "dataplane/base/pb_path.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/config/support_log.h"
#include "dataplane/limits.h"

#define NOTED_MAX 32

struct support_walk {
    struct weir_support_log *log;
    struct weir_error *error;
    const char *name; /* of the message at the root */
    const struct weir_pb_field *noted[NOTED_MAX]; /* told of in this message; further ones are counted only */
    unsigned noted_count;
};

static bool first_in_message(struct support_walk *w, const struct weir_pb_field *f)
{
    for (unsigned i = 0; i < w->noted_count; i++)
        if (w->noted[i] == f)
            return false;
    if (w->noted_count == NOTED_MAX)
        return false;
    w->noted[w->noted_count++] = f;
    return true;
}

/* Deprecated and unfinished parts of the API that a set field uses: itself, or the value of its enum. */
static void note_marks(struct support_walk *w, const ProtobufCMessage *m, unsigned i, const struct weir_pb_field *f,
                       const struct weir_pb_path *path)
{
    const ProtobufCFieldDescriptor *d = &m->descriptor->fields[i];
    unsigned marks = f->flags & (WEIR_PB_DEPRECATED | WEIR_PB_WORK_IN_PROGRESS);
    const char *value = "";
    const struct weir_pb_message *child = weir_pb_child(f);
    if (child != NULL)
        marks |= child->flags & WEIR_PB_WORK_IN_PROGRESS;
    if (d->type == PROTOBUF_C_TYPE_ENUM && d->label != PROTOBUF_C_LABEL_REPEATED) {
        int number = *(const int *)weir_pb_value(m, d, 0);
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d->descriptor, number);
        if (v != NULL && weir_pb_enum_flags(d->descriptor, number) & WEIR_PB_DEPRECATED) {
            marks |= WEIR_PB_DEPRECATED;
            value = v->name;
        }
    }
    if (marks == 0)
        return;
    bool tell = first_in_message(w, f);
    if (marks & WEIR_PB_DEPRECATED)
        weir_support_log_note(w->log, WEIR_SUPPORT_DEPRECATED, m->descriptor, i, w->name, path, value, tell);
    if (marks & WEIR_PB_WORK_IN_PROGRESS)
        weir_support_log_note(w->log, WEIR_SUPPORT_WORK_IN_PROGRESS, m->descriptor, i, w->name, path, "", tell);
}

static enum weir_err check_message(struct support_walk *w, const struct weir_pb_message *facts, const ProtobufCMessage *m,
                                   const struct weir_pb_path *up, unsigned depth);

static enum weir_err refuse(struct support_walk *w, const ProtobufCMessageDescriptor *type, unsigned i,
                            const struct weir_pb_field *f, const struct weir_pb_path *path)
{
    char where[WEIR_PB_PATH_TEXT_MAX];
    const char *note = weir_pb_note(f);
    return weir_error_set(w->error, WEIR_ERR_UNSUPPORTED, "%s: weir does not support %s of %s%s%s",
                          weir_pb_path_print(path, where, sizeof where), type->fields[i].name, type->name,
                          note[0] != '\0' ? ": " : "", note);
}

/* A map's key for the path. Number keys show as an index, which names the entry as well. */
static struct weir_str key_of(const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    if (key->type != PROTOBUF_C_TYPE_STRING)
        return (struct weir_str){NULL, 0};
    const char *z = *(char *const *)weir_pb_value(entry, key, 0);
    return weir_str_of(z != NULL ? z : "");
}

/* The messages that a set, honoured field holds. */
static enum weir_err check_below(struct support_walk *w, const struct weir_pb_message *child, const ProtobufCMessage *m,
                                 const ProtobufCFieldDescriptor *d, const struct weir_pb_path *up, unsigned depth)
{
    bool list = d->label == PROTOBUF_C_LABEL_REPEATED;
    size_t count = weir_pb_length(m, d);
    bool map = child->kind == WEIR_PB_MAP_ENTRY;
    if (map) /* straight to the values */
        child = weir_pb_child(weir_pb_field(child, 1));
    if (child == NULL || child->kind != WEIR_PB_PLAIN)
        return WEIR_OK;
    for (size_t i = 0; i < count; i++) {
        struct weir_pb_path path = {up, d->name, list ? (uint32_t)i : WEIR_PB_PATH_SINGLE, {NULL, 0}};
        const ProtobufCMessage *below = *(ProtobufCMessage *const *)weir_pb_value(m, d, i);
        if (map && below != NULL) {
            path.key = key_of(below);
            below = *(ProtobufCMessage *const *)weir_pb_value(below, &below->descriptor->fields[1], 0);
        }
        enum weir_err err = below != NULL ? check_message(w, child, below, &path, depth + 1) : WEIR_OK;
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

static enum weir_err check_below_of(struct support_walk *w, const struct weir_pb_message *child, const ProtobufCMessage *m,
                                    const ProtobufCFieldDescriptor *d, const struct weir_pb_path *up, unsigned depth)
{
    struct weir_support_log *log = w->log;
    if (weir_pb_descriptor(child) == &envoy__config__bootstrap__v3__bootstrap__static_resources__descriptor)
        w->log = NULL;
    enum weir_err err = check_below(w, child, m, d, up, depth);
    w->log = log;
    return err;
}

static enum weir_err check_message(struct support_walk *w, const struct weir_pb_message *facts, const ProtobufCMessage *m,
                                   const struct weir_pb_path *up, unsigned depth)
{
    const ProtobufCMessageDescriptor *type = m->descriptor;
    if (depth > WEIR_PB_DEPTH_MAX)
        return weir_error_set(w->error, WEIR_ERR_LIMIT, "messages must not be nested deeper than %d", WEIR_PB_DEPTH_MAX);
    for (unsigned i = 0; i < facts->field_count; i++) {
        const struct weir_pb_field *f = weir_pb_field(facts, i);
        const ProtobufCFieldDescriptor *d = &type->fields[i];
        const struct weir_pb_message *child = weir_pb_child(f);
        bool plain = f->support == WEIR_PB_HONOURED && child == NULL && d->type != PROTOBUF_C_TYPE_ENUM;
        if ((plain && (f->flags & (WEIR_PB_DEPRECATED | WEIR_PB_WORK_IN_PROGRESS)) == 0) || !weir_pb_is_set(m, d))
            continue;
        struct weir_pb_path path = {up, d->name, WEIR_PB_PATH_SINGLE, {NULL, 0}};
        enum weir_err err = WEIR_OK;
        if (w->log != NULL && f->support != WEIR_PB_REFUSED)
            note_marks(w, m, i, f, &path);
        if (f->support == WEIR_PB_REFUSED)
            err = refuse(w, type, i, f, &path);
        else if (f->support == WEIR_PB_IGNORED)
            weir_support_log_note(w->log, WEIR_SUPPORT_IGNORED, type, i, w->name, &path, weir_pb_note(f), true);
        else if (child != NULL)
            err = check_below_of(w, child, m, d, up, depth);
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

/* What a resource is called by: field 1, where that is a text. */
static const char *name_of(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *d = m->descriptor->n_fields > 0 ? &m->descriptor->fields[0] : NULL;
    if (d == NULL || d->id != 1 || d->type != PROTOBUF_C_TYPE_STRING || d->label == PROTOBUF_C_LABEL_REPEATED || !weir_pb_is_set(m, d))
        return "";
    return *(const char *const *)weir_pb_value(m, d, 0);
}

enum weir_err weir_support_check(const ProtobufCMessage *m, struct weir_support_log *log, struct weir_error *error)
{
    const struct weir_pb_message *facts = weir_pb_of(m->descriptor);
    if (facts == NULL)
        return weir_error_set(error, WEIR_ERR_UNSUPPORTED, "weir does not support %s", m->descriptor->name);
    struct support_walk w = {.log = log, .error = error, .name = name_of(m)};
    if (facts->flags & WEIR_PB_WORK_IN_PROGRESS)
        weir_support_log_note_message(log, m->descriptor);
    return check_message(&w, facts, m, NULL, 1);
}

void weir_support_print(FILE *out)
{
    static const char *const classes[] = {
        [WEIR_PB_REFUSED] = "refused", [WEIR_PB_IGNORED] = "ignored", [WEIR_PB_HONOURED] = "honoured"};
    for (size_t i = 0; i < weir_pb_count(); i++) {
        const struct weir_pb_message *m = weir_pb_at(i);
        if (m->kind == WEIR_PB_MAP_ENTRY)
            continue;
        for (unsigned k = 0; k < m->field_count; k++) {
            const struct weir_pb_field *f = weir_pb_field(m, k);
            const char *note = weir_pb_note(f);
            fprintf(out, "%s.%s  %s%s%s\n", weir_pb_descriptor(m)->name, weir_pb_descriptor(m)->fields[k].name,
                    classes[f->support], note[0] != '\0' ? ": " : "", note);
        }
    }
}
