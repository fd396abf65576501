"""The store's protocol as a small model, and a search through all of its interleavings.

The model mirrors `proxy/store/scripts/*.lua` and how the gate uses them: writers that claim, check, send and
commit; readers that stamp, read and record; crashes, stalls and the loss of the store. Each option is one
of the rules of `docs/consistency.md`; `explore` finds a lost update, with the story that leads to it, or
says how many states it has seen without one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal, NamedTuple

POST: Final = "post"

Kind = int | None | Literal["post"]
"""A writer: the version that its If-Match names, None for an unconditional PUT, or a POST (shared claim)."""


@dataclass(frozen=True, slots=True)
class Options:
    """Which rules are kept, and which faults happen."""

    stamped_observations: bool = True  # rule 3
    in_flight_is_unknown: bool = True  # rule 2
    unconditional_writes_claim: bool = True  # rule 1
    own_deadline: bool = True  # rule 4
    unsettled_runs_out: bool = True  # rule 5
    grace: bool = True  # rule 6
    probe_when_in_doubt: bool = True  # rule 7
    shared_claims: bool = True  # a POST is counted while it lasts, beside being forgotten after it
    crashes: bool = True
    stalls: bool = True
    losses: bool = False  # of the whole store, once


class Phase(Enum):
    """Where a writer is."""

    IDLE = auto()
    CLAIMED = auto()
    SENT = auto()
    APPLIED = auto()
    DONE = auto()
    CRASHED_IN_FLIGHT = auto()
    CRASHED = auto()


class Writer(NamedTuple):
    """`excused`: a POST took effect while this one held the claim, which a shared claim does not prevent."""

    phase: Phase
    kind: Kind
    handed: int | None = None
    excused: bool = False


class Reader(NamedTuple):
    """A GET: `stamp` once it began, `value` once the backend answered."""

    stamp: int | None = None
    value: int | None = None
    done: bool = False


class State(NamedTuple):
    """The backend (`upstream`, `newest`), the store's entry, and everybody who works on it."""

    upstream: int
    newest: int
    recorded: int | None
    owner: int | None
    pending: frozenset[int]  # shared claims
    dirty: bool  # a shared claim ended while the exclusive one lasted
    clock: int
    changed: int
    in_grace: bool
    lost: bool
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]


class Step(NamedTuple):
    """One thing that may happen next; `violation` where it is a lost update."""

    says: str
    state: State
    violation: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """A lost update, and what led to it, one sentence for each step."""

    story: tuple[str, ...]


def explore(options: Options, writers: tuple[Kind, ...], readers: int) -> Violation | int:
    """Searches every interleaving, the shortest first.

    Returns:
        The shortest story of a lost update, or the number of states where there is none.
    """
    start = State(
        upstream=0,
        newest=0,
        recorded=0,
        owner=None,
        pending=frozenset(),
        dirty=False,
        clock=1,
        changed=0,
        in_grace=False,
        lost=False,
        writers=tuple(Writer(Phase.IDLE, kind) for kind in writers),
        readers=(Reader(),) * readers,
    )
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for step in _steps(options, state):
            if step.violation:
                return Violation((*_story(came_from, state), step.says))
            if step.state not in came_from:
                came_from[step.state] = (state, step.says)
                queue.append(step.state)
    return len(came_from)


def _story(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    story: list[str] = []
    while (before := came_from[state]) is not None:
        state, says = before
        story.append(says)
    return tuple(reversed(story))


def _steps(options: Options, state: State) -> Iterator[Step]:
    for number, writer in enumerate(state.writers):
        if writer.kind == POST:
            yield from _post_steps(options, state, number, writer)
        else:
            yield from _writer_steps(options, state, number, writer)
    for number, reader in enumerate(state.readers):
        yield from _reader_steps(options, state, number, reader)
    yield from _lease_steps(options, state)
    yield from _loss_steps(options, state)


# Exclusive writers.


def _writer_steps(options: Options, state: State, number: int, writer: Writer) -> Iterator[Step]:
    match writer.phase:
        case Phase.IDLE:
            yield from _begin(options, state, number, writer)
        case Phase.CLAIMED:
            yield _decide(options, state, number, writer)
            if options.crashes:
                crashed = _with(state, number, writer._replace(phase=Phase.CRASHED))
                yield Step(f"writer {number} crashes before it sends", crashed)
        case Phase.SENT | Phase.CRASHED_IN_FLIGHT:
            yield from _in_flight(options, state, number, writer)
        case Phase.APPLIED:
            yield _commit(state, number, writer)
            if options.crashes:
                crashed = _with(state, number, writer._replace(phase=Phase.CRASHED))
                yield Step(f"writer {number} crashes before it commits", crashed)


def _begin(options: Options, state: State, number: int, writer: Writer) -> Iterator[Step]:
    if writer.kind is None and not options.unconditional_writes_claim:
        sent = _with(state, number, writer._replace(phase=Phase.SENT))
        yield Step(f"writer {number} sends without a claim", sent)
    elif state.owner is None and not state.in_grace:
        claimed = state._replace(
            recorded=None if options.in_flight_is_unknown else state.recorded,
            owner=number,
            dirty=bool(state.pending),
            clock=state.clock + 1,
        )
        writer = writer._replace(phase=Phase.CLAIMED, handed=state.recorded)
        yield Step(f"writer {number} claims and is handed {state.recorded}", _with(claimed, number, writer))


def _decide(options: Options, state: State, number: int, writer: Writer) -> Step:
    if writer.kind is None or writer.handed == writer.kind:
        return Step(f"writer {number} sends", _with(state, number, writer._replace(phase=Phase.SENT)))
    if writer.handed is None:
        if options.probe_when_in_doubt:
            probed = writer._replace(handed=state.upstream)
            return Step(f"writer {number} probes and finds {state.upstream}", _with(state, number, probed))
        return Step(
            f"writer {number} sends unchecked", _with(state, number, writer._replace(phase=Phase.SENT))
        )
    refused = _with(state, number, writer._replace(phase=Phase.DONE))
    return Step(
        f"writer {number} is refused: it named {writer.kind}, current is {writer.handed}",
        _release(refused, number, writer.handed),
    )


def _in_flight(options: Options, state: State, number: int, writer: Writer) -> Iterator[Step]:
    conditional = writer.kind is not None
    violation = conditional and state.upstream != writer.kind and not writer.excused
    after = Phase.APPLIED if writer.phase is Phase.SENT else Phase.CRASHED
    applied = state._replace(upstream=state.newest + 1, newest=state.newest + 1)
    says = f"the write of {number} takes effect over {state.upstream}"
    yield Step(says, _with(applied, number, writer._replace(phase=after)), violation)
    if writer.phase is Phase.SENT and options.crashes:
        crashed = writer._replace(phase=Phase.CRASHED_IN_FLIGHT)
        yield Step(f"writer {number} crashes with its write under way", _with(state, number, crashed))


def _commit(state: State, number: int, writer: Writer) -> Step:
    done = _with(state, number, writer._replace(phase=Phase.DONE))
    return Step(f"writer {number} commits {state.upstream}", _release(done, number, state.upstream))


def _release(state: State, number: int, version: int) -> State:
    """`release.lua`: only for the owner, and nothing is committed beside a shared claim."""
    if state.owner != number:
        return state
    doubtful = state.dirty or state.pending
    return _changed(state._replace(recorded=None if doubtful else version, owner=None, dirty=False))


# POSTs.


def _post_steps(options: Options, state: State, number: int, writer: Writer) -> Iterator[Step]:
    match writer.phase:
        case Phase.IDLE:
            pending = state.pending | {number} if options.shared_claims else state.pending
            begun = _forget(state._replace(pending=pending))
            yield Step(f"POST {number} begins", _with(begun, number, writer._replace(phase=Phase.SENT)))
        case Phase.SENT | Phase.CRASHED_IN_FLIGHT:
            yield _post_applies(state, number, writer)
            if writer.phase is Phase.SENT and options.crashes:
                crashed = writer._replace(phase=Phase.CRASHED_IN_FLIGHT)
                yield Step(f"POST {number} crashes under way", _with(state, number, crashed))
        case Phase.APPLIED:
            ended = state  # a claim of a lost store ends nothing in the new one
            if number in state.pending or not options.shared_claims:
                ended = _forget(state._replace(pending=state.pending - {number}))
            yield Step(f"POST {number} ends", _with(ended, number, writer._replace(phase=Phase.DONE)))


def _post_applies(state: State, number: int, writer: Writer) -> Step:
    after = Phase.APPLIED if writer.phase is Phase.SENT else Phase.CRASHED
    busy = (Phase.CLAIMED, Phase.SENT, Phase.CRASHED_IN_FLIGHT)
    writers = tuple(one._replace(excused=True) if one.phase in busy else one for one in state.writers)
    applied = state._replace(upstream=state.newest + 1, newest=state.newest + 1, writers=writers)
    return Step(f"POST {number} takes effect", _with(applied, number, writer._replace(phase=after)))


def _forget(state: State) -> State:
    return _changed(state._replace(recorded=None, dirty=state.owner is not None))


# Readers.


def _reader_steps(options: Options, state: State, number: int, reader: Reader) -> Iterator[Step]:
    if reader.stamp is None:
        yield Step(f"reader {number} begins", _with_reader(state, number, Reader(stamp=state.clock)))
    elif reader.value is None:
        read = reader._replace(value=state.upstream)
        yield Step(f"reader {number} reads {state.upstream}", _with_reader(state, number, read))
    elif not reader.done:
        done = _with_reader(state, number, reader._replace(done=True))
        if not options.stamped_observations or _may_record(state, reader.stamp):
            yield Step(f"reader {number} records {reader.value}", done._replace(recorded=reader.value))
        else:
            yield Step(f"reader {number} records nothing", done)


def _may_record(state: State, stamp: int) -> bool:
    # The model's clock grows with every change, so a stamp equal to the last change was taken after it.
    return state.owner is None and not state.pending and not state.in_grace and state.changed <= stamp


# Leases and losses.


def _lease_steps(options: Options, state: State) -> Iterator[Step]:
    for number in sorted(state.pending):
        if _over(options, state.writers[number]):
            rest = state._replace(pending=state.pending - {number}, dirty=state.owner is not None)
            yield Step(f"the lease of POST {number} runs out", _changed(rest))
    if state.owner is None:
        return
    owner = state.writers[state.owner]
    freed = _changed(state._replace(owner=None, dirty=False))
    if _over(options, owner):
        yield Step(f"the lease of writer {state.owner} runs out", freed)
    if options.stalls and owner.phase is Phase.CLAIMED:
        stalled = owner._replace(phase=Phase.DONE) if options.own_deadline else owner
        yield Step(f"writer {state.owner} stalls past its lease", _with(freed, state.owner, stalled))


def _over(options: Options, writer: Writer) -> bool:
    """A lease outlasts the backend's work, so it runs out only when nothing of the dead is under way."""
    early = writer.phase is Phase.CRASHED_IN_FLIGHT and not options.unsettled_runs_out
    return writer.phase is Phase.CRASHED or early


def _loss_steps(options: Options, state: State) -> Iterator[Step]:
    if options.losses and not state.lost:
        empty = state._replace(recorded=None, owner=None, pending=frozenset(), dirty=False, lost=True)
        empty = empty._replace(in_grace=options.grace, clock=state.clock + 1)
        yield Step("the store is lost", empty._replace(changed=empty.clock if options.grace else 0))
    under_way = (Phase.SENT, Phase.CRASHED_IN_FLIGHT)
    old = [writer for number, writer in enumerate(state.writers) if number not in state.pending]
    if state.in_grace and not any(writer.phase in under_way for writer in old):
        # Who still holds a claim of the lost store sees by its own clock that its lease is over.
        writers = tuple(
            writer._replace(phase=Phase.DONE) if writer.phase is Phase.CLAIMED else writer
            for writer in state.writers
        )
        yield Step("the grace is over", _changed(state._replace(in_grace=False, writers=writers)))


def _changed(state: State) -> State:
    return state._replace(clock=state.clock + 1, changed=state.clock + 1)


def _with(state: State, number: int, writer: Writer) -> State:
    return state._replace(writers=(*state.writers[:number], writer, *state.writers[number + 1 :]))


def _with_reader(state: State, number: int, reader: Reader) -> State:
    return state._replace(readers=(*state.readers[:number], reader, *state.readers[number + 1 :]))
