"""Short ways to use a store in a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from proxy.errors import ClaimBusy, StoreUnavailable
from proxy.rules.etags import EntityTag
from proxy.rules.versions import UNKNOWN, Absent, Known, Version
from proxy.store import Observed, Service, Stamp, Store
from proxy.store.redis import RedisStore

Opener = Callable[..., Any]
"""Makes one more store of the kind under test; its settings by keyword."""


class AnyStore(Store, Service, Protocol):
    """Both halves of a store."""


def version(
    tag: str, modified: int | None = None, variant: str = "", *, shared_second: bool = False
) -> Version:
    """A short way to write a version."""
    return Version(EntityTag(tag), modified, True, None, shared_second, variant)


def known(*tags: str) -> Known:
    """A resource with these current representations; the first is the one that does not vary."""
    return Known(tuple(version(tag) for tag in tags))


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Waits for a condition, without which the test fails."""
    give_up = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < give_up, "the condition never came true"
        await asyncio.sleep(0.005)
    return value


async def fresh_stamp(store: Store, key: str) -> Stamp:
    """A stamp later than everything that happened before this call."""
    first = store.stamp(key)

    def newer() -> Stamp | None:
        stamp = store.stamp(key)
        return stamp if stamp and (first is None or stamp.time > first.time) else None

    stamp = await until(newer)
    assert isinstance(stamp, Stamp)
    return stamp


async def observe(store: Store, key: str, stamp: Stamp, seen: Version | Absent) -> Observed:
    """Observes, and waits for what became of it."""
    result: asyncio.Future[Observed] = asyncio.get_running_loop().create_future()
    store.observe(key, stamp, seen, result.set_result)
    return await asyncio.wait_for(result, 5)


async def record(store: Store, key: str, *seen: Version | Absent) -> Observed:
    """Observes now, one after the other; the last one's result."""
    result = Observed.LOST
    for one in seen:
        result = await observe(store, key, await fresh_stamp(store, key), one)
    return result


@asynccontextmanager
async def opened(store: RedisStore) -> AsyncIterator[RedisStore]:
    """A store that is closed at the end."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def when_ready(store: RedisStore, seconds: float = 3.0) -> None:
    """Waits until the store says that it is ready."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not (await store.health()).ready:
        assert loop.time() < give_up, await store.health()
        await asyncio.sleep(0.005)


async def when_refused(
    store: RedisStore, words: str, key: str = "/notes/1", seconds: float = 3.0
) -> StoreUnavailable:
    """Waits until a claim is refused for a reason with these words in it."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while True:
        try:
            await store.release(await store.claim(key), UNKNOWN)
            reason = "none"
        except StoreUnavailable as refused:
            if words in refused.reason:
                return refused
            reason = refused.reason
        except ClaimBusy as busy:
            reason = str(busy)
        assert loop.time() < give_up, reason
        await asyncio.sleep(0.002)
