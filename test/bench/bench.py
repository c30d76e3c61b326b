"""./bench: runs the workloads round by round over all proxies in turn, prints medians and ratios, writes build/bench.json.

Rounds are interleaved, so that a disturbance of the machine falls on all alike. CPU time of the proxy's processes per request
is the figure to trust on a noisy machine; throughput and latency say what this machine did at the time.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import load
import many
import proxies
from procs import CPUS, wait_ready
from proxies import Case

from e2e.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"
IDLE_CONNECTIONS = 2000
MANY = 10_000


class Load:
    """A workload under load: which protocols, which load, for how many seconds a round."""

    def __init__(self, title, front, back, path="/", connections=64, streams=None, quick=False):
        self.title, self.front, self.back, self.path = title, front, back, path
        self.connections, self.streams, self.quick = connections, streams, quick

    def run(self, port, seconds):
        scheme = "https" if self.front == "tls" else "http"
        url = f"{scheme}://127.0.0.1:{port}{self.path}"
        if self.front == "h2":
            return load.h2load(url, self.connections, self.streams, seconds, FOLDER)
        return load.wrk(url, self.connections, seconds)

    def ready(self, port):
        if self.front == "h2":
            return load.answers_http2(port)
        return load.answers_http1(port, self.path, self.front == "tls")


LOADS = {
    "h1": Load("HTTP/1.1 to HTTP/1.1, 12 bytes", "h1", "h1", quick=True),
    "h2-h1": Load("HTTP/2 to HTTP/1.1, 12 bytes", "h2", "h1", connections=4, streams=64, quick=True),
    "h2-h2": Load("HTTP/2 to HTTP/2, 12 bytes", "h2", "h2", connections=4, streams=64, quick=True),
    "1m": Load("1 MiB reply over HTTP/1.1", "h1", "h1", path="/1m", connections=16),
    "tls": Load("TLS keep-alive, HTTP/1.1 to HTTP/1.1", "tls", "h1"),
}
MEASURES = ["idle", "connections", "many"]


def note(text):
    print(text, flush=True)


class Bench:
    def __init__(self, arguments):
        self.rounds = 1 if arguments.quick else arguments.rounds
        self.seconds = 2 if arguments.quick else arguments.seconds
        self.certificate = FOLDER / "certificate.pem"
        self.result = {"machine": machine(), "rounds": self.rounds, "seconds": self.seconds, "workloads": {}}
        self.backend = None
        self.h1_port = free_port()
        self.h2_port = free_port()
        self.proxies = []

    def prepare(self, names):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", FOLDER / "key.pem", "-out", FOLDER / "chain.pem"], check=True, capture_output=True)
        self.certificate.write_bytes((FOLDER / "chain.pem").read_bytes() + (FOLDER / "key.pem").read_bytes())
        self.backend = proxies.start_backend(self.h1_port, self.h2_port, FOLDER)
        why = wait_ready(self.backend, lambda: load.answers_http1(self.h1_port), 10)
        if why:
            sys.exit(f"bench: the nginx backend does not start: {why}")
        skipped = self.result["skipped"] = {}
        for proxy in proxies.ALL:
            if proxy.name not in names:
                continue
            why = proxy.available()
            if why:
                skipped[proxy.name] = why
                note(f"skipped: {proxy.name}: {why}")
            else:
                self.proxies.append(proxy)
        self.result["versions"] = versions(self.proxies)

    def start(self, proxy, case, ready):
        """A running process, or None with the reason noted."""
        process = proxy.start(case, FOLDER)
        why = wait_ready(process, lambda: ready(case.port), 15)
        if why:
            note(f"skipped: {proxy.name}: {why}")
            process.stop()
            return None
        return process

    def case(self, front, back):
        return Case(front, back, free_port(), self.h1_port if back == "h1" else self.h2_port, self.certificate)

    def run_load(self, workload):
        running = {}
        try:
            for proxy in self.proxies:
                case = self.case(workload.front, workload.back)
                if not proxy.supports(case):
                    continue
                process = self.start(proxy, case, workload.ready)
                if process:
                    running[proxy.name] = (process, case.port)
            rounds = self.interleave({
                name: (process, lambda seconds, port=port: workload.run(port, seconds))
                for name, (process, port) in running.items()})
        finally:
            for process, _ in running.values():
                process.stop()
        return {name: summary(items) for name, items in rounds.items() if items}

    def interleave(self, runs):
        """runs: name -> (process, run(seconds)). Every name once a round, each round beginning with another."""
        rounds = {name: [] for name in runs}
        for name, (process, run) in runs.items():
            measure(process, lambda: run(1))
        names = list(runs)
        for number in range(self.rounds):
            first = number % max(1, len(names))
            for name in names[first:] + names[:first]:
                process, run = runs[name]
                one = measure(process, lambda: run(self.seconds))
                if one:
                    rounds[name].append(one)
        return rounds

    def run_idle(self):
        """Memory of each proxy after one request, and of weir with an ADS stream up."""
        found = {}
        for proxy in self.proxies:
            process = self.start(proxy, self.case("h1", "h1"), load.answers_http1)
            if process:
                found[proxy.name] = process.idle_memory()
                process.stop()
        if "weir" in found and (ROOT / "build/release/weir-control-plane").exists():
            ads = many.idle_with_ads(FOLDER, self.case("h1", "h1"))
            if isinstance(ads, str):
                note(f"skipped: weir with ADS: {ads}")
            else:
                found["weir+ads"] = ads
        return found

    def run_connections(self):
        """KiB of private memory that each idle keep-alive connection adds."""
        found = {}
        for proxy in self.proxies:
            case = self.case("h1", "h1")
            process = self.start(proxy, case, load.answers_http1)
            if not process:
                continue
            try:
                before = process.memory_kib()[1]
                socks = load.hold_connections(case.port, IDLE_CONNECTIONS)
                found[proxy.name] = {"kib_each": (process.memory_kib()[1] - before) / IDLE_CONNECTIONS}
                for sock in socks:
                    sock.close()
            except (OSError, load.LoadError) as error:
                note(f"{proxy.name}: idle connections: {error}")
            finally:
                process.stop()
        return found

    def run_many(self):
        """Start with 10,000 clusters and routes, then load on the first and on the last route."""
        found = {}
        for proxy in self.proxies:
            if isinstance(proxy, proxies.EnvoyLike):
                case = self.case("h1", "h1")
                process = proxy.start_bootstrap(many.bootstrap(case, MANY), FOLDER)
                try:
                    why = wait_ready(process, lambda: load.answers_http1(case.port, f"/r{MANY - 1}/"), 120)
                    if why:
                        note(f"skipped: {proxy.name}: {why}")
                        continue
                    one = {"start_cpu_s": process.cpu_seconds(), **process.idle_memory()}
                    ends = self.interleave({
                        end: (process, lambda seconds, end=end: load.wrk(f"http://127.0.0.1:{case.port}/r{end}/", 64, seconds))
                        for end in (0, MANY - 1)})
                    first, last = (summary(items)["cpu_us"] for items in ends.values())
                    found[proxy.name] = {**one, "first_us": first, "last_us": last, "last_to_first": last / first}
                finally:
                    process.stop()
        return found


def measure(process, run):
    """One run with the CPU time that the proxy's processes took a request; None, with the reason noted, when it failed."""
    try:
        before = process.cpu_seconds()
        one = run()
        one["cpu_us"] = (process.cpu_seconds() - before) * 1e6 / max(1, one["requests"])
        one["rss_mib"] = process.memory_kib()[0] / 1024
    except (load.LoadError, OSError, subprocess.TimeoutExpired) as error:
        note(f"{process.name}: {error}; {process.last_words()}")
        return None
    if one["errors"] > one["requests"] // 1000:
        note(f"{process.name}: {one['errors']} of {one['requests']} requests failed")
    return one


def summary(rounds):
    """Medians of all figures; requests and errors are summed."""
    found = {key: statistics.median(one[key] for one in rounds) for key in ("cpu_us", "per_second", "p50_ms", "p99_ms", "rss_mib")}
    found["requests"] = sum(one["requests"] for one in rounds)
    found["errors"] = sum(one["errors"] for one in rounds)
    found["rounds_cpu_us"] = [round(one["cpu_us"], 2) for one in rounds]
    return found


def machine():
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return {"cpu": model.group(1) if model else platform.machine(), "cpus": len(CPUS), "kernel": platform.release(),
            "load_average": os.getloadavg()[0]}


def versions(taking_part):
    commands = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "wrk": ["wrk", "-v"], "h2load": ["h2load", "--version"]}
    commands.update({proxy.name: [proxy.program(), "--version"] for proxy in taking_part if isinstance(proxy, proxies.EnvoyLike)})
    found = {}
    for name, command in commands.items():
        if shutil.which(str(command[0])):
            result = subprocess.run(command, capture_output=True, text=True, timeout=60)
            found[name] = next(iter((result.stdout + result.stderr).strip().splitlines()), "")
    return found


def show_load(title, table):
    note(f"\n{title}")
    note(f"  {'':10}{'CPU us/req':>12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'RSS MiB':>9}{'errors':>8}{'weir / it':>11}")
    own = table.get("weir")
    for name, one in table.items():
        ratio = f"{own['cpu_us'] / one['cpu_us']:.2f}" if own and one["cpu_us"] else "-"
        note(f"  {name:10}{one['cpu_us']:12.1f}{one['per_second']:12.0f}{one['p50_ms']:9.2f}{one['p99_ms']:9.2f}"
             f"{one['rss_mib']:9.1f}{one['errors']:8}{ratio:>11}")


def show_measure(title, table):
    note(f"\n{title}")
    for number, (name, one) in enumerate(table.items()):
        if number == 0:
            note(f"  {'':10}" + "".join(f"{key:>14}" for key in one))
        note(f"  {name:10}" + "".join(f"{value:14.2f}" for value in one.values()))


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./bench", description="Measures weir beside other proxies.",
                                     epilog=f"workloads: {' '.join([*LOADS, *MEASURES])}")
    parser.add_argument("workload", nargs="*", help="which to run (default: all; with --quick the main pairings)")
    parser.add_argument("--quick", action="store_true", help="one short round of the main pairings, under a minute")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of load a round")
    parser.add_argument("--only", default="relay,nginx,haproxy,envoy,weir", metavar="NAME,...", help="proxies that take part")
    arguments = parser.parse_args()
    known = [*LOADS, *MEASURES]
    unknown = [name for name in arguments.workload if name not in known]
    if unknown:
        parser.error(f"unknown workload {' '.join(unknown)}; there are {' '.join(known)}")
    arguments.workload = arguments.workload or [name for name in known
                                                if not arguments.quick or (name in LOADS and LOADS[name].quick)]
    return arguments


def main():
    arguments = parse_arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    FOLDER.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments)
    measures = {"idle": ("Idle process, MiB", bench.run_idle),
                "connections": (f"KiB for each of {IDLE_CONNECTIONS} idle keep-alive connections", bench.run_connections),
                "many": (f"{MANY} clusters and routes", bench.run_many)}
    try:
        bench.prepare(arguments.only.split(","))
        note(f"{bench.result['machine']['cpu']}, {len(CPUS)} CPUs, load average {os.getloadavg()[0]:.1f}; "
             f"{bench.rounds} rounds of {bench.seconds} s, medians")
        for name in arguments.workload:
            if name in LOADS:
                table = bench.run_load(LOADS[name])
                show_load(f"{name}: {LOADS[name].title}", table)
            else:
                title, run = measures[name]
                table = run()
                show_measure(f"{name}: {title}", table)
            bench.result["workloads"][name] = table
    finally:
        if bench.backend:
            bench.backend.stop()
    (ROOT / "build" / "bench.json").write_text(json.dumps(bench.result, indent=1) + "\n")
    note("\nwritten to build/bench.json")


if __name__ == "__main__":
    main()
