"""Which representation a tag was shown for (RFC 9110 section 12.5.5)."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.gate.selectors import Selectors, chosen_fields, chosen_headers
from proxy.rules.conditions import NONE, Conditions
from proxy.rules.etags import EntityTag, Star

TAG, OTHER = EntityTag("one"), EntityTag("two")
JSON, GERMAN = ("Accept", "application/json"), ("Accept-Language", "de")
SECRET = ("X-Api-Key", "secret")


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


def noted(vary: str, *request: tuple[str, str]) -> Selectors:
    selectors = Selectors(most=2)
    selectors.note("/a", TAG, headers(("Vary", vary)), headers(*request))
    return selectors


@pytest.mark.parametrize(
    ("vary", "chosen"),
    [
        ("Accept", {"accept": ("application/json",)}),
        ("Accept, ACCEPT-LANGUAGE", {"accept": ("application/json",), "accept-language": ("de",)}),
        ("Accept-Charset", {"accept-charset": ()}),
        ("Accept-Encoding", {}),
        ("Authorization, Cookie, X-Api-Key, Origin", {}),
        ("X-Api-Key, Accept", {"accept": ("application/json",)}),
        ("*", {}),
        ("", {}),
    ],
)
def test_fields_of_negotiation_are_remembered_and_nothing_that_may_be_a_credential(
    vary: str, chosen: dict[str, tuple[str, ...]]
) -> None:
    selectors = noted(vary, JSON, GERMAN, SECRET, ("Authorization", "Bearer me"))
    assert selectors.of("/a", Conditions((OTHER, TAG))) == chosen


@pytest.mark.parametrize(
    ("key", "conditions"),
    [("/b", Conditions((TAG,))), ("/a", Conditions((OTHER,))), ("/a", Conditions(Star.STAR)), ("/a", NONE)],
)
def test_only_the_tag_of_just_that_resource(key: str, conditions: Conditions) -> None:
    assert noted("Accept", JSON).of(key, conditions) == {}


def test_the_memory_is_bounded() -> None:
    selectors = noted("Accept", JSON)
    for name in ("/b", "/c", "/" + "d" * 1000):
        selectors.note(name, TAG, headers(("Vary", "Accept")), headers(JSON))
    held = [name for name in ("/a", "/b", "/c", "/" + "d" * 1000) if selectors.of(name, Conditions((TAG,)))]
    assert held == ["/b", "/c"]


def test_what_was_not_sent_is_not_sent_again_and_what_was_is() -> None:
    chosen = {"accept": ("application/json", "text/\udcff"), "accept-language": ()}
    own = headers(("Accept", "*/*"), GERMAN, ("Host", "h"))
    assert dict(chosen_headers(own, chosen)) == {"Host": "h", "accept": "application/json"}
    assert chosen_headers(own, chosen).getall("Accept") == ["application/json", "text/\udcff"]
    assert chosen_headers(own, {}) is own
    fields = [(b"Accept", b"*/*"), (b"ACCEPT-Language", b"de"), (b"Host", b"h")]
    sent = [(b"Host", b"h"), (b"accept", b"application/json"), (b"accept", b"text/\xff")]
    assert chosen_fields(fields, chosen) == sent
