"""The short way of the plainest request: a GET without content, of which nearly all traffic consists.

It does what `proxy.gate.read` does, in the same order and by the same functions, but for what follows from
the fields alone (`Shape`: found out once) or from the target alone (`Named`). Whatever
turns out to be unusual goes on the long way. docs/performance.md has what it saves; a test sends the same
requests both ways and compares the answers byte by byte.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from multidict import istr

from proxy.exchange import Answer, Request, Shape
from proxy.gate.naming import Named
from proxy.gate.outgoing import Outgoing
from proxy.gate.read import answered, not_modified, observe, passed, shown_whole, verdict
from proxy.gate.representation import Representation, modified_in, seen_at_once, streams
from proxy.gate.visit import House, Visit
from proxy.rules.conditions import NONE
from proxy.rules.fields import OVERRIDES, Line, field_lines
from proxy.rules.versions import Version
from proxy.upstream import Call, Reply

# Names that are looked up in every response: an `istr` is not put into lower case each time.
_ETAG, _MODIFIED = istr("ETag"), istr("Last-Modified")
_VARY, _ENCODING = istr("Vary"), istr("Content-Encoding")

_UNUSUAL: Final = OVERRIDES | {
    *(b"range", b"if-range", b"expect", b"upgrade", b"content-length", b"transfer-encoding", b"trailer"),
}
"""Fields with which a GET is not plain."""


def read_shape(
    request: Request, own: tuple[Line, ...], names: list[bytes], outgoing: Outgoing
) -> Shape | None:
    """What a GET without content comes to by the fields that its client sends with all of them.

    None where they are not plain.

    Args:
        own: these fields; there are no conditions among them.
        names: the same fields' names in lower case.
    """
    if not _UNUSUAL.isdisjoint(names):
        return None
    return Shape(NONE, frozenset(), False, field_lines(outgoing.lasting(request, own)))


async def pass_plainly(house: House, named: Named, request: Request, shape: Shape) -> Answer:
    """Answers a plain GET of a target that is not looked at: `mode: off`."""
    trace = request.trace
    trace.route, trace.outcome = named.route.match, "off"
    if shape.drops:  # nothing is withheld where nothing is looked at
        call = Call("GET", named.wire, house.outgoing.of(request), early=request.early)
    else:
        head = named.get_head(request, shape.lines)
        call = Call("GET", named.wire, (), early=request.early, head=head)
    reply = await house.upstream.send(call)
    trace.upstream_seconds += house.clock() - reply.sent_at
    return passed(reply)


async def read_plainly(house: House, named: Named, request: Request, shape: Shape) -> Answer:
    """Answers a plain GET of a target that is plain too."""
    trace = request.trace
    trace.route, trace.resource, trace.condition = named.route.match, named.key, shape.condition
    stamp = house.store.stamp(named.key)  # before the request goes out: rule 3
    if stamp is None:
        house.journal.unrecorded(trace.route)
    call = Call("GET", named.wire, (), early=request.early, head=named.get_head(request, shape.lines))
    reply = await house.upstream.send(call)
    trace.upstream_seconds += house.clock() - reply.sent_at
    try:
        seen = None
        if not shape.minted:
            seen = _shown_before(named, reply) or _minted_now(house, named, reply)
        if seen is None:
            visit = named.visit(request, "GET", shape.conditions)
            seen = _seen_now(house, named, visit, reply)
            if seen is None:
                return await answered(house, visit, reply, stamp, shape.drops)
        if seen.settled:
            observe(house, named.route.match, named.key, stamp, seen.version)
        if shape.decides:
            known = named.unmodified
            if known is not None and known[0] is shape.conditions and known[1] is seen.shown:
                return not_modified(request, reply, seen, known[2])  # by the same decision
            decided = verdict(house, named.visit(request, "GET", shape.conditions), reply, seen)
            if decided is not None:
                if decided.status == 304 and not seen.also:
                    named.unmodified = shape.conditions, seen.shown, trace.condition
                return decided
        return shown_whole(reply, seen)
    except BaseException:
        reply.close()
        raise


def _shown_before(named: Named, reply: Reply) -> Representation | None:
    """What the backend showed of this resource the last time, where it shows the very same validators.

    And where these alone tell the version: one tag, one representation, one coding.
    """
    known, headers = named.shown, reply.headers
    if (
        known is None
        or reply.status != 200
        or known[0] != headers.get(_ETAG)
        or known[1] != headers.get(_MODIFIED)
        or _VARY in headers
        or _ENCODING in headers
        or len(headers.getall(_ETAG)) != 1
    ):
        return None
    return known[2]


def _minted_now(house: House, named: Named, reply: Reply) -> Representation | None:
    """The content's hash, where it is here, and its fields say nothing of versions but perhaps a date."""
    minter, headers, length = house.minter, reply.headers, reply.length
    if (
        minter is None
        or reply.status != 200
        or length is None
        or length > named.route.hash_limit
        or _ETAG in headers
        or _VARY in headers
        or _ENCODING in headers
        or streams(reply)
        or (body := reply.ready()) is None
    ):
        return None
    known, told = named.minted, (minter, sha256(body).digest(), headers.get(_MODIFIED))
    if known is not None and known[0] == told:
        _, version, line = known  # at a third of what a keyed hash costs
    else:
        tag = minter.mint(named.key, body)
        version = Version(tag, modified_in(reply, house), minted=True, variant=named.mark)
        line = b"ETag", str(tag).encode()
        named.minted = told, version, line
    return Representation(version, version, body, True, line=line)


def _seen_now(house: House, named: Named, visit: Visit, reply: Reply) -> Representation | None:
    if reply.status != 200:
        return None
    seen = seen_at_once(reply, house, visit)
    headers = reply.headers
    if seen is not None and seen.body is None and _VARY not in headers and _ENCODING not in headers:
        named.shown = headers[_ETAG], headers.get(_MODIFIED), seen
    return seen
