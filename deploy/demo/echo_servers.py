"""Demo upstreams that need a language: a gRPC echo service and a WebSocket echo server.

    echo_servers.py grpc PORT | websocket PORT
"""
import asyncio
import signal
import sys


def serve_grpc(port):
    from concurrent import futures

    import grpc

    def stream(requests, context):
        for request in requests:
            yield request
        context.set_trailing_metadata((("x-echo", "done"),))

    handlers = grpc.method_handlers_generic_handler(
        "demo.Echo",
        {
            "Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
            "Chat": grpc.stream_stream_rpc_method_handler(stream),
        },
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.wait_for_termination()


async def serve_websocket(port):
    import websockets

    async def echo(socket, path=None):
        async for message in socket:
            await socket.send(message)

    end = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set_result, None)
    async with websockets.serve(echo, "127.0.0.1", port):
        await end


if __name__ == "__main__":
    if sys.argv[1] == "grpc":
        serve_grpc(int(sys.argv[2]))
    else:
        asyncio.run(serve_websocket(int(sys.argv[2])))
