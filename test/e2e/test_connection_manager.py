"""Fields of the HTTP connection manager, each seen by a client, by the upstream or in the answer."""

import ssl

import pytest

from support import config, h2peer, http1, process, tls, upstream
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

UUID = config.PREFIX + "request_id.uuid.v3.UuidRequestIdConfig"


@pytest.fixture
def serve(start_weir, make_upstream):
    """serve(handler, transport socket, **HttpConnectionManager): /teapot answers itself, the rest goes to .up; .port."""
    def start(handler=upstream.replying(headers={"server": "origin"}), socket=None, port=None, **fields):
        port, up = port or free_port(), make_upstream(handler)
        hosts = [config.virtual_host(config.direct_response(418, "teapot", prefix="/teapot"), config.route("up"), name="a", domains=["a.test"]),
                 config.virtual_host(config.route("up"))]
        chain = config.filter_chain(config.hcm(hosts, **fields), tls=socket)
        weir = start_weir(config.bootstrap([config.listener(port, chain)], [config.cluster("up", up.port)]), args=("--service-cluster", "edge"))
        weir.port, weir.up = port, up
        return weir
    return start


def ask(port, target="/", headers=(), host="localhost", **options):
    with http1.Client(port, **options) as client:
        return client.request("GET", target, headers, host=host)


def seen(weir, headers=(), **options):
    """What the upstream gets of a GET."""
    assert ask(weir.port, "/", headers, **options).status == 200
    return weir.up.requests[-1]


@pytest.mark.parametrize("codec_type, http1_works, http2_works", [("AUTO", True, True), ("HTTP1", True, False), ("HTTP2", False, True)])
def test_protocol_of_a_connection(serve, codec_type, http1_works, http2_works):
    weir = serve(codec_type=codec_type)
    try:
        assert (http1.get(weir.port).status == 200) == http1_works
    except (ConnectionError, http1.Closed, ValueError):
        assert not http1_works
    with h2peer.Client(weir.port) as client:
        try:
            assert (client.request("GET", "/").status == 200) == http2_works
        except (h2peer.StreamReset, AssertionError):
            assert not http2_works


@pytest.mark.parametrize("fields, headers, forwarded", [
    ({}, {}, None), ({}, {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
    ({"use_remote_address": True}, {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4,127.0.0.1"),
    ({"use_remote_address": True, "skip_xff_append": True}, {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
    ({"use_remote_address": True, "skip_xff_append": True}, {}, None)])
def test_where_requests_come_from(serve, fields, headers, forwarded):
    weir = serve(**fields)
    value = seen(weir, headers).get("x-forwarded-for")
    assert value == forwarded or (forwarded and value and value.startswith("1.2.3.4,"))


@pytest.mark.parametrize("hops, address", [(0, "3.3.3.3"), (1, "2.2.2.2"), (2, "1.1.1.1")])
def test_hops_that_are_trusted(serve, hops, address):
    log_format = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    weir = serve(xff_num_trusted_hops=hops, access_log=[{"name": "s", "typed_config": config.typed(
        config.PREFIX + "access_loggers.stream.v3.StdoutAccessLog", log_format={"text_format_source": {"inline_string": f"from {log_format}\n"}})}])
    seen(weir, {"x-forwarded-for": "1.1.1.1, 2.2.2.2, 3.3.3.3"})
    weir.wait_log(f"^from {address}$")


@pytest.mark.parametrize("appended", [False, True])
def test_port_of_the_listener(serve, appended):
    weir = serve(append_x_forwarded_port=appended)
    assert seen(weir).get("x-forwarded-port") == (str(weir.port) if appended else None)


def test_user_agent(serve):
    weir = serve(add_user_agent=True)
    request = seen(weir)
    assert request.get("user-agent") == request.get("x-envoy-downstream-service-cluster") == "edge"
    assert seen(weir, {"user-agent": "mine"}).get("user-agent") == "mine"


OWN = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize("fields, given, kept, answered", [
    ({}, None, False, False), ({}, OWN, True, False), ({"use_remote_address": True}, OWN, False, False),
    ({"use_remote_address": True, "preserve_external_request_id": True}, OWN, True, False),
    ({"always_set_request_id_in_response": True}, OWN, True, True),
    ({"request_id_extension": {"typed_config": config.typed(UUID)}}, OWN, True, False)])
def test_request_ids(serve, fields, given, kept, answered):
    weir = serve(**fields)
    response = http1.get(weir.port, headers={"x-request-id": given, "x-forwarded-for": "8.8.8.8"} if given else {})
    sent = weir.up.requests[0].get("x-request-id")
    assert sent and (sent == given) == kept
    assert response.get("x-request-id") == (sent if answered else None)


def test_no_request_ids(serve):
    weir = serve(generate_request_id=False)
    assert seen(weir).get("x-request-id") is None


@pytest.mark.parametrize("transformation, of_upstream, own", [
    ("OVERWRITE", "the name", "the name"), ("APPEND_IF_ABSENT", "origin", "the name"), ("PASS_THROUGH", "origin", None)])
def test_server_header(serve, transformation, of_upstream, own):
    weir = serve(server_name="the name", server_header_transformation=transformation)
    assert http1.get(weir.port).get("server") == of_upstream
    assert ask(weir.port, "/teapot", host="a.test").get("server") == own


@pytest.mark.parametrize("fields, host, sent", [
    ({}, "a.test:{port}", "a.test:{port}"), ({"strip_matching_host_port": True}, "a.test:{port}", "a.test"),
    ({"strip_matching_host_port": True}, "a.test:1", "a.test:1"), ({"strip_any_host_port": True}, "a.test:1", "a.test"),
    ({}, "a.test.", "a.test."), ({"strip_trailing_host_dot": True}, "a.test.", "a.test")])
def test_hosts_are_stripped(serve, fields, host, sent):
    weir = serve(**fields)
    assert seen(weir, host=host.format(port=weir.port)).get("host") == sent.format(port=weir.port)


@pytest.mark.parametrize("fields, sent", [({}, "http"), ({"scheme_header_transformation": {"scheme_to_overwrite": "https"}}, "https")])
def test_scheme(start_weir, make_h2_upstream, fields, sent):
    up, port = make_h2_upstream(), free_port()
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))], **fields))],
                                [config.cluster("up", up.port, http2=True)]))
    assert http1.get(port).status == 200
    assert up.requests[0].get(":scheme") == sent


@pytest.mark.parametrize("proxied", [False, True])
def test_who_says_100(serve, proxied):
    weir = serve(proxy_100_continue=proxied)
    with http1.Client(weir.port) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        if proxied:
            assert weir.up.wait_requests(1)[0].get("expect") == "100-continue"
        else:
            assert client.read_response_head().status == 100
            assert weir.up.wait_requests(1)[0].get("expect") is None
        client.send(b"x")
        assert client.read_response("POST").status == 200


@pytest.mark.parametrize("field, sent", [("request_timeout", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nx"),
                                         ("request_headers_timeout", b"GET / HTTP/1.1\r\nho")])
def test_times_that_a_request_may_take(serve, field, sent):
    weir = serve(**{field: "0.2s"})
    with http1.Client(weir.port) as client:
        client.send(sent)
        response = client.read_response()
    assert response.status == 408
    assert response.body == (b"request timeout" if field == "request_timeout" else b"request header timeout")


@pytest.mark.parametrize("kept", [False, True])
def test_malformed_streams(serve, kept):
    weir = serve(stream_error_on_invalid_http_message=kept)
    with http1.Client(weir.port) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        response = client.read_response()
        assert response.status == 400
        if kept:
            assert client.request("GET", "/").status == 200
        else:
            assert response.get("connection") == "close"
            client.expect_closed()


MAPPER = {"filter": {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 404, "runtime_key": "x"}}}}, "status_code": 410,
          "body": {"inline_string": "went away"}, "body_format_override": {"text_format_source": {"inline_string": "{%LOCAL_REPLY_BODY% %RESPONSE_CODE%}"}},
          "headers_to_add": [{"header": {"key": "x-mapped", "value": "%RESPONSE_CODE%"}}]}


def test_own_answers_can_be_rewritten(start_weir):
    port = free_port()
    routes = [config.direct_response(418, "teapot", prefix="/teapot"), config.direct_response(404, "gone", prefix="/gone")]
    manager = config.hcm([config.virtual_host(*routes, domains=["a.test"])], local_reply_config={
        "mappers": [MAPPER], "body_format": {"json_format": {"said": "%LOCAL_REPLY_BODY%", "code": "%RESPONSE_CODE%"}, "content_type": "application/problem+json"}})
    start_weir(config.bootstrap([config.listener(port, manager)]))
    response = ask(port, "/other", host="a.test")
    assert (response.status, response.body, response.get("x-mapped")) == (410, b"{went away 410}", "404")
    assert response.get("content-type") == "text/plain"
    response = ask(port, "/teapot", host="a.test")
    assert (response.status, response.get("x-mapped")) == (418, None)
    response = ask(port, "/", host="a.test", headers={"content-length": "x"})
    assert (response.status, response.get("content-type")) == (400, "application/problem+json")
    assert response.body == b'{"code":400,"said":"Bad Request"}\n'


@pytest.mark.parametrize("fields, given, sent", [
    ({}, None, None), ({}, "By=me", None), ({"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"}, "By=me", "By=me"),
    ({"forward_client_cert_details": "FORWARD_ONLY"}, "By=me", "By=me"),
    ({"forward_client_cert_details": "APPEND_FORWARD"}, "By=me", 'By=me,By=spiffe://weir;Hash={hash}'),
    ({"forward_client_cert_details": "SANITIZE_SET"}, "By=me", 'By=spiffe://weir;Hash={hash}'),
    ({"forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True}}, None,
     'By=spiffe://weir;Hash={hash};Subject="CN=client";URI=spiffe://client;DNS=client.test')],
    ids=["default", "sanitized", "always", "forward", "append", "set", "set-details"])
def test_certificate_of_the_client(serve, authority, fields, given, sent):
    own, client = authority.issue("weir-xfcc", "URI:spiffe://weir", "DNS:localhost"), authority.issue("client", "URI:spiffe://client", "DNS:client.test")
    socket = config.downstream_tls(own, require_client_certificate=True,
                                   common_tls_context={"validation_context": {"trusted_ca": {"filename": str(authority.ca)}}})
    weir = serve(socket=socket, **fields)
    request = seen(weir, {"x-forwarded-client-cert": given} if given else {}, tls=tls.client_context(authority.ca, certificate=client))
    assert request.get("x-forwarded-client-cert") == (sent.format(hash=tls.digest(client).hex()) if sent else None)


def test_unix_sockets_are_internal(serve, tmp_path):
    path = tmp_path / "socket"
    for internal, expected in ((False, None), (True, "true")):
        weir = serve(port=path, use_remote_address=True, internal_address_config={"unix_sockets": internal})
        request = seen(weir)
        assert request.get("x-envoy-internal") == expected
        weir.stop()
