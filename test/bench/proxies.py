"""The proxies that ./bench compares, each with a compact configuration of one worker and no access log.

Every class has `name`, `available()` (None, or why it can not take part) and `start(case, folder)` for a Case.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from procs import OTHER_CPUS, Process

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test"))

import peers  # noqa: E402
from e2e.support import config  # noqa: E402


@dataclass
class Case:
    """What a proxy is to do: take `front` on `port`, pass all to the backend on `backend_port` by `back`."""

    front: str  # h1, h2 or tls (HTTP/1.1 within)
    back: str  # h1 or h2
    port: int
    backend_port: int
    certificate: Path  # PEM file of certificate and key


class Relay:
    name = "relay"

    def available(self):
        return None if (ROOT / "build/bench/relay").exists() else "build/bench/relay is not built"

    def supports(self, case):
        return case.front == case.back

    def start(self, case, folder):
        return Process(self.name, [ROOT / "build/bench/relay", case.port, case.backend_port], folder / "relay.log")


NGINX = """
worker_processes 1;
{user}
pid {folder}/{name}.pid;
error_log stderr error;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    sendfile on;
    tcp_nopush on;
    {body}
}}
"""

NGINX_PROXY = """
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port}{options};
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""

NGINX_BACKEND = """
    server {{
        listen 127.0.0.1:{h1};
        listen 127.0.0.1:{h2} http2;
        http2_max_concurrent_streams 1000;
        root {folder};
        location / {{ default_type text/plain; return 200 "hello world\\n"; }}
        location = /1m {{ default_type application/octet-stream; }}
    }}
"""


def start_nginx(name, body, folder, cpus=None):
    user = "user root;" if os.getuid() == 0 else ""
    path = folder / f"{name}.conf"
    path.write_text(NGINX.format(user=user, folder=folder, name=name, body=body))
    options = {"cpus": cpus} if cpus else {}
    return Process(name, ["nginx", "-e", "stderr", "-p", folder, "-c", path, "-g", "daemon off;"], folder / f"{name}.log",
                   **options)


def start_backend(h1_port, h2_port, folder):
    """nginx with a reply of 12 bytes on every path, and one of 1 MiB on /1m."""
    (folder / "1m").write_bytes(bytes(1 << 20))
    return start_nginx("backend", NGINX_BACKEND.format(h1=h1_port, h2=h2_port, folder=folder), folder, OTHER_CPUS)


class Nginx:
    name = "nginx"

    def available(self):
        return None if shutil.which("nginx") else "nginx is not installed"

    def supports(self, case):
        return case.back == "h1"

    def start(self, case, folder):
        options = {"h1": "", "h2": " http2", "tls": " ssl"}[case.front]
        body = NGINX_PROXY.format(port=case.port, backend=case.backend_port, options=options, certificate=case.certificate)
        return start_nginx("nginx", body, folder)


HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    http-reuse always
frontend front
    bind 127.0.0.1:{port}{bind}
    default_backend back
backend back
    server one 127.0.0.1:{backend}{server}
"""


class HAProxy:
    name = "haproxy"

    def available(self):
        return None if shutil.which("haproxy") else "haproxy is not installed"

    def supports(self, case):
        return True

    def start(self, case, folder):
        path = folder / "haproxy.conf"
        bind = {"h1": "", "h2": " proto h2", "tls": f" ssl crt {case.certificate}"}[case.front]
        server = {"h1": "", "h2": " proto h2"}[case.back]
        path.write_text(HAPROXY.format(port=case.port, backend=case.backend_port, bind=bind, server=server))
        return Process(self.name, ["haproxy", "-db", "-f", path], folder / "haproxy.log")


def bootstrap(case):
    """The configuration that weir and Envoy share."""
    front = {"h1": "HTTP1", "h2": "HTTP2", "tls": "HTTP1"}[case.front]
    tls = None
    if case.front == "tls":
        tls = config.typed(config.DOWNSTREAM_TLS, common_tls_context={"tls_certificates": [
            {"certificate_chain": {"filename": str(case.certificate)}, "private_key": {"filename": str(case.certificate)}}]})
        tls = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    manager = config.hcm([config.virtual_host(config.route("backend"))], codec_type=front, stat_prefix="bench",
                         generate_request_id=False)
    many = {"circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_pending_requests": 100000,
                                                "max_requests": 100000}]}}
    return config.bootstrap([config.listener(case.port, config.filter_chain(manager, tls=tls))],
                            [config.cluster("backend", case.backend_port, http2=case.back == "h2", **many)])


class EnvoyLike:
    def supports(self, case):
        return True

    def start(self, case, folder):
        return self.start_bootstrap(bootstrap(case), folder)

    def start_bootstrap(self, tree, folder):
        path = folder / f"{self.name}.yaml"
        path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
        self.admin_path = folder / f"{self.name}.admin"
        self.admin_path.unlink(missing_ok=True)
        command = [self.program(), "-c", path, "--concurrency", 1, "-l", "error", "--admin-address-path", self.admin_path]
        return Process(self.name, command + self.flags, folder / f"{self.name}.log")


class Envoy(EnvoyLike):
    name = "envoy"
    flags = ["--disable-hot-restart"]

    def available(self):
        try:
            self._program = peers.envoy()
        except peers.Unavailable as unavailable:
            return str(unavailable)
        return None

    def program(self):
        return self._program


class Weir(EnvoyLike):
    name = "weir"
    flags = []

    def available(self):
        return None if self.program().exists() else "build/release/weir is not built"

    def program(self):
        return ROOT / "build/release/weir"


ALL = [Relay(), Nginx(), HAProxy(), Envoy(), Weir()]
