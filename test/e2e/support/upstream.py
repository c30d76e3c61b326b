"""A scriptable HTTP/1.1 server on raw sockets. A handler sees the connection itself, so it can do anything a peer can."""

import socket
import threading
import traceback

from . import http1
from .wait import DEADLINE_S, wait_until


class Connection(http1.Stream):
    """One accepted connection, as a handler gets it."""

    def __init__(self, sock, number):
        super().__init__(sock)
        self.number = number  # counts accepted connections from 0
        self.keep = True  # a handler that sets it False has the connection closed after its answer

    def body_chunks(self, request):
        """Yields the request's body as it comes."""
        if http1.is_chunked(request):
            yield from self.chunks(request)
        else:
            left = int(request.get("content-length", 0))
            while left:
                if not self.buffer and not self.fill():
                    raise http1.Closed(f"closed {left} bytes before the end of the body")
                data, self.buffer = self.buffer[:left], self.buffer[left:]
                left -= len(data)
                yield data

    def read_body(self, request):
        """Reads what is left of the request's body into request.body."""
        pieces = [request.body]
        try:
            for data in self.body_chunks(request):
                pieces.append(data)
        finally:
            request.body = b"".join(pieces)
        request.complete = True
        return request.body

    def reply(self, status=200, headers=(), body=b"", reason="OK", close=False):
        head = f"HTTP/1.1 {status} {reason}\r\n".encode() + http1.encode_headers(headers)
        if close:
            head += b"connection: close\r\n"
            self.keep = False
        if status >= 200 and status not in (204, 304):
            head += f"content-length: {len(body)}\r\n".encode()
        self.send(head + b"\r\n" + body)

    def reply_chunked(self, chunks, status=200, headers=(), trailers=()):
        """Sends each chunk as the iterable yields it."""
        self.send(f"HTTP/1.1 {status} OK\r\n".encode() + http1.encode_headers(headers) + b"transfer-encoding: chunked\r\n\r\n")
        for chunk in chunks:
            self.send(http1.encode_chunk(chunk))
        self.send(b"0\r\n" + http1.encode_headers(trailers) + b"\r\n")


def echo(request, connection):
    """The request's body back, or its start line where there is none."""
    body = connection.read_body(request)
    if request.method == "HEAD":
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    else:
        connection.reply(body=body or request.start.encode())


def replying(status=200, headers=(), body=b"ok"):
    """A handler that reads the whole request and gives this answer."""
    def handler(request, connection):
        connection.read_body(request)
        connection.reply(status, headers, body)
    return handler


class Upstream:
    """handler(request, connection) answers each request; it runs on the connection's own thread.

    requests holds every request whose head has come. An exception in a handler is kept and fails the test at close(), except
    what a closed connection raises.
    """

    def __init__(self, handler=echo, tls=None, path=None):
        self.handler = handler
        self.tls = tls
        self.requests = []
        self.connections = []
        self.errors = []
        if path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(path))
            self.port = path
        else:
            self._socket = socket.socket()
            self._socket.bind(("127.0.0.1", 0))
            self.port = self._socket.getsockname()[1]
        self._socket.listen(1024)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            connection = Connection(sock, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.sock.settimeout(DEADLINE_S * 2)
            if self.tls:
                connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
            while connection.keep:
                if not connection.buffer and not connection.fill():
                    break
                request = connection.read_head(http1.Request)
                request.complete = False
                request.connection = connection
                self.requests.append(request)
                self.handler(request, connection)
                if connection.keep and not request.complete and connection.sock.fileno() >= 0:
                    connection.read_body(request)
        except (OSError, http1.Closed):
            pass
        except Exception:
            self.errors.append(traceback.format_exc())
        finally:
            connection.close()

    def wait_requests(self, count):
        """Waits until so many requests have come; returns them all."""
        wait_until(lambda: len(self.requests) >= count, f"{count} requests at the upstream; there are {len(self.requests)}")
        return self.requests

    def close(self):
        """Closes listener and connections; raises what a handler raised."""
        for sock in [self._socket] + [connection.sock for connection in list(self.connections)]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        self._thread.join(DEADLINE_S)
        assert not self.errors, "in an upstream's handler:\n" + "\n".join(self.errors)
