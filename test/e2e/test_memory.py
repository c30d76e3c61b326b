"""What many of something cost: clusters with their routes, connections at rest. Private memory, as the system counts it."""

import re
import resource
import socket
from pathlib import Path

import pytest

from support import config, http1, process, upstream
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)
pytestmark = pytest.mark.skipif("san" in str(process.BUILD), reason="a sanitizer's memory is not weir's")


def private_bytes(weir):
    smaps = Path(f"/proc/{weir.pid}/smaps").read_text()
    return 1024 * sum(map(int, re.findall(r"^Private_Dirty:\s+(\d+)", smaps, re.M)))


def with_clusters(count, backend):
    names = [f"r{number}" for number in range(count)]
    port = free_port()
    hcm = config.hcm([config.virtual_host(*(config.route(name, f"/{name}/") for name in names))])
    return port, config.bootstrap([config.listener(port, hcm)], [config.cluster(name, backend) for name in names])


def test_a_cluster_and_its_route_take_little(start_weir, make_upstream):
    taken, up = [], make_upstream(upstream.replying(body=b"ok"))
    for count in (1, 2001):
        port, bootstrap = with_clusters(count, up.port)
        weir = start_weir(bootstrap, concurrency=1)
        assert http1.get(port, f"/r{count - 1}/").status == 200
        taken.append(private_bytes(weir))
    assert (taken[1] - taken[0]) / 2000 < 6500


def test_a_connection_at_rest_takes_little(start_weir, make_upstream):
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 200), hard))
    port, bootstrap = with_clusters(1, make_upstream(upstream.replying(body=b"ok")).port)
    weir = start_weir(bootstrap, concurrency=1)
    request = b"GET /elsewhere HTTP/1.1\r\nhost: a\r\n\r\n"

    def connect():
        client = socket.create_connection(("127.0.0.1", port), timeout=30)
        client.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += client.recv(4096)
        return client

    clients = [connect() for _ in range(100)]
    before = private_bytes(weir)
    clients += [connect() for _ in range(count)]
    wait_until(lambda: weir.stat("http.ingress.downstream_rq_active") == 0, "rest")
    assert (private_bytes(weir) - before) / count < 1350
    for client in clients:
        client.close()
