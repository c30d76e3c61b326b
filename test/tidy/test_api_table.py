"""The generator of the API's table refuses a .proto or a support line that it cannot make sense of, by name."""

import shutil
import subprocess
from pathlib import Path

import pytest

import tree

API = tree.ROOT / "api"
PROTO = """
syntax = "proto3";
package demo;
import "weir/rules.proto";
message One {
  string first = 1 [(weir.rule) = {min_len: 1}];
  repeated uint32 second = 2;
%s
}
"""
SUPPORT = "message demo.One\n  honoured first\n  ignored second: nobody reads it\n"


def generate(tmp_path, support=SUPPORT, more=""):
    """Runs protoc-c and the generator over a one-message API: (exit status, what it complained of, table)."""
    if shutil.which("protoc-c") is None:
        pytest.skip("protoc-c is not installed (deploy/install-packages build)")
    (tmp_path / "demo.proto").write_text(PROTO % more)
    (tmp_path / "support.txt").write_text(support)
    subprocess.run(["protoc-c", f"-I{tmp_path}", f"-I{API}/protos", "-I/usr/include", f"--c_out={tmp_path}",
                    f"--descriptor_set_out={tmp_path}/api.desc", "demo.proto"], check=True, cwd=tmp_path)
    run = subprocess.run(["/usr/bin/python3", str(API / "gen_facts.py"), "api.desc", ".", "support.txt", "facts.c"],
                         cwd=tmp_path, text=True, capture_output=True)
    table = tmp_path / "facts.c"
    return run.returncode, run.stderr, table.read_text() if table.exists() else ""


def refuses(tmp_path, complaint, **change):
    status, said, table = generate(tmp_path, **change)
    assert (status, table) == (1, "")
    assert complaint in said


def test_a_whole_table_is_written(tmp_path):
    status, said, table = generate(tmp_path)
    assert (status, said) == (0, "")
    assert "WEIR_PB_OP_MIN_LEN" in table and "WEIR_PB_IGNORED}, /* second */" in table


def test_a_field_without_class_is_named(tmp_path):
    refuses(tmp_path, "support.txt: no class for demo.One.second", support="message demo.One\n  honoured first\n")
    refuses(tmp_path, "no class for demo.One.first, demo.One.second", support="")


def test_a_line_about_what_does_not_exist_is_refused_with_its_number(tmp_path):
    refuses(tmp_path, "support.txt:4: demo.One has no field third", support=SUPPORT + "  refused third\n")
    refuses(tmp_path, "support.txt:1: no message demo.Two", support="message demo.Two\n")
    refuses(tmp_path, "support.txt:1: no package demos", support="package demos refused\n")
    refuses(tmp_path, "support.txt:1: 'massage'", support="massage demo.One\n")


def test_a_field_has_one_class_and_an_ignored_one_a_reason(tmp_path):
    refuses(tmp_path, "support.txt:4: demo.One.first has two classes", support=SUPPORT + "  refused first\n")
    refuses(tmp_path, "support.txt:2: an ignored field needs", support="message demo.One\n  ignored first, second\n")
    refuses(tmp_path, "support.txt:2: 'ignores' is no class", support="message demo.One\n  ignores first: x\n")


def test_names_that_collide_in_c_are_refused(tmp_path):
    refuses(tmp_path, "demo.One.second: n_second beside it collides", more="  uint32 n_second = 3;",
            support="package demo honoured\n")
    refuses(tmp_path, "demo.One.unix: the name is a word of gcc", more="  string unix = 3;", support="package demo honoured\n")


def test_rules_that_do_not_fit_their_field_are_refused(tmp_path):
    refuses(tmp_path, "demo.One.third: a bound on what is no number", support="package demo honoured\n",
            more='  string third = 3 [(weir.rule) = {gt: "0"}];')
    refuses(tmp_path, "demo.One.third: ", support="package demo honoured\n",
            more='  uint32 third = 3 [(weir.rule) = {gt: "0s"}];')


def test_every_proto_file_lies_where_its_package_says():
    offences = []
    for path in sorted((API / "protos").rglob("*.proto")):
        package = next(line[8:-1] for line in path.read_text().splitlines() if line.startswith("package "))
        folder = ".".join(Path(path.relative_to(API / "protos")).parts[:-1])
        if folder != package:
            offences.append(f"{path.relative_to(tree.ROOT)}: package {package} in folder {folder}")
    tree.report(offences)
