"""Flags, --mode validate, and what start-up says of a configuration that it cannot take."""

import json

import pytest

from support import config, http1, process
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


def validate(tmp_path, text, *args):
    path = tmp_path / "bootstrap.yaml"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return process.run("weir", "--mode", "validate", "-c", path, *args)


def test_good_configuration_validates(tmp_path):
    done = validate(tmp_path, config.simple_proxy(free_port(), 1))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"configuration '{tmp_path}/bootstrap.yaml' OK"


def test_a_route_to_a_cluster_that_is_not_there_is_named_with_its_place(tmp_path):
    made = config.simple_proxy(free_port(), 1)
    made["static_resources"]["clusters"][0]["name"] = "other"
    done = validate(tmp_path, json.dumps(made, indent=1))
    line = json.dumps(made, indent=1).split('"cluster":')[0].count("\n") + 1
    assert done.returncode == 1
    assert f":{line}:" in done.stderr and "route_config.virtual_hosts[0].routes[0].route.cluster: route: unknown cluster 'upstream'" in done.stderr


@pytest.mark.parametrize("text, parts", [
    ("static_resourcez: {}\n", [":1:1:", "has no field 'static_resourcez'", "did you mean 'static_resources'"]),
    ("admin: {address: [\n", ["bootstrap.yaml:2:1:"]),
    ("node: {id: a}\nnode: {id: b}\n", [":2:1:", "given twice"]),
    ("static_resources:\n  clusters:\n  - name: ''\n", [":3:", "static_resources.clusters[0].name"]),
    ("static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 5\n", [":4:22:", "connect_timeout", "a duration"]),
    ("static_resources:\n  clusters:\n  - name: a\n    lb_policy: MAGLEV\n", [":4:16:", "lb_policy"]),
    ("static_resources:\n  clusters:\n  - name: a\n    health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, "
     "tcp_health_check: {}}]\n", [":4:", "health_checks", "support"]),
    ("dynamic_resources: {cds_config: {ads: {}}}\n", ["dynamic_resources.cds_config.ads", "ads_config is not set"]),
    ("admin: {address: {socket_address: {address: nohost, port_value: 1}}}\n", [":1:", "admin.address", "malformed IP address"]),
])
def test_bad_configuration_names_place_and_field(tmp_path, text, parts):
    done = validate(tmp_path, text)
    assert done.returncode == 1
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr, done.stderr


def test_unknown_extension_is_refused_by_name(tmp_path):
    made = config.simple_proxy(free_port(), 1)
    filters = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    filters[0]["typed_config"]["http_filters"].insert(0, {"name": "x", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Empty"}})
    done = validate(tmp_path, made)
    assert done.returncode == 1
    assert "http_filters[0]" in done.stderr


def test_missing_file_and_missing_configuration():
    assert "cannot be opened" in process.run("weir", "-c", "/nonexistent.yaml").stderr
    done = process.run("weir")
    assert done.returncode == 1
    assert "--config-path" in done.stderr


@pytest.mark.parametrize("args, what", [
    (["--nosuch"], "Couldn't find match for argument"),
    (["--concurrency", "x"], "Couldn't read argument value from string 'x'"),
    (["--mode", "zz"], "unknown mode 'zz'"),
    (["-l", "zz"], "invalid log level specified 'zz'"),
    (["--config-path"], "Missing a value"),
])
def test_bad_flags(args, what):
    done = process.run("weir", *args)
    assert done.returncode == 1
    assert what in done.stderr


def test_version_help_and_support():
    assert "version: " in process.run("weir", "--version").stdout
    assert "--config-path" in process.run("weir", "--help").stdout
    table = process.run("weir", "--support").stdout
    assert "envoy.config.cluster.v3.Cluster.connect_timeout" in table
    assert len(table.splitlines()) > 4000


def test_config_yaml_is_merged_over_the_file(tmp_path):
    done = validate(tmp_path, "node: {id: a}\n", "--config-yaml", "node: {cluster: b, idd: x}")
    assert "has no field 'idd'" in done.stderr
    assert validate(tmp_path, "node: {id: a}\n", "--config-yaml", "node: {cluster: b}").returncode == 0


def test_unneeded_flags_warn_once_and_what_follows_two_dashes_is_ignored(start_weir, make_upstream):
    port = free_port()
    weir = start_weir(config.simple_proxy(port, make_upstream().port), args=["--restart-epoch", "0", "--disable-hot-restart", "--", "--nosuch"])
    assert weir.log.count("--restart-epoch is accepted") == 1
    assert weir.log.count("--disable-hot-restart is accepted") == 1
    assert http1.get(port).status == 200


def test_port_in_use_ends_start_up(tmp_path):
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = tmp_path / "b.yaml"
        path.write_text(json.dumps(config.simple_proxy(port, 1)))
        done = process.run("weir", "-c", path)
    assert done.returncode == 1
    assert f"cannot bind '127.0.0.1:{port}': Address already in use" in done.stderr
