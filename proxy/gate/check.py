"""Whether a write's conditions hold: by the record where it may be believed, else by asking the backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from proxy.errors import StoreUnavailable, UpstreamError
from proxy.exchange import Answer
from proxy.gate.probe import Found, Relayed, probe
from proxy.gate.read import observe
from proxy.gate.refuse import answer_with, named, note, refused
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import doubted, is_same
from proxy.rules.conditions import Condition, Conditions
from proxy.rules.etags import Star
from proxy.rules.fields import lower, replace
from proxy.rules.minting import is_minted
from proxy.rules.pointers import differing, written
from proxy.rules.preconditions import NeedCurrent, NotModified, Proceed, Reason, Refuse, evaluate
from proxy.rules.preferences import wants_representation
from proxy.rules.refusals import condition_required
from proxy.rules.routing import RequireMode, Verify
from proxy.rules.signed import bound_to_method
from proxy.rules.versions import ABSENT, UNKNOWN, Known, Recorded, Version
from proxy.store import Stamp

# Methods that fail where there is no resource (RFC 9110 section 9.3.5, RFC 5789, RFC 4918 section 9). Of any
# other one nobody knows what it would be answered.
_NEEDS_RESOURCE = frozenset({"DELETE", "PATCH", "PROPPATCH", "MOVE", "COPY", "UNLOCK"})


@dataclass(slots=True)
class Passed:
    """The conditions hold.

    Attributes:
        state: what is current, as far as is known: put back where the write is not sent after all.
    """

    state: Recorded


@dataclass(slots=True)
class Refused:
    """The write is not sent; the answer says why.

    Attributes:
        state: what is current, as far as is known.
        failed: whether a condition is false, whatever the answer is then.
    """

    answer: Answer
    state: Recorded
    failed: bool = False


async def check(
    house: House, visit: Visit, recorded: Recorded, stamp: Stamp | None = None
) -> Passed | Refused:
    """Evaluates the conditions of a write.

    Args:
        recorded: what the store knows.
        stamp: a moment before this call where no claim is held, so that what a probe finds is recorded.

    Raises:
        StoreUnavailable, UpstreamError: what is current cannot be found out.
    """
    if not visit.conditions.guards:
        return Passed(recorded)
    believed, reason = _believed(house, visit, recorded)
    decision = evaluate(visit.conditions, visit.method, believed)
    match decision:
        case Proceed(ignored=Condition()) if visit.route.verify is not Verify.NEVER:
            # The record has no date. The backend may (rule 7).
            return await _ask(house, visit, recorded, "unknown", stamp)
        case Proceed():
            return _proceed(house, visit, decision, recorded)
        case Refuse() if visit.route.verify is Verify.NEVER:
            return await _refuse_by_record(house, visit, decision, recorded, stamp)
        case Refuse() | NeedCurrent():
            return await _ask(house, visit, recorded, reason, stamp)
        case NotModified():
            raise AssertionError("304 is for reads")
        case _:
            assert_never(decision)


async def check_with_backend(house: House, visit: Visit, stamp: Stamp | None) -> Passed | Refused:
    """The same of a condition that is most likely false, where nothing recorded would be believed anyway.

    Raises:
        StoreUnavailable, UpstreamError: as `check`.
    """
    return await _ask(house, visit, UNKNOWN, "mismatch", stamp)


def _believed(house: House, visit: Visit, recorded: Recorded) -> tuple[Recorded, str]:
    """What the decision starts from, and why the backend would be asked."""
    recorded = _seen_here(visit, recorded)
    if recorded is UNKNOWN:
        return UNKNOWN, "unknown"
    if visit.route.collections:  # no record tells of a collection that went with all its members
        return UNKNOWN, "verify"
    match visit.route.verify:
        case Verify.NEVER:
            return recorded, "unknown"
        case Verify.ALWAYS:
            return UNKNOWN, "verify"
        case Verify.AUTO:
            # That there is nothing may be what another caller was told, who may not see it.
            doubtful = recorded is ABSENT or house.suspicion.holds_for(visit.route.match)
            return (UNKNOWN, "verify") if doubtful else (recorded, "mismatch")
        case _:
            assert_never(visit.route.verify)


def _seen_here(visit: Visit, recorded: Recorded) -> Recorded:
    """What is known of just this Host and target: another resource may share the name, and even the tag."""
    if not isinstance(recorded, Known):
        return recorded
    if len(recorded.versions) == 1 and recorded.versions[0].variant.startswith(visit.mark):
        return recorded
    here = tuple(version for version in recorded.versions if version.variant.startswith(visit.mark))
    return Known(here) if here else UNKNOWN


def _proceed(house: House, visit: Visit, decision: Proceed, state: Recorded) -> Passed | Refused:
    if decision.ignored is None:
        return Passed(state)
    house.journal.ignored(visit.route.match, decision.ignored)
    if visit.method in visit.route.require and visit.conditions.if_none_match is None:
        # RFC 9110 section 13.1.4 has the date ignored; then nothing protects the write, and the route
        # demands that something does.
        return Passed(state) if tolerated(visit) else Refused(required(visit), state)
    return Passed(state)


def note_mended(house: House, visit: Visit, sent: Conditions, state: Recorded) -> None:
    """Counts a write whose condition holds only since a rewritten tag was understood."""
    if isinstance(evaluate(sent, visit.method, state), Refuse):
        weak = isinstance(sent.if_match, tuple) and any(tag.weak for tag in sent.if_match)
        house.journal.mended(visit.route.match, "weak" if weak else "suffix")


def tolerated(visit: Visit) -> bool:
    """`require_mode: report`: notes that the condition is missing, and lets the write go on without."""
    if visit.route.require_mode is RequireMode.ENFORCE:
        return False
    visit.request.trace.outcome, visit.request.trace.reason = "reported", "required"
    return True


def required(visit: Visit) -> Answer:
    """428: the route demands a condition (RFC 6585 section 3)."""
    trace = visit.request.trace
    trace.outcome, trace.reason = "refused", "required"
    return answer_with(named(condition_required(visit.request.method), visit), visit.request)


async def _refuse_by_record(
    house: House, visit: Visit, refusal: Refuse, state: Recorded, stamp: Stamp | None
) -> Passed | Refused:
    """`verify: never`: the record alone refuses. It is not this caller's, so nothing of it is told."""
    if _wants_representation(visit):
        return await _ask(house, visit, state, "representation", stamp)
    return Refused(refused(visit, refusal, UNKNOWN), state, failed=True)


async def _ask(
    house: House, visit: Visit, recorded: Recorded, reason: str, stamp: Stamp | None
) -> Passed | Refused:
    """Unknown, or a mismatch: the backend is asked (rule 7), so a stale record never refuses anybody."""
    return await conclude(house, visit, recorded, await probe(house, visit, reason), stamp)


async def conclude(
    house: House, visit: Visit, recorded: Recorded, found: Found | Relayed, stamp: Stamp | None
) -> Passed | Refused:
    """Whether the conditions hold of what the backend showed.

    Args:
        recorded, stamp: see `check`.

    Raises:
        StoreUnavailable, UpstreamError: another content coding was asked for, and there is no telling.
    """
    found = await _in_its_coding(house, visit, found)
    if isinstance(found, Relayed):
        if (known := _refused_unasked(visit, recorded)) is not None:
            return Refused(refused(visit, known, UNKNOWN), recorded)
        visit.request.trace.outcome, visit.request.trace.reason = "relayed", "probe"
        return Refused(found.answer, recorded)
    if (
        stamp is None and found.settled
    ):  # without the claim, a write of somebody else may explain the change; `observe` knows
        _compare(house, visit, recorded, found)
        if house.suspicion.to_judge(visit.route.match, visit.key):
            await _read_twice(house, visit, found)
    found.state = doubted(recorded, found.state, visit.erased)
    if stamp is not None and found.settled:
        version = ABSENT if found.state is ABSENT else found.state.versions[0]
        observe(house, visit.route.match, visit.key, stamp, version)
    decision = found.holds(visit.conditions, visit.method)
    if isinstance(decision, Refuse):
        state = found.state if found.settled else UNKNOWN
        return Refused(_refusal(visit, decision, found), state, failed=True)
    if isinstance(decision, Proceed):
        return _proceed(house, visit, decision, found.state if found.settled else UNKNOWN)
    raise AssertionError(f"the current version is known here, and the answer is {decision}")


def _refused_unasked(visit: Visit, recorded: Recorded) -> Refuse | None:
    """What the record says where the backend cannot be asked: the credentials are good for the write alone.

    AWS's signature and Digest cover the method, so a GET with them is answered 401 or 403, to everybody. The
    record is believed to refuse only; that it is stale costs the caller one GET, which renews it.
    """
    known = _seen_here(visit, recorded)
    if not isinstance(known, Known) or not bound_to_method(visit.request.headers, visit.request.target):
        return None
    decision = evaluate(visit.conditions, visit.method, known)
    return decision if isinstance(decision, Refuse) else None


async def _in_its_coding(house: House, visit: Visit, found: Found | Relayed) -> Found | Relayed:
    """What the probe found, or the same in the content coding that the client's tag is of.

    A backend's tag does not say its coding, and a write need not accept what the read did: it may name any
    current representation (RFC 9110 section 13.1.1), and codings have tags of their own (section 8.8.3.3).
    """
    tags = visit.conditions.if_match
    if isinstance(found, Relayed) or found.other_coding is None or tags is None or isinstance(tags, Star):
        return found
    if all(map(is_minted, tags)) or not isinstance(found.holds(visit.conditions, visit.method), Refuse):
        return found
    asked = visit.request.trace.probe
    other = await probe(house, visit, "coding", found.other_coding)
    visit.request.trace.probe = asked
    if isinstance(other, Found) and not isinstance(other.holds(visit.conditions, visit.method), Refuse):
        return other
    return found


def _compare(house: House, visit: Visit, recorded: Recorded, found: Found) -> None:
    """Notes a change that no write through the proxy explains."""
    if recorded is UNKNOWN or recorded is ABSENT or recorded == found.state:
        return
    if isinstance(recorded, Known) and isinstance(found.state, Known):
        seen = found.state.versions[0]
        if any(version.variant == seen.variant and _shows(version, seen) for version in recorded.versions):
            return
        if all(version.variant != seen.variant for version in recorded.versions):
            return  # another representation, not another version
    house.journal.changed_behind(visit.route.match)
    house.suspicion.raise_for(visit.route.match, visit.key)


async def _read_twice(house: House, visit: Visit, first: Found) -> None:
    """Tells unstable content from what somebody else wrote: under the claim, nothing should change now."""
    asked = visit.request.trace.probe
    try:
        second = await probe(house, visit, "twice")
    except (UpstreamError, StoreUnavailable):
        return  # another write will tell
    finally:
        visit.request.trace.probe = asked
    if not isinstance(second, Found) or not second.settled:
        return
    if isinstance(first.state, Known) and isinstance(second.state, Known):
        same = _shows(first.state.versions[0], second.state.versions[0])
        parts = None if same else differing(first.content or b"", second.content or b"") or ()
        house.suspicion.judge(visit.route.match, None if parts is None else [*map(written, parts)])
        house.journal.judged(visit.route.match, "written" if same else "unstable")


def _shows(version: Version, seen: Version) -> bool:
    return version.etag == seen.etag if version.etag is not None else is_same(version, seen)


def _refusal(visit: Visit, refusal: Refuse, found: Found) -> Answer:
    if refusal.reason is Reason.ABSENT and visit.method in _NEEDS_RESOURCE:
        # Without its condition the request would be answered 404, so the condition is ignored and the caller
        # told what the backend says of the resource (RFC 9110 section 13.2.1). Nothing is sent.
        note(visit, refusal, "relayed")
        return found.answer
    answer = refused(visit, refusal, found.shown)
    return _with_representation(visit, answer, found) if _wants_representation(visit) else answer


def _wants_representation(visit: Visit) -> bool:
    return wants_representation(visit.request.headers.getall("Prefer", ()))


def _with_representation(visit: Visit, answer: Answer, found: Found) -> Answer:
    """A 412 with the current representation, which saves the client a GET (RFC 8144 section 3.2)."""
    content = found.answer.body
    if not isinstance(content, bytes) or found.state is ABSENT:
        return answer
    fields = [
        line for line in found.answer.fields if lower(line[0]).startswith((b"content-", b"etag", b"last-"))
    ]
    fields = replace(fields, b"Content-Location", visit.wire)
    fields += [(b"Preference-Applied", b"return=representation"), (b"Cache-Control", b"no-store")]
    fields += [(b"Vary", b"Prefer, Accept"), (b"X-Request-ID", visit.request.id.encode())]
    return Answer(412, answer.reason, fields, content)
