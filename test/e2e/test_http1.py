"""HTTP/1.1 to HTTP/1.1: what passes through, what weir answers by itself."""

import threading

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import replying

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def proxy(start_weir, make_upstream):
    """proxy(handler, **route_action) -> (port of the listener, upstream)."""
    def start(*handler, **action):
        upstream = make_upstream(*handler)
        port = free_port()
        hosts = [config.virtual_host(config.route("upstream", "/", **action))]
        start_weir(config.bootstrap([config.listener(port, config.hcm(hosts))], [config.cluster("upstream", upstream.port)]))
        return port, upstream
    return start


def test_get_passes_through(proxy):
    port, upstream = proxy(replying(200, {"x-answer": "yes"}, b"hello world\n"))
    response = http1.get(port, "/some/path?q=1", {"x-ask": "please"})
    assert (response.status, response.reason, response.body) == (200, "OK", b"hello world\n")
    assert response.get("x-answer") == "yes"
    assert response.get("content-length") == "12"
    assert response.get("server") == "envoy"
    [request] = upstream.requests
    assert (request.method, request.target) == ("GET", "/some/path?q=1")
    assert request.get("host") == "localhost"
    assert request.get("x-ask") == "please"
    assert request.get("x-forwarded-proto") == "http"
    assert request.get("x-request-id")
    assert request.get("content-length") is None and request.get("transfer-encoding") is None


def test_post_with_content_length_arrives_with_it(proxy):
    port, upstream = proxy()
    body = bytes(range(256)) * 1000
    with http1.Client(port) as client:
        response = client.request("POST", "/", body=body)
    assert response.status == 200
    assert response.body == body
    [request] = upstream.requests
    assert request.body == body
    assert request.get("content-length") == str(len(body))


def test_post_with_chunks_arrives_as_chunks(proxy):
    port, upstream = proxy()
    with http1.Client(port) as client:
        response = client.request("POST", "/", body=[b"one", b"two", b"x" * 100_000], chunked=True)
    assert response.body == b"onetwo" + b"x" * 100_000
    [request] = upstream.requests
    assert request.get("transfer-encoding") == "chunked"
    assert request.get("content-length") is None


def test_chunks_pass_as_they_come(proxy):
    """The first chunk of a body reaches the other side before the last one is sent, both ways."""
    first_seen = threading.Event()

    def handler(request, connection):
        chunks = connection.body_chunks(request)
        assert next(chunks) == b"first"
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + http1.encode_chunk(b"early"))
        first_seen.set()
        assert b"".join(chunks) == b"second"
        request.complete = True
        connection.send(http1.encode_chunk(b"late") + http1.LAST_CHUNK)

    port, _ = proxy(handler)
    with http1.Client(port) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + http1.encode_chunk(b"first"))
        assert first_seen.wait(20)
        response = client.read_response_head()
        chunks = client.chunks(response)
        assert next(chunks) == b"early"
        client.send(http1.encode_chunk(b"second") + http1.LAST_CHUNK)
        assert b"".join(chunks) == b"late"


def test_connection_is_kept_on_both_sides(proxy):
    port, upstream = proxy(replying())
    with http1.Client(port) as client:
        for number in range(5):
            assert client.request("GET", f"/{number}").status == 200
    assert [request.target for request in upstream.requests] == ["/0", "/1", "/2", "/3", "/4"]
    assert len(upstream.connections) == 1


def test_connection_close_is_honoured(proxy):
    port, _ = proxy(replying())
    with http1.Client(port) as client:
        response = client.request("GET", "/", {"connection": "close"})
        assert response.status == 200
        assert response.get("connection") == "close"
        client.expect_closed()


def test_pipelined_requests_are_answered_in_order(proxy):
    port, _ = proxy()
    with http1.Client(port) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number for number in range(20)))
        for number in range(20):
            assert client.read_response().body == b"GET /%d HTTP/1.1" % number


def test_head_has_the_length_but_no_body(proxy):
    port, _ = proxy()
    with http1.Client(port) as client:
        response = client.request("HEAD", "/")
        assert (response.status, response.get("content-length"), response.body) == (200, "5", b"")
        assert client.request("GET", "/next").body == b"GET /next HTTP/1.1"


@pytest.mark.parametrize("status", [204, 304])
def test_answer_without_body_keeps_the_connection(proxy, status):
    port, _ = proxy(lambda request, connection: connection.reply(status, reason="None"))
    with http1.Client(port) as client:
        for _ in range(2):
            response = client.request("GET", "/")
            assert response.status == status
            assert response.get("content-length") is None and response.get("transfer-encoding") is None


def test_answer_until_close_becomes_chunked(proxy):
    def handler(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        connection.keep = False
        request.complete = True

    port, _ = proxy(handler)
    with http1.Client(port) as client:
        response = client.request("GET", "/")
        assert response.body == b"until the end"
        assert response.get("transfer-encoding") == "chunked"
        assert client.request("GET", "/").status == 200


def test_no_route_is_404(start_weir):
    port = free_port()
    hosts = [config.virtual_host(config.route("nowhere", "/only"), domains=("a.test",))]
    start_weir(config.bootstrap([config.listener(port, config.hcm(hosts))], [config.cluster("nowhere", 1)]))
    with http1.Client(port) as client:
        for host, path in (("b.test", "/only"), ("a.test", "/other")):
            response = client.request("GET", path, host=host)
            assert (response.status, response.body) == (404, b"")


def test_refused_upstream_is_503(start_weir):
    port = free_port()
    start_weir(config.simple_proxy(port, free_port()))
    with http1.Client(port) as client:
        for _ in range(2):
            response = client.request("GET", "/")
            assert response.status == 503
            assert response.body == (b"upstream connect error or disconnect/reset before headers. "
                                     b"reset reason: remote connection failure")


def test_upstream_that_closes_without_answer_is_503(proxy):
    port, _ = proxy(lambda request, connection: connection.close())
    response = http1.get(port)
    assert response.status == 503
    assert response.body == (b"upstream connect error or disconnect/reset before headers. "
                             b"reset reason: connection termination")


def test_direct_response(start_weir):
    port = free_port()
    hosts = [config.virtual_host(config.direct_response(418, "teapot"))]
    start_weir(config.bootstrap([config.listener(port, config.hcm(hosts))]))
    response = http1.get(port)
    assert (response.status, response.body) == (418, b"teapot")


MALFORMED = {
    "two content lengths": b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "length and chunked": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "blank in a name": b"GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n",
    "blank before the colon": b"GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
    "folded line": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n folded\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nhost: a\r\nx: nul\0\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: a\n\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "garbage": b"garbage\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_is_400_and_reaches_no_upstream(proxy, request_bytes):
    port, upstream = proxy()
    with http1.Client(port) as client:
        client.send(request_bytes)
        response = client.read_response()
        assert response.status == 400
        assert response.get("connection") == "close"
        client.expect_closed()
    assert not upstream.requests


def test_large_bodies_arrive_whole_both_ways(proxy):
    port, _ = proxy()
    body = b"0123456789abcdef" * 65536 * 4
    with http1.Client(port) as client:
        sender = threading.Thread(target=client.send_request, args=("POST", "/"), kwargs={"body": body})
        sender.start()
        response = client.read_response()
        sender.join()
    assert response.body == body
