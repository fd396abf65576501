"""Who got into whose way: the last conflicts, each with the change before it and what its client did next.

It is told of writes, of refusals, and of those reads that follow a refusal, after their answers are sent. All
that it keeps is bounded, and nothing of it is content or a credential: a client is an address.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

MOST_CONFLICTS: Final = 500
MOST_CHANGES: Final = 5_000
MOST_STEPS: Final = 6

_READS = frozenset({"GET", "HEAD"})
_QUIET = frozenset({"passed", "not_modified"})
_REFUSED = frozenset({"refused", "reported"})
# RFC 9110 section 9.2.1: safe methods change nothing.
_SAFE = _READS | {"OPTIONS", "TRACE"}


@dataclass(slots=True)  # nobody changes one; frozen, each would take several times as long to make
class Told:
    """One request and its answer.

    Attributes:
        began, ended: seconds since the epoch.
        resource: its name in the store.
        client: the address that it came from.
        outcome, condition, reason: as in the trace.
        held: what the condition says, such as an entity tag; "" where there is none.
        tag: the answer's ETag, or "".
        unknown: nobody knows whether the write took effect.
    """

    began: float
    ended: float
    resource: str
    route: str
    method: str
    client: str
    request_id: str
    status: int
    outcome: str
    condition: str = ""
    reason: str = ""
    held: str = ""
    tag: str = ""
    unknown: bool = False

    @property
    def conflict(self) -> bool:
        """Whether somebody got into somebody's way: refused, or no turn in time."""
        return self.outcome in _REFUSED or (self.outcome == "failed" and self.reason == "busy")

    @property
    def change(self) -> bool:
        """Whether the resource may be another one since."""
        if self.method in _SAFE or self.outcome in {"refused", "replayed"}:
            return False
        return self.unknown or 200 <= self.status < 300


@dataclass(slots=True)
class Conflict:
    """A refusal, and what is known around it.

    Attributes:
        number: counts all conflicts of this process from 1.
        change: the last change before it that this process saw.
        steps: what the same address did next with the resource, the first few.
        over: whether its client got through, or was refused again.
    """

    number: int
    told: Told
    change: Told | None
    steps: list[Told] = field(default_factory=list)
    over: bool = False


class Conflicts:
    """The last conflicts of this process. Call it on the event loop only."""

    def __init__(self, *, most: int = MOST_CONFLICTS, changes: int = MOST_CHANGES) -> None:
        self.total = 0
        self._last: deque[Conflict] = deque(maxlen=most)
        self._most_changes = changes
        self._changes: OrderedDict[str, Told] = OrderedDict()
        self._open: dict[tuple[str, str], Conflict] = {}
        self._of: dict[str, deque[Conflict]] = {}

    def wants(self, method: str, outcome: str, resource: str, client: str) -> bool:
        """Whether `tell` would keep anything of such a request: what most of them pay for this page."""
        if method in _READS and outcome in _QUIET:
            return bool(self._open) and (resource, client) in self._open
        return resource != ""

    def tell(self, told: Told) -> None:
        """A request was answered."""
        resource, changes = told.resource, self._changes
        conflict = self._open.get((resource, told.client))
        if conflict is not None:
            self._follow(conflict, told)
        if told.outcome not in _QUIET and told.conflict:
            self._begin(told)
        if told.change:
            changes[resource] = told
            changes.move_to_end(resource)
            if len(changes) > self._most_changes:
                changes.popitem(last=False)
            if resource in self._of:
                self._explain(told)

    def unfinished(self) -> frozenset[tuple[str, str]]:
        """Resource and client of the refusals whose client may still come back."""
        return frozenset(self._open)

    def latest(self) -> list[Conflict]:
        """The conflicts, the latest first."""
        return list(reversed(self._last))

    def _begin(self, told: Told) -> None:
        if len(self._last) == self._last.maxlen:
            self._forget(self._last.popleft())
        self.total += 1
        conflict = Conflict(self.total, told, self._changes.get(told.resource))
        self._last.append(conflict)
        self._of.setdefault(told.resource, deque()).append(conflict)
        if told.outcome == "reported":
            conflict.over = True  # it was forwarded: there is nothing to try again
        else:
            self._open[told.resource, told.client] = conflict

    def _follow(self, conflict: Conflict, told: Told) -> None:
        """What the client of an earlier refusal does now."""
        if told.began < conflict.told.began or told.outcome == "replayed":
            return  # what comes again is a write from before the refusal
        if not conflict.steps or not _again(conflict.steps[-1], told):
            conflict.steps.append(told)
        if told.conflict or told.change or len(conflict.steps) == MOST_STEPS:
            conflict.over = True
            self._close(conflict)

    def _close(self, conflict: Conflict) -> None:
        place = (conflict.told.resource, conflict.told.client)
        if self._open.get(place) is conflict:
            del self._open[place]

    def _forget(self, oldest: Conflict) -> None:
        self._close(oldest)
        of_resource = self._of[oldest.told.resource]
        of_resource.popleft()
        if not of_resource:
            del self._of[oldest.told.resource]

    def _explain(self, told: Told) -> None:
        """A change is perhaps what refusals were about that were told of before it."""
        for conflict in reversed(self._of[told.resource]):
            if conflict.told.ended <= told.began:
                break
            if _lost_against(conflict.told, told):
                conflict.change = told


def _again(last: Told, told: Told) -> bool:
    """Whether a step only repeats the one before, as polling does."""
    return (last.method, last.status, last.tag) == (told.method, told.status, told.tag)


def _lost_against(refused: Told, change: Told) -> bool:
    """Whether a change that is told of only now is what the refusal was about.

    A refusal may be sent before the answer of the write that it lost against. Their tags say so.
    """
    return change.tag != "" and change.tag == refused.tag and change is not refused
