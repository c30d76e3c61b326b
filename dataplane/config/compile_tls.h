/* TLS contexts from their messages. */
#ifndef WEIR_CONFIG_COMPILE_TLS_H
#define WEIR_CONFIG_COMPILE_TLS_H

#include "dataplane/base/compile.h"
#include "dataplane/base/data_source.h"
#include "dataplane/transport/tls.h"

/* core.v3.TransportSocket of a filter chain or of a cluster. *out is NULL for none and for raw_buffer; other kinds are
 * refused. The context's reference is the arena's: released when c->arena ends. stat_prefix: "listener.ADDR." or
 * "cluster.NAME.". */
enum weir_err weir_tls_server_compile(struct weir_compile *c, const char *field, const void *transport_socket, struct weir_str stat_prefix,
                                      const struct weir_tls_server **out) WEIR_MUST_USE;
/* `default_alpn`: what HTTP clusters offer where the context names nothing; wire format, may be empty. */
enum weir_err weir_tls_client_compile(struct weir_compile *c, const char *field, const void *transport_socket, struct weir_str stat_prefix,
                                      struct weir_str default_alpn, const struct weir_tls_client **out) WEIR_MUST_USE;

/* match_typed_subject_alt_names of a CertificateValidationContext, into the arena. */
enum weir_err weir_tls_sans_compile(struct weir_compile *c, const void *validation_context, const struct weir_san_match **out,
                                    uint32_t *count) WEIR_MUST_USE;

#endif
