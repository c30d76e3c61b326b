"""CDS and LDS from files: read at start, followed when replaced, also by the link swap of a mounted ConfigMap."""

import json

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
    replace(served.folder / "cds.json", response("cluster.v3.Cluster", {"name": "up", "lb_policy": "MAGLEV"}))
    served.wait_log("resource 'up' is refused")
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
