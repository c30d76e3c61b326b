"""The direction of includes: a room of dataplane/ knows only the rooms below it."""

import re

import tree

ROOMS = ["base", "worker", "transport", "codec", "route", "cluster", "upstream", "http", "filters", "listener", "config", "command"]
RANK = {room: rank for rank, room in enumerate(ROOMS)}
TOP = len(ROOMS)
# observe/ counts and logs for every room, so it stands on base alone; its admin server stands on a codec like a listener does
# and is filled with pages by config/.
ADMIN = re.compile(r"^(admin|config_dump|explain)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def includes(path):
    for number, line in tree.lines(path):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def room_rank(parts):
    """Rank of a path inside dataplane/; a header at its top is for all, main.c sees all."""
    if len(parts) == 1:
        return TOP if parts[0].endswith((".c", ".cc")) else 0
    if parts[0] == "observe":
        return RANK["listener"] if ADMIN.match(parts[-1]) else 0
    return RANK.get(parts[0], TOP)


def test_rooms_include_only_downwards():
    offences = []
    for path in tree.sources("dataplane"):
        own = room_rank(path.parts[1:])
        for number, _, target in includes(path):
            parts = target.split("/")
            if parts[0] == "dataplane" and room_rank(parts[1:]) > own:
                offences.append(f"{path}:{number}: includes {target}, which stands above it")
    tree.report(offences)


def test_rooms_are_known():
    known = set(ROOMS) | {"observe"}
    tree.report([f"{path}: no such room in the order of rooms" for path in tree.sources("dataplane")
                 if len(path.parts) > 2 and path.parts[1] not in known])


def test_only_main_and_config_know_xds():
    offences = []
    for path in tree.sources("dataplane"):
        if path.parts[1] in ("main.c", "config"):
            continue
        offences += [f"{path}:{number}: includes {target}" for number, _, target in includes(path)
                     if target.startswith(("xds/", "control-plane-stub/")) and not target.endswith(".pb-c.h")]
    tree.report(offences)


def test_xds_stands_on_base():
    offences = []
    for path in tree.sources("xds", "control-plane-stub"):
        for number, _, target in includes(path):
            parts = target.split("/")
            if parts[0] == "dataplane" and room_rank(parts[1:]) > RANK["base"]:
                offences.append(f"{path}:{number}: includes {target}; xds/ may use base/ and observe's counters only")
    tree.report(offences)


def test_libraries_stay_in_their_rooms():
    allowed = {
        "grpc/": ("xds/", "control-plane-stub/"),
        "nghttp2/": ("dataplane/codec/",),
        "h2o.h": ("dataplane/transport/", "dataplane/worker/", "dataplane/observe/admin"),
        "h2o/": ("dataplane/transport/", "dataplane/worker/", "dataplane/observe/admin"),
        "openssl/ssl.h": ("dataplane/transport/", "dataplane/config/", "xds/", "control-plane-stub/"),
    }
    offences = []
    for path in tree.sources("dataplane", "xds", "control-plane-stub"):
        for number, kind, target in includes(path):
            for library, rooms in allowed.items():
                if kind == "<" and target.startswith(library) and not str(path).startswith(rooms):
                    offences.append(f"{path}:{number}: {target} belongs in {', '.join(rooms)}")
    tree.report(offences)


def test_includes_of_ours_are_paths_from_the_root():
    offences = []
    for path in tree.sources("dataplane", "xds", "control-plane-stub", "test"):
        for number, kind, target in includes(path):
            if kind == '"' and "/" not in target:
                offences.append(f"{path}:{number}: \"{target}\" is not a path from the root")
            if ".." in target.split("/"):
                offences.append(f"{path}:{number}: \"{target}\" climbs")
    tree.report(offences)
