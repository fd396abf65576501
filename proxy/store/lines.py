"""Versions as the scripts read and write them."""

from __future__ import annotations

from typing import Final

from proxy.rules.recent import Recent
from proxy.rules.versions import ABSENT, UNKNOWN, Absent, Known, Recorded, Version, decode, encode
from proxy.store.wire import Reply, Word

# Field text may hold bytes that are not UTF-8, each as a lone surrogate (RFC 9110 section 5.5, obs-text).
_ERRORS: Final = "surrogateescape"

_LONGEST: Final = 256  # bytes of variant and line together; a backend could send thousands of longer tags

_remembered: Recent[tuple[bytes, bytes], Version] = Recent()
"""Versions by variant and line, those that were read or committed last: what a claim hands over is most often
what this very process has put there. They never change, so it matters to nobody who else has one."""


def outcome_words(outcome: Recorded, *, kept: bool) -> tuple[Word, ...]:
    """The arguments of `release.lua` from the fourth on; `kept` where nothing was written."""
    if outcome is UNKNOWN:
        return ("unknown",)
    if outcome is ABSENT:
        return ("absent",)
    words: list[Word] = ["kept" if kept else "known"]
    for version in outcome.versions:
        pair = _pair(version)
        if pair not in _remembered:
            _remember(pair, version)
        words += pair
    return tuple(words)


def seen_words(version: Version | Absent) -> tuple[Word, ...]:
    """The arguments of `observe.lua` that say what was seen."""
    return ("absent", "", "") if version is ABSENT else ("known", *_pair(version))


def recorded(words: list[Reply]) -> Recorded:
    """What a script's `describe` says. A line that cannot be read is as good as unknown."""
    kind = words[0]
    if kind == b"absent":
        return ABSENT
    if kind != b"known":
        return UNKNOWN
    versions = []
    try:
        for pair in zip(words[1::2], words[2::2], strict=True):
            version = _remembered.get(pair) or _remembered.recall(pair)
            if version is None:
                version = decode(_text(pair[1]), _text(pair[0]))
                _remember(pair, version)
            versions.append(version)
    except ValueError:
        return UNKNOWN
    return Known(tuple(versions))


def erased(word: bytes) -> tuple[Version, ...]:
    """The versions in `m`."""
    if not word:
        return ()
    try:
        return tuple(decode(line) for line in _text(word).split("\n") if line)
    except ValueError:
        return ()


def _pair(version: Version) -> tuple[bytes, bytes]:
    """A version's variant and line."""
    return version.variant.encode("utf-8", _ERRORS), encode(version).encode("utf-8", _ERRORS)


def _remember(pair: tuple[bytes, bytes], version: Version) -> None:
    if len(pair[0]) + len(pair[1]) > _LONGEST:
        return
    _remembered.keep(pair, version)


def _text(words: bytes) -> str:
    return words.decode("utf-8", _ERRORS)
