"""Clusters: how requests are shared out, what limits them, how hosts are found and reached."""

import collections
import socket
import threading

import pytest

from support import config, h2peer, http1, process, tls, upstream
from support.dns import DnsServer
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


class Proxy:
    def __init__(self, weir, port):
        self.weir, self.port = weir, port

    def share(self, count):
        """How many of so many requests each upstream answered, by its name."""
        with http1.Client(self.port) as client:
            return collections.Counter(client.request().body.decode() for _ in range(count))

    def get(self):
        response = http1.get(self.port)
        return response.status, response.body.decode()

    def stat(self, name):
        return self.weir.stat(f"cluster.up.{name}")


@pytest.fixture
def proxy(start_weir):
    """proxy(cluster, concurrency=1, **fields of the bootstrap) -> Proxy: everything to one cluster, named up."""
    def start(cluster, concurrency=1, action=None, **fields):
        port = free_port()
        listener = config.listener(port, config.hcm([config.virtual_host(config.route("up", **(action or {})))]))
        return Proxy(start_weir(config.bootstrap([listener], [cluster], **fields), concurrency=concurrency), port)
    return start


@pytest.fixture
def named(make_upstream):
    """named("a", "b", ...) -> upstreams that answer with their name."""
    def make(*names, **options):
        return [make_upstream(upstream.replying(body=name.encode()), **options) for name in names]
    return make


def endpoint(port, **fields):
    return {"endpoint": {"address": config.address(port)}, **fields}


def with_endpoints(*localities, policy=None, **fields):
    assignment = {"cluster_name": "up", "endpoints": list(localities)}
    if policy:
        assignment["policy"] = policy
    return config.cluster("up", load_assignment=assignment, **fields)


def locality(*endpoints, **fields):
    return {"lb_endpoints": list(endpoints), **fields}


# Sharing out


def test_round_robin_is_even(proxy, named):
    p = proxy(config.cluster("up", *(u.port for u in named("a", "b", "c"))))
    assert p.share(30) == {"a": 10, "b": 10, "c": 10}


def test_weights_are_followed(proxy, named):
    a, b = named("a", "b")
    p = proxy(with_endpoints(locality(endpoint(a.port, load_balancing_weight=3), endpoint(b.port, load_balancing_weight=1))))
    shared = p.share(40)
    assert 28 <= shared["a"] <= 32


@pytest.mark.parametrize("policy", ["RANDOM", "LEAST_REQUEST"])
def test_every_policy_reaches_every_host(proxy, named, policy):
    p = proxy(config.cluster("up", *(u.port for u in named("a", "b", "c")), lb_policy=policy))
    assert set(p.share(60)) == {"a", "b", "c"}


def test_least_request_avoids_the_busy_host(proxy, make_upstream, named):
    released = threading.Event()

    def slow(request, connection):
        released.wait(30)
        connection.reply(body=b"slow")

    busy, idle = make_upstream(slow), named("idle")[0]
    least = config.typed(config.PREFIX + "load_balancing_policies.least_request.v3.LeastRequest", selection_method="FULL_SCAN")
    p = proxy(config.cluster("up", busy.port, idle.port, load_balancing_policy={
        "policies": [{"typed_extension_config": {"name": "least", "typed_config": least}}]}))
    waiting = []
    try:
        while not busy.requests:
            waiting.append(http1.Client(p.port))
            waiting[-1].send_request()
            wait_until(lambda: len(busy.requests) + len(idle.requests) >= len(waiting), "the request at an upstream")
        assert p.share(10) == {"idle": 10}
    finally:
        released.set()
        for client in waiting:
            client.close()


def test_unhealthy_hosts_get_nothing(proxy, named):
    a, b, c, d = named("a", "b", "c", "d")
    p = proxy(with_endpoints(locality(endpoint(a.port), endpoint(b.port, health_status="UNHEALTHY"), endpoint(c.port, health_status="HEALTHY"),
                                      endpoint(d.port, health_status="DRAINING"))))
    assert p.share(20) == {"a": 10, "c": 10}
    assert p.stat("membership_total") == 4 and p.stat("membership_healthy") == 2


def test_below_the_panic_threshold_every_host_is_used(proxy, named):
    a, b, c = named("a", "b", "c")
    bad = {"health_status": "UNHEALTHY"}
    p = proxy(with_endpoints(locality(endpoint(a.port), endpoint(b.port, **bad), endpoint(c.port, **bad))))
    assert p.share(30) == {"a": 10, "b": 10, "c": 10}
    assert p.stat("lb_healthy_panic") == 30


def test_without_panic_a_dead_cluster_has_no_host(proxy, named):
    p = proxy(with_endpoints(locality(endpoint(named("a")[0].port, health_status="UNHEALTHY")),
                             common_lb_config={"healthy_panic_threshold": {"value": 0}}))
    assert p.get() == (503, "no healthy upstream")
    assert p.stat("lb_healthy_panic") == 0


def test_the_second_priority_takes_over_when_the_first_is_down(proxy, named):
    a, b = named("a", "b")
    p = proxy(with_endpoints(locality(endpoint(a.port, health_status="UNHEALTHY")), locality(endpoint(b.port), priority=1)))
    assert p.share(10) == {"b": 10}


def test_the_first_priority_takes_all_while_it_is_well(proxy, named):
    a, b = named("a", "b")
    p = proxy(with_endpoints(locality(endpoint(a.port)), locality(endpoint(b.port), priority=1)))
    assert p.share(10) == {"a": 10}


def test_locality_weights_are_followed(proxy, named):
    a, b, c = named("a", "b", "c")
    p = proxy(with_endpoints(locality(endpoint(a.port), endpoint(b.port), load_balancing_weight=1, locality={"zone": "x"}),
                             locality(endpoint(c.port), load_balancing_weight=3, locality={"zone": "y"}),
                             common_lb_config={"locality_weighted_lb_config": {}}))
    shared = p.share(40)
    assert 28 <= shared["c"] <= 32 and shared["a"] + shared["b"] + shared["c"] == 40


def test_drop_overloads_drop(proxy, named):
    p = proxy(with_endpoints(locality(endpoint(named("a")[0].port)), policy={
        "drop_overloads": [{"category": "all", "drop_percentage": {"numerator": 100}}]}))
    response = http1.get(p.port)
    assert (response.status, response.body) == (503, b"unconditional drop overload")
    assert response.get("x-envoy-unconditional-drop-overload") == "true"


def test_maintenance_mode_answers_for_the_cluster(proxy, named):
    p = proxy(config.cluster("up", named("a")[0].port), layered_runtime={
        "layers": [{"name": "static", "static_layer": {"upstream.maintenance_mode.up": 100}}]})
    response = http1.get(p.port)
    assert (response.status, response.body) == (503, b"maintenance mode")
    assert response.get("x-envoy-overloaded") == "true"
    assert p.stat("upstream_rq_maintenance_mode") == 1


# Limits


def test_one_connection_is_used_again(proxy, named):
    a, = named("a")
    p = proxy(config.cluster("up", a.port))
    p.share(20)
    assert len(a.connections) == 1
    assert p.stat("upstream_cx_total") == 1


def test_at_the_connection_limit_requests_wait_for_their_turn(proxy, make_upstream):
    released = threading.Event()

    def slow(request, connection):
        released.wait(30)
        connection.reply(body=b"ok")

    up = make_upstream(slow)
    p = proxy(config.cluster("up", up.port, circuit_breakers={"thresholds": [{"max_connections": 1}]}))
    clients = [http1.Client(p.port) for _ in range(5)]
    for client in clients:
        client.send_request()
    p.weir.wait_stat("cluster.up.upstream_rq_pending_active", 4)
    assert p.stat("circuit_breakers.default.cx_open") == 1
    released.set()
    assert [client.read_response().body for client in clients] == [b"ok"] * 5
    assert len(up.connections) == 1
    assert p.stat("upstream_cx_overflow") >= 1
    for client in clients:
        client.close()


def test_requests_beyond_the_limit_are_refused(proxy, make_h2_upstream):
    released = threading.Event()
    up = make_h2_upstream(h2peer.replying(after=released))
    p = proxy(config.cluster("up", up.port, http2=True, circuit_breakers={"thresholds": [{"max_requests": 1}]}))
    with http1.Client(p.port) as first:
        first.send_request()
        up.wait_requests(1)
        assert p.get() == (503, "upstream connect error or disconnect/reset before headers. reset reason: overflow")
        assert p.stat("upstream_rq_active_overflow") == 1
        assert p.stat("circuit_breakers.default.rq_open") == 1
        released.set()
        assert first.read_response().status == 200
    p.weir.wait_stat("cluster.up.circuit_breakers.default.rq_open", 0)


def layers(**static):
    return {"layers": [{"name": "static", "static_layer": static}, {"name": "admin", "admin_layer": {}}]}


def test_circuit_breakers_follow_the_runtime(proxy, make_h2_upstream):
    released = threading.Event()
    up = make_h2_upstream(h2peer.replying(after=released))
    p = proxy(config.cluster("up", up.port, http2=True), layered_runtime=layers(**{"circuit_breakers.up.default.max_requests": 1}))
    assert "up::default_priority::max_requests::1\n" in p.weir.admin("/clusters")[1]
    with http1.Client(p.port) as first, http1.Client(p.port) as second:
        first.send_request()
        up.wait_requests(1)
        assert p.get()[0] == 503
        assert p.stat("circuit_breakers.default.rq_open") == 1
        assert p.weir.admin("/runtime_modify?circuit_breakers.up.default.max_requests=2", "POST")[0] == 200
        p.weir.wait_stat("cluster.up.circuit_breakers.default.rq_open", 0)
        refused = 1

        def let_through():
            """The worker hears of it in its own time."""
            nonlocal refused
            second.send_request()
            wait_until(lambda: len(up.requests) == 2 or second.readable(), "the request's fate")
            if len(up.requests) == 2:
                return True
            assert second.read_response().status == 503
            refused += 1
            return False
        wait_until(let_through, "the second request to be let through")
        assert p.get()[0] == 503
        assert p.stat("upstream_rq_active_overflow") == refused + 1
        released.set()
        assert first.read_response().status == second.read_response().status == 200
    assert p.weir.admin("/runtime_modify?circuit_breakers.up.default.max_requests=", "POST")[0] == 200
    assert "up::default_priority::max_requests::1\n" in p.weir.admin("/clusters")[1]


def test_a_connection_is_closed_after_its_share_of_requests(proxy, named):
    a, = named("a")
    p = proxy(config.cluster("up", a.port, typed_extension_protocol_options=config.protocol_options(
        explicit_http_config={"http_protocol_options": {}}, common_http_protocol_options={"max_requests_per_connection": 2})))
    p.share(6)
    assert len(a.connections) == 3
    assert p.stat("upstream_cx_max_requests") == 3


def test_an_idle_connection_is_closed(proxy, named):
    a, = named("a")
    p = proxy(config.cluster("up", a.port, typed_extension_protocol_options=config.protocol_options(
        explicit_http_config={"http_protocol_options": {}}, common_http_protocol_options={"idle_timeout": "0.1s"})))
    p.share(1)
    p.weir.wait_stat("cluster.up.upstream_cx_idle_timeout", 1)
    p.weir.wait_stat("cluster.up.upstream_cx_active", 0)


def test_a_host_that_does_not_accept_times_out(proxy):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The queue holds one: further connections stay unanswered.
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        p = proxy(config.cluster("up", full.getsockname()[1], connect_timeout="0.2s"))
        assert p.get() == (503, "upstream connect error or disconnect/reset before headers. reset reason: connection timeout")
        assert p.stat("upstream_cx_connect_timeout") == 1
        for filler in fillers:
            filler.close()


# Reaching hosts


def test_a_unix_socket_is_an_endpoint(proxy, tmp_path):
    path = tmp_path / "up.sock"
    with upstream.Upstream(upstream.replying(body=b"unix"), path=path):
        p = proxy(config.cluster("up", path))
        assert p.get() == (200, "unix")


def test_the_upstream_speaks_what_the_client_speaks(proxy, make_h2_upstream, named):
    both = config.protocol_options(use_downstream_protocol_config={"http_protocol_options": {}, "http2_protocol_options": {}})
    p = proxy(config.cluster("up", named("one")[0].port, typed_extension_protocol_options=both))
    assert p.get() == (200, "one")
    p = proxy(config.cluster("up", make_h2_upstream(h2peer.replying(body=b"two")).port, typed_extension_protocol_options=both))
    with h2peer.Client(p.port) as client:
        assert client.request().body == b"two"


def test_waiting_requests_share_one_http2_connection(proxy, make_h2_upstream):
    up = make_h2_upstream(h2peer.replying(body=b"ok"))
    p = proxy(config.cluster("up", up.port, http2=True))
    with h2peer.Client(p.port) as client:
        streams = [client.open() for _ in range(20)]
        assert [stream.read_all() for stream in streams] == [b"ok"] * 20
    assert len(up.peers) == 1
    assert p.stat("upstream_cx_http2_total") == 1


@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_alpn_chooses_the_protocol(proxy, make_upstream, make_h2_upstream, authority, server_certificate, alpn):
    context = tls.server_context(server_certificate, [alpn])
    up = make_h2_upstream(h2peer.replying(), tls=context) if alpn == "h2" else make_upstream(upstream.replying(), tls=context)
    p = proxy(config.cluster("up", up.port, tls=config.upstream_tls(authority.ca),
                             typed_extension_protocol_options=config.protocol_options(auto_config={})))
    assert p.get() == (200, "ok")
    assert p.stat("upstream_cx_http2_total" if alpn == "h2" else "upstream_cx_http1_total") == 1


def test_the_server_name_follows_the_host_and_is_verified(proxy, make_upstream, authority, server_certificate):
    names = []
    context = tls.server_context(server_certificate)
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    up = make_upstream(upstream.replying(), tls=context)
    p = proxy(config.cluster("up", up.port, tls=config.upstream_tls(authority.ca),
                             typed_extension_protocol_options=config.protocol_options(
                                 explicit_http_config={"http_protocol_options": {}},
                                 upstream_http_protocol_options={"auto_sni": True, "auto_san_validation": True})))
    with http1.Client(p.port) as client:
        assert client.request(host="a.test:8443").status == 200
        assert names == ["a.test"]
        refused = client.request(host="b.test")
    assert refused.status == 503
    assert names == ["a.test", "b.test"]


# Names


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.close()


def by_name(dns, port, **fields):
    assignment = {"cluster_name": "up", "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": config.address(port, host="up.test")}}]}]}
    return {"name": "up", "type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "connect_timeout": "5s",
            "dns_resolution_config": {"resolvers": [config.address(dns.port)],
                                      "dns_resolver_options": {"no_default_search_domain": True}},
            "load_assignment": assignment, **fields}


def test_a_name_is_resolved_again_and_again(proxy, named, dns):
    a, = named("a")
    dns.table["up.test"] = ["127.0.0.1"]
    p = proxy(by_name(dns, a.port, dns_refresh_rate="0.05s"))
    assert p.get() == (200, "a")
    dns.table["up.test"] = ["127.0.0.1", "127.0.0.2"]
    p.weir.wait_stat("cluster.up.membership_total", 2)
    dns.failing = True
    asked = dns.questions
    wait_until(lambda: dns.questions > asked + 8, "further questions")
    assert p.stat("membership_total") == 2
    assert p.stat("update_failure") >= 1
    dns.failing = False
    del dns.table["up.test"]
    p.weir.wait_stat("cluster.up.membership_total", 0)
    assert p.get() == (503, "no healthy upstream")


CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


@pytest.mark.parametrize("where", ["none", "cluster", "options", "typed"])
def test_names_are_asked_for_over_tcp_where_told_so(proxy, named, dns, where):
    a, = named("a")
    dns.table["up.test"] = ["127.0.0.1"]
    options = {"use_tcp_for_dns_lookups": True, "no_default_search_domain": True}
    resolvers = [config.address(dns.port)]
    fields = {"none": {}, "cluster": {"use_tcp_for_dns_lookups": True, "dns_resolution_config": None, "dns_resolvers": resolvers},
              "options": {"dns_resolution_config": {"resolvers": resolvers, "dns_resolver_options": options}},
              "typed": {"dns_resolution_config": None, "typed_dns_resolver_config": {
                  "name": "cares", "typed_config": config.typed(CARES, resolvers=resolvers, dns_resolver_options=options)}}}[where]
    cluster = {name: value for name, value in by_name(dns, a.port, **fields).items() if value is not None}
    assert proxy(cluster).get() == (200, "a")
    assert (dns.questions > 0, dns.questions_by_tcp > 0) == (where == "none", where != "none")


def test_start_up_waits_for_the_first_answer(start_weir, named, dns):
    a, = named("a")
    port = free_port()
    dns.table["up.test"] = ["127.0.0.1"]
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                [by_name(dns, a.port)]))
    assert http1.get(port).status == 200


# Outlier detection


def test_a_refusing_host_is_ejected_by_its_local_failures(proxy, named):
    a, = named("a")
    dead = free_port()
    p = proxy(config.cluster("up", a.port, dead, outlier_detection={
        "consecutive_5xx": 2, "max_ejection_percent": 50, "interval": "0.05s", "base_ejection_time": "300s"}))
    wait_until(lambda: p.share(2) and p.stat("outlier_detection.ejections_active") == 1, "the ejection")
    assert p.share(10) == {"a": 10}
    assert f"127.0.0.1:{dead}::health_flags::/failed_outlier_check" in p.weir.admin("/clusters")[1]


def test_no_more_hosts_are_ejected_than_allowed(proxy, make_upstream):
    bad = [make_upstream(upstream.replying(503, body=b"bad")) for _ in range(4)]
    p = proxy(config.cluster("up", *(u.port for u in bad), outlier_detection={"consecutive_5xx": 1, "max_ejection_percent": 50}))
    wait_until(lambda: p.share(8) and p.stat("outlier_detection.ejections_overflow") >= 1, "an ejection too many")
    assert p.stat("outlier_detection.ejections_active") == 2
    assert p.stat("membership_healthy") == 2


def test_outlier_detection_follows_the_runtime(proxy, make_upstream):
    bad = [make_upstream(upstream.replying(503, body=b"bad")) for _ in range(4)]
    p = proxy(config.cluster("up", *(u.port for u in bad), outlier_detection={
        "consecutive_5xx": 1, "max_ejection_percent": 100, "interval": "0.05s", "base_ejection_time": "300s"}),
        layered_runtime=layers(outlier_detection={"enforcing_consecutive_5xx": 0}))
    wait_until(lambda: p.share(4) and p.stat("outlier_detection.ejections_detected_consecutive_5xx") >= 4, "outliers")
    assert p.stat("outlier_detection.ejections_enforced_total") == 0
    for change in ("enforcing_consecutive_5xx=100", "max_ejection_percent=25"):
        assert p.weir.admin(f"/runtime_modify?outlier_detection.{change}", "POST")[0] == 200
    wait_until(lambda: p.share(4) and p.stat("outlier_detection.ejections_active") == 1, "the ejection")
    wait_until(lambda: p.share(4) and p.stat("outlier_detection.ejections_overflow") >= 1, "an ejection too many")
    assert p.stat("outlier_detection.ejections_active") == 1
    for change in ("base_ejection_time_ms=1", "consecutive_5xx=100000"):
        assert p.weir.admin(f"/runtime_modify?outlier_detection.{change}", "POST")[0] == 200
    p.weir.wait_stat("cluster.up.outlier_detection.ejections_active", 0)
