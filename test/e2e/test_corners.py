"""The corners of HTTP in every pairing of versions: heads before the head, answers without a body, trailers."""

import struct
import threading

import pytest

from support import config, h2peer, http1, process
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

every_pairing = pytest.mark.parametrize("down2, up2", [(False, False), (False, True), (True, False), (True, True)],
                                        ids=["http1-http1", "http1-http2", "http2-http1", "http2-http2"])


@pytest.fixture
def proxy(start_weir):
    """proxy(upstream port, http2 upstream?, fields of the connection manager) -> port. HTTP/1 passes trailers."""
    def start(upstream_port, up2, **fields):
        port = free_port()
        trailers = {"enable_trailers": True}
        options = {"http2_protocol_options": {}} if up2 else {"http_protocol_options": trailers}
        cluster = config.cluster("up", upstream_port, typed_extension_protocol_options=config.protocol_options(
            explicit_http_config=options))
        manager = config.hcm([config.virtual_host(config.route("up"))], http_protocol_options=trailers, **fields)
        start_weir(config.bootstrap([config.listener(port, manager)], [cluster]))
        return port
    return start


class Answer:
    """What either client has got, in one form."""

    def __init__(self, status, headers, body, trailers, early):
        self.status = status
        self.headers = dict(headers)
        self.body = body
        self.trailers = dict(trailers or [])
        self.early = early  # of (status, headers)


def ask(port, down2, method="GET", headers=(), body=None, trailers=()):
    if down2:
        with h2peer.Client(port) as client:
            stream = client.open(method, headers=headers, end=body is None)
            if body is not None:
                stream.send(body, end=not trailers)
            if trailers:
                stream.send_trailers(trailers)
            stream.wait_headers()
            body = stream.read_all()
            early = [(int(dict(head)[":status"]), dict(head)) for head in stream.informational]
            return Answer(stream.status, stream.headers, body, stream.trailers, early)
    with http1.Client(port) as client:
        if trailers:
            client.send(f"{method} / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".encode() +
                        http1.encode_chunk(body) + b"0\r\n" + http1.encode_headers(trailers) + b"\r\n")
        else:
            client.send_request(method, headers=headers, body=body)
        early = []
        while True:
            response = client.read_response(method, skip_informational=False)
            if response.status >= 200:
                break
            early.append((response.status, dict(response.headers)))
        # The connection is good for another: nothing of this answer is left on it.
        client.send(b"GET /after HTTP/1.1\r\nhost: a\r\n\r\n")
        after = client.read_response()
        assert after.status == response.status or method == "HEAD"
        return Answer(response.status, response.headers, response.body, response.trailers, early)


def upstream_of(make_upstream, make_h2_upstream, up2, h1, h2):
    return (make_h2_upstream(h2) if up2 else make_upstream(h1)).port


@every_pairing
def test_early_hints_come_before_the_answer(proxy, make_upstream, make_h2_upstream, down2, up2):
    def h1(request, connection):
        connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n")
        connection.reply(body=b"ok")

    def h2(stream):
        for link in ("</a>", "</b>"):
            stream.send_headers([(":status", "103"), ("link", link)])
        stream.send_headers([(":status", "200")])
        stream.send(b"ok", end=True)
    port = proxy(upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), up2, proxy_100_continue=True)
    answer = ask(port, down2)
    assert (answer.status, answer.body) == (200, b"ok")
    assert [(status, headers["link"]) for status, headers in answer.early] == [(103, "</a>"), (103, "</b>")]


@every_pairing
def test_the_length_of_a_head_answer(proxy, make_upstream, make_h2_upstream, down2, up2):
    def h1(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + (b"" if request.method == "HEAD" else b"hello"))

    def h2(stream):
        head = stream.get(":method") == "HEAD"
        stream.send_headers([(":status", "200"), ("content-length", "5")], end=head)
        if not head:
            stream.send(b"hello", end=True)
    port = proxy(upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), up2)
    answer = ask(port, down2, "HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")
    assert ask(port, down2).body == b"hello"


@every_pairing
@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body(proxy, make_upstream, make_h2_upstream, down2, up2, status):
    def h1(request, connection):
        connection.send(b"HTTP/1.1 %d None\r\netag: \"x\"\r\n\r\n" % status)

    def h2(stream):
        stream.send_headers([(":status", str(status)), ("etag", '"x"')], end=True)
    port = proxy(upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), up2)
    answer = ask(port, down2)
    assert (answer.status, answer.body, answer.headers["etag"]) == (status, b"", '"x"')
    assert "content-length" not in answer.headers and "transfer-encoding" not in answer.headers


@every_pairing
def test_an_empty_answer_whose_end_comes_late(proxy, make_upstream, make_h2_upstream, down2, up2):
    def h1(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.send(b"0\r\n\r\n")

    def h2(stream):
        stream.send_headers([(":status", "200")])
        stream.send(b"", end=True)
    port = proxy(upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), up2)
    answer = ask(port, down2)
    assert (answer.status, answer.body, answer.trailers) == (200, b"", {})


@every_pairing
def test_trailers_pass_both_ways(proxy, make_upstream, make_h2_upstream, down2, up2):
    seen = []

    def h1(request, connection):
        body = connection.read_body(request)
        if request.target == "/":
            seen.append((body, dict(request.trailers)))
        connection.reply_chunked([b"answer"], trailers={"x-up": "2"})

    def h2(stream):
        body = stream.read_all()
        if stream.get(":path") == "/":
            seen.append((body, dict(stream.trailers or [])))
        stream.send_headers([(":status", "200")])
        stream.send(b"answer")
        stream.send_trailers([("x-up", "2")])
    port = proxy(upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), up2)
    answer = ask(port, down2, "POST", body=b"question", trailers=[("x-down", "1")])
    assert (answer.status, answer.body, answer.trailers) == (200, b"answer", {"x-up": "2"})
    assert seen == [(b"question", {"x-down": "1"})]


@pytest.mark.parametrize("up2", [False, True], ids=["up1", "up2"])
def test_trailers_that_http1_is_not_to_pass(start_weir, make_upstream, make_h2_upstream, up2):
    """enable_trailers is off: the body stays whole."""
    def h1(request, connection):
        connection.read_body(request)
        connection.reply_chunked([b"answer"], trailers={"x-up": "2"})

    def h2(stream):
        stream.read_all()
        stream.send_headers([(":status", "200")])
        stream.send(b"answer")
        stream.send_trailers([("x-up", "2")])
    port = free_port()
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                [config.cluster("up", upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), http2=up2)]))
    answer = ask(port, False, "POST", body=b"question", trailers=[("x-down", "1")])
    assert (answer.status, answer.body, answer.trailers) == (200, b"answer", {})


@pytest.mark.parametrize("up2", [False, True], ids=["up1", "up2"])
def test_pipelined_requests_wait_for_the_slow_one_before_them(proxy, make_upstream, make_h2_upstream, up2):
    first_may_end = threading.Event()

    def h1(request, connection):
        if request.target == "/0":
            first_may_end.wait(60)
        connection.reply(body=request.target.encode())

    def h2(stream):
        if stream.get(":path") == "/0":
            first_may_end.wait(60)
        stream.send_headers([(":status", "200")])
        stream.send(stream.get(":path").encode(), end=True)
    port = proxy(upstream_of(make_upstream, make_h2_upstream, up2, h1, h2), up2)
    with http1.Client(port) as client, http1.Client(port) as other:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number for number in range(5)))
        assert other.request(target="/else").body == b"/else"  # of somebody else
        first_may_end.set()
        assert [client.read_response().body for _ in range(5)] == [b"/%d" % number for number in range(5)]


def test_an_upstream_that_says_goaway_finishes_what_it_has(proxy, make_h2_upstream):
    """RFC 9113 6.8: the stream that runs goes on, the next request takes another connection."""
    go = threading.Event()

    def handler(stream):
        if stream.get(":path") == "/running":
            stream.peer.send_raw(b"\0\0\x08\x07\0\0\0\0\0" + struct.pack(">II", stream.id, 0))
            stream.send_headers([(":status", "200")])
            go.wait(60)
            stream.send(b"whole", end=True)
        else:
            stream.send_headers([(":status", "200")], end=True)
    upstream = make_h2_upstream(handler)
    port = proxy(upstream.port, True)
    with h2peer.Client(port) as client:
        running = client.open(path="/running")
        running.wait_headers()  # the GOAWAY has come before
        assert client.request(path="/other").status == 200
        assert len(upstream.peers) == 2
        go.set()
        assert running.read_all() == b"whole"


def test_a_stream_that_an_upstream_has_not_taken_goes_elsewhere(start_weir, make_h2_upstream):
    """Beyond the last stream of a GOAWAY nothing was done: a retry policy on refused-stream may try again."""
    first = threading.Lock()

    def handler(stream):
        if first.acquire(blocking=False):
            stream.peer.send_raw(b"\0\0\x08\x07\0\0\0\0\0" + struct.pack(">II", 0, 0))
        else:
            stream.send_headers([(":status", "200")], end=True)
    upstream = make_h2_upstream(handler)
    port = free_port()
    route = config.route("up", retry_policy={"retry_on": "refused-stream", "num_retries": 1})
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(route)]))],
                                [config.cluster("up", upstream.port, http2=True)]))
    assert http1.get(port).status == 200
    assert len(upstream.requests) == 2
