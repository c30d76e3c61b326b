"""connection_keepalive of HTTP/2: PINGs find out that a peer has gone without a word, on either side."""

import threading

import pytest

from support import config, h2peer, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

EAGER = {"interval": "0.1s", "timeout": "0.2s"}
PATIENT = {"interval": "0.1s", "timeout": "60s"}
LOG = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"


@pytest.fixture
def proxy(start_weir, tmp_path):
    """proxy(upstream port, downstream keepalive, upstream keepalive): (weir, port, log path)."""
    def start(upstream_port, downstream=None, upstream=None, http2=True):
        port, log = free_port(), tmp_path / "access.log"
        fields = {"http2_protocol_options": {"connection_keepalive": downstream}} if downstream else {}
        manager = config.hcm([config.virtual_host(config.route("up", timeout="0s"))],
                             access_log=[config.file_access_log(log, text_format=LOG)], **fields)
        cluster = config.cluster("up", upstream_port)
        if http2:
            cluster["typed_extension_protocol_options"] = config.protocol_options(explicit_http_config={
                "http2_protocol_options": {"connection_keepalive": upstream} if upstream else {}})
        # One worker: requests of two connections meet on one connection to the upstream.
        return start_weir(config.bootstrap([config.listener(port, manager)], [cluster]), concurrency=1,
                          args=["--file-flush-interval-msec", "10"]), port, log
    return start


def test_a_client_that_does_not_answer_is_closed(proxy, make_upstream):
    gate = threading.Event()
    upstream = make_upstream(lambda request, connection: (gate.wait(60), connection.reply()))
    weir, port, log = proxy(upstream.port, downstream=EAGER, http2=False)
    with h2peer.Client(port) as client:
        client.open()
        upstream.wait_requests(1)
        client.listening.clear()
        weir.wait_stat("http2.keepalive_timeout", 1)
        weir.wait_stat("http.ingress.downstream_cx_active", 0)
        client.listening.set()
        client.wait_closed()
        assert client.goaway_code is None  # it would not read that either
        wait_until(lambda: log.exists() and log.read_text(), "a line in the log")
        assert log.read_text() == "0 DC downstream_local_disconnect(http2_ping_timeout)\n"
    gate.set()


def test_a_client_that_answers_stays(proxy, make_upstream):
    upstream = make_upstream()
    weir, port, _ = proxy(upstream.port, downstream=PATIENT, http2=False)
    with h2peer.Client(port) as client:
        wait_until(lambda: client.pings >= 3, "three PINGs")
        assert client.request().status == 200
        assert not client.closed
    assert weir.stat("http2.keepalive_timeout") == 0


def test_an_upstream_that_does_not_answer_is_given_up(proxy, make_h2_upstream):
    upstream = make_h2_upstream(lambda stream: stream.peer.listening.clear())
    weir, port, log = proxy(upstream.port, upstream=EAGER)
    with http1.Client(port) as client:
        response = client.request()
    assert response.status == 503
    assert response.body.endswith(b"reset reason: connection termination")
    assert weir.stat("cluster.up.http2.keepalive_timeout") == 1
    assert weir.stat("cluster.up.upstream_cx_destroy_local_with_active_rq") == 1
    wait_until(lambda: log.exists() and log.read_text(), "a line in the log")
    assert log.read_text() == "503 UC upstream_reset_before_response_started{connection_termination}\n"


def test_an_upstream_that_answers_stays(proxy, make_h2_upstream):
    upstream = make_h2_upstream(h2peer.replying())
    weir, port, _ = proxy(upstream.port, upstream=PATIENT)
    with http1.Client(port) as client:
        assert client.request().status == 200
        wait_until(lambda: upstream.peers[0].pings >= 3, "three PINGs")
        assert client.request().status == 200
    assert len(upstream.peers) == 1
    assert weir.stat("cluster.up.http2.keepalive_timeout") == 0


STEADY, JITTERED = ({"interval": "0.1s", "timeout": "60s", "interval_jitter": {"value": percent}} for percent in (0, 100))


def assert_fewer_pings(steady, jittered):
    """By interval_jitter each PING comes up to as much later: half as much in the mean."""
    wait_until(lambda: steady.pings >= 30, "PINGs")
    assert 5 < jittered.pings < 28


def test_jitter_spreads_the_pings_to_clients(start_weir):
    ports = free_port(), free_port()
    start_weir(config.bootstrap([
        config.listener(port, config.hcm([config.virtual_host(config.direct_response(200))], http2_protocol_options={"connection_keepalive": options}),
                        name=str(port)) for port, options in zip(ports, (STEADY, JITTERED))]), concurrency=1)
    with h2peer.Client(ports[1]) as jittered, h2peer.Client(ports[0]) as steady:
        assert_fewer_pings(steady, jittered)


def test_jitter_spreads_the_pings_to_upstreams(start_weir, make_h2_upstream):
    steady, jittered = (make_h2_upstream(h2peer.replying()) for _ in range(2))
    clusters = []
    for name, upstream, options in (("steady", steady, STEADY), ("jittered", jittered, JITTERED)):
        clusters.append(config.cluster(name, upstream.port, typed_extension_protocol_options=config.protocol_options(
            explicit_http_config={"http2_protocol_options": {"connection_keepalive": options}})))
    port = free_port()
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(
        *[config.route(name, f"/{name}") for name in ("steady", "jittered")])]))], clusters), concurrency=1)
    assert http1.get(port, "/jittered").status == http1.get(port, "/steady").status == 200
    assert_fewer_pings(steady.peers[0], jittered.peers[0])


def test_an_idle_upstream_connection_is_tried_before_a_new_request(proxy, make_h2_upstream):
    """connection_idle_interval: a PING goes with the request; what does not answer it is given up."""
    upstream = make_h2_upstream(h2peer.replying())
    weir, port, _ = proxy(upstream.port, upstream={"connection_idle_interval": "0.5s", "timeout": "0.2s"})

    def wait_idle():
        """More than half a second, by weir's own clock."""
        started = weir.stat("server.uptime")
        wait_until(lambda: weir.stat("server.uptime") >= started + 2, "two seconds of weir's clock")

    with http1.Client(port) as client:
        assert client.request().status == 200
        wait_idle()
        assert client.request().status == 200
        wait_until(lambda: upstream.peers[0].pings == 1, "a PING")
        upstream.peers[0].listening.clear()
        assert client.request().status == 200  # the read that waits takes this one
        wait_idle()
        assert client.request().status == 503
    assert weir.stat("cluster.up.http2.keepalive_timeout") == 1
