"""How long connections and streams may last, and how a path is cleaned: fields of the connection manager that one request shows."""

import threading

import pytest

from support import config, h2peer, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def serve(start_weir, make_upstream):
    """serve(fields of the connection manager, handler) -> (weir, port, upstream); / goes to the upstream, /direct does not."""
    def start(handler=None, **fields):
        port = free_port()
        upstream = make_upstream(*([handler] if handler else []))
        manager = config.hcm([config.virtual_host(config.direct_response(200, "ok", prefix="/direct"),
                                                  config.route("up", timeout="0s"))], **fields)
        weir = start_weir(config.bootstrap([config.listener(port, manager)], [config.cluster("up", upstream.port)]))
        return weir, port, upstream
    return start


def common(**fields):
    return {"common_http_protocol_options": fields}


def test_an_idle_connection_is_closed(serve):
    weir, port, _ = serve(**common(idle_timeout="0.3s"))
    with http1.Client(port) as client:
        assert client.request(target="/direct").status == 200
        client.expect_closed()
    assert weir.stat("http.ingress.downstream_cx_idle_timeout") == 1


def test_an_idle_http2_connection_hears_goaway(serve):
    weir, port, _ = serve(**common(idle_timeout="0.3s"))
    with h2peer.Client(port) as client:
        assert client.request(path="/direct").status == 200
        client.wait_closed()
        assert client.goaway_code == 0
    assert weir.stat("http.ingress.downstream_cx_idle_timeout") == 1


def test_a_connection_with_a_stream_is_not_idle(serve):
    go = threading.Event()
    weir, port, upstream = serve(lambda request, connection: (go.wait(60), connection.reply()), **common(idle_timeout="0.2s"))
    with http1.Client(port) as client, http1.Client(port) as other:
        client.send_request()
        upstream.wait_requests(1)
        other.expect_closed()  # as old as the first, and idle
        go.set()
        assert client.read_response().status == 200


def test_an_old_connection_closes_after_its_answer(serve):
    """max_connection_duration, HTTP/1: the answer that is on its way says so."""
    go = threading.Event()
    weir, port, upstream = serve(lambda request, connection: (go.wait(60), connection.reply()),
                                 **common(max_connection_duration="0.3s"))
    with http1.Client(port) as client:
        client.send_request()
        upstream.wait_requests(1)
        weir.wait_stat("http.ingress.downstream_cx_max_duration_reached", 1)
        go.set()
        response = client.read_response()
        assert (response.status, response.get("connection")) == (200, "close")
        client.expect_closed()


def test_an_old_idle_connection_is_closed(serve):
    weir, port, _ = serve(**common(max_connection_duration="0.3s"))
    with http1.Client(port) as client:
        assert client.request(target="/direct").status == 200
        client.expect_closed()
    assert weir.stat("http.ingress.downstream_cx_max_duration_reached") == 1


def test_an_old_http2_connection_has_its_drain_timeout_for_new_streams(serve):
    """GOAWAY that still takes all streams first; one that takes no more after drain_timeout; and the running one ends."""
    go = threading.Event()
    weir, port, upstream = serve(lambda request, connection: (go.wait(60), connection.reply()), drain_timeout="1.5s",
                                 **common(max_connection_duration="0.2s"))
    with h2peer.Client(port) as client:
        stream = client.open()
        upstream.wait_requests(1)
        assert client.wait_goaway() == 0
        assert client.goaway_last_stream_id == 2**31 - 1
        wait_until(lambda: client.goaway_last_stream_id == stream.id, "the last GOAWAY")
        go.set()
        stream.wait_headers()
        assert stream.status == 200
        client.wait_closed()


def test_a_drain_timeout_of_nothing(serve):
    go = threading.Event()
    weir, port, upstream = serve(lambda request, connection: (go.wait(60), connection.reply()), drain_timeout="0s",
                                 **common(max_connection_duration="0.2s"))
    with h2peer.Client(port) as client:
        stream = client.open()
        upstream.wait_requests(1)
        wait_until(lambda: client.goaway_last_stream_id == stream.id, "the last GOAWAY")
        go.set()
        stream.wait_headers()
        assert stream.status == 200


def test_requests_of_a_connection(serve):
    """max_requests_per_connection: the last answer says that it is the last."""
    weir, port, _ = serve(**common(max_requests_per_connection=2))
    with http1.Client(port) as client:
        assert client.request(target="/direct").get("connection") is None
        assert client.request(target="/direct").get("connection") == "close"
        client.expect_closed()
    assert weir.stat("http.ingress.downstream_cx_max_requests_reached") == 1


def test_a_stream_that_lasts_too_long_without_an_answer(serve):
    weir, port, upstream = serve(lambda request, connection: connection.read_until(b"never"), **common(max_stream_duration="0.3s"))
    with http1.Client(port) as client:
        response = client.request()
        assert (response.status, response.body) == (504, b"downstream duration timeout")
    assert weir.stat("http.ingress.downstream_rq_max_duration_reached") == 1


def test_a_stream_that_lasts_too_long_in_its_answer(serve):
    def handler(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        connection.read_until(b"never")

    weir, port, upstream = serve(handler, **common(max_stream_duration="0.3s"))
    with h2peer.Client(port) as client:
        stream = client.open()
        stream.wait_headers()
        stream.wait_reset()
        assert not stream.ended
    assert weir.stat("http.ingress.downstream_rq_max_duration_reached") == 1


@pytest.mark.parametrize("timeout, kept", [("60s", True), ("0s", False)])
def test_a_client_that_sends_on_after_its_last_answer(serve, timeout, kept):
    """delayed_close_timeout: as long as it lasts, what still comes is read, and no RST overtakes the answer."""
    weir, port, _ = serve(delayed_close_timeout=timeout)
    with http1.Client(port) as client:
        client.send(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        assert client.read_to_end().startswith(b"HTTP/1.1 400 Bad Request\r\n")
        if kept:
            client.send(b"x" * 2**24)  # more than the kernel would take for nobody
        else:
            def refused():
                try:
                    client.send(b"x" * 65536)
                except OSError:
                    return True
            wait_until(refused, "a RST")


# What the upstream sees of a path, or (status, location) of the answer.
PATHS = {
    "as it is": ({}, "/a/../b//c/%2e%2e/d", "/a/../b//c/%2e%2e/d"),
    "normalized": ({"normalize_path": True}, "/a/../b//c/%2e%2e/./d?x=../y", "/b//d?x=../y"),
    "merged": ({"merge_slashes": True}, "/a//b///c?x=//y", "/a/b/c?x=//y"),
    "both": ({"normalize_path": True, "merge_slashes": True}, "/a//../b", "/a/b"),  # what is between two slashes is a segment
    "above the root": ({"normalize_path": True}, "/../../a", "/a"),
    "escaped kept": ({"path_with_escaped_slashes_action": "KEEP_UNCHANGED"}, "/a%2Fb%5cc", "/a%2Fb%5cc"),
    "escaped refused": ({"path_with_escaped_slashes_action": "REJECT_REQUEST"}, "/a%2fb", (400, None)),
    "escaped redirected": ({"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"}, "/a%2fb?c", (307, "/a/b?c")),
    "escaped forwarded": ({"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"}, "/a%2Fb%5Cc", "/a/b\\c"),
    "escaped forwarded and normalized": ({"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD", "normalize_path": True},
                                         "/a%2F..%2Fb", "/b"),
}


@pytest.mark.parametrize("fields, path, seen", PATHS.values(), ids=PATHS)
def test_paths(serve, fields, path, seen):
    weir, port, upstream = serve(**fields)
    response = http1.get(port, path)
    if isinstance(seen, str):
        assert (response.status, upstream.requests[0].target) == (200, seen)
    else:
        assert (response.status, response.get("location")) == seen
        assert not upstream.requests


def test_via(serve):
    weir, port, upstream = serve(lambda request, connection: connection.reply(headers={"via": "origin"}), via="edge")
    response = http1.get(port, headers={"via": "before"})
    assert upstream.requests[0].get("via") == "before, edge"
    assert response.get("via") == "origin, edge"


@pytest.mark.parametrize("allowed", [True, False])
def test_absolute_targets(serve, allowed):
    weir, port, upstream = serve(http_protocol_options={"allow_absolute_url": allowed})
    response = http1.get(port, "http://b.test/x")
    if allowed:
        assert response.status == 200
        assert (upstream.requests[0].target, upstream.requests[0].get("host")) == ("/x", "b.test")
    else:
        assert response.status == 404
        assert not upstream.requests


def test_names_in_proper_case(start_weir, make_upstream):
    proper = {"header_key_format": {"proper_case_words": {}}}
    upstream = make_upstream(lambda request, connection: connection.reply(headers={"x-from-UP": "1"}))
    port = free_port()
    cluster = config.cluster("up", upstream.port, typed_extension_protocol_options=config.protocol_options(
        explicit_http_config={"http_protocol_options": proper}))
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))],
                                                                 http_protocol_options=proper))], [cluster]))
    response = http1.get(port, headers={"x-one-TWO": "1"})
    assert "X-From-Up" in dict(response.headers) and "Content-Length" in dict(response.headers)
    assert "X-One-Two" in dict(upstream.requests[0].headers) and "Host" in dict(upstream.requests[0].headers)


@pytest.mark.parametrize("kib, status", [(1, 502), (20, 200)])
def test_large_heads_of_upstreams(start_weir, make_upstream, kib, status):
    upstream = make_upstream(lambda request, connection: connection.reply(headers={"x-large": "x" * 10000}))
    port = free_port()
    cluster = config.cluster("up", upstream.port, typed_extension_protocol_options=config.protocol_options(
        common_http_protocol_options={"max_response_headers_kb": kib}, explicit_http_config={"http_protocol_options": {}}))
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))], [cluster]))
    assert http1.get(port).status == status
