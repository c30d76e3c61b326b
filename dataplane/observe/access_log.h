/* Access logs (config.accesslog.v3.AccessLog): a filter, a format and a sink each. Compiled with the listener or the HTTP
 * connection manager that names them, written once by its worker when a stream or connection ends. */
#ifndef WEIR_OBSERVE_ACCESS_LOG_H
#define WEIR_OBSERVE_ACCESS_LOG_H

#include "dataplane/base/compile.h"
#include "dataplane/base/request.h"
#include "dataplane/base/runtime.h"

struct weir_access_log;
/* Zeroed: none. Immutable, in the arena it was compiled into, which holds the sinks' references. */
struct weir_access_logs {
    uint32_t count;
    const struct weir_access_log *at;
};

/* pb: AccessLog messages. Files are opened here (c->log_sinks; NULL: nothing is opened or written). */
enum weir_err weir_access_logs_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                       struct weir_access_logs *out) WEIR_MUST_USE;
/* On worker `worker`. r->arena is used for the line; r->end_ns is set. `runtime` may be NULL. %LOCAL_REPLY_BODY% is empty in
 * logs, as it is in Envoy's: only local replies know it. */
void weir_access_logs_write(const struct weir_access_logs *logs, const struct weir_request *r, const struct weir_runtime *runtime,
                            uint32_t worker);

#endif
