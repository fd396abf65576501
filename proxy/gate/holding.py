"""The claims that one write holds, from the check until after the refresh (rules 1, 2, 4 and 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.errors import LeaseLost, StoreError, StoreUnavailable
from proxy.rules.versions import UNKNOWN, Recorded, Version
from proxy.store import UNSETTLED, Claim, Keepsake, Unsettled

if TYPE_CHECKING:
    from proxy.gate.visit import House

_log = logging.getLogger("proxy.gate")


class Holding:
    """Claims taken together, renewed together, ended together.

    `take` them, and whatever happens then, `let_go` of what is still held at the end.

    Args:
        house: the store, the clock and the lease.
        exclusive: keys to claim, the written resource first. They are taken in sorted order, so that two
            writes never wait for each other.
        shared: keys of resources that change too, or of a write that takes no claim.
        inside: keys of the collections that the written resources are in.
        whole: whether the written resources are collections that are written with all that is in them.

    Attributes:
        claims: those that are still held, by their keys.
        sent: whether the write was sent, as far as is known here.
        waited: seconds that taking the claims took.
    """

    def __init__(
        self,
        house: House,
        exclusive: Sequence[str],
        shared: Sequence[str],
        inside: Sequence[str] = (),
        *,
        whole: bool = False,
    ) -> None:
        self._house = house
        self._exclusive = tuple(dict.fromkeys(exclusive)) if len(exclusive) > 1 else tuple(exclusive)
        self._inside = tuple(key for key in inside if key not in exclusive) if inside else ()
        held = (*exclusive, *self._inside) if inside else exclusive
        self._shared = tuple(key for key in dict.fromkeys(shared) if key not in held) if shared else ()
        self._whole = whole
        self.claims: dict[str, Claim] = {}
        self._renewal: asyncio.Task[None] | None = None
        self.sent = False
        self.waited = 0.0

    async def take(self) -> None:
        """Takes the claims.

        Raises:
            ClaimBusy, StoreUnavailable: none is held.
        """
        house = self._house
        started = house.clock()
        try:
            # All that wait for others in one order: nobody waits for somebody who waits for him.
            for key in sorted((*self._exclusive, *self._inside)):
                inside = key in self._inside
                if inside or self._whole:
                    self.claims[key] = await house.store.claim(key, shared=inside, tree=True)
                else:
                    self.claims[key] = await house.store.claim(key)
                house.held += 1
            for key in self._shared:
                self.claims[key] = await house.store.claim(key, shared=True)
                house.held += 1
        except BaseException:
            await self.let_go()
            raise
        self.waited = house.clock() - started

    @property
    def recorded(self) -> Recorded:
        """What the store knew of the written resource."""
        return self.claims[self._exclusive[0]].recorded if self._exclusive else UNKNOWN

    @property
    def overlapped(self) -> bool:
        """Whether another write held the written resource when this one asked for it."""
        return bool(self._exclusive) and self.claims[self._exclusive[0]].waited

    @property
    def erased(self) -> tuple[Version, ...]:
        """Versions of the written resource that others had erased; see `aftermath.marked`."""
        return self.claims[self._exclusive[0]].erased if self._exclusive else ()

    @property
    def fence(self) -> int:
        """Grows with every claim of the written resource: a backend that checks it can refuse a late one."""
        return self.claims[(*self._exclusive, *self._shared)[0]].fence

    async def send_now(self) -> None:
        """Says that the write is about to be sent: the leases must cover the backend's longest work (rule 4).

        Raises:
            StoreUnavailable: a lease is over, or cannot be renewed; nothing may be sent.
        """
        house = self._house
        # As much as is left when a renewal is due: a crash leaves the backend so much at any time.
        enough = (house.lease + house.work) / 2
        renewed = False
        for claim in self.claims.values():
            if claim.deadline - house.clock() < enough:
                await self._renew_now(claim)
                renewed = True
        if renewed:
            self.permit()  # the store may have been slow, or this process stopped
        self.sent = True
        house.renewals.watch(self)

    async def _renew_now(self, claim: Claim) -> None:
        try:
            await self._house.store.renew(claim)
        except LeaseLost:
            self._house.journal.lease_lost()
            raise _too_late() from None

    def permit(self) -> None:
        """Asked before every piece of the write goes out: whether the leases cover what follows (rule 4).

        Raises:
            StoreUnavailable: they do not. What was sent so far is an incomplete message.
        """
        now = self._house.clock()
        for claim in self.claims.values():
            if claim.deadline - now < self._house.work:
                raise _too_late()

    async def settle(self, outcomes: Mapping[str, Recorded], keepsake: Keepsake | None = None) -> bool:
        """Ends the claims, and waits until the store has said so.

        Args:
            outcomes: each resource's version; unknown where none is given.
            keepsake: kept with the end of the written resource's claim.

        Returns:
            whether all of them were still ours.
        """
        ours = True
        for ending in self.end(outcomes, keepsake):
            try:
                ours &= await ending
            except StoreError:
                ours = False
        return ours

    def end(
        self, outcomes: Mapping[str, Recorded], keepsake: Keepsake | None = None
    ) -> list[asyncio.Future[bool]]:
        """Ends the claims as `settle` does, beside what comes next: the answer need not wait for it.

        What this process asks of the store afterwards is answered after it. Another one may find the claim
        still held for a moment, and then waits for it.
        """
        self._disarm()
        endings = []
        while self.claims:
            key, claim = self.claims.popitem()
            own = keepsake if keepsake is not None and key == self._exclusive[0] else None
            endings.append(self._end(claim, outcomes.get(key, UNKNOWN), own))
        return endings

    def restore(self, outcomes: Mapping[str, Recorded]) -> None:
        """Ends the claims of a write that was not carried out: what was recorded stays, but as given."""
        kept: dict[str, Recorded] = {key: claim.recorded for key, claim in self.claims.items()}
        # What was found to be just what was recorded is put back as the very object: the store then knows
        # that nothing changed (RFC 9110 section 8.8.2.2).
        changed = {key: found for key, found in outcomes.items() if kept.get(key) != found}
        self.end(kept | changed)

    async def leave(self) -> None:
        """Nobody knows the outcome: the leases start once more and run out (rule 5)."""
        self._disarm()
        while self.claims:
            _, claim = self.claims.popitem()
            with suppress(StoreError):  # told by `_ended`
                await self._end(claim, UNSETTLED, None)

    async def let_go(self) -> None:
        """Lets go of whatever is still held.

        Before the write was sent the recorded versions are put back; after that nobody knows.
        """
        if not self.claims:
            return
        if self.sent:
            await self.leave()
        else:
            self.restore({})

    async def renew(self) -> None:
        """Starts all leases anew (rule 5)."""
        for claim in list(self.claims.values()):
            try:
                await self._house.store.renew(claim)
            except LeaseLost:
                claim.deadline = float("-inf")  # nothing more of the write goes out: `permit`
            except StoreError as fault:
                _log.warning("a claim could not be renewed: %s", fault)

    def renew_soon(self) -> None:
        """Starts renewing, if that is not under way."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self.renew())

    def _end(
        self, claim: Claim, outcome: Recorded | Unsettled, keepsake: Keepsake | None
    ) -> asyncio.Future[bool]:
        house = self._house
        house.held -= 1
        ending = house.store.release(claim, outcome, keepsake)
        house.endings.add(ending)
        ending.add_done_callback(self._ended)
        return ending

    def _ended(self, ending: asyncio.Future[bool]) -> None:
        self._house.endings.discard(ending)
        if ending.cancelled():
            return
        fault = ending.exception()
        if fault is not None:
            # The claim runs out by itself, and its version is unknown since it was taken (rule 2).
            _log.warning("a claim could not be released and is left to run out: %s", fault)
        elif not ending.result():
            self._house.journal.lease_lost()
            _log.warning("a claim was no longer ours when its write ended; its version stays unknown")

    def _disarm(self) -> None:
        if self.sent:
            self._house.renewals.forget(self)
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None


class Renewals:
    """Renews the claims of the writes that are under way: one timer for all of them.

    A write is looked at four times in the time after which it must be renewed, so that, if this process dies,
    its lease still covers the backend's work (rule 5).

    Args:
        clock: monotonic seconds.
        lease, work: seconds; see `House`.
    """

    def __init__(self, clock: Callable[[], float], lease: float, work: float) -> None:
        self._clock = clock
        self._step = max((lease - work) / 8, 0.0025)
        self._watched: dict[Holding, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, holding: Holding) -> None:
        """Renews the holding's claims in time, from now on."""
        self._watched[holding] = self._clock()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._step, self._look)

    def forget(self, holding: Holding) -> None:
        """Does so no more."""
        self._watched.pop(holding, None)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        for holding, since in list(self._watched.items()):
            if now - since >= 3 * self._step:
                self._watched[holding] = now
                holding.renew_soon()
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(self._step, self._look)


def _too_late() -> StoreUnavailable:
    return StoreUnavailable("the claim ran out before the write could be sent")
