"""JSON in one form (RFC 8785), pointers into it (RFC 6901), and the versions and dates that stand in it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules import pointers
from proxy.rules.canonical import NotCanonical, canonical, parsed
from proxy.rules.content import Fault, Lack, Told, VersionSource, by_content, by_header, moment
from proxy.rules.pointers import PointerError


def form(text: str | bytes) -> bytes:
    """A JSON text in its canonical form."""
    return canonical(parsed(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")))


# RFC 8785.

SAMPLE = """{
  "numbers": [1e21, 1E30, 4.50, 2e-3, 0.000000000000000000000000001, 333333333.33333331],
  "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
  "literals": [null, true, false]
}"""
SORTED = (
    '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh",'
    '"1":"One","\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"o with diaeresis"}'
)


def test_the_samples_of_the_rfc() -> None:
    assert form(SAMPLE) == (
        b'{"literals":[null,true,false],"numbers":[1e+21,1e+30,4.5,0.002,1e-27,333333333.3333333],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    # Section 3.2.3: by UTF-16 code units, so the emoji (U+D83D first) comes before U+FB33.
    assert [name[:6] for name in json.loads(form(SORTED)).values()] == [
        *("Carria", "One", "Contro", "o with", "Euro S", "Emoji:", "Hebrew")
    ]


def test_names_are_ordered_by_utf16_at_every_place() -> None:
    names = ["a\ufb33", "a\U0001f600", "b"]
    assert list(json.loads(form(json.dumps(dict.fromkeys(names))))) == ["a\U0001f600", "a\ufb33", "b"]


@pytest.mark.parametrize(
    ("written", "one_form"),
    [
        ("0", "0"), ("-0", "0"), ("-0.0", "0"), ("0e5", "0"), ("1.0", "1"), ("-1.50", "-1.5"),
        ("1e3", "1000"),
        ("1e20", "100000000000000000000"), ("1e21", "1e+21"), ("1.5e300", "1.5e+300"), ("5e-324", "5e-324"),
        ("0.001", "0.001"), ("0.00001", "0.00001"), ("1.5e-5", "0.000015"), ("1e-6", "0.000001"),
        ("1e-7", "1e-7"), ("-1.25e-7", "-1.25e-7"), ("-123e-8", "-0.00000123"),
        # Appendix B: doubles beyond 2**53 have their shortest digits, then zeros.
        ("295147905179352830000.0", "295147905179352830000"), ("9007199254740992.0", "9007199254740992"),
        # No doubles: kept as they are, so that they stay different from their neighbours.
        ("9007199254740993", "9007199254740993"), ("123456789012345678.25", "12345678901234567825e-2"),
        ("123456789012345678.250", "12345678901234567825e-2"), ("1e400", "1e400"), ("-1e-400", "-1e-400"),
    ],
)  # fmt: skip
def test_numbers(written: str, one_form: str) -> None:
    assert form(written) == one_form.encode()
    assert form(f"[{written}]") == f"[{one_form}]".encode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_has_one_form_that_reads_back(number: float) -> None:
    text = form(repr(number))
    assert float(text) == number
    assert form(text) == text == form(f"{number:.16e}")  # 17 digits, as some servers write every double


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_order_and_space_make_no_difference(value: object) -> None:
    loose = json.dumps(value, indent=3, sort_keys=False)
    tight = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert form(loose) == form(tight)
    assert form(form(loose)) == form(loose)
    assert json.loads(form(loose)) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1,]", "{'a':1}", "NaN", "[-Infinity]", '{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]',
        '"\\ud800"', '"\\udc00"', '"\\udc001"', '{"\\udc00":1}', "[" * 100_000, "1" * 5000,
        "1e-99999999999999999999999", b'"\xff"', b'"\xed\xa0\x80"',
    ],
)  # fmt: skip
def test_what_has_no_canonical_form(text: str | bytes) -> None:
    with pytest.raises(NotCanonical):
        form(text)


def test_a_byte_order_mark_is_no_content() -> None:
    assert form(b"\xef\xbb\xbf[1]") == b"[1]"


# RFC 6901.


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("/a", ("a",)), ("/a/0", ("a", "0")), ("/", ("",)), ("/a//b", ("a", "", "b")), ("/a~1b", ("a/b",)),
        ("/m~0n", ("m~n",)), ("/~01", ("~1",)), ("/ ", (" ",)), ("/*/x", ("*", "x")),
    ],
)  # fmt: skip
def test_pointers(text: str, steps: tuple[str, ...]) -> None:
    assert pointers.parse(text) == steps
    assert pointers.written(steps) == text


@pytest.mark.parametrize(
    ("text", "instead"), [("", "/"), ("a", "/a"), ("$.a", "/a"), ("/a~2", "~0"), ("/~", "~1")]
)
def test_no_pointers(text: str, instead: str) -> None:
    with pytest.raises(PointerError) as wrong:
        pointers.parse(text)
    assert instead in wrong.value.instead


@pytest.mark.parametrize(
    ("pointer", "left"),
    [
        ("/a", {"b": [{"c": 1, "d": 2}, {"c": 3}]}),
        ("/b/0/c", {"a": 0, "b": [{"d": 2}, {"c": 3}]}),
        ("/b/*/c", {"a": 0, "b": [{"d": 2}, {}]}),
        ("/b/0", {"a": 0, "b": [None, {"c": 3}]}),
        ("/b/*", {"a": 0, "b": [None, None]}),
        ("/*", {}),
        *((nowhere, {"a": 0, "b": [{"c": 1, "d": 2}, {"c": 3}]}) for nowhere in ("/x", "/b/2", "/b/00")),
        *((nowhere, {"a": 0, "b": [{"c": 1, "d": 2}, {"c": 3}]}) for nowhere in ("/b/-", "/a/b", "/x/*")),
    ],
)  # fmt: skip
def test_removing(pointer: str, left: object) -> None:
    document = {"a": 0, "b": [{"c": 1, "d": 2}, {"c": 3}]}
    pointers.remove(document, pointers.parse(pointer))
    assert document == left


# What `version` makes of a representation.

REV = pointers.parse("/rev")
AT = pointers.parse("/at")
NO_FIELDS: dict[str, str] = {}


def told(source: VersionSource, content: str, fields: dict[str, str] = NO_FIELDS) -> Told:
    """What this content says."""
    return by_content(source, content.encode(), fields.get)


def test_what_is_ignored_makes_no_difference_and_all_else_does() -> None:
    source = VersionSource(ignore=(pointers.parse("/meta/at"), pointers.parse("/csrf")))
    one = told(source, '{"a": 1, "meta": {"at": 1, "by": "x"}, "csrf": "q"}')
    assert one == told(source, '{"csrf":"z","meta":{"by":"x","at":2},"a":1.0}')
    assert one == told(source, '{"a":1,"meta":{"by":"x"}}')
    assert one.kind == "json"
    assert one.lacks == ()
    for other in ('{"a":2,"meta":{"by":"x"}}', '{"a":1,"meta":{"by":"y"}}', '{"a":1}', "[]"):
        assert told(source, other).identity != one.identity


def test_ignored_text() -> None:
    source = VersionSource(ignore_text=re.compile("<!-- .*? -->|nonce=\\w+"))
    assert told(source, "a<!-- 1 -->b nonce=1") == told(source, "a<!-- 22 -->b nonce=xyz")
    assert told(source, "a<!-- 1 -->b") != told(source, "ab")
    assert told(source, "a<!-- 1 -->b") != told(source, "a<!-- 1 -->c")
    both = VersionSource(ignore=(REV,), ignore_text=re.compile("[0-9]"))
    assert told(both, '{"rev":1,"a":1}') == told(both, '{"rev":2,"a":1}')
    assert told(both, '{"rev":1,"a":1}') != told(both, '{"rev":1,"a":2}')
    assert told(both, "a1") == told(both, "a2") == Told("text", b"a\0")


@pytest.mark.parametrize("written", ['{"b":1, "a":2}', "no JSON", ""])
def test_all_of_the_content(written: str) -> None:
    source = VersionSource(content=True)
    assert (source.tags, source.reads_json) == (True, False)
    assert told(source, written) == Told()  # the hash of the content as it is


@pytest.mark.parametrize(
    ("content", "identity"),
    [('{"rev":3}', b"3"), ('{"rev":"3"}', b'"3"'), ('{"rev":3.0,"b":2}', b"3"), ('{"rev":0}', b"0")],
)
def test_a_version_out_of_the_content(content: str, identity: bytes) -> None:
    assert told(VersionSource(field=REV), content) == Told("field", identity)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{}", Fault.MISSING), ("[]", Fault.MISSING), ('"x"', Fault.MISSING), ("no", Fault.NOT_JSON),
        ('{"rev":null}', Fault.UNUSABLE), ('{"rev":""}', Fault.UNUSABLE), ('{"rev":true}', Fault.UNUSABLE),
        ('{"rev":{}}', Fault.UNUSABLE), ('{"rev":[1]}', Fault.UNUSABLE),
    ],
)  # fmt: skip
def test_what_lacks_the_version_has_the_hash(content: str, fault: Fault) -> None:
    found = told(VersionSource(field=REV), content)
    assert found.identity is None
    assert [lack.fault for lack in found.lacks] == [fault]
    # With `ignore` beside it, that is what is left.
    if fault is not Fault.NOT_JSON:
        assert told(VersionSource(field=REV, ignore=(AT,)), content).kind == "json"


def test_a_version_out_of_a_field() -> None:
    source = VersionSource(header="X-Revision")
    fields = {"X-Revision": " 7 "}
    assert by_header(source, fields.get) == Told("header", b"7") == told(source, "x", fields)
    assert by_header(source, NO_FIELDS.get) is None
    assert told(source, "x") == Told(lacks=(Lack(Fault.MISSING, "the field X-Revision"),))
    # With a date in the content, that has to be read.
    dated = VersionSource(header="X-Revision", modified=AT)
    assert by_header(dated, fields.get) is None
    assert told(dated, '{"at": 5}', fields) == Told("header", b"7", 5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2024-02-29T12:00:00Z", 1709208000), ("2024-02-29t12:00:00z", 1709208000),
        ("2024-02-29 12:00:00+00:00", 1709208000), ("2024-02-29T13:30:00+01:30", 1709208000),
        ("2024-02-29T12:00:00.999999999Z", 1709208000), ("2024-02-29T12:00:00-00:00", 1709208000),
        (1709208000, 1709208000), (1709208000.75, 1709208000), ("1709208000", 1709208000),
        (1709208000999, 1709208000), ("1709208000999", 1709208000), (1709208000999999, 1709208000),
        (1709208000999999999, 1709208000), (0, 0),
        # Without a zone the order of two times is not sure.
        ("2024-02-29T12:00:00", None), ("2024-02-29", None), ("2023-02-29T12:00:00Z", None),
        ("2024-02-29T25:00:00Z", None), ("yesterday", None), ("", None), (-1, None), (10**25, None),
        (True, None), (None, None), ([], None), ("1960-01-01T00:00:00Z", None), (float("inf"), None),
    ],
)  # fmt: skip
def test_dates(value: object, seconds: int | None) -> None:
    assert moment(value) == seconds


def test_a_date_that_lacks_or_is_none_is_told() -> None:
    source = VersionSource(modified=AT)
    assert told(source, '{"at":"2024-02-29T12:00:00Z"}') == Told(modified=1709208000)
    assert told(source, "{}") == Told(lacks=(Lack(Fault.MISSING, "/at"),))
    assert told(source, '{"at":"now"}') == Told(lacks=(Lack(Fault.UNUSABLE, "/at"),))
    assert told(source, "no") == Told(lacks=(Lack(Fault.NOT_JSON, "the content"),))
