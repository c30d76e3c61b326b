"""Updates of listeners and routes by ADS under connections that stay: nobody is dropped, new streams follow the new configuration."""

import threading

import pytest

from support import config, http1, process
from support.ports import free_port, refuses
from support.wait import DEADLINE_S, wait_until
from support.websocket import WebSocketClient
from test_xds import ControlPlane, endpoints, eds_cluster, listener, routes

if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)

WEBSOCKETS = [{"upgrade_type": "websocket"}]


@pytest.fixture
def plane(start_program, tmp_path):
    return ControlPlane(start_program, tmp_path / "resources")


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def start(request, plane, start_weir):
    def begin(*resources, args=()):
        plane.serve(*resources)
        plane.start()
        return start_weir(plane.bootstrap(request.param), args=args)
    return begin


def test_a_websocket_outlives_updates_that_new_streams_follow(start, plane, make_websocket_upstream):
    up, port = make_websocket_upstream(), free_port()
    base = [eds_cluster("up"), endpoints("up", up.port)]
    start(*base, routes("routes", config.route("up", "/ws"), config.direct_response(200, "old")), listener(port, upgrade_configs=WEBSOCKETS))
    with WebSocketClient(port, "/ws") as websocket, http1.Client(port) as kept:
        websocket.send("before")
        assert websocket.receive() == "before"
        assert kept.request().body == b"old"

        plane.serve(*base, routes("routes", config.direct_response(200, "new")), listener(port, upgrade_configs=WEBSOCKETS))
        wait_until(lambda: kept.request().body == b"new", "the new route on the old connection")
        assert kept.request("GET", "/ws").body == b"new"
        websocket.send("after the route")
        assert websocket.receive() == "after the route"

        plane.serve(*base, routes("routes", config.direct_response(200, "new")), routes("others", config.direct_response(200, "other")),
                    listener(port, "others", server_name="renamed"))
        wait_until(lambda: kept.request().body == b"other", "the new listener on the old connection")
        assert kept.request().get("server") == "renamed"
        websocket.send("after the listener")
        assert websocket.receive() == "after the listener"
    assert up.connections == 1


def last_updated(weir):
    records = weir.admin_json("/config_dump?resource=dynamic_listeners")["configs"]
    return {record["name"]: record["active_state"]["last_updated"] for record in records}


def test_an_equal_listener_is_left_alone(start, plane):
    first, second = free_port(), free_port()
    base = [routes("routes", config.direct_response(200, "ok"))]
    weir = start(*base, listener(first, name="first"), listener(second, name="second"))
    before = last_updated(weir)
    with http1.Client(first) as kept:
        assert kept.request().status == 200
        plane.serve(*base, listener(first, name="first"), listener(second, name="second", server_name="renamed"))
        wait_until(lambda: http1.get(second).get("server") == "renamed", "the changed sibling")
        assert kept.request().get("server") == "envoy"
    after = last_updated(weir)
    assert after["first"] == before["first"]
    assert after["second"] != before["second"]


def test_a_removed_listener_finishes_what_runs(start, plane, make_upstream):
    release = threading.Event()

    def slowly(request, connection):
        assert release.wait(DEADLINE_S)
        connection.reply(body=b"finished")
    up, port, other = make_upstream(slowly), free_port(), free_port()
    base = [eds_cluster("up"), endpoints("up", up.port), routes("routes", config.route("up")), listener(other, name="stays")]
    start(*base, listener(port), args=("--drain-time-s", "1"))
    with http1.Client(port) as busy:
        busy.send_request()
        up.wait_requests(1)
        plane.serve(*base)
        wait_until(lambda: refuses(port), "the port to be closed")
        release.set()
        answer = busy.read_response()
        assert (answer.status, answer.body) == (200, b"finished")
        busy.expect_closed()
    assert http1.get(other).status == 200
