"""How connections are kept, reused, given up, limited, and when a request is sent twice."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from support.scripted_backend import Backend, Peer, answering, eventually
from support.upstream_calls import Pieces, get, put

from proxy.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from proxy.upstream import Call
from proxy.upstream import pool as pool_module

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FOREVER = [OK] * 100


def heard(backend: Backend) -> list[int]:
    """How many requests each connection had."""
    return [peer.heard.count(b"Host:") for peer in backend.peers]


async def ask(pool, call: Call | None = None) -> bytes:
    reply = await pool.send(call or get())
    body = await reply.read(1000)
    reply.close()
    assert body is not None
    return body


async def test_one_connection_serves_one_request_after_the_other(play, pool_for) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend)
    for method in ("GET", "PUT", "HEAD", "GET", "DELETE"):
        if method == "HEAD":
            continue
        assert await ask(pool, put(b"", method)) == b"ok"
    assert heard(backend) == [4]


async def test_parallel_requests_have_a_connection_each_and_the_last_used_is_taken_first(
    play, pool_for
) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend)
    replies = await asyncio.gather(*[pool.send(get()) for _ in range(3)])
    assert len(backend.peers) == 3
    for reply in replies:
        assert await reply.read(10) == b"ok"
    assert pool.connections == (3, 3)
    for _ in range(4):
        await ask(pool)
    assert sorted(heard(backend)) == [1, 1, 5]


async def test_more_than_max_idle_are_not_kept(play, pool_for) -> None:
    pool = pool_for(await play(answering(*FOREVER)), max_idle=2)
    for reply in await asyncio.gather(*[pool.send(get()) for _ in range(5)]):
        assert await reply.read(10) == b"ok"
    assert pool.connections == (2, 2)


async def test_without_idle_connections_the_backend_is_told_so(play, pool_for) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend, max_idle=0)
    assert await ask(pool) == b"ok"
    assert await ask(pool) == b"ok"
    assert heard(backend) == [1, 1]
    assert b"\r\nConnection: close\r\n" in backend.peers[0].heard
    assert pool.connections == (0, 0)


async def test_idle_connections_are_closed_in_time(play, pool_for) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend, idle_timeout=0.05)
    replies = await asyncio.gather(*[pool.send(get()) for _ in range(2)])
    assert len(replies) == 2
    for peer in backend.peers:
        await asyncio.wait_for(peer.closed.wait(), 5)
    assert pool.connections == (0, 0)
    assert await ask(pool) == b"ok"


async def test_one_that_is_past_its_time_is_not_used_though_the_sweep_is_late(play, pool_for) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend)
    await ask(pool)
    pool._idle[0].idle_since -= 100
    await ask(pool)
    assert heard(backend) == [1, 1]
    assert pool.connections == (1, 1)
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)


async def test_what_the_backend_closed_while_idle_is_forgotten(play, pool_for) -> None:
    backend = await play(answering(OK, then="end"))
    pool = pool_for(backend)
    for number in (1, 2):
        assert await ask(pool, put()) == b"ok"
        await eventually(lambda: pool.connections == (0, 0))
        assert len(backend.peers) == number


async def test_words_out_of_turn_close_an_idle_connection(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await go_on.wait()
        await peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await peer.rest()

    pool = pool_for(await play(script))
    assert await ask(pool) == b"ok"
    assert pool.connections == (1, 1)
    go_on.set()
    await eventually(lambda: pool.connections == (0, 0))


async def stale(play, pool_for, **settings):
    """A pool whose idle connection dies, without an answer, once the next request reaches it."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        if backend.peers.index(peer) == 0:
            await peer.head()
            peer.reset()
        else:
            await answering(*FOREVER)(peer)

    backend = await play(script)
    pool = pool_for(backend, **settings)
    assert await ask(pool) == b"ok"
    return backend, pool


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
async def test_a_safe_request_that_met_a_dead_connection_is_sent_again(play, pool_for, method: str) -> None:
    backend, pool = await stale(play, pool_for)
    assert (await pool.send(put(b"", method))).status == 200
    assert heard(backend) == [2, 1]


async def test_after_that_an_unsafe_request_is_not_risked_on_a_used_connection(play, pool_for) -> None:
    backend, pool = await stale(play, pool_for)
    await ask(pool)
    assert await ask(pool, put()) == b"ok"
    assert heard(backend) == [2, 1, 1]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH", "PROPFIND", "get"])
async def test_any_other_request_is_not(play, pool_for, method: str) -> None:
    backend, pool = await stale(play, pool_for)
    with pytest.raises(UpstreamBroken) as raised:
        await pool.send(put(b"", method))
    assert raised.value.maybe_applied
    assert heard(backend) == [2]


@pytest.mark.parametrize("replayable", [True, False])
async def test_a_body_is_sent_again_only_where_it_can_be(play, pool_for, replayable: bool) -> None:
    backend, pool = await stale(play, pool_for)
    body = Pieces([b"a"], replayable=replayable)
    if replayable:
        assert (await pool.send(put(body, "GET"))).status == 200
        assert body.handed_out == 2
    else:
        with pytest.raises(UpstreamBroken):
            await pool.send(put(body, "GET"))
        assert heard(backend) == [2]


async def test_a_fresh_connection_that_dies_is_not_tried_again(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    backend = await play(script)
    with pytest.raises(UpstreamBroken):
        await pool_for(backend).send(get())
    assert len(backend.peers) == 1


async def test_a_request_is_not_sent_a_third_time(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        if backend.peers.index(peer) == 0:
            await peer.head()
            await peer.send(OK)
        await peer.head()
        peer.reset()

    backend = await play(script)
    pool = pool_for(backend)
    await ask(pool)
    with pytest.raises(UpstreamBroken):
        await pool.send(get())
    assert len(backend.peers) == 2


async def test_not_after_a_byte_of_an_answer(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await peer.head()
        await peer.send(b"H")

    backend = await play(script)
    pool = pool_for(backend)
    await ask(pool)
    with pytest.raises(UpstreamBroken):
        await pool.send(get())
    assert len(backend.peers) == 1


async def test_an_unsafe_request_takes_no_connection_that_was_idle_for_long(
    play, pool_for, monkeypatch
) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend)
    await ask(pool)
    await ask(pool, put())
    assert heard(backend) == [2]
    monkeypatch.setattr(pool_module, "_FRESH", 0.0)
    await ask(pool, put())
    assert heard(backend) == [2, 1]
    await ask(pool, get())
    assert sum(heard(backend)) == 4
    assert len(backend.peers) == 2


async def test_nor_any_of_a_backend_that_closes_without_saying_so(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        if backend.peers.index(peer) > 0:
            await answering(*FOREVER)(peer)

    backend = await play(script)
    pool = pool_for(backend)
    await ask(pool)
    await eventually(lambda: pool.connections == (0, 0))
    for method in ("PUT", "PUT", "GET", "GET"):
        await ask(pool, put(b"", method))
    assert sorted(heard(backend)) == [1, 1, 3]


async def test_no_more_than_max_connections_and_first_come_first_served(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await go_on.wait()
            await peer.send(OK)

    backend = await play(script)
    pool = pool_for(backend, max_connections=2)
    order: list[int] = []

    async def one(number: int) -> None:
        await ask(pool, get(b"/%d" % number))
        order.append(number)

    tasks = []
    for number in range(6):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(0)
    await eventually(lambda: sum(heard(backend)) == 2)
    go_on.set()
    await asyncio.gather(*tasks)
    assert len(backend.peers) == 2
    assert sum(heard(backend)) == 6
    assert [set(order[:2]), set(order[2:4]), set(order[4:])] == [{0, 1}, {2, 3}, {4, 5}]
    assert pool.connections == (2, 2)


async def test_a_place_in_line_is_found_though_connections_end(play, pool_for) -> None:
    backend = await play(answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
    pool = pool_for(backend, max_connections=1)
    assert await asyncio.gather(*[ask(pool, put()) for _ in range(5)]) == [b"ok"] * 5
    assert heard(backend) == [1] * 5
    assert pool.connections == (0, 0)


async def test_in_line_for_a_backend_that_closes_without_saying_so(play, pool_for) -> None:
    backend = await play(answering(OK, then="end"))
    pool = pool_for(backend, max_connections=1)
    await ask(pool)
    await eventually(lambda: pool.connections == (0, 0))
    assert await asyncio.gather(*[ask(pool, put()) for _ in range(4)]) == [b"ok"] * 4
    assert heard(backend) == [1] * 5


async def test_waiting_in_line_counts_in_the_timeout_and_nothing_was_sent(play, pool_for) -> None:
    backend = await play(answering(OK[:-1]))
    pool = pool_for(backend, max_connections=1, timeout=0.05)
    first = await pool.send(put())
    with pytest.raises(UpstreamTimeout) as raised:
        await pool.send(put())
    assert not raised.value.maybe_applied
    assert heard(backend) == [1]
    assert pool.connections == (1, 0)
    assert len(pool._line) == 0
    first.close()
    assert pool.connections == (0, 0)


async def test_who_gives_up_waiting_gives_the_place_on(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await go_on.wait()
            await peer.send(OK)

    pool = pool_for(await play(script), max_connections=1)
    tasks = [asyncio.create_task(ask(pool)) for _ in range(4)]
    await eventually(lambda: pool.connections == (1, 0))
    tasks[1].cancel()
    go_on.set()
    await tasks[0]
    tasks[2].cancel()  # the place is perhaps its own already
    assert await tasks[3] == b"ok"
    assert pool.connections == (1, 1)


async def test_an_unsafe_request_within_the_limit_makes_room_for_its_fresh_connection(
    play, pool_for, monkeypatch
) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend, max_connections=1)
    await ask(pool)
    monkeypatch.setattr(pool_module, "_FRESH", 0.0)
    assert await ask(pool, put()) == b"ok"
    assert heard(backend) == [1, 1]
    assert pool.connections == (1, 1)


async def test_an_unsafe_request_uses_no_old_connection_where_the_last_one_used_is_gone(
    play, pool_for
) -> None:
    backend = await play(answering(*FOREVER))
    pool = pool_for(backend)
    await asyncio.gather(*[ask(pool) for _ in range(2)])
    pool._idle[0].idle_since -= 2
    pool._idle[1].transport.abort()  # the pool is not told before the next turn of the loop
    assert await ask(pool, put()) == b"ok"
    assert heard(backend) == [1, 1, 1]


async def test_a_failed_connect_gives_its_place_back(pool_for, unused_tcp_port: int) -> None:
    pool = pool_for(f"http://127.0.0.1:{unused_tcp_port}", max_connections=1)
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable) as raised:
            await pool.send(put())
        assert not raised.value.maybe_applied
        assert raised.value.reason == f"the backend 127.0.0.1:{unused_tcp_port} refused the connection"
    assert pool.connections == (0, 0)


async def test_closing_a_reply_early_closes_its_connection_and_late_does_not(play, pool_for) -> None:
    part = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"
    backend = await play(answering(part))
    pool = pool_for(backend)
    reply = await pool.send(get())
    reply.close()
    reply.close()
    assert pool.connections == (0, 0)
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)
    pool = pool_for(await play(answering(OK)))
    reply = await pool.send(get())
    assert reply.ready() == b"ok"
    reply.close()
    assert pool.connections == (1, 1)


async def test_a_closed_pool_still_ends_what_it_began(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await go_on.wait()
        await peer.send(OK)
        await peer.rest()

    backend = await play(script)
    pool = pool_for(backend)
    asking = asyncio.create_task(ask(pool))
    await eventually(lambda: heard(backend) == [1])
    await pool.close()
    go_on.set()
    assert await asking == b"ok"
    assert pool.connections == (0, 0)


async def test_a_closed_connection_leaves_nothing_in_the_event_loop(play, pool_for) -> None:
    backend = await play(answering(OK))
    pool = pool_for(backend)
    await ask(pool)
    connection = weakref.ref(pool._idle[0])
    await pool.close()
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)
    gc.collect()
    assert connection() is None


class Told:
    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def upstream_call(self, seconds: float, outcome: str) -> None:
        assert 0 <= seconds < 5
        self.outcomes.append(outcome)


async def test_the_meter_hears_of_every_call_once(play, pool_for, unused_tcp_port: int) -> None:
    meter = Told()
    await ask(pool_for(await play(answering(OK)), meter=meter))
    with pytest.raises(UpstreamBroken):
        await ask(pool_for(await play(answering(b"x", then="end")), meter=meter))
    with pytest.raises(UpstreamTimeout):
        await ask(pool_for(await play(answering()), timeout=0.01, meter=meter))
    with pytest.raises(UpstreamUnreachable):
        await ask(pool_for(f"http://127.0.0.1:{unused_tcp_port}", meter=meter))
    _, pool = await stale(play, pool_for, meter=meter)
    await ask(pool)
    assert meter.outcomes == ["ok", "broken", "timeout", "unreachable", "ok", "ok"]


async def test_a_get_waits_once(play, pool_for) -> None:
    """The count that speed depends on: one suspension from `send` to the whole of a small body."""
    pool = pool_for(await play(answering(*FOREVER)))
    await ask(pool)
    sending = pool.send(get())
    waited_for = sending.send(None)
    await eventually(waited_for.done)
    with pytest.raises(StopIteration) as answered:
        sending.send(None)
    assert answered.value.value.ready() == b"ok"
