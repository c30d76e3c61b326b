"""One thread of a program held still while the others run on, as a debugger does it."""

import contextlib
import ctypes
import os
from pathlib import Path

import pytest

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_WALL = 0x40000000  # waitpid: threads too


def _ptrace(request, tid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, tid, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def stopped(pid, name):
    """Stops the thread of this name. Only the thread that enters may leave."""
    [tid] = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == name]
    try:
        _ptrace(PTRACE_SEIZE, tid)
    except PermissionError as error:
        pytest.skip(f"no thread may be stopped here: {error}")
    _ptrace(PTRACE_INTERRUPT, tid)
    os.waitpid(tid, _WALL)
    try:
        yield
    finally:
        _ptrace(PTRACE_DETACH, tid)
