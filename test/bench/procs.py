"""Processes as ./bench sees them: started on a CPU of their own, their CPU time and memory read from /proc."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

CPUS = sorted(os.sched_getaffinity(0))
# The proxy under measure has the last CPU for itself where there are two or more; load and backend share the others.
PROXY_CPUS = CPUS[-1:]
OTHER_CPUS = CPUS[:-1] or CPUS
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process:
    """A program with its children, in a process group of its own."""

    def __init__(self, name, command, log_path, cpus=PROXY_CPUS):
        self.name = name
        self.log_path = Path(log_path)
        with self.log_path.open("wb") as log:
            self.popen = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def pids(self):
        """Itself and its children: nginx works in a child."""
        found, waiting = [], [self.popen.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                pass
        return found

    def cpu_seconds(self):
        """User and system time of all threads of all its processes."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def memory_kib(self):
        """(resident, private) of all its processes: private is what was written and is shared with nobody."""
        resident = private = 0
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            resident += int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1))
            private += sum(map(int, re.findall(r"^Private_Dirty:\s+(\d+)", text, re.M)))
        return resident, private

    def idle_memory(self):
        """Once it has settled, in MiB."""
        time.sleep(1)
        resident, private = self.memory_kib()
        return {"rss_mib": resident / 1024, "private_mib": private / 1024}

    def running(self):
        return self.popen.poll() is None

    def last_words(self):
        lines = self.log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1][:160] if lines else f"ended with {self.popen.returncode}"

    def stop(self):
        if self.running():
            os.killpg(self.popen.pid, signal.SIGTERM)
            try:
                self.popen.wait(3)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()


def wait_ready(process, probe, deadline_s=60):
    """Waits until probe() is true; returns None, or why it never was."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if not process.running():
            return process.last_words()
        if probe():
            return None
        time.sleep(0.02)
    return f"no answer within {deadline_s} s; {process.last_words()}"
