"""Which representation a response is (RFC 9110 section 12.5.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.variants import other_coding, variant_of


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


def variant(vary: str | list[str], *request: tuple[str, str], coding: str = "") -> str | None:
    lines = [vary] if isinstance(vary, str) else vary
    return variant_of(headers(*(("Vary", line) for line in lines)), headers(*request), coding)


DE, EN = ("Accept-Language", "de"), ("Accept-Language", "en")
JSON = ("Accept", "application/json")


@pytest.mark.parametrize(
    ("vary", "request_fields", "coding", "name"),
    [
        ([], [DE, JSON], "", ""),
        ([""], [DE], "", ""),
        ([], [], "gzip", "coding=gzip"),
        (["Accept-Language"], [DE, JSON], "", "accept-language=de"),
        (["accept-LANGUAGE"], [DE], "", "accept-language=de"),
        (["Accept-Language"], [], "", "accept-language="),
        (["Accept-Language, Accept"], [DE, JSON], "", "accept=application/json;accept-language=de"),
        (["Accept", "Accept-Language"], [JSON, DE], "", "accept=application/json;accept-language=de"),
        ([" ,Accept ,, "], [JSON], "", "accept=application/json"),
        (["Accept-Language, Accept-Language"], [DE], "", "accept-language=de"),
        (["Accept-Language"], [DE, EN], "", "accept-language=de,en"),
        (["Accept-Language"], [DE], "br", "accept-language=de;coding=br"),
        (["Accept-Encoding"], [("Accept-Encoding", "gzip")], "", ""),  # told by what came: the coding
        (["Accept-Encoding"], [("Accept-Encoding", "gzip")], "gzip", "coding=gzip"),
        (["Origin"], [("Origin", "https://a.example")], "", ""),  # selects fields, not content (Fetch, CORS)
        (["*"], [DE], "", None),
        (["Accept, *"], [JSON], "", None),
        (["Accept", " * "], [JSON], "gzip", None),
    ],
)
def test_name(vary: list[str], request_fields: list[tuple[str, str]], coding: str, name: str | None) -> None:
    assert variant(vary, *request_fields, coding=coding) == name


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Auth-Token", "X-CSRF-Token", "Foo"],
)
def test_no_credentials_in_a_name(name: str) -> None:
    one, other = variant(name, (name, "s3cret")), variant(name, (name, "0ther"))
    assert one is not None
    assert "s3cret" not in one
    assert one != other
    assert one == variant(name, (name, "s3cret"))
    assert variant(name) not in (one, other)


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_value_is_named_in_a_short_line_of_its_own(value: str) -> None:
    """`surrogateescape` is what makes lone surrogates; nothing of a value may look like another part."""
    value = value.encode("utf-8", "surrogateescape" if _escapes(value) else "replace").decode(
        "utf-8", "surrogateescape"
    )
    name = variant("Accept-Language", ("Accept-Language", value))
    assert name is not None
    assert name.isascii()
    assert len(name) < 140
    assert name.count(";") == 0
    assert name.count("=") == 1


def _escapes(value: str) -> bool:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


VALUES = st.text("ade;=#,*/ ", max_size=6) | st.sampled_from(
    ["x" * 121, "x" * 122, "\u00e9", "\udce9", "\udce8"]
)


@given(VALUES, VALUES, VALUES, VALUES)
def test_two_requests_that_differ_have_two_names(a: str, b: str, c: str, d: str) -> None:
    one = variant("Accept, Accept-Language", ("Accept", a), ("Accept-Language", b))
    other = variant("Accept, Accept-Language", ("Accept", c), ("Accept-Language", d))
    assert (one == other) == ((a, b) == (c, d))


def test_the_form_of_a_digest_is_no_other_values_name() -> None:
    long = variant("Accept", ("Accept", "x" * 121))
    assert long is not None
    digest = long.removeprefix("accept=")
    assert variant("Accept", ("Accept", digest)) != long


def test_without_vary_nothing_of_the_request_counts() -> None:
    assert variant_of(headers(("Content-Type", "text/plain")), headers(DE, ("Vary", "Accept")), "") == ""


@pytest.mark.parametrize(
    ("fields", "accept"),
    [
        ((), None),
        ((("Vary", "Accept"),), None),
        ((("Vary", "Accept, Accept-Encoding"),), "gzip, br"),
        ((("Content-Encoding", "identity"), ("Vary", "accept-encoding")), "gzip, br"),
        ((("Content-Encoding", "gzip"),), "identity"),
        ((("Content-Encoding", "BR"), ("Vary", "Accept-Encoding")), "identity"),
    ],
)
def test_how_to_see_another_coding(fields: tuple[tuple[str, str], ...], accept: str | None) -> None:
    assert other_coding(CIMultiDictProxy(CIMultiDict(fields))) == accept
