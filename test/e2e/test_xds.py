"""weir under weir-control-plane: configuration by ADS, updates, refusals, loss of the control plane."""

import json
import signal
import threading

import pytest

from support import config, http1, process
from support.busy import Busy
from support.ports import free_port, refuses
from support.resources import ads_bootstrap, eds_cluster, endpoints, listener, resource, routes
from support.upstream import replying
from support.wait import wait_until

if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)

class ControlPlane:
    """weir-control-plane over a folder that a test rewrites."""

    def __init__(self, start_program, folder, port=None):
        self.folder = folder
        self.port = port or free_port()
        self.start_program = start_program
        folder.mkdir(exist_ok=True)

    def start(self):
        self.program = self.start_program("weir-control-plane", "--listen", f"127.0.0.1:{self.port}", "--resources", self.folder)
        return self

    def serve(self, *resources, name="all.json"):
        fresh = self.folder / f".{name}.new"
        fresh.write_text(json.dumps({"resources": list(resources)}))
        fresh.replace(self.folder / name)

    def bootstrap(self, api_type="GRPC", **node):
        return ads_bootstrap(self.port, api_type, **node)


@pytest.fixture
def plane(start_program, tmp_path):
    return ControlPlane(start_program, tmp_path / "resources")


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def served(request, plane, start_weir, make_upstream):
    """A weir with one route to one EDS cluster, by both protocol variants."""
    upstream = make_upstream(replying(200, body=b"first"))
    port = free_port()
    plane.serve(eds_cluster("up"), endpoints("up", upstream.port), routes("routes", config.route("up")), listener(port))
    plane.start()
    weir = start_weir(plane.bootstrap(request.param))
    weir.http_port, weir.upstream = port, upstream
    return weir


def body(port, target="/"):
    return http1.get(port, target).body


def test_everything_by_ads(served):
    assert body(served.http_port) == b"first"
    dump = {c["@type"].rsplit(".", 1)[1]: c for c in served.admin_json("/config_dump?include_eds")["configs"]}
    assert dump["RoutesConfigDump"]["dynamic_route_configs"][0]["version_info"]
    assert dump["ListenersConfigDump"]["dynamic_listeners"][0]["active_state"]["listener"]["name"] == "listener"
    assert dump["ClustersConfigDump"]["dynamic_active_clusters"][0]["cluster"]["name"] == "up"


def test_a_route_change_takes_effect(served, plane):
    plane.serve(eds_cluster("up"), endpoints("up", served.upstream.port), routes("routes", config.direct_response(200, "second")), listener(served.http_port))
    wait_until(lambda: body(served.http_port) == b"second", "the changed route")


def test_an_endpoint_change_takes_effect_on_kept_connections(served, plane, make_upstream):
    other = make_upstream(replying(200, body=b"other"))
    with http1.Client(served.http_port) as client:
        assert client.request().body == b"first"
        plane.serve(eds_cluster("up"), endpoints("up", other.port), routes("routes", config.route("up")), listener(served.http_port))
        wait_until(lambda: client.request().body == b"other", "the changed endpoint")


def test_a_refused_route_keeps_the_last_good_one(served, plane):
    bad = routes("routes", {"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "up"}})
    plane.serve(eds_cluster("up"), endpoints("up", served.upstream.port), bad, listener(served.http_port))
    plane.program.wait_log("NACK")
    assert "routes" in plane.program.log
    assert body(served.http_port) == b"first"
    [record] = served.admin_json("/config_dump?resource=dynamic_route_configs")["configs"]
    assert "safe_regex" in record["error_state"]["details"]
    plane.serve(eds_cluster("up"), endpoints("up", served.upstream.port), routes("routes", config.direct_response(200, "good again")), listener(served.http_port))
    wait_until(lambda: body(served.http_port) == b"good again", "the next good route")


def test_a_refused_cluster_does_not_hold_back_its_siblings(served, plane):
    bad = resource("cluster.v3.Cluster", {"name": "bad", "type": "STATIC", "lb_policy": "MAGLEV"})
    plane.serve(eds_cluster("up"), bad, eds_cluster("second"), endpoints("up", served.upstream.port), endpoints("second", served.upstream.port),
                routes("routes", config.route("second", "/second"), config.route("up")), listener(served.http_port))
    wait_until(lambda: http1.get(served.http_port, "/second").body == b"first", "the good sibling")
    plane.program.wait_log("NACK")
    assert "bad" in plane.program.log


def test_a_route_to_a_cluster_that_is_not_there_yet_answers_503_and_works_later(served, plane):
    later = routes("routes", config.route("later"))
    plane.serve(eds_cluster("up"), endpoints("up", served.upstream.port), later, listener(served.http_port))
    wait_until(lambda: http1.get(served.http_port).status == 503, "503 for the missing cluster")
    plane.serve(eds_cluster("up"), eds_cluster("later"), endpoints("up", served.upstream.port), endpoints("later", served.upstream.port), later,
                listener(served.http_port))
    wait_until(lambda: http1.get(served.http_port).status == 200, "the cluster to come")


def test_losing_the_control_plane_loses_no_traffic(served, plane):
    plane.program.stop()
    for _ in range(20):
        assert body(served.http_port) == b"first"
    plane.serve(eds_cluster("up"), endpoints("up", served.upstream.port), routes("routes", config.direct_response(200, "back")), listener(served.http_port))
    plane.start()
    wait_until(lambda: body(served.http_port) == b"back", "configuration after the control plane came back")


def test_a_removed_listener_closes_its_port(served, plane):
    plane.serve(eds_cluster("up"), endpoints("up", served.upstream.port), routes("routes", config.route("up")))
    wait_until(lambda: refuses(served.http_port), "the port to be closed")


def test_start_up_waits_for_the_control_plane_and_says_so(plane, start_weir, make_upstream):
    port = free_port()
    weir = start_weir(plane.bootstrap(), ready=False)
    status, text = weir.admin("/ready")
    assert status == 503
    assert "waits: the first answer to CDS from 'control'" in text
    plane.serve(eds_cluster("up"), endpoints("up", make_upstream().port), routes("routes", config.route("up")), listener(port))
    plane.start()
    wait_until(lambda: weir.admin("/ready")[0] == 200, "weir to be ready")
    assert http1.get(port).status == 200


BUSY = 200


def test_busy_connections_lose_nothing_across_updates(plane, start_weir):
    """Two hundred requests are under way at any moment while routes, clusters, endpoints and listeners change under them."""
    port = free_port()
    busy = Busy(port, BUSY)
    hosts = [busy.upstream() for _ in range(3)]

    def serve(round_):
        plane.serve(eds_cluster("up", connect_timeout=f"{round_ + 1}s"), endpoints("up", *hosts[:1 + round_ % 3]),
                    eds_cluster("other", connect_timeout=f"{round_ + 1}s"), endpoints("other", *hosts[round_ % 3:]),
                    routes("routes", config.route("other" if round_ % 4 == 3 else "up", timeout=f"{round_ + 30}s")),
                    listener(port, stream_idle_timeout=f"{round_ + 100}s"))

    serve(0)
    plane.start()
    weir = start_weir(plane.bootstrap())
    with busy:
        for round_ in range(1, 13):
            serve(round_)
            mark, done = f'"{round_ + 100}s"', busy.done
            wait_until(lambda: mark in weir.admin("/config_dump?resource=dynamic_listeners")[1], "the listener's new version")
            wait_until(lambda: busy.failures or busy.done >= done + BUSY, "requests under the new version")
    assert busy.failures == []
    assert weir.stat("http.hcm.downstream_rq_5xx") == 0


def test_nodes_get_their_own_folder(plane, start_weir):
    port = free_port()
    (plane.folder / "special").mkdir()
    plane.serve(listener(free_port(), name="common"), routes("routes", config.direct_response(200, "common")))
    fresh = plane.folder / "special" / "r.json"
    fresh.write_text(json.dumps({"resources": [listener(port), routes("routes", config.direct_response(200, "special"))]}))
    plane.start()
    start_weir(plane.bootstrap(id="special"))
    assert body(port) == b"special"


def test_sigterm_finishes_a_running_request(plane, start_weir, make_upstream):
    release = threading.Event()

    def slow(request, connection):
        release.wait(20)
        connection.reply(200, body=b"late")

    port = free_port()
    plane.serve(eds_cluster("up"), endpoints("up", make_upstream(slow).port), routes("routes", config.route("up")), listener(port))
    plane.start()
    weir = start_weir(plane.bootstrap())
    with http1.Client(port) as client:
        client.send_request()
        wait_until(lambda: "::rq_active::1" in weir.admin("/clusters")[1], "the request to be under way")
        weir.send_signal(signal.SIGTERM)
        wait_until(lambda: weir.admin("/ready") == (503, "DRAINING\n"), "draining")
        wait_until(lambda: refuses(port), "the end of the port")  # then each worker has heard of it
        release.set()
        answer = client.read_response()
        assert (answer.status, answer.body) == (200, b"late")
        assert answer.get("connection") == "close"
    assert weir.wait_exit() == 0


@pytest.mark.parametrize("variant", ["GRPC", "DELTA_GRPC"])
def test_inline_routes_must_name_clusters_that_are_there(plane, start_weir, make_upstream, variant):
    ports = {"good": free_port(), "bad": free_port()}
    up = make_upstream(replying(200, body=b"up"))

    def inline(name, cluster_name, **fields):
        manager = config.hcm(None, route_config=config.route_config(config.virtual_host(config.route(cluster_name)), **fields))
        return resource("listener.v3.Listener", config.listener(ports[name], manager, name=name))
    static = resource("cluster.v3.Cluster", config.cluster("up", up.port))
    plane.serve(static, inline("good", "up"), inline("bad", "late"))
    plane.start()
    weir = start_weir(plane.bootstrap(variant))
    plane.program.wait_log(r"^NACK .*Listener.*bad: .*route_config.virtual_hosts\[0\].routes\[0\].route.cluster: route: unknown cluster 'late'")
    assert body(ports["good"]) == b"up"
    # A cluster that warms counts; the listener is asked about again when it comes again.
    plane.serve(static, eds_cluster("late"), inline("good", "up"), inline("bad", "late", internal_only_headers=["x"]))
    plane.program.wait_log(r"^ACK .*Listener")
    plane.serve(static, eds_cluster("late"), endpoints("late", up.port), inline("good", "up"), inline("bad", "late", internal_only_headers=["x"]))
    wait_until(lambda: weir.stat("cluster.late.membership_total") == 1, "endpoints")
    assert body(ports["bad"]) == b"up"


def test_routes_by_rds_may_name_clusters_that_are_not_there_unless_asked(plane, start_weir):
    port = free_port()
    plane.serve(routes("routes", config.route("none")), listener(port))
    plane.start()
    start_weir(plane.bootstrap())
    assert http1.get(port).status == 503
    plane.serve(routes("routes", config.route("other"), validate_clusters=True), listener(port))
    plane.program.wait_log(r"^NACK .*RouteConfiguration.*routes: virtual_hosts\[0\].routes\[0\].route.cluster: route: unknown cluster 'other'")
    assert http1.get(port).status == 503
