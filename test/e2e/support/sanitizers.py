"""How programs built with sanitizers are run, and how their reports are recognised."""

import re
from pathlib import Path

SUPPRESSIONS = Path(__file__).resolve().parents[2] / "sanitizers"

REPORT = re.compile(r"(ERROR|WARNING|FATAL): (Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error: "
                    r"|Sanitizer:DEADLYSIGNAL|LeakSanitizer has encountered")


def environment():
    """Variables that make every report fatal; harmless for a program that was built without."""
    return {
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
        "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}/lsan.supp:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": f"suppressions={SUPPRESSIONS}/tsan.supp:halt_on_error=1:second_deadlock_stack=1",
    }


def launcher(build):
    """What stands before the program's name: clang 14's TSan does not know the address layout of newer kernels."""
    cache = Path(build) / "CMakeCache.txt"
    if cache.exists() and re.search(r"^WEIR_SANITIZE:\w+=.*thread", cache.read_text(), re.M):
        return ["setarch", "-R"]
    return []
