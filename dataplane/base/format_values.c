/* Values of commands, asked for on workers. Nothing here changes the request. */
#include <arpa/inet.h>
#include <time.h>

#include "dataplane/base/format_tables.h"
#include "dataplane/base/random.h"
#include "dataplane/base/str.h"

#define TIME_TEXT_MAX 256

static const void *field(const struct weir_request *r, size_t at)
{
    return (const char *)r + at;
}

static void set_string(struct weir_format_value *out, struct weir_str s)
{
    if (s.p == NULL) return;
    out->kind = WEIR_FORMAT_STRING;
    out->string = s;
}

/* Empty counts as absent. */
static void set_text(struct weir_format_value *out, struct weir_str s)
{
    if (s.n != 0) set_string(out, s);
}

static void set_number(struct weir_format_value *out, uint64_t n)
{
    out->kind = WEIR_FORMAT_NUMBER;
    out->number = (int64_t)n;
}

WEIR_FORMAT_VALUE(u64)
{
    set_number(out, *(const uint64_t *)field(e->request, part->command->at));
}

WEIR_FORMAT_VALUE(u32)
{
    set_number(out, *(const uint32_t *)field(e->request, part->command->at));
}

WEIR_FORMAT_VALUE(string)
{
    set_text(out, *(const struct weir_str *)field(e->request, part->command->at));
}

WEIR_FORMAT_VALUE(duration)
{
    uint64_t from = *(const uint64_t *)field(e->request, part->command->at);
    uint64_t to = *(const uint64_t *)field(e->request, part->command->at2);
    if (from != 0 && to != 0) set_number(out, to > from ? (to - from) / 1000000 : 0);
}

static const struct weir_address *address(const struct weir_format_part *part, const struct weir_request *r)
{
    const void *at = field(r, part->command->at);
    const struct weir_address *a = part->command->at2 != 0 ? *(const struct weir_address *const *)at : at;
    return a != NULL && a->length != 0 ? a : NULL;
}

WEIR_FORMAT_VALUE(address)
{
    const struct weir_address *a = address(part, e->request);
    if (a != NULL) set_string(out, (struct weir_str){e->small, weir_address_print(a, e->small)});
}

static void mask(uint8_t *bytes, unsigned width, unsigned bits)
{
    for (unsigned i = bits; i < width; i++)
        bytes[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

WEIR_FORMAT_VALUE(address_ip)
{
    const struct weir_address *a = address(part, e->request);
    if (a == NULL) return;
    if (part->choice == 0 || !weir_address_is_ip(a)) {
        set_string(out, (struct weir_str){e->small, weir_address_print_ip(a, e->small)});
        return;
    }
    struct weir_address masked = *a;
    unsigned bits = part->choice - 1u, width = a->any.sa_family == AF_INET ? 32 : 128;
    if (bits > width) return;
    mask(width == 32 ? (uint8_t *)&masked.v4.sin_addr : masked.v6.sin6_addr.s6_addr, width, bits);
    size_t n = weir_address_print_ip(&masked, e->small);
    e->small[n++] = '/';
    n += weir_u64_print(e->small + n, bits);
    set_string(out, (struct weir_str){e->small, n});
}

WEIR_FORMAT_VALUE(address_port)
{
    const struct weir_address *a = address(part, e->request);
    if (a != NULL && weir_address_is_ip(a)) set_number(out, weir_address_port(a));
}

static const struct weir_tls_info *tls(const struct weir_format_part *part, const struct weir_request *r)
{
    return *(const struct weir_tls_info *const *)field(r, part->command->at);
}

WEIR_FORMAT_VALUE(tls_string)
{
    const struct weir_tls_info *t = tls(part, e->request);
    if (t != NULL) set_text(out, *(const struct weir_str *)(const void *)((const char *)t + part->command->at2));
}

static void set_time(struct weir_format_value *out, const struct weir_format_part *part, struct weir_format_eval *e,
                     uint64_t wall_ns, bool local)
{
    char *text = e->small;
    size_t size = sizeof(e->small);
    if (part->text.p != NULL) text = weir_arena_alloc(e->arena, size = TIME_TEXT_MAX);
    set_string(out, (struct weir_str){text, weir_time_print(part->text, wall_ns, local, text, size)});
}

WEIR_FORMAT_VALUE(tls_time)
{
    const struct weir_tls_info *t = tls(part, e->request);
    if (t == NULL) return;
    int64_t seconds = *(const int64_t *)(const void *)((const char *)t + part->command->at2);
    if (seconds > 0) set_time(out, part, e, (uint64_t)seconds * 1000000000u, false);
}

WEIR_FORMAT_VALUE(tls_sans)
{
    const struct weir_tls_info *t = tls(part, e->request);
    if (t == NULL) return;
    const struct weir_str *at = NULL;
    uint32_t count = 0;
    switch ((enum weir_format_sans)part->command->at2) {
    case WEIR_SANS_PEER_URI: at = t->peer_uri_sans; count = t->peer_uri_san_count; break;
    case WEIR_SANS_PEER_DNS: at = t->peer_dns_sans; count = t->peer_dns_san_count; break;
    case WEIR_SANS_LOCAL_URI: at = t->local_uri_sans; count = t->local_uri_san_count; break;
    case WEIR_SANS_LOCAL_DNS: at = t->local_dns_sans; count = t->local_dns_san_count; break;
    }
    struct weir_text joined = {.arena = e->arena};
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0) weir_text_add(&joined, WEIR_STR(","));
        weir_text_add(&joined, at[i]);
    }
    set_text(out, (struct weir_str){joined.p, joined.n});
}

static struct weir_str header_by(const struct weir_headers *h, uint16_t id, struct weir_str name)
{
    if (h == NULL || name.n == 0) return (struct weir_str){NULL, 0};
    const struct weir_header *at = id != WEIR_H_NONE ? weir_headers_find(h, id) : weir_headers_find_name(h, name);
    /* A request has either :authority or host; both names ask for the same. */
    if (at == NULL && id == WEIR_H_HOST) at = weir_headers_find(h, WEIR_H_AUTHORITY);
    if (at == NULL && id == WEIR_H_AUTHORITY) at = weir_headers_find(h, WEIR_H_HOST);
    if (at == NULL) return (struct weir_str){NULL, 0};
    return at->value.p != NULL ? at->value : WEIR_STR("");
}

static struct weir_str header(const struct weir_format_part *part, const struct weir_request *r)
{
    const struct weir_headers *h = *(const struct weir_headers *const *)field(r, part->command->at);
    struct weir_str s = header_by(h, part->id, part->text);
    return s.p != NULL ? s : header_by(h, part->id2, part->text2);
}

WEIR_FORMAT_VALUE(header)
{
    set_string(out, header(part, e->request));
}

static struct weir_str without_query(struct weir_str path)
{
    path.n = weir_str_find(path, '?');
    return path;
}

WEIR_FORMAT_VALUE(header_without_query)
{
    set_string(out, without_query(header(part, e->request)));
}

WEIR_FORMAT_VALUE(header_bytes)
{
    const struct weir_headers *h = *(const struct weir_headers *const *)field(e->request, part->command->at);
    set_number(out, h != NULL ? h->bytes : 0);
}

WEIR_FORMAT_VALUE(absent)
{
    (void)part;
    (void)e;
    (void)out;
}

WEIR_FORMAT_VALUE(zero)
{
    (void)part;
    (void)e;
    set_number(out, 0);
}

WEIR_FORMAT_VALUE(empty)
{
    (void)part;
    (void)e;
    set_string(out, WEIR_STR(""));
}

WEIR_FORMAT_VALUE(close_type)
{
    struct weir_str s = *(const struct weir_str *)field(e->request, part->command->at);
    if (part->command->at2 != 0 && e->request->upstream_host.length == 0) return;
    set_string(out, s.n != 0 ? s : WEIR_STR("Normal"));
}

WEIR_FORMAT_VALUE(constant)
{
    (void)e;
    set_string(out, part->text);
}

WEIR_FORMAT_VALUE(start_time)
{
    set_time(out, part, e, e->request->start_wall_ns, part->command->at != 0);
}

WEIR_FORMAT_VALUE(emit_time)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    set_time(out, part, e, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, part->command->at != 0);
}

static const struct {
    struct weir_str name;
    size_t at;
} points[] = {
    {WEIR_STR_INIT(""), 0},
    {WEIR_STR_INIT("DS_RX_BEG"), offsetof(struct weir_request, start_ns)},
    {WEIR_STR_INIT("DS_RX_END"), offsetof(struct weir_request, last_downstream_rx_ns)},
    {WEIR_STR_INIT("US_CX_BEG"), offsetof(struct weir_request, upstream_connect_start_ns)},
    {WEIR_STR_INIT("US_CX_END"), offsetof(struct weir_request, upstream_connected_ns)},
    {WEIR_STR_INIT("US_HS_END"), offsetof(struct weir_request, upstream_connected_ns)},
    {WEIR_STR_INIT("US_TX_BEG"), offsetof(struct weir_request, first_upstream_tx_ns)},
    {WEIR_STR_INIT("US_TX_END"), offsetof(struct weir_request, last_upstream_tx_ns)},
    {WEIR_STR_INIT("US_RX_BEG"), offsetof(struct weir_request, first_upstream_rx_ns)},
    {WEIR_STR_INIT("US_RX_END"), offsetof(struct weir_request, last_upstream_rx_ns)},
    {WEIR_STR_INIT("DS_TX_BEG"), offsetof(struct weir_request, first_downstream_tx_ns)},
    {WEIR_STR_INIT("DS_TX_END"), offsetof(struct weir_request, last_downstream_tx_ns)},
    {WEIR_STR_INIT("DS_CX_BEG"), offsetof(struct weir_request, start_ns)},
    {WEIR_STR_INIT("DS_CX_END"), offsetof(struct weir_request, end_ns)},
};

uint8_t weir_format_time_point(struct weir_str name)
{
    for (uint8_t i = 1; i < sizeof(points) / sizeof(points[0]); i++)
        if (weir_str_eq(points[i].name, name)) return i;
    return 0;
}

WEIR_FORMAT_VALUE(common_duration)
{
    static const int64_t divisors[] = {1, 1000, 1000000};
    if (part->choice == 0 || part->choice2 == 0) return;
    uint64_t from = *(const uint64_t *)field(e->request, points[part->choice].at);
    uint64_t to = *(const uint64_t *)field(e->request, points[part->choice2].at);
    if (from == 0 || to == 0) return;
    out->kind = WEIR_FORMAT_NUMBER;
    out->number = (int64_t)(to - from) / divisors[part->id];
}

WEIR_FORMAT_VALUE(protocol)
{
    switch (*(const enum weir_protocol *)field(e->request, part->command->at)) {
    case WEIR_HTTP10: set_string(out, WEIR_STR("HTTP/1.0")); break;
    case WEIR_HTTP11: set_string(out, WEIR_STR("HTTP/1.1")); break;
    case WEIR_HTTP2: set_string(out, WEIR_STR("HTTP/2")); break;
    case WEIR_TCP:
    case WEIR_PROTOCOL_NONE: break;
    }
}

WEIR_FORMAT_VALUE(code_details)
{
    struct weir_str s = e->request->code_details;
    if (part->choice == 0 && weir_str_find(s, ' ') != s.n) {
        char *p = weir_arena_alloc(e->arena, s.n);
        for (size_t i = 0; i < s.n; i++)
            p[i] = s.p[i] == ' ' ? '_' : s.p[i];
        s.p = p;
    }
    set_text(out, s);
}

WEIR_FORMAT_VALUE(flags)
{
    static const struct weir_str names[][2] = {
#define X(id, short_name, long_name) {WEIR_STR_INIT(short_name), WEIR_STR_INIT(long_name)},
        WEIR_RESPONSE_FLAGS(X)
#undef X
    };
    uint64_t flags = e->request->flags;
    unsigned form = part->command->at;
    if ((flags & (flags - 1)) == 0) { /* none or one: no joining */
        set_string(out, flags == 0 ? WEIR_STR("-") : names[__builtin_ctzll(flags)][form]);
        return;
    }
    struct weir_text joined = {.arena = e->arena};
    const uint64_t passes[] = {flags & e->request->flags_first, flags & ~e->request->flags_first};
    for (unsigned i = 0; i < 2 * WEIR_FLAG_COUNT; i++) {
        unsigned flag = i % WEIR_FLAG_COUNT;
        if ((passes[i / WEIR_FLAG_COUNT] >> flag & 1) == 0) continue;
        if (joined.n != 0) weir_text_add(&joined, WEIR_STR(","));
        weir_text_add(&joined, names[flag][form]);
    }
    set_string(out, (struct weir_str){joined.p, joined.n});
}

WEIR_FORMAT_VALUE(host_name)
{
    const struct weir_address *a = &e->request->upstream_host;
    bool bare = part->command->at != 0;
    struct weir_str name = e->request->upstream_hostname;
    if (name.n != 0) {
        size_t colon = name.n;
        while (colon != 0 && name.p[colon - 1] >= '0' && name.p[colon - 1] <= '9')
            colon--;
        if (bare && colon > 1 && colon < name.n && name.p[colon - 1] == ':') name.n = colon - 1;
        set_string(out, name);
    } else if (a->length != 0) {
        set_string(out, (struct weir_str){e->small, bare ? weir_address_print_ip(a, e->small) : weir_address_print(a, e->small)});
    }
}

enum { SOURCE_BOTH, SOURCE_ORIGINAL, SOURCE_PRESENT };

static struct weir_str header_from(const struct weir_request *r, uint8_t source, enum weir_header_id original,
                                   enum weir_header_id present)
{
    struct weir_str s = {NULL, 0};
    if (r->headers == NULL) return s;
    if (source != SOURCE_PRESENT) s = weir_headers_get(r->headers, original);
    if (s.p == NULL && source != SOURCE_ORIGINAL) s = header_by(r->headers, (uint16_t)present, weir_header_name(present));
    return s;
}

WEIR_FORMAT_VALUE(path)
{
    struct weir_str s = header_from(e->request, part->choice2, WEIR_H_X_ENVOY_ORIGINAL_PATH, WEIR_H_PATH);
    set_string(out, part->choice == 0 ? s : without_query(s));
}

/* The query of the path without fragment; p NULL where there is none. */
static struct weir_str query(const struct weir_request *r)
{
    struct weir_str path = header_from(r, SOURCE_PRESENT, WEIR_H_NONE, WEIR_H_PATH);
    path.n = weir_str_find(path, '#');
    size_t mark = weir_str_find(path, '?');
    if (mark == path.n) return (struct weir_str){NULL, 0};
    return (struct weir_str){path.p + mark + 1, path.n - mark - 1};
}

/* Percent-decodes; what is no escape stays as it is. `visible`: only to characters that can be seen in a line. */
static struct weir_str decode(struct weir_arena *a, struct weir_str s, bool visible)
{
    if (weir_str_find(s, '%') == s.n) return s;
    char *p = weir_arena_alloc(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint64_t byte;
        bool escape = s.p[i] == '%' && i + 2 < s.n && weir_str_hex((struct weir_str){s.p + i + 1, 2}, &byte);
        if (escape && (!visible || (byte > 0x20 && byte < 0x7f))) {
            p[n++] = (char)byte;
            i += 2;
        } else {
            p[n++] = s.p[i];
        }
    }
    return (struct weir_str){p, n};
}

WEIR_FORMAT_VALUE(query_params)
{
    struct weir_str s = query(e->request);
    set_text(out, part->choice == 0 ? s : decode(e->arena, s, true));
}

WEIR_FORMAT_VALUE(query_param)
{
    struct weir_str rest = query(e->request);
    while (rest.n != 0) {
        size_t end = weir_str_find(rest, '&');
        struct weir_str pair = {rest.p, end}, name = pair, value = WEIR_STR("");
        name.n = weir_str_find(pair, '=');
        if (name.n != pair.n) value = (struct weir_str){pair.p + name.n + 1, pair.n - name.n - 1};
        if (weir_str_eq(decode(e->arena, name, false), part->text)) {
            set_string(out, decode(e->arena, value, false));
            return;
        }
        rest = end < rest.n ? (struct weir_str){rest.p + end + 1, rest.n - end - 1} : WEIR_STR("");
    }
}

WEIR_FORMAT_VALUE(server_name)
{
    enum { SNI_ONLY, SNI_FIRST, HOST_FIRST };
    struct weir_str sni = e->request->requested_server_name;
    struct weir_str host = {NULL, 0};
    if (part->choice != SNI_ONLY)
        host = header_from(e->request, part->choice2, WEIR_H_X_ENVOY_ORIGINAL_HOST, WEIR_H_AUTHORITY);
    if (part->choice == HOST_FIRST && host.n != 0)
        set_text(out, host);
    else
        set_text(out, sni.n != 0 ? sni : host);
}

int64_t weir_request_grpc_status(const struct weir_request *r)
{
    const struct weir_headers *places[] = {r->response_trailers, r->response_headers};
    for (int i = 0; i < 2; i++) {
        const struct weir_header *h = places[i] != NULL ? weir_headers_find(places[i], WEIR_H_GRPC_STATUS) : NULL;
        uint64_t v;
        if (h != NULL) return weir_str_u64(h->value, &v) && v <= INT32_MAX ? (int64_t)v : -1;
    }
    switch (r->status) {
    case 400: return 13;
    case 401: return 16;
    case 403: return 7;
    case 404: return 12;
    case 429: case 502: case 503: case 504: return 14;
    default: return 2;
    }
}

WEIR_FORMAT_VALUE(grpc_status)
{
    static const struct weir_str names[][2] = {
        {WEIR_STR_INIT("OK"), WEIR_STR_INIT("OK")},
        {WEIR_STR_INIT("Canceled"), WEIR_STR_INIT("CANCELLED")},
        {WEIR_STR_INIT("Unknown"), WEIR_STR_INIT("UNKNOWN")},
        {WEIR_STR_INIT("InvalidArgument"), WEIR_STR_INIT("INVALID_ARGUMENT")},
        {WEIR_STR_INIT("DeadlineExceeded"), WEIR_STR_INIT("DEADLINE_EXCEEDED")},
        {WEIR_STR_INIT("NotFound"), WEIR_STR_INIT("NOT_FOUND")},
        {WEIR_STR_INIT("AlreadyExists"), WEIR_STR_INIT("ALREADY_EXISTS")},
        {WEIR_STR_INIT("PermissionDenied"), WEIR_STR_INIT("PERMISSION_DENIED")},
        {WEIR_STR_INIT("ResourceExhausted"), WEIR_STR_INIT("RESOURCE_EXHAUSTED")},
        {WEIR_STR_INIT("FailedPrecondition"), WEIR_STR_INIT("FAILED_PRECONDITION")},
        {WEIR_STR_INIT("Aborted"), WEIR_STR_INIT("ABORTED")},
        {WEIR_STR_INIT("OutOfRange"), WEIR_STR_INIT("OUT_OF_RANGE")},
        {WEIR_STR_INIT("Unimplemented"), WEIR_STR_INIT("UNIMPLEMENTED")},
        {WEIR_STR_INIT("Internal"), WEIR_STR_INIT("INTERNAL")},
        {WEIR_STR_INIT("Unavailable"), WEIR_STR_INIT("UNAVAILABLE")},
        {WEIR_STR_INIT("DataLoss"), WEIR_STR_INIT("DATA_LOSS")},
        {WEIR_STR_INIT("Unauthenticated"), WEIR_STR_INIT("UNAUTHENTICATED")},
    };
    if (!e->request->is_grpc) return;
    int64_t status = weir_request_grpc_status(e->request);
    bool known = status >= 0 && status < (int64_t)(sizeof(names) / sizeof(names[0]));
    if (part->command->at == 0 && part->choice < 2 && known) {
        set_string(out, names[status][part->choice]);
        return;
    }
    out->kind = WEIR_FORMAT_NUMBER;
    out->number = status;
}

static void metadata(const struct weir_format_part *part, const struct weir_request *r, unsigned type,
                     struct weir_format_value *out)
{
    const struct weir_metadata *const all[] = {r->metadata, r->cluster_metadata, r->host_metadata, r->route_metadata,
                                               r->virtual_host_metadata};
    const struct weir_value *v = weir_metadata_find(all[type], part->text, part->path, part->path_count);
    if (v == NULL || v->kind == WEIR_VALUE_NULL) return;
    out->kind = WEIR_FORMAT_TREE;
    out->tree = v;
}

WEIR_FORMAT_VALUE(metadata)
{
    metadata(part, e->request, part->command->at, out);
}

WEIR_FORMAT_VALUE(typed_metadata)
{
    metadata(part, e->request, part->choice, out);
}

WEIR_FORMAT_VALUE(unique_id)
{
    /* From the stream's draw, mixed so that it is not the request id that the same draw may have given. */
    (void)part;
    struct weir_random r;
    weir_random_seed(&r, e->request->random ^ e->request->start_ns ^ 0x756e697175656964u);
    weir_random_uuid(&r, e->small);
    set_string(out, (struct weir_str){e->small, 36});
}

WEIR_FORMAT_VALUE(local_reply_body)
{
    (void)part;
    set_string(out, e->local_reply_body.p != NULL ? e->local_reply_body : WEIR_STR(""));
}

WEIR_FORMAT_VALUE(log_type)
{
    (void)part;
    (void)e;
    set_string(out, WEIR_STR("DownstreamEnd"));
}

WEIR_FORMAT_VALUE(coalesce)
{
    for (uint32_t i = 0; i < part->child_count; i++) {
        const struct weir_format_part *child = &part->children[i];
        weir_format_command_value(child, e, out);
        if (out->kind == WEIR_FORMAT_STRING && child->cut && out->string.n > child->length_max)
            out->string.n = child->length_max;
        bool empty = out->kind == WEIR_FORMAT_ABSENT || (out->kind == WEIR_FORMAT_STRING && out->string.n == 0);
        if (!empty) return;
        *out = (struct weir_format_value){.kind = WEIR_FORMAT_ABSENT};
    }
}
