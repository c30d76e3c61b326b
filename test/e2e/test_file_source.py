"""CDS and LDS from files: read at start, followed when replaced, also by the link swap of a mounted ConfigMap."""

import json
import signal
import threading

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import replying
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


def response(kind, *resources):
    return json.dumps({"resources": [{"@type": f"type.googleapis.com/envoy.config.{kind}", **r} for r in resources]})


def replace(path, text):
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def served(start_weir, make_upstream, tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    port = free_port()
    upstream = make_upstream(replying(200, body=b"up"))

    def listener(*routes):
        return response("listener.v3.Listener", config.listener(port, config.hcm([config.virtual_host(*routes)])))

    replace(folder / "cds.json", response("cluster.v3.Cluster", config.cluster("up", upstream.port)))
    replace(folder / "lds.json", listener(config.route("up")))
    weir = start_weir({
        "admin": {"address": config.address(0)},
        "dynamic_resources": {"cds_config": {"path_config_source": {"path": str(folder / "cds.json")}},
                              "lds_config": {"path_config_source": {"path": str(folder / "lds.json")}}}})
    weir.port, weir.folder, weir.listener = port, folder, listener
    return weir


def test_a_replaced_file_takes_effect(served):
    assert http1.get(served.port).body == b"up"
    replace(served.folder / "lds.json", served.listener(config.direct_response(200, "changed")))
    wait_until(lambda: http1.get(served.port).body == b"changed", "the replaced file")


def test_a_broken_file_keeps_the_last_good_set_and_says_where(served):
    replace(served.folder / "lds.json", '{"resources": [\n  {"@type": 1}\n]}')
    served.wait_log(r"lds\.json:2:")
    assert http1.get(served.port).body == b"up"
    replace(served.folder / "lds.json", served.listener(config.route("up")))
    replace(served.folder / "cds.json", response("cluster.v3.Cluster", {"name": "up", "lb_policy": "MAGLEV"}))
    served.wait_log("resource 'up' is refused")
    assert http1.get(served.port).body == b"up"


def events(weir, kind):
    return [line for line in weir.log.splitlines() if line.startswith(f'{{"event":"{kind}"')]


def test_a_file_that_is_being_written_is_not_judged(served):
    """Only a rename is atomic; of a file that is written in place nothing is said before it is whole."""
    assert served.admin("/logging?config=debug", "POST")[0] == 200
    text = served.listener(config.direct_response(200, "changed"))
    with open(served.folder / "lds.json", "w") as file:
        file.write(text[:len(text) // 2])
        file.flush()
        (served.folder / "other").write_text("")  # whatever changes beside it has both read
        served.wait_log("lds: .*it may be half-written")
        file.write(text[len(text) // 2:])
    wait_until(lambda: http1.get(served.port).body == b"changed", "the written file")
    assert not events(served, "ConfigRefused")
    assert served.stat("listener_manager.lds.update_failure") == 0


def test_a_file_that_breaks_in_place_is_told(served):
    (served.folder / "lds.json").write_text('{"resources": [\n  {"@type": 1}\n]}')
    wait_until(lambda: events(served, "ConfigRefused"), "the refusal")
    served.wait_stat("listener_manager.lds.update_failure", 1)
    assert http1.get(served.port).body == b"up"


def test_a_link_swap_is_followed(start_weir, tmp_path):
    """A mounted ConfigMap: file → ..data/file, and ..data → a dated folder that is swapped by a rename."""
    port = free_port()
    folder = tmp_path / "mounted"
    for name, text in (("..1", "one"), ("..2", "two")):
        (folder / name).mkdir(parents=True)
        (folder / name / "lds.json").write_text(
            response("listener.v3.Listener", config.listener(port, config.hcm([config.virtual_host(config.direct_response(200, text))]))))
    (folder / "..data").symlink_to("..1")
    (folder / "lds.json").symlink_to("..data/lds.json")
    start_weir({"admin": {"address": config.address(0)},
                "dynamic_resources": {"lds_config": {"path_config_source": {"path": str(folder / "lds.json"),
                                                                            "watched_directory": {"path": str(folder)}}}}})
    assert http1.get(port).body == b"one"
    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").rename(folder / "..data")
    wait_until(lambda: http1.get(port).body == b"two", "the swapped link")


def mount(folder, number, files):
    """One state of a mounted ConfigMap, swapped in as a kubelet does."""
    dated = folder / f"..{number}"
    dated.mkdir(parents=True)
    for name, text in files.items():
        (dated / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(dated.name)
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.fixture
def pair(start_weir, make_upstream, tmp_path):
    """A weir whose clusters and listeners are two files of one mounted ConfigMap: state N routes to cluster cN, the only one there."""
    port, folder = free_port(), tmp_path / "mounted"
    upstream = make_upstream(replying(200, body=b"up"))

    def swap(number, clusters=None, listeners=None):
        made = response("listener.v3.Listener", config.listener(port, config.hcm([config.virtual_host(config.route(f"c{number}"))])))
        mount(folder, number, {"cds.json": clusters or response("cluster.v3.Cluster", config.cluster(f"c{number}", upstream.port)),
                               "lds.json": listeners or made})
    swap(0)
    weir = start_weir({
        "admin": {"address": config.address(0)},
        "dynamic_resources": {"cds_config": {"path_config_source": {"path": str(folder / "cds.json")}},
                              "lds_config": {"path_config_source": {"path": str(folder / "lds.json")}}}})
    weir.port, weir.swap, weir.folder = port, swap, folder
    return weir


def clusters_of(weir):
    return {line.partition("::")[0] for line in weir.admin("/clusters")[1].splitlines()}


def test_files_that_change_together_take_effect_together(pair):
    end, failed, asked = threading.Event(), [], [0]

    def load():
        with http1.Client(pair.port) as client:
            while not end.is_set():
                response = client.request()
                asked[0] += 1
                if response.status != 200:
                    failed.append((response.status, response.body))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for each in threads:
        each.start()
    try:
        for number in range(1, 30):
            pair.swap(number)
            wait_until(lambda: clusters_of(pair) == {f"c{number}"}, f"cluster c{number} alone")
    finally:
        end.set()
        for each in threads:
            each.join()
    assert not failed, failed[:3]
    assert asked[0] > 100


def test_swaps_in_a_row_end_with_the_last(pair):
    for number in range(1, 20):
        pair.swap(number)
    wait_until(lambda: clusters_of(pair) == {"c19"} and http1.get(pair.port).status == 200, "the last state")


def test_a_broken_file_holds_its_partner_back(pair):
    pair.swap(1, clusters='{"resources": [\n {"@type": 1}]}')
    pair.wait_log(r"cds\.json:2:")
    assert http1.get(pair.port).body == b"up"
    assert clusters_of(pair) == {"c0"}
    pair.swap(2)
    wait_until(lambda: clusters_of(pair) == {"c2"}, "the next good state")
    assert http1.get(pair.port).body == b"up"


def test_what_becomes_of_a_file_is_told_on_stdout(pair):
    pair.swap(1, listeners='{"resources": [\n {"@type": 1}]}')
    event = json.loads(pair.wait_log(r'^\{"event":"ConfigRefused".*').group(0))
    assert event["source"].endswith("lds.json")
    assert "lds.json:2:" in event["message"]
    pair.swap(2, clusters=response("cluster.v3.Cluster", {"name": "c2", "lb_policy": "MAGLEV"}))
    event = json.loads(pair.wait_log(r'^\{"event":"ConfigRefused".*cds.json".*').group(0))
    assert event["message"].startswith("c2: lb_policy")
    pair.swap(3)
    pair.wait_log(r'^\{"event":"ConfigApplied".*lds.json"')


def test_a_listener_that_lacked_its_cluster_is_taken_once_that_comes(pair):
    before = (pair.folder / "cds.json").read_text()
    pair.swap(1, clusters=before)
    pair.wait_log("unknown cluster 'c1'")
    assert http1.get(pair.port).body == b"up"
    pair.swap(2, clusters=before.replace('"c0"', '"c1"'), listeners=(pair.folder / "lds.json").read_text())
    wait_until(lambda: clusters_of(pair) == {"c1"}, "the missing cluster")
    wait_until(lambda: http1.get(pair.port).status == 200, "the listener that waited for it")


def clusters(generation, count):
    return response("cluster.v3.Cluster", *(config.cluster(f"{generation}-{number}", 1) for number in range(count)))


def listeners(generation, count):
    hcm = config.hcm([config.virtual_host(config.direct_response(200, "x"))])
    return response("listener.v3.Listener", *(config.listener(free_port(), hcm, name=f"{generation}-{number}") for number in range(count)))


@pytest.mark.parametrize("source, make", [("cds_config", clusters), ("lds_config", listeners)])
def test_an_update_while_the_process_ends_leaves_nothing_behind(start_weir, tmp_path, source, make):
    """It is published to workers that have ended meanwhile; what it holds goes all the same (leaks are seen by the sanitizer)."""
    for turn in range(8):
        count = 8 * turn + 1  # the more there is to compile the later it comes
        path = tmp_path / f"{turn}.json"
        replace(path, make("old", count))
        after = make("new", count)
        weir = start_weir({"admin": {"address": config.address(0)}, "dynamic_resources": {source: {"path_config_source": {"path": str(path)}}}})
        replace(path, after)
        weir.send_signal(signal.SIGTERM)
        assert weir.wait_exit() == 0
