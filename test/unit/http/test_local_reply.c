/* http/local_reply.c and http/response_headers.c */
#include "dataplane/http/local_reply.h"

#include "google/protobuf/struct.pb-c.h"
#include "test/unit/support/http_rig.h"
#include "test/unit/support/pb_text.h"

static struct weir_local_reply teapot = {.status = 503, .grpc_status = -1, .body = WEIR_STR_INIT("no \"1\"\n"), .details = WEIR_STR_INIT("why")};
static enum weir_verdict reply_headers(struct weir_stream *s, struct weir_filter *f, bool end)
{
    (void)f, (void)end;
    return weir_stream_reply(s, &teapot);
}
static const struct weir_http_filter replier = {.name = "replier", .on_request_headers = reply_headers};

static void start(struct rig *r, uint32_t status, int grpc_status, const char *body)
{
    rig_init(r);
    teapot = (struct weir_local_reply){
        .status = status, .grpc_status = grpc_status, .body = weir_str_of(body), .details = WEIR_STR("why")};
    rig_add_filter(r, &replier, NULL);
}
static const char *get(struct rig *r, const char *extra)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nhost: a\r\n%s\r\n", extra);
    if (r->base == NULL) rig_connect(r);
    rig_send(r, request, (size_t)n);
    rig_turn(r);
    return rig_take(r);
}
#define GRPC "content-type: application/grpc\r\n"

static void test_grpc_statuses_of_http_statuses(void **state)
{
    (void)state;
    static const uint32_t rows[][2] = {{200, 2},  {301, 2},  {400, 13}, {401, 16}, {403, 7},  {404, 12}, {408, 2},
                                       {413, 2},  {429, 14}, {500, 2},  {502, 14}, {503, 14}, {504, 14}, {599, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) assert_int_equal(weir_grpc_status_of_http(rows[i][0]), rows[i][1]);
}
static void test_grpc_content_types(void **state)
{
    (void)state;
    assert_true(weir_grpc_content_type(WEIR_STR("application/grpc")));
    assert_true(weir_grpc_content_type(WEIR_STR("application/grpc+proto")));
    assert_false(weir_grpc_content_type(WEIR_STR("application/grpc-web")));
    assert_false(weir_grpc_content_type(WEIR_STR("application/json")));
    assert_false(weir_grpc_content_type(WEIR_STR("")));
}
static void test_plain_replies(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 503, -1, "why not");
    assert_string_equal(get(&r, ""), "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\ncontent-type: text/plain\r\n" RIG_TAIL
                                     "\r\nwhy not");
    assert_string_equal(r.access.p, "503 - why");
    rig_deinit(&r);
    start(&r, 404, -1, "");
    assert_string_equal(get(&r, ""), "HTTP/1.1 404 Not Found\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    rig_deinit(&r);
}
static void test_head_keeps_the_length_and_has_no_body(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 503, -1, "teapot");
    rig_connect(&r);
    rig_send_text(&r, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 6\r\ncontent-type: text/plain\r\n" RIG_TAIL "\r\n");
    rig_deinit(&r);
}
static void test_grpc_replies_are_trailers_only(void **state)
{
    (void)state;
    struct rig r;
    start(&r, 503, -1, "no healthy upstream");
    assert_string_equal(get(&r, GRPC), "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\n"
                                       "grpc-message: no healthy upstream\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    assert_string_equal(r.access.p, "200 - why");
    rig_deinit(&r);
    start(&r, 429, 8, "a%b\n\xc3\xa9");
    assert_string_equal(get(&r, GRPC), "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 8\r\n"
                                       "grpc-message: a%25b%0A%C3%A9\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    rig_deinit(&r);
    start(&r, 404, -1, "");
    assert_string_equal(get(&r, GRPC), "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 12\r\n" RIG_TAIL
                                       "content-length: 0\r\n\r\n");
    rig_deinit(&r);
}
static bool status_is(const void *config, struct weir_worker *w, const struct weir_request *q)
{
    (void)w;
    return q->status == *(const uint32_t *)config;
}
static void test_mappers_and_formats(void **state)
{
    (void)state;
    static const uint32_t status = 503;
    struct weir_header_rule rule = {
        .action = WEIR_HEADER_OVERWRITE_OR_ADD, .name = WEIR_STR("x-lr"), .constant = WEIR_STR("1")};
    struct weir_compile compile = {0};
    struct weir_error error;
    struct weir_arena arena = {0};
    compile.arena = compile.scratch = &arena;
    compile.error = &error;
    const struct weir_substitution *json, *text;
    ProtobufCMessage *pb = pb_text(&arena, &google__protobuf__struct__descriptor,
                                        "{'b': '%LOCAL_REPLY_BODY%', 'c': '%RESPONSE_CODE%'}");
    assert_int_equal(weir_substitution_json(&compile, "f", pb, &json), WEIR_OK);
    assert_int_equal(weir_substitution_text(&compile, "f", WEIR_STR("E %RESPONSE_CODE% %LOCAL_REPLY_BODY%\n"), &text), WEIR_OK);
    struct weir_reply_mapper mapper = {
        .match = {.hit = status_is, .config = &status}, .status = 500, .rules = {.count = 1, .at = &rule}};
    struct rig r;
    start(&r, 503, -1, "oops");
    r.hcm->local_reply = (struct weir_reply_config){.mapper_count = 1, .mappers = &mapper, .format = json};
    assert_string_equal(get(&r, ""), "HTTP/1.1 500 Internal Server Error\r\nx-lr: 1\r\ncontent-length: 21\r\ncontent-type: application/json\r\n"
                                     RIG_TAIL "\r\n{\"b\":\"oops\",\"c\":500}\n");
    assert_string_equal(get(&r, GRPC), "HTTP/1.1 200 OK\r\nx-lr: 1\r\ncontent-type: application/grpc\r\ngrpc-status: 2\r\n"
                                       "grpc-message: {\"b\":\"oops\",\"c\":500}\r\n" RIG_TAIL "content-length: 0\r\n\r\n");
    rig_deinit(&r);
    start(&r, 404, -1, "");
    r.hcm->local_reply = (struct weir_reply_config){.mapper_count = 1, .mappers = &mapper, .format = text};
    assert_string_equal(get(&r, ""), "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\ncontent-type: text/plain\r\n" RIG_TAIL "\r\nE 404 \n");
    assert_string_equal(get(&r, GRPC), "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 12\r\ngrpc-message: E 404 %0A\r\n"
                                       RIG_TAIL "content-length: 0\r\n\r\n");
    rig_deinit(&r);
    mapper.has_body = true;
    mapper.body = WEIR_STR("mine");
    mapper.status = 0;
    start(&r, 503, -1, "oops");
    r.hcm->local_reply = (struct weir_reply_config){.mapper_count = 1, .mappers = &mapper};
    assert_string_equal(get(&r, ""), "HTTP/1.1 503 Service Unavailable\r\nx-lr: 1\r\ncontent-length: 4\r\ncontent-type: text/plain\r\n" RIG_TAIL
                                     "\r\nmine");
    rig_deinit(&r);
    weir_arena_deinit(&arena);
}
static void test_server_date_via_and_request_id(void **state)
{
    (void)state;
    static const struct {
        enum weir_hcm_server mode;
        const char *upstream, *got;
    } rows[] = {
        {WEIR_SERVER_OVERWRITE, "up/1", "server: weir\r\ndate: DATE\r\n"},
        {WEIR_SERVER_OVERWRITE, NULL, "date: DATE\r\nserver: weir\r\n"},
        {WEIR_SERVER_APPEND_IF_ABSENT, "up/1", "server: up/1\r\ndate: DATE\r\n"},
        {WEIR_SERVER_APPEND_IF_ABSENT, NULL, "date: DATE\r\nserver: weir\r\n"},
        {WEIR_SERVER_PASS_THROUGH, "up/1", "server: up/1\r\ndate: DATE\r\n"},
        {WEIR_SERVER_PASS_THROUGH, NULL, "date: DATE\r\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct rig r;
        rig_init(&r);
        r.hcm->server_transformation = rows[i].mode;
        rig_connect(&r);
        rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        rig_respond(&r, true, LIST(":status", "204", rows[i].upstream != NULL ? "server" : NULL, rows[i].upstream));
        rig_turn(&r);
        const char *got = rig_take(&r);
        assert_non_null(strstr(got, rows[i].got));
        rig_deinit(&r);
    }
    struct rig r;
    rig_init(&r);
    r.hcm->via = WEIR_STR("v");
    r.hcm->always_set_request_id_in_response = true;
    rig_connect(&r);
    rig_send_text(&r, "GET / HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\n\r\n");
    rig_respond(&r, true, LIST(":status", "204", "keep-alive", "5", "via", "1.0 x", "x-hop", "1", "upgrade", "h2c"));
    rig_turn(&r);
    rig_assert_got(&r, "HTTP/1.1 204 No Content\r\nvia: 1.0 x, v\r\nx-hop: 1\r\n" RIG_TAIL "x-request-id: mine\r\n\r\n");
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grpc_statuses_of_http_statuses),
        cmocka_unit_test(test_grpc_content_types),
        cmocka_unit_test(test_plain_replies),
        cmocka_unit_test(test_head_keeps_the_length_and_has_no_body),
        cmocka_unit_test(test_grpc_replies_are_trailers_only),
        cmocka_unit_test(test_mappers_and_formats),
        cmocka_unit_test(test_server_date_via_and_request_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
