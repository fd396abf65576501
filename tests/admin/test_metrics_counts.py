"""Each thing that happens moves just its own numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics import Metrics, Watched, summed

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(registry: CollectorRegistry) -> Samples:
    """What a scraper sees, by name and labels; the process's own numbers left out."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("precondition_")
    }


def moved(metrics: Metrics, act: Callable[[], None]) -> dict[str, float]:
    """What `act` changed, written as in PromQL, the buckets of histograms left out."""
    before = samples(metrics.registry)
    act()
    return {
        name + "{" + ",".join(f"{key}={value}" for key, value in sorted(labels)) + "}": value
        for (name, labels), value in samples(metrics.registry).items()
        if value != before.get((name, labels), 0) and not name.endswith("_bucket")
    }


Act = Callable[[Metrics], None]
TABLE: list[tuple[Act, dict[str, float]]] = [
    (
        lambda m: m.request("/a", "GET", 200, 0.25),
        {
            "requests_total{method=GET,route=/a,status=200}": 1,
            "request_seconds_count{route=/a}": 1,
            "request_seconds_sum{route=/a}": 0.25,
        },
    ),
    (
        lambda m: m.request("/a", "BREW", 999, 0.5),
        {
            "requests_total{method=other,route=/a,status=other}": 1,
            "request_seconds_count{route=/a}": 1,
            "request_seconds_sum{route=/a}": 0.5,
        },
    ),
    (
        lambda m: m.request("/a", "PUT", 412, 0.25, "refused", "If-Match", "stale_tag"),
        {
            "requests_total{method=PUT,route=/a,status=412}": 1,
            "request_seconds_count{route=/a}": 1,
            "request_seconds_sum{route=/a}": 0.25,
            "outcomes_total{condition=If-Match,method=PUT,outcome=refused,reason=stale_tag,route=/a}": 1,
        },
    ),
    (
        lambda m: m.request("/a", "get", 200, 0.25, "passed"),
        {
            "requests_total{method=other,route=/a,status=200}": 1,
            "request_seconds_count{route=/a}": 1,
            "request_seconds_sum{route=/a}": 0.25,
            "outcomes_total{condition=none,method=other,outcome=passed,reason=none,route=/a}": 1,
        },
    ),
    (lambda m: m.probe("/a", "unknown"), {"probes_total{reason=unknown,route=/a}": 1}),
    (lambda m: m.recorded("read"), {"versions_recorded_total{source=read}": 1}),
    (lambda m: m.observation("changed"), {"observations_total{result=changed}": 1}),
    (lambda m: m.claim_wait(2), {"claim_wait_seconds_count{}": 1, "claim_wait_seconds_sum{}": 2}),
    (lambda m: m.lease_lost(), {"leases_lost_total{}": 1}),
    (lambda m: m.changed_behind("/a"), {"changes_behind_total{route=/a}": 1}),
    (lambda m: m.unrecorded("/a"), {"unrecorded_reads_total{route=/a}": 1}),
    (
        lambda m: m.ignored("/a", "If-Modified-Since"),
        {"ignored_conditions_total{condition=If-Modified-Since,route=/a}": 1},
    ),
    (
        lambda m: m.store_call("claim", 0.5, ok=True),
        {"store_seconds_count{operation=claim}": 1, "store_seconds_sum{operation=claim}": 0.5},
    ),
    (
        lambda m: m.store_call("claim", 0.5, ok=False),
        {
            "store_seconds_count{operation=claim}": 1,
            "store_seconds_sum{operation=claim}": 0.5,
            "store_errors_total{operation=claim}": 1,
        },
    ),
    (
        lambda m: m.upstream_call(0.5, "ok"),
        {"upstream_seconds_count{}": 1, "upstream_seconds_sum{}": 0.5},
    ),
    (
        lambda m: m.upstream_call(0.5, "timeout"),
        {
            "upstream_seconds_count{}": 1,
            "upstream_seconds_sum{}": 0.5,
            "upstream_errors_total{outcome=timeout}": 1,
        },
    ),
    (lambda m: m.watch(Watched.REQUESTS_IN_FLIGHT, lambda: 7), {"requests_in_flight{}": 7}),
    (lambda m: m.watch(Watched.ACCESS_LINES_LOST, lambda: 3), {"access_lines_lost_total{}": 3}),
]


@pytest.mark.parametrize(("act", "expected"), TABLE)
def test_what_moves(act: Act, expected: dict[str, float]) -> None:
    metrics = Metrics(["/a", "default"], version="1.2.3")
    assert moved(metrics, lambda: act(metrics)) == {f"precondition_{k}": v for k, v in expected.items()}


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, "0.0005"), (0.0005, "0.0005"), (0.0006, "0.001"), (30, "30.0"), (31, "+Inf")],
)
def test_a_duration_is_in_every_bucket_from_its_own_up(seconds: float, bucket: str) -> None:
    metrics = Metrics(["/a"])
    metrics.request("/a", "GET", 200, seconds)
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in samples(metrics.registry).items()
        if name == "precondition_request_seconds_bucket"
    }
    filled = [bound for bound, value in buckets.items() if value == 1]
    assert min(filled, key=float) == bucket
    assert all(value == (float(bound) >= float(bucket)) for bound, value in buckets.items())


@pytest.mark.parametrize("route", ["/a", "default"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("outcome", "condition", "reason"),
    [
        ("refused", "If-Match", "stale_tag"),
        ("refused", "none", "required"),
        ("replayed", "If-Match", "stale_tag"),
    ],
)
def test_refusals_are_zero_before_the_first(
    route: str, method: str, outcome: str, condition: str, reason: str
) -> None:
    labels = {"route": route, "method": method, "condition": condition, "reason": reason}
    labels["outcome"] = outcome
    seen = samples(Metrics(["/a", "default"]).registry)
    assert seen["precondition_outcomes_total", frozenset(labels.items())] == 0


RARE = {
    "suspicions_judged_total": ("finding", {"unstable", "written"}),
    "unfit_content_total": ("fault", {"not_json", "missing", "unusable", "too_slow"}),
    "mended_tags_total": ("how", {"suffix", "weak"}),
    "ignored_conditions_total": ("condition", {"If-Modified-Since", "If-Unmodified-Since"}),
}


@pytest.mark.parametrize("name", RARE)
def test_what_is_rare_is_zero_before_the_first_on_every_route(name: str) -> None:
    label, values = RARE[name]
    seen = samples(Metrics(["/a", "default"]).registry)
    for route in ("/a", "default"):
        found = {
            dict(labels)[label]: value
            for (series, labels), value in seen.items()
            if series == f"precondition_{name}" and ("route", route) in labels
        }
        assert found == dict.fromkeys(values, 0)


def test_numbers_of_two_processes_add_up() -> None:
    one, two, shown = (Metrics(["/a"], version="1.2.3") for _ in range(3))
    for number, metrics in enumerate((one, two), 1):
        for act, _ in TABLE:
            for _ in range(number):
                act(metrics)
    shown.show(summed([one.state(), two.state()]))
    first, both = samples(one.registry), samples(shown.registry)
    assert both.keys() == samples(two.registry).keys()
    gauges = {"precondition_requests_in_flight": 2, "precondition_access_lines_lost_total": 2}
    for (name, labels), value in first.items():
        times = 1 if name == "precondition_build_info" else gauges.get(name, 3)
        assert both[name, labels] == pytest.approx(times * value), name


def test_gauges_end_with_their_process_and_counts_do_not() -> None:
    metrics, shown = Metrics(["/a"]), Metrics()
    for act, _ in TABLE:
        act(metrics)
    shown.show(metrics.counted(metrics.state()))
    seen = {name for name, _ in samples(shown.registry)}
    assert "precondition_requests_in_flight" not in seen
    assert {"precondition_access_lines_lost_total", "precondition_requests_total"} <= seen


def test_unknown_methods_and_statuses_add_one_series_in_all() -> None:
    metrics = Metrics(["/a"])
    before = len(samples(metrics.registry))
    for number in range(1000):
        metrics.request("/a", f"M{number}", 600 + number, 0, "passed")
    assert len(samples(metrics.registry)) == before + 2


def test_what_nobody_watches_has_no_sample() -> None:
    names = {name for name, _ in samples(Metrics().registry)}
    assert "precondition_store_ready" not in names


def test_build_info_names_the_version() -> None:
    [labels] = [
        dict(labels)
        for name, labels in samples(Metrics(version="1.2.3").registry)
        if name == "precondition_build_info"
    ]
    assert labels["version"] == "1.2.3"
    assert labels["python"].startswith("3.")
