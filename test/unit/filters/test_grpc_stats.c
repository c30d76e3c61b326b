/* filters/grpc_stats.c, grpc_frames.c */
#include "dataplane/cluster/cluster.h"
#include "dataplane/filters/filters.h"
#include "dataplane/filters/grpc_frames.h"
#include "test/unit/support/http_rig.h"

static void test_messages_are_counted_however_they_are_cut(void **state)
{
    (void)state;
    static const char bytes[] = "\0\0\0\0\3abc\1\0\0\0\0\0\0\0\1\0"; /* three bytes, none, 256 bytes (cut) */
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        struct weir_grpc_frames f = {0};
        struct weir_buffer a, b;
        weir_buffer_init(&a);
        weir_buffer_init(&b);
        weir_buffer_append(&a, NULL, bytes, cut);
        weir_buffer_append(&b, NULL, bytes + cut, sizeof(bytes) - 1 - cut);
        assert_int_equal(weir_grpc_frames_count(&f, &a) + weir_grpc_frames_count(&f, &b), 3);
        assert_int_equal(f.left, 256);
        weir_buffer_deinit(&a);
        weir_buffer_deinit(&b);
    }
}
struct world {
    struct rig r;
    struct weir_cluster cluster;
    struct weir_cluster *clusters[1];
    struct weir_stats *set;
    struct weir_route route;
};
static void start(struct world *w, const char *json)
{
    static const struct weir_stat_desc descs[1] = {{"x", WEIR_COUNTER}};
    rig_init(&w->r);
    assert_null(rig_compile_filter(&w->r, &weir_filter_grpc_stats, json));
    w->set = weir_stats_acquire(w->r.registry, WEIR_STR("cluster.c0."), descs, 1);
    w->cluster = (struct weir_cluster){.stats = weir_stats_shard(w->set, 0), .refs = 100};
    w->clusters[0] = &w->cluster;
    w->r.w->snapshot.clusters = w->clusters;
    w->r.w->snapshot.cluster_capacity = 1;
    w->route = (struct weir_route){
        .idle_timeout_ms = UINT64_MAX, .max_stream_duration_ms = UINT64_MAX, .grpc_timeout_header_max_ms = UINT64_MAX};
    rig_use_route(&w->r, &w->route);
    w->route.cluster_slot = 0;
    rig_connect(&w->r);
}
static void call(struct world *w, const char *status)
{
    rig_send_text(&w->r, "POST /a.b.Svc/Get HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 12\r\n\r\n"
                         "\0\0\0\0\1x\0\0\0\0\1y");
    rig_respond(&w->r, false, LIST(":status", "200", "content-type", "application/grpc"));
    struct weir_buffer b;
    weir_buffer_init(&b);
    weir_buffer_append(&b, &w->r.w->blocks, "\0\0\0\0\1z", 6);
    weir_stream_respond_data(w->r.stream, &b, false);
    rig_respond_trailers(&w->r, LIST("grpc-status", status));
    rig_turn(&w->r);
    (void)rig_take(&w->r);
}
static void finish(struct world *w)
{
    assert_int_equal(w->cluster.refs, 100);
    w->r.w->snapshot.clusters = NULL;
    w->r.w->snapshot.cluster_capacity = 0;
    weir_stats_release(w->set);
    rig_deinit(&w->r);
}
static void test_all_methods(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'stats_for_all_methods': true}");
    call(&w, "0");
    call(&w, "5");
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a.b.Svc.Get.total"), 2);
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a.b.Svc.Get.success"), 1);
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a.b.Svc.Get.failure"), 1);
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a.b.Svc.Get.5"), 1);
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a.b.Svc.Get.request_message_count"), 4);
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a.b.Svc.Get.response_message_count"), 2);
    finish(&w);
}
static void test_named_methods_and_dots(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{'replace_dots_in_grpc_service_name': true, 'individual_method_stats_allowlist': "
              "{'services': [{'name': 'a.b.Svc', 'method_names': ['Get']}]}}");
    call(&w, "0");
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.a_b_Svc.Get.total"), 1);
    finish(&w);
    start(&w, "{}");
    call(&w, "0");
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.total"), 1);
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.request_message_count"), 2);
    finish(&w);
}
static void test_what_is_no_grpc_is_not_counted(void **state)
{
    (void)state;
    struct world w;
    start(&w, "{}");
    w.r.answer = true;
    rig_send_text(&w.r, "GET /a/b HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_int_equal(rig_counter(&w.r, "cluster.c0.grpc.total"), 0);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_are_counted_however_they_are_cut),
        cmocka_unit_test(test_all_methods),
        cmocka_unit_test(test_named_methods_and_dots),
        cmocka_unit_test(test_what_is_no_grpc_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
