"""The claims that one write holds, from the check until after the refresh (rules 1, 2, 4 and 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from types import TracebackType

from proxy.errors import LeaseLost, StoreError, StoreUnavailable
from proxy.gate.visit import House
from proxy.rules.versions import UNKNOWN, Recorded, Version
from proxy.store import UNSETTLED, Claim, Keepsake, Unsettled

_log = logging.getLogger("proxy.gate")


class Holding:
    """Claims taken together, renewed together, ended together.

    `take` them, then use it as an async context manager: whatever is still held at its end is let go. Before
    the write was sent the recorded versions are put back; after that nobody knows, and the leases run out.

    Args:
        house: the store, the clock and the lease.
        exclusive: keys to claim, the written resource first. They are taken in sorted order, so that two
            writes never wait for each other.
        shared: keys of resources that change too, or of a write that takes no claim.
    """

    def __init__(self, house: House, exclusive: Iterable[str], shared: Iterable[str]) -> None:
        self._house = house
        self._exclusive = tuple(dict.fromkeys(exclusive))
        self._shared = tuple(key for key in dict.fromkeys(shared) if key not in self._exclusive)
        self._claims: dict[str, Claim] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.sent = False
        self.waited = 0.0

    async def take(self) -> None:
        """Takes the claims.

        Raises:
            ClaimBusy, StoreUnavailable: none is held.
        """
        started = self._house.clock()
        try:
            for key in sorted(self._exclusive):
                self._claims[key] = await self._house.store.claim(key)
                self._house.held += 1
            for key in self._shared:
                self._claims[key] = await self._house.store.claim(key, shared=True)
                self._house.held += 1
        except BaseException:
            await self._let_go()
            raise
        self.waited = self._house.clock() - started

    async def __aenter__(self) -> Holding:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._let_go()

    @property
    def recorded(self) -> Recorded:
        """What the store knew of the written resource."""
        return self._claims[self._exclusive[0]].recorded if self._exclusive else UNKNOWN

    @property
    def overlapped(self) -> bool:
        """Whether another write held the written resource when this one asked for it."""
        return bool(self._exclusive) and self._claims[self._exclusive[0]].waited

    @property
    def erased(self) -> tuple[Version, ...]:
        """Versions of the written resource that others had erased; see `aftermath.marked`."""
        return self._claims[self._exclusive[0]].erased if self._exclusive else ()

    @property
    def fence(self) -> int:
        """Grows with every claim of the written resource: a backend that checks it can refuse a late one."""
        return self._claims[(*self._exclusive, *self._shared)[0]].fence

    async def send_now(self) -> None:
        """Says that the write is about to be sent: the leases must cover the backend's longest work (rule 4).

        Raises:
            StoreUnavailable: a lease is over, or cannot be renewed; nothing may be sent.
        """
        house = self._house
        try:
            for claim in self._claims.values():
                # As much as is left when a renewal is due: a crash leaves the backend so much at any time.
                if claim.deadline - house.clock() < (house.lease + house.work) / 2:
                    await house.store.renew(claim)
        except LeaseLost:
            house.journal.lease_lost()
            raise _too_late() from None
        self.permit()  # the store may have been slow, or this process stopped
        self.sent = True
        self._arm()

    def permit(self) -> None:
        """Asked before every piece of the write goes out: whether the leases cover what follows (rule 4).

        Raises:
            StoreUnavailable: they do not. What was sent so far is an incomplete message.
        """
        now = self._house.clock()
        for claim in self._claims.values():
            if claim.deadline - now < self._house.work:
                raise _too_late()

    async def settle(self, outcomes: dict[str, Recorded], keepsake: Keepsake | None = None) -> bool:
        """Ends the claims: each resource's version as given, unknown where none is given.

        Args:
            keepsake: kept with the end of the written resource's claim.

        Returns:
            whether all of them were still ours.
        """
        self._disarm()
        ours = True
        while self._claims:
            key, claim = self._claims.popitem()
            own = keepsake if key in self._exclusive[:1] else None
            ours &= await self._release(claim, outcomes.get(key, UNKNOWN), own)
        return ours

    async def restore(self, outcomes: dict[str, Recorded]) -> None:
        """Ends the claims of a write that was not carried out: what was recorded stays, but as given."""
        kept = {key: claim.recorded for key, claim in self._claims.items()}
        # What was found to be just what was recorded is put back as the very object: the store then knows
        # that nothing changed (RFC 9110 section 8.8.2.2).
        changed = {key: found for key, found in outcomes.items() if kept.get(key) != found}
        await self.settle(kept | changed)

    async def leave(self) -> None:
        """Nobody knows the outcome: the leases start once more and run out (rule 5)."""
        self._disarm()
        while self._claims:
            _, claim = self._claims.popitem()
            await self._release(claim, UNSETTLED)

    async def _let_go(self) -> None:
        if self.sent:
            await self.leave()
        else:
            await self.restore({})

    async def _release(
        self, claim: Claim, outcome: Recorded | Unsettled, keepsake: Keepsake | None = None
    ) -> bool:
        """Ends one claim; returns whether it is known to have been ours until now."""
        self._house.held -= 1
        try:
            if await self._house.store.release(claim, outcome, keepsake):
                return True
            self._house.journal.lease_lost()
            _log.warning("a claim was no longer ours when its write ended; its version stays unknown")
        except StoreError as fault:
            # The claim runs out by itself, and its version is unknown since it was taken (rule 2).
            _log.warning("a claim could not be released and is left to run out: %s", fault)
        return False

    def _arm(self) -> None:
        """Renews so often that, if this process dies, the lease still covers the backend's work (rule 5)."""
        interval = max((self._house.lease - self._house.work) / 2, 0.01)
        self._timer = asyncio.get_running_loop().call_later(interval, self._renew_later)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    def _renew_later(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
        self._arm()

    async def _renew(self) -> None:
        for claim in list(self._claims.values()):
            try:
                await self._house.store.renew(claim)
            except LeaseLost:
                claim.deadline = float("-inf")  # nothing more of the write goes out: `permit`
            except StoreError as fault:
                _log.warning("a claim could not be renewed: %s", fault)


def _too_late() -> StoreUnavailable:
    return StoreUnavailable("the claim ran out before the write could be sent")
