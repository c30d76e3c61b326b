"""Route tables by RDS live as long as a listener names them: then they go, with their subscription; named again they come anew."""

import pytest

from support import config, http1, process
from support.ports import free_port, refuses
from support.wait import wait_until
from support.xds import CLUSTER, LISTENER, ROUTES
from support.xds_server import any_of, listener, route_configuration, wrapped

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

ADS = {"ads": {}, "resource_api_version": "V3"}


class Served:
    """A weir on a scripted control plane that has the listeners a and b, each with a route table of its name."""

    def __init__(self, api_type, plane, start_weir):
        self.delta = api_type == "DELTA_GRPC"
        self.ports = {"a": free_port(), "b": free_port()}
        self.version = 0
        self.weir = start_weir({
            "node": {"id": "test", "cluster": "tests"}, "admin": {"address": config.address(0)},
            "dynamic_resources": {
                "ads_config": {"api_type": api_type, "transport_api_version": "V3",
                               "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
                "cds_config": ADS, "lds_config": ADS},
            "static_resources": {"clusters": [config.cluster("control", plane.port, http2=True)]}}, ready=False)
        self.stream = plane.accept()
        self.stream.take(CLUSTER)
        self.stream.send(CLUSTER, "1")
        self.listeners("a", "b")
        self.wait_wanted("a", "b")
        self.routes(a="first", b="first")
        wait_until(lambda: self.weir.admin("/ready")[0] == 200, "/ready")

    def send(self, type_url, resources, removed=()):
        """resources: bodies by name."""
        self.version += 1
        version = str(self.version)
        made = [wrapped(name, version, any_of(type_url, body)) if self.delta else any_of(type_url, body) for name, body in resources.items()]
        return self.stream.send(type_url, version, made, removed if self.delta else ())

    def listeners(self, *names, **tables):
        """The whole set; tables: names of route tables that are not the listener's own."""
        gone = self.ports.keys() - set(names)
        return self.send(LISTENER, {name: listener(name, self.ports[name], tables.get(name, name)) for name in names}, sorted(gone))

    def routes(self, **bodies):
        return self.send(ROUTES, {name: route_configuration(name, body=body) for name, body in bodies.items()})

    def wait_wanted(self, *names):
        """Until the control plane has been told that these route tables and no others are wanted."""
        def wanted():
            now = set()
            for request in self.stream.history:
                if request.type == ROUTES:
                    now = (now | set(request.names)) - set(request.dropped) if self.delta else set(request.names)
            return now
        wait_until(lambda: wanted() == set(names), f"a subscription to {names}")

    def tables(self):
        dump = self.weir.admin_json("/config_dump?resource=dynamic_route_configs")
        return sorted(c["route_config"]["name"] for c in dump.get("configs", ()) if "route_config" in c)

    def wait_tables(self, *names):
        wait_until(lambda: self.tables() == sorted(names), f"the route tables {names}")

    def body(self, name):
        return http1.get(self.ports[name]).body


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def served(request, make_control_plane, start_weir):
    return Served(request.param, make_control_plane(), start_weir)


def test_a_table_goes_with_the_last_listener_that_names_it(served):
    served.wait_tables("a", "b")
    served.listeners("a")
    served.wait_wanted("a")
    served.wait_tables("a")
    wait_until(lambda: refuses(served.ports["b"]), "the end of b")
    assert served.body("a") == b"first"
    served.listeners("a", "b")
    served.wait_wanted("a", "b")
    served.routes(b="second")
    wait_until(lambda: not refuses(served.ports["b"]), "b")
    assert served.body("b") == b"second"


def test_the_same_bytes_are_taken_again(served):
    served.listeners("a")
    served.wait_tables("a")
    served.listeners("a", "b")
    served.wait_wanted("a", "b")
    served.routes(b="first")
    served.wait_tables("a", "b")
    assert served.body("b") == b"first"


def test_a_listener_that_names_another_table_gives_the_first_one_up(served):
    served.listeners("a", "b", b="c")
    served.wait_wanted("a", "b", "c")  # what serves stays until the new one is there
    assert served.body("b") == b"first"
    served.routes(c="third")
    served.wait_wanted("a", "c")
    served.wait_tables("a", "c")
    assert served.body("b") == b"third"


def test_a_table_of_two_listeners_stays_for_the_other(served):
    served.listeners("a", "b", b="a")
    served.wait_wanted("a")
    served.listeners("a")
    wait_until(lambda: refuses(served.ports["b"]), "the end of b")
    served.wait_tables("a")
    served.listeners()
    served.wait_wanted()
    served.wait_tables()


def test_a_listener_that_drains_keeps_its_table(served):
    with http1.Client(served.ports["b"]) as client, http1.Client(served.ports["b"]) as other:
        assert client.request().body == b"first"
        other.send(b"GET / HTTP/1.1\r\n")  # a request on its way: the connection outlives its listener
        served.weir.wait_stat("http.ingress.downstream_cx_active", 2)
        served.listeners("a")
        wait_until(lambda: refuses(served.ports["b"]), "the end of b")
        other.send(b"host: localhost\r\n\r\n")
        assert other.read_response().body == b"first"
    served.wait_wanted("a")
    served.wait_tables("a")
