"""What a plain request comes to by its fields: what is shared between requests, and what is not."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.body import Body
from proxy.exchange import Request, Shape
from proxy.gate.outgoing import CHANGING, Outgoing
from proxy.gate.shapes import Shapes
from proxy.rules.replay import sender

Fields = list[tuple[str, str]]
HOST = ("Host", "a.example")
MATCH, LENGTH = ("If-Match", '"v1"'), ("Content-Length", "1")


def shapes() -> Shapes:
    return Shapes(Outgoing(), now_year=lambda: 2026, most_tags=9)


def asked(method: str, fields: Fields, peer: str = "192.0.2.1", scheme: str = "http") -> Request:
    raw = tuple((name.encode(), value.encode()) for name, value in fields)
    return Request(method, "/a", raw, CIMultiDictProxy(CIMultiDict(fields)), Body(), peer, scheme)


def known(shapes: Shapes, request: Request) -> Shape | None:
    return shapes.known(request.method, request.fields, request.headers, request.peer, request.scheme)


def test_lasting_fields_are_looked_at_once() -> None:
    some = shapes()
    first = asked("GET", [HOST, ("Accept", "*/*"), ("X-Request-ID", "1")])
    assert known(some, first) is None
    made = some.of(first)
    assert made is not None
    assert known(some, asked("GET", [HOST, ("X-Request-ID", "2"), ("Accept", "*/*")])) is made
    for other in ([HOST], [HOST, ("Accept", "text/html")], [HOST, ("accept", "*/*")]):
        assert known(some, asked("GET", other)) is None


def test_what_is_not_plain_for_what_changes_has_its_lasting_fields_looked_at_once() -> None:
    some, plain = shapes(), asked("PUT", [HOST, MATCH, LENGTH])
    creates = asked("PUT", [HOST, LENGTH, ("If-None-Match", "*")])
    assert known(some, creates) is some.of(creates) is None
    made = known(some, plain)
    assert made is not None
    assert known(some, creates) is some.of(creates) is None
    assert some.of(plain) is made


def test_another_client_has_another_shape() -> None:
    some, lines = shapes(), set()
    for peer, scheme in (("192.0.2.1", "http"), ("192.0.2.2", "http"), ("192.0.2.1", "https")):
        request = asked("GET", [HOST], peer, scheme)
        assert known(some, request) is None
        made = some.of(request)
        assert made is not None
        assert known(some, request) is made
        lines.add(made.lines)
    assert len(lines) == 3  # of X-Forwarded-For and -Proto


def test_a_write_has_another_shape_than_a_read() -> None:
    some = shapes()
    some.of(asked("GET", [HOST, ("Cookie", "a=b")]))
    write = asked("PUT", [HOST, ("Cookie", "a=b"), MATCH, LENGTH])
    assert known(some, write) is None
    made = some.of(write)
    assert made is not None
    assert made.recognised
    assert known(some, write) is made
    traced = known(some, asked("PUT", [HOST, ("Cookie", "a=b"), MATCH, LENGTH, ("traceparent", "00-1")]))
    assert traced is not None
    assert (traced.recognised, traced.lines) == (True, made.lines + b"traceparent: 00-1\r\n")


@pytest.mark.parametrize("changing", CHANGING)
def test_what_changes_with_each_request_does_not_change_who_sends_it(changing: bytes) -> None:
    """Else a retry that goes the long way would not be known again."""
    fields = [HOST, ("Authorization", "Basic eDp5"), ("Cookie", "a=b")]
    made = shapes().of(asked("PUT", [*fields, MATCH, LENGTH]))
    assert made is not None
    request = asked("PUT", [("A", "b"), *fields, (changing.decode(), "1")])
    assert made.sender == sender(request.peer, request.fields[1:]) != sender(request.peer, request.fields)


def test_a_write_is_plain_under_if_match_alone() -> None:
    some = shapes()
    assert some.of(asked("PUT", [HOST, MATCH, LENGTH])) is not None
    without_length = known(some, asked("PUT", [HOST, MATCH, ("traceparent", "00-1")]))
    assert without_length is not None
    assert b"traceparent: 00-1\r\n" in without_length.lines
    for more in (
        [LENGTH],
        [LENGTH, ("X-Request-ID", "1")],
        [LENGTH, ("traceparent", "1")],
        [MATCH, LENGTH, ("If-None-Match", "*")],
        [MATCH, LENGTH, ("If-Unmodified-Since", "x"), ("X-Request-ID", "1")],
        [MATCH, MATCH, LENGTH],
        [MATCH, LENGTH, ("x-request-id", "1"), ("X-Request-Id", "1")],
    ):
        assert known(some, asked("PUT", [HOST, *more])) is None, more
        assert some.of(asked("PUT", [HOST, *more])) is None, more


def test_nobody_fills_the_memory_with_long_fields() -> None:
    some = shapes()
    forwarded_by_nobody = [(f"X-Forwarded-{number}", "x" * 100) for number in range(60)]
    for more in ([("Cookie", "x" * 5000)], forwarded_by_nobody):
        long = asked("GET", [HOST, *more])
        assert some.of(long) is not None
        assert known(some, long) is None
    for number in range(5000):
        some.of(asked("GET", [HOST, ("Cookie", f"{number}")]))
    kept = [known(some, asked("GET", [HOST, ("Cookie", f"{number}")])) for number in range(5000)]
    assert sum(shape is not None for shape in kept) <= 1500
    assert kept[-1] is not None


def test_tags_are_read_once_and_dates_each_time() -> None:
    """A date of two digits is read by the present year (RFC 9110 section 5.6.7)."""
    year = 2026
    some = Shapes(Outgoing(), now_year=lambda: year, most_tags=9)
    tag = asked("GET", [HOST, ("If-None-Match", '"v1"'), ("baggage", "a=1")])
    date = asked("GET", [HOST, ("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")])
    for request in (tag, date):
        assert some.of(request) is not None
    first = [known(some, request) for request in (tag, date)]
    year = 2060
    later = [known(some, request) for request in (tag, date)]
    conditions = [[shape and shape.conditions for shape in shapes] for shapes in (first, later)]
    assert conditions[0][0] is conditions[1][0]
    assert conditions[0][1] != conditions[1][1]
    assert later[0] is not None
    assert later[0].lines.endswith(b'If-None-Match: "v1"\r\nbaggage: a=1\r\n')


def test_nobody_fills_the_memory_with_tags() -> None:
    some = shapes()
    some.of(asked("GET", [HOST]))
    for tag in (f'"{"x" * 200}"', *(f'"{number}"' for number in range(40_000))):
        assert known(some, asked("GET", [HOST, ("If-None-Match", tag)])) is not None
    kept = {**some._asked, **some._asked._old}
    assert len(kept) <= 7500
    assert max(len(lines[0][1]) for lines in kept) < 100
