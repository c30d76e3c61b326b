/* observe/stat_tags.c: names as Envoy 1.40 exposes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/observe/stat_tags.h"

static void assert_tags(const char *name, const char *metric, const char *labels)
{
    struct weir_out m = {0}, l = {0};
    weir_stat_tags(weir_str_of(name), &m, &l);
    if (!weir_str_eq((struct weir_str){m.p, m.n}, weir_str_of(metric)) || !weir_str_eq((struct weir_str){l.p, l.n}, weir_str_of(labels)))
        fail_msg("%s gives %.*s{%.*s}, not %s{%s}", name, (int)m.n, m.p, (int)l.n, l.p != NULL ? l.p : "", metric, labels);
    weir_out_deinit(&m);
    weir_out_deinit(&l);
}

static void test_clusters(void **state)
{
    (void)state;
    assert_tags("cluster.users.upstream_cx_total", "envoy_cluster_upstream_cx_total", "envoy_cluster_name=\"users\"");
    assert_tags("cluster.users.upstream_rq_200", "envoy_cluster_upstream_rq", "envoy_response_code=\"200\",envoy_cluster_name=\"users\"");
    assert_tags("cluster.users.external.upstream_rq_5xx", "envoy_cluster_external_upstream_rq_xx",
                "envoy_response_code_class=\"5\",envoy_cluster_name=\"users\"");
    assert_tags("cluster.users.upstream_rq_1", "envoy_cluster_upstream_rq_1", "envoy_cluster_name=\"users\"");
    assert_tags("cluster.dot.ted.upstream_rq_2xx", "envoy_cluster_ted_upstream_rq_xx",
                "envoy_response_code_class=\"2\",envoy_cluster_name=\"dot\"");
    assert_tags("cluster.u.circuit_breakers.default.cx_open", "envoy_cluster_circuit_breakers_default_cx_open", "envoy_cluster_name=\"u\"");
    assert_tags("cluster.u.ssl.ciphers.TLS_AES_256_GCM_SHA384", "envoy_cluster_ssl_ciphers",
                "envoy_ssl_cipher=\"TLS_AES_256_GCM_SHA384\",envoy_cluster_name=\"u\"");
    assert_tags("cluster.u.grpc.pkg.Service.Method.request_message_count", "envoy_cluster_grpc_request_message_count",
                "envoy_grpc_bridge_method=\"Method\",envoy_grpc_bridge_service=\"pkg.Service\",envoy_cluster_name=\"u\"");
    assert_tags("cluster.u.zone.a.b.upstream_rq_200", "envoy_cluster_zone_a_b_upstream_rq",
                "envoy_response_code=\"200\",envoy_cluster_name=\"u\"");
    assert_tags("cluster.\"q\\\".x", "envoy_cluster_x", "envoy_cluster_name=\"\\\"q\\\\\\\"\"");
}

static void test_connection_managers(void **state)
{
    (void)state;
    assert_tags("http.ingress.downstream_rq_2xx", "envoy_http_downstream_rq_xx",
                "envoy_response_code_class=\"2\",envoy_http_conn_manager_prefix=\"ingress\"");
    assert_tags("http.ingress.rds.r1.update_success", "envoy_http_rds_update_success",
                "envoy_rds_route_config=\"r1\",envoy_http_conn_manager_prefix=\"ingress\"");
    assert_tags("http.ingress.rds.a.b.update_success", "envoy_http_rds_update_success",
                "envoy_rds_route_config=\"a.b\",envoy_http_conn_manager_prefix=\"ingress\"");
    assert_tags("http.sp.x.no_route", "envoy_http_x_no_route", "envoy_http_conn_manager_prefix=\"sp\"");
}

static void test_listeners(void **state)
{
    (void)state;
    assert_tags("listener.127.0.0.1_28010.downstream_cx_total", "envoy_listener_downstream_cx_total",
                "envoy_listener_address=\"127.0.0.1_28010\"");
    assert_tags("listener.[__1]_28099.downstream_cx_total", "envoy_listener_downstream_cx_total",
                "envoy_listener_address=\"[__1]_28099\"");
    assert_tags("listener.admin.downstream_cx_total", "envoy_listener_admin_downstream_cx_total", "");
    assert_tags("listener.my.pre.downstream_cx_total", "envoy_listener_pre_downstream_cx_total", "envoy_listener_address=\"my\"");
    assert_tags("listener.0.0.0.0_80.http.p.downstream_rq_4xx", "envoy_listener_http_downstream_rq_xx",
                "envoy_response_code_class=\"4\",envoy_http_conn_manager_prefix=\"p\",envoy_listener_address=\"0.0.0.0_80\"");
    assert_tags("listener.0.0.0.0_80.worker_12.downstream_cx_active", "envoy_listener_worker_downstream_cx_active",
                "envoy_worker_id=\"12\",envoy_listener_address=\"0.0.0.0_80\"");
    assert_tags("listener.0.0.0.0_80.ssl.versions.TLSv1.3", "envoy_listener_ssl_versions",
                "envoy_ssl_version=\"TLSv1.3\",envoy_listener_address=\"0.0.0.0_80\"");
    assert_tags("listener.0.0.0.0_80.ssl.certificate.dyn.expiration_unix_time_seconds",
                "envoy_listener_ssl_certificate_expiration_unix_time_seconds",
                "envoy_tls_certificate=\"dyn\",envoy_listener_address=\"0.0.0.0_80\"");
}

static void test_others(void **state)
{
    (void)state;
    assert_tags("server.live", "envoy_server_live", "");
    assert_tags("server.worker_0.watchdog_miss", "envoy_server_worker_watchdog_miss", "envoy_worker_id=\"0\"");
    assert_tags("server.worker_threads", "envoy_server_worker_threads", "");
    assert_tags("tcp.t.downstream_cx_total", "envoy_tcp_downstream_cx_total", "envoy_tcp_prefix=\"t\"");
    assert_tags("vhost.V.vcluster.C.upstream_rq_total", "envoy_vhost_vcluster_upstream_rq_total",
                "envoy_virtual_cluster=\"C\",envoy_virtual_host=\"V\"");
    assert_tags("vhost.V.route.R.upstream_rq_200", "envoy_vhost_route_upstream_rq",
                "envoy_response_code=\"200\",envoy_virtual_host=\"V\",envoy_route=\"R\"");
    assert_tags("sds.cert.a.update_success", "envoy_sds_update_success", "envoy_xds_resource_name=\"cert.a\"");
    assert_tags("envoy.overload_actions.x", "envoy_envoy_overload_actions_x", "");
    assert_tags("cluster_manager.cds.update_success", "envoy_cluster_manager_cds_update_success", "");
    assert_tags("lrl.http_local_rate_limit.enforced", "envoy_http_local_rate_limit_enforced", "envoy_local_http_ratelimit_prefix=\"lrl\"");
    assert_tags("", "envoy_", "");
    assert_tags("cluster.", "envoy_cluster_", "");
    assert_tags("cluster.x", "envoy_cluster_x", "");
    assert_tags("rq_200", "envoy_rq", "envoy_response_code=\"200\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_connection_managers),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
