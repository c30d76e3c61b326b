"""An xDS client without generated code: requests and responses of envoy.service.discovery.v3 as dicts of wire fields."""

import queue
import threading

import grpc

from .grpc_echo import CHANNEL_OPTIONS
from .wait import DEADLINE_S

URL = "type.googleapis.com/"
CLUSTER = URL + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = URL + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = URL + "envoy.config.listener.v3.Listener"
ROUTES = URL + "envoy.config.route.v3.RouteConfiguration"
SECRET = URL + "envoy.extensions.transport_sockets.tls.v3.Secret"
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(*fields):
    """fields: (number, int, str or bytes); empty text is left out."""
    out = []
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3), varint(value)
        elif value:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2), varint(len(data)), data
    return b"".join(out)


def decode(data):
    """{number: [values]}; what is not a number comes as bytes."""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = number()
        if tag & 7 == 2:
            length = number()
            value = data[at:at + length]
            at += length
        elif tag & 7 == 0:
            value = number()
        else:
            raise AssertionError(f"wire type {tag & 7} in {data!r}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def text(fields, number):
    return fields.get(number, [b""])[0].decode()


def name_of(any_bytes):
    """Field 1 of what an Any holds."""
    return text(decode(decode(any_bytes).get(2, [b""])[0]), 1)


class Response:
    def __init__(self, data, delta):
        fields = decode(data)
        self.version, self.type, self.nonce = text(fields, 1), text(fields, 4), text(fields, 5)
        self.removed = [name.decode() for name in fields.get(6, [])] if delta else []
        self.versions = {}
        self.bodies = {}
        for item in fields.get(2, []):
            resource = decode(item) if delta else {2: [item]}
            name = name_of(resource[2][0])
            self.versions[name] = text(resource, 1)
            self.bodies[name] = decode(resource[2][0])[2][0]
        self.names = sorted(self.bodies)


class Stream:
    """One ADS stream. node: (id, cluster)."""

    def __init__(self, port, delta=False, node=("test-node", "test-cluster")):
        self.delta = delta
        self._node = encode((1, node[0]), (2, node[1]))
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}",
                                              options=[*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1)])
        self._requests = queue.Queue()
        self._responses = queue.Queue()
        method = METHOD + ("DeltaAggregatedResources" if delta else "StreamAggregatedResources")
        self._call = self._channel.stream_stream(method)(iter(self._requests.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for data in self._call:
                self._responses.put(Response(data, self.delta))
        except grpc.RpcError:
            pass
        self._responses.put(None)

    def send(self, type_url, names=(), version="", nonce="", error=None, drop=(), held=None):
        status = encode((1, 13), (2, error)) if error else b""
        if self.delta:
            initial = [(5, encode((1, name), (2, value))) for name, value in (held or {}).items()]
            data = encode((1, self._node), (2, type_url), *[(3, name) for name in names], *[(4, name) for name in drop],
                          *initial, (6, nonce), (7, status))
        else:
            data = encode((1, version), (2, self._node), *[(3, name) for name in names], (4, type_url), (5, nonce), (6, status))
        self._requests.put(data)

    def ack(self, response, names=()):
        self.send(response.type, () if self.delta else names, version=response.version, nonce=response.nonce)

    def take(self):
        """The next response; None at the stream's end."""
        try:
            return self._responses.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError("no response came") from None

    def status(self):
        return self._call.code()

    def close(self):
        self._requests.put(None)
        self._call.cancel()
        self._channel.close()
