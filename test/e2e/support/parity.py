"""weir and the real Envoy side by side: the same bootstrap and upstreams, the same bytes, and what each of them made of them."""

import json
import re
import socket
import subprocess
import threading
from dataclasses import dataclass, field

import hpack

from . import h2peer, http1
from .ports import free_port
from .wait import DEADLINE_S, wait_until
from .weir import Weir

READ_S = DEADLINE_S / 4  # what is awaited of a proxy on one connection
PROBE = b"GET /probe HTTP/1.1\r\nhost: probe.test\r\n\r\n"
FLUSH = ("--file-flush-interval-msec", "10")
STATS = "/stats?filter=^(http|cluster|listener)\\."

# Stats that are not compared, each with the reason.
STATS_IGNORED = {
    r"^(http|listener)\.admin\.": "the test itself asks for stats, at other times of each",
    r"^http\.\w+\.downstream_cx_delayed_close_timeout$": "weir does not wait before it closes: a row of docs/differences.md",
    r"^cluster\.\w+\.upstream_cx_rx_bytes_buffered$": "Envoy leaves it at the size of the last read, weir at what is unread: nothing",
    r"^cluster\.up2\.http2\.nghttp2_upstream_connections$": "names a library of Envoy's",
    r"^cluster\.up2\.upstream_cx_.x_bytes_total$": "of HTTP/2: header compression and window updates are each side's own choice",
}
H2_BYTES = re.compile(r"^http\.\w+\.downstream_cx_.x_bytes_total$")  # not compared over HTTP/2, for the same reason
H1_BYTES = re.compile(r"^http\.\w+\.downstream_cx_tx_bytes_total$")
SERVICE_TIME = re.compile(r"(?i)(x-envoy-upstream-service-time: )(\d+)")


@dataclass
class Differs:
    """A difference that is known: what each of both does, exactly, and the row of docs/differences.md that says why.

    Of the answer and the log those pieces stand here that the other side has not, of the stats what they moved by:
    name: (weir's, Envoy's)."""
    row: str
    answer: tuple = None
    closed: tuple = None
    log: tuple = None
    stats: dict = None

    def expected(self):
        return {aspect: value for aspect, value in (("answer", self.answer), ("closed", self.closed), ("log", self.log),
                                                    ("stats", self.stats)) if value is not None}


@dataclass
class Seen:
    """What one proxy gave: comparable once normalised."""
    answers: list = field(default_factory=list)
    closed: bool = False
    log: list = field(default_factory=list)
    stats: dict = field(default_factory=dict)
    pongs: int = 0


class RealEnvoy(Weir):
    """The real Envoy under weir's own handle: its command line takes the same options."""

    def __init__(self, path, bootstrap, workdir):
        super().__init__(bootstrap, workdir, args=FLUSH, concurrency=1)
        self.path = path
        self.name = "envoy"
        self.log_path = self.workdir / "envoy.log"

    def command_line(self):
        return [str(self.path), *map(str, self.args), "--disable-hot-restart", "--log-level", "error"]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Side:
    """One of the two, with its own ports and log; make(ports, log path) gives the bootstrap."""

    def __init__(self, name, make, listeners, workdir, program):
        self.name = name
        self.ports = {listener: free_port() for listener in listeners}
        self.log_path = workdir / f"{name}-access.log"
        self.program = program(make(self.ports, self.log_path))
        self.names = {}  # of stats: as they are to as they are compared, None for those that are not

    def log_lines(self):
        """Those of cases: the probes' are left out."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return [line for line in text.splitlines() if "path=/probe" not in line]

    def stat_name(self, name):
        known = self.names.get(name, "")
        if known == "":
            known = None if any(re.search(pattern, name) for pattern in STATS_IGNORED) else self.normal(name)
            self.names[name] = known
        return known

    def counters(self):
        """Counters and gauges of traffic, by their comparable names."""
        status, text = self.program.admin(STATS)
        assert status == 200, text
        found = {}
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if value.isdigit() and (name := self.stat_name(name)):
                found[name] = int(value)
        return found

    def normal(self, text):
        for listener, port in self.ports.items():
            text = re.sub(rf"\b{port}\b|(?<=_){port}(?=\.)", f"PORT-{listener}", text)
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
        text = SERVICE_TIME.sub(r"\1N", text)
        text = re.sub(r"(x-envoy-expected-rq-timeout-ms: )(14\d\d\d|15000)\b", r"\1LEFT", text)
        return re.sub(r"(?i)(date: )[^\r\n]*GMT", r"\1DATE", text)

    def headers(self, pairs):
        """Sorted: only the order of equal names means anything."""
        lines = [f"{name}: {value}" for name, value in pairs]
        self.digits += sum(len(match[2]) for match in map(SERVICE_TIME.match, lines) if match)
        lines = [self.normal(line) for line in lines]
        return sorted(lines, key=lambda line: line.split(":")[0])

    def run(self, case):
        before = len(self.log_lines())
        self.base = self.counters()
        self.digits = 0
        self.h2 = case.h2 is not None or case.frames
        seen = Seen()
        try:
            (self.run_frames if case.frames else self.run_h2 if case.h2 else self.run_h1)(case, seen)
        except (http1.Closed, ConnectionError, socket.timeout, h2peer.StreamReset, AssertionError) as error:
            seen.answers.append(f"{type(error).__name__}")
        wait_until(lambda: len(self.log_lines()) >= before + case.logs, f"{case.logs} lines in the log of {self.name}", READ_S)
        seen.log = [self.normal(line) for line in self.log_lines()[before:]]
        return seen

    def moved(self):
        """What the case changed. Bytes sent are without the digits of the times in them."""
        now = self.counters()
        moved = {name: now[name] - self.base.get(name, 0) for name in now if now[name] != self.base.get(name, 0)}
        if self.h2:
            return {name: by for name, by in moved.items() if not H2_BYTES.match(name)}
        return {name: by - self.digits if H1_BYTES.match(name) else by for name, by in moved.items()}

    def run_h1(self, case, seen):
        with http1.Client(self.ports[case.listener]) as client:
            client.sock.settimeout(READ_S)
            client.send(case.raw)
            for method in case.methods:
                final = False
                while not final:
                    head = client.read_response_head()
                    final = head.status >= 200 or head.status == 101
                    seen.answers.append([head.start, *self.headers(head.headers)])
                if method == "CONNECT" and head.status == 200 or head.status == 101:
                    return self.tunnel(client, method, seen)
                seen.answers.append(self.body(client, head, method))
            seen.closed = self.closed(client, head)

    def tunnel(self, client, method, seen):
        """The upstream of an upgrade ends it after four bytes, that of CONNECT leaves that to the client."""
        if method == "CONNECT":
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            seen.answers.append(client.read_response_head().start)  # all of it: a close with bytes unread is a reset
        else:
            client.send(b"ping")
            seen.answers.append(client.read_exactly(4).decode())
            seen.answers.append("end" if not client.fill() else "more")
            seen.closed = True

    def closed(self, client, head):
        """Whether the connection is at its end: one that does not say so is asked for more."""
        try:
            if (head.get("connection") or "").lower() != "close":
                client.send(PROBE)
                if client.read_response_head().status == 204:
                    return False
            return not client.fill()
        except (http1.Closed, ConnectionError):
            return True

    def body(self, client, head, method):
        if method == "HEAD" or head.status in (204, 304):
            return ""
        data = b""
        try:
            if http1.is_chunked(head):
                for chunk in client.chunks(head):
                    data += chunk
                data += repr(head.trailers).encode() if head.trailers else b""
            elif head.get("content-length") is not None:
                for _ in range(int(head.get("content-length"))):
                    data += client.read_exactly(1)
            else:
                data = client.read_to_end()
        except (http1.Closed, ConnectionError):
            data += b" [cut]"
        return self.normal(data.decode("latin-1"))

    def run_h2(self, case, seen):
        with h2peer.Client(self.ports[case.listener]) as client:
            stream = client.open(headers=case.headers, body=case.body, **case.h2)
            stream.wait_headers()
            seen.answers.append(self.headers(stream.headers))
            try:
                seen.answers.append(self.normal(stream.read_all().decode("latin-1")))
                seen.answers.append(self.headers(stream.trailers or []))
            except h2peer.StreamReset as reset:
                seen.answers.append(f"reset {reset.code}")
            client.ping()
            seen.closed = client.closed


    def run_frames(self, case, seen):
        """Each of the pieces with a PING behind it, whose answer or the end of the connection is awaited. SETTINGS and
        WINDOW_UPDATE are left out, and so are bodies."""
        decoder = hpack.Decoder()
        with http1.Client(self.ports[case.listener]) as client:
            client.sock.settimeout(READ_S)
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0))
            try:
                for piece in (*case.frames, b""):  # an answer to PING overtakes what else is queued: one more round
                    client.send(piece + frame(PING, 0, 0, bytes(8)))
                    while (event := self.event(client, decoder)) != "pong":
                        seen.answers += [[event]] if event else []
                    seen.pongs += 1
            except (http1.Closed, ConnectionError):
                seen.closed = True
                seen.answers.append(["end"])

    def event(self, client, decoder):
        head = client.read_exactly(9)
        kind, stream, payload = head[3], int.from_bytes(head[5:], "big"), client.read_exactly(int.from_bytes(head[:3], "big"))
        if kind == HEADERS:
            return f"HEADERS {stream} {dict(decoder.decode(payload)).get(':status')}"
        if kind == RST_STREAM:
            return f"RST_STREAM {stream} {int.from_bytes(payload, 'big')}"
        if kind == GOAWAY:
            return f"GOAWAY {int.from_bytes(payload[:4], 'big')} {int.from_bytes(payload[4:8], 'big')} {payload[8:].decode()}".strip()
        return "pong" if kind == PING and head[4] == 1 else None


DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def u32(value):
    return value.to_bytes(4, "big")


def head(stream, *pairs, end=True, flags=4):
    """HEADERS with these fields, without indexing."""
    return frame(HEADERS, flags | end, stream, hpack.Encoder().encode(pairs))


def pseudo(path="/d200", method="GET", authority="a.test"):
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]


def request(stream, *more, path="/d200", method="GET", end=True):
    return head(stream, *pseudo(path, method), *more, end=end)


@dataclass
class Case:
    """raw: what is sent over HTTP/1.1; h2: arguments of h2peer.Client.open instead; frames: pieces of HTTP/2 instead. logs: lines
    awaited in the access log."""
    raw: bytes = b""
    frames: tuple = ()
    h2: dict = None
    headers: tuple = ()
    body: bytes = b""
    listener: str = "edge"
    methods: tuple = ("GET",)
    logs: int = 1


def h1(target="/", *lines, method="GET", host="a.test", body=None, version="1.1", **fields):
    """A request as bytes; each of lines is a header line."""
    head = [f"{method} {target} HTTP/{version}", *([f"host: {host}"] if host else []), *lines]
    if body is not None:
        head.append(f"content-length: {len(body)}")
    return Case(raw="\r\n".join([*head, "", ""]).encode("latin-1") + (body or b""), methods=(method,), **fields)


def h2(path="/", *headers, method="GET", grpc=False, body=b"", **fields):
    pairs = [tuple(line.split(": ", 1)) for line in headers]
    if grpc:
        method, body = "POST", body or b"\0\0\0\0\0"
        pairs += [("content-type", "application/grpc"), ("te", "trailers")]
    return Case(h2={"method": method, "path": path, "authority": "a.test"}, headers=tuple(pairs), body=body, **fields)


def frames(*pieces, **fields):
    return Case(frames=pieces, **fields)


def raw(data, methods=("GET",), **fields):
    return Case(raw=data, methods=methods, **fields)


class Pair:
    """Both. compare(case, expected) gives the differences by aspect (answer, closed, log, stats), and whether any side answered."""

    def __init__(self, weir, envoy):
        self.sides = (weir, envoy)

    def compare(self, case, expected=()):
        """Stats are read until they are as expected: a connection's end is counted after its client has seen it."""
        seen = {}
        threads = [threading.Thread(target=lambda side=side: seen.update({side.name: side.run(case)})) for side in self.sides]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 2, f"one side broke: {seen}"
        weir, envoy = (seen[side.name] for side in self.sides)
        found = {"answer": pieces(answer_pieces(weir.answers), answer_pieces(envoy.answers)),
                 "closed": None if weir.closed == envoy.closed else (weir.closed, envoy.closed),
                 "log": pieces(log_pieces(weir.log), log_pieces(envoy.log))}

        def stats_as_expected():
            weir.stats, envoy.stats = (side.moved() for side in self.sides)
            found["stats"] = {name: (weir.stats.get(name, 0), envoy.stats.get(name, 0)) for name in sorted({*weir.stats, *envoy.stats})
                              if weir.stats.get(name, 0) != envoy.stats.get(name, 0)}
            return found["stats"] == dict(expected).get("stats", {})
        try:
            wait_until(stats_as_expected, "stats", READ_S)
        except AssertionError:
            pass
        answered = any(side.pongs or any(isinstance(answer, list) for answer in side.answers) for side in (weir, envoy))
        return {aspect: difference for aspect, difference in found.items() if difference}, answered, (weir, envoy)


def answer_pieces(answers):
    """Each line of an answer on its own, with the place of the answer it belongs to."""
    return [(index, line) for index, answer in enumerate(answers) for line in (answer if isinstance(answer, list) else [answer])]


def log_pieces(lines):
    """The words of each line; one word stays one place, so that the same word elsewhere is another."""
    return [(line, word, text) for line, words in enumerate(lines) for word, text in enumerate(words.split(" "))]


def pieces(weir, envoy):
    """What each has that the other has not, or None."""
    only = tuple([piece[-1] for piece in side if piece not in other] for side, other in ((weir, envoy), (envoy, weir)))
    return only if any(only) else None
