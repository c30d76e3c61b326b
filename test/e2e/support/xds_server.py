"""A control plane that a test drives step by step, on grpcio without generated code: over TCP or a Unix socket, with TLS and
client certificates where asked for. Requests come as dicts of wire fields, responses are written field by field."""

import queue
import threading
import time
from concurrent import futures

import grpc

from .wait import DEADLINE_S
from .xds import METHOD, URL, decode, encode, text

RESOURCE = URL + "envoy.service.discovery.v3.Resource"
UNLIMITED = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def any_of(type_url, body):
    return encode((1, type_url), (2, body))


def duration(seconds):
    whole = int(seconds)
    return encode((1, whole), (2, round((seconds - whole) * 1e9)))


def wrapped(name, version, any_bytes=b"", ttl=None):
    """envoy.service.discovery.v3.Resource; without any_bytes a heartbeat."""
    fields = [(1, version), (2, any_bytes), (3, name)]
    if ttl is not None:
        fields.append((6, duration(ttl)))
    return encode(*fields)


class Request:
    def __init__(self, data, delta):
        fields = decode(data)
        self.delta, self.node = delta, fields.get(1 if delta else 2, [b""])[0]
        self.type, self.nonce = text(fields, 2 if delta else 4), text(fields, 6 if delta else 5)
        self.version = "" if delta else text(fields, 1)
        self.names = [name.decode() for name in fields.get(3, [])]
        self.dropped = [name.decode() for name in fields.get(4, [])] if delta else []
        self.held = {text(decode(entry), 1): text(decode(entry), 2) for entry in fields.get(5, [])} if delta else {}
        status = fields.get(7 if delta else 6)
        self.error = text(decode(status[0]), 2) if status else None

    def __repr__(self):
        return f"<{self.type.rsplit('.', 1)[-1]} names={self.names} version={self.version!r} nonce={self.nonce!r} error={self.error!r}>"


class Stream:
    """One stream of a client."""

    def __init__(self, method, context, delta):
        self.method, self.delta, self.peer = method, delta, context.peer()
        self.metadata = dict(context.invocation_metadata())
        self.client_names = context.peer_identities()
        self.history = []
        self._context, self._requests, self._out = context, queue.Queue(), queue.Queue()
        self._nonces, self._kept = 0, []

    def take(self, type_url=None, timeout=DEADLINE_S):
        """The next request, or the next one of a type: others stay for later. None at the stream's end."""
        for i, request in enumerate(self._kept):
            if type_url is None or request.type == type_url:
                return self._kept.pop(i)
        until = time.monotonic() + timeout
        while True:
            try:
                request = self._requests.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no request of {type_url} came; there were {self.history}") from None
            if request is None or type_url is None or request.type == type_url:
                return request
            self._kept.append(request)

    def send(self, type_url, version, resources=(), removed=()):
        """resources: bodies of that type as bytes, or whole Anys and Resources as made by any_of and wrapped (delta: Resources
        only). Returns the nonce."""
        self._nonces += 1
        nonce = f"{type_url.rsplit('.', 1)[-1]}-{self._nonces}"
        fields = [(1, version), *[(2, item) for item in resources], (4, type_url), (5, nonce)]
        self._out.put(encode(*fields, *[(6, name) for name in removed]))
        return nonce

    def end(self):
        self._out.put(None)


class ControlPlane:
    """address: "127.0.0.1:0" (see .port) or "unix:/path". credentials: grpc.ssl_server_credentials(...)."""

    def __init__(self, address="127.0.0.1:0", credentials=None, options=()):
        self._streams = queue.Queue()
        self._server = grpc.server(futures.ThreadPoolExecutor(16), options=[*UNLIMITED, *options])
        self._server.add_generic_rpc_handlers((_Handler(self._streams),))
        self.address = address
        self.port = (self._server.add_secure_port(address, credentials) if credentials
                     else self._server.add_insecure_port(address))
        self._server.start()

    def accept(self, timeout=DEADLINE_S):
        try:
            return self._streams.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("no stream came") from None

    def streams_waiting(self):
        """How many streams came that nobody has accepted."""
        return self._streams.qsize()

    def close(self):
        self._server.stop(0).wait()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, streams):
        self._streams = streams

    def service(self, call):
        delta = "/Delta" in call.method

        def behaviour(requests, context):
            stream = Stream(call.method, context, delta)
            self._streams.put(stream)

            def read():
                try:
                    for data in requests:
                        request = Request(data, delta)
                        stream.history.append(request)
                        stream._requests.put(request)
                except Exception:  # the client went away, however grpcio calls that
                    pass
                stream._requests.put(None)
                stream._out.put(None)
            threading.Thread(target=read, daemon=True).start()
            yield from iter(stream._out.get, None)
        return grpc.stream_stream_rpc_method_handler(behaviour)


# Bodies of resources, with what the tests need in them.

ADS = encode((6, 2)) + b"\x1a\x00"  # ConfigSource: ads {}, resource_api_version V3


def socket_address(port, host="127.0.0.1"):
    return encode((1, encode((2, host), (3, port))))


def static_cluster(name, padding=""):
    """padding: text that the cluster carries along in its metadata."""
    struct = encode((1, encode((1, "padding"), (2, encode((3, padding))))))
    return encode((1, name), (4, duration(1)), (25, encode((1, encode((1, "test"), (2, struct)))) if padding else b""))


def eds_cluster(name, source=ADS):
    return encode((1, name), (2, 3), (3, encode((1, source))), (4, duration(1)))


def load_assignment(name, *ports):
    endpoints = [(2, encode((1, encode((1, socket_address(port)))))) for port in ports]
    return encode((1, name), (2, encode(*endpoints)))


def route_configuration(name, cluster=None, status=200, body="", route_name=""):
    """One route for everything: to a cluster, or a direct response."""
    action = (2, encode((1, cluster))) if cluster else (7, encode((1, status), (2, encode((3, body)) if body else b"")))
    return encode((1, name), (2, encode((1, "all"), (2, "*"), (3, encode((1, encode((1, "/"))), action, (14, route_name))))))


def listener(name, port, route_configuration_name, source=ADS):
    """The connection manager with RDS."""
    extensions = URL + "envoy.extensions.filters."
    router = encode((1, "router"), (4, any_of(extensions + "http.router.v3.Router", b"")))
    manager = encode((2, "ingress"), (3, encode((1, source), (2, route_configuration_name))), (5, router))
    chain = encode((3, encode((1, "hcm"), (4, any_of(extensions + "network.http_connection_manager.v3.HttpConnectionManager", manager)))))
    return encode((1, name), (2, socket_address(port)), (3, chain))
