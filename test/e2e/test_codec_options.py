"""Options of the two HTTP codecs, seen in the bytes on the wire."""

import socket

import h2.config
import h2.connection
import h2.settings
import pytest

from support import config, h2peer, http1, process, upstream
from support.ports import free_port
from support.wait import DEADLINE_S, wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def serve(start_weir, make_upstream):
    """serve(cluster options, **HttpConnectionManager): /local answers itself, the rest goes to .up; .port."""
    def start(options=None, handler=upstream.replying(headers={"x-answer": "1", "x-two-words": "2"}), **fields):
        port, up = free_port(), make_upstream(handler)
        cluster = config.cluster("up", up.port)
        if options:
            cluster["typed_extension_protocol_options"] = config.protocol_options(**{"explicit_http_config": {"http_protocol_options": {}}, **options})
        hosts = [config.virtual_host(config.direct_response(200, "x" * 4000, prefix="/local"), config.route("up"))]
        weir = start_weir(config.bootstrap([config.listener(port, config.hcm(hosts, **fields))], [cluster]))
        weir.port, weir.up = port, up
        return weir
    return start


@pytest.mark.parametrize("allowed, status, target, host", [(True, 200, "/x", "a.test"), (False, 404, None, None)])
def test_absolute_targets(serve, allowed, status, target, host):
    weir = serve(http_protocol_options={"allow_absolute_url": allowed})
    with http1.Client(weir.port) as client:
        response = client.request("GET", "http://a.test/x", host="b.test")
    assert response.status == status
    assert [(request.target, request.get("host")) for request in weir.up.requests] == ([(target, host)] if target else [])


PROPER = {"header_key_format": {"proper_case_words": {}}}


@pytest.mark.parametrize("downstream, towards_upstream", [(False, False), (True, False), (False, True)])
def test_case_of_header_names(serve, downstream, towards_upstream):
    options = {"explicit_http_config": {"http_protocol_options": PROPER}} if towards_upstream else None
    weir = serve(options, **({"http_protocol_options": PROPER} if downstream else {}))
    response = http1.get(weir.port, headers={"x-of-client": "1"})
    assert ("X-Two-Words" if downstream else "x-two-words") in [name for name, _ in response.headers]
    assert ("X-Of-Client" if towards_upstream else "x-of-client") in [name for name, _ in weir.up.requests[0].headers]


@pytest.mark.parametrize("general, own, kept", [(False, True, True), (True, False, False), (True, None, True)])
def test_malformed_requests_of_http1(serve, general, own, kept):
    options = {} if own is None else {"override_stream_error_on_invalid_http_message": own}
    weir = serve(stream_error_on_invalid_http_message=general, http_protocol_options=options)
    with http1.Client(weir.port) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (client.read_response().get("connection") == "close") == (not kept)


@pytest.mark.parametrize("bound, status", [(None, 200), (1, 502)])
def test_largest_head_of_a_response(serve, bound, status):
    common = {} if bound is None else {"max_response_headers_kb": bound}
    weir = serve({"common_http_protocol_options": common}, upstream.replying(headers={"x-large": "x" * 2000}))
    assert http1.get(weir.port).status in (status, status + 1)
    assert weir.stat("cluster.up.upstream_cx_protocol_error") == (0 if bound is None else 1)


@pytest.mark.parametrize("size, announced", [(None, 4096), (1000, 1000), (0, 0)])
def test_size_of_the_header_table(serve, size, announced):
    weir = serve(http2_protocol_options={} if size is None else {"hpack_table_size": size})
    with h2peer.Client(weir.port) as client:
        assert client.request("GET", "/").status == 200
        assert client.connection.remote_settings.header_table_size == announced


@pytest.mark.parametrize("options, general, kept", [
    ({}, False, False), ({"stream_error_on_invalid_http_messaging": True}, None, True),
    ({"stream_error_on_invalid_http_messaging": True}, False, False),
    ({"override_stream_error_on_invalid_http_message": True}, False, True), ({"override_stream_error_on_invalid_http_message": False}, True, False),
    ({}, True, True)])
def test_malformed_requests_of_http2(serve, options, general, kept):
    weir = serve(http2_protocol_options=options, **({} if general is None else {"stream_error_on_invalid_http_message": general}))
    with h2peer.Client(weir.port) as client:
        stream = client.open("GET", "/", headers=[("X-UPPER", "1")])
        with pytest.raises(h2peer.StreamReset):
            stream.wait_headers()
        if kept:
            assert client.request("GET", "/").status == 200
        else:
            wait_until(lambda: client.closed, "the end of the connection")


class Deaf:
    """An HTTP/2 client that reads nothing after the server's SETTINGS."""

    def __init__(self, port):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(("127.0.0.1", port))
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration())
        self.connection.local_settings = h2.settings.Settings(client=True, initial_values={
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30, h2.settings.SettingCodes.ENABLE_PUSH: 0})
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(2**30)
        self.flush()
        self.connection.receive_data(self.sock.recv(65536))
        self.flush()

    def flush(self):
        self.sock.sendall(self.connection.data_to_send())


@pytest.mark.parametrize("options, asked, stat", [
    ({"max_outbound_control_frames": 20}, "ping", "outbound_control_flood"),
    ({"max_outbound_frames": 20}, "requests", "outbound_flood")], ids=["control", "any"])
def test_frames_that_wait_for_a_deaf_client(serve, options, asked, stat):
    weir = serve(http2_protocol_options={"max_concurrent_streams": 5000, **options})
    client = Deaf(weir.port)
    headers = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/local")]
    try:
        for i in range(5000):
            if asked == "ping":
                for _ in range(100):
                    client.connection.ping(b"12345678")
            else:
                client.connection.send_headers(2 * i + 1, headers, end_stream=True)
            client.flush()
    except ConnectionError:
        pass
    weir.wait_stat(f"http2.{stat}", 1)
    client.sock.close()


@pytest.mark.parametrize("bound, sent, taken", [(None, 1, True), (None, 2, False), (5, 5, True), (5, 6, False)])
def test_empty_frames_in_a_row(serve, bound, sent, taken):
    weir = serve(http2_protocol_options={} if bound is None else {"max_consecutive_inbound_frames_with_empty_payload": bound})
    with h2peer.Client(weir.port) as client:
        stream = client.open("POST", "/", end=False)
        for _ in range(sent):
            with client.changed:
                client.connection.send_data(stream.id, b"")
                client.flush()
        if taken:
            stream.send(b"end", end=True)
            assert stream.wait_headers() and stream.status == 200
        else:
            wait_until(lambda: client.closed, "the end of the connection")
            assert weir.stat("http2.inbound_empty_frames_flood") == 1


@pytest.mark.parametrize("drain_timeout, ends", [("0.1s", True), ("1000s", False)])
def test_time_between_the_notice_and_the_end(serve, drain_timeout, ends):
    weir = serve(drain_timeout=drain_timeout, common_http_protocol_options={"max_connection_duration": "0.2s"})
    with h2peer.Client(weir.port) as client:
        assert client.request("GET", "/").status == 200
        wait_until(lambda: client.goaway_code is not None, "a notice")
        if ends:
            wait_until(lambda: client.closed, "the end of the connection")
        else:
            assert not client.closed
            assert client.goaway_last_stream_id == 2**31 - 1
