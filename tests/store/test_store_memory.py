"""What only the in-memory store has: a bound."""

from __future__ import annotations

import tracemalloc

from support.stores import observe, record, version

from proxy.rules.versions import UNKNOWN, Known
from proxy.store import Keepsake, Observed
from proxy.store.keepsakes import Keepsakes
from proxy.store.memory import MemoryStore
from proxy.store.mirror import Mirror

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


async def test_long_names_cost_no_more_than_short_ones() -> None:
    store, mirror = _store(1000), Mirror(60.0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(200):
            key = f"/{number}{'x' * 8000}"
            await record(store, key, A)
            mirror.put(key, "one", A, 0.0, alone=True)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200 * 2000
    assert await store.look(f"/7{'x' * 8000}") == Known((A,))
    assert await store.look(f"/7{'x' * 7999}") is UNKNOWN
    assert mirror.holds(f"/7{'x' * 8000}", "one", A, 1.0)
    assert not mirror.holds(f"/7{'x' * 7999}", "one", A, 1.0)
    mirror.drop(f"/7{'x' * 8000}")
    assert not mirror.holds(f"/7{'x' * 8000}", "one", A, 1.0)


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


def test_answers_that_are_kept_are_bounded() -> None:
    kept = Keepsakes(most=2000)
    for number in range(10):
        kept.keep(Keepsake(b"%d" % number, b"x" * 244, 60.0), 0.0)
    assert [number for number in range(10) if kept.recall(b"%d" % number, 1.0)] == [6, 7, 8, 9]
    kept.keep(Keepsake(b"9", b"y" * 744, 60.0), 1.0)
    assert [number for number in range(10) if kept.recall(b"%d" % number, 1.0)] == [7, 8, 9]
    kept.keep(Keepsake(b"large", b"x" * 3000, 60.0), 1.0)
    assert kept.recall(b"large", 1.0) is None


def test_answers_whose_time_is_over_are_forgotten() -> None:
    kept = Keepsakes()
    kept.keep(Keepsake(b"a", b"x", 1.0), 0.0)
    assert (kept.recall(b"a", 0.5), kept.recall(b"a", 1.0)) == (b"x", None)
    kept.keep(Keepsake(b"b", b"x", 1.0), 2.0)
    assert list(kept._kept) == [b"b"]
