"""The gate: the story of one request.

    answer       which resource, which route, which conditions
      pass_on    `mode: off`, and methods that neither read a representation nor write: not looked at
      read       GET and HEAD: forward, record what was seen, answer 304 or 412 on what was seen
      write      everything else: 428, advisory check, content, claim, check, forward, refresh, release

Decisions are in `proxy.rules`, the seven rules of the store in `docs/consistency.md`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from proxy.errors import BodyError, ClaimBusy, StoreUnavailable, UpstreamError, UpstreamTimeout
from proxy.exchange import Answer, Request, Shape
from proxy.gate.dav_if import names_ours
from proxy.gate.finishing import finished, preflight
from proxy.gate.hops import counted, last_hop
from proxy.gate.naming import Named, Names
from proxy.gate.outgoing import Outgoing
from proxy.gate.plain import pass_plainly, read_plainly
from proxy.gate.plain_write import write_plainly
from proxy.gate.read import announced_length, passed, read, withheld
from proxy.gate.refuse import answer_with
from proxy.gate.shapes import Shapes
from proxy.gate.suspicion import Suspicion
from proxy.gate.visit import House, Journal, Visit
from proxy.gate.write import write
from proxy.rules.aftermath import target_of
from proxy.rules.conditions import (
    NONE,
    READS,
    UNEVALUATED,
    Conditions,
    Malformed,
    named_conditions,
    parse_conditions,
)
from proxy.rules.mending import mended
from proxy.rules.methods import effective_method
from proxy.rules.minting import Minter, plain_tags
from proxy.rules.patterns import expand
from proxy.rules.refusals import gateway, malformed, rejected, unavailable
from proxy.rules.routing import Mode, Router, WeakIfMatch, on_behalf
from proxy.store import Store
from proxy.upstream import Call, Upstream

__all__ = ["Gate", "Journal", "Outgoing"]

_log = logging.getLogger("proxy.gate")
_DRAINING = 0.01  # seconds between two looks, once
_TUNNELLED = frozenset({b"websocket"})


class Gate:
    """Decides about requests.

    Args:
        router: finds the route of a path.
        store, upstream, journal: the rooms that are asked and told.
        outgoing: makes the fields that go to the backend.
        clock: monotonic seconds.
        now_year: the present year.
        work: the longest that the backend works on a request, in seconds.
        lease: how long a claim lasts, in seconds; longer than `work` (rule 5).
        memory_body: content up to so many bytes stays in memory before a write.
        strip_override: whether fields that override the method are ignored and removed.
        most_tags: how many tags one If-Match or If-None-Match may have.

    Attributes:
        known_shape: `Shapes.known`.
    """

    def __init__(
        self,
        router: Router,
        store: Store,
        upstream: Upstream,
        journal: Journal,
        outgoing: Outgoing,
        *,
        clock: Callable[[], float],
        now_year: Callable[[], int],
        work: float,
        lease: float,
        memory_body: int = 1 << 20,
        minter: Minter | None = None,
        strip_override: bool = False,
        most_tags: int = 1000,
    ) -> None:
        self._router = router
        self._names = Names(router)
        self._strip_override = strip_override
        self._most_tags = most_tags
        self._shapes = Shapes(outgoing, now_year=now_year, most_tags=most_tags)
        self.known_shape = self._shapes.known
        self.house = House(
            store=store,
            upstream=upstream,
            minter=minter,
            outgoing=outgoing,
            journal=journal,
            suspicion=Suspicion(clock),
            clock=clock,
            now_year=now_year,
            work=work,
            lease=lease,
            memory_body=memory_body,
            key_of=lambda text, request: self._names.key_of(text, request),
        )

    async def answer(self, request: Request) -> Answer:
        """The answer to a request. Faults of the store, the backend and the client become answers here."""
        trace = request.trace
        try:
            shape = request.shape
            answer: Answer | None = None
            if shape is not None:
                named = self._names.of(request)
                if request.method == "GET":
                    if named.plain:
                        plainly = read_plainly if named.key else pass_plainly
                        answer = await plainly(self.house, named, request, shape)
                elif named.writes:
                    answer = await write_plainly(self.house, named, request, shape)
            if answer is None:
                answer = await self._walk(request)
        except (ClaimBusy, StoreUnavailable) as fault:
            trace.outcome = "failed"
            trace.reason = "busy" if isinstance(fault, ClaimBusy) else "store"
            answer = answer_with(unavailable(str(fault), fault.retry_after), request)
        except UpstreamError as fault:
            status = 504 if isinstance(fault, UpstreamTimeout) else 502
            writes = request.method not in READS | UNEVALUATED
            trace.outcome, trace.reason = "failed", "upstream"
            trace.applied_unknown = writes and fault.maybe_applied
            answer = answer_with(gateway(status, str(fault), maybe_applied=trace.applied_unknown), request)
        except BodyError as fault:
            trace.outcome, trace.reason = "failed", "content"
            answer = answer_with(rejected(fault.status, str(fault)), request)
        if self._router.finishing and (route := self._router.finishing.get(trace.route)) is not None:
            return finished(route, request, answer)
        return answer

    def shape_of(self, request: Request) -> Shape | None:
        """What a GET, PUT or PATCH comes to by its fields alone; None where they are not plain."""
        return self._shapes.of(request)

    def reroute(self, router: Router, *, same_names: bool) -> None:
        """Has requests that come from now on find their routes elsewhere; those under way keep theirs.

        Args:
            same_names: whether every path is looked at as before, under the same name. If not, there may be
                versions in the store that were recorded before writes that nobody looked at: none is believed
                any more without asking the backend.
        """
        self._router = router
        self._names = Names(router)
        if not same_names:
            self.house.suspicion.raise_for_all()

    async def drain(self) -> None:
        """Waits for the writes that are under way, those of clients that left too, and their claims' ends."""
        while self.house.writing or self.house.endings:  # noqa: ASYNC110  # once, at the end
            await asyncio.sleep(_DRAINING)

    async def _walk(self, request: Request) -> Answer:
        trace = request.trace
        named = self._names.of(request)
        route = named.route
        trace.route = route.match
        if named.doubt is not None:
            return _doubtful(request, named.doubt)
        if route.mode is Mode.OFF:
            trace.outcome = "off"
            return await self._pass_on(request, named.wire, NONE)
        method = effective_method(
            request.method, request.headers, strip=self._strip_override, require=route.require
        )
        conditions = parse_conditions(
            method, request.headers, now_year=self.house.now_year(), most_tags=self._most_tags
        )
        if isinstance(conditions, Malformed):
            trace.condition, trace.reason = conditions.field, "malformed"
            if route.mode is Mode.ENFORCE:
                trace.outcome = "refused"
                return answer_with(malformed(conditions), request)
            trace.outcome = "reported"
            conditions = NONE
        elif conditions is not NONE:
            trace.condition = conditions.first
        trace.resource = named.key
        visit = named.visit(request, method, conditions)
        if method in READS:
            if request.upgrade is None:
                return await read(self.house, visit)
            return await self._read_or_tunnel(visit)
        if method in UNEVALUATED:
            if route.cors is not None and (allowed := preflight(route.cors, request)) is not None:
                return allowed
            return await self._pass_on(request, visit.wire, named_conditions(request.headers))
        if route.resource is not None and (about := self._names.changed_by(named, request)) is not None:
            if about.doubt is not None:
                return _doubtful(request, about.doubt)
            self._turn_to(visit, about)
        visit.conditions = plain_tags(conditions)
        if conditions.if_match is not None:
            _mend(visit)
        if "If" in request.headers and names_ours(request.headers):
            visit.dav_if = request.headers["If"]
        # Whatever the method says: a backend may take it for a MOVE, and a claim too many only costs time.
        if (destination := _destination(request)) is not None:
            visit.destination = self._names.key_of(destination, request)
        if route.invalidates:
            parameters = self._router.parameters(named.target.path)
            templates = (expand(template, parameters) for template in route.invalidates)
            visit.touched = tuple(self._names.key_of(path, request) or path for path in templates if path)
        if self._router.collections:
            self._names.place(visit, destination)
        return await write(self.house, visit)

    def _turn_to(self, visit: Visit, about: Named) -> None:
        """Has a write be one of the resource that its route names; it still goes to its own target."""
        doubtful = self.house.suspicion.holds_for(about.route.match)
        visit.route = on_behalf(visit.route, about.route, visit.method, doubtful=doubtful)
        visit.alias, visit.target, visit.wire = visit.wire, about.target, about.wire
        visit.key = visit.request.trace.resource = about.key
        visit.mark = about.mark

    async def _read_or_tunnel(self, visit: Visit) -> Answer:
        """One that asks for a WebSocket is a read only where the backend does not switch."""
        request = visit.request
        if not _tunnels(request) or visit.conditions.guards:
            request.upgrade = None
            return await read(self.house, visit)
        request.trace.outcome = "off"
        return await self._pass_on(request, visit.wire, visit.conditions)

    async def _pass_on(self, request: Request, wire: bytes, conditions: Conditions) -> Answer:
        """Forwards what is not looked at, streaming both ways; an upgrade gets the connection itself.

        Args:
            conditions: those that may name a tag of ours, which the backend does not know.
        """
        house = self.house
        if (last := last_hop(request)) is not None:
            return last
        whole = request.body.complete()
        call = Call(
            request.method,
            wire,
            counted(request, house.outgoing.of(request, withheld(conditions))),
            request.body if whole is None else whole,
            expects_upgrade=request.upgrade if _tunnels(request) else None,
            early=request.early,
        )
        reply = await house.upstream.send(call)
        request.trace.upstream_seconds += house.clock() - reply.sent_at
        if reply.status == 101:
            return Answer(101, reply.reason, list(reply.fields), None, tunnel=reply.tunnel())
        if request.method == "HEAD":
            answer = passed(reply)
            reply.close()
            answer.body, answer.length = None, announced_length(reply)
            return answer
        return passed(reply)


def _destination(request: Request) -> str | None:
    """The other end of a MOVE or COPY (RFC 4918 section 10.3): it is written too.

    Whatever host it names: a claim too many only costs time.
    """
    value = request.headers.get("Destination")
    return None if value is None else target_of(value)


def _mend(visit: Visit) -> None:
    relaxed = visit.route.weak_if_match is WeakIfMatch.RELAXED
    found = mended(visit.conditions, relaxed=relaxed)
    if found is not None:
        visit.conditions, visit.unmended = found, visit.conditions


def _doubtful(request: Request, doubt: str) -> Answer:
    """Two servers may read such a path as two resources; a guard on one would not hold for the other."""
    request.trace.outcome, request.trace.reason = "refused", "target"
    reason = f"The path holds {doubt}, which servers read in different ways."
    return answer_with(rejected(400, reason), request)


def _tunnels(request: Request) -> bool:
    """Whether the request may leave HTTP (RFC 9110 section 7.8).

    Not for another version of HTTP: `h2c` would be a way to write past every guard.
    """
    return request.upgrade is not None and request.upgrade.strip().lower() in _TUNNELLED
