"""The short way of the plainest write: content that is here already, under an If-Match that names one tag.

It does what `proxy.gate.write` does, in the same order: claim, check, forward, refresh, release. The record
that holds just that tag and a response that tells the new one are looked at here; whatever else comes of it
goes on the long way from there, under the same claim. A test sends the same requests both ways.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Final

from multidict import istr

from proxy.errors import UpstreamError
from proxy.exchange import Answer, Request, Shape
from proxy.gate.afterwards import dated
from proxy.gate.holding import Holding
from proxy.gate.naming import Named
from proxy.gate.outgoing import Outgoing
from proxy.gate.plain_refusal import checked_again
from proxy.gate.replay import keepsake
from proxy.gate.representation import modified_in
from proxy.gate.sending import next_tag_in
from proxy.gate.visit import House, Visit
from proxy.gate.write import check_and_forward, refreshed, told_early, whole_at_once
from proxy.rules.aftermath import strong_tag
from proxy.rules.conditions import NONE, Condition, Conditions
from proxy.rules.etags import STAR, EntityTag
from proxy.rules.fields import CONDITIONS, OVERRIDES, Line, field_lines, nominated, reply_fields
from proxy.rules.mending import mended
from proxy.rules.minting import names_minted, plain_tags
from proxy.rules.replay import recognisable, sender
from proxy.rules.routing import AfterWrite, Verify
from proxy.rules.versions import Known, Recorded, Version
from proxy.upstream import Call, Reply

WRITES: Final = frozenset({"PUT", "PATCH"})
"""The methods whose response may tell the version that they left (`proxy.rules.aftermath`)."""

_UNUSUAL: Final = (
    CONDITIONS
    | OVERRIDES
    | {b"range", b"expect", b"upgrade", b"transfer-encoding", b"trailer", b"if", b"destination"}
)
"""Fields with which a write is not plain."""

_LONGEST: Final = 256  # of an If-Match that is remembered; a client can make up thousands of long ones
_TELLING: Final = frozenset({200, 201, 204})
_IF_MATCH = istr("If-Match")
_LOCATION, _CONTENT_LOCATION = istr("Location"), istr("Content-Location")
_ANY_TAG: Final = Conditions(STAR)  # stands for whichever tag the If-Match of a write names


def write_shape(
    request: Request, own: tuple[Line, ...], names: list[bytes], outgoing: Outgoing
) -> Shape | None:
    """What a write comes to by the fields that its client sends with all of them.

    None where they are not plain.

    Args:
        own: these fields; If-Match and Content-Length are not among them.
        names: the same fields' names in lower case.
    """
    if not _UNUSUAL.isdisjoint(names) or nominated(own):
        return None
    shape = Shape(NONE, frozenset(), False, field_lines(outgoing.lasting(request, own)))
    if recognisable(_ANY_TAG, request.headers):
        shape.recognised, shape.sender = True, sender(request.peer, own)
    return shape


async def write_plainly(house: House, named: Named, request: Request, shape: Shape) -> Answer | None:
    """Answers a write whose target and fields are plain; None, with nothing done, where the rest is not."""
    text = request.headers.get(_IF_MATCH, "")
    asked = _asked(text) if len(text) <= _LONGEST else None
    if asked is None:
        return None
    again = house.refused.recall(named.key) == asked.conditions.if_match
    if again and shape.recognised and named.route.replay > 0:
        return None
    content = request.body.complete()
    if content is None:
        return None
    trace = request.trace
    trace.route, trace.resource, trace.condition = named.route.match, named.key, Condition.IF_MATCH.value
    if again:
        visit = named.visit(request, request.method, asked.conditions)
        checking = checked_again(house, visit, named, shape, minted=asked.minted)
        refusal = await told_early(house, visit, checking)
        if refusal is not None:
            return refusal
    holding = Holding(house, (named.key,), ())
    house.writing += 1
    try:
        await holding.take()
        trace.claim_wait = holding.waited
        house.journal.claim_wait(holding.waited)
        before = holding.recorded
        if not isinstance(before, Known) or not _is_current(house, named, before, asked.tag):
            visit = _visit(named, request, asked, holding)
            return await check_and_forward(house, visit, content, holding)
        if before.versions[0].modified is not None and (pause := next_tag_in(before, content)) > 0:
            await asyncio.sleep(pause)
        await holding.send_now()
        try:
            reply = await house.upstream.send(_call(named, request, shape, content, asked, holding))
        except UpstreamError as fault:
            if not fault.maybe_applied:
                holding.restore({})
            raise  # else nobody knows the outcome: the claim is left to run out
        trace.upstream_seconds += house.clock() - reply.sent_at
        try:
            told = _told(house, named, reply, before)
            if told is None:
                visit = _visit(named, request, asked, holding)
                return await refreshed(house, visit, content, holding, reply, before)
            answer, state = told
            kept = None
            keeps = shape.recognised and named.route.replay > 0
            if keeps and (answer.body is None or whole_at_once(reply)):
                kept = keepsake(house, _visit(named, request, asked, holding), content, answer)
            if kept is None:
                holding.end({named.key: state})  # the answer tells nothing that rests on the claim
            else:
                await holding.settle({named.key: state}, kept)
            return answer
        except BaseException:
            reply.close()
            raise
    finally:
        if holding.claims:
            await holding.let_go()
        house.writing -= 1


class _Asked:
    """An If-Match that names one tag.

    Attributes:
        conditions: the same as `parse_conditions` reads it.
        tag: the one that it names.
        minted: whether it is one of ours, which the backend is not shown.
        line: the field as the backend is sent it; empty where the tag is minted.
    """

    __slots__ = ("conditions", "line", "minted", "tag")

    def __init__(self, text: str, tag: EntityTag) -> None:
        self.tag = tag
        self.conditions = Conditions((tag,), sent={Condition.IF_MATCH: text})
        self.minted = names_minted(self.conditions)
        self.line = (
            b"" if self.minted else field_lines([(b"If-Match", text.encode("utf-8", "surrogateescape"))])
        )


@lru_cache(maxsize=4096)
def _asked(text: str) -> _Asked | None:
    """What the field asks for; None where it is more than one strong tag as it was shown."""
    try:
        tag = EntityTag.parse(text)
    except ValueError:
        return None
    asked = _Asked(text, tag)
    conditions = asked.conditions
    if tag.weak or mended(conditions, relaxed=False) is not None or plain_tags(conditions) != conditions:
        return None
    return asked


def _visit(named: Named, request: Request, asked: _Asked, holding: Holding) -> Visit:
    """The same request as the long way has it under its claim."""
    visit = named.visit(request, request.method, asked.conditions)
    visit.erased = holding.erased
    return visit


def _is_current(house: House, named: Named, recorded: Known, tag: EntityTag) -> bool:
    """Whether the record may be believed, and holds just this tag: RFC 9110 section 13.1.1 is satisfied.

    What is not so plain `check` decides.
    """
    version = recorded.versions[0]
    if len(recorded.versions) != 1:
        return False
    if (version.etag is not tag and version.etag != tag) or not version.variant.startswith(named.mark):
        return False
    return named.route.verify is Verify.NEVER or not house.suspicion.holds_for(named.route.match)


def _call(
    named: Named, request: Request, shape: Shape, content: bytes, asked: _Asked, holding: Holding
) -> Call:
    head = b"%b %b HTTP/1.1\r\n%b%bContent-Length: %d\r\nX-Request-ID: %b\r\n\r\n" % (
        *(request.method.encode(), named.wire, shape.lines, asked.line),
        *(len(content), request.id.encode()),
    )
    call = Call(request.method, named.wire, (), content, early=request.early, once=True, head=head)
    call.permit = holding.permit
    return call


def _told(house: House, named: Named, reply: Reply, before: Recorded) -> tuple[Answer, Recorded] | None:
    """The answer and the version, where the response is here and tells both; else None."""
    route, headers = named.route, reply.headers
    if (
        route.after_write is not AfterWrite.RESPONSE
        or reply.status not in _TELLING
        or _LOCATION in headers
        or _CONTENT_LOCATION in headers
        or reply.length is None
        or reply.length > route.hash_limit
        or (tag := strong_tag(headers)) is None
        or (body := reply.ready()) is None
    ):
        return None
    version = Version(tag, modified_in(reply, house), variant=named.mark)
    state: Recorded = Known((version,))
    if version.modified is not None:
        state = dated(before, state)
    house.journal.recorded("response")
    content = None if reply.status == 204 else body
    return Answer(reply.status, reply.reason, reply_fields(reply.fields), content), state
