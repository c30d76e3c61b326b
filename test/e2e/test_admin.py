"""The admin pages, on a running weir."""

import json
import signal
import socket

import pytest

from support import config, http1, process
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def running(start_weir, make_upstream):
    port = free_port()
    made = config.simple_proxy(port, make_upstream().port)
    made["node"] = {"id": "n1", "cluster": "c1", "metadata": {"a": 1}}
    made["layered_runtime"] = {"layers": [{"name": "s", "static_layer": {"a": {"b": 1}, "flag": True}}, {"name": "adm", "admin_layer": {}}]}
    weir = start_weir(made)
    weir.http_port = port
    return weir


def test_ready_and_health_check(running):
    assert running.admin("/ready") == (200, "LIVE\n")
    assert running.admin("/healthcheck/fail", "POST") == (200, "OK\n")
    assert running.admin("/ready") == (503, "DRAINING\n")

    def drains():
        return http1.get(running.http_port).get("connection") == "close"

    from support.wait import wait_until
    wait_until(drains, "answers with connection: close")
    assert running.admin("/healthcheck/ok", "POST") == (200, "OK\n")
    assert running.admin("/ready") == (200, "LIVE\n")


def test_calls_that_change_take_post_only(running):
    for path in ("/healthcheck/fail", "/quitquitquit", "/logging", "/runtime_modify"):
        status, text = running.admin(path)
        assert (status, text) == (405, "Method GET not allowed, POST required.")
    assert running.admin("/ready")[0] == 200


def test_unknown_path_lists_the_commands(running):
    status, text = running.admin("/nosuch")
    assert status == 404
    assert text.startswith("invalid path. admin commands are:")
    assert "/config_dump" in text
    assert "config_dump" in running.admin("/")[1]
    assert running.admin("/help")[1].startswith("admin commands are:")


def test_server_info(running):
    info = running.admin_json("/server_info")
    assert info["state"] == "LIVE"
    assert info["node"]["id"] == "n1"
    assert info["command_line_options"]["concurrency"] == 2
    assert info["uptime_current_epoch"].endswith("s")


def test_listeners_and_clusters(running):
    assert running.admin("/listeners")[1] == f"listener::127.0.0.1:{running.http_port}\n"
    [one] = running.admin_json("/listeners?format=json")["listener_statuses"]
    assert one["local_address"]["socket_address"]["port_value"] == running.http_port
    http1.get(running.http_port)
    text = running.admin("/clusters")[1]
    assert "upstream::default_priority::max_connections::1024\n" in text
    assert "::health_flags::healthy\n" in text
    assert "::rq_total::1\n" in text
    [cluster] = running.admin_json("/clusters?format=json")["cluster_statuses"]
    assert cluster["host_statuses"][0]["health_status"] == {"eds_health_status": "HEALTHY"}


def test_config_dump_fed_back_validates(running, tmp_path):
    configs = {c["@type"].rsplit(".", 1)[1]: c for c in running.admin_json("/config_dump")["configs"]}
    assert configs["BootstrapConfigDump"]["bootstrap"]["node"]["id"] == "n1"
    [cluster] = configs["ClustersConfigDump"]["static_clusters"]
    [listener] = configs["ListenersConfigDump"]["static_listeners"]
    for thing in (cluster["cluster"], listener["listener"]):
        thing.pop("@type")
    again = tmp_path / "again.json"
    again.write_text(json.dumps({"static_resources": {"clusters": [cluster["cluster"]], "listeners": [listener["listener"]]}}))
    done = process.run("weir", "--mode", "validate", "-c", again)
    assert done.returncode == 0, done.stderr
    assert running.admin("/config_dump?resource=nope")[0] == 404
    assert len(running.admin_json("/config_dump?resource=static_clusters&name_regex=up.*")["configs"]) == 1
    assert running.admin_json("/config_dump?resource=static_clusters&name_regex=x") == {}
    assert [r["route_config"]["name"] for r in configs["RoutesConfigDump"]["static_route_configs"]] == ["routes"]
    assert list(configs["SecretsConfigDump"]) == list(configs["ScopedRoutesConfigDump"]) == ["@type"]


def test_config_dump_by_mask(running):
    [one] = running.admin_json("/config_dump?resource=static_clusters&mask=cluster.name")["configs"]
    assert one["@type"].endswith("ClustersConfigDump.StaticCluster")
    assert one["cluster"] == {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "upstream"}
    [only] = running.admin_json("/config_dump?mask=bootstrap.node.id,bootstrap.node.cluster")["configs"]
    assert only["bootstrap"]["node"] == {"id": "n1", "cluster": "c1"}
    for path in ("nope.x", "cluster.nope", "version_info.x,nope"):
        status, text = running.admin(f"/config_dump?resource=static_clusters&mask={path}")
        assert status == 400 and f'"{path}"' in text
    [one] = running.admin_json("/config_dump?resource=static_clusters&mask=cluster.alt_stat_name,last_updated")["configs"]
    assert set(one) == {"@type", "last_updated"}  # the rest of the mask is not set
    status, text = running.admin("/config_dump?mask=nope")
    assert (status, text) == (400, "FieldMask nope could not be successfully applied to any configs.")
    [only] = running.admin_json("/config_dump?mask=dynamic_warming_clusters")["configs"]
    assert only == {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"}
    [only] = running.admin_json("/config_dump?mask=last_updated")["configs"]
    assert set(only) == {"@type", "last_updated"}
    [only] = running.admin_json("/config_dump?mask=bootstrap.static_resources.clusters.name,bootstrap.node")["configs"]
    assert only["bootstrap"]["static_resources"] == {"clusters": [{"name": "upstream"}]} and only["bootstrap"]["node"]["metadata"] == {"a": 1}
    [only] = running.admin_json("/config_dump?mask=static_clusters.cluster.name")["configs"]
    assert only["static_clusters"] == [{"cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "upstream"}}]


def test_live_hosts_in_the_dump(running):
    configs = {c["@type"].rsplit(".", 1)[1]: c for c in running.admin_json("/config_dump?include_eds")["configs"]}
    assert "EndpointsConfigDump" not in {c["@type"].rsplit(".", 1)[1] for c in running.admin_json("/config_dump")["configs"]}
    [one] = configs["EndpointsConfigDump"]["static_endpoint_configs"]
    assignment = one["endpoint_config"]
    assert assignment["cluster_name"] == "upstream" and assignment["policy"] == {"overprovisioning_factor": 140}
    [locality] = assignment["endpoints"]
    [host] = locality["lb_endpoints"]
    assert (host["health_status"], host["load_balancing_weight"]) == ("HEALTHY", 1)
    assert host["endpoint"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_certificates(start_weir, authority, server_certificate):
    made = config.bootstrap(
        [config.listener(free_port(), config.filter_chain(config.hcm([]), tls=config.downstream_tls(server_certificate)))],
        [config.cluster("up", 1, tls=config.upstream_tls(authority.ca)), config.cluster("clear", 1)])
    weir = start_weir(made)
    own, trusted = weir.admin_json("/certs")["certificates"]
    assert own["ca_cert"] == [] and trusted["cert_chain"] == []
    [certificate], [anchor] = own["cert_chain"], trusted["ca_cert"]
    assert certificate["path"] == str(server_certificate.chain) and anchor["path"] == str(authority.ca)
    assert certificate["subject_alt_names"] == [{"dns": "localhost"}, {"dns": "a.test"}, {"ip_address": "127.0.0.1"}]
    assert int(certificate["days_until_expiration"]) == weir.stat("server.days_until_first_cert_expiring") > 0
    assert certificate["valid_from"] < certificate["expiration_time"]
    [expiry] = [value for name, value in weir.stats("listener.").items() if name.endswith(".expiration_unix_time_seconds")]
    assert expiry > 1_700_000_000


def test_profilers_and_lookups_are_not_there(running):
    assert running.admin("/cpuprofiler", "POST") == (400, "?enable=<y|n>\n")
    assert running.admin("/cpuprofiler?enable=y", "POST") == (501, "The current build does not support cpu profiler")
    assert running.admin("/heapprofiler?enable=y", "POST") == (501, "The current build does not support heap profiler")
    assert running.admin("/stats/recentlookups")[0] == 200
    assert running.admin("/stats/recentlookups/enable", "POST")[0] == 501
    assert running.admin("/init_dump") == (200, "{}\n")


def test_what_is_not_initialised_is_dumped(start_weir):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:  # it never answers
        resolver.bind(("127.0.0.1", 0))
        slow = config.cluster("slow", type="STRICT_DNS", dns_resolvers=[config.address(resolver.getsockname()[1])])
        slow["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": config.address(80, "nosuch.invalid")}}]}]
        weir = start_weir(config.bootstrap([], [slow]), ready=False)
        [target] = weir.admin_json("/init_dump")["unready_targets_dumps"]
    assert target == {"name": "init manager Cluster slow", "target_names": ["the first DNS answers of its endpoints"]}


def test_the_admin_server_counts_itself(running):
    for _ in range(3):
        assert running.admin("/ready")[0] == 200
    assert running.admin("/nosuch")[0] == 404
    before = running.stats("http.admin.")
    assert before["http.admin.downstream_rq_2xx"] >= 3 and before["http.admin.downstream_rq_4xx"] == 1
    assert before["http.admin.downstream_rq_active"] == before["http.admin.downstream_cx_active"] == 1
    assert running.stat("listener.admin.http.admin.downstream_rq_4xx") == 1
    counted = running.stats("listener.admin.")
    assert counted["listener.admin.main_thread.downstream_cx_total"] == counted["listener.admin.downstream_cx_total"] >= 5


def chunk_sizes(weir, path):
    """Sizes of the chunks that an answer comes in, and its text."""
    with http1.Client(int(weir.admin_address.rsplit(":", 1)[1])) as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n".encode())
        chunks = list(client.chunks(client.read_response_head()))
    return [len(chunk) for chunk in chunks], b"".join(chunks).decode()


MASKED = "/config_dump?mask=static_clusters.cluster.name,bootstrap.static_resources.clusters.name"


def test_long_pages_come_in_many_bounded_pieces(start_weir):
    names = [f"c{number}" for number in range(1500)]
    weir = start_weir(config.bootstrap([config.listener(free_port(), config.hcm([config.virtual_host(config.direct_response(200))]))],
                                       [config.cluster(name, 1, 2) for name in names]))
    pages = {path: chunk_sizes(weir, path) for path in ("/config_dump", "/config_dump?include_eds", "/config_dump?resource=static_clusters", "/clusters",
                                                        "/clusters?format=json", "/stats", "/stats?format=json", "/stats/prometheus", MASKED)}
    for path, (sizes, text) in pages.items():
        assert max(sizes) < 48 * 1024, path
        assert len(sizes) >= len(text) / (48 * 1024), path
    dump = {c["@type"].rsplit(".", 1)[1]: c for c in json.loads(pages["/config_dump?include_eds"][1])["configs"]}
    assert [c["name"] for c in dump["BootstrapConfigDump"]["bootstrap"]["static_resources"]["clusters"]] == names
    masked = {c["@type"].rsplit(".", 1)[1]: c for c in json.loads(pages[MASKED][1])["configs"]}
    assert [c["name"] for c in masked["BootstrapConfigDump"]["bootstrap"]["static_resources"]["clusters"]] == names
    assert [list(c["cluster"]) for c in masked["ClustersConfigDump"]["static_clusters"]] == [["@type", "name"]] * len(names)
    [masked] = weir.admin_json("/config_dump?mask=bootstrap")["configs"]
    assert masked["bootstrap"] == dump["BootstrapConfigDump"]["bootstrap"]
    assert [c["cluster"]["name"] for c in dump["ClustersConfigDump"]["static_clusters"]] == sorted(names)
    assert len(dump["EndpointsConfigDump"]["static_endpoint_configs"]) == len(names)
    assert len(json.loads(pages["/config_dump?resource=static_clusters"][1])["configs"]) == len(names)
    statuses = json.loads(pages["/clusters?format=json"][1])["cluster_statuses"]
    assert [len(status["host_statuses"]) for status in statuses] == [2] * len(names)
    assert pages["/clusters"][1].count("::weight::1\n") == 2 * len(names)
    assert len(json.loads(pages["/stats?format=json"][1])["stats"]) > 100 * len(names)
    assert pages["/stats/prometheus"][1].count("# TYPE envoy_cluster_upstream_rq_total counter\n") == 1
    assert pages["/stats/prometheus"][1].count("envoy_cluster_upstream_rq_total{") == len(names)


def test_runtime_layers(running):
    entries = running.admin_json("/runtime")["entries"]
    assert entries["a.b"] == {"final_value": "1", "layer_values": ["1", ""]}
    assert entries["flag"]["final_value"] == "true"
    assert running.admin("/runtime_modify?a.b=7&new=x", "POST") == (200, "OK\n")
    entries = running.admin_json("/runtime")["entries"]
    assert entries["a.b"] == {"final_value": "7", "layer_values": ["1", "7"]}
    assert entries["new"]["final_value"] == "x"
    assert running.admin("/runtime_modify?a.b=", "POST")[0] == 200
    assert running.admin_json("/runtime")["entries"]["a.b"]["final_value"] == "1"
    assert running.admin("/runtime_modify", "POST")[0] == 400


def test_logging_levels(running):
    text = running.admin("/logging?http=trace", "POST")[1]
    assert "  http: trace\n" in text and "  main: info\n" in text
    assert "  main: debug\n" in running.admin("/logging?level=debug", "POST")[1]
    assert "  http: info\n" in running.admin("/logging?paths=http:info,router:debug", "POST")[1]
    assert running.admin("/logging?http=nosuch", "POST")[0] == 400
    assert running.admin("/logging?nosuch=info", "POST")[0] == 400


def test_quitquitquit_ends_with_zero(running):
    running.admin("/quitquitquit", "POST")
    assert running.wait_exit() == 0


def test_sigterm_with_idle_connection_ends_at_once(running):
    with http1.Client(running.http_port) as client:
        assert client.request().status == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait_exit() == 0
        client.expect_closed()
