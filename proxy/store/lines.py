"""Versions as the scripts read and write them."""

from __future__ import annotations

from typing import Final

from proxy.rules.versions import ABSENT, UNKNOWN, Absent, Known, Recorded, Version, decode, encode
from proxy.store.mirror import variant
from proxy.store.wire import Reply, Word

# Field text may hold bytes that are not UTF-8, each as a lone surrogate (RFC 9110 section 5.5, obs-text).
_ERRORS: Final = "surrogateescape"


def outcome_words(outcome: Recorded, *, kept: bool) -> tuple[Word, ...]:
    """The arguments of `release.lua` from the fourth on; `kept` where nothing was written."""
    if outcome is UNKNOWN:
        return ("unknown",)
    if outcome is ABSENT:
        return ("absent",)
    words: list[Word] = ["kept" if kept else "known"]
    for version in outcome.versions:
        words += (_bytes(version.variant), _bytes(encode(version)))
    return tuple(words)


def seen_words(version: Version | Absent) -> tuple[Word, ...]:
    """The arguments of `observe.lua` that say what was seen."""
    if version is ABSENT:
        return ("absent", "", "")
    return ("known", _bytes(variant(version)), _bytes(encode(version)))


def recorded(words: list[Reply]) -> Recorded:
    """What a script's `describe` says. A line that cannot be read is as good as unknown."""
    kind, pairs = words[0], words[1:]
    if kind == b"absent":
        return ABSENT
    if kind != b"known":
        return UNKNOWN
    try:
        named = zip(pairs[::2], pairs[1::2], strict=True)
        return Known(tuple([decode(_text(line), _text(name)) for name, line in named]))
    except ValueError:
        return UNKNOWN


def erased(word: bytes) -> tuple[Version, ...]:
    """The versions in `m`."""
    if not word:
        return ()
    try:
        return tuple(decode(line) for line in _text(word).split("\n") if line)
    except ValueError:
        return ()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", _ERRORS)


def _text(words: bytes) -> str:
    return words.decode("utf-8", _ERRORS)
