"""Bodies on their way out, early answers, back-pressure, time, and being given up."""

from __future__ import annotations

import asyncio

import pytest
from support.scripted_backend import Peer, answering, eventually
from support.upstream_calls import Pieces, get, put

from proxy.errors import BodyError, UpstreamBroken, UpstreamTimeout
from proxy.upstream.reply import HIGH_WATER

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
MIB = b"x" * 2**20


def endless(*, length: int | None = None, **more) -> Pieces:
    return Pieces([MIB] * 10_000, length=length, **more)


@pytest.mark.parametrize("length", [None, 10_000 * 2**20])
async def test_an_early_answer_ends_the_sending_and_then_the_connection(play, pool_for, length) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(TOO_LARGE)
        await peer.rest()

    backend = await play(script)
    pool = pool_for(backend)
    body = endless(length=length)
    reply = await asyncio.wait_for(pool.send(put(body)), 5)
    assert (reply.status, await reply.read(10)) == (413, b"no")
    assert body.handed_out < 1000
    assert body.closed == 1
    assert pool.connections == (0, 0)


async def test_an_early_answer_whose_body_is_read_later(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(TOO_LARGE[:-2])
        await go_on.wait()
        await peer.send(b"no")
        await peer.rest()

    pool = pool_for(await play(script))
    reply = await pool.send(put(endless()))
    go_on.set()
    assert await reply.read(10) == b"no"
    assert pool.connections == (0, 0)


async def test_an_early_answer_while_the_client_is_slow(play, pool_for) -> None:
    async def stall(number: int) -> None:
        if number == 1:
            await asyncio.Event().wait()

    body = Pieces([b"a", b"b"], before=stall)
    pool = pool_for(await play(answering(TOO_LARGE)))
    reply = await asyncio.wait_for(pool.send(put(body)), 5)
    assert (reply.status, reply.ready()) == (413, b"no")
    assert (body.handed_out, body.closed) == (1, 1)
    assert pool.connections == (0, 0)


async def test_an_early_answer_on_a_connection_that_was_waited_for(play, pool_for) -> None:
    """Whoever had the connection before is woken after us, and must not take our body for his own."""

    async def script(peer: Peer) -> None:
        await peer.until(b"0\r\n\r\n")
        await peer.send(OK)
        await peer.until(b"1\r\nx\r\n")
        await peer.send(TOO_LARGE)
        await peer.rest()

    async def stall(number: int) -> None:
        if number == 1:
            await asyncio.Event().wait()

    pool = pool_for(await play(script), max_connections=1)
    sent, refused = await asyncio.wait_for(
        asyncio.gather(pool.send(put(Pieces([b"x"]))), pool.send(put(Pieces([b"x"] * 2, before=stall)))), 5
    )
    assert (sent.status, refused.status) == (200, 413)
    assert await refused.read(10) == b"no"
    assert pool.connections == (0, 0)


async def test_an_early_answer_to_a_great_body_of_bytes(play, pool_for) -> None:
    read_on = asyncio.Event()
    rest: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(TOO_LARGE)
        await read_on.wait()
        rest.append(len(await peer.rest()))

    pool = pool_for(await play(script))
    reply = await asyncio.wait_for(pool.send(put(MIB * 64)), 5)
    assert (reply.status, await reply.read(10)) == (413, b"no")
    assert pool.connections == (0, 0)
    read_on.set()
    await eventually(lambda: rest)
    assert rest[0] < 32 * len(MIB)  # what nobody wants is not sent for politeness


async def test_an_answer_that_came_before_the_pipe_broke_is_heard(play, pool_for) -> None:
    """The backend answers and resets; the next write fails before the answer is read."""
    answered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(TOO_LARGE)
        peer.end()  # with unread bytes in its socket this is a RST
        answered.set()

    async def second(number: int) -> None:
        if number == 1:
            await answered.wait()

    pool = pool_for(await play(script))
    reply = await asyncio.wait_for(pool.send(put(Pieces([MIB] * 50, before=second))), 5)
    assert (reply.status, await reply.read(10)) == (413, b"no")
    await eventually(lambda: pool.connections == (0, 0))


async def test_a_great_body_arrives_whole_and_the_connection_stays(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        assert await peer.take(20 * len(MIB)) == MIB * 20
        await peer.send(OK)
        await peer.rest()

    pool = pool_for(await play(script))
    reply = await pool.send(put(Pieces([MIB] * 20, length=20 * len(MIB))))
    assert await reply.read(10) == b"ok"
    assert pool.connections == (1, 1)


async def test_a_source_is_not_drawn_while_the_backend_does_not_read(play, pool_for) -> None:
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await read_on.wait()
        await peer.rest()

    body = Pieces([MIB] * 60)
    backend = await play(script)
    sending = asyncio.create_task(pool_for(backend).send(put(body)))
    await settled(lambda: body.handed_out)
    assert 0 < body.handed_out < 30
    read_on.set()
    await eventually(lambda: body.handed_out == 60)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert body.closed == 1


async def test_a_backend_is_held_up_while_nobody_reads(play, pool_for) -> None:
    total = 50 * len(MIB)

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(50):
            peer.write(MIB)
        await peer.rest()

    backend = await play(script)
    pool = pool_for(backend)
    reply = await pool.send(get())
    await settled(lambda: backend.peers[0].unsent())
    assert backend.peers[0].unsent() > total // 2
    assert reply._size < HIGH_WATER + 2**19
    size = 0
    async for piece in reply.chunks():
        size += len(piece)
        assert len(piece) < HIGH_WATER + 2**19
    assert size == total
    assert pool.connections == (1, 1)


async def settled(measure) -> None:
    """Waits until a measure has not moved for a while."""
    last, still = measure(), 0
    async with asyncio.timeout(5):
        while still < 10:
            await asyncio.sleep(0.005)
            now = measure()
            last, still = now, still + 1 if now == last and now else 0


SHORT_OR_LONG = {
    "shorter than said": (Pieces([b"hel"], length=5), "shorter"),
    "longer than said": (Pieces([b"hel", b"lo!"], length=5), "longer"),
}


@pytest.mark.parametrize(("body", "word"), SHORT_OR_LONG.values(), ids=SHORT_OR_LONG)
async def test_a_body_that_is_not_as_long_as_said_never_looks_complete(play, pool_for, body, word) -> None:
    backend = await play(answering(then="stay"))
    pool = pool_for(backend)
    with pytest.raises(BodyError, match=word):
        await pool.send(put(body))
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)
    assert len(backend.peers[0].heard.partition(b"\r\n\r\n")[2]) < 5
    assert pool.connections == (0, 0)


@pytest.mark.parametrize("fault", [BodyError(408, "the client was too slow"), RuntimeError("a bug")])
@pytest.mark.parametrize("length", [None, 5])
async def test_a_body_that_fails_never_looks_complete(play, pool_for, fault: Exception, length) -> None:
    async def failing(number: int) -> None:
        if number == 1:
            raise fault

    async def script(peer: Peer) -> None:
        await peer.rest()

    backend = await play(script)
    pool = pool_for(backend)
    body = Pieces([b"hel", b"lo"], length=length, before=failing)
    with pytest.raises(type(fault)) as raised:
        await pool.send(put(body))
    assert raised.value is fault
    assert pool.connections == (0, 0)
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)
    assert b"\r\n0\r\n" not in backend.peers[0].heard


async def test_no_answer_in_time(play, pool_for) -> None:
    backend = await play(answering())
    pool = pool_for(backend, timeout=0.05)
    with pytest.raises(UpstreamTimeout) as raised:
        await pool.send(put())
    assert raised.value.maybe_applied
    assert "did not answer in time" in raised.value.reason
    assert pool.connections == (0, 0)
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)


async def test_interim_answers_and_half_heads_do_not_buy_time(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        while True:
            await peer.send(b"HTTP/1.1 102 P\r\n\r\n")
            await asyncio.sleep(0.01)

    with pytest.raises(UpstreamTimeout):
        await pool_for(await play(script), timeout=0.05).send(get())


async def test_a_body_that_stalls(play, pool_for) -> None:
    pool = pool_for(
        await play(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")), body_timeout=0.05
    )
    reply = await pool.send(get())
    with pytest.raises(UpstreamTimeout) as raised:
        await reply.read(10)
    assert "go on" in raised.value.reason
    assert pool.connections == (0, 0)
    with pytest.raises(UpstreamTimeout):
        await reply.read(10)


async def test_a_body_that_trickles_has_time(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.03)
            await peer.send(b"x")
        await peer.rest()

    pool = pool_for(await play(script), timeout=0.15)
    reply = await pool.send(get())
    assert await reply.read(10) == b"x" * 10
    assert pool.connections == (1, 1)


async def test_a_slow_reader_is_not_the_backends_fault(play, pool_for) -> None:
    begin, go_on = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await begin.wait()
        await peer.send(b"hel")
        await go_on.wait()
        await peer.send(b"lo")
        await peer.rest()

    reply = await pool_for(await play(script), timeout=0.1).send(get())
    pieces = reply.chunks()
    asyncio.get_running_loop().call_soon(begin.set)  # while the reader waits
    assert await anext(pieces) == b"hel"
    await asyncio.sleep(0.2)  # time that must not be counted
    go_on.set()
    assert await anext(pieces) == b"lo"


async def test_a_slow_client_is_not_the_backends_fault_but_a_slow_backend_is(play, pool_for) -> None:
    async def slowly(_: int) -> None:
        await asyncio.sleep(0.06)

    async def script(peer: Peer) -> None:
        await peer.until(b"\r\n0\r\n\r\n")
        await peer.rest()

    body = Pieces([b"a", b"b"], before=slowly)
    pool = pool_for(await play(script), timeout=0.05)
    with pytest.raises(UpstreamTimeout):
        await pool.send(put(body))
    assert body.handed_out == 2


async def test_a_slow_client_after_a_slow_backend_has_its_own_time(play, pool_for) -> None:
    async def slowly(number: int) -> None:
        await asyncio.sleep(0.3 * number)

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.take(20 * len(MIB) + 1)
        await peer.send(OK)
        await peer.rest()

    body = Pieces([MIB * 20, b"x"], length=20 * len(MIB) + 1, before=slowly)
    reply = await pool_for(await play(script), timeout=0.25).send(put(body))
    assert await reply.read(10) == b"ok"


async def test_a_backend_that_does_not_read_is_timed_out(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.closed.wait()

    pool = pool_for(await play(script), timeout=0.1)
    with pytest.raises(UpstreamTimeout):
        await pool.send(put(endless()))
    assert pool.connections == (0, 0)


@pytest.mark.parametrize("body", [b"x", Pieces([b"x"])], ids=["bytes", "source"])
async def test_giving_up_a_call_closes_its_connection(play, pool_for, body) -> None:
    backend = await play(answering())
    pool = pool_for(backend)
    sending = asyncio.create_task(pool.send(put(body)))
    await eventually(lambda: backend.peers and backend.peers[0].heard)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert pool.connections == (0, 0)


@pytest.mark.parametrize("way", ["read", "chunks"])
async def test_giving_up_a_read_closes_its_connection(play, pool_for, way: str) -> None:
    backend = await play(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
    pool = pool_for(backend)
    reply = await pool.send(get())
    reading = asyncio.create_task(reply.read(10) if way == "read" else anext(reply.chunks()))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert pool.connections == (0, 0)
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)


async def test_giving_up_while_connecting_leaves_nothing(pool_for) -> None:
    connecting = asyncio.Event()

    async def never(_):
        connecting.set()
        await asyncio.Event().wait()

    pool = pool_for("http://127.0.0.1:1", connect=never, max_connections=1)
    sending = asyncio.create_task(pool.send(get()))
    await connecting.wait()
    assert pool.connections == (1, 0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert pool.connections == (0, 0)


@pytest.mark.parametrize("moment", ["before the answer is parsed", "after it, before it is taken"])
@pytest.mark.parametrize("rest", ["whole", "to come"])
async def test_giving_up_in_the_turn_of_the_answer(play, pool_for, moment: str, rest: str) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\n" + (OK if rest == "whole" else OK[:-1])
    pool = pool_for(await play(answering(answer)))

    def give_up(*_: object) -> None:
        if moment.startswith("before"):
            sending.cancel()
        else:  # runs after the answer that follows in the same bytes, and before the one who waits for it
            asyncio.get_running_loop().call_soon(sending.cancel)

    call = get()
    call.early = give_up
    sending = asyncio.create_task(pool.send(call))
    with pytest.raises(asyncio.CancelledError):
        await sending
    kept = (1, 1) if rest == "whole" and moment.startswith("after") else (0, 0)
    assert pool.connections == kept


async def test_giving_up_at_any_moment_leaks_nothing(play, pool_for) -> None:
    backend = await play(answering(*[OK] * 1000))
    pool = pool_for(backend, max_connections=3)

    async def ask() -> None:
        reply = await pool.send(get())
        try:
            assert await reply.read(10) == b"ok"
        finally:
            reply.close()

    for turns in range(60):
        tasks = [asyncio.create_task(ask()) for _ in range(6)]
        for _ in range(turns // 2):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        opened, idle = pool.connections
        assert opened == idle <= 3
    await pool.close()
    assert pool.connections == (0, 0)
    for peer in backend.peers:
        await asyncio.wait_for(peer.closed.wait(), 5)


async def test_a_connection_that_dies_at_once(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        peer.reset()

    with pytest.raises(UpstreamBroken):
        await pool_for(await play(script)).send(put())
