"""What a handshake is made of - curves, signatures, ciphers, names, keys - and how sessions are resumed, on both sides of weir."""

import socket
import ssl
import subprocess

import pytest

from support import config, http1, process, tls, upstream
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

REFUSED = (ssl.SSLError, ConnectionError, http1.Closed)


@pytest.fixture
def serve(start_weir):
    """serve(certificate, params, **DownstreamTlsContext): a TLS listener; .port, .prefix of its TLS statistics."""
    def start(certificate, params=None, **fields):
        port = free_port()
        common = {"tls_params": params} if params else {}
        common.update(fields.pop("common_tls_context", {}))
        context = config.downstream_tls(certificate, common_tls_context=common, **fields)
        manager = config.hcm([config.virtual_host(config.direct_response(200, "in"))])
        weir = start_weir(config.bootstrap([config.listener(port, config.filter_chain(manager, tls=context))]))
        weir.port, weir.prefix = port, f"listener.127.0.0.1_{port}.ssl."
        return weir
    return start


def test_curves_of_the_listener(serve, server_certificate):
    weir = serve(server_certificate, {"ecdh_curves": ["P-384"]})
    assert "Server Temp Key: ECDH, secp384r1" in tls.s_client(weir.port)
    weir.wait_stat(weir.prefix + "curves.P-384", 1)
    assert "Server Temp Key" not in tls.s_client(weir.port, "-groups", "X25519")
    weir.wait_stat(weir.prefix + "connection_error", 1)


def test_curves_by_default(serve, server_certificate):
    weir = serve(server_certificate)
    assert "Server Temp Key: X25519" in tls.s_client(weir.port)
    assert "Server Temp Key: ECDH, prime256v1" in tls.s_client(weir.port, "-groups", "P-256")
    weir.wait_stat(weir.prefix + "curves.P-256", 1)
    assert weir.stat(weir.prefix + "curves.X25519") == 1


def test_signature_algorithms_of_the_listener(serve, authority):
    weir = serve(authority.issue("signing", rsa=True), {"signature_algorithms": ["rsa_pss_rsae_sha384"]})
    report = tls.s_client(weir.port)
    assert "Peer signing digest: SHA384" in report and "Peer signature type: RSA-PSS" in report
    assert "Peer signing digest" not in tls.s_client(weir.port, "-sigalgs", "rsa_pss_rsae_sha256")
    weir.wait_stat(weir.prefix + "connection_error", 1)


@pytest.mark.parametrize("clients_choice, chosen", [(False, "ECDHE-ECDSA-AES128-GCM-SHA256"), (True, "ECDHE-ECDSA-AES256-GCM-SHA384")])
def test_whose_order_of_ciphers_counts(serve, server_certificate, clients_choice, chosen):
    ciphers = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    weir = serve(server_certificate, {"cipher_suites": ciphers}, prefer_client_ciphers=clients_choice)
    report = tls.s_client(weir.port, "-tls1_2", "-cipher", ":".join(reversed(ciphers)))
    assert f"Cipher is {chosen}" in report
    weir.wait_stat(weir.prefix + f"ciphers.{chosen}", 1)


def test_name_is_required(serve, authority, server_certificate):
    weir = serve(server_certificate, require_sni=True)
    assert http1.get(weir.port, tls=tls.client_context(authority.ca)).status == 200
    with pytest.raises(REFUSED):
        http1.get(weir.port, tls=tls.client_context(), server_name=None)


def test_key_with_a_password(serve, authority, server_certificate, tmp_path):
    encrypted = subprocess.run(["openssl", "pkcs8", "-topk8", "-in", server_certificate.key, "-passout", "pass:pass phrase"],
                               check=True, capture_output=True, text=True).stdout
    certificate = {"certificate_chain": {"filename": str(server_certificate.chain)}, "private_key": {"inline_string": encrypted},
                   "password": {"inline_string": "pass phrase"}}
    weir = serve(None, common_tls_context={"tls_certificates": [certificate]})
    assert http1.get(weir.port, tls=tls.client_context(authority.ca)).status == 200


@pytest.mark.parametrize("timeout, hint", [(None, 7200), ("1234s", 1234)])
def test_time_that_sessions_are_good_for(serve, server_certificate, timeout, hint):
    weir = serve(server_certificate, **({"session_timeout": timeout} if timeout else {}))
    assert f"TLS session ticket lifetime hint: {hint} (seconds)" in tls.s_client(weir.port, "-tls1_2")


def resumes(port, context, session):
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost", session=session) as sock:
        return sock.session_reused


def test_session_past_its_time_is_not_resumed(serve, authority, server_certificate):
    weir = serve(server_certificate, session_timeout="1s")
    context = tls.client_context(authority.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with http1.Client(weir.port, tls=context) as client:
        client.request("GET", "/")
        session = client.sock.session
    wait_until(lambda: not resumes(weir.port, context, session), "a full handshake")


def test_no_resumption_at_all(serve, authority, server_certificate):
    weir = serve(server_certificate, disable_stateless_session_resumption=True, disable_stateful_session_resumption=True)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = tls.client_context(authority.ca)
        context.maximum_version = version
        with http1.Client(weir.port, tls=context) as client:
            client.request("GET", "/")
            session = client.sock.session
        assert session is None or not session.has_ticket
        assert session is None or not resumes(weir.port, context, session)
    assert weir.stat(weir.prefix + "session_reused") == 0


@pytest.mark.parametrize("keys, reused", [(None, 2), (1, 2), (0, 0)])
def test_sessions_with_upstreams(start_weir, make_upstream, server_certificate, keys, reused):
    def once(request, connection):
        connection.read_body(request)
        connection.reply(close=True)
    origin = make_upstream(once, tls=tls.server_context(server_certificate))
    port = free_port()
    context = config.upstream_tls(**({} if keys is None else {"max_session_keys": keys}))
    weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                       [config.cluster("up", origin.port, tls=context)]))
    for _ in range(3):
        assert http1.get(port).status == 200
    assert weir.stat("cluster.up.ssl.handshake") == 3
    assert weir.stat("cluster.up.ssl.session_reused") == reused


@pytest.mark.parametrize("params, seen", [
    ({"ecdh_curves": ["P-384"]}, {"curves.P-384": 1}),
    ({"cipher_suites": ["ECDHE-ECDSA-CHACHA20-POLY1305"]}, {"ciphers.ECDHE-ECDSA-CHACHA20-POLY1305": 1}),
    ({"tls_maximum_protocol_version": "TLSv1_3"}, {"versions.TLSv1.3": 1}),
    ({}, {"versions.TLSv1.2": 1}),
], ids=["curves", "ciphers", "version", "default"])
def test_parameters_towards_upstreams(start_weir, make_upstream, authority, params, seen):
    server = tls.server_context(authority.issue("upstream", rsa="ecdh_curves" in params))
    if "ecdh_curves" in params:
        server.set_ecdh_curve("secp384r1")
    origin = make_upstream(upstream.replying(), tls=server)
    port = free_port()
    context = config.upstream_tls(common_tls_context={"tls_params": params})
    weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                       [config.cluster("up", origin.port, tls=context)]))
    assert http1.get(port).status == 200
    stats = weir.stats("cluster.up.ssl.")
    assert {name: stats.get(f"cluster.up.ssl.{name}") for name in seen} == seen


@pytest.mark.parametrize("offered, agreed", [(["h2", "http/1.1"], "http/1.1"), (["other"], None), ([], "http/1.1")])
def test_protocols_offered_to_upstreams(start_weir, make_upstream, server_certificate, offered, agreed):
    server = tls.server_context(server_certificate, ["http/1.1"])
    origin = make_upstream(upstream.replying(), tls=server)
    port = free_port()
    context = config.upstream_tls(alpn=offered)
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                [config.cluster("up", origin.port, tls=context)]))
    assert http1.get(port).status == 200
    assert origin.connections[0].sock.selected_alpn_protocol() == agreed
