"""What a NACK says: the resource's name, the field's path, the reason; one line for each refused resource."""

import pytest

from support import config, process
from support.xds import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from support.xds_server import (ADS, any_of, duration, eds_cluster, encode, listener, load_assignment, route_configuration,
                                static_cluster, wrapped)

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

OWN_STREAM = encode((2, encode((1, 2), (4, encode((1, encode((1, "control"))))))), (6, 2))  # ConfigSource.api_config_source
FILE = encode((8, encode((1, "/tmp/x.yaml"))), (6, 2))  # ConfigSource.path_config_source


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """A stream of each variant, with all types subscribed."""
    from support.weir import running_weir
    from support.xds_server import ControlPlane
    folder = tmp_path_factory.mktemp("nack")
    made, managers, planes = {}, [], []
    for api_type in ("GRPC", "DELTA_GRPC"):
        plane = ControlPlane()
        planes.append(plane)
        source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0.1s"}
        manager = running_weir({
            "node": {"id": "test", "cluster": "tests"},
            "admin": {"address": config.address(0)},
            "dynamic_resources": {
                "ads_config": {"api_type": api_type, "transport_api_version": "V3",
                               "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
                "cds_config": source, "lds_config": source},
            "static_resources": {"clusters": [config.cluster("control", plane.port, http2=True)]},
        }, folder)
        manager.__enter__()
        managers.append(manager)
        stream = made[api_type] = plane.accept()
        stream.take(CLUSTER)
        stream.send(CLUSTER, "0", [wrap(stream, CLUSTER, "dc", eds_cluster("dc", ADS))])
        stream.take(ENDPOINTS)
        stream.take(LISTENER)
        stream.send(LISTENER, "0", [wrap(stream, LISTENER, "l", listener("l", 0, "r"))])
        stream.take(ROUTES)
    yield made
    for manager in managers:
        manager.__exit__(None, None, None)
    for plane in planes:
        plane.close()


def wrap(stream, type_url, name, body, held_type=None):
    return wrapped(name, "1", any_of(held_type or type_url, body)) if stream.delta else any_of(held_type or type_url, body)


def nack(stream, type_url, *resources):
    nonce = stream.send(type_url, "bad", resources)
    while (request := stream.take(type_url)).nonce != nonce:
        pass
    return request.error


def bad_cluster(name):
    return encode((1, name), (4, encode((2, 7_000_000_000))))  # connect_timeout.nanos out of range


CASES = {
    "a rule of the API": (CLUSTER, "a", bad_cluster("a"), "a: connect_timeout: "),
    "a field deep inside": (ENDPOINTS, "dc", load_assignment("dc", 1, 70000),
                            "dc: endpoints[0].lb_endpoints[1].endpoint.address.socket_address.port_value: value must be "),
    "what only the compiler sees": (ROUTES, "r", route_configuration("r", "dc").replace(b"\x0a\x01/", b"\x52\x06\x12\x04(((("),
                                    "r: virtual_hosts[0].routes[0].match."),
    "a field that weir does not support": (CLUSTER, "a", static_cluster("a") + encode((47, encode((1, 5)))), "a: "),
    "endpoints by a stream of their own": (CLUSTER, "a", eds_cluster("a", OWN_STREAM), "a: eds_cluster_config.eds_config.api_config_source: weir does not support"),
    "endpoints from a file": (CLUSTER, "a", eds_cluster("a", FILE), "a: eds_cluster_config.eds_config.path_config_source: only listeners and clusters"),
    "routes by a stream of their own": (LISTENER, "x", listener("x", 0, "r", OWN_STREAM),
                                        "Error adding/updating listener(s) x: filter_chains[0].filters[0].typed_config.rds.config_source.api_config_source: "),
}


@pytest.mark.parametrize("api_type", ["GRPC", "DELTA_GRPC"])
@pytest.mark.parametrize("case", CASES)
def test_names_the_resource_the_field_and_the_reason(streams, api_type, case):
    type_url, name, body, expected = CASES[case]
    stream = streams[api_type]
    error = nack(stream, type_url, wrap(stream, type_url, name, body))
    assert error is not None and error.startswith(expected), error
    assert len(error) > len(expected) and "\n" not in error


@pytest.mark.parametrize("api_type", ["GRPC", "DELTA_GRPC"])
def test_a_line_for_each_refused_resource(streams, api_type):
    stream = streams[api_type]
    error = nack(stream, CLUSTER, wrap(stream, CLUSTER, "dc", eds_cluster("dc")), *[wrap(stream, CLUSTER, n, bad_cluster(n)) for n in ("b", "c")])
    assert [line.split(":")[:2] for line in error.split("\n")] == [["b", " connect_timeout"], ["c", " connect_timeout"]]


@pytest.mark.parametrize("api_type", ["GRPC", "DELTA_GRPC"])
def test_the_same_name_twice(streams, api_type):
    stream = streams[api_type]
    error = nack(stream, CLUSTER, *[wrap(stream, CLUSTER, "dc", eds_cluster("dc"))] * 2)
    assert error == "dc: name: comes twice in one response"


def test_resources_without_a_name_are_told_by_their_place(streams):
    stream = streams["GRPC"]
    good = wrap(stream, CLUSTER, "dc", eds_cluster("dc"))
    error = nack(stream, CLUSTER, good, any_of(CLUSTER, b"\x0a\x7f"), any_of(CLUSTER, encode((4, duration(1)))), any_of(LISTENER, encode((1, "l"))))
    broken, nameless, stranger = error.split("\n")
    assert broken.startswith("resources[1]: name: the value is longer than what holds it (byte 0 of envoy.config.cluster.v3.Cluster)")
    assert nameless == "resources[2]: name: a resource without a name cannot be used"
    assert stranger == f"resources[3]: type_url: a resource of type {LISTENER} among those of {CLUSTER}"


def test_a_delta_resource_under_another_name(streams):
    stream = streams["DELTA_GRPC"]
    error = nack(stream, CLUSTER, wrap(stream, CLUSTER, "outer", static_cluster("inner")))
    assert error == "outer: name: 'inner' is not what the Resource that holds it is named by, 'outer'"
