"""Configurations of many clusters and routes, and of weir fed by its control plane."""

import json

import load
import proxies
from procs import OTHER_CPUS, Process, wait_ready

from e2e.support import config
from e2e.support.ports import free_port


def bootstrap(case, count):
    """One route and one cluster each for /r0/ to /rN/, all to the same backend."""
    names = [f"r{number}" for number in range(count)]
    manager = config.hcm([config.virtual_host(*(config.route(name, f"/{name}/") for name in names))],
                         codec_type="HTTP1", stat_prefix="bench", generate_request_id=False)
    return config.bootstrap([config.listener(case.port, manager)],
                            [config.cluster(name, case.backend_port) for name in names])


def idle_with_ads(folder, case):
    """Memory of an idle weir whose listener and cluster came by ADS; the reason as text when that does not work."""
    resources = folder / "resources"
    resources.mkdir(exist_ok=True)
    tree = proxies.bootstrap(case)["static_resources"]
    (resources / "all.yaml").write_text(json.dumps({"resources": [
        {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **tree["listeners"][0]},
        {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **tree["clusters"][0]}]}))
    ads_port = free_port()
    control_plane = Process("weir-control-plane", [proxies.ROOT / "build/release/weir-control-plane", "--listen",
                                                   f"127.0.0.1:{ads_port}", "--resources", resources],
                            folder / "control-plane.log", OTHER_CPUS)
    ads = {"resource_api_version": "V3", "ads": {}}
    weir = proxies.Weir()
    process = weir.start_bootstrap(config.bootstrap(
        clusters=[config.cluster("ads", ads_port, http2=True)], node={"id": "bench", "cluster": "bench"},
        dynamic_resources={"lds_config": ads, "cds_config": ads,
                           "ads_config": {"api_type": "GRPC", "transport_api_version": "V3",
                                          "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}]}}), folder)
    try:
        why = wait_ready(process, lambda: load.answers_http1(case.port), 15)
        if why:
            return why
        return process.idle_memory()
    finally:
        process.stop()
        control_plane.stop()
