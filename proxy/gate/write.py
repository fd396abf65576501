"""Writing: advisory check, content, claim, check, forward, refresh, release."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from proxy.body import Spool
from proxy.errors import BodyError, StoreError, StoreUnavailable, UpstreamBroken, UpstreamError
from proxy.exchange import Answer
from proxy.gate.afterwards import dated, reread, told
from proxy.gate.check import Passed, Refused, check, check_with_backend, note_mended, required, tolerated
from proxy.gate.dav_if import answer_for_ours
from proxy.gate.holding import Holding
from proxy.gate.probe import Found, Relayed
from proxy.gate.read import passed
from proxy.gate.replay import again, keepsake, perhaps_again, recognised
from proxy.gate.sending import forget_named, next_tag_in, response, send
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import (
    Aftermath,
    aftermath,
    may_tell_tag,
    misleading_tag,
    own_tag,
)
from proxy.rules.fields import replace
from proxy.rules.routing import OnStoreFailure, Verify
from proxy.rules.versions import UNKNOWN, Known, Recorded
from proxy.upstream import Reply, Source

_log = logging.getLogger("proxy.gate")
_LONGEST_NAME = 256  # of a resource; a client could make thousands of longer ones up


async def write(house: House, visit: Visit) -> Answer:
    """Answers an unsafe request."""
    guards = visit.conditions.guards
    lacking = not guards and visit.method in visit.route.require
    if visit.reporting:
        return await _reported(house, visit, lacking=lacking)
    if lacking and not tolerated(visit):
        return required(visit)
    guarded = guards or visit.method in visit.route.guard or visit.route.collections or visit.whole
    if not guarded and visit.dav_if is None:
        return await _unclaimed(house, visit)
    content: bytes | Spool | None = visit.request.body.complete()
    if content is None:
        found = await _awaited(house, visit)
        if isinstance(found, Answer):
            return found
        content = found
    elif _refused_before(house, visit):
        refusal = await _early(house, visit, again=True)
        if refusal is not None:
            return refusal
    house.writing += 1
    try:
        return await _claimed(house, visit, content)
    finally:
        house.writing -= 1


async def _awaited(house: House, visit: Visit) -> bytes | Spool | Answer:
    """The content that is still on its way; or a refusal, which needs none."""
    body = visit.request.body
    body.check_length()
    refusal = await _early(house, visit)
    if refusal is not None:
        return refusal
    return await body.collect(house.memory_body, hashed=recognised(visit))


async def _early(house: House, visit: Visit, *, again: bool = False) -> Answer | None:
    """A refusal needs no content: it is told before `100 Continue`, and without a claim.

    Args:
        again: whether the same condition was refused a moment ago, and so most likely is again.
    """
    if not visit.conditions.guards:
        return None
    return await told_early(house, visit, _checked_early(house, visit, again=again))


async def _checked_early(house: House, visit: Visit, *, again: bool) -> Passed | Refused:
    stamp = house.store.stamp(visit.key)
    if again and visit.route.verify is not Verify.NEVER:
        return await check_with_backend(house, visit, stamp)  # whatever is recorded: it tells
    try:
        recorded = await house.store.look(visit.key)
    except StoreUnavailable:
        if visit.route.on_store_failure is OnStoreFailure.REJECT:
            raise
        recorded = UNKNOWN
    return await check(house, visit, recorded, stamp)


async def told_early(
    house: House, visit: Visit, checking: Awaitable[Answer | Passed | Refused]
) -> Answer | None:
    """The refusal, where it is one that holds whatever the content is.

    Args:
        checking: a check without a claim; an answer is a refusal that is told as it is.
    """
    try:
        checked = await checking
    except UpstreamBroken:
        # Backends that write in place break off what is read meanwhile. Under the claim no other write that
        # holds one is under way.
        return None
    if not isinstance(checked, Refused):
        return None if isinstance(checked, Passed) else checked
    if checked.failed and visit.route.replay and await perhaps_again(house, visit):
        visit.request.trace.outcome, visit.request.trace.reason = "passed", ""
        return None
    return checked.answer


async def _claimed(house: House, visit: Visit, content: bytes | Spool) -> Answer:
    """Claim, check, forward, refresh, release."""
    keys = [visit.key] if visit.destination is None else [visit.key, visit.destination]
    holding = Holding(house, [*keys, *visit.also], visit.touched, visit.inside, whole=visit.whole)
    try:
        try:
            await holding.take()
        except StoreUnavailable:
            if visit.route.on_store_failure is OnStoreFailure.REJECT:
                raise
            return await _unprotected(house, visit, content)
        try:
            visit.request.trace.claim_wait = holding.waited
            house.journal.claim_wait(holding.waited)
            visit.erased = holding.erased
            return await check_and_forward(house, visit, content, holding)
        finally:
            await holding.let_go()
    finally:
        if isinstance(content, Spool):
            content.close()


async def check_and_forward(house: House, visit: Visit, content: bytes | Spool, holding: Holding) -> Answer:
    """What follows the claim: check, forward, refresh, release."""
    found = await check(house, visit, holding.recorded)
    if isinstance(found, Refused):
        _note_refusal(house, visit)
        first: Answer | None = None
        if found.failed and visit.route.replay:
            first = await again(house, visit, content, overlapped=holding.overlapped)
        holding.restore({visit.key: found.state})
        return found.answer if first is None else first
    if visit.dav_if is not None:
        refusal = await answer_for_ours(house, visit, visit.dav_if)
        if refusal is not None:
            holding.restore({visit.key: found.state})
            return refusal
    if visit.unmended is not None:
        note_mended(house, visit, visit.unmended, found.state)
    if (pause := next_tag_in(found.state, content)) > 0:
        await asyncio.sleep(pause)
    await holding.send_now()
    try:
        reply = await send(house, visit, content, holding.permit, holding.fence)
    except UpstreamError as fault:
        if not fault.maybe_applied:
            holding.restore({visit.key: found.state})
        raise  # else nobody knows the outcome: the claims are left to run out
    try:
        return await refreshed(house, visit, content, holding, reply, found.state)
    except BaseException:
        reply.close()
        raise


async def refreshed(
    house: House, visit: Visit, content: bytes | Spool, holding: Holding, reply: Reply, before: Recorded
) -> Answer:
    """Finds the version after the write, ends the claims, and makes the response."""
    body = await reply.read(visit.route.hash_limit) if whole_at_once(reply) else None
    then = aftermath(visit.route, visit.method, reply.status, reply.headers)
    if body is None and then is Aftermath.REREAD:
        then = Aftermath.UNKNOWN  # the response holds its connection, and there may be no other
    found: Found | None = None
    state: Recorded = UNKNOWN
    match then:
        case Aftermath.UNSETTLED:
            visit.request.trace.applied_unknown = True
            await holding.leave()
            return response(reply, body)
        case Aftermath.REREAD:
            seen = await reread(house, visit)
            if isinstance(seen, Relayed):  # not with these credentials: the response is all there is
                state = dated(before, told(house, visit, reply))
            elif seen is not None:
                found, state = seen, dated(before, seen.state)
        case Aftermath.RESPONSE:
            state = dated(before, told(house, visit, reply))
            house.journal.recorded("response")
        case Aftermath.UNKNOWN:
            pass
    await forget_named(house, visit, reply)
    answer = _with_tag(visit, response(reply, body), reply, found, content)
    kept = keepsake(house, visit, content, answer) if visit.route.replay else None
    if found is None and kept is None:
        holding.end({visit.key: state})  # the answer tells nothing that rests on the claim
    elif not await holding.settle({visit.key: state}, kept) and found is not None:
        # Somebody else may have written before we looked: no tag that is not the write's own.
        answer.fields = replace(answer.fields, b"ETag", None)
    return answer


def _refused_before(house: House, visit: Visit) -> bool:
    """Whether the resource's last refusal was of the same If-Match."""
    tags = visit.conditions.if_match
    return tags is not None and house.refused.recall(visit.key) == tags


def _note_refusal(house: House, visit: Visit) -> None:
    """A client that was refused often comes again with the same tag, and others have it too."""
    if visit.conditions.if_match is not None and len(visit.key) <= _LONGEST_NAME:
        house.refused.keep(visit.key, visit.conditions.if_match)


def whole_at_once(reply: Reply) -> bool:
    """Whether to wait for the response's content before the claim ends; not for one that streams on."""
    return not reply.headers.get("Content-Type", "").lower().startswith("text/event-stream")


def _with_tag(
    visit: Visit, answer: Answer, reply: Reply, found: Found | None, content: bytes | Source
) -> Answer:
    """The response with the tag that names the resource's version now, as far as one may be told."""
    ours_alone = visit.route.version is not None and visit.route.version.tags
    # Under an alias a POST is a change of the resource, as a PATCH is (RFC 5789).
    method = "PATCH" if visit.alias is not None and visit.method == "POST" else visit.method
    if found is None or method not in {"PUT", "PATCH"} or not isinstance(found.shown, Known):
        if ours_alone:
            answer.fields = replace(answer.fields, b"ETag", None)  # the backend's, which nobody is shown
        return answer
    tag = found.shown.versions[0].etag
    as_sent = found.content is not None and _is(content, found.content)
    if tag is not None and may_tell_tag(visit.route, method, reply.status, stored_as_sent=as_sent):
        answer.fields = replace(answer.fields, b"ETag", str(tag).encode("utf-8", "surrogateescape"))
    elif "ETag" in reply.headers and (
        ours_alone or misleading_tag(own_tag(reply.headers), found.shown.versions[0])
    ):
        answer.fields = replace(answer.fields, b"ETag", None)
    return answer


def _is(sent: bytes | Source, stored: bytes) -> bool:
    return sent.holds(stored) if isinstance(sent, Spool) else sent == stored


async def _unclaimed(house: House, visit: Visit) -> Answer:
    """A write that takes no claim: versions are unknown before, while and after it is under way."""
    ends = (visit.key,) if visit.destination is None else (visit.key, visit.destination)
    holding = Holding(house, (), (*ends, *visit.touched))
    try:
        await holding.take()
    except StoreError:
        if not visit.reporting and visit.route.on_store_failure is OnStoreFailure.REJECT:
            raise
        return await _unprotected(house, visit, _streamed(visit))
    try:
        if visit.dav_if is not None:  # a route that only reports
            refusal = await answer_for_ours(house, visit, visit.dav_if)
            if refusal is not None:
                holding.restore({})
                return refusal
        await holding.send_now()
        try:
            reply = await send(house, visit, _streamed(visit), fence=holding.fence)
        except BodyError:
            holding.end({})  # an incomplete message is not carried out (RFC 9112 section 8)
            raise
        except UpstreamError as fault:
            if not fault.maybe_applied:
                holding.restore({})
            raise
        try:
            return await _unclaimed_answer(house, visit, holding, reply)
        except BaseException:
            reply.close()
            raise
    finally:
        await holding.let_go()


async def _unclaimed_answer(house: House, visit: Visit, holding: Holding, reply: Reply) -> Answer:
    # A response of unknown length may be a stream that never ends; the versions cannot wait for it.
    body = None if reply.length is None else await reply.read(visit.route.hash_limit)
    if aftermath(visit.route, visit.method, reply.status, reply.headers) is Aftermath.UNSETTLED:
        visit.request.trace.applied_unknown = True
        await holding.leave()
    else:
        await forget_named(house, visit, reply)
        holding.end({})
    return response(reply, body)


def _streamed(visit: Visit) -> bytes | Source:
    whole = visit.request.body.complete()
    return visit.request.body if whole is None else whole


async def _unprotected(house: House, visit: Visit, content: bytes | Source) -> Answer:
    """`on_store_failure: probe`, or a route that only reports: without a claim, which the metrics show."""
    house.journal.unrecorded(visit.route.match)
    if not visit.reporting:
        checked = await check(house, visit, UNKNOWN)
        if isinstance(checked, Refused):
            return checked.answer
    return passed(await send(house, visit, content))


async def _reported(house: House, visit: Visit, *, lacking: bool) -> Answer:
    """`mode: report`: what would have been refused is counted and forwarded."""
    trace = visit.request.trace
    if trace.outcome == "reported":
        pass  # a condition that cannot be read is no missing one
    elif lacking:
        trace.outcome, trace.reason = "reported", "required"
    elif visit.conditions.guards:
        await _judged(house, visit)
    return await _unclaimed(house, visit)


async def _judged(house: House, visit: Visit) -> None:
    trace = visit.request.trace
    stamp = house.store.stamp(visit.key)
    try:
        checked = await check(house, visit, await house.store.look(visit.key), stamp)
    except (StoreError, UpstreamError) as fault:
        _log.info("route %s: a condition could not be evaluated for the report: %s", visit.route.match, fault)
        return
    if isinstance(checked, Refused):
        trace.outcome = "reported"
