"""deploy/kubernetes and deploy/helm: built by kubectl and Helm, held to the schemas, read by the proxy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.deployed import DEPLOY, library, ran, tool

from proxy.settings import Settings

KUBERNETES = DEPLOY / "kubernetes"
CHART = DEPLOY / "helm" / "precondition-proxy"
VERSIONS = ("1.30", "1.37")  # the oldest with preStop.sleep, and the newest that the schemas know
OPERATOR = json.loads((Path(__file__).parent / "schemas" / "prometheus_operator.json").read_text("utf-8"))
Manifest = dict[str, Any]


def kustomized(folder: str) -> list[Manifest]:
    """What `kubectl apply -k` would send."""
    return list(yaml.safe_load_all(ran(tool("kubectl"), "kustomize", KUBERNETES / folder)))


def rendered(chart: Path, values: dict[str, Any]) -> list[Manifest]:
    """What `helm install` would send."""
    with library("helm_python").Chart.load(str(chart)) as loaded:
        loaded.validate_schema(values)
        texts = loaded.render(values, name="demo", namespace="shop").values()
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


ALONE = {
    "config": {"listen": ":8412", "admin": ":9412", "upstream": "http://notes:8080"},
    "deployment": {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "annotations": {"c": "d"},
    },
    "imagePullSecrets": [{"name": "pull"}],
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Gateways"}},
}
SIDECAR = {"deployment": {"enabled": False}, "podMonitor": {"enabled": True}, "config": ALONE["config"]}
WAYS: dict[str, Callable[[], list[Manifest]]] = {
    "base": lambda: kustomized("base"),
    "example": lambda: kustomized("example"),
    "helm, alone": lambda: rendered(CHART, ALONE),
    "helm, sidecar": lambda: rendered(CHART, SIDECAR),
}


@pytest.fixture(scope="module", params=WAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """All that one way of deploying brings."""
    return WAYS[request.param]()


def containers(manifests: list[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    """Every container, with its pod's spec."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            for container in (*pod.get("initContainers", []), *pod["containers"]):
                yield pod, container


def proxies(manifests: list[Manifest]) -> list[tuple[Manifest, dict[str, Any]]]:
    """The proxy's containers."""
    return [(pod, one) for pod, one in containers(manifests) if one["name"] == "precondition-proxy"]


def configured(manifests: list[Manifest], pod: Manifest) -> Settings:
    """The configuration as the proxy in this pod would read it."""
    [name] = [volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "proxy-config"]
    maps = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "ConfigMap"}
    return read(maps[name]["data"]["proxy.yaml"])


def read(text: str) -> Settings:
    """As from a file."""
    values = yaml.safe_load(text)
    return Settings.model_validate(values)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_allow_it(manifests: list[Manifest], version: str) -> None:
    schemas = library("kubernetes_validate")
    for manifest in manifests:
        if not manifest["apiVersion"].startswith("monitoring"):
            schemas.validate(manifest, version, strict=True)


def of_the_operator(manifest: Manifest) -> None:
    """Raises where the Prometheus operator's custom resource definition does not allow it."""
    jsonschema.validate(manifest, OPERATOR | {"$ref": f"#/$defs/{manifest['kind']}"})


def test_the_prometheus_operators_schemas_allow_it(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["apiVersion"].startswith("monitoring"):
            of_the_operator(manifest)


def test_every_container_keeps_to_the_restricted_pod_security_standard(manifests: list[Manifest]) -> None:
    for pod, container in containers(manifests):
        context = pod.get("securityContext", {}) | container["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= container["resources"].keys()


def test_a_sidecar_starts_before_and_stops_after_its_backend() -> None:
    for pod, container in proxies(kustomized("example")):
        assert container in pod["initContainers"]
        assert container["restartPolicy"] == "Always"


def test_all_health_is_asked_on_the_admin_port_and_only_the_start_waits_for_the_store(
    manifests: list[Manifest],
) -> None:
    for _, container in proxies(manifests):
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
        assert {probe["port"] for probe in probes.values()} == {"proxy-admin"}
        assert [probe["path"] for probe in probes.values()] == ["/readyz", "/healthz", "/healthz"]


def test_a_start_outlasts_the_grace_period_of_a_new_store(manifests: list[Manifest]) -> None:
    for pod, container in proxies(manifests):
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] > configured(manifests, pod).lease


def test_there_is_time_to_leave_the_endpoints_and_to_drain(manifests: list[Manifest]) -> None:
    for pod, _ in proxies(manifests):
        sleeps = [
            container["lifecycle"]["preStop"]["sleep"]["seconds"]
            for container in pod["containers"]
            if "lifecycle" in container
        ]
        assert sleeps
        assert pod["terminationGracePeriodSeconds"] >= sum(sleeps) + configured(manifests, pod).drain


def test_the_ports_are_those_of_the_configuration(manifests: list[Manifest]) -> None:
    for pod, container in proxies(manifests):
        settings = configured(manifests, pod)
        assert settings.admin is not None
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"proxy-http": settings.listen.port, "proxy-admin": settings.admin.port}
        # The kubelet does not come from the pod's own loopback.
        assert not settings.listen.loopback
        assert not settings.admin.loopback


def test_services_policies_and_budgets_select_pods_that_there_are(manifests: list[Manifest]) -> None:
    pods = [one["spec"]["template"] for one in manifests if one["kind"] == "Deployment"]
    for manifest in manifests if pods else []:
        if manifest["kind"] == "Service":
            wanted = manifest["spec"]["selector"]
        elif manifest["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            wanted = manifest["spec"].get("podSelector", manifest["spec"].get("selector"))["matchLabels"]
        else:
            continue
        chosen = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        assert chosen, manifest["metadata"]["name"]
        names = {
            port["name"]
            for pod in chosen
            for one in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"])
            for port in one.get("ports", [])
        }
        targets = [port["targetPort"] for port in manifest["spec"].get("ports", [])]
        entries = manifest["spec"].get("ingress", [])
        allowed = [port["port"] for entry in entries for port in entry["ports"]]
        assert {*targets, *allowed} <= names


def test_nobody_gets_past_the_proxy() -> None:
    manifests = kustomized("example")
    [policy] = [
        one
        for one in manifests
        if one["metadata"]["name"] == "precondition-proxy"
        and "spec" in one
        and one["kind"] == "NetworkPolicy"
    ]
    open_to_all = [entry for entry in policy["spec"]["ingress"] if "from" not in entry]
    assert [port["port"] for entry in open_to_all for port in entry["ports"]] == ["proxy-http"]
    [(pod, _)] = proxies(manifests)
    assert configured(manifests, pod).upstream.url.startswith("http://127.0.0.1:")


def test_the_alerts_of_the_operator_are_those_of_the_file() -> None:
    rule = yaml.safe_load((KUBERNETES / "monitoring" / "prometheusrule.yaml").read_text("utf-8"))
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))


def test_the_alerts_and_the_dashboard_of_the_chart_are_those_of_the_files() -> None:
    manifests = rendered(CHART, ALONE)
    [rule] = [one for one in manifests if one["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    [board] = [one for one in manifests if one["metadata"]["name"].endswith("-dashboard")]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    [content] = board["data"].values()
    assert content == (DEPLOY / "grafana" / "dashboards" / "precondition-proxy.json").read_text("utf-8")


def test_labels_by_which_a_prometheus_chooses() -> None:
    kinds = {
        one["kind"]
        for one in rendered(CHART, ALONE)
        if one["metadata"]["labels"].get("release") == "prometheus"
    }
    assert kinds == {"ServiceMonitor", "PrometheusRule"}


def test_the_chart_brings_nothing_for_monitoring_unless_told_to() -> None:
    manifests = rendered(CHART, {"config": ALONE["config"]})
    assert not {one["kind"] for one in manifests} & {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert not any(one["metadata"]["name"].endswith("-dashboard") for one in manifests)


def test_the_service_monitor_is_of_the_operators_type() -> None:
    manifest = yaml.safe_load((KUBERNETES / "monitoring" / "servicemonitor.yaml").read_text("utf-8"))
    of_the_operator(manifest)
    with pytest.raises(jsonschema.ValidationError):
        of_the_operator(manifest | {"spec": {**manifest["spec"], "endpoint": []}})


def test_helm_finds_nothing_wrong_but_the_missing_icon() -> None:
    found = library("helm_python").lint(str(CHART))
    assert not found["errors"]
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "config.upstream says where the backend is"),
        ({"config": {"listen": "here", "upstream": "http://a"}}, "must end in a port"),
        ({"replicas": 3}, "replicas"),
        ({"deployment": {"replicas": "three"}}, "replicas"),
        ({"dashboard": {"labels": {"grafana_dashboard": 1}}}, "grafana_dashboard"),
    ],
)
def test_helm_says_what_is_wrong_with_values(values: dict[str, Any], said: str) -> None:
    helm = library("helm_python")
    with pytest.raises(helm.HelmError, match=said):
        rendered(CHART, values)


PARENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop, precondition-proxy: sidecar}
      annotations:
        {{- include "precondition-proxy.checksum" (index .Subcharts "precondition-proxy") | nindent 8 }}
    spec:
      initContainers:
        {{- include "precondition-proxy.sidecar" (index .Subcharts "precondition-proxy") | nindent 8 }}
      containers:
        - {name: shop, image: "shop:1"}
      volumes:
        {{- include "precondition-proxy.volumes" (index .Subcharts "precondition-proxy") | nindent 8 }}
"""


def test_another_chart_can_take_the_sidecar_into_its_own_pods(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "precondition-proxy")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "deployment.yaml").write_text(PARENT)
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: shop, version: 1.0.0}")
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"precondition-proxy": SIDECAR}))
    manifests = rendered(tmp_path, {})
    [(pod, container)] = proxies(manifests)
    assert container["restartPolicy"] == "Always"
    assert configured(manifests, pod).upstream.url == "http://notes:8080"
    library("kubernetes_validate").validate(
        next(one for one in manifests if one["kind"] == "Deployment"), "1.34", strict=True
    )
