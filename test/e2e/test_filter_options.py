"""Options of filters that only a whole request shows."""

import socketserver
import threading

import pytest

from support import config, http1, process, upstream
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FILTERS = config.PREFIX + "filters.http."


@pytest.fixture
def serve(start_weir, make_upstream):
    """serve(manager, handler): a listener with the manager before an upstream `up`; .port, .up."""
    def start(manager, handler=upstream.replying(headers={"x-up": "1", "x-secret": "s"})):
        port, up = free_port(), make_upstream(handler)
        weir = start_weir(config.bootstrap([config.listener(port, manager)], [config.cluster("up", up.port)]))
        weir.port, weir.up = port, up
        return weir
    return start


def with_router(route, http_filters=(), hosts=None, **router):
    manager = config.hcm(hosts or [config.virtual_host(route)], http_filters)
    manager["typed_config"]["http_filters"][-1] = config.router(**router)
    return manager


@pytest.mark.parametrize("suppressed", [False, True])
def test_envoys_headers_can_be_suppressed(serve, suppressed):
    weir = serve(with_router(config.route("up"), suppress_envoy_headers=suppressed))
    response = http1.get(weir.port)
    assert (response.get("x-envoy-upstream-service-time") is None) == suppressed
    request = weir.up.requests[0]
    assert (request.get("x-envoy-expected-rq-timeout-ms") is None) == suppressed


@pytest.mark.parametrize("respected, expected", [(False, "9000"), (True, "1234")])
def test_expected_timeout_of_the_hop_before(serve, respected, expected):
    manager = with_router(config.route("up", timeout="9s"), respect_expected_rq_timeout=respected)
    manager["typed_config"].update(use_remote_address=True, internal_address_config={
        "cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]})
    weir = serve(manager)
    http1.get(weir.port, headers={"x-envoy-expected-rq-timeout-ms": "1234"})
    assert weir.up.requests[0].get("x-envoy-expected-rq-timeout-ms") == expected


@pytest.mark.parametrize("tokens, wait_s", [(None, 3600), (3, 1200)])
def test_tokens_that_come_together_are_waited_for_less(serve, tokens, wait_s):
    always = {"default_value": {"numerator": 100}}
    bucket = {"max_tokens": 5, "fill_interval": "3600s", **({"tokens_per_fill": tokens} if tokens else {})}
    limit = {"name": "limit", "typed_config": config.typed(
        FILTERS + "local_ratelimit.v3.LocalRateLimit", stat_prefix="limit", filter_enabled=always, filter_enforced=always,
        token_bucket=bucket, enable_x_ratelimit_headers="DRAFT_VERSION_03")}
    weir = serve(config.hcm([config.virtual_host(config.route("up"))], [limit]))
    responses = [http1.get(weir.port) for _ in range(6)]
    assert [response.status for response in responses] == [200] * 5 + [429]
    assert [response.get("x-ratelimit-remaining") for response in responses] == ["4", "3", "2", "1", "0", "0"]
    assert wait_s - 60 <= int(responses[5].get("x-ratelimit-reset")) <= wait_s


def test_header_mutations_of_a_route(serve):
    def mutations(**fields):
        return config.typed(FILTERS + "header_mutation.v3.HeaderMutationPerRoute", mutations=fields)
    route = {**config.route("up"), "typed_per_filter_config": {"mutate": mutations(
        request_mutations=[{"append": {"header": {"key": "x-route", "value": "%REQ(:PATH)%"}}}, {"remove": "x-gone"}],
        response_mutations=[{"remove": "x-secret"}, {"append": {"header": {"key": "x-up", "value": "2"}, "append_action": "OVERWRITE_IF_EXISTS"}}])}}
    weir = serve(config.hcm([config.virtual_host(route)], [{"name": "mutate", "typed_config": config.typed(
        FILTERS + "header_mutation.v3.HeaderMutation", mutations={})}]))
    response = http1.get(weir.port, "/p", headers={"x-gone": "1"})
    assert (response.get("x-up"), response.get("x-secret")) == ("2", None)
    request = weir.up.requests[0]
    assert (request.get("x-route"), request.get("x-gone")) == ("/p", None)


class Shouting(socketserver.StreamRequestHandler):
    """Sends back what it gets in capitals: no HTTP."""

    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data.upper())


@pytest.fixture
def shouting():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shouting) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("method, allowed, tunnelled", [("CONNECT", False, True), ("POST", True, True), ("POST", False, False)])
def test_tunnels_from_post_where_that_is_allowed(start_weir, shouting, method, allowed, tunnelled):
    port = free_port()
    tunnel = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": allowed}}]}
    match = {"connect_matcher": {}} if method == "CONNECT" else {"prefix": "/"}
    manager = config.hcm([config.virtual_host(config.route("up", match=match, **tunnel))], upgrade_configs=[{"upgrade_type": "CONNECT"}])
    weir = start_weir(config.bootstrap([config.listener(port, manager)], [config.cluster("up", shouting)]))
    with http1.Client(port) as client:
        if method == "CONNECT":
            client.send_request("CONNECT", "a.test:1", host="a.test:1")
            assert client.read_response_head().status == 200
            client.send(b"hello")
            assert client.read_exactly(5) == b"HELLO"
            return
        client.send(b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n" + http1.encode_chunk(b"hello"))
        if tunnelled:
            response = client.read_response_head()
            assert response.status == 200
            assert next(client.chunks(response)) == b"HELLO"
        else:
            assert client.read_response_head().status in (502, 503)  # the upstream speaks no HTTP
            assert weir.stat("cluster.up.upstream_cx_protocol_error") == 1
