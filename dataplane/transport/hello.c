/* A strict reader: every length must be within what holds it, lists must fill theirs, an extension comes once. A hello may be
 * cut into several records; then its pieces are put together in the caller's scratch. */
#include "dataplane/transport/hello.h"

#include "dataplane/limits.h"

#define RECORD_HEAD 5u
#define RECORD_BYTES_MAX 16384u
#define RECORD_HANDSHAKE 22
#define HANDSHAKE_HEAD 4u
#define HANDSHAKE_CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define EXTENSION_SUPPORTED_VERSIONS 43

/* Bytes not read yet. A read beyond the end sets `bad`, and everything read then is empty. */
struct reader {
    const uint8_t *p;
    size_t n;
    bool bad;
};

static uint32_t number(struct reader *r, size_t bytes)
{
    uint32_t v = 0;
    if (r->n < bytes) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | r->p[i];
    r->p += bytes;
    r->n -= bytes;
    return v;
}

/* What follows a length of `length_bytes`. */
static struct reader block(struct reader *r, size_t length_bytes)
{
    size_t length = number(r, length_bytes);
    if (r->bad || length > r->n) {
        r->bad = true;
        return (struct reader){0};
    }
    struct reader inner = {r->p, length, false};
    r->p += length;
    r->n -= length;
    return inner;
}

static bool read_server_name(struct reader e, struct weir_hello *out)
{
    struct reader list = block(&e, 2);
    if (e.bad || e.n != 0 || list.n == 0) return false;
    while (list.n != 0) {
        uint32_t type = number(&list, 1);
        struct reader name = block(&list, 2);
        if (list.bad) return false;
        if (type != 0) continue; /* no other kind of name was ever defined */
        if (out->server_name.n != 0 || name.n == 0 || name.n > 255 || memchr(name.p, 0, name.n) != NULL) return false;
        out->server_name = (struct weir_str){(const char *)name.p, name.n};
    }
    return true;
}

static bool read_alpn(struct reader e, struct weir_hello *out)
{
    struct reader list = block(&e, 2);
    if (e.bad || e.n != 0 || list.n == 0) return false;
    out->alpn = (struct weir_str){(const char *)list.p, list.n};
    while (list.n != 0) {
        struct reader name = block(&list, 1);
        if (list.bad || name.n == 0) return false;
    }
    return true;
}

static bool read_versions(struct reader e, struct weir_hello *out)
{
    struct reader list = block(&e, 1);
    if (e.bad || e.n != 0 || list.n == 0 || list.n % 2 != 0) return false;
    out->version_max = 0;
    while (list.n != 0) {
        uint16_t v = (uint16_t)number(&list, 2);
        /* Values that RFC 8701 reserves to keep peers honest are no versions. */
        if ((v >> 8) == 3 && v > out->version_max) out->version_max = v;
    }
    return true;
}

static bool read_extensions(struct reader all, struct weir_hello *out)
{
    bool seen_name = false, seen_alpn = false, seen_versions = false;
    while (all.n != 0) {
        uint32_t type = number(&all, 2);
        struct reader e = block(&all, 2);
        if (all.bad) return false;
        bool *seen = type == EXTENSION_SERVER_NAME          ? &seen_name
                     : type == EXTENSION_ALPN               ? &seen_alpn
                     : type == EXTENSION_SUPPORTED_VERSIONS ? &seen_versions
                                                            : NULL;
        if (seen == NULL) continue;
        if (*seen) return false;
        *seen = true;
        if (!(type == EXTENSION_SERVER_NAME ? read_server_name(e, out)
              : type == EXTENSION_ALPN      ? read_alpn(e, out)
                                            : read_versions(e, out)))
            return false;
    }
    return true;
}

static bool read_hello(struct reader r, struct weir_hello *out)
{
    *out = (struct weir_hello){.version_max = (uint16_t)number(&r, 2)};
    if (r.n < 32) return false;
    r.p += 32; /* random */
    r.n -= 32;
    struct reader session = block(&r, 1), ciphers = block(&r, 2), compression = block(&r, 1);
    if (r.bad || session.n > 32 || ciphers.n == 0 || ciphers.n % 2 != 0 || compression.n == 0) return false;
    if (r.n == 0) return true; /* no extensions: TLS 1.2 and older */
    struct reader extensions = block(&r, 2);
    return !r.bad && r.n == 0 && read_extensions(extensions, out);
}

/* The first bytes tell what is no TLS. */
static bool may_be_record(const uint8_t *p, size_t n)
{
    if (n > 0 && p[0] != RECORD_HANDSHAKE) return false;
    if (n > 1 && p[1] != 3) return false;
    if (n < RECORD_HEAD) return true;
    size_t length = (size_t)p[3] << 8 | p[4];
    return length != 0 && length <= RECORD_BYTES_MAX;
}

enum weir_hello_state weir_hello_parse(const uint8_t *p, size_t n, uint8_t *scratch, struct weir_hello *out)
{
    const uint8_t *message = NULL;
    size_t got = 0, at = 0, want = HANDSHAKE_HEAD;
    if (n == 0) return WEIR_HELLO_MORE;
    if (n > WEIR_HELLO_WIRE_BYTES_MAX) n = WEIR_HELLO_WIRE_BYTES_MAX;
    for (;;) {
        if (n == at) break;
        if (!may_be_record(p + at, n - at)) return WEIR_HELLO_NOT_TLS;
        if (n - at < RECORD_HEAD) break;
        size_t length = (size_t)p[at + 3] << 8 | p[at + 4];
        const uint8_t *body = p + at + RECORD_HEAD;
        size_t here = n - at - RECORD_HEAD < length ? n - at - RECORD_HEAD : length;
        if (got == 0) {
            message = body;
        } else {
            /* A second piece: from here on in the scratch. */
            if (message != scratch) memcpy(scratch, message, got);
            message = scratch;
            memcpy(scratch + got, body, here);
        }
        got += here;
        if (got > 0 && message[0] != HANDSHAKE_CLIENT_HELLO) return WEIR_HELLO_NOT_TLS;
        if (got >= HANDSHAKE_HEAD) {
            want = HANDSHAKE_HEAD + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
            if (want > WEIR_HELLO_BYTES_MAX) return WEIR_HELLO_TOO_LARGE;
            if (got >= want) break;
        }
        if (here < length) break;
        at += RECORD_HEAD + length;
    }
    if (got < want) return n == WEIR_HELLO_WIRE_BYTES_MAX ? WEIR_HELLO_TOO_LARGE : WEIR_HELLO_MORE;
    struct reader r = {message + HANDSHAKE_HEAD, want - HANDSHAKE_HEAD, false};
    return read_hello(r, out) ? WEIR_HELLO_DONE : WEIR_HELLO_NOT_TLS;
}

struct weir_str weir_alpn_next(struct weir_str alpn, size_t *at)
{
    if (*at >= alpn.n) return (struct weir_str){0};
    size_t n = (uint8_t)alpn.p[*at];
    if (n > alpn.n - *at - 1) return (struct weir_str){0};
    struct weir_str name = {alpn.p + *at + 1, n};
    *at += 1 + n;
    return name;
}
