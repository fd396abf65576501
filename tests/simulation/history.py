"""What happened, as the backend and the clients saw it, and whether it may have happened.

A state of a resource is named by the content that makes it: the identity of the write that put it there, or
None where there is nothing. The same checker reads the history of the simulation and that of the real chaos.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

State = str | None
ANYTHING: Final = "*"
"""Named by `If-Match: *`: that there is something."""

SENT_NOTHING: Final = frozenset({400, 412, 428, 503})
"""Answers after which the write must never have taken effect."""


@dataclass(slots=True)
class Effect:
    """A write that took effect in the backend.

    Attributes:
        write: the identity of the request.
        resource: its path.
        method: PUT, DELETE, POST ...
        before, after: the states.
        at: when, in seconds.
    """

    write: str
    resource: str
    method: str
    before: State
    after: State
    at: float


@dataclass(slots=True)
class Asked:
    """A write that a client asked for.

    Attributes:
        conditional: whether it had a condition.
        named: the state that it named; ANYTHING, or None for "nothing there".
        began, ended: seconds; `ended` None where the client left or the connection broke.
        status: of the answer, 0 where there is none.
        unknown: whether the answer says that nobody knows the outcome.
        again: whether it was sent a second time, since the first answer was lost: `began` is of the first,
            the answer that of the last. It may tell what the first one did; that is no second effect.
        through: which proxy it was sent to, where the client knows.
    """

    write: str
    resource: str
    method: str
    conditional: bool
    named: State
    began: float
    ended: float | None = None
    status: int = 0
    unknown: bool = False
    again: bool = False
    through: str = ""

    def holds_in(self, state: State) -> bool:
        """Whether its condition holds in a state."""
        if not self.conditional:
            return True
        return state is not None if self.named == ANYTHING else state == self.named


@dataclass(slots=True)
class History:
    """Everything that the checker reads.

    Attributes:
        effects: in the order in which they took effect.
        shares: methods that take no exclusive claim: what they do meanwhile, nobody promises to notice.
    """

    first: dict[str, State]
    effects: list[Effect]
    asked: dict[str, Asked]
    shares: frozenset[str] = frozenset({"POST"})

    def as_document(self) -> dict[str, Any]:
        """For a file."""
        return {
            "first": self.first,
            "effects": [asdict(effect) for effect in self.effects],
            "asked": [asdict(asked) for asked in self.asked.values()],
        }

    def counts(self) -> dict[str, int]:
        """How the conditional writes ended."""
        conditional = [asked for asked in self.asked.values() if asked.conditional]
        return {
            "tried": len(conditional),
            "accepted": sum(200 <= asked.status < 300 for asked in conditional),
            "refused": sum(asked.status == 412 for asked in conditional),
            "unavailable": sum(asked.status == 503 for asked in conditional),
            "sent again": sum(asked.again for asked in conditional),
            "answered again": sum(asked.again and 200 <= asked.status < 300 for asked in conditional),
            "unknown": sum(asked.status == 0 or asked.unknown for asked in conditional),
            "lost updates": len(list(lost_updates(self))),
        }


def faults(history: History) -> list[str]:
    """Everything that may not have happened."""
    return [
        *lost_updates(history),
        *_missing(history),
        *_twice(history),
        *_not_sent(history),
        *_false_refusals(history),
    ]


def lost_updates(history: History) -> Iterable[str]:
    """Conditional writes that took effect over a state that their client had not named."""
    makers = {effect.after: effect for effect in history.effects if effect.after is not None}
    last_change: dict[str, Effect] = {}
    for effect in history.effects:
        asked = history.asked.get(effect.write)
        before = makers.get(effect.before) if effect.before is not None else last_change.get(effect.resource)
        last_change[effect.resource] = effect
        if asked is None or asked.holds_in(effect.before):
            continue
        if before is not None and before.method in history.shares and before.at >= asked.began:
            continue  # docs/consistency.md: a POST beside it takes no claim
        yield (
            f"LOST UPDATE: {effect.write} ({effect.method} {effect.resource}) took effect at {effect.at:.4f} "
            f"over {effect.before}, its client had named {asked.named}"
        )


def _missing(history: History) -> Iterable[str]:
    applied = {effect.write for effect in history.effects}
    for asked in history.asked.values():
        if 200 <= asked.status < 300 and asked.write not in applied:
            yield f"MISSING: {asked.write} was answered {asked.status} and never took effect"


def _twice(history: History) -> Iterable[str]:
    seen: set[str] = set()
    for effect in history.effects:
        if effect.write in seen:
            yield f"TWICE: {effect.write} took effect again at {effect.at:.4f}"
        seen.add(effect.write)


def _not_sent(history: History) -> Iterable[str]:
    applied = {effect.write for effect in history.effects}
    for asked in history.asked.values():
        if asked.status in SENT_NOTHING and asked.write in applied and not asked.again:
            yield f"SENT ALL THE SAME: {asked.write} was answered {asked.status} and took effect"


def _false_refusals(history: History) -> Iterable[str]:
    changes: dict[str, list[tuple[float, State]]] = defaultdict(list)
    for effect in history.effects:
        changes[effect.resource].append((effect.at, effect.after))
    for asked in history.asked.values():
        if asked.status == 412:
            states = _during(history.first.get(asked.resource), changes[asked.resource], asked)
            if all(asked.holds_in(state) for state in states):
                yield (
                    f"FALSE 412: {asked.write} named {asked.named}, and that was current from "
                    f"{asked.began:.4f} to {asked.ended:.4f}"
                )


def _during(first: State, changes: Sequence[tuple[float, State]], asked: Asked) -> list[State]:
    """The states that a resource was in while a request was under way."""
    assert asked.ended is not None
    current, states = first, []
    for at, state in changes:
        if at < asked.began:
            current = state
        elif at <= asked.ended:
            states.append(state)
    return [current, *states]
