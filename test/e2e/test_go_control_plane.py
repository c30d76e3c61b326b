"""weir under a control plane on go-control-plane, which is strict: it answers a state-of-the-world request only when that names
every resource that the snapshot has of its type."""

import pytest

from support import config, http1, xds
from support.busy import Busy
from support.go_peer import ControlPlane
from support.ports import free_port, refuses
from support.resources import ads_bootstrap, eds_cluster, endpoints, listener, routes
from support.upstream import replying
from support.wait import wait_until

pytestmark = pytest.mark.peers

TYPES = (xds.LISTENER, xds.ROUTES, xds.CLUSTER, xds.ENDPOINTS)


@pytest.fixture
def plane(start_go):
    return ControlPlane(start_go, free_port())


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def variant(request):
    return request.param


@pytest.fixture
def served(variant, plane, start_weir, make_upstream):
    """A weir with one route to one EDS cluster."""
    upstream, port = make_upstream(replying(200, body=b"first")), free_port()
    plane.start("1", *one_of_each(port, upstream.port))
    weir = start_weir(ads_bootstrap(plane.port, variant))
    weir.http_port, weir.upstream, weir.variant = port, upstream, variant
    return weir


def one_of_each(port, upstream_port, *more):
    return [listener(port), routes("routes", config.route("up")), eds_cluster("up"), endpoints("up", upstream_port), *more]


def body(port, target="/"):
    return http1.get(port, target).body


def acknowledged(plane, version):
    """In state of the world a request says the version that it has taken."""
    return all(any(request["version"] == version and not request["error"] for request in plane.requests(kind)) for kind in TYPES)


def test_takes_all_four_types(served, plane):
    assert body(served.http_port) == b"first"
    for kind in TYPES:
        plane.wait_request(kind, lambda request: request["nonce"], f"an answer to the first of {kind}")
    if served.variant == "GRPC":
        wait_until(lambda: acknowledged(plane, "1"), "version 1 to be acknowledged")
        assert served.admin_json("/config_dump?resource=dynamic_listeners")["configs"][0]["active_state"]["version_info"] == "1"
    assert plane.refusals() == []


def test_a_changed_endpoint_takes_effect(served, plane, make_upstream):
    other = make_upstream(replying(200, body=b"other"))
    with http1.Client(served.http_port) as client:
        assert client.request().body == b"first"
        plane.serve("2", *one_of_each(served.http_port, other.port))
        wait_until(lambda: client.request().body == b"other", "the changed endpoint")
    assert plane.refusals() == []


def test_a_changed_route_takes_effect(served, plane):
    plane.serve("2", listener(served.http_port), routes("routes", config.direct_response(200, "second")), eds_cluster("up"),
                endpoints("up", served.upstream.port))
    wait_until(lambda: body(served.http_port) == b"second", "the changed route")
    if served.variant == "GRPC":
        wait_until(lambda: acknowledged(plane, "2"), "version 2 to be acknowledged")
    assert plane.refusals() == []


def test_what_comes_and_goes_in_one_snapshot_is_asked_for_whole(served, plane, make_upstream):
    """A second listener with routes, cluster and endpoints of its own, all at once; then the first of each goes."""
    second, port = make_upstream(replying(200, body=b"second")), free_port()
    also = [listener(port, "more", name="also"), routes("more", config.route("late")), eds_cluster("late"), endpoints("late", second.port)]
    plane.serve("2", *one_of_each(served.http_port, served.upstream.port, *also))
    wait_until(lambda: not refuses(port) and body(port) == b"second", "the second listener")
    assert body(served.http_port) == b"first"
    plane.serve("3", *also)
    wait_until(lambda: refuses(served.http_port), "the first listener to go")
    wait_until(lambda: "cluster.up.membership_total" not in served.stats(), "the first cluster to go")
    assert body(port) == b"second"
    changed = make_upstream(replying(200, body=b"changed"))
    plane.serve("4", *also[:3], endpoints("late", changed.port))
    wait_until(lambda: body(port) == b"changed", "the endpoint of the cluster that stayed")
    if served.variant == "GRPC":
        wait_until(lambda: acknowledged(plane, "4"), "version 4 to be acknowledged")
        assert [plane.requests(kind)[-1]["names"] for kind in (xds.ROUTES, xds.ENDPOINTS)] == [["more"], ["late"]]
    else:
        assert "up" in [name for request in plane.requests(xds.ENDPOINTS) for name in request["dropped"] or []]
    assert plane.refusals() == []


def test_endpoints_of_many_clusters_are_asked_for_together(variant, plane, start_weir, make_upstream):
    upstream, port, names = make_upstream(replying(200, body=b"ok")), free_port(), [f"c{i}" for i in range(100)]

    def snapshot(names):
        return [listener(port), routes("routes", *[config.route(name, f"/{name}/") for name in names]),
                *map(eds_cluster, names), *[endpoints(name, upstream.port) for name in names]]
    plane.start("1", *snapshot(names))
    start_weir(ads_bootstrap(plane.port, variant))
    assert {body(port, f"/{name}/") for name in names} == {b"ok"}
    names = [f"c{i}" for i in range(50, 150)]
    plane.serve("2", *snapshot(names))
    wait_until(lambda: {http1.get(port, f"/{name}/").status for name in names} == {200}, "the clusters of the second snapshot")
    assert plane.refusals() == []


def test_a_refused_resource_is_told_and_the_last_good_one_serves(served, plane):
    bad = routes("routes", {"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "up"}})
    rest = [listener(served.http_port), eds_cluster("up"), endpoints("up", served.upstream.port)]
    plane.serve("2", bad, *rest)
    refused = plane.wait_request(xds.ROUTES, lambda request: request["error"], "the refusal")
    assert refused["error"].startswith("routes: virtual_hosts[0].routes[0].match.safe_regex"), refused
    if served.variant == "GRPC":
        assert refused["version"] == "1"
    assert body(served.http_port) == b"first"
    plane.serve("3", routes("routes", config.direct_response(200, "good again")), *rest)
    wait_until(lambda: body(served.http_port) == b"good again", "the next good route")


def test_a_refused_cluster_holds_back_none_of_the_snapshot(served, plane):
    bad = {"@type": xds.CLUSTER, "name": "bad", "type": "STATIC", "lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 4}}
    plane.serve("2", listener(served.http_port), routes("routes", config.route("second", "/second"), config.route("up")), eds_cluster("up"),
                bad, eds_cluster("second"), endpoints("up", served.upstream.port), endpoints("second", served.upstream.port))
    wait_until(lambda: http1.get(served.http_port, "/second").body == b"first", "the good sibling")
    refused = plane.wait_request(xds.CLUSTER, lambda request: request["error"], "the refusal")
    assert refused["error"].startswith("bad: "), refused


CONNECTIONS = 40


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_restarted_control_plane_is_taken_up_again_without_a_failed_request(variant, version, plane, start_weir):
    """Its nonces begin anew; it serves what weir has already, or something newer."""
    port = free_port()
    busy = Busy(port, CONNECTIONS)
    hosts = [busy.upstream(), busy.upstream()]
    snapshot = [listener(port), routes("routes", config.route("up")), eds_cluster("up")]
    plane.start("1", *snapshot, endpoints("up", hosts[0]))
    weir = start_weir(ads_bootstrap(plane.port, variant))
    with busy:
        wait_until(lambda: busy.done >= CONNECTIONS, "requests")
        plane.program.kill()
        weir.wait_stat("control_plane.connected_state", 0)
        done = busy.done
        wait_until(lambda: busy.done >= done + CONNECTIONS, "requests without a control plane")
        plane.start(version, *snapshot, endpoints("up", *hosts[:int(version)]))
        weir.wait_stat("control_plane.connected_state", 1)
        for kind in TYPES:
            plane.wait_request(kind, lambda request: not request["nonce"], f"the first request for {kind}")
        plane.serve("3", *snapshot, endpoints("up", hosts[1]))
        address = f"127.0.0.1:{hosts[0]}::"
        wait_until(lambda: address not in weir.admin("/clusters")[1], "the endpoints of version 3")
        done = busy.done
        wait_until(lambda: busy.failures or busy.done >= done + 2 * CONNECTIONS, "requests after the restart")
    assert busy.failures == []
    assert plane.refusals() == []
    resumed = {kind: plane.requests(kind)[0] for kind in TYPES}
    if variant == "GRPC":
        assert {request["version"] for request in resumed.values()} == {"1"}
    else:
        assert {kind: list(request["held"]) for kind, request in resumed.items()} == {
            xds.LISTENER: ["listener"], xds.ROUTES: ["routes"], xds.CLUSTER: ["up"], xds.ENDPOINTS: ["up"]}
