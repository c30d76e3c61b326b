"""What a cluster says of its connections: how many, from where, how long, what they may carry."""

import threading
from pathlib import Path

import pytest

from support import config, h2peer, http1, process, upstream
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


class Proxy:
    def __init__(self, weir, port):
        self.weir, self.port = weir, port

    def status(self):
        return http1.get(self.port).status

    def stat(self, name):
        return self.weir.stat(f"cluster.up.{name}")

    def wait_stat(self, name, value):
        self.weir.wait_stat(f"cluster.up.{name}", value)


@pytest.fixture
def proxy(start_weir):
    def start(cluster, **fields):
        port = free_port()
        listener = config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))
        return Proxy(start_weir(config.bootstrap([listener], [cluster], **fields), concurrency=1), port)
    return start


@pytest.fixture
def held():
    """A handler that answers once the event is set, and the event."""
    released = threading.Event()

    def handler(request, connection):
        connection.read_body(request)
        released.wait(30)
        connection.reply(body=b"ok")
    return handler, released


def http1_options(**common):
    return config.protocol_options(explicit_http_config={"http_protocol_options": {}}, common_http_protocol_options=common)


def test_connections_come_from_the_bound_address(proxy, make_upstream):
    peers = []

    def handler(request, connection):
        peers.append(connection.sock.getpeername()[0])
        connection.reply()
    up = make_upstream(handler)
    p = proxy(config.cluster("up", up.port, upstream_bind_config={"source_address": {"address": "127.0.0.9", "port_value": 0}}))
    assert p.status() == 200
    assert peers == ["127.0.0.9"]


@pytest.mark.parametrize("options, timer", [({"tcp_keepalive": {"keepalive_time": 100}}, "02"), ({}, "00")])
def test_keepalive_of_tcp_is_armed(proxy, make_upstream, options, timer):
    up = make_upstream(upstream.replying())
    p = proxy(config.cluster("up", up.port, upstream_connection_options=options))
    assert p.status() == 200

    def timers():
        """Of weir's end: the kernel's timer column, 02 is keepalive; 01 while something is not acknowledged."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [row[5][:2] for row in rows if row[2] == f"0100007F:{up.port:04X}" and row[3] == "01"]
    wait_until(lambda: timers() == [timer], "the timer")


def test_a_host_has_no_more_connections_than_it_may(proxy, make_upstream, held):
    handler, released = held
    up = make_upstream(handler)
    p = proxy(config.cluster("up", up.port, circuit_breakers={"per_host_thresholds": [{"max_connections": 2}]}))
    clients = [http1.Client(p.port) for _ in range(4)]
    for client in clients:
        client.send_request()
    p.wait_stat("upstream_rq_pending_active", 2)
    assert p.stat("upstream_cx_active") == 2
    released.set()
    assert [client.read_response().status for client in clients] == [200] * 4
    assert len(up.connections) == 2
    for client in clients:
        client.close()


def test_pools_are_counted(proxy, make_upstream):
    ups = [make_upstream(upstream.replying()) for _ in range(2)]
    p = proxy(config.cluster("up", *(up.port for up in ups), circuit_breakers={"thresholds": [{"max_connection_pools": 1}]}))
    assert sorted(p.status() for _ in range(4)) == [200, 200, 503, 503]
    assert p.stat("circuit_breakers.default.cx_pool_open") == 1
    assert p.stat("upstream_cx_pool_overflow") == 2


def test_a_connection_carries_as_many_streams_as_it_may(proxy, make_h2_upstream):
    released = threading.Event()
    up = make_h2_upstream(h2peer.replying(after=released))
    p = proxy(config.cluster("up", up.port, typed_extension_protocol_options=config.protocol_options(
        explicit_http_config={"http2_protocol_options": {"max_concurrent_streams": 2}})))
    with h2peer.Client(p.port) as client:
        streams = [client.open() for _ in range(5)]
        up.wait_requests(5)
        assert len(up.peers) == 3
        released.set()
        assert [stream.read_all() for stream in streams] == [b"ok"] * 5


def test_a_connection_lives_as_long_as_it_may(proxy, make_upstream):
    up = make_upstream(upstream.replying())
    p = proxy(config.cluster("up", up.port, typed_extension_protocol_options=http1_options(max_connection_duration="0.1s")))
    assert p.status() == 200
    p.wait_stat("upstream_cx_max_duration_reached", 1)
    p.wait_stat("upstream_cx_active", 0)
    assert p.status() == 200
    assert len(up.connections) == 2


@pytest.mark.parametrize("options, status", [({}, 502), ({"max_response_headers_kb": 200}, 200)])
def test_the_head_of_a_response_may_be_so_large(proxy, make_upstream, options, status):
    up = make_upstream(upstream.replying(headers=[(f"x-{n}", "a" * 8000) for n in range(12)]))
    p = proxy(config.cluster("up", up.port, typed_extension_protocol_options=http1_options(**options)))
    assert p.status() == status


@pytest.mark.parametrize("options, status", [({}, 502), ({"max_headers_count": 200}, 200)])
def test_a_response_may_have_so_many_headers(proxy, make_upstream, options, status):
    up = make_upstream(upstream.replying(headers=[(f"x-{n}", "a") for n in range(150)]))
    p = proxy(config.cluster("up", up.port, typed_extension_protocol_options=http1_options(**options)))
    assert p.status() == status


def test_statistics_under_another_name(proxy, make_upstream):
    up = make_upstream(upstream.replying())
    p = proxy(config.cluster("up", up.port, alt_stat_name="an:other"))
    assert p.status() == 200
    assert p.weir.stat("cluster.an_other.upstream_rq_total") == 1
    assert "cluster.up." not in p.weir.admin("/stats")[1]


@pytest.mark.parametrize("waits", [True, False])
def test_start_up_waits_for_a_cluster_that_asks_for_it(start_program, waits, tmp_path):
    """Its name is asked of a server that never answers."""
    import json
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        cluster = config.cluster("up", type="STRICT_DNS", wait_for_warm_on_init=waits, dns_lookup_family="V4_ONLY", load_assignment={
            "cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": config.address(1, "up.test")}}]}]},
            dns_resolution_config={"resolvers": [config.address(silent.getsockname()[1])]})
        (tmp_path / "c.json").write_text(json.dumps(config.bootstrap([], [cluster])))
        admin = tmp_path / "admin"
        program = start_program("weir", "-c", tmp_path / "c.json", "--concurrency", 1, "--admin-address-path", admin)
        wait_until(lambda: admin.exists() and admin.read_text(), "admin")
        port = int(admin.read_text().rpartition(":")[2])
        if waits:
            assert http1.get(port, "/ready").status == 503
        else:
            wait_until(lambda: http1.get(port, "/ready").status == 200, "ready")
        assert program.running()


def test_gateway_failures_in_a_row_eject(proxy, make_upstream):
    up = [make_upstream(upstream.replying(502)) for _ in range(2)]
    p = proxy(config.cluster("up", *(u.port for u in up), outlier_detection={
        "consecutive_5xx": 1000, "consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100, "max_ejection_percent": 50}))
    wait_until(lambda: p.status() == 502 and p.stat("outlier_detection.ejections_enforced_consecutive_gateway_failure") == 1, "the ejection")
    assert p.stat("outlier_detection.ejections_active") == 1
    assert p.stat("outlier_detection.ejections_enforced_consecutive_5xx") == 0
