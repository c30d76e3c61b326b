"""The interoperability tests that every gRPC implementation is held to, by grpc-go's client and server with weir between them."""

import os
import subprocess

import pytest

from support import config
from support.ports import free_port, refuses
from support.wait import DEADLINE_S, wait_until
from support.weir import running_weir

pytestmark = pytest.mark.peers

CASES = ("empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
         "cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
         "unimplemented_method", "unimplemented_service")


@pytest.fixture(scope="module")
def interop_server(go_programs, tmp_path_factory):
    """The port of a running one."""
    port = free_port()
    with (tmp_path_factory.mktemp("interop") / "server.log").open("w") as log:
        server = subprocess.Popen([go_programs / "server", f"--port={port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: server.poll() is not None or not refuses(port), "the interop server to listen")
            assert server.poll() is None
            yield port
        finally:
            server.kill()
            server.wait()


@pytest.fixture(scope="module", params=["raw", "tls"])
def through(request, interop_server, authority, server_certificate, tmp_path_factory):
    """Arguments of the client that lead it through a weir which is judged at the end."""
    port, tls = free_port(), request.param == "tls"
    manager = config.hcm([config.virtual_host(config.route("interop", timeout="0s"))], codec_type="AUTO" if tls else "HTTP2")
    context = config.downstream_tls(server_certificate, alpn=["h2"]) if tls else None
    bootstrap = config.bootstrap([config.listener(port, config.filter_chain(manager, tls=context))],
                                 [config.cluster("interop", interop_server, http2=True)])
    with running_weir(bootstrap, tmp_path_factory.mktemp("weir")) as weir:
        yield ["--server_host=127.0.0.1", f"--server_port={port}",
               *(["--use_tls", "--use_test_ca", f"--ca_file={authority.ca}", "--server_host_override=a.test"] if tls else [])]
        weir.wait_stat("http.ingress.downstream_rq_active", 0)
        weir.wait_stat("cluster.interop.upstream_rq_active", 0)
        assert weir.stat("http.ingress.downstream_rq_total") > 0


@pytest.mark.parametrize("case", CASES)
def test_interop(through, go_programs, case):
    result = subprocess.run([go_programs / "client", f"--test_case={case}", *through], capture_output=True, encoding="utf-8",
                            env={**os.environ, "GRPC_GO_LOG_SEVERITY_LEVEL": "info"}, timeout=DEADLINE_S * 2)
    assert result.returncode == 0, result.stderr
    assert " done" in result.stderr, result.stderr
