"""Rules of style that a machine can hold: sizes, forbidden words and calls."""

import re

import tree

CODE = ("dataplane", "xds", "control-plane-stub", "test")
FILE_LINES_MAX = 900
FUNCTION_LINES_MAX = 100


def matches(paths, pattern, why):
    rule = re.compile(pattern)
    return [f"{path}:{number}: {why}: {line.strip()[:100]}"
            for path in paths for number, line in tree.lines(path) if rule.search(line)]


def c_functions(path):
    """(first line, length) of the function bodies, which open and close in column 0 or close what a column-0 line opened."""
    start = None
    for number, line in tree.lines(path):
        if start is None and (line == "{" or re.match(r"^\w[^=;]*\)\s*\{$", line)):
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def test_files_are_not_too_long():
    tree.report([f"{path}: {count} lines, at most {FILE_LINES_MAX}"
                 for path in tree.sources(*CODE, suffixes=(".c", ".cc", ".h", ".py"))
                 if (count := sum(1 for _ in tree.lines(path))) > FILE_LINES_MAX])


def test_functions_are_not_too_long():
    tree.report([f"{path}:{start}: a function of {length} lines, at most {FUNCTION_LINES_MAX}"
                 for path in tree.sources(*CODE, suffixes=(".c", ".cc"))
                 for start, length in c_functions(path) if length > FUNCTION_LINES_MAX])


def test_files_open_with_their_purpose():
    """A .c file may leave that to the header of its name."""
    def opens_with_comment(path):
        return next(tree.lines(path), (1, ""))[1].startswith(("/*", "//"))

    tree.report([f"{path}: opens without a comment that says what the file is for"
                 for path in tree.sources("dataplane", "xds", "control-plane-stub")
                 if not opens_with_comment(path)
                 and not (path.suffix != ".h" and (tree.ROOT / path.with_suffix(".h")).exists())])


def test_nothing_is_left_to_do():
    tree.report(matches([path for path in tree.text_files() if path.parts[:2] != ("test", "tidy")],
                        r"\b(TODO|FIXME|XXX|HACK)\b", "unfinished"))


def test_structs_have_no_typedef():
    tree.report(matches(tree.sources("dataplane", "xds", "control-plane-stub", "test"), r"^\s*typedef\s+(struct|union|enum)\b",
                        "typedef of a struct"))


def test_tests_wait_for_conditions():
    python = tree.sources("test", suffixes=(".py",))
    tree.report(matches([path for path in python if path.parts[1] not in ("tidy", "bench")],
                        r"\btime\.sleep\(|asyncio\.sleep\((?!0\))|from time import.*\bsleep\b", "a sleep")
                + matches(tree.sources("test/unit", "test/sim"), r"\b(u|nano|clock_nano)?sleep\(", "a sleep"))


def test_no_unbounded_string_calls():
    tree.report(matches(tree.sources("dataplane", "xds", "control-plane-stub"),
                        r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca)\(", "an unchecked call"))


def test_no_paths_of_one_machine():
    tree.report(matches([path for path in tree.text_files() if path.parts[:2] != ("test", "tidy")],
                        r"(?<![\w.])/(work|root|home)/", "a path of one machine"))


def test_lines_end_clean():
    tree.report(matches(tree.sources(*CODE, suffixes=(".c", ".cc", ".h", ".py")), r"[ \t]$", "blank at the end of a line")
                + matches(tree.sources(*CODE), r"\t", "a tab"))


def test_sanitizer_suppressions_name_a_library():
    tree.report([f"{path}:{number}: {line}" for path in tree.files(".supp", under="test/sanitizers")
                 for number, line in tree.lines(path)
                 if line and not line.startswith("#") and not re.match(r"^(called_from_lib|leak|race|mutex):lib[\w+.-]+$", line)])


def test_architecture_names_every_directory():
    page = tree.ROOT / "ARCHITECTURE.md"
    if not page.exists():
        return
    text = page.read_text()
    folders = sorted({"/".join(path.parts[:depth])
                      for path in tree.files(*tree.TEXT) for depth in (1, 2) if len(path.parts) > depth})
    tree.report([f"ARCHITECTURE.md does not mention {folder}/" for folder in folders
                 if not folder.startswith(".") and f"{folder.split('/')[-1]}/" not in text])
