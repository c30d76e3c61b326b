"""What is counted of each subscription (CDS, LDS, endpoints by cluster, route tables by connection manager): weir's numbers are the real
Envoy's after the same updates, refusals and losses of the control plane."""

import re

import pytest

from support import config, http1, process
from support.parity import RealEnvoy
from support.ports import free_port
from support.resources import ADS, eds_cluster, endpoints, resource, routes
from support.wait import wait_until
from support.weir import Weir
from test_xds import ControlPlane

pytestmark = pytest.mark.peers
if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)

COUNTED = re.compile(r"(cluster\.(a|b)\.|http\.dyn\.rds\.r_1\.|cluster_manager\.cds\.|listener_manager\.lds\.)"
                     r"(update_(attempt|success|rejected|failure|empty|no_rebuild)|init_fetch_timeout|config_reload|assignment_\w+|version)$")
VERSIONS = re.compile(r"(cluster\.\w+|http\.dyn\.rds\.r_1|cluster_manager\.cds|listener_manager\.lds)\.version_text$")


class Run:
    """One program under a control plane of its own, whose resources are the same as the other's."""

    def __init__(self, which, api_type, ports, start_program, workdir, real_envoy):
        self.plane, self.ports, self.api_type = ControlPlane(start_program, workdir / which), ports, api_type
        self.serve()
        self.plane.start().program.wait_log("listening on")  # no attempt before it
        made = self.plane.bootstrap(api_type)
        self.program = RealEnvoy(real_envoy, made, workdir) if which == "envoy" else Weir(made, workdir, concurrency=1)
        self.program.start()

    def serve(self, a_ports=(1,), b_ports=(2,), route=None):
        dynamic = config.hcm(None, stat_prefix="dyn", rds={"route_config_name": "r:1", "config_source": ADS})
        self.plane.serve(eds_cluster("a"), eds_cluster("b"), endpoints("a", *a_ports), endpoints("b", *b_ports),
                         routes("r:1", route or config.route("a")),
                         resource("listener.v3.Listener", config.listener(self.ports["dyn"], dynamic, name="dyn")))

    def counted(self):
        return {name: value for name, value in self.program.stats().items() if COUNTED.match(name)}

    def wait(self, name, value):
        self.program.wait_stat(name, value)
        return self.counted()


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def runs(request, start_program, real_envoy, tmp_path):
    ports = {"dyn": 0}
    made = []
    try:
        for which in ("weir", "envoy"):
            made.append(Run(which, request.param, ports, start_program, tmp_path, real_envoy))
        yield made
    finally:
        for run in made:
            run.program.stop()


def alike(runs, name, value, but=()):
    weir, envoy = (run.wait(name, value) for run in runs)
    assert {key for key in weir if weir[key] != envoy.get(key)} | (envoy.keys() - weir.keys()) == set(but)
    return weir


def test_subscriptions_are_counted_as_envoy_counts_them(runs):
    first = alike(runs, "http.dyn.rds.r_1.update_success", 1)
    assert first["cluster.a.update_attempt"] == 2 and first["http.dyn.rds.r_1.config_reload"] == 1
    for run in runs:
        texts = {name: value for name, value in run.program.stats().items() if VERSIONS.match(name)}
        assert len(texts) == 5 and all(re.fullmatch(r'"[0-9a-f]+"', text) for text in texts.values())
        run.serve(a_ports=(1, 3))
    second = alike(runs, "cluster.a.update_success", 2)
    assert second["cluster.a.update_no_rebuild"] == 0
    for run in runs:
        run.serve(a_ports=(1, 3), route=config.route("b"))
    alike(runs, "http.dyn.rds.r_1.config_reload", 2)
    for run in runs:
        run.serve(a_ports=(1, 3), route=config.route("b", match={"safe_regex": {"regex": "("}}))
    twice = {"http.dyn.rds.r_1.update_attempt"} if runs[0].api_type == "DELTA_GRPC" else ()  # so Envoy counts a refused delta response
    refused = alike(runs, "http.dyn.rds.r_1.update_rejected", 1, but=twice)
    assert refused["http.dyn.rds.r_1.update_success"] == 2


def test_every_subscription_counts_a_lost_control_plane(runs):
    for run in runs:
        run.wait("http.dyn.rds.r_1.update_success", 1)
        run.plane.program.stop()

        def told():
            numbers = run.counted()
            failures = {name: value for name, value in numbers.items() if name.endswith(".update_failure")}
            assert len(failures) == 5
            return set(failures.values()) != {0} and len(set(failures.values())) == 1 and numbers
        numbers = wait_until(told, "failures of all subscriptions")
        for name, failures in numbers.items():
            if not name.endswith(".update_failure"):
                continue
            prefix = name.removesuffix("update_failure")
            assert numbers[f"{prefix}update_attempt"] == 1 + numbers[f"{prefix}update_success"] + failures


def test_a_table_that_does_not_come_is_counted(start_program, start_weir, real_envoy, tmp_path):
    found = {}
    for which in ("weir", "envoy"):
        plane = ControlPlane(start_program, tmp_path / which)
        port = free_port()
        soon = {**ADS, "initial_fetch_timeout": "0.2s"}
        waiting = config.hcm(None, stat_prefix="dyn", rds={"route_config_name": "none", "config_source": soon})
        plane.serve(resource("cluster.v3.Cluster", {"name": "a", "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": soon}}),
                    resource("listener.v3.Listener", config.listener(port, waiting, name="dyn")))
        plane.start().program.wait_log("listening on")
        program = RealEnvoy(real_envoy, plane.bootstrap(), tmp_path) if which == "envoy" else Weir(plane.bootstrap(), tmp_path, concurrency=1)
        program.start()
        try:
            assert http1.get(port).status == 404
            found[which] = {name: value for name, value in program.stats().items()
                            if re.match(r"(cluster\.a|http\.dyn\.rds\.none)\.(update_(attempt|success|failure)|init_fetch_timeout)$", name)}
        finally:
            program.stop()
    assert found["weir"] == found["envoy"]
    assert found["weir"]["cluster.a.init_fetch_timeout"] == found["weir"]["http.dyn.rds.none.init_fetch_timeout"] == 1
