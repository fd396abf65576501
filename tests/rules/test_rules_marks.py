"""Dates that versions share, Hosts and targets that names share: what keeps them apart, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.aftermath import is_same, marked
from proxy.rules.etags import EntityTag
from proxy.rules.resources import other_route_path, read_target, spelling
from proxy.rules.routing import Route
from proxy.rules.variants import negotiated_by
from proxy.rules.versions import Version

A, B, C = (Version(EntityTag(name), modified=10) for name in "abc")
LATER = Version(EntityTag("b"), modified=11)
UNDATED = Version(EntityTag("a"))
DATE_ONLY = Version(None, modified=10)
WEAK_A = replace(A, shared_second=True)


@pytest.mark.parametrize(
    ("version", "erased", "becomes", "left"),
    [
        (B, (), B, ()),
        (UNDATED, (A,), UNDATED, (A,)),
        (B, (A,), replace(B, shared_second=True), ()),  # RFC 9110 section 8.8.2.2
        (LATER, (A,), LATER, ()),
        (A, (A,), A, ()),  # nothing changed
        (A, (WEAK_A,), WEAK_A, ()),  # and it was weak already
        (A, (A, B), A, (B,)),
        (A, (replace(A, variant="gzip"), B), A, (B,)),
        (DATE_ONLY, (DATE_ONLY,), replace(DATE_ONLY, shared_second=True), ()),  # it may be another
        (WEAK_A, (C,), WEAK_A, ()),
    ],
)
def test_a_date_that_an_erased_version_had_is_weak(
    version: Version, erased: tuple[Version, ...], becomes: Version, left: tuple[Version, ...]
) -> None:
    assert marked(version, erased) == (becomes, left)


@pytest.mark.parametrize(
    ("old", "seen", "same"),
    [
        (A, A, True),
        (A, WEAK_A, True),
        (A, UNDATED, True),  # HEAD often goes without a date
        (UNDATED, A, True),
        (A, replace(A, modified=11), False),
        (A, B, False),
        (UNDATED, B, False),
    ],
)
def test_what_shows_nothing_new(old: Version, seen: Version, same: bool) -> None:
    assert is_same(old, seen) is same


HERE = "a.example"


@pytest.mark.parametrize(
    ("route", "one", "other", "host", "same"),
    [
        (Route(), "/x", "/x", HERE, True),
        (Route(), "/x", "/%78", HERE, True),  # one canonical form
        (Route(), "/x", "/x", "A.Example:80", True),
        (Route(), "/x", "/x", "b.example", False),
        (Route(), "/x", "/y", HERE, False),
        (Route(), "/x", "/x?", HERE, False),
        (Route(), "/x", "/x;v=1", HERE, False),
        (Route(), "/x", "//x", HERE, False),
        (Route(merge_slashes=True), "/x", "//x", HERE, True),
        (Route(), "/x", "/X", HERE, False),
        (Route(case_insensitive=True), "/x", "/X", HERE, True),
        (Route(), "/x", "/x/", HERE, False),
        (Route(trailing_slash="same"), "/x", "/x/", HERE, True),
        (Route(), "/x?a=1", "/x?b=2&a=1", HERE, False),
        (Route(query=frozenset({"a"})), "/x?a=1", "/x?b=2&a=1", HERE, True),
        (Route(query=frozenset()), "/x", "/x?b=2", HERE, True),
        (Route(), "/" + "x" * 300, "/" + "x" * 300, HERE, True),
        (Route(), "/" + "x" * 300, "/" + "x" * 301, HERE, False),
    ],
)
def test_under_which_spelling_a_version_is_believed(
    route: Route, one: str, other: str, host: str, same: bool
) -> None:
    marks = spelling(route, read_target(one), HERE), spelling(route, read_target(other), host)
    assert (marks[0] == marks[1]) is same
    assert {len(mark) for mark in marks} == {8}


@pytest.mark.parametrize(("path", "merged"), [("/a/b", None), ("//a///b", "/a/b"), ("/a//", "/a/")])
def test_the_path_with_merged_slashes(path: str, merged: str | None) -> None:
    assert other_route_path(read_target(path)) == merged


@pytest.mark.parametrize(
    ("vary", "names"),
    [
        (None, []),
        ("Accept, Cookie, Accept-Encoding, X-Api-Key, ACCEPT-Language", ["accept", "accept-language"]),
        ("Origin", []),
    ],
)
def test_what_a_representation_is_negotiated_by(vary: str | None, names: list[str]) -> None:
    reply = CIMultiDict[str]() if vary is None else CIMultiDict({"Vary": vary})
    assert negotiated_by(CIMultiDictProxy(reply)) == names
