"""Tunnels whose both directions have ended while one of them is still read late: what was said arrives whole, and then the end."""

import socket
import threading

import pytest

from support import config, h2peer, http1, process
from support.ports import free_port
from support.wait import DEADLINE_S, wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

LIMIT = 16384  # per_connection_buffer_limit_bytes: weir holds the rest back, and stops reading
WORDS = b"".join(b"%07d " % i for i in range(1 << 18))
ALLOW = {"allow_connect": True}
KINDS = {"websocket": "websocket", "connect": "CONNECT", "ends-here": "CONNECT"}


class H1End:
    """One end of a tunnel: a socket from behind the head on."""

    def __init__(self, stream):
        self.stream = stream
        self.sock = stream.sock

    def fill(self):
        """Says as much as goes without anybody reading, and ends; returns what it said."""
        self.sock.settimeout(0)
        at = [0, 0]

        def stuck():
            before = at[0]
            try:
                while at[0] < len(WORDS):
                    at[0] += self.sock.send(WORDS[at[0]:at[0] + 65536])
            except BlockingIOError:
                pass
            at[1] = at[1] + 1 if at[0] == before else 0
            return at[1] > 20 or at[0] == len(WORDS)
        wait_until(stuck, "a sender that waits")
        self.sock.settimeout(DEADLINE_S)
        self.sock.shutdown(socket.SHUT_WR)
        return WORDS[:at[0]]

    def say(self, data):
        self.stream.send(data)
        self.sock.shutdown(socket.SHUT_WR)

    def read_all(self):
        return self.stream.read_to_end()

    def leave(self):
        self.sock.close()


class H2End:
    def __init__(self, stream):
        self.stream = stream

    def fill(self):
        at, still = 0, 0
        peer = self.stream.peer
        while still < 20:
            with peer.changed:
                size = min(self.stream._window(), 16384, len(WORDS) - at)
                if size:
                    peer.connection.send_data(self.stream.id, WORDS[at:at + size])
                    peer.flush()
                    at, still = at + size, 0
                    continue
                peer.changed.wait(0.01)
            still += 1
        self.stream.send(end=True)
        return WORDS[:at]

    def say(self, data):
        self.stream.send(data, end=True)

    def read_all(self):
        return self.stream.read_all()

    def leave(self):
        self.stream.peer.close()


class Tunnel:
    """client and upstream: the two ends."""

    def __init__(self, start_weir, make_upstream, make_h2_upstream, kind, down2, up2):
        self.kind = kind
        self._ends = []
        self._over = threading.Event()
        if kind == "ends-here":
            listener = socket.create_server(("127.0.0.1", 0))
            upstream_port = listener.getsockname()[1]
        else:
            upstream_port = (make_h2_upstream(self._serve_h2, settings={8: 1}, lax=True) if up2 else make_upstream(self._serve_h1)).port
        port = free_port()
        action = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]} if kind == "ends-here" else {}
        match = {"connect_matcher": {}} if kind != "websocket" else None
        manager = config.hcm([config.virtual_host(config.route("up", match=match, timeout="0s", **action))],
                             upgrade_configs=[{"upgrade_type": KINDS[kind]}], http2_protocol_options=ALLOW)
        cluster = config.cluster("up", upstream_port, per_connection_buffer_limit_bytes=LIMIT)
        if up2:
            cluster["typed_extension_protocol_options"] = config.protocol_options(explicit_http_config={"http2_protocol_options": ALLOW})
        self.weir = start_weir(config.bootstrap([config.listener(port, manager, per_connection_buffer_limit_bytes=LIMIT)], [cluster]))
        self.client = self._connect_h2(port) if down2 else self._connect_h1(port)
        if kind == "ends-here":
            self._ends.append(H1End(http1.Stream(listener.accept()[0])))
            listener.close()
        wait_until(lambda: self._ends, "the upstream's end")
        self.upstream = self._ends[0]

    def _connect_h1(self, port):
        self._closes = client = http1.Client(port)
        if self.kind == "websocket":
            client.send_request("GET", "/", {"connection": "upgrade", "upgrade": "websocket"})
        else:
            client.send_request("CONNECT", "a.test:443", host="a.test:443")
        assert client.read_response_head().status in (101, 200)
        return H1End(client)

    def _connect_h2(self, port):
        self._closes = client = h2peer.Client(port)
        if self.kind == "websocket":
            wait_until(lambda: client.connection.remote_settings.enable_connect_protocol == 1, "SETTINGS")
            stream = client.open("CONNECT", "/", end=False, pseudo=[(":protocol", "websocket")])
        else:
            stream = client.open("CONNECT", None, end=False, scheme=None, authority="a.test:443")
        stream.wait_headers()
        assert stream.status == 200
        return H2End(stream)

    def _serve_h1(self, request, connection):
        status = b"101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket" if self.kind == "websocket" else b"200 OK"
        connection.send(b"HTTP/1.1 " + status + b"\r\n\r\n")
        request.complete, connection.keep = True, False
        self._ends.append(H1End(connection))
        self._over.wait(4 * DEADLINE_S)

    def _serve_h2(self, stream):
        stream.send_headers([(":status", "200")])
        self._ends.append(H2End(stream))
        self._over.wait(4 * DEADLINE_S)

    def close(self):
        self._over.set()
        self._closes.close()


@pytest.fixture
def tunnel(start_weir, make_upstream, make_h2_upstream):
    made = []

    def make(*args):
        made.append(Tunnel(start_weir, make_upstream, make_h2_upstream, *args))
        return made[-1]
    yield make
    for one in made:
        one.close()


PAIRINGS = [(kind, down2, up2) for kind in KINDS for down2 in (False, True) for up2 in (False, True) if not (kind == "ends-here" and up2)]


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
@pytest.mark.parametrize("slow", ["client", "upstream"])
@pytest.mark.parametrize("pairing", PAIRINGS, ids=lambda p: f"{p[0]}-down{1 + p[1]}-up{1 + p[2]}")
def test_both_have_ended_and_one_reads_late(tunnel, pairing, slow, leaves):
    """The other one has read all by then; it may be gone, too."""
    t = tunnel(*pairing)
    late, early = (t.client, t.upstream) if slow == "client" else (t.upstream, t.client)
    said = early.fill()
    late.say(b"that is all")
    assert early.read_all() == b"that is all"
    if leaves:
        early.leave()
    assert late.read_all() == said


@pytest.mark.parametrize("pairing", PAIRINGS, ids=lambda p: f"{p[0]}-down{1 + p[1]}-up{1 + p[2]}")
def test_both_have_ended_and_both_read_late(tunnel, pairing):
    t = tunnel(*pairing)
    by_client, by_upstream = t.client.fill(), t.upstream.fill()
    assert t.client.read_all() == by_upstream
    assert t.upstream.read_all() == by_client
    wait_until(lambda: t.weir.stat("http.ingress.downstream_rq_active") == 0, "the end of the tunnel")
