"""A gRPC echo service on grpcio without generated code: messages are bytes, all four kinds of call, and its client."""

import threading
from concurrent import futures

import grpc

SERVICE = "weir.test.Echo"
CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


def _metadata(context):
    return dict(context.invocation_metadata())


def _answer(context):
    """What a caller asks for by metadata: x-fail (a status number), x-trailer (comes back as trailer x-echo)."""
    asked = _metadata(context)
    context.send_initial_metadata((("x-served", "echo"),))
    context.set_trailing_metadata((("x-echo", asked.get("x-trailer", "none")),))
    if "x-fail" in asked:
        code = next(code for code in grpc.StatusCode if code.value[0] == int(asked["x-fail"]))
        context.abort(code, asked.get("x-fail-message", "as asked"))


class EchoServer:
    """calls holds (method name, context, metadata) of every call; an unary call to Wait answers once .release is set."""

    def __init__(self, workers=32):
        self.calls = []
        self.cancelled = []  # method names of calls whose client went away
        self.release = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(workers), options=[("grpc.so_reuseport", 0)])
        make = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._wrap("Unary", self._unary)),
            "Wait": grpc.unary_unary_rpc_method_handler(self._wrap("Wait", self._wait)),
            "Deadline": grpc.unary_unary_rpc_method_handler(self._wrap("Deadline", self._deadline)),
            "ServerStream": grpc.unary_stream_rpc_method_handler(self._wrap("ServerStream", self._server_stream)),
            "ClientStream": grpc.stream_unary_rpc_method_handler(self._wrap("ClientStream", self._client_stream)),
            "BidiStream": grpc.stream_stream_rpc_method_handler(self._wrap("BidiStream", self._bidi_stream)),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, make),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.release.set()
        self._server.stop(0).wait()

    def _wrap(self, name, behaviour):
        def call(request, context):
            self.calls.append((name, context, _metadata(context)))
            context.add_callback(lambda: self.cancelled.append(name) if not context.code() and not done else None)
            done = []
            _answer(context)
            return behaviour(request, context, done)
        return call

    def _unary(self, request, context, done):
        done.append(True)
        return request

    def _wait(self, request, context, done):
        self.release.wait()
        done.append(True)
        return request

    def _deadline(self, request, context, done):
        """The seconds left, as the server sees them."""
        done.append(True)
        remaining = context.time_remaining()
        return b"none" if remaining is None else str(remaining).encode()

    def _server_stream(self, request, context, done):
        """A request b"N" gives N messages."""
        for number in range(int(request)):
            yield b"message %d" % number
        done.append(True)

    def _client_stream(self, requests, context, done):
        whole = b",".join(requests)
        done.append(True)
        return whole

    def _bidi_stream(self, requests, context, done):
        for request in requests:
            yield request
        done.append(True)


class EchoClient:
    """Methods unary, wait, deadline, server_stream, client_stream, bidi_stream: grpcio's callables on bytes."""

    def __init__(self, port, credentials=None, options=()):
        target = f"127.0.0.1:{port}"
        options = [*CHANNEL_OPTIONS, *options]
        self.channel = (grpc.secure_channel(target, credentials, options) if credentials
                        else grpc.insecure_channel(target, options))
        path = f"/{SERVICE}/"
        self.unary = self.channel.unary_unary(path + "Unary")
        self.wait = self.channel.unary_unary(path + "Wait")
        self.deadline = self.channel.unary_unary(path + "Deadline")
        self.server_stream = self.channel.unary_stream(path + "ServerStream")
        self.client_stream = self.channel.stream_unary(path + "ClientStream")
        self.bidi_stream = self.channel.stream_stream(path + "BidiStream")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
