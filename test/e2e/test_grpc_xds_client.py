"""grpc-go's own xDS client, no proxy at all, under weir-control-plane: it finds a service's endpoints by LDS, RDS, CDS and EDS."""

import json
import os

import pytest

from support import config
from support.ports import free_port
from support.resources import ADS, eds_cluster, resource, routes
from support.wait import wait_until

pytestmark = pytest.mark.peers

TYPES = ("listener.v3.Listener", "route.v3.RouteConfiguration", "cluster.v3.Cluster", "endpoint.v3.ClusterLoadAssignment")


def api_listener(name):
    """What a client without a port takes in place of a listener."""
    manager = config.hcm(None, rds={"route_config_name": "routes", "config_source": ADS})["typed_config"]
    return resource("listener.v3.Listener", {"name": name, "api_listener": {"api_listener": manager}})


def endpoints(name, *ports):
    """It wants localities to have names and weights."""
    made = config.load_assignment(name, *ports)
    made["endpoints"][0].update(locality={"zone": "z"}, load_balancing_weight=1)
    return resource("endpoint.v3.ClusterLoadAssignment", made)


class Plane:
    """weir-control-plane over a folder that a test rewrites."""

    def __init__(self, start_program, folder):
        self.folder, self.port, self.start_program = folder, free_port(), start_program
        folder.mkdir()

    def serve(self, *resources):
        fresh = self.folder / ".fresh"
        fresh.write_text(json.dumps({"resources": list(resources)}))
        os.replace(fresh, self.folder / "all.json")

    def start(self):
        self.program = self.start_program("weir-control-plane", "--listen", f"127.0.0.1:{self.port}", "--resources", self.folder)
        self.program.wait_log(r"^listening on ")
        return self


@pytest.fixture
def plane(start_program, tmp_path):
    return Plane(start_program, tmp_path / "resources")


@pytest.fixture
def call(start_go, plane, tmp_path):
    """Makes a call by a client that lives as long as the test; returns its outcome: answer and peer, or error."""
    clients, calls = [], 0

    def make(message="hello"):
        nonlocal calls
        if not clients:
            bootstrap = {"xds_servers": [{"server_uri": f"127.0.0.1:{plane.port}", "channel_creds": [{"type": "insecure"}],
                                          "server_features": ["xds_v3"]}], "node": {"id": "grpc-go", "cluster": "clients"}}
            clients.append(start_go("xds-client", "--service", "service", env={"GRPC_XDS_BOOTSTRAP_CONFIG": json.dumps(bootstrap)}))
        clients[0].say(message)
        calls += 1
        return wait_until(lambda: clients[0].assert_running() or clients[0].events()[calls - 1:], "the call's outcome")[0]
    return make


def test_finds_its_service_and_follows_changes(plane, call, make_grpc_upstream):
    one, two = make_grpc_upstream(), make_grpc_upstream()
    first = [api_listener("service"), routes("routes", config.route("up")), eds_cluster("up")]
    plane.serve(*first, endpoints("up", one.port))
    plane.start()
    assert call("hello") == {"answer": "hello", "peer": f"127.0.0.1:{one.port}"}
    for kind in TYPES:
        plane.program.wait_log(rf'^ACK node "grpc-go" type "envoy\.config\.{kind}" ')
    plane.serve(*first, endpoints("up", two.port))
    wait_until(lambda: call().get("peer") == f"127.0.0.1:{two.port}", "the changed endpoint")
    plane.serve(first[0], routes("routes", config.route("other")), eds_cluster("other"), endpoints("other", one.port))
    wait_until(lambda: call().get("peer") == f"127.0.0.1:{one.port}", "the changed route")
    assert "NACK" not in plane.program.log


def test_its_refusal_is_told_and_its_last_good_serves(plane, call, make_grpc_upstream):
    server = make_grpc_upstream()
    rest = [api_listener("service"), routes("routes", config.route("up")), eds_cluster("up")]
    plane.serve(*rest, endpoints("up", server.port))
    plane.start()
    assert call("hello")["answer"] == "hello"
    bad = endpoints("up", server.port)
    del bad["endpoints"][0]["locality"]
    plane.serve(*rest, bad)
    plane.program.wait_log(r'^NACK node "grpc-go" type "envoy\.config\.endpoint\.v3\.ClusterLoadAssignment" .* reason ".*up')
    assert call("again") == {"answer": "again", "peer": f"127.0.0.1:{server.port}"}


def test_goes_on_without_the_control_plane_and_takes_it_up_again(plane, call, make_grpc_upstream):
    one, two = make_grpc_upstream(), make_grpc_upstream()
    rest = [api_listener("service"), routes("routes", config.route("up")), eds_cluster("up")]
    plane.serve(*rest, endpoints("up", one.port))
    plane.start()
    assert call("hello")["answer"] == "hello"
    plane.program.stop()
    assert call("alone") == {"answer": "alone", "peer": f"127.0.0.1:{one.port}"}
    plane.serve(*rest, endpoints("up", two.port))
    plane.start()
    wait_until(lambda: call().get("peer") == f"127.0.0.1:{two.port}", "the endpoint of the control plane that came back")
