/* Socket addresses: IPv4, IPv6, Unix paths (also abstract, "@name"). Envoy's notation: "127.0.0.1:80", "[::1]:80", the
 * path of a Unix socket. */
#ifndef WEIR_BASE_ADDRESS_H
#define WEIR_BASE_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dataplane/weir.h"

#define WEIR_ADDRESS_TEXT_MAX 128

struct weir_address {
    socklen_t length; /* 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    };
};
/* An address as it is kept by what there are many of, such as connections: 40 bytes instead of 116 where it is IP; a path has memory
 * of its own. Zeroed: none. */
struct weir_address_kept {
    socklen_t length;
    uint8_t ip[sizeof(struct sockaddr_in6)]; /* what fits in */
    struct sockaddr_un *path;                /* else; owned */
};
void weir_address_keep(struct weir_address_kept *k, const struct weir_address *a); /* instead of what it kept */
void weir_address_kept_get(const struct weir_address_kept *k, struct weir_address *out);
void weir_address_kept_deinit(struct weir_address_kept *k);

/* Numeric only, no names; port in host order. */
bool weir_address_parse(struct weir_str ip, uint16_t port, struct weir_address *out);
bool weir_address_unix(struct weir_str path, struct weir_address *out); /* false: too long */
bool weir_address_from(const struct sockaddr *sa, socklen_t length, struct weir_address *out);
uint16_t weir_address_port(const struct weir_address *a); /* 0 for Unix */
void weir_address_set_port(struct weir_address *a, uint16_t port);
bool weir_address_is_ip(const struct weir_address *a);
bool weir_address_is_wildcard(const struct weir_address *a); /* 0.0.0.0, :: */
bool weir_address_is_loopback(const struct weir_address *a);
/* RFC 1918, RFC 4193 and loopback: what Envoy calls an internal address by default. */
bool weir_address_is_internal(const struct weir_address *a);
bool weir_address_equal(const struct weir_address *a, const struct weir_address *b, bool with_port);
/* The IP alone, IPv4 as it is mapped into IPv6. */
void weir_address_ip_bytes(const struct weir_address *a, uint8_t out[16]);
/* The bytes by which an IP address with port is found in a map. */
#define WEIR_ADDRESS_KEY_BYTES 23
struct weir_str weir_address_key(const struct weir_address *a, char out[WEIR_ADDRESS_KEY_BYTES]);
/* NUL-terminated; returns the length. */
size_t weir_address_print(const struct weir_address *a, char out[WEIR_ADDRESS_TEXT_MAX]);      /* with port */
size_t weir_address_print_ip(const struct weir_address *a, char out[WEIR_ADDRESS_TEXT_MAX]);   /* without */

/* Prefixes (core.v3.CidrRange). An IPv4 address mapped into IPv6 matches IPv4 prefixes. */
struct weir_cidr {
    uint8_t bytes[16];
    uint8_t bits;
    bool v6;
};
bool weir_cidr_make(struct weir_str ip, uint32_t bits, struct weir_cidr *out); /* host bits are cleared */
bool weir_cidr_has(const struct weir_cidr *c, const struct weir_address *a);

#endif
