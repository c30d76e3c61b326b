"""A pod and the world outside of it as two network namespaces joined by a cable. The test's own thread moves into the pod, so all that
it starts is there: programs, servers, clients."""

import contextlib
import ctypes
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import socket

CLONE_NEWNET = 0x40000000
APPLICATION = 65534  # the user that the application's connections belong to; weir runs as the test does
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    pass


def _call(function, *args):
    if function(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _here():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


class Pod:
    """IPv4 and IPv6. Pod: 10.77.0.2, fd77::2; outside: the others."""

    ADDRESS = {4: "10.77.0.2", 6: "fd77::2"}
    OUTSIDE = {4: "10.77.0.1", 6: "fd77::1"}
    FAR = {4: "10.99.0.1", 6: "fd99::1"}

    def __init__(self):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        self._before = _here()
        try:
            self._enter_new()
        except OSError as error:
            raise Unavailable(f"no network namespace can be made here: {error.strerror}") from None
        self._outside = _here()
        self._enter_new()
        self._inside = _here()
        try:
            self._cable()
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise Unavailable(f"no cable between network namespaces: {getattr(error, 'stderr', error)}") from None

    @staticmethod
    def _enter_new():
        _call(_libc.unshare, CLONE_NEWNET)

    def _cable(self):
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1", "netns", f"/proc/{os.getpid()}/fd/{self._outside}")
        self._up("eth0", self.ADDRESS)
        with self.outside():
            _run("ip", "link", "set", "lo", "up")
            self._up("eth1", self.OUTSIDE)
            for address in self.FAR.values():
                _run("ip", "addr", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
        for version in (4, 6):
            _run("ip", f"-{version}", "route", "add", "default", "via", self.OUTSIDE[version])

    @staticmethod
    def _up(device, addresses):
        _run("ip", "link", "set", device, "up")
        _run("ip", "addr", "add", f"{addresses[4]}/24", "dev", device)
        _run("ip", "addr", "add", f"{addresses[6]}/64", "dev", device, "nodad")

    @contextlib.contextmanager
    def outside(self):
        """What is done meanwhile is done outside of the pod."""
        _call(_libc.setns, self._outside, CLONE_NEWNET)
        try:
            yield
        finally:
            _call(_libc.setns, self._inside, CLONE_NEWNET)

    def close(self):
        _call(_libc.setns, self._before, CLONE_NEWNET)
        for each in (self._before, self._outside, self._inside):
            os.close(each)


@contextlib.contextmanager
def as_user(uid):
    """Sockets made meanwhile belong to this user."""
    _libc.setfsuid(uid)
    try:
        yield
    finally:
        _libc.setfsuid(0)


class Server:
    """Answers every GET with its name, and header `peer` with the address that the connection came from."""

    def __init__(self, address, port, name):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("peer", self.client_address[0])
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_):
                pass

        class Http(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            daemon_threads = True

            def server_bind(self):  # without the name look-up of the original
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(self.server_address)

        self._server = Http((address, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
