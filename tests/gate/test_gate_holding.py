"""Rule 4 in the small: whether a write may be sent, by a clock that the test has in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.errors import LeaseLost, StoreUnavailable
from proxy.gate.holding import Holding, Renewals
from proxy.rules.versions import UNKNOWN
from proxy.store import UNSETTLED, Claim

WORK, LEASE = 10.0, 20.0


class Store:
    """Grants at once; renewing takes as long as the test says."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slow = 0.0
        self.lost = False
        self.renewed = 0
        self.released: list[Any] = []

    async def claim(self, key: str, *, shared: bool = False, tree: bool = False) -> Claim:  # noqa: ARG002
        return Claim(key, "token", UNKNOWN, self.time + LEASE, shared)

    async def renew(self, claim: Claim) -> None:
        began = self.time
        self.time += self.slow
        self.renewed += 1
        if self.lost:
            raise LeaseLost("gone")
        claim.deadline = began + LEASE

    def release(self, claim: Claim, outcome: Any, keepsake: Any = None) -> asyncio.Future[bool]:  # noqa: ARG002
        self.released.append(outcome)
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        ended.set_result(True)
        return ended


@asynccontextmanager
async def held(store: Store) -> AsyncIterator[Holding]:
    journal = SimpleNamespace(lease_lost=lambda: None)
    house = SimpleNamespace(
        store=store,
        clock=lambda: store.time,
        work=WORK,
        lease=LEASE,
        journal=journal,
        held=0,
        endings=set(),
        renewals=Renewals(lambda: store.time, LEASE, WORK),
    )
    holding = Holding(house, ["/a"], ())  # type: ignore[arg-type]
    await holding.take()
    try:
        yield holding
    finally:
        await holding.let_go()
        await asyncio.gather(*house.endings)


@pytest.mark.parametrize(
    ("later", "slow", "renewed", "sent"),
    [
        pytest.param(0.0, 0.0, 0, True, id="at once"),
        pytest.param(5.0, 0.0, 0, True, id="as much is left as a renewal leaves"),
        pytest.param(5.1, 0.0, 1, True, id="renewed first"),
        pytest.param(30.0, 0.0, 1, True, id="the lease is over, and nobody has taken it"),
        pytest.param(9.0, 9.9, 1, True, id="a slow renewal that leaves enough"),
        pytest.param(9.0, 10.1, 1, False, id="a renewal so slow that too little is left"),
    ],
)
async def test_the_clock_is_looked_at_after_the_last_renewal_too(
    later: float, slow: float, renewed: int, sent: bool
) -> None:
    store = Store()
    async with held(store) as holding:
        store.time, store.slow = later, slow
        if sent:
            await holding.send_now()
        else:
            with pytest.raises(StoreUnavailable):
                await holding.send_now()
        assert (store.renewed, holding.sent) == (renewed, sent)
    # A write that was not sent puts back what was recorded; of one that was sent nobody knows.
    assert store.released == [UNSETTLED if sent else UNKNOWN]


async def test_a_claim_that_is_lost_sends_nothing() -> None:
    store = Store()
    async with held(store) as holding:
        store.time, store.lost = 9.0, True
        with pytest.raises(StoreUnavailable):
            await holding.send_now()
        assert not holding.sent


async def test_no_piece_goes_out_once_the_lease_covers_the_work_no_more() -> None:
    store = Store()
    async with held(store) as holding:
        await holding.send_now()
        store.time = LEASE - WORK
        holding.permit()
        store.time += 0.1
        with pytest.raises(StoreUnavailable):
            holding.permit()
