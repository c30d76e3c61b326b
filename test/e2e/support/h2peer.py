"""HTTP/2 on python3-h2: a client connection and a scriptable server, both with streams that block like files."""

import collections
import socket
import threading
import traceback

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .wait import DEADLINE_S, wait_until


WINDOW_MAX = 2**31 - 1


class StreamReset(Exception):
    """The peer reset the stream or went away."""

    def __init__(self, code):
        super().__init__(f"stream reset with {code}")
        self.code = code  # None when the connection ended


class Stream:
    """One stream. Reads and sends block until the peer allows; credit is given back only for bytes that have been read."""

    def __init__(self, peer, stream_id):
        self.peer = peer
        self.id = stream_id
        self.headers = None  # list of (name, value) once they have come
        self.informational = []  # header lists of 1xx answers
        self.trailers = None
        self.ended = False  # the peer's side
        self.reset_code = None
        self.failed = False
        self._data = collections.deque()  # (bytes, flow-controlled length)

    def _wait(self, condition, what):
        if not self.peer.changed.wait_for(lambda: condition() or self.failed, DEADLINE_S):
            raise AssertionError(f"waited {DEADLINE_S} s in vain: {what} on HTTP/2 stream {self.id}")
        if self.failed and not condition():
            raise StreamReset(self.reset_code)

    def get(self, name, default=None):
        return next((value for key, value in self.headers if key == name), default)

    @property
    def status(self):
        return int(self.get(":status"))

    def wait_headers(self):
        with self.peer.changed:
            self._wait(lambda: self.headers is not None, "headers")
        return self.headers

    def read(self):
        """The next piece of the body, b"" at its end."""
        with self.peer.changed:
            self._wait(lambda: self._data or self.ended, "data")
            if not self._data:
                return b""
            data, credit = self._data.popleft()
            if credit and not self.ended:
                self.peer.connection.acknowledge_received_data(credit, self.id)
            elif credit:
                self.peer.connection.increment_flow_control_window(credit)
            self.peer.flush()
        return data

    def read_all(self):
        return b"".join(iter(self.read, b""))

    def wait_end(self):
        with self.peer.changed:
            self._wait(lambda: self.ended, "the end")

    def wait_reset(self):
        """Waits for the peer's RST_STREAM; returns its code."""
        with self.peer.changed:
            if not self.peer.changed.wait_for(lambda: self.failed, DEADLINE_S):
                raise AssertionError(f"no reset of HTTP/2 stream {self.id}")
        return self.reset_code

    def send_headers(self, headers, end=False):
        items = headers.items() if isinstance(headers, dict) else headers
        with self.peer.changed:
            self.peer.connection.send_headers(self.id, list(items), end_stream=end)
            self.peer.flush()

    send_trailers = None  # set below: trailers are headers that end the stream

    def send(self, data=b"", end=False):
        """Sends as the peer's windows allow."""
        view = memoryview(data)
        while True:
            with self.peer.changed:
                if view:
                    self._wait(lambda: self._window() > 0, "window")
                size = min(len(view), self._window(), self.peer.connection.max_outbound_frame_size)
                last = size == len(view)
                if size or (last and end):
                    self.peer.connection.send_data(self.id, bytes(view[:size]), end_stream=last and end)
                    self.peer.flush()
                view = view[size:]
            if last:
                return

    def _window(self):
        try:
            return self.peer.connection.local_flow_control_window(self.id)
        except h2.exceptions.ProtocolError:
            return 0

    def reset(self, code=h2.errors.ErrorCodes.CANCEL):
        with self.peer.changed:
            self.peer.connection.reset_stream(self.id, code)
            self.peer.flush()


Stream.send_trailers = lambda self, headers: self.send_headers(headers, end=True)


class Connection(h2.connection.H2Connection):
    """Streams that have begun go on after a GOAWAY (RFC 9113 6.8)."""

    def _receive_goaway_frame(self, frame):
        state = self.state_machine.state
        received = super()._receive_goaway_frame(frame)
        if frame.error_code == h2.errors.ErrorCodes.NO_ERROR:
            self.state_machine.state = state
        return received


class Peer:
    """One side of an HTTP/2 connection. A server's peer calls on_stream(stream) on a thread of its own for each request.

    lax: it takes any header block (the library knows no plain CONNECT, RFC 9113 8.5). wide: its windows never hold the other side
    back. listed: a list that it is in before it reads or answers anything.
    """

    def __init__(self, sock, client_side, on_stream=None, settings=None, wide=False, listed=None, lax=False):
        self.sock = sock
        self.listening = threading.Event()  # while it is clear nothing is read from the socket
        self.listening.set()
        self.on_stream = on_stream
        self.changed = threading.Condition(threading.RLock())
        self.streams = {}
        self.goaway_code = None  # of the peer's last GOAWAY
        self.goaway_last_stream_id = None
        self.closed = False
        self.ping_acks = 0
        self.pings = 0  # the peer's
        # The peer's laxness must show, ours must be possible: tests send what h2 would refuse to send.
        config = h2.config.H2Configuration(client_side=client_side, header_encoding="utf-8", validate_inbound_headers=not lax,
                                           validate_outbound_headers=False, normalize_outbound_headers=False)
        self.connection = Connection(config)
        if settings:
            self.connection.local_settings = h2.settings.Settings(client=client_side, initial_values={
                **dict(self.connection.local_settings), **settings})
        if wide:
            self.connection.local_settings = h2.settings.Settings(client=client_side, initial_values={
                **dict(self.connection.local_settings), h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_MAX})
        with self.changed:
            self.connection.initiate_connection()
            if wide:
                self.connection.increment_flow_control_window(WINDOW_MAX - 65535)
            self.flush()
        if listed is not None:
            listed.append(self)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def flush(self):
        data = self.connection.data_to_send()
        if data:
            try:
                self.sock.sendall(data)
            except OSError:
                pass

    def _read(self):
        try:
            while self.listening.wait() and (data := self.sock.recv(65536)):
                with self.changed:
                    events = self.connection.receive_data(data)
                    self.flush()
                    for event in events:
                        self._handle(event)
                    self.changed.notify_all()
        except (OSError, h2.exceptions.ProtocolError) as error:
            self.error = error
            with self.changed:
                self.flush()
        finally:
            with self.changed:
                self.closed = True
                for stream in self.streams.values():
                    stream.failed = stream.failed or not stream.ended
                self.changed.notify_all()
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _handle(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway_code = event.error_code
            self.goaway_last_stream_id = event.last_stream_id
        elif isinstance(event, h2.events.PingAckReceived):
            self.ping_acks += 1
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = Stream(self, event.stream_id)
            stream.headers = event.headers
            threading.Thread(target=self.on_stream, args=(stream,), daemon=True).start()
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = event.headers
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.informational.append(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            stream._data.append((event.data, event.flow_controlled_length))
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset_code = event.error_code
            stream.failed = True

    def wait_closed(self):
        wait_until(lambda: self.closed, "the end of the HTTP/2 connection")

    def wait_goaway(self):
        """Waits for the peer's GOAWAY; returns its code."""
        wait_until(lambda: self.goaway_code is not None, "a GOAWAY")
        return self.goaway_code

    def ping(self):
        """Sends a PING and waits for its answer: what the peer sent before has then come."""
        seen = self.ping_acks
        with self.changed:
            self.connection.ping(b"weirtest")
            self.flush()
        wait_until(lambda: self.ping_acks > seen, "the answer to a PING")

    def send_raw(self, data):
        """Bytes past the library, for frames that it would not make."""
        with self.changed:
            self.sock.sendall(data)

    def close(self):
        self.listening.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(DEADLINE_S)
        self.sock.close()


class Client(Peer):
    """A connection to 127.0.0.1:port: prior knowledge in cleartext, or TLS with a context that offers ALPN h2."""

    def __init__(self, port, tls=None, server_name="localhost", settings=None, wide=False):
        sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=server_name)
        sock.settimeout(None)
        super().__init__(sock, True, settings=settings, wide=wide)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def open(self, method="GET", path="/", headers=(), authority="localhost", scheme="http", end=True, pseudo=(), body=None):
        """Starts a request; pseudo adds further pseudo-headers, as (":protocol", "websocket"). A body goes out with the head in one
        write and ends the request."""
        with self.changed:
            stream = Stream(self, self.connection.get_next_available_stream_id())
            self.streams[stream.id] = stream
            lines = [(":method", method)]
            lines += [(name, value) for name, value in
                      [(":scheme", scheme), (":authority", authority), (":path", path)] if value is not None]
            lines += list(pseudo) + list(headers.items() if isinstance(headers, dict) else headers)
            if body:
                self.connection.send_headers(stream.id, lines)
                self.connection.send_data(stream.id, body, end_stream=True)
                self.flush()
            else:
                stream.send_headers(lines, end=end)
        return stream

    def request(self, method="GET", path="/", headers=(), body=None, **options):
        """A whole exchange: returns the stream, with .status, .headers, .body and .trailers."""
        stream = self.open(method, path, headers, end=body is None, **options)
        if body is not None:
            try:
                stream.send(body, end=True)
            except h2.exceptions.StreamClosedError:
                pass  # answered before the body was wanted: RST_STREAM(NO_ERROR) after the whole answer (RFC 9113 8.1)
        stream.wait_headers()
        stream.body = stream.read_all()
        return stream


def echo(stream):
    """The request's body back piece by piece, or its path where there is none."""
    first = stream.read()
    stream.send_headers([(":status", "200")])
    stream.send(first or stream.get(":path").encode())
    for data in iter(stream.read, b"") if first else ():
        stream.send(data)
    stream.send(end=True)


def replying(status=200, headers=(), body=b"ok", trailers=(), after=None):
    """after: an event that the answer waits for."""
    def handler(stream):
        if after:
            after.wait(30)
        stream.read_all()
        stream.send_headers([(":status", str(status)), *headers])
        stream.send(body, end=not trailers)
        if trailers:
            stream.send_trailers(trailers)
    return handler


class Upstream:
    """An HTTP/2 server; handler(stream) answers each request on a thread of its own.

    tls needs a context that selects h2. What a handler raises fails the test at close(), except a reset by the peer.
    """

    def __init__(self, handler=echo, tls=None, settings=None, wide=False, lax=False):
        self.handler = handler
        self.tls = tls
        self.settings = settings
        self.wide = wide
        self.lax = lax
        self.peers = []
        self.requests = []  # every stream
        self.errors = []
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(1024)
        self.port = self._socket.getsockname()[1]
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
            threading.Thread(target=self._start, args=(sock,), daemon=True).start()

    def _start(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            Peer(sock, False, self._serve, self.settings, self.wide, listed=self.peers, lax=self.lax)
        except OSError:
            sock.close()

    def _serve(self, stream):
        self.requests.append(stream)
        try:
            self.handler(stream)
        except (StreamReset, h2.exceptions.StreamClosedError, OSError):
            pass
        except h2.exceptions.ProtocolError:
            if not stream.failed and not stream.peer.closed:
                self.errors.append(traceback.format_exc())
        except Exception:
            self.errors.append(traceback.format_exc())

    def wait_requests(self, count):
        wait_until(lambda: len(self.requests) >= count, f"{count} requests at the upstream; there are {len(self.requests)}")
        return self.requests

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
        self._thread.join(DEADLINE_S)
        for peer in self.peers:
            peer.close()
        assert not self.errors, "in an upstream's handler:\n" + "\n".join(self.errors)
