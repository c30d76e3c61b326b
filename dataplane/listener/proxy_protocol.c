/* A strict reader of both forms. The type-length-values of version 2 are skipped. */
#include "dataplane/listener/proxy_protocol.h"

#include "dataplane/base/str.h"
#include "dataplane/limits.h"

#define V1_BYTES_MAX 107u /* with CRLF */
#define V2_HEAD 16u

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static bool starts(const uint8_t *p, size_t n, const void *with, size_t length)
{
    return memcmp(p, with, n < length ? n : length) == 0;
}

/* The next word of a line, up to a single blank. */
static struct weir_str word(struct weir_str *line)
{
    size_t n = weir_str_find(*line, ' ');
    struct weir_str w = {line->p, n};
    size_t skip = n < line->n ? n + 1 : n;
    line->p += skip;
    line->n -= skip;
    return w;
}

static bool port_of(struct weir_str s, uint16_t *out)
{
    uint64_t v;
    if (!weir_str_u64(s, &v) || v > 65535 || (s.n > 1 && s.p[0] == '0')) return false;
    *out = (uint16_t)v;
    return true;
}

static bool read_v1(struct weir_str line, struct weir_proxy_header *out)
{
    struct weir_str family = word(&line);
    if (weir_str_eq(family, WEIR_STR("UNKNOWN"))) return true;
    bool v4 = weir_str_eq(family, WEIR_STR("TCP4"));
    if (!v4 && !weir_str_eq(family, WEIR_STR("TCP6"))) return false;
    struct weir_str remote = word(&line), local = word(&line), remote_port = word(&line), local_port = word(&line);
    uint16_t from, to;
    if (line.n != 0 || !port_of(remote_port, &from) || !port_of(local_port, &to)) return false;
    return weir_address_parse(remote, from, &out->remote) && weir_address_parse(local, to, &out->local) &&
           (out->remote.any.sa_family == AF_INET) == v4 && (out->local.any.sa_family == AF_INET) == v4;
}

static enum weir_proxy_state parse_v1(const uint8_t *p, size_t n, struct weir_proxy_header *out, size_t *used)
{
    const uint8_t *end = memchr(p, '\n', n < V1_BYTES_MAX ? n : V1_BYTES_MAX);
    if (end == NULL) return n < V1_BYTES_MAX ? WEIR_PROXY_MORE : WEIR_PROXY_INVALID;
    size_t length = (size_t)(end - p);
    if (length < 7 || p[length - 1] != '\r') return WEIR_PROXY_INVALID;
    *used = length + 1;
    struct weir_str line = {(const char *)p + 6, length - 1 - 6};
    return read_v1(line, out) ? WEIR_PROXY_DONE : WEIR_PROXY_INVALID;
}

static void from_v4(const uint8_t *address, const uint8_t *port, struct weir_address *out)
{
    *out = (struct weir_address){.length = sizeof(out->v4)};
    out->v4.sin_family = AF_INET;
    memcpy(&out->v4.sin_addr, address, 4);
    memcpy(&out->v4.sin_port, port, 2);
}

static void from_v6(const uint8_t *address, const uint8_t *port, struct weir_address *out)
{
    *out = (struct weir_address){.length = sizeof(out->v6)};
    out->v6.sin6_family = AF_INET6;
    memcpy(&out->v6.sin6_addr, address, 16);
    memcpy(&out->v6.sin6_port, port, 2);
}

static enum weir_proxy_state parse_v2(const uint8_t *p, size_t n, struct weir_proxy_header *out, size_t *used)
{
    if (n < V2_HEAD) return WEIR_PROXY_MORE;
    size_t length = (size_t)p[14] << 8 | p[15];
    unsigned command = p[12] & 15u, family = p[13] >> 4, protocol = p[13] & 15u;
    const uint8_t *a = p + V2_HEAD;
    if (p[12] >> 4 != 2 || command > 1 || family > 3 || protocol > 2 || V2_HEAD + length > WEIR_PROXY_HEADER_BYTES_MAX)
        return WEIR_PROXY_INVALID;
    if (n < V2_HEAD + length) return WEIR_PROXY_MORE;
    *used = V2_HEAD + length;
    if (command == 0) return WEIR_PROXY_DONE; /* LOCAL: a health check of the balancer itself */
    if (family == 1) {
        if (length < 12) return WEIR_PROXY_INVALID;
        from_v4(a, a + 8, &out->remote);
        from_v4(a + 4, a + 10, &out->local);
    } else if (family == 2) {
        if (length < 36) return WEIR_PROXY_INVALID;
        from_v6(a, a + 32, &out->remote);
        from_v6(a + 16, a + 34, &out->local);
    }
    return WEIR_PROXY_DONE;
}

enum weir_proxy_state weir_proxy_protocol_parse(const uint8_t *p, size_t n, struct weir_proxy_header *out, size_t *used)
{
    *out = (struct weir_proxy_header){0};
    if (starts(p, n, "PROXY ", 6)) return n < 6 ? WEIR_PROXY_MORE : parse_v1(p, n, out, used);
    if (starts(p, n, v2_signature, sizeof(v2_signature))) return parse_v2(p, n, out, used);
    return WEIR_PROXY_NONE;
}
