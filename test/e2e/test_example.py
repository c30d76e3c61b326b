"""The example application ends as one in a pod should: what it has begun is answered, nothing new is taken, nobody keeps it."""

import http.client
import signal
import socket
import subprocess

from support.ports import free_port
from support.process import ROOT
from support.wait import DEADLINE_S, wait_until


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
        return True
    except OSError:
        return False


def test_it_ends_after_what_it_has_begun():
    http_port = free_port()
    args = ["--http", http_port, "--grpc", free_port(), "--websocket", free_port()]
    process = subprocess.Popen(["/usr/bin/python3", "-B", ROOT / "deploy/example/app.py", "serve", *map(str, args)])
    try:
        wait_until(lambda: accepts(http_port), "the application")
        idle = http.client.HTTPConnection("127.0.0.1", http_port, timeout=DEADLINE_S)
        idle.request("GET", "/")
        idle.getresponse().read()
        with socket.create_connection(("127.0.0.1", http_port), DEADLINE_S) as begun:
            begun.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            assert begun.recv(100).startswith(b"HTTP/1.1 100 ")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not accepts(http_port), "its port to refuse")
            assert process.poll() is None, "it ended under a request"
            begun.sendall(b"hello")
            answer = b"".join(iter(lambda: begun.recv(1000), b""))
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nhello")
        # the idle connection does not keep it
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
