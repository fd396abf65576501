"""Minted tags: of what, for whom, under which coding."""

from __future__ import annotations

import base64
import gzip
import re
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.rules.conditions import Condition, Conditions, Malformed, named_conditions, parse_conditions
from proxy.rules.etags import STAR, EntityTag
from proxy.rules.minting import (
    Minter,
    coding_of,
    decode,
    is_minted,
    names_minted,
    plain_tags,
    with_coding,
    without_coding,
)

packed = partial(gzip.compress, mtime=0)

MINTER = Minter(b"secret")
CODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": packed,
    "x-gzip": packed,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip, br": lambda content: bytes(brotli.compress(packed(content))),
    "BR,GZIP": lambda content: packed(brotli.compress(content)),
    "gzip,identity": packed,
}
CONTENT = st.binary(max_size=300) | st.builds(
    lambda one, n: one * n, st.binary(min_size=1, max_size=9), st.integers(1, 99)
)
KEYS = st.text(st.characters(exclude_characters="\0", max_codepoint=0xFF), max_size=10)


@given(CONTENT, KEYS)
def test_one_content_has_one_tag_under_every_coding(content: bytes, key: str) -> None:
    plain = MINTER.mint(key, content)
    for coding, code in CODERS.items():
        assert MINTER.mint(key, code(content), coding) == plain, coding


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 32751, 32752, 32753, 65536, 100_000, 1 << 20])
@pytest.mark.parametrize("coding", CODERS)
def test_sizes_at_the_edges_of_buffers(size: int, coding: str) -> None:
    content = bytes(index * index % 251 for index in range(size))
    assert decode(CODERS[coding](content), coding) == content


@given(KEYS, KEYS, CONTENT, CONTENT, st.binary(min_size=1, max_size=5), st.binary(min_size=1, max_size=5))
def test_tags_differ_by_secret_resource_and_content(
    key: str, other_key: str, content: bytes, other: bytes, secret: bytes, other_secret: bytes
) -> None:
    one = Minter(secret).mint(key, content)
    two = Minter(other_secret).mint(other_key, other)
    assert (one == two) == ((secret, key, content) == (other_secret, other_key, other))


@given(
    CONTENT, st.sampled_from(["", "foo", "gzip", "br"]), CONTENT, st.sampled_from(["", "foo", "gzip", "br"])
)
def test_what_cannot_be_decoded_shares_no_tag(
    one: bytes, coding: str, other: bytes, other_coding: str
) -> None:
    """Neither with other content, nor with content that looks like it together with its coding."""
    means = (coding, one) if decode(one, coding) is None else ("", decode(one, coding))
    other_means = (
        (other_coding, other) if decode(other, other_coding) is None else ("", decode(other, other_coding))
    )
    same = MINTER.mint("/a", one, coding) == MINTER.mint("/a", other, other_coding)
    assert same == (means == other_means)


def test_content_cannot_be_made_to_look_like_another_coding() -> None:
    assert MINTER.mint("/a", b"x", "foo") != MINTER.mint("/a", b"x\0foo")
    assert MINTER.mint("/a", b"x", "foo") != MINTER.mint("/a", b"foo\0x")


def test_a_tag_says_nothing_but_what_it_is() -> None:
    tag = MINTER.mint("/a", b"content", "")
    assert re.fullmatch(r'"pp1\.[A-Za-z0-9_-]{22}"', str(tag))
    assert len(base64.urlsafe_b64decode(tag.opaque.removeprefix("pp1.") + "==")) == 16
    assert tag == Minter(b"secret").mint("/a", b"content")  # on every replica
    assert MINTER.mint("/\udce9", b"").opaque != MINTER.mint("/\u00e9\u00e9", b"").opaque


def zstd_frames(*contents: bytes) -> bytes:
    return b"".join(map(CODERS["zstd"], contents))


@pytest.mark.parametrize(
    ("content", "codings"),
    [
        (b"plain", "gzip"),
        (b"plain", "deflate"),
        (b"plain", "br"),
        (b"plain", "zstd"),
        (b"", "gzip"),
        (b"", "deflate"),
        (b"", "br"),
        (b"", "zstd"),
        (b"plain", "compress"),
        (b"plain", "aes128gcm"),
        (packed(b"a"), "gzip, unknown"),
        (packed(b"a"), "unknown, gzip"),
        (packed(b"a")[:-1], "gzip"),  # cut off
        (zlib.compress(b"a" * 99)[:-1], "deflate"),
        (brotli.compress(b"a" * 99)[:-1], "br"),
        (zstd_frames(b"a" * 99)[:-1], "zstd"),
        (packed(b"a") + packed(b"b"), "gzip"),  # what follows must count too
        (zlib.compress(b"a") + b"b", "deflate"),
        (brotli.compress(b"a") + b"b", "br"),
        (zstd_frames(b"a", b"b"), "zstd"),
        (zstd_frames(b"a") + b"b", "zstd"),
        (packed(b"a")[:-5] + b"\0" + packed(b"a")[-4:], "gzip"),  # another checksum
        (zlib.compress(b"a", wbits=-15), "deflate"),  # without the wrapper of RFC 1950
        (packed(packed(packed(b"a"))), "gzip, gzip, gzip"),  # nobody does that
    ],
)
def test_what_cannot_be_decoded(content: bytes, codings: str) -> None:
    assert decode(content, codings) is None
    assert MINTER.mint("/a", content, codings) != MINTER.mint("/a", content)
    assert MINTER.mint("/a", content, codings) != MINTER.mint("/a", content + b"x", codings)


def wide_window() -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return bytes(coder.compress(b"x") + coder.flush())


BOMB = bytes(1 << 24)


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", packed(BOMB)),
        ("deflate", zlib.compress(BOMB)),
        ("br", brotli.compress(BOMB, quality=5)),
        ("zstd", zstandard.ZstdCompressor().compress(BOMB)),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(BOMB)),
        ("zstd", wide_window()),
        ("gzip, gzip", packed(packed(BOMB))),
        ("br, gzip", packed(brotli.compress(BOMB, quality=5))),
    ],
)
def test_a_bomb_costs_what_it_weighs(coding: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        assert decode(bomb, coding) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * (64 * len(bomb) + (1 << 20))
    assert MINTER.mint("/a", bomb, coding) != MINTER.mint("/a", BOMB)


# Codings in tags.


@pytest.mark.parametrize(
    ("coding", "suffix"),
    [
        ("", ""),
        ("gzip", "-gzip"),
        ("GZip", "-gzip"),
        ("x-gzip", "-gzip"),
        (" br", "-br"),
        ("gzip, br", "-gzipbr"),
        ("zstd", "-zstd"),
        ("\u00e9", ""),
        (",", ""),
    ],
)
def test_a_coding_is_a_suffix(coding: str, suffix: str) -> None:
    tag = MINTER.mint("/a", b"x")
    coded = with_coding(tag, coding)
    assert coded.opaque == tag.opaque + suffix
    assert without_coding(coded) == without_coding(tag) == tag
    assert coding_of(coded) == suffix.removeprefix("-")
    assert is_minted(coded)


@given(CONTENT, st.text(max_size=8), st.booleans())
def test_a_suffix_comes_off_again(content: bytes, coding: str, weak: bool) -> None:
    tag = MINTER.mint("/a", content)
    coded = EntityTag(with_coding(tag, coding).opaque, weak)
    assert is_minted(coded)
    assert without_coding(coded) == EntityTag(tag.opaque, weak)
    assert coding_of(coded) is not None
    assert EntityTag.parse(str(coded)) == coded


OURS = "pp1." + 21 * "A" + "-"  # a digest may end in what looks like a suffix's beginning


@pytest.mark.parametrize(
    ("opaque", "coding"),
    [
        (OURS, ""),
        (OURS + "-gzip", "gzip"),
        ("pp1." + 22 * "_" + "-br", "br"),
        (OURS[:-1], None),
        (OURS + "A", None),
        (OURS + "-", None),
        (OURS + "-GZIP", None),
        (OURS + "-gzip-gzip", None),
        (OURS + "\n", None),
        ("x" + OURS, None),
        ("pp2." + 22 * "A", None),
        ("pp1x" + 22 * "A", None),
        ("pp1." + 22 * "=", None),
        ("", None),
    ],
)
def test_which_tags_are_ours(opaque: str, coding: str | None) -> None:
    for weak in (False, True):
        tag = EntityTag(opaque, weak)
        assert (is_minted(tag), coding_of(tag)) == (coding is not None, coding)
        assert without_coding(tag) == (tag if coding is None else EntityTag(opaque[: len(OURS)], weak))


def conditions(*lines: tuple[str, str]) -> Conditions:
    parsed = parse_conditions("PUT", CIMultiDict(lines), now_year=2000)
    assert not isinstance(parsed, Malformed)
    return parsed


def test_a_write_may_name_any_coding() -> None:
    one, weak = EntityTag(OURS), EntityTag(OURS, weak=True)
    own = EntityTag("own-gzip")
    asked = conditions(("If-Match", f'"{OURS}-gzip", "own-gzip"'), ("If-None-Match", f'W/"{OURS}-br"'))
    plain = plain_tags(asked)
    assert (plain.if_match, plain.if_none_match) == ((one, own), (weak,))
    assert plain.sent == asked.sent
    assert plain.sent[Condition.IF_MATCH] == f'"{OURS}-gzip", "own-gzip"'


@pytest.mark.parametrize("lines", [(), (("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),)])
def test_where_there_are_no_tags_nothing_changes(lines: tuple[tuple[str, str], ...]) -> None:
    asked = conditions(*lines)
    assert plain_tags(asked) is asked


def test_a_star_stays() -> None:
    plain = plain_tags(conditions(("If-Match", "*"), ("If-None-Match", "*")))
    assert (plain.if_match, plain.if_none_match) == (STAR, STAR)


@pytest.mark.parametrize(
    ("lines", "ours"),
    [
        ([], False),
        ([("If-Match", f'"{OURS}"')], True),
        ([("If-None-Match", f'"own", W/"{OURS}-br"')], True),
        ([("If-Match", '"own"'), ("If-None-Match", f'"{OURS}"')], True),
        ([("If-Match", "*"), ("If-None-Match", '"own"')], False),
        ([("If-Match", f'"{OURS}')], False),  # it cannot be read
        ([("If-Match", "junk"), ("If-None-Match", f'"{OURS}"')], True),
        ([("If-Range", f'"{OURS}"')], False),
    ],
)
def test_whether_a_request_names_a_tag_of_ours(lines: list[tuple[str, str]], ours: bool) -> None:
    assert names_minted(named_conditions(CIMultiDict(lines))) is ours
