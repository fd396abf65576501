"""Versions as words of the scripts, and the memory of those that came by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.etags import EntityTag
from proxy.rules.recent import Recent
from proxy.rules.versions import ABSENT, UNKNOWN, Known, Version, decode
from proxy.store import lines
from proxy.store.lines import outcome_words, recorded, seen_words

TEXT = st.text(
    st.characters(min_codepoint=0x21, exclude_characters='"\x7f', exclude_categories=["Cs"]), max_size=8
)
TAGS = st.builds(EntityTag, TEXT, st.booleans())
VERSIONS = st.builds(
    Version,
    etag=TAGS | st.none(),
    modified=st.integers(0, 2**40) | st.none(),
    minted=st.booleans(),
    weak=TAGS | st.none(),
    shared_second=st.booleans(),
    variant=TEXT,
)
A = Version(EntityTag("a"), 7)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """Before and after each test."""
    lines._remembered.clear()
    yield
    lines._remembered.clear()


def handed_over(*versions: Version) -> list[object]:
    """What `describe` says of versions that a release has committed."""
    return [b"known", *outcome_words(Known(versions), kept=False)[1:]]


@given(st.lists(VERSIONS, min_size=1, max_size=3))
def test_what_was_committed_is_handed_over(versions: list[Version]) -> None:
    words = handed_over(*versions)
    assert recorded(words) == Known(tuple(versions))
    lines._remembered.clear()  # as another process reads it
    assert recorded(words) == Known(tuple(versions))
    assert recorded(words) == Known(tuple(versions))


@given(VERSIONS, VERSIONS)
def test_another_variant_or_line_is_another_version(one: Version, other: Version) -> None:
    for version in (one, other, replace(one, variant=other.variant), replace(other, variant=one.variant)):
        assert recorded(handed_over(version)) == Known((version,))


def test_what_this_process_wrote_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = handed_over(A)
    other = replace(A, variant="gzip")
    assert seen_words(other) == ("known", *handed_over(other)[1:])
    monkeypatch.delattr(lines, "decode")
    for _ in range(2):
        known = recorded([*words, b"gzip", b'7;;"a" -'])
        assert known == Known((A, other))


def test_what_was_read_once_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[object] = [b"known", b"", b'7;;"a" -']
    assert recorded(words) == Known((A,))
    monkeypatch.delattr(lines, "decode")
    assert recorded(words) == Known((A,))


def test_each_claim_is_handed_a_record_of_its_own() -> None:
    """Whether just that is put back which the claim took is told by which object it is."""
    words = handed_over(A)
    assert recorded(words) is not recorded(words)


@pytest.mark.parametrize(
    "words", [[b"known", b""], [b"known", b"", b"nonsense"], [b"known", b"", b'7;;"a" -', b"x", b"7"]]
)
def test_what_cannot_be_read_is_unknown(words: list[object]) -> None:
    assert recorded(words) is UNKNOWN
    assert recorded(words) is UNKNOWN


def test_nothing_and_absence() -> None:
    assert recorded([b"unknown"]) is UNKNOWN
    assert recorded([b"absent"]) is ABSENT


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_remembered", Recent(10))
    for number in range(50):
        version = Version(EntityTag(f"{number}"))
        assert recorded(handed_over(version)) == Known((version,))
    assert len(lines._remembered) == 10
    assert (b"", b';;"49" -') in lines._remembered
    long = Version(EntityTag("x" * 300))
    assert recorded(handed_over(long)) == Known((long,))
    assert decode(b';;"49" -'.decode()) in lines._remembered.values()
    assert long not in lines._remembered.values()
