"""Waiting for a condition with a deadline: the only way in which a test lets time pass."""

import os
import threading
import time

# Sanitizer builds on a busy machine are slow; a longer deadline costs nothing where all goes well.
DEADLINE_S = 60 if "san" in os.environ.get("WEIR_BUILD", "") else 20
POLL_S = 0.01


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Returns the first true value of condition(); fails the test when there is none before the deadline."""
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s in vain: {what}")
        pause.wait(POLL_S)
