"""Every pairing of HTTP/1.1 and HTTP/2 between client and upstream: messages, gRPC, upgrades and tunnels."""

import socket
import threading

import grpc
import pytest

from support import config, h2peer, http1, process
from support.grpc_echo import EchoClient
from support.ports import free_port
from support.wait import DEADLINE_S, wait_until
from support.websocket import WebSocketClient

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
CONNECT = {"upgrade_configs": [{"upgrade_type": "CONNECT"}], "http2_protocol_options": {"allow_connect": True}}


@pytest.fixture
def proxy(start_weir):
    """proxy(upstream port, http2 upstream?) -> port; hcm: fields of the connection manager, the rest of RouteAction."""
    def start(upstream_port, http2=False, hcm=None, match=None, **action):
        port = free_port()
        hosts = [config.virtual_host(config.route("up", match=match, **action))]
        cluster = config.cluster("up", upstream_port, http2=http2)
        if http2:
            cluster["typed_extension_protocol_options"] = config.protocol_options(
                explicit_http_config={"http2_protocol_options": {"allow_connect": True}})
        start.weir = start_weir(config.bootstrap([config.listener(port, config.hcm(hosts, **(hcm or {})))], [cluster]))
        return port
    return start


BODY = bytes(range(256)) * 3000


def h1_exchange(port, body):
    with http1.Client(port) as client:
        response = client.request("POST", "/p", body=body)
        return response.status, response.body


def h2_exchange(port, body):
    with h2peer.Client(port) as client:
        stream = client.open("POST", "/p", end=False)
        sender = threading.Thread(target=stream.send, args=(body,), kwargs={"end": True})
        sender.start()
        stream.wait_headers()
        answer = stream.read_all()
        sender.join()
        return stream.status, answer


@pytest.mark.parametrize("upstream_http2", [False, True], ids=["up1", "up2"])
@pytest.mark.parametrize("exchange", [h1_exchange, h2_exchange], ids=["down1", "down2"])
def test_bodies_pass_whole_both_ways(proxy, make_upstream, make_h2_upstream, exchange, upstream_http2):
    upstream = make_h2_upstream() if upstream_http2 else make_upstream()
    port = proxy(upstream.port, upstream_http2)
    status, body = exchange(port, BODY)
    assert status == 200
    assert body == BODY


def test_http2_to_http2_passes_trailers_both_ways(proxy, make_h2_upstream):
    def handler(stream):
        stream.read_all()
        stream.send_headers([(":status", "200")])
        stream.send(b"x")
        stream.send_trailers([("x-got", dict(stream.trailers)["x-sent"])])

    port = proxy(make_h2_upstream(handler).port, True)
    with h2peer.Client(port) as client:
        stream = client.open("POST", "/", end=False)
        stream.send(b"body")
        stream.send_trailers([("x-sent", "yes")])
        stream.wait_headers()
        assert stream.read_all() == b"x"
        assert dict(stream.trailers) == {"x-got": "yes"}


def test_headers_of_a_request_over_http2(proxy, make_h2_upstream):
    upstream = make_h2_upstream(h2peer.replying())
    port = proxy(upstream.port, True)
    with http1.Client(port) as client:
        response = client.request("GET", "/p?q=1", {"x-a": "1"}, host="a.test")
    assert response.status == 200
    assert int(response.get("x-envoy-upstream-service-time")) >= 0
    [stream] = upstream.requests
    names = [name for name, _ in stream.headers]
    assert names[:4] == [":authority", ":path", ":method", ":scheme"]
    assert names[4:] == ["x-a", "x-forwarded-proto", "x-request-id", "x-envoy-expected-rq-timeout-ms"]


# gRPC


@pytest.fixture
def echo(proxy, make_grpc_upstream):
    """(client, server) with weir between them."""
    clients = []

    def start(**action):
        server = make_grpc_upstream()
        clients.append(EchoClient(proxy(server.port, True, **action)))
        return clients[-1], server

    yield start
    for client in clients:
        client.__exit__()


def test_grpc_calls_of_all_four_kinds(echo):
    client, _ = echo()
    answer, call = client.unary.with_call(b"one", metadata=(("x-trailer", "t1"),), timeout=DEADLINE_S)
    assert answer == b"one"
    assert dict(call.initial_metadata())["x-served"] == "echo"
    assert dict(call.trailing_metadata())["x-echo"] == "t1"
    assert list(client.server_stream(b"5", timeout=DEADLINE_S)) == [b"message %d" % number for number in range(5)]
    assert client.client_stream(iter([b"a", b"b", b"c"]), timeout=DEADLINE_S) == b"a,b,c"
    messages = [b"x" * size for size in (0, 1, 70_000, 200_000)]
    assert list(client.bidi_stream(iter(messages), timeout=DEADLINE_S)) == messages


def test_grpc_bidirectional_messages_pass_one_by_one(echo):
    client, _ = echo()
    turn = threading.Semaphore(0)

    def requests():
        for number in range(10):
            turn.acquire()
            yield b"%d" % number

    answers = client.bidi_stream(requests(), timeout=DEADLINE_S)
    for number in range(10):
        turn.release()
        assert next(answers) == b"%d" % number


def test_grpc_status_and_message_pass(echo):
    client, _ = echo()
    with pytest.raises(grpc.RpcError) as failure:
        client.unary(b"", metadata=(("x-fail", "5"), ("x-fail-message", "not here, 100 %")), timeout=DEADLINE_S)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    assert failure.value.details() == "not here, 100 %"


def test_grpc_deadline_reaches_the_server(echo):
    client, _ = echo()
    left = float(client.deadline(b"", timeout=30))
    assert 20 < left <= 30.1  # the client rounds what is left up to tenths of a second (30001 ms goes out as 301 of them)


def test_grpc_cancellation_reaches_the_server(echo):
    client, server = echo()
    call = client.wait.future(b"", timeout=DEADLINE_S)
    wait_until(lambda: server.calls, "the call at the server")
    call.cancel()
    wait_until(lambda: server.cancelled == ["Wait"], "the cancellation at the server")


def test_grpc_to_nobody_is_unavailable(proxy):
    port = proxy(free_port(), True)
    with EchoClient(port) as client, pytest.raises(grpc.RpcError) as failure:
        client.unary(b"", timeout=DEADLINE_S)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert failure.value.details() == ("upstream connect error or disconnect/reset before headers. "
                                       "reset reason: remote connection failure")


# WebSocket


def test_websocket_over_http1_both_sides(proxy, make_websocket_upstream):
    port = proxy(make_websocket_upstream().port, hcm=WEBSOCKET)
    with WebSocketClient(port, "/chat") as client:
        for message in ("hello", b"\0\1\2", "x" * 100_000):
            client.send(message)
            assert client.receive() == message


def test_websocket_that_is_not_allowed(proxy, make_upstream):
    upstream = make_upstream()
    port = proxy(upstream.port)
    with http1.Client(port) as client:
        response = client.request("GET", "/", {"connection": "upgrade", "upgrade": "websocket"})
        assert (response.status, response.body) == (403, b"")
    assert not upstream.requests


def accept_websocket(stream):
    """An HTTP/2 upstream that takes extended CONNECT and echoes bytes."""
    assert (stream.get(":method"), stream.get(":protocol")) == ("CONNECT", "websocket")
    stream.send_headers([(":status", "200")])
    for data in iter(stream.read, b""):
        stream.send(data)
    stream.send(end=True)


def h2_upstream_with_connect(make_h2_upstream, handler):
    return make_h2_upstream(handler, settings={0x8: 1})


def test_websocket_from_http1_to_http2(proxy, make_h2_upstream):
    upstream = h2_upstream_with_connect(make_h2_upstream, accept_websocket)
    port = proxy(upstream.port, True, hcm=WEBSOCKET)
    with http1.Client(port) as client:
        client.send_request("GET", "/chat", {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"})
        response = client.read_response_head()
        assert response.status == 101
        assert response.get("upgrade") == "websocket"
        assert response.get("connection").lower() == "upgrade"
        client.send(b"ping" * 10_000)
        assert client.read_exactly(40_000) == b"ping" * 10_000
    [stream] = upstream.requests
    assert stream.get(":path") == "/chat"
    assert stream.get("sec-websocket-version") == "13"


def test_websocket_from_http2_to_http1(proxy, make_upstream):
    def handler(request, connection):
        assert request.get("upgrade") == "websocket"
        assert request.get("connection").lower() == "upgrade"
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        connection.send(connection.read_exactly(4).upper())
        connection.keep = False
        request.complete = True

    upstream = make_upstream(handler)
    port = proxy(upstream.port, hcm={**WEBSOCKET, "http2_protocol_options": {"allow_connect": True}})
    with h2peer.Client(port) as client:
        stream = client.open("CONNECT", "/chat", end=False, pseudo=[(":protocol", "websocket")])
        stream.wait_headers()
        assert stream.status == 200
        stream.send(b"ping")
        assert stream.read_all() == b"PING"
    [request] = upstream.requests
    assert (request.method, request.target) == ("GET", "/chat")


def test_websocket_over_http2_both_sides(proxy, make_h2_upstream):
    upstream = h2_upstream_with_connect(make_h2_upstream, accept_websocket)
    port = proxy(upstream.port, True, hcm={**WEBSOCKET, "http2_protocol_options": {"allow_connect": True}})
    with h2peer.Client(port) as client:
        stream = client.open("CONNECT", "/chat", end=False, pseudo=[(":protocol", "websocket")])
        stream.wait_headers()
        assert stream.status == 200
        stream.send(b"hello")
        assert stream.read() == b"hello"
        stream.send(b"bye", end=True)
        assert stream.read_all() == b"bye"


def test_an_upstream_that_refuses_the_upgrade(proxy, make_upstream):
    port = proxy(make_upstream(lambda request, connection: connection.reply(403, body=b"no", reason="Forbidden")).port, hcm=WEBSOCKET)
    with http1.Client(port) as client:
        client.send_request("GET", "/", {"connection": "upgrade", "upgrade": "websocket"})
        response = client.read_response()
        assert (response.status, response.body) == (403, b"no")


# CONNECT


def tunnel_upstream(make_upstream, status_line=b"HTTP/1.1 200 OK"):
    def handler(request, connection):
        connection.send(status_line + b"\r\n\r\n")
        while data := connection.buffer or (connection.fill() and connection.buffer):
            connection.buffer = b""
            connection.send(data.upper())
        connection.keep = False
        request.complete = True
    return make_upstream(handler)


def test_connect_is_passed_on(proxy, make_upstream):
    upstream = tunnel_upstream(make_upstream)
    port = proxy(upstream.port, hcm=CONNECT, match={"connect_matcher": {}})
    with http1.Client(port) as client:
        client.send_request("CONNECT", "a.test:443", host="a.test:443")
        assert client.read_response_head().status == 200
        client.send(b"hello")
        assert client.read_exactly(5) == b"HELLO"
    [request] = upstream.requests
    assert (request.method, request.target, request.get("host")) == ("CONNECT", "a.test:443", "a.test:443")


def half_closing_upstream(make_upstream, size):
    """Accepts, says its all and half-closes at once; then reads what the client still has to say."""
    def handler(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nall")
        connection.sock.shutdown(socket.SHUT_WR)
        request.body = connection.read_exactly(size)
        connection.keep = False
        request.complete = True
    return make_upstream(handler)


def test_connect_goes_on_when_the_upstream_ends_first(proxy, make_upstream):
    sent = b"x" * 3_000_000
    upstream = half_closing_upstream(make_upstream, len(sent))
    port = proxy(upstream.port, hcm=CONNECT, match={"connect_matcher": {}})
    with http1.Client(port) as client:
        client.send_request("CONNECT", "a.test:443", host="a.test:443")
        assert client.read_response_head().status == 200
        assert client.read_to_end() == b"all"
        client.send(sent)
        client.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: upstream.requests and upstream.requests[0].complete, "the rest of what went through the tunnel")
    assert upstream.requests[0].body == sent


def test_connect_from_http2_goes_on_when_the_upstream_ends_first(proxy, make_upstream):
    sent = b"x" * 1_000_000
    upstream = half_closing_upstream(make_upstream, len(sent))
    port = proxy(upstream.port, hcm=CONNECT, match={"connect_matcher": {}})
    with h2peer.Client(port) as client:
        stream = client.open("CONNECT", None, end=False, scheme=None, authority="a.test:443")
        stream.wait_headers()
        assert stream.read_all() == b"all"
        stream.send(sent, end=True)
        wait_until(lambda: upstream.requests and upstream.requests[0].complete, "the rest of what went through the tunnel")
    assert upstream.requests[0].body == sent


def test_connect_from_http2_to_http1(proxy, make_upstream):
    upstream = tunnel_upstream(make_upstream)
    port = proxy(upstream.port, hcm=CONNECT, match={"connect_matcher": {}})
    with h2peer.Client(port) as client:
        stream = client.open("CONNECT", None, end=False, scheme=None, authority="a.test:443")
        stream.wait_headers()
        assert stream.status == 200
        stream.send(b"hello")
        assert stream.read() == b"HELLO"
    assert upstream.requests[0].target == "a.test:443"


@pytest.fixture
def tcp_echo():
    """A TCP server that sends everything back in capitals, and FIN after the client's."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)

        def serve(sock):
            with sock:
                while data := sock.recv(65536):
                    sock.sendall(data.upper())

        def accept():
            while True:
                try:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


TERMINATED = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}


def test_connect_that_ends_at_weir(proxy, tcp_echo):
    port = proxy(tcp_echo, hcm=CONNECT, match={"connect_matcher": {}}, **TERMINATED)
    with http1.Client(port) as client:
        client.send_request("CONNECT", "a.test:443", host="a.test:443")
        response = client.read_response_head()
        assert response.status == 200
        assert [name for name, _ in response.headers] == ["date", "server"]
        client.send(b"hello" * 20_000)
        assert client.read_exactly(100_000) == b"HELLO" * 20_000
        client.sock.shutdown(socket.SHUT_WR)
        client.expect_closed()


def test_connect_over_http2_that_ends_at_weir(proxy, tcp_echo):
    port = proxy(tcp_echo, hcm=CONNECT, match={"connect_matcher": {}}, **TERMINATED)
    with h2peer.Client(port) as client:
        stream = client.open("CONNECT", None, end=False, scheme=None, authority="a.test:443")
        stream.wait_headers()
        assert stream.status == 200
        stream.send(b"hello", end=True)
        assert stream.read_all() == b"HELLO"


def test_connect_to_nobody(proxy):
    port = proxy(free_port(), hcm=CONNECT, match={"connect_matcher": {}}, **TERMINATED)
    with http1.Client(port) as client:
        client.send_request("CONNECT", "a.test:443", host="a.test:443")
        response = client.read_response()
        assert response.status == 503
        assert response.body.endswith(b"reset reason: remote connection failure")
