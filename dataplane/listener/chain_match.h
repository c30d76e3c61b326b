/* Which filter chain a connection gets: config.listener.v3.FilterChainMatch, indexed. The criteria are asked one after the other,
 * and at each the most specific value that fits decides, without going back (as Envoy does): destination port, destination
 * address, server name, transport protocol, application protocols, directly connected address, source type, source address,
 * source port. Built by config/compile_listener.c, asked by the workers. */
#ifndef WEIR_LISTENER_CHAIN_MATCH_H
#define WEIR_LISTENER_CHAIN_MATCH_H

#include "dataplane/base/address.h"
#include "dataplane/base/arena.h"

#define WEIR_CHAIN_NONE UINT32_MAX

enum weir_source_type { WEIR_SOURCE_ANY, WEIR_SOURCE_SAME_IP_OR_LOOPBACK, WEIR_SOURCE_EXTERNAL };
struct weir_chain_rule {
    uint16_t destination_port; /* 0: any */
    uint32_t destination_count, direct_count, source_count;
    const struct weir_cidr *destinations, *directs, *sources;
    uint32_t server_name_count, application_protocol_count, source_port_count;
    const struct weir_str *server_names; /* lower case; "*.example.com" for a suffix */
    struct weir_str transport_protocol;  /* "tls", "raw_buffer"; empty: any */
    const struct weir_str *application_protocols;
    enum weir_source_type source_type;
    const uint16_t *source_ports;
};
struct weir_chain_input {
    const struct weir_address *local, *direct_remote, *remote;
    struct weir_str server_name; /* lower case */
    struct weir_str transport_protocol;
    struct weir_str alpn; /* wire format */
};

struct weir_chain_match;
struct weir_chain_match *weir_chain_match_create(struct weir_arena *a);
/* Strings and numbers are copied. WEIR_ERR_EXISTS: *other has the same rule in one of its combinations. WEIR_ERR_LIMIT: more
 * than WEIR_CHAIN_MATCH_NODES_MAX. */
enum weir_err weir_chain_match_add(struct weir_chain_match *m, const struct weir_chain_rule *rule, uint32_t chain, uint32_t *other)
    WEIR_MUST_USE;
/* WEIR_CHAIN_NONE: no chain (the default filter chain is the caller's). */
uint32_t weir_chain_match_find(const struct weir_chain_match *m, const struct weir_chain_input *in);

#endif
