"""Redis gone, slow, full, read-only, emptied or restarted: what the store does, and how it recovers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import pytest
from support.redis_server import RedisServer, free_port
from support.stores import fresh_stamp, observe, opened, record, until, version, when_ready, when_refused

from proxy.errors import LeaseLost, StoreUnavailable
from proxy.rules.versions import ABSENT, UNKNOWN, Known
from proxy.store import UNSETTLED, Observed, Stamp
from proxy.store.redis import RedisStore

A, B = version("a"), version("b")
KEY = "/notes/1"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that the test may break."""
    with RedisServer() as own:
        yield own


def process(
    server: RedisServer, *, lease: float = 0.3, wait: float = 0.2, timeout: float = 0.15, **more: float
) -> RedisStore:
    """One proxy process's store."""
    return RedisStore.from_url(
        server.url,
        lease=lease,
        wait=wait,
        timeout=timeout,
        grace=more.pop("grace", None),
        tick=more.pop("tick", 0.005),
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    """One process on that server."""
    async with opened(process(server)) as own:
        yield own


# Rule 6: incarnations.


async def test_a_first_start_on_a_fresh_store_needs_no_grace(store: RedisStore) -> None:
    await store.claim(KEY)


async def test_a_second_process_joins_without_grace(store: RedisStore, server: RedisServer) -> None:
    await record(store, KEY, A)
    async with opened(process(server)) as second:
        assert (await second.claim(KEY)).recorded == Known((A,))


async def test_a_replication_id_that_changes_ends_one_incarnation_and_no_more(
    server: RedisServer, store: RedisStore
) -> None:
    """As when the first replica comes: who is connected knows the old one, who connects now the new one."""
    client = server.client()
    before = client.info("replication")["master_replid"]
    with RedisServer({"replicaof": f"127.0.0.1 {server.port}"}):
        await until(lambda: client.info("replication")["master_replid"] != before, 15)
        async with opened(process(server)) as second:
            for one in (store, second):
                await when_ready(one)
            made = client.hget("pp:{0}:incarnation", "id")
            for one in (store, second, store, second):
                await one.release(await one.claim(KEY), Known((A,)))
            assert client.hget("pp:{0}:incarnation", "id") == made


async def test_a_fixed_grace_always_waits(server: RedisServer) -> None:
    async with opened(process(server, grace=0.2)) as store:
        refused = await when_refused(store, "earlier writes may be under way")
        assert 0 < refused.retry_after <= 0.2
        assert not (await store.health()).ready
        await when_ready(store)
        await store.claim(KEY)


async def _flush(server: RedisServer) -> None:
    server.client().flushall()


async def _restart_empty(server: RedisServer) -> None:
    await asyncio.to_thread(server.restart)


async def _restart_with_snapshot(server: RedisServer) -> None:
    await asyncio.to_thread(server.restart, save=True)


async def _back_to_an_old_snapshot(server: RedisServer) -> None:
    client = server.client()
    client.save()
    client.set("later", "than the snapshot")
    server.kill()
    await asyncio.to_thread(server.start)


async def _deposed_and_master_again(server: RedisServer) -> None:
    """A fail-over there and back, before the old master got anything of the new one's data."""
    client = server.client()
    client.replicaof("127.0.0.1", str(free_port()))
    client.replicaof("NO", "ONE")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # as Sentinel does


LOSSES = [_flush, _restart_empty, _restart_with_snapshot, _back_to_an_old_snapshot, _deposed_and_master_again]
Loss = Callable[[RedisServer], Awaitable[None]]


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_lost_store_grants_nothing_for_one_lease_and_believes_nothing(
    server: RedisServer, store: RedisStore, lose: Loss
) -> None:
    await record(store, KEY, A)
    stamp = await fresh_stamp(store, KEY)
    held = await store.claim("/notes/2")
    await lose(server)
    loop = asyncio.get_running_loop()

    refused = await when_refused(store, "earlier writes may be under way")
    grace_began = loop.time()
    assert 0 < refused.retry_after <= 0.3
    assert not (await store.health()).ready
    during = store.stamp(KEY)
    assert during is not None
    assert await observe(store, KEY, stamp, B) is Observed.REFUSED
    assert await observe(store, KEY, during, B) is Observed.REFUSED
    assert not await store.release(held, Known((B,)))
    with pytest.raises(LeaseLost):
        await store.renew(held)

    await when_ready(store)
    assert loop.time() - grace_began > 0.2
    assert await observe(store, KEY, during, B) is Observed.REFUSED
    assert await store.look(KEY) is UNKNOWN
    assert (await store.claim(KEY)).recorded is UNKNOWN
    assert await record(store, "/notes/3", A) is Observed.RECORDED


async def test_any_script_notices_an_emptied_store(server: RedisServer) -> None:
    """Not only the look at the clock, which here comes too late."""
    async with opened(process(server, lease=60.0, tick=30.0)) as store:
        for _ in range(2):  # the first traffic has the clock looked at
            await store.look(KEY)
            await asyncio.sleep(0.02)
        server.client().flushall()
        with pytest.raises(StoreUnavailable, match="emptied, restarted or replaced"):
            await store.claim(KEY)
        await when_refused(store, "earlier writes may be under way")


@pytest.mark.parametrize("lose", LOSSES)
async def test_all_processes_honour_one_grace(server: RedisServer, lose: Loss) -> None:
    async with opened(process(server)) as one, opened(process(server)) as two:
        await lose(server)
        for store in (one, two):
            await when_refused(store, "earlier writes may be under way")
        for store in (one, two):
            await when_ready(store)
        first, second = one.stamp(KEY), two.stamp(KEY)
        assert first is not None
        assert second is not None
        assert first.incarnation == second.incarnation
        await one.release(await one.claim(KEY), Known((A,)))
        assert (await two.claim(KEY)).recorded == Known((A,))


async def test_who_knew_the_old_one_announces_the_grace_that_a_newcomer_did_not(server: RedisServer) -> None:
    """A process that starts on an emptied store cannot know; the next one that does makes it wait."""
    async with opened(process(server, timeout=5.0)) as knowing:
        await knowing.claim("/notes/2")
        # Its connection stays, but it hears nothing until the newcomer has started.
        server.client().flushall()
        client = server.client()
        client.hset("pp:{0}:incarnation", mapping={"id": "newcomer", "made": "1", "grace": "0"})
        info = client.info()
        client.hset("pp:{0}:incarnation", "run", f"{info['run_id']}:{info['master_replid']}")
        await when_refused(knowing, "earlier writes may be under way")
        assert client.hget("pp:{0}:incarnation", "id") != "newcomer"


async def test_proxies_and_a_store_with_a_snapshot_that_restart_together_wait(server: RedisServer) -> None:
    async with opened(process(server)) as before:
        await record(before, KEY, A)
    await asyncio.to_thread(server.restart, save=True)
    async with opened(process(server)) as after:
        await when_refused(after, "earlier writes may be under way")
        await when_ready(after)
        assert (await after.claim(KEY)).recorded is UNKNOWN


async def test_a_claim_during_the_grace_may_be_shared(server: RedisServer, store: RedisStore) -> None:
    server.client().flushall()
    await when_refused(store, "earlier writes may be under way")
    await store.release(await store.claim(KEY, shared=True), UNKNOWN)


# Out of reach.


async def test_a_store_that_is_not_there_says_so_and_is_joined_when_it_comes() -> None:
    later = RedisServer(port=free_port())
    async with opened(process(later)) as store:
        assert store.stamp(KEY) is None
        health = await store.health()
        assert not health.ready
        assert "cannot be reached" in health.detail
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.claim(KEY)
        assert await observe(store, KEY, Stamp(1, ""), A) is Observed.LOST
        with later:
            await when_ready(store)
            await store.claim(KEY)


async def test_a_paused_server_costs_one_timeout_and_then_nothing(
    server: RedisServer, store: RedisStore
) -> None:
    loop = asyncio.get_running_loop()
    await record(store, KEY, A)
    server.pause()
    began = loop.time()
    with pytest.raises(StoreUnavailable, match="did not answer in time"):
        await store.claim(KEY)
    assert loop.time() - began < 0.4
    began = loop.time()
    for _ in range(200):
        with pytest.raises(StoreUnavailable):
            await store.claim(KEY)
    assert loop.time() - began < 0.15
    assert not (await store.health()).ready
    began = loop.time()
    server.resume()
    await when_ready(store)
    assert loop.time() - began < 0.5
    await store.claim("/notes/2")


async def test_a_claim_whose_reply_never_came_is_given_back_after_the_break(server: RedisServer) -> None:
    """The server was paused with the claim in its socket; it grants it when it goes on, to nobody."""
    async with opened(process(server, lease=60.0, wait=3.0)) as store:
        server.pause()
        with pytest.raises(StoreUnavailable):
            await store.claim(KEY)
        server.resume()
        await when_ready(store)
        await asyncio.wait_for(store.claim(KEY), 3)


async def test_a_release_whose_reply_never_came_is_said_again(server: RedisServer) -> None:
    async with opened(process(server, lease=60.0, wait=3.0)) as store:
        claim = await store.claim(KEY)
        server.pause()
        with pytest.raises(StoreUnavailable):
            await store.release(claim, Known((A,)))
        server.resume()
        await when_ready(store)
        await asyncio.wait_for(store.claim(KEY), 3)


async def test_broken_connections_are_made_anew_within_the_same_incarnation(
    server: RedisServer, store: RedisStore
) -> None:
    await record(store, KEY, A)
    before = store.stamp(KEY)
    held = await store.claim("/notes/2")
    client = server.client()
    old = {connection["id"] for connection in client.client_list()}
    client.client_kill_filter(_type="normal", skipme=True)
    await until(lambda: {connection["id"] for connection in client.client_list()} - old)
    await when_ready(store)
    after = store.stamp(KEY)
    assert before is not None
    assert after is not None
    assert after.incarnation == before.incarnation
    assert await store.look(KEY) == Known((A,))
    assert await store.release(held, ABSENT)


# Refusals.


def _full(server: RedisServer) -> None:
    server.client().config_set("maxmemory", "1")


def _not_full(server: RedisServer) -> None:
    server.client().config_set("maxmemory", "0")


def _demote(server: RedisServer) -> None:
    server.client().replicaof("127.0.0.1", free_port())


def _promote(server: RedisServer) -> None:
    server.client().replicaof("NO", "ONE")


def _unsaveable(server: RedisServer) -> None:
    client = server.client()
    client.config_set("save", "3600 1")
    (server.folder / "dump.rdb").mkdir()
    client.set("some", "thing")
    client.bgsave()


def _saveable(server: RedisServer) -> None:
    server.client().config_set("stop-writes-on-bgsave-error", "no")


@pytest.mark.parametrize(
    ("break_it", "mend_it", "words"),
    [
        pytest.param(_full, _not_full, "full", id="full"),
        pytest.param(_demote, _promote, "read-only replica", id="read-only"),
        pytest.param(_unsaveable, _saveable, "cannot save", id="cannot save"),
    ],
)
async def test_a_server_that_refuses_writes_is_unavailable_and_then_back(
    server: RedisServer,
    store: RedisStore,
    break_it: Callable[[RedisServer], None],
    mend_it: Callable[[RedisServer], None],
    words: str,
) -> None:
    await store.release(await store.claim("/notes/2"), UNKNOWN)
    break_it(server)
    await when_refused(store, words)
    mend_it(server)
    await when_ready(store)
    await store.claim("/notes/3")


async def test_a_deposed_master_is_left(server: RedisServer, store: RedisStore) -> None:
    _demote(server)
    await when_refused(store, "read-only replica")
    health = await store.health()
    assert not health.ready


async def test_a_write_under_way_ends_well_on_a_full_server(server: RedisServer, store: RedisStore) -> None:
    claim = await store.claim(KEY)
    _full(server)
    assert await store.release(claim, Known((A,)))
    assert await store.look(KEY) == Known((A,))


async def test_an_emptied_script_cache_is_filled_again(server: RedisServer, store: RedisStore) -> None:
    server.client().script_flush()
    await record(store, KEY, A)
    claim = await store.claim(KEY)
    assert claim.recorded == Known((A,))
    assert await store.release(claim, UNSETTLED)


async def test_a_server_that_evicts_is_warned_of(server: RedisServer, store: RedisStore) -> None:
    assert (await store.health()).warnings == ()
    server.client().config_set("maxmemory", "100mb")
    assert (await store.health()).warnings == ()
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    (warning,) = (await store.health()).warnings
    assert "allkeys-lru" in warning


# Cost.


async def test_a_resource_takes_at_most_200_bytes_and_expires(server: RedisServer, store: RedisStore) -> None:
    await record(store, "/a/rather/long/path/" * 20, version("x" * 22, 1_700_000_000))
    await store.release(await store.claim("/other"), Known((version("x" * 22, 1_700_000_000),)))
    client = server.client()
    keys = [key for key in client.scan_iter() if not key.endswith("incarnation")]
    assert len(keys) == 2
    for key in keys:
        assert client.memory_usage(key) <= 200
        assert 600_000 < client.ttl(key) <= 604_800


async def test_an_erased_date_takes_its_place_and_goes_with_the_next_version(
    server: RedisServer, store: RedisStore
) -> None:
    dated = version("x" * 22, 1_700_000_000)
    await record(store, KEY, dated)
    await store.forget(KEY)
    assert server.client().hkeys(_entry(server)) == ["i", "t", "m"]
    assert server.client().memory_usage(_entry(server)) <= 200
    await record(store, KEY, dated)
    assert server.client().hkeys(_entry(server)) == ["i", "t", "v"]


async def test_recording_the_same_again_costs_no_call(server: RedisServer, store: RedisStore) -> None:
    await record(store, KEY, A)
    before = await fresh_stamp(store, KEY)
    server.client().hset(_entry(server), "t", "9" * 15)
    assert await observe(store, KEY, before, A) is Observed.SAME
    await store.forget(KEY)
    assert await observe(store, KEY, before, A) is Observed.REFUSED


async def test_what_a_claim_took_is_recorded_anew(store: RedisStore) -> None:
    """Though this process recorded it a moment ago, and never told how the write ended."""
    await record(store, KEY, A)
    await store.release(await store.claim(KEY), UNSETTLED)
    await asyncio.sleep(0.35)
    assert await record(store, KEY, A) is Observed.RECORDED
    assert await store.look(KEY) == Known((A,))


async def test_what_a_write_committed_need_not_be_recorded(server: RedisServer, store: RedisStore) -> None:
    await record(store, KEY, A)
    assert await store.release(await store.claim(KEY), Known((B, replace(A, variant="x"))))
    stamp = await fresh_stamp(store, KEY)
    server.client().delete(_entry(server))
    assert await observe(store, KEY, stamp, B) is Observed.SAME
    assert await observe(store, KEY, stamp, replace(A, variant="x")) is Observed.SAME
    assert await observe(store, KEY, stamp, A) is Observed.RECORDED


def _entry(server: RedisServer) -> str:
    (key,) = (key for key in server.client().scan_iter() if not key.endswith("incarnation"))
    return str(key)


async def test_observations_of_the_same_go_together(server: RedisServer, store: RedisStore) -> None:
    stamp = await fresh_stamp(store, KEY)
    results: list[Observed] = []
    calls = server.client().info("commandstats")
    for _ in range(100):
        store.observe(KEY, stamp, A, results.append)
    await until(lambda: len(results) == 100)
    assert set(results) == {Observed.RECORDED}
    after = server.client().info("commandstats")
    hashes = "cmdstat_hgetall"
    assert after[hashes]["calls"] - calls.get(hashes, {"calls": 0})["calls"] == 1


async def test_too_many_observations_are_lost_and_not_queued(server: RedisServer) -> None:
    async with opened(process(server, timeout=5.0)) as store:
        stamp = await fresh_stamp(store, KEY)
        results: list[Observed] = []
        for number in range(3000):
            store.observe(f"/notes/{number}", stamp, A, results.append)
        await until(lambda: len(results) == 3000)
    assert results.count(Observed.LOST) == 3000 - 1024


async def test_an_old_stamp_is_refused(store: RedisStore) -> None:
    """An entry may be forgotten after that time, and its last change with it (rule 3)."""
    stamp = await fresh_stamp(store, KEY)
    old = Stamp(stamp.time - 61_000_000, stamp.incarnation)
    assert await observe(store, KEY, old, A) is Observed.REFUSED
    ahead = Stamp(stamp.time + 10_000_000, stamp.incarnation)
    assert await observe(store, KEY, ahead, A) is Observed.REFUSED
