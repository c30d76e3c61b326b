"""weir-control-plane serves a directory to xDS clients."""

import json
import os
import re
import signal
import urllib.request

import grpc
import pytest

from support import config, ports, process, xds
from support.process import Program
from support.upstream import Upstream
from support.wait import wait_until


class ControlPlane:
    """A running weir-control-plane on a directory that `put` writes to."""

    def __init__(self, start_program, directory, *args):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._start = lambda: start_program("weir-control-plane", "--listen", "127.0.0.1:0", "--resources", directory, *args)
        self.program = None

    def start(self):
        self.program = self._start()
        self.port = int(self.program.wait_log(r"^listening on 127\.0\.0\.1:(\d+)$").group(1))
        return self

    def put(self, name, *resources):
        """Replaces the file in one step."""
        return self.put_text(name, json.dumps({"resources": resources}))

    def put_text(self, name, content):
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(path.name + ".tmp")
        new.write_text(content)
        os.replace(new, path)
        return path


def cluster(name, **fields):
    return {"@type": xds.CLUSTER, "name": name, **fields}


def endpoints(name, *ports_):
    return {"@type": xds.ENDPOINTS, **config.load_assignment(name, *ports_)}


@pytest.fixture
def control_plane(start_program, tmp_path):
    return ControlPlane(start_program, tmp_path / "resources")


@pytest.fixture
def connect():
    streams = []

    def open_stream(plane, **options):
        streams.append(xds.Stream(plane.port, **options))
        return streams[-1]

    yield open_stream
    for stream in streams:
        stream.close()


def test_state_of_the_world(control_plane, connect):
    control_plane.put("all.yaml", cluster("a"), cluster("b"), endpoints("a", 1), endpoints("b", 2))
    stream = connect(control_plane.start())
    stream.send(xds.CLUSTER)
    first = stream.take()
    assert (first.type, first.names) == (xds.CLUSTER, ["a", "b"])
    stream.ack(first)
    control_plane.program.wait_log(
        rf'^ACK node "test-node" type "envoy.config.cluster.v3.Cluster" version "{first.version}" nonce "{first.nonce}"$')
    stream.send(xds.ENDPOINTS, ["a"])
    named = stream.take()
    assert named.names == ["a"]
    stream.ack(named, ["a"])
    stream.send(xds.ENDPOINTS, ["a", "b"], version=named.version, nonce=named.nonce)
    assert stream.take().names == ["a", "b"]
    control_plane.put("all.yaml", cluster("b", alt_stat_name="x"), endpoints("a", 1), endpoints("b", 2))
    second = stream.take()
    assert (second.type, second.names) == (xds.CLUSTER, ["b"])
    assert second.version != first.version and second.nonce != first.nonce
    stream.send(xds.CLUSTER, version=first.version, nonce=second.nonce, error="b: not\nwanted")
    control_plane.program.wait_log(rf'^NACK node "test-node" type "envoy.config.cluster.v3.Cluster" version "{second.version}"'
                                   rf' nonce "{second.nonce}" reason "b: not\\nwanted"$')


def test_delta(control_plane, connect):
    control_plane.put("all.yaml", cluster("a"), cluster("b"), endpoints("a", 1))
    stream = connect(control_plane.start(), delta=True)
    stream.send(xds.CLUSTER)
    first = stream.take()
    assert first.names == ["a", "b"] and not first.removed
    stream.ack(first)
    control_plane.program.wait_log(rf'^ACK node "test-node" type "envoy.config.cluster.v3.Cluster" .* nonce "{first.nonce}"$')
    stream.send(xds.ENDPOINTS, ["a", "gone"])
    named = stream.take()
    assert (named.names, named.removed) == (["a"], ["gone"])
    control_plane.put("all.yaml", cluster("b", alt_stat_name="x"), cluster("c"), endpoints("a", 1))
    second = stream.take()
    assert (second.type, second.names, second.removed) == (xds.CLUSTER, ["b", "c"], ["a"])
    stream.send(xds.CLUSTER, nonce=second.nonce, error="no")
    control_plane.program.wait_log(rf'^NACK .* nonce "{second.nonce}" reason "no"$')
    again = connect(control_plane, delta=True)
    again.send(xds.CLUSTER, held={"b": second.versions["b"], "a": first.versions["a"]})
    resumed = again.take()
    assert (resumed.names, resumed.removed) == (["c"], ["a"])


def test_any_type_and_any_number_of_clients(control_plane, connect):
    control_plane.put("s.yaml", {"@type": xds.SECRET, "name": "key", "generic_secret": {"secret": {"inline_string": "x"}}})
    control_plane.start()
    streams = [connect(control_plane, delta=bool(i % 2), node=(f"node-{i}", "c")) for i in range(20)]
    for stream in streams:
        stream.send(xds.SECRET, ["key"])
    for stream in streams:
        assert stream.take().names == ["key"]


def test_a_broken_file_leaves_the_last_good_set(control_plane, connect):
    control_plane.put("a.yaml", cluster("a"))
    control_plane.put("b.yaml", cluster("b"))
    stream = connect(control_plane.start())
    stream.send(xds.CLUSTER)
    assert stream.take().names == ["a", "b"]
    control_plane.put("a.yaml", cluster("a", alt_stat_name="new"))
    assert stream.take().names == ["a", "b"]
    broken = control_plane.put_text("b.yaml", f"resources:\n- '@type': {xds.CLUSTER}\n  name: b\n  nonsense: 1\n")
    control_plane.program.wait_log(rf"^{re.escape(str(broken))}:4:3: .*nonsense")
    control_plane.program.wait_log("^the last good resources stay$")
    late = connect(control_plane)
    late.send(xds.CLUSTER)
    assert late.take().names == ["a", "b"]
    control_plane.put("b.yaml", cluster("b2"))
    assert stream.take().names == ["a", "b2"]


def test_a_broken_directory_is_refused_at_the_start(tmp_path):
    (tmp_path / "a.yaml").write_text("resources: [\n")
    result = process.run("weir-control-plane", "--listen", "127.0.0.1:0", "--resources", tmp_path)
    assert result.returncode == 1
    assert re.match(rf"{re.escape(str(tmp_path))}/a\.yaml:\d+:\d+: ", result.stderr), result.stderr


def test_a_node_gets_the_set_named_like_it(control_plane, connect):
    control_plane.put("a.yaml", cluster("common"))
    control_plane.put("edge-1/a.yaml", cluster("by-id"))
    control_plane.put("edge/a.yaml", cluster("by-cluster"))
    control_plane.start()
    for node, expected in [(("edge-1", "edge"), "by-id"), (("edge-2", "edge"), "by-cluster"), (("x", "y"), "common")]:
        stream = connect(control_plane, node=node)
        stream.send(xds.CLUSTER)
        assert stream.take().names == [expected]
    control_plane.put("x/a.yaml", cluster("own"))  # a set that is new is for its node at once
    assert stream.take().names == ["own"]


def test_reloads_a_mounted_config_map(control_plane, connect):
    """As the kubelet does it: files are links through ..data, which is swapped by a rename."""
    directory = control_plane.directory
    for version in ("1", "2"):
        (directory / f"..{version}").mkdir()
        (directory / f"..{version}" / "a.yaml").write_text(json.dumps({"resources": [cluster("c" + version)]}))
    (directory / "..data").symlink_to("..1")
    (directory / "a.yaml").symlink_to("..data/a.yaml")
    stream = connect(control_plane.start())
    stream.send(xds.CLUSTER)
    assert stream.take().names == ["c1"]
    (directory / "..data_tmp").symlink_to("..2")
    os.replace(directory / "..data_tmp", directory / "..data")
    assert stream.take().names == ["c2"]


def test_reloads_what_is_written_in_place_added_and_removed(control_plane, connect):
    path = control_plane.put("a.yaml", cluster("a"))
    stream = connect(control_plane.start(), delta=True)
    stream.send(xds.CLUSTER)
    assert stream.take().names == ["a"]
    path.write_text(json.dumps({"resources": [cluster("a2")]}))
    changed = stream.take()
    assert (changed.names, changed.removed) == (["a2"], ["a"])
    (control_plane.directory / "b.json").write_text(json.dumps(cluster("b")))
    assert stream.take().names == ["b"]
    path.unlink()
    assert stream.take().removed == ["a2"]


def test_writes_the_merged_resources(start_program, tmp_path):
    merged = tmp_path / "merged.json"
    plane = ControlPlane(start_program, tmp_path / "resources", "--write-merged", merged)
    plane.put("a.yaml", cluster("a"))
    plane.put("b.yaml", endpoints("b", 7))
    plane.start()

    def names():
        return [(item["@type"], item.get("name") or item["cluster_name"]) for item in json.loads(merged.read_text())["resources"]]
    assert names() == [(xds.CLUSTER, "a"), (xds.ENDPOINTS, "b")]
    plane.put("a.yaml", cluster("a2"))
    wait_until(lambda: (xds.CLUSTER, "a2") in names(), "the merged file")
    inside = process.run("weir-control-plane", "--listen", "127.0.0.1:0", "--resources", plane.directory,
                         "--write-merged", plane.directory / "merged.json")
    assert inside.returncode == 1 and "may not be in the directory" in inside.stderr


def test_ends_with_0_while_clients_are_there(control_plane, connect):
    control_plane.put("a.yaml", cluster("a"))
    streams = [connect(control_plane.start()), connect(control_plane, delta=True)]
    for stream in streams:
        stream.send(xds.CLUSTER)
        stream.take()
    control_plane.program.send_signal(signal.SIGTERM)
    assert control_plane.program.wait_exit() == 0
    for stream in streams:
        assert stream.take() is None


def test_refuses_other_services_and_broken_requests(control_plane, connect):
    control_plane.start()
    stream = connect(control_plane)
    stream._requests.put(b"\xff\xff")
    assert stream.take() is None
    assert stream.status() is grpc.StatusCode.INVALID_ARGUMENT
    with grpc.insecure_channel(f"127.0.0.1:{control_plane.port}", options=xds.CHANNEL_OPTIONS) as channel:
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/some.Other/Method")(b"", timeout=process.DEADLINE_S)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_says_when_it_can_not_listen(control_plane):
    control_plane.start()
    address = f"127.0.0.1:{control_plane.port}"
    result = process.run("weir-control-plane", "--listen", address, "--resources", control_plane.directory)
    assert (result.returncode, result.stderr) == (1, f"cannot listen on {address}\n")


class Envoy(Program):
    """The real Envoy, on a bootstrap."""

    def __init__(self, program, bootstrap, workdir):
        super().__init__("envoy", [], workdir)
        path = self.workdir / "envoy.json"
        path.write_text(json.dumps(bootstrap))
        self.command = [program, "-c", path, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "info"]

    def command_line(self):
        return list(map(str, self.command))


@pytest.mark.peers
@pytest.mark.parametrize("delta", [False, True])
def test_the_real_envoy_is_a_client(control_plane, real_envoy, tmp_path, delta):
    port = ports.free_port()
    with Upstream() as one, Upstream() as two:
        def route(name):
            return {"@type": xds.ROUTES, **config.route_config(config.virtual_host(config.route(name)), name="routes")}
        ads = {"ads": {}, "resource_api_version": "V3"}
        manager = config.hcm(rds={"route_config_name": "routes", "config_source": ads})
        control_plane.put("clusters.yaml", *[cluster(name, type="EDS", connect_timeout="5s", eds_cluster_config={"eds_config": ads})
                                             for name in ("one", "two")])
        control_plane.put("endpoints.yaml", endpoints("one", one.port), endpoints("two", two.port))
        control_plane.put("listener.yaml", {"@type": xds.LISTENER, **config.listener(port, manager)})
        control_plane.put("routes.yaml", route("one"))
        control_plane.start()
        api = {"api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
               "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}
        bootstrap = {
            "node": {"id": "real", "cluster": "envoy"},
            "dynamic_resources": {"ads_config": api, "cds_config": ads, "lds_config": ads},
            "static_resources": {"clusters": [config.cluster("xds", control_plane.port, http2=True)]},
        }
        envoy = Envoy(real_envoy, bootstrap, tmp_path)
        try:
            envoy.start()

            def served_by(upstream):
                before = len(upstream.requests)
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                        assert response.status == 200
                except OSError:
                    return False
                return len(upstream.requests) > before
            wait_until(lambda: served_by(one), "the first route")
            for kind in ("cluster.v3.Cluster", "endpoint.v3.ClusterLoadAssignment", "listener.v3.Listener",
                         "route.v3.RouteConfiguration"):
                control_plane.program.wait_log(rf'^ACK node "real" type "envoy\.config\.{re.escape(kind)}" ')
            control_plane.put("routes.yaml", route("two"))
            wait_until(lambda: served_by(two), "the changed route")
            control_plane.put("clusters.yaml", cluster("one", type="EDS", lb_policy="RANDOM", connect_timeout="5s",
                                                       eds_cluster_config={"eds_config": ads}))
            control_plane.put("routes.yaml", route("one"))
            wait_until(lambda: served_by(one), "the changed cluster")
            control_plane.put_text("listener.yaml", json.dumps({"resources": [{"@type": xds.LISTENER, "name": "bad"}]}))
            control_plane.program.wait_log(r'^NACK node "real" type "envoy\.config\.listener\.v3\.Listener" .* reason ".*bad')
        finally:
            envoy.kill()
