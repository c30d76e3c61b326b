"""An ADS server that takes every request, keeps it, and answers only what it is told to."""

import queue
from concurrent import futures

import grpc

from . import xds
from .wait import DEADLINE_S


class AdsRecorder:
    """requests: a queue of (fields of the DiscoveryRequest, metadata of the stream). answer(bytes) sends a DiscoveryResponse."""

    def __init__(self, delta=False):
        self.requests = queue.Queue()
        self._answers = queue.Queue()
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        name = "DeltaAggregatedResources" if delta else "StreamAggregatedResources"
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        service = xds.METHOD.strip("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _serve(self, requests, context):
        metadata = dict(context.invocation_metadata())

        def read():
            try:
                for data in requests:
                    self.requests.put((xds.decode(data), metadata))
            except Exception:  # the stream's end, however it came
                pass
        reader = futures.ThreadPoolExecutor(1)
        reader.submit(read)
        context.add_callback(lambda: self._answers.put(None))
        yield from iter(self._answers.get, None)

    def take(self):
        return self.requests.get(timeout=DEADLINE_S)

    def answer(self, data):
        self._answers.put(data)

    def close(self):
        self._answers.put(None)
        self._server.stop(0).wait()
