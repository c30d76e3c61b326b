"""A program under test: started with its output in a file, and held to a clean end."""

import os
import re
import signal
import subprocess
from pathlib import Path

from . import sanitizers
from .wait import DEADLINE_S, wait_until

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("WEIR_BUILD", "build/release"))
BUILD = BUILD if BUILD.is_absolute() else ROOT / BUILD


def binary(name):
    return BUILD / name


def command_line(name, *args):
    return [*sanitizers.launcher(BUILD), str(binary(name)), *map(str, args)]


class Program:
    """One run of a built program. Whatever the test asked of it, it must not crash and no sanitizer may complain."""

    def __init__(self, name, args, workdir, env=None):
        self.name = name
        self.args = args
        self.workdir = Path(workdir)
        self.env = {**os.environ, **sanitizers.environment(), **(env or {})}
        self.log_path = self.workdir / f"{name}-{id(self):x}.log"
        self.process = None

    def command_line(self):
        return command_line(self.name, *self.args)

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command_line(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env=self.env, cwd=self.workdir)
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        """All that it has written to stdout and stderr so far."""
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern):
        """Waits until the log has this regular expression; returns the match."""
        return wait_until(lambda: re.search(pattern, self.log, re.M), f"{pattern!r} in the log of {self.name}")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def assert_running(self):
        assert self.running(), f"{self.name} ended with {self.process.returncode}:\n{self.log[-4000:]}"

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline_s=DEADLINE_S):
        """Returns the exit status; negative for a signal."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {deadline_s} s:\n{self.log[-4000:]}") from None

    def stop(self, number=signal.SIGTERM, expected=0):
        """Ends it and asserts how it ended. An end that the test has already waited for is judged alike."""
        if self.process is None:
            return
        try:
            died = self.process.poll()
            assert died in (None, expected), f"{self.name} had ended with {died}:\n{self.log[-4000:]}"
            if died is None:
                self.send_signal(number)
                status = self.wait_exit()
                assert status == expected, f"{self.name} ended with {status}, not {expected}:\n{self.log[-4000:]}"
        finally:
            self.kill()
            self.assert_no_sanitizer_report()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def assert_no_sanitizer_report(self):
        match = sanitizers.REPORT.search(self.log)
        assert not match, f"{self.name} has a sanitizer report:\n{self.log[max(0, match.start() - 200):][:8000]}"

    def memory_kib(self, field="VmRSS"):
        """A field of /proc/PID/status: VmRSS, VmHWM, RssAnon."""
        return int(re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.M).group(1))


def run(name, *args, stdin="", env=None, deadline_s=DEADLINE_S):
    """Runs a program to its end, as for --mode validate; returns the subprocess result with text output."""
    result = subprocess.run(command_line(name, *args), input=stdin, text=True, capture_output=True, timeout=deadline_s,
                            env={**os.environ, **sanitizers.environment(), **(env or {})})
    output = result.stdout + result.stderr
    assert not sanitizers.REPORT.search(output), f"{name} has a sanitizer report:\n{output[-8000:]}"
    assert result.returncode >= 0, f"{name} died of signal {-result.returncode}:\n{output[-4000:]}"
    return result
