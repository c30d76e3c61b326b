/* Listener → struct weir_listener_config: address and socket options, listener filters, filter chains with their match, their
 * transport socket and their network filters. Called by the compile job. */
#include "dataplane/config/compile_listener.h"

#include "dataplane/base/map.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/config/compile_tls.h"
#include "dataplane/config/network_filters.h"
#include "dataplane/limits.h"
#include "dataplane/listener/chain_match.h"

#define LISTENER_FILTERS_TIMEOUT_MS_DEFAULT 15000u

enum weir_err weir_address_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_address *out)
{
    const pb_address *a = pb;
    if (a == NULL) return weir_reject(c, field, "an address is necessary");
    if (a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        if (weir_address_unix(weir_str_of(a->pipe->path), out)) return WEIR_OK;
        return weir_reject(c, field, "the path of a Unix socket holds at most 107 bytes");
    }
    if (a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        return weir_reject(c, field, "an address is necessary");
    const pb_socket_address *s = a->socket_address;
    if (s->protocol != ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__TCP) return weir_reject(c, field, "only TCP is supported");
    if (!weir_address_parse(weir_str_of(s->address), (uint16_t)s->port_value, out))
        return weir_reject(c, field, "malformed IP address: %.100s", s->address);
    return WEIR_OK;
}

static enum weir_err compile_socket_options(struct weir_compile *c, const pb_listener *pb, struct weir_listener_socket_options *o)
{
    struct weir_socket_option *at = weir_new(c, struct weir_socket_option, pb->n_socket_options + 1u);
    bool ip = weir_address_is_ip(&o->address), v6 = ip && o->address.any.sa_family == AF_INET6;
    o->extra = at;
    for (size_t i = 0; i < pb->n_socket_options; i++) {
        const pb_socket_option *p = pb->socket_options[i];
        size_t mark = weir_path_push(c, "socket_options", (int)i);
        if (p->level != (int)p->level) return weir_reject(c, "level", "a socket option's level is a 32-bit number");
        if (p->name != (int)p->name) return weir_reject(c, "name", "a socket option's name is a 32-bit number");
        weir_path_pop(c, mark);
        /* An option for another kind of socket than this one is not for it. */
        if (p->type != NULL && p->type->datagram != NULL && p->type->stream == NULL) continue;
        if (p->ip_version == ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__SOCKET_IP_VERSION__SOCKET_IP_VERSION_IPV4 && (!ip || v6)) continue;
        if (p->ip_version == ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__SOCKET_IP_VERSION__SOCKET_IP_VERSION_IPV6 && !v6) continue;
        int value = (int)p->int_value; /* as Envoy: what the kernel takes is an int */
        struct weir_str bytes = {(const char *)p->buf_value.data, p->buf_value.len};
        if (p->value_case != ENVOY__CONFIG__CORE__V3__SOCKET_OPTION__VALUE_BUF_VALUE) bytes = (struct weir_str){(const char *)&value, sizeof(value)};
        at[o->extra_count++] = (struct weir_socket_option){(int)p->level, (int)p->name, (enum weir_socket_moment)p->state, weir_arena_str(c->arena, bytes)};
    }
    return WEIR_OK;
}

static enum weir_err compile_socket(struct weir_compile *c, const pb_listener *pb, struct weir_listener_config *out)
{
    struct weir_listener_socket_options *o = &out->socket;
    if (pb->address == NULL) return weir_reject(c, "address", "address is necessary");
    enum weir_err err = weir_address_compile(c, "address", pb->address, &o->address);
    if (err != WEIR_OK) return err;
    const pb_address *a = pb->address;
    if (a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE)
        o->unix_mode = a->pipe->mode;
    else
        o->ipv4_compat = a->socket_address->ipv4_compat;
    o->backlog = pb->tcp_backlog_size != NULL ? pb->tcp_backlog_size->value : 0;
    o->bind_to_port = (pb->bind_to_port == NULL || pb->bind_to_port->value) &&
                      (pb->deprecated_v1 == NULL || pb->deprecated_v1->bind_to_port == NULL || pb->deprecated_v1->bind_to_port->value);
    o->reuse_port = pb->enable_reuse_port == NULL || pb->enable_reuse_port->value;
    o->freebind = pb->freebind != NULL && pb->freebind->value;
    o->transparent = pb->transparent != NULL && pb->transparent->value;
    o->fast_open_queue = pb->tcp_fast_open_queue_length != NULL ? (int)(pb->tcp_fast_open_queue_length->value & INT32_MAX) : -1;
    if (pb->tcp_keepalive != NULL) {
        o->keepalive = true;
        o->keepalive_probes = pb->tcp_keepalive->keepalive_probes != NULL ? pb->tcp_keepalive->keepalive_probes->value : 0;
        o->keepalive_time_s = pb->tcp_keepalive->keepalive_time != NULL ? pb->tcp_keepalive->keepalive_time->value : 0;
        o->keepalive_interval_s = pb->tcp_keepalive->keepalive_interval != NULL ? pb->tcp_keepalive->keepalive_interval->value : 0;
    }
    return compile_socket_options(c, pb, o);
}

/* "listener.127.0.0.1_80." */
static void name_stats(struct weir_compile *c, const pb_listener *pb, struct weir_listener_config *out)
{
    char text[WEIR_ADDRESS_TEXT_MAX];
    struct weir_str what = weir_str_of(pb->stat_prefix);
    if (what.n == 0) {
        what = (struct weir_str){text, weir_address_print(&out->socket.address, text)};
        for (size_t i = 0; i < what.n; i++)
            if (text[i] == ':') text[i] = '_';
    }
    out->stat_prefix = weir_arena_printf(c->arena, "listener.%.*s.", WEIR_STR_ARG(what));
}

static void release_stats(void *s)
{
    weir_stats_release(s);
}

static void register_stats(struct weir_compile *c, struct weir_listener_config *out)
{
    if (c->stats == NULL) return;
    out->stats = weir_stats_acquire(c->stats, out->stat_prefix, weir_listener_stat_descs, WEIR_LS_COUNT);
    weir_arena_on_destroy(c->arena, release_stats, out->stats);
    out->worker_stats = weir_new(c, struct weir_stats *, c->worker_count + 1u);
    for (uint32_t i = 0; i < c->worker_count; i++) {
        struct weir_str prefix = weir_arena_printf(c->scratch, "%.*sworker_%u.", WEIR_STR_ARG(out->stat_prefix), i);
        out->worker_stats[i] = weir_stats_acquire(c->stats, prefix, weir_listener_worker_stat_descs, WEIR_LWS_COUNT);
        weir_arena_on_destroy(c->arena, release_stats, out->worker_stats[i]);
    }
}

static enum weir_err compile_listener_filters(struct weir_compile *c, const pb_listener *pb, struct weir_listener_config *out)
{
    for (size_t i = 0; i < pb->n_listener_filters; i++) {
        size_t mark = weir_path_push(c, "listener_filters", (int)i);
        const ProtobufCMessage *m = NULL;
        struct weir_port_set off = {0};
        enum weir_err err = weir_compile_any(c, "typed_config", pb->listener_filters[i]->typed_config, &m);
        if (err == WEIR_OK) err = weir_port_set_compile(c, "filter_disabled", pb->listener_filters[i]->filter_disabled, &off);
        if (err != WEIR_OK) return err;
        if (m->descriptor == &pb_tls_inspector_type) {
            out->inspect_tls = true;
            out->tls_off = off;
        } else if (m->descriptor == &pb_http_inspector_type) {
            out->inspect_http = true;
            out->http_off = off;
        } else if (m->descriptor == &pb_proxy_protocol_filter_type) {
            const pb_proxy_protocol_filter *p = (const pb_proxy_protocol_filter *)(const void *)m;
            out->proxy_protocol = true;
            out->proxy_off = off;
            out->proxy_protocol_optional = p->allow_requests_without_proxy_protocol;
        } else if (m->descriptor == &pb_original_dst_filter_type) {
            out->original_dst = true;
            out->original_dst_off = off;
        } else {
            return weir_reject(c, "typed_config", "Didn't find a registered implementation for '%.100s' with type URL: '%s'",
                               pb->listener_filters[i]->name, m->descriptor->name);
        }
        weir_path_pop(c, mark);
    }
    return WEIR_OK;
}

static enum weir_err compile_cidrs(struct weir_compile *c, const char *field, size_t count, pb_cidr_range **pb, const struct weir_cidr **out,
                                   uint32_t *out_count)
{
    struct weir_cidr *at = WEIR_NEW(c->scratch, struct weir_cidr, count + 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = pb[i]->prefix_len != NULL ? pb[i]->prefix_len->value : 0;
        if (weir_cidr_make(weir_str_of(pb[i]->address_prefix), bits, &at[i])) continue;
        return weir_reject(c, field, "invalid ip/mask combo '%.100s/%u' (format is <ip>/<# mask bits>)", pb[i]->address_prefix, bits);
    }
    *out = at;
    *out_count = (uint32_t)count;
    return WEIR_OK;
}

static struct weir_str *strings(struct weir_arena *a, size_t count, char **pb)
{
    struct weir_str *at = WEIR_NEW(a, struct weir_str, count + 1);
    for (size_t i = 0; i < count; i++)
        at[i] = weir_str_of(pb[i]);
    return at;
}

static enum weir_err compile_server_names(struct weir_compile *c, const pb_filter_chain_match *pb, struct weir_chain_rule *out)
{
    struct weir_str *names = strings(c->scratch, pb->n_server_names, pb->server_names);
    for (size_t i = 0; i < pb->n_server_names; i++) {
        struct weir_str *s = &names[i];
        bool suffix = s->n > 2 && s->p[0] == '*' && s->p[1] == '.';
        struct weir_str rest = {s->p + suffix, s->n - suffix};
        if (weir_str_find(rest, '*') != rest.n)
            return weir_reject(c, "server_names", "partial wildcards are not supported in \"server_names\"");
        if (s->n == 0 || s->p[0] == '.') return weir_reject(c, "server_names", "'%.*s' is no server name", WEIR_STR_ARG(*s));
        struct weir_str lower = weir_arena_str(c->scratch, *s);
        for (size_t k = 0; k < lower.n; k++)
            ((char *)(uintptr_t)lower.p)[k] = weir_lower(lower.p[k]);
        *s = lower;
    }
    out->server_names = names;
    out->server_name_count = (uint32_t)pb->n_server_names;
    return WEIR_OK;
}

static enum weir_err compile_rule(struct weir_compile *c, const pb_filter_chain_match *pb, struct weir_chain_rule *out)
{
    *out = (struct weir_chain_rule){0};
    if (pb == NULL) return WEIR_OK;
    out->destination_port = pb->destination_port != NULL ? (uint16_t)pb->destination_port->value : 0;
    enum weir_err err = compile_cidrs(c, "prefix_ranges", pb->n_prefix_ranges, pb->prefix_ranges, &out->destinations, &out->destination_count);
    if (err == WEIR_OK)
        err = compile_cidrs(c, "direct_source_prefix_ranges", pb->n_direct_source_prefix_ranges, pb->direct_source_prefix_ranges, &out->directs,
                            &out->direct_count);
    if (err == WEIR_OK)
        err = compile_cidrs(c, "source_prefix_ranges", pb->n_source_prefix_ranges, pb->source_prefix_ranges, &out->sources, &out->source_count);
    if (err == WEIR_OK) err = compile_server_names(c, pb, out);
    if (err != WEIR_OK) return err;
    out->transport_protocol = weir_str_of(pb->transport_protocol);
    out->application_protocols = strings(c->scratch, pb->n_application_protocols, pb->application_protocols);
    out->application_protocol_count = (uint32_t)pb->n_application_protocols;
    out->source_type = pb->source_type == ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__SAME_IP_OR_LOOPBACK
                           ? WEIR_SOURCE_SAME_IP_OR_LOOPBACK
                       : pb->source_type == ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__EXTERNAL ? WEIR_SOURCE_EXTERNAL
                                                                                                                              : WEIR_SOURCE_ANY;
    uint16_t *ports = WEIR_NEW(c->scratch, uint16_t, pb->n_source_ports + 1);
    for (size_t i = 0; i < pb->n_source_ports; i++)
        ports[i] = (uint16_t)pb->source_ports[i];
    out->source_ports = ports;
    out->source_port_count = (uint32_t)pb->n_source_ports;
    return WEIR_OK;
}

static enum weir_err compile_filters(struct weir_compile *c, const pb_filter_chain *pb, const struct weir_listener_facts *facts,
                                     struct weir_chain_config *out)
{
    if (pb->n_filters == 0) return weir_reject(c, "filters", "a filter chain needs a network filter at its end");
    if (pb->n_filters > WEIR_FILTERS_MAX) return weir_reject(c, "filters", "at most %u filters", WEIR_FILTERS_MAX);
    struct weir_network_filter_use *uses = weir_new(c, struct weir_network_filter_use, pb->n_filters);
    out->filters = uses;
    out->filter_count = (uint32_t)pb->n_filters;
    for (size_t i = 0; i < pb->n_filters; i++) {
        const pb_network_filter *f = pb->filters[i];
        const ProtobufCMessage *m = NULL;
        size_t mark = weir_path_push(c, "filters", (int)i);
        if (f->typed_config == NULL) return weir_reject(c, "typed_config", "value is required");
        enum weir_err err = weir_compile_any(c, "typed_config", f->typed_config, &m);
        if (err != WEIR_OK) return err;
        const struct weir_network_filter_entry *e = weir_network_filter_of_type(m->descriptor);
        if (e == NULL)
            return weir_reject(c, "typed_config", "Didn't find a registered implementation for '%.100s' with type URL: '%s'", f->name,
                               m->descriptor->name);
        if (e->filter->terminal != (i + 1 == pb->n_filters))
            return weir_reject(c, NULL,
                               e->filter->terminal ? "terminal filter named %.100s of type %s must be the last filter in a network filter chain."
                                                   : "non-terminal filter named %.100s of type %s is the last filter in a network filter chain.",
                               f->name, e->filter->name);
        size_t inner = weir_path_push(c, "typed_config", -1);
        uses[i] = (struct weir_network_filter_use){.filter = e->filter, .name = weir_compile_str(c, f->name)};
        err = e->compile(c, m, facts, &uses[i].config);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, inner);
        weir_path_pop(c, mark);
        out->state_bytes += (e->filter->state_size + 15u) & ~(size_t)15u;
    }
    return WEIR_OK;
}

static uint64_t message_hash(struct weir_compile *c, const ProtobufCMessage *m)
{
    if (m == NULL) return 0;
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = WEIR_NEW(c->scratch, uint8_t, n + 1);
    (void)protobuf_c_message_pack(m, p);
    return weir_hash((struct weir_str){(const char *)p, n});
}

/* Name, or else the match; the transport socket; the kinds of filters. */
static struct weir_str identity_of(struct weir_compile *c, const pb_filter_chain *pb, const struct weir_chain_config *chain, bool is_default)
{
    struct weir_str kinds = WEIR_STR("");
    for (uint32_t i = 0; i < chain->filter_count; i++)
        kinds = weir_arena_printf(c->scratch, "%.*s/%s", WEIR_STR_ARG(kinds), chain->filters[i].filter->name);
    uint64_t match = chain->name.n == 0 && pb->filter_chain_match != NULL ? message_hash(c, &pb->filter_chain_match->base) : 0;
    uint64_t socket = pb->transport_socket != NULL ? message_hash(c, &pb->transport_socket->base) : 0;
    return weir_arena_printf(c->arena, "%s%.*s/%llx/%llx%.*s", is_default ? "default/" : "", WEIR_STR_ARG(chain->name), (unsigned long long)match,
                             (unsigned long long)socket, WEIR_STR_ARG(kinds));
}

static enum weir_err compile_chain(struct weir_compile *c, const pb_listener *listener, const pb_filter_chain *pb, bool is_default,
                                   struct weir_listener_config *l, struct weir_chain_config *out)
{
    out->name = weir_compile_str(c, pb->name);
    out->transport_socket_connect_timeout_ms = weir_duration_ms(pb->transport_socket_connect_timeout, 0);
    enum weir_err err = weir_tls_server_compile(c, "transport_socket", pb->transport_socket, l->stat_prefix, &out->tls);
    if (err != WEIR_OK) return err;
    struct weir_listener_facts facts = {.name = l->resource.name,
                                        .stat_prefix = l->stat_prefix,
                                        .chain_name = out->name,
                                        .buffer_limit_bytes = l->buffer_limit_bytes,
                                        .traffic_direction = (uint32_t)listener->traffic_direction,
                                        .tls = out->tls != NULL};
    err = compile_filters(c, pb, &facts, out);
    if (err == WEIR_OK) out->identity = identity_of(c, pb, out, is_default);
    return err;
}

static enum weir_err add_match(struct weir_compile *c, const pb_filter_chain *pb, struct weir_listener_config *l, struct weir_chain_match *match,
                               const struct weir_chain_config *chains, uint32_t index)
{
    struct weir_chain_rule rule;
    uint32_t other = 0;
    size_t mark = weir_path_push(c, "filter_chain_match", -1);
    enum weir_err err = compile_rule(c, pb->filter_chain_match, &rule);
    if (err != WEIR_OK) return err;
    weir_path_pop(c, mark);
    /* What a chain asks of the hello must be looked at: Envoy adds its inspector in the same cases. */
    if (weir_str_eq(rule.transport_protocol, WEIR_STR("tls")) ||
        (rule.transport_protocol.n == 0 && (rule.server_name_count != 0 || rule.application_protocol_count != 0)))
        l->inspect_tls = true;
    err = weir_chain_match_add(match, &rule, index, &other);
    if (err == WEIR_ERR_EXISTS)
        return weir_reject(c, NULL, "filter chain '%.*s' has the same matching rules defined as '%.*s'", WEIR_STR_ARG(chains[index].name),
                           WEIR_STR_ARG(chains[other].name));
    if (err != WEIR_OK) return weir_reject(c, "filter_chain_match", "the combinations of all matches are more than %u", WEIR_CHAIN_MATCH_NODES_MAX);
    return WEIR_OK;
}

static enum weir_err compile_chains(struct weir_compile *c, const pb_listener *pb, struct weir_listener_config *out)
{
    out->has_default = pb->default_filter_chain != NULL;
    out->chain_count = (uint32_t)pb->n_filter_chains + out->has_default;
    if (out->chain_count == 0) return weir_reject(c, "filter_chains", "no filter chains specified");
    struct weir_chain_config *chains = weir_new(c, struct weir_chain_config, out->chain_count);
    struct weir_chain_match *match = weir_chain_match_create(c->arena);
    out->chains = chains;
    out->match = match;
    for (uint32_t i = 0; i < out->chain_count; i++) {
        bool is_default = i == pb->n_filter_chains;
        const pb_filter_chain *chain = is_default ? pb->default_filter_chain : pb->filter_chains[i];
        size_t mark = is_default ? weir_path_push(c, "default_filter_chain", -1) : weir_path_push(c, "filter_chains", (int)i);
        enum weir_err err = compile_chain(c, pb, chain, is_default, out, &chains[i]);
        if (err == WEIR_OK && !is_default) err = add_match(c, chain, out, match, chains, i);
        if (err != WEIR_OK) return err;
        weir_path_pop(c, mark);
    }
    return WEIR_OK;
}

static enum weir_err compile(struct weir_compile *c, const pb_listener *pb, struct weir_listener_config *out)
{
    out->buffer_limit_bytes =
        pb->per_connection_buffer_limit_bytes != NULL ? pb->per_connection_buffer_limit_bytes->value : WEIR_BUFFER_LIMIT_DEFAULT;
    out->traffic_direction = (uint32_t)pb->traffic_direction;
    out->outbound = pb->traffic_direction == ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND;
    out->accepts_per_event = pb->max_connections_to_accept_per_socket_event != NULL ? pb->max_connections_to_accept_per_socket_event->value
                                                                                    : WEIR_ACCEPTS_PER_TURN;
    if (out->accepts_per_event > WEIR_ACCEPTS_PER_TURN) out->accepts_per_event = WEIR_ACCEPTS_PER_TURN;
    out->listener_filters_timeout_ms = weir_duration_ms(pb->listener_filters_timeout, LISTENER_FILTERS_TIMEOUT_MS_DEFAULT);
    out->continue_on_listener_filters_timeout = pb->continue_on_listener_filters_timeout;
    out->use_original_dst = out->original_dst = pb->use_original_dst != NULL && pb->use_original_dst->value;
    enum weir_err err = compile_socket(c, pb, out);
    if (err != WEIR_OK) return err;
    name_stats(c, pb, out);
    err = compile_listener_filters(c, pb, out);
    if (err == WEIR_OK) err = compile_chains(c, pb, out);
    if (err == WEIR_OK) register_stats(c, out);
    return err;
}

enum weir_err weir_listener_compile(struct weir_compile *c, struct weir_str name, const ProtobufCMessage *pb, struct weir_listener_config **out)
{
    const pb_listener *l = (const pb_listener *)(const void *)pb;
    struct weir_arena *arena = c->arena;
    struct weir_resource *resource = c->resource;
    if (l->name[0] != 0) name = weir_str_of(l->name);
    struct weir_listener_config *made = weir_resource_create(sizeof(*made), name);
    c->arena = &made->resource.arena;
    c->resource = &made->resource;
    enum weir_err err = compile(c, l, made);
    c->arena = arena;
    c->resource = resource;
    if (err != WEIR_OK) {
        weir_resource_release(&made->resource);
        return err;
    }
    *out = made;
    return WEIR_OK;
}
