"""Upstreams that speak HTTP/1 badly or break off: what the client gets, what the access log says, which connections are kept."""

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import Upstream
from support.wait import wait_until
from support.weir import running_weir

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

PREFIX = b"upstream connect error or disconnect/reset before headers. reset reason: "
HEAD = b"HTTP/1.1 200 OK\r\n"
SPOKEN = {
    "garbage": b"garbage\r\n\r\n",
    "length_and_chunked": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two_lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "many_headers": HEAD + b"".join(b"x-%d: y\r\n" % i for i in range(101)) + b"\r\n",
    "nul": HEAD + b"x: a\0b\r\nContent-Length: 0\r\n\r\n",
    "version": b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status_99": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status_1000": b"HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "bare_lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "chunked_204": b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "large_head": HEAD + b"x: " + b"a" * 82000 + b"\r\nContent-Length: 0\r\n\r\n",
}
CUT = {
    "length": (HEAD + b"Content-Length: 100\r\n\r\n0123456789", b"0123456789"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n", b"a\r\n0123456789\r\n"),
    "bad_chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nzz\r\n", b"a\r\n0123456789\r\n"),
}


def handler(request, connection):
    what = request.target.strip("/")
    if what.startswith("early"):
        connection.reply(413, body=b"big")
        connection.keep = False
        return
    connection.read_body(request)
    if what in SPOKEN:
        connection.send(SPOKEN[what])
    elif what in CUT:
        connection.send(CUT[what][0])
        connection.keep = what == "bad_chunk"
    elif what == "half_head":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        connection.keep = False
    elif what == "nothing":
        connection.keep = False
    elif what == "reset":
        connection.reset()
        connection.keep = False
    elif what == "close":
        connection.reply(body=b"ok", close=True)
    elif what == "more":
        connection.send(HEAD + b"Content-Length: 2\r\n\r\nokmore")
    elif what == "informational":
        connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        connection.reply(body=b"ok")
    elif what == "length_204":
        connection.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
    elif what == "hops":
        connection.reply(headers=[("Connection", "keep-alive, x-hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Proxy-Connection", "x"),
                                  ("Upgrade", "h2"), ("X-Dup", "1"), ("X-Dup", "2"), ("TE", "trailers")], reason="Fine")
    else:
        connection.reply(body=b"ok")


class Proxy:
    def __init__(self, workdir, upstream):
        self.upstream, self.port, self.log = upstream, free_port(), workdir / "access.log"
        log = config.file_access_log(self.log, "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
        hosts = [config.virtual_host(config.route("upstream"))]
        self.bootstrap = config.bootstrap([config.listener(self.port, config.hcm(hosts, access_log=[log]))],
                                          [config.cluster("upstream", upstream.port)])

    def logged(self, path):
        def line():
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            return next((text for text in lines if text.startswith(path + " ")), None)
        return wait_until(line, f"access log line of {path}")[len(path) + 1:]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("faults")
    with Upstream(handler) as upstream:
        made = Proxy(workdir, upstream)
        with running_weir(made.bootstrap, workdir, args=("--file-flush-interval-msec", "10"), concurrency=1):
            yield made


@pytest.mark.parametrize("what", [*SPOKEN, "half_head"])
def test_malformed_response_is_502(proxy, what):
    with http1.Client(proxy.port) as client:
        response = client.request("GET", f"/{what}")
        assert (response.status, response.body) == (502, PREFIX + b"protocol error")
        assert response.get("connection") is None
        assert client.request("GET", "/next").body == b"ok"
    assert proxy.logged(f"/{what}") == "502 UPE upstream_reset_before_response_started{protocol_error}"


@pytest.mark.parametrize("what", ["nothing", "reset"])
def test_no_response_is_503(proxy, what):
    response = http1.get(proxy.port, f"/{what}")
    assert (response.status, response.body) == (503, PREFIX + b"connection termination")
    assert proxy.logged(f"/{what}") == "503 UC upstream_reset_before_response_started{connection_termination}"


@pytest.mark.parametrize("what", CUT)
def test_broken_off_body_is_passed_and_the_connection_closed(proxy, what):
    with http1.Client(proxy.port) as client:
        client.send_request("GET", f"/{what}")
        assert client.read_response_head().status == 200
        assert client.read_to_end() == CUT[what][1]
    assert proxy.logged(f"/{what}") == "200 UPE upstream_reset_after_response_started{protocol_error}"


def test_connection_close_of_the_upstream_is_not_passed_on(proxy):
    with http1.Client(proxy.port) as client:
        response = client.request("GET", "/close")
        assert (response.body, response.get("connection")) == (b"ok", None)
        assert client.request("GET", "/").body == b"ok"


def test_bytes_after_the_response_cost_the_connection(proxy):
    with http1.Client(proxy.port) as client:
        assert client.request("GET", "/more").body == b"ok"
        before = len(proxy.upstream.connections)
        assert client.request("GET", "/").body == b"ok"
        assert len(proxy.upstream.connections) == before + 1


def test_informational_responses_are_swallowed(proxy):
    with http1.Client(proxy.port) as client:
        client.send_request("GET", "/informational")
        assert client.read_response(skip_informational=False).body == b"ok"


def test_length_of_a_204_is_removed(proxy):
    response = http1.get(proxy.port, "/length_204")
    assert (response.status, response.get("content-length")) == (204, None)


def test_hop_by_hop_headers_are_removed(proxy):
    response = http1.get(proxy.port, "/hops")
    assert response.reason == "OK"
    names = [name for name, _ in response.headers]
    assert names == ["x-hop", "x-dup", "x-dup", "te", "content-length", "x-envoy-upstream-service-time", "date", "server"]


def test_answer_before_the_request_ended(proxy):
    with http1.Client(proxy.port) as client:
        client.send(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nsome")
        response = client.read_response()
        assert (response.status, response.body, response.get("connection")) == (413, b"big", "close")
        client.expect_closed()
    assert proxy.logged("/early") == "413 - via_upstream"
