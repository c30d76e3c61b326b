/* Lets gRPC-Web clients, whose HTTP has no trailers, call gRPC services (envoy.filters.http.grpc_web): the content type is
 * translated, the base64 of the text form undone and done, and the response's trailers become a last frame of its body
 * (PROTOCOL-WEB of gRPC). */
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/filters/base64.h"
#include "dataplane/filters/filters.h"
#include "dataplane/http/local_reply.h"

#define MESSAGE_BYTES_MAX 4096 /* of a page that becomes a grpc-message */

struct state {
    bool on, text_request, text_response;
    bool translate; /* the response is gRPC */
    bool explain;   /* it is not: its body becomes the message of a status */
    struct weir_base64 decoder;
};

/* application/grpc-web, application/grpc-web-text, both also with +proto and the like. */
static bool is_web(struct weir_str type, bool *text)
{
    static const struct weir_str web = WEIR_STR_INIT("application/grpc-web"), suffix = WEIR_STR_INIT("-text");
    if (!weir_str_starts_nocase(type, web)) return false;
    struct weir_str rest = {type.p + web.n, type.n - web.n};
    *text = weir_str_starts_nocase(rest, suffix);
    if (*text) rest = (struct weir_str){rest.p + suffix.n, rest.n - suffix.n};
    return rest.n == 0 || rest.p[0] == '+' || rest.p[0] == ';';
}
static enum weir_verdict on_request_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)end;
    struct state *state = f->state;
    struct weir_headers *h = weir_stream_request_headers(s);
    if (!is_web(weir_headers_get(h, WEIR_H_CONTENT_TYPE), &state->text_request)) return WEIR_CONTINUE;
    state->on = true;
    bool text;
    if (is_web(weir_headers_get(h, WEIR_H_ACCEPT), &text)) state->text_response = text;
    weir_headers_remove(h, WEIR_H_CONTENT_LENGTH);
    weir_headers_set(h, WEIR_H_CONTENT_TYPE, WEIR_STR("application/grpc"));
    weir_headers_set(h, WEIR_H_TE, WEIR_STR("trailers"));
    weir_headers_set(h, WEIR_H_GRPC_ACCEPT_ENCODING, WEIR_STR("identity"));
    weir_stream_request(s)->is_grpc = true;
    return WEIR_CONTINUE;
}
static enum weir_verdict refuse(struct weir_stream *s, struct weir_str details)
{
    return weir_stream_reply(s, &(struct weir_local_reply){.status = 400,
                                                           .grpc_status = -1,
                                                           .body = WEIR_STR("Bad gRPC-web request, invalid base64 data."),
                                                           .details = details});
}
static enum weir_verdict on_request_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    struct state *state = f->state;
    if (!state->text_request) return WEIR_CONTINUE;
    if (!weir_base64_decode(&state->decoder, data, &weir_stream_worker(s)->blocks))
        return refuse(s, WEIR_STR("grpc_base_64_decode_failed"));
    if (end && state->decoder.have > 0) return refuse(s, WEIR_STR("grpc_base_64_decode_failed_bad_size"));
    return WEIR_CONTINUE;
}
static enum weir_verdict on_response_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    struct state *state = f->state;
    struct weir_headers *h = weir_stream_response_headers(s);
    if (!state->on) return WEIR_CONTINUE;
    bool grpc = weir_grpc_content_type(weir_headers_get(h, WEIR_H_CONTENT_TYPE));
    state->translate = grpc;
    state->explain = !grpc && !end;
    weir_headers_set(h, WEIR_H_CONTENT_TYPE,
                     state->text_response ? WEIR_STR("application/grpc-web-text+proto") : WEIR_STR("application/grpc-web+proto"));
    if (!end) weir_headers_remove(h, WEIR_H_CONTENT_LENGTH);
    return state->explain ? WEIR_PAUSE_AND_BUFFER : WEIR_CONTINUE;
}
/* What is no gRPC (a proxy's page, say) is told to the client in its own words: the HTTP status as a gRPC one, the body as
 * its message. */
static void explain(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *last)
{
    struct weir_buffer *body = weir_stream_response_buffer(s, f);
    struct weir_headers *h = weir_stream_response_headers(s);
    weir_buffer_move(body, last);
    size_t n = body->bytes < MESSAGE_BYTES_MAX ? body->bytes : MESSAGE_BYTES_MAX;
    char *text = weir_arena_alloc(weir_stream_arena(s), n);
    struct weir_str message = {text, weir_buffer_copy_out(body, 0, text, n)};
    weir_buffer_consume(body, body->bytes);
    uint64_t status = 0;
    (void)weir_str_u64(weir_headers_get(h, WEIR_H_STATUS), &status);
    weir_headers_set(h, WEIR_H_GRPC_MESSAGE, weir_grpc_message_encode(weir_stream_arena(s), message));
    weir_headers_set_int(h, WEIR_H_GRPC_STATUS, weir_grpc_status_of_http((uint32_t)status));
}
static enum weir_verdict on_response_data(struct weir_stream *s, struct weir_filter *f, struct weir_buffer *data, bool end)
{
    const struct state *state = f->state;
    if (state->explain) {
        if (!end) return WEIR_PAUSE_AND_BUFFER;
        explain(s, f, data);
        return WEIR_CONTINUE;
    }
    if (state->translate && state->text_response) weir_base64_encode(data, &weir_stream_worker(s)->blocks);
    return WEIR_CONTINUE;
}
static enum weir_verdict on_response_trailers(struct weir_stream *s, struct weir_filter *f, struct weir_headers *trailers)
{
    const struct state *state = f->state;
    if (state->explain) {
        struct weir_buffer none;
        weir_buffer_init(&none);
        explain(s, f, &none);
        weir_headers_init(trailers, weir_stream_arena(s));
        return WEIR_CONTINUE;
    }
    if (!state->translate) return WEIR_CONTINUE;
    size_t length = 0;
    for (uint32_t i = 0; i < trailers->count; i++) length += trailers->at[i].name.n + trailers->at[i].value.n + 3;
    const uint8_t prefix[5] = {0x80, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    struct weir_block_pool *pool = &weir_stream_worker(s)->blocks;
    struct weir_buffer frame;
    weir_buffer_init(&frame);
    weir_buffer_append(&frame, pool, prefix, sizeof(prefix));
    for (uint32_t i = 0; i < trailers->count; i++) {
        const struct weir_header *t = &trailers->at[i];
        weir_buffer_append(&frame, pool, t->name.p, t->name.n);
        weir_buffer_append(&frame, pool, ":", 1);
        weir_buffer_append(&frame, pool, t->value.p, t->value.n);
        weir_buffer_append(&frame, pool, "\r\n", 2);
    }
    if (state->text_response) weir_base64_encode(&frame, pool);
    weir_buffer_move(weir_stream_response_buffer(s, f), &frame);
    weir_buffer_deinit(&frame);
    /* The access log still wants them: only the copy that goes on is empty. */
    struct weir_headers *kept = WEIR_NEW(weir_stream_arena(s), struct weir_headers, 1);
    *kept = *trailers;
    weir_stream_request(s)->response_trailers = kept;
    weir_headers_init(trailers, weir_stream_arena(s));
    return WEIR_CONTINUE;
}
const struct weir_http_filter weir_filter_grpc_web = {
    .name = "envoy.filters.http.grpc_web",
    .config_type = &envoy__extensions__filters__http__grpc_web__v3__grpc_web__descriptor,
    .state_size = sizeof(struct state),
    .on_request_headers = on_request_headers,
    .on_request_data = on_request_data,
    .on_response_headers = on_response_headers,
    .on_response_data = on_response_data,
    .on_response_trailers = on_response_trailers,
};
