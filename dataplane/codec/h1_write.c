/* Writer of HTTP/1 heads and framing, one block append a head; called by h1_server and h1_client. */
#include "dataplane/codec/h1_write.h"

#include <assert.h>

#include "dataplane/base/str.h"

struct weir_str weir_http_reason(uint32_t status)
{
    static const struct {
        uint16_t status;
        struct weir_str phrase;
    } phrases[] = {
#define R(code, text) {code, WEIR_STR_INIT(text)}
        R(100, "Continue"), R(101, "Switching Protocols"), R(200, "OK"), R(201, "Created"), R(202, "Accepted"),
        R(203, "Non-Authoritative Information"), R(204, "No Content"), R(205, "Reset Content"), R(206, "Partial Content"),
        R(207, "Multi-Status"), R(208, "Already Reported"), R(226, "IM Used"), R(300, "Multiple Choices"),
        R(301, "Moved Permanently"), R(302, "Found"), R(303, "See Other"), R(304, "Not Modified"), R(305, "Use Proxy"),
        R(307, "Temporary Redirect"), R(308, "Permanent Redirect"), R(400, "Bad Request"), R(401, "Unauthorized"),
        R(402, "Payment Required"), R(403, "Forbidden"), R(404, "Not Found"), R(405, "Method Not Allowed"),
        R(406, "Not Acceptable"), R(407, "Proxy Authentication Required"), R(408, "Request Timeout"), R(409, "Conflict"),
        R(410, "Gone"), R(411, "Length Required"), R(412, "Precondition Failed"), R(413, "Payload Too Large"),
        R(414, "URI Too Long"), R(415, "Unsupported Media Type"), R(416, "Range Not Satisfiable"),
        R(417, "Expectation Failed"), R(421, "Misdirected Request"), R(422, "Unprocessable Entity"), R(423, "Locked"),
        R(424, "Failed Dependency"), R(425, "Too Early"), R(426, "Upgrade Required"), R(428, "Precondition Required"),
        R(429, "Too Many Requests"), R(431, "Request Header Fields Too Large"), R(500, "Internal Server Error"),
        R(501, "Not Implemented"), R(502, "Bad Gateway"), R(503, "Service Unavailable"), R(504, "Gateway Timeout"),
        R(505, "HTTP Version Not Supported"), R(506, "Variant Also Negotiates"), R(507, "Insufficient Storage"),
        R(508, "Loop Detected"), R(510, "Not Extended"), R(511, "Network Authentication Required"),
        R(599, "Last Unassigned Server Error Code"),
#undef R
    };
    size_t low = 0, high = sizeof phrases / sizeof *phrases;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (phrases[mid].status == status)
            return phrases[mid].phrase;
        if (phrases[mid].status < status)
            low = mid + 1;
        else
            high = mid;
    }
    return WEIR_STR("Unknown");
}

/* With the block's header less than a kilobyte: what malloc keeps at hand. */
#define FRAMES_BLOCK_BYTES 960

void weir_h1_frames_deinit(struct weir_h1_frames *f)
{
    if (f->block != NULL)
        weir_block_release(f->block);
    *f = (struct weir_h1_frames){0};
}

uint8_t *weir_h1_frames_reserve(struct weir_h1_frames *f, size_t n)
{
    if (f->block == NULL || f->block->capacity - f->used < n) {
        weir_h1_frames_deinit(f);
        f->block = weir_block_create_exact(n < FRAMES_BLOCK_BYTES ? FRAMES_BLOCK_BYTES : n);
    }
    return f->block->data + f->used;
}

void weir_h1_frames_commit(struct weir_h1_frames *f, struct weir_buffer *out, const uint8_t *end)
{
    const uint8_t *start = f->block->data + f->used;
    weir_block_acquire(f->block);
    weir_buffer_push(out, (struct weir_slice){start, (size_t)(end - start), f->block});
    f->used = (uint32_t)(end - f->block->data);
}

/* Marks control characters in the high bits; HTAB too, so a hit is looked at again. */
static inline uint64_t controls(uint64_t w)
{
    return (w - UINT64_C(0x2020202020202020)) & ~w & UINT64_C(0x8080808080808080);
}

/* Copies and looks at the bytes in one go: values are short, calls to memcpy would cost as much as the copy. */
static inline uint8_t *emit(uint8_t *d, struct weir_str s, uint64_t *hits)
{
    uint64_t w;
    if (s.n >= 8) {
        size_t i = 0;
        do {
            memcpy(&w, s.p + i, 8);
            *hits |= controls(w);
            memcpy(d + i, &w, 8);
            i += 8;
        } while (i + 8 <= s.n);
        memcpy(&w, s.p + s.n - 8, 8);
        *hits |= controls(w);
        memcpy(d + s.n - 8, &w, 8);
    } else if (s.n >= 4) {
        uint32_t a, b;
        memcpy(&a, s.p, 4);
        memcpy(&b, s.p + s.n - 4, 4);
        *hits |= controls((uint64_t)a << 32 | b);
        memcpy(d, &a, 4);
        memcpy(d + s.n - 4, &b, 4);
    } else {
        for (size_t i = 0; i < s.n; i++) {
            *hits |= (uint64_t)((uint8_t)s.p[i] < 0x20);
            d[i] = (uint8_t)s.p[i];
        }
    }
    return d + s.n;
}

static inline uint8_t *emit_literal(uint8_t *d, const char *p, size_t n)
{
    memcpy(d, p, n);
    return d + n;
}
#define LITERAL(d, text) emit_literal((d), (text), sizeof(text) - 1)

static void proper_case_name(uint8_t *p, size_t n)
{
    bool start = true;
    for (size_t i = 0; i < n; i++) {
        bool letter = p[i] >= 'a' && p[i] <= 'z';
        if (start && letter)
            p[i] = (uint8_t)(p[i] - 'a' + 'A');
        start = !letter && !(p[i] >= 'A' && p[i] <= 'Z') && !(p[i] >= '0' && p[i] <= '9');
    }
}

static uint8_t *emit_field(uint8_t *d, struct weir_str name, struct weir_str value, bool proper_case, uint64_t *hits)
{
    uint8_t *start = d;
    d = emit(d, name, hits);
    if (proper_case)
        proper_case_name(start, name.n);
    d = LITERAL(d, ": ");
    d = emit(d, value, hits);
    return LITERAL(d, "\r\n");
}

static bool is_left_out(const struct weir_header *f, const struct weir_h1_head_end *e)
{
    switch (f->id) {
    case WEIR_H_CONNECTION:
    case WEIR_H_KEEP_ALIVE:
    case WEIR_H_PROXY_CONNECTION:
    case WEIR_H_TRANSFER_ENCODING:
    case WEIR_H_HTTP2_SETTINGS:
        return true;
    case WEIR_H_UPGRADE:
        return !e->upgrade;
    case WEIR_H_CONTENT_LENGTH:
        return e->drop_length;
    default:
        return f->name.n == 0 || f->name.p[0] == ':';
    }
}

static size_t fields_bound(const struct weir_headers *h)
{
    size_t n = 0;
    for (uint32_t i = 0; i < h->count; i++)
        n += h->at[i].name.n + h->at[i].value.n + 4;
    return n;
}

/* Whether all that was marked was HTAB in a value. */
static bool fields_valid(const struct weir_headers *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct weir_header *f = &h->at[i];
        bool pseudo = f->name.n > 0 && f->name.p[0] == ':';
        if (!weir_header_value_valid(f->value) || (!pseudo && !weir_header_name_valid(f->name)))
            return false;
    }
    return true;
}

static uint8_t *emit_head_end(uint8_t *d, const struct weir_h1_head_end *e, uint64_t *hits)
{
    if (e->connection.n > 0)
        d = emit_field(d, WEIR_STR("connection"), e->connection, e->proper_case, hits);
    if (e->chunked)
        d = emit_field(d, WEIR_STR("transfer-encoding"), WEIR_STR("chunked"), e->proper_case, hits);
    if (e->zero_length)
        d = emit_field(d, WEIR_STR("content-length"), WEIR_STR("0"), e->proper_case, hits);
    return LITERAL(d, "\r\n");
}
#define HEAD_END_BOUND 160

size_t weir_h1_write_response(struct weir_h1_frames *f, struct weir_buffer *out, uint32_t status, bool http10,
                              const struct weir_headers *h, const struct weir_h1_head_end *e)
{
    assert(status >= 100 && status <= 999);
    uint64_t hits = 0;
    uint8_t *start = weir_h1_frames_reserve(f, 64 + fields_bound(h) + HEAD_END_BOUND);
    uint8_t *d = start;
    if (status == 200) {
        d = LITERAL(d, "HTTP/1.1 200 OK\r\n");
    } else {
        d = LITERAL(d, "HTTP/1.1 ");
        *d++ = (uint8_t)('0' + status / 100);
        *d++ = (uint8_t)('0' + status / 10 % 10);
        *d++ = (uint8_t)('0' + status % 10);
        *d++ = ' ';
        struct weir_str reason = weir_http_reason(status);
        d = emit_literal(d, reason.p, reason.n);
        d = LITERAL(d, "\r\n");
    }
    if (http10)
        start[7] = '0';
    for (uint32_t i = 0; i < h->count; i++)
        if (!is_left_out(&h->at[i], e))
            d = emit_field(d, h->at[i].name, h->at[i].value, e->proper_case, &hits);
    d = emit_head_end(d, e, &hits);
    if (hits != 0 && !fields_valid(h))
        return 0;
    weir_h1_frames_commit(f, out, d);
    return (size_t)(d - start);
}

/* Nothing that ends the target or the line early. */
static bool target_valid(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] <= 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

size_t weir_h1_write_request(struct weir_h1_frames *f, struct weir_buffer *out, const struct weir_headers *h, bool absolute,
                             const struct weir_h1_head_end *e)
{
    struct weir_str method = weir_headers_get(h, WEIR_H_METHOD), path = weir_headers_get(h, WEIR_H_PATH);
    struct weir_str authority = weir_headers_get(h, WEIR_H_AUTHORITY);
    bool connect = weir_str_eq(method, WEIR_STR("CONNECT"));
    absolute = absolute && !connect && path.n > 0 && path.p[0] == '/' && authority.n > 0;
    struct weir_str scheme = absolute ? weir_headers_get(h, WEIR_H_SCHEME) : WEIR_STR("");
    struct weir_str target = connect ? authority : path;
    if (!weir_header_name_valid(method) || target.n == 0 || !target_valid(path) || !target_valid(authority) ||
        !target_valid(scheme))
        return 0;
    uint64_t hits = 0;
    uint8_t *start = weir_h1_frames_reserve(f, method.n + scheme.n + 2 * authority.n + path.n + 64 + fields_bound(h) +
                                                   HEAD_END_BOUND);
    uint8_t *d = emit(start, method, &hits);
    *d++ = ' ';
    if (absolute) {
        d = emit(d, scheme.n > 0 ? scheme : WEIR_STR("http"), &hits);
        d = LITERAL(d, "://");
        d = emit(d, authority, &hits);
    }
    d = emit(d, target, &hits);
    d = LITERAL(d, " HTTP/1.1\r\n");
    if (authority.p != NULL)
        d = emit_field(d, WEIR_STR("host"), authority, e->proper_case, &hits);
    for (uint32_t i = 0; i < h->count; i++)
        if (!is_left_out(&h->at[i], e) && !(h->at[i].id == WEIR_H_HOST && authority.p != NULL))
            d = emit_field(d, h->at[i].name, h->at[i].value, e->proper_case, &hits);
    d = emit_head_end(d, e, &hits);
    if (hits != 0 && !fields_valid(h))
        return 0;
    weir_h1_frames_commit(f, out, d);
    return (size_t)(d - start);
}

size_t weir_h1_write_chunk_line(struct weir_h1_frames *f, struct weir_buffer *out, uint64_t n)
{
    assert(n > 0);
    uint8_t *start = weir_h1_frames_reserve(f, 20);
    uint8_t *d = start;
    for (int shift = (63 - __builtin_clzll(n)) & ~3; shift >= 0; shift -= 4)
        *d++ = (uint8_t) "0123456789abcdef"[n >> shift & 15];
    d = LITERAL(d, "\r\n");
    weir_h1_frames_commit(f, out, d);
    return (size_t)(d - start);
}

size_t weir_h1_write_trailers(struct weir_h1_frames *f, struct weir_buffer *out, const struct weir_headers *trailers, bool proper_case)
{
    static const struct weir_h1_head_end none = {.drop_length = true};
    uint8_t *start = weir_h1_frames_reserve(f, fields_bound(trailers) + 8);
    uint8_t *d = LITERAL(start, "0\r\n");
    for (uint32_t i = 0; i < trailers->count; i++) {
        const struct weir_header *t = &trailers->at[i];
        uint64_t hits = 0;
        if (is_left_out(t, &none))
            continue;
        uint8_t *after = emit_field(d, t->name, t->value, proper_case, &hits);
        if (hits == 0 || (weir_header_value_valid(t->value) && weir_header_name_valid(t->name)))
            d = after;
    }
    d = LITERAL(d, "\r\n");
    weir_h1_frames_commit(f, out, d);
    return (size_t)(d - start);
}
