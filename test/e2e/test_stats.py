"""/stats in its forms, on a running weir."""

import json
import re

import pytest

from support import config, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def running(start_weir, make_upstream):
    port = free_port()
    made = config.simple_proxy(port, make_upstream().port)
    made["stats_flush_interval"] = "0.050s"
    weir = start_weir(made)
    weir.http_port = port
    return weir


def test_requests_are_counted_under_envoys_names(running):
    for _ in range(3):
        http1.get(running.http_port, "/ok")
    running.wait_stat("http.ingress.downstream_rq_total", 3)
    running.wait_stat("http.ingress.downstream_rq_2xx", 3)
    running.wait_stat("cluster.upstream.upstream_rq_total", 3)
    running.wait_stat("cluster.upstream.upstream_rq_200", 3)
    running.wait_stat("cluster.upstream.upstream_rq_active", 0)


def test_reset_takes_counters_to_zero_only(running):
    http1.get(running.http_port, "/ok")
    running.wait_stat("http.ingress.downstream_rq_total", 1)
    assert running.admin("/reset_counters")[0] == 405
    assert running.admin("/reset_counters", "POST") == (200, "OK\n")
    assert running.stat("http.ingress.downstream_rq_total") == 0
    assert running.stat("server.live") == 1
    http1.get(running.http_port, "/ok")
    running.wait_stat("http.ingress.downstream_rq_total", 1)


def test_filter_and_used_only(running):
    _, text = running.admin("/stats?filter=%5Eserver%5C.(live|state)$")
    assert text == "server.live: 1\nserver.state: 0\n"
    _, text = running.admin("/stats?filter=%5Eserver%5C.(live|state|parent_connections)$&usedonly")
    assert text == "server.live: 1\nserver.state: 0\n"  # a gauge that was set, if to 0, and one that never was
    status, text = running.admin("/stats?filter=(")
    assert (status, text) == (400, "Invalid re2 regex: missing ): (")


def test_names_come_sorted(running):
    http1.get(running.http_port, "/ok")
    names = [line.split(": ")[0] for line in running.admin("/stats?type=Counters")[1].splitlines()]
    assert names == sorted(names)
    assert len(names) == len(set(names))


def test_json_has_values_and_quantiles(running):
    http1.get(running.http_port, "/ok")

    def recorded():
        found = running.admin_json("/stats?format=json&filter=downstream_rq_time|downstream_rq_total")["stats"]
        histograms = found[-1]["histograms"]["computed_quantiles"]
        return any(value["cumulative"] is not None for value in histograms[0]["values"]) and found
    found = wait_until(recorded, "a recorded histogram")
    assert {"name": "http.ingress.downstream_rq_total", "value": 1} in found
    assert found[-1]["histograms"]["supported_quantiles"] == [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]


def test_prometheus_output_is_well_formed(running):
    http1.get(running.http_port, "/ok")
    running.wait_stat("http.ingress.downstream_rq_2xx", 1)
    text = running.admin("/stats/prometheus")[1]
    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"} 1\n' in text
    assert 'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="upstream"} 1\n' in text
    seen, present, kinds = set(), None, {}
    for line in text.splitlines():
        kind = re.fullmatch(r"# TYPE (envoy_[a-zA-Z0-9_]+) (counter|gauge|histogram)", line)
        if kind:
            present = kind.group(1)
            assert present not in seen, f"{present} twice"
            seen.add(present)
            kinds[present] = kind.group(2)
            continue
        sample = re.fullmatch(r'([a-zA-Z0-9_]+)\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\} -?\d+', line)
        assert sample, line
        name = re.sub(r"_(bucket|sum|count)$", "", sample.group(1)) if kinds[present] == "histogram" else sample.group(1)
        assert name == present, line


def test_server_gauges(running):
    assert running.stat("server.concurrency") == 2
    assert running.stat("server.memory_physical_size") > 0
    wait_until(lambda: "P50(" in running.admin("/stats?filter=initialization_time_ms")[1], "initialization_time_ms")
    assert running.admin("/healthcheck/fail", "POST")[0] == 200
    assert running.stat("server.live") == 0
    assert running.stat("server.state") == 1
    assert json.loads(running.admin("/stats?format=json&filter=server.live")[1]) == {"stats": [{"name": "server.live", "value": 0}]}
