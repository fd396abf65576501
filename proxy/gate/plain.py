"""The short way of the plainest request: a GET without content, of which nearly all traffic consists.

It does what `proxy.gate.read` does, in the same order and by the same functions, but for what follows from
the fields alone (`Shape`: found out once for each connection) or from the target alone (`Named`). Whatever
turns out to be unusual goes on the long way. docs/performance.md has what it saves; a test sends the same
requests both ways and compares the answers byte by byte.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Final

from multidict import istr

from proxy.exchange import Answer, Request, Shape
from proxy.gate.naming import Named
from proxy.gate.outgoing import Outgoing
from proxy.gate.read import answered, observe, passed, shown_whole, verdict, withheld
from proxy.gate.representation import Representation, seen_at_once
from proxy.gate.visit import House, Visit
from proxy.rules.conditions import NONE, Malformed, parse_conditions
from proxy.rules.fields import OVERRIDES, field_lines, lower
from proxy.rules.minting import names_minted
from proxy.upstream import Call, Reply

# Names that are looked up in every response: an `istr` is not put into lower case each time.
_ETAG, _MODIFIED = istr("ETag"), istr("Last-Modified")
_VARY, _ENCODING = istr("Vary"), istr("Content-Encoding")

_UNUSUAL: Final = OVERRIDES | {
    *(b"range", b"if-range", b"expect", b"upgrade", b"content-length", b"transfer-encoding", b"trailer"),
}
"""Fields with which a GET is not plain."""


def shape_of(request: Request, outgoing: Outgoing, *, now_year: int, most_tags: int) -> Shape | None:
    """What a GET without content comes to by its fields alone; None where they are not plain."""
    if any(lower(name) in _UNUSUAL for name, _ in request.fields):
        return None
    conditions = parse_conditions("GET", request.headers, now_year=now_year, most_tags=most_tags)
    if isinstance(conditions, Malformed):
        return None
    drops = withheld(conditions)
    lines = outgoing.unidentified(request, drops | {b"x-request-id"})
    return Shape(conditions, drops, names_minted(conditions), field_lines(lines))


def plainly(house: House, named: Named, request: Request, shape: Shape) -> Coroutine[None, None, Answer]:
    """Answers a plain GET of a target that is plain too."""
    return _read(house, named, request, shape) if named.key else _pass_on(house, named, request, shape)


async def _pass_on(house: House, named: Named, request: Request, shape: Shape) -> Answer:
    """`mode: off`."""
    trace = request.trace
    trace.route, trace.outcome = named.route.match, "off"
    if shape.drops:  # nothing is withheld where nothing is looked at
        call = Call("GET", named.wire, house.outgoing.of(request), early=request.early)
    else:
        call = _call(named, request, shape)
    reply = await house.upstream.send(call)
    trace.upstream_seconds += house.clock() - reply.sent_at
    return passed(reply)


def _call(named: Named, request: Request, shape: Shape) -> Call:
    head = b"GET %b HTTP/1.1\r\n%bX-Request-ID: %b\r\n\r\n" % (named.wire, shape.lines, request.id.encode())
    return Call("GET", named.wire, (), early=request.early, head=head)


async def _read(house: House, named: Named, request: Request, shape: Shape) -> Answer:
    trace = request.trace
    trace.route, trace.resource = named.route.match, named.key
    conditions = shape.conditions
    if conditions is not NONE:
        trace.condition = conditions.first
    stamp = house.store.stamp(named.key)  # before the request goes out: rule 3
    if stamp is None:
        house.journal.unrecorded(trace.route)
    reply = await house.upstream.send(_call(named, request, shape))
    trace.upstream_seconds += house.clock() - reply.sent_at
    try:
        visit: Visit | None = None
        seen = None if shape.minted else _shown_before(named, reply)
        if seen is None or conditions.decides:
            visit = Visit(
                request, "GET", named.route, named.target, named.wire, named.key, named.mark, conditions
            )
        if seen is None:
            assert visit is not None
            seen = _seen_now(house, named, visit, reply)
            if seen is None:
                return await answered(house, visit, reply, stamp, shape.drops)
        if seen.settled:
            observe(house, named.route.match, named.key, stamp, seen.version)
        if visit is not None and conditions.decides:
            decided = verdict(house, visit, reply, seen)
            if decided is not None:
                return decided
        return shown_whole(reply, seen)
    except BaseException:
        reply.close()
        raise


def _shown_before(named: Named, reply: Reply) -> Representation | None:
    """What the backend showed of this resource the last time, where it shows the very same validators."""
    known, headers = named.shown, reply.headers
    if (
        known is None
        or reply.status != 200
        or known[0] != headers.get(_ETAG)
        or known[1] != headers.get(_MODIFIED)
        or not _tells_all(reply)
    ):
        return None
    return known[2]


def _seen_now(house: House, named: Named, visit: Visit, reply: Reply) -> Representation | None:
    if reply.status != 200:
        return None
    seen = seen_at_once(reply, house, visit)
    if seen is not None and seen.body is None and _tells_all(reply):
        named.shown = reply.headers[_ETAG], reply.headers.get(_MODIFIED), seen
    return seen


def _tells_all(reply: Reply) -> bool:
    """Whether ETag and Last-Modified alone tell the version: one tag, one representation, one coding."""
    headers = reply.headers
    return _VARY not in headers and _ENCODING not in headers and len(headers.getall(_ETAG, ())) == 1
