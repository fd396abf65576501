"""Which writes are taken for one that was carried out before, and what of its answer is told again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.rules.conditions import Conditions, parse_conditions
from proxy.rules.minting import Minter
from proxy.rules.replay import (
    DIGEST,
    MOST,
    Remembered,
    answered_again,
    head,
    packed,
    recognisable,
    sender,
    unpacked,
)

Fields = dict[str, str]
MATCH = {"If-Match": '"a"'}
NEW = {"If-None-Match": "*"}
DATE = {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}
WHO = {"Authorization": "Bearer one"}
KEY = {"Idempotency-Key": '"k"'}


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({**MATCH, **WHO}, True),
        ({**DATE, **WHO}, True),
        ({**MATCH, "Cookie": "sid=1"}, True),
        ({**MATCH, "Proxy-Authorization": "Basic eA=="}, True),
        ({**MATCH, **KEY}, True),
        ({**NEW, **KEY}, True),
        pytest.param(MATCH, False, id="nobody in particular: two may write the same"),
        pytest.param({**MATCH, "User-Agent": "x"}, False, id="everybody can say that"),
        pytest.param({**NEW, **WHO}, False, id="one of many creators wins (RFC 9110 section 13.1.2)"),
        pytest.param({**NEW, **MATCH, **WHO}, False, id="whatever it says besides"),
        pytest.param({**WHO, **KEY}, False, id="no condition, no refusal"),
    ],
)
def test_a_write_is_recognised_by_who_sends_it(fields: Fields, known: bool) -> None:
    conditions = parse_conditions("PUT", CIMultiDict(fields), now_year=2026)
    assert isinstance(conditions, Conditions)
    assert recognisable(conditions, CIMultiDict(fields)) is known


def name(fields: Fields, names: tuple[str, ...] = ("PUT", "/a"), peer: str = "192.0.2.1") -> bytes:
    """What stands for a write."""
    lines = [(one.encode(), value.encode()) for one, value in fields.items()]
    return Minter(b"secret").identify(head(names, sender(peer, lines), lines))


BASE = {"Host": "a", "If-Match": '"a"', "Authorization": "Bearer one", "Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param({"X-Request-ID": "2"}, True, id="each attempt has its own id"),
        pytest.param({"traceparent": "00-1-2-01", "X-B3-SpanId": "7"}, True, id="and its own span"),
        pytest.param({"Content-Length": "3", "Expect": "100-continue"}, True, id="framing"),
        pytest.param({"Transfer-Encoding": "chunked", "Connection": "close"}, True, id="this hop's"),
        ({"Authorization": "Bearer two"}, False),
        ({"Proxy-Authorization": "Basic eA=="}, False),
        ({"Cookie": "sid=1"}, False),
        ({"X-Api-Key": "x"}, False),
        ({"If-Match": '"b"'}, False),
        ({"If-Unmodified-Since": DATE["If-Unmodified-Since"]}, False),
        ({"Idempotency-Key": '"1"'}, False),
        ({"Content-Type": "application/json"}, False),
        ({"Content-Encoding": "gzip"}, False),
        ({"Accept": "text/html"}, False),
        ({"Host": "b"}, False),
        ({"X-Forwarded-For": "198.51.100.7"}, False),
    ],
)
def test_what_two_attempts_have_in_common(changed: Fields, same: bool) -> None:
    assert (name(BASE | changed) == name(BASE)) is same


def test_the_order_of_different_fields_does_not_matter_and_that_of_lines_does() -> None:
    assert name(dict(reversed(BASE.items()))) == name(BASE)
    lines = [(b"Cookie", b"a"), (b"Cookie", b"b")]
    assert sender("", lines) != sender("", lines[::-1])


@pytest.mark.parametrize("other", [("PATCH", "/a"), ("PUT", "/b"), ("PUT", "/", "a"), ("PUT/a",)])
def test_the_method_and_the_resource_count(other: tuple[str, ...]) -> None:
    assert name(BASE, other) != name(BASE)


def test_a_proxys_address_counts_only_where_it_speaks_for_nobody() -> None:
    said = {"X-Forwarded-For": "198.51.100.7"}
    assert name(BASE, peer="192.0.2.2") != name(BASE)
    assert name(BASE | said, peer="192.0.2.2") == name(BASE | said)


def test_a_name_tells_nothing_without_the_secret() -> None:
    parts = [b"PUT", b"Bearer one"]
    assert Minter(b"secret").identify(parts) != Minter(b"another").identify(parts)
    assert Minter(b"secret").identify([b"a", b"b"]) != Minter(b"secret").identify([b"ab", b""])
    assert len(Minter(b"secret").identify(parts)) == DIGEST


ANSWER = Remembered(b"c" * DIGEST, False, 200, "OK", ((b"ETag", b'"b"'),), b"new")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"left": True},
        {"status": 204, "reason": "", "body": None, "fields": ()},
        {"body": b""},
        {"body": b"\r\n\r\n: \r\n"},
        {"content": b"\r\n\r\n" * (DIGEST // 4)},
        {"reason": "Sehr sch\udcf6n", "fields": ((b"A", b""), (b"A", b" b: c"), (b"B", b"\xff"))},
    ],
)
def test_an_answer_comes_back_as_it_was(changes: dict[str, Any]) -> None:
    answer = replace(ANSWER, **changes)
    words = packed(answer)
    assert words is not None
    assert unpacked(words) == answer


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": 412}, id="no success"),
        pytest.param({"status": 304, "body": None}, id="nor this"),
        pytest.param({"body": None}, id="its content went by"),
        pytest.param({"body": b"x" * MOST}, id="too long"),
        pytest.param({"fields": ((b"A", b"x" * MOST),)}, id="too many fields"),
    ],
)
def test_what_is_not_remembered(changes: dict[str, Any]) -> None:
    assert packed(replace(ANSWER, **changes)) is None


NOT_AGAIN = ("Date", "Age", "Set-Cookie", "X-Request-ID", "Authentication-Info", "Server-Timing", "Via")


@pytest.mark.parametrize("field", NOT_AGAIN)
def test_what_was_the_first_answers_alone_is_not_told_again(field: str) -> None:
    words = packed(replace(ANSWER, fields=((field.encode(), b"x"), *ANSWER.fields)))
    assert words is not None
    assert unpacked(words) == ANSWER


@pytest.mark.parametrize(
    ("left", "overlapped", "content", "told"),
    [
        pytest.param(False, False, b"c", True, id="it came after the first was answered"),
        pytest.param(True, True, b"c", True, id="meanwhile, and nobody waited for the first any more"),
        pytest.param(True, False, b"c", True, id="after that"),
        pytest.param(False, True, b"c", False, id="two at one time are two clients"),
        pytest.param(True, False, b"d", False, id="another content"),
    ],
)
def test_who_is_answered_again(left: bool, overlapped: bool, content: bytes, told: bool) -> None:
    words = packed(replace(ANSWER, left=left))
    assert words is not None
    found = answered_again(words, content * DIGEST, overlapped=overlapped)
    assert (found is not None) is told
