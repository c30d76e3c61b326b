"""Runs the phases of ./check: builds, test runners and the sum of their counts, under one time limit.

Called by ./check once the packages are there. Each phase's output goes to build/check/PHASE.log; the terminal gets one line
a phase, and the failures. The limit holds whatever hangs: a phase runs in a process group of its own, which is killed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "check"
TIME_LIMIT_S = 30 * 60
CPUS = len(os.sched_getaffinity(0))
FUZZ_SECONDS = 20
CHURN_SECONDS = 60  # of configuration that never rests, under the address sanitizer; beside other tests

sys.path.insert(0, str(ROOT / "test"))
from e2e.support import sanitizers  # noqa: E402


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


@dataclass
class Phase:
    name: str
    commands: list
    report: Path = None  # JUnit file that the last command writes; a phase without one only has to succeed
    count: callable = None
    env: dict = field(default_factory=dict)
    counted: bool = False  # without a report: counts as one test
    needs: str = None  # the phase without whose success this one can not run


def count_pytest(report):
    counts = Counts()
    for suite in ElementTree.parse(report).iter("testsuite"):
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        skipped = int(suite.get("skipped"))
        counts.add(Counts(int(suite.get("tests")) - failed - skipped, failed, skipped))
    return counts


def count_ctest(report):
    """A cmocka executable counts with each of its cases, any other as one."""
    counts = Counts()
    for case in ElementTree.parse(report).iter("testcase"):
        output = case.findtext("system-out") or ""
        cases = {word: sum(map(int, re.findall(rf"\[  {word} +\] (?:[^:\n]*: )?(\d+) test", output)))
                 for word in ("PASSED", "FAILED", "SKIPPED")}
        if case.get("status") == "run":
            counts.add(Counts(cases["PASSED"] or 1, 0, cases["SKIPPED"]))
        elif case.get("status") in ("notrun", "disabled"):
            counts.add(Counts(0, 0, 1) if case.get("status") == "disabled" else Counts(0, 1, 0))
        else:
            counts.add(Counts(cases["PASSED"], cases["FAILED"] or 1, cases["SKIPPED"]))
    return counts


def build_phase(preset, needs=None):
    return Phase(f"{preset}-build", [["cmake", "--preset", preset], ["cmake", "--build", "--preset", preset, f"-j{CPUS}"]],
                 needs=needs)


def pytest_phase(name, directory, *options, env=None, needs=None):
    report = LOGS / f"{name}.xml"
    command = ["/usr/bin/python3", "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rfEs", "--color=no", "--tb=short",
               f"--junitxml={report}", f"--basetemp={ROOT}/build/check/{name}.tmp", *options, directory]
    return Phase(name, [command], report, count_pytest, env or {}, needs)


def unit_phase(preset, name):
    report = LOGS / f"{name}.xml"
    command = ["ctest", "--test-dir", f"build/{preset}", "-L", "unit", f"-j{CPUS}", "--output-on-failure", "--timeout", "120",
               "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000",
               "--output-junit", str(report)]
    return Phase(name, [command], report, count_ctest, needs=f"{preset}-build")


def e2e_phase(preset, name, **env):
    env = {"WEIR_BUILD": f"build/{preset}", **sanitizers.environment(), **env}
    return pytest_phase(name, "test/e2e", "-n", str(CPUS + 1), env=env, needs=f"{preset}-build")


def fuzz_phase(name):
    """A short run from the kept corpus; what it finds is left in build/fuzz/."""
    kept = ROOT / "test" / "fuzz" / "corpus" / name
    found = ROOT / "build" / "fuzz" / "corpus" / name
    found.mkdir(parents=True, exist_ok=True)
    command = [f"build/fuzz/fuzz_{name}", f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
               "-artifact_prefix=build/fuzz/", found, *([kept] if kept.exists() else [])]
    return Phase(f"fuzz-{name}", [list(map(str, command))], env=sanitizers.environment(), needs="fuzz-build", counted=True)


def fuzz_phases():
    names = sorted(path.stem.removeprefix("fuzz_") for path in (ROOT / "test" / "fuzz").glob("fuzz_*.c"))
    return [build_phase("fuzz"), *map(fuzz_phase, names)]


def selected_phases(names):
    release = build_phase("release")
    groups = {
        "tidy": [pytest_phase("tidy", "test/tidy")],
        "unit": [release, unit_phase("release", "unit")],
        "e2e": [release, e2e_phase("release", "e2e")],
        "asan": [build_phase("asan"), unit_phase("asan", "asan-unit"), e2e_phase("asan", "asan-e2e", WEIR_CHURN_S=str(CHURN_SECONDS))],
        "tsan": [build_phase("tsan"), unit_phase("tsan", "tsan-unit"), e2e_phase("tsan", "tsan-e2e")],
        "fuzz": fuzz_phases(),
    }
    parser = argparse.ArgumentParser(prog="./check", description="Builds and tests all, or the named phases only.")
    parser.add_argument("phase", nargs="*", metavar="PHASE", help=f"one of: {' '.join(groups)} (default: all but fuzz)")
    wanted = parser.parse_args(names).phase or ["tidy", "unit", "e2e", "asan", "tsan"]
    unknown = [name for name in wanted if name not in groups]
    if unknown:
        parser.error(f"unknown phase: {' '.join(unknown)} (there are: {' '.join(groups)})")
    phases = {}
    for name in wanted:
        for phase in groups[name]:
            phases.setdefault(phase.name, phase)
    return list(phases.values())


def run_command(command, log, env, deadline):
    """Returns the exit status, or None when the deadline passed. Nothing of the command's group survives it."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                               env={**os.environ, **env}, start_new_session=True)
    try:
        return process.wait(timeout=max(0.1, deadline - time.time()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGTERM if process.poll() is None else signal.SIGKILL)
            process.wait(timeout=10)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def show_failure(log_path):
    lines = log_path.read_text(errors="replace").splitlines()
    telling = [line for line in lines if re.search(
        r"^(FAILED|ERROR) |error:|\*\*\*(Failed|Timeout|Exception)|runtime error|Sanitizer:|^E  ", line)]
    for line in telling[:40]:
        print(f"    {line[:200]}")
    print(f"    ... end of {log_path.relative_to(ROOT)}:")
    for line in lines[-15:]:
        print(f"    {line[:200]}")


def run_phase(phase, deadline):
    """Returns (counts, status): status is 'ok', 'failed' or 'out of time'."""
    log_path = LOGS / f"{phase.name}.log"
    if phase.report:
        phase.report.unlink(missing_ok=True)
    status = 0
    with log_path.open("w") as log:
        for command in phase.commands:
            status = run_command(command, log, phase.env, deadline)
            if status != 0:
                break
    counts = Counts()
    if phase.report and phase.report.exists():
        counts = phase.count(phase.report)
    if status is None:
        counts.failed += 1
        return counts, "out of time"
    if status != 0 and counts.failed == 0:
        counts.failed = 1
    elif status == 0 and phase.counted:
        counts.passed += 1
    return counts, "ok" if counts.failed == 0 else "failed"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = float(os.environ.get("WEIR_CHECK_STARTED", time.time()))
    deadline = started + TIME_LIMIT_S
    LOGS.mkdir(parents=True, exist_ok=True)
    total = Counts()
    failed_phases = set()
    durations = [("packages", time.time() - started)]
    for phase in selected_phases(sys.argv[1:]):
        if phase.needs in failed_phases:
            print(f"{phase.name:12} not run: {phase.needs} failed", flush=True)
            failed_phases.add(phase.name)
            total.add(Counts(failed=1))
            continue
        begun = time.time()
        counts, status = run_phase(phase, deadline)
        durations.append((phase.name, time.time() - begun))
        total.add(counts)
        text = f"{counts}" if phase.report or phase.counted or counts.failed else "ok"
        print(f"{phase.name:12} {durations[-1][1]:6.1f} s  {text}", flush=True)
        if status != "ok":
            failed_phases.add(phase.name)
            show_failure(LOGS / f"{phase.name}.log")
        if status == "out of time":
            print(f"check: stopped in {phase.name} at the limit of {TIME_LIMIT_S // 60} minutes. Time went to:")
            for name, duration in sorted(durations, key=lambda item: -item[1]):
                print(f"    {name:12} {duration:7.1f} s")
            break
    print(f"total {time.time() - started:.0f} s; logs in build/check/")
    print(total, flush=True)
    return 1 if total.failed or not (total.passed or total.skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
