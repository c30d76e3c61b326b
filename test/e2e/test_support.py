"""The test peers against each other, without weir: so that a failure elsewhere is not theirs."""

import threading

import grpc
import pytest

from support import h2peer, http1, tls
from support.grpc_echo import EchoClient
from support.websocket import WebSocketClient


def test_http1_client_and_upstream_agree(make_upstream):
    upstream = make_upstream()
    with http1.Client(upstream.port) as client:
        assert client.request("POST", "/", body=b"x" * 100_000).body == b"x" * 100_000
        assert client.request("POST", "/", body=[b"a", b"b"], chunked=True).body == b"ab"
        assert client.request("GET", "/path").body == b"GET /path HTTP/1.1"
    assert len(upstream.connections) == 1


def test_http1_over_tls(make_upstream, authority, server_certificate):
    upstream = make_upstream(tls=tls.server_context(server_certificate))
    assert http1.get(upstream.port, tls=tls.client_context(authority.ca)).status == 200


def test_http1_over_a_unix_socket(make_upstream, tmp_path):
    upstream = make_upstream(path=tmp_path / "socket")
    assert http1.get(upstream.port).status == 200


def test_h2_client_and_upstream_agree(make_h2_upstream):
    upstream = make_h2_upstream()
    with h2peer.Client(upstream.port) as client:
        assert client.request("GET", "/path").body == b"/path"
        body = b"0123456789" * 100_000
        stream = client.open("POST", "/", end=False)
        sender = threading.Thread(target=stream.send, args=(body,), kwargs={"end": True})
        sender.start()
        stream.wait_headers()
        assert stream.read_all() == body
        sender.join()


def test_h2_trailers_and_reset(make_h2_upstream):
    upstream = make_h2_upstream(h2peer.replying(200, body=b"x", trailers=[("x-trailer", "yes")]))
    with h2peer.Client(upstream.port) as client:
        stream = client.request("GET", "/")
        assert stream.trailers == [("x-trailer", "yes")]
    upstream = make_h2_upstream(lambda stream: stream.reset(7))
    with h2peer.Client(upstream.port) as client:
        with pytest.raises(h2peer.StreamReset):
            client.request("GET", "/")


def test_h2_over_tls(make_h2_upstream, authority, server_certificate):
    upstream = make_h2_upstream(tls=tls.server_context(server_certificate, ["h2"]))
    with h2peer.Client(upstream.port, tls.client_context(authority.ca, ["h2"])) as client:
        assert client.request("GET", "/").status == 200


def test_grpc_echo(make_grpc_upstream):
    server = make_grpc_upstream()
    with EchoClient(server.port) as client:
        assert client.unary(b"x") == b"x"
        assert list(client.server_stream(b"3")) == [b"message 0", b"message 1", b"message 2"]
        assert client.client_stream(iter([b"a", b"b"])) == b"a,b"
        assert list(client.bidi_stream(iter([b"a", b"b"]))) == [b"a", b"b"]
        assert 40 < float(client.deadline(b"", timeout=50)) < 60
        with pytest.raises(grpc.RpcError) as failure:
            client.unary(b"x", metadata=[("x-fail", "5")])
        assert failure.value.code() == grpc.StatusCode.NOT_FOUND


def test_websocket_echo(make_websocket_upstream):
    upstream = make_websocket_upstream()
    with WebSocketClient(upstream.port) as client:
        for message in ("text", b"binary", b"x" * 1_000_000):
            client.send(message)
            assert client.receive() == message
