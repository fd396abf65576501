"""WebDAV's If field (RFC 4918 section 10.4) where it names tags of ours.

We answer for those, the backend for the rest.
"""

from __future__ import annotations

from functools import partial

from multidict import CIMultiDictProxy

from proxy.exchange import Answer
from proxy.gate.probe import Found, probe
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import target_of
from proxy.rules.conditions import Conditions
from proxy.rules.dav_if import minted_tags, told
from proxy.rules.etags import EntityTag
from proxy.rules.preconditions import Proceed


def names_ours(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the If field names a tag of ours, so that the backend could not answer it."""
    lines = headers.getall("If", ())
    return len(lines) == 1 and "pp1." in lines[0] and bool(minted_tags(lines[0]))


async def answer_for_ours(house: House, visit: Visit, field: str) -> Answer | None:
    """Puts what is true of our tags in their place, for the backend to judge the rest.

    Only the request's own resource is asked for: tags of others in Tagged-lists count as not current.

    Returns:
        what the backend says to a caller who may not GET the resource, else None.

    Raises:
        StoreUnavailable, UpstreamError: what is current cannot be found out.
    """
    asked, visit.conditions = visit.conditions, Conditions(if_match=minted_tags(field))
    try:
        found = await probe(house, visit, "unknown")
    finally:
        visit.conditions = asked
    if not isinstance(found, Found):
        visit.request.trace.outcome, visit.request.trace.reason = "relayed", "probe"
        return found.answer
    visit.dav_if = told(field, partial(_holds, visit, found))
    return None


def _holds(visit: Visit, found: Found, resource: str | None, tag: EntityTag) -> bool | None:
    if resource is not None:
        target = target_of(resource)
        if target is None or target != visit.wire.decode("ascii"):
            return None
    return isinstance(found.holds(Conditions(if_match=(tag,)), visit.method), Proceed)
