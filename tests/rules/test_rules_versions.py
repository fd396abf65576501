"""A version as one line of the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.etags import EntityTag
from proxy.rules.versions import Version, decode, encode

ETAGC = st.one_of(
    st.sampled_from([chr(code) for code in (0x21, *range(0x23, 0x7F))]),
    st.characters(min_codepoint=0x80, exclude_categories=()),
)
TAGS = st.builds(EntityTag, st.text(ETAGC, max_size=8), st.booleans())
VERSIONS = st.builds(
    Version,
    etag=TAGS | st.none(),
    modified=st.integers(-(2**40), 2**40) | st.none(),
    minted=st.booleans(),
    weak=TAGS | st.none(),
    shared_second=st.booleans(),
    variant=st.text(max_size=8),
)


@pytest.mark.parametrize(
    ("version", "line"),
    [  # the scripts of the Redis store read the date out of these: no other form may take their place
        (Version(None), ";;- -"),
        (Version(EntityTag("a")), ';;"a" -'),
        (Version(EntityTag("a"), 784111777), '784111777;;"a" -'),
        (Version(EntityTag("a"), 0, minted=True, shared_second=True), '0;ms;"a" -'),
        (Version(EntityTag("a"), minted=True, weak=EntityTag("b", weak=True)), ';m;"a" W/"b"'),
        (Version(None, 7, weak=EntityTag("b", weak=True), shared_second=True), '7;s;- W/"b"'),
        (Version(EntityTag("-;m;-"), 7), '7;;"-;m;-" -'),
        (Version(EntityTag("")), ';;"" -'),
    ],
)
def test_line(version: Version, line: str) -> None:
    assert encode(version) == line
    assert decode(line) == version


@given(VERSIONS)
def test_what_was_encoded_is_decoded(version: Version) -> None:
    assert decode(encode(version), version.variant) == version


@given(VERSIONS, VERSIONS)
def test_two_versions_have_two_lines(one: Version, other: Version) -> None:
    same = encode(one) == encode(other)
    assert same == (decode(encode(one)) == decode(encode(other)))


@pytest.mark.parametrize(
    "line",
    ["", ";", ";;", ";;-", ";;- - -", "x;;- -", ";;a -", ";;- a", ';;"a" "b', "1 ;2;- -x", ';;"a b" -'],
)
def test_what_was_not_encoded_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(line)


@given(st.text(max_size=30))
def test_any_text_is_decoded_or_refused(line: str) -> None:
    try:
        version = decode(line)
    except ValueError:
        return
    assert decode(encode(version)) == version
