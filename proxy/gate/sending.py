"""A write on its way to the backend and back: what it is sent as, and what its response says of others."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable

from proxy.body import Spool
from proxy.errors import StoreError
from proxy.exchange import Answer
from proxy.gate.read import kept_back
from proxy.gate.representation import NO_CONTENT
from proxy.gate.trailers import with_trailers
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import ambiguous_until, named_resources
from proxy.rules.fields import replace, reply_fields
from proxy.rules.versions import Recorded
from proxy.upstream import Call, Fields, Reply, Source

_log = logging.getLogger("proxy.gate")
_CLOCK_STEP = 0.02
"""Seconds by which a file's date may lag behind the clock: file systems read a coarse one."""


def next_tag_in(before: Recorded, content: bytes | Spool) -> float:
    """Seconds until a version after the write cannot get the tag of the one before it any more."""
    size = len(content) if isinstance(content, bytes) else content.length
    second = ambiguous_until(before, size)
    left = 0.0 if second is None else second + 1 + _CLOCK_STEP - time.time()
    return left if 0 < left <= 1 + _CLOCK_STEP else 0.0


class Permitted:
    """Content of which no piece goes out once the claim is no longer sure.

    Args:
        content: what is sent.
        permit: raises where nothing more may go out.
    """

    def __init__(self, content: Source, permit: Callable[[], None]) -> None:
        self._content = content
        self._permit = permit
        self.length = content.length
        self.replayable = content.replayable

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content, piece by piece, as long as it may."""
        async for piece in self._content.chunks():
            self._permit()
            yield piece
        self._permit()  # the last chunk says that the message is complete (RFC 9112 section 7.1)

    def trailers(self) -> Fields:
        """The content's."""
        return self._content.trailers()


async def send(
    house: House,
    visit: Visit,
    content: bytes | Source,
    permit: Callable[[], None] | None = None,
    fence: int | None = None,
) -> Reply:
    """Forwards the write. The backend is not shown a condition on a tag that it does not know.

    Args:
        permit: asked before every piece; see `Holding.permit`.
        fence: see `Holding.fence`; None without a claim.
    """
    request = visit.request
    fields = house.outgoing.of(request, kept_back(visit) - {b"range", b"if-range"})
    if visit.route.fence:  # the client's own is no fence
        fields = replace(fields, b"X-Precondition-Fence", None if fence is None else b"%d" % fence)
    if visit.dav_if is not None:
        fields = replace(fields, b"If", visit.dav_if.encode("utf-8", "surrogateescape"))
    if permit is not None and not isinstance(content, bytes):
        content = Permitted(content, permit)
    target = visit.wire if visit.alias is None else visit.alias
    call = Call(request.method, target, fields, content, early=request.early, once=True, permit=permit)
    reply = await house.upstream.send(call)
    request.trace.upstream_seconds += house.clock() - reply.sent_at
    return reply


async def forget_named(house: House, visit: Visit, reply: Reply) -> None:
    """Location and Content-Location of the same origin changed too (RFC 9111 section 4.4)."""
    if reply.status >= 400 or not ("Location" in reply.headers or "Content-Location" in reply.headers):
        return
    hosts = house.outgoing.hosts(visit.request)
    target = visit.wire if visit.alias is None else visit.alias
    for name in named_resources(reply.headers, target.decode("ascii"), hosts):
        key = house.key_of(name, visit.request)
        if key is None or key in {visit.key, visit.destination}:
            continue
        try:
            await house.store.forget(key)
        except StoreError as fault:
            _log.warning(
                "route %s: a resource that a write named could not be forgotten: %s", visit.route.match, fault
            )


def response(reply: Reply, body: bytes | None) -> Answer:
    fields = reply_fields(reply.fields)
    if reply.status in NO_CONTENT:
        reply.close()
        return Answer(reply.status, reply.reason, fields, None)
    return with_trailers(Answer(reply.status, reply.reason, fields, reply if body is None else body), reply)
