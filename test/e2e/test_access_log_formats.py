"""Every way to write an access log's format, and every filter that chooses lines."""

import json

import pytest

from support import config, http1, process
from support.ports import free_port
from support.wait import wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

FLUSH = ("--file-flush-interval-msec", "20")
LOGGERS = config.PREFIX + "access_loggers."
FILE_LOG = LOGGERS + "file.v3.FileAccessLog"


def file_log(path, filter=None, **fields):
    log = {"name": "file", "typed_config": config.typed(FILE_LOG, path=str(path), **fields)}
    return {**log, "filter": filter} if filter else log


@pytest.fixture
def logging_weir(start_weir, make_upstream):
    """logging_weir(*access_logs): an upstream at /, 418 at /teapot, 404 at /grpc, a health check at /healthz; .port."""
    def start(*access_logs, **fields):
        port = free_port()
        check = {"name": "check", "typed_config": config.typed(
            config.PREFIX + "filters.http.health_check.v3.HealthCheck", pass_through_mode=False,
            headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}])}
        routes = [config.direct_response(418, "teapot", prefix="/teapot"), config.direct_response(404, prefix="/grpc"), config.route("upstream")]
        manager = config.hcm([config.virtual_host(*routes)], [check], access_log=list(access_logs))
        weir = start_weir(config.bootstrap([config.listener(port, manager)], [config.cluster("upstream", make_upstream().port)], **fields), args=FLUSH)
        weir.port = port
        return weir
    return start


def first_line(path):
    return wait_until(lambda: path.exists() and path.read_text(), path.name).splitlines()[0]


COMMANDS = {"code": "%RESPONSE_CODE%", "method": "%REQ(:METHOD)%", "none": "%REQ(x-none)%"}


@pytest.mark.parametrize("fields, line", [
    ({"format": "%REQ(:METHOD)% %RESPONSE_CODE%\n"}, "GET 200"),
    ({"log_format": {"text_format": "%REQ(:METHOD)%-%RESPONSE_CODE%\n"}}, "GET-200"),
    ({"log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE% %REQ(x-none)%\n"}}}, "200 -"),
    ({"log_format": {"text_format_source": {"inline_string": "[%REQ(x-none)%]\n"}, "omit_empty_values": True}}, "[]"),
    ({"log_format": {"json_format": COMMANDS}}, {"code": 200, "method": "GET", "none": None}),
    ({"log_format": {"json_format": COMMANDS, "omit_empty_values": True}}, {"code": 200, "method": "GET"}),
    ({"typed_json_format": COMMANDS}, {"code": 200, "method": "GET", "none": None}),
    ({"json_format": COMMANDS}, {"code": 200, "method": "GET", "none": None}),
], ids=["format", "text_format", "source", "text-omit", "json", "json-omit", "typed_json_format", "json_format"])
def test_format_of_a_file(logging_weir, tmp_path, fields, line):
    weir = logging_weir(file_log(tmp_path / "log", **fields))
    assert http1.get(weir.port).status == 200
    written = first_line(tmp_path / "log")
    assert (json.loads(written) if isinstance(line, dict) else written) == line


@pytest.mark.parametrize("stream", ["StdoutAccessLog", "StderrAccessLog"])
def test_format_of_the_standard_streams(logging_weir, stream):
    log = {"name": "stream", "typed_config": config.typed(f"{LOGGERS}stream.v3.{stream}", log_format={
        "text_format_source": {"inline_string": f"to {stream}: %RESPONSE_CODE%\n"}})}
    weir = logging_weir(log)
    assert http1.get(weir.port).status == 200
    weir.wait_log(f"^to {stream}: 200$")


def status(op, value, runtime_key="access_log.status"):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": runtime_key}}}}


def header(name, **match):
    return {"header_filter": {"header": {"name": name, **match}}}


MARKED, TEAPOT = header("x-mark", present_match=True), status("EQ", 418)
PATHS = ["/", "/marked", "/teapot", "/grpc", "/healthz"]


@pytest.mark.parametrize("chosen, lines", [
    (None, PATHS), (TEAPOT, ["/teapot"]), (status("LE", 200), ["/", "/marked", "/grpc", "/healthz"]), (status("NE", 200), ["/teapot"]),
    (status("EQ", 418, "teapots"), ["/", "/marked", "/grpc", "/healthz"]),
    ({"duration_filter": {"comparison": {"op": "GE", "value": {"default_value": 3600000, "runtime_key": "x"}}}}, []),
    ({"duration_filter": {"comparison": {"op": "GE", "value": {"default_value": 0, "runtime_key": "x"}}}}, PATHS),
    ({"not_health_check_filter": {}}, ["/", "/marked", "/teapot", "/grpc"]),
    ({"runtime_filter": {"runtime_key": "none", "percent_sampled": {"numerator": 0}}}, []),
    ({"runtime_filter": {"runtime_key": "none", "percent_sampled": {"numerator": 100}, "use_independent_randomness": True}}, PATHS),
    ({"runtime_filter": {"runtime_key": "all"}}, PATHS),
    (MARKED, ["/marked"]),
    (header("x-mark", present_match=True, invert_match=True), ["/", "/teapot", "/grpc", "/healthz"]),
    ({"and_filter": {"filters": [MARKED, status("EQ", 200)]}}, ["/marked"]),
    ({"and_filter": {"filters": [MARKED, TEAPOT]}}, []),
    ({"or_filter": {"filters": [MARKED, TEAPOT]}}, ["/marked", "/teapot"]),
    ({"response_flag_filter": {"flags": ["NR"]}}, []),
    ({"grpc_status_filter": {"statuses": ["UNIMPLEMENTED"]}}, ["/grpc"]),
    ({"grpc_status_filter": {"statuses": ["UNIMPLEMENTED"], "exclude": True}}, ["/", "/marked", "/teapot", "/healthz"]),
    ({"metadata_filter": {"matcher": {"filter": "none", "path": [{"key": "k"}], "value": {"bool_match": True}}, "match_if_key_not_found": False}}, []),
    ({"metadata_filter": {"matcher": {"filter": "none", "path": [{"key": "k"}], "value": {"bool_match": True}}}}, PATHS),
    ({"log_type_filter": {"types": ["DownstreamEnd"]}}, PATHS),
    ({"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}}, []),
], ids=str)
def test_filters_choose_lines(logging_weir, tmp_path, make_upstream, chosen, lines):
    log = tmp_path / "log"
    everything = file_log(tmp_path / "all", log_format={"text_format_source": {"inline_string": "%REQ(:PATH)%\n"}})
    weir = logging_weir(file_log(log, chosen, log_format={"text_format_source": {"inline_string": "%REQ(:PATH)%\n"}}), everything,
                        layered_runtime={"layers": [{"name": "s", "static_layer": {"all": 100, "teapots": 200}}]})
    with http1.Client(weir.port) as client:
        client.request("GET", "/")
        client.request("GET", "/marked", {"x-mark": "1"})
        client.request("GET", "/teapot")
        client.request("POST", "/grpc", {"content-type": "application/grpc"}, b"")
        client.request("GET", "/healthz")
    wait_until(lambda: (tmp_path / "all").exists() and len((tmp_path / "all").read_text().splitlines()) == 5, "all lines")
    wait_until(lambda: (log.read_text().splitlines() if log.exists() else []) == lines, f"{lines}")
