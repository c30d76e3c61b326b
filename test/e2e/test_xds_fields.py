"""Fields that deserve a word: unknown ones, deprecated ones, unfinished ones; told, counted under Envoy's names, or refused."""

import pytest

from support import config, process
from support.weir import validate
from support.xds import CLUSTER
from support.xds_server import any_of, encode, static_cluster, wrapped

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

ADS = {"ads": {}, "resource_api_version": "V3"}
HTTP2_OPTIONS = 14  # Cluster.http2_protocol_options, deprecated


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def start(request, make_control_plane, start_weir):
    """start(*flags): weir and a function that sends clusters and returns the request that answers them."""
    def run(*args):
        plane = make_control_plane()
        weir = start_weir({
            "node": {"id": "test", "cluster": "tests"},
            "admin": {"address": config.address(0)},
            "dynamic_resources": {
                "ads_config": {"api_type": request.param, "transport_api_version": "V3",
                               "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
                "cds_config": ADS},
            "static_resources": {"clusters": [config.cluster("control", plane.port, http2=True)]},
        }, ready=False, args=args)
        stream = plane.accept()
        stream.take(CLUSTER)

        def send(version, *bodies):
            made = [any_of(CLUSTER, body) for body in bodies]
            stream.send(CLUSTER, version, [wrapped("a", version, one) for one in made] if stream.delta else made)
            return stream.take(CLUSTER)
        return weir, send
    return run


def test_unknown_fields_are_passed_over_and_told_once(start):
    weir, send = start()
    odd = static_cluster("a") + encode((9999, "x"), (9998, 1))
    assert send("1", odd).error is None
    assert weir.stat("server.dynamic_unknown_fields") == 1
    assert send("2", odd + encode((9999, "y"))).error is None
    assert send("3", odd).error is None  # compiled anew, told before
    assert weir.stat("server.dynamic_unknown_fields") == 2
    assert weir.log.count("Unknown field: type envoy.config.cluster.v3.Cluster with unknown field set {9999, 9998}\n") == 1


def test_unknown_fields_are_refused_when_asked_for(start):
    _, send = start("--reject-unknown-dynamic-fields")
    assert send("1", static_cluster("a") + encode((9999, "x"))).error == "a: envoy.config.cluster.v3.Cluster has unknown fields {9999}"


def test_unknown_fields_are_not_counted_when_asked_for(start):
    weir, send = start("--ignore-unknown-dynamic-fields")
    assert send("1", static_cluster("a") + encode((9999, "x"))).error is None
    assert weir.stat("server.dynamic_unknown_fields") == 0


def test_deprecated_fields_work_and_are_told_and_counted(start):
    weir, send = start()
    assert send("1", static_cluster("a") + encode((HTTP2_OPTIONS, encode((2, encode((1, 5))))))).error is None
    assert weir.stat("runtime.deprecated_feature_use") == 1
    assert weir.stat("runtime.deprecated_feature_seen_since_process_start") == 1
    assert "Using deprecated option 'envoy.config.cluster.v3.Cluster.http2_protocol_options' (at http2_protocol_options in a)" in weir.log


def test_fields_of_the_bootstrap_are_counted_once(start_weir):
    one = config.cluster("a", 1, http2_protocol_options={"use_oghttp2_codec": False})
    weir = start_weir(config.bootstrap(clusters=[one]))
    assert weir.stat("runtime.deprecated_feature_use") == 1
    assert weir.stat("server.wip_protos") == 1
    assert "field 'envoy.config.core.v3.Http2ProtocolOptions.use_oghttp2_codec' is marked as work-in-progress" in weir.log


def test_unknown_fields_of_the_bootstrap_are_refused_or_passed_over(start_weir, tmp_path):
    odd = config.bootstrap(clusters=[config.cluster("a", 1, connect_timout="1s")])
    refused = validate(odd, tmp_path)
    assert refused.returncode != 0 and "has no field 'connect_timout'; did you mean" in refused.stderr
    weir = start_weir(odd, args=["--allow-unknown-static-fields"])
    assert weir.stat("server.static_unknown_fields") == 1
    assert "type envoy.config.cluster.v3.Cluster has no field 'connect_timout' (at static_resources.clusters[0])" in weir.log
