"""What an update costs: unchanged resources their hash, one changed endpoint set work for that set alone."""

import pytest

from support import config, process
from support.xds import CLUSTER, ENDPOINTS
from support.xds_server import any_of, eds_cluster, load_assignment, wrapped

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

ADS = {"ads": {}, "resource_api_version": "V3"}
MANY = 1000


class Given:
    def __init__(self, api_type, plane, start_weir):
        self.weir = start_weir({
            "node": {"id": "test", "cluster": "tests"},
            "admin": {"address": config.address(0)},
            "dynamic_resources": {
                "ads_config": {"api_type": api_type, "transport_api_version": "V3",
                               "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
                "cds_config": ADS},
            "static_resources": {"clusters": [config.cluster("control", plane.port, http2=True)]},
        }, ready=False)
        self.stream = plane.accept()
        self.stream.take(CLUSTER)

    def send(self, type_url, version, bodies):
        """bodies by name. Waits for the ACK."""
        made = [wrapped(name, version, any_of(type_url, body)) if self.stream.delta else any_of(type_url, body)
                for name, body in bodies.items()]
        nonce = self.stream.send(type_url, version, made)
        while (request := self.stream.take(type_url)).nonce != nonce:
            pass
        assert request.error is None

    def work(self, kind):
        stats = self.weir.stats(f"weir.{kind}.")
        return stats[f"weir.{kind}.resources_compiled"], stats[f"weir.{kind}.resources_unchanged"]


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def given(request, make_control_plane, start_weir):
    return Given(request.param, make_control_plane(), start_weir)


def test_one_changed_endpoint_set_of_a_thousand_is_compiled_alone(given):
    names = [f"cluster-{i}" for i in range(MANY)]
    clusters = {name: eds_cluster(name) for name in names}
    endpoints = {name: load_assignment(name, 1000 + i) for i, name in enumerate(names)}
    given.send(CLUSTER, "1", clusters)
    given.send(ENDPOINTS, "1", endpoints)
    static = 1  # the control plane's own cluster
    assert given.work("cds") == (MANY + static, 0)
    assert given.work("eds") == (MANY, 0)
    changes = {name: given.weir.stat(f"cluster.{name}.membership_change") for name in ("cluster-7", "cluster-8")}
    endpoints["cluster-7"] = load_assignment("cluster-7", 1, 2)
    given.send(ENDPOINTS, "2", {"cluster-7": endpoints["cluster-7"]} if given.stream.delta else endpoints)
    assert given.work("eds") == (MANY + 1, 0 if given.stream.delta else MANY - 1)
    stats = given.weir.stats("cluster.cluster-")
    assert stats["cluster.cluster-7.membership_total"] == 2
    assert stats["cluster.cluster-7.membership_change"] == changes["cluster-7"] + 1
    assert stats["cluster.cluster-8.membership_change"] == changes["cluster-8"]
    # Everything once more, unchanged.
    given.send(CLUSTER, "2", clusters)
    given.send(ENDPOINTS, "3", endpoints)
    assert given.work("cds") == (MANY + static, MANY)
    assert given.work("eds")[0] == MANY + 1
