"""The store of a single process: the same rules as on Redis, with a counter for a clock."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import ClaimBusy, LeaseLost
from proxy.rules.versions import UNKNOWN, Absent, Recorded, Version
from proxy.store import (
    INSIDE,
    PENDING,
    UNSETTLED,
    WHOLE,
    Claim,
    Health,
    Keepsake,
    Meter,
    Observed,
    Pending,
    Seen,
    Stamp,
    Unsettled,
)
from proxy.store.keepsakes import Keepsakes
from proxy.store.merging import Erased, committed, erased, observed
from proxy.store.metering import Timed
from proxy.store.names import short
from proxy.store.turns import Turn, Turns

_INCARNATION: Final = "memory"
_PAUSE: Final = 0.01  # seconds between two looks at a collection that is busy


@dataclass(slots=True)
class _Entry:
    """One resource. Times are the store's counter; lease ends are seconds on the event loop's clock."""

    recorded: Recorded = UNKNOWN
    erased: Erased = ()
    changed: int = 0
    owner: str | None = None
    lease_end: float = 0.0
    dirty: bool = False
    shared: dict[str, float] = field(default_factory=dict)


class MemoryStore:
    """Versions and claims in this process's memory.

    Args:
        lease: seconds for which a claim lasts unless it is renewed.
        wait: seconds that `claim` waits for others.
        capacity: most resources remembered; those not used for longest are forgotten first.
        meter: told of every call.
    """

    def __init__(
        self, *, lease: float, wait: float, capacity: int = 100_000, meter: Meter | None = None
    ) -> None:
        self._lease = lease
        self._wait = wait
        self._capacity = capacity
        self._meter = meter
        self._entries: OrderedDict[str | bytes, _Entry] = OrderedDict()
        self._clock = 1
        self._floor = 0
        self._fence = 0
        self._tokens = itertools.count(1)
        self._turns = Turns()
        self._held: dict[str, Turn] = {}
        self._keepsakes = Keepsakes()

    # The life of the store.

    async def open(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    async def health(self) -> Health:
        return Health(True, "The versions are in this process's memory.")

    # The door.

    def stamp(self, key: str) -> Stamp | None:  # noqa: ARG002
        return Stamp(self._now(), _INCARNATION)

    def observe(self, key: str, stamp: Stamp, version: Version | Absent, seen: Seen) -> None:
        with self._timed("observe"):
            result = self._observe(key, stamp, version)
        seen(result)

    async def look(self, key: str) -> Recorded:
        with self._timed("look"):
            entry = self._entries.get(short(key))
            return UNKNOWN if entry is None else entry.recorded

    async def claim(self, key: str, *, shared: bool = False, tree: bool = False) -> Claim:
        with self._timed("claim"):
            if not shared:
                return await self._claim(key, WHOLE if tree else "")
            if tree:
                await self._wait_for(key, self._is_written_whole, self._time() + self._wait)
            return self._claim_shared(key, INSIDE if tree else "")

    async def renew(self, claim: Claim) -> None:
        with self._timed("renew"):
            self._renew(claim)

    def release(
        self, claim: Claim, outcome: Recorded | Unsettled, keepsake: Keepsake | None = None
    ) -> asyncio.Future[bool]:
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with self._timed("release"):
            if outcome is UNSETTLED:
                ended.set_result(self._leave(claim))
                return ended
            released = self._release(claim, outcome)
            if released and keepsake is not None:
                self._keepsakes.keep(keepsake, self._time())
            if turn := self._held.pop(claim.token, None):
                turn.end()
            ended.set_result(released)
        return ended

    async def recall(self, key: str, name: bytes) -> bytes | Pending | None:
        with self._timed("recall"):
            words = self._keepsakes.recall(name, self._time())
            if words is not None:
                return words
            entry = self._entries.get(short(key))
            return PENDING if entry is not None and entry.owner else None

    async def forget(self, key: str) -> None:
        with self._timed("forget"):
            self._forget(self._entry(key))

    # One step each: no await, so nothing comes in between.

    def _observe(self, key: str, stamp: Stamp, version: Version | Absent) -> Observed:
        entry = self._entry(key)
        if entry.owner or entry.shared or stamp.incarnation != _INCARNATION or stamp.time <= entry.changed:
            return Observed.REFUSED
        entry.recorded, entry.erased, result = observed(entry.recorded, entry.erased, version)
        return result

    async def _claim(self, key: str, kind: str) -> Claim:
        until = self._time() + self._wait
        turn = self._turns.begin(key)
        if waited := turn is None:
            turn = await self._turns.wait(key, until)
        if kind:
            try:
                await self._wait_for(key, self._is_written_inside, until)
            except BaseException:
                turn.end()
                raise
        entry = self._entry(key)
        # Ours is the only process: whoever has the turn finds no living owner.
        claim = self._new_claim(key, entry.recorded, kind)
        claim.waited = waited
        claim.erased = entry.erased
        self._erase(entry)
        entry.owner, entry.lease_end, entry.dirty = claim.token, claim.deadline, False
        turn.hold(claim.deadline)
        self._held[claim.token] = turn
        return claim

    async def _wait_for(self, key: str, busy: Callable[[_Entry], bool], until: float) -> None:
        """Waits until a collection is free, as the store on Redis does: by looking again and again."""
        while busy(self._entry(key)):
            if self._time() >= until:
                raise ClaimBusy(self._lease)
            await asyncio.sleep(_PAUSE)

    @staticmethod
    def _is_written_whole(entry: _Entry) -> bool:
        return entry.owner is not None and entry.owner.startswith(WHOLE)

    @staticmethod
    def _is_written_inside(entry: _Entry) -> bool:
        return any(token.startswith(INSIDE) for token in entry.shared)

    def _claim_shared(self, key: str, kind: str) -> Claim:
        entry = self._entry(key)
        claim = self._new_claim(key, UNKNOWN, kind, shared=True)
        self._forget(entry)
        entry.shared[claim.token] = claim.deadline
        return claim

    def _renew(self, claim: Claim) -> None:
        entry = self._entry(claim.key)
        deadline = self._time() + self._lease
        if entry.owner == claim.token:
            entry.lease_end = deadline
        elif claim.token in entry.shared:
            entry.shared[claim.token] = deadline
        else:
            raise LeaseLost("the claim's lease ran out")
        claim.deadline = deadline
        if turn := self._held.get(claim.token):
            turn.hold(deadline)

    def _leave(self, claim: Claim) -> bool:
        try:
            self._renew(claim)
        except LeaseLost:
            return False
        finally:
            if turn := self._held.pop(claim.token, None):
                turn.leave()
        return True

    def _release(self, claim: Claim, outcome: Recorded) -> bool:
        entry = self._entry(claim.key)
        if entry.owner != claim.token:
            ours = entry.shared.pop(claim.token, None) is not None
            # Its write may have taken effect at any moment until now.
            self._forget(entry)
            return ours
        entry.owner = None
        entry.changed = self._now()
        if not entry.dirty and not entry.shared:
            kept = outcome is claim.recorded
            entry.recorded, entry.erased = committed(outcome, entry.erased, kept=kept)
        return True

    @staticmethod
    def _erase(entry: _Entry) -> None:
        entry.erased = erased(entry.recorded, entry.erased)
        entry.recorded = UNKNOWN

    def _forget(self, entry: _Entry) -> None:
        self._erase(entry)
        entry.changed = self._now()
        entry.dirty = True

    # Entries and time.

    def _new_claim(self, key: str, recorded: Recorded, kind: str, *, shared: bool = False) -> Claim:
        token = kind + str(next(self._tokens))
        # The time of day: it goes on growing when this process is started anew.
        self._fence = max(time.time_ns() // 1000, self._fence + 1)
        deadline = self._time() + self._lease
        return Claim(key, token, recorded, deadline, shared, _INCARNATION, fence=self._fence)

    def _entry(self, key: str) -> _Entry:
        name = short(key)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(changed=self._floor)
            self._evict()
        self._entries.move_to_end(name)
        self._expire(entry)
        return entry

    def _expire(self, entry: _Entry) -> None:
        """A claim whose lease ran out may have written until now (rule 5)."""
        time = self._time()
        if entry.owner and entry.lease_end <= time:
            entry.owner, entry.changed = None, self._now()
        for token in [token for token, lease_end in entry.shared.items() if lease_end <= time]:
            del entry.shared[token]
            entry.changed, entry.dirty = self._now(), True

    def _evict(self) -> None:
        """Forgets the least used, but never its last change: that raises the floor (rule 3)."""
        for _ in range(len(self._entries) - self._capacity):
            name, entry = self._entries.popitem(last=False)
            self._expire(entry)
            if entry.owner or entry.shared:
                self._entries[name] = entry
            else:
                self._floor = max(self._floor, entry.changed)

    def _now(self) -> int:
        """A new moment, later than every other one given out."""
        self._clock += 1
        return self._clock

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()

    def _timed(self, operation: str) -> Timed:
        return Timed(self._meter, operation)
