"""HTTP/1 as bytes: messages read strictly, a raw client that can send anything."""

import select
import socket
from dataclasses import dataclass, field

from .wait import DEADLINE_S


class Closed(Exception):
    """The peer closed where more was due."""


@dataclass
class Message:
    start: str
    headers: list  # of (name as received, value)
    body: bytes = b""
    trailers: list = field(default_factory=list)

    def get(self, name, default=None):
        """The value of a header; with several of that name, joined with a comma."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Response(Message):
    @property
    def status(self):
        return int(self.start.split(" ")[1])

    @property
    def reason(self):
        return self.start.split(" ", 2)[2]


@dataclass
class Request(Message):
    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]


class Stream:
    """A socket with a buffer for reading; one side of an HTTP/1 connection."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def fill(self, size=65536):
        """Reads once; False at the end of the stream."""
        data = self.sock.recv(size)
        self.buffer += data
        return bool(data)

    def readable(self):
        """Whether a read would find something at once."""
        return bool(self.buffer or select.select([self.sock], [], [], 0)[0])

    def read_until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise Closed(f"closed before {mark!r}, after {self.buffer[-200:]!r}")
        data, _, self.buffer = self.buffer.partition(mark)
        return data

    def read_exactly(self, size):
        pieces, have = [self.buffer[:size]], len(self.buffer[:size])
        self.buffer = self.buffer[size:]
        while have < size:
            data = self.sock.recv(min(1 << 20, size - have))
            if not data:
                self.buffer = b"".join(pieces)
                raise Closed(f"closed after {have} of {size} bytes")
            pieces.append(data)
            have += len(data)
        return b"".join(pieces)

    def read_to_end(self):
        pieces, self.buffer = [self.buffer], b""
        try:
            while data := self.sock.recv(1 << 20):
                pieces.append(data)
        except OSError:
            self.buffer = b"".join(pieces)
            raise
        return b"".join(pieces)

    def read_head(self, kind):
        """A start line and headers, exactly as RFC 9112 writes them: any laxness is the peer's fault and raises."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
                raise ValueError(f"malformed header line {line!r}")
            headers.append((name, value.strip(" \t")))
        return kind(lines[0], headers)

    def chunks(self, message):
        """Yields the chunks of a chunked body; the trailers go to the message."""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            yield self.read_exactly(size)
            if self.read_exactly(2) != b"\r\n":
                raise ValueError("chunk without its CRLF")
        while line := self.read_until(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            message.trailers.append((name, value.strip(" \t")))

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def is_chunked(message):
    return (message.get("transfer-encoding") or "").lower() == "chunked"


def encode_headers(headers):
    items = headers.items() if isinstance(headers, dict) else headers
    return "".join(f"{name}: {value}\r\n" for name, value in items).encode("latin-1")


def encode_chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class Client(Stream):
    """A connection to 127.0.0.1:port (or to the Unix socket of that path), with TLS when given an ssl context."""

    def __init__(self, port, tls=None, server_name="localhost", receive_buffer=None):
        sock = socket.socket(socket.AF_INET if isinstance(port, int) else socket.AF_UNIX)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE_S)
        sock.connect(("127.0.0.1", port) if isinstance(port, int) else str(port))
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=server_name)
        super().__init__(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_request(self, method="GET", target="/", headers=(), body=None, host="localhost", chunked=False):
        """body: bytes; with chunked=True an iterable of chunks, or bytes as one. host=None leaves the header out."""
        head = f"{method} {target} HTTP/1.1\r\n".encode()
        if host is not None:
            head += f"host: {host}\r\n".encode()
        head += encode_headers(headers)
        if chunked:
            self.send(head + b"transfer-encoding: chunked\r\n\r\n")
            for chunk in [body] if isinstance(body, bytes) else body:
                self.send(encode_chunk(chunk))
            self.send(LAST_CHUNK)
        elif body is not None:
            self.send(head + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        else:
            self.send(head + b"\r\n")

    def read_response_head(self):
        return self.read_head(Response)

    def read_response(self, method="GET", skip_informational=True):
        """A whole response; method tells whether a body can follow."""
        response = self.read_head(Response)
        while skip_informational and 100 <= response.status < 200 and response.status != 101:
            response = self.read_head(Response)
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return response
        if is_chunked(response):
            response.body = b"".join(self.chunks(response))
        elif response.get("content-length") is not None:
            response.body = self.read_exactly(int(response.get("content-length")))
        else:
            response.body = self.read_to_end()
        return response

    def request(self, method="GET", target="/", headers=(), body=None, **options):
        self.send_request(method, target, headers, body, **options)
        return self.read_response(method)

    def expect_closed(self):
        """Waits for the peer's end of stream, with nothing more before it."""
        try:
            rest = self.read_to_end()
        except ConnectionResetError:
            rest = self.buffer
        assert rest == b"", f"bytes before the close: {rest[:200]!r}"


def get(port, target="/", headers=(), **options):
    """One GET on a connection of its own."""
    with Client(port, **options) as client:
        return client.request("GET", target, headers)
