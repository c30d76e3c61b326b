"""What .ci/run makes of its parts, and when test/kind is left out."""

import os
import shutil
import subprocess

import pytest

from support.process import ROOT
from support.wait import DEADLINE_S

CI, KIND = ROOT / ".ci/run", ROOT / "test/kind/run"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def run_ci(tmp_path, check, kind):
    (tmp_path / ".ci").mkdir()
    shutil.copy(CI, tmp_path / ".ci/run")
    script(tmp_path / "check", check)
    script(tmp_path / "test/kind/run", kind)
    done = subprocess.run([tmp_path / ".ci/run"], text=True, capture_output=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("check, kind, status, last", [
    ("echo 5 passed, 0 failed", "echo 3 passed, 0 failed", 0, "8 passed, 0 failed"),
    ("echo 5 passed, 0 failed, 2 skipped", "echo 0 passed, 0 failed, 1 skipped", 0, "5 passed, 0 failed, 3 skipped"),
    ("echo 5 passed, 1 failed; exit 1", "echo 3 passed, 0 failed", 1, "8 passed, 1 failed"),
    ("echo 5 passed, 0 failed", "echo 2 passed, 1 failed; exit 1", 1, "7 passed, 1 failed"),
    ("echo 5 passed, 0 failed", "echo no last line", 1, "5 passed, 1 failed"),
    ("echo 5 passed, 0 failed; exit 3", "echo 3 passed, 0 failed", 1, "8 passed, 1 failed"),
])
def test_the_last_line_sums_up(tmp_path, check, kind, status, last):
    assert run_ci(tmp_path, check, kind) == (status, last)


def test_the_peers_are_mandatory(tmp_path):
    assert run_ci(tmp_path, 'echo "${CI:-0}" | grep -q true && echo 1 passed, 0 failed', "echo 1 passed, 0 failed") == (0, "2 passed, 0 failed")


def run_kind(tmp_path, tools, *args):
    tmp_path.joinpath("bin").mkdir()
    for name, text in tools.items():
        script(tmp_path / "bin" / name, text)
    return subprocess.run(["/usr/bin/python3", "-B", KIND, *args], text=True, capture_output=True, timeout=DEADLINE_S, env={**os.environ, "PATH": str(tmp_path / "bin")})


THERE = {"docker": "exit 0", "kind": "exit 0", "kubectl": "exit 0", "curl": "exit 0"}


@pytest.mark.parametrize("tools, reason", [
    ({}, "docker, kind, kubectl, curl not found"),
    ({name: text for name, text in THERE.items() if name != "kind"}, "kind not found"),
    ({**THERE, "docker": "echo Cannot connect to the Docker daemon >&2; exit 1"}, "docker does not answer: Cannot connect to the Docker daemon"),
])
def test_kind_is_skipped_where_its_tools_are_not(tmp_path, tools, reason):
    done = run_kind(tmp_path, tools, "--if-possible")
    assert (done.returncode, done.stdout.splitlines()) == (0, [f"test/kind: skipped: {reason}", "0 passed, 0 failed, 1 skipped"]), done.stderr


def test_kind_fails_without_its_tools_when_it_was_asked_for(tmp_path):
    done = run_kind(tmp_path, {})
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed")


def test_a_docker_that_never_answers_is_given_up(tmp_path):
    done = run_kind(tmp_path, {**THERE, "docker": "exec /bin/sleep 600"}, "--if-possible")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "test/kind: skipped: docker does not answer within 10 s")
