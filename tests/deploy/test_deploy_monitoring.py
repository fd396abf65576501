"""The dashboard and the alerts: by promtool, against the registry, and in a real Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.deployed import DEPLOY, ROOT, Stack, free_ports, ran, running, status, tool, wait_until

from proxy.metrics import Metrics

PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "precondition-proxy.json"
# What a scrape adds, and what the Python client's own process collector has.
TARGET = {"job", "instance", "le"}
OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}
VARIABLES = {"$job": ".*", "$route": ".*", "$__rate_interval": "10s", "$__range": "1m"}


def panels() -> list[dict[str, Any]]:
    """Those that show something."""
    found = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def shown() -> list[tuple[str, str]]:
    """Title of the panel and expression, for every query of the dashboard."""
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """All PromQL that is shipped in files."""
    return [expression for _, expression in shown()] + [alert["expr"] for alert in alerts()]


def known() -> dict[str, set[str]]:
    """Every sample's name in the registry, with its labels."""
    names: dict[str, set[str]] = {}
    for metric in Metrics().described():
        endings = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {metric.name + ending: set(metric.labels) | TARGET for ending in endings}
    return names


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_and_label_that_is_asked_for_exists(expression: str) -> None:
    names = known()
    asked = set(re.findall(r"\b(precondition_\w+)", expression))
    assert asked <= names.keys()
    for name, selector in re.findall(r"\b(precondition_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= names[name]
    labels = set().union(*(names[name] for name in asked), TARGET)
    for grouping in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", grouping)) <= labels


def test_nothing_is_asked_for_that_is_neither_ours_nor_known() -> None:
    everything = re.sub(r'"[^"]*"', "", " ".join(expressions()))
    words = set(re.findall(r"\b([a-zA-Z_]\w*)(?=\{|\[)", everything))
    assert {word for word in words if not word.startswith("precondition_")} <= OTHERS


def test_the_rules_and_the_configuration_are_valid() -> None:
    ran(tool("promtool"), "check", "rules", "--lint-fatal", PROMETHEUS / "alerts.yml")
    ran(tool("promtool"), "check", "config", PROMETHEUS / "prometheus.yml")


def test_the_alerts_fire_where_they_should_and_not_on_an_ordinary_day() -> None:
    ran(tool("promtool"), "test", "rules", PROMETHEUS / "alerts_test.yml")


def test_no_alert_goes_untested() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {alert["alert"] for alert in alerts()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_has_words_for_the_person_who_gets_it(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}


def test_every_panel_says_what_it_shows_and_has_a_place_of_its_own() -> None:
    whole = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in whole}) == len(whole)
    taken: set[tuple[int, int]] = set()
    for panel in whole:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_finds_the_dashboard_and_the_data_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "files.yaml").read_text("utf-8"))["providers"]
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    assert mounts["../grafana/dashboards"] == provider["options"]["path"]
    assert mounts["../grafana/provisioning"] == "/etc/grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"


# A real Prometheus at a real proxy.

ROUTES = [
    {"match": "/notes/{id}", "require": ["PUT"]},
    {"match": "/notes", "mode": "report", "guard": ["POST"]},
]


def traffic(port: int) -> None:
    """A little of everything: a read, a 304, a write, a 412, a 428, one that is only reported."""
    note = f"http://127.0.0.1:{port}/notes/1"
    curl = [tool("curl"), "-s", "-o", "/dev/null"]
    tag = ran(*curl, "-w", "%header{etag}", note)
    body = ["-H", "Content-Type: application/json", "-d", '{"title": "x"}']
    ran(*curl, note, "-H", f"If-None-Match: {tag}")
    for _ in range(2):
        ran(*curl, "-X", "PUT", note, "-H", f"If-Match: {tag}", *body)
    ran(*curl, "-X", "PUT", note, *body)
    ran(*curl, f"http://127.0.0.1:{port}/notes", "-H", 'If-Match: "old"', *body)
    ran(*curl, note, "-H", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prometheus that has seen traffic through a proxy."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Stack().up(PROXY_ROUTES=json.dumps(ROUTES), PROXY_LOG__LEVEL="error") as stack:
        [port] = free_ports(1)
        job = {
            "job_name": "precondition-proxy",
            "static_configs": [{"targets": [f"127.0.0.1:{stack.admin}"]}],
        }
        told = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [str(PROMETHEUS / "alerts.yml")],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yml").write_text(json.dumps(told))
        command = [tool("prometheus"), f"--config.file={folder}/prometheus.yml"]
        command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with running(*command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            wait_until(lambda: status(port, "/-/ready") == 200, "Prometheus")
            wait_until(lambda: asked(port, "precondition_build_info"), "the first scrape")
            traffic(stack.listen)
            seen = 'min_over_time(precondition_outcomes_total{outcome="reported"}[1s]) > 0'
            wait_until(
                lambda: asked(port, f"count_over_time(({seen})[2s:200ms]) > 3"), "scrapes of the traffic"
            )
            yield port


def asked(port: int, query: str) -> list[Any]:
    """What Prometheus answers."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=5) as response:
        return list(json.load(response)["data"]["result"])


def filled(expression: str) -> str:
    """With the dashboard's variables put in."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def test_every_panel_has_something_to_show(prometheus: int) -> None:
    empty = {title for title, query in shown() if not asked(prometheus, filled(query))}
    # Nothing failed in that traffic.
    assert empty <= {"Writes that failed, and leases lost"}


def test_the_dashboard_counts_what_happened(prometheus: int) -> None:
    [prevented] = [query for title, query in shown() if title == "Lost updates prevented"]
    total = filled(prevented).replace("increase(", "last_over_time(")
    assert float(asked(prometheus, total)[0]["value"][1]) == 1.0


def test_the_rules_are_evaluated_and_nothing_is_wrong(prometheus: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{prometheus}/api/v1/rules") as response:
        groups = json.load(response)["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(alerts())
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing <= {"PreconditionProxyConditionsIgnored"}  # notes have no modification date
