"""Writes that come again because their answer was lost; `proxy.rules.replay` says which those are."""

from __future__ import annotations

import hashlib

from proxy.body import Spool
from proxy.errors import StoreUnavailable
from proxy.exchange import Answer
from proxy.gate.visit import House, Visit
from proxy.rules.replay import Remembered, answered_again, head, packed, recognisable, sender
from proxy.store import PENDING, Keepsake


def recognised(visit: Visit) -> bool:
    """Whether this write is known again when it comes a second time."""
    return visit.route.replay > 0 and recognisable(visit.conditions, visit.request.headers)


def keepsake(house: House, visit: Visit, content: bytes | Spool, answer: Answer) -> Keepsake | None:
    """What is kept of the answer to a write that was carried out; None where nothing is."""
    body = answer.body
    if not 200 <= answer.status < 300 or not (body is None or isinstance(body, bytes)):
        return None
    name = _name(house, visit) if recognised(visit) else b""
    if not name:
        return None
    fields = tuple(answer.fields)
    first = Remembered(
        _told(house, name, content), visit.request.left(), answer.status, answer.reason, fields, body
    )
    words = packed(first)
    return None if words is None else Keepsake(name, words, visit.route.replay)


async def perhaps_again(house: House, visit: Visit) -> bool:
    """Whether a write that is about to be refused without its content may be one that was carried out.

    Its content tells; so it has to be read, and the write refused, if it is, under its claim.
    """
    found = await _recalled(house, visit)
    visit.overlapped = found is PENDING
    return found is not None


async def again(house: House, visit: Visit, content: bytes | Spool, *, overlapped: bool) -> Answer | None:
    """The first answer, where the write that is about to be refused was carried out before.

    RFC 9110 sections 13.1.1 and 13.1.4.
    """
    words = await _recalled(house, visit)
    if not isinstance(words, bytes):
        return None
    told = _told(house, _name(house, visit), content)
    first = answered_again(words, told, overlapped=overlapped or visit.overlapped)
    if first is None:
        return None
    visit.request.trace.outcome = "replayed"
    return Answer(first.status, first.reason, list(first.fields), first.body)


async def _recalled(house: House, visit: Visit) -> object:
    """What the store has of this write; nothing where it cannot say: a refusal is never wrong."""
    if not recognised(visit) or not (name := _name(house, visit)):
        return None
    try:
        return await house.store.recall(visit.key, name)
    except StoreUnavailable:
        return None


def _name(house: House, visit: Visit) -> bytes:
    """What stands for the write without its content; nothing as long as there is no secret."""
    if house.minter is None:
        return b""
    request = visit.request
    target = visit.wire if visit.alias is None else visit.alias
    names = (request.method, visit.method, visit.key, visit.mark, target.decode("ascii"))
    shape = request.shape
    who = (shape is not None and shape.sender) or sender(request.peer, request.fields)
    return house.minter.identify(head(names, who, request.fields))


def _told(house: House, name: bytes, content: bytes | Spool) -> bytes:
    """What stands for the content of a write of this name."""
    digest = hashlib.sha256(content).digest() if isinstance(content, bytes) else content.digest()
    return b"" if house.minter is None else house.minter.identify((name, digest))
