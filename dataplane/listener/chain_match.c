/* A tree with one level for each criterion. A node has children by value and one for `any`; a chain that names several values
 * stands under each. Addresses are kept by prefix length, so that the longest one is found with one look-up for each length
 * that occurs. Immutable once built: workers share it. */
#include "dataplane/listener/chain_match.h"

#include "dataplane/base/map.h"
#include "dataplane/limits.h"
#include "dataplane/transport/hello.h"

enum level {
    DESTINATION_PORT,
    DESTINATION,
    SERVER_NAME,
    TRANSPORT_PROTOCOL,
    APPLICATION_PROTOCOL,
    DIRECT_SOURCE,
    SOURCE_TYPE,
    SOURCE,
    SOURCE_PORT,
    LEVELS,
};

struct node {
    void *any;          /* the next level's node; on the last level a leaf */
    struct weir_map by; /* value → the same */
    uint64_t lengths_v4, lengths_v6[3]; /* address levels: a bit for each prefix length that occurs */
};
struct leaf {
    uint32_t chain;
};
struct weir_chain_match {
    struct weir_arena *arena;
    struct node *root;
    uint32_t nodes;
};

/* Keys of address levels: family, bits, masked bytes. */
#define CIDR_KEY_BYTES 18
static struct weir_str cidr_key(bool v6, uint8_t bits, const uint8_t *bytes, char out[CIDR_KEY_BYTES])
{
    memset(out, 0, CIDR_KEY_BYTES);
    out[0] = v6 ? 6 : 4;
    out[1] = (char)bits;
    memcpy(out + 2, bytes, (bits + 7u) / 8u);
    if (bits % 8 != 0) out[2 + bits / 8] = (char)(out[2 + bits / 8] & (char)(0xff00u >> (bits % 8)));
    return (struct weir_str){out, CIDR_KEY_BYTES};
}

static struct weir_str port_key(uint16_t port, char out[2])
{
    out[0] = (char)(port >> 8);
    out[1] = (char)port;
    return (struct weir_str){out, 2};
}

static void map_deinit(void *map)
{
    weir_map_deinit(map);
}

static struct node *node_new(struct weir_chain_match *m)
{
    m->nodes++;
    return WEIR_NEW(m->arena, struct node, 1);
}

struct weir_chain_match *weir_chain_match_create(struct weir_arena *a)
{
    struct weir_chain_match *m = WEIR_NEW(a, struct weir_chain_match, 1);
    m->arena = a;
    m->root = node_new(m);
    return m;
}

static enum weir_err add_below(struct weir_chain_match *m, struct node *n, enum level level, const struct weir_chain_rule *r, uint32_t chain,
                               uint32_t *other);

/* Goes down by one value (p NULL: any). */
static enum weir_err add_value(struct weir_chain_match *m, struct node *n, enum level level, struct weir_str value,
                               const struct weir_chain_rule *r, uint32_t chain, uint32_t *other)
{
    void *child = value.p == NULL ? n->any : weir_map_get(&n->by, value);
    if (level == SOURCE_PORT && child != NULL) {
        *other = ((struct leaf *)child)->chain;
        return WEIR_ERR_EXISTS;
    }
    if (child == NULL) {
        if (m->nodes >= WEIR_CHAIN_MATCH_NODES_MAX) return WEIR_ERR_LIMIT;
        if (level == SOURCE_PORT) {
            struct leaf *leaf = WEIR_NEW(m->arena, struct leaf, 1);
            leaf->chain = chain;
            m->nodes++;
            child = leaf;
        } else {
            child = node_new(m);
        }
        if (value.p == NULL) {
            n->any = child;
        } else {
            if (n->by.count == 0) weir_arena_on_destroy(m->arena, map_deinit, &n->by);
            weir_map_set(&n->by, weir_arena_str(m->arena, value), child);
        }
    }
    return level == SOURCE_PORT ? WEIR_OK : add_below(m, child, level + 1, r, chain, other);
}

static enum weir_err add_cidrs(struct weir_chain_match *m, struct node *n, enum level level, const struct weir_cidr *at, uint32_t count,
                               const struct weir_chain_rule *r, uint32_t chain, uint32_t *other)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[CIDR_KEY_BYTES];
        if (at[i].v6)
            n->lengths_v6[at[i].bits / 64] |= (uint64_t)1 << (at[i].bits % 64);
        else
            n->lengths_v4 |= (uint64_t)1 << at[i].bits;
        enum weir_err err = add_value(m, n, level, cidr_key(at[i].v6, at[i].bits, at[i].bytes, key), r, chain, other);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err add_strings(struct weir_chain_match *m, struct node *n, enum level level, const struct weir_str *at, uint32_t count,
                                 const struct weir_chain_rule *r, uint32_t chain, uint32_t *other)
{
    for (uint32_t i = 0; i < count; i++) {
        struct weir_str s = at[i];
        if (level == SERVER_NAME && s.n > 1 && s.p[0] == '*') s = (struct weir_str){s.p + 1, s.n - 1};
        enum weir_err err = add_value(m, n, level, s, r, chain, other);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err add_ports(struct weir_chain_match *m, struct node *n, enum level level, const uint16_t *at, uint32_t count,
                               const struct weir_chain_rule *r, uint32_t chain, uint32_t *other)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[2];
        enum weir_err err = add_value(m, n, level, port_key(at[i], key), r, chain, other);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err add_below(struct weir_chain_match *m, struct node *n, enum level level, const struct weir_chain_rule *r, uint32_t chain,
                               uint32_t *other)
{
    static const struct weir_str any, same = WEIR_STR_INIT("same"), external = WEIR_STR_INIT("external");
    switch (level) {
    case DESTINATION_PORT:
        if (r->destination_port != 0) return add_ports(m, n, level, &r->destination_port, 1, r, chain, other);
        break;
    case DESTINATION:
        if (r->destination_count != 0) return add_cidrs(m, n, level, r->destinations, r->destination_count, r, chain, other);
        break;
    case SERVER_NAME:
        if (r->server_name_count != 0) return add_strings(m, n, level, r->server_names, r->server_name_count, r, chain, other);
        break;
    case TRANSPORT_PROTOCOL:
        if (r->transport_protocol.n != 0) return add_value(m, n, level, r->transport_protocol, r, chain, other);
        break;
    case APPLICATION_PROTOCOL:
        if (r->application_protocol_count != 0)
            return add_strings(m, n, level, r->application_protocols, r->application_protocol_count, r, chain, other);
        break;
    case DIRECT_SOURCE:
        if (r->direct_count != 0) return add_cidrs(m, n, level, r->directs, r->direct_count, r, chain, other);
        break;
    case SOURCE_TYPE:
        if (r->source_type == WEIR_SOURCE_SAME_IP_OR_LOOPBACK) return add_value(m, n, level, same, r, chain, other);
        if (r->source_type == WEIR_SOURCE_EXTERNAL) return add_value(m, n, level, external, r, chain, other);
        break;
    case SOURCE:
        if (r->source_count != 0) return add_cidrs(m, n, level, r->sources, r->source_count, r, chain, other);
        break;
    default:
        if (r->source_port_count != 0) return add_ports(m, n, level, r->source_ports, r->source_port_count, r, chain, other);
    }
    return add_value(m, n, level, any, r, chain, other);
}

enum weir_err weir_chain_match_add(struct weir_chain_match *m, const struct weir_chain_rule *rule, uint32_t chain, uint32_t *other)
{
    return add_below(m, m->root, DESTINATION_PORT, rule, chain, other);
}

/* The bytes of an address as prefixes see them: IPv4 mapped into IPv6 is IPv4. Unix sockets count as 255.255.255.255. */
static const uint8_t *address_bytes(const struct weir_address *a, bool *v6)
{
    static const uint8_t none[4] = {255, 255, 255, 255};
    *v6 = false;
    if (a->length == 0 || !weir_address_is_ip(a)) return none;
    if (a->any.sa_family == AF_INET) return (const uint8_t *)&a->v4.sin_addr;
    const uint8_t *p = a->v6.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) return p + 12;
    *v6 = true;
    return p;
}

static void *find_address(const struct node *n, const struct weir_address *a)
{
    bool v6;
    char key[CIDR_KEY_BYTES];
    if (n->by.count == 0) return n->any;
    const uint8_t *bytes = address_bytes(a, &v6);
    for (unsigned word = v6 ? 3 : 1; word-- > 0;) {
        uint64_t lengths = v6 ? n->lengths_v6[word] : n->lengths_v4;
        while (lengths != 0) {
            unsigned bit = 63u - (unsigned)__builtin_clzll(lengths);
            lengths &= ~((uint64_t)1 << bit);
            void *child = weir_map_get(&n->by, cidr_key(v6, (uint8_t)(word * 64 + bit), bytes, key));
            if (child != NULL) return child;
        }
    }
    return n->any;
}

static void *find_port(const struct node *n, const struct weir_address *a)
{
    char key[2];
    if (n->by.count == 0 || !weir_address_is_ip(a)) return n->any;
    void *child = weir_map_get(&n->by, port_key(weir_address_port(a), key));
    return child != NULL ? child : n->any;
}

static void *find_server_name(const struct node *n, struct weir_str name)
{
    if (n->by.count == 0 || name.n == 0) return n->any;
    /* Suffixes stand in the map with their dot: a name that begins with one is none. */
    void *child = name.p[0] != '.' ? weir_map_get(&n->by, name) : NULL;
    /* Then suffixes, longest first: ".example.com" of "www.example.com". */
    for (size_t i = 1; child == NULL && i + 1 < name.n; i++) {
        if (name.p[i] == '.') child = weir_map_get(&n->by, (struct weir_str){name.p + i, name.n - i});
    }
    return child != NULL ? child : n->any;
}

static void *find_string(const struct node *n, struct weir_str s)
{
    void *child = n->by.count != 0 && s.n != 0 ? weir_map_get(&n->by, s) : NULL;
    return child != NULL ? child : n->any;
}

static void *find_application_protocol(const struct node *n, struct weir_str alpn)
{
    size_t at = 0;
    struct weir_str name;
    if (n->by.count == 0) return n->any;
    while ((name = weir_alpn_next(alpn, &at)).n != 0) {
        void *child = weir_map_get(&n->by, name);
        if (child != NULL) return child;
    }
    return n->any;
}

static void *find_source_type(const struct node *n, const struct weir_chain_input *in)
{
    if (n->by.count == 0) return n->any;
    bool local = !weir_address_is_ip(in->remote) || weir_address_is_loopback(in->remote) ||
                 weir_address_equal(in->local, in->remote, false);
    void *child = weir_map_get(&n->by, local ? WEIR_STR("same") : WEIR_STR("external"));
    return child != NULL ? child : n->any;
}

uint32_t weir_chain_match_find(const struct weir_chain_match *m, const struct weir_chain_input *in)
{
    const void *at = m->root;
    for (enum level level = DESTINATION_PORT; level < LEVELS && at != NULL; level++) {
        const struct node *n = at;
        switch (level) {
        case DESTINATION_PORT: at = find_port(n, in->local); break;
        case DESTINATION: at = find_address(n, in->local); break;
        case SERVER_NAME: at = find_server_name(n, in->server_name); break;
        case TRANSPORT_PROTOCOL: at = find_string(n, in->transport_protocol); break;
        case APPLICATION_PROTOCOL: at = find_application_protocol(n, in->alpn); break;
        case DIRECT_SOURCE: at = find_address(n, in->direct_remote); break;
        case SOURCE_TYPE: at = find_source_type(n, in); break;
        case SOURCE: at = find_address(n, in->remote); break;
        default: at = find_port(n, in->remote);
        }
    }
    return at != NULL ? ((const struct leaf *)at)->chain : WEIR_CHAIN_NONE;
}
