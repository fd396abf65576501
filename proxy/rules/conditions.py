"""The conditions of a request (RFC 9110 section 13.1): which fields count, and what they say.

Whether they hold is the matter of `proxy.rules.preconditions`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy, istr

from proxy.rules.dates import parse_http_date
from proxy.rules.etags import MAX_TAGS, EntityTag, MalformedTags, Tags, parse_tag_list

Headers = CIMultiDict[str] | CIMultiDictProxy[str]

READS: Final = frozenset({"GET", "HEAD"})
"""The methods whose answer is a representation; a condition that fails there may end in 304."""

UNEVALUATED: Final = frozenset(
    {"CONNECT", "OPTIONS", "TRACE", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH"}
)
"""Methods whose conditions are left alone.

CONNECT, OPTIONS and TRACE neither select nor modify a representation: their conditions must be ignored (RFC
9110 section 13.2.1). The other safe methods (IANA HTTP Method Registry) change nothing, so nothing can be
lost; what they answer with is a listing or the result of a query, whose validators are not those that a GET
of the same target shows. To compare them would refuse requests for no reason, so they are forwarded as they
are.

Every other method, known or not, is taken for one that writes. Methods are case-sensitive (section 9.1).
"""


class Condition(enum.StrEnum):
    """The fields that make a request conditional; also the `condition` label of the metrics."""

    IF_MATCH = "If-Match"
    IF_NONE_MATCH = "If-None-Match"
    IF_MODIFIED_SINCE = "If-Modified-Since"
    IF_UNMODIFIED_SINCE = "If-Unmodified-Since"
    IF_RANGE = "If-Range"


class Unusable(enum.Enum):
    """An If-Range that is neither a tag nor a date."""

    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request asks for. None where the field is absent, or must not be looked at.

    Attributes:
        if_match: RFC 9110 section 13.1.1.
        if_none_match: section 13.1.2.
        if_modified_since: section 13.1.3, seconds since the epoch.
        if_unmodified_since: section 13.1.4, seconds since the epoch.
        if_range: section 13.1.5, a tag or seconds since the epoch. One that is neither holds for nothing.
        sent: each of them as the client sent it, several lines joined, for messages to people.
    """

    if_match: Tags | None = None
    if_none_match: Tags | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: EntityTag | int | Unusable | None = None
    sent: Mapping[Condition, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def first(self) -> str:
        """The field that is evaluated first (RFC 9110 section 13.2.2), "" where there is none."""
        for name, value in (
            (Condition.IF_MATCH, self.if_match),
            (Condition.IF_UNMODIFIED_SINCE, self.if_unmodified_since),
            (Condition.IF_NONE_MATCH, self.if_none_match),
            (Condition.IF_MODIFIED_SINCE, self.if_modified_since),
            (Condition.IF_RANGE, self.if_range),
        ):
            if value is not None:
                return name.value
        return ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to evaluate, If-Range included."""
        return self.if_range is None and not self.decides

    @property
    def decides(self) -> bool:
        """Whether there is something that `evaluate` asks of the current version."""
        return self.guards or self.if_modified_since is not None

    @property
    def guards(self) -> bool:
        """Whether there is a condition that a write is checked by, so that a route's `require` is met."""
        return (
            self.if_match is not None
            or self.if_none_match is not None
            or self.if_unmodified_since is not None
        )


NONE: Final = Conditions()


@dataclass(frozen=True, slots=True)
class Malformed:
    """A condition that cannot be read, on a request that must not go unchecked. Answered with 400.

    Attributes:
        field: which one.
        value: as sent.
        reason: one plain sentence: what is wrong.
        hint: one plain sentence: what to write instead.
    """

    field: Condition
    value: str
    reason: str
    hint: str


def parse_conditions(
    method: str, headers: Headers, *, now_year: int, most_tags: int = MAX_TAGS
) -> Conditions | Malformed:
    """Reads the conditions of a request.

    A condition that cannot be read is never dropped where that would let a write through unchecked. RFC 9110
    section 13.1.4 lets a recipient ignore an invalid If-Unmodified-Since; on a write that would be the very
    lost update that the client guards against, so it is told instead. On GET and HEAD an unreadable
    If-None-Match or date is ignored: the whole response is always right.

    Args:
        method: as on the wire.
        headers: the request's fields, before any hop-by-hop field is removed (`Connection: If-Match` must
            disarm nothing).
        now_year: the present year, for `parse_http_date`.
        most_tags: how many members one list of tags may have.
    """
    # The way of nearly every request: nothing is conditional, and nothing is built.
    if method in UNEVALUATED or not (
        "If-Match" in headers
        or "If-None-Match" in headers
        or "If-Unmodified-Since" in headers
        or "If-Modified-Since" in headers
        or "If-Range" in headers
    ):
        return NONE
    if method in READS:
        return _read_conditions(method, headers, now_year, most_tags)
    return _write_conditions(headers, now_year, most_tags)


def named_conditions(headers: Headers) -> Conditions:
    """The tags that a request names, whatever its method: nothing is refused, and nothing else is read."""
    tags = {name: _tags(headers, name, MAX_TAGS) for name in (Condition.IF_MATCH, Condition.IF_NONE_MATCH)}
    readable = {name: found for name, found in tags.items() if not isinstance(found, Malformed)}
    return Conditions(readable.get(Condition.IF_MATCH), readable.get(Condition.IF_NONE_MATCH))


def _read_conditions(method: str, headers: Headers, now_year: int, most_tags: int) -> Conditions | Malformed:
    if_match = _tags(headers, Condition.IF_MATCH, most_tags)
    if isinstance(if_match, Malformed):
        return if_match
    if_none_match = _tags(headers, Condition.IF_NONE_MATCH, most_tags)
    unmodified = modified = None
    # RFC 9110 section 13.1.4: not looked at where there is an If-Match.
    if if_match is None:
        unmodified = _date(headers, Condition.IF_UNMODIFIED_SINCE, now_year)
    # RFC 9110 section 13.1.3: not looked at where there is an If-None-Match, be it readable or not.
    if if_none_match is None:
        modified = _date(headers, Condition.IF_MODIFIED_SINCE, now_year)
    return Conditions(
        if_match=if_match,
        if_none_match=None if isinstance(if_none_match, Malformed) else if_none_match,
        if_unmodified_since=None if isinstance(unmodified, Malformed) else unmodified,
        if_modified_since=None if isinstance(modified, Malformed) else modified,
        if_range=_range(method, headers, now_year),
        sent=_sent(headers),
    )


def _write_conditions(headers: Headers, now_year: int, most_tags: int) -> Conditions | Malformed:
    if_match = _tags(headers, Condition.IF_MATCH, most_tags)
    if isinstance(if_match, Malformed):
        return if_match
    if_none_match = _tags(headers, Condition.IF_NONE_MATCH, most_tags)
    if isinstance(if_none_match, Malformed):
        return if_none_match
    # RFC 9110 section 13.1.4: not looked at where there is an If-Match. If-Modified-Since and If-Range are
    # for reads alone (sections 13.1.3 and 14.2).
    unmodified = None if if_match is not None else _date(headers, Condition.IF_UNMODIFIED_SINCE, now_year)
    if isinstance(unmodified, Malformed):
        return unmodified
    return Conditions(if_match, if_none_match, if_unmodified_since=unmodified, sent=_sent(headers))


def _tags(headers: Headers, name: Condition, most: int) -> Tags | Malformed | None:
    if name not in headers:
        return None
    values = headers.getall(name)
    try:
        return parse_tag_list(values, most)
    except MalformedTags as wrong:
        return Malformed(name, ", ".join(values), wrong.reason, wrong.hint)


def _date(headers: Headers, name: Condition, now_year: int) -> int | Malformed | None:
    if name not in headers:
        return None
    # Several lines are one value with commas (RFC 9110 section 5.3), which is no date (section 13.1.4).
    value = ", ".join(headers.getall(name))
    seconds = parse_http_date(value, now_year=now_year)
    if seconds is not None:
        return seconds
    return Malformed(
        name,
        value,
        "It is not one valid HTTP date.",
        "Send the Last-Modified of a GET response just as you got it, like Sun, 06 Nov 1994 08:49:37 GMT.",
    )


def _range(method: str, headers: Headers, now_year: int) -> EntityTag | int | Unusable | None:
    # RFC 9110 section 13.1.5: ignored without Range; section 14.2: Range is defined for GET alone.
    if method != "GET" or "If-Range" not in headers or "Range" not in headers:
        return None
    value = ", ".join(headers.getall("If-Range"))
    try:
        return EntityTag.parse(value)
    except ValueError:
        seconds = parse_http_date(value, now_year=now_year)
        return Unusable.UNUSABLE if seconds is None else seconds


def _sent(headers: Headers) -> dict[Condition, str]:
    return {name: ", ".join(headers.getall(field)) for name, field in _FIELDS if field in headers}


_FIELDS: Final = tuple((name, istr(name.value)) for name in Condition)  # looked up without lower-casing
