"""One exchange on a real socket: what is sent, and how every kind of answer is read. On both event loops."""

from __future__ import annotations

import asyncio

import pytest
from support.scripted_backend import Peer, answering, eventually
from support.upstream_calls import Pieces, get, put

from proxy.errors import UpstreamBroken
from proxy.upstream import Call
from proxy.upstream.reply import BackendReply


async def whole(reply: BackendReply) -> bytes:
    return b"".join([piece async for piece in reply.chunks()])


HOST = b"Host: backend\r\n"
SENT = {
    "GET": (get(b"/a?b"), b"GET /a?b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fields as they are, in order": (
        get(b"/", (b"x-A", b"1"), (b"X-a", b"\xe9 2")),
        b"GET / HTTP/1.1\r\n" + HOST + b"x-A: 1\r\nX-a: \xe9 2\r\n\r\n",
    ),
    "PUT": (put(b"hello"), b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"),
    "PUT of nothing": (put(b""), b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"),
    "POST of nothing": (put(b"", "POST"), b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"),
    "DELETE": (put(b"", "DELETE"), b"DELETE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "DELETE with content": (
        put(b"a", "DELETE"),
        b"DELETE / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\na",
    ),
    "a source of known length": (
        put(Pieces([b"hel", b"", b"lo"], length=5)),
        b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    ),
    "a source of nothing": (
        put(Pieces([], length=0)),
        b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    ),
    "a source of unknown length": (
        put(Pieces([b"hel", b"", b"lo"])),
        b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ),
    "a source with trailers": (
        put(Pieces([b"hello"], trailers=[(b"X-Sum", b"1")])),
        b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
}


@pytest.mark.parametrize(("call", "wire"), SENT.values(), ids=SENT)
async def test_what_the_backend_receives(play, pool_for, call: Call, wire: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.take(len(wire))
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await peer.rest()

    backend = await play(script)
    pool = pool_for(backend)
    reply = await pool.send(call)
    assert (reply.status, reply.ready()) == (204, b"")
    assert pool.connections == (1, 1)
    await pool.close()
    await backend.peers[0].closed.wait()
    assert backend.peers[0].heard == wire


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
# method, answer: status, body, length, may the connection be used again
ANSWERS = {
    "length": ("GET", OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", 5, True),
    "length 0": ("GET", OK + b"Content-Length: 0\r\n\r\n", 200, b"", 0, True),
    "chunked": ("GET", OK + CHUNKED + b"3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n", 200, b"hello", None, True),
    "HEAD": ("HEAD", OK + b"Content-Length: 5\r\n\r\n", 200, b"", 0, True),
    "HEAD chunked": ("HEAD", OK + CHUNKED, 200, b"", 0, True),
    "HEAD without length": ("HEAD", OK + b"\r\n", 200, b"", 0, True),
    "HEAD without length, closing": ("HEAD", OK + b"Connection: x, Close\r\n\r\n", 200, b"", 0, False),
    "HEAD 400": ("HEAD", b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\n", 400, b"", 0, True),
    "HEAD with a body": ("HEAD", OK + b"Content-Length: 5\r\n\r\nhello", 200, b"", 0, False),
    "204": ("PUT", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", 0, True),
    "204 that announces a body": ("PUT", b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n", 204, b"", 0, False),
    "204 with length 0": ("PUT", b"HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n", 204, b"", 0, True),
    "204 chunked": ("PUT", b"HTTP/1.1 204 N\r\n" + CHUNKED + b"0\r\n\r\n", 204, b"", 0, False),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", 0, True),
    "closing": ("GET", OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", 5, False),
    "HTTP/1.0": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", 5, False),
    "HTTP/1.0 staying": (
        "GET",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
        *(200, b"hello", 5, True),
    ),
    "HTTP/1.0 chunked": (
        "GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
        *(200, b"hello", None, False),
    ),
    "surplus": ("GET", OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1", 200, b"hello", 5, False),
    "surplus after chunks": ("GET", OK + CHUNKED + b"5\r\nhello\r\n0\r\n\r\nx", 200, b"hello", None, False),
    "bare LF in the head": ("GET", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 200, b"hello", 5, True),
    "no reason": ("GET", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", 5, True),
    "odd status": ("GET", b"HTTP/1.1 799 Odd\r\nContent-Length: 5\r\n\r\nhello", 799, b"hello", 5, True),
    "a great head": ("GET", OK + b"A: " + b"a" * 60000 + b"\r\nContent-Length: 0\r\n\r\n", 200, b"", 0, True),
    "after 100": (
        "PUT",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        200,
        b"",
        0,
        True,
    ),
}


@pytest.mark.parametrize(
    ("method", "answer", "status", "body", "length", "stays"), ANSWERS.values(), ids=ANSWERS
)
async def test_every_framing_is_read_and_decides_about_the_connection(
    play, pool_for, method, answer, status, body, length, stays
) -> None:
    backend = await play(answering(answer))
    pool = pool_for(backend)
    reply = await pool.send(put(b"", method))
    assert (reply.status, reply.length) == (status, length)
    assert await whole(reply) == body
    reply.close()
    assert pool.connections == ((1, 1) if stays else (0, 0))
    if not stays:
        await asyncio.wait_for(backend.peers[0].closed.wait(), 5)


@pytest.mark.parametrize("name", ["length", "chunked", "HEAD", "204", "bare LF in the head", "after 100"])
async def test_every_framing_arrives_in_single_bytes(play, pool_for, name: str) -> None:
    method, answer, status, body, length, _ = ANSWERS[name]

    async def script(peer: Peer) -> None:
        await peer.head()
        for at in range(len(answer)):
            await peer.send(answer[at : at + 1])
            await asyncio.sleep(0)
        await peer.rest()

    pool = pool_for(await play(script))
    reply = await pool.send(put(b"", method))
    assert (reply.status, reply.length, await whole(reply)) == (status, length, body)
    assert pool.connections == (1, 1)


async def test_an_answer_cut_in_two_at_every_byte(play, pool_for) -> None:
    answer = OK + CHUNKED + b"3\r\nhel\r\n2;x\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        for at in range(1, len(answer)):
            await peer.head()
            await peer.send(answer[:at])
            await go_on.wait()
            go_on.clear()
            await peer.send(answer[at:])
        await peer.rest()

    backend = await play(script)
    pool = pool_for(backend)
    for at in range(1, len(answer)):
        asking = asyncio.create_task(pool.send(get()))
        await eventually(lambda at=at: len(backend.peers) and backend.peers[0].heard.count(b"GET") == at)
        await asyncio.sleep(0)
        go_on.set()
        reply = await asking
        assert await reply.read(100) == b"hello"
        assert list(reply.trailers()) == [(b"X-Sum", b"1")]
    assert len(backend.peers) == 1


async def test_a_body_that_ends_with_the_connection(play, pool_for) -> None:
    pool = pool_for(await play(answering(OK + b"\r\nhello", then="end")))
    reply = await pool.send(get())
    assert reply.length is None
    assert await whole(reply) == b"hello"
    assert pool.connections == (0, 0)


async def test_fields_reason_and_headers_are_those_of_the_wire(play, pool_for) -> None:
    answer = b"HTTP/1.1 200 F\xc3\xadne\r\nx-A: 1\r\nX-a:2 \r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"
    reply = await pool_for(await play(answering(answer))).send(get())
    assert reply.reason == "F\u00edne"
    assert list(reply.fields) == [(b"x-A", b"1"), (b"X-a", b"2"), (b"A", b"b c"), (b"Content-Length", b"0")]
    assert reply.headers.getall("X-A") == ["1", "2"]


async def test_a_whole_small_answer_is_ready_without_waiting(play, pool_for) -> None:
    pool = pool_for(await play(answering(OK + b"Content-Length: 5\r\n\r\nhello")))
    reply = await pool.send(get())
    assert pool.connections == (1, 1)
    assert reply.ready() == b"hello"


async def test_a_body_on_its_way_is_not_ready(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK + b"Content-Length: 5\r\n\r\nhel")
        await go_on.wait()
        await peer.send(b"lo")
        await peer.rest()

    reply = await pool_for(await play(script)).send(get())
    assert reply.ready() is None
    go_on.set()
    assert await reply.read(5) == b"hello"


async def test_reading_with_a_limit_loses_nothing(play, pool_for) -> None:
    body = bytes(range(256)) * 4000  # more than may wait unread
    for framing in (b"Content-Length: %d\r\n\r\n" % len(body) + body, CHUNKED + b"%x\r\n" % len(body) + body):
        pool = pool_for(
            await play(answering(OK + framing + (b"" if b"Le" in framing[:12] else b"\r\n0\r\n\r\n")))
        )
        reply = await pool.send(get())
        assert await reply.read(len(body) - 1) is None
        assert await whole(reply) == body
        assert pool.connections == (1, 1)


async def test_reading_up_to_the_limit_is_whole(play, pool_for) -> None:
    body = bytes(range(256)) * 4000
    pool = pool_for(await play(answering(OK + CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")))
    assert await (await pool.send(get())).read(len(body)) == body


BROKEN = {
    "nothing": b"",
    "not HTTP": b"hello\r\n\r\n",
    "HTTP/0.9": b"<html>\n\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "half a head": OK + b"Content-Le",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "blank before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "blank before a colon that frames": OK + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "NUL in a value": OK + b"A: b\0\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": OK + b"A: b\rC: d\r\nContent-Length: 0\r\n\r\n",
    "length and chunked": OK + b"Content-Length: 5\r\n" + CHUNKED + b"0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a list of lengths": OK + b"Content-Length: 5, 6\r\n\r\nhello!",
    "length -1": OK + b"Content-Length: -1\r\n\r\n",
    "length +1": OK + b"Content-Length: +1\r\n\r\na",
    "length of 30 digits": OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\na",
    "gzip last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "gzip": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "too many fields": OK + b"A: b\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "only a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_what_is_not_a_response_is_broken(play, pool_for, answer: bytes) -> None:
    pool = pool_for(await play(answering(answer, then="end")))
    with pytest.raises(UpstreamBroken) as raised:
        await pool.send(put())
    assert raised.value.maybe_applied
    assert "127.0.0.1" in raised.value.reason
    assert pool.connections == (0, 0)


TOO_LARGE = {
    "one field without end": OK + b"A: " + b"a" * 2**16,
    "fields without end": OK + b"A: b\r\n" * 2**14,
    "a whole head": OK + (b"A: " + b"a" * 1000 + b"\r\n") * 70 + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_is_bounded_though_the_backend_goes_on(play, pool_for, answer: bytes) -> None:
    pool = pool_for(await play(answering(answer)))
    with pytest.raises(UpstreamBroken, match="too large"):
        await asyncio.wait_for(pool.send(put()), 5)
    assert pool.connections == (0, 0)


TRUNCATED = {
    "length": b"Content-Length: 6\r\n\r\nhello",
    "in a chunk": CHUNKED + b"6\r\nhello",
    "after a chunk": CHUNKED + b"5\r\nhello\r\n",
    "in a chunk size": CHUNKED + b"5\r\nhello\r\n0",
    "before the trailers end": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "bad chunk": CHUNKED + b"5\r\nhello\r\nx\r\n",
    "chunk of another size": CHUNKED + b"5\r\nhellohello\r\n",
}


@pytest.mark.parametrize("rest", TRUNCATED.values(), ids=TRUNCATED)
@pytest.mark.parametrize("way", ["read", "chunks"])
async def test_a_truncated_body_is_never_whole(play, pool_for, rest: bytes, way: str) -> None:
    pool = pool_for(await play(answering(OK + rest, then="end")))
    reply = await pool.send(get())
    assert reply.ready() is None
    with pytest.raises(UpstreamBroken) as raised:
        await (reply.read(100) if way == "read" else whole(reply))
    assert raised.value.maybe_applied
    assert reply.ready() is None
    assert pool.connections == (0, 0)


async def test_a_reset_is_not_the_end_of_a_body_without_length(play, pool_for) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK + b"\r\nhello")
        await go_on.wait()
        peer.reset()

    reply = await pool_for(await play(script)).send(get())
    go_on.set()
    with pytest.raises(UpstreamBroken):
        await whole(reply)


async def test_interim_responses_are_told_but_for_an_unasked_100(play, pool_for) -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 102 P\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    )
    pool = pool_for(await play(answering(answer, answer)))
    told: list[tuple[int, str, list[tuple[bytes, bytes]]]] = []
    for fields in ((), ((b"expect", b"100-continue"),)):
        call = get(b"/", *fields)
        call.early = lambda status, reason, fields: told.append((status, reason, list(fields)))
        reply = await pool.send(call)
        assert reply.status == 200
        told.append((reply.status, "", []))
    hints = (103, "Early Hints", [(b"Link", b"</a>")])
    rest = [hints, (102, "P", []), (200, "", [])]
    assert told == [*rest, (100, "Continue", []), *rest]


def websocket() -> Call:
    call = get(b"/ws", (b"Sec-WebSocket-Key", b"x"))
    call.expects_upgrade = b"websocket"
    return call


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"


async def test_a_tunnel_after_101(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        head = await peer.head()
        assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" in head
        await peer.send(SWITCHING + b"early")
        assert await peer.take(4) == b"ping"
        await peer.send(b"pong")
        assert await peer.rest() == b"bye"
        await peer.send(b"the end")

    pool = pool_for(await play(script))
    reply = await pool.send(websocket())
    assert reply.status == 101
    tunnel = reply.tunnel()
    assert await tunnel.read() == b"early"
    await tunnel.write(b"ping")
    assert await tunnel.read() == b"pong"
    await tunnel.write(b"bye")
    tunnel.write_eof()
    assert await tunnel.read() == b"the end"
    assert await tunnel.read() == b""
    tunnel.close()
    await eventually(lambda: pool.connections == (0, 0))
    with pytest.raises(UpstreamBroken):
        await tunnel.write(b"late")


async def test_a_tunnel_whose_backend_has_said_all_can_still_be_written_to(play, pool_for) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(SWITCHING)
        peer.write_eof()
        await peer.rest()

    backend = await play(script)
    tunnel = (await pool_for(backend).send(websocket())).tunnel()
    assert await tunnel.read() == b""
    await tunnel.write(b"still here")
    tunnel.close()
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)
    assert backend.peers[0].heard.endswith(b"still here")


async def test_closing_the_reply_closes_the_tunnel(play, pool_for) -> None:
    backend = await play(answering(SWITCHING))
    pool = pool_for(backend)
    reply = await pool.send(websocket())
    reply.close()
    await asyncio.wait_for(backend.peers[0].closed.wait(), 5)
    await eventually(lambda: pool.connections == (0, 0))


async def test_an_upgrade_that_is_declined_is_an_ordinary_answer(play, pool_for) -> None:
    pool = pool_for(await play(answering(OK + b"Upgrade: h2c\r\nContent-Length: 2\r\n\r\nno")))
    reply = await pool.send(websocket())
    assert (reply.status, reply.ready()) == (200, b"no")
    assert pool.connections == (1, 1)
    with pytest.raises(ValueError, match="101"):
        reply.tunnel()


async def test_a_tunnel_holds_both_sides_up(play, pool_for) -> None:
    flood = b"x" * 65536
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(SWITCHING)
        for _ in range(800):
            peer.write(flood)
        await read_on.wait()
        await peer.rest()

    backend = await play(script)
    tunnel = (await pool_for(backend).send(websocket())).tunnel()
    await eventually(lambda: backend.peers[0].unsent() > 2**24)
    stuck = [asyncio.create_task(tunnel.write(flood * 640))]
    await _settled(lambda: backend.peers[0].unsent())
    assert backend.peers[0].unsent() > 2**24
    assert not stuck[0].done()
    read_on.set()
    size = 0
    while size < 800 * len(flood):
        size += len(await tunnel.read())
    await stuck[0]
    tunnel.close()


async def _settled(measure) -> None:
    """Waits until a measure has not moved for a while."""
    last, still = measure(), 0
    async with asyncio.timeout(5):
        while still < 10:
            await asyncio.sleep(0.005)
            now = measure()
            last, still = now, still + 1 if now == last else 0


@pytest.mark.parametrize(
    "call",
    [
        get(b"/ HTTP/1.1\r\nX: y"),
        get(b"/a b"),
        get(b"/", (b"A", b"b\r\nC: d")),
        get(b"/", (b"A", b"b\nC: d")),
        get(b"/", (b"A", b"b\rC: d")),
        get(b"/", (b"A\r\nB", b"c")),
        get(b"/", (b"A", b"b\0")),
        put(b"", "PUT /x HTTP/1.1\r\nA: b\r\n\r\nGET"),
    ],
)
async def test_nothing_can_be_slipped_into_the_request(play, pool_for, call: Call) -> None:
    backend = await play(answering())
    with pytest.raises(ValueError, match="one HTTP message"):
        await pool_for(backend).send(call)
    assert backend.peers == []
