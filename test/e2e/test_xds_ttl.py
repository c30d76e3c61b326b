"""Times to live of resources: what the control plane does not refresh ends, a heartbeat without the resource refreshes it."""

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import replying
from support.xds import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from support.xds_server import (RESOURCE, any_of, eds_cluster, listener, load_assignment, route_configuration,
                                static_cluster, wrapped)

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

ADS = {"ads": {}, "resource_api_version": "V3"}
SHORT_S, LONG_S = 0.5, 600


def bootstrap(api_type, port):
    return {
        "node": {"id": "test", "cluster": "tests"},
        "admin": {"address": config.address(0)},
        "dynamic_resources": {
            "ads_config": {"api_type": api_type, "transport_api_version": "V3",
                           "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
            "cds_config": ADS, "lds_config": ADS},
        "static_resources": {"clusters": [config.cluster("control", port, http2=True)]},
    }


class Served:
    """A weir on a scripted control plane; send() wraps each body in a Resource."""

    def __init__(self, api_type, plane, start_weir):
        self.delta = api_type == "DELTA_GRPC"
        self.weir = start_weir(bootstrap(api_type, plane.port), ready=False)
        self.stream = plane.accept()
        self.stream.take(CLUSTER)

    def send(self, type_url, version, *resources):
        """resources: (name, body or None for a heartbeat, ttl or None). Returns the nonce."""
        made = [wrapped(name, version, any_of(type_url, body) if body is not None else b"", ttl) for name, body, ttl in resources]
        return self.stream.send(type_url, version, made if self.delta else [any_of(RESOURCE, one) for one in made])

    def answered(self, type_url, nonce):
        """The request that answers a response, past those that came before."""
        while (request := self.stream.take(type_url)).nonce != nonce:
            pass
        return request

    def clusters(self):
        return {line.split("::")[0] for line in self.weir.admin("/clusters")[1].splitlines()} - {"control"}


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def served(request, make_control_plane, start_weir):
    return Served(request.param, make_control_plane(), start_weir)


def test_a_cluster_that_is_not_refreshed_is_removed(served):
    served.send(CLUSTER, "1", ("a", static_cluster("a"), SHORT_S), ("b", static_cluster("b"), LONG_S), ("c", static_cluster("c"), None))
    served.weir.wait_log("time to live of 'a'")
    served.weir.wait_stat("cluster_manager.active_clusters", 3)
    assert served.clusters() == {"b", "c"}


def test_a_removed_cluster_comes_back_with_the_same_bytes(served):
    served.send(CLUSTER, "1", ("a", static_cluster("a"), SHORT_S))
    served.weir.wait_log("time to live of 'a'")
    served.weir.wait_stat("cluster_manager.active_clusters", 1)
    assert served.answered(CLUSTER, served.send(CLUSTER, "2", ("a", static_cluster("a"), LONG_S))).error is None
    assert served.clusters() == {"a"}


def test_heartbeats_keep_a_resource_alive(served):
    served.send(CLUSTER, "1", ("a", static_cluster("a"), 2), ("b", static_cluster("b"), 2), ("c", static_cluster("c"), None))
    # b ends on time; a is told to live longer by a heartbeat that says nothing of b and c.
    assert served.answered(CLUSTER, served.send(CLUSTER, "1", ("a", None, LONG_S))).error is None
    assert served.clusters() == {"a", "b", "c"}
    served.weir.wait_log("time to live of 'b'")
    served.weir.wait_stat("cluster_manager.active_clusters", 3)
    assert served.clusters() == {"a", "c"}
    # Without a time it lives without end.
    assert served.answered(CLUSTER, served.send(CLUSTER, "1", ("a", None, None))).error is None
    assert served.clusters() == {"a", "c"}


def test_a_heartbeat_for_what_is_not_held_is_refused(served):
    served.send(CLUSTER, "1", ("a", static_cluster("a"), None))
    served.weir.wait_stat("cluster_manager.active_clusters", 2)
    error = served.answered(CLUSTER, served.send(CLUSTER, "2", ("a", None, LONG_S))).error
    assert "a: resource: a heartbeat for version '2'" in error and "another version" in error
    error = served.answered(CLUSTER, served.send(CLUSTER, "2", ("new", None, LONG_S))).error
    assert "new: resource: a heartbeat" in error and "none is held" in error
    assert served.clusters() == {"a"}


def test_a_listener_ends_while_endpoints_and_routes_stay(served, make_upstream):
    upstream, port = make_upstream(replying(200, body=b"ok")), free_port()
    served.send(CLUSTER, "1", ("up", eds_cluster("up"), None))
    served.stream.take(ENDPOINTS)
    served.send(ENDPOINTS, "1", ("up", load_assignment("up", upstream.port), SHORT_S))
    served.stream.take(LISTENER)
    served.send(LISTENER, "1", ("listener", listener("listener", port, "routes"), LONG_S))
    served.stream.take(ROUTES)
    served.send(ROUTES, "1", ("routes", route_configuration("routes", "up"), SHORT_S))
    served.weir.wait_log("time to live of 'up'")
    served.weir.wait_log("time to live of 'routes'")
    assert http1.get(port).body == b"ok"
    assert served.answered(LISTENER, served.send(LISTENER, "1", ("listener", None, SHORT_S))).error is None
    served.weir.wait_stat("listener_manager.total_listeners_active", 0)


def test_times_run_on_without_the_control_plane(make_control_plane, start_weir):
    plane = make_control_plane()
    served = Served("GRPC", plane, start_weir)
    served.answered(CLUSTER, served.send(CLUSTER, "1", ("a", static_cluster("a"), SHORT_S), ("b", static_cluster("b"), None)))
    plane.close()
    served.weir.wait_stat("cluster_manager.active_clusters", 2)
    assert served.clusters() == {"b"}
