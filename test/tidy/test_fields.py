"""Every field that api/support.txt calls honoured is set by some test that concerns its message.

A test sets a field where it writes the field's name as a key of configuration: `'name':` or `name=` in Python, `'name':` in the
JSON of a C test, `.name =` where a C test fills a message by hand. A name that several honoured messages share counts only in a
file that also has a word of the message: its own name, or the name of a field that holds it, however they are cased. test/tidy/fields.txt speaks for the
fields that are tested without being written, each with the test that sees its effect.
"""

import collections
import re
import shutil
import subprocess
import sys

import pytest

import tree

sys.path.insert(0, str(tree.ROOT / "api"))

import gen_facts  # noqa: E402

KEY = re.compile(r"""\\?["'](\w+)\\?["']\s*:|\b(\w+)=(?!=)|[{,(]\s*\\?["'](\w+)\\?["']|^[\s"-]*(\w+):|[{,]\s*(\w+):""", re.M)
FILLED = re.compile(r"(?:\.|->)(\w+) = ")
UNSEEN = tree.ROOT / "test/tidy/fields.txt"
FOLDERS = ("unit", "e2e", "sim")
SHORT = {"HttpConnectionManager": "hcm"}


def honoured(tmp_path):
    """(message, field) of all fields that a `message` paragraph of support.txt calls honoured, and all messages."""
    if shutil.which("protoc-c") is None:
        pytest.skip("protoc-c is not installed (deploy/install-packages build)")
    protos = tree.ROOT / "api/protos"
    names = [str(path.relative_to(protos)) for path in sorted(protos.rglob("*.proto")) if path.parent.name != "weir"]
    subprocess.run(["protoc-c", "-I.", "-I/usr/include", f"--descriptor_set_out={tmp_path}/api.desc", *names], check=True, cwd=protos)
    messages, _ = gen_facts.load(tmp_path / "api.desc")
    support = gen_facts.Support(tree.ROOT / "api/support.txt", messages)
    support.complete()
    return [(m, f) for m in messages.values() if m.name in support.named for f in m.fields if f.support == "HONOURED"], messages


def words_of_messages(fields, messages):
    """Message -> the words that show that a file concerns it."""
    words = collections.defaultdict(set)
    for _, field in fields:
        held = messages.get(field.type_name)
        if held is not None and held.map_entry:
            held = messages.get(held.fields[1].type_name)
        if held is not None:
            words[held.name].add(field.name.replace("_", ""))
    for message, _ in fields:
        short = message.name.rsplit(".", 1)[1]
        words[message.name] |= {short.lower(), SHORT.get(short, short).lower()}
    return words


def keys_and_words():
    """Of each test file: the keys it writes, and all words in it and in its path."""
    found = []
    for path in tree.files(".c", ".h", ".py", under="test"):
        if path.parts[1] not in FOLDERS:
            continue
        text = (tree.ROOT / path).read_text()
        keys = {key for match in KEY.finditer(text) for key in match.groups() if key}
        if "__INIT" in text:
            keys |= set(FILLED.findall(text))
        words = {word.lower().replace("_", "") for word in re.findall(r"\w+", f"{text} {path.stem.removeprefix('test_')}")}
        found.append((keys, words | {part.lower() for part in re.findall(r"[a-zA-Z0-9]+", text)}))
    return found


def spoken_for():
    """field -> (file, test) of test/tidy/fields.txt; a line: FIELD FILE::TEST"""
    lines = {}
    for number, line in enumerate(UNSEEN.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if line:
            field, _, test = line.partition(" ")
            assert field not in lines, f"{UNSEEN.name}:{number}: {field} stands here twice"
            lines[field] = tuple(test.strip().split("::"))
    return lines


def test_every_honoured_field_is_set_by_a_test(tmp_path):
    fields, messages = honoured(tmp_path)
    words = words_of_messages(fields, messages)
    shared = collections.Counter(field.name for _, field in fields)
    files, spoken = keys_and_words(), spoken_for()
    offences = []
    for message, field in fields:
        name = f"{message.name}.{field.name}"
        seen = any(field.name in keys and (shared[field.name] == 1 or words[message.name] & said) for keys, said in files)
        if name in spoken and seen:
            offences.append(f"test/tidy/fields.txt: {name} is set by a test and needs no line")
        if name not in spoken and not seen:
            offences.append(f"api/support.txt: {name} is honoured, but no test under test/unit, test/e2e or test/sim sets it")
    offences += [f"test/tidy/fields.txt: {name} is no honoured field" for name in spoken.keys() - {f"{m.name}.{f.name}" for m, f in fields}]
    tree.report(offences)


def test_tests_that_fields_txt_names_are_there():
    offences = []
    for field, where in spoken_for().items():
        path = tree.ROOT / where[0]
        if len(where) != 2 or not path.is_file() or not re.search(rf"\b{re.escape(where[1])}\b", path.read_text()):
            offences.append(f"test/tidy/fields.txt: {field}: there is no {'::'.join(where)}")
    tree.report(offences)
