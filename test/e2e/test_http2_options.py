"""Http2ProtocolOptions, as a peer on the other side of each sees them."""

import itertools
import socket
import struct

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from support import config, h2peer, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

OPTIONS = {"hpack_table_size": 1024, "max_concurrent_streams": 3, "initial_stream_window_size": 70000,
           "initial_connection_window_size": 140000}


@pytest.fixture
def proxy(start_weir):
    """proxy(options, upstream port, options of the cluster) -> port; /direct is answered by weir."""
    def start(options, upstream_port=1, cluster=None, **fields):
        port = free_port()
        manager = config.hcm([config.virtual_host(config.direct_response(200, "x" * 4000, prefix="/direct"), config.route("up"))],
                             http2_protocol_options=options, **fields)
        up = config.cluster("up", upstream_port)
        if cluster is not None:
            up["typed_extension_protocol_options"] = config.protocol_options(
                explicit_http_config={"http2_protocol_options": cluster})
        start.weir = start_weir(config.bootstrap([config.listener(port, manager)], [up]), concurrency=1)
        return port
    return start


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def assert_announced(peer, streams):
    """What the options say is in the SETTINGS that the peer got, and in the connection's window."""
    wait_until(lambda: peer.connection.remote_settings.initial_window_size == 70000, "SETTINGS")
    settings = peer.connection.remote_settings
    assert settings.header_table_size == 1024
    assert settings[SettingCodes.MAX_CONCURRENT_STREAMS] == streams
    # Less the answer to the only request.
    wait_until(lambda: 139990 < peer.connection.outbound_flow_control_window <= 140000, "the connection's window")


def test_what_a_client_is_told(proxy):
    with h2peer.Client(proxy(OPTIONS)) as client:
        assert_announced(client, 3)


def test_what_an_upstream_is_told(proxy, make_h2_upstream):
    upstream = make_h2_upstream(h2peer.replying())
    assert http1.get(proxy({}, upstream.port, OPTIONS)).status == 200
    assert_announced(upstream.peers[0], 3)


@pytest.mark.parametrize("size, most", [(None, 4096), (100, 100), (0, 0)])
def test_the_table_of_an_upstream_s_headers_is_no_larger_than_the_options_say(proxy, make_h2_upstream, size, most):
    """hpack_table_size bounds what weir remembers of the headers that it sends, too."""
    upstream = make_h2_upstream(h2peer.replying())
    port = proxy({}, upstream.port, {} if size is None else {"hpack_table_size": size})
    with http1.Client(port) as client:
        for i in range(4):
            assert client.request(headers={f"x-{i}": "a" * 40}).status == 200
    table = upstream.peers[0].connection.decoder.header_table
    assert table._current_size <= most
    assert (len(table.dynamic_entries) > 4) == (size is None)


def test_streams_beyond_what_was_announced_are_refused(proxy, make_upstream):
    upstream = make_upstream(lambda request, connection: connection.read_until(b"never"))
    port = proxy(OPTIONS, upstream.port)
    with h2peer.Client(port) as client:
        wait_until(lambda: client.connection.remote_settings.initial_window_size == 70000, "SETTINGS")
        for _ in range(3):
            client.open()
        upstream.wait_requests(3)
        # Past the library, which would obey: HEADERS of :method GET, :scheme http, :path /, :authority a.
        client.send_raw(frame(1, 5, 7, b"\x82\x86\x84\x41\x01a"))
        proxy.weir.wait_stat("http2.stream_refused_errors", 1)
    assert proxy.weir.stat("http.ingress.downstream_rq_total") == 3


def test_more_streams_to_an_upstream_wait_or_open_another_connection(proxy, make_h2_upstream):
    """max_concurrent_streams of a cluster bounds what one connection carries."""
    upstream = make_h2_upstream(lambda stream: stream.read_all() and None)
    port = proxy({}, upstream.port, {"max_concurrent_streams": 2})
    with h2peer.Client(port) as client:
        for _ in range(5):
            client.open()
        upstream.wait_requests(5)
        assert sorted(len(peer.streams) for peer in upstream.peers) == [1, 2, 2]


@pytest.mark.parametrize("options, fields, kept", [
    ({}, {}, False),
    ({"override_stream_error_on_invalid_http_message": True}, {}, True),
    ({"stream_error_on_invalid_http_messaging": True}, {}, True),
    ({}, {"stream_error_on_invalid_http_message": True}, True),
    ({"override_stream_error_on_invalid_http_message": False}, {"stream_error_on_invalid_http_message": True}, False)],
    ids=["default", "override", "deprecated", "manager", "override-no"])
def test_a_malformed_request_costs_the_connection_or_its_stream(proxy, options, fields, kept):
    with h2peer.Client(proxy(options, **fields)) as client:
        assert client.request(path="/direct").status == 200
        bad = client.open(path="/direct", headers=[("bad name", "x")])
        assert bad.wait_reset() == (ErrorCodes.PROTOCOL_ERROR if kept else None)
        if kept:
            assert client.request(path="/direct").status == 200
        else:
            client.wait_closed()
            assert client.goaway_code == ErrorCodes.PROTOCOL_ERROR
    assert proxy.weir.stat("http2.rx_messaging_error") == 1


def test_empty_frames_in_a_row(proxy, make_upstream):
    upstream = make_upstream()
    with h2peer.Client(proxy({"max_consecutive_inbound_frames_with_empty_payload": 3}, upstream.port)) as client:
        stream = client.open("POST", end=False)
        client.send_raw(frame(0, 0, stream.id) * 3)
        client.ping()
        client.send_raw(frame(0, 0, stream.id))
        client.wait_closed()
    assert proxy.weir.stat("http2.inbound_empty_frames_flood") == 1
    assert proxy.weir.stat("http.ingress.downstream_cx_active") == 0


def deaf_flood(port, payload, stat, weir):
    """A client that sends and reads nothing, until it is cut off."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        try:
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, 2**31 - 1)) +
                         frame(8, 0, 0, struct.pack(">I", 2**31 - 1 - 65535)))
            for _ in range(20000):
                sock.sendall(payload())
        except OSError:
            pass
        weir.wait_stat(stat, 1)
        weir.wait_stat("http.ingress.downstream_cx_active", 0)


def test_answers_to_pings_that_nobody_reads(proxy):
    """max_outbound_control_frames bounds what waits for a client that asks and does not listen."""
    port = proxy({"max_outbound_control_frames": 10}, common_http_protocol_options={"idle_timeout": "0s"})
    deaf_flood(port, lambda: frame(6, 0, 0, b"01234567") * 1000, "http2.outbound_control_flood", proxy.weir)


def test_answers_that_nobody_reads(proxy):
    """max_outbound_frames: answers of weir's own to a client that asks and resets."""
    port = proxy({"max_outbound_frames": 20, "max_concurrent_streams": 1000, "max_outbound_control_frames": 10**6})
    ids = itertools.count(1, 2)
    request = b"\x82\x86\x44\x07/direct\x41\x01a"
    deaf_flood(port, lambda: b"".join(frame(1, 5, next(ids), request) for _ in range(100)), "http2.outbound_flood", proxy.weir)
