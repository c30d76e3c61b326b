/* What weir does with each field of the API (api/support.txt): honoured, ignored with the reason that makes it harmless, or
 * refused by name. Checked on every decoded message before anything is compiled from it, so that no field is ever lost in
 * silence. */
#ifndef WEIR_CONFIG_SUPPORT_H
#define WEIR_CONFIG_SUPPORT_H

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "dataplane/base/error.h"

/* What configuration used that deserves a word: ignored, deprecated and unfinished fields, and fields that weir does not know.
 * One for the process; thread-safe. */
struct weir_support_log;

enum weir_support_kind {
    WEIR_SUPPORT_IGNORED,
    WEIR_SUPPORT_DEPRECATED,       /* of the API; still does what it did */
    WEIR_SUPPORT_WORK_IN_PROGRESS, /* of the API */
    WEIR_SUPPORT_DYNAMIC_UNKNOWN,  /* by xDS */
    WEIR_SUPPORT_STATIC_UNKNOWN,   /* in the bootstrap, with --allow-unknown-static-fields */
    WEIR_SUPPORT_KINDS,
};
struct weir_support_note {
    enum weir_support_kind kind;
    const char *field;  /* full name ("envoy.config.cluster.v3.Cluster.foo"); of unknown fields their message's */
    const char *message; /* name of the message that was checked (a resource's), "" where it has none */
    const char *path;   /* where it stood; "" where that is not known */
    const char *detail; /* why it is harmless; the value of an enum; numbers or names of unknown fields; "" for none */
};
/* From the thread that met it. An ignored field is told once in the life of the process; a deprecated or unfinished one once for
 * each message that is checked (a resource, or what an Any in it holds), at most WEIR_SUPPORT_NOTES_MAX times; unknown fields once
 * for each type and set of numbers. */
typedef void (*weir_support_tell)(void *ctx, const struct weir_support_note *n);

/* What becomes of unknown fields that come by xDS: --reject-unknown-dynamic-fields, --ignore-unknown-dynamic-fields. */
enum weir_unknown_policy { WEIR_UNKNOWN_TELL, WEIR_UNKNOWN_IGNORE, WEIR_UNKNOWN_REJECT };

struct weir_support_log *weir_support_log_create(weir_support_tell tell, void *ctx, enum weir_unknown_policy unknown);
void weir_support_log_destroy(struct weir_support_log *log);
/* How often, in all messages so far: each use of an ignored, deprecated or unfinished field; each kind of unknown one. */
uint64_t weir_support_log_count(const struct weir_support_log *log, enum weir_support_kind kind);
/* A field of the bootstrap that weir does not know: `name` in the message `type`. */
void weir_support_note_static_unknown(struct weir_support_log *log, const char *type, const char *path, const char *name);
struct weir_wire_report;
/* Unknown fields that the wire check met: told, or refused (WEIR_ERR_INVALID), as the log's policy says. log may be NULL. */
enum weir_err weir_support_check_unknown(struct weir_support_log *log, const struct weir_wire_report *report, struct weir_error *error)
    WEIR_MUST_USE;
/* Every ignored field that was met, by full name and reason. */
void weir_support_log_each(const struct weir_support_log *log, void (*each)(void *ctx, const char *field, const char *reason),
                           void *ctx);

/* Refuses (WEIR_ERR_UNSUPPORTED, "FIELD PATH: weir does not support FIELD of MESSAGE") the first set field that is refused;
 * notes set fields that are ignored, deprecated or unfinished in `log` (may be NULL). Descends into messages but not into what an
 * Any holds; of a bootstrap's static resources nothing is noted, since each is checked again as a resource. */
enum weir_err weir_support_check(const ProtobufCMessage *m, struct weir_support_log *log, struct weir_error *error)
    WEIR_MUST_USE;

/* The whole table, one line a field: full name, class, reason. */
void weir_support_print(FILE *out);

#endif
