"""Free TCP ports, each given once on this machine for as long as the process that asked for it lives."""

import fcntl
import os
import random
import socket
import tempfile

from .wait import DEADLINE_S

_LOCKS = os.path.join(tempfile.gettempdir(), f"weir-e2e-ports-{os.getuid()}")
_held = []


def free_port():
    """A port on loopback that nobody listens on, outside of the range that outgoing connections draw from."""
    os.makedirs(_LOCKS, exist_ok=True)
    for _ in range(1000):
        port = random.randrange(10240, 32000)
        lock = open(os.path.join(_LOCKS, str(port)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return port
    raise RuntimeError("no free port")


def refuses(port):
    """Whether nobody listens on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # closed between the kernel's handshake and accept: ask again
    return False
