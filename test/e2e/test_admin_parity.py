"""The admin pages of weir and of the real Envoy on one configuration: status, content type and text of each call, with good parameters and
with bad ones."""

import http.client
import json
import re

import pytest

from support import config, http1, process
from support.parity import RealEnvoy
from support.ports import free_port
from support.weir import Weir

pytestmark = pytest.mark.peers
if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FORM = "application/x-www-form-urlencoded"
# In this order: some change what later ones show. The same to the byte.
SAME = """
GET /ready
HEAD /ready
PUT /ready
GET /help
GET /nosuch
GET /ready/
GET /healthcheck/fail
POST /healthcheck/fail
GET /ready
POST /healthcheck/ok
GET /ready
GET /quitquitquit
GET /clusters?filter=[
GET /clusters?filter=nosuch
GET /clusters?format=json&filter=nosuch
GET /listeners
GET /hot_restart_version
GET /certs
GET /init_dump
GET /init_dump?mask=listener
GET /contention
GET /reset_counters
POST /reset_counters
POST /reopen_logs
GET /reopen_logs
POST /cpuprofiler
POST /cpuprofiler?enable=x
GET /cpuprofiler
GET /runtime_modify
POST /runtime_modify
POST /runtime_modify?b=1
POST /runtime_modify?b=
POST /runtime_modify c=2&d=3
POST /stats/recentlookups/clear
POST /stats/recentlookups/disable
GET /stats/recentlookups/clear
GET /config_dump?resource=nope
GET /config_dump?name_regex=[
GET /config_dump?mask=nope
GET /config_dump?resource=static_listeners&name_regex=zzz
GET /drain_listeners
POST /drain_listeners?inboundonly
POST /drain_listeners?skip_exit&inboundonly
GET /stats?filter=[
GET /stats?type=x
GET /stats?type=counters
GET /stats?type=&filter=ingress.downstream_cx_http3
GET /stats?format=x
GET /stats?hidden=x
GET /stats?hidden=only
GET /stats?hidden=only&format=json
GET /stats?hidden=exclude&filter=ingress.downstream_cx_http3
GET /stats?histogram_buckets=x
GET /stats?histogram_buckets=prometheusnative
GET /stats?histogram_buckets=none&filter=ingress.*rq_time
GET /stats?histogram_buckets=summary&filter=ingress.*rq_time
GET /stats?format=json&filter=ingress.downstream_cx_http3
GET /stats?format=json&filter=nosuch
GET /stats?format=json&histogram_buckets=detailed&filter=nosuch
GET /stats?format=json&histogram_buckets=disjoint&filter=ingress.*rq_time
GET /stats?usedonly&filter=^http.ingress.*_cx_.*total&type=Counters
GET /stats?invert_filter&filter=[^3]$&type=Counters
GET /stats/prometheus?filter=[
GET /stats/prometheus?type=x
GET /stats/prometheus?type=Gauges&filter=ingress.*_(cx_http3|rq_http3)
GET /stats/prometheus?histogram_buckets=x
GET /stats/prometheus?histogram_buckets=detailed
GET /stats/prometheus?histogram_buckets=prometheusnative
GET /stats/prometheus?histogram_buckets=summary&filter=ingress.*rq_time
GET /stats/prometheus?histogram_buckets=none&filter=ingress.*rq_time
GET /stats/prometheus?histogram_buckets=cumulative&filter=ingress.*rq_time
GET /stats/prometheus?usedonly&filter=ingress.*_cx_(total|http3|idle)
""".strip().splitlines()
# The list of loggers is each one's own: compared up to it.
LOGGING = ["", "level=warning", "level=x", "level=", "paths=admin:info", "paths=nosuch:info", "paths=admin:x", "paths=admin", "paths=admin:,b:info", "paths=a:b:c",
           "paths=", "admin=info", "admin=", "nosuch=info", "x=y", "admin=info&http=debug", "group=admin:info", "level=error"]


def bootstrap(ports, upstream_port):
    made = config.simple_proxy(ports["http"], upstream_port)
    made["stats_flush_interval"] = "0.050s"
    made["layered_runtime"] = {"layers": [{"name": "s", "static_layer": {"a": {"b": 1}, "flag": True}}, {"name": "adm", "admin_layer": {}}]}
    made["static_resources"]["listeners"].append(config.listener(ports["tcp"], config.tcp_proxy("upstream"), name="tcp"))
    made["static_resources"]["clusters"][0]["circuit_breakers"] = {"thresholds": [{"max_connections": 7}]}
    return made


@pytest.fixture(scope="module")
def pair(real_envoy, tmp_path_factory, closing_upstream):
    work, made = tmp_path_factory.mktemp("admin"), []
    try:
        for which in ("weir", "envoy"):
            ports = {"http": free_port(), "tcp": free_port()}
            text = bootstrap(ports, closing_upstream.port)
            program = (RealEnvoy(real_envoy, text, work) if which == "envoy" else
                       Weir(text, work, args=("--file-flush-interval-msec", "10", "--log-level", "error"), concurrency=1))
            program.start()
            program.ports = ports
            assert http1.get(ports["http"]).status == 200
            program.wait_stat("http.ingress.downstream_cx_active", 0)
            made.append(program)
        yield made
    finally:
        for program in made:
            program.stop()


@pytest.fixture(scope="module")
def closing_upstream():
    from support.upstream import Upstream
    up = Upstream()
    yield up
    up.close()


def call(program, line):
    """Status, content type and text, ports by their names."""
    method, path, *form = line.split(" ", 2)
    connection = http.client.HTTPConnection(program.admin_address, timeout=20)
    connection.request(method, path, form[0] if form else None, {"content-type": FORM} if form else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    for name, port in program.ports.items():
        text = text.replace(f"127.0.0.1:{port}", name).replace(f'"port_value": {port}', name)
    return answer.status, answer.getheader("content-type"), text


def comparable(line, answer):
    """Without what depends on the time that something took: the numbers of histograms."""
    status, kind, text = answer
    return status, kind, re.sub(r"\d+(\.\d+)?(e\+\d+)?|\bnan\b|\bnull\b", "N", text) if "rq_time" in line else text


def test_pages_are_envoys_to_the_byte(pair):
    weir, envoy = pair
    for line in SAME:
        got, wanted = (comparable(line, call(program, line)) for program in (weir, envoy))
        assert got == wanted, line


def test_levels_of_loggers(pair):
    for query in LOGGING:
        answers = []
        for program in pair:
            status, kind, text = call(program, f"POST /logging?{query}")
            head, loggers = text.split("active loggers:\n")
            answers.append((status, kind, head, dict(re.findall(r"^  (admin|http|config): (\w+)$", loggers, re.M))))
        assert answers[0] == answers[1], query


def test_pages_in_json(pair):
    def by_name(entries):
        return sorted(entries, key=lambda entry: entry["name"])
    weir, envoy = pair
    for query in ("", "?format=x"):
        assert weir.admin_json(f"/runtime{query}") == envoy.admin_json(f"/runtime{query}")
    statuses = [by_name(program.admin_json("/clusters?format=json")["cluster_statuses"]) for program in pair]
    for cluster in (cluster for side in statuses for cluster in side):
        for host in cluster["host_statuses"]:
            host["stats"] = {stat["name"]: stat.get("value", "0") for stat in host["stats"]}
    assert statuses[0] == statuses[1]
    listeners = [[(one["name"], list(one), list(one["local_address"]["socket_address"])) for one in
                  by_name(program.admin_json("/listeners?format=json")["listener_statuses"])] for program in pair]
    assert listeners[0] == listeners[1]
    assert list(weir.admin_json("/memory")) == list(envoy.admin_json("/memory"))


def test_clusters_as_text(pair):
    lines = [sorted(call(program, "GET /clusters")[2].splitlines()) for program in pair]
    assert lines[0] == lines[1]


def test_server_info_has_every_option(pair):
    infos = [program.admin_json("/server_info") for program in pair]
    assert list(infos[0]) == list(infos[1])
    assert infos[0]["hot_restart_version"] == infos[1]["hot_restart_version"] == "disabled"
    options = [info["command_line_options"] for info in infos]
    assert list(options[0]) == list(options[1])
    for name in ("config_path", "admin_address_path"):
        for one in options:
            assert one.pop(name).startswith("/")
    assert options[0] == options[1]


def test_options_that_weir_has_no_use_for_are_shown(real_envoy, tmp_path):
    given = ["--socket-path", "@x", "--stats-tag", "a:b", "--stats-tag", "c:d", "--disable-extensions", "envoy.filters.http/x,envoy.filters.http/y",
             "--log-format-escaped", "--local-address-ip-version", "v6", "--enable-mutex-tracing", "--skip-deprecated-logs", "--log-level", "off",
             "--log-stacktrace-single-entry", "--base-id", "7", "--service-zone", "z", "--drain-strategy", "immediate", "--drain-time-s", "5",
             "--file-flush-interval-msec", "1500", "--component-log-level", "http:error", "--log-format", "%v"]
    found = []
    for which in ("weir", "envoy"):
        program = Weir({"admin": {"address": config.address(0)}}, tmp_path, args=given, concurrency=1)
        if which == "envoy":
            program.command_line = lambda program=program: [str(real_envoy), *map(str, program.args), "--disable-hot-restart"]
        program.start()
        try:
            found.append(program.admin_json("/server_info")["command_line_options"])
        finally:
            RealEnvoy.stop(program)
    for options in found:
        options.pop("config_path"), options.pop("admin_address_path")
    assert found[0] == found[1]


def test_weir_names_no_hot_restart():
    done = process.run("weir", "--hot-restart-version")
    assert (done.returncode, json.dumps(done.stderr.strip())) == (0, '"disabled"')
