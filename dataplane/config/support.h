/* What weir does with each field of the API (api/support.txt): honoured, ignored with the reason that makes it harmless, or
 * refused by name. Checked on every decoded message before anything is compiled from it, so that no field is ever lost in
 * silence. */
#ifndef WEIR_CONFIG_SUPPORT_H
#define WEIR_CONFIG_SUPPORT_H

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "dataplane/base/error.h"

/* Which ignored fields were met. One for the process; thread-safe. */
struct weir_support_log;

/* Called at most once for each field of each message, from the thread that met it first. `field` is its full name
 * ("envoy.config.cluster.v3.Cluster.foo"), `path` where it stood then. */
typedef void (*weir_support_warn)(void *ctx, const char *field, const char *path, const char *reason);

struct weir_support_log *weir_support_log_create(weir_support_warn warn, void *ctx);
void weir_support_log_destroy(struct weir_support_log *log);
/* How often an ignored field was set, in all messages so far. */
uint64_t weir_support_log_count(const struct weir_support_log *log);
/* Every ignored field that was met, by full name and reason. */
void weir_support_log_each(const struct weir_support_log *log, void (*each)(void *ctx, const char *field, const char *reason),
                           void *ctx);

/* Refuses (WEIR_ERR_UNSUPPORTED, "FIELD PATH: weir does not support FIELD of MESSAGE") the first set field that is refused;
 * notes set fields that are ignored in `log` (may be NULL). Descends into messages but not into what an Any holds. */
enum weir_err weir_support_check(const ProtobufCMessage *m, struct weir_support_log *log, struct weir_error *error)
    WEIR_MUST_USE;

/* The whole table, one line a field: full name, class, reason. */
void weir_support_print(FILE *out);

#endif
