"""An example application for a pod with weir beside it, and the client that the tests use: HTTP/1.1, gRPC and WebSocket.

    app.py serve [--host 127.0.0.1] [--http 8080] [--grpc 8081] [--websocket 8082]
    app.py get URL [--header 'name: value'] [--count N]     one line each: status, body
    app.py load URL --rate N --seconds N [--until-eof] [--progress]
                                        sends at this rate, prints counts by status as JSON, and the latency; with --until-eof ends as
                                        soon as its input does; with --progress says `done N` meanwhile
    app.py grpc HOST:PORT TEXT | websocket URL TEXT         sends the text, prints the echo

GET / answers with the version (environment VERSION) and the host's name; /slow?ms=N after a while; /fail with 500; /echo with the body.
On SIGTERM the server finishes what it has begun. /exit ends it with status 0, as a Job's work would.
"""

import argparse
import asyncio
import collections
import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse

NAME = socket.gethostname()
VERSION = os.environ.get("VERSION", "v1")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for the first one's acknowledgement

    def do_GET(self):
        with self.server.one_request():
            self.answer()

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if url.path == "/slow":
            time.sleep(int(query.get("ms", ["100"])[0]) / 1000)
        if url.path == "/headers":
            body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        elif url.path != "/echo":
            body = f"{VERSION} {NAME}\n".encode()
        self.send_response(500 if url.path == "/fail" or os.path.exists("/tmp/fail") else 200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-version", VERSION)
        if self.server.ending:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        if url.path == "/exit":
            threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    ending = False

    def __init__(self, host, port):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.active, self.changed = 0, threading.Condition()
        super().__init__((host, port), Handler)

    @contextlib.contextmanager
    def one_request(self):
        with self.changed:
            self.active += 1
        try:
            yield
        finally:
            with self.changed:
                self.active -= 1
                self.changed.notify_all()

    def end(self):
        """The port refuses, requests are answered; idle connections keep nobody."""
        self.ending = True
        self.shutdown()
        self.server_close()
        with self.changed:
            self.changed.wait_for(lambda: self.active == 0, timeout=20)


def grpc_server(host, port):
    from concurrent import futures

    import grpc

    def chat(requests, _):
        yield from requests

    handlers = grpc.method_handlers_generic_handler("example.Echo", {
        "Say": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Chat": grpc.stream_stream_rpc_method_handler(chat)})
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server


async def websocket_server(host, port, end):
    import websockets

    async def echo(connection, _path=None):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, host, port):
        await end


def serve(args):
    http_server = Server(args.host, args.http)
    grpc_one = grpc_server(args.host, args.grpc)

    async def until_terminated():
        loop = asyncio.get_running_loop()
        end = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: end.done() or end.set_result(None))
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        print(f"{VERSION} serves http {args.http}, grpc {args.grpc}, websocket {args.websocket}", flush=True)
        await websocket_server(args.host, args.websocket, end)

    asyncio.run(until_terminated())
    http_server.end()
    grpc_one.stop(5).wait()


def ask(connection, url, headers):
    connection.request("GET", url.path + ("?" + url.query if url.query else "") or "/", headers=headers)
    response = connection.getresponse()
    return response.status, response.read()


def connect(url):
    return http.client.HTTPConnection(url.hostname, url.port or 80, timeout=10)


def get(args):
    url = urllib.parse.urlsplit(args.url)
    headers = dict(each.split(": ", 1) for each in args.header)
    for _ in range(args.count):
        connection = connect(url)
        status, body = ask(connection, url, headers)
        connection.close()
        print(status, body.decode(errors="replace").strip(), flush=True)


def load(args):
    """Keep-alive connections, as real clients have; a connection that weir ends in order (Connection: close) is no failure."""
    url = urllib.parse.urlsplit(args.url)
    counts, took, lock, end = collections.Counter(), [], threading.Lock(), time.monotonic() + args.seconds
    threads, ended = 8, threading.Event()

    def wait_for_eof():
        while os.read(0, 4096):
            pass
        ended.set()

    if args.until_eof:
        threading.Thread(target=wait_for_eof, daemon=True).start()

    def run(number):
        connection, due = None, time.monotonic() + number / args.rate
        while due < end and not ended.wait(max(0, due - time.monotonic())):
            due += threads / args.rate
            begun = time.monotonic()
            try:
                connection = connection or connect(url)
                status, body = ask(connection, url, {})
                key = f"{status} {body.decode(errors='replace').split()[0] if status == 200 and body else ''}".strip()
            except (OSError, http.client.HTTPException) as error:
                key = f"{type(error).__name__}: {error}"
                connection = None
            with lock:
                counts[key] += 1
                took.append((time.monotonic() - begun) * 1000)
            if connection is not None and connection.sock is None:
                connection = None

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for each in running:
        each.start()
    for each in running:
        while each.is_alive():
            each.join(0.2)
            if args.progress:
                print("done", len(took), flush=True)
    print(json.dumps(counts))
    took.sort()
    print(json.dumps({f"p{each}_ms": round(took[min(len(took) - 1, len(took) * each // 100)], 3) for each in (50, 90, 99) if took}))


def say_grpc(args):
    import grpc
    with grpc.insecure_channel(args.target) as channel:
        said = channel.unary_unary("/example.Echo/Say")(args.text.encode(), timeout=10)
        chatted = b"".join(channel.stream_stream("/example.Echo/Chat")(iter([args.text.encode()] * 2), timeout=10))
    print(said.decode(), chatted.decode())


def say_websocket(args):
    import websockets

    async def say():
        async with websockets.connect(args.url) as connection:
            await connection.send(args.text)
            return await connection.recv()

    print(asyncio.run(say()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("serve")
    one.set_defaults(run=serve)
    one.add_argument("--host", default="127.0.0.1")
    for name, port in (("http", 8080), ("grpc", 8081), ("websocket", 8082)):
        one.add_argument(f"--{name}", type=int, default=port)
    one = commands.add_parser("get")
    one.set_defaults(run=get)
    one.add_argument("url")
    one.add_argument("--header", action="append", default=[])
    one.add_argument("--count", type=int, default=1)
    one = commands.add_parser("load")
    one.set_defaults(run=load)
    one.add_argument("url")
    one.add_argument("--rate", type=float, required=True)
    one.add_argument("--seconds", type=float, required=True)
    one.add_argument("--until-eof", action="store_true")
    one.add_argument("--progress", action="store_true")
    one = commands.add_parser("grpc")
    one.set_defaults(run=say_grpc)
    one.add_argument("target")
    one.add_argument("text")
    one = commands.add_parser("websocket")
    one.set_defaults(run=say_websocket)
    one.add_argument("url")
    one.add_argument("text")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
