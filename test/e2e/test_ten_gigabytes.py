"""A body of ten gigabytes through a slow reader on either side keeps memory under the buffer limits."""

import pytest

from support import config, flood, process
from support.ports import free_port

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

LIMIT = 256 * 1024
SANITIZED = "san" in str(process.BUILD)
# Instrumented, a tenth of the speed and more is lost: the bound on memory is release's to show, the way there is the same.
TEN_GB = 2**28 if SANITIZED else 10 * 10**9 // flood.FRAME * flood.FRAME
SMALLER = 2**27 if SANITIZED else 2**28
# What a connection may hold by its limit, written and read, on both sides; and what a process needs besides.
GROWTH_KIB_MAX = 4 * LIMIT // 1024 + 3 * 1024
STALLS = 5


def name(http2):
    return "http2" if http2 else "http1"


def cases(long):
    """long: the pairing (downstream, upstream) that carries the ten gigabytes."""
    for down2 in (False, True):
        for up2 in (False, True):
            size = TEN_GB if (down2, up2) == long else SMALLER
            yield pytest.param(down2, up2, size, id=f"{name(down2)}-{name(up2)}")


@pytest.fixture
def start(start_weir):
    made = []

    def start(http2, exchange):
        upstream = flood.Upstream(http2, exchange)
        made.append(upstream)
        port = free_port()
        manager = config.hcm([config.virtual_host(config.route("up", timeout="0s"))], stream_idle_timeout="0s")
        weir = start_weir(config.bootstrap(
            [config.listener(port, manager, per_connection_buffer_limit_bytes=LIMIT)],
            [config.cluster("up", upstream.port, http2=http2, per_connection_buffer_limit_bytes=LIMIT)]))
        return weir, port
    yield start
    for upstream in made:
        upstream.close()


def assert_grew_little(weir, before_kib):
    grown = weir.memory_kib("VmHWM") - before_kib
    assert SANITIZED or grown < GROWTH_KIB_MAX, f"{grown} KiB more, at most"


@pytest.mark.parametrize("down2, up2, size", cases(long=(True, False)))
def test_download(start, down2, up2, size):
    sent = flood.Progress(size)

    def exchange(peer):
        peer.send_head(sent.size)
        peer.send_body(sent)

    weir, port = start(up2, exchange)
    before_kib = weir.memory_kib("VmHWM")
    client = flood.connect(port, down2)
    client.send_head()
    client.read_head()
    client.read_body(flood.SlowReader(sent, STALLS))
    client.sock.close()
    assert_grew_little(weir, before_kib)
    weir.stop()


@pytest.mark.parametrize("down2, up2, size", cases(long=(False, True)))
def test_upload(start, down2, up2, size):
    sent = flood.Progress(size)

    def exchange(peer):
        peer.read_body(flood.SlowReader(sent, STALLS))
        peer.send_head()

    weir, port = start(up2, exchange)
    before_kib = weir.memory_kib("VmHWM")
    client = flood.connect(port, down2)
    client.send_head(sent.size)
    client.send_body(sent)
    client.read_head()
    client.sock.close()
    assert_grew_little(weir, before_kib)
    weir.stop()
