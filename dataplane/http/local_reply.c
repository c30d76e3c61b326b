/* Building local replies. Called by http/stream for filters, timeouts and refused requests alike. */
#include "dataplane/http/local_reply.h"

#include "dataplane/base/str.h"
#include "dataplane/http/stream.h"

uint32_t weir_grpc_status_of_http(uint32_t status)
{
    switch (status) {
    case 400: return 13; /* INTERNAL */
    case 401: return 16; /* UNAUTHENTICATED */
    case 403: return 7;  /* PERMISSION_DENIED */
    case 404: return 12; /* UNIMPLEMENTED */
    case 429:
    case 502:
    case 503:
    case 504: return 14; /* UNAVAILABLE */
    default: return 2;   /* UNKNOWN */
    }
}
static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '%';
}
struct weir_str weir_grpc_message_encode(struct weir_arena *arena, struct weir_str message)
{
    size_t odd = 0;
    for (size_t i = 0; i < message.n; i++) odd += !plain((unsigned char)message.p[i]);
    if (odd == 0) return message;
    static const char digits[] = "0123456789ABCDEF";
    char *to = weir_arena_alloc(arena, message.n + 2 * odd);
    size_t n = 0;
    for (size_t i = 0; i < message.n; i++) {
        unsigned char c = (unsigned char)message.p[i];
        if (plain(c)) {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = digits[c >> 4];
        to[n++] = digits[c & 15];
    }
    return (struct weir_str){to, n};
}
bool weir_grpc_content_type(struct weir_str v)
{
    static const struct weir_str grpc = WEIR_STR_INIT("application/grpc");
    if (!weir_str_starts(v, grpc)) return false;
    return v.n == grpc.n || v.p[grpc.n] == '+' || v.p[grpc.n] == ';';
}

bool weir_grpc_timeout(const struct weir_headers *h, uint64_t *out)
{
    struct weir_str v = weir_headers_get(h, WEIR_H_GRPC_TIMEOUT);
    uint64_t n;
    if (v.n < 2 || v.n > 9 || !weir_str_u64((struct weir_str){v.p, v.n - 1}, &n)) return false;
    switch (v.p[v.n - 1]) {
    case 'H': *out = n * 3600000; return true;
    case 'M': *out = n * 60000; return true;
    case 'S': *out = n * 1000; return true;
    case 'm': *out = n; return true;
    case 'u': *out = (n + 999) / 1000; return true;
    case 'n': *out = (n + 999999) / 1000000; return true;
    default: return false;
    }
}

/* What the reply is after local_reply_config. */
struct shape {
    uint32_t status;
    struct weir_str body, content_type;
    bool json;
};
static const struct weir_reply_mapper *find_mapper(struct weir_stream *s)
{
    const struct weir_reply_config *config = &s->hcm->local_reply;
    for (uint32_t i = 0; i < config->mapper_count; i++) {
        const struct weir_request_match *m = &config->mappers[i].match;
        if (m->hit == NULL || m->hit(m->config, s->worker, &s->request)) return &config->mappers[i];
    }
    return NULL;
}
static void reshape(struct weir_stream *s, struct weir_headers *h, struct shape *shape)
{
    const struct weir_reply_config *config = &s->hcm->local_reply;
    const struct weir_substitution *format = config->format;
    const struct weir_reply_mapper *mapper = find_mapper(s);
    if (mapper != NULL) {
        weir_header_rules_apply(&mapper->rules, &s->request, h); /* they see the status as it was */
        if (mapper->status != 0) {
            shape->status = mapper->status;
            s->request.status = mapper->status;
            weir_headers_set_int(h, WEIR_H_STATUS, mapper->status);
        }
        if (mapper->has_body) shape->body = mapper->body;
        if (mapper->format != NULL) format = mapper->format;
    }
    s->local_reply_body = shape->body;
    if (format == NULL) return;
    struct weir_text text = {.arena = s->arena};
    weir_substitution_print(format, &s->request, shape->body, &text);
    shape->json = weir_substitution_is_json(format);
    shape->body = (struct weir_str){text.p, text.n};
    shape->content_type = weir_substitution_content_type(format);
}
static void grpc_headers(struct weir_stream *s, struct weir_headers *h, const struct shape *shape, int grpc_status)
{
    uint32_t status = grpc_status >= 0 ? (uint32_t)grpc_status : weir_grpc_status_of_http(shape->status);
    struct weir_str message = shape->body;
    if (shape->json && message.n > 0) message.n--; /* the line end is the body's, not the message's */
    s->request.status = 200;
    weir_headers_set(h, WEIR_H_STATUS, WEIR_STR("200"));
    weir_headers_set(h, WEIR_H_CONTENT_TYPE, WEIR_STR("application/grpc"));
    weir_headers_set_int(h, WEIR_H_GRPC_STATUS, status);
    if (message.n > 0) weir_headers_set(h, WEIR_H_GRPC_MESSAGE, weir_grpc_message_encode(s->arena, message));
}
static void plain_headers(struct weir_headers *h, const struct shape *shape)
{
    if (shape->body.n == 0) return;
    weir_headers_set_int(h, WEIR_H_CONTENT_LENGTH, shape->body.n);
    if (shape->content_type.n > 0) {
        weir_headers_set(h, WEIR_H_CONTENT_TYPE, shape->content_type);
    } else if (weir_headers_find(h, WEIR_H_CONTENT_TYPE) == NULL) {
        weir_headers_add(h, WEIR_H_CONTENT_TYPE, WEIR_STR("text/plain"));
    }
}

void weir_local_reply_send(struct weir_stream *s, const struct weir_local_reply *reply)
{
    struct shape shape = {.status = reply->status, .body = reply->body};
    struct weir_headers *h = WEIR_NEW(s->arena, struct weir_headers, 1);
    weir_headers_init(h, s->arena);
    s->request.flags |= reply->flags;
    if (reply->details.n > 0) s->request.code_details = reply->details;
    weir_headers_set_int(h, WEIR_H_STATUS, reply->status);
    /* What a route says of its cluster's responses comes first; a route that answers itself adds to its own headers. Both before
     * there is a %RESPONSE_CODE%. */
    s->request.response_headers = h;
    bool has_rules = s->route.route != NULL, first = has_rules && s->route.route->action == WEIR_ROUTE_CLUSTER;
    if (first) weir_route_apply_response(&s->route, &s->request, h);
    for (uint32_t i = 0; reply->extra != NULL && i < reply->extra->count; i++)
        weir_headers_add_name(h, reply->extra->at[i].name, reply->extra->at[i].value);
    if (reply->rules != NULL) weir_header_rules_apply(reply->rules, &s->request, h);
    if (has_rules && !first) weir_route_apply_response(&s->route, &s->request, h);
    s->request.status = reply->status;
    s->response_headers = h;
    s->local_reply = true;
    reshape(s, h, &shape);
    bool grpc = s->grpc;
    if (grpc) {
        grpc_headers(s, h, &shape, reply->grpc_status);
    } else {
        plain_headers(h, &shape);
    }
    /* Filters that saw an earlier response, or held it, do not see this one. */
    weir_chain_drop_held(s, WEIR_RESPONSE);
    uint32_t from = s->chain.seen[WEIR_RESPONSE];
    bool end = grpc || s->head || shape.body.n == 0;
    weir_chain_headers(s, WEIR_RESPONSE, from, end);
    if (end || s->ended || s->reply_pending || s->response_headers != h) return;
    struct weir_buffer body;
    weir_buffer_init(&body);
    weir_buffer_append(&body, &s->worker->blocks, shape.body.p, shape.body.n);
    weir_chain_data(s, WEIR_RESPONSE, from, &body, true);
    weir_buffer_deinit(&body);
}
