"""What routes, virtual hosts and route tables say beyond where a request goes: times, retries, limits, bodies, hosts, filters."""

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import Upstream
from support.weir import running_weir, validate

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FILTERS = config.PREFIX + "filters.http."
RETRY = {"retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"}}
BUFFER = FILTERS + "buffer.v3.Buffer"
BUFFER_ROUTE = FILTERS + "buffer.v3.BufferPerRoute"


def fields(route, **more):
    return {**route, **more}


def per_filter(name, **config_fields):
    return {"typed_per_filter_config": {name: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", **config_fields}}}


def limit(*actions):
    return {"actions": list(actions)}


def match_query(**action):
    """An action that gives ("header_match", value) for requests with (or without) the header x-mark."""
    return {"header_value_match": {"headers": [{"name": "x-mark", "present_match": True}], **action}}


def descriptor(key, value):
    return {"entries": [{"key": key, "value": value}], "token_bucket": {"max_tokens": 1, "fill_interval": "3600s"}}


def limited(*descriptors):
    """Requests with any of these descriptors get 429 from the second one on."""
    always = {"default_value": {"numerator": 100}}
    return {"typed_per_filter_config": {"limit": config.typed(
        FILTERS + "local_ratelimit.v3.LocalRateLimit", stat_prefix="limit", token_bucket={"max_tokens": 1000, "fill_interval": "1s"},
        filter_enabled=always, filter_enforced=always, descriptors=list(descriptors))}}


def grpc_route(prefix, **action):
    return config.route("up", prefix, **action)


ROUTES = [
    fields(config.route("failing", "/retry/small", retry_policy=RETRY), per_request_buffer_limit_bytes=10),
    config.route("failing", "/retry", retry_policy=RETRY),
    config.route("named", "/auto_host", auto_host_rewrite=True, append_x_forwarded_host=True),
    config.route("up", "/grpc/max", max_grpc_timeout="3s"),
    config.route("up", "/grpc/any", max_grpc_timeout="0s", timeout="7s"),
    config.route("up", "/grpc/offset", max_grpc_timeout="10s", grpc_timeout_offset="1s"),
    config.route("silent", "/deadline/offset", max_stream_duration={"grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "99.9s"}),
    config.route("silent", "/deadline/max", max_stream_duration={"grpc_timeout_header_max": "0.1s"}),
    config.route("silent", "/deadline/stream", max_stream_duration={"max_stream_duration": "0.1s"}),
    {"match": {"prefix": "/body/text"}, "direct_response": {
        "status": 200, "body": {"inline_string": "inner"}, "body_format": {"text_format_source": {"inline_string": "<%LOCAL_REPLY_BODY%|%REQ(:PATH)%>"},
                                                                           "content_type": "text/html; charset=UTF-8"}}},
    {"match": {"prefix": "/body/json"}, "direct_response": {
        "status": 201, "body": {"inline_string": "in"}, "body_format": {"json_format": {"method": "%REQ(:METHOD)%", "body": "%LOCAL_REPLY_BODY%"}}}},
    fields(config.route("up", "/limit/mark", rate_limits=[limit(match_query(descriptor_value="marked"))]), **limited(descriptor("header_match", "marked"))),
    fields(config.route("up", "/limit/unmark", rate_limits=[limit(match_query(descriptor_value="bare", expect_match=False))]),
           **limited(descriptor("header_match", "bare"))),
    fields(config.route("up", "/limit/source", rate_limits=[limit({"source_cluster": {}})]), **limited(descriptor("source_cluster", "we"))),
    fields(config.route("up", "/limit/own", rate_limits=[limit({"generic_key": {"descriptor_value": "route"}})]), **limited(descriptor("generic_key", "host"))),
    fields(config.route("up", "/limit/both", rate_limits=[limit({"generic_key": {"descriptor_value": "route"}})], include_vh_rate_limits=True),
           **limited(descriptor("generic_key", "host"))),
    fields(config.route("up", "/buffer/off"), **per_filter("buffer", disabled=True)),
    fields(config.route("up", "/buffer/more"), **per_filter("buffer", config=config.typed(BUFFER_ROUTE, buffer={"max_request_bytes": 30}))),
    fields(config.route("up", "/buffer/unknown"), **per_filter("buffer", is_optional=True, config={
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "type.googleapis.com/no.such.Filter", "value": {}})),
    fields(config.route("up", "/buffer/on"), **per_filter("sleeping", config=config.typed(BUFFER_ROUTE, buffer={"max_request_bytes": 2}))),
    config.route("up", "/header/exact", match={"prefix": "/header", "headers": [{"name": "x-exact", "exact_match": "a"}]}, prefix_rewrite="/exact"),
    config.route("up", match={"prefix": "/header", "headers": [{"name": "x-prefix", "prefix_match": "a"}]}, prefix_rewrite="/prefix"),
    config.route("up", match={"prefix": "/header", "headers": [{"name": "x-suffix", "suffix_match": "a"}]}, prefix_rewrite="/suffix"),
    config.route("up", match={"prefix": "/header", "headers": [{"name": "x-contains", "contains_match": "a"}]}, prefix_rewrite="/contains"),
    config.route("up", match={"prefix": "/header", "headers": [{"name": "x-regex", "safe_regex_match": {"regex": "a+"}}]}, prefix_rewrite="/regex"),
    config.route("up", match={"prefix": "/header", "headers": [{"name": "x-range", "range_match": {"start": -1, "end": 2}}]}, prefix_rewrite="/range"),
    config.route("up", match={"prefix": "/header", "headers": [{"name": "x-tier", "exact_match": "gold", "treat_missing_header_as_empty": True, "invert_match": True},
                                                               {"name": "x-absent", "present_match": True, "invert_match": True}]}, prefix_rewrite="/empty"),
    config.route("up"),
]


def failing(request, connection):
    connection.read_body(request)
    connection.reply(503)


def silent(request, connection):
    connection.read_to_end()


class Proxy:
    def __init__(self, workdir):
        self.up, self.failing, self.silent = Upstream(), Upstream(failing), Upstream(silent)
        self.port = free_port()
        named = config.cluster("named", self.up.port)
        named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["hostname"] = "host.of.endpoint"
        hosts = [config.virtual_host(*ROUTES, rate_limits=[limit({"generic_key": {"descriptor_value": "host"}})]),
                 config.virtual_host(config.route("failing", retry_policy=RETRY), name="small", domains=["small.test"], per_request_buffer_limit_bytes=10)]
        limiter = {"name": "limit", "typed_config": config.typed(FILTERS + "local_ratelimit.v3.LocalRateLimit", stat_prefix="limit")}
        buffers = [{"name": "buffer", "typed_config": config.typed(BUFFER, max_request_bytes=20)},
                   {"name": "sleeping", "disabled": True, "typed_config": config.typed(BUFFER, max_request_bytes=20)}]
        clusters = [config.cluster(name, port) for name, port in
                    (("up", self.up.port), ("failing", self.failing.port), ("silent", self.silent.port))]
        self.bootstrap = config.bootstrap([config.listener(self.port, config.hcm(hosts, [limiter, *buffers]))], [*clusters, named],
                                          node={"id": "n", "cluster": "we"})

    def request(self, path, method="GET", headers=(), body=None, host="localhost"):
        with http1.Client(self.port) as client:
            return client.request(method, path, headers, body=body, host=host)

    def close(self):
        for upstream in (self.up, self.failing, self.silent):
            upstream.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("route-options")
    made = Proxy(workdir)
    try:
        with running_weir(made.bootstrap, workdir) as made.weir:
            yield made
    finally:
        made.close()


@pytest.mark.parametrize("path, host, body, attempts", [
    ("/retry", "localhost", b"x" * 11, 2), ("/retry/small", "localhost", b"x" * 10, 2), ("/retry/small", "localhost", b"x" * 11, 1),
    ("/", "small.test", b"x" * 10, 2), ("/", "small.test", b"x" * 11, 1)])
def test_requests_beyond_the_buffer_limit_are_not_retried(proxy, path, host, body, attempts):
    before, abandoned = len(proxy.failing.requests), proxy.weir.stat("cluster.failing.retry_or_shadow_abandoned")
    assert proxy.request(path, "POST", body=body, host=host).status == 503
    assert len(proxy.failing.requests) - before == attempts
    assert proxy.weir.stat("cluster.failing.retry_or_shadow_abandoned") - abandoned == 2 - attempts


def test_host_of_the_endpoint(proxy):
    assert proxy.request("/auto_host").status == 200
    request = proxy.up.requests[-1]
    assert request.get("host") == "host.of.endpoint"
    assert request.get("x-forwarded-host") == "localhost"


@pytest.mark.parametrize("path, asked, expected", [
    ("/grpc/max", "2S", "2000"), ("/grpc/max", "5S", "3000"), ("/grpc/max", None, "3000"), ("/grpc/any", "5S", "5000"), ("/grpc/any", None, None),
    ("/grpc/offset", "5S", "4000"), ("/grpc/offset", "500m", "500")])
def test_grpc_timeout_in_the_place_of_the_routes(proxy, path, asked, expected):
    headers = {"content-type": "application/grpc", **({"grpc-timeout": asked} if asked else {})}
    assert proxy.request(path, "POST", headers, b"").status == 200
    assert proxy.up.requests[-1].get("x-envoy-expected-rq-timeout-ms") == expected


@pytest.mark.parametrize("path, asked", [("/deadline/offset", "100S"), ("/deadline/max", "100S"), ("/deadline/stream", None)])
def test_streams_end_at_their_deadline(proxy, path, asked):
    headers = {"content-type": "application/grpc", **({"grpc-timeout": asked} if asked else {})}
    response = proxy.request(path, "POST", headers, b"")
    assert (response.status, response.get("grpc-status")) == (200, "4")


def test_bodies_of_direct_responses_are_formatted(proxy):
    response = proxy.request("/body/text/x")
    assert (response.status, response.get("content-type"), response.body) == (200, "text/html; charset=UTF-8", b"<inner|/body/text/x>")
    response = proxy.request("/body/json")
    assert (response.status, response.get("content-type"), response.body) == (201, "application/json", b'{"body":"in","method":"GET"}\n')


@pytest.mark.parametrize("path, headers, statuses", [
    ("/limit/mark", {"x-mark": "1"}, [200, 429]), ("/limit/mark", {}, [200, 200]),
    ("/limit/unmark", {"x-mark": "1"}, [200, 200]), ("/limit/unmark", {}, [200, 429]),
    ("/limit/source", {}, [200, 429]), ("/limit/own", {}, [200, 200]), ("/limit/both", {}, [200, 429])])
def test_what_rate_limits_look_at(proxy, path, headers, statuses):
    assert [proxy.request(path, headers=headers).status for _ in statuses] == statuses


@pytest.mark.parametrize("path, size, status", [
    ("/", 20, 200), ("/", 21, 413), ("/buffer/off", 21, 200), ("/buffer/more", 21, 200), ("/buffer/more", 31, 413), ("/buffer/unknown", 21, 413),
    ("/buffer/on", 3, 413), ("/buffer/on", 2, 200)])
def test_filters_by_route(proxy, path, size, status):
    assert proxy.request(path, "POST", body=b"x" * size).status == status


@pytest.mark.parametrize("headers, rewritten", [
    ({"x-exact": "a"}, "/exact"), ({"x-exact": "aa", "x-prefix": "ab"}, "/prefix"), ({"x-suffix": "ba"}, "/suffix"), ({"x-contains": "bab"}, "/contains"),
    ({"x-regex": "aaa"}, "/regex"), ({"x-regex": "aab", "x-range": "-1"}, "/range"), ({"x-range": "2"}, "/empty"), ({}, "/empty"),
    ({"x-tier": "gold"}, "/header"), ({"x-tier": "tin"}, "/empty"), ({"x-absent": "here"}, "/header")])
def test_header_matches_of_the_old_form(proxy, headers, rewritten):
    assert proxy.request("/header", headers=headers).status == 200
    assert proxy.up.requests[-1].target == rewritten


def test_longest_direct_response_of_a_table(tmp_path):
    def table(size, **more):
        manager = config.hcm(route_config=config.route_config(config.virtual_host(config.direct_response(200, "x" * size)), **more))
        return validate(config.bootstrap([config.listener(free_port(), manager)]), tmp_path)
    assert table(4096).returncode == 0
    assert table(5000, max_direct_response_body_size_bytes=5000).returncode == 0
    for result in (table(4097), table(5001, max_direct_response_body_size_bytes=5000), table(11, max_direct_response_body_size_bytes=10)):
        assert result.returncode != 0
        assert "response body size is" in result.stderr


def test_rules_of_the_table_have_the_last_word_or_the_first(tmp_path, start_weir, make_upstream):
    up, port = make_upstream(), free_port()

    def overwrite(value):
        return [{"header": {"key": "x-level", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    for specific, last in ((False, "table"), (True, "route")):
        route = fields(config.route("up"), request_headers_to_add=overwrite("route"))
        table = config.route_config(config.virtual_host(route, request_headers_to_add=overwrite("host")), request_headers_to_add=overwrite("table"),
                                    most_specific_header_mutations_wins=specific)
        weir = start_weir(config.bootstrap([config.listener(port, config.hcm(route_config=table))], [config.cluster("up", up.port)]))
        assert http1.get(port).status == 200
        assert up.requests[-1].get("x-level") == last
        weir.stop()
