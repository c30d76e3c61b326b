/* Socket addresses and prefixes. */
#include "dataplane/base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static bool text_z(struct weir_str s, char *out, size_t size)
{
    if (s.n == 0 || s.n >= size || memchr(s.p, '\0', s.n) != NULL) return false;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

bool weir_address_parse(struct weir_str ip, uint16_t port, struct weir_address *out)
{
    char z[INET6_ADDRSTRLEN + 1];
    *out = (struct weir_address){0};
    if (!text_z(ip, z, sizeof(z))) return false;
    if (inet_pton(AF_INET, z, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        out->length = sizeof(out->v4);
        return true;
    }
    if (inet_pton(AF_INET6, z, &out->v6.sin6_addr) != 1) return false;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    out->length = sizeof(out->v6);
    return true;
}

bool weir_address_unix(struct weir_str path, struct weir_address *out)
{
    *out = (struct weir_address){0};
    bool abstract = path.n != 0 && path.p[0] == '@';
    if (path.n == 0 || path.n >= sizeof(out->un.sun_path)) return false;
    if (!abstract && memchr(path.p, '\0', path.n) != NULL) return false;
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path.p, path.n);
    if (abstract) out->un.sun_path[0] = '\0';
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + (abstract ? 0 : 1));
    return true;
}

bool weir_address_from(const struct sockaddr *sa, socklen_t length, struct weir_address *out)
{
    *out = (struct weir_address){0};
    if (length < sizeof(sa->sa_family)) return false;
    size_t max = 0;
    if (sa->sa_family == AF_INET)
        max = sizeof(out->v4);
    else if (sa->sa_family == AF_INET6)
        max = sizeof(out->v6);
    else if (sa->sa_family == AF_UNIX)
        max = sizeof(out->un);
    if (max == 0 || length > max || (sa->sa_family != AF_UNIX && length < max)) return false;
    memcpy(&out->any, sa, length);
    out->length = length;
    return true;
}

void weir_address_keep(struct weir_address_kept *k, const struct weir_address *a)
{
    weir_address_kept_deinit(k);
    k->length = a->length;
    if (a->length <= sizeof(k->ip)) {
        memcpy(k->ip, &a->any, a->length);
        return;
    }
    k->path = malloc(sizeof(*k->path));
    if (k->path == NULL) abort();
    *k->path = a->un;
}

void weir_address_kept_get(const struct weir_address_kept *k, struct weir_address *out)
{
    *out = (struct weir_address){.length = k->length};
    memcpy(&out->any, k->path != NULL ? (const void *)k->path : k->ip, k->length);
}

void weir_address_kept_deinit(struct weir_address_kept *k)
{
    free(k->path);
    *k = (struct weir_address_kept){0};
}

uint16_t weir_address_port(const struct weir_address *a)
{
    if (a->length == 0) return 0;
    if (a->any.sa_family == AF_INET) return ntohs(a->v4.sin_port);
    return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

void weir_address_set_port(struct weir_address *a, uint16_t port)
{
    if (a->length == 0) return;
    if (a->any.sa_family == AF_INET) a->v4.sin_port = htons(port);
    if (a->any.sa_family == AF_INET6) a->v6.sin6_port = htons(port);
}

bool weir_address_is_ip(const struct weir_address *a)
{
    return a->length != 0 && (a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6);
}

/* The four bytes of an IPv4 address, also where it is mapped into IPv6; else NULL. */
static const uint8_t *v4_bytes(const struct weir_address *a)
{
    if (a->length == 0) return NULL;
    if (a->any.sa_family == AF_INET) return (const uint8_t *)&a->v4.sin_addr;
    if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) return a->v6.sin6_addr.s6_addr + 12;
    return NULL;
}

bool weir_address_is_wildcard(const struct weir_address *a)
{
    if (a->any.sa_family == AF_INET) return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
    return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

bool weir_address_is_loopback(const struct weir_address *a)
{
    const uint8_t *v4 = v4_bytes(a);
    if (v4 != NULL) return v4[0] == 127;
    return a->length != 0 && a->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

bool weir_address_is_internal(const struct weir_address *a)
{
    const uint8_t *v4 = v4_bytes(a);
    if (v4 != NULL)
        return v4[0] == 10 || v4[0] == 127 || (v4[0] == 192 && v4[1] == 168) || (v4[0] == 172 && (v4[1] & 0xf0) == 16);
    if (a->length == 0 || a->any.sa_family != AF_INET6) return false;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) || (a->v6.sin6_addr.s6_addr[0] & 0xfe) == 0xfc;
}

bool weir_address_equal(const struct weir_address *a, const struct weir_address *b, bool with_port)
{
    if (a->length == 0 || b->length == 0) return a->length == b->length;
    if (a->any.sa_family != b->any.sa_family) return false;
    if (a->any.sa_family == AF_UNIX) return a->length == b->length && memcmp(&a->un, &b->un, a->length) == 0;
    if (with_port && weir_address_port(a) != weir_address_port(b)) return false;
    if (a->any.sa_family == AF_INET) return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0 &&
           a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

static size_t print_unix(const struct weir_address *a, char out[WEIR_ADDRESS_TEXT_MAX])
{
    size_t n = a->length - offsetof(struct sockaddr_un, sun_path);
    bool abstract = n != 0 && a->un.sun_path[0] == '\0';
    if (!abstract) n = strnlen(a->un.sun_path, n);
    memcpy(out, a->un.sun_path, n);
    if (abstract) out[0] = '@';
    out[n] = '\0';
    return n;
}

size_t weir_address_print_ip(const struct weir_address *a, char out[WEIR_ADDRESS_TEXT_MAX])
{
    out[0] = '\0';
    if (a->length == 0) return 0;
    if (a->any.sa_family == AF_UNIX) return print_unix(a, out);
    const void *bytes = a->any.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : &a->v6.sin6_addr;
    if (inet_ntop(a->any.sa_family, bytes, out, WEIR_ADDRESS_TEXT_MAX) == NULL) return 0;
    return strlen(out);
}

void weir_address_ip_bytes(const struct weir_address *a, uint8_t out[16])
{
    if (a->any.sa_family == AF_INET6) {
        memcpy(out, &a->v6.sin6_addr, 16);
        return;
    }
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, &a->v4.sin_addr, 4);
}

struct weir_str weir_address_key(const struct weir_address *a, char out[WEIR_ADDRESS_KEY_BYTES])
{
    memset(out, 0, WEIR_ADDRESS_KEY_BYTES);
    bool v6 = a->any.sa_family == AF_INET6;
    uint16_t port = weir_address_port(a);
    out[0] = v6 ? 6 : 4;
    out[1] = (char)(port >> 8);
    out[2] = (char)port;
    memcpy(out + 3, v6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, v6 ? 16 : 4);
    if (v6) memcpy(out + 19, &a->v6.sin6_scope_id, 4);
    return (struct weir_str){out, WEIR_ADDRESS_KEY_BYTES};
}

size_t weir_address_print(const struct weir_address *a, char out[WEIR_ADDRESS_TEXT_MAX])
{
    if (!weir_address_is_ip(a)) return weir_address_print_ip(a, out);
    char ip[WEIR_ADDRESS_TEXT_MAX];
    (void)weir_address_print_ip(a, ip);
    int n = a->any.sa_family == AF_INET ? snprintf(out, WEIR_ADDRESS_TEXT_MAX, "%.64s:%u", ip, weir_address_port(a))
                                        : snprintf(out, WEIR_ADDRESS_TEXT_MAX, "[%.64s]:%u", ip, weir_address_port(a));
    return (size_t)n;
}

bool weir_cidr_make(struct weir_str ip, uint32_t bits, struct weir_cidr *out)
{
    struct weir_address a;
    *out = (struct weir_cidr){0};
    if (!weir_address_parse(ip, 0, &a)) return false;
    out->v6 = a.any.sa_family == AF_INET6;
    uint32_t width = out->v6 ? 128 : 32;
    if (bits > width) return false;
    out->bits = (uint8_t)bits;
    memcpy(out->bytes, out->v6 ? (const void *)&a.v6.sin6_addr : &a.v4.sin_addr, width / 8);
    for (uint32_t i = bits; i < width; i++)
        out->bytes[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    return true;
}

bool weir_cidr_has(const struct weir_cidr *c, const struct weir_address *a)
{
    const uint8_t *bytes = v4_bytes(a);
    if (c->v6) {
        if (a->length == 0 || a->any.sa_family != AF_INET6) return false;
        bytes = a->v6.sin6_addr.s6_addr;
    }
    if (bytes == NULL || memcmp(bytes, c->bytes, c->bits / 8) != 0) return false;
    unsigned rest = c->bits % 8;
    return rest == 0 || (uint8_t)((bytes[c->bits / 8] ^ c->bytes[c->bits / 8]) >> (8 - rest)) == 0;
}
