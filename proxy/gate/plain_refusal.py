"""The short way of a refusal that comes again: the tag that this resource's last write was refused for.

A client that was refused often tries once more, and others have the same tag. It is checked without a claim,
as `proxy.gate.write` does it, in the same order: at the record with `verify: never`, else at the backend.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from multidict import istr

from proxy.exchange import Answer, Request, Shape
from proxy.gate.check import Passed, Refused, check, check_with_backend, conclude
from proxy.gate.naming import Named
from proxy.gate.outgoing import Outgoing
from proxy.gate.probe import found_in
from proxy.gate.read import observe
from proxy.gate.refuse import encoded, note
from proxy.gate.representation import modified_in
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import strong_tag
from proxy.rules.conditions import Condition, Conditions
from proxy.rules.etags import EntityTag
from proxy.rules.fields import Line, field_lines, lower
from proxy.rules.preconditions import Reason, Refuse
from proxy.rules.problems import identified
from proxy.rules.refusals import render, stale
from proxy.rules.routing import Verify
from proxy.rules.signed import is_s3
from proxy.rules.versions import UNKNOWN, Known, Version
from proxy.store import Stamp
from proxy.upstream import Call, Reply

_STALE: Final = Refuse(Reason.STALE_TAG, Condition.IF_MATCH)
_ID: Final = "0" * 32  # stands where a request's id will
_PREFER, _ACCEPT = istr("Prefer"), istr("Accept")
_VARY, _ENCODING = istr("Vary"), istr("Content-Encoding")


async def checked_again(
    house: House, visit: Visit, named: Named, shape: Shape, *, minted: bool
) -> Answer | Passed | Refused:
    """Checks a write without a claim: the refusal where it is the usual one, else what `check` says.

    Args:
        minted: whether the tag that the write names is one of ours.

    Raises:
        StoreUnavailable, UpstreamError: what is current cannot be found out.
    """
    stamp = house.store.stamp(named.key)
    usual = _is_usual(visit.request)
    if named.route.verify is Verify.NEVER:
        recorded = await house.store.look(named.key)
        if usual and isinstance(recorded, Known) and len(recorded.versions) == 1:
            version = recorded.versions[0]
            if version.variant.startswith(named.mark) and _is_another(visit, version.etag):
                return _refusal(visit, None)  # the record is not this caller's: nothing of it is told
        return await check(house, visit, recorded, stamp)
    if not usual or stamp is None or minted or house.selectors.of(named.key, visit.conditions):
        return await check_with_backend(house, visit, stamp)
    return await _asked_again(house, visit, named, shape, stamp)


async def _asked_again(
    house: House, visit: Visit, named: Named, shape: Shape, stamp: Stamp
) -> Answer | Passed | Refused:
    """The backend is asked, as `probe` does it."""
    trace, match = visit.request.trace, named.route.match
    house.journal.probe(match, "mismatch")
    trace.probe = "mismatch"
    reply = await house.upstream.send(_probe(house.outgoing, named, visit.request, shape))
    try:
        version = _told(house, named, reply)
        if version is not None and _is_another(visit, version.etag):
            observe(house, match, named.key, stamp, version)
            return _refusal(visit, version)
        found = await found_in(house, visit, reply, visit.request.headers)
    finally:
        trace.upstream_seconds += house.clock() - reply.sent_at
        reply.close()
    return await conclude(house, visit, UNKNOWN, found, stamp)


def _is_usual(request: Request) -> bool:
    """Whether a refusal of this request is the same document as the last one, but for the request's id."""
    if _PREFER in request.headers or is_s3(request.headers, request.target):
        return False
    return request.id.replace("-", "").isalnum()  # in no form is there anything to escape


def _is_another(visit: Visit, tag: EntityTag | None) -> bool:
    """Whether a strong tag is current that the client does not name: RFC 9110 section 13.1.1 is not met."""
    tags = visit.conditions.if_match
    return tag is not None and isinstance(tags, tuple) and tag.opaque != tags[0].opaque


def _told(house: House, named: Named, reply: Reply) -> Version | None:
    """The version, where the head alone tells it: one strong tag, one representation, one coding."""
    headers = reply.headers
    if (
        reply.status != 200
        or _VARY in headers
        or _ENCODING in headers
        or (tag := strong_tag(headers)) is None
    ):
        return None
    return Version(tag, modified_in(reply, house), variant=named.mark)


def _probe(outgoing: Outgoing, named: Named, request: Request, shape: Shape) -> Call:
    if not shape.probe:
        lines = [line for line in outgoing.probe(request, None) if lower(line[0]) != b"x-request-id"]
        shape.probe = field_lines(lines)
    return Call("GET", named.wire, (), head=named.get_head(request, shape.probe))


def _refusal(visit: Visit, current: Version | None) -> Answer:
    """412 (RFC 9110 section 15.5.13)."""
    note(visit, _STALE, "refused")
    request, sent = visit.request, visit.conditions.sent[Condition.IF_MATCH]
    accept = tuple(request.headers.getall(_ACCEPT, ()))
    tag, modified = (None, None) if current is None else (current.etag, current.modified)
    kind, more, before, after = _document(sent, request.method, tag, modified, accept)
    name = request.id.encode()
    fields = [(b"Content-Type", kind), (b"Vary", b"Accept"), (b"X-Request-ID", name), *more]
    return Answer(412, "Precondition Failed", fields, b"%b%b%b" % (before, name, after))


@lru_cache(maxsize=256)
def _document(
    sent: str, method: str, tag: EntityTag | None, modified: int | None, accept: tuple[str, ...]
) -> tuple[bytes, list[Line], bytes, bytes]:
    """Such a refusal: its type, its further fields, and its content before and after the request's id."""
    conditions = Conditions(sent={Condition.IF_MATCH: sent})
    current = UNKNOWN if tag is None else Known((Version(tag, modified),))
    problem = stale(_STALE, conditions, method, current)
    kind, body = render(identified(problem, _ID), accept)
    before, _, after = body.rpartition(_ID.encode())
    return kind.encode(), encoded(problem.fields), before, after
