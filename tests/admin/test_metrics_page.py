"""docs/metrics.md and the registry say the same."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import generate_latest

from proxy.metrics import Metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

Kind = tuple[str, tuple[str, ...]]


def listed() -> dict[str, Kind]:
    """Name to type and labels, as the page has them; every row has five columns."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    kinds: dict[str, Kind] = {}
    for name, kind, labels, meaning, _watch in rows:
        assert meaning.strip()
        kinds[name.strip(" `")] = (kind.strip(), tuple(re.findall(r"`(\w+)`", labels)))
    assert len(kinds) == len(rows), "a metric is listed twice"
    return kinds


def test_the_page_lists_just_what_there_is() -> None:
    assert listed() == {it.name: (it.kind, it.labels) for it in Metrics().described()}


def test_the_registry_exposes_just_what_is_described() -> None:
    metrics = Metrics()
    text = generate_latest(metrics.registry).decode()
    exposed = set(re.findall(r"^# TYPE (precondition_\w+) \w+$", text, re.MULTILINE))
    assert exposed == {it.name for it in metrics.described()}


def test_the_queries_name_metrics_that_there_are() -> None:
    queries = "".join(re.findall(r"```promql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    names = set(re.findall(r"precondition_\w+", queries))
    assert names
    assert names <= set(listed())
