"""The way to the control plane: Unix sockets, TLS, client certificates, dead connections, large messages, patience."""

import re
import socket
import threading

import grpc
import pytest

from support import config, http1, process
from support.dns import DnsServer
from support.ports import free_port
from support.tls import Authority
from support.upstream import replying
from support.wait import wait_until
from support.weir import validate
from support.xds import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from support.xds_server import ADS as ADS_SOURCE
from support.xds_server import (any_of, duration, eds_cluster, encode, listener, load_assignment, route_configuration,
                                static_cluster, wrapped)

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

ADS = {"ads": {}, "resource_api_version": "V3"}


def bootstrap(cluster, cds=ADS, lds=ADS, **ads_config):
    """cluster: of the control plane, named control."""
    return {
        "node": {"id": "test", "cluster": "tests"},
        "admin": {"address": config.address(0)},
        "dynamic_resources": {
            "ads_config": {"api_type": "GRPC", "transport_api_version": "V3",
                           "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}], **ads_config},
            "cds_config": cds, "lds_config": lds},
        "static_resources": {"clusters": [cluster]},
    }


def give_one_cluster(stream, name="a"):
    stream.take(CLUSTER)
    stream.send(CLUSTER, "1", [any_of(CLUSTER, static_cluster(name))])
    request = stream.take(CLUSTER)
    assert (request.version, request.error) == ("1", None)


def test_over_a_unix_socket(make_control_plane, start_weir, tmp_path):
    plane = make_control_plane(f"unix:{tmp_path / 'control.sock'}")
    start_weir(bootstrap(config.cluster("control", tmp_path / "control.sock", http2=True)), ready=False)
    give_one_cluster(plane.accept())


def test_over_an_abstract_unix_socket(make_control_plane, start_weir, tmp_path):
    name = f"weir-test-{free_port()}"
    plane = make_control_plane(f"unix-abstract:{name}")
    start_weir(bootstrap(config.cluster("control", f"@{name}", http2=True)), ready=False)
    give_one_cluster(plane.accept())


def test_at_a_host_name(make_control_plane, start_weir):
    plane = make_control_plane()
    cluster = config.cluster("control", plane.port, http2=True, type="STRICT_DNS")
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = config.address(plane.port, "localhost")
    start_weir(bootstrap(cluster), ready=False)
    give_one_cluster(plane.accept())


@pytest.fixture
def dns():
    server = DnsServer()
    yield server
    server.close()


def named(dns, port):
    """The control plane as control.test, which that server knows."""
    return config.cluster("control", port, http2=True, type="STRICT_DNS", connect_timeout="1s",
                          dns_resolution_config={"resolvers": [config.address(dns.port)]},
                          load_assignment={"cluster_name": "control", "endpoints": [{"lb_endpoints": [
                              {"endpoint": {"address": config.address(port, "control.test")}}]}]})


def fail_some_times(weir, times):
    weir.wait_stat("cluster_manager.cds.update_failure", lambda failures: failures >= times)


def test_a_name_that_comes_late_is_found(make_control_plane, start_weir, dns):
    plane = make_control_plane()
    weir = start_weir(bootstrap(named(dns, plane.port)), ready=False)
    fail_some_times(weir, 4)
    dns.table["control.test"] = ["127.0.0.1"]
    give_one_cluster(plane.accept())


def test_a_name_that_leads_elsewhere_now_is_followed(make_control_plane, start_weir, dns):
    plane = make_control_plane()
    dns.table["control.test"] = ["127.0.0.2"]
    weir = start_weir(bootstrap(named(dns, plane.port)), ready=False)
    fail_some_times(weir, 3)
    dns.table["control.test"] = ["127.0.0.1"]
    give_one_cluster(plane.accept())


def test_a_port_that_opens_late_is_found(make_control_plane, start_weir):
    port = free_port()
    weir = start_weir(bootstrap(config.cluster("control", port, http2=True)), ready=False)
    fail_some_times(weir, 6)
    told = re.findall(r"ads: stream to 'control' ended: (.*); what was", weir.log)
    assert told and all(one != next_one for one, next_one in zip(told, told[1:])), "the same is told again and again"
    give_one_cluster(make_control_plane(f"127.0.0.1:{port}").accept())


def test_authority_and_initial_metadata_go_along(make_control_plane, start_weir):
    plane = make_control_plane()
    start_weir(bootstrap(config.cluster("control", plane.port, http2=True), grpc_services=[
        {"envoy_grpc": {"cluster_name": "control", "authority": "control.test"},
         "initial_metadata": [{"key": "x-token", "value": "secret"}]}]), ready=False)
    stream = plane.accept()
    assert stream.metadata["x-token"] == "secret"
    give_one_cluster(stream)


# --- TLS ---

def credentials(certificate, client_ca=None):
    return grpc.ssl_server_credentials([(certificate.key.read_bytes(), certificate.chain.read_bytes())],
                                       client_ca.read_bytes() if client_ca else None, client_ca is not None)


def secured(port, **upstream_tls):
    return config.cluster("control", port, http2=True, tls=config.upstream_tls(**upstream_tls))


def san(kind, **matcher):
    return {"san_type": kind, "matcher": matcher}


def trusting(authority, *sans):
    return {"validation_context": {"trusted_ca": {"filename": str(authority.ca)}, "match_typed_subject_alt_names": list(sans)}}


@pytest.mark.parametrize("sans", [
    [],
    [san("DNS", exact="a.test")],
    [san("DNS", exact="other.test"), san("DNS", suffix=".test")],
    [san("IP_ADDRESS", exact="127.0.0.1")],
], ids=["chain alone", "exact", "one of two", "address"])
def test_over_tls(make_control_plane, start_weir, authority, server_certificate, sans):
    plane = make_control_plane(credentials=credentials(server_certificate))
    start_weir(bootstrap(secured(plane.port, sni="whatever.test", common_tls_context=trusting(authority, *sans))), ready=False)
    give_one_cluster(plane.accept())


@pytest.mark.parametrize("sans", [[san("DNS", exact="other.test")], [san("URI", exact="a.test")]], ids=["name", "kind"])
def test_a_server_with_another_name_is_not_spoken_to(make_control_plane, start_weir, authority, server_certificate, sans):
    plane = make_control_plane(credentials=credentials(server_certificate))
    weir = start_weir(bootstrap(secured(plane.port, sni="a.test", common_tls_context=trusting(authority, *sans))), ready=False)
    weir.wait_stat("cluster_manager.cds.update_failure", lambda failures: failures >= 2)
    assert plane.streams_waiting() == 0


def test_a_server_of_another_authority_is_not_spoken_to(make_control_plane, start_weir, server_certificate, tmp_path):
    plane = make_control_plane(credentials=credentials(server_certificate))
    weir = start_weir(bootstrap(secured(plane.port, ca=Authority(tmp_path, "stranger").ca)), ready=False)
    weir.wait_stat("cluster_manager.cds.update_failure", lambda failures: failures >= 2)
    assert plane.streams_waiting() == 0


def test_a_client_certificate_that_the_server_demands(make_control_plane, start_weir, authority, server_certificate):
    plane = make_control_plane(credentials=credentials(server_certificate, authority.ca))
    own = authority.issue("weir-node", "URI:spiffe://cluster.test/weir")
    start_weir(bootstrap(secured(plane.port, ca=authority.ca, certificate=own)), ready=False)
    stream = plane.accept()
    assert list(stream.client_names) == [b"spiffe://cluster.test/weir"]
    give_one_cluster(stream)


def test_without_the_client_certificate_there_is_no_stream(make_control_plane, start_weir, authority, server_certificate):
    plane = make_control_plane(credentials=credentials(server_certificate, authority.ca))
    weir = start_weir(bootstrap(secured(plane.port, ca=authority.ca)), ready=False)
    weir.wait_stat("cluster_manager.cds.update_failure", lambda failures: failures >= 2)
    assert plane.streams_waiting() == 0


@pytest.mark.parametrize("field, common", [
    ("validation_context.verify_certificate_hash", {"validation_context": {"verify_certificate_hash": ["ab" * 32]}}),
    ("tls_params.tls_minimum_protocol_version", {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3"}}),
    ("tls_params.cipher_suites", {"tls_params": {"cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"]}}),
])
def test_tls_settings_that_the_channel_can_not_keep_are_refused_by_name(field, common, tmp_path):
    result = validate(bootstrap(secured(1, common_tls_context=common)), tmp_path)
    assert result.returncode != 0
    assert f"static_resources.clusters[0].transport_socket.typed_config.common_tls_context.{field}" in result.stderr
    assert "xDS stream" in result.stderr


# --- dead connections ---

class Relay:
    """Passes bytes to a port until told to fall silent: then connections stay up and nothing passes any more."""

    def __init__(self, port):
        self._port, self._silent, self._sockets = port, set(), []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(number, source, sink), daemon=True).start()

    def _pass(self, number, source, sink):
        try:
            while data := source.recv(65536):
                if number not in self._silent:
                    sink.sendall(data)
            if number not in self._silent:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def fall_silent(self):
        """All connections so far; later ones pass."""
        self._silent.update(range(self.connections))

    def close(self):
        for one in [self._listener, *self._sockets]:
            one.close()


@pytest.fixture
def make_relay():
    made = []

    def make(port):
        made.append(Relay(port))
        return made[-1]
    yield make
    for relay in made:
        relay.close()


def test_keepalive_finds_a_connection_that_is_dead_without_a_word(make_control_plane, make_relay, start_weir):
    plane = make_control_plane(options=[("grpc.http2.min_ping_interval_without_data_ms", 100),
                                        ("grpc.http2.min_recv_ping_interval_without_data_ms", 100)])
    relay = make_relay(plane.port)
    cluster = config.cluster("control", relay.port)
    cluster["typed_extension_protocol_options"] = config.protocol_options(explicit_http_config={
        "http2_protocol_options": {"connection_keepalive": {"interval": "1s", "timeout": "1s"}}})
    weir = start_weir(bootstrap(cluster), ready=False)
    give_one_cluster(plane.accept())
    relay.fall_silent()
    again = plane.accept()  # on another connection
    assert relay.connections >= 2
    assert again.take(CLUSTER).version == "1"
    assert weir.stat("cluster_manager.active_clusters") == 2


# --- messages ---

@pytest.mark.parametrize("api_type", ["GRPC", "DELTA_GRPC"])
def test_messages_beyond_4_mib(make_control_plane, start_weir, api_type):
    plane, port = make_control_plane(), free_port()
    weir = start_weir(bootstrap(config.cluster("control", plane.port, http2=True), api_type=api_type), ready=False)
    stream = plane.accept()

    def made(type_url, name, body):
        return wrapped(name, "1", any_of(type_url, body)) if stream.delta else any_of(type_url, body)
    stream.take(CLUSTER)
    stream.send(CLUSTER, "1", [made(CLUSTER, f"cluster-{i}", static_cluster(f"cluster-{i}", "x" * 60000)) for i in range(100)])
    stream.take(LISTENER)
    stream.send(LISTENER, "1", [made(LISTENER, "listener", listener("listener", port, "routes"))])
    stream.take(ROUTES)
    stream.send(ROUTES, "1", [made(ROUTES, "routes", route_configuration("routes", status=200, body="large", route_name="r" * (9 << 20)))])
    wait_until(lambda: weir.admin("/ready")[0] == 200, "weir to be ready")
    assert http1.get(port).body == b"large"
    assert weir.stat("cluster_manager.active_clusters") == 101


# --- patience ---

def timed(timeout):
    return {**ADS, "initial_fetch_timeout": timeout}


def test_initial_fetch_timeout_ends_the_wait(make_control_plane, start_weir):
    plane = make_control_plane()
    weir = start_weir(bootstrap(config.cluster("control", plane.port, http2=True), timed("0.2s"), timed("0.2s")))
    assert weir.log.count("initial fetch timed out") == 2


def test_initial_fetch_timeout_of_0_waits_for_ever(make_control_plane, start_weir):
    plane = make_control_plane()
    weir = start_weir(bootstrap(config.cluster("control", plane.port, http2=True), timed("0s"), timed("0s")), ready=False)
    stream = plane.accept()
    stream.take(CLUSTER)
    weir.wait_log("start-up waits.*CDS")  # comes five seconds after the start
    assert weir.admin("/ready")[0] == 503
    stream.send(CLUSTER, "1", [])
    stream.take(LISTENER)
    assert weir.admin("/ready")[0] == 503
    stream.send(LISTENER, "1", [])
    wait_until(lambda: weir.admin("/ready")[0] == 200, "weir to be ready")
    assert "timed out" not in weir.log


def source_with(timeout):
    return ADS_SOURCE + encode((4, duration(timeout) or b"\x08\x00"))


def test_a_cluster_waits_for_endpoints_and_a_listener_for_routes_as_long_as_they_say(make_control_plane, start_weir, make_upstream):
    upstream, port = make_upstream(replying(200, body=b"ok")), free_port()
    plane = make_control_plane()
    weir = start_weir(bootstrap(config.cluster("control", plane.port, http2=True)), ready=False)
    stream = plane.accept()
    stream.take(CLUSTER)
    stream.send(CLUSTER, "1", [any_of(CLUSTER, eds_cluster("impatient", source_with(0.2))), any_of(CLUSTER, eds_cluster("patient", source_with(0)))])
    stream.take(ENDPOINTS)
    weir.wait_log("cluster 'impatient': initial fetch of its endpoints timed out")
    weir.wait_stat("cluster_manager.warming_clusters", 1)
    stream.send(ENDPOINTS, "1", [any_of(ENDPOINTS, load_assignment("patient", upstream.port))])
    stream.take(LISTENER)
    stream.send(LISTENER, "1", [any_of(LISTENER, listener("impatient", 0, "never", source_with(0.2))),
                                any_of(LISTENER, listener("patient", port, "routes", source_with(0)))])
    stream.take(ROUTES)
    weir.wait_stat("listener_manager.total_listeners_warming", 1)
    stream.send(ROUTES, "1", [any_of(ROUTES, route_configuration("routes", "patient"))])
    wait_until(lambda: weir.admin("/ready")[0] == 200, "weir to be ready")
    assert http1.get(port).body == b"ok"
