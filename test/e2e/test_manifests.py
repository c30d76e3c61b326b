"""The manifests: what kustomize and Helm make of them, that both say the same, and values that the chart refuses."""

import json
import shutil
import subprocess

import pytest
import yaml

from support import process

CHART = process.ROOT / "deploy/helm/weir"
HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed")


def rendered(*flags):
    done = subprocess.run([HELM, "template", "weir", CHART, "--kube-version", "1.34.0", *flags], check=True, text=True, capture_output=True)
    found = {}
    for document in yaml.safe_load_all(done.stdout):
        if document is not None:
            found[document["kind"], document["metadata"]["name"]] = document
    return found


def kustomized(overlay):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", process.ROOT / "deploy/k8s/overlays" / overlay], check=True, text=True, capture_output=True)
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}


def containers(deployment):
    spec = deployment["spec"]["template"]["spec"]
    return {each["name"]: each for each in [*spec.get("initContainers", []), *spec["containers"]]}


def bootstrap_of(manifests, tmp_path):
    path = tmp_path / "bootstrap.yaml"
    path.write_text(manifests["ConfigMap", "weir-bootstrap"]["data"]["bootstrap.yaml"])
    names = {name: "x" for name in ("POD_NAME", "POD_NAMESPACE", "POD_IP", "NODE_NAME", "WEIR_GROUP")}
    return process.run("weir", "--mode", "validate", "-c", path, env=names)


def test_schema_and_values_are_well_formed():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["required"]) == set(values)
    assert set(values) <= set(schema["properties"])


@pytest.mark.parametrize("overlay", ["native-sidecar", "classic-sidecar", "gateway"])
def test_manifests_hold_a_good_bootstrap_and_restricted_containers(overlay, tmp_path):
    manifests = kustomized(overlay)
    done = bootstrap_of(manifests, tmp_path)
    assert done.returncode == 0, done.stderr
    for (kind, name), manifest in manifests.items():
        if kind != "Deployment":
            continue
        for container in containers(manifest).values():
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True, (name, container["name"])
            assert security["capabilities"]["drop"] == ["ALL"]
            assert security["capabilities"].get("add", []) == (["NET_ADMIN"] if container["name"] == "weir-redirect" else [])
            assert not container["image"].endswith((":latest", container["name"]))
        weir = containers(manifest).get("weir")
        if weir is not None:
            # a startup probe that fails for long would end a weir that only waits
            assert "startupProbe" not in weir and weir["readinessProbe"]["httpGet"]["path"] == "/ready", name


@needs_helm
def test_chart_has_what_the_overlays_have(tmp_path):
    chart = rendered("--set", "example.enabled=true", "--set", "gateway.enabled=true", "--set", "podMonitor.enabled=true")
    done = bootstrap_of(chart, tmp_path)
    assert done.returncode == 0, done.stderr
    native, gateway = kustomized("native-sidecar"), kustomized("gateway")
    assert ("PodMonitor", "weir") in chart
    for name in ("web", "web-canary", "client"):
        ours, theirs = containers(chart["Deployment", name]), containers(native["Deployment", name])
        assert set(ours) == set(theirs)
        for each in ours:
            for field in ("args", "securityContext", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "restartPolicy", "env"):
                assert ours[each].get(field) == theirs[each].get(field), (name, each, field)
    ours, theirs = containers(chart["Deployment", "weir-gateway"])["weir"], containers(gateway["Deployment", "weir-gateway"])["weir"]
    assert ours["args"] == theirs["args"]
    for group in ("web", "client"):
        ours, theirs = (each["ConfigMap", f"weir-resources-{group}"]["data"] for each in (chart, native))
        assert {name: yaml.safe_load(text) for name, text in ours.items()} == {name: yaml.safe_load(text) for name, text in theirs.items()}


@needs_helm
@pytest.mark.parametrize("value", ["image.tag=latest", "controlPlane.replicas=0", "gateway.port=70000", "nonsense=1", "podMonitor.interval=soon"])
def test_bad_values_are_refused(value):
    done = subprocess.run([HELM, "template", "weir", CHART, "--kube-version", "1.34.0", "--set", value], text=True, capture_output=True)
    assert done.returncode != 0
    assert value.split("=")[0].split(".")[0] in done.stderr, done.stderr
