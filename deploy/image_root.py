"""The file systems of weir's images, out of a build and the Debian packages that this machine has.

    image_root.py BUILD OUT      OUT/weir, OUT/weir-control-plane, OUT/weir-example and an SPDX list of packages beside each

The Dockerfile's builder runs it, and so does `deploy/image --from-build`: both make the same images from deploy/packages. A program
gets the libraries that it loads, and nothing else; each must come from a package that group [run] reaches, or the list is wrong.
"""

import datetime
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
USER = 65532
PASSWD = f"root:x:0:0:root:/:/nonexistent\nweir:x:{USER}:{USER}:weir:/:/nonexistent\n"
GROUP = f"root:x:0:\nweir:x:{USER}:\n"
# What a program opens by itself, when it needs it.
OPENED = {"weir": ["libnftables.so.1"]}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
USR_MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
# What a program does not need of a package.
USELESS = re.compile(r"^/usr/share/(doc|man|info|lintian|bug|locale|doc-base)/|^/usr/lib/python3/dist-packages/.*/tests?/|/__pycache__/"
                     r"|^/usr/lib/python3\.\d+/(test|idlelib|tkinter|lib2to3|distutils|pydoc_data)/|^/var/|^/etc/(init|cron)")


def output(*command):
    return subprocess.run(list(map(str, command)), check=True, text=True, capture_output=True, env={**os.environ, "LC_ALL": "C"}).stdout


def group(name):
    """Packages of one group of deploy/packages."""
    found, names = False, []
    for line in (HERE / "packages").read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            found = line == f"[{name}]"
        elif line and found:
            names.append(line)
    return names


class Packages:
    """What dpkg knows of this machine."""

    def __init__(self):
        self.version, self.depends, provides = {}, {}, {}
        fields = "${Package}\t${Version}\t${Pre-Depends}, ${Depends}\t${Provides}\t${db:Status-Status}\n"
        for line in output("dpkg-query", "-W", "-f", fields).splitlines():
            name, version, depends, provided, status = line.split("\t")
            if status != "installed":
                continue
            self.version[name] = version
            self.depends[name] = self._names(depends)
            for alternatives in self._names(provided):
                provides.setdefault(alternatives[0], name)
        self.provides = provides

    @staticmethod
    def _names(text):
        """[[alternative, ...], ...] of a dependency field, without versions and architectures."""
        return [[re.split(r"[\s(:\[]", each.strip())[0] for each in part.split("|")] for part in text.split(",") if part.strip()]

    def closure(self, names):
        """These packages and what they depend on, as far as it is installed."""
        seen, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            name = name if name in self.version else self.provides.get(name, name)
            if name in seen:
                continue
            if name not in self.version:
                if name in names:
                    sys.exit(f"image: package {name} is not installed: deploy/install-packages run demo")
                continue
            seen.add(name)
            for alternatives in self.depends[name]:
                waiting.append(next((each for each in alternatives if each in self.version or each in self.provides), alternatives[0]))
        return seen

    @functools.cached_property
    def _owners(self):
        """Package by path, from dpkg's lists; /lib and /usr/lib are one folder."""
        owners = {}
        for listing in Path("/var/lib/dpkg/info").glob("*.list"):
            for line in listing.read_text(errors="replace").splitlines():
                owners[line.removeprefix("/usr")] = listing.stem.split(":")[0]
        return owners

    def owner(self, path):
        return next((self._owners[name] for name in (str(path).removeprefix("/usr"), os.path.realpath(path).removeprefix("/usr"))
                     if name in self._owners), None)


def installed_library(soname):
    for line in output("/sbin/ldconfig", "-p").splitlines():
        if line.split()[0] == soname:
            return line.rpartition(" => ")[2]
    sys.exit(f"image: {soname} is not installed: deploy/install-packages run")


def libraries(program):
    """(name as the loader asks for it, file) of all that the program loads."""
    found = {}
    opened = {name: Path(installed_library(name)) for name in OPENED.get(program.name, [])}
    for line in output("ldd", program, *opened.values()).splitlines():
        match = re.match(r"\s*(\S+) => (/\S+)|\s*(/\S+) \(", line)
        if match:
            path = match.group(2) or match.group(3)
            found[Path(match.group(1) or path).name] = Path(path)
    return {**found, **opened}


def place(root, path, source, mode=0o644):
    """Copies `source` to `path` below root, through the links of a merged /usr."""
    first = path.parts[1]
    path = Path(USR_MERGED[first], *path.parts[2:]) if first in USR_MERGED else path.relative_to("/")
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() or target.is_symlink():
        return
    shutil.copyfile(source, target)
    target.chmod(mode)


def skeleton(root):
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc"):
        (root / folder).mkdir(parents=True)
    for link, target in USR_MERGED.items():
        (root / link).symlink_to(target)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)


def copyright_place(root, package):
    text = Path(f"/usr/share/doc/{package}/copyright")
    if text.exists():
        place(root, text, text)


def program_image(root, build, names, packages):
    """Programs with the libraries that they load. Returns the packages that they came from."""
    skeleton(root)
    allowed, used = packages.closure(group("run")), {"ca-certificates"}
    for name in names:
        program = build / name
        if not program.exists():
            sys.exit(f"image: {program} is not built: cmake --preset release && cmake --build --preset release")
        subprocess.run(["strip", "-o", root / "usr/bin" / name, program], check=True)
        for soname, path in libraries(program).items():
            package = packages.owner(path)
            if package not in allowed:
                sys.exit(f"image: {name} loads {path} of package {package}, which group [run] of deploy/packages does not reach")
            used.add(package)
            place(root, path if soname.startswith("ld-") else path.parent / soname, path, 0o755)
    place(root, CERTIFICATES, CERTIFICATES)
    for package in used:
        copyright_place(root, package)
    return used


def example_image(root, packages):
    """The example application: Python and what group [demo] has for it, whole packages without their manuals."""
    skeleton(root)
    wanted = [name for name in group("demo") if name.startswith("python3")]
    used = packages.closure(wanted) - {"debconf", "dpkg", "tar", "perl-base", "init-system-helpers", "media-types", "tzdata"}
    for package in used:
        for line in output("dpkg-query", "-L", package).splitlines():
            path = Path(line)
            if USELESS.search(line) or not (path.is_symlink() or path.is_file()):
                continue
            if path.is_symlink() and not path.parent.is_symlink():
                first = path.parts[1]
                target = root / (Path(USR_MERGED[first], *path.parts[2:]) if first in USR_MERGED else path.relative_to("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.is_symlink() and not target.exists():
                    target.symlink_to(os.readlink(path))
            else:
                place(root, path, path, 0o755 if os.access(path, os.X_OK) else 0o644)
        copyright_place(root, package)
    for source in sorted((HERE / "example").glob("*.py")):
        place(root, Path("/app") / source.name, source)
    return used


def licence(package):
    """What the package's machine-readable copyright file declares for its main part."""
    try:
        text = Path(f"/usr/share/doc/{package}/copyright").read_text(errors="replace")
    except OSError:
        return "NOASSERTION"
    match = re.search(r"^Files: \*\n(?:.*\n)*?License: *(\S+)", text, re.M)
    return "NOASSERTION" if match is None else f"LicenseRef-debian-{re.sub(r'[^A-Za-z0-9.-]', '-', match.group(1))}"


def version():
    return re.search(r"project\(weir VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def spdx(name, root, used, packages, target):
    """SPDX 2.3: weir and each Debian package that gave files."""
    described, refs, licences = [], [], set()
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink()):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    described.append({"SPDXID": "SPDXRef-image", "name": name, "versionInfo": version(), "downloadLocation": "NOASSERTION",
                      "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION"})
    for package in sorted(used):
        ref = "SPDXRef-deb-" + re.sub(r"[^A-Za-z0-9.-]", "-", package)
        declared = licence(package)
        licences.add(declared)
        described.append({
            "SPDXID": ref, "name": package, "versionInfo": packages.version[package], "supplier": "Organization: Debian",
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": declared,
            "copyrightText": "NOASSERTION",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"pkg:deb/debian/{package.replace('+', '%2B')}@{packages.version[package].replace('+', '%2B').replace(':', '%3A')}?distro=debian-12"}]})
        refs.append({"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": ref})
    target.write_text(json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{name}-{version()}",
        "documentNamespace": f"https://spdx.invalid/{name}-{version()}-{digest.hexdigest()[:32]}",
        "creationInfo": {"created": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: weir-image_root"]},
        "packages": described,
        "hasExtractedLicensingInfos": [{"licenseId": each, "extractedText": f"As Debian's copyright file calls it: {each.removeprefix('LicenseRef-debian-')}"}
                                       for each in sorted(licences - {"NOASSERTION"})],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"}, *refs]}, indent=1))


def main(build, out):
    build, out = Path(build), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    packages = Packages()
    made = {"weir": lambda root: program_image(root, build, ["weir", "weir-wait"], packages),
            "weir-control-plane": lambda root: program_image(root, build, ["weir-control-plane"], packages),
            "weir-example": lambda root: example_image(root, packages)}
    for name, make in made.items():
        spdx(name, out / name, make(out / name), packages, out / f"{name}.spdx.json")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
