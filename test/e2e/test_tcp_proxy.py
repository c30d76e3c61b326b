"""tcp_proxy: bytes both ways, ends and resets as each side meant them, the access log's line."""

import socket
import struct
import threading

import pytest

from support import config, process, tls
from support.ports import free_port
from support.wait import DEADLINE_S, wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FORMAT = ("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %PROTOCOL% "
          "%DOWNSTREAM_LOCAL_CLOSE_REASON% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n")


class Origin:
    """A listening socket whose connections the test drives itself."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.settimeout(DEADLINE_S)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(64)
        self.port = self.sock.getsockname()[1]

    def accept(self):
        connection, _ = self.sock.accept()
        connection.settimeout(DEADLINE_S)
        return connection

    def close(self):
        self.sock.close()


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def proxy(start_weir, tmp_path):
    def start(port, cluster_fields=(), chain_fields=None, **fields):
        log = tmp_path / "tcp.log"
        listen = free_port()
        filters = config.tcp_proxy("up", access_log=[config.file_access_log(log, FORMAT)], **fields)
        weir = start_weir(config.bootstrap([config.listener(listen, config.filter_chain(filters, **(chain_fields or {})))],
                                           [config.cluster("up", port, **dict(cluster_fields))]),
                          args=("--file-flush-interval-msec", "20"))
        weir.port, weir.access_log = listen, log
        return weir
    return start


def dial(weir):
    sock = socket.create_connection(("127.0.0.1", weir.port), DEADLINE_S)
    return sock


def line(weir):
    return wait_until(lambda: weir.access_log.exists() and weir.access_log.read_text(), "the log").splitlines()[0]


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_both_directions_and_half_close(proxy, origin):
    weir = proxy(origin.port)
    client = dial(weir)
    client.sendall(b"question")
    server = origin.accept()
    assert server.recv(100) == b"question"
    client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b""
    server.sendall(b"long answer")
    server.close()
    assert client.recv(100) == b"long answer"
    assert client.recv(100) == b""
    assert line(weir) == "0 - - 8 11 up - - -"
    assert weir.stat("tcp.tcp.downstream_cx_total") == 1
    weir.wait_stat(f"listener.127.0.0.1_{weir.port}.downstream_cx_active", 0)


def test_upstream_reset_is_passed_on(proxy, origin):
    weir = proxy(origin.port)
    client = dial(weir)
    server = origin.accept()
    client.sendall(b"x")
    assert server.recv(1) == b"x"  # a reset before weir has seen the connection would be a failed connect
    reset(server)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert line(weir).startswith("0 UR - 1 0 up")


def test_refused_upstream(proxy, origin):
    weir = proxy(free_port(), max_connect_attempts=2)
    client = dial(weir)
    assert client.recv(1) == b""
    assert line(weir) == "0 UF,URX - 0 0 up - tcp_initializion_failure:0 delayed_connect_error:_Connection_refused"
    stats = weir.stats("cluster.up.upstream_cx_")
    assert stats["cluster.up.upstream_cx_connect_fail"] == 2
    assert stats["cluster.up.upstream_cx_connect_attempts_exceeded"] == 1


def test_unknown_cluster(start_weir):
    port = free_port()
    weir = start_weir(config.bootstrap([config.listener(port, config.tcp_proxy("nobody"))]))
    weir.port = port
    with pytest.raises(ConnectionResetError):
        dial(weir).recv(1)
    assert weir.stat("tcp.tcp.downstream_cx_no_route") == 1


def test_idle_timeout(proxy, origin):
    weir = proxy(origin.port, idle_timeout="0.2s")
    client = dial(weir)
    server = origin.accept()
    assert client.recv(1) == b""
    assert server.recv(1) == b""
    assert line(weir).split()[7] == "tcp_session_idle_timeout"
    assert weir.stat("tcp.tcp.idle_timeout") == 1


def test_large_transfer_to_a_slow_reader_is_bounded(proxy, origin):
    weir = proxy(origin.port)
    client = dial(weir)
    server = origin.accept()
    client.setblocking(False)
    chunk, sent = bytes(65536), 0
    before = weir.memory_kib("RssAnon")

    def stuck():
        nonlocal sent
        try:
            while True:
                sent += client.send(chunk)
        except BlockingIOError:
            return weir.stat("tcp.tcp.downstream_flow_control_paused_reading_total") > 0 and sent
    wait_until(stuck, "back-pressure")
    assert weir.memory_kib("RssAnon") - before < 8192
    client.settimeout(DEADLINE_S)
    client.shutdown(socket.SHUT_WR)
    got = 0
    while data := server.recv(1 << 20):
        got += len(data)
    assert got == sent


def test_tls_ends_here_or_passes_through(proxy, start_weir, origin, authority, server_certificate):
    weir = proxy(origin.port, chain_fields={"tls": config.downstream_tls(server_certificate)})
    client = tls.client_context(authority.ca).wrap_socket(dial(weir), server_hostname="localhost")
    server = origin.accept()
    client.sendall(b"in the clear")
    assert server.recv(100) == b"in the clear"
    client.close()
    # Passed through, chosen by the name in the hello.
    port = free_port()
    through = start_weir(config.bootstrap([config.listener(port, config.filter_chain(config.tcp_proxy("up"), match={"server_names": ["a.test"]}))],
                                          [config.cluster("up", origin.port)]))
    through.port = port
    raw = dial(through)
    context = tls.client_context(authority.ca)
    result = []

    def serve():
        secure = tls.server_context(server_certificate).wrap_socket(origin.accept(), server_side=True)
        result.append(secure.recv(100))
        secure.close()
    worker = threading.Thread(target=serve)
    worker.start()
    with context.wrap_socket(raw, server_hostname="a.test") as secure:
        secure.sendall(b"end to end")
        worker.join()
    assert result == [b"end to end"]


def test_proxy_protocol_listener_filter(start_weir, origin, tmp_path):
    port, log = free_port(), tmp_path / "log"
    inspector = {"name": "p", "typed_config": config.typed(config.PREFIX + "filters.listener.proxy_protocol.v3.ProxyProtocol")}
    filters = config.tcp_proxy("up", access_log=[config.file_access_log(log, "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\n")])
    weir = start_weir(config.bootstrap([config.listener(port, filters, listener_filters=[inspector])], [config.cluster("up", origin.port)]),
                      args=("--file-flush-interval-msec", "20"))
    weir.port, weir.access_log = port, log
    client = dial(weir)
    client.sendall(b"PROXY TCP4 192.0.2.7 10.0.0.1 4000 80\r\nhello")
    assert origin.accept().recv(100) == b"hello"
    client.close()
    assert line(weir) == "192.0.2.7:4000 127.0.0.1"
