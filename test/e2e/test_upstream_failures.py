"""Upstreams that fail, time out or are tried again: what the client, the access log and the counters say."""

import time

import h2.errors
import pytest

from support import config, h2peer, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

LOG_FORMAT = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"
UCE = b"upstream connect error or disconnect/reset before headers. reset reason: "
UCER = b"upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
REFUSED = "delayed_connect_error:_Connection_refused"
BEFORE, AFTER = "upstream_reset_before_response_started", "upstream_reset_after_response_started"


class Proxy:
    def __init__(self, weir, port, log):
        self.weir, self.port, self.log = weir, port, log

    def log_line(self, count=1):
        def lines():
            found = self.log.read_text().splitlines() if self.log.exists() else []
            return found if len(found) >= count else None
        return wait_until(lines, "the access log's line")[count - 1]

    def moved(self, *names):
        """The values of counters of the cluster, by name."""
        return {name: self.weir.stat(f"cluster.up.{name}") for name in names}


@pytest.fixture
def proxy(start_weir, tmp_path):
    """proxy(upstream port, http2 upstream?, cluster={}, vhost={}, hcm={}, **route action) -> Proxy."""
    def start(upstream_port, http2=False, cluster=None, vhost=None, hcm=None, **action):
        port = free_port()
        log = tmp_path / "access.log"
        manager = config.hcm([config.virtual_host(config.route("up", **action), **(vhost or {}))],
                             access_log=[config.file_access_log(log, LOG_FORMAT)], **(hcm or {}))
        weir = start_weir(config.bootstrap([config.listener(port, manager)],
                                           [config.cluster("up", upstream_port, http2=http2, **(cluster or {}))]),
                          args=("--file-flush-interval-msec", "20"))
        return Proxy(weir, port, log)
    return start


def get_h1(port, headers=()):
    response = http1.get(port, "/p", headers)
    return response.status, response.body


def get_h2(port, headers=()):
    with h2peer.Client(port) as client:
        stream = client.request("GET", "/p", headers)
        return stream.status, stream.body


GET = pytest.mark.parametrize("get", [get_h1, get_h2], ids=["down1", "down2"])


def grpc_reply(port):
    """(grpc-status, grpc-message) of a trailers-only answer."""
    with h2peer.Client(port) as client:
        stream = client.request("POST", "/p", {"content-type": "application/grpc"}, body=b"")
        assert (stream.status, stream.body) == (200, b"")
        return stream.get("grpc-status"), stream.get("grpc-message")


# Before the response


@GET
def test_refused(proxy, get):
    p = proxy(free_port())
    assert get(p.port) == (503, UCE + b"remote connection failure")
    assert p.log_line() == f"503 UF {BEFORE}{{remote_connection_failure|{REFUSED}}} {REFUSED}"
    assert p.moved("upstream_cx_connect_fail", "upstream_rq_pending_failure_eject", "upstream_rq_503", "external.upstream_rq_503",
                   "upstream_rq_completed", "upstream_cx_destroy") == {
        "upstream_cx_connect_fail": 1, "upstream_rq_pending_failure_eject": 1, "upstream_rq_503": 1,
        "external.upstream_rq_503": 1, "upstream_rq_completed": 1, "upstream_cx_destroy": 1}


def test_refused_grpc(proxy):
    p = proxy(free_port())
    assert grpc_reply(p.port) == ("14", (UCE + b"remote connection failure").decode())


def cut_early(request, connection):
    connection.close()


def cut_in_head(request, connection):
    connection.send(b"HTTP/1.1 200 OK\r\nx-a")
    connection.close()


def raw(data):
    def handler(request, connection):
        connection.send(data)
    return handler


@GET
@pytest.mark.parametrize("handler, status, reason, flag", [
    (cut_early, 503, "connection termination", "UC"),
    (cut_in_head, 502, "protocol error", "UPE"),
    (raw(b"garbage\r\n\r\n"), 502, "protocol error", "UPE"),
    (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), 502, "protocol error", "UPE"),
    (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"), 502, "protocol error", "UPE"),
    (raw(b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"), 502, "protocol error", "UPE"),
], ids=["close", "in the head", "garbage", "length and chunked", "two lengths", "nul"])
def test_broken_http1_answer(proxy, make_upstream, get, handler, status, reason, flag):
    p = proxy(make_upstream(handler).port)
    assert get(p.port) == (status, UCE + reason.encode())
    assert p.log_line() == f"{status} {flag} {BEFORE}{{{reason.replace(' ', '_')}}} -"


@GET
@pytest.mark.parametrize("code, status, reason, flag", [
    (2, 503, "remote reset", "UR"),
    (8, 503, "remote reset", "UR"),
    (0, 503, "remote reset", "UR"),
    (7, 503, "remote refused stream reset", "UR"),
    (1, 502, "protocol error", "UPE"),
])
def test_http2_reset_before_the_response(proxy, make_h2_upstream, get, code, status, reason, flag):
    p = proxy(make_h2_upstream(lambda stream: stream.reset(code)).port, True)
    assert get(p.port) == (status, UCE + reason.encode())
    assert p.log_line() == f"{status} {flag} {BEFORE}{{{reason.replace(' ', '_')}}} -"


def test_http2_connection_ends_before_the_response(proxy, make_h2_upstream):
    p = proxy(make_h2_upstream(lambda stream: stream.peer.sock.shutdown(2)).port, True)
    assert get_h1(p.port) == (503, UCE + b"connection termination")
    assert p.log_line() == f"503 UC {BEFORE}{{connection_termination}} -"


def test_no_endpoint(proxy):
    p = proxy(1, cluster={"load_assignment": {"cluster_name": "up"}})
    assert get_h1(p.port) == (503, b"no healthy upstream")
    assert p.log_line() == "503 UH no_healthy_upstream -"
    assert grpc_reply(p.port) == ("14", "no healthy upstream")
    assert p.moved("upstream_rq_503", "upstream_cx_none_healthy") == {"upstream_rq_503": 2, "upstream_cx_none_healthy": 2}


def test_max_pending_requests(proxy):
    p = proxy(free_port(), cluster={"circuit_breakers": {"thresholds": [{"max_pending_requests": 0}]}})
    response = http1.get(p.port)
    assert (response.status, response.body) == (503, UCE + b"overflow")
    assert response.get("x-envoy-overloaded") == "true"
    assert p.log_line() == f"503 UO {BEFORE}{{overflow}} -"
    assert p.moved("upstream_rq_pending_overflow") == {"upstream_rq_pending_overflow": 1}


# Within the response


def part(request, connection):
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789")
    connection.close()


def bad_chunk(request, connection):
    connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\nzz\r\n")


@pytest.mark.parametrize("handler", [part, bad_chunk])
def test_http1_answer_breaks_off(proxy, make_upstream, handler):
    p = proxy(make_upstream(handler).port)
    with http1.Client(p.port) as client:
        client.send_request("GET", "/")
        assert client.read_response_head().status == 200
        assert b"0123456789" in client.read_to_end()
    assert p.log_line() == f"200 UPE {AFTER}{{protocol_error}} -"


def test_http1_answer_breaks_off_to_http2(proxy, make_upstream):
    p = proxy(make_upstream(part).port)
    with h2peer.Client(p.port) as client:
        stream = client.open()
        stream.wait_headers()
        assert stream.read() == b"0123456789"
        assert stream.wait_reset() == h2.errors.ErrorCodes.INTERNAL_ERROR


def test_http2_answer_breaks_off(proxy, make_h2_upstream):
    def handler(stream):
        stream.send_headers([(":status", "200")])
        stream.send(b"0123456789")
        stream.reset(2)

    p = proxy(make_h2_upstream(handler).port, True)
    with http1.Client(p.port) as client:
        client.send_request("GET", "/")
        assert client.read_response_head().status == 200
        assert client.read_to_end() in (b"a\r\n0123456789\r\n", b"")
    assert p.log_line() == f"200 UR {AFTER}{{remote_reset}} -"


# Times


def never(request, connection):
    connection.read_body(request)
    connection.fill()
    connection.keep = False


@GET
def test_route_timeout(proxy, make_upstream, get):
    p = proxy(make_upstream(never).port, timeout="0.3s")
    assert get(p.port) == (504, b"upstream request timeout")
    assert p.log_line() == "504 UT response_timeout -"
    assert p.moved("upstream_rq_timeout", "upstream_rq_504", "upstream_cx_destroy_local_with_active_rq") == {
        "upstream_rq_timeout": 1, "upstream_rq_504": 1, "upstream_cx_destroy_local_with_active_rq": 1}


def test_route_timeout_grpc(proxy, make_upstream):
    p = proxy(make_upstream(never).port, timeout="0.3s")
    assert grpc_reply(p.port) == ("14", "upstream request timeout")


def slow_body(request, connection):
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789")
    never(request, connection)


def test_route_timeout_within_the_body(proxy, make_upstream):
    p = proxy(make_upstream(slow_body).port, timeout="0.3s")
    with http1.Client(p.port) as client:
        client.send_request("GET", "/")
        assert client.read_response_head().status == 200
        assert client.read_to_end() == b"0123456789"
    assert p.log_line() == "200 UT response_timeout -"


def test_per_try_timeout(proxy, make_upstream):
    upstream = make_upstream(never)
    p = proxy(upstream.port, retry_policy={"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.3s"})
    assert get_h1(p.port) == (504, b"upstream request timeout")
    assert p.log_line() == "504 URX,UT upstream_per_try_timeout -"
    assert len(upstream.requests) == 2
    assert p.moved("upstream_rq_per_try_timeout", "upstream_rq_retry", "upstream_rq_retry_limit_exceeded", "upstream_rq_504") == {
        "upstream_rq_per_try_timeout": 2, "upstream_rq_retry": 1, "upstream_rq_retry_limit_exceeded": 1, "upstream_rq_504": 1}


def test_per_try_idle_timeout_within_the_body(proxy, make_upstream):
    p = proxy(make_upstream(slow_body).port, retry_policy={"retry_on": "5xx", "num_retries": 0, "per_try_idle_timeout": "0.3s"})
    with http1.Client(p.port) as client:
        client.send_request("GET", "/")
        assert client.read_response_head().status == 200
        assert client.read_to_end() == b"0123456789"
    assert p.log_line() == "200 UT upstream_per_try_idle_timeout -"


def test_max_stream_duration_of_the_cluster(proxy, make_upstream):
    p = proxy(make_upstream(never).port, cluster={"typed_extension_protocol_options": config.protocol_options(
        common_http_protocol_options={"max_stream_duration": "0.3s"}, explicit_http_config={"http_protocol_options": {}})})
    assert get_h1(p.port) == (504, b"upstream max stream duration reached")
    assert p.log_line() == "504 UMSDR upstream_max_stream_duration_reached -"
    assert p.moved("upstream_rq_max_duration_reached") == {"upstream_rq_max_duration_reached": 1}


def test_idle_timeout_of_the_route(proxy, make_upstream):
    p = proxy(make_upstream(never).port, idle_timeout="0.3s")
    assert get_h1(p.port) == (504, b"stream timeout")
    assert p.log_line() == "504 SI stream_idle_timeout -"


# Retries


def failing_first(count, status=503):
    """Refuses so many requests, then answers with the body it got."""
    seen = []

    def handler(request, connection):
        body = connection.read_body(request)
        seen.append(body)
        if len(seen) <= count:
            connection.reply(status, body=b"down", reason="Down")
        else:
            connection.reply(body=body or b"up")
    handler.seen = seen
    return handler


def test_retry_that_succeeds(proxy, make_upstream):
    handler = failing_first(2)
    upstream = make_upstream(handler)
    p = proxy(upstream.port, vhost={"include_request_attempt_count": True, "include_attempt_count_in_response": True},
              retry_policy={"retry_on": "5xx", "num_retries": 2})
    with http1.Client(p.port) as client:
        response = client.request("POST", "/", body=b"x" * 50_000)
    assert (response.status, response.body) == (200, b"x" * 50_000)
    assert response.get("x-envoy-attempt-count") == "3"
    assert handler.seen == [b"x" * 50_000] * 3
    assert [request.get("x-envoy-attempt-count") for request in upstream.requests] == ["1", "2", "3"]
    assert p.log_line() == "200 - via_upstream -"
    assert p.moved("upstream_rq_retry", "upstream_rq_retry_success", "retry.upstream_rq_503", "upstream_rq_200",
                   "upstream_rq_completed", "upstream_rq_total") == {
        "upstream_rq_retry": 2, "upstream_rq_retry_success": 1, "retry.upstream_rq_503": 2, "upstream_rq_200": 1,
        "upstream_rq_completed": 1, "upstream_rq_total": 3}


def test_retries_exhausted_by_answers(proxy, make_upstream):
    p = proxy(make_upstream(failing_first(9)).port, retry_policy={"retry_on": "5xx", "num_retries": 2})
    assert get_h1(p.port) == (503, b"down")
    assert p.log_line() == "503 URX via_upstream -"


def test_retries_exhausted_by_resets(proxy, make_upstream):
    p = proxy(make_upstream(cut_early).port, retry_policy={"retry_on": "5xx", "num_retries": 2})
    assert get_h1(p.port) == (503, UCER + b"connection termination")
    assert p.log_line() == f"503 URX,UC {BEFORE}{{connection_termination}} -"


def test_retries_exhausted_by_refusals(proxy):
    p = proxy(free_port(), retry_policy={"retry_on": "connect-failure", "num_retries": 2})
    assert get_h1(p.port) == (503, UCER + b"remote connection failure")
    assert p.moved("upstream_cx_connect_fail", "upstream_rq_retry") == {"upstream_cx_connect_fail": 3, "upstream_rq_retry": 2}


def test_retry_goes_to_another_host(proxy, make_upstream):
    up = make_upstream()
    p = proxy(1, cluster={"load_assignment": config.load_assignment("up", free_port(), up.port)},
              retry_policy={"retry_on": "connect-failure", "num_retries": 1, "host_selection_retry_max_attempts": 5,
                            "retry_host_predicate": [{"name": "p", "typed_config": config.typed(
                                config.PREFIX + "retry.host.previous_hosts.v3.PreviousHostsPredicate")}]})
    for _ in range(6):
        assert get_h1(p.port)[0] == 200


def test_grpc_status_is_tried_again(proxy, make_h2_upstream):
    calls = []

    def handler(stream):
        calls.append(stream.read_all())
        stream.send_headers([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14"),
                             ("grpc-message", "un")], end=True)

    p = proxy(make_h2_upstream(handler).port, True, retry_policy={"retry_on": "unavailable", "num_retries": 1})
    assert grpc_reply(p.port) == ("14", "un")
    assert len(calls) == 2
    assert p.log_line() == "200 URX via_upstream -"


def test_body_beyond_the_buffer_is_not_tried_again(proxy, make_upstream):
    p = proxy(make_upstream(failing_first(1)).port, vhost={"request_body_buffer_limit": 1000},
              retry_policy={"retry_on": "5xx", "num_retries": 2})
    with http1.Client(p.port) as client:
        response = client.request("POST", "/", body=b"x" * 5000)
    assert (response.status, response.body) == (503, b"down")
    assert p.log_line() == "503 - via_upstream -"
    assert p.moved("retry_or_shadow_abandoned") == {"retry_or_shadow_abandoned": 1}


def test_no_room_for_retries(proxy, make_upstream):
    p = proxy(make_upstream(failing_first(1)).port, cluster={"circuit_breakers": {"thresholds": [{"max_retries": 0}]}},
              retry_policy={"retry_on": "5xx", "num_retries": 2})
    assert get_h1(p.port) == (503, b"down")
    assert p.log_line() == "503 UO via_upstream -"


def test_headers_of_internal_requests_ask_for_retries_and_timeouts(proxy, make_upstream):
    upstream = make_upstream(failing_first(2))
    internal = {"use_remote_address": True,
                "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}}
    p = proxy(upstream.port, hcm=internal)
    assert get_h1(p.port, {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "2"}) == (200, b"up")
    assert all(request.get("x-envoy-retry-on") is None and request.get("x-envoy-max-retries") is None
               for request in upstream.requests)
    upstream.handler = never
    begun = time.monotonic()
    assert get_h1(p.port, {"x-envoy-upstream-rq-timeout-ms": "200"}) == (504, b"upstream request timeout")
    assert time.monotonic() - begun < 10
    assert upstream.requests[-1].get("x-envoy-expected-rq-timeout-ms") == "200"
    assert upstream.requests[-1].get("x-envoy-upstream-rq-timeout-ms") is None
    alternative = {"x-envoy-upstream-rq-timeout-ms": "200", "x-envoy-upstream-rq-timeout-alt-response": "1"}
    assert get_h1(p.port, alternative) == (204, b"")


def test_headers_of_others_ask_in_vain(proxy, make_upstream):
    upstream = make_upstream(failing_first(1))
    p = proxy(upstream.port)
    assert get_h1(p.port, {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "2"}) == (503, b"down")
    assert p.log_line() == "503 - via_upstream -"


# Outlier detection


def test_a_failing_host_leaves_the_balance_and_returns(proxy, make_upstream):
    good = make_upstream()
    bad = make_upstream(failing_first(3))
    p = proxy(1, cluster={"load_assignment": config.load_assignment("up", good.port, bad.port),
                          "outlier_detection": {"consecutive_5xx": 3, "interval": "0.2s", "base_ejection_time": "0.4s",
                                                "max_ejection_percent": 50}})
    wait_until(lambda: get_h1(p.port)[0] and len(bad.requests) == 3, "three requests at the bad host")
    p.weir.wait_stat("cluster.up.outlier_detection.ejections_active", 1)
    before = len(bad.requests)
    p.weir.wait_stat("cluster.up.outlier_detection.ejections_active", 0)
    assert len(bad.requests) == before

    def returned():
        assert get_h1(p.port)[0] == 200
        return len(bad.requests) > before
    wait_until(returned, "requests at the host that came back")
