"""What becomes of the known versions of a resource when one more is seen or committed. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from proxy.rules.aftermath import is_same, marked
from proxy.rules.versions import ABSENT, UNKNOWN, Absent, Known, Recorded, Version
from proxy.store import Observed

MAX_VARIANTS: Final = 8
"""How many current representations of one resource are kept."""

Erased = tuple[Version, ...]
"""Dated versions that were erased and that no version has taken the place of yet."""


def erased(known: Recorded, before: Erased) -> Erased:
    """What to remember of versions that are erased: one that comes next may have the same date."""
    versions = known.versions if isinstance(known, Known) else ()
    return tuple(version for version in versions if version.modified is not None) or before


def observed(known: Recorded, gone: Erased, seen: Version | Absent) -> tuple[Recorded, Erased, Observed]:
    """Merges what a GET showed into what is known. `scripts/observe.lua` does the same in Redis."""
    if seen is ABSENT:
        return ABSENT, erased(known, gone), _of_absence(known)
    old = _variant(known, seen.variant)
    if isinstance(known, Known) and old is not None and is_same(old, seen):
        if old.modified is None:
            seen, gone = marked(seen, gone)
            known = Known(tuple(seen if version is old else version for version in known.versions))
        return known, gone, Observed.SAME
    seen, gone = marked(seen if old is None else _sharing_second(old, seen), gone)
    if not isinstance(known, Known):
        return Known((seen,)), gone, Observed.RECORDED if known is UNKNOWN else Observed.CHANGED
    if old is None:
        kept = known.versions[1:] if len(known.versions) >= MAX_VARIANTS else known.versions
        return Known((*kept, seen)), gone, Observed.RECORDED
    # One variant changed, so the resource did: the others are of an older state.
    return Known((seen,)), gone, Observed.CHANGED


def _of_absence(known: Recorded) -> Observed:
    if known is ABSENT:
        return Observed.SAME
    return Observed.RECORDED if known is UNKNOWN else Observed.CHANGED


def committed(after: Recorded, gone: Erased, *, kept: bool) -> tuple[Recorded, Erased]:
    """What a write records as `after`, with dates marked that do not tell it from what was erased.

    Args:
        kept: nothing was written, and what the claim took is put back.
    """
    if not isinstance(after, Known):
        return after, gone
    versions = []
    for version in after.versions:
        weighed, gone = marked(version, gone)
        versions.append(version if kept else weighed)
    return Known(tuple(versions)), gone


def _sharing_second(old: Version, new: Version) -> Version:
    if new.modified is not None and new.modified == old.modified:
        return replace(new, shared_second=True)
    return new


def _variant(known: Recorded, variant: str) -> Version | None:
    versions = known.versions if isinstance(known, Known) else ()
    return next((version for version in versions if version.variant == variant), None)
