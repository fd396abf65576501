"""What a write leaves behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.aftermath import (
    Aftermath,
    aftermath,
    ambiguous_until,
    doubted,
    may_tell_tag,
    misleading_tag,
    named_resources,
    same_origin_target,
    strong_tag,
    target_of,
)
from proxy.rules.etags import EntityTag
from proxy.rules.routing import AfterWrite, EtagOnWrite, Route
from proxy.rules.versions import ABSENT, UNKNOWN, Absent, Known, Recorded, Version

REREAD, RESPONSE, FORGET = (Route(after_write=choice) for choice in AfterWrite)
STRICT, ALWAYS = (Route(etag_on_write=choice) for choice in EtagOnWrite)


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


TAGGED = headers(("ETag", '"new"'))


@pytest.mark.parametrize(
    ("route", "method", "status", "fields", "left"),
    [
        (REREAD, "PUT", 200, TAGGED, Aftermath.REREAD),
        (REREAD, "PUT", 204, headers(), Aftermath.REREAD),
        (REREAD, "DELETE", 204, headers(), Aftermath.REREAD),
        (REREAD, "POST", 303, headers(), Aftermath.REREAD),
        (REREAD, "PUT", 399, headers(), Aftermath.REREAD),
        # not done yet, or nobody knows
        *[(route, "PUT", 202, TAGGED, Aftermath.UNKNOWN) for route in (REREAD, RESPONSE, FORGET)],
        *[
            (REREAD, "PUT", status, TAGGED, Aftermath.UNKNOWN)
            for status in (400, 403, 404, 409, 412, 500, 503)
        ],
        *[(RESPONSE, "PUT", status, TAGGED, Aftermath.UNKNOWN) for status in (400, 500)],
        *[(r, "PUT", s, TAGGED, Aftermath.UNSETTLED) for r in (REREAD, RESPONSE, FORGET) for s in (502, 504)],
        (FORGET, "PUT", 200, TAGGED, Aftermath.UNKNOWN),
        (FORGET, "DELETE", 204, headers(), Aftermath.UNKNOWN),
        # the response's own validators, where they speak of the target
        (RESPONSE, "PUT", 200, TAGGED, Aftermath.RESPONSE),
        (RESPONSE, "PUT", 201, TAGGED, Aftermath.RESPONSE),
        (RESPONSE, "PATCH", 204, TAGGED, Aftermath.RESPONSE),
        (RESPONSE, "PUT", 200, headers(), Aftermath.REREAD),
        (RESPONSE, "PUT", 200, headers(("ETag", 'W/"new"')), Aftermath.REREAD),
        (RESPONSE, "PUT", 200, headers(("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")), Aftermath.REREAD),
        (RESPONSE, "PUT", 301, TAGGED, Aftermath.REREAD),
        (RESPONSE, "DELETE", 200, TAGGED, Aftermath.REREAD),
        (RESPONSE, "POST", 201, TAGGED, Aftermath.REREAD),  # RFC 9110 section 15.3.2: of what it made
        (RESPONSE, "POST", 200, TAGGED, Aftermath.REREAD),
        (RESPONSE, "MOVE", 201, TAGGED, Aftermath.REREAD),
    ],
)
def test_where_the_version_comes_from(
    route: Route, method: str, status: int, fields: CIMultiDictProxy[str], left: Aftermath
) -> None:
    assert aftermath(route, method, status, fields) is left


@pytest.mark.parametrize(
    ("lines", "tag"),
    [
        ([], None),
        (['"a"'], "a"),
        (['W/"a"'], None),
        (["a"], None),
        ([""], None),
        (['"a", "b"'], None),
        (['"a"', '"a"'], None),
    ],
)
def test_the_one_strong_tag(lines: list[str], tag: str | None) -> None:
    assert strong_tag(headers(*(("ETag", line) for line in lines))) == (tag and EntityTag(tag))


@pytest.mark.parametrize(
    ("method", "status", "as_sent", "strict", "always"),
    [
        ("PUT", 200, True, True, True),
        ("PUT", 201, True, True, True),
        ("PUT", 204, True, True, True),
        ("PUT", 204, False, False, True),
        ("PATCH", 204, False, True, True),
        ("PATCH", 200, True, True, True),
        ("POST", 200, True, False, True),
        ("DELETE", 204, True, False, False),
        ("DELETE", 204, False, False, False),
        ("PUT", 300, True, False, False),
        ("PUT", 199, True, False, False),
        ("PUT", 409, True, False, False),
        ("PATCH", 422, False, False, False),
    ],
)
def test_what_may_be_told(method: str, status: int, as_sent: bool, strict: bool, always: bool) -> None:
    """RFC 9110 section 9.3.4."""
    assert may_tell_tag(STRICT, method, status, stored_as_sent=as_sent) is strict
    assert may_tell_tag(ALWAYS, method, status, stored_as_sent=as_sent) is always


# Location and Content-Location.

HOSTS = frozenset({"a.example"})


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        # RFC 3986 section 5.4.1, from /b/c/d;p?q
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("//a.example", "/"),
        ("?y", "/b/c/d;p?y"),
        ("g?y", "/b/c/g?y"),
        ("#s", "/b/c/d;p?q"),
        ("g#s", "/b/c/g"),
        ("", "/b/c/d;p?q"),
        (".", "/b/c/"),
        ("..", "/b/"),
        ("../g", "/b/g"),
        ("../../../g", "/g"),
        # absolute ones
        ("http://a.example/g", "/g"),
        ("HTTP://A.EXAMPLE/g", "/g"),
        ("https://a.example/g?y#s", "/g?y"),
        ("http://a.example", "/"),
        ("http://a.example?y", "/?y"),
        ("http://a.example//g", "//g"),
        (" http://a.example/g ", "/g"),
        # the default ports and userinfo are no other origin
        ("http://a.example:80/g", "/g"),
        ("https://a.example:443/g", "/g"),
        ("http://a.example:/g", "/g"),
        ("http://u@a.example/g", "/g"),
        ("http://u:p@a.example:80/g", "/g"),
        # others'
        ("http://b.example/g", None),
        ("//b.example/g", None),
        ("http://a.example:8080/g", None),
        ("http://a.example@b.example/g", None),
        ("http://a.example.b.example/g", None),
        ("http://xa.example/g", None),
        ("mailto:a@a.example", None),
        ("urn:g", None),
        ("ftp://a.example/g", None),
        ("https:g", None),
        ("http://[::1/g", None),
        ("http://[x]/g", None),
    ],
)
def test_location(reference: str, named: str | None) -> None:
    assert same_origin_target(reference, "/b/c/d;p?q", HOSTS) == named


@pytest.mark.parametrize(
    ("target", "reference", "hosts", "named"),
    [
        ("//b.example/c", "d", HOSTS, "/b.example/d"),  # a path, though it looks like an authority
        ("/a:b", "c", HOSTS, "/c"),
        ("/a", "http://a.example:8080/g", frozenset({"a.example:8080"}), "/g"),
        ("/a", "http://a.example/g", frozenset({"A.example:80"}), "/g"),
        ("/a", "http://[::1]:81/g", frozenset({"[::1]:81"}), "/g"),
        ("/a", "http://a.example/g", frozenset({"b.example", "a.example"}), "/g"),
        ("/a", "http://a.example/g", frozenset[str](), None),
        ("/a", "http:///g", frozenset({"b"}), "/g"),
        ("/a", "b", frozenset[str](), "/b"),
    ],
)
def test_location_by_target_and_host(
    target: str, reference: str, hosts: frozenset[str], named: str | None
) -> None:
    assert same_origin_target(reference, target, hosts) == named


def test_every_line_of_both_fields_names_something() -> None:
    fields = headers(
        ("Content-Location", "/c"),
        ("Location", "b"),
        ("location", "http://b.example/x"),
        ("Location", "/d"),
        ("Link", "/e"),
    )
    assert list(named_resources(fields, "/a/", HOSTS)) == ["/a/b", "/d", "/c"]
    assert list(named_resources(headers(), "/a/", HOSTS)) == []


@given(st.text(max_size=30))
def test_any_text_is_a_target_or_none(text: str) -> None:
    for named in (same_origin_target(text, "/a", HOSTS), target_of(text)):
        assert named is None or named.startswith("/")


@pytest.mark.parametrize(
    ("destination", "target"),
    [
        ("/b", "/b"),
        ("http://anywhere.example:81/b?c", "/b?c"),
        ("https://u@x/b#d", "/b"),
        ("//x/b", "/b"),
        ("mailto:x", None),
        ("http://[/b", None),
    ],
)
def test_a_destination_on_any_host(destination: str, target: str | None) -> None:
    """RFC 4918 section 10.3."""
    assert target_of(destination) == target


# Dates that two versions share (RFC 9110 section 8.8.2.2).


def known(etag: str | None, modified: int | None, *, shared: bool = False, variant: str = "") -> Known:
    tag = None if etag is None else EntityTag(etag)
    return Known((Version(tag, modified, shared_second=shared, variant=variant),))


@pytest.mark.parametrize(
    ("recorded", "found", "doubtful"),
    [
        (known("a", 7), known("a", 7), False),
        (known("a", 7), known("b", 7), True),
        (known("a", 7), known("b", 8), False),
        (known("a", None), known("b", None), False),
        (known("a", 7, shared=True), known("a", 7), True),
        (known("a", 7, shared=True), known("a", 8), False),
        (known(None, 7), known("b", 7), False),
        (known("a", 7), known(None, 7), False),
        (known(None, 7, shared=True), known(None, 7), True),
        (known("a", 7, variant="x"), known("b", 7), False),
        (known("a", 7, variant="x"), known("b", 7, variant="x"), True),
    ],
)
def test_a_date_stays_weak(recorded: Recorded, found: Known, doubtful: bool) -> None:
    after = doubted(recorded, found)
    assert isinstance(after, Known)
    assert [version.shared_second for version in after.versions] == [doubtful]
    assert after.versions[0].etag == found.versions[0].etag


@pytest.mark.parametrize("recorded", [UNKNOWN, ABSENT])
@pytest.mark.parametrize("found", [ABSENT, known("a", 7)])
def test_what_nothing_was_recorded_of_is_as_found(recorded: Recorded, found: Known | Absent) -> None:
    assert doubted(recorded, found) == found
    assert doubted(known("a", 7, shared=True), ABSENT) is ABSENT


SECOND = 0x650AB3C0


@pytest.mark.parametrize(
    ("before", "size", "until"),
    [
        (known("650ab3c0-1f", SECOND), 0x1F, SECOND),
        (known("650ab3c0-1f", SECOND), None, SECOND),
        (known("650ab3c0-1f", SECOND), 0x1E, None),
        (known("650ab3c0-1f", SECOND + 1), 0x1F, None),
        (known("650ab3c0-1f", None), 0x1F, None),
        (known("650ab3c0-1f-x", SECOND), 0x1F, SECOND),
        # WsgiDAV: a hash of the path, the second and the size in decimal
        (known(f"0cc175b9c0f1b6a831c399e269772661-{SECOND}-31", SECOND), 31, SECOND),
        (known(f"0cc175b9c0f1b6a831c399e269772661-{SECOND}-31", SECOND), 30, None),
        (known(f"0cc175b9c0f1b6a831c399e269772661-{SECOND}-31", SECOND), None, SECOND),
        # nothing but the second, whatever stands before it
        (known(f"{SECOND}", SECOND), 7, SECOND),
        (known(f"user:7:{SECOND}", SECOND), 31, SECOND),
        # parts of a second
        (known(f"{SECOND}.25-31", SECOND), 31, None),
        (known(f"{SECOND}25-31", SECOND), 31, None),
        (known("x650ab3c0-1f", SECOND), 0x1F, None),
        (known("own", SECOND), None, None),
        (known(None, SECOND), None, None),
        (ABSENT, 0x1F, None),
        (UNKNOWN, None, None),
    ],
)
def test_tags_of_second_and_size(before: Recorded, size: int | None, until: int | None) -> None:
    assert ambiguous_until(before, size) == until


OURS = Version(EntityTag("pp1." + "x" * 22), minted=True)
OWN, WEAK = EntityTag("own"), EntityTag("own", weak=True)


@pytest.mark.parametrize(
    ("told", "after", "misleading"),
    [
        (None, OURS, True),  # not quoted, say
        (OWN, Version(OWN), False),
        (EntityTag("of the response"), Version(OWN), True),
        (WEAK, OURS, True),
        (WEAK, Version(OWN), True),
        # the parts of an S3 upload: GET shows a list of them, without a tag
        (OWN, OURS, False),
    ],
)
def test_tags_of_writes_that_mislead(told: EntityTag | None, after: Version, misleading: bool) -> None:
    assert misleading_tag(told, after) is misleading
