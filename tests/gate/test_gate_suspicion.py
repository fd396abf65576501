"""Which routes are verified, for how long, and what was found of them."""

from __future__ import annotations

from proxy.gate.suspicion import Suspicion


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_suspicion_ends_when_nothing_more_is_seen() -> None:
    clock = Clock()
    suspicion = Suspicion(clock, period=300)
    assert not suspicion.holds_for("/a")
    suspicion.raise_for("/a", "/a/1")
    clock.now += 200
    suspicion.raise_for("/a", "/a/2")
    clock.now += 299
    assert suspicion.holds_for("/a")
    assert not suspicion.holds_for("/b")
    clock.now += 1
    assert not suspicion.holds_for("/a")


def test_only_the_resource_that_raised_it_is_judged_and_that_once() -> None:
    suspicion = Suspicion(Clock())
    suspicion.raise_for("/a", "/a/1")
    suspicion.raise_for("/a", "/a/2")  # within the period: the first one will tell
    asked = ("/a/1", "/a/2", "/a/3")
    assert [key for key in asked if suspicion.to_judge("/a", key)] == ["/a/1"]
    suspicion.judge("/a", None)
    assert [key for key in asked if suspicion.to_judge("/a", key)] == []


def test_what_was_found_is_told_the_latest_first() -> None:
    clock = Clock()
    suspicion = Suspicion(clock, period=300)
    suspicion.raise_for("/a", "/a/1")
    assert [(one.route, one.kind) for one in suspicion.findings()] == [("/a", "suspected")]
    suspicion.judge("/a", None)
    clock.now += 100
    suspicion.raise_for("/b", "/b/1")
    suspicion.judge("/b", ["/at"])
    found = [(one.route, one.key, one.kind, one.parts, one.age, one.left) for one in suspicion.findings()]
    assert found == [
        ("/b", "/b/1", "unstable", ("/at",), 0.0, 300.0),
        ("/a", "/a/1", "written", (), 100.0, 200.0),
    ]


def test_all_routes_may_be_suspicious_for_ever() -> None:
    clock = Clock()
    suspicion = Suspicion(clock)
    suspicion.raise_for_all()
    clock.now += 1e9
    assert suspicion.holds_for("/any")
