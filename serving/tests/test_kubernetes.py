"""The manifest for Kubernetes is one that Kubernetes takes, and fits what the service does."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fraud_detect import keeper_process, torchserve
from fraud_detect.serve_options import parse_serve_options
from fraud_detect.torchserve_config import Ports, ServerOptions

PRODUCTION = Path(__file__).parents[1] / "production"
MANIFEST = list(yaml.safe_load_all((PRODUCTION / "kubernetes.yaml").read_text()))
PROXY = (PRODUCTION / "proxy.conf").read_text()
VERSIONS = ("1.31", kubernetes_validate.latest_version())


def named(kind: str) -> Any:
    (found,) = [one for one in MANIFEST if one["kind"] == kind]
    return found


POD = named("Deployment")["spec"]["template"]["spec"]
SERVICE, FRONT = POD["containers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", MANIFEST, ids=lambda one: one["kind"])
def test_kubernetes_knows_every_field(resource, version) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def _misspell(deployment: Any) -> None:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["livenesProbe"] = container.pop("livenessProbe")


def _text_for_a_number(deployment: Any) -> None:
    deployment["spec"]["replicas"] = "3"


def _no_selector(deployment: Any) -> None:
    del deployment["spec"]["selector"]


def _nested_too_high(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    pod["allowPrivilegeEscalation"] = False


def _number_in_a_list_of_texts(deployment: Any) -> None:
    deployment["spec"]["template"]["spec"]["containers"][0]["args"].append(1)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "spoil",
    [
        _misspell,
        _text_for_a_number,
        _no_selector,
        _nested_too_high,
        _number_in_a_list_of_texts,
    ],
)
def test_what_kubernetes_would_refuse_fails(spoil: Callable[[Any], None], version) -> None:
    deployment = copy.deepcopy(named("Deployment"))
    spoil(deployment)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, version, strict=True)


def test_the_service_takes_its_arguments_and_the_pod_has_what_they_name() -> None:
    options = parse_serve_options(SERVICE["args"])
    assert options.server.ports == Ports()  # to which the proxy is bound
    # Only the proxy reaches it, and the proxy of a pod has no token for it.
    assert not options.server.token_auth
    mounts = {mount["name"]: mount["mountPath"] for mount in SERVICE["volumeMounts"]}
    for url in (options.model_store, options.feature_store, options.decision_log):
        assert url is not None
        assert Path(url.removeprefix("secret-file:")).parent == Path(mounts["stores"])
    written = {mounts[name] for name in ("state", "cache", "run")}
    variables = {one["name"]: one["value"] for one in SERVICE["env"]}
    assert written == {variables[name] for name in ("FRAUD_HOME", "XDG_CACHE_HOME", "TMPDIR")}
    # fraud-XXXXXXXX/tmp/.ts.sock.NNNN
    assert len(variables["TMPDIR"]) < 107 - 50
    home = Path(variables["FRAUD_HOME"])
    assert SERVICE["startupProbe"]["exec"]["command"] == ["test", "-e", str(home / "server.json")]


def test_there_is_time_to_start_and_to_stop() -> None:
    startup = SERVICE["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > 2 * torchserve.START_WITHIN
    (_, pause) = SERVICE["lifecycle"]["preStop"]["exec"]["command"]
    stops_within = torchserve.DRAIN_WITHIN + 2 * torchserve.STOP_WITHIN + keeper_process.STOP_WITHIN
    assert POD["terminationGracePeriodSeconds"] >= int(pause) + stops_within
    # The proxy sends what it has before the service takes no more.
    waits = re.findall(r"sleep (\d+)", FRONT["lifecycle"]["preStop"]["exec"]["command"][2])
    assert sum(int(seconds) for seconds in waits) < int(pause)


def test_ports_are_those_that_the_proxy_listens_to() -> None:
    listens = {int(port) for port in re.findall(r"listen (\d+)", PROXY)}
    ports = {one["name"]: one["containerPort"] for one in FRONT["ports"]}
    assert listens == set(ports.values())
    assert [one["targetPort"] for one in named("Service")["spec"]["ports"]] == ["https"]
    probed = (SERVICE["livenessProbe"], FRONT["readinessProbe"])
    assert {one["httpGet"]["port"] for one in probed} == {ports["watch"]}
    assert {one["httpGet"]["path"] for one in probed} == {"/ping"}
    allowed = [
        port["port"] for rule in named("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]
    ]
    assert allowed == [ports["https"], ports["watch"]]
    # Not asked for by the service: it is closed to others.
    assert "ports" not in SERVICE


def test_the_proxy_is_bound_to_what_the_service_does() -> None:
    usual = ServerOptions()
    assert f"server 127.0.0.1:{usual.ports.inference};" in PROXY
    assert f"proxy_pass http://127.0.0.1:{usual.ports.metrics};" in PROXY
    assert f"client_max_body_size {usual.max_request_bytes};" in PROXY
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;  # TorchServe", PROXY)
    assert int(seconds) > usual.response_timeout_s
    assert f"TorchServe gives up after {usual.response_timeout_s}" in PROXY


def test_every_volume_is_there_and_used() -> None:
    volumes = {volume["name"] for volume in POD["volumes"]}
    mounted = [
        mount["name"] for container in POD["containers"] for mount in container["volumeMounts"]
    ]
    assert volumes == set(mounted)
    assert len(mounted) == len(set(mounted))
    kustomization = yaml.safe_load((PRODUCTION / "kustomization.yaml").read_text())
    (generated,) = kustomization["configMapGenerator"]
    (projected,) = [volume["projected"] for volume in POD["volumes"] if "projected" in volume]
    (map_of,) = [one["configMap"] for one in projected["sources"] if "configMap" in one]
    assert generated["name"] == map_of["name"]
    files = [*generated["files"], *kustomization["resources"]]
    assert all((PRODUCTION / file).is_file() for file in files)
    assert {"tls/tls.crt", "tls/tls.key"} == {
        item["path"]
        for one in projected["sources"]
        for item in one.get("secret", {}).get("items", ())
    }
    (image,) = kustomization["images"]
    assert SERVICE["image"].startswith(f"{image['name']}:")


def test_all_mean_the_same_pods_and_none_may_more_than_it_needs() -> None:
    labels = named("Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        named("Deployment")["spec"]["selector"]["matchLabels"],
        named("Service")["spec"]["selector"],
        named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        named("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    assert POD["securityContext"]["runAsNonRoot"]
    assert not POD["automountServiceAccountToken"]
    for container in POD["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
