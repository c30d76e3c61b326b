/* Filters of access logs: which streams are logged. */
#ifndef WEIR_OBSERVE_ACCESS_LOG_FILTER_H
#define WEIR_OBSERVE_ACCESS_LOG_FILTER_H

#include "dataplane/base/compile.h"
#include "dataplane/base/request.h"
#include "dataplane/base/runtime.h"

struct weir_access_log_filter;

/* pb: config.accesslog.v3.AccessLogFilter. The path names the field already. */
enum weir_err weir_access_log_filter_compile(struct weir_compile *c, const void *pb, const struct weir_access_log_filter **out)
    WEIR_MUST_USE;
bool weir_access_log_filter_pass(const struct weir_access_log_filter *f, const struct weir_request *r,
                                 const struct weir_runtime *runtime);

#endif
