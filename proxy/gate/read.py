"""Reading: GET and HEAD pass, the version is recorded, conditions are asked of what was seen."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import assert_never

from proxy.body import Spool
from proxy.exchange import Answer, Request
from proxy.gate.refuse import note, refused
from proxy.gate.representation import (
    GONE,
    NO_CONTENT,
    SHOWS,
    Representation,
    look_at,
    seen_at_once,
    told_in_head,
)
from proxy.gate.trailers import with_trailers
from proxy.gate.visit import House, Visit
from proxy.rules.conditions import NONE, Conditions
from proxy.rules.dates import format_http_date, parse_http_date
from proxy.rules.etags import EntityTag
from proxy.rules.fields import CONDITIONS, Line, not_modified_fields, replace, reply_fields
from proxy.rules.minting import any_minted, is_minted
from proxy.rules.preconditions import NeedCurrent, NotModified, Proceed, Refuse, evaluate, if_range_holds
from proxy.rules.ranges import Part, Unsatisfiable, select
from proxy.rules.versions import ABSENT, Absent, Known, Version
from proxy.store import Observed, Stamp
from proxy.upstream import Call, Reply

_NOTHING: frozenset[bytes] = frozenset()
_RANGE = frozenset({b"range", b"if-range"})
_ALL = CONDITIONS | _RANGE  # the backend knows neither the tags nor the dates of a route's own `version`


def read(house: House, visit: Visit) -> Coroutine[None, None, Answer]:
    """Answers a GET or HEAD."""
    return _read(house, visit) if visit.request.body.empty else _with_content(house, visit)


async def _with_content(house: House, visit: Visit) -> Answer:
    """The rare read that has content, of which nobody knows what it means (RFC 9110 section 9.3.1)."""
    visit.content = await visit.request.body.collect(house.memory_body)
    try:
        return await _read(house, visit)
    finally:
        if isinstance(visit.content, Spool):
            visit.content.close()


async def _read(house: House, visit: Visit) -> Answer:
    stamp = house.store.stamp(visit.key)  # before the request goes out: rule 3
    if stamp is None:
        house.journal.unrecorded(visit.route.match)
    drops = kept_back(visit)
    reply = await fetch(house, visit, visit.method, drops)
    return await answered(house, visit, reply, stamp, drops)


async def answered(
    house: House, visit: Visit, reply: Reply, stamp: Stamp | None, drops: frozenset[bytes]
) -> Answer:
    """The answer to a read, now that the backend has said something."""
    try:
        if visit.method == "HEAD":
            return await _head(house, visit, reply, stamp, drops)
        if reply.status == 206:
            return await _partial(house, visit, reply, stamp, drops)
        return await _whole(house, visit, reply, stamp, sliced=drops >= _RANGE)
    except BaseException:
        reply.close()
        raise


def kept_back(visit: Visit) -> frozenset[bytes]:
    """The condition fields that the backend is not shown, on this route."""
    if visit.route.version is not None or visit.alias is not None:  # they are another resource's
        return _ALL
    if visit.conditions is NONE:
        return _NOTHING
    held = withheld(visit.conditions)
    return held if visit.unmended is None else held | {b"if-match"}  # the backend would not know it again


def withheld(conditions: Conditions) -> frozenset[bytes]:
    """The condition fields that the backend is not shown.

    It does not know a minted tag. And of two conditions of which one counts (RFC 9110 section 13.2.2) it is
    shown that one alone: many a backend knows dates and has never heard of tags.
    """
    drops: set[bytes] = set()
    if conditions.if_match is not None:
        drops.add(b"if-unmodified-since")
        if any_minted(conditions.if_match):
            drops.add(b"if-match")
    if conditions.if_none_match is not None:
        drops.add(b"if-modified-since")
        if any_minted(conditions.if_none_match):
            drops.add(b"if-none-match")
    if not drops.isdisjoint({b"if-match", b"if-none-match"}) or _minted_range(conditions):
        drops |= _RANGE  # whether a part may be sent depends on what only we can tell: ask for the whole
    return frozenset(drops)


def _minted_range(conditions: Conditions) -> bool:
    # An If-Range that is neither a tag nor a date holds for nothing (RFC 9110 section 13.1.5).
    wanted = conditions.if_range
    if wanted is None or isinstance(wanted, int):
        return False
    return not isinstance(wanted, EntityTag) or is_minted(wanted)


async def fetch(house: House, visit: Visit, method: str, drops: frozenset[bytes]) -> Reply:
    """Sends the read on."""
    request = visit.request
    fields = house.outgoing.of(request, drops)
    call = Call(method, visit.wire, fields, visit.content, early=request.early)
    reply = await house.upstream.send(call)
    request.trace.upstream_seconds += house.clock() - reply.sent_at
    return reply


async def _whole(house: House, visit: Visit, reply: Reply, stamp: Stamp | None, *, sliced: bool) -> Answer:
    if reply.status == 304 and not told_in_head(reply, visit):
        return await _tagged_304(house, visit, reply, stamp, sliced=sliced)
    if reply.status in GONE:
        observe(house, visit.route.match, visit.key, stamp, ABSENT)
    if reply.status not in SHOWS:
        return passed(reply)
    seen = seen_at_once(reply, house, visit) or await look_at(reply, house, visit)
    if seen.settled:
        observe(house, visit.route.match, visit.key, stamp, seen.version)
    if visit.conditions.decides and (decided := verdict(house, visit, reply, seen)) is not None:
        return decided
    answer = shown_whole(reply, seen)
    if sliced and reply.status == 200:
        answer = _sliced(visit, answer, seen)
    return answer if answer.status == 206 or reply.length is not None else with_trailers(answer, reply)


async def _tagged_304(
    house: House, visit: Visit, reply: Reply, stamp: Stamp | None, *, sliced: bool
) -> Answer:
    """A 304 must carry the tag that its 200 would have (RFC 9110 section 15.4.5): look at the 200."""
    reply.close()
    whole = await fetch(house, visit, "GET", CONDITIONS | _RANGE)
    if whole.status == 304:  # it says so whatever it is asked
        return passed(whole)
    try:
        return await _whole(house, visit, whole, stamp, sliced=sliced)
    except BaseException:
        whole.close()
        raise


def verdict(house: House, visit: Visit, reply: Reply, seen: Representation) -> Answer | None:
    """The 304 or 412 that the conditions ask for, now that the current version is known."""
    decision = evaluate(visit.conditions, visit.method, Known((seen.shown, *seen.also)))
    match decision:
        case Proceed():
            if decision.ignored is not None:
                house.journal.ignored(visit.route.match, decision.ignored)
            return None
        case NotModified():
            return not_modified(visit.request, reply, seen, decision.condition)
        case Refuse():
            if visit.reporting:
                note(visit, decision, "reported")
                return None
            reply.close()
            return refused(visit, decision, Known((seen.shown,)))
        case NeedCurrent():
            raise AssertionError("the current version is known here")
        case _:
            assert_never(decision)


def not_modified(request: Request, reply: Reply, seen: Representation, condition: str) -> Answer:
    """304 (RFC 9110 section 15.4.5), by the condition of that name."""
    reply.close()
    request.trace.outcome, request.trace.condition = "not_modified", condition
    return Answer(304, "Not Modified", not_modified_fields(_tagged(reply, seen)), None)


def _tagged(reply: Reply, seen: Representation) -> list[Line]:
    """The response's fields with the tag, and the date, that clients are shown."""
    fields = reply_fields(reply.fields)
    if seen.line is not None:
        fields.append(seen.line)
        return fields
    if seen.alone:
        fields = replace(replace(fields, b"ETag", None), b"Last-Modified", None)
    if seen.dated and seen.shown.modified is not None:
        fields = replace(fields, b"Last-Modified", format_http_date(seen.shown.modified).encode())
    if seen.shown.minted and seen.shown.etag is not None:
        return replace(fields, b"ETag", str(seen.shown.etag).encode())
    return fields


def shown(reply: Reply, seen: Representation) -> Answer:
    """The backend's response with the tag that clients are shown."""
    body = reply if seen.body is None else seen.body
    return Answer(reply.status, reply.reason, _tagged(reply, seen), body)


def shown_whole(reply: Reply, seen: Representation) -> Answer:
    """The same with its content, where all of it has arrived: it goes out in one write."""
    answer = shown(reply, seen)
    if answer.body is reply and reply.length is not None and (whole := reply.ready()) is not None:
        answer.body = whole
    return answer


def passed(reply: Reply) -> Answer:
    """The backend's response as it is."""
    if reply.status in NO_CONTENT:
        reply.close()
        return Answer(reply.status, reply.reason, reply_fields(reply.fields), None)
    # What comes in chunks may have trailer fields: it goes on in chunks.
    whole = None if reply.length is None else reply.ready()
    body = reply if whole is None else whole
    return Answer(reply.status, reply.reason, reply_fields(reply.fields), body)


async def _head(
    house: House, visit: Visit, reply: Reply, stamp: Stamp | None, drops: frozenset[bytes]
) -> Answer:
    """A HEAD has the fields of its GET (RFC 9110 section 9.3.2); where a tag must be minted, we GET."""
    reply.close()
    bare = Answer(reply.status, reply.reason, reply_fields(reply.fields), None, announced_length(reply))
    if reply.status in GONE:
        observe(house, visit.route.match, visit.key, stamp, ABSENT)
    if reply.status not in SHOWS and reply.status != 304:
        return bare
    if not told_in_head(reply, visit):
        whole = await fetch(house, visit, "GET", drops | CONDITIONS | _RANGE)
        try:
            return await _head_by_get(house, visit, whole, stamp, bare)
        finally:
            whole.close()
    if reply.status == 304:
        return bare
    seen = await look_at(reply, house, visit)
    if seen.settled:
        observe(house, visit.route.match, visit.key, stamp, seen.version)
    return verdict(house, visit, reply, seen) or bare


async def _head_by_get(house: House, visit: Visit, whole: Reply, stamp: Stamp | None, bare: Answer) -> Answer:
    if whole.status not in SHOWS:
        return bare
    seen = await look_at(whole, house, visit)
    if seen.settled:
        observe(house, visit.route.match, visit.key, stamp, seen.version)
    decided = verdict(house, visit, whole, seen)
    if decided is not None:
        return decided
    if seen.body is None and not seen.shown.minted and not seen.alone:
        return bare
    length = announced_length(whole) if seen.body is None else len(seen.body)
    return Answer(whole.status, whole.reason, _tagged(whole, seen), None, length)


def announced_length(reply: Reply) -> int | None:
    """Content-Length as a response says it: that of a HEAD tells of its GET (RFC 9110 section 8.6)."""
    text = reply.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


async def _partial(
    house: House, visit: Visit, reply: Reply, stamp: Stamp | None, drops: frozenset[bytes]
) -> Answer:
    """A 206: passes untouched unless a condition forbids it; then the whole is fetched instead."""
    conditions = visit.conditions
    if conditions.empty:
        return Answer(reply.status, reply.reason, reply_fields(reply.fields), reply)
    seen = _of_part(house, reply, conditions)
    if seen is not None and if_range_holds(conditions, seen.version, _date(house, reply)):
        decided = verdict(house, visit, reply, seen)
        return decided or Answer(reply.status, reply.reason, reply_fields(reply.fields), reply)
    reply.close()
    whole = await fetch(house, visit, "GET", drops | _RANGE)
    try:
        return await _whole(house, visit, whole, stamp, sliced=conditions.if_range is None)
    except BaseException:
        whole.close()
        raise


def _of_part(house: House, reply: Reply, conditions: Conditions) -> Representation | None:
    """The validators of a 206 are those of the whole (RFC 9110 section 15.3.7), where it has a strong one."""
    try:
        tag = EntityTag.parse(reply.headers.get("ETag", ""))
    except ValueError:
        tag = None
    modified = parse_http_date(reply.headers.get("Last-Modified", ""), now_year=house.now_year())
    if tag is None and modified is None:
        return None
    strong = None if tag is None or tag.weak else tag
    if strong is None and (conditions.if_match is not None or conditions.if_none_match is not None):
        return None  # the whole may have a tag that the part was sent without
    version = Version(strong, modified, weak=tag if tag is not None and tag.weak else None)
    return Representation(version, version, None, settled=False)


def _date(house: House, reply: Reply) -> int | None:
    return parse_http_date(reply.headers.get("Date", ""), now_year=house.now_year())


def _sliced(visit: Visit, answer: Answer, seen: Representation) -> Answer:
    """Honours Range ourselves, where we asked the backend for the whole to tell its version."""
    text = visit.request.headers.get("Range")
    if text is None or not isinstance(answer.body, bytes):
        return answer
    if not if_range_holds(visit.conditions, seen.shown, None):
        return answer
    return part_of(answer, text)


def part_of(answer: Answer, text: str) -> Answer:
    """The part of a whole answer that a Range field asks for (RFC 9110 sections 15.3.7 and 15.5.17)."""
    if not isinstance(answer.body, bytes):
        return answer
    wanted = select(text, len(answer.body))
    match wanted:
        case None:
            return answer
        case Unsatisfiable():
            extent = f"bytes */{len(answer.body)}".encode()
            return Answer.of(416, [(b"Content-Range", extent)])
        case Part(first, last):
            extent = f"bytes {first}-{last}/{len(answer.body)}".encode()
            fields = replace(answer.fields, b"Content-Range", extent)
            return Answer(206, "Partial Content", fields, answer.body[first : last + 1])
        case _:
            assert_never(wanted)


def observe(house: House, route: str, key: str, stamp: Stamp | None, version: Version | Absent) -> None:
    """Records beside the response what a GET showed."""
    if stamp is not None:
        house.store.observe(key, stamp, version, partial(_noted, house, route, key))


def _noted(house: House, route: str, key: str, result: Observed) -> None:
    if result is Observed.SAME:  # nearly always
        house.journal.observation("same")
        return
    house.journal.observation(result.value)
    match result:
        case Observed.RECORDED:
            house.journal.recorded("read")
        case Observed.CHANGED:
            house.journal.recorded("read")
            house.journal.changed_behind(route)
            house.suspicion.raise_for(route, key)
        case Observed.LOST:
            house.journal.unrecorded(route)
        case Observed.REFUSED:
            pass
        case _:
            assert_never(result)
