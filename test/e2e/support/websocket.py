"""A WebSocket echo server and a blocking client, both on python3-websockets in a thread with its own event loop."""

import asyncio
import threading

import websockets

from .wait import DEADLINE_S


class _Loop:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_S)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()


class WebSocketUpstream:
    """Echoes each message; connections counts those accepted."""

    def __init__(self, tls=None):
        self.connections = 0
        self._loop = _Loop()
        self._server = self._loop.call(self._start(tls))
        self.port = self._server.sockets[0].getsockname()[1]

    async def _start(self, tls):
        return await websockets.serve(self._echo, "127.0.0.1", 0, ssl=tls, max_size=None, ping_interval=None)

    async def _echo(self, connection):
        self.connections += 1
        async for message in connection:
            await connection.send(message)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        async def close():
            self._server.close()
            await self._server.wait_closed()
        self._loop.call(close())
        self._loop.stop()


class WebSocketClient:
    """send and receive whole messages over HTTP/1.1 Upgrade; str for text, bytes for binary."""

    def __init__(self, port, path="/", tls=None, headers=()):
        self._loop = _Loop()
        scheme = "wss" if tls else "ws"
        extra = {"ssl": tls, "server_hostname": "localhost"} if tls else {}
        try:
            self._connection = self._loop.call(self._connect(f"{scheme}://127.0.0.1:{port}{path}", headers, extra))
        except BaseException:
            self._loop.stop()
            raise

    async def _connect(self, uri, headers, extra):
        return await websockets.connect(uri, extra_headers=list(headers), max_size=None, ping_interval=None, **extra)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, message):
        self._loop.call(self._connection.send(message))

    def receive(self):
        return self._loop.call(self._connection.recv())

    def close(self):
        self._loop.call(self._connection.close())
        self._loop.stop()
