"""Routing seen from outside: which answer, which cluster, what the upstream receives, what goes to the access log."""

import pytest

from support import config, http1, process
from support.ports import free_port
from support.upstream import Upstream, replying
from support.wait import wait_until
from support.weir import running_weir, validate

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)


def redirect(prefix, **fields):
    return {"match": {"prefix": prefix}, "redirect": fields}


def add(name, value, action=None):
    option = {"header": {"key": name, "value": value}}
    return {**option, "append_action": action} if action else option


def regex(pattern, substitution):
    return {"pattern": {"regex": pattern}, "substitution": substitution}


ROUTES = [
    config.direct_response(418, "teapot", "/direct418"),
    config.direct_response(200, prefix="/direct200"),
    config.direct_response(204, prefix="/direct204"),
    config.direct_response(503, prefix="/direct503"),
    {**config.direct_response(200, '{"a":1}', "/directjson"), "response_headers_to_add": [
        add("content-type", "application/json", "OVERWRITE_IF_EXISTS_OR_ADD")]},
    redirect("/redhost", host_redirect="other.test"),
    redirect("/redhttps", https_redirect=True),
    redirect("/redscheme", scheme_redirect="HTTPS", port_redirect=8443),
    redirect("/redport", port_redirect=8080),
    redirect("/redpath", path_redirect="/new", response_code="FOUND"),
    redirect("/redquery", path_redirect="/new?z=1"),
    redirect("/redstrip", path_redirect="/new", strip_query=True, response_code="SEE_OTHER"),
    redirect("/redprefix/", prefix_rewrite="/p2/", response_code="TEMPORARY_REDIRECT"),
    redirect("/redregex", regex_rewrite=regex("^/redregex", "/x"), response_code="PERMANENT_REDIRECT"),
    {"match": {"prefix": "/nonforwarding"}, "non_forwarding_action": {}},
    config.route("missing", "/missing503"),
    config.route("missing", "/missing404", cluster_not_found_response_code="NOT_FOUND"),
    config.route("missing", "/missing500", cluster_not_found_response_code="INTERNAL_SERVER_ERROR"),
    {"match": {"prefix": "/byheader"}, "route": {"cluster_header": "x-cluster"}},
    config.route("one", "/prefix/", prefix_rewrite="/"),
    config.route("one", "/regex/", regex_rewrite=regex("^/regex/([^/]+)/(.*)$", r"/\2/\1")),
    config.route("one", "/literal", host_rewrite_literal="new.test", append_x_forwarded_host=True),
    config.route("one", "/hostheader", host_rewrite_header="x-host"),
    config.route("one", "/hostpath/", host_rewrite_path_regex=regex("^/hostpath/([^/]+)/.*$", r"\1")),
    {**config.route("one", "/headers"), "request_headers_to_add": [
        add("x-dup", "r"), add("x-ov", "r", "OVERWRITE_IF_EXISTS_OR_ADD"), add("x-ia", "r", "ADD_IF_ABSENT"),
        add("x-oe", "r", "OVERWRITE_IF_EXISTS"), add("x-none", "r", "OVERWRITE_IF_EXISTS"), add("x-method", "%REQ(:METHOD)% %%"),
        add("x-empty", "%REQ(x-not-there)%")], "request_headers_to_remove": ["x-gone"],
     "response_headers_to_add": [add("x-answer", "yes")], "response_headers_to_remove": ["x-up"]},
    config.route("two", match={"prefix": "/m", "headers": [{"name": "x-to", "string_match": {"exact": "two"}}]}),
    config.route("two", match={"prefix": "/m", "query_parameters": [{"name": "to", "string_match": {"exact": "two"}}]}),
    config.route("two", match={"path_separated_prefix": "/m/sep"}),
    config.route("two", match={"safe_regex": {"regex": "/m/r[0-9]+"}}),
    config.route("two", match={"path": "/M/EXACT", "case_sensitive": False}),
    config.route("one", "/m"),
    {"match": {"prefix": "/weighted"}, "route": {"weighted_clusters": {"clusters": [
        {"name": "one", "weight": 0}, {"name": "two", "weight": 5, "request_headers_to_add": [add("x-w", "two")]}]}}},
]


class Proxy:
    def __init__(self, workdir, one, two):
        self.one, self.two = one, two
        self.port = free_port()
        self.log = workdir / "access.log"
        hosts = [
            config.virtual_host(*ROUTES, name="a", domains=["a.test", "a.test:*"]),
            config.virtual_host(config.route("one"), name="tls", domains=["tls.test"], require_tls="ALL"),
            config.virtual_host(config.route("one"), name="tlsx", domains=["tlsx.test"], require_tls="EXTERNAL_ONLY"),
            config.virtual_host(config.direct_response(200, "suffix"), name="suffix", domains=["*.suffix.test"]),
            config.virtual_host(config.direct_response(200, "longer"), name="longer", domains=["*.long.suffix.test"]),
            config.virtual_host(config.direct_response(200, "prefix"), name="prefix", domains=["www.*"]),
        ]
        log = config.file_access_log(self.log, "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
        manager = config.hcm(access_log=[log])
        manager["typed_config"]["route_config"] = config.route_config(*hosts, validate_clusters=False)
        self.bootstrap = config.bootstrap([config.listener(self.port, manager)],
                                          [config.cluster("one", one.port), config.cluster("two", two.port)])

    def get(self, path, host="a.test", method="GET", headers=()):
        with http1.Client(self.port) as client:
            return client.request(method, path, headers, host=host)

    def logged(self, path):
        def line():
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            return next((text for text in lines if text.startswith(path + " ")), None)
        return wait_until(line, f"access log line of {path}")[len(path) + 1:]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("routes")
    with Upstream(replying(headers={"x-up": "1", "x-who": "one"})) as one, Upstream(replying(headers={"x-who": "two"})) as two:
        made = Proxy(workdir, one, two)
        with running_weir(made.bootstrap, workdir, args=("--file-flush-interval-msec", "10")):
            yield made


LOCAL = {
    "/direct418": (418, b"teapot", "- direct_response"),
    "/direct200": (200, b"", "- direct_response"),
    "/direct503": (503, b"", "- direct_response"),
    "/none": (404, b"", "NR route_not_found"),
    "/nonforwarding": (503, b"", "NC cluster_not_found"),
    "/missing503": (503, b"", "NC cluster_not_found"),
    "/missing404": (404, b"", "NC cluster_not_found"),
    "/missing500": (500, b"", "NC cluster_not_found"),
    "/byheader": (503, b"", "NC cluster_not_found"),
}


@pytest.mark.parametrize("path", LOCAL)
def test_answers_that_weir_makes_itself(proxy, path):
    status, body, logged = LOCAL[path]
    response = proxy.get(path)
    assert (response.status, response.body) == (status, body)
    assert response.get("connection") is None
    assert response.get("content-length") == str(len(body))
    assert response.get("content-type") == ("text/plain" if body else None)
    assert proxy.logged(path) == f"{status} {logged}"


def test_direct_response_to_head_and_without_content(proxy):
    response = proxy.get("/direct418/head", method="HEAD")
    assert (response.status, response.reason, response.get("content-length")) == (418, "Unknown", "6")
    response = proxy.get("/direct204")
    assert (response.status, response.get("content-length")) == (204, None)
    response = proxy.get("/none/head", method="HEAD")
    assert (response.status, response.get("transfer-encoding")) == (404, "chunked")


def test_direct_response_with_its_own_type(proxy):
    response = proxy.get("/directjson")
    assert (response.body, response.all("content-type")) == (b'{"a":1}', ["application/json"])


REDIRECTS = {
    "host": ("/redhost/x?q=1", "a.test", 301, "http://other.test/redhost/x?q=1"),
    "https": ("/redhttps/x?q=1", "a.test", 301, "https://a.test/redhttps/x?q=1"),
    "https, other port": ("/redhttps/x", "a.test:8080", 301, "https://a.test:8080/redhttps/x"),
    "scheme and port": ("/redscheme/x", "a.test", 301, "HTTPS://a.test:8443/redscheme/x"),
    "port": ("/redport/x", "a.test", 301, "http://a.test:8080/redport/x"),
    "path": ("/redpath?q=1", "a.test", 302, "http://a.test/new?q=1"),
    "path with query": ("/redquery?q=1", "a.test", 301, "http://a.test/new?z=1"),
    "strip query": ("/redstrip?q=1", "a.test", 303, "http://a.test/new"),
    "prefix": ("/redprefix/x?q=1", "a.test", 307, "http://a.test/p2/x?q=1"),
    "regex": ("/redregex/x?q=1", "a.test", 308, "http://a.test/x/x?q=1"),
    "require_tls": ("/a?x=1", "tls.test", 301, "https://tls.test/a?x=1"),
    "require_tls external": ("/a", "tlsx.test", 301, "https://tlsx.test/a"),
}


@pytest.mark.parametrize("path, host, status, location", REDIRECTS.values(), ids=REDIRECTS.keys())
def test_redirect(proxy, path, host, status, location):
    response = proxy.get(path, host)
    assert (response.status, response.body, response.get("location")) == (status, b"", location)
    assert response.get("connection") is None
    assert proxy.logged(path) == f"{status} - direct_response"


@pytest.mark.parametrize("host, body", [("x.suffix.test", b"suffix"), ("X.SUFFIX.TEST", b"suffix"), ("x.long.suffix.test", b"longer"),
                                        ("www.other", b"prefix"), ("www.x.suffix.test", b"suffix")])
def test_domains(proxy, host, body):
    assert proxy.get("/", host).body == body


@pytest.mark.parametrize("host", ["other.test", "suffix.test", ".suffix.test.x", "www."])
def test_no_virtual_host(proxy, host):
    assert proxy.get("/direct418", host).status == 404


@pytest.mark.parametrize("path, headers, who", [
    ("/m", {}, "one"), ("/m", {"x-to": "two"}, "two"), ("/m?to=two", {}, "two"), ("/m?to=one&to=two", {}, "one"), ("/m/sep", {}, "two"),
    ("/m/sep/x", {}, "two"), ("/m/separate", {}, "one"), ("/m/r12", {}, "two"), ("/m/r12/", {}, "one"), ("/m/exact?q", {}, "two"),
    ("/weighted", {}, "two"), ("/byheader", {"x-cluster": "two"}, "two"), ("/byheader", {"x-cluster": "one"}, "one")])
def test_which_cluster(proxy, path, headers, who):
    assert proxy.get(path, headers=headers).get("x-who") == who


@pytest.mark.parametrize("path, headers, target, host", [
    ("/prefix/a?q=/prefix/", {}, "/a?q=/prefix/", "a.test"),
    ("/regex/a/b?q", {}, "/b/a?q", "a.test"),
    ("/literal", {}, "/literal", "new.test"),
    ("/hostheader", {"x-host": "by.header"}, "/hostheader", "by.header"),
    ("/hostheader", {}, "/hostheader", "a.test"),
    ("/hostpath/b.test/x", {}, "/hostpath/b.test/x", "b.test")])
def test_rewrites(proxy, path, headers, target, host):
    assert proxy.get(path, headers=headers).status == 200
    request = proxy.one.requests[-1]
    assert (request.target, request.get("host")) == (target, host)
    assert request.get("x-envoy-original-path") == (path if target != path else None)
    assert request.get("x-envoy-original-host") == ("a.test" if host != "a.test" else None)
    assert request.get("x-forwarded-host") == ("a.test" if path == "/literal" else None)


def test_header_options(proxy):
    response = proxy.get("/headers", headers=[("x-dup", "c"), ("x-dup", "d"), ("x-ov", "c"), ("x-ia", "c"), ("x-oe", "c"), ("x-gone", "c")])
    assert (response.get("x-answer"), response.get("x-up")) == ("yes", None)
    request = proxy.one.requests[-1]
    assert request.all("x-dup") == ["c", "d", "r"]
    assert (request.get("x-ov"), request.get("x-ia"), request.get("x-oe"), request.get("x-none")) == ("r", "c", "r", None)
    assert request.get("x-method") == "GET %"
    assert request.get("x-empty") is None and request.get("x-gone") is None


def test_headers_of_a_weighted_cluster(proxy):
    proxy.get("/weighted")
    assert proxy.two.requests[-1].get("x-w") == "two"


REFUSED = {
    "domain twice": ([{"name": "v", "domains": ["a", "a"]}], "duplicate entry of domain a"),
    "wildcard twice": ([{"name": "v", "domains": ["*"]}, {"name": "w", "domains": ["*"]}], "single wildcard domain"),
    "regex": ([config.virtual_host(config.route("c", match={"safe_regex": {"regex": "("}}))], "safe_regex"),
    "header name": ([config.virtual_host({**config.route("c"), "request_headers_to_add": [add(":path", "x")]})],
                    ":-prefixed or host headers may not be modified"),
}


@pytest.mark.parametrize("hosts, text", REFUSED.values(), ids=REFUSED.keys())
def test_refused_tables_name_the_fault(tmp_path, hosts, text):
    result = validate(config.bootstrap([config.listener(1, config.hcm(hosts))], [config.cluster("c", 1)]), tmp_path)
    assert result.returncode != 0
    assert text in result.stderr
