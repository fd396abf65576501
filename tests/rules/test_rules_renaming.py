"""Whether other routes leave every resource its name."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.renaming import naming, same_names
from proxy.rules.routing import Mode, Route, Router, Verify

DEFAULT = Route()
OFF = Route(mode=Mode.OFF)
PUT = frozenset({"PUT"})

# fmt: off
ROWS = [
    # what                           before                                            after                                                     same
    ("nothing",                      [],                                               [],                                                       True),
    ("a route more",                 [],                                               [Route("/a", require=PUT)],                               True),
    ("report for enforce",           [Route("/a")],                                    [Route("/a", mode=Mode.REPORT)],                          True),
    ("other options",                [Route("/a")],                                    [Route("/a", verify=Verify.ALWAYS, invalidates=("/b",))], True),
    ("turned off",                   [Route("/a")],                                    [Route("/a", mode=Mode.OFF)],                             False),
    ("turned on",                    [Route("/a", mode=Mode.OFF)],                     [Route("/a")],                                            False),
    ("off, and another route",       [Route("/s/{p*}", mode=Mode.OFF)],                [Route("/a/{id}"), Route("/s/{p*}", mode=Mode.OFF)],      True),
    ("off, and another one behind",  [Route("/s/{p*}", mode=Mode.OFF)],                [Route("/s/{p*}", mode=Mode.OFF), Route("/s/{id}")],      True),
    ("off, and one of its paths on", [Route("/s/{p*}", mode=Mode.OFF)],                [Route("/s/api"), Route("/s/{p*}", mode=Mode.OFF)],       False),
    ("case",                         [Route("/a")],                                    [Route("/a", case_insensitive=True)],                     False),
    ("a last slash",                 [Route("/a")],                                    [Route("/a", trailing_slash="same")],                     False),
    ("slashes",                      [Route("/a")],                                    [Route("/a", merge_slashes=True)],                        False),
    ("the query",                    [Route("/a")],                                    [Route("/a", query=frozenset())],                         False),
    ("what its writes change",       [Route("/a/b")],                                  [Route("/a/b", resource="/a")],                           False),
    ("what goes with it",            [Route("/a", collections=True)],                  [Route("/a")],                                            False),
    ("who asks",                     [Route("/a")],                                    [Route("/a", vary_by=("cookie:sid",))],                   False),
]
# fmt: on


@pytest.mark.parametrize(("what", "before", "after", "same"), ROWS, ids=[row[0] for row in ROWS])
def test_same_names(what: str, before: list[Route], after: list[Route], same: bool) -> None:  # noqa: ARG001
    assert same_names((*before, DEFAULT), (*after, DEFAULT)) is same


def test_the_default_counts() -> None:
    assert not same_names((DEFAULT,), (OFF,))
    assert same_names((Route("/a"), OFF), (Route("/a", require=PUT), OFF))


routes = st.lists(
    st.builds(
        Route,
        st.sampled_from(["/a", "/a/b", "/a/{x}", "/{x}/b", "/a/{x*}", "/b", "/A", "/{x*}"]),
        mode=st.sampled_from([Mode.ENFORCE, Mode.OFF]),
        case_insensitive=st.booleans(),
        trailing_slash=st.sampled_from(["distinct", "same"]),
    ),
    max_size=4,
)


@given(
    routes, routes, st.sampled_from(["/a", "/A", "/a/", "/a/b", "/A/b", "/a/c", "/b", "/b/b", "/a/b/c", "/c"])
)
def test_a_yes_is_sure(before: list[Route], after: list[Route], path: str) -> None:
    old, new = Router(before, DEFAULT), Router(after, DEFAULT)
    if same_names((*before, DEFAULT), (*after, DEFAULT)):
        assert naming(old.find(path)) == naming(new.find(path))


@given(routes, st.integers(0, 4), st.sampled_from(["/a", "/A", "/a/", "/a/b", "/b", "/b/b", "/c"]))
def test_a_yes_is_sure_of_one_route_more(before: list[Route], at: int, path: str) -> None:
    after = [*before[:at], Route("/a/{y}"), *before[at:]]
    old, new = Router(before, DEFAULT), Router(after, DEFAULT)
    if same_names((*before, DEFAULT), (*after, DEFAULT)):
        assert naming(old.find(path)) == naming(new.find(path))
