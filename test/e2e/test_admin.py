"""The admin pages, on a running weir."""

import json
import signal

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
    assert running.admin_json("/config_dump?resource=static_clusters&name_regex=x")["configs"] == []


def test_config_dump_by_mask(running):
    [one] = running.admin_json("/config_dump?resource=static_clusters&mask=cluster.name")["configs"]
    assert one["@type"].endswith("ClustersConfigDump.StaticCluster")
    assert one["cluster"] == {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "upstream"}
    [only] = running.admin_json("/config_dump?mask=bootstrap.node.id,bootstrap.node.cluster")["configs"]
    assert only["bootstrap"]["node"] == {"id": "n1", "cluster": "c1"}
    status, text = running.admin("/config_dump?resource=static_clusters&mask=nope.x")
    assert status == 400 and '"nope.x"' in text


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
