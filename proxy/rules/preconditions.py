"""Preconditions (RFC 9110 section 13): whether the conditions of a request hold.

`evaluate` asks them of the resource's current version, in the order of RFC 9110 section 13.2.2. Where it
needs to know the version and nobody has looked, it says so and fetches nothing. What a request asks for is
read by `proxy.rules.conditions`, whose names are offered here too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, assert_never

from proxy.rules.conditions import (
    NONE,
    READS,
    UNEVALUATED,
    Condition,
    Conditions,
    Malformed,
    Unusable,
    parse_conditions,
)
from proxy.rules.etags import EntityTag, Star, Tags, strong_match, weak_match
from proxy.rules.versions import Absent, Known, Recorded, Unknown, Version

__all__ = [
    "NEED_CURRENT",
    "NONE",
    "PROCEED",
    "READS",
    "UNEVALUATED",
    "Condition",
    "Conditions",
    "Decision",
    "Malformed",
    "NeedCurrent",
    "NotModified",
    "Proceed",
    "Reason",
    "Refuse",
    "evaluate",
    "if_range_holds",
    "parse_conditions",
]


class Reason(enum.StrEnum):
    """Why a request was refused; also the `reason` label of the metrics."""

    STALE_TAG = "stale_tag"  # If-Match names no current version
    WEAK_TAG = "weak_tag"  # it would, were not one of the two tags weak
    NO_TAG = "no_tag"  # the resource exists and has no entity tag at all
    ABSENT = "absent"  # the resource does not exist
    EXISTS = "exists"  # If-None-Match: * and the resource exists
    TAG_MATCHES = "tag_matches"  # If-None-Match names a current version
    MODIFIED_SINCE = "modified_since"  # later than the date of If-Unmodified-Since
    SHARED_SECOND = "shared_second"  # the date fits, but more than one version had it


@dataclass(frozen=True, slots=True)
class Proceed:
    """Every condition holds, or there is none.

    Attributes:
        ignored: a condition that had to be ignored, as the resource has no modification date (RFC 9110
            sections 13.1.3 and 13.1.4). The request is then not checked by it.
    """

    ignored: Condition | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """A condition is false: 412 (RFC 9110 section 15.5.13)."""

    reason: Reason
    condition: Condition


@dataclass(frozen=True, slots=True)
class NotModified:
    """The client has the current representation: 304 (RFC 9110 section 15.4.5)."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class NeedCurrent:
    """It depends on the current version, and nobody has looked."""


Decision = Proceed | Refuse | NotModified | NeedCurrent

PROCEED: Final = Proceed()
NEED_CURRENT: Final = NeedCurrent()
_TAG_MATCHES: Final = NotModified(Condition.IF_NONE_MATCH)
_NOT_SINCE: Final = NotModified(Condition.IF_MODIFIED_SINCE)


def evaluate(conditions: Conditions, method: str, current: Recorded) -> Decision:
    """Evaluates the conditions in the order of RFC 9110 section 13.2.2 (If-Range apart: `if_range_holds`).

    Args:
        conditions: from `parse_conditions` for the same method.
        method: as on the wire.
        current: what is known. For a write all current representations, as it is on the resource and may
            name any; for a read the selected one.
    """
    if not conditions.decides:
        return PROCEED
    match current:
        case Unknown():
            return NEED_CURRENT
        case Absent():
            return _on_absent(conditions, method)
        case Known(versions):
            return _on_known(conditions, method, versions)
        case _:
            assert_never(current)


def _on_absent(conditions: Conditions, method: str) -> Decision:
    # A GET of what is not there is answered with 404 or 410, conditions or none (RFC 9110 section 13.2.1).
    if method in READS:
        return PROCEED
    # Section 13.1.1: with "*" false where there is no current representation, and no listed tag matches one.
    if conditions.if_match is not None:
        return Refuse(Reason.ABSENT, Condition.IF_MATCH)
    # Section 13.1.4 says to ignore the date where "the resource does not have a modification date available",
    # and leaves open whether that speaks of a resource that is not there. Who names a date has seen the
    # resource; that it is gone is a change since, and "earlier or equal" holds of nothing.
    if conditions.if_unmodified_since is not None:
        return Refuse(Reason.ABSENT, Condition.IF_UNMODIFIED_SINCE)
    # Section 13.1.2: true, with "*" and with any list.
    return PROCEED


def _on_known(conditions: Conditions, method: str, versions: tuple[Version, ...]) -> Decision:
    """RFC 9110 section 13.2.2, steps 1 to 4."""
    first: Decision = PROCEED
    if conditions.if_match is not None:
        first = _if_match(conditions.if_match, versions)
    elif conditions.if_unmodified_since is not None:
        first = _if_unmodified_since(conditions.if_unmodified_since, versions)
    if isinstance(first, Refuse):
        return first

    second: Decision = PROCEED
    if conditions.if_none_match is not None:
        second = _if_none_match(conditions.if_none_match, method, versions)
    elif conditions.if_modified_since is not None and method in READS:
        second = _if_modified_since(conditions.if_modified_since, versions)
    # A date that had to be ignored in the first step stays visible, unless the second step ends the matter.
    return first if first is not PROCEED and isinstance(second, Proceed) else second


def _if_match(wanted: Tags, versions: tuple[Version, ...]) -> Decision:
    """RFC 9110 section 13.1.1: strong comparison, with any of the current representations."""
    if isinstance(wanted, Star):
        return PROCEED
    for version in versions:
        if version.etag is not None and _strong_among(wanted, version.etag):
            return PROCEED
    if all(version.etag is None and version.weak is None for version in versions):
        return Refuse(Reason.NO_TAG, Condition.IF_MATCH)
    if _weak_among(wanted, versions):
        return Refuse(Reason.WEAK_TAG, Condition.IF_MATCH)
    return Refuse(Reason.STALE_TAG, Condition.IF_MATCH)


def _if_unmodified_since(limit: int, versions: tuple[Version, ...]) -> Decision:
    """RFC 9110 section 13.1.4. The write changes all representations, so the latest of them decides."""
    dated = [version for version in versions if version.modified is not None]
    if not dated:
        return Proceed(ignored=Condition.IF_UNMODIFIED_SINCE)
    if any(_later(version, limit) for version in dated):
        return Refuse(Reason.MODIFIED_SINCE, Condition.IF_UNMODIFIED_SINCE)
    if any(_ambiguous(version, limit) for version in dated):
        return Refuse(Reason.SHARED_SECOND, Condition.IF_UNMODIFIED_SINCE)
    return PROCEED


def _if_none_match(named: Tags, method: str, versions: tuple[Version, ...]) -> Decision:
    """RFC 9110 section 13.1.2: weak comparison; where it is false, 304 for GET and HEAD, else 412."""
    if isinstance(named, Star):
        reason = Reason.EXISTS
    elif _weak_among(named, versions):
        reason = Reason.TAG_MATCHES
    else:
        return PROCEED
    if method in READS:
        return _TAG_MATCHES
    return Refuse(reason, Condition.IF_NONE_MATCH)


def _if_modified_since(limit: int, versions: tuple[Version, ...]) -> Decision:
    """RFC 9110 section 13.1.3: true lets the read go on, false is 304."""
    if any(version.modified is None for version in versions):
        return Proceed(ignored=Condition.IF_MODIFIED_SINCE)
    # The client may hold the other version of a shared second: the whole response is right for both.
    if any(_later(version, limit) or _ambiguous(version, limit) for version in versions):
        return PROCEED
    return _NOT_SINCE


def _later(version: Version, limit: int) -> bool:
    return version.modified is not None and version.modified > limit


def _ambiguous(version: Version, limit: int) -> bool:
    """Whether the date names a second in which the resource changed twice (RFC 9110 section 8.8.2.2)."""
    return version.shared_second and version.modified == limit


# Loops, not `any` of a generator: this is asked for every conditional request.


def _strong_among(sent: Iterable[EntityTag], current: EntityTag) -> bool:
    for tag in sent:  # noqa: SIM110
        if strong_match(tag, current):
            return True
    return False


def _weak_among(sent: Iterable[EntityTag], versions: tuple[Version, ...]) -> bool:
    """Every tag counts in weak comparison: also the backend's own weak ones."""
    for version in versions:
        for current in (version.etag, version.weak):
            if current is not None:
                for tag in sent:
                    if weak_match(tag, current):
                        return True
    return False


def if_range_holds(conditions: Conditions, version: Version, date: int | None) -> bool:
    """Whether Range may be applied, as far as If-Range says (RFC 9110 section 13.1.5).

    Args:
        conditions: from `parse_conditions`.
        version: the selected representation.
        date: the response's Date in seconds since the epoch, or None where it has none.
    """
    wanted = conditions.if_range
    match wanted:
        case None:
            return True
        case EntityTag():
            return version.etag is not None and strong_match(wanted, version.etag)
        case int():
            return wanted == version.modified and _strong_date(version, date)
        case Unusable():
            return False
        case _:
            assert_never(wanted)


def _strong_date(version: Version, date: int | None) -> bool:
    """RFC 9110 section 8.8.2.2: at least one second older than Date, so that its second is surely over."""
    if version.modified is None or version.shared_second or date is None:
        return False
    return date - version.modified >= 1
