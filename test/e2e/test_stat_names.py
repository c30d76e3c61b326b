"""The names in /stats against the real Envoy's, on one bootstrap and after the same traffic: what weir does not have is listed here,
with the reason, and so is what it has more."""

import re
import socket
import ssl

import pytest

from support import config, h2peer, http1, process
from support.parity import RealEnvoy
from support.ports import free_port
from support.wait import wait_until
from support.weir import Weir
from support.resources import ADS, eds_cluster, endpoints, resource, routes
from test_xds import ControlPlane

pytestmark = pytest.mark.peers
if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)

MISSING = {
    r"cluster\.control\.(http2|internal)\.|cluster\.control\.upstream_rq_[25]": "the ADS stream is gRPC core's, not a request of an upstream",
    r"(^|\.)(main_thread|worker_0|workers)\.watchdog_": "there is no watchdog",
    r"^(overload|envoy\.overload_actions)\.": "there is no overload manager",
    r"^http\.async-client\.": "there is no HTTP client inside that goes through a router",
    r"^server\.(debug_assertion_failures|envoy_bug_failures|envoy_notifications)$": "Envoy's own insides",
    r"^server\.stats_recent_lookups$": "names are not looked up on the way of a request",
    r"^server\.seconds_until_first_ocsp_response_expiring$|_ssl_socket_factory\.": "no OCSP staples and no secrets by xDS here",
    r"^cluster_manager\.(cluster_updated_via_merge|update_merge_cancelled|update_out_of_merge_window)$": "updates are not merged over time",
    r"^control_plane\.(pending_requests|rate_limit_enforced)$": "requests to the control plane are not rate limited",
    r"^dns\.cares\.reinits$": "a channel is not made anew",
    r"^runtime\.override_dir_": "runtime layers of disk are refused",
    r"^http2\.(cookie_count|cookie_size|header_count|header_list_size|(ng|og)http2_\w+)$": "which codec serves, and shapes of its heads",
    r"\.ssl\.(ciphers|curves|sigalgs|versions)\.": "what the two libraries agree on with the client differs",
}
EXTRA = {
    r"^weir\.": "weir's own",
    r"^overload\.": "where the container has a memory limit",
    r"^http\.admin\.tracing\.|^listener\.admin\.(network_)?extension_config_missing$": "the tables of listeners are used for admin too",
    r"^http2\.": "made at start, not with the first connection",
    r"^server\.hot_restart_generation$": "Envoy has it where hot restart is not switched off",
    r"\.ssl\.(ciphers|curves|sigalgs|versions)\.": "see above",
}


# Of those that both have, /stats?usedonly shows these for one of them alone.
UNUSED = {
    r"_cx_rx_bytes_buffered$": "Envoy leaves it at the size of the last read",
    r"^cluster\.control\.": "the ADS stream is gRPC core's",
    r"^cluster\.dns\.update_|^dns\.cares\.": "an address in place of a name is not asked for",
    r"_cx_destroy_(local|remote)": "who closes first",
    r"^http\.admin\.downstream_rq_5xx$|^listener\.admin\.http\.admin\.downstream_rq_5xx$": "how often the test asked before it was ready",
    r"^server\.uptime$": "time",
}
if "san" in str(process.BUILD):
    UNUSED[r"^server\.memory_"] = "a sanitizer's allocator tells nothing"


def bootstrap(plane, ports, upstream_port, certificate):
    made = plane.bootstrap()
    hosts = [config.virtual_host(config.direct_response(200, "d", "/d"), config.route("down", "/down"), config.route("dns", "/dns"),
                                 config.route("up"))]
    made["stats_flush_interval"] = "0.1s"
    made["layered_runtime"] = {"layers": [{"name": "s", "static_layer": {"a": 1}}, {"name": "admin", "admin_layer": {}}]}
    made["static_resources"]["clusters"] += [
        config.cluster("up", upstream_port), config.cluster("down", 1, circuit_breakers={"thresholds": [{"track_remaining": True}]}),
        config.cluster("dns", upstream_port, type="STRICT_DNS", outlier_detection={}),
        config.cluster("tls", upstream_port, tls=config.upstream_tls())]
    made["static_resources"]["listeners"] = [
        config.listener(ports["http"], config.hcm(hosts), name="http"),
        config.listener(ports["tls"], config.filter_chain(config.hcm(hosts, stat_prefix="tls"), tls=config.downstream_tls(certificate)), name="tls"),
        config.listener(ports["tcp"], config.tcp_proxy("up"), name="tcp")]
    return made


def drive(ports):
    for path in ("/d", "/down", "/dns", "/up"):
        http1.get(ports["http"], path)
    http1.get(ports["dyn"], "/dyn")
    with http1.Client(ports["tcp"]) as client:
        client.request()
    with h2peer.Client(ports["http"]) as client:
        client.open(path="/d").wait_headers()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", ports["tls"]))) as tls:
        tls.sendall(b"GET /d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert tls.recv(1000)


def names(program, ports, query=""):
    """Of all stats, ports by their names."""
    text = program.admin(f"/stats{query}")[1]
    found = {line.split(":")[0] for line in text.splitlines()}
    return {re.sub(r"^(listener\.127\.0\.0\.1_)(\d+)", lambda m: m[1] + next(k for k, v in ports.items() if str(v) == m[2]), name) for name in found}


@pytest.fixture
def seen(start_program, make_upstream, server_certificate, real_envoy, tmp_path):
    """By program: names at start, after traffic, and those used then."""
    found = {}
    for which in ("weir", "envoy"):
        upstream, plane = make_upstream(), ControlPlane(start_program, tmp_path / which)
        ports = {name: free_port() for name in ("http", "tls", "tcp", "dyn")}
        dynamic = config.hcm(None, stat_prefix="dyn", rds={"route_config_name": "r1", "config_source": ADS})
        plane.serve(eds_cluster("eds"), endpoints("eds", upstream.port), routes("r1", config.route("eds")),
                    resource("listener.v3.Listener", config.listener(ports["dyn"], dynamic, name="dyn")))
        plane.start()
        made = bootstrap(plane, ports, upstream.port, server_certificate)
        program = RealEnvoy(real_envoy, made, tmp_path) if which == "envoy" else Weir(made, tmp_path, concurrency=1)
        program.start()
        try:
            start = names(program, ports)
            drive(ports)
            wait_until(lambda: program.stat("listener.admin.http.admin.downstream_rq_2xx") > 0, "admin's own counters")
            program.wait_stat("tcp.tcp.downstream_cx_total", 1)
            wait_until(lambda: not any(value for name, value in program.stats("listener.127").items() if name.endswith(".downstream_cx_active")),
                       "the end of all connections")
            used = names(program, ports, "?usedonly&type=Counters") | names(program, ports, "?usedonly&type=Gauges")
            found[which] = start, names(program, ports), used
        finally:
            program.stop()
    return found


def unlisted(names, reasons):
    return sorted(name for name in names if not any(re.search(pattern, name) for pattern in reasons))


def test_the_names_are_envoys(seen):
    for when in (0, 1):
        weir, envoy = seen["weir"][when], seen["envoy"][when]
        assert unlisted(envoy - weir, MISSING) == []
        assert unlisted(weir - envoy, EXTRA) == []
    weir, envoy = seen["weir"][1], seen["envoy"][1]
    gone = [pattern for pattern in MISSING if not any(re.search(pattern, name) for name in envoy - weir)]
    assert gone == [], "no longer missing: take it from the list"


def test_what_is_used_is_what_envoy_has_used(seen):
    weir, envoy = seen["weir"], seen["envoy"]
    known = weir[1] & envoy[1]  # histograms are left out: they are used from the next flush on
    assert unlisted((weir[2] ^ envoy[2]) & known, UNUSED) == []
