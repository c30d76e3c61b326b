"""Bodies larger than any buffer through peers that read slowly or not at all: memory stays bounded, nothing is lost."""

import hashlib
import socket
import threading

import h2.exceptions
import pytest

from support import config, h2peer, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

PIECE = bytes(range(256)) * 256  # 64 KiB
PIECES = 3200  # 200 MiB
LIMIT = 256 * 1024
DIGEST = hashlib.sha256(PIECE * PIECES).hexdigest()
STREAMS = 16
GROWTH_KIB_MAX = 8 * 1024  # buffers on both sides, the kernel's not counted; a body held whole would be 200 MiB


def rss_kib(weir):
    with open(f"/proc/{weir.pid}/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS:")))


class Gauge:
    """How much memory weir took since it was made."""

    def __init__(self, weir):
        self.weir = weir
        self.before = rss_kib(weir)

    def check(self, streams=1):
        """Each stream may fill one buffer, and be read once more before it hears of that."""
        grown = rss_kib(self.weir) - self.before
        most = GROWTH_KIB_MAX + (streams - 1) * 2 * LIMIT // 1024
        assert "san" in str(process.BUILD) or grown < most, f"{grown} KiB more"


@pytest.fixture
def proxy(start_weir):
    def start(upstream_port, http2):
        port = free_port()
        manager = config.hcm([config.virtual_host(config.route("up", timeout="0s"))])
        weir = start_weir(config.bootstrap(
            [config.listener(port, manager, per_connection_buffer_limit_bytes=LIMIT)],
            [config.cluster("up", upstream_port, http2=http2, per_connection_buffer_limit_bytes=LIMIT)]))
        return port, Gauge(weir)
    return start


class Source:
    """Sends the body and knows how far it has come; several may send at once."""

    def __init__(self, pieces=PIECES, bodies=1):
        self.count = pieces
        self.whole = pieces * bodies
        self.sent = 0

    def pieces(self):
        for _ in range(self.count):
            yield PIECE
            self.sent += 1

    def wait_stuck(self):
        """Until no more can be sent; then far from all has been."""
        last = [-1, 0]

        def stuck():
            last[1] = last[1] + 1 if self.sent == last[0] else 0
            last[0] = self.sent
            return last[1] > 30 and self.sent > 0
        wait_until(stuck, "a source that waits")
        assert self.sent < self.whole / 2, f"{self.sent} of {self.whole} pieces have gone into buffers"


def h1_source(make_upstream, source):
    return make_upstream(lambda request, connection: (connection.read_body(request), connection.reply_chunked(source.pieces()))).port


def h2_source(make_h2_upstream, source):
    def handler(stream):
        stream.read_all()
        stream.send_headers([(":status", "200")])
        for piece in source.pieces():
            stream.send(piece)
        stream.send(end=True)
    return make_h2_upstream(handler).port


@pytest.mark.parametrize("up2", [False, True], ids=["up1", "up2"])
@pytest.mark.parametrize("down2", [False, True], ids=["down1", "down2"])
def test_a_client_that_reads_late(proxy, make_upstream, make_h2_upstream, down2, up2):
    source = Source()
    port, memory = proxy(h2_source(make_h2_upstream, source) if up2 else h1_source(make_upstream, source), up2)
    digest = hashlib.sha256()
    if down2:
        with h2peer.Client(port) as client:
            stream = client.open()
            stream.wait_headers()
            source.wait_stuck()
            memory.check()
            for data in iter(stream.read, b""):
                digest.update(data)
    else:
        with http1.Client(port) as client:
            client.send_request()
            response = client.read_response_head()
            source.wait_stuck()
            memory.check()
            for data in client.chunks(response):
                digest.update(data)
    assert digest.hexdigest() == DIGEST
    memory.check()


@pytest.mark.parametrize("up2", [False, True], ids=["up1", "up2"])
@pytest.mark.parametrize("down2", [False, True], ids=["down1", "down2"])
def test_an_upstream_that_reads_late(proxy, make_upstream, make_h2_upstream, down2, up2):
    source = Source()
    go = threading.Event()

    def h1_sink(request, connection):
        go.wait()
        digest = hashlib.sha256()
        for data in connection.body_chunks(request):
            digest.update(data)
        request.complete = True
        connection.reply(body=digest.hexdigest().encode())

    def h2_sink(stream):
        go.wait()
        digest = hashlib.sha256()
        for data in iter(stream.read, b""):
            digest.update(data)
        stream.send_headers([(":status", "200")])
        stream.send(digest.hexdigest().encode(), end=True)

    port, memory = proxy((make_h2_upstream(h2_sink) if up2 else make_upstream(h1_sink)).port, up2)
    try:
        if down2:
            with h2peer.Client(port) as client:
                stream = client.open("POST", end=False)

                def send():
                    for piece in source.pieces():
                        stream.send(piece)
                    stream.send(end=True)
                sender = threading.Thread(target=send)
                sender.start()
                source.wait_stuck()
                memory.check()
                go.set()
                stream.wait_headers()
                answer = stream.read_all()
                sender.join()
        else:
            with http1.Client(port) as client:
                sender = threading.Thread(target=client.send_request, args=("POST",),
                                          kwargs={"body": source.pieces(), "chunked": True})
                sender.start()
                source.wait_stuck()
                memory.check()
                go.set()
                answer = client.read_response().body
                sender.join()
    finally:
        go.set()
    assert answer.decode() == DIGEST
    memory.check()


def assert_begins(stream):
    """The first 2 MiB are what was sent."""
    got = b""
    while len(got) < 2**21:
        got += stream.read()
    assert got == (PIECE * (len(got) // len(PIECE) + 1))[:len(got)]


@pytest.mark.parametrize("up2", [False, True], ids=["up1", "up2"])
def test_many_streams_of_a_client_that_reads_nothing(proxy, make_upstream, make_h2_upstream, up2):
    """The connection is what is full, not one stream of it; and windows are too wide to help."""
    source = Source(pieces=640, bodies=STREAMS)
    port, memory = proxy(h2_source(make_h2_upstream, source) if up2 else h1_source(make_upstream, source), up2)
    with h2peer.Client(port, wide=True) as client:
        client.listening.clear()
        streams = [client.open() for _ in range(STREAMS)]
        source.wait_stuck()
        memory.check(STREAMS)
        client.listening.set()
        for stream in streams:
            assert_begins(stream)
        for stream in streams:
            stream.reset()
        memory.weir.wait_stat("http.ingress.downstream_rq_active", 0)
        memory.check(STREAMS)


@pytest.mark.parametrize("down2", [False, True], ids=["down1", "down2"])
def test_many_streams_to_an_upstream_that_reads_nothing(proxy, make_h2_upstream, down2):
    source = Source(pieces=640, bodies=STREAMS)
    whole = threading.Event()

    def sink(stream):
        if len(upstream.requests) == STREAMS:
            for peer in upstream.peers:
                peer.listening.clear()
        whole.wait()
        assert_begins(stream)
        begun.append(stream)
        stream.reset()

    begun = []
    upstream = make_h2_upstream(sink, wide=True)
    port, memory = proxy(upstream.port, True)
    clients = [h2peer.Client(port)] if down2 else [http1.Client(port) for _ in range(STREAMS)]

    def send(number):
        try:
            if down2:
                stream = clients[0].open("POST", end=False)
                for piece in source.pieces():
                    stream.send(piece)
            else:
                clients[number].send_request("POST", body=source.pieces(), chunked=True)
        except (OSError, h2peer.StreamReset, h2.exceptions.ProtocolError):
            pass  # the upstream has seen enough
    senders = [threading.Thread(target=send, args=(number,)) for number in range(STREAMS)]
    try:
        for sender in senders:
            sender.start()
        source.wait_stuck()
        memory.check(STREAMS)
        whole.set()
        for peer in upstream.peers:
            peer.listening.set()
        wait_until(lambda: len(begun) == STREAMS, "the start of every body")
        memory.check(STREAMS)
    finally:
        whole.set()
        for client in clients:
            client.close()
        for sender in senders:
            sender.join()


def test_a_tunnel_into_a_socket_that_is_read_late(start_weir):
    """CONNECT that ends at weir: all that the client said arrives, and then its end."""
    source = Source()
    go = threading.Event()
    seen = []

    def sink():
        sock, _ = listener.accept()
        with sock:
            go.wait(60)
            digest = hashlib.sha256()
            for data in iter(lambda: sock.recv(2**20), b""):
                digest.update(data)
            seen.append(digest.hexdigest())
            sock.sendall(b"heard")

    listener = socket.create_server(("127.0.0.1", 0))
    reader = threading.Thread(target=sink, daemon=True)
    reader.start()
    port = free_port()
    route = config.route("up", match={"connect_matcher": {}}, timeout="0s",
                         upgrade_configs=[{"upgrade_type": "CONNECT", "connect_config": {}}])
    manager = config.hcm([config.virtual_host(route)], upgrade_configs=[{"upgrade_type": "CONNECT"}])
    weir = start_weir(config.bootstrap(
        [config.listener(port, manager, per_connection_buffer_limit_bytes=LIMIT)],
        [config.cluster("up", listener.getsockname()[1], per_connection_buffer_limit_bytes=LIMIT)]))
    memory = Gauge(weir)
    with listener, http1.Client(port) as client:
        client.send_request("CONNECT", "a.test:443", host="a.test:443")
        assert client.read_response_head().status == 200

        def send():
            for piece in source.pieces():
                client.send(piece)
            client.sock.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        source.wait_stuck()
        memory.check()
        go.set()
        assert client.read_exactly(5) == b"heard"
        client.expect_closed()
        sender.join()
        reader.join()
    assert seen == [DIGEST]
    memory.check()


def test_a_whole_response_outlives_its_broken_connection(start_weir, make_h2_upstream):
    """The response has come before the upstream breaks the protocol; the client reads it later."""
    body = PIECE * 100

    def handler(stream):
        stream.read_all()
        stream.send_headers([(":status", "200")])
        stream.send(body, end=True)
        stream.peer.send_raw(b"\0\0\1\6\0\0\0\0\0x")  # a PING of one byte: RFC 9113 6.7
        broken.set()

    broken = threading.Event()
    port = free_port()
    cluster = config.cluster("up", make_h2_upstream(handler).port)
    cluster["typed_extension_protocol_options"] = config.protocol_options(explicit_http_config={
        "http2_protocol_options": {"initial_stream_window_size": 2**24, "initial_connection_window_size": 2**24}})
    weir = start_weir(config.bootstrap(
        [config.listener(port, config.hcm([config.virtual_host(config.route("up"))]), per_connection_buffer_limit_bytes=LIMIT)],
        [cluster]))
    with http1.Client(port, receive_buffer=65536) as client:
        client.send_request()
        assert client.read_response_head().status == 200
        assert broken.wait(60)
        weir.wait_stat("cluster.up.upstream_cx_protocol_error", 1)
        assert client.read_until(b"\r\n0\r\n\r\n").count(PIECE[:64]) >= 100
