"""Access logs as their reader sees them."""

import json
import re
import signal

import pytest

from support import config, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FLUSH = ("--file-flush-interval-msec", "20")


def lines_of(path, count=1):
    """At least `count` lines of a log, once they are there."""
    def read():
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if len(lines) >= count else None
    return wait_until(read, f"{count} lines in {path.name}")


@pytest.fixture
def logging_weir(start_weir, make_upstream):
    """logging_weir(*access_logs): a weir with an upstream at /, no cluster at /gone and a direct response at /teapot."""
    def start(*access_logs, **fields):
        port = free_port()
        routes = [config.direct_response(418, "teapot", prefix="/teapot"), config.route("nowhere", prefix="/gone"),
                  {**config.route("upstream"), "name": "main"}]
        manager = config.hcm(route_config=config.route_config(config.virtual_host(*routes), validate_clusters=False),
                             access_log=list(access_logs), **fields)
        weir = start_weir(config.bootstrap([config.listener(port, manager)], [config.cluster("upstream", make_upstream().port)]),
                          args=FLUSH)
        weir.http_port = port
        return weir
    return start


def test_default_line_is_envoys(logging_weir, tmp_path):
    log = tmp_path / "access.log"
    weir = logging_weir(config.file_access_log(log))
    http1.get(weir.http_port, "/ok?q=1")
    line = lines_of(log)[0]
    assert re.fullmatch(r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET /ok\?q=1 HTTP/1\.1" 200 - 0 \d+ \d+ \d+ "-" "-" '
                        r'"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}" "[^"]+" "127\.0\.0\.1:\d+"', line), line


def test_json_line_keeps_types_and_sorts_keys(logging_weir, tmp_path):
    log = tmp_path / "access.log"
    weir = logging_weir(config.file_access_log(log, json_format={
        "status": "%RESPONSE_CODE%", "route": "%ROUTE_NAME%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%",
        "mixed": "%PROTOCOL% %ROUTE_NAME%", "nested": {"method": "%REQ(:METHOD)%"}, "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}))
    http1.get(weir.http_port, "/ok")
    first = lines_of(log)[0]
    http1.get(weir.http_port, "/teapot")
    second = lines_of(log, 2)[1]
    assert json.loads(first) == {"attempts": 1, "details": "via_upstream", "flags": "-", "mixed": "HTTP/1.1 main",
                                 "nested": {"method": "GET"}, "route": "main", "status": 200}
    assert list(json.loads(first)) == sorted(json.loads(first))
    assert json.loads(second) == {"attempts": 0, "details": "direct_response", "flags": "-", "mixed": "HTTP/1.1 -",
                                  "nested": {"method": "GET"}, "route": None, "status": 418}


def test_filters_choose_what_is_logged(logging_weir, tmp_path):
    errors, flagged = tmp_path / "errors.log", tmp_path / "flagged.log"
    at_least_400 = {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "log.least"}}}}
    weir = logging_weir({**config.file_access_log(errors, "%RESPONSE_CODE% %REQ(:PATH)%\n"), "filter": at_least_400},
                        {**config.file_access_log(flagged, "%RESPONSE_FLAGS%\n"), "filter": {"response_flag_filter": {"flags": ["NC"]}}})
    for path in ("/ok", "/teapot", "/gone", "/ok"):
        http1.get(weir.http_port, path)
    assert sorted(lines_of(errors, 2)) == ["418 /teapot", "503 /gone"]  # workers write in no common order
    assert lines_of(flagged) == ["NC"]


def test_rotated_log_is_opened_anew_on_sigusr1(logging_weir, tmp_path):
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    weir = logging_weir(config.file_access_log(log, "%REQ(:PATH)%\n"))
    http1.get(weir.http_port, "/before")
    lines_of(log)
    log.rename(rotated)
    weir.process.send_signal(signal.SIGUSR1)
    wait_until(log.exists, "the new log")
    http1.get(weir.http_port, "/after")
    assert lines_of(log) == ["/after"]
    assert rotated.read_text() == "/before\n"


def test_log_file_that_cannot_be_opened_is_named(tmp_path):
    import subprocess
    made = config.simple_proxy(free_port(), 1, access_log=[config.file_access_log(tmp_path / "none" / "access.log")])
    path = tmp_path / "bootstrap.yaml"
    path.write_text(json.dumps(made, indent=1))
    done = subprocess.run(process.command_line("weir", "-c", path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "access_log[0].typed_config.path: cannot open" in done.stderr
