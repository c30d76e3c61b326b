"""The images' file systems and the Debian package, made from this build and run: nothing is missing, nothing is too much."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from support import process
from support.wait import DEADLINE_S

ROOT = process.ROOT
if not process.binary("weir").exists() or process.BUILD.name != "release":
    pytest.skip("images are made of the release build", allow_module_level=True)
sys.path.insert(0, str(ROOT / "deploy"))
import image_root  # noqa: E402

NOBODY = 65532


@pytest.fixture(scope="module")
def packages():
    return image_root.Packages()


@pytest.fixture(scope="module")
def weir_root(tmp_path_factory, packages):
    root = tmp_path_factory.mktemp("image") / "weir"
    used = image_root.program_image(root, process.BUILD, ["weir", "weir-wait"], packages)
    return root, used


def inside(root, *command):
    """Runs in the image as its user, with nothing of this machine but the kernel."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    return subprocess.run(["/usr/sbin/chroot", f"--userspec={NOBODY}:{NOBODY}", root, *command], text=True, capture_output=True, timeout=DEADLINE_S, env={})


def test_weir_runs_in_its_image(weir_root):
    root, _ = weir_root
    done = inside(root, "/usr/bin/weir", "--version")
    assert done.returncode == 0, done.stderr
    done = inside(root, "/usr/bin/weir", "--mode", "validate", "--config-yaml", "node: {id: a, cluster: b}")
    assert done.returncode == 0, done.stderr
    done = inside(root, "/usr/bin/weir-wait", "--timeout", "0s")
    assert (done.returncode, "is not ready" in done.stderr) == (1, True)


def test_redirect_runs_in_its_image(weir_root):
    root, _ = weir_root
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    done = subprocess.run(["unshare", "-n", "/usr/sbin/chroot", root, "/usr/bin/weir", "redirect", "--proxy-uid", str(NOBODY)], text=True,
                          capture_output=True, timeout=DEADLINE_S)
    if done.returncode != 0 and re.search("unshare failed|this kernel does not take the rules", done.stderr):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


def test_control_plane_runs_in_its_image(tmp_path, packages):
    image_root.program_image(tmp_path / "root", process.BUILD, ["weir-control-plane"], packages)
    done = inside(tmp_path / "root", "/usr/bin/weir-control-plane", "--help")
    assert done.returncode == 0 and "--resources" in done.stdout, done.stderr


def test_image_is_small_and_has_no_shell(weir_root):
    root, _ = weir_root
    size = 0
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            size += len(gzip.compress(path.read_bytes(), 6))
            assert not path.stat().st_mode & 0o6022, f"{path} is setuid or writable"
    assert size < 40 * 1024 * 1024
    assert sorted(each.name for each in (root / "usr/bin").iterdir()) == ["weir", "weir-wait"]
    assert re.search(rf"^weir:x:{NOBODY}:", (root / "etc/passwd").read_text(), re.M)


def test_list_of_packages_is_spdx(weir_root, packages, tmp_path):
    root, used = weir_root
    image_root.spdx("weir", root, used, packages, tmp_path / "weir.spdx.json")
    document = json.loads((tmp_path / "weir.spdx.json").read_text())
    assert document["spdxVersion"] == "SPDX-2.3"
    names = {each["name"]: each["versionInfo"] for each in document["packages"]}
    for package in ("libc6", "libssl3", "libgrpc29", "ca-certificates"):
        assert names[package] == packages.version[package]
    ids = [each["SPDXID"] for each in document["packages"]]
    assert len(set(ids)) == len(ids)
    assert {each["relatedSpdxElement"] for each in document["relationships"]} == set(ids)
    assert all(each["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/") for each in document["packages"][1:])


def test_a_library_outside_the_list_is_refused(tmp_path, packages, monkeypatch):
    monkeypatch.setattr(image_root, "group", lambda name: ["libc6"])
    with pytest.raises(SystemExit, match="which group .run. of deploy/packages does not reach"):
        image_root.program_image(tmp_path / "root", process.BUILD, ["weir"], packages)


def test_dockerfile_has_the_runtime_stages_that_a_local_build_takes():
    head, _, stages = (ROOT / "deploy/Dockerfile").read_text().partition("# Runtime stages")
    assert "AS root" in head
    assert re.findall(r"^FROM scratch AS (\S+)", stages, re.M) == ["weir-control-plane", "weir-example", "weir"]
    assert "RUN" not in stages
    assert stages.count("USER 65532:65532") == 3


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deb")
    subprocess.run(["cpack", "--config", process.BUILD / "CPackConfig.cmake", "-B", folder], check=True, capture_output=True, timeout=120)
    made = list(folder.glob("*.deb"))
    assert len(made) == 1
    subprocess.run(["dpkg-deb", "-R", made[0], folder / "tree"], check=True)
    return folder / "tree"


def test_debian_package_depends_on_the_list(package):
    control = (package / "DEBIAN/control").read_text()
    depends = re.search(r"^Depends: (.*)$", control, re.M).group(1).split(", ")
    assert depends == image_root.group("run")
    assert (package / "DEBIAN/conffiles").read_text().split() == [f"/etc/weir/{name}.yaml" for name in ("bootstrap", "clusters", "listeners")]


def test_packaged_configuration_is_good(package, tmp_path):
    text = (package / "etc/weir/bootstrap.yaml").read_text().replace("/etc/weir/", f"{package}/etc/weir/")
    (tmp_path / "bootstrap.yaml").write_text(text)
    done = subprocess.run([package / "usr/bin/weir", "--mode", "validate", "-c", tmp_path / "bootstrap.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_unit_is_good_and_hardened(package, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "weir.service"
    unit.write_text((package / "usr/lib/systemd/system/weir.service").read_text().replace("/usr/bin/weir", f"{package}/usr/bin/weir"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert "weir.service" not in done.stderr, done.stderr
