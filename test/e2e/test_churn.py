"""Configuration that never rests, under traffic: what stays valid loses not one request. WEIR_CHURN_S sets for how long."""

import os
import random
import threading
import time

import pytest

from support import config, h2peer, http1, process
from support.ports import free_port
from support.upstream import replying
from support.wait import wait_until
from test_xds import ControlPlane, endpoints, eds_cluster, listener, routes

if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)

CHURN_S = float(os.environ.get("WEIR_CHURN_S", "8"))
CLIENTS = 8


class Traffic:
    """Clients that keep asking on connections of both protocols, each request for the route that stays."""

    def __init__(self, port):
        self.port = port
        self.stop = threading.Event()
        self.failures = []
        self.done = 0
        self._threads = [threading.Thread(target=self._run, args=(ask,)) for ask in (self._http1, self._http2) * (CLIENTS // 2)]

    def _run(self, ask):
        while not self.stop.is_set() and not self.failures:
            try:
                ask()
            except Exception as error:
                self.failures.append(repr(error))

    def _note(self, status, body):
        self.done += 1
        if (status, body) != (200, b"ok"):
            self.failures.append((status, body))

    def _http1(self):
        with http1.Client(self.port) as client:
            while not self.stop.is_set():
                answer = client.request("GET", "/stays")
                self._note(answer.status, answer.body)
                if answer.get("connection") == "close":
                    return

    def _http2(self):
        with h2peer.Client(self.port) as client:
            while not self.stop.is_set() and client.goaway_code is None:
                stream = client.request("GET", "/stays")
                self._note(stream.status, stream.body)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("api_type", ["GRPC", "DELTA_GRPC"])
def test_nothing_is_lost_while_everything_changes(start_program, start_weir, make_upstream, make_h2_upstream, tmp_path, api_type):
    plane = ControlPlane(start_program, tmp_path / "resources")
    ups = [make_upstream(replying()) for _ in range(3)]
    spoken = make_h2_upstream(h2peer.replying())
    port, side = free_port(), [free_port() for _ in range(3)]
    chance = random.Random(7)

    def serve(round_):
        """Endpoints of the route's cluster come and go; other clusters, routes and listeners do so altogether."""
        hosts = chance.sample(ups, chance.randint(1, 3))
        extra = [f"extra-{number}" for number in range(round_ % 5)]
        made = [config.route(name, f"/{name}", timeout=f"{round_ + 1}s") for name in extra]
        stays = [config.route("up", "/stays", timeout="30s"), config.route("h2", "/stays", timeout="30s")]
        plane.serve(
            eds_cluster("up", connect_timeout=f"{5 + round_ % 2}s"), endpoints("up", *[host.port for host in hosts]),
            eds_cluster("h2", typed_extension_protocol_options=config.protocol_options(explicit_http_config={"http2_protocol_options": {}})),
            endpoints("h2", spoken.port),
            *[eds_cluster(name) for name in extra], *[endpoints(name, ups[0].port) for name in extra],
            routes("routes", *made, stays[round_ % 2], config.direct_response(200, str(round_), "/round")),
            listener(port, stream_idle_timeout=f"{100 + round_ % 3}s"),
            *[listener(at, name=f"side-{at}") for at in side[:round_ % 4]])

    serve(0)
    plane.start()
    weir = start_weir(plane.bootstrap(api_type))
    end, round_ = time.monotonic() + CHURN_S / 2, 0
    with Traffic(port) as traffic:
        while time.monotonic() < end and not traffic.failures:
            round_ += 1
            serve(round_)
            mark = str(round_).encode()
            wait_until(lambda: http1.get(port, "/round").body == mark, f"round {round_}")
    assert traffic.failures == []
    assert traffic.done > CLIENTS
    assert round_ > 1
    assert weir.stat("listener_manager.lds.update_rejected") == 0
    assert weir.stat("cluster_manager.cds.update_rejected") == 0
