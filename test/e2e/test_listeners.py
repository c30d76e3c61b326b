"""Listeners: addresses, choice of a chain, updates in place and otherwise, removal, the end of the process."""

import json
import signal
import socket
import threading

import pytest

from support import config, http1, process, tls, upstream
from support.ports import free_port, refuses
from support.wait import DEADLINE_S, wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


def saying(text, **fields):
    return config.hcm([config.virtual_host(config.direct_response(200, text))], **fields)


def ask(client):
    response = client.request("GET", "/")
    assert response.status == 200
    return response.body.decode()


class Lds:
    """A weir whose listeners come from a file that the test rewrites."""

    def __init__(self, start_weir, folder, *listeners, clusters=(), args=()):
        self.path = folder / "lds.json"
        self.version = 0
        self.write(listeners)
        boot = config.bootstrap(clusters=clusters)
        boot["dynamic_resources"] = {"lds_config": {"path_config_source": {"path": str(self.path)}}}
        self.weir = start_weir(boot, args=args)

    def write(self, listeners):
        fresh = self.path.with_suffix(".new")
        self.version += 1
        fresh.write_text(json.dumps({"version_info": str(self.version), "resources": [{"@type": LISTENER, **each} for each in listeners]}))
        fresh.replace(self.path)


@pytest.fixture
def lds(start_weir, tmp_path):
    return lambda *listeners, **options: Lds(start_weir, tmp_path, *listeners, **options)


def test_ipv6_unix_and_wildcard_addresses(start_weir, tmp_path):
    six, any_port = free_port(), free_port()
    path = tmp_path / "s.sock"
    start_weir(config.bootstrap([
        {**config.listener(six, saying("six"), name="six"), "address": config.address(six, "::1")},
        {**config.listener(any_port, saying("any"), name="any"),
         "address": {"socket_address": {"address": "::", "port_value": any_port, "ipv4_compat": True}}},
        config.listener(path, saying("unix"), name="unix")]))
    with socket.create_connection(("::1", six), DEADLINE_S) as sock:
        client = http1.Client.__new__(http1.Client)
        http1.Stream.__init__(client, sock)
        assert ask(client) == "six"
    assert http1.get(any_port).body == b"any"
    assert http1.get(path).body == b"unix"


def test_port_zero_is_the_same_for_all_workers(start_weir):
    weir = start_weir(config.bootstrap([config.listener(0, saying("here"), name="zero")]), concurrency=4)
    port = weir.listener_port("zero")
    assert all(http1.get(port).body == b"here" for _ in range(40))
    stats = weir.stats("listener.127.0.0.1_0.worker_")
    by_worker = [stats[f"listener.127.0.0.1_0.worker_{i}.downstream_cx_total"] for i in range(4)]
    assert sum(by_worker) == 40
    assert sum(1 for n in by_worker if n) > 1


def test_one_socket_for_all_without_reuse_port(start_weir):
    port = free_port()
    start_weir(config.bootstrap([config.listener(port, saying("shared"), enable_reuse_port=False)]), concurrency=4)
    assert all(http1.get(port).body == b"shared" for _ in range(40))


def test_chains_by_source_and_port(start_weir):
    port = free_port()

    def chain(text, **match):
        return config.filter_chain(saying(text), match=match, name=text)
    start_weir(config.bootstrap([{**config.listener(
        port, chain("two", source_prefix_ranges=[{"address_prefix": "127.0.0.2", "prefix_len": 32}]),
        chain("eight", source_prefix_ranges=[{"address_prefix": "127.0.0.0", "prefix_len": 8}])),
        "default_filter_chain": config.filter_chain(saying("default"))}]))

    def from_address(source):
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S, source_address=(source, 0)) as sock:
            client = http1.Client.__new__(http1.Client)
            http1.Stream.__init__(client, sock)
            return ask(client)
    assert from_address("127.0.0.2") == "two"
    assert from_address("127.0.0.3") == "eight"


def test_update_in_place_changes_the_next_request_of_an_open_connection(lds):
    port = free_port()
    served = lds(config.listener(port, saying("old")))
    with http1.Client(port) as client:
        assert ask(client) == "old"
        served.write([config.listener(port, saying("new"))])
        wait_until(lambda: ask(client) == "new", "the new configuration")
    assert served.weir.stat(f"listener.127.0.0.1_{port}.downstream_cx_total") == 1


def test_update_leaves_a_running_tcp_session_alone(lds):
    port = free_port()
    with socket.socket() as origin:
        origin.bind(("127.0.0.1", 0))
        origin.listen()
        origin.settimeout(DEADLINE_S)
        cluster = config.cluster("up", origin.getsockname()[1])
        served = lds(config.listener(port, config.tcp_proxy("up")), clusters=[cluster])
        client = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        server, _ = origin.accept()
        served.write([config.listener(port, config.tcp_proxy("up", idle_timeout="3600s", stat_prefix="second"))])
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S):
            origin.accept()
            wait_until(lambda: served.weir.stat("tcp.second.downstream_cx_total") or
                       socket.create_connection(("127.0.0.1", port), DEADLINE_S).close(), "the update")
        client.sendall(b"still here")
        assert server.recv(100) == b"still here"
        client.close()
        server.close()


def test_equal_configuration_changes_nothing(lds):
    port = free_port()
    served = lds(config.listener(port, saying("same")))
    other = free_port()
    with http1.Client(port) as client:
        assert ask(client) == "same"
        served.write([config.listener(port, saying("same")), config.listener(other, saying("other"), name="other")])
        wait_until(lambda: not refuses(other), "the second listener")
        assert ask(client) == "same"
    assert served.weir.stat(f"listener.127.0.0.1_{port}.downstream_cx_total") == 1


def test_two_listeners_on_one_address_are_refused(lds):
    port = free_port()
    served = lds(config.listener(port, saying("first"), name="first"))
    served.write([config.listener(port, saying("first"), name="first"), config.listener(port, saying("second"), name="second")])
    served.weir.wait_log("'second' has duplicate address '127.0.0.1:")
    assert all(http1.get(port).body == b"first" for _ in range(20))


def test_changed_certificate_drains_old_connections(lds, authority):
    port = free_port()
    first, second = authority.issue("first", "DNS:localhost"), authority.issue("second", "DNS:localhost")

    def listener(certificate, text):
        return config.listener(port, config.filter_chain(saying(text), tls=config.downstream_tls(certificate)))
    served = lds(listener(first, "old"), args=("--drain-strategy", "immediate"))
    context = tls.client_context(authority.ca)
    client = http1.Client(port, tls=context)
    assert ask(client) == "old"
    served.write([listener(second, "new")])
    wait_until(lambda: http1.get(port, tls=context).body == b"new", "the new certificate")
    client.expect_closed()  # it was idle
    client.close()


def test_moved_listener_serves_its_old_connections(lds):
    port, moved = free_port(), free_port()
    served = lds(config.listener(port, saying("old")))
    with http1.Client(port) as client:
        assert ask(client) == "old"
        served.write([config.listener(moved, saying("new"))])
        wait_until(lambda: not refuses(moved), "the new address")
        assert http1.get(moved).body == b"new"
        wait_until(lambda: refuses(port), "the end of the old address")
        assert ask(client) in ("old", "new")


def test_removed_listener_ends_its_connections_after_the_drain_time(lds):
    port = free_port()
    served = lds(config.listener(port, saying("here")), config.listener(free_port(), saying("stays"), name="stays"), args=("--drain-time-s", "1"))
    client = http1.Client(port)
    assert ask(client) == "here"
    served.write([config.listener(free_port(), saying("stays"), name="stays")])
    wait_until(lambda: refuses(port), "the end of the port")
    client.expect_closed()
    client.close()


def test_taken_port_is_refused_and_the_old_address_serves_on(lds):
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        served = lds(config.listener(port, saying("good")))
        served.write([config.listener(taken.getsockname()[1], saying("bad"))])
        served.weir.wait_log("cannot bind '127.0.0.1:")
        assert http1.get(port).body == b"good"


def test_sigterm_ends_idle_connections_at_once_and_busy_ones_after_their_answer(start_weir, make_upstream):
    port = free_port()
    arrived, go = threading.Event(), threading.Event()

    def slow(request, connection):
        connection.read_body(request)
        arrived.set()
        go.wait(DEADLINE_S)
        connection.reply(body=b"x" * 3_000_000)
    origin = make_upstream(slow)
    weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                       [config.cluster("up", origin.port)]))
    idle, busy = http1.Client(port), http1.Client(port)
    busy.send_request()
    arrived.wait(DEADLINE_S)
    weir.send_signal(signal.SIGTERM)
    idle.expect_closed()
    wait_until(lambda: refuses(port), "the end of the port")
    assert weir.running()
    go.set()
    response = busy.read_response()
    assert len(response.body) == 3_000_000
    assert response.get("connection") == "close"
    busy.expect_closed()
    assert weir.wait_exit() == 0
    idle.close()
    busy.close()


def test_a_client_that_has_just_connected_is_answered_while_draining(start_weir):
    port = free_port()
    weir = start_weir(config.bootstrap([config.listener(port, saying("in time"))]))
    with http1.Client(port) as client:
        weir.wait_stat(f"listener.127.0.0.1_{port}.downstream_cx_active", 1)
        weir.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(port), "the end of the port")
        response = client.request("GET", "/")
        assert (response.body, response.get("connection")) == (b"in time", "close")
        client.expect_closed()
    assert weir.wait_exit() == 0


def test_sigterm_cuts_what_outlives_the_drain_time(start_weir, make_upstream):
    port = free_port()
    never = threading.Event()

    def hang(request, connection):
        never.wait(DEADLINE_S)
    origin = make_upstream(hang)
    weir = start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))],
                                       [config.cluster("up", origin.port)]), args=("--drain-time-s", "1"))
    with http1.Client(port) as client:
        client.send_request()
        origin.wait_requests(1)
        weir.send_signal(signal.SIGTERM)
        assert weir.wait_exit() == 0
    never.set()


def test_many_connections_at_once(start_weir, make_upstream):
    port = free_port()
    origin = make_upstream(upstream.replying(body=b"ok"))
    start_weir(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("up"))]))], [config.cluster("up", origin.port)]))
    clients = [http1.Client(port) for _ in range(300)]
    for client in clients:
        client.send_request()
    assert all(client.read_response().body == b"ok" for client in clients)
    for client in clients:
        client.close()
