"""Options of clusters that requests show: breakers, ejections, names towards the upstream, protocols."""

import pytest

from support import config, h2peer, http1, process, tls, upstream
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

POLICIES = config.PREFIX + "load_balancing_policies."


def failing(request, connection):
    connection.read_body(request)
    connection.reply(503)


@pytest.fixture
def serve(start_weir):
    """serve(cluster, route fields): a listener whose requests all go to the cluster `up`; .port."""
    def start(cluster, concurrency=2, **action):
        port = free_port()
        weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up", **action))]))], [cluster]),
                          concurrency=concurrency)
        weir.port = port
        return weir
    return start


def test_what_is_left_under_the_limits(serve, make_upstream):
    def breakers(tracked):
        return {"thresholds": [{"track_remaining": tracked, "max_connections": 7, "max_requests": 9, "max_pending_requests": 11, "max_retries": 5}]}
    up = make_upstream(upstream.replying())
    for tracked, expected in ((True, {"cx": 6, "rq": 9, "pending": 11, "retries": 5}), (False, {"cx": 0, "rq": 0, "pending": 0, "retries": 0})):
        weir = serve(config.cluster("up", up.port, circuit_breakers=breakers(tracked)))
        assert http1.get(weir.port).status == 200
        for name, left in expected.items():
            weir.wait_stat(f"cluster.up.circuit_breakers.default.remaining_{name}", left)
        weir.stop()


@pytest.mark.parametrize("least, attempts", [(0, 1), (1, 2), (None, 2)])
def test_retries_that_are_always_allowed(serve, make_upstream, least, attempts):
    up = make_upstream(failing)
    budget = {"budget_percent": {"value": 0}, **({} if least is None else {"min_retry_concurrency": least})}
    weir = serve(config.cluster("up", up.port, circuit_breakers={"thresholds": [{"retry_budget": budget}]}),
                 retry_policy={"retry_on": "5xx", "num_retries": 1})
    assert http1.get(weir.port).status == 503
    assert len(up.requests) == attempts
    assert weir.stat("cluster.up.upstream_rq_retry_overflow") == 2 - attempts


@pytest.mark.parametrize("always, counter", [(False, "ejections_overflow"), (True, "ejections_enforced_total")])
def test_one_host_may_always_be_ejected(serve, make_upstream, always, counter):
    weir = serve(config.cluster("up", make_upstream(failing).port, outlier_detection={
        "consecutive_5xx": 1, "max_ejection_percent": 0, "always_eject_one_host": always, "max_ejection_time_jitter": "0.01s"}))
    assert http1.get(weir.port).status == 503
    weir.wait_stat(f"cluster.up.outlier_detection.{counter}", 1)


@pytest.mark.parametrize("split, counter", [(False, "ejections_enforced_consecutive_5xx"), (True, "ejections_enforced_consecutive_local_origin_failure")])
def test_failures_of_the_way_are_counted_by_themselves(serve, split, counter):
    weir = serve(config.cluster("up", free_port(), outlier_detection={
        "consecutive_5xx": 2, "consecutive_local_origin_failure": 2, "enforcing_consecutive_local_origin_failure": 100,
        "max_ejection_percent": 100, "split_external_local_origin_errors": split}))
    for _ in range(2):
        assert http1.get(weir.port).status == 503
    weir.wait_stat(f"cluster.up.outlier_detection.{counter}", 1)
    assert weir.stat("cluster.up.outlier_detection.ejections_enforced_total") == 1


@pytest.mark.parametrize("header, name", [(None, "asked.test"), ("x-name", "told.test")])
def test_name_towards_the_upstream_follows_the_request(serve, make_upstream, server_certificate, header, name):
    server, names = tls.server_context(server_certificate), []
    server.sni_callback = lambda sock, given, _: names.append(given)
    up = make_upstream(upstream.replying(), tls=server)
    cluster = config.cluster("up", up.port, tls=config.upstream_tls(sni="fixed.test"))
    cluster["typed_extension_protocol_options"] = config.protocol_options(
        explicit_http_config={"http_protocol_options": {}},
        upstream_http_protocol_options={"auto_sni": True, **({"override_auto_sni_header": header} if header else {})})
    weir = serve(cluster)
    with http1.Client(weir.port) as client:
        assert client.request("GET", "/", {"x-name": "told.test"}, host="asked.test").status == 200
    assert names == [name]


def test_protocol_of_the_client_is_that_of_the_upstream(serve, make_upstream, make_h2_upstream):
    for make, ask in ((make_upstream, http1.get), (make_h2_upstream, h2_get)):
        weir = serve(config.cluster("up", make().port, protocol_selection="USE_DOWNSTREAM_PROTOCOL", http2_protocol_options={}))
        assert ask(weir.port).status == 200
        weir.stop()


@pytest.mark.parametrize("pools, status", [(1, 503), (2, 200)])
def test_pools_of_other_kinds_are_bounded(serve, make_upstream, authority, pools, status):
    """Each name towards the upstream has a pool of its own; one that carries a request is not given up for another."""
    def hold(request, connection):
        if request.target != "/hold":
            connection.read_body(request)
            connection.reply()
    up = make_upstream(hold, tls=tls.server_context(authority.issue("pools")))
    cluster = config.cluster("up", up.port, tls=config.upstream_tls(), circuit_breakers={"thresholds": [{"max_connection_pools": pools}]})
    cluster["typed_extension_protocol_options"] = config.protocol_options(
        explicit_http_config={"http_protocol_options": {}}, upstream_http_protocol_options={"auto_sni": True})
    weir = serve(cluster, concurrency=1)
    with http1.Client(weir.port) as first, http1.Client(weir.port) as second:
        first.send_request("GET", "/hold", host="first.test")
        up.wait_requests(1)
        assert second.request("GET", "/", host="second.test").status == status
    assert weir.stat("cluster.up.upstream_cx_pool_overflow") == 2 - pools


def h2_get(port):
    with h2peer.Client(port) as client:
        return client.request("GET", "/")


@pytest.mark.parametrize("policy", [{"lb_policy": "ROUND_ROBIN", "round_robin_lb_config": {}}, {"load_balancing_policy": {"policies": [
    {"typed_extension_config": {"name": "least", "typed_config": config.typed(POLICIES + "least_request.v3.LeastRequest", enable_full_scan=True)}}]}}],
    ids=["round-robin", "full-scan"])
def test_all_hosts_get_their_share(serve, make_upstream, policy):
    ups = [make_upstream(upstream.replying()) for _ in range(3)]
    weir = serve(config.cluster("up", *[up.port for up in ups], **policy))
    for _ in range(30):
        assert http1.get(weir.port).status == 200
    assert all(up.requests for up in ups)


def test_full_scan_finds_the_idle_host(serve, make_upstream):
    """Two hosts of three hold a request each: with two choices the third is not always met, with all of them it is."""
    held = []

    def hold(request, connection):
        if request.target == "/hold":
            held.append(connection)
            connection.read_to_end()
        else:
            connection.read_body(request)
            connection.reply()
    ups = [make_upstream(hold) for _ in range(3)]
    weir = serve(config.cluster("up", *[up.port for up in ups], load_balancing_policy={"policies": [{"typed_extension_config": {
        "name": "least", "typed_config": config.typed(POLICIES + "least_request.v3.LeastRequest", selection_method="FULL_SCAN")}}]}))
    clients = []
    for count in (1, 2):
        clients.append(http1.Client(weir.port))
        clients[-1].send_request("GET", "/hold")
        weir.wait_stat("cluster.up.upstream_rq_active", count)
    for _ in range(20):
        assert http1.get(weir.port).status == 200
    idle = [up for up in ups if not any(request.target == "/hold" for request in up.requests)]
    assert len(idle) == 1
    assert len([request for request in idle[0].requests if request.target == "/"]) == 20
    for client in clients:
        client.close()
