/* Listeners from their message: called on the compile thread and by --mode validate. */
#ifndef WEIR_CONFIG_COMPILE_LISTENER_H
#define WEIR_CONFIG_COMPILE_LISTENER_H

#include "dataplane/base/compile.h"
#include "dataplane/listener/config.h"
#include "dataplane/listener/port_set.h"

/* pb: config.listener.v3.Listener, validated; `name` replaces an empty one. The resource is created here (c->arena and
 * c->resource are set to it during the call and restored); on success *out has one reference, on failure nothing is left. */
enum weir_err weir_listener_compile(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *pb,
                                    struct weir_listener_config **out) WEIR_MUST_USE;

/* predicate: ListenerFilterChainMatchPredicate; NULL: *out is left alone (config/compile_port_set.c). */
enum weir_err weir_port_set_compile(struct weir_compile *c, const char *field, const void *predicate, struct weir_port_set *out) WEIR_MUST_USE;
/* core.v3.Address to a socket address; rejects names that are not numeric. NULL pb: rejected. */
enum weir_err weir_address_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_address *out) WEIR_MUST_USE;

#endif
