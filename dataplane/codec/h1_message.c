/* From the tokens of an HTTP/1 head to headers, framing and the fate of the connection (RFC 9112 3 and 6). Called by
 * h1_server and h1_client once a head is complete. */
#include "dataplane/base/str.h"
#include "dataplane/codec/h1_parse.h"
#include "dataplane/codec/trailers.h"
#include "dataplane/limits.h"

/* What one pass over the fields gathers beside the headers that stay. */
struct fields {
    struct weir_str host, upgrade, length_text;
    uint32_t hosts, lengths, encodings;
    uint64_t length;
    uint32_t underscores;
    bool chunked, bad_length;
    bool close, keep_alive, connection_upgrade, te_trailers;
    bool bad_connection;
    uint32_t named_count; /* headers that Connection names */
    struct weir_str named[WEIR_H1_CONNECTION_TOKENS_MAX];
};

/* Eight bytes at a time: sets bit 5 of what lies between A and Z. */
static inline uint64_t lower_word(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = ones * 0x7f;
    uint64_t upper = ((w & low) + ones * (0x80 - 'A')) & ~((w & low) + ones * (0x80 - 'Z' - 1)) & ~w & ~low;
    return w | upper >> 2;
}

static void lower(char *p, size_t n)
{
    uint64_t w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&w, p + i, 8);
        w = lower_word(w);
        memcpy(p + i, &w, 8);
    }
    if (i > 0 && i < n) { /* the last eight again: lowering twice does no harm */
        memcpy(&w, p + n - 8, 8);
        w = lower_word(w);
        memcpy(p + n - 8, &w, 8);
        return;
    }
    for (; i < n; i++)
        p[i] = weir_lower(p[i]);
}

static void put(struct weir_headers *h, enum weir_header_id id, struct weir_str name, struct weir_str value)
{
    h->at[h->count++] = (struct weir_header){name, value, (uint16_t)id};
    h->bytes += (uint32_t)(name.n + value.n);
}

/* RFC 9110 7.6.1: what the field names goes with it. Naming what tells where a request came from or goes is an attack. */
static void read_connection(struct fields *f, struct weir_str value)
{
    struct weir_str token;
    for (size_t at = 0; weir_header_list_next(value, &at, &token);) {
        if (weir_str_eq_nocase(token, WEIR_STR("close"))) {
            f->close = true;
        } else if (weir_str_eq_nocase(token, WEIR_STR("keep-alive"))) {
            f->keep_alive = true;
        } else if (weir_str_eq_nocase(token, WEIR_STR("upgrade"))) {
            f->connection_upgrade = true;
        } else if (weir_str_eq_nocase(token, WEIR_STR("te")) || weir_str_eq_nocase(token, WEIR_STR("http2-settings")) ||
                   weir_str_eq_nocase(token, WEIR_STR("connection"))) {
            continue; /* handled wherever they stand */
        } else if (f->named_count == WEIR_H1_CONNECTION_TOKENS_MAX || !weir_header_name_valid(token) ||
                   weir_str_eq_nocase(token, WEIR_STR("host")) || weir_str_starts_nocase(token, WEIR_STR("x-forwarded-"))) {
            f->bad_connection = true;
        } else {
            f->named[f->named_count++] = token;
        }
    }
}

static void read_length(struct fields *f, struct weir_str value)
{
    f->lengths++;
    f->length_text = value;
    /* A 19-digit number cannot wrap a sum of bytes; nothing longer is meant honestly. */
    if (value.n > 19 || !weir_str_u64(value, &f->length))
        f->bad_length = true;
}

/* Takes what is the connection's out of the way; true: the field stays in the headers. */
static bool keep_field(struct fields *f, enum weir_header_id id, struct weir_str value, bool request)
{
    switch (id) {
    case WEIR_H_HOST:
        if (!request)
            return true;
        f->hosts++;
        f->host = value;
        return false;
    case WEIR_H_CONTENT_LENGTH:
        read_length(f, value);
        return true;
    case WEIR_H_TRANSFER_ENCODING:
        f->encodings++;
        f->chunked = weir_str_eq_nocase(value, WEIR_STR("chunked"));
        return false;
    case WEIR_H_CONNECTION:
        read_connection(f, value);
        return false;
    case WEIR_H_UPGRADE:
        f->upgrade = value;
        return false;
    case WEIR_H_TE:
        if (!request)
            return true;
        f->te_trailers |= weir_header_list_has(value, WEIR_STR("trailers"));
        return false;
    case WEIR_H_KEEP_ALIVE:
    case WEIR_H_PROXY_CONNECTION:
        return false;
    case WEIR_H_HTTP2_SETTINGS:
        return !request;
    default:
        return true;
    }
}

/* Room for what the middle adds, so that the array seldom grows: x-request-id, x-forwarded-proto and the like. */
#define SPARE_HEADERS 12

static void read_fields(const struct weir_h1_parser *x, char *head, const struct weir_codec_config *config, bool request,
                        uint32_t pseudo, struct weir_headers *out, struct fields *f)
{
    memset(f, 0, offsetof(struct fields, named));
    weir_headers_init(out, x->arena);
    out->capacity = x->count + pseudo + SPARE_HEADERS;
    out->at = weir_h1_room(x->arena, out->capacity * sizeof *out->at);
    out->count = pseudo;
    memset(out->at, 0, pseudo * sizeof *out->at); /* lookups before they are filled pass over them */
    for (uint32_t i = 0; i < x->count; i++) {
        const struct weir_h1_field *t = &x->fields[i];
        lower(head + t->name, t->name_n);
        struct weir_str name = {head + t->name, t->name_n};
        struct weir_str value = {head + t->value, t->value_n};
        enum weir_header_id id = weir_header_id(name);
        if (id == WEIR_H_NONE && request && config->underscores != WEIR_UNDERSCORE_ALLOW && memchr(name.p, '_', name.n) != NULL) {
            f->underscores++;
            continue;
        }
        if (id == WEIR_H_NONE || keep_field(f, id, value, request))
            put(out, id, name, value);
    }
    if (f->te_trailers)
        put(out, WEIR_H_TE, weir_header_name(WEIR_H_TE), WEIR_STR("trailers"));
}

/* reg-name, IPv4 or [IPv6] with an optional port: RFC 3986 3.2 without userinfo. */
static bool authority_valid(struct weir_str s)
{
    static const bool allowed[256] = {
        ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1, ['!'] = 1, ['$'] = 1,
        ['&'] = 1, ['\''] = 1, ['('] = 1, [')'] = 1, ['*'] = 1, ['+'] = 1, [','] = 1, [';'] = 1, ['='] = 1, [':'] = 1, ['['] = 1,
        [']'] = 1, ['%'] = 1,
    };
    for (size_t i = 0; i < s.n; i++)
        if (!allowed[(uint8_t)s.p[i]])
            return false;
    return true;
}

/* authority-form, RFC 9112 3.2.3: host and port, both there. */
static bool connect_target_valid(struct weir_str s)
{
    size_t digits = 0;
    while (digits < s.n && s.p[s.n - 1 - digits] >= '0' && s.p[s.n - 1 - digits] <= '9')
        digits++;
    return digits > 0 && digits <= 5 && s.n > digits + 1 && s.p[s.n - 1 - digits] == ':' && authority_valid(s);
}

/* Splits absolute-form (RFC 9112 3.2.2). Sets what it finds; `path` "/" where there is none. */
static enum weir_h1_fault split_absolute(struct weir_str target, struct weir_arena *arena, struct weir_str *scheme,
                                         struct weir_str *authority, struct weir_str *path)
{
    size_t colon = weir_str_find(target, ':');
    *scheme = (struct weir_str){target.p, colon};
    bool http = weir_str_eq_nocase(*scheme, WEIR_STR("http"));
    if (!http && !weir_str_eq_nocase(*scheme, WEIR_STR("https")))
        return WEIR_H1_FAULT_URL;
    *scheme = http ? WEIR_STR("http") : WEIR_STR("https");
    struct weir_str rest = {target.p + colon, target.n - colon};
    if (!weir_str_starts(rest, WEIR_STR("://")))
        return WEIR_H1_FAULT_URL;
    rest = (struct weir_str){rest.p + 3, rest.n - 3};
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?' && rest.p[n] != '#')
        n++;
    *authority = (struct weir_str){rest.p, n};
    *path = (struct weir_str){rest.p + n, rest.n - n};
    if (n == 0 || !authority_valid(*authority))
        return WEIR_H1_FAULT_URL;
    if (path->n == 0)
        *path = WEIR_STR("/");
    else if (path->p[0] != '/')
        *path = weir_arena_printf(arena, "/%.*s", WEIR_STR_ARG(*path));
    return WEIR_H1_FAULT_NONE;
}

static enum weir_h1_fault read_target(const struct weir_h1_parser *x, struct weir_str target, struct weir_str method,
                                      const struct weir_codec_config *config, struct weir_str *scheme,
                                      struct weir_str *authority, struct weir_str *path)
{
    *scheme = *path = (struct weir_str){NULL, 0};
    if (target.p[0] == '/' || (target.n == 1 && target.p[0] == '*')) {
        if (weir_str_eq(method, WEIR_STR("CONNECT")))
            return WEIR_H1_FAULT_URL;
        *path = target;
        return WEIR_H1_FAULT_NONE;
    }
    if (weir_str_eq(method, WEIR_STR("CONNECT"))) {
        *authority = target;
        return connect_target_valid(target) ? WEIR_H1_FAULT_NONE : WEIR_H1_FAULT_URL;
    }
    if (!weir_str_contains(target, WEIR_STR("://")))
        return WEIR_H1_FAULT_CODEC;
    if (!config->h1_allow_absolute_url) {
        *path = target;
        return WEIR_H1_FAULT_NONE;
    }
    return split_absolute(target, x->arena, scheme, authority, path);
}

static enum weir_h1_fault check_request(const struct weir_h1_parser *x, const struct fields *f,
                                        const struct weir_codec_config *config, bool http10)
{
    if (f->lengths > 1 || f->bad_length)
        return WEIR_H1_FAULT_CODEC;
    if (f->encodings > 1 || (f->encodings == 1 && !f->chunked))
        return WEIR_H1_FAULT_TRANSFER_ENCODING;
    if (f->chunked && f->lengths > 0 && !config->h1_allow_chunked_length)
        return WEIR_H1_FAULT_LENGTH_AND_CHUNKED;
    if (f->hosts > 1 || !authority_valid(f->host))
        return WEIR_H1_FAULT_AUTHORITY;
    if (f->underscores > 0 && config->underscores == WEIR_UNDERSCORE_REJECT)
        return WEIR_H1_FAULT_UNDERSCORE;
    if (f->bad_connection)
        return WEIR_H1_FAULT_CONNECTION_HEADER;
    if (!(x->major == 1 && x->minor == 1) && !(http10 && config->h1_accept_http_10))
        return WEIR_H1_FAULT_LOW_VERSION;
    if (f->chunked && http10) /* RFC 9112 6.1: the framing is faulty */
        return WEIR_H1_FAULT_CODEC;
    return WEIR_H1_FAULT_NONE;
}

static void set_request_body(const struct fields *f, struct weir_headers *out, struct weir_h1_message *m)
{
    if (f->chunked) {
        if (f->lengths > 0)
            weir_headers_remove(out, WEIR_H_CONTENT_LENGTH);
        m->body = WEIR_H1_BODY_CHUNKED;
    } else if (f->lengths > 0 && f->length > 0) {
        m->body = WEIR_H1_BODY_LENGTH;
        m->length = f->length;
    }
}

/* The pseudo headers stand first, in the order that HTTP/2 upstreams see. Four slots were left free. */
static void put_pseudo(struct weir_headers *out, struct weir_str method, struct weir_str scheme, struct weir_str authority,
                       struct weir_str path)
{
    uint32_t count = out->count;
    out->count = (authority.p == NULL) + (path.p == NULL) + (scheme.p == NULL);
    uint32_t skip = out->count;
    if (authority.p != NULL)
        put(out, WEIR_H_AUTHORITY, weir_header_name(WEIR_H_AUTHORITY), authority);
    if (path.p != NULL)
        put(out, WEIR_H_PATH, weir_header_name(WEIR_H_PATH), path);
    put(out, WEIR_H_METHOD, weir_header_name(WEIR_H_METHOD), method);
    if (scheme.p != NULL)
        put(out, WEIR_H_SCHEME, weir_header_name(WEIR_H_SCHEME), scheme);
    out->at += skip;
    out->count = count - skip;
    out->capacity -= skip;
}

enum weir_h1_fault weir_h1_request_read(const struct weir_h1_parser *x, char *head, const struct weir_codec_config *config,
                                        struct weir_headers *out, struct weir_h1_message *m)
{
    struct fields f;
    *m = (struct weir_h1_message){.http10 = (x->major == 1 && x->minor == 0) || (x->major == 0 && x->minor == 9)};
    read_fields(x, head, config, true, 4, out, &f);
    m->underscores = f.underscores;
    enum weir_h1_fault fault = check_request(x, &f, config, m->http10);
    if (fault != WEIR_H1_FAULT_NONE)
        return fault;
    struct weir_str method = {head, x->method_n}, target = {head + x->target, x->target_n};
    struct weir_str scheme, path, authority = f.host;
    if (f.hosts == 0 && m->http10 && config->h1_default_host.n > 0)
        authority = config->h1_default_host;
    fault = read_target(x, target, method, config, &scheme, &authority, &path);
    if (fault != WEIR_H1_FAULT_NONE)
        return fault;
    m->head = weir_str_eq(method, WEIR_STR("HEAD"));
    m->persistent = !f.close && (!m->http10 || f.keep_alive);
    set_request_body(&f, out, m);
    if (path.p == NULL) { /* CONNECT has no content (RFC 9110 9.3.6) */
        if (m->body != WEIR_H1_BODY_NONE)
            return WEIR_H1_FAULT_BODY_DISALLOWED;
        m->tunnel = WEIR_TUNNEL_CONNECT;
    } else if (f.connection_upgrade && f.upgrade.n > 0 && !m->http10 && m->body == WEIR_H1_BODY_NONE &&
               !weir_header_list_has(f.upgrade, WEIR_STR("h2c"))) {
        m->tunnel = WEIR_TUNNEL_UPGRADE;
        put(out, WEIR_H_UPGRADE, weir_header_name(WEIR_H_UPGRADE), f.upgrade);
    }
    put_pseudo(out, method, scheme, authority, path);
    for (uint32_t i = 0; i < f.named_count; i++) {
        char *name = head + (f.named[i].p - head);
        lower(name, f.named[i].n);
        weir_headers_remove_name(out, f.named[i]);
    }
    return WEIR_H1_FAULT_NONE;
}

static enum weir_h1_fault set_response_body(const struct fields *f, const struct weir_h1_message *request,
                                            struct weir_headers *out, struct weir_h1_message *m)
{
    bool informational = m->status < 200;
    if (informational || m->status == 204) {
        if (f->encodings > 0)
            return WEIR_H1_FAULT_BODY_DISALLOWED;
        if (f->lengths > 0)
            weir_headers_remove(out, WEIR_H_CONTENT_LENGTH);
    }
    if (informational || m->status == 204 || m->status == 304 || request->head)
        m->body = WEIR_H1_BODY_NONE;
    else if (f->chunked)
        m->body = WEIR_H1_BODY_CHUNKED;
    else if (f->lengths > 0)
        m->body = f->length > 0 ? WEIR_H1_BODY_LENGTH : WEIR_H1_BODY_NONE;
    else
        m->body = WEIR_H1_BODY_CLOSE;
    m->length = f->length;
    return WEIR_H1_FAULT_NONE;
}

enum weir_h1_fault weir_h1_response_read(const struct weir_h1_parser *x, char *head, const struct weir_codec_config *config,
                                         const struct weir_h1_message *request, struct weir_headers *out,
                                         struct weir_h1_message *m)
{
    struct fields f;
    *m = (struct weir_h1_message){.status = x->status, .http10 = x->minor == 0};
    read_fields(x, head, config, false, 1, out, &f);
    if (x->major != 1 || f.lengths > 1 || f.bad_length)
        return WEIR_H1_FAULT_CODEC;
    if (f.encodings > 1 || (f.encodings == 1 && (!f.chunked || m->http10)))
        return WEIR_H1_FAULT_TRANSFER_ENCODING;
    if (f.chunked && f.lengths > 0)
        return WEIR_H1_FAULT_LENGTH_AND_CHUNKED;
    if (m->status == 101 && request->tunnel != WEIR_TUNNEL_UPGRADE)
        return WEIR_H1_FAULT_CODEC;
    uint32_t count = out->count;
    out->count = 0;
    /* The digits stand after "HTTP/1.1 ". */
    put(out, WEIR_H_STATUS, weir_header_name(WEIR_H_STATUS), (struct weir_str){head + 9, 3});
    out->count = count;
    m->persistent = !f.close && (!m->http10 || f.keep_alive);
    if (weir_tunnel_accepts(request->tunnel, m->status)) {
        m->tunnel = request->tunnel;
        m->body = WEIR_H1_BODY_TUNNEL;
        weir_headers_remove(out, WEIR_H_CONTENT_LENGTH);
        if (m->tunnel == WEIR_TUNNEL_UPGRADE && f.upgrade.n > 0)
            put(out, WEIR_H_UPGRADE, weir_header_name(WEIR_H_UPGRADE), f.upgrade);
        return WEIR_H1_FAULT_NONE;
    }
    return set_response_body(&f, request, out, m);
}

void weir_h1_trailers_read(const struct weir_h1_parser *x, char *head, struct weir_headers *out)
{
    weir_headers_init(out, x->arena);
    out->capacity = x->count + 1;
    out->at = weir_h1_room(x->arena, out->capacity * sizeof *out->at);
    for (uint32_t i = 0; i < x->count; i++) {
        const struct weir_h1_field *t = &x->fields[i];
        lower(head + t->name, t->name_n);
        struct weir_str name = {head + t->name, t->name_n};
        enum weir_header_id id = weir_header_id(name);
        if (!weir_trailer_dropped(id))
            put(out, id, name, (struct weir_str){head + t->value, t->value_n});
    }
}
