"""A pod whose connections are redirected to weir, in network namespaces: `weir redirect`, original destinations, and what must be left
alone. IPv4 and IPv6."""

import http.client
import socket
import subprocess

import pytest

from support import config, netns, process
from support.wait import DEADLINE_S, wait_until

if not process.binary("weir").exists():
    pytest.skip("weir is not built", allow_module_level=True)

INBOUND, OUTBOUND, TRANSPARENT = 15006, 15001, 15007
V4, V6 = 4, 6
both = pytest.mark.parametrize("version", [V4, V6])


@pytest.fixture
def pod():
    try:
        made = netns.Pod()
    except netns.Unavailable as unavailable:
        pytest.skip(str(unavailable))
    yield made
    made.close()


@pytest.fixture
def serve(pod):
    """serve(address, port, name): a server inside of the pod; outside=True: there."""
    servers = []

    def start(address, port, name, outside=False):
        if outside:
            with pod.outside():
                servers.append(netns.Server(address, port, name))
        else:
            servers.append(netns.Server(address, port, name))

    yield start
    for each in servers:
        each.close()


def redirect(*flags, expected=0):
    done = process.run("weir", "redirect", *flags)
    if expected == 0 and done.returncode == 1 and "this kernel does not take the rules" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == expected, done.stderr
    return done


def install(*flags):
    """weir runs as this test's user here, the application as another."""
    return redirect("--proxy-uid", "0", *flags)


def rules():
    return subprocess.run(["nft", "-s", "list", "ruleset"], check=True, text=True, capture_output=True).stdout


def get(address, port, path="/"):
    """(body, headers) of an answer; header x-weir names the listener that it passed."""
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode(), response.headers
    finally:
        connection.close()


def get_as_application(*where):
    with netns.as_user(netns.APPLICATION):
        return get(*where)


def get_from_outside(pod, *where):
    with pod.outside():
        return get(*where)


def passes(answer, listener):
    body, headers = answer
    assert headers["x-weir"] == listener
    return body


def wild(port, **fields):
    """A listener for both versions of IP."""
    return {"address": {"socket_address": {"address": "::", "port_value": port, "ipv4_compat": True}}, **fields}


def http_to(cluster, listener):
    host = config.virtual_host(config.route(cluster), response_headers_to_add=[{"header": {"key": "x-weir", "value": listener}}])
    return config.filter_chain(config.hcm([host], stat_prefix=listener))


def virtual_listener(address):
    """Without a port of its own."""
    host = config.virtual_host(config.direct_response(200, f"virtual {address}"))
    return {"name": f"virtual-{address}", "address": config.address(81, address), "bind_to_port": False,
            "filter_chains": [config.filter_chain(config.hcm([host]))]}


def to_port(port, cluster):
    return config.filter_chain(config.tcp_proxy(cluster), match={"destination_port": port}, name=f"port-{port}")


def original_dst(name, **fields):
    return {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s", "cleanup_interval": "0.2s", **fields}


@pytest.fixture
def weir(pod, start_weir):
    filters = [{"name": "original_dst",
                "typed_config": config.typed(config.PREFIX + "filters.listener.original_dst.v3.OriginalDst")}]
    refused = config.filter_chain(config.tcp_proxy("passthrough"), name="range", match={"prefix_ranges": [
        {"address_prefix": "10.99.0.0", "prefix_len": 16}, {"address_prefix": "fd99::", "prefix_len": 16}], "destination_port": 7001})
    listeners = [
        wild(OUTBOUND, name="outbound", stat_prefix="outbound", use_original_dst=True, traffic_direction="OUTBOUND",
             filter_chains=[to_port(7000, "passthrough"), to_port(82, "blackhole"), refused],
             default_filter_chain=http_to("passthrough", "outbound")),
        wild(INBOUND, name="inbound", stat_prefix="inbound", listener_filters=filters, traffic_direction="INBOUND",
             default_filter_chain=http_to("passthrough", "inbound")),
        wild(TRANSPARENT, name="transparent", stat_prefix="transparent", listener_filters=filters, transparent=True,
             default_filter_chain=http_to("passthrough", "transparent")),
        *(virtual_listener(netns.Pod.OUTSIDE[version]) for version in (V4, V6)),
    ]
    return start_weir(config.bootstrap(listeners, [original_dst("passthrough"), config.cluster("blackhole")]))


@both
def test_outbound_passes_to_the_original_destination(weir, pod, serve, version):
    install()
    serve(pod.OUTSIDE[version], 80, "far", outside=True)
    body, headers = get_as_application(pod.OUTSIDE[version], 80)
    assert (body, headers["x-weir"], headers["peer"]) == ("far", "outbound", pod.ADDRESS[version])
    # weir's own connection was not redirected, and neither is any other of its user.
    assert weir.stat("listener.outbound.downstream_cx_total") == 1
    assert "x-weir" not in get(pod.OUTSIDE[version], 80)[1]
    assert weir.stat("listener.outbound.downstream_cx_total") == 1


@both
def test_inbound_passes_to_the_application(weir, pod, serve, version):
    install()
    serve(pod.ADDRESS[version], 8080, "application")
    body, headers = get_from_outside(pod, pod.ADDRESS[version], 8080)
    assert (body, headers["x-weir"]) == ("application", "inbound")
    assert weir.stat("listener.inbound.downstream_cx_total") == 1
    # Within the pod nothing is redirected.
    assert "x-weir" not in get_as_application(pod.ADDRESS[version], 8080)[1]


@both
def test_raw_bytes_pass_and_chains_match_the_original_address(weir, pod, serve, version):
    install()
    for address, port in ((pod.OUTSIDE[version], 7000), (pod.FAR[version], 7001), (pod.OUTSIDE[version], 7001)):
        serve(address, port, f"{address} {port}", outside=True)
        body, headers = get_as_application(address, port)
        assert body == f"{address} {port}"
        assert headers["x-weir"] == (None if (address, port) != (pod.OUTSIDE[version], 7001) else "outbound")
    assert weir.stat("listener.outbound.downstream_cx_total") == 3


@both
def test_connection_is_handed_to_the_listener_of_its_destination(weir, pod, version):
    install()
    body, _ = get_as_application(pod.OUTSIDE[version], 81)
    assert body == f"virtual {pod.OUTSIDE[version]}"
    assert weir.stat("listener.outbound.downstream_cx_total") == 0


@both
def test_blackhole_closes(weir, pod, serve, version):
    install()
    serve(pod.OUTSIDE[version], 82, "never", outside=True)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        get_as_application(pod.OUTSIDE[version], 82)


@both
def test_what_is_excluded_is_left_alone(weir, pod, serve, version):
    install("--exclude-outbound-ports", "8443,9000-9010", "--exclude-outbound-ip-ranges", "10.99.0.0/16,fd99::/16",
            "--exclude-inbound-ports", "8081", "--exclude-inbound-ip-ranges", "10.99.0.0/16,fd99::/16")
    for address, port, redirected in ((pod.OUTSIDE[version], 80, True), (pod.OUTSIDE[version], 8443, False),
                                      (pod.OUTSIDE[version], 9005, False), (pod.FAR[version], 80, False)):
        serve(address, port, "far", outside=True)
        assert get_as_application(address, port)[1]["x-weir"] == ("outbound" if redirected else None), (address, port)
    serve(pod.ADDRESS[version], 8080, "application")
    serve(pod.ADDRESS[version], 8081, "probe")
    assert passes(get_from_outside(pod, pod.ADDRESS[version], 8080), "inbound") == "application"
    assert passes(get_from_outside(pod, pod.ADDRESS[version], 8081), None) == "probe"
    with pod.outside():
        connection = http.client.HTTPConnection(pod.ADDRESS[version], 8080, DEADLINE_S, source_address=(pod.FAR[version], 0))
        connection.request("GET", "/")
        assert connection.getresponse().headers["x-weir"] is None
        connection.close()


@both
def test_only_what_is_included_is_taken(weir, pod, serve, version):
    install("--include-outbound-ports", "80", "--include-outbound-ip-ranges", "10.77.0.0/16,fd77::/16", "--include-inbound-ports", "8080")
    for address, port, redirected in ((pod.OUTSIDE[version], 80, True), (pod.OUTSIDE[version], 8000, False), (pod.FAR[version], 80, False)):
        serve(address, port, "far", outside=True)
        assert get_as_application(address, port)[1]["x-weir"] == ("outbound" if redirected else None), (address, port)
    for port, redirected in ((8080, True), (8081, False)):
        serve(pod.ADDRESS[version], port, "application")
        assert get_from_outside(pod, pod.ADDRESS[version], port)[1]["x-weir"] == ("inbound" if redirected else None), port


def test_included_ranges_of_one_version_leave_the_other_alone(weir, pod, serve):
    install("--include-outbound-ip-ranges", "0.0.0.0/0")
    for version, redirected in ((V4, True), (V6, False)):
        serve(pod.OUTSIDE[version], 80, "far", outside=True)
        assert get_as_application(pod.OUTSIDE[version], 80)[1]["x-weir"] == ("outbound" if redirected else None)


def test_again_is_the_same_and_other_rules_replace(weir, pod, serve):
    serve(pod.OUTSIDE[V4], 80, "far", outside=True)
    install("--exclude-outbound-ports", "22")
    once = rules()
    install("--exclude-outbound-ports", "22")
    assert rules() == once
    assert passes(get_as_application(pod.OUTSIDE[V4], 80), "outbound") == "far"
    install("--exclude-outbound-ports", "80")
    assert passes(get_as_application(pod.OUTSIDE[V4], 80), None) == "far"


def test_removal_leaves_nothing_and_what_is_not_ours(weir, pod, serve):
    serve(pod.OUTSIDE[V4], 80, "far", outside=True)
    subprocess.run(["nft", "add table inet other"], check=True)
    others = rules()
    redirect("--remove")
    install()
    assert passes(get_as_application(pod.OUTSIDE[V4], 80), "outbound") == "far"
    redirect("--remove")
    assert passes(get_as_application(pod.OUTSIDE[V4], 80), None) == "far"
    assert rules() == others


def test_dry_run_prints_what_is_installed(pod):
    flags = ("--proxy-uid", "7,8", "--proxy-gid", "9", "--exclude-outbound-ports", "22,8000-8010", "--exclude-outbound-ip-ranges",
             "10.0.0.0/8,fd00::/8", "--include-inbound-ip-ranges", "10.0.0.0/8", "--inbound-port", "1006", "--outbound-port", "1001")
    text = redirect("--dry-run", *flags).stdout
    assert rules() == ""
    redirect(*flags)
    installed = rules()
    redirect("--remove")
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)
    assert rules() == installed


@both
@pytest.mark.parametrize("port", [INBOUND, OUTBOUND])
def test_connection_to_weirs_own_port_does_not_come_back(weir, pod, version, port):
    install()
    name = "inbound" if port == INBOUND else "outbound"
    connection = http.client.HTTPConnection(pod.ADDRESS[version], port, timeout=DEADLINE_S)
    connection.request("GET", "/")
    assert connection.getresponse().status == 503  # no original destination, so no host
    connection.close()
    assert weir.stat(f"listener.{name}.downstream_cx_total") == 1
    assert weir.stat("cluster.passthrough.upstream_cx_total") == 0


def test_outside_reaches_weirs_own_port_once(weir, pod):
    install()
    with pod.outside():
        connection = http.client.HTTPConnection(pod.ADDRESS[V4], OUTBOUND, timeout=DEADLINE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status == 503
        connection.close()
    # In by the inbound listener, which passes it on to the outbound one, and there it ends.
    assert weir.stat("listener.inbound.downstream_cx_total") == 1
    assert weir.stat("listener.outbound.downstream_cx_total") == 1


TPROXY = """
table inet transparent {
    chain before {
        type filter hook prerouting priority -150
        iifname "eth0" tcp dport { 8080, 15007 } meta nfproto ipv4 tproxy ip to :15007 meta mark set 1
        iifname "eth0" tcp dport { 8080, 15007 } meta nfproto ipv6 tproxy ip6 to :15007 meta mark set 1
    }
}
"""


@both
def test_transparent_proxying_keeps_the_address(weir, pod, serve, version):
    for command in (("rule", "add", "fwmark", "1", "lookup", "100"), ("route", "add", "local", "default", "dev", "lo", "table", "100")):
        subprocess.run(["ip", f"-{version}", *command], check=True)
    done = subprocess.run(["nft", "-f", "-"], input=TPROXY, text=True, capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"this kernel has no TPROXY: {done.stderr.strip()}")
    serve(pod.ADDRESS[version], 8080, "application")
    assert passes(get_from_outside(pod, pod.ADDRESS[version], 8080), "transparent") == "application"
    assert weir.stat("listener.transparent.downstream_cx_total") == 1
    with pod.outside():
        connection = http.client.HTTPConnection(pod.ADDRESS[version], TRANSPARENT, timeout=DEADLINE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status == 503
        connection.close()
    assert weir.stat("listener.transparent.downstream_cx_total") == 2


@both
def test_own_connection_that_comes_back_is_closed(weir, pod, serve, version):
    """Rules that do not leave weir's own user alone: every connection would come back to weir without an end."""
    redirect("--proxy-uid", "1")
    serve(pod.OUTSIDE[version], 7000, "never", outside=True)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        get_as_application(pod.OUTSIDE[version], 7000)
    with netns.as_user(netns.APPLICATION):
        connection = http.client.HTTPConnection(pod.OUTSIDE[version], 80, timeout=DEADLINE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status == 503
        connection.close()
    # Another worker may accept it before the one that connects has noted it: then it is the next one that is closed.
    assert 2 <= weir.stat("listener.outbound.downstream_cx_total") < 20
    assert weir.stat("listener.outbound.downstream_listener_filter_error") == 2
    assert "was redirected back to weir" in weir.log


def test_hosts_go_when_nobody_needs_them(weir, pod, serve):
    install()
    for port in (80, 7000):
        serve(pod.OUTSIDE[V4], port, "far", outside=True)
        get_as_application(pod.OUTSIDE[V4], port)
    # The pooled HTTP connection keeps its host, the raw one has ended.
    wait_until(lambda: f"passthrough::{pod.OUTSIDE[V4]}:80::cx_total::1" in weir.admin("/clusters")[1], "the host in /clusters")
    weir.wait_stat("cluster.passthrough.membership_total", 1)
    assert ":7000::" not in weir.admin("/clusters")[1]


def test_capability_is_necessary(pod):
    done = subprocess.run(["setpriv", "--bounding-set", "-net_admin", *process.command_line("weir", "redirect", "--proxy-uid", "1")],
                          text=True, capture_output=True)
    assert done.returncode == 1
    assert "CAP_NET_ADMIN is necessary" in done.stderr


def test_flags_are_needed_that_keep_weir_out():
    done = process.run("weir", "redirect")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--proxy-uid or --proxy-gid is necessary" in done.stderr
    assert "--exclude-outbound-ip-ranges" in process.run("weir", "redirect", "--help").stdout


def test_server_speaks_first(weir, pod):
    """Nothing waits for the client's bytes where no chain asks for them."""
    install()
    with pod.outside():
        server = socket.create_server((pod.OUTSIDE[V4], 7000))
        server.settimeout(DEADLINE_S)
    with netns.as_user(netns.APPLICATION):
        client = socket.create_connection((pod.OUTSIDE[V4], 7000), DEADLINE_S)
    accepted, _ = server.accept()
    accepted.sendall(b"220 ready")
    assert client.recv(100) == b"220 ready"
    for each in (client, accepted, server):
        each.close()
