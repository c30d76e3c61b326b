"""TLS as clients and upstreams see it: versions, ALPN, certificates by name, client certificates, verification of upstreams."""

import socket
import ssl
import threading

import pytest

from support import config, h2peer, http1, process, tls, upstream
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FLUSH = ("--file-flush-interval-msec", "20")


@pytest.fixture
def tls_proxy(start_weir, make_upstream):
    """tls_proxy(context): a TLS listener before an HTTP/1.1 upstream; returns the weir with its .port."""
    def start(*chains, **fields):
        port = free_port()
        origin = make_upstream(upstream.echo)
        made = [config.filter_chain(config.hcm([config.virtual_host(config.route("up"))]), tls=chain) if "typed_config" in chain else chain
                for chain in chains]
        weir = start_weir(config.bootstrap([config.listener(port, *made, **fields)], [config.cluster("up", origin.port)]), args=FLUSH)
        weir.port, weir.origin = port, origin
        return weir
    return start


def test_request_over_tls_reaches_the_upstream(tls_proxy, authority, server_certificate):
    weir = tls_proxy(config.downstream_tls(server_certificate))
    with http1.Client(weir.port, tls=tls.client_context(authority.ca)) as client:
        assert client.sock.version() == "TLSv1.3"
        response = client.request("POST", "/", body=b"x" * 300_000)
        assert response.status == 200 and response.body == b"x" * 300_000
        assert client.request("GET", "/again").status == 200
    assert weir.origin.requests[0].get("x-forwarded-proto") == "https"
    prefix = f"listener.127.0.0.1_{weir.port}.ssl."
    assert weir.stat(prefix + "handshake") == 1
    assert weir.stat(prefix + "versions.TLSv1.3") == 1
    assert weir.stat(prefix + "no_certificate") == 1


@pytest.mark.parametrize("offer,agreed", [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["xyz"], None), ([], None)])
def test_alpn_is_agreed_in_the_servers_order(tls_proxy, authority, server_certificate, offer, agreed):
    weir = tls_proxy(config.downstream_tls(server_certificate, ["h2", "http/1.1"]))
    context = tls.client_context(authority.ca, offer)
    if agreed == "h2":
        with h2peer.Client(weir.port, context) as client:
            assert client.request("GET", "/").status == 200
    else:
        with http1.Client(weir.port, tls=context) as client:
            assert client.sock.selected_alpn_protocol() == agreed
            assert client.request("GET", "/").status == 200


@pytest.mark.parametrize("low,high,offered,works", [
    (None, None, ssl.TLSVersion.TLSv1_2, True), ("TLSv1_3", None, ssl.TLSVersion.TLSv1_2, False),
    (None, "TLSv1_2", ssl.TLSVersion.TLSv1_2, True), ("TLSv1_2", "TLSv1_2", ssl.TLSVersion.TLSv1_3, False)])
def test_protocol_versions(tls_proxy, authority, server_certificate, low, high, offered, works):
    params = {key: value for key, value in (("tls_minimum_protocol_version", low), ("tls_maximum_protocol_version", high)) if value}
    weir = tls_proxy(config.downstream_tls(server_certificate, common_tls_context={"tls_params": params}))
    context = tls.client_context(authority.ca)
    context.minimum_version = context.maximum_version = offered
    if works:
        with http1.Client(weir.port, tls=context) as client:
            assert client.request("GET", "/").status == 200
    else:
        with pytest.raises(ssl.SSLError):
            http1.Client(weir.port, tls=context)
        weir.wait_stat(f"listener.127.0.0.1_{weir.port}.ssl.connection_error", 1)


def test_cipher_suites(tls_proxy, authority, server_certificate):
    params = {"cipher_suites": ["ECDHE-ECDSA-AES256-GCM-SHA384"], "tls_maximum_protocol_version": "TLSv1_2"}
    weir = tls_proxy(config.downstream_tls(server_certificate, common_tls_context={"tls_params": params}))
    with http1.Client(weir.port, tls=tls.client_context(authority.ca)) as client:
        assert client.sock.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_old_session_is_resumed(tls_proxy, authority, server_certificate):
    weir = tls_proxy(config.downstream_tls(server_certificate))
    context = tls.client_context(authority.ca)
    with http1.Client(weir.port, tls=context) as client:
        client.request("GET", "/")
        session = client.sock.session
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", weir.port)), server_hostname="localhost", session=session)
    assert sock.session_reused
    sock.close()
    weir.wait_stat(f"listener.127.0.0.1_{weir.port}.ssl.session_reused", 1)


def test_no_tickets_where_stateless_resumption_is_off(tls_proxy, authority, server_certificate):
    weir = tls_proxy(config.downstream_tls(server_certificate, disable_stateless_session_resumption=True,
                                           disable_stateful_session_resumption=True))
    context = tls.client_context(authority.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with http1.Client(weir.port, tls=context) as client:
        client.request("GET", "/")
        session = client.sock.session
        assert not session.has_ticket
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", weir.port)), server_hostname="localhost", session=session)
    assert not sock.session_reused
    sock.close()


def test_client_certificate_is_required_and_known_to_the_log(tls_proxy, start_weir, authority, server_certificate, tmp_path):
    log = tmp_path / "access.log"
    port = free_port()
    context = config.downstream_tls(server_certificate, require_client_certificate=True, common_tls_context={
        "validation_context": {"trusted_ca": {"filename": str(authority.ca)},
                               "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"suffix": "/good"}}]}})
    manager = config.hcm([config.virtual_host(config.direct_response(200, "in"))], access_log=[config.file_access_log(
        log, "%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION% %REQUESTED_SERVER_NAME% %DOWNSTREAM_LOCAL_SUBJECT%\n")])
    inspector = {"name": "i", "typed_config": config.typed(config.PREFIX + "filters.listener.tls_inspector.v3.TlsInspector")}
    weir = start_weir(config.bootstrap([config.listener(port, config.filter_chain(manager, tls=context), listener_filters=[inspector])]), args=FLUSH)
    good = authority.issue("good-client", "URI:spiffe://x/good")
    bad = authority.issue("bad-client", "URI:spiffe://x/bad")
    with http1.Client(port, tls=tls.client_context(authority.ca, certificate=good)) as client:
        assert client.request("GET", "/").body == b"in"
    wait_until(lambda: log.exists() and log.read_text(), "the log")
    assert log.read_text() == "CN=good-client spiffe://x/good TLSv1.3 localhost CN=server\n"
    prefix = f"listener.127.0.0.1_{port}.ssl."
    for certificate, counter in ((None, "fail_verify_no_cert"), (bad, "fail_verify_san"),
                                 (tls.Authority(tmp_path, "stranger").issue("stranger-client", "URI:spiffe://x/good"), "fail_verify_error")):
        with pytest.raises((ssl.SSLError, ConnectionError, http1.Closed)):
            http1.get(port, tls=tls.client_context(authority.ca, certificate=certificate))
        weir.wait_stat(prefix + counter, 1)
    assert weir.stat(prefix + "connection_error") == 0


def test_chain_and_certificate_are_chosen_by_server_name(tls_proxy, authority):
    one, two = authority.issue("one", "DNS:one.test"), authority.issue("two", "DNS:*.two.test")

    def chain(certificate, server_name, body):
        manager = config.hcm([config.virtual_host(config.direct_response(200, body))], stat_prefix=body)
        return config.filter_chain(manager, match={"server_names": [server_name]}, tls=config.downstream_tls(certificate), name=body)
    weir = tls_proxy(chain(one, "one.test", "one"), chain(two, "*.two.test", "two"))
    context = tls.client_context(authority.ca)
    assert http1.get(weir.port, tls=context, server_name="one.test").body == b"one"
    assert http1.get(weir.port, tls=context, server_name="a.two.test").body == b"two"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        http1.get(weir.port, tls=context, server_name="three.test")
    weir.wait_stat(f"listener.127.0.0.1_{weir.port}.no_filter_chain_match", 1)


def test_plain_and_tls_on_one_port(tls_proxy, authority, server_certificate):
    def manager(body):
        return config.hcm([config.virtual_host(config.direct_response(200, body))])
    weir = tls_proxy(config.filter_chain(manager("secret"), match={"transport_protocol": "tls"}, tls=config.downstream_tls(server_certificate)),
                     config.filter_chain(manager("plain"), match={"transport_protocol": "raw_buffer"}))
    assert http1.get(weir.port, tls=tls.client_context(authority.ca)).body == b"secret"
    assert http1.get(weir.port).body == b"plain"


def test_several_certificates_of_one_chain(tls_proxy, authority):
    pair = [authority.issue("ec", "DNS:ec.test"), authority.issue("rsa", "DNS:rsa.test", rsa=True)]
    context = config.downstream_tls(None, common_tls_context={"tls_certificates": [
        {"certificate_chain": {"filename": str(c.chain)}, "private_key": {"inline_string": c.key.read_text()}} for c in pair]})
    weir = tls_proxy(context)
    client = tls.client_context(authority.ca)
    for name in ("ec.test", "rsa.test"):
        assert http1.get(weir.port, tls=client, server_name=name).status == 200


def test_plain_http_to_tls_gets_no_bytes(tls_proxy, server_certificate):
    weir = tls_proxy(config.downstream_tls(server_certificate))
    with http1.Client(weir.port) as client:
        client.send_request()
        client.expect_closed()
    weir.wait_stat(f"listener.127.0.0.1_{weir.port}.ssl.connection_error", 1)


def upstream_weir(start_weir, origin_port, transport_socket, tmp_path):
    port = free_port()
    log = tmp_path / "access.log"
    manager = config.hcm([config.virtual_host(config.route("up"))], access_log=[config.file_access_log(
        log, "%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_TLS_VERSION%\n")])
    weir = start_weir(config.bootstrap([config.listener(port, manager)], [config.cluster("up", origin_port, tls=transport_socket)]), args=FLUSH)
    weir.port, weir.access_log = port, log
    return weir


def last_line(weir):
    return wait_until(lambda: weir.access_log.exists() and weir.access_log.read_text(), "the log").splitlines()[-1]


def test_upstream_over_tls_is_verified(start_weir, make_upstream, authority, server_certificate, tmp_path):
    origin = make_upstream(upstream.replying(body=b"tls"), tls=tls.server_context(server_certificate))
    weir = upstream_weir(start_weir, origin.port, config.upstream_tls(sni="a.test", common_tls_context={"validation_context": {
        "trusted_ca": {"filename": str(authority.ca)},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a.test"}}]}}), tmp_path)
    assert http1.get(weir.port).body == b"tls"
    assert last_line(weir) == "200 - - TLSv1.2"
    assert weir.stat("cluster.up.ssl.handshake") == 1


def test_upstream_with_another_name_is_refused(start_weir, make_upstream, authority, tmp_path):
    certificate = authority.issue("named", "DNS:weir.test", "URI:spiffe://a/b", "IP:127.0.0.1")
    origin = make_upstream(tls=tls.server_context(certificate))
    weir = upstream_weir(start_weir, origin.port, config.upstream_tls(common_tls_context={"validation_context": {
        "trusted_ca": {"filename": str(authority.ca)},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "other.test"}}]}}), tmp_path)
    response = http1.get(weir.port)
    assert response.status == 503
    assert response.body == b"upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    assert last_line(weir) == (
        "503 UF TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher,_"
        "certificate_SANs_are_[weir.test,_spiffe://a/b,_127.0.0.1]:TLS_error_end -")
    assert weir.stat("cluster.up.ssl.fail_verify_san") == 1


def test_upstream_that_wants_a_certificate(start_weir, make_upstream, authority, server_certificate, tmp_path):
    context = tls.server_context(server_certificate, client_ca=authority.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    origin = make_upstream(tls=context)
    weir = upstream_weir(start_weir, origin.port, config.upstream_tls(), tmp_path)
    assert http1.get(weir.port).status == 503
    assert last_line(weir).endswith("SSLV3_ALERT_HANDSHAKE_FAILURE:TLS_error_end -")
    assert weir.stat("cluster.up.ssl.connection_error") == 1


def test_upstream_gets_our_certificate(start_weir, make_upstream, authority, server_certificate, tmp_path):
    origin = make_upstream(tls=tls.server_context(server_certificate, client_ca=authority.ca))
    weir = upstream_weir(start_weir, origin.port, config.upstream_tls(authority.ca, certificate=authority.issue("weir", "URI:spiffe://w")), tmp_path)
    assert http1.get(weir.port).status == 200


def test_silent_upstream_ends_at_the_connect_timeout(start_weir, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = free_port()
        cluster = config.cluster("up", silent.getsockname()[1], tls=config.upstream_tls(), connect_timeout="0.2s")
        weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))], [cluster]))
        response = http1.get(port)
        assert response.status == 503
        assert response.body == b"upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
        assert weir.stat("cluster.up.upstream_cx_connect_timeout") == 1


def test_large_bodies_both_ways_over_tls_on_both_sides(start_weir, make_upstream, authority, server_certificate):
    port = free_port()
    origin = make_upstream(upstream.echo, tls=tls.server_context(server_certificate))
    chain = config.filter_chain(config.hcm([config.virtual_host(config.route("up", timeout="0s"))]), tls=config.downstream_tls(server_certificate))
    start_weir(config.bootstrap([config.listener(port, chain)], [config.cluster("up", origin.port, tls=config.upstream_tls(authority.ca))]))
    body = bytes(range(256)) * 40_000
    answers = []

    def work():
        with http1.Client(port, tls=tls.client_context(authority.ca)) as client:
            answers.append(client.request("POST", "/", body=body).body == body)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert answers == [True] * 4
