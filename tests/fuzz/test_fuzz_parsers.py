"""The parsers that are ours, fed with anything: no crash, no hang, and what they say holds."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.conditions import Conditions, Malformed, parse_conditions
from proxy.rules.dates import format_http_date, parse_http_date
from proxy.rules.etags import STAR, EntityTag, MalformedTags, parse_tag_list
from proxy.rules.fields import CONDITIONS, request_fields
from proxy.rules.ranges import Part, select
from proxy.rules.resources import forwarded_target, read_target, resource_key
from proxy.rules.routing import Route
from proxy.upstream.framing import Chunked, FramingError

NONE: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
SCRAPS = [
    "/",
    "//",
    ".",
    "..",
    "%2e",
    "%2F",
    "%5c",
    "\\",
    ";",
    "a",
    "%61",
    "%00",
    "%c0%af",
    "%",
    "%zz",
    "?",
    "#",
    "&",
]
targets = st.one_of(
    st.lists(st.sampled_from(SCRAPS), max_size=12).map(lambda parts: "/" + "".join(parts)),
    st.binary(max_size=40).map(lambda raw: "/" + raw.decode("utf-8", "surrogateescape")),
)
ROUTES = [
    Route("x"),
    Route("x", merge_slashes=True),
    Route(
        "x",
        case_insensitive=True,
        trailing_slash="same",
        query=frozenset({"a"}),
        vary_by=("host", "cookie:s"),
    ),
]


@given(targets)
@example("/a//../b")
@example("/%2e%2e;/x")
def test_a_target_has_one_form(text: str) -> None:
    target = read_target(text)
    wire = target.wire()
    assert re.fullmatch(rb"/[\x21-\x7e]*", wire), wire
    assert b"#" not in wire
    again = read_target(wire.decode())
    assert (again.path, again.query) == (target.path, target.query)
    if target.doubt is None:
        assert "/../" not in target.path + "/"
        assert again.doubt is None
        assert not re.search(rb"%(2F|5C|[01][0-9A-F]|7F)", target.path.encode())


@given(targets, st.sampled_from(ROUTES))
def test_what_is_forwarded_has_the_name_that_was_asked_for(text: str, route: Route) -> None:
    target = read_target(text)
    sent = read_target(forwarded_target(route, target).decode())
    assert resource_key(route, sent, NONE) == resource_key(route, target, NONE)


@given(st.lists(st.sampled_from("abz019-._~")), st.data())
def test_percent_encoding_what_need_not_be_changes_no_name(letters: list[str], data: st.DataObject) -> None:
    plain = "/" + "".join(letters)
    other = "/" + "".join(f"%{ord(one):02x}" if data.draw(st.booleans()) else one for one in letters)
    assert read_target(plain) == read_target(other)


opaque = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_characters='"\x7f'), max_size=8
)
tags = st.builds(EntityTag, opaque, st.booleans())
spaces = st.sampled_from(["", " ", "\t", " , ", ",,"])


@given(st.lists(tags, min_size=1, max_size=8), st.data())
def test_a_list_of_tags_reads_as_it_was_written(wanted: list[EntityTag], data: st.DataObject) -> None:
    text = data.draw(spaces) + ",".join(str(tag) + data.draw(spaces) for tag in wanted)
    assert parse_tag_list([text]) == tuple(wanted)


@given(st.lists(st.text(st.sampled_from('W/"a,* \t\\\x80'), max_size=12), max_size=4))
def test_any_text_is_a_list_of_tags_or_refused(lines: list[str]) -> None:
    try:
        found = parse_tag_list(lines)
    except MalformedTags:
        return
    assert found
    if found is not STAR:
        assert parse_tag_list([",".join(map(str, found))]) == found


@given(st.text(max_size=40))
@example("Sun, 06 Nov 1994 08:49:60 GMT")
@example("Sunday, 06-Nov-94 08:49:37 GMT")
def test_any_text_is_a_date_or_none(text: str) -> None:
    seconds = parse_http_date(text, now_year=2026)
    if seconds is not None:
        assert parse_http_date(format_http_date(seconds), now_year=2026) == seconds


@given(st.integers(min_value=0, max_value=253402300799))
def test_dates_go_round(seconds: int) -> None:
    assert parse_http_date(format_http_date(seconds), now_year=2026) == seconds


@given(st.text(st.sampled_from("bytes=0123456789-, \t"), max_size=24), st.integers(min_value=0, max_value=50))
@example("bytes=0-99999999999999999999999999999", 5)
def test_a_part_lies_within_its_whole(text: str, size: int) -> None:
    wanted = select(text, size)
    if isinstance(wanted, Part):
        assert 0 <= wanted.first <= wanted.last < size


names = st.sampled_from(
    ["If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since", "If-Range", "Range"]
)
values = st.one_of(st.text(st.sampled_from('W/"a,* '), max_size=8), st.just("Sun, 06 Nov 1994 08:49:37 GMT"))


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"]),
    st.lists(st.tuples(names, values), max_size=5),
)
def test_no_condition_on_a_write_is_dropped(method: str, fields: list[tuple[str, str]]) -> None:
    headers = CIMultiDictProxy(CIMultiDict(fields))
    found = parse_conditions(method, headers, now_year=2026)
    if isinstance(found, Malformed) or method in {"GET", "HEAD"}:
        return
    assert isinstance(found, Conditions)
    guarding = {"If-Match", "If-None-Match", "If-Unmodified-Since"} & set(headers)
    assert found.guards == bool(guarding)


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=4)), max_size=5), st.booleans())
def test_no_look_alike_of_a_condition_passes(fields: list[tuple[bytes, bytes]], upper: bool) -> None:
    alike = [(name.replace(b"-", b"_"), b"x") for name in sorted(CONDITIONS)]
    alike = [(name.upper() if upper else name, value) for name, value in alike]
    passed = request_fields([*fields, *alike], frozenset())
    assert not {name.lower().replace(b"_", b"-") for name, _ in passed} & CONDITIONS - {
        n.lower() for n, _ in fields
    }


SCRAPS_OF_CHUNKS = st.sampled_from(
    [b"0\r\n\r\n", b"3\r\nabc\r\n", b"1;a=b\r\nx\r\n", b"\r\n", b"\n", b"g", b" ", b"ffffffffffffffff\r\n"]
)


@pytest.mark.parametrize("splits", [1, 3])
@given(st.lists(SCRAPS_OF_CHUNKS, max_size=6).map(b"".join), st.data())
def test_chunks_read_alike_however_they_arrive(splits: int, raw: bytes, data: st.DataObject) -> None:
    def read(pieces: list[bytes]) -> tuple[bytes, bool, bytes] | None:
        framer, content = Chunked(), b""
        try:
            for piece in pieces:
                content += framer.feed(piece) if not framer.ended else b""
        except FramingError:
            return None
        return content, framer.ended, b""

    cuts = sorted(data.draw(st.integers(0, len(raw))) for _ in range(splits))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert read([raw]) == read(pieces)
