"""Many busy HTTP/1.1 connections and their upstreams on one thread: hundreds of requests under way at any moment, at little cost."""

import heapq
import itertools
import selectors
import socket
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Busy:
    """Each of `connections` keeps one request for `path` under way at `port`; upstream() answers after delay_s, and at once comes
    the next request. A connection that says that it closes is replaced. Whatever else happens is a failure."""

    def __init__(self, port, connections, path="/", delay_s=0.1):
        self.port = port
        self.connections = connections
        self.delay_s = delay_s
        self.request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        self.failures = []
        self.done = 0
        self.opened = 0
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._due = []
        self._order = itertools.count()
        self._listeners = []
        self._thread = threading.Thread(target=self._run)

    def upstream(self):
        """One more upstream; returns its port. Before the start."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener.getsockname()[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _run(self):
        for _ in range(self.connections):
            self._open()
        while not self._stop.is_set():
            wait = self._due[0][0] - time.monotonic() if self._due else 0.1
            for key, _ in self._selector.select(max(0, min(wait, 0.1))):
                key.data(key.fileobj)
            while self._due and self._due[0][0] <= time.monotonic():
                self._send(heapq.heappop(self._due)[2], ANSWER)

    def _drop(self, sock):
        self._selector.unregister(sock)
        sock.close()

    @staticmethod
    def _send(sock, data):
        try:
            sock.sendall(data)  # a few bytes: there is always room
        except OSError:
            pass  # the reading side tells

    @staticmethod
    def _read(sock):
        try:
            return sock.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    # The upstreams.

    def _accept(self, listener):
        sock, _ = listener.accept()
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, self._serve)

    def _serve(self, sock):
        data = self._read(sock)
        if data:
            for _ in range(data.count(b"\r\n\r\n")):
                heapq.heappush(self._due, (time.monotonic() + self.delay_s, next(self._order), sock))
        elif data is not None:
            self._drop(sock)

    # The clients.

    def _open(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        sock.setblocking(False)
        self.opened += 1
        self._selector.register(sock, selectors.EVENT_READ, Client(self).on_read)
        self._send(sock, self.request)


class Client:
    """One connection's answer so far."""

    def __init__(self, busy):
        self.busy = busy
        self.answer = b""

    def on_read(self, sock):
        data = self.busy._read(sock)
        if data is None:
            return
        self.answer += data
        head, mark, body = self.answer.partition(b"\r\n\r\n")
        if not data or (mark and not head.startswith(b"HTTP/1.1 200 ")) or (mark and b"content-length: 2\r\n" not in head + b"\r\n"):
            self.busy.failures.append(self.answer or "closed without an answer")
            self.busy._drop(sock)
            return
        if not mark or len(body) < 2:
            return
        if body != b"ok":
            self.busy.failures.append(self.answer)
        self.busy.done += 1
        self.answer = b""
        if b"connection: close" in head.lower():
            self.busy._drop(sock)
            self.busy._open()
        else:
            self.busy._send(sock, self.busy.request)
