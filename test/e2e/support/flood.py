"""Bodies of many gigabytes at the speed of the machine: peers that know no more of HTTP than one exchange needs.

The body is one pattern over and over, so every byte is checked where it is read and nothing is kept. One thread an end.
"""

import socket
import struct
import threading
from pathlib import Path

from .wait import DEADLINE_S, wait_until

PERIOD = bytes(range(256))
PIECE = PERIOD * 4096  # 1 MiB
EXPECTED = PIECE + PIECE  # what any MiB of the body is a part of
FRAME = 16384  # payload of a DATA frame (RFC 9113 4.2)
FRAMES = b"".join(struct.pack(">I", FRAME)[1:] + b"\0\0\0\0\0\1" + PERIOD * (FRAME // 256) for _ in range(64))
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 2**20

# What the kernel may hold of two connections, and 8 MiB.
ON_THE_WAY_MAX = 2**23 + 2 * sum(int(Path(f"/proc/sys/net/ipv4/tcp_{buffer}mem").read_text().split()[2]) for buffer in "rw")


class Progress:
    """How far a body has come on one side, for the other side's eyes."""

    def __init__(self, size):
        self.size = size
        self.bytes = 0

    def wait_stuck(self):
        """Until nothing moves any more."""
        last = [-1, 0]

        def stuck():
            last[1] = last[1] + 1 if self.bytes == last[0] else 0
            last[0] = self.bytes
            return last[1] > 20
        wait_until(stuck, "a sender that waits")


class SlowReader:
    """Checks what it is given, and at some places waits until the sender can send no more."""

    def __init__(self, sender, stalls):
        self.sender = sender
        self.size = sender.size
        self.stalls = [self.size * (i + 1) // (stalls + 1) for i in range(stalls)]
        self.at = 0

    def take(self, view):
        assert EXPECTED.startswith(view, self.at % 256), f"other bytes than were sent, after {self.at}"
        self.at += len(view)
        if self.stalls and self.at >= self.stalls[0]:
            self.stalls.pop(0)
            self.sender.wait_stuck()
            assert self.sender.bytes - self.at < ON_THE_WAY_MAX, f"{self.sender.bytes - self.at} bytes are on their way"


def head_of(sock):
    """Reads a head byte by byte: what follows stays in the socket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    return head


class H1:
    """One side of one exchange over HTTP/1.1."""

    def __init__(self, sock, client):
        self.sock = sock
        self.client = client

    def send_head(self, size=None):
        first = b"HTTP/1.1 200 OK\r\n"
        if self.client:
            first = b"%s / HTTP/1.1\r\nhost: localhost\r\n" % (b"GET" if size is None else b"POST")
        length = b"" if self.client and size is None else b"content-length: %d\r\n" % (size or 0)
        self.sock.sendall(first + length + b"\r\n")

    def read_head(self):
        head = head_of(self.sock)
        assert not self.client or head.startswith(b"HTTP/1.1 200 "), head

    def send_body(self, progress):
        while progress.bytes < progress.size:
            n = min(len(PIECE), progress.size - progress.bytes)
            self.sock.sendall(memoryview(PIECE)[:n])
            progress.bytes += n

    def read_body(self, reader):
        buffer = memoryview(bytearray(len(PIECE)))
        while reader.at < reader.size:
            n = self.sock.recv_into(buffer, min(len(buffer), reader.size - reader.at))
            assert n, f"closed after {reader.at} bytes"
            reader.take(buffer[:n])


class H2:
    """One side of one exchange over HTTP/2, on stream 1. Sizes are whole frames."""

    def __init__(self, sock, client):
        self.sock = sock
        self.client = client
        self.stream_window = self.connection_window = 65535
        self.buffer = bytearray(2**20)
        self.filled = 0
        settings = struct.pack(">HIHI", 4, WINDOW, 5, FRAME)
        self.sock.sendall((PREFACE if client else b"") + self._frame(SETTINGS, 0, 0, settings) +
                          self._frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - 65535)))
        self.preface_left = 0 if client else len(PREFACE)
        self.headers = None
        self.ended = False

    @staticmethod
    def _frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def send_head(self, size=None):
        block = b"\x88"  # :status 200
        if self.client:
            block = (b"\x82" if size is None else b"\x83") + b"\x86\x84\x41\x09localhost"
        if size is not None:
            block += b"\x0f\x0d" + bytes([len(str(size))]) + str(size).encode()  # content-length (RFC 7541 6.2.2)
        self.sock.sendall(self._frame(HEADERS, END_HEADERS | (END_STREAM if size is None else 0), 1, block))

    def _control(self, kind, flags, stream, payload):
        if kind == WINDOW_UPDATE:
            by = struct.unpack(">I", payload)[0]
            if stream:
                self.stream_window += by
            else:
                self.connection_window += by
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == 4:
                    self.stream_window += value - 65535
            self.sock.sendall(self._frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.sock.sendall(self._frame(PING, ACK, 0, payload))
        elif kind == HEADERS:
            self.headers = payload
            self.ended = bool(flags & END_STREAM)
        elif kind == RST_STREAM and self.client and self.ended and payload == bytes(4):
            pass  # answered in full before our END_STREAM, which comes in a frame of its own: RFC 9113 8.1 allows NO_ERROR
        elif kind in (GOAWAY, RST_STREAM):
            raise AssertionError(f"frame {kind} with {payload.hex()}")

    def _read(self, reader=None):
        n = self.sock.recv_into(memoryview(self.buffer)[self.filled:])
        assert n, "closed"
        self.filled += n
        self._take(reader)

    def _take(self, reader):
        """Every frame that is whole; a body waits for its reader."""
        view = memoryview(self.buffer)
        at = min(self.preface_left, self.filled)
        self.preface_left -= at
        body = 0
        while self.filled - at >= 9:
            length = int.from_bytes(view[at:at + 3], "big")
            kind, flags = view[at + 3], view[at + 4]
            if self.filled - at < 9 + length or (kind == DATA and reader is None):
                break
            payload = view[at + 9:at + 9 + length]
            if kind == DATA:
                reader.take(payload)
                body += length
                self.ended = bool(flags & END_STREAM)
            else:
                self._control(kind, flags, int.from_bytes(view[at + 5:at + 9], "big"), bytes(payload))
            at += 9 + length
        view[:self.filled - at] = bytes(view[at:self.filled])
        self.filled -= at
        if body:
            update = struct.pack(">I", body)
            self.sock.sendall(self._frame(WINDOW_UPDATE, 0, 0, update) + self._frame(WINDOW_UPDATE, 0, 1, update))

    def read_head(self):
        while self.headers is None:
            self._read()
        assert not self.client or self.headers.startswith(b"\x88"), self.headers

    def send_body(self, progress):
        assert progress.size % FRAME == 0
        while progress.bytes < progress.size:
            window = min(self.stream_window, self.connection_window)
            frames = min(window // FRAME, 64, (progress.size - progress.bytes) // FRAME)
            if frames == 0:
                self._read()
                continue
            self.sock.sendall(memoryview(FRAMES)[:frames * (9 + FRAME)])
            self.stream_window -= frames * FRAME
            self.connection_window -= frames * FRAME
            progress.bytes += frames * FRAME
        self.sock.sendall(self._frame(DATA, END_STREAM, 1))

    def read_body(self, reader):
        self._take(reader)
        while not self.ended:
            self._read(reader)
        assert reader.at == reader.size


def connect(port, http2):
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    return (H2 if http2 else H1)(sock, True)


class Upstream:
    """Serves one exchange: exchange(peer), with the peer's head read."""

    def __init__(self, http2, exchange):
        self.http2 = http2
        self.exchange = exchange
        self.error = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            sock, _ = self._listener.accept()
            with sock:
                sock.settimeout(DEADLINE_S)
                peer = (H2 if self.http2 else H1)(sock, False)
                peer.read_head()
                self.exchange(peer)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
        except Exception as error:
            self.error = error

    def close(self):
        self._listener.close()
        self._thread.join(DEADLINE_S)
        if self.error is not None:
            raise self.error
