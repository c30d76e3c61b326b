"""What /config_dump shows of a configuration that came by ADS is a configuration: it validates, and it serves the same."""

import json

import pytest

from support import config, http1, process
from support.ports import free_port
from support.resources import ADS, eds_cluster, endpoints, listener, resource
from support.upstream import replying
from support.weir import validate
from test_xds import ControlPlane

if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FILTERS = "type.googleapis.com/envoy.extensions.filters.http."
REQUESTS = [("/", {}), ("/users/1", {}), ("/old", {}), ("/header", {"x-kind": "b"}), ("/regex-42", {}), ("/none", {})]


def cluster(name):
    return eds_cluster(
        name, lb_policy="LEAST_REQUEST", outlier_detection={"consecutive_5xx": 7, "base_ejection_time": "3.5s"},
        circuit_breakers={"thresholds": [{"max_connections": 55, "track_remaining": True}]},
        typed_extension_protocol_options=config.protocol_options(explicit_http_config={"http_protocol_options": {}}))


def routes(name):
    made = [
        {"match": {"path_separated_prefix": "/users"}, "route": {
            "cluster": "up", "prefix_rewrite": "/u", "timeout": "2.5s",
            "retry_policy": {"retry_on": "connect-failure", "num_retries": 2}}},
        {"match": {"path": "/old"}, "redirect": {"path_redirect": "/new", "response_code": "FOUND"}},
        {"match": {"prefix": "/header", "headers": [{"name": "x-kind", "string_match": {"exact": "b"}}]},
         "direct_response": {"status": 202, "body": {"inline_string": "kind b\n\u00e9"}}},
        {"match": {"safe_regex": {"regex": "/regex-\\d+"}}, "direct_response": {"status": 203}},
        {"match": {"path": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "up", "weight": 1}]}}},
    ]
    return resource("route.v3.RouteConfiguration", config.route_config(config.virtual_host(
        *made, response_headers_to_add=[{"header": {"key": "x-host", "value": "%REQ(:AUTHORITY)%"}}]), name=name))


@pytest.fixture
def running(start_program, start_weir, tmp_path, make_upstream):
    upstream, port = make_upstream(replying(200, body=b"up")), free_port()
    plane = ControlPlane(start_program, tmp_path / "resources")
    mutation = {"name": "mutation", "typed_config": {
        "@type": FILTERS + "header_mutation.v3.HeaderMutation",
        "mutations": {"response_mutations": [{"append": {"header": {"key": "x-mutated", "value": "yes"}}}]}}}
    log = config.file_access_log(tmp_path / "access.log", json_format={"path": "%REQ(:PATH)%", "code": "%RESPONSE_CODE%"})
    plane.serve(cluster("up"), endpoints("up", upstream.port), routes("routes"),
                listener(port, http_filters=[mutation], access_log=[log]))
    plane.start()
    weir = start_weir(plane.bootstrap())
    weir.http_port, weir.plane = port, plane
    return weir


def dumped(weir):
    """Resources of the dump by kind: lists of dicts with @type."""
    parts = {part: body for section in weir.admin_json("/config_dump?include_eds")["configs"] for part, body in section.items()}
    return {
        "bootstrap": parts["bootstrap"],
        "clusters": [one["cluster"] for one in parts["dynamic_active_clusters"]],
        "endpoints": [one["endpoint_config"] for one in parts["dynamic_endpoint_configs"]],
        "routes": [one["route_config"] for one in parts["dynamic_route_configs"]],
        "listeners": [one["active_state"]["listener"] for one in parts["dynamic_listeners"]],
    }


def answers(port):
    made = []
    for path, headers in REQUESTS:
        response = http1.get(port, path, headers=list(headers.items()))
        made.append((path, response.status, response.body, sorted((k, v) for k, v in response.headers if k in ("location", "x-host", "x-mutated"))))
    return made


def without_type(message):
    return {key: value for key, value in message.items() if key != "@type"}


def test_the_bootstrap_of_the_dump_validates(running, tmp_path):
    result = validate(json.dumps(dumped(running)["bootstrap"]), tmp_path)
    assert result.returncode == 0, result.stderr


def test_as_static_resources(running, start_weir, tmp_path):
    dump = dumped(running)
    before = answers(running.http_port)
    assert [status for _, status, _, _ in before] == [200, 200, 302, 202, 203, 404]
    assignments = {one["cluster_name"]: without_type(one) for one in dump["endpoints"]}
    tables = {one["name"]: without_type(one) for one in dump["routes"]}
    clusters = [without_type(one) for one in dump["clusters"]]
    for one in clusters:
        del one["eds_cluster_config"]
        one.update(type="STATIC", load_assignment=assignments[one["name"]])
    listeners = [without_type(one) for one in dump["listeners"]]
    for one in listeners:
        [manager] = [f["typed_config"] for chain in one["filter_chains"] for f in chain["filters"]]
        manager["route_config"] = tables[manager.pop("rds")["route_config_name"]]
    again = config.bootstrap(listeners, clusters)
    result = validate(again, tmp_path)
    assert result.returncode == 0, result.stderr
    running.stop()
    start_weir(again)
    assert answers(running.http_port) == before


def test_as_files(running, start_weir, tmp_path):
    dump = dumped(running)
    before = answers(running.http_port)
    bootstrap = dump["bootstrap"]
    for kind in ("cds", "lds"):
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps({"resources": dump["clusters" if kind == "cds" else "listeners"]}))
        bootstrap["dynamic_resources"][f"{kind}_config"] = {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
    result = validate(json.dumps(bootstrap), tmp_path)
    assert result.returncode == 0, result.stderr
    running.stop()
    start_weir(json.dumps(bootstrap))  # endpoints and routes go on coming by ADS
    assert answers(running.http_port) == before


def test_as_what_a_control_plane_serves(running, start_weir):
    dump = dumped(running)
    before = answers(running.http_port)
    running.stop()
    running.plane.serve(*dump["clusters"], *dump["endpoints"], *dump["routes"], *dump["listeners"])
    start_weir(running.plane.bootstrap("DELTA_GRPC"))
    assert answers(running.http_port) == before
    assert ADS in [c["eds_cluster_config"]["eds_config"] for c in dump["clusters"]]
