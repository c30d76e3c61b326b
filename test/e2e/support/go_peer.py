"""The peers written in Go: programs that read lines from stdin and write one JSON object a line, and the control plane among them."""

import json
import os
import subprocess

from . import process
from .wait import wait_until


class GoPeer(process.Program):
    """Ends when its stdin does."""

    def __init__(self, path, args, workdir, env=None):
        super().__init__(path.name, args, workdir, env)
        self.path = path

    def command_line(self):
        return [str(self.path), *map(str, self.args)]

    def start(self):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command_line(), stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                                            env={**os.environ, **self.env}, cwd=self.workdir)
        return self

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def events(self):
        """All objects that it has written so far."""
        whole, _, _ = self.log.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def wait_event(self, matches, what):
        """The first object for which matches(object) holds."""
        try:
            return wait_until(lambda: self.assert_running() or next(filter(matches, self.events()), None), what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None

    def stop(self):
        if self.running():
            self.process.stdin.close()
            status = self.wait_exit()
            assert status == 0, f"{self.name} ended with {status}:\n{self.log[-4000:]}"


class ControlPlane:
    """On go-control-plane: serves one snapshot to every node, and has not a word to say before it has the first."""

    def __init__(self, start_go, port):
        self.port = port
        self._start_go = start_go
        self.program = None

    def start(self, version, *resources):
        self.program = self._start_go("control-plane", "--listen", f"127.0.0.1:{self.port}")
        self.serve(version, *resources)
        self.program.wait_event(lambda event: event["event"] == "listening", "the control plane to listen")
        return self

    def serve(self, version, *resources):
        """Replaces the snapshot; go-control-plane refuses one that is not consistent in itself."""
        self.program.say(json.dumps({"version": version, "resources": resources}))
        taken = self.program.wait_event(lambda event: event["event"] == "snapshot" and event["version"] == version, f"snapshot {version}")
        assert not taken["refused"], taken

    def requests(self, type_url=None):
        return [event for event in self.program.events() if event["event"] == "request" and type_url in (None, event["type"])]

    def wait_request(self, type_url, matches, what):
        return self.program.wait_event(lambda event: event["event"] == "request" and event["type"] == type_url and matches(event), what)

    def refusals(self):
        return [request for request in self.requests() if request["error"]]
