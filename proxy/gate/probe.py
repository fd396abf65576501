"""Asking the backend, with the caller's own credentials, what is current (rule 7)."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import StoreUnavailable
from proxy.exchange import Answer
from proxy.gate.read import passed, shown
from proxy.gate.representation import GONE, SHOWS, Headers, Representation, look_at
from proxy.gate.selectors import chosen_fields, chosen_headers
from proxy.gate.visit import House, Visit
from proxy.rules.etags import EntityTag, Star
from proxy.rules.fields import reply_fields
from proxy.rules.minting import coding_of
from proxy.rules.preconditions import Conditions, Decision, evaluate
from proxy.rules.preferences import wants_representation
from proxy.rules.variants import other_coding
from proxy.rules.versions import ABSENT, Absent, Known, Version
from proxy.upstream import Call, Reply

_RELAYED = frozenset({401, 403, 407, 451}) | frozenset(range(300, 400))


@dataclass(slots=True)
class Found:
    """What the probe found.

    Attributes:
        state: the current version, or that there is none.
        shown: the same as the caller would be shown it.
        answer: the backend's answer to the GET, as the caller would have got it; its body is at hand
            or dropped.
        content: the representation's content, where it was read.
        settled: whether the state may be recorded: it has validators, and which representation it is can
            be told.
        also: the current version under another tag that was shown for it; see `Representation`.
        other_coding: what to accept to be shown the representation in another content coding, None where
            there is none.
    """

    state: Known | Absent
    shown: Known | Absent
    answer: Answer
    content: bytes | None
    settled: bool = True
    also: tuple[Version, ...] = ()
    other_coding: str | None = None

    def holds(self, conditions: Conditions, method: str) -> Decision:
        """Whether conditions hold of what is current."""
        state = self.state
        return evaluate(
            conditions, method, Known((*state.versions, *self.also)) if isinstance(state, Known) else state
        )


@dataclass(slots=True)
class Relayed:
    """The caller may not, or cannot, GET the resource here: it is told what the backend says to a GET.

    A server ignores conditions where its answer would be another than 2xx or 412 (RFC 9110 section 13.2.1).
    """

    answer: Answer


async def probe(house: House, visit: Visit, reason: str, coding: str | None = None) -> Found | Relayed:
    """GETs the resource.

    Args:
        coding: the content coding to accept; None for that of the client's tag, else what the client accepts.
        reason: why, for the metrics: "unknown", "mismatch", "verify", "reread", "representation".

    Raises:
        StoreUnavailable: what is current cannot be found out (503).
        UpstreamError: the backend did not answer.
    """
    house.journal.probe(visit.route.match, reason)
    visit.request.trace.probe = reason
    chosen = house.selectors.of(visit.key, visit.conditions)
    wanted = _coding_wanted(visit) if coding is None else coding
    fields = chosen_fields(house.outgoing.probe(visit.request, wanted), chosen)
    reply = await house.upstream.send(Call("GET", visit.wire, fields))
    try:
        return await found_in(house, visit, reply, chosen_headers(visit.request.headers, chosen))
    finally:
        visit.request.trace.upstream_seconds += house.clock() - reply.sent_at
        reply.close()


async def found_in(house: House, visit: Visit, reply: Reply, asked: Headers) -> Found | Relayed:
    """What the backend's answer to such a GET says.

    Args:
        asked: the fields that selected it.

    Raises:
        StoreUnavailable: it says nothing of what is current.
    """
    if reply.status in SHOWS:
        seen = await look_at(reply, house, visit, asked)
        answer = shown(reply, await _kept(reply, seen, visit))
        return Found(
            Known((seen.version,)),
            Known((seen.shown,)),
            answer,
            seen.body,
            seen.settled,
            seen.also,
            other_coding(reply.headers),
        )
    if reply.status == 204:  # it exists, and has nothing to hash
        seen = await look_at(reply, house, visit, asked)
        return Found(Known((seen.version,)), Known((seen.shown,)), passed(reply), b"")
    if reply.status in GONE:
        return Found(ABSENT, ABSENT, await _whole(reply, visit), None)
    if reply.status in _RELAYED:
        return Relayed(await _whole(reply, visit))
    raise StoreUnavailable(
        f"the backend answered {reply.status} to the GET that was to find the current version",
        retry_after=_retry_after(reply),
    )


async def _kept(reply: Reply, seen: Representation, visit: Visit) -> Representation:
    """The representation with its content, where it is short: a 412 may carry it."""
    if seen.body is not None or (reply.length or 0) > visit.route.hash_limit:
        return seen
    if wants_representation(visit.request.headers.getall("Prefer", ())):
        seen.body = await reply.read(visit.route.hash_limit)
    return seen


async def _whole(reply: Reply, visit: Visit) -> Answer:
    """The reply with its body in memory: the connection is not held while the client reads."""
    body = await reply.read(visit.route.hash_limit)
    return Answer(reply.status, reply.reason, reply_fields(reply.fields), body or b"")


def _coding_wanted(visit: Visit) -> str | None:
    """The coding of the representation that the client's tag came from, as far as the tag tells."""
    tags = visit.conditions.if_match
    if tags is None or isinstance(tags, Star):
        return None
    codings = {coding for tag in tags if (coding := coding_of(_strong(tag))) is not None}
    if len(codings) != 1:
        return None
    return codings.pop() or "identity"


def _strong(tag: EntityTag) -> EntityTag:
    return EntityTag(tag.opaque)


def _retry_after(reply: Reply) -> float:
    text = reply.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1.0
