"""What a client would rather get (RFC 7240 section 2)."""

from __future__ import annotations

import time

import pytest

from proxy.rules.preferences import wants_representation

ROWS = [
    ([], False),
    ([""], False),
    (["return=representation"], True),
    (["Return=Representation"], True),
    (['return="representation"'], True),
    ([r'return="repre\sentation"'], True),
    (["return = representation"], True),
    (["return=representation; x=1; y"], True),
    (["respond-async, wait=10", "return=representation"], True),
    ([",, return=representation ,"], True),
    (["return=minimal"], False),
    (["return"], False),
    (['return=""'], False),
    (["return=minimal, return=representation"], False),
    (["return=representation, return=minimal"], True),
    (["return=minimal", "return=representation"], False),
    (['x="return=representation"'], False),
    (['x="a, return=representation"'], False),
    (["x; return=representation"], False),
    (["no-return=representation"], False),
    (["return=representations"], False),
    (["return=(representation)"], False),
    (['x="open, return=representation'], False),
    (["a=1 b, return=representation"], False),
]


@pytest.mark.parametrize(("lines", "wanted"), ROWS)
def test_return_representation(lines: list[str], wanted: bool) -> None:
    assert wants_representation(lines) is wanted


@pytest.mark.parametrize("piece", [",", ";", " ", "\t;", 'a="', "a=1;", '"\\', "a,"])
def test_nothing_is_looked_at_for_long(piece: str) -> None:
    began = time.perf_counter()
    assert not wants_representation([(piece * 2000)[:1990] + "!"])
    assert not wants_representation([piece * 100_000])
    assert time.perf_counter() - began < 0.5
