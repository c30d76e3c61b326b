"""What a pod needs of weir: $(NAME) in the bootstrap, the probe port, `weir wait` and `weir drain`, the order in which it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support import config, http1, process, threads
from support.busy import Busy
from support.ports import free_port, refuses
from support.wait import DEADLINE_S, wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


def saying(text, **fields):
    return config.hcm([config.virtual_host(config.direct_response(200, text))], **fields)


ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def waiting_for_ever():
    """A bootstrap whose control plane is not there."""
    boot = config.bootstrap(clusters=[config.cluster("control", free_port(), http2=True)])
    boot["dynamic_resources"] = {
        "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}]},
        "cds_config": ADS, "lds_config": ADS}
    return boot


def probe(port, path):
    """(status, body); (0, why) where nothing answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError) as error:
        return 0, str(error)


# --- $(NAME) ---

def test_node_comes_from_the_environment(start_weir):
    boot = config.bootstrap([config.listener(free_port(), saying("x"))], node={
        "id": "sidecar~$(POD_NAME).$(POD_NAMESPACE)", "cluster": "$(APP)", "locality": {"zone": "$(ZONE)"},
        "metadata": {"labels": {"app": "$(APP)"}, "literal": "$$(APP)"}})
    weir = start_weir(boot, env={"POD_NAME": "web-0", "POD_NAMESPACE": "shop", "APP": "web", "ZONE": "z1"})
    node = weir.admin_json("/server_info")["node"]
    assert (node["id"], node["cluster"], node["locality"]["zone"]) == ("sidecar~web-0.shop", "web", "z1")
    assert node["metadata"] == {"labels": {"app": "web"}, "literal": "$(APP)"}


def test_ports_and_texts_come_from_the_environment(start_weir):
    port = free_port()
    boot = config.bootstrap([config.listener(port, saying("hello from $(POD_NAME)"))])
    text = json.dumps(boot).replace(f'"port_value": {port}', '"port_value": "$(APP_PORT)"')
    start_weir(text, env={"POD_NAME": "web-0", "APP_PORT": str(port)})
    assert http1.get(port).body == b"hello from web-0"


def test_a_variable_that_is_not_set_is_named_with_its_place(tmp_path):
    path = tmp_path / "bootstrap.yaml"
    path.write_text("node:\n  id: a\n  cluster: $(NO_SUCH_NAME)\n")
    done = process.run("weir", "--mode", "validate", "-c", path)
    assert done.returncode == 1
    assert "bootstrap.yaml:3:12: node.cluster: the environment variable 'NO_SUCH_NAME' is not set" in done.stderr


# --- probes ---

@pytest.fixture
def probed(start_weir):
    def start(boot, ready=True, args=(), **options):
        port = free_port()
        weir = start_weir(boot, ready, args=["--probe-address", f"127.0.0.1:{port}", *args], **options)
        return weir, port
    return start


def test_probes_of_a_weir_that_serves(probed):
    _, port = probed(config.bootstrap([config.listener(free_port(), saying("x"))]))
    assert probe(port, "/startup") == (200, "STARTED\n")
    assert probe(port, "/ready") == (200, "LIVE\n")
    assert probe(port, "/live") == (200, "LIVE\n")
    status, text = probe(port, "/stats/prometheus")
    assert status == 200 and "envoy_server_live" in text
    for path in ("/config_dump", "/quitquitquit", "/logging", "/drain_listeners"):
        assert probe(port, path)[0] == 404


def test_a_control_plane_that_is_never_there_is_told_by_ready(probed):
    weir, port = probed(waiting_for_ever(), ready=False)
    wait_until(lambda: "its stream is down: " in probe(port, "/ready")[1], "the reason in /ready")
    for path in ("/ready", "/startup"):
        status, text = probe(port, path)
        assert status == 503
        assert text.startswith("INITIALIZING\nwaits: the first answer to CDS from ")
    assert probe(port, "/live")[0] == 200
    weir.wait_log("start-up waits: the first answer to CDS from .*its stream is down: ")


def test_a_broken_file_is_told_by_ready_until_it_is_mended(probed, tmp_path):
    served = free_port()
    lds = tmp_path / "lds.yaml"
    lds.write_text("resources:\n- '@type': type.googleapis.com/envoy.config.listener.v3.Listener\n  nmae: x\n")
    boot = config.bootstrap()
    boot["dynamic_resources"] = {"lds_config": {"path_config_source": {"path": str(lds)}, "initial_fetch_timeout": "0s"}}
    weir, port = probed(boot, ready=False)
    wait_until(lambda: "lds.yaml:3:3" in probe(port, "/ready")[1], "the place in /ready")
    status, text = probe(port, "/ready")
    assert status == 503 and "did you mean 'name'" in text
    fresh = tmp_path / "fresh"
    fresh.write_text(json.dumps({"resources": [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                                                **config.listener(served, saying("mended"))}]}))
    fresh.replace(lds)
    wait_until(lambda: probe(port, "/ready") == (200, "LIVE\n"), "readiness")
    assert http1.get(served).body == b"mended"


def test_a_node_that_is_given_no_listener_is_not_ready(probed, tmp_path):
    lds = tmp_path / "lds.yaml"
    lds.write_text("resources: []\n")
    boot = {**config.bootstrap(), "node": {"id": "pod-1", "cluster": "misspelt"}}
    boot["dynamic_resources"] = {"lds_config": {"path_config_source": {"path": str(lds)}}}
    weir, port = probed(boot)
    weir.wait_log("LDS has none for node 'pod-1' of cluster 'misspelt'")
    for path in ("/ready", "/startup"):
        assert probe(port, path) == (503, "LIVE\nwaits: a listener; LDS has none for node 'pod-1' of cluster 'misspelt'\n")
    assert probe(port, "/live")[0] == 200
    fresh = tmp_path / "fresh"
    fresh.write_text(json.dumps({"resources": [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                                                **config.listener(free_port(), saying("x"))}]}))
    fresh.replace(lds)
    wait_until(lambda: probe(port, "/ready") == (200, "LIVE\n"), "readiness")
    assert probe(port, "/startup") == (200, "STARTED\n")


def test_a_bad_probe_address_is_refused(tmp_path):
    path = tmp_path / "bootstrap.yaml"
    path.write_text("{}\n")
    for text in ("15021", "localhost:15021", "127.0.0.1:99999", "[::1:80"):
        done = process.run("weir", "-c", path, "--probe-address", text)
        assert done.returncode == 1
        assert f"not '{text}'" in done.stderr


# --- wait and drain ---

def test_wait_returns_once_weir_serves(probed):
    _, port = probed(waiting_for_ever(), ready=False)
    done = process.run("weir", "wait", "--timeout", "300ms", "--url", f"http://127.0.0.1:{port}/ready")
    assert done.returncode == 1
    assert "is not ready after 300 ms: INITIALIZING; waits: the first answer to CDS" in done.stderr
    _, port = probed(config.bootstrap([config.listener(free_port(), saying("x"))]), ready=False)
    assert process.run("weir", "wait", "--timeout", "20s", "--url", f"http://127.0.0.1:{port}/ready").returncode == 0


def test_wait_runs_the_command_in_its_place(probed):
    _, port = probed(config.bootstrap())
    done = process.run("weir", "wait", "--url", f"http://127.0.0.1:{port}/ready", "--", "/bin/sh", "-c", "echo $0 $1; exit 7", "a", "b c")
    assert (done.returncode, done.stdout) == (7, "a b c\n")
    done = process.run("weir", "wait", "--url", f"http://127.0.0.1:{port}/ready", "--", "/nonexistent")
    assert done.returncode == 127


@pytest.mark.parametrize("script, code", [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", 137)])
def test_wait_exit_with_ends_weir_after_the_command(probed, script, code):
    weir, port = probed(config.bootstrap([config.listener(free_port(), saying("x"))]))
    done = process.run("weir", "wait", "--exit-with", "--url", f"http://127.0.0.1:{port}/ready",
                       "--quit-url", f"http://{weir.admin_address}/quitquitquit", "--", "/bin/sh", "-c", script)
    assert done.returncode == code, done.stderr
    assert weir.wait_exit() == 0


def test_wait_exit_with_passes_signals_to_the_command(probed, tmp_path):
    weir, port = probed(config.bootstrap())
    command = process.command_line("weir", "wait", "--exit-with", "--url", f"http://127.0.0.1:{port}/ready", "--quit-url",
                                   f"http://{weir.admin_address}/quitquitquit", "--", "/bin/sh", "-c",
                                   f"trap 'exit 5' TERM; touch {tmp_path}/up; while :; do read x < {tmp_path}/pipe; done")
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)
    waiting = subprocess.Popen(command)
    try:
        wait_until(lambda: (tmp_path / "up").exists(), "the command")
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(DEADLINE_S) == 5
    finally:
        waiting.kill()
        waiting.wait()
    assert weir.wait_exit() == 0


def test_wait_goes_on_without_weir_when_it_is_told_to():
    done = process.run("weir", "wait", "--timeout", "200ms", "--go-on", "--url", f"http://127.0.0.1:{free_port()}/ready", "--", "/bin/sh", "-c", "exit 7")
    assert done.returncode == 7
    assert "is not ready after 200 ms" in done.stderr


def test_wait_installs_itself_for_other_containers(probed, tmp_path):
    weir, port = probed(config.bootstrap())
    done = process.run("weir-wait", "--install", tmp_path / "wait")
    assert done.returncode == 0, done.stderr
    done = subprocess.run([tmp_path / "wait", "--url", f"http://127.0.0.1:{port}/ready"], timeout=DEADLINE_S)
    assert done.returncode == 0
    assert not (tmp_path / "wait.part").exists()
    assert weir.running()


@pytest.mark.parametrize("args, said", [
    (["--timeout", "soon"], "--timeout: a duration such as 60s was expected, not 'soon'"),
    (["--timeout"], "unknown or incomplete flag '--timeout'"),
    (["--exit-with"], "--exit-with needs a command"),
    (["--nonsense"], "unknown or incomplete flag '--nonsense'"),
])
def test_wait_refuses_bad_flags(args, said):
    done = process.run("weir", "wait", *args)
    assert done.returncode == 2
    assert said in done.stderr


def wait_told_to_go(ask, body):
    """Asks until the answer has Connection: close, since a worker hears of a drain in its own time. Each answer is whole."""
    def told():
        response = ask()
        assert (response.status, response.body) == (200, body)
        return response.get("connection") == "close"
    wait_until(told, "an answer with connection: close")


def test_drain_lets_inbound_clients_go_and_serves_on(start_weir):
    inbound, outbound = free_port(), free_port()
    weir = start_weir(config.bootstrap([config.listener(inbound, saying("in"), name="in", traffic_direction="INBOUND"),
                                        config.listener(outbound, saying("out"), name="out", traffic_direction="OUTBOUND")]),
                      args=["--drain-strategy", "immediate"])
    with http1.Client(outbound) as out, http1.Client(inbound) as at_rest:
        assert out.request().get("connection") is None
        assert at_rest.request().get("connection") is None
        done = process.run("weir", "drain", "--inbound-only", "--admin", f"http://{weir.admin_address}")
        assert done.returncode == 0, done.stderr
        wait_told_to_go(lambda: http1.get(inbound), b"in")
        wait_told_to_go(at_rest.request, b"in")  # not cut: a request may be on its way
        assert out.request().get("connection") is None
    assert weir.admin("/ready")[0] == 200


def test_drain_says_why_it_could_not():
    done = process.run("weir", "drain", "--admin", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


# --- the end ---

class Held:
    """An upstream that answers when the test says so."""

    def __init__(self, make_upstream):
        self.arrived, self.go = threading.Event(), threading.Event()
        self.server = make_upstream(self.serve)

    def serve(self, request, connection):
        connection.read_body(request)
        self.arrived.set()
        self.go.wait(DEADLINE_S)
        connection.reply(body=b"done")


def test_outbound_serves_until_what_came_in_is_answered(start_weir, make_upstream):
    inbound, outbound = free_port(), free_port()
    held = Held(make_upstream)
    weir = start_weir(config.bootstrap(
        [config.listener(inbound, config.hcm([config.virtual_host(config.route("app"))]), name="in", traffic_direction="INBOUND"),
         config.listener(outbound, saying("out"), name="out", traffic_direction="OUTBOUND")],
        [config.cluster("app", held.server.port)]))
    with http1.Client(inbound) as busy:
        busy.send_request()
        assert held.arrived.wait(DEADLINE_S)
        weir.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(inbound), "the end of the inbound port")
        for _ in range(5):
            response = http1.get(outbound)
            assert (response.body, response.get("connection")) == (b"out", None)
        held.go.set()
        assert busy.read_response().body == b"done"
    assert weir.wait_exit() == 0
    assert "drained: nothing comes in any more" in weir.log


def test_outbound_serves_until_the_application_has_no_connection(start_weir, make_upstream):
    inbound, outbound = free_port(), free_port()
    held = Held(make_upstream)
    weir = start_weir(config.bootstrap(
        [config.listener(inbound, saying("in"), name="in", traffic_direction="INBOUND"),
         config.listener(outbound, config.hcm([config.virtual_host(
             config.direct_response(200, "quick", prefix="/quick"), config.route("other"))]), name="out", traffic_direction="OUTBOUND")],
        [config.cluster("other", held.server.port)]), concurrency=1)
    with http1.Client(outbound) as busy, http1.Client(outbound) as idle:
        assert idle.request(target="/quick").body == b"quick"
        busy.send_request()
        assert held.arrived.wait(DEADLINE_S)
        weir.send_signal(signal.SIGTERM)
        weir.wait_log("drained: nothing comes in any more")
        idle.expect_closed()
        assert http1.get(outbound, target="/quick").body == b"quick"
        assert weir.running()
        held.go.set()
        assert busy.read_response().body == b"done"
    assert weir.wait_exit() == 0


def test_outbound_is_cut_at_the_end_of_the_drain_time(start_weir, make_upstream):
    outbound = free_port()
    held = Held(make_upstream)
    weir = start_weir(config.bootstrap(
        [config.listener(outbound, config.hcm([config.virtual_host(config.route("other"))]), name="out", traffic_direction="OUTBOUND")],
        [config.cluster("other", held.server.port)]), args=["--drain-time-s", 1])
    with http1.Client(outbound) as busy:
        busy.send_request()
        assert held.arrived.wait(DEADLINE_S)
        weir.send_signal(signal.SIGTERM)
        busy.expect_closed()
    held.go.set()
    assert weir.wait_exit() == 0


def test_new_clients_are_served_for_the_shortest_drain(probed):
    served = free_port()
    weir, port = probed(config.bootstrap([config.listener(served, saying("late"))]), args=["--drain-min-time-s", 2])
    weir.send_signal(signal.SIGTERM)
    wait_until(lambda: probe(port, "/ready") == (503, "DRAINING\n"), "the drain")
    wait_told_to_go(lambda: http1.get(served), b"late")
    assert probe(port, "/live")[0] == 200 and probe(port, "/startup")[0] == 200
    assert weir.wait_exit() == 0
    assert refuses(served)


BUSY, ANSWER_S = 30, 0.1  # 300 requests a second


def two_pods(probed, args):
    """(load, the weir that is to end, its probe port, the port of the other one)"""
    inbound = [free_port(), free_port()]
    busy = Busy(inbound[0], BUSY, delay_s=ANSWER_S)
    cluster = config.cluster("app", busy.upstream())
    started = [probed(config.bootstrap([config.listener(port, config.hcm([config.virtual_host(config.route("app"))]), traffic_direction="INBOUND")],
                                       [cluster]), args=args) for port in inbound]
    return busy, *started[0], inbound[1]


@pytest.mark.parametrize("strategy", ["immediate", "gradual"])
def test_drain_under_300_requests_a_second_fails_none(probed, strategy):
    """As a pod ends: its preStop drains, the Service sends new connections elsewhere, SIGTERM comes when the clients have gone."""
    busy, weir, _, other = two_pods(probed, ["--drain-strategy", strategy, "--drain-time-s", 3])
    with busy:
        wait_until(lambda: busy.done > 10 * BUSY, "the load")
        done = process.run("weir", "drain", "--inbound-only", "--admin", f"http://{weir.admin_address}")
        assert done.returncode == 0, done.stderr
        busy.port = other
        weir.wait_stat("http.ingress.downstream_cx_active", 0)  # each client has gone
        weir.send_signal(signal.SIGTERM)
        assert weir.wait_exit() == 0
        before = busy.done
        wait_until(lambda: busy.done > before + 5 * BUSY, "the other one to serve them")
    assert busy.failures == []


def test_sigterm_under_300_requests_a_second_fails_none_in_the_shortest_drain(probed):
    """As a gateway ends, where nothing is asked before the signal: for a while it serves on, and each answer tells its client to go."""
    busy, weir, port, other = two_pods(probed, ["--drain-min-time-s", 4])
    with busy:
        wait_until(lambda: busy.done > 10 * BUSY, "the load")
        weir.send_signal(signal.SIGTERM)
        wait_until(lambda: probe(port, "/ready")[0] == 503, "readiness to fail")
        busy.port = other
        assert weir.wait_exit() == 0
        before = busy.done
        wait_until(lambda: busy.done > before + 5 * BUSY, "the other one to serve them")
    assert busy.failures == []


def test_a_worker_that_hangs_is_not_alive(probed):
    weir, port = probed(config.bootstrap([config.listener(free_port(), saying("x"))]))
    assert probe(port, "/live") == (200, "LIVE\n")
    with threads.stopped(weir.pid, "wrk:worker_1"):
        wait_until(lambda: probe(port, "/live")[0] == 503, "the worker to be missed", 60)
        assert re.fullmatch(r"worker 1 has not answered for \d+ s\n", probe(port, "/live")[1])
    wait_until(lambda: probe(port, "/live") == (200, "LIVE\n"), "the worker's answer")


def test_a_connection_at_rest_is_told_by_its_next_answer_in_the_shortest_drain(probed):
    """Closed at once it would meet a request that is on its way."""
    served = free_port()
    weir, port = probed(config.bootstrap([config.listener(served, saying("late"))]), args=["--drain-min-time-s", 5])
    with http1.Client(served) as at_rest, http1.Client(served) as silent:
        for client in (at_rest, silent):
            assert client.request().get("connection") is None
        weir.send_signal(signal.SIGTERM)
        wait_until(lambda: probe(port, "/ready") == (503, "DRAINING\n"), "the drain")
        wait_told_to_go(at_rest.request, b"late")
        at_rest.expect_closed()
        silent.expect_closed()  # when new clients are no longer taken
    assert weir.wait_exit() == 0


def test_a_killed_weir_comes_back_on_the_same_sockets(start_program, tmp_path):
    path = tmp_path / "listen.sock"
    port = free_port()
    pipe = config.listener(0, saying("pipe"), name="pipe")
    pipe["address"] = {"pipe": {"path": str(path)}}
    boot = tmp_path / "bootstrap.json"
    boot.write_text(json.dumps(config.bootstrap([config.listener(port, saying("port")), pipe],
                                                admin={"address": {"pipe": {"path": str(tmp_path / "admin.sock")}}})))
    killed = start_program("weir", "-c", boot)
    wait_until(lambda: not refuses(port), "the port")
    killed.process.kill()
    assert killed.process.wait() == -signal.SIGKILL
    killed.process = None  # as was meant
    again = start_program("weir", "-c", boot)
    wait_until(lambda: not refuses(port), "the port again")
    assert http1.get(port).body == b"port"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert b"pipe" in client.makefile("rb").read()
    assert again.running()


@pytest.mark.parametrize("count", [2, 3])
def test_signals_in_a_row_end_it_at_once(start_weir, make_upstream, count):
    """The second one cuts what is busy; no order to a worker may meet another that is still under way."""
    for _ in range(10):
        port = free_port()
        weir = start_weir(config.bootstrap([config.listener(port, saying("x"), traffic_direction="OUTBOUND")]), concurrency=4)
        with http1.Client(port):
            for _ in range(count):
                weir.send_signal(signal.SIGTERM)
            assert weir.wait_exit() == 0


@pytest.fixture
def limited_memory(tmp_path):
    """(a launcher that shows a process this cgroup instead of its own, a function that sets what is used of 100 MB); any version."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    own = Path("/proc/self/cgroup").read_text()
    v2 = not re.search(r"^\d+:[^:]*\bmemory\b", own, re.M)
    folder = tmp_path / "cgroup"
    base = folder if v2 else folder / "memory"
    base.mkdir(parents=True)
    (base / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text("100000000\n")

    def use(count):
        part = base / "fresh"
        part.write_text(f"{count}\n")
        part.replace(base / ("memory.current" if v2 else "memory.usage_in_bytes"))
    use(10_000_000)
    # the root may be no mount of its own (a chroot), so /sys alone is taken out of what other namespaces see
    script = f'mount --make-rprivate /sys && mount --bind {folder} /sys/fs/cgroup && exec "$@"'
    launcher = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, "sh"]
    tried = subprocess.run([*launcher, "true"], text=True, capture_output=True, timeout=DEADLINE_S)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace here: {tried.stderr.strip()}")
    return launcher, use


def test_near_the_memory_limit_new_requests_are_refused(start_weir, limited_memory, monkeypatch):
    launcher, use = limited_memory
    plain = process.command_line
    monkeypatch.setattr(process, "command_line", lambda *args: [*launcher, *plain(*args)])
    port = free_port()
    weir = start_weir(config.bootstrap([config.listener(port, saying("x"))]))
    weir.wait_log("memory limit: 100000000 bytes")
    with http1.Client(port) as client:
        assert client.request().body == b"x"
        use(96_000_000)
        weir.wait_stat("overload.envoy.overload_actions.stop_accepting_requests.active", 1)
        wait_until(lambda: client.request().status == 503, "the refusal")
        assert client.request().body == b"envoy overloaded"
        assert weir.stat("overload.envoy.resource_monitors.cgroup_memory.pressure") in (95, 96)
        assert weir.stat("http.ingress.downstream_rq_overload_close") >= 2
        use(92_000_000)
        weir.wait_stat("overload.envoy.resource_monitors.cgroup_memory.pressure", lambda percent: percent < 93)
        assert client.request().status == 503
        use(50_000_000)
        wait_until(lambda: client.request().status == 200, "the end of the refusal")
