"""What only the in-memory store has: a bound."""

from __future__ import annotations

from support.stores import observe, record, version

from proxy.rules.versions import UNKNOWN, Known
from proxy.store import Observed
from proxy.store.memory import MemoryStore

A, B = version("a"), version("b")


def _store(capacity: int) -> MemoryStore:
    return MemoryStore(lease=5.0, wait=0.05, capacity=capacity)


async def test_the_resource_not_used_for_longest_is_forgotten() -> None:
    store = _store(2)
    for key in ("one", "two", "one", "three"):
        await record(store, key, A)
    assert await store.look("one") == Known((A,))
    assert await store.look("two") is UNKNOWN
    assert await store.look("three") == Known((A,))


async def test_forgetting_a_resource_does_not_forget_its_last_change() -> None:
    """Rule 3: a GET that began before the write must stay refused, though the entry is gone."""
    store = _store(1)
    stamp = store.stamp("one")
    assert stamp is not None
    await store.release(await store.claim("one"), UNKNOWN)
    await record(store, "two", A)
    assert await observe(store, "one", stamp, B) is Observed.REFUSED
    assert await record(store, "one", B) is Observed.RECORDED


async def test_a_held_claim_is_never_forgotten() -> None:
    store = _store(1)
    held = [await store.claim("one"), await store.claim("two"), await store.claim("three", shared=True)]
    await record(store, "four", A)
    for claim in held:
        assert await store.release(claim, Known((B,)))
    await record(store, "five", A)
    await record(store, "six", A)
    assert await store.look("five") is UNKNOWN
    assert (await store.health()).ready
