"""Fields of the bootstrap: what the control plane is told, when statistics are flushed, runtime, what is refused by name."""

import base64

import pytest

from support import config, http1, process, xds
from support.ads_recorder import AdsRecorder
from support.ports import free_port
from support.upstream import Upstream
from support.wait import wait_until
from support.weir import validate

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

ADS = {"ads": {}, "resource_api_version": "V3"}


@pytest.fixture(params=[False, True], ids=["sotw", "delta"])
def control_plane(request):
    recorder = AdsRecorder(delta=request.param)
    recorder.delta = request.param
    yield recorder
    recorder.close()


def dynamic(recorder, service=None, node=None, **source):
    ads = {"api_type": "DELTA_GRPC" if recorder.delta else "GRPC", "transport_api_version": "V3",
           "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}, **(service or {})}], **source}
    return {"node": node or {"id": "test", "cluster": "tests"}, "admin": {"address": config.address(0)},
            "dynamic_resources": {"ads_config": ads, "cds_config": ADS, "lds_config": ADS},
            "static_resources": {"clusters": [config.cluster("control", recorder.port, http2=True)]}}


def node_of(recorder, request):
    return request.get(1 if recorder.delta else 2)


def field(data, *path):
    """Descends into nested messages by field numbers; the bytes or number that is there."""
    for number in path:
        data = xds.decode(data)[number][0]
    return data


def test_node_goes_out_as_it_was_given(control_plane, start_weir):
    node = {"id": "the id", "cluster": "the cluster", "locality": {"region": "r", "zone": "z", "sub_zone": "s"}, "metadata": {"key": {"inner": "value"}},
            "user_agent_name": "someone else", "client_features": ["a.feature"], "listening_addresses": [{"socket_address": {"address": "10.0.0.1", "port_value": 9}}],
            "dynamic_parameters": {"kind": {"params": {"p": "v"}}},
            "extensions": [{"name": "an.extension", "category": "its.category", "type_descriptor": "desc", "disabled": True, "type_urls": ["a.Type"],
                            "version": {"version": {"major_number": 1, "minor_number": 2, "patch": 3}}}]}
    start_weir(dynamic(control_plane, node=node), ready=False)
    request, _ = control_plane.take()
    sent = xds.decode(node_of(control_plane, request)[0])
    assert (sent[1], sent[2]) == ([b"the id"], [b"the cluster"])
    assert b"key" in sent[3][0] and b"inner" in sent[3][0] and b"value" in sent[3][0]
    locality = xds.decode(sent[4][0])
    assert (locality[1], locality[2], locality[3]) == ([b"r"], [b"z"], [b"s"])
    assert sent[6] == [b"weir"] and 7 in sent
    extension = xds.decode(sent[9][0])
    assert [extension[number] for number in (1, 2, 3, 5, 6)] == [[b"an.extension"], [b"its.category"], [b"desc"], [1], [b"a.Type"]]
    assert [field(extension[4][0], 1, number) for number in (1, 2, 3)] == [1, 2, 3]
    assert sent[10][0] == b"a.feature"
    assert field(sent[11][0], 1, 2) == b"10.0.0.1"
    assert b"kind" in sent[12][0]


@pytest.mark.parametrize("first_only", [False, True])
def test_node_on_every_request_or_on_the_first(control_plane, start_weir, first_only):
    start_weir(dynamic(control_plane, set_node_on_first_message_only=first_only), ready=False)
    first, _ = control_plane.take()
    assert node_of(control_plane, first)
    response = xds.encode((1, "1"), (4, xds.CLUSTER), (5, "nonce"))
    control_plane.answer(response)
    while xds.text(second := control_plane.take()[0], 6 if control_plane.delta else 5) != "nonce":
        pass
    assert bool(node_of(control_plane, second)) == (not first_only)


def test_headers_of_the_stream(control_plane, start_weir):
    start_weir(dynamic(control_plane, {"initial_metadata": [{"key": "x-token", "value": "secret"}]}), ready=False)
    assert control_plane.take()[1]["x-token"] == "secret"


def test_control_plane_tells_who_it_is(control_plane, start_weir):
    weir = start_weir(dynamic(control_plane), ready=False)
    control_plane.take()
    identifier = xds.encode((1, "the control plane"))
    control_plane.answer(xds.encode((1, "1"), (4, xds.CLUSTER), (5, "n"), (7 if control_plane.delta else 6, identifier)))
    wait_until(lambda: weir.stat("control_plane.identifier") == '"the control plane"', "the identifier")


@pytest.mark.parametrize("flush, shown", [({"stats_flush_on_admin": True}, True), ({"stats_flush_interval": "0.05s"}, True),
                                          ({"stats_flush_interval": "299s"}, False)], ids=["on-admin", "often", "seldom"])
def test_when_histograms_are_flushed(start_weir, make_upstream, flush, shown):
    port = free_port()
    bootstrap = config.simple_proxy(port, make_upstream().port)
    weir = start_weir({**bootstrap, **flush})
    assert http1.get(port).status == 200

    def recorded():
        return "P50" in weir.stats().get("cluster.upstream.upstream_rq_time", "")
    if shown:
        wait_until(recorded, "the histogram")
    else:
        assert weir.stat("cluster.upstream.upstream_rq_200") == 1
        assert not recorded()


def runtime(*layers):
    return {"layers": [{"name": f"layer{i}", "static_layer": layer} for i, layer in enumerate(layers)]}


@pytest.mark.parametrize("layers, body", [
    ([], b"fraction"), ([{"some": {"key": 0}}], b"rest"), ([{"some.key": 0}, {"some": {"key": 100}}], b"fraction"),
    ([{"some": {"key": {"numerator": 0, "denominator": "MILLION"}}}], b"rest"), ([{"other": {"key": 0}}], b"fraction")])
def test_fractions_follow_runtime(start_weir, layers, body):
    port = free_port()
    fraction = {"prefix": "/", "runtime_fraction": {"default_value": {"numerator": 100}, "runtime_key": "some.key"}}
    manager = config.hcm([config.virtual_host(config.direct_response(200, "fraction", match=fraction), config.direct_response(200, "rest"))])
    start_weir(config.bootstrap([config.listener(port, manager)], layered_runtime=runtime(*layers)))
    assert http1.get(port).body == body


@pytest.mark.parametrize("fields, fault", [
    ({"default_regex_engine": {"name": "x", "typed_config": {"@type": config.PREFIX + "regex_engines.v3.GoogleRE2"}}}, None),
    ({"default_regex_engine": {"name": "x", "typed_config": {"@type": config.PREFIX + "filters.http.cors.v3.Cors"}}}, "default_regex_engine.typed_config"),
    ({"dynamic_resources": {"cds_config": {"api_config_source": {"api_type": "GRPC"}}}}, "does not support api_config_source"),
    ({"dynamic_resources": {"lds_config": {"path_config_source": {"path": "/x"}, "resource_api_version": "V2"}}}, "lds_config.resource_api_version"),
    ({"dynamic_resources": {"ads_config": {"api_type": "GRPC", "transport_api_version": "V2"}}}, "ads_config.transport_api_version"),
    ({"cluster_manager": {}}, None),
    ({"cluster_manager": {"local_cluster_name": "x"}}, "local_cluster_name"),
])
def test_what_the_bootstrap_may_say(tmp_path, fields, fault):
    result = validate(config.bootstrap(**fields), tmp_path)
    assert (result.returncode == 0) == (fault is None)
    assert fault is None or fault in result.stderr


@pytest.mark.parametrize("bound, runtime_bound, taken", [(None, None, True), (5, None, False), (None, 5, False), (1000, 5, True)])
def test_largest_regular_expression(tmp_path, bound, runtime_bound, taken):
    expression = {"regex": "/[a-z]+/(one|two)", "google_re2": {} if bound is None else {"max_program_size": bound}}
    manager = config.hcm([config.virtual_host(config.direct_response(200, match={"safe_regex": expression}))])
    fields = {} if runtime_bound is None else {"layered_runtime": runtime({"re2.max_program_size.error_level": runtime_bound})}
    result = validate(config.bootstrap([config.listener(free_port(), manager)], **fields), tmp_path)
    assert (result.returncode == 0) == taken
    assert taken or "has a program size of 16, the maximum is 5" in result.stderr


def test_values_of_headers_as_bytes(start_weir):
    with Upstream() as up:
        port = free_port()
        route = {**config.route("upstream"), "request_headers_to_add": [{"header": {"key": "x-raw", "raw_value": base64.b64encode(b"caf\xe9").decode()}}]}
        start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(route)]))], [config.cluster("upstream", up.port)]))
        assert http1.get(port).status == 200
        assert up.requests[-1].get("x-raw") == "caf\xe9"
