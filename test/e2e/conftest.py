"""Fixtures of the end-to-end tests. A program that a test started is ended and judged when the test ends."""

import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import peers  # noqa: E402
from support import go_peer, h2peer, process, tls, upstream, websocket, xds_server  # noqa: E402
from support.grpc_echo import EchoServer  # noqa: E402
from support.weir import Weir  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "peers: needs programs from a package registry; mandatory where CI=true")
    os.environ.setdefault("NO_PROXY", "*")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for program in getattr(item, "weir_programs", []):
            if program.log_path.exists():
                report.sections.append((f"log of {program.name}, its end", program.log[-6000:]))


@pytest.fixture
def start_program(request, tmp_path):
    """start_program(name, *args): runs a built program until the test ends."""
    programs = getattr(request.node, "weir_programs", None)
    programs = request.node.weir_programs = [] if programs is None else programs
    own = []

    def start(name, *args, env=None):
        program = process.Program(name, args, tmp_path, env)
        programs.append(program)
        own.append(program)
        return program.start()

    yield start
    end_programs(own)


@pytest.fixture
def start_weir(request, tmp_path):
    """start_weir(bootstrap, ready=True, args=(), env=None, concurrency=2): a running Weir."""
    programs = getattr(request.node, "weir_programs", None)
    programs = request.node.weir_programs = [] if programs is None else programs
    own = []

    def start(bootstrap, ready=True, **options):
        weir = Weir(bootstrap, tmp_path, **options)
        programs.append(weir)
        own.append(weir)
        return weir.start(ready)

    yield start
    end_programs(own)


def end_programs(programs):
    """Ends all, the last started first, whatever each has to say; then fails with what was wrong."""
    errors = []
    for program in reversed(programs):
        try:
            program.stop()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


def closing(factory):
    """A fixture that gives factory(...), and closes all that it made."""
    @pytest.fixture
    def fixture():
        made = []

        def make(*args, **kwargs):
            made.append(factory(*args, **kwargs))
            return made[-1]

        yield make
        for thing in made:
            thing.close()
    return fixture


make_upstream = closing(upstream.Upstream)
make_h2_upstream = closing(h2peer.Upstream)
make_grpc_upstream = closing(EchoServer)
make_websocket_upstream = closing(websocket.WebSocketUpstream)
make_control_plane = closing(xds_server.ControlPlane)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority; authority.issue(name, *sans) makes certificates."""
    return tls.Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def server_certificate(authority):
    """For localhost, 127.0.0.1 and a.test."""
    return authority.issue("server", "DNS:localhost", "DNS:a.test", "IP:127.0.0.1")


def peer_or_skip(find):
    """What find() gives; skips the test where the peer can not be had, unless that is mandatory."""
    try:
        return find()
    except peers.Unavailable as unavailable:
        if peers.mandatory(unavailable):
            pytest.fail(str(unavailable))
        pytest.skip(str(unavailable))


@pytest.fixture(scope="session")
def real_envoy():
    """Path of the real Envoy's program."""
    return peer_or_skip(peers.envoy)


@pytest.fixture(scope="session")
def go_programs():
    """The folder of the peers that are written in Go."""
    return peer_or_skip(peers.go_programs)


@pytest.fixture
def start_go(request, tmp_path, go_programs):
    """start_go(name, *args, env=None): runs one of peers.GO_PROGRAMS until the test ends."""
    made = []
    programs = getattr(request.node, "weir_programs", None)
    programs = request.node.weir_programs = [] if programs is None else programs

    def start(name, *args, env=None):
        made.append(go_peer.GoPeer(go_programs / name, args, tmp_path, env))
        programs.append(made[-1])
        return made[-1].start()

    yield start
    end_programs(made)
