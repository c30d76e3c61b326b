"""Requests that are refused, and odd ones that are taken: answer, closing, access log, and what the upstream receives."""

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import Upstream, replying
from support.wait import wait_until
from support.weir import running_weir

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


class Proxy:
    """One weir for the module: `plain`, and listeners with options of their own, each to one upstream."""

    def __init__(self, workdir, upstream):
        self.upstream = upstream
        self.log = workdir / "access.log"
        self.ports = {}
        options = {
            "plain": {},
            "http10": {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "default.test"}},
            "small": {"max_request_headers_kb": 1},
            "few": {"common_http_protocol_options": {"max_headers_count": 10}},
            "no_underscores": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
            "drop_underscores": {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
            "trailers": {"http_protocol_options": {"enable_trailers": True}},
        }
        log = config.file_access_log(self.log, "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
        listeners = []
        for name, fields in options.items():
            self.ports[name] = free_port()
            hosts = [config.virtual_host(config.route("upstream"))]
            listeners.append(config.listener(self.ports[name], config.hcm(hosts, access_log=[log], **fields), name=name))
        cluster = config.cluster("upstream", upstream.port, typed_extension_protocol_options=config.protocol_options(
            explicit_http_config={"http_protocol_options": {"enable_trailers": True}}))
        self.bootstrap = config.bootstrap(listeners, [cluster])

    def log_lines(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("refused")
    with Upstream(replying()) as upstream:
        made = Proxy(workdir, upstream)
        with running_weir(made.bootstrap, workdir, args=("--file-flush-interval-msec", "10")):
            yield made


H = b"Host: a\r\n"
CODEC = (400, b"Bad Request", "DPE", "http1.codec_error")
CHARACTERS = (400, b"Bad Request", "DPE", "http1.invalid_characters")
AUTHORITY = (400, b"Bad Request", "DPE", "http.invalid_authority")
URL = (400, b"Bad Request", "DPE", "http1.invalid_url")
LOW = (426, b"Upgrade Required", "DPE", "low_version")
TE = (501, b"Not Implemented", "DPE", "http1.invalid_transfer_encoding")
BOTH = (400, b"Bad Request", "DPE", "http1.content_length_and_chunked_not_allowed")
LARGE = (431, b"Request Header Fields Too Large", "DPE", "http1.headers_too_large")
MANY = (431, b"Request Header Fields Too Large", "DPE", "http1.too_many_headers")
CHUNKED = b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n"


def post(*lines, body=b""):
    return b"POST / HTTP/1.1\r\n" + H + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def headers(count):
    return b"GET / HTTP/1.1\r\n" + H + b"".join(b"x-%d: y\r\n" % i for i in range(count - 1)) + b"\r\n"


REFUSED = {
    "garbage": (b"garbage\r\n\r\n", CODEC),
    "method characters": (b"G@T / HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "unknown method": (b"FOO / HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "lower case method": (b"get / HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "PRI": (b"PRI * HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), CODEC),
    "different lengths": (post(b"Content-Length: 3", b"Content-Length: 4", body=b"abc"), CODEC),
    "the same length twice": (post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), CODEC),
    "list of lengths": (post(b"Content-Length: 3, 3", body=b"abc"), CODEC),
    "length +3": (post(b"Content-Length: +3", body=b"abc"), CODEC),
    "length -1": (post(b"Content-Length: -1", body=b"abc"), CODEC),
    "length abc": (post(b"Content-Length: abc", body=b"abc"), CODEC),
    "huge length": (post(b"Content-Length: 99999999999999999999", body=b"abc"), CODEC),
    "empty length": (post(b"Content-Length:", body=b"abc"), CODEC),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", CODEC),
    "space before the first header": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", CODEC),
    "header without colon": (b"GET / HTTP/1.1\r\n" + H + b"x\r\n\r\n", CODEC),
    "empty name": (b"GET / HTTP/1.1\r\n" + H + b": x\r\n\r\n", CODEC),
    "bad name": (b"GET / HTTP/1.1\r\n" + H + b"x(: y\r\n\r\n", CODEC),
    "path with space": (b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "path beyond ASCII": (b"GET /\x80 HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "path without slash": (b"GET foo HTTP/1.1\r\n" + H + b"\r\n", CODEC),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", CODEC),
    "bare CR": (b"GET / HTTP/1.1\r\n" + H + b"x: b\rc\r\n\r\n", CODEC),
    "folded line": (b"GET / HTTP/1.1\r\n" + H + b"x: b\r\n c\r\n\r\n", CODEC),
    "no version": (b"GET /\r\n\r\n", LOW),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n" + H + b"\r\n", LOW),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + H + b"\r\n", LOW),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + H + b"\r\n", LOW),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", (400, b"", "-", "missing_host_header")),
    "Host with space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", AUTHORITY),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", AUTHORITY),
    "length and chunked": (post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), BOTH),
    "TE gzip": (post(b"Transfer-Encoding: gzip"), TE),
    "TE gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked"), TE),
    "TE identity": (post(b"Transfer-Encoding: identity"), TE),
    "two TE": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), TE),
    "TE xchunked": (post(b"Transfer-Encoding: xchunked"), TE),
    "NUL in a value": (b"GET / HTTP/1.1\r\n" + H + b"x: \0\r\n\r\n", CHARACTERS),
    "control character in a value": (b"GET / HTTP/1.1\r\n" + H + b"x: \x01\r\n\r\n", CHARACTERS),
    "control character in the path": (b"GET /\x01 HTTP/1.1\r\n" + H + b"\r\n", CHARACTERS),
    "path with #": (b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", (400, b"", "-", "path_normalization_failed")),
    "bad CONNECT": (b"CONNECT /p HTTP/1.1\r\n" + H + b"\r\n", URL),
    "Connection names Host": (b"GET / HTTP/1.1\r\n" + H + b"Connection: host, x-forwarded-for\r\n\r\n",
                              (400, b"Bad Request", "DPE", "http1.connection_header_rejected")),
    "60001 bytes of headers": (b"GET / HTTP/1.1\r\n" + H + b"x: " + b"a" * 62000 + b"\r\n\r\n", LARGE),
    "long URL": (b"GET /" + b"a" * 61500 + b" HTTP/1.1\r\n" + H + b"\r\n", LARGE),
    "101 headers": (headers(101), MANY),
}


def check_refused(proxy, port, request, expected):
    before_log, before_upstream = len(proxy.log_lines()), len(proxy.upstream.requests)
    status, body, flags, details = expected
    with http1.Client(port) as client:
        client.send(request)
        response = client.read_response()
        assert (response.status, response.body) == (status, body)
        assert response.get("connection") == "close"
        assert response.get("content-length") == str(len(body))
        assert response.get("content-type") == ("text/plain" if body else None)
        assert response.get("server") == "envoy" and response.get("date")
        client.expect_closed()
    wait_until(lambda: len(proxy.log_lines()) > before_log, "line of the access log")
    assert proxy.log_lines()[before_log] == f"{status} {flags} {details}"
    assert len(proxy.upstream.requests) == before_upstream


@pytest.mark.parametrize("request_bytes, expected", REFUSED.values(), ids=REFUSED.keys())
def test_refused_request(proxy, request_bytes, expected):
    check_refused(proxy, proxy.ports["plain"], request_bytes, expected)


OPTIONS = {
    "1 KiB of headers": ("small", b"GET / HTTP/1.1\r\n" + H + b"x: " + b"a" * 1100 + b"\r\n\r\n", LARGE),
    "11 of 10 headers": ("few", headers(11), MANY),
    "underscore": ("no_underscores", b"GET / HTTP/1.1\r\n" + H + b"x_y: 1\r\n\r\n",
                   (400, b"Bad Request", "DPE", "http1.unexpected_underscore")),
}


@pytest.mark.parametrize("listener, request_bytes, expected", OPTIONS.values(), ids=OPTIONS.keys())
def test_refused_by_an_option(proxy, listener, request_bytes, expected):
    check_refused(proxy, proxy.ports[listener], request_bytes, expected)


BAD_CHUNKS = [b"xyz\r\n", b"3\r\nabcX\r\n", b"3\nabc\r\n", b"11111111111111111\r\n"]


@pytest.mark.parametrize("chunks", BAD_CHUNKS)
def test_bad_chunks_end_the_request(proxy, chunks):
    with http1.Client(proxy.ports["plain"]) as client:
        client.send(CHUNKED + chunks)
        response = client.read_response()
        assert (response.status, response.body, response.get("connection")) == (400, b"Bad Request", "close")
        client.expect_closed()
    wait_until(lambda: proxy.log_lines() and proxy.log_lines()[-1] == "400 DPE http1.codec_error", "line of the access log")


def sent_on(proxy, request, listener="plain"):
    """What the upstream receives for a request: (start line, {name: value} without what weir adds)."""
    before = len(proxy.upstream.requests)
    with http1.Client(proxy.ports[listener]) as client:
        client.send(request)
        assert client.read_response().status == 200
    [received] = proxy.upstream.requests[before:]
    added = {"x-forwarded-proto", "x-request-id", "x-envoy-expected-rq-timeout-ms"}
    names = {name for name, _ in received.headers} - added
    return received.start, {name: received.get(name) for name in names}, received


ACCEPTED = {
    "empty lines before": (b"\r\n\r\nGET /p HTTP/1.1\r\nHost: a\r\n\r\n", "GET /p HTTP/1.1", {"host": "a"}),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1", {"host": ""}),
    "values": (b"GET / HTTP/1.1\r\nHost: a\r\nx-a: \x80\r\nx-b:\r\nx-c: \t v \t\r\nx_d: 1\r\n\r\n", "GET / HTTP/1.1",
               {"host": "a", "x-a": "\x80", "x-b": "", "x-c": "v", "x_d": "1"}),
    "absolute form": (b"GET http://b.test:81/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET /p?q HTTP/1.1", {"host": "b.test:81"}),
    "https absolute form": (b"GET https://b.test HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1", {"host": "b.test"}),
    "h2c offer": (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
                  "GET / HTTP/1.1", {"host": "a"}),
    "upgrade without connection": (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1", {"host": "a"}),
    "hop by hop": (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-foo, te\r\nX-Foo: 1\r\nKeep-Alive: 1\r\n"
                   b"Proxy-Connection: x\r\nTE: trailers, gzip\r\nProxy-Authorization: p\r\nTrailer: t\r\n\r\n", "GET / HTTP/1.1",
                   {"host": "a", "te": "trailers", "proxy-authorization": "p", "trailer": "t"}),
    "TE: gzip": (b"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\n\r\n", "GET / HTTP/1.1", {"host": "a"}),
    "joined names": (b"GET / HTTP/1.1\r\nHost: a\r\naccept: a\r\nx-d: 1\r\naccept: b\r\nx-d: 2\r\n\r\n", "GET / HTTP/1.1",
                     {"host": "a", "accept": "a,b", "x-d": "1, 2"}),
    "POST without body": (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1", {"host": "a", "content-length": "0"}),
    "100 headers": (headers(100), "GET / HTTP/1.1", {"host": "a", **{f"x-{i}": "y" for i in range(99)}}),
    "Expect: foo": (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n", "GET / HTTP/1.1", {"host": "a", "expect": "foo"}),
}


@pytest.mark.parametrize("request_bytes, start, expected", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_the_upstream_receives(proxy, request_bytes, start, expected):
    received_start, received, _ = sent_on(proxy, request_bytes)
    assert (received_start, received) == (start, expected)


def test_a_bad_chunk_beside_its_head_is_not_seen_on_a_warm_connection(start_weir, make_upstream):
    up, port = make_upstream(replying()), free_port()
    start_weir(config.simple_proxy(port, up.port), concurrency=1)
    assert http1.get(port).status == 200
    with http1.Client(port) as client:
        client.send(CHUNKED + b"zz\r\n")
        assert client.read_response("POST").status == 400
        client.expect_closed()
    assert http1.get(port).status == 200
    assert [request.method for request in up.requests] == ["GET", "GET"]


def test_chunks_are_made_anew_and_extensions_dropped(proxy):
    _, received, request = sent_on(proxy, CHUNKED + b"3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nx-t: 1\r\n\r\n")
    assert received == {"host": "a", "transfer-encoding": "chunked"}
    assert request.body == b"abcdefg" and request.trailers == []


def test_trailers_pass_where_they_are_enabled(proxy):
    _, _, request = sent_on(proxy, CHUNKED + b"3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n", "trailers")
    assert request.body == b"abc" and request.trailers == [("x-t", "1")]


def test_underscores_are_dropped_where_configured(proxy):
    _, received, _ = sent_on(proxy, b"GET / HTTP/1.1\r\nHost: a\r\nx_y: 1\r\nx-y: 2\r\n\r\n", "drop_underscores")
    assert received == {"host": "a", "x-y": "2"}


def test_expect_is_answered_at_once(proxy):
    with http1.Client(proxy.ports["plain"]) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.read_response(skip_informational=False).start == "HTTP/1.1 100 Continue"
        client.send(b"abc")
        assert client.read_response().status == 200
    assert proxy.upstream.requests[-1].get("expect") is None


def test_http_10(proxy):
    port = proxy.ports["http10"]
    with http1.Client(port) as client:
        client.send(b"GET /x HTTP/1.0\r\n\r\n")
        response = client.read_response()
        assert (response.start, response.body, response.get("connection")) == ("HTTP/1.0 200 OK", b"ok", "close")
        client.expect_closed()
    assert proxy.upstream.requests[-1].start == "GET /x HTTP/1.1"
    assert proxy.upstream.requests[-1].get("host") == "default.test"
    with http1.Client(port) as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert client.read_response().get("connection") == "keep-alive"


def test_half_closed_client_is_answered(proxy):
    with http1.Client(proxy.ports["plain"]) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.shutdown(1)
        response = client.read_response()
        assert (response.status, response.body) == (200, b"ok")
        client.expect_closed()
