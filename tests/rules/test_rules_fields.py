"""Which fields go on, in either direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules import fields
from proxy.rules.fields import (
    CONDITIONS,
    HOP_BY_HOP,
    OVERRIDES,
    Line,
    forwarded_fields,
    lower,
    nominated,
    not_modified_fields,
    replace,
    reply_fields,
    request_fields,
    without_content,
)

NOTHING: frozenset[bytes] = frozenset()


def lines(*names: str) -> list[Line]:
    return [(name.encode(), b"v") for name in names]


def names(kept: list[Line]) -> list[str]:
    return [name.decode() for name, _ in kept]


# Hop by hop.


@pytest.mark.parametrize(
    ("name", "in_request", "in_reply"),
    [
        # RFC 9110 section 7.6.1
        ("Connection", False, False),
        ("Proxy-Connection", False, False),
        ("Keep-Alive", False, False),
        ("TE", False, False),
        ("Transfer-Encoding", False, False),
        ("Upgrade", False, False),
        # framing is made anew on each hop
        ("Content-Length", False, False),
        # section 11.7: for the next proxy, which there is none of; a reply's may be the client's proxy's
        ("Proxy-Authorization", False, False),
        ("Proxy-Authenticate", False, True),
        # section 10.1.1: answered here
        ("Expect", False, True),
        # another target than the one that was looked at
        ("X-Original-URL", False, True),
        ("X-Rewrite-URL", False, True),
        # end to end
        ("Trailer", True, True),
        ("Content-Type", True, True),
        ("Content-Encoding", True, True),
        ("If-Match", True, True),
        ("ETag", True, True),
        ("Authorization", True, True),
        ("Set-Cookie", True, True),
        ("Via", True, True),
        ("Range", True, True),
        ("X-HTTP-Method-Override", True, True),
        ("Connections", True, True),
    ],
)
def test_end_to_end(name: str, in_request: bool, in_reply: bool) -> None:
    for spelled in (name, name.lower(), name.upper()):
        assert bool(request_fields(lines(spelled), NOTHING)) is in_request
        assert bool(reply_fields(lines(spelled))) is in_reply


NOMINATED = [
    ([b"close"], set()),  # an option that names no field
    ([b"X-Hop, close"], {b"x-hop", b"close"}),
    ([b" X-Hop\t,,\tIF-MATCH "], {b"x-hop", b"if-match", b""}),
    ([b"X-One", b"x-two"], {b"x-one", b"x-two"}),
    ([b""], {b""}),
    # a client must not take from a request what it means to the backend
    ([b"Host, Authorization, Cookie, Content-Type, Cache-Control, X-Hop"], {b"x-hop"}),
]


@pytest.mark.parametrize(("values", "named"), NOMINATED)
def test_nominated(values: list[bytes], named: set[bytes]) -> None:
    assert nominated([(b"cONNECTION", value) for value in values] + lines("X-Other")) == named


def test_a_reply_loses_what_its_connection_names() -> None:
    reply = [(b"Connection", b"x-hop, close"), *lines("X-Hop", "X-End", "Set-Cookie", "Set-Cookie")]
    assert names(reply_fields(reply)) == ["X-End", "Set-Cookie", "Set-Cookie"]
    assert names(reply_fields(reply[1:])) == ["X-Hop", "X-End", "Set-Cookie", "Set-Cookie"]
    assert names(reply_fields([(b"Keep-Alive", b"x-end"), *lines("X-End")])) == ["X-End"]


def test_a_request_loses_what_it_is_told_to() -> None:
    request = lines("If-Match", "X-A", "x-a", "Accept", "Accept")
    assert names(request_fields(request, frozenset({b"if-match", b"x-a"}))) == ["Accept", "Accept"]
    assert names(request_fields(request, NOTHING)) == names(request)


LOOK_ALIKES = [
    "If_Match",
    "if_none-match",
    "IF_UNMODIFIED_SINCE",
    "If-Modified_Since",
    "If_Range",
    "X_HTTP_Method_Override",
    "X_Method-Override",
    "X_HTTP_METHOD",
    "X_Forwarded_For",
    "X-Forwarded_Anything",
    "X_Real_IP",
    "Content_Length",
    "Transfer_Encoding",
    "X_Original_URL",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_of_what_is_decided_on_are_dropped(name: str) -> None:
    assert request_fields(lines(name), NOTHING) == []


@pytest.mark.parametrize("name", ["X_Other", "If_Matched", "X_Forwarder", "_", "Accept_Language"])
def test_other_underscores_go_on(name: str) -> None:
    assert names(request_fields(lines(name), NOTHING)) == [name]


NAMES = st.sampled_from(
    [name.decode() for name in (*HOP_BY_HOP, *CONDITIONS, *OVERRIDES)]
    + ["Accept", "X-A", "x-b", "X_C", "Host"]
)


@given(st.lists(NAMES), st.lists(NAMES, max_size=3))
def test_what_is_kept_is_kept_as_it_was_and_in_its_order(sent: list[str], hop: list[str]) -> None:
    message = [(name.encode(), b"%d" % at) for at, name in enumerate(sent)]
    message.append((b"Connection", ", ".join(hop).encode()))
    for kept in (request_fields(message, nominated(message)), reply_fields(message)):
        assert [line for line in message if line in kept] == kept
        left = {lower(name) for name, _ in kept}
        assert left.isdisjoint(nominated(message))
        assert left.isdisjoint(HOP_BY_HOP - {b"proxy-authenticate"})


# One field.


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ([], b"1", [(b"ETag", b"1")]),
        ([(b"etag", b"0")], b"1", [(b"ETag", b"1")]),
        ([(b"ETAG", b"0"), (b"A", b"a"), (b"etag", b"9")], b"1", [(b"A", b"a"), (b"ETag", b"1")]),
        ([(b"ETAG", b"0"), (b"A", b"a")], None, [(b"A", b"a")]),
        ([(b"A", b"a")], None, [(b"A", b"a")]),
        ([(b"ETag", b"0")], b"", [(b"ETag", b"")]),
    ],
)
def test_replace(before: list[Line], value: bytes | None, after: list[Line]) -> None:
    assert replace(before, b"ETag", value) == after


def test_a_304_keeps_what_its_200_says_but_for_the_content() -> None:
    """RFC 9110 section 15.4.5."""
    must = ["Content-Location", "Date", "ETag", "Vary", "Cache-Control", "Expires"]
    other = [
        "Content-Type",
        "content-encoding",
        "Content-Language",
        "Content-Range",
        "Last-Modified",
        "Trailer",
    ]
    assert names(not_modified_fields(lines(*must, *other, "Accept-Ranges", "Set-Cookie"))) == [
        *must,
        "Set-Cookie",
    ]


def test_what_describes_content_goes_with_it() -> None:
    kept = lines("Accept", "Contents", "X-Content-Type")
    assert without_content([*lines("Content-Type", "CONTENT-MD5", "content-length"), *kept]) == kept


def test_names_are_remembered_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: dict[bytes, bytes] = {}
    monkeypatch.setattr(fields, "_lower", remembered)
    assert [lower(b"X-A"), lower(b"X-A"), lower(b"X" * 1000)] == [b"x-a", b"x-a", b"x" * 1000]
    assert remembered == {b"X-A": b"x-a"}
    for number in range(10_000):
        assert lower(b"X-%d" % number) == b"x-%d" % number
    assert len(remembered) == 4096


# Who asked.

CLAIMED = [
    (b"X-Forwarded-For", b"6.6.6.6"),
    (b"x-forwarded-for", b"7.7.7.7"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"outer.example"),
    (b"X-Forwarded-Port", b"443"),
    (b"X-Forwarded-Prefix", b"/p"),
    (b"X-Real-IP", b"6.6.6.6"),
    (b"Forwarded", b"for=6.6.6.6"),
]
FOR, PROTO, HOST = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"


@pytest.mark.parametrize(
    ("style", "trusted", "sent", "peer", "host", "told"),
    [
        (
            "x-forwarded",
            False,
            [],
            "10.0.0.1",
            b"a.example",
            {FOR: "10.0.0.1", PROTO: "http", HOST: "a.example"},
        ),
        (
            "x-forwarded",
            True,
            [],
            "10.0.0.1",
            b"a.example",
            {FOR: "10.0.0.1", PROTO: "http", HOST: "a.example"},
        ),
        ("x-forwarded", False, CLAIMED, "10.0.0.1", b"a:81", {FOR: "10.0.0.1", PROTO: "http", HOST: "a:81"}),
        (
            "x-forwarded",
            True,
            CLAIMED,
            "10.0.0.1",
            b"a.example",
            {
                FOR: "6.6.6.6, 7.7.7.7, 10.0.0.1",
                PROTO: "https",
                HOST: "outer.example",
                "X-Forwarded-Port": "443",
                "X-Forwarded-Prefix": "/p",
                "X-Real-IP": "6.6.6.6",
                "Forwarded": "for=6.6.6.6",
            },
        ),
        ("x-forwarded", False, [], "2001:db8::1", b"", {FOR: "2001:db8::1", PROTO: "http"}),
        ("x-forwarded", False, [], "", b"a", {PROTO: "http", HOST: "a"}),
        # RFC 7239: section 4 (one element for each proxy), section 6 (nodes)
        ("forwarded", False, [], "10.0.0.1", b"a:81", {"Forwarded": 'for="10.0.0.1";proto=http;host="a:81"'}),
        ("forwarded", False, CLAIMED, "::1", b"a", {"Forwarded": 'for="[::1]";proto=http;host="a"'}),
        (
            "forwarded",
            True,
            [(b"forwarded", b"for=6.6.6.6"), (b"Forwarded", b"for=7.7.7.7")],
            "10.0.0.1",
            b"a",
            {"Forwarded": 'for=6.6.6.6, for=7.7.7.7, for="10.0.0.1";proto=http;host="a"'},
        ),
        ("forwarded", False, [], "", b"a", {"Forwarded": 'for="unknown";proto=http;host="a"'}),
        ("forwarded", False, [], "::1", b'a";for="b', {"Forwarded": 'for="[::1]";proto=http;host="a;for=b"'}),
        ("none", False, CLAIMED, "10.0.0.1", b"a", {}),
        ("none", True, CLAIMED[-1:], "10.0.0.1", b"a", {"Forwarded": "for=6.6.6.6"}),
    ],
)
def test_forwarded(
    style: str, trusted: bool, sent: list[Line], peer: str, host: bytes, told: dict[str, str]
) -> None:
    request = [(b"Accept", b"*/*"), *sent]
    got = forwarded_fields(request, style=style, trusted=trusted, peer=peer, scheme="http", host=host)
    assert {name.decode(): value.decode() for name, value in got} == {"Accept": "*/*"} | told
    assert len(got) == 1 + len(told)
    assert request == [(b"Accept", b"*/*"), *sent]
