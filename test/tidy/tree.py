"""The project's files, as the tidy tests see them: without git, so that they run on an unpacked archive too."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", "build", "__pycache__", ".pytest_cache"}
TEXT = {".c", ".cc", ".h", ".py", ".md", ".txt", ".json", ".yaml", ".yml", ".cmake", ".proto", ".sh", ".conf", ".cfg", ".in",
        ".supp", ".lua", ""}


def files(*suffixes, under=""):
    """Paths relative to the root, with one of these suffixes, below this folder."""
    found = []
    for folder, folders, names in os.walk(ROOT / under):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        if Path(folder).parts[-2:] == ("fuzz", "corpus"):
            folders.clear()
            continue
        for name in sorted(names):
            if Path(name).suffix in suffixes and name not in SKIPPED:
                found.append((Path(folder) / name).relative_to(ROOT))
    return found


def text_files():
    return files(*TEXT)


def lines(path):
    """(number, line) of a file of the tree."""
    return enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)


def sources(*folders, suffixes=(".c", ".cc", ".h")):
    return [path for folder in folders for path in files(*suffixes, under=folder)]


def report(offences):
    """Fails with one line an offence."""
    assert not offences, "\n" + "\n".join(offences)
