"""The version store: one small door, two implementations (`memory`, `redis`), one contract suite.

The rules that every implementation keeps are the seven of `docs/consistency.md`; `tests/store/` holds them.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from proxy.rules.versions import UNKNOWN, Absent, Recorded, Version


class Observed(enum.Enum):
    """What became of an observation."""

    RECORDED = "recorded"  # nothing was known, now it is
    SAME = "same"  # the store knew just that
    CHANGED = "changed"  # the store knew another version: a change that no write through the proxy explains
    REFUSED = "refused"  # a write began, ran or ended since the stamp (rule 3)
    LOST = "lost"  # the store is out of reach; nothing was recorded


class Unsettled(enum.Enum):
    """The outcome of a write that nobody knows (rule 5)."""

    UNSETTLED = "unsettled"


UNSETTLED: Final = Unsettled.UNSETTLED


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment on the store's clock, taken before a GET goes upstream. Means nothing to another incarnation.

    Attributes:
        time: the store's own clock; only ever compared inside the store.
        incarnation: which life of the store the time belongs to.
    """

    time: int
    incarnation: str


@dataclass(slots=True, eq=False)
class Claim:
    """A resource held for one write.

    Attributes:
        key: the resource's key.
        token: proves ownership to the store; never shown.
        recorded: what the store knew and handed over; from now on the store says "unknown" (rule 2).
        deadline: seconds on the event loop's clock (`loop.time()`) when our lease is surely over, counted
            from before the claim or its last renewal was asked for (rule 4).
        shared: a write that takes no exclusive claim (a POST without conditions): it excludes nobody, but
            while it lasts nothing is recorded and every exclusive claimant is handed UNKNOWN.
        incarnation: the life of the store that granted it.
        erased: dated versions that other writes had erased before, which no version has taken the place of.
        fence: grows with every claim of the resource; a backend that remembers the highest can refuse a write
            that comes too late.
        waited: somebody else held it when it was asked for.
    """

    key: str
    token: str
    recorded: Recorded = UNKNOWN
    deadline: float = 0.0
    shared: bool = False
    incarnation: str = field(default="", repr=False)
    erased: tuple[Version, ...] = ()
    fence: int = 0
    waited: bool = False


class Pending(enum.Enum):
    """An answer that may be remembered soon: the resource's claim is held."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING


@dataclass(frozen=True, slots=True)
class Keepsake:
    """The answer to a write, kept for when the very same write is sent again.

    Attributes:
        name: stands for the write; tells nothing about it.
        words: the answer; means nothing to the store.
        seconds: for how long.
    """

    name: bytes
    words: bytes
    seconds: float


INSIDE: Final = "i"
WHOLE: Final = "w"
"""How the tokens of claims on a collection begin: of a write inside, and of a write of all of it."""

Seen = Callable[[Observed], None]


class Store(Protocol):
    """What the gate asks of a store. Every method but the two plain ones may raise `StoreUnavailable`."""

    def stamp(self, key: str) -> Stamp | None:
        """The latest moment of the store's clock that this process knows; costs no I/O.

        None while the store's present incarnation is unknown: a read is then forwarded but not recorded.
        """

    def observe(self, key: str, stamp: Stamp, version: Version | Absent, seen: Seen) -> None:
        """Records, beside the response, what a GET showed, unless a write came in between (rule 3).

        Returns at once; `seen` is called once with what became of it. Never raises.
        """

    async def look(self, key: str) -> Recorded:
        """What is known at this moment, without a claim: for early refusals only, never to pass a write."""

    async def claim(self, key: str, *, shared: bool = False, tree: bool = False) -> Claim:
        """Takes the claim, waiting at most `store.wait` for others (rules 1 and 2). A shared one never waits.

        Args:
            tree: of a collection with all that is in it. An exclusive claim then waits for shared ones of
                this kind, each of which is a write inside, and those wait for it, and for nobody else.

        Raises:
            ClaimBusy: another writer held it all the while.
        """

    async def renew(self, claim: Claim) -> None:
        """Starts the lease anew and moves `claim.deadline` (rule 4).

        Raises:
            LeaseLost: it is no longer ours.
        """

    def release(
        self, claim: Claim, outcome: Recorded | Unsettled, keepsake: Keepsake | None = None
    ) -> asyncio.Future[bool]:
        """Ends the claim: commits the new version, puts the old one back, or leaves it unknown.

        It is on its way when this returns, before whatever this process asks next; to wait for it is to know,
        and so is to have oneself called back.

        With UNSETTLED the claim is not ended but its lease started once more and left to run out (rule 5).

        Args:
            keepsake: kept in the same step, so that whoever gets the claim next finds it; only where the
                claim was still ours.

        Returns:
            False where the claim was no longer ours, and so nothing was recorded.
        """

    async def recall(self, key: str, name: bytes) -> bytes | Pending | None:
        """The words that were kept under this name when a claim of the resource was released.

        Returns:
            PENDING where there are none and the claim is held, by whomever: there may be some soon.
        """

    async def forget(self, key: str) -> None:
        """Makes the version unknown, as after a write, for a resource that a write elsewhere changed."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the admin port shows.

    Attributes:
        ready: whether guarded writes can be served now.
        detail: one plain sentence.
        warnings: configuration of the store that weakens the promise, e.g. an evicting maxmemory-policy.
    """

    ready: bool
    detail: str
    warnings: tuple[str, ...] = ()


class Service(Protocol):
    """The life of a store, for `app` and `admin`."""

    async def open(self) -> None:
        """Starts background work. Does not fail where the store is out of reach: it says so in `health`."""

    async def close(self) -> None:
        """Ends background work and connections."""

    async def health(self) -> Health:
        """Asks the store now, within a second."""


class Meter(Protocol):
    """Where a store says what its calls cost. `proxy.metrics` has the real one."""

    def store_call(self, operation: str, seconds: float, *, ok: bool) -> None:
        """One call of the store: operation is a name of this Protocol's methods."""
