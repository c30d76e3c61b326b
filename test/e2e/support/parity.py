"""weir and the real Envoy side by side: the same bootstrap and upstreams, the same bytes, and what each of them made of them."""

import json
import re
import select
import socket
import subprocess
import threading
from dataclasses import dataclass, field

from . import h2peer, http1
from .ports import free_port
from .wait import DEADLINE_S, wait_until
from .weir import Weir

CLOSE_S = 0.25  # how long a connection that gave its answer is watched for a close that was not announced
SETTLE_S = 2
MOVED = re.compile(r"(http\.[a-z_]+|cluster\.[a-z_]+)\.")
STATS_IGNORED = {
    r"\.(downstream|upstream)_cx_(rx|tx)_bytes_": "heads are written differently: see docs/differences.md on byte counts",
    r"_(buffered|active|open|rejected_via)\w*$": "gauges of the moment",
    r"_(time|length|ms)(_count|_sum)?$": "histograms",
    r"^cluster\.\w+\.(http1|http2|lb_|membership|update|assignment|init|version|warming|bind|max_host|default)": "not traffic",
    r"^cluster\.\w+\.(external|internal|canary|zone|circuit|outlier|ssl|upstream_flow|upstream_internal|retry)": "derived of others",
    r"^cluster\.\w+\.upstream_cx_": "pools are of each worker and are closed at other times",
    r"^cluster\.\w+\.upstream_rq_(pending|retry_backoff)": "depends on which connection was free",
    r"^http\.\w+\.(downstream_cx_|rds|tracing|passthrough)": "connections close at another time: no delayed close",
    r"^http\.admin\.": "both are asked for their stats",
}


def own_address(text):
    """Envoy puts the machine's address for a loopback client into x-forwarded-for, weir the client's (not mended yet)."""
    return re.sub(r"\b(?!1\.2\.3\.4|10\.0\.0\.1|9\.9\.9\.9)\d+\.\d+\.\d+\.\d+\b", "LOCAL", text)


@dataclass
class Seen:
    """What one proxy gave: comparable once normalised."""
    answers: list = field(default_factory=list)
    closed: bool = False
    log: list = field(default_factory=list)
    stats: dict = field(default_factory=dict)


class RealEnvoy(Weir):
    """The real Envoy under weir's own handle: its command line takes the same options."""

    def __init__(self, path, bootstrap, workdir):
        super().__init__(bootstrap, workdir, concurrency=1)
        self.path = path
        self.name = "envoy"
        self.log_path = self.workdir / "envoy.log"

    def command_line(self):
        return [str(self.path), *map(str, self.args), "--disable-hot-restart", "--log-level", "error",
                "--file-flush-interval-msec", "10"]

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

    def log_lines(self):
        return self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []

    def counters(self):
        """Those of traffic only, by name."""
        return {name: value for name, value in self.program.stats().items() if isinstance(value, int) and MOVED.match(name)
                and not any(re.search(pattern, name) for pattern in STATS_IGNORED)}

    def normal(self, text):
        for port in self.ports.values():
            text = re.sub(rf"\b{port}\b", "PORT", text)
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
        text = own_address(text)
        text = re.sub(r"(?i)(x-envoy-upstream-service-time: )\d+", r"\1N", text)
        text = re.sub(r"(x-envoy-expected-rq-timeout-ms: )14\d\d\d\b", r"\1LESS", text)  # what is left for a retry
        return re.sub(r"(?i)(date: )[^\r\n]*GMT", r"\1DATE", text)

    def headers(self, pairs):
        """Sorted: only the order of equal names means anything."""
        lines = [self.normal(f"{name}: {value}") for name, value in pairs]
        return sorted(lines, key=lambda line: line.split(":")[0])

    def run(self, case):
        before = len(self.log_lines())
        self.base = self.counters()
        seen = Seen()
        try:
            (self.run_h2 if case.h2 else self.run_h1)(case, seen)
        except (http1.Closed, ConnectionError, socket.timeout, h2peer.StreamReset, AssertionError) as error:
            seen.answers.append(f"{type(error).__name__}")
        if case.logs:
            try:
                wait_until(lambda: len(self.log_lines()) >= before + case.logs, "log", SETTLE_S)
            except AssertionError:
                pass
        seen.log = [self.normal(line) for line in self.log_lines()[before:]]
        return seen

    def moved(self):
        now = self.counters()
        return {name: now[name] - self.base.get(name, 0) for name in now if now[name] != self.base.get(name, 0)}

    def run_h1(self, case, seen):
        with http1.Client(self.ports[case.listener]) as client:
            client.sock.settimeout(5)
            client.send(case.raw)
            for method in case.methods:
                final = False
                while not final:
                    head = client.read_response_head()
                    final = head.status >= 200 or head.status == 101
                    seen.answers.append([head.start, *self.headers(head.headers)])
                    if not final and case.then:
                        client.send(case.then)
                if method == "CONNECT" and head.status == 200 or head.status == 101:
                    client.send(b"GET / HTTP/1.1\r\n\r\n" if method == "CONNECT" else b"ping")
                    seen.answers.append(client.read_exactly(4))
                    continue
                seen.answers.append(self.body(client, head, method))
            announced = head.get("connection", "").lower() == "close"
            ready, _, _ = select.select([client.sock], [], [], 3 if announced else CLOSE_S)
            seen.closed = bool(ready) and not client.fill()

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
            stream = client.open(headers=case.headers, end=not case.body, **case.h2)
            if case.body:
                stream.send(case.body, end=True)
            stream.wait_headers()
            seen.answers.append(self.headers(stream.headers))
            try:
                seen.answers.append(self.normal(stream.read_all().decode("latin-1")))
                seen.answers.append(self.headers(stream.trailers or []))
            except h2peer.StreamReset as reset:
                seen.answers.append(f"reset {reset.code}")


@dataclass
class Case:
    """raw: what is sent over HTTP/1.1; h2: arguments of h2peer.Client.open instead. logs: lines awaited in the access log."""
    raw: bytes = b""
    h2: dict = None
    headers: tuple = ()
    body: bytes = b""
    listener: str = "edge"
    methods: tuple = ("GET",)
    logs: int = 1
    then: bytes = b""


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


def raw(data, methods=("GET",), **fields):
    return Case(raw=data, methods=methods, **fields)


class Pair:
    """Both; compare(case) gives the differences by aspect (answer, close, log, stats), and whether any side answered."""

    def __init__(self, weir, envoy):
        self.sides = (weir, envoy)

    def compare(self, case):
        seen = {}
        threads = [threading.Thread(target=lambda side=side: seen.update({side.name: side.run(case)})) for side in self.sides]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 2, f"one side broke: {seen}"
        weir, envoy = (seen[side.name] for side in self.sides)
        stats = {}

        def stats_equal():
            stats.update({side.name: side.moved() for side in self.sides})
            return stats[self.sides[0].name] == stats[self.sides[1].name]
        try:
            wait_until(stats_equal, "equal stats", SETTLE_S)
        except AssertionError:
            pass
        weir.stats, envoy.stats = (stats[side.name] for side in self.sides)
        answered = any(isinstance(answer, list) for side in (weir, envoy) for answer in side.answers)
        differences = {aspect: difference for aspect, difference in (
            ("answer", unequal(weir.answers, envoy.answers)), ("close", unequal(weir.closed, envoy.closed)),
            ("log", unequal(weir.log, envoy.log)), ("stats", unequal(weir.stats, envoy.stats))) if difference}
        return differences, answered


def unequal(weir, envoy):
    if weir == envoy:
        return None
    if isinstance(weir, dict):
        names = sorted(name for name in {*weir, *envoy} if weir.get(name) != envoy.get(name))
        return "; ".join(f"{name} weir {weir.get(name, 0)} envoy {envoy.get(name, 0)}" for name in names)
    return f"\n  weir:  {json.dumps(weir, default=repr)}\n  envoy: {json.dumps(envoy, default=repr)}"
