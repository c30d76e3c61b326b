"""Every field of a validation context, seen from both sides: clients that weir lets in, upstreams that it trusts."""

import base64
import ssl

import pytest

from support import config, http1, process, tls, upstream
from support.ports import free_port
from support.weir import validate

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

REFUSED = (ssl.SSLError, ConnectionError, http1.Closed)


def file(path):
    return {"filename": str(path)}


@pytest.fixture
def guarded(start_weir, server_certificate):
    """guarded(required=True, **validation context): a listener that asks for client certificates, its port in .port."""
    def start(required=True, **validation):
        port = free_port()
        context = config.downstream_tls(server_certificate, require_client_certificate=required,
                                        common_tls_context={"validation_context": validation})
        manager = config.hcm([config.virtual_host(config.direct_response(200, "in"))])
        weir = start_weir(config.bootstrap([config.listener(port, config.filter_chain(manager, tls=context))]))
        weir.port = port
        return weir
    return start


def lets_in(weir, authority, certificate):
    """Whether a client with this certificate gets an answer."""
    try:
        return http1.get(weir.port, tls=tls.client_context(authority.ca, certificate=certificate)).status == 200
    except REFUSED:
        return False


def failures(weir):
    """The counters of the listener's failed handshakes that are not 0."""
    names = ("fail_verify_error", "fail_verify_no_cert", "fail_verify_san", "fail_verify_cert_hash", "connection_error")
    stats = weir.stats(f"listener.127.0.0.1_{weir.port}.ssl.")
    return {name: value for name in names if (value := stats[f"listener.127.0.0.1_{weir.port}.ssl.{name}"])}


def refuses(weir, authority, certificate, counter):
    before = failures(weir)
    assert not lets_in(weir, authority, certificate)
    weir.wait_stat(f"listener.127.0.0.1_{weir.port}.ssl.{counter}", before.get(counter, 0) + 1)
    assert failures(weir) == {**before, counter: before.get(counter, 0) + 1}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A root, an intermediate authority of it, and a client certificate of either: (root, intermediate, near, far)."""
    root = tls.Authority(tmp_path_factory.mktemp("chain"), "root")
    intermediate = tls.Authority(root.folder, "intermediate", issuer=root)
    return root, intermediate, root.issue("near"), intermediate.issue("far")


def test_revoked_certificate_is_refused(guarded, authority, chain):
    root, _, near, _ = chain
    other = root.issue("other")
    weir = guarded(trusted_ca=file(root.ca), crl=file(root.revocation_list(near)))
    assert lets_in(weir, authority, other)
    refuses(weir, authority, near, "fail_verify_error")


def test_revocation_lists_are_needed_for_the_whole_chain_or_the_leaf_alone(guarded, authority, chain):
    root, intermediate, _, far = chain
    revoked = intermediate.issue("revoked")
    lists = intermediate.revocation_list(revoked)
    whole = guarded(trusted_ca=file(root.ca), crl=file(lists))
    refuses(whole, authority, far, "fail_verify_error")
    leaf = guarded(trusted_ca=file(root.ca), crl=file(lists), only_verify_leaf_cert_crl=True)
    assert lets_in(leaf, authority, far)
    refuses(leaf, authority, revoked, "fail_verify_error")
    both = {"inline_string": lists.read_text() + root.revocation_list().read_text()}
    complete = guarded(trusted_ca=file(root.ca), crl=both)
    assert lets_in(complete, authority, far)
    refuses(complete, authority, revoked, "fail_verify_error")


def test_revoked_intermediate_takes_its_certificates_along(guarded, authority, chain):
    root, intermediate, near, far = chain
    lists = {"inline_string": intermediate.revocation_list().read_text() + root.revocation_list(intermediate).read_text()}
    weir = guarded(trusted_ca=file(root.ca), crl=lists)
    assert lets_in(weir, authority, near)
    refuses(weir, authority, far, "fail_verify_error")


@pytest.mark.parametrize("allowed", [False, True])
def test_expired_certificate(guarded, authority, chain, allowed):
    root = chain[0]
    weir = guarded(trusted_ca=file(root.ca), allow_expired_certificate=allowed)
    expired = root.issue("expired", days=-1)
    if allowed:
        assert lets_in(weir, authority, expired)
        refuses(weir, authority, tls.Authority(chain[0].folder, "elsewhere").issue("stranger"), "fail_verify_error")
    else:
        refuses(weir, authority, expired, "fail_verify_error")


@pytest.mark.parametrize("depth, near_in, far_in", [(None, True, True), (2, True, True), (1, True, False), (0, True, False)])
def test_longest_chain(guarded, authority, chain, depth, near_in, far_in):
    root, _, near, far = chain
    weir = guarded(trusted_ca=file(root.ca), **({} if depth is None else {"max_verify_depth": depth}))
    assert lets_in(weir, authority, near) == near_in
    assert lets_in(weir, authority, far) == far_in
    assert failures(weir) == ({} if far_in else {"fail_verify_error": 1})


def test_intermediate_alone_may_be_trusted(guarded, authority, chain):
    _, intermediate, near, far = chain
    weir = guarded(trusted_ca=file(intermediate.ca))
    assert lets_in(weir, authority, far)
    refuses(weir, authority, near, "fail_verify_error")


@pytest.mark.parametrize("suppressed", [False, True])
def test_authorities_are_named_to_clients_unless_suppressed(guarded, chain, suppressed):
    weir = guarded(trusted_ca=file(chain[0].ca), suppress_client_ca_list=suppressed)
    report = tls.s_client(weir.port)
    assert ("No client certificate CA names sent" in report) == suppressed
    assert ("CN = weir test root" in report.partition("Acceptable client certificate CA names")[2]) == (not suppressed)


@pytest.mark.parametrize("accept", [False, True])
def test_untrusted_certificates_are_let_in_where_that_is_asked(guarded, authority, chain, accept):
    root = chain[0]
    stranger = tls.Authority(root.folder, "strangers").issue("strange")
    weir = guarded(trusted_ca=file(root.ca), trust_chain_verification="ACCEPT_UNTRUSTED" if accept else "VERIFY_TRUST_CHAIN")
    if accept:
        assert lets_in(weir, authority, stranger)
        assert failures(weir) == {"fail_verify_error": 1}
        refuses(weir, authority, None, "fail_verify_no_cert")
    else:
        refuses(weir, authority, stranger, "fail_verify_error")


@pytest.mark.parametrize("validation, counter", [
    ({"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "another"}}]}, "fail_verify_san"),
    ({"verify_certificate_hash": ["00" * 32]}, "fail_verify_cert_hash")], ids=["name", "hash"])
def test_accepting_the_untrusted_is_about_names_and_hashes_too(guarded, authority, chain, validation, counter):
    root, _, near, _ = chain
    weir = guarded(trusted_ca=file(root.ca), trust_chain_verification="ACCEPT_UNTRUSTED", **validation)
    assert lets_in(weir, authority, near)
    assert failures(weir) == {counter: 1}


def colons(data):
    return ":".join(f"{byte:02X}" for byte in data)


@pytest.mark.parametrize("field, of, written", [
    ("verify_certificate_hash", "certificate", bytes.hex), ("verify_certificate_hash", "certificate", colons),
    ("verify_certificate_spki", "key", lambda data: base64.b64encode(data).decode())], ids=["hash", "hash-with-colons", "key"])
def test_only_pinned_certificates(guarded, authority, chain, field, of, written):
    root, _, near, _ = chain
    weir = guarded(trusted_ca=file(root.ca), **{field: [written(bytes(32)), written(tls.digest(near, of))]})
    assert lets_in(weir, authority, near)
    refuses(weir, authority, root.issue("unpinned"), "fail_verify_cert_hash")


def test_one_pin_of_either_kind_is_enough_and_needs_no_authority(guarded, authority, chain):
    root, _, near, far = chain
    weir = guarded(verify_certificate_hash=[tls.digest(near).hex()],
                   verify_certificate_spki=[base64.b64encode(tls.digest(far, "key")).decode()])
    assert lets_in(weir, authority, near) and lets_in(weir, authority, far)
    refuses(weir, authority, root.issue("third"), "fail_verify_cert_hash")


@pytest.mark.parametrize("san_type, good, bad, matcher", [
    ("DNS", "DNS:a.client", "DNS:b.client", {"exact": "a.client"}),
    ("URI", "URI:spiffe://d/a", "URI:spiffe://e/a", {"prefix": "spiffe://d/"}),
    ("EMAIL", "email:a@client", "email:a@other", {"suffix": "@client"}),
    ("IP_ADDRESS", "IP:10.1.2.3", "IP:10.1.2.4", {"exact": "10.1.2.3"}),
    ("DNS", "DNS:x-7.client", "DNS:x-y.client", {"safe_regex": {"regex": "x-[0-9]\\.client"}}),
    ("DNS", "DNS:UPPER.client", "DNS:lower.client", {"contains": "upper", "ignore_case": True}),
], ids=["dns", "uri", "email", "ip", "regex", "contains"])
def test_names_of_clients(guarded, authority, chain, san_type, good, bad, matcher):
    root = chain[0]
    weir = guarded(trusted_ca=file(root.ca), match_typed_subject_alt_names=[{"san_type": san_type, "matcher": matcher}])
    assert lets_in(weir, authority, root.issue("good", good))
    refuses(weir, authority, root.issue("bad", bad), "fail_verify_san")


def test_client_without_a_certificate_is_let_in_where_none_is_required(guarded, authority, chain):
    weir = guarded(False, trusted_ca=file(chain[0].ca))
    assert lets_in(weir, authority, None)
    assert weir.stat(f"listener.127.0.0.1_{weir.port}.ssl.no_certificate") == 1
    refuses(weir, authority, tls.Authority(chain[0].folder, "unknown").issue("someone"), "fail_verify_error")


@pytest.mark.parametrize("validation, complaint", [
    ({"crl": {"inline_string": "x"}}, "Failed to load CRL"),
    ({"trusted_ca": {"inline_string": "x"}}, "Failed to load trusted CA certificates"),
    ({"verify_certificate_hash": ["0" * 64 + "g"]}, "Invalid hex-encoded SHA-256 000"),
    ({"verify_certificate_spki": ["A" * 44]}, "Invalid base64-encoded SHA-256 AAA"),
    ({"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}]}, "without trusted CA"),
    ({"trusted_ca": {"inline_string": "x"}, "trust_chain_verification": 7}, "trust_chain_verification"),
], ids=["crl-alone", "no-ca", "hash", "spki", "san-alone", "enum"])
def test_validation_that_can_not_be_is_refused_by_name(server_certificate, tmp_path, validation, complaint):
    context = config.downstream_tls(server_certificate, common_tls_context={"validation_context": validation})
    chain = config.filter_chain(config.hcm([config.virtual_host(config.direct_response(200))]), tls=context)
    result = validate(config.bootstrap([config.listener(0, chain)]), tmp_path)
    assert result.returncode != 0
    assert complaint in result.stderr


# --- upstreams

@pytest.fixture
def to_tls_upstream(start_weir, make_upstream):
    """to_tls_upstream(certificate, context): .port leads to an upstream with the certificate; .names are those it was asked for."""
    def start(certificate, context, hostname=""):
        server, names, port = tls.server_context(certificate), [], free_port()
        server.sni_callback = lambda sock, name, _: names.append(name)
        origin = make_upstream(tls=server)
        cluster = config.cluster("up", origin.port, tls=config.upstream_tls(**context))
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["hostname"] = hostname
        weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))], [cluster]))
        weir.port, weir.names = port, names
        return weir
    return start


@pytest.mark.parametrize("sni, trusted", [("a.test", True), ("b.test", False)])
def test_name_that_is_asked_for_must_be_in_the_certificate(to_tls_upstream, authority, server_certificate, sni, trusted):
    weir = to_tls_upstream(server_certificate, {"ca": authority.ca, "sni": sni, "auto_sni_san_validation": True})
    assert http1.get(weir.port).status == (200 if trusted else 503)
    assert weir.names == [sni]
    assert weir.stat("cluster.up.ssl.fail_verify_san") == (0 if trusted else 1)


def test_upstream_certificate_that_was_revoked(to_tls_upstream, authority):
    certificate = authority.issue("to-be-revoked")
    context = {"common_tls_context": {"validation_context": {
        "trusted_ca": file(authority.ca), "crl": file(authority.revocation_list(certificate))}}}
    weir = to_tls_upstream(certificate, context)
    response = http1.get(weir.port)
    assert response.status == 503 and b"remote connection failure" in response.body
    assert weir.stat("cluster.up.ssl.fail_verify_error") == 1


@pytest.mark.parametrize("hostname, sni, expected", [("host.test", "", "host.test"), ("host.test", "fixed.test", "host.test"),
                                                     ("", "fixed.test", "fixed.test")])
def test_host_names_itself_in_the_handshake(to_tls_upstream, server_certificate, hostname, sni, expected):
    weir = to_tls_upstream(server_certificate, {"sni": sni, "auto_host_sni": True}, hostname)
    assert http1.get(weir.port).status == 200
    assert weir.names == [expected]


@pytest.mark.parametrize("hostname, trusted", [("a.test", True), ("other.test", False)])
def test_host_must_have_the_name_that_it_was_given(to_tls_upstream, authority, server_certificate, hostname, trusted):
    weir = to_tls_upstream(server_certificate, {"ca": authority.ca, "auto_host_sni": True, "auto_sni_san_validation": True}, hostname)
    assert http1.get(weir.port).status == (200 if trusted else 503)
    assert weir.stat("cluster.up.ssl.fail_verify_san") == (0 if trusted else 1)


@pytest.mark.parametrize("extension, error", [
    ("keyUsage=critical,digitalSignature", None), ("keyUsage=critical,keyEncipherment", "connection_error"),
    ("extendedKeyUsage=serverAuth", None), ("extendedKeyUsage=clientAuth", "fail_verify_error")])
@pytest.mark.parametrize("trusted", [True, False])
def test_certificate_must_allow_what_its_key_is_used_for(to_tls_upstream, authority, extension, error, trusted):
    weir = to_tls_upstream(authority.issue("used", rsa=True, extensions=extension), {"ca": authority.ca if trusted else None})
    if not trusted and error == "fail_verify_error":
        error = None  # nobody asked whether it is a server's
    assert http1.get(weir.port).status == (503 if error else 200)
    assert error is None or weir.stat(f"cluster.up.ssl.{error}") == 1


def test_certificate_of_a_client_must_be_for_clients(guarded, authority, chain):
    root = chain[0]
    weir = guarded(trusted_ca=file(root.ca))
    assert lets_in(weir, authority, root.issue("signs", rsa=True, extensions="keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth"))
    refuses(weir, authority, root.issue("serves", extensions="extendedKeyUsage=serverAuth"), "fail_verify_error")
    refuses(weir, authority, root.issue("enciphers", rsa=True, extensions="keyUsage=critical,keyEncipherment"), "connection_error")
