"""What becomes of the known versions of a resource when one more is seen or committed. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from proxy.rules.versions import ABSENT, UNKNOWN, Absent, Known, Recorded, Version
from proxy.store import Observed

MAX_VARIANTS: Final = 8
"""How many current representations of one resource are kept."""


def observed(known: Recorded, seen: Version | Absent) -> tuple[Recorded, Observed]:
    """Merges what a GET showed into what is known. `scripts/observe.lua` does the same in Redis."""
    if seen is ABSENT:
        return ABSENT, _of_absence(known)
    if known is ABSENT:
        return Known((seen,)), Observed.CHANGED
    if known is UNKNOWN:
        return Known((seen,)), Observed.RECORDED
    return _into(known, seen)


def _of_absence(known: Recorded) -> Observed:
    if known is ABSENT:
        return Observed.SAME
    return Observed.RECORDED if known is UNKNOWN else Observed.CHANGED


def _into(known: Known, seen: Version) -> tuple[Recorded, Observed]:
    old = _variant(known, seen.variant)
    if old is None:
        kept = known.versions[1:] if len(known.versions) >= MAX_VARIANTS else known.versions
        return Known((*kept, seen)), Observed.RECORDED
    if replace(old, shared_second=False) == replace(seen, shared_second=False):
        return known, Observed.SAME
    # One variant changed, so the resource did: the others are of an older state.
    return Known((_sharing_second(old, seen),)), Observed.CHANGED


def committed(before: Recorded, after: Recorded) -> Recorded:
    """What a write that found `before` records as `after`, with dates marked that tell the two not apart.

    RFC 9110 section 8.8.2.2: a version that shares its second with another has a weak date. A writer that
    puts back the very object that it was given changed nothing.
    """
    if after is before or not isinstance(after, Known) or not isinstance(before, Known):
        return after
    return Known(tuple(_after(_variant(before, version.variant), version) for version in after.versions))


def _after(old: Version | None, new: Version) -> Version:
    if old is None:
        return new
    if old.etag is not None and replace(old, shared_second=False) == replace(new, shared_second=False):
        return old
    return _sharing_second(old, new)


def _sharing_second(old: Version, new: Version) -> Version:
    if new.modified is not None and new.modified == old.modified:
        return replace(new, shared_second=True)
    return new


def _variant(known: Known, variant: str) -> Version | None:
    return next((version for version in known.versions if version.variant == variant), None)
