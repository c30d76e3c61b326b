/* HttpConnectionManager → struct weir_hcm. Called through config/network_filters.c on the compile thread and by --mode
 * validate. */
#ifndef WEIR_CONFIG_COMPILE_HTTP_H
#define WEIR_CONFIG_COMPILE_HTTP_H

#include "dataplane/http/hcm.h"
#include "dataplane/transport/network_filter.h"

/* pb: HttpConnectionManager, validated. *out is a struct weir_hcm in c->arena. */
enum weir_err weir_hcm_compile(struct weir_compile *c, const ProtobufCMessage *pb, const struct weir_listener_facts *l,
                               const void **out) WEIR_MUST_USE;

/* config/compile_http_filters.c: HttpFilter messages to a chain. Terminal filters stand at the end, and only there. */
enum weir_err weir_hcm_chain_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                     struct weir_str stat_prefix, struct weir_hcm_chain *out) WEIR_MUST_USE;
/* config/compile_http_reply.c: LocalReplyConfig; NULL: none. */
enum weir_err weir_local_reply_compile(struct weir_compile *c, const void *pb, struct weir_reply_config *out) WEIR_MUST_USE;

#endif
