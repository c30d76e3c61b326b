/* The tokeniser of HTTP/1 heads: a state machine over bytes that can stop anywhere, with inner loops that take eight bytes
 * at a time. Called by h1_server and h1_client through h1_codec.c. Strict: a line ends with CR LF, nothing is repaired. */
#include "dataplane/codec/h1_parse.h"

#include <endian.h>

#include "dataplane/limits.h"

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the word loops take the lowest set bit for the first byte");

enum {
    S_METHOD,
    S_TARGET,
    S_VERSION,
    S_STATUS_VERSION,
    S_STATUS,
    S_STATUS_END,
    S_REASON,
    S_START_LF,
    S_FIELD,
    S_NAME,
    S_BLANK,
    S_VALUE,
    S_VALUE_LF,
    S_END_LF,
    S_DONE,
    S_BAD,
};

#define FAULT(status, details, body) {status, WEIR_STR_INIT(details), WEIR_STR_INIT(body), .flood = false}
static const struct weir_codec_error errors[WEIR_H1_FAULT_COUNT] = {
    [WEIR_H1_FAULT_CODEC] = FAULT(400, "http1.codec_error", "Bad Request"),
    [WEIR_H1_FAULT_CHARACTERS] = FAULT(400, "http1.invalid_characters", "Bad Request"),
    [WEIR_H1_FAULT_TOO_LARGE] = FAULT(431, "http1.headers_too_large", "Request Header Fields Too Large"),
    [WEIR_H1_FAULT_TOO_MANY] = FAULT(431, "http1.too_many_headers", "Request Header Fields Too Large"),
    [WEIR_H1_FAULT_LOW_VERSION] = FAULT(426, "low_version", "Upgrade Required"),
    [WEIR_H1_FAULT_TRANSFER_ENCODING] = FAULT(501, "http1.invalid_transfer_encoding", "Not Implemented"),
    [WEIR_H1_FAULT_LENGTH_AND_CHUNKED] = FAULT(400, "http1.content_length_and_chunked_not_allowed", "Bad Request"),
    [WEIR_H1_FAULT_AUTHORITY] = FAULT(400, "http.invalid_authority", "Bad Request"),
    [WEIR_H1_FAULT_URL] = FAULT(400, "http1.invalid_url", "Bad Request"),
    [WEIR_H1_FAULT_UNDERSCORE] = FAULT(400, "http1.unexpected_underscore", "Bad Request"),
    [WEIR_H1_FAULT_CONNECTION_HEADER] = FAULT(400, "http1.connection_header_rejected", "Bad Request"),
    [WEIR_H1_FAULT_BODY_DISALLOWED] = FAULT(400, "http1.body_disallowed", "Bad Request"),
};
#undef FAULT

const struct weir_codec_error *weir_h1_error(enum weir_h1_fault f)
{
    return &errors[f];
}

void *weir_h1_room(struct weir_arena *arena, size_t size)
{
    void *p = weir_arena_try_alloc(arena, size);
    return p != NULL ? p : weir_arena_alloc(arena, size);
}

void weir_h1_parser_init(struct weir_h1_parser *x, enum weir_h1_kind kind, const struct weir_codec_config *config,
                         struct weir_arena *arena)
{
    static const uint8_t first[] = {S_METHOD, S_STATUS_VERSION, S_FIELD};
    *x = (struct weir_h1_parser){
        .kind = (uint8_t)kind,
        .state = first[kind],
        .custom_methods = config->h1_allow_custom_methods,
        .bytes_max = config->header_bytes_max,
        .count_max = config->header_count_max,
        .arena = arena,
    };
}

/* Bytes in words. */
#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static inline bool is_text(uint8_t c)
{
    return c >= 0x20 && c != 0x7f;
}

/* The first byte that is no plain text of a value: a control character, HTAB too. The lowest bit that is set in `hit` is
 * exact; only bits above it may be a borrow's. */
static inline const char *skip_text(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t del = w ^ (ONES * 0x7f);
        uint64_t hit = (((w - ONES * 0x20) & ~w) | ((del - ONES) & ~del)) & HIGHS;
        if (hit != 0)
            return p + (__builtin_ctzll(hit) >> 3);
        p += 8;
    }
    while (p < end && is_text((uint8_t)*p))
        p++;
    return p;
}

/* The first byte that may not stand in a request target: blank, control, DEL or beyond ASCII. */
static inline const char *skip_target(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t del = w ^ (ONES * 0x7f);
        uint64_t hit = (((w - ONES * 0x21) & ~w) | ((del - ONES) & ~del) | w) & HIGHS;
        if (hit != 0)
            return p + (__builtin_ctzll(hit) >> 3);
        p += 8;
    }
    while (p < end && (uint8_t)*p > 0x20 && (uint8_t)*p < 0x7f)
        p++;
    return p;
}

/* RFC 9110 5.6.2 */
static const bool token_char[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* The first byte that is no token character. Letters and '-' make up most names: words are tested for them alone. */
static inline const char *skip_token(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t folded = (w | ONES * 0x20) & ONES * 0x7f, dash = w ^ (ONES * '-');
        uint64_t letter = (folded + ONES * (0x80 - 'a')) & ~(folded + ONES * (0x80 - 'z' - 1));
        uint64_t other = ~((letter | ~(((dash & ONES * 0x7f) + ONES * 0x7f) | dash)) & ~w) & HIGHS;
        if (other != 0) {
            p += __builtin_ctzll(other) >> 3;
            break;
        }
        p += 8;
    }
    const bool *allowed = token_char;
    while (p < end && allowed[(uint8_t)*p])
        p++;
    return p;
}

static bool method_known(const char *p, size_t n)
{
#define M(name) WEIR_STR_INIT(name)
    /* By length, common ones first. */
    static const struct weir_str methods[] = {
        M("GET"),       M("PUT"),       M("ACL"),        M("POST"),       M("HEAD"),        M("COPY"),     M("LOCK"),
        M("MOVE"),      M("BIND"),      M("LINK"),       M("PATCH"),      M("TRACE"),       M("MKCOL"),    M("MERGE"),
        M("PURGE"),     M("DELETE"),    M("SEARCH"),     M("UNLOCK"),     M("REBIND"),      M("UNBIND"),   M("REPORT"),
        M("NOTIFY"),    M("UNLINK"),    M("SOURCE"),     M("OPTIONS"),    M("CONNECT"),     M("PROPFIND"), M("CHECKOUT"),
        M("PROPPATCH"), M("SUBSCRIBE"), M("MKACTIVITY"), M("MKCALENDAR"), M("UNSUBSCRIBE"),
    };
#undef M
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].n == n && memcmp(methods[i].p, p, n) == 0)
            return true;
    return false;
}

static const char *bad(struct weir_h1_parser *x, const char *p, enum weir_h1_fault f)
{
    x->state = S_BAD;
    x->fault = (uint8_t)f;
    return p;
}

static const char *bad_text(struct weir_h1_parser *x, const char *p)
{
    return bad(x, p, *p == '\n' || *p == '\r' ? WEIR_H1_FAULT_CODEC : WEIR_H1_FAULT_CHARACTERS);
}

static const char *take_method(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    while (p < end && (x->custom_methods ? token_char[(uint8_t)*p] : (*p >= 'A' && *p <= 'Z')))
        p++;
    size_t n = (size_t)(p - head);
    if (n > WEIR_H1_METHOD_BYTES_MAX)
        return bad(x, p, WEIR_H1_FAULT_CODEC);
    if (p == end)
        return p;
    if (*p != ' ' || n == 0 || (!x->custom_methods && !method_known(head, n)))
        return bad(x, p, WEIR_H1_FAULT_CODEC);
    x->method_n = (uint32_t)n;
    x->target = (uint32_t)(n + 1);
    x->state = S_TARGET;
    return p + 1;
}

static const char *take_target(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    p = skip_target(p, end);
    if (p == end)
        return p;
    x->target_n = (uint32_t)(p - head) - x->target;
    if (x->target_n == 0)
        return bad(x, p, WEIR_H1_FAULT_CODEC);
    if (*p == ' ') {
        x->token = (uint32_t)(p + 1 - head);
        x->state = S_VERSION;
    } else if (*p == '\r') {
        x->minor = 9;
        x->state = S_START_LF;
    } else {
        return bad(x, p, *p == '\n' || (uint8_t)*p >= 0x80 ? WEIR_H1_FAULT_CODEC : WEIR_H1_FAULT_CHARACTERS);
    }
    return p + 1;
}

/* "HTTP/" DIGIT "." DIGIT and what ends it: CR in a request, a blank in a response. */
static const char *take_version(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    static const char shape[] = "HTTP/0.0";
    if (p - head == x->token && end - p > 8 && memcmp(p, "HTTP/1.1", 8) == 0) {
        x->major = x->minor = 1;
        p += 8;
    }
    for (; p < end; p++) {
        size_t i = (size_t)(p - head) - x->token;
        if (i == 8)
            break;
        bool digit = *p >= '0' && *p <= '9';
        if (i == 5)
            x->major = (uint8_t)(*p - '0');
        else if (i == 7)
            x->minor = (uint8_t)(*p - '0');
        if (shape[i] == '0' ? !digit : *p != shape[i])
            return bad(x, p, WEIR_H1_FAULT_CODEC);
    }
    if (p == end)
        return p;
    if (*p != (x->kind == WEIR_H1_REQUEST ? '\r' : ' '))
        return bad(x, p, WEIR_H1_FAULT_CODEC);
    x->state = x->kind == WEIR_H1_REQUEST ? S_START_LF : S_STATUS;
    x->token = (uint32_t)(p + 1 - head);
    return p + 1;
}

/* Three digits; RFC 9112 4 wants a blank after them also where no reason follows, which many servers leave out. */
static const char *take_status(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    for (; p < end; p++) {
        if ((size_t)(p - head) - x->token == 3) {
            x->state = S_STATUS_END;
            return p;
        }
        if (*p < '0' || *p > '9')
            return bad(x, p, WEIR_H1_FAULT_CODEC);
        x->status = (uint16_t)(x->status * 10 + (*p - '0'));
    }
    return p;
}

static const char *take_reason(struct weir_h1_parser *x, const char *p, const char *end)
{
    if (x->state == S_STATUS_END) {
        if (x->status < 100 || (*p != ' ' && *p != '\r'))
            return bad(x, p, WEIR_H1_FAULT_CODEC);
        x->state = *p == '\r' ? S_START_LF : S_REASON;
        return p + 1;
    }
    while ((p = skip_text(p, end)) < end && *p == '\t')
        p++;
    if (p == end)
        return p;
    if (*p != '\r')
        return bad_text(x, p);
    x->state = S_START_LF;
    return p + 1;
}

static __attribute__((noinline)) void grow_fields(struct weir_h1_parser *x)
{
    uint32_t capacity = x->capacity == 0 ? 24 : x->capacity * 4;
    struct weir_h1_field *more = weir_h1_room(x->arena, capacity * sizeof *more);
    if (x->count > 0)
        memcpy(more, x->fields, x->count * sizeof *more);
    x->fields = more;
    x->capacity = capacity;
}

static inline bool add_field(struct weir_h1_parser *x, const char *head, const char *value, const char *value_end)
{
    if (x->count == x->count_max)
        return false;
    if (x->count == x->capacity)
        grow_fields(x);
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    x->fields[x->count++] =
        (struct weir_h1_field){x->name, x->name_n, (uint32_t)(value - head), (uint32_t)(value_end - value)};
    return true;
}

static const char *take_name(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    p = skip_token(p, end);
    if (p == end)
        return p;
    x->name_n = (uint32_t)(p - head) - x->name;
    if (*p != ':' || x->name_n == 0)
        return bad(x, p, WEIR_H1_FAULT_CODEC);
    x->state = S_BLANK;
    return p + 1;
}

static const char *take_value(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    while ((p = skip_text(p, end)) < end && *p == '\t')
        p++;
    if (p == end)
        return p;
    if (*p != '\r')
        return bad_text(x, p);
    if (!add_field(x, head, head + x->token, p))
        return bad(x, p, WEIR_H1_FAULT_TOO_MANY);
    x->state = S_VALUE_LF;
    return p + 1;
}

static const char *take_field_start(struct weir_h1_parser *x, const char *head, const char *p)
{
    if (*p == '\r') {
        x->state = S_END_LF;
        return p + 1;
    }
    x->name = (uint32_t)(p - head);
    x->state = S_NAME; /* which refuses the blank of an obs-fold, and a bare LF */
    return p;
}

/* Whole lines without oddities, which is nearly all of them. Stops at the start of the first other one: the states look at that
 * again, and they alone refuse. */
static const char *take_plain_lines(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    while (p < end && *p != '\r') {
        const char *name_end = skip_token(p, end), *value;
        if (name_end == p || end - name_end < 4 || *name_end != ':')
            break;
        value = name_end + (name_end[1] == ' ' ? 2 : 1);
        if (*value == ' ' || *value == '\t')
            break;
        const char *value_end = skip_text(value, end);
        if (end - value_end < 2 || value_end[0] != '\r' || value_end[1] != '\n')
            break;
        x->name = (uint32_t)(p - head);
        x->name_n = (uint32_t)(name_end - p);
        if (!add_field(x, head, value, value_end))
            break;
        p = value_end + 2;
    }
    return p;
}

static const char *take_fields(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    while (p < end) {
        switch (x->state) {
        case S_FIELD:
            p = take_plain_lines(x, head, p, end);
            if (p < end)
                p = take_field_start(x, head, p);
            break;
        case S_NAME:
            p = take_name(x, head, p, end);
            break;
        case S_BLANK:
            while (p < end && (*p == ' ' || *p == '\t'))
                p++;
            if (p < end) {
                x->token = (uint32_t)(p - head);
                x->state = S_VALUE;
            }
            break;
        case S_VALUE:
            p = take_value(x, head, p, end);
            break;
        case S_START_LF:
        case S_VALUE_LF:
            if (*p != '\n')
                return bad(x, p, WEIR_H1_FAULT_CODEC);
            x->state = S_FIELD;
            p++;
            break;
        case S_END_LF:
            if (*p != '\n')
                return bad(x, p, WEIR_H1_FAULT_CODEC);
            x->state = S_DONE;
            return p + 1;
        default:
            return p;
        }
    }
    return p;
}

static const char *take_start_line(struct weir_h1_parser *x, const char *head, const char *p, const char *end)
{
    while (p < end) {
        switch (x->state) {
        case S_METHOD:
            p = take_method(x, head, p, end);
            break;
        case S_TARGET:
            p = take_target(x, head, p, end);
            break;
        case S_VERSION:
        case S_STATUS_VERSION:
            p = take_version(x, head, p, end);
            break;
        case S_STATUS:
            p = take_status(x, head, p, end);
            break;
        case S_STATUS_END:
        case S_REASON:
            p = take_reason(x, p, end);
            break;
        default:
            return p;
        }
    }
    return p;
}

enum weir_h1_result weir_h1_parse(struct weir_h1_parser *x, const char *head, size_t n)
{
    const char *end = head + (n < x->bytes_max ? n : x->bytes_max);
    const char *p = head + x->at;
    if (x->state < S_START_LF)
        p = take_start_line(x, head, p, end);
    p = take_fields(x, head, p, end);
    x->at = (uint32_t)(p - head);
    if (x->state == S_DONE)
        return WEIR_H1_DONE;
    if (x->state != S_BAD && n <= x->bytes_max)
        return WEIR_H1_MORE;
    if (x->state != S_BAD)
        bad(x, p, WEIR_H1_FAULT_TOO_LARGE);
    return WEIR_H1_BAD;
}
