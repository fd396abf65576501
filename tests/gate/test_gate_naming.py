"""What a target names is remembered: never across hosts or fields that matter, never without bound."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.body import Body
from proxy.exchange import Request
from proxy.gate.naming import Names
from proxy.rules.recent import Recent
from proxy.rules.routing import Mode, Route, Router


def names(*routes: Route) -> Names:
    return Names(Router(routes, Route()))


def request(target: str, *lines: tuple[str, str]) -> Request:
    headers = CIMultiDictProxy(CIMultiDict(lines))
    return Request("GET", target, tuple((a.encode(), b.encode()) for a, b in lines), headers, Body())


def remembered(house: Names) -> int:
    return len(house._recent)


def test_the_same_target_is_named_once() -> None:
    house = names()
    assert house.of(request("/a/%61", ("Host", "x"))) is house.of(request("/a/%61", ("Host", "x")))


def test_two_hosts_are_two_spellings_of_one_resource() -> None:
    house = names()
    one, other = (house.of(request("/a", ("Host", host))) for host in ("x", "y"))
    assert one.key == other.key
    assert one.mark != other.mark


def test_what_depends_on_other_fields_is_not_remembered() -> None:
    house = names(Route(match="/a", vary_by=("cookie:tenant",)))
    keys = {house.of(request("/a", ("Host", "x"), ("Cookie", f"tenant={name}"))).key for name in "abc"}
    assert len(keys) == 3
    assert not remembered(house)


def test_long_targets_are_not_remembered() -> None:
    house = names()
    for number in range(10):
        house.of(request(f"/made-up-{number}/" + "a" * 300))
    assert not remembered(house)


def test_the_memory_is_bounded() -> None:
    house = names()
    house._recent = Recent(10)
    for number in range(1000):
        house.of(request("/often"))
        house.of(request(f"/{number}"))
        assert len({*house._recent, *house._recent._old}) <= 15
    assert house._recent.recall(("/often", "")) is not None


@pytest.mark.parametrize(
    ("target", "route", "doubt", "key"),
    [
        ("/a/b", "default", None, "/a/b"),
        ("/off/b", "/off/{path*}", None, ""),
        ("/off/%2e%2e/a", "default", None, "/a"),
        ("/off/..%2Fa", "/off/{path*}", "an encoded slash (%2F)", ""),
        ("/a%2Fb", "default", "an encoded slash (%2F)", ""),
        ("/off//a", "/off/{path*}", None, ""),
        ("//off/a", "default", "an empty segment (//), without which another route applies", ""),
    ],
)
def test_named(target: str, route: str, doubt: str | None, key: str) -> None:
    named = names(Route(match="/off/{path*}", mode=Mode.OFF)).of(request(target))
    assert (named.route.match, named.doubt, named.key) == (route, doubt, key)
