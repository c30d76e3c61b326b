"""Listeners whose socket cannot be made are refused by name; what served before serves on. The counts of the listener manager."""

import socket

import pytest

from support import config, http1, process
from support.ports import free_port
from support.wait import wait_until
from test_xds import ControlPlane, resource

if not process.binary("weir").exists() or not process.binary("weir-control-plane").exists():
    pytest.skip("weir is not built", allow_module_level=True)


@pytest.fixture
def plane(start_program, tmp_path):
    return ControlPlane(start_program, tmp_path / "resources")


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def start(request, plane, start_weir):
    def begin(*resources):
        plane.serve(*resources)
        plane.start()
        return start_weir(plane.bootstrap(request.param))
    return begin


@pytest.fixture
def taken():
    """A socket that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        yield other


def port_of(taken):
    return taken.getsockname()[1]


def listener(port, name, body="x", **fields):
    return resource("listener.v3.Listener", config.listener(
        port, config.hcm([config.virtual_host(config.direct_response(200, body))]), name=name, **fields))


def nacks(plane):
    return [line.split('reason "')[1].rstrip('"') for line in plane.program.log.splitlines() if line.startswith("NACK")]


def wait_nack(plane, count):
    return wait_until(lambda: nacks(plane) if len(nacks(plane)) == count else None, f"NACK number {count}")[-1]


def refusal(weir, name):
    [record] = [r for r in weir.admin_json("/config_dump?resource=dynamic_listeners")["configs"] if r.get("name") == name]
    return record.get("error_state", {}).get("details")


def manager(weir, name):
    return weir.stat(f"listener_manager.{name}")


def test_a_port_in_use_is_refused_until_it_is_free(start, plane, taken):
    first, port = free_port(), port_of(taken)
    weir = start(listener(first, "first"))
    plane.serve(listener(first, "first"), listener(port, "second"))
    bind = f"cannot bind '127.0.0.1:{port}': Address already in use"
    assert wait_nack(plane, 1) == f"Error adding/updating listener(s) second: {bind}"
    assert refusal(weir, "second") == bind
    assert manager(weir, "listener_create_failure") == 1
    assert (manager(weir, "listener_added"), manager(weir, "total_listeners_active")) == (1, 1)
    assert http1.get(first).body == b"x"
    taken.close()
    plane.serve(listener(first, "first", "y"), listener(port, "second", "in"))
    wait_until(lambda: http1.get(first).body == b"y", "the good sibling")
    weir.wait_stat("listener_manager.listener_added", 2)
    assert http1.get(port).body == b"in"
    assert refusal(weir, "second") is None


def test_refused_bytes_that_come_again_are_tried_again(plane, start_weir, taken):
    first, port = free_port(), port_of(taken)
    plane.serve(listener(first, "first"))
    plane.start()
    weir = start_weir(plane.bootstrap())
    for count, body in enumerate("ab", 1):
        plane.serve(listener(first, "first", body), listener(port, "second", "in"))
        assert f"cannot bind '127.0.0.1:{port}'" in wait_nack(plane, count)
        assert http1.get(first).body == body.encode()
    assert len([line for line in weir.log.splitlines() if "'second' is refused" in line]) == 1
    taken.close()
    plane.serve(listener(first, "first", "c"), listener(port, "second", "in"))
    weir.wait_stat("listener_manager.listener_added", 2)
    assert http1.get(port).body == b"in"
    assert len(nacks(plane)) == 2


def test_a_refused_listener_of_the_first_response_keeps_nothing_from_starting(start, plane, taken):
    first = free_port()
    weir = start(listener(first, "first"), listener(port_of(taken), "second"))
    assert http1.get(first).body == b"x"
    assert len(nacks(plane)) == 1
    assert manager(weir, "total_listeners_active") == 1


def test_a_listener_that_moves_to_a_taken_port_stays_where_it_was(start, plane, taken):
    first, second = free_port(), free_port()
    weir = start(listener(first, "first"), listener(second, "second", "old"))
    with http1.Client(second) as kept:
        assert kept.request().body == b"old"
        plane.serve(listener(first, "first"), listener(port_of(taken), "second", "new"))
        wait_nack(plane, 1)
        assert kept.request().body == b"old"
        assert http1.get(second).body == b"old"

        plane.serve(listener(first, "first"), listener(first, "second", "new"))
        assert wait_nack(plane, 2) == (
            f"Error adding/updating listener(s) second: error adding listener: 'second' has duplicate address '127.0.0.1:{first}' as "
            "existing listener, to check if the listener has duplicated addresses with other listeners or 'enable_reuse_port' is set "
            "to 'false' for the listener")
        assert refusal(weir, "second").startswith("error adding listener: 'second' has duplicate address")
        plane.serve(listener(first, "first"), listener(second, "second", "old"))
        wait_until(lambda: refusal(weir, "second") is None, "the refusal to be forgotten")
        assert kept.request().body == b"old"
    assert manager(weir, "listener_modified") == 0
    assert http1.get(first).body == b"x"


def test_a_listener_takes_the_address_of_one_that_goes_in_the_same_response(start, plane):
    port = free_port()
    weir = start(listener(port, "one", "first"))
    plane.serve(listener(port, "two", "second"))
    wait_until(lambda: http1.get(port).body == b"second", "the listener of another name")
    assert not nacks(plane)
    assert (manager(weir, "listener_added"), manager(weir, "listener_removed")) == (2, 1)


def test_the_listener_manager_counts(start, plane):
    first, second, third = free_port(), free_port(), free_port()
    weir = start(listener(first, "first"), listener(second, "second"))
    assert manager(weir, "workers_started") == 1
    assert manager(weir, "listener_create_success") == 4  # two workers
    with http1.Client(second) as busy:
        assert busy.request().status == 200
        plane.serve(listener(first, "first", "changed"), listener(third, "second"))
        weir.wait_stat("listener_manager.listener_modified", 2)
        assert manager(weir, "listener_in_place_updated") == 1
        assert manager(weir, "total_listeners_draining") == 1
        assert manager(weir, "total_listeners_active") == 2
        [record] = [r for r in weir.admin_json("/config_dump?resource=dynamic_listeners")["configs"] if r["name"] == "second"]
        address = record["draining_state"]["listener"]["address"]["socket_address"]
        assert address["port_value"] == second
        assert record["active_state"]["listener"]["address"]["socket_address"]["port_value"] == third
    weir.wait_stat("listener_manager.total_listeners_draining", 0)
    with http1.Client(third) as busy:
        assert busy.request().status == 200
        plane.serve(listener(first, "first", "changed"))
        weir.wait_stat("listener_manager.listener_removed", 1)
        [record] = [r for r in weir.admin_json("/config_dump?resource=dynamic_listeners")["configs"] if r["name"] == "second"]
        assert set(record) == {"@type", "name", "draining_state"}
    weir.wait_stat("listener_manager.total_listeners_draining", 0)
    assert manager(weir, "listener_stopped") == 0
    weir.admin("/drain_listeners", "POST")
    assert manager(weir, "listener_stopped") == 1
