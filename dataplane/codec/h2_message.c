/* Header blocks of HTTP/2 as messages (RFC 9113 8.2, 8.3, 8.5, RFC 8441 4). Invariant: what passes here can be written as an
 * HTTP/1 head without a change of meaning: no CR, LF, NUL or other control in a value, names are lower-case tokens, a
 * target is a path, there is one host and one length. */
#include "dataplane/codec/h2_message.h"

#include <assert.h>

#include "dataplane/base/str.h"
#include "dataplane/codec/trailers.h"

enum { PSEUDO_METHOD = 1, PSEUDO_SCHEME = 2, PSEUDO_AUTHORITY = 4, PSEUDO_PATH = 8, PSEUDO_PROTOCOL = 16, PSEUDO_STATUS = 32 };
/* Of one character: may stand in a name (RFC 9110 5.6.2, no upper case), in an authority without user information (RFC 3986
 * 3.2.2, 3.2.3), in a scheme behind its first letter (3.1). */
enum { IN_NAME = 1, IN_AUTHORITY = 2, IN_SCHEME = 4 };

#define ALNUM_LOWER(x)                                                                                                  \
    ['a'] = x, ['b'] = x, ['c'] = x, ['d'] = x, ['e'] = x, ['f'] = x, ['g'] = x, ['h'] = x, ['i'] = x, ['j'] = x, ['k'] = x,    \
    ['l'] = x, ['m'] = x, ['n'] = x, ['o'] = x, ['p'] = x, ['q'] = x, ['r'] = x, ['s'] = x, ['t'] = x, ['u'] = x, ['v'] = x,    \
    ['w'] = x, ['x'] = x, ['y'] = x, ['z'] = x, ['0'] = x, ['1'] = x, ['2'] = x, ['3'] = x, ['4'] = x, ['5'] = x, ['6'] = x,    \
    ['7'] = x, ['8'] = x, ['9'] = x
#define UPPER(x)                                                                                                        \
    ['A'] = x, ['B'] = x, ['C'] = x, ['D'] = x, ['E'] = x, ['F'] = x, ['G'] = x, ['H'] = x, ['I'] = x, ['J'] = x, ['K'] = x,    \
    ['L'] = x, ['M'] = x, ['N'] = x, ['O'] = x, ['P'] = x, ['Q'] = x, ['R'] = x, ['S'] = x, ['T'] = x, ['U'] = x, ['V'] = x,    \
    ['W'] = x, ['X'] = x, ['Y'] = x, ['Z'] = x
static const uint8_t classes[256] = {
    ALNUM_LOWER(IN_NAME | IN_AUTHORITY | IN_SCHEME),
    UPPER(IN_AUTHORITY | IN_SCHEME),
    ['!'] = IN_NAME | IN_AUTHORITY,
    ['#'] = IN_NAME,
    ['$'] = IN_NAME | IN_AUTHORITY,
    ['%'] = IN_NAME | IN_AUTHORITY,
    ['&'] = IN_NAME | IN_AUTHORITY,
    ['\''] = IN_NAME | IN_AUTHORITY,
    ['*'] = IN_NAME | IN_AUTHORITY,
    ['+'] = IN_NAME | IN_AUTHORITY | IN_SCHEME,
    ['-'] = IN_NAME | IN_AUTHORITY | IN_SCHEME,
    ['.'] = IN_NAME | IN_AUTHORITY | IN_SCHEME,
    ['^'] = IN_NAME,
    ['_'] = IN_NAME | IN_AUTHORITY,
    ['`'] = IN_NAME,
    ['|'] = IN_NAME,
    ['~'] = IN_NAME | IN_AUTHORITY,
    ['('] = IN_AUTHORITY,
    [')'] = IN_AUTHORITY,
    [','] = IN_AUTHORITY,
    [';'] = IN_AUTHORITY,
    ['='] = IN_AUTHORITY,
    [':'] = IN_AUTHORITY,
    ['['] = IN_AUTHORITY,
    [']'] = IN_AUTHORITY,
};

static bool all_of(struct weir_str s, uint8_t class)
{
    for (size_t i = 0; i < s.n; i++)
        if ((classes[(uint8_t)s.p[i]] & class) == 0) return false;
    return s.n != 0;
}

/* Whether one of eight bytes is below 0x20 or 0x7f: exact as a yes or no. */
static bool has_control(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t del = v ^ ones * 0x7f;
    return (((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & highs;
}

static bool value_valid(struct weir_str v)
{
    size_t i = 0;
    for (; i + 8 <= v.n; i += 8) {
        uint64_t word;
        memcpy(&word, v.p + i, sizeof(word));
        if (has_control(word)) break;
    }
    return weir_header_value_valid((struct weir_str){v.p + i, v.n - i});
}

static bool path_valid(struct weir_str p)
{
    for (size_t i = 0; i < p.n; i++)
        if ((uint8_t)p.p[i] <= ' ' || p.p[i] == 0x7f) return false;
    return p.n != 0;
}

static bool scheme_valid(struct weir_str s)
{
    return s.n != 0 && weir_lower(s.p[0]) >= 'a' && weir_lower(s.p[0]) <= 'z' && all_of(s, IN_SCHEME);
}

void weir_h2_message_init(struct weir_h2_message *m, enum weir_h2_block block, bool connect_protocol)
{
    *m = (struct weir_h2_message){.block = block, .connect_protocol = connect_protocol, .content_length = -1};
}

/* Three digits, 100 to 999; 101 has no meaning here (RFC 9113 8.6). */
static bool status_parse(struct weir_h2_message *m, struct weir_str v)
{
    uint64_t status = 0;
    if (v.n != 3 || !weir_str_u64(v, &status) || status < 100 || status == 101) return false;
    m->status = (uint16_t)status;
    return true;
}

static enum weir_h2_fault pseudo_field(struct weir_h2_message *m, enum weir_header_id id, struct weir_str v)
{
    uint8_t bit = 0;
    bool valid = false;
    switch (id) {
    case WEIR_H_METHOD:
        bit = PSEUDO_METHOD;
        valid = weir_header_name_valid(v); /* a token too */
        m->connect = weir_str_eq(v, WEIR_STR("CONNECT"));
        m->options = weir_str_eq(v, WEIR_STR("OPTIONS"));
        break;
    case WEIR_H_SCHEME:
        bit = PSEUDO_SCHEME;
        valid = scheme_valid(v);
        break;
    case WEIR_H_AUTHORITY:
        bit = PSEUDO_AUTHORITY;
        valid = all_of(v, IN_AUTHORITY);
        break;
    case WEIR_H_PATH:
        bit = PSEUDO_PATH;
        valid = path_valid(v);
        m->asterisk = weir_str_eq(v, WEIR_STR("*"));
        break;
    case WEIR_H_PROTOCOL:
        bit = PSEUDO_PROTOCOL;
        valid = m->connect_protocol && weir_header_name_valid(v);
        break;
    case WEIR_H_STATUS:
        bit = PSEUDO_STATUS;
        valid = status_parse(m, v);
        break;
    default: break;
    }
    bool ours = (bit == PSEUDO_STATUS) == (m->block == WEIR_H2_RESPONSE) && m->block != WEIR_H2_TRAILERS;
    if (!valid || !ours || m->regular || (m->pseudo & bit) != 0) return WEIR_H2_FIELD;
    m->pseudo |= bit;
    return WEIR_H2_FINE;
}

static enum weir_h2_fault length_field(struct weir_h2_message *m, struct weir_str v)
{
    uint64_t n = 0;
    if (m->content_length >= 0 || !weir_str_u64(v, &n) || n > INT64_MAX) return WEIR_H2_FIELD;
    m->content_length = (int64_t)n;
    return WEIR_H2_FINE;
}

/* Fields that have a meaning for the framing of messages, here or where the message goes. */
static enum weir_h2_fault framing_field(struct weir_h2_message *m, enum weir_header_id id, struct weir_str v)
{
    switch (id) {
    case WEIR_H_CONNECTION:
    case WEIR_H_KEEP_ALIVE:
    case WEIR_H_PROXY_CONNECTION:
    case WEIR_H_TRANSFER_ENCODING:
    case WEIR_H_UPGRADE: return WEIR_H2_FIELD;
    case WEIR_H_TE: return weir_str_eq_nocase(v, WEIR_STR("trailers")) ? WEIR_H2_FINE : WEIR_H2_FIELD;
    case WEIR_H_CONTENT_LENGTH: return length_field(m, v);
    case WEIR_H_HOST:
        if (m->block != WEIR_H2_REQUEST) return WEIR_H2_FINE;
        if (m->host || !all_of(v, IN_AUTHORITY)) return WEIR_H2_FIELD;
        m->host = true;
        return WEIR_H2_FINE;
    case WEIR_H_COOKIE: m->cookies += m->block == WEIR_H2_REQUEST; return WEIR_H2_FINE;
    default: return WEIR_H2_FINE;
    }
}

static enum weir_h2_fault underscore(const struct weir_codec_config *config, struct weir_str name)
{
    if (config->underscores == WEIR_UNDERSCORE_ALLOW || memchr(name.p, '_', name.n) == NULL) return WEIR_H2_FINE;
    return config->underscores == WEIR_UNDERSCORE_DROP ? WEIR_H2_DROPPED : WEIR_H2_UNDERSCORE;
}

enum weir_h2_fault weir_h2_message_field(struct weir_h2_message *m, const struct weir_codec_config *config,
                                         struct weir_headers *h, struct weir_str name, struct weir_str value)
{
    m->count++;
    m->bytes += (uint32_t)(name.n + value.n); /* HPACK bounds both to 64 KiB, and the sum is checked each time */
    if (m->count > config->header_count_max) return WEIR_H2_MANY;
    if (m->bytes > config->header_bytes_max) return WEIR_H2_LARGE;

    enum weir_header_id id = weir_header_id(name);
    enum weir_h2_fault fault = WEIR_H2_FINE;
    if (!value_valid(value)) return WEIR_H2_FIELD;
    if (name.n != 0 && name.p[0] == ':') {
        fault = pseudo_field(m, id, value);
    } else {
        m->regular = true;
        if (id == WEIR_H_NONE) {
            if (!all_of(name, IN_NAME)) return WEIR_H2_FIELD;
            if (m->block == WEIR_H2_REQUEST) fault = underscore(config, name);
        } else {
            fault = framing_field(m, id, value);
        }
    }
    if (fault != WEIR_H2_FINE || (m->block == WEIR_H2_TRAILERS && weir_trailer_dropped(id))) return fault;
    /* RFC 9113 8.2.1 forbids blanks around a value. What frames or routes was refused with them above; elsewhere they mean nothing. */
    value = weir_arena_str(h->arena, weir_str_trim(value));
    if (id != WEIR_H_NONE)
        weir_headers_add(h, id, value);
    else
        weir_headers_add_name(h, weir_arena_str(h->arena, name), value);
    return WEIR_H2_FINE;
}

/* RFC 9113 8.2.3. The joined one goes last, where Envoy puts it. */
static void join_cookies(struct weir_h2_message *m, struct weir_headers *h)
{
    size_t n = 0;
    char *joined = NULL;
    struct weir_str one = {NULL, 0};
    if (m->cookies > 1) joined = weir_arena_alloc(h->arena, m->bytes + 2 * m->cookies);
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->at[i].id != WEIR_H_COOKIE) continue;
        one = h->at[i].value;
        if (joined == NULL) continue;
        if (n != 0) {
            memcpy(joined + n, "; ", 2);
            n += 2;
        }
        memcpy(joined + n, one.p, one.n);
        n += one.n;
    }
    (void)weir_headers_remove(h, WEIR_H_COOKIE);
    weir_headers_add(h, WEIR_H_COOKIE, joined != NULL ? (struct weir_str){joined, n} : one);
}

static enum weir_h2_fault request_end(struct weir_h2_message *m, struct weir_headers *h, bool end_stream)
{
    if (m->connect && (m->pseudo & PSEUDO_PROTOCOL) == 0) {
        if ((m->pseudo & (PSEUDO_SCHEME | PSEUDO_PATH)) != 0 || (m->pseudo & PSEUDO_AUTHORITY) == 0) return WEIR_H2_RULE;
        m->content_length = -1;
    } else {
        const uint8_t all = PSEUDO_METHOD | PSEUDO_SCHEME | PSEUDO_PATH;
        if ((m->pseudo & all) != all || ((m->pseudo & PSEUDO_AUTHORITY) == 0 && !m->host)) return WEIR_H2_RULE;
        if ((m->pseudo & PSEUDO_PROTOCOL) != 0 && (!m->connect || (m->pseudo & PSEUDO_AUTHORITY) == 0)) return WEIR_H2_RULE;
        struct weir_str path = weir_headers_get(h, WEIR_H_PATH);
        if (path.p[0] != '/' && !(m->asterisk && m->options)) return WEIR_H2_RULE;
    }
    if (end_stream && m->content_length > 0) return WEIR_H2_RULE;
    if (m->host) {
        if ((m->pseudo & PSEUDO_AUTHORITY) == 0) weir_headers_add(h, WEIR_H_AUTHORITY, weir_headers_get(h, WEIR_H_HOST));
        (void)weir_headers_remove(h, WEIR_H_HOST);
    }
    if (m->cookies != 0) join_cookies(m, h);
    return WEIR_H2_FINE;
}

static enum weir_h2_fault response_end(const struct weir_h2_message *m, struct weir_headers *h, bool end_stream)
{
    if (m->status == 0) return WEIR_H2_RULE;
    if (m->status < 200) return end_stream || m->content_length >= 0 ? WEIR_H2_RULE : WEIR_H2_FINE;
    if (m->status == 204 && m->content_length >= 0) {
        /* RFC 9110 8.6 forbids it; a 0 is common and says nothing. */
        if (m->content_length != 0) return WEIR_H2_FIELD;
        (void)weir_headers_remove(h, WEIR_H_CONTENT_LENGTH);
    }
    return WEIR_H2_FINE;
}

enum weir_h2_fault weir_h2_message_end(struct weir_h2_message *m, struct weir_headers *h, bool end_stream)
{
    switch (m->block) {
    case WEIR_H2_REQUEST: return request_end(m, h, end_stream);
    case WEIR_H2_RESPONSE: return response_end(m, h, end_stream);
    case WEIR_H2_TRAILERS: return end_stream ? WEIR_H2_FINE : WEIR_H2_RULE;
    }
    return WEIR_H2_RULE;
}
