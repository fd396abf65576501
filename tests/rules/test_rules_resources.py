"""One resource, one name (RFC 3986 section 6, RFC 9112 section 3.2)."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.resources import (
    Target,
    collections_above,
    forwarded_target,
    plain_authority,
    read_target,
    resource_key,
)
from proxy.rules.routing import Route

PLAIN = Route()


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


def key(text: str, route: Route = PLAIN, *lines: tuple[str, str]) -> str:
    return resource_key(route, read_target(text), headers(*lines))


# The one form of a target.

FORMS = [
    # RFC 3986 section 5.4: what is left of a reference when its dots are removed
    ("/", "/"),
    ("/a/b", "/a/b"),
    ("/a/b/", "/a/b/"),
    ("/a/./b", "/a/b"),
    ("/a/b/.", "/a/b/"),
    ("/a/b/..", "/a/"),
    ("/a/b/../", "/a/"),
    ("/a/../../b", "/b"),
    ("/..", "/"),
    ("/.", "/"),
    ("/../..", "/"),
    ("/./.", "/"),
    ("/a/b/../../..", "/"),
    ("/.a", "/.a"),
    ("/a.", "/a."),
    ("/..a/...", "/..a/..."),
    ("/a..b", "/a..b"),
    # section 6.2.2.2: unreserved characters are decoded, before dots are looked for
    ("/%61", "/a"),
    ("/%7e%7Ea%2Db%2e%5f", "/~~a-b._"),
    ("/a/%2e%2E/b", "/b"),
    ("/a/%2e/b", "/a/b"),
    ("/%2e%2e%2e", "/..."),
    # section 6.2.2.1: hexadecimal digits in upper case
    ("/%c3%a4", "/%C3%A4"),
    ("/%3a%3A", "/%3A%3A"),
    # decoded once only
    ("/%2561", "/%2561"),
    ("/%252e%252e/a", "/%252e%252e/a"),
    # what must be encoded is
    ("/\u00e4", "/%C3%A4"),
    ("/\udce4", "/%E4"),
    ('/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D"),
    ("/[a]", "/%5Ba%5D"),
    ("/a b", "/a%20b"),
    # a percent sign that encodes nothing must not begin to
    ("/100%", "/100%25"),
    ("/%%34%31", "/%2541"),
    ("/%4%31", "/%2541"),
    ("/%zz", "/%25zz"),
    # sub-delims and the rest of pchar stay as they came
    ("/!$&'()*+,=:@", "/!$&'()*+,=:@"),
    ("/;a", "/;a"),
    ("//a//b", "//a//b"),
    # the query
    ("/a?", "/a?"),
    ("/a?b=c&d", "/a?b=c&d"),
    ("/a?b?/c", "/a?b?/c"),
    ("/a?%62=%c3%a4%2f", "/a?b=%C3%A4%2F"),
    ("/a?../b", "/a?../b"),
    ("/a?\u00e4[]", "/a?%C3%A4%5B%5D"),
    ("/a?q=100%", "/a?q=100%25"),
    ("/a?q=%%34%31", "/a?q=%2541"),
    ("/%3Fa", "/%3Fa"),
    # a fragment is never sent (RFC 9110 section 7.1)
    ("/a#b", "/a"),
    ("/a?b#c?d", "/a?b"),
    ("/a%23b", "/a%23b"),
    # RFC 9112 section 3.2.2: absolute-form
    ("http://a.example", "/"),
    ("http://a.example/", "/"),
    ("http://a.example/a/../b?c", "/b?c"),
    ("HTTPS://a.example:443/a", "/a"),
    ("http://a.example?q", "/?q"),
    ("http://a.example#f", "/"),
    ("http://u:p@a.example/a", "/a"),
    ("http://[::1]:80/a", "/a"),
    ("/http://a.example/a", "/http://a.example/a"),
    # section 3.2.4
    ("*", "*"),
]


@pytest.mark.parametrize(("text", "form"), FORMS)
def test_form(text: str, form: str) -> None:
    wire = read_target(text).wire()
    assert wire == form.encode()
    assert read_target(form).wire() == wire
    assert key(text) == key(form)


def test_a_query_of_nothing_is_not_none() -> None:
    assert (read_target("/a").query, read_target("/a?").query) == (None, "")


DOUBTS = [
    ("/a%2fb", "slash", "/a/b"),
    ("/..%2Fb", "slash", "/b"),
    ("/a/..%2f..%2Fb", "slash", "/b"),
    ("/a\\b", "backslash", "/a/b"),
    ("/a%5cb", "encoded backslash", "/a/b"),
    ("/a/..%5C..\\b", "backslash", "/b"),
    ("/a%", "percent", "/a%25"),
    ("/a%4", "percent", "/a%254"),
    ("/%%32%65%%32%65/b", "percent", "/%252e%252e/b"),
    ("/a%00", "control", "/a%00"),
    ("/a%0d%0a", "control", "/a%0D%0A"),
    ("/a%7f", "control", "/a%7F"),
    ("/a\x01", "control", "/a%01"),
    ("/a;x/b", "parameter", "/a/b"),
    ("/a/..;/b", "parameter", "/b"),
    ("/a/..;x=y", "parameter", "/"),
    ("/a/%2e%2e;/b", "parameter", "/b"),
    ("/a//../b", "empty segment", "/a/b"),
    ("/a//%2e%2e/b", "empty segment", "/a/b"),
    ("/a/.//b", "empty segment", "/a/b"),
    ("/%c0%af", "UTF-8", "/"),
    ("/a/%c0%ae%c0%ae/b", "UTF-8", "/b"),
    ("/a/..%c0%afb", "UTF-8", "/b"),
    ("/a/..%e0%80%afb", "UTF-8", "/b"),
    ("/a/%E0%80%AE%e0%80%ae/b", "UTF-8", "/b"),
    ("/a/..%c1%9cb", "UTF-8", "/b"),
    ("/%ff", "UTF-8", "/%FF"),
    ("/%ed%a0%80", "UTF-8", "/%ED%A0%80"),
    ("/%e4", "UTF-8", "/%E4"),
    ("/\udce4", "UTF-8", "/%E4"),
    ("http://a.example/a%2fb?c", "slash", "/a/b"),
]


@pytest.mark.parametrize(("text", "doubt", "careless"), DOUBTS)
def test_doubt(text: str, doubt: str, careless: str) -> None:
    target = read_target(text)
    assert doubt in (target.doubt or "")
    assert target.careless == careless
    assert target.wire().isascii()


@pytest.mark.parametrize(
    "text",
    [
        "/a/%2e/b",
        "/a/../b",
        "/%C3%A4",
        "/\u00e4",
        "/a;x",
        "/a;x;y=z",
        "/a//b",
        "//",
        "/%25",
        "/a?b%2fc\\%",
        "/%20",
        "*",
    ],
)
def test_no_doubt(text: str) -> None:
    target = read_target(text)
    assert (target.doubt, target.careless) == (None, None)


@pytest.mark.parametrize("text", ["/" + "a" * 300, "/" + "%61" * 300, "/a?" + "b" * 300])
def test_long_targets_are_read_too(text: str) -> None:
    assert read_target(text) == read_target(text.replace("%61", "a"))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NASTY = st.lists(
    st.sampled_from(
        [
            "/",
            ".",
            "..",
            "%",
            "%2",
            "2",
            "5",
            "e",
            "E",
            "f",
            "F",
            "%2e",
            "%25",
            "%2F",
            "a",
            "?",
            "#",
            ";",
            "\\",
        ]
    ),
    max_size=12,
).map("".join)


@given(NASTY | TEXT)
def test_the_one_form_is_read_as_itself(text: str) -> None:
    for prefix in ("/", "http://a.example/"):
        target = read_target(prefix + text)
        wire = target.wire().decode("ascii")
        again = read_target(wire)
        assert (again.path, again.query, again.wire()) == (target.path, target.query, target.wire())
        if again.doubt is None:
            assert key(wire) == resource_key(PLAIN, target, headers())
        assert "/../" not in target.path
        assert "/./" not in target.path
        assert wire.startswith("/")
        assert not any(char <= " " or char > "~" for char in wire)


SEGMENT = st.text(
    st.characters(exclude_characters="/\\;", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4
)
SEGMENTS = st.lists(SEGMENT.filter(lambda text: text not in {".", ".."}), min_size=1, max_size=4)


@st.composite
def spelling(draw: st.DrawFn, segments: list[str]) -> str:
    """The path of these segments in one of the ways that RFC 3986 section 6.2.2 calls equivalent."""
    text = draw(st.sampled_from(["", "http://a.example", "HTTPS://A:443"]))
    for segment in segments:
        text += draw(st.sampled_from(["", "", "/.", "/x/..", "/%2E", "/x/%2e."]))
        text += "/" + "".join(draw(spelled(char)) for char in segment)
    return text + draw(st.sampled_from(["", "#", "#fragment?"]))


def spelled(char: str) -> st.SearchStrategy[str]:
    encoded = "".join(f"%{byte:02X}" for byte in char.encode())
    ways = [encoded, encoded.lower()]
    if char not in "?#%":
        ways.append(char)
    return st.sampled_from(ways)


@given(st.data(), SEGMENTS)
def test_equivalent_spellings_have_one_key(data: st.DataObject, segments: list[str]) -> None:
    one, other = data.draw(spelling(segments)), data.draw(spelling(segments))
    assert read_target(one).doubt is None
    assert key(one) == key(other)


@given(SEGMENTS, SEGMENTS, st.booleans(), st.booleans())
def test_different_paths_have_different_keys(
    one: list[str], other: list[str], slash: bool, other_slash: bool
) -> None:
    def path(segments: list[str], slash: bool) -> str:
        return "".join("/" + quote(segment, safe="") for segment in segments) + "/" * slash

    same = (one, slash) == (other, other_slash)
    assert (key(path(one, slash)) == key(path(other, other_slash))) == same


# What servers do not tell apart has one name, though it is forwarded as it came.

ONE_NAME = [
    ["/a", "/a?", "/a#b", "/a;jsessionid=1", "/a;", "/a%3Bx", "/a%3bx;y", "//a", "/.//a", "http://b/a?"],
    ["/a/", "/a//", "//a//", "/a/;x"],
    ["/!$&'()*+,=:@", "/%21%24%26%27%28%29%2A%2B%2C%3D%3A%40", "/%21$&'()*%2b,=:@"],
    ["/a?b=/c:d", "/a?b=%2Fc%3Ad", "/a?%62=%2fc:d"],
    ["/a?b=c+d", "/a?b=c%20d", "/a?b=c d"],
    ["/a?b=[]", "/a?b=%5b%5D"],
    ["/a?b==", "/a?b=%3D"],
]
OTHER_NAMES = [
    [
        "/a",
        "/A",
        "/a/",
        "/a/b",
        "/a.",
        "/a?b",
        "/a?b=",
        "/a?B",
        "/a?b&c",
        "/a?c&b",
        "/a%3Fb",
        "/a%23b",
        "/a%20",
    ],
    ["/a?b=1%26c=2", "/a?b=1&c=2"],
    ["/a?b=%2B", "/a?b=+"],
    ["/a?b=%25", "/a?b=%2525"],
    ["/%2541", "/A"],
]


@pytest.mark.parametrize("spellings", ONE_NAME)
def test_one_name(spellings: list[str]) -> None:
    assert {key(text) for text in spellings} == {key(spellings[0])}


@pytest.mark.parametrize("spellings", OTHER_NAMES)
def test_other_names(spellings: list[str]) -> None:
    assert len({key(text) for text in spellings}) == len(spellings)


# What a route says of names.

FOLDED = Route(case_insensitive=True)
SAME = Route(trailing_slash="same")
MERGED = Route(merge_slashes=True)
COUNTED = Route(query=frozenset({"id", "filter[x]", "\u00e4"}))
NONE = Route(query=frozenset())


@pytest.mark.parametrize(
    ("route", "one", "other", "same"),
    [
        (FOLDED, "/A/b?Q=1", "/a/B?Q=1", True),
        (FOLDED, "/a?Q=1", "/a?q=1", False),
        (FOLDED, "/\u00c4!", "/\u00e4!", True),
        (FOLDED, "/%C3%84", "/%c3%a4", True),
        (FOLDED, "/\u212a", "/k", True),  # the Kelvin sign
        (FOLDED, "/\u03c2", "/\u03a3", True),  # a small sigma that ends a word, and the capital
        (FOLDED, "/%2541", "/a", False),
        (FOLDED, "/a%3Fb", "/a?b", False),
        (PLAIN, "/A", "/a", False),
        (PLAIN, "/\u00c4", "/\u00e4", False),
        (SAME, "/a/", "/a", True),
        (SAME, "/a/b//?q", "/a/b?q", True),
        (SAME, "/", "//", True),
        (SAME, "/a/b", "/ab", False),
        (PLAIN, "/a/", "/a", False),
        (MERGED, "//a///b", "/a/b", True),
        (COUNTED, "/a?id=1", "/a", False),
        (COUNTED, "/a?id=1", "/a?id=2", False),
        (COUNTED, "/a?id=1&x=2", "/a?y=3&id=1&&", True),
        (COUNTED, "/a?x=2", "/a", True),
        (COUNTED, "/a?ID=1", "/a", True),
        (COUNTED, "/a?id=1&filter[x]=2", "/a?filter%5Bx%5D=2&id=1", True),
        (COUNTED, "/a?filter[x]=2", "/a", False),
        (COUNTED, "/a?%C3%A4=2", "/a", False),
        (COUNTED, "/a?i%64=2", "/a?id=2", True),
        (COUNTED, "/a?id=1&id=2", "/a?id=2&id=1", False),
        (COUNTED, "/a?id", "/a?id=", False),
        (NONE, "/a?id=1", "/a", True),
        (PLAIN, "/a?x=1&y=2", "/a?y=2&x=1", False),
    ],
)
def test_what_a_route_says(route: Route, one: str, other: str, same: bool) -> None:
    assert (key(one, route) == key(other, route)) is same


@pytest.mark.parametrize(
    ("route", "text", "wire"),
    [
        (PLAIN, "//a//b/?c//d", b"//a//b/?c//d"),
        (MERGED, "//a//b/?c//d", b"/a/b/?c//d"),
        (MERGED, "/a/b", b"/a/b"),
        (MERGED, "//", b"/"),
        (SAME, "/a/", b"/a/"),
        (FOLDED, "/A", b"/A"),
        (NONE, "/a?b", b"/a?b"),
        (PLAIN, "/a;x", b"/a;x"),
        (PLAIN, "/a?", b"/a?"),
        (PLAIN, "/%3B", b"/%3B"),
    ],
)
def test_what_is_forwarded(route: Route, text: str, wire: bytes) -> None:
    assert forwarded_target(route, read_target(text)) == wire


# vary_by.

BOB, EVE = ("Authorization", "Bearer bob"), ("Authorization", "Bearer eve")


@pytest.mark.parametrize(
    ("selector", "one", "other", "same"),
    [
        ("authorization", [BOB], [BOB], True),
        ("authorization", [BOB], [EVE], False),
        ("authorization", [BOB], [], False),
        ("authorization", [BOB], [("authorization", "Bearer bob"), ("X", "y")], True),
        ("authorization", [BOB, EVE], [BOB], False),
        ("host", [("Host", "a.example")], [("Host", "A.Example:80")], True),
        ("Host", [("Host", "a.example:443")], [("Host", "a.example:")], True),
        ("host", [("Host", "a.example:8080")], [("Host", "a.example")], False),
        ("host", [("Host", "a.example")], [("Host", "b.example")], False),
        # RFC 6265 section 5.4: pairs parted by "; ", in one line or more
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "a=b; sid=1; c=d")], True),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "a=b"), ("Cookie", "sid=1")], True),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "a=b;sid=1;")], True),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "sid = 1")], True),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "sid=2")], False),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "SID=1")], False),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "xsid=1")], False),
        ("cookie:sid", [("Cookie", "sid=1")], [("Cookie", "a=sid=1")], False),
        ("cookie:sid", [("Cookie", "sid=a=b")], [("Cookie", "sid=a")], False),
        ("cookie:sid", [("Cookie", "sid=1; sid=2")], [("Cookie", "sid=1")], False),
        ("cookie:sid", [("Cookie", "sid")], [("Cookie", "a=b")], True),
        ("cookie:sid", [], [("Cookie", "a=sid")], True),
    ],
)
def test_vary_by(selector: str, one: list[tuple[str, str]], other: list[tuple[str, str]], same: bool) -> None:
    route = Route(vary_by=(selector,))
    assert (key("/a", route, *one) == key("/a", route, *other)) is same
    assert key("/a", route, *one) != key("/b", route, *one)
    assert key("/a", PLAIN, *one) == key("/a", PLAIN, *other)


def test_each_selector_counts() -> None:
    route = Route(vary_by=("authorization", "cookie:sid"))
    keys = {
        key("/a", route, BOB),
        key("/a", route, EVE),
        key("/a", route, BOB, ("Cookie", "sid=1")),
        key("/a", route),
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("A.example", "a.example"),
        ("a:80", "a"),
        ("a:443", "a"),
        ("a:", "a"),
        ("a:8080", "a:8080"),
        ("a:80:80", "a:80"),
        ("u:p@a:80", "a"),
        ("u@v@a", "a"),
        ("[::1]:80", "[::1]"),
        ("[::80]", "[::80]"),
    ],
)
def test_authority(text: str, plain: str) -> None:
    assert plain_authority(text) == plain


def test_a_target_is_one_line() -> None:
    assert Target("/a", "b=c").wire() == b"/a?b=c"
    assert Target("/a").wire() == b"/a"


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("/", ()),
        ("/a", ("/",)),
        ("/a/", ("/",)),
        ("/a/b", ("/a", "/")),
        ("/a/b/c.txt", ("/a/b", "/a", "/")),
        ("/a//b", ("/a/", "/a", "/")),
    ],
)
def test_collections_above(path: str, above: tuple[str, ...]) -> None:
    assert collections_above(path) == above
