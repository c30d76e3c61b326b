"""weir as a running program: started on a bootstrap, ready when its admin says so, judged when it ends."""

import contextlib
import json
import re
import urllib.error
import urllib.request

from . import process
from .wait import DEADLINE_S, wait_until


class Weir(process.Program):
    """bootstrap: a dict in the v3 API's YAML form, or YAML text. It needs an admin address, which may have port 0."""

    def __init__(self, bootstrap, workdir, args=(), env=None, concurrency=2):
        super().__init__("weir", [], workdir, env)
        text = bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap, indent=1)
        self.config_path = self.workdir / f"bootstrap-{id(self):x}.yaml"
        self.config_path.write_text(text)
        self.admin_address_path = self.workdir / f"admin-{id(self):x}"
        self.args = ["-c", self.config_path, "--admin-address-path", self.admin_address_path,
                     "--concurrency", concurrency, *args]

    def start(self, ready=True):
        """ready=False returns once admin listens: for tests of warming and of waiting."""
        super().start()
        self._await(lambda: self.admin_address_path.exists() and ":" in self.admin_address_path.read_text(), "admin address")
        if ready:
            self._await(lambda: self.admin("/ready")[0] == 200, "/ready")
        return self

    def _await(self, condition, what):
        def running_and():
            self.assert_running()
            return condition()
        try:
            wait_until(running_and, f"{what} of weir")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None

    @property
    def admin_address(self):
        return self.admin_address_path.read_text().strip()

    def admin(self, path, method="GET", body=None):
        """(status, text) of an admin call. Every admin answer ends its connection here."""
        request = urllib.request.Request(f"http://{self.admin_address}{path}", method=method,
                                         data=body if body is not None or method != "POST" else b"")
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=DEADLINE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError) as error:
            self.assert_running()
            return 0, str(error)

    def admin_json(self, path):
        status, text = self.admin(path)
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text)

    def stats(self, prefix=""):
        """Counters and gauges as numbers, histograms and text readouts as text, by name."""
        status, text = self.admin("/stats")
        assert status == 200, text
        found = {}
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if name.startswith(prefix):
                found[name] = int(value) if re.fullmatch(r"-?\d+", value) else value
        return found

    def stat(self, name):
        return self.stats().get(name, 0)

    def wait_stat(self, name, value):
        """Waits for a counter or gauge to reach a value, or for value(number) to hold."""
        holds = value if callable(value) else lambda number: number == value
        try:
            wait_until(lambda: holds(self.stat(name)), f"stat {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.stat(name)}") from None

    def listener_port(self, name):
        """The port that a listener is bound to, for listeners configured with port 0."""
        for status in self.admin_json("/listeners?format=json")["listener_statuses"]:
            if status["name"] == name:
                return status["local_address"]["socket_address"]["port_value"]
        raise AssertionError(f"no listener {name}")


@contextlib.contextmanager
def running_weir(bootstrap, workdir, **options):
    """For a module's own fixture: one weir for many tests, judged at the end."""
    weir = Weir(bootstrap, workdir, **options)
    try:
        weir.start()
        yield weir
    finally:
        weir.stop()


def validate(bootstrap, workdir, *args):
    """Runs --mode validate; returns the result, output in .stderr and .stdout."""
    path = workdir / "validate.yaml"
    path.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap, indent=1))
    return process.run("weir", "--mode", "validate", "-c", path, *args)
