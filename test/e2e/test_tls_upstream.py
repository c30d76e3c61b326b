"""Whom weir trusts as an upstream, and HTTP/2 over TLS on both sides."""

import pytest

from support import config, h2peer, http1, process, tls, upstream
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def serve(start_weir):
    """serve(chain or network filter, *clusters): a running weir, its listener's port in .port."""
    def start(chain, *clusters):
        port = free_port()
        weir = start_weir(config.bootstrap([config.listener(port, chain)], clusters))
        weir.port = port
        return weir
    return start


def to_upstream():
    return config.hcm([config.virtual_host(config.route("up"))])


def named(kind, value):
    return {"san_type": "DNS", "matcher": {kind: value}}


@pytest.mark.parametrize("matchers, trusted", [
    ([], True),
    ([named("exact", "a.test")], True),
    ([named("exact", "b.test"), named("exact", "a.test")], True),
    ([named("exact", "b.test")], False),
    ([named("suffix", ".test")], True),
    ([named("suffix", ".other")], False),
], ids=["any", "exact", "one-of-two", "other", "suffix", "other-suffix"])
def test_names_of_the_upstream(serve, make_upstream, authority, server_certificate, matchers, trusted):
    up = make_upstream(upstream.replying(), tls=tls.server_context(server_certificate))
    validation = {"trusted_ca": {"filename": str(authority.ca)}, "match_typed_subject_alt_names": matchers}
    weir = serve(to_upstream(), config.cluster("up", up.port, tls=config.upstream_tls(common_tls_context={"validation_context": validation})))
    assert http1.get(weir.port).status == (200 if trusted else 503)
    assert len(up.requests) == (1 if trusted else 0)
    assert weir.stat("cluster.up.ssl.fail_verify_san") == (0 if trusted else 1)


def test_an_upstream_of_a_strange_authority_is_refused(serve, make_upstream, server_certificate, tmp_path):
    up = make_upstream(upstream.replying(), tls=tls.server_context(server_certificate))
    weir = serve(to_upstream(), config.cluster("up", up.port, tls=config.upstream_tls(tls.Authority(tmp_path, "stranger").ca)))
    assert http1.get(weir.port).status == 503
    assert up.requests == []
    assert weir.stat("cluster.up.ssl.fail_verify_error") == 1


def test_http2_over_tls_on_both_sides(serve, make_h2_upstream, authority, server_certificate):
    up = make_h2_upstream(h2peer.echo, tls=tls.server_context(server_certificate, ["h2"]))
    weir = serve(config.filter_chain(to_upstream(), tls=config.downstream_tls(server_certificate, ["h2", "http/1.1"])),
                 config.cluster("up", up.port, http2=True, tls=config.upstream_tls(authority.ca, ["h2"])))
    with h2peer.Client(weir.port, tls=tls.client_context(authority.ca, ["h2"])) as client:
        assert client.sock.selected_alpn_protocol() == "h2"
        stream = client.open("POST", scheme="https", end=False)
        stream.send(b"first")
        assert stream.read() == b"first"
        stream.send(b"second", end=True)
        assert stream.read_all() == b"second"
    assert up.requests[0].get("x-forwarded-proto") == "https"
