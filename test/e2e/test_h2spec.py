"""h2spec, the conformance tests of HTTP/2 (its sections generic, hpack and http2), against weir's listeners."""

import re
import subprocess

import pytest

from support import config
from support.ports import free_port
from support.upstream import replying
from support.wait import DEADLINE_S

pytestmark = pytest.mark.peers

CASES = 146
# What looks like no HTTP/2 may be HTTP/1.1 to a listener that speaks both: it answers 400, as Envoy does, and h2spec can not read that.
FAIL_BESIDE_HTTP1 = {("3.5", "2: Sends invalid connection preface")}


def run_h2spec(program, port, *args):
    """(what failed as (section, case), the count of cases that were run, all that it said)."""
    result = subprocess.run([program, "--host", "127.0.0.1", "--port", str(port), "--strict", "--timeout", str(DEADLINE_S), *args],
                            capture_output=True, encoding="utf-8", timeout=DEADLINE_S * 10)
    section, failed = None, set()
    for line in result.stdout.splitlines():
        if found := re.match(r" +([0-9.]+)\. ", line):
            section = found[1]
        if found := re.match(r" +× (\d+: .*)", line):
            failed.add((section, found[1]))
    count = re.search(r"^(\d+) tests, \d+ passed, 0 skipped, (\d+) failed$", result.stdout, re.M)
    assert count and int(count[2]) == len(failed), result.stdout + result.stderr
    return failed, int(count[1]), result.stdout


@pytest.mark.parametrize("transport, codec", [("raw", "HTTP2"), ("raw", "AUTO"), ("tls", "AUTO")])
def test_every_case_passes(start_weir, make_upstream, go_programs, server_certificate, transport, codec):
    port = free_port()
    manager = config.hcm([config.virtual_host(config.route("up"))], codec_type=codec)
    tls = config.downstream_tls(server_certificate, alpn=["h2", "http/1.1"]) if transport == "tls" else None
    weir = start_weir(config.bootstrap([config.listener(port, config.filter_chain(manager, tls=tls))],
                                       [config.cluster("up", make_upstream(replying(200, body=b"hello")).port)]))
    failed, count, said = run_h2spec(go_programs / "h2spec", port, *(["--tls", "--insecure"] if tls else []))
    assert failed == (FAIL_BESIDE_HTTP1 if (transport, codec) == ("raw", "AUTO") else set()), said
    assert count == CASES
    weir.wait_stat("http.ingress.downstream_cx_active", 0)
    weir.wait_stat("http.ingress.downstream_rq_active", 0)
