"""The quickstart's second half: starts everything on loopback and shows it. Called by ./quickstart."""
import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
DIR = ROOT / "build" / "quickstart"
PREFERRED = {
    "HTTP": 10000, "HTTPS": 10443, "ADMIN": 9901, "CONTROL_PLANE": 18000,
    "USERS_A": 18081, "USERS_B": 18082, "POSTS": 18083, "COMMENTS": 18084, "GRPC": 18085, "WEBSOCKET": 18086,
}
started = []


def free_port(preferred):
    for port in (preferred, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return s.getsockname()[1]
            except OSError:
                continue
    raise SystemExit("no free port on loopback")


def filled(text, values):
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def start(name, *command):
    log = open(DIR / f"{name}.log", "w")
    process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT)
    started.append((name, process))
    return process


def wait_for(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    tick = 0.02
    while True:
        for name, process in started:
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with {process.returncode}: see {DIR}/{name}.log")
        if condition():
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds} s for {what}; logs are in {DIR}")
        time.sleep(tick)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def fetch(url, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as reply:
            return reply.status, reply.read().decode(), reply.headers
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(), e.headers


def nginx_conf(name, port, root):
    return f"""
daemon off; pid {DIR}/{name}.pid; error_log {DIR}/{name}.error.log warn; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {DIR}/{name}.tmp; proxy_temp_path {DIR}/{name}.tmp; fastcgi_temp_path {DIR}/{name}.tmp;
  uwsgi_temp_path {DIR}/{name}.tmp; scgi_temp_path {DIR}/{name}.tmp;
  server {{
    listen 127.0.0.1:{port};
    if (-f {root}/broken) {{ return 503; }}
    location / {{ return 200 "{name}\\n"; }}
  }}
}}
"""


def start_upstreams(p):
    for name, port in (("users-a", p["USERS_A"]), ("users-b", p["USERS_B"]), ("posts", p["POSTS"])):
        root = DIR / name
        root.mkdir(exist_ok=True)
        (root / "broken").unlink(missing_ok=True)
        conf = DIR / f"{name}.conf"
        conf.write_text(nginx_conf(name, port, root))
        start(name, "nginx", "-c", conf, "-e", DIR / f"{name}.error.log")
    pages = DIR / "comments" / "api"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "comments").write_text("comments, served by nghttpd over HTTP/2\n")
    start("comments", "nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", DIR / "comments", p["COMMENTS"])
    start("grpc", "/usr/bin/python3", HERE / "echo_servers.py", "grpc", p["GRPC"])
    start("websocket", "/usr/bin/python3", HERE / "echo_servers.py", "websocket", p["WEBSOCKET"])
    for name in ("USERS_A", "USERS_B", "POSTS", "COMMENTS", "GRPC", "WEBSOCKET"):
        wait_for(f"the upstream {name}", lambda n=name: listens(p[n]))


def make_certificate():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(DIR / "server.key"), "-out", str(DIR / "server.pem")],
        check=True, capture_output=True)


def start_weir(p):
    values = dict(p, DIR=DIR)
    resources = DIR / "resources"
    resources.mkdir(exist_ok=True)
    (resources / "demo.yaml").write_text(filled((HERE / "resources.yaml").read_text(), values))
    (DIR / "bootstrap.yaml").write_text(filled((HERE / "bootstrap.yaml").read_text(), values))
    release = ROOT / "build" / "release"
    start("control-plane", release / "weir-control-plane", "--listen", f"127.0.0.1:{p['CONTROL_PLANE']}", "--resources", resources)
    start("weir", release / "weir", "-c", DIR / "bootstrap.yaml", "--concurrency", "2")

    def ready():
        try:
            return fetch(f"http://127.0.0.1:{p['ADMIN']}/ready")[0] == 200
        except OSError:
            return False

    wait_for("weir to be ready", ready)


def title(text):
    print(f"\n== {text}", flush=True)


def command(text):
    print(f"   $ {text}", flush=True)


def answer(text):
    print("   " + str(text).rstrip().replace("\n", "\n   "), flush=True)


def expect(what, good):
    if not good:
        raise SystemExit(f"   not as it should be: {what}; logs are in {DIR}")


def show_routing(p):
    base = f"http://127.0.0.1:{p['HTTP']}"
    title("three services behind one address")
    for path, want in (("/api/users", "users-"), ("/api/posts", "posts"), ("/api/comments", "comments")):
        command(f"curl -s {base}{path}")
        status, body, _ = fetch(base + path)
        answer(body)
        expect(f"{path} goes to its service", status == 200 and body.startswith(want))
    title("an unknown path")
    command(f"curl -si {base}/nowhere")
    status, _, _ = fetch(base + "/nowhere")
    answer(f"HTTP {status}")
    expect("404", status == 404)


def show_rate_limit(p):
    url = f"http://127.0.0.1:{p['HTTP']}/limited"
    title("a rate limit: three in ten seconds")
    command(f"for i in 1 2 3 4; do curl -si {url} | grep -iE '^HTTP|retry-after'; done")
    for _ in range(4):
        status, _, headers = fetch(url)
        after = headers.get("retry-after")
        answer(f"HTTP {status}" + (f", retry-after: {after}" if after else ""))
    expect("the fourth is refused and told when to come back", status == 429 and after is not None)


def gauge(p, name):
    for line in fetch(f"http://127.0.0.1:{p['ADMIN']}/stats?filter={name}")[1].splitlines():
        if line.startswith(name + ": "):
            return int(line.split(": ")[1])
    return 0


def show_ejection(p):
    url = f"http://127.0.0.1:{p['HTTP']}/api/users"
    active = "cluster.users.outlier_detection.ejections_active"
    title("a host that fails is left out, and comes back")
    command(f"touch {DIR}/users-b/broken; for i in $(seq 10); do curl -s {url}; done")
    (DIR / "users-b" / "broken").touch()
    seen = []

    def ejected():
        seen.append(fetch(url)[0])
        return gauge(p, active) == 1

    wait_for("the broken host to be ejected", ejected)
    answer(f"users-b answered 503 {seen.count(503)} times, then was ejected ({active}: 1)")
    after = {fetch(url)[1].strip() for _ in range(6)}
    answer(f"six more requests: all by {', '.join(sorted(after))}")
    expect("only the good host answers", after == {"users-a"})
    (DIR / "users-b" / "broken").unlink()
    command(f"rm {DIR}/users-b/broken")
    back = set()

    def returned():
        back.add(fetch(url)[1].strip())
        return back >= {"users-a", "users-b"}

    wait_for("the host to come back", returned)
    answer("after its ejection time users-b is back in the balance")


def show_grpc(p):
    import grpc

    title("gRPC, unary and streaming, over HTTP/2 on the same port")
    command("(python3-grpcio: demo.Echo/Say and demo.Echo/Chat)")
    with grpc.insecure_channel(f"127.0.0.1:{p['HTTP']}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        said = channel.unary_unary("/demo.Echo/Say")(b"hello", timeout=10)
        chat = channel.stream_stream("/demo.Echo/Chat")(iter([b"one", b"two", b"three"]), timeout=10)
        echoed = [m.decode() for m in chat]
        answer(f"Say: {said.decode()}; Chat: {' '.join(echoed)}; trailers: {dict(chat.trailing_metadata())}")
    expect("both echo", said == b"hello" and echoed == ["one", "two", "three"])


async def websocket_echo(url):
    import websockets

    async with websockets.connect(url) as ws:
        await ws.send("hello")
        return await ws.recv()


def show_websocket(p):
    url = f"ws://127.0.0.1:{p['HTTP']}/ws"
    title("a WebSocket")
    command(f"python3 -m websockets {url}")
    said = asyncio.run(websocket_echo(url))
    answer(f"sent hello, got {said}")
    expect("it echoes", said == "hello")


def show_tls(p):
    title("TLS, HTTP/2 by ALPN")
    text = f"curl -s --http2 --cacert {DIR}/server.pem -w '%{{http_version}}\\n' https://localhost:{p['HTTPS']}/api/posts"
    command(text)
    out = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "--http2", "--cacert", str(DIR / "server.pem"), "--resolve", f"localhost:{p['HTTPS']}:127.0.0.1", "-w", "%{http_version}\\n",
         f"https://localhost:{p['HTTPS']}/api/posts"], capture_output=True, text=True, timeout=20)
    answer(out.stdout or out.stderr)
    expect("posts over HTTP/2", out.stdout.split() == ["posts", "2"])


def show_change(p):
    title("a change of configuration, live")
    demo = DIR / "resources" / "demo.yaml"
    command(f"sed -i 's/within the limit/changed while running/' {demo}")
    changed = demo.read_text().replace("within the limit", "changed while running")
    fresh = demo.with_suffix(".new")
    fresh.write_text(changed)
    fresh.replace(demo)
    route = f"http://127.0.0.1:{p['ADMIN']}/config_dump?resource=dynamic_route_configs"
    wait_for("the route to change", lambda: "changed while running" in fetch(route)[1])
    version = json.loads(fetch(route)[1])["configs"][0].get("version_info", "")
    answer(f"the route table serves in its new version {version}")


def next_steps(p):
    title("what to try next")
    print(f"""   edit {DIR}/resources/demo.yaml (a cluster of a route, a weight, a limit): it takes effect when you save it
   break it: weir-control-plane says file, line and column, or weir refuses the resource by name; what served before serves on
   look inside: curl http://127.0.0.1:{p['ADMIN']}/  /config_dump  /stats  /stats/prometheus
   logs: {DIR}/weir.log, {DIR}/control-plane.log""")


def stop_all():
    for _, process in reversed(started):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for name, process in reversed(started):
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"   {name} had to be killed")


def main():
    os.environ["no_proxy"] = "*"
    once = "--once" in sys.argv[1:]
    DIR.mkdir(parents=True, exist_ok=True)
    ports = {name: free_port(port) for name, port in PREFERRED.items()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        title("starting upstreams, control plane and weir")
        make_certificate()
        start_upstreams(ports)
        start_weir(ports)
        answer(f"weir serves http://127.0.0.1:{ports['HTTP']} and https://localhost:{ports['HTTPS']}, admin on http://127.0.0.1:{ports['ADMIN']}")
        for show in (show_routing, show_rate_limit, show_ejection, show_grpc, show_websocket, show_tls, show_change):
            show(ports)
        next_steps(ports)
        if once:
            print("\nall of it worked")
            return
        print("\nCtrl-C ends it all", flush=True)
        while all(process.poll() is None for _, process in started):
            time.sleep(0.5)
        raise SystemExit("a process ended: " + ", ".join(n for n, q in started if q.poll() is not None))
    except KeyboardInterrupt:
        print()
    finally:
        stop_all()


if __name__ == "__main__":
    main()
