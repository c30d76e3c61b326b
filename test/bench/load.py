"""Load: wrk for HTTP/1.1, h2load for HTTP/2. Each run gives requests, errors, throughput and latency."""

import os
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

from procs import OTHER_CPUS

UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


class LoadError(Exception):
    pass


def _run(command, seconds):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds + 60,
                            preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CPUS))
    if result.returncode != 0:
        raise LoadError((result.stderr or result.stdout).strip()[-200:])
    return result.stdout


def _milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * UNITS_MS[unit]


def wrk(url, connections, seconds):
    output = _run(["wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--latency", url], seconds)
    errors = 0
    if match := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
        errors += int(match.group(1))
    if match := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output):
        errors += sum(map(int, match.groups()))
    return {
        "requests": int(re.search(r"(\d+) requests in", output).group(1)),
        "errors": errors,
        "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
        "p50_ms": _milliseconds(re.search(r"^\s+50%\s+(\S+)", output, re.M).group(1)),
        "p99_ms": _milliseconds(re.search(r"^\s+99%\s+(\S+)", output, re.M).group(1)),
    }


def h2load(url, connections, streams, seconds, folder):
    log = Path(folder) / "h2load.log"
    log.unlink(missing_ok=True)
    output = _run(["h2load", "-t", 1, "-c", connections, "-m", streams, "-D", seconds, f"--log-file={log}", url], seconds)
    match = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    if not match:
        raise LoadError(output.strip()[-200:])
    done, succeeded = int(match.group(3)), int(match.group(4))
    durations = sorted(int(line.rsplit("\t", 1)[1]) for line in log.open())
    log.unlink()
    if not durations:
        raise LoadError("h2load got no answer")
    return {
        "requests": done,
        "errors": done - succeeded,
        "per_second": float(re.search(r"finished in [^,]+, ([\d.]+) req/s", output).group(1)),
        "p50_ms": durations[len(durations) // 2] / 1000,
        "p99_ms": durations[len(durations) * 99 // 100] / 1000,
    }


def answers_http1(port, path="/", tls=False):
    """Whether a GET on this port of 127.0.0.1 gets a 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                sock = context.wrap_socket(sock, server_hostname="localhost")
            sock.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            return b" 200 " in sock.recv(4096).split(b"\r\n")[0]
    except OSError:
        return False


def answers_http2(port):
    """Whether one HTTP/2 request with prior knowledge gets a 2xx."""
    try:
        output = subprocess.run(["h2load", "-n", "1", "-c", "1", "-T", "2s", "-N", "2s", f"http://127.0.0.1:{port}/"],
                                capture_output=True, text=True, timeout=10).stdout
    except subprocess.TimeoutExpired:
        return False
    return "1 succeeded" in output and "1 2xx" in output


def hold_connections(port, count):
    """Opens connections that each did one request and stay idle; returns their sockets."""
    socks = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        socks.append(sock)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        if b" 200 " not in sock.recv(4096):
            raise LoadError(f"connection {len(socks)} got no 200")
    time.sleep(1)
    return socks
