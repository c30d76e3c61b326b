"""weir against the real Envoy: the same bootstrap, requests and upstreams must give the same answer, close, log line and stats."""

import pytest

from support import config, h2peer, http1, parity, process, upstream
from support.parity import (CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Differs,
                            frame, frames, h1, h2, raw, request, u32)
from support.ports import free_port
from support.weir import Weir

pytestmark = pytest.mark.peers

LOG = ("%REQ(:METHOD)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% "
       "route=%ROUTE_NAME% cluster=%UPSTREAM_CLUSTER% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% "
       "tf=%UPSTREAM_TRANSPORT_FAILURE_REASON% term=%CONNECTION_TERMINATION_DETAILS% xff=%REQ(X-FORWARDED-FOR)% "
       "path=%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%\n")
LISTENERS = ("edge", "inner", "filters")
FILTERS = config.PREFIX + "filters.http."


def added(name, value, action="APPEND_IF_EXISTS_OR_ADD"):
    return {"header": {"key": name, "value": value}, "append_action": action}


def named(route, name=None, **fields):
    return {"name": name or route["match"].get("prefix", "r").strip("/"), **route, **fields}


def redirect(prefix, **action):
    return named({"match": {"prefix": prefix}, "redirect": action})


def to(prefix, cluster="up", fields=None, **action):
    return named(config.route(cluster, prefix, **action), **(fields or {}))


def regex(pattern, substitution):
    return {"pattern": {"regex": pattern}, "substitution": substitution}


def routes():
    retry = {"retry_on": "5xx,reset", "num_retries": 2, "retry_back_off": {"base_interval": "0.005s"}}
    direct = config.direct_response
    websocket = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    return [
        named(direct(418, "teapot", "/d418")), named(direct(200, None, "/d200")), named(direct(204, None, "/d204")),
        named(direct(503, None, "/d503")),
        named(direct(200, "{}", "/dtype"), response_headers_to_add=[added("content-type", "application/json", "OVERWRITE_IF_EXISTS_OR_ADD")]),
        redirect("/rhost", host_redirect="other.test"), redirect("/rhttps", https_redirect=True),
        redirect("/rscheme", scheme_redirect="HTTPS", port_redirect=8443), redirect("/rport", port_redirect=8080),
        redirect("/rpath", path_redirect="/new", response_code="FOUND"), redirect("/rquery", path_redirect="/new?z=1"),
        redirect("/rstrip", path_redirect="/new", strip_query=True, response_code="SEE_OTHER"),
        redirect("/rprefix/", prefix_rewrite="/p2/", response_code="TEMPORARY_REDIRECT"),
        redirect("/rregex", regex_rewrite=regex("/rregex/(.*)", "/x/\\1"), response_code="PERMANENT_REDIRECT"),
        named({"match": {"prefix": "/nonforward"}, "non_forwarding_action": {}}),
        named({"match": {"prefix": "/byheader"}, "route": {"cluster_header": "x-cluster"}}),
        to("/missing", "no-such"), to("/absent404", "no-such", cluster_not_found_response_code="NOT_FOUND"),
        to("/refused", "refused"), to("/empty", "empty"), to("/h2/", "up2"),
        to("/timeout", timeout="0.2s"), to("/idle", timeout="0s", idle_timeout="0.2s"),
        to("/pertry", retry_policy={**retry, "num_retries": 1, "per_try_timeout": "0.2s"}),
        to("/retry", retry_policy=retry), to("/connectretry", "refused", retry_policy={**retry, "retry_on": "connect-failure"}),
        to("/prefix/", prefix_rewrite="/new/"), to("/regex", regex_rewrite=regex("^/regex/(.*)$", "/\\1/x")),
        to("/host", host_rewrite_literal="literal.test", append_x_forwarded_host=True),
        to("/byhostheader", host_rewrite_header="x-host"), to("/byhostpath", host_rewrite_path_regex=regex("^/byhostpath/(.+)$", "\\1")),
        to("/ws", **websocket),
        to("/headers", fields={
            "request_headers_to_add": [added("x-add", "route"), added("x-old", "%REQ(x-old)%-%PROTOCOL%", "OVERWRITE_IF_EXISTS"),
                                       added("x-if-absent", "r", "ADD_IF_ABSENT")],
            "request_headers_to_remove": ["x-gone"], "response_headers_to_remove": ["x-up"],
            "response_headers_to_add": [added("x-res", "route"), added("x-code", "%RESPONSE_CODE%")]}),
        *[named({"match": {"prefix": f"/weighted{value}"}, "route": {"weighted_clusters": {
            "runtime_key_prefix": f"weights{value}",
            "clusters": [{"name": "up", "weight": 50}, {"name": "refused", "weight": 50}]}}}) for value in (0, 100)],
        to("/up"),
    ]


def virtual_hosts():
    connect = named({"match": {"connect_matcher": {}}, "route": {"cluster": "tunnel", "upgrade_configs": [
        {"upgrade_type": "CONNECT", "connect_config": {}}]}}, "connect")
    return [config.virtual_host(*routes(), name="a", domains=["a.test", "a.test:8080"], include_request_attempt_count=True,
                                request_headers_to_add=[added("x-add", "vhost")], response_headers_to_add=[added("x-res", "vhost")]),
            config.virtual_host(connect, name="c", domains=["c.test:443"]),
            config.virtual_host(config.direct_response(200), name="tls", domains=["tls.test"], require_tls="ALL")]


def http_filter(name, message, **fields):
    return {"name": name, "typed_config": config.typed(FILTERS + message, **fields)}


def filter_routes():
    cors = {"allow_origin_string_match": [{"exact": "http://o.test"}], "allow_methods": "GET,PUT", "allow_headers": "x-a",
            "max_age": "60", "expose_headers": "x-e", "allow_credentials": True}
    limit = {"stat_prefix": "limit", "token_bucket": {"max_tokens": 1, "fill_interval": "3600s"},
             "filter_enabled": {"default_value": {"numerator": 100}}, "filter_enforced": {"default_value": {"numerator": 100}}}
    return [to("/cors", fields={"typed_per_filter_config": {"cors": config.typed(FILTERS + "cors.v3.CorsPolicy", **cors)}}),
            to("/limit", fields={"typed_per_filter_config": {
                "limit": config.typed(FILTERS + "local_ratelimit.v3.LocalRateLimit", **limit)}}),
            to("/")]


def http_filters():
    return [http_filter("cors", "cors.v3.Cors"),
            http_filter("limit", "local_ratelimit.v3.LocalRateLimit", stat_prefix="limit"),
            http_filter("health", "health_check.v3.HealthCheck", pass_through_mode=False,
                        headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}]),
            http_filter("buffer", "buffer.v3.Buffer", max_request_bytes=100),
            http_filter("mutate", "header_mutation.v3.HeaderMutation", mutations={
                "request_mutations": [{"append": added("x-mutated", "yes")}, {"remove": "x-gone"}],
                "response_mutations": [{"append": added("x-answer", "yes")}]})]


def manager(name, hosts, ports, log_path, filters=(), **fields):
    log = config.file_access_log(log_path, LOG)
    probe = config.virtual_host(config.direct_response(204), name="probe", domains=["probe.test"])
    return config.listener(ports[name], config.hcm(
        None, filters, route_config=config.route_config(*hosts, probe, validate_clusters=False), stat_prefix=name, access_log=[log],
        delayed_close_timeout="0.05s",
        upgrade_configs=[{"upgrade_type": "CONNECT"}], **fields), name=name)


def bootstrap(up, up2, tunnel, refused):
    def make(ports, log_path):
        inner = [config.virtual_host(to("/"), request_headers_to_add=[added("x-level", "vhost")])]
        return config.bootstrap(
            [manager("edge", virtual_hosts(), ports, log_path, use_remote_address=True, normalize_path=True, merge_slashes=True),
             manager("inner", inner, ports, log_path, use_remote_address=False, path_with_escaped_slashes_action="REJECT_REQUEST",
                     http2_protocol_options={"max_concurrent_streams": 2}),
             manager("filters", [config.virtual_host(*filter_routes())], ports, log_path, http_filters())],
            [config.cluster("up", up), config.cluster("up2", up2, http2=True), config.cluster("tunnel", tunnel),
             config.cluster("refused", refused), config.cluster("empty")],
            layered_runtime={"layers": [{"name": "static", "static_layer": {
                "weights0.up": 0, "weights0.refused": 100, "weights100.up": 100, "weights100.refused": 0}}]})
    return make


def behave(request, connection):
    """What x-behave asks for; otherwise the request as it came is the body."""
    asked, attempt = request.get("x-behave", ""), int(request.get("x-envoy-attempt-count", 1))
    if asked == "continue":
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.get("upgrade") and asked != "refuse":
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n")
        connection.send(connection.read_exactly(4))
        connection.keep = False
        return
    body = connection.read_body(request)
    if asked in ("fin", "rst"):
        connection.keep = False
        return connection.reset() if asked == "rst" else None
    if asked in RAW:
        connection.send(RAW[asked])
        connection.keep = asked == "trailers"
    elif asked == "silent":
        connection.fill()
        connection.keep = False
    elif asked == "always503" or asked == "first503" and attempt == 1:
        connection.reply(503, body=b"down", reason="Service Unavailable")
    elif asked == "chunked":
        connection.send(b"HTTP/1.1 200 OK\r\nx-up: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    elif request.method == "HEAD":
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    else:
        lines = sorted(f"{name}: {value}" for name, value in request.headers)
        connection.reply(headers={"x-up": "1"}, body="\n".join([request.start, *lines, ""]).encode() + body)


RAW = {
    "garbage": b"this is not HTTP\r\n\r\n",
    "halfbody": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789",
    "halfhead": b"HTTP/1.1 200 OK\r\ncontent-le",
    "badchunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\nzz\r\n",
    "untilclose": b"HTTP/1.1 200 OK\r\n\r\n0123456789",
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: t\r\n\r\n",
}


def behave_h2(stream):
    """What x-behave asks for over HTTP/2: the status and fields of a head, what comes after it."""
    status, fields, body, trailers, reset = BEHAVE_H2.get(stream.get("x-behave"), (None,) * 5)
    if status is None:
        return h2peer.echo(stream)
    cut = stream.get("x-behave").startswith("cut")
    stream.read_all()
    if status == 103:
        stream.send_headers([(":status", "103"), ("link", "x")])
        status = 200
    with stream.peer.changed:  # all in one write
        connection = stream.peer.connection
        if status:
            connection.send_headers(stream.id, [(":status", str(status)), *fields], end_stream=body is None)
        if body is not None:
            connection.send_data(stream.id, body, end_stream=not trailers and not cut)
        if trailers:
            connection.send_headers(stream.id, trailers, end_stream=True)
        stream.peer.sock.sendall(connection.data_to_send() + (frame(RST_STREAM, 0, stream.id, u32(reset)) if reset is not None else b""))


BEHAVE_H2 = {
    "trailers": (200, [], b"ok", [("x-t", "1")], None), "hints": (103, [], b"ok", None, None), "204": (204, [], None, None, None),
    "204 length": (204, [("content-length", "0")], None, None, None), "304 length": (304, [("content-length", "5")], None, None, None),
    "304 body": (304, [("content-length", "5")], b"12345", None, None), "length alone": (200, [("content-length", "5")], None, None, None),
    "short": (200, [("content-length", "5")], b"1234", None, None), "long": (200, [("content-length", "5")], b"123456", None, None),
    "connection": (200, [("connection", "close")], b"ok", None, None), "no status": (0, [], b"ok", None, None),
    "trailers then reset": (200, [], b"ok", [("x-t", "1")], 0),
    **{f"reset {code}": (0, [], None, None, code) for code in (0, 1, 2, 7, 8)}, **{f"cut {code}": (200, [], b"part", None, code) for code in (0, 2, 8)},
}


def tunnelled(request, connection):
    """What comes through a CONNECT tunnel is the client's own bytes: here again a request."""
    connection.reply(400)


ORIGIN = "origin: http://o.test"


def held(*pieces, **fields):
    """The pieces behind the head of a request on stream 1, which waits for the five bytes of its body in the buffer filter."""
    return frames(request(1, ("content-length", "5"), path="/up", method="POST", end=False), *pieces, listener="filters", **fields)


GRPC_PATHS = ("/d418", "/d200", "/d503", "/rhost", "/none", "/missing", "/absent404", "/refused", "/empty", "/up")
REDIRECTS = ("/rhost/x?q=1", "/rhttps/x?q=1", "/rscheme/x", "/rport/x", "/rpath?q=1", "/rquery?q=1", "/rstrip?q=1", "/rprefix/x?q=1",
             "/rregex/x?q=1")
CASES = {
    **{f"direct {path} {method}": h1(path, method=method)
       for path in ("/d418", "/d200", "/d204", "/d503", "/dtype") for method in ("GET", "HEAD")},
    **{f"redirect {path}": h1(path) for path in REDIRECTS}, **{f"redirect h2 {path}": h2(path) for path in REDIRECTS[:2]},
    "redirect host with port": h1("/rhttps/x", host="a.test:8080"), "require_tls": h1("/a?x=1", host="tls.test"),
    **{f"grpc h2 {path}": h2(path, grpc=True) for path in GRPC_PATHS},
    "no route": h1("/none"), "no route HEAD": h1("/none", method="HEAD"), "no route h2": h2("/none"),
    "no route with body": h1("/none", method="POST", body=b"abc"), "no virtual host": h1("/", host="z.test"),
    "non-forwarding": h1("/nonforward"), "cluster header absent": h1("/byheader"), "cluster header": h1("/byheader", "x-cluster: up"),
    "cluster missing": h1("/missing"), "cluster missing 404": h1("/absent404"), "no endpoints": h1("/empty"),
    "refused": h1("/refused"), "refused h2": h2("/refused"), "refused, retried": h1("/connectretry"),
    **{f"upstream {asked}": h1("/up", f"x-behave: {asked}") for asked in ("fin", "rst", *RAW, "chunked", "always503")},
    **{f"upstream {asked} h2": h2("/up", f"x-behave: {asked}") for asked in ("fin", "garbage", "halfbody", "badchunk", "trailers")},
    "route timeout": h1("/timeout", "x-behave: silent"), "route timeout h2": h2("/timeout", "x-behave: silent"),
    "route idle timeout": h1("/idle", "x-behave: silent"), "per-try timeout": h1("/pertry", "x-behave: silent"),
    **{f"retry {asked}": h1("/retry", f"x-behave: {asked}") for asked in ("always503", "fin", "first503")},
    "expect": h1("/up", "expect: 100-continue", method="POST", body=b"abc"),
    "upstream 100": h1("/up", "x-behave: continue", method="POST", body=b"abc"),
    "expect other": h1("/up", "expect: nonsense"), "HEAD": h1("/up", method="HEAD"), "GET h2": h2("/up/x?y=1"),
    "http2 both sides": h2("/h2/x"), "http2 upstream": h1("/h2/x"), "POST h2": h2("/up", method="POST", body=b"abc"),
    "chunked request": raw(b"POST /up HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    "request trailers": raw(b"POST /up HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
    "pipelined": raw(b"GET /d200 HTTP/1.1\r\nhost: a.test\r\n\r\nGET /d418 HTTP/1.1\r\nhost: a.test\r\n\r\n", ("GET", "GET"), logs=2),
    "websocket": h1("/ws", "connection: Upgrade", "upgrade: websocket"),
    "websocket refused by upstream": h1("/ws", "connection: Upgrade", "upgrade: websocket", "x-behave: refuse"),
    "upgrade not allowed": h1("/up", "connection: Upgrade", "upgrade: websocket"),
    "connect not routed": h1("a.test:443", method="CONNECT", host="a.test:443"),
    "connect": h1("c.test:443", method="CONNECT", host="c.test:443"),
    "client x-envoy headers": h1("/up", "x-envoy-internal: true", "x-envoy-upstream-rq-timeout-ms: 1", "x-envoy-max-retries: 3",
                                 "x-envoy-retry-on: 5xx", "x-envoy-expected-rq-timeout-ms: 5", "x-envoy-original-path: /p",
                                 "x-envoy-force-trace: 1", "x-envoy-decorator-operation: o", "x-envoy-ip-tags: t"),
    "hop-by-hop headers": h1("/up", "connection: keep-alive, x-hop", "x-hop: 1", "keep-alive: 1", "te: trailers", "proxy-connection: a"),
    **{f"forwarded {listener} {index}": h1("/up", *lines, listener=listener) for listener in ("edge", "inner")
       for index, lines in enumerate(([], ["x-forwarded-for: 1.2.3.4"], ["x-forwarded-for: 1.2.3.4, 10.0.0.1", "x-forwarded-proto: https"],
                                      ["x-request-id: mine"], ["x-forwarded-proto: nonsense"], ["x-envoy-internal: true"],
                                      ["x-forwarded-host: h", "x-envoy-external-address: 9.9.9.9"]))},
    **{f"path {path}": h1(path) for path in ("/up/../up/./a", "//up//a", "/up/%2e%2e/up/b", "/up/%41", "/up/a%2Fb", "/../../up", "/up/a?b=../c")},
    **{f"path inner {path}": h1(path, listener="inner") for path in ("/up/../a", "//a", "/a%2Fb", "/a%5Cb", "/a#f")},
    "rewrite prefix": h1("/prefix/a?b=c"), "rewrite regex": h1("/regex/a?b=c"), "rewrite host": h1("/host"),
    "rewrite host of header": h1("/byhostheader", "x-host: h.test"), "rewrite host of path": h1("/byhostpath/h.test"),
    "header rules": h1("/headers", "x-old: 1", "x-gone: 1", "x-if-absent: mine"), "header rules h2": h2("/headers", "x-gone: 1"),
    "weighted runtime 0": h1("/weighted0"), "weighted runtime 100": h1("/weighted100"),
    "cors preflight": h1("/cors", ORIGIN, "access-control-request-method: GET", method="OPTIONS", listener="filters"),
    "cors request": h1("/cors", ORIGIN, listener="filters"), "cors other origin": h1("/cors", "origin: http://x.test", listener="filters"),
    "header mutation": h1("/up", "x-gone: 1", listener="filters"), "health check": h1("/healthz", listener="filters"),
    "buffer over": h1("/up", method="POST", body=b"x" * 200, listener="filters"),
    "path //": h1("//"),
    "buffer within": h1("/up", method="POST", body=b"x" * 50, listener="filters"),
    "rate limit": raw(b"GET /limit HTTP/1.1\r\nhost: a.test\r\n\r\n" * 2, ("GET", "GET"), logs=2, listener="filters"),
    "HTTP/1.0": h1("/up", version="1.0"), "no host": h1("/up", host=None), "absolute URI": h1("http://a.test/up"),
    "connection close": h1("/up", "connection: close"), "version 2.0 in text": h1("/up", version="2.0"),
    "no HTTP": raw(b"nonsense\r\n\r\n"), "blank in name": h1("/up", "x y: 1"),
    "blank before colon": h1("/up", "x : 1"), "NUL in value": h1("/up", "x: a\0b"),
    "two lengths": h1("/up", "content-length: 1", "content-length: 2", method="POST"),
    "length and chunked": h1("/up", "content-length: 1", "transfer-encoding: chunked", method="POST"),
    "bad length": h1("/up", "content-length: x", method="POST"), "unknown coding": h1("/up", "transfer-encoding: x", method="POST"),
    "bad chunk": raw(b"POST /up HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    "large header": h1("/up", "x: " + "a" * 70000),
    "h2 upper-case name": frames(request(1, ("X-Up", "1"))), "h2 te: gzip": frames(request(1, ("te", "gzip"))),
    "h2 path without slash": frames(request(1, path="d200")), "h2 length too large": frames(request(1, ("content-length", "5"))),
    "h2 DATA on an idle stream": frames(parity.frame(0, 0, 5, b"x"), logs=0),
    "h2 HEADERS on a stream that is over": frames(request(1), request(1)),
    "h2 HEADERS on a lower stream": frames(request(5), request(3)),
    "h2 stream too many": frames(request(1, method="POST", path="/hold", end=False) + request(3, method="POST", path="/hold", end=False),
                                 request(5), listener="inner", logs=2),
    "h2 client leaves": frames(request(1), request(3, method="POST", path="/up", end=False), logs=2),
    "h2 blanks around a value": h2("/up", "x:   a  "), "h2 blank behind a path": frames(request(1, path="/d200 ")),
    "h2 blank before an authority": frames(parity.head(1, *parity.pseudo(authority=" a.test"))),
    "h2 header block that cannot be unpacked": frames(frame(HEADERS, 5, 1, b"\xff" * 6)),
    "h2 body too long": held(frame(DATA, 1, 1, b"123456")), "h2 body too short": held(frame(DATA, 1, 1, b"1234")),
    "h2 body too short with trailers": held(frame(DATA, 0, 1, b"1234"), parity.head(1, ("x-t", "1"))),
    **{f"h2 trailers with {name}": held(frame(DATA, 0, 1, b"12345"), parity.head(1, (name, value)))
       for name, value in ((":path", "/"), ("connection", "close"), ("te", "gzip"), ("X", "1"))},
    "h2 trailers without an end": held(frame(DATA, 0, 1, b"12345"), parity.head(1, ("x-t", "1"), end=False)),
    **{f"h2 RST_STREAM {code}": held(frame(RST_STREAM, 0, 1, u32(code))) for code in (0, 1, 2, 5, 7, 8, 99)},
    "h2 RST_STREAM too short": held(frame(RST_STREAM, 0, 1, b"12")), "h2 RST_STREAM of an idle stream": frames(frame(RST_STREAM, 0, 1, u32(8)), logs=0),
    "h2 RST_STREAM in the middle of trailers": held(parity.head(1, ("x-t", "1"), flags=0) + frame(RST_STREAM, 0, 1, u32(8))),
    "h2 WINDOW_UPDATE of 0": held(frame(WINDOW_UPDATE, 0, 1, u32(0))), "h2 WINDOW_UPDATE of 0, connection": frames(frame(WINDOW_UPDATE, 0, 0, u32(0)), logs=0),
    "h2 WINDOW_UPDATE too far": held(frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1))),
    "h2 WINDOW_UPDATE too far, connection": frames(frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)), logs=0),
    "h2 SETTINGS with a window too large": frames(frame(SETTINGS, 0, 0, b"\0\4" + u32(2**31)), logs=0),
    "h2 SETTINGS of no whole entries": frames(frame(SETTINGS, 0, 0, b"12345"), logs=0), "h2 SETTINGS on a stream": frames(frame(SETTINGS, 0, 1), logs=0),
    "h2 PING on a stream": frames(frame(PING, 0, 1, bytes(8)), logs=0), "h2 PING too short": frames(frame(PING, 0, 0, bytes(4)), logs=0),
    "h2 PRIORITY of itself": frames(frame(PRIORITY, 0, 3, u32(3) + b"\0"), logs=0), "h2 PUSH_PROMISE": held(frame(PUSH_PROMISE, 4, 1, u32(2))),
    "h2 frame between HEADERS and CONTINUATION": frames(parity.head(1, *parity.pseudo(), flags=0) + frame(PING, 0, 0, bytes(8))),
    **{f"h2 upstream {asked}": h2("/h2/", f"x-behave: {asked}") for asked in BEHAVE_H2},
    **{f"h2 upstream {asked}, HEAD": h2("/h2/", f"x-behave: {asked}", method="HEAD") for asked in ("204", "304 length", "304 body", "length alone", "short")},
    **{f"h2 upstream {asked}, HTTP/1": h1("/h2/", f"x-behave: {asked}") for asked in BEHAVE_H2 if asked != "304 body"},
    **{f"expect {path} HTTP/{version}": h1(path, "expect: 100-continue", method="POST", body=b"abc", version=version)
       for path in ("/up", "/h2/x", "/d200", "/none") for version in ("1.1", "1.0")},
    **{f"expect h2 {path}": h2(path, "expect: 100-continue", method="POST", body=b"abc") for path in ("/up", "/h2/x", "/d200")},
    "expect twice": h1("/up", "expect: 100-continue", "expect: 100-continue", method="POST", body=b"abc"),
    **{f"HTTP/1.0, upstream {asked}": h1("/up", f"x-behave: {asked}", version="1.0") for asked in ("trailers", "chunked", "untilclose", "continue")},
    **{f"HTTP/1.0, h2 upstream {asked}": h1("/h2/", f"x-behave: {asked}", version="1.0") for asked in ("trailers", "hints", "204", "304 length")},
    "HEAD of a chunked answer": h1("/up", "x-behave: chunked", method="HEAD"), "HEAD h2": h2("/up", method="HEAD"),
    **{f"{method} h2 without a body": h2("/up", method=method) for method in ("POST", "DELETE", "OPTIONS")},
    "h2 te: trailers": h2("/up", "te: trailers"), "h2 cookie crumbs": h2("/up", "cookie: a=1", "cookie: b=2"),
    **{f"h2 authority {authority}": frames(parity.head(1, *parity.pseudo(authority=authority)))
       for authority in ("a.test:8080", "a.test:", "a.test:x", "[::1]", "a b", "a/b", "u@a.test", "a\r\nx: y")},
    **{f"h2 path {path!r}": frames(request(1, path=path)) for path in ("/d200 x", "/d200\r\nx: y", "/d200\x7f", "*", "http://a.test/d200", "/up/../d200")},
    "h2 unknown frame": frames(frame(99, 0xff, 7, b"x"), logs=0),
    "h2 flood of empty DATA": held(frame(DATA, 0, 1) * 2), "h2 empty DATA of two streams": held(
        frame(DATA, 0, 1) + request(3, path="/up", method="POST", end=False) + frame(DATA, 0, 3), logs=2),
    "h2 flood of empty CONTINUATION": frames(parity.head(1, *parity.pseudo(), flags=0) + frame(CONTINUATION, 0, 1) * 2),
    "h2 flood of PRIORITY": frames(frame(PRIORITY, 0, 3, u32(1) + b"\0") * 101, logs=0),
    "h2 flood of WINDOW_UPDATE": frames(frame(WINDOW_UPDATE, 0, 0, u32(1)) * 6, logs=0),
    "h2 flood of SETTINGS": frames(frame(SETTINGS, 0, 0) * 5000, logs=0),
    "h2 many PINGs": frames(frame(PING, 0, 0, bytes(8)) * 900, logs=0),
}

MESSAGE = Differs("request, answer of an upstream or frame that breaks a rule", answer=(["GOAWAY 1 1", "end"], ["end"]))
FLOOD = Differs("more frames than weir is willing to work for", answer=(["GOAWAY 1 11", "end"], ["end"]))
UNKNOWN = (["codec_error:The_user_callback_function_failed"], ["http2.unknown.nghttp2.error"])


def broken(goaway, row=MESSAGE.row, log=None):
    return Differs(row, answer=([goaway, "end"], ["end"]), log=log)


def stale(goaway):
    return Differs("HEADERS on the identifier of a stream that is over", answer=([goaway, "end"], []), closed=(True, False),
                   stats={"http.edge.downstream_cx_destroy_local": (1, 0), "http.edge.downstream_cx_destroy_remote": (0, 1),
                          "http.edge.downstream_cx_protocol_error": (1, 0)})


# Whatever is not said here is alike. What weir counts beyond Envoy in "buffer over" is the probe on the connection that it keeps.
DIFFERENCES = {
    "upstream badchunk": Differs(
        "bad chunk size after good chunks", answer=(["0123456789 [cut]"], [" [cut]"]), log=(["tx=10"], ["tx=0"]),
        stats={"http.edge.downstream_cx_tx_bytes_total": (161, 146)}),
    "upstream badchunk h2": Differs("bad chunk size after good chunks", log=(["tx=10"], ["tx=0"])),
    "websocket": Differs(
        "end of a WebSocket or CONNECT tunnel",
        log=(["-", "via_upstream"], ["UC", "upstream_reset_after_response_started{connection_termination}"]),
        stats={"cluster.up.upstream_cx_destroy_remote_with_active_rq": (0, 1), "cluster.up.upstream_cx_destroy_with_active_rq": (0, 1),
               "http.edge.downstream_cx_destroy_local": (0, 1), "http.edge.downstream_cx_destroy_remote": (1, 0),
               "http.edge.downstream_rq_rx_reset": (0, 1), "http.edge.downstream_rq_tx_reset": (0, 1)}),
    "connect": Differs(
        "end of a WebSocket or CONNECT tunnel", log=(["-", "via_upstream"], ["DC", "downstream_remote_disconnect"]),
        stats={"http.edge.downstream_rq_rx_reset": (0, 1), "http.edge.downstream_cx_destroy_active_rq": (0, 1),
               "http.edge.downstream_cx_destroy_remote_active_rq": (0, 1), "cluster.tunnel.upstream_cx_destroy_local": (0, 1),
               "cluster.tunnel.upstream_cx_destroy_local_with_active_rq": (0, 1), "cluster.tunnel.upstream_cx_destroy_remote": (1, 0),
               "cluster.tunnel.upstream_cx_destroy_with_active_rq": (0, 1)}),
    "h2 upper-case name": MESSAGE, "h2 te: gzip": MESSAGE, "h2 path without slash": MESSAGE, "h2 length too large": MESSAGE,
    "h2 HEADERS on a stream that is over": stale("GOAWAY 1 5"), "h2 HEADERS on a lower stream": stale("GOAWAY 5 1"),
    "h2 stream too many": Differs(
        "stream beyond `max_concurrent_streams`", answer=(["RST_STREAM 5 7"], ["end"]), closed=(False, True),
        log=(["DC", "downstream_remote_disconnect"] * 2, ["DPE", "codec_error:The_user_callback_function_failed"] * 2),
        stats={"http.inner.downstream_cx_destroy_local": (0, 1), "http.inner.downstream_cx_destroy_local_active_rq": (0, 1),
               "http.inner.downstream_cx_destroy_remote": (1, 0), "http.inner.downstream_cx_destroy_remote_active_rq": (1, 0),
               "http.inner.downstream_cx_protocol_error": (0, 1)}),
    **{f"h2 upstream {asked}{how}": Differs(MESSAGE.row, stats={"cluster.up2.http2.goaway_sent": (1, 0)})
       for asked in ("length alone", "connection", "no status") for how in ("", ", HTTP/1")},
    **{f"h2 authority {authority}": MESSAGE for authority in ("a b", "a/b", "u@a.test", "a\r\nx: y")},
    **{f"h2 path {path!r}": MESSAGE for path in ("/d200 x", "/d200\r\nx: y", "/d200\x7f", "*", "http://a.test/d200")},
    "h2 blank behind a path": MESSAGE, "h2 blank before an authority": MESSAGE,
    **{f"h2 trailers {what}": MESSAGE for what in ("with :path", "with connection", "with te", "with X", "without an end")},
    "h2 body too short with trailers": Differs(
        "body shorter than `content-length` that trailers end", answer=(["RST_STREAM 1 1"], ["end"]), closed=(False, True),
        log=(["http2.remote_reset"], ["http2.violation.of.messaging.rule"]),
        stats={"http.filters.downstream_cx_destroy_local": (0, 1), "http.filters.downstream_cx_destroy_active_rq": (0, 1),
               "http.filters.downstream_cx_destroy_local_active_rq": (0, 1), "http.filters.downstream_cx_destroy_remote": (1, 0),
               "http.filters.downstream_cx_protocol_error": (0, 1)}),
    "h2 RST_STREAM of an idle stream": broken("GOAWAY 0 1 RST_STREAM: stream in idle"),
    "h2 WINDOW_UPDATE of 0": broken("GOAWAY 1 1 WINDOW_UPDATE: window_size_increment == 0", log=UNKNOWN),
    "h2 WINDOW_UPDATE of 0, connection": broken("GOAWAY 0 1 WINDOW_UPDATE: window_size_increment == 0"),
    "h2 WINDOW_UPDATE too far": Differs(
        "WINDOW_UPDATE that carries the window of a stream too far", answer=(["RST_STREAM 1 3"], ["end"]), closed=(False, True),
        log=(["http2.remote_reset"], ["http2.unknown.nghttp2.error"]),
        stats={"http.filters.downstream_cx_destroy_local": (0, 1), "http.filters.downstream_cx_destroy_active_rq": (0, 1),
               "http.filters.downstream_cx_destroy_local_active_rq": (0, 1), "http.filters.downstream_cx_destroy_remote": (1, 0),
               "http.filters.downstream_cx_protocol_error": (0, 1)}),
    "h2 WINDOW_UPDATE too far, connection": broken("GOAWAY 0 3"),
    "h2 SETTINGS with a window too large": broken("GOAWAY 0 3 SETTINGS: too large SETTINGS_INITIAL_WINDOW_SIZE"),
    "h2 SETTINGS on a stream": broken("GOAWAY 0 1 SETTINGS: stream_id != 0"),
    "h2 PING on a stream": broken("GOAWAY 0 1 PING: stream_id != 0"),
    "h2 PRIORITY of itself": Differs(
        "PRIORITY of a stream that depends on itself", answer=(["GOAWAY 0 1 depend on itself", "end"], []), closed=(True, False),
        stats={"http.edge.downstream_cx_destroy_local": (1, 0), "http.edge.downstream_cx_destroy_remote": (0, 1),
               "http.edge.downstream_cx_protocol_error": (1, 0)}),
    "h2 PUSH_PROMISE": broken("GOAWAY 1 1 PUSH_PROMISE: push disabled", log=UNKNOWN),
    "h2 flood of empty DATA": FLOOD, "h2 flood of empty CONTINUATION": FLOOD,
    **{f"h2 flood of {kind}": broken("GOAWAY 0 11", FLOOD.row) for kind in ("PRIORITY", "WINDOW_UPDATE", "SETTINGS")},
    "h2 blanks around a value": Differs("blanks around a header's value", stats={"cluster.up.upstream_cx_tx_bytes_total": (261, 265)}),
    "path //": Differs("path of slashes alone", log=(["path=/"], ["path=//"])),
    "buffer over": Differs(
        "request body over the limit of the buffer filter that comes in one read", answer=([], ["connection: close"]), closed=(False, True),
        stats={"http.filters.downstream_rq_response_before_rq_complete": (0, 1), "http.filters.downstream_rq_rx_reset": (0, 1),
               "http.filters.downstream_cx_destroy_local": (0, 1), "http.filters.downstream_cx_destroy_remote": (1, 0),
               "http.filters.downstream_cx_rx_bytes_total": (297, 256), "http.filters.downstream_cx_tx_bytes_total": (258, 183),
               "http.filters.downstream_rq_2xx": (1, 0), "http.filters.downstream_rq_completed": (2, 1),
               "http.filters.downstream_rq_http1_total": (2, 1), "http.filters.downstream_rq_total": (2, 1),
               "http.filters.rq_direct_response": (1, 0), "http.filters.rq_total": (1, 0),
               "listener.127.0.0.1_PORT-filters.http.filters.downstream_rq_2xx": (1, 0),
               "listener.127.0.0.1_PORT-filters.http.filters.downstream_rq_completed": (2, 1)}),
}

@pytest.fixture(scope="module")
def pair(real_envoy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    with upstream.Upstream(behave) as up, h2peer.Upstream(behave_h2) as up2, upstream.Upstream(tunnelled) as tunnel:
        make = bootstrap(up.port, up2.port, tunnel.port, free_port())
        sides = []
        try:
            sides.append(parity.Side("weir", make, LISTENERS, folder, lambda b: Weir(b, folder, args=parity.FLUSH, concurrency=1)))
            sides.append(parity.Side("envoy", make, LISTENERS, folder, lambda b: parity.RealEnvoy(real_envoy, b, folder)))
            for side in sides:
                side.program.start()
            yield parity.Pair(*sides)
        finally:
            for side in reversed(sides):
                side.program.stop()


@pytest.mark.parametrize("name", CASES)
def test_weir_does_as_envoy_does(pair, name):
    known = DIFFERENCES.get(name)
    expected = known.expected() if known else {}
    found, answered, seen = pair.compare(CASES[name], expected)
    assert answered, f"neither answered: nothing was compared: {seen}"
    assert found == expected, f"weir and Envoy, each: {seen}"


def test_a_client_that_says_goaway_gets_its_answers(pair):
    """Then weir closes, where Envoy leaves that to the client."""
    for side in pair.sides:
        with h2peer.Client(side.ports["edge"]) as client:
            stream = client.open("GET", "/timeout", [("x-behave", "silent")], authority="a.test")
            client.send_raw(frame(GOAWAY, 0, 0, bytes(8)))
            stream.wait_headers()
            assert (stream.status, stream.read_all()) == (504, b"upstream request timeout")
            if side.name == "weir":
                client.wait_closed()
                assert client.goaway_code == 0


def test_what_only_begins_as_the_preface_of_http2(pair):
    for side in pair.sides:
        with http1.Client(side.ports["edge"]) as client:
            client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            assert client.read_to_end()[:12] == {"weir": b"HTTP/1.1 400", "envoy": b""}[side.name]


def test_every_difference_has_its_row():
    rows = process.ROOT.joinpath("docs/differences.md").read_text()
    assert set(DIFFERENCES) <= set(CASES)
    assert not [known.row for known in DIFFERENCES.values() if f"| {known.row}" not in rows]
