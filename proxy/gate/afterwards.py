"""The version after a write: read again under the claim, or as the write's response tells it."""

from __future__ import annotations

import logging
from dataclasses import replace as changed

from proxy.errors import StoreUnavailable, UpstreamError
from proxy.gate.probe import Found, Relayed, probe
from proxy.gate.representation import modified_in
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import told_version
from proxy.rules.versions import UNKNOWN, Known, Recorded, Version
from proxy.upstream import Reply

_log = logging.getLogger("proxy.gate")


async def reread(house: House, visit: Visit) -> Found | Relayed | None:
    """The resource as it is after the write, under the claim; None where that cannot be found out."""
    probed = visit.request.trace.probe
    try:
        found = await probe(house, visit, "reread")
    except (UpstreamError, StoreUnavailable) as fault:
        _log.warning("route %s: the version after a write stays unknown: %s", visit.route.match, fault)
        return None
    finally:
        visit.request.trace.probe = probed
    if isinstance(found, Relayed):
        return found
    if not found.settled:
        return None
    house.journal.recorded("reread")
    return found


def told(house: House, visit: Visit, reply: Reply) -> Recorded:
    """The version as the write's response tells it."""
    if visit.alias is not None:
        return UNKNOWN
    tag = told_version(visit.route, visit.method, reply.status, reply.headers)
    if tag is None:
        return UNKNOWN
    return Known((Version(tag, modified_in(reply, house), variant=visit.mark),))


def dated(before: Recorded, after: Recorded) -> Recorded:
    """Marks a date that the version before had too: it is weak (RFC 9110 section 8.8.2.2)."""
    if not isinstance(before, Known) or not isinstance(after, Known):
        return after
    if all(version.modified is None for version in after.versions):
        return after
    taken = {version.modified: version.etag for version in before.versions if version.modified is not None}
    return Known(
        tuple(
            changed(version, shared_second=True)
            if version.modified in taken and (version.etag is None or taken[version.modified] != version.etag)
            else version
            for version in after.versions
        )
    )
