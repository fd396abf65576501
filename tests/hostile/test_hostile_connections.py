"""Connections: how they end, what a truncated request becomes, and who may wait for whom."""

from __future__ import annotations

import asyncio

import pytest
from support.raw_client import responses
from support.recording_backend import OK, RecordingBackend
from support.rows import NEXT, Connect, Proxy, request
from support.scripted_backend import eventually

CLOSE = b"Connection: close"
EMPTY = b"Content-Length: 0"
ANSWERED = b"ok"

TRUNCATED = [
    request(b"PUT /x", b"Content-Length: 5", body=b"abc"),
    request(b"POST /x", b"Content-Length: 5", body=b"abc"),
    request(b"POST /x", b"Content-Length: 5"),
    request(b"PUT /x", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"),
    request(b"POST /x", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"),
    request(b"POST /x", b"Transfer-Encoding: chunked", body=b"5\r\nabc"),
    request(b"POST /x", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n"),
    request(b"POST /x", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX-T: 1\r\n"),
    request(b"POST /x", b"Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\nabc"),
    request(b"PROPFIND /x", b"Content-Length: 5", body=b"abc"),
    request(b"GET /x", b"Content-Length: 5", body=b"abc"),
]


@pytest.mark.parametrize("how", ["half-closed", "closed", "reset"])
@pytest.mark.parametrize("raw", TRUNCATED, ids=range(len(TRUNCATED)))
async def test_truncated_content_is_never_complete_at_the_backend(
    raw: bytes, how: str, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url)
    client = await connect(app)
    await client.send(raw)
    if raw.startswith(b"PO"):  # it streams: the backend has its head already
        await eventually(lambda: backend.heard)
    if how == "half-closed":
        client.writer.write_eof()
        assert [seen.status for seen in responses(await client.rest())] == [400]
    elif how == "closed":
        client.close()
    else:
        client.abort()
    other = await connect(app)
    await other.send(request(b"DELETE /x", CLOSE))
    await other.rest()
    # The write that follows was not held up by a claim of the one that never came.
    whole = [heard for heard in backend.heard if heard.complete]
    assert [heard.line for heard in whole if heard.method != "GET"] == ["DELETE /x"]
    assert not any(heard.body for heard in whole)


async def test_content_that_turns_out_to_be_no_http(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """A chunk that is wrong arrives long after the head: the request under way is told at once."""
    client = await connect(await proxy(backend.url))
    await client.send(request(b"PUT /x", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"))
    await asyncio.sleep(0)
    await client.send(b"zz\r\n")
    assert [seen.status for seen in responses(await client.rest())] == [400]
    assert not any(heard.complete for heard in backend.heard)


async def test_a_client_that_sends_no_more_is_still_answered(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """RFC 9112 section 9.6: half a close is not a farewell."""
    client = await connect(await proxy(backend.url))
    await client.send(
        request(b"GET /a") + request(b"PUT /b", b"Content-Length: 1", body=b"x") + request(b"GET /c")
    )
    client.writer.write_eof()
    assert [seen.status for seen in responses(await client.rest())] == [200, 200, 200]


async def test_pipelined_requests_are_answered_in_order(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    backend.respond = lambda heard: OK.replace(
        b"\r\n\r\nok", b"\r\nX-For: " + heard.target.encode() + b"\r\n\r\nok"
    )
    client = await connect(await proxy(backend.url))
    await client.send(b"".join(request(b"GET /%d" % number) for number in range(100)) + NEXT)
    seen = responses(await client.rest())
    assert [one.one("x-for") for one in seen] == [f"/{number}" for number in range(100)] + ["/next"]


async def test_what_comes_behind_a_refused_request_is_dropped(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    await client.send(request(b"GET /a"), request(b"G@T /b"), request(b"DELETE /c"))
    assert [seen.status for seen in responses(await client.rest())] in ([200, 400], [400])
    assert "DELETE /c" not in backend.lines


async def test_content_that_arrived_and_was_not_wanted_is_no_reason_to_close(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    refused = request(b"PUT /x", b"Expect: nothing", b"Content-Length: 3", body=b"abc")
    await client.send(refused + request(b"GET /a", CLOSE))
    assert [seen.status for seen in responses(await client.rest())] == [417, 200]


UNREAD = [
    (b'If-Match: "old"', 412),
    (b"If-Match: x", 400),
    (b"Expect: something", 417),
]


@pytest.mark.parametrize(("field", "status"), UNREAD)
async def test_a_refusal_comes_before_the_content_and_is_read(
    field: bytes, status: int, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """The client goes on sending: it reads the answer, and no reset eats it."""
    client = await connect(await proxy(backend.url))
    await client.send(request(b"PUT /x", field, b"Content-Length: 600000", body=b"x" * 1000))
    await client.until(b"\r\n\r\n")
    await client.send(b"x" * 500_000)
    (seen,) = responses(await client.rest(), reset=client.reset)
    assert (seen.status, seen.ended, client.reset) == (status, True, False)
    assert seen.one("connection") == "close"
    assert [heard.line for heard in backend.heard] in ([], ["GET /x"])


async def test_a_refused_client_that_never_stops_sending_is_cut_off(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    await client.send(request(b"PUT /x", b'If-Match: "old"', b"Content-Length: 900000000"))
    await client.until(b"\r\n\r\n")
    async with asyncio.timeout(5):
        while not client.writer.is_closing():
            client.writer.write(b"x" * 100_000)
            try:
                await client.writer.drain()
            except ConnectionError:
                break


async def test_100_continue_only_where_content_is_wanted(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url)
    for condition, statuses in ((b'If-Match: "old"', [412]), (b'If-Match: "v1"', [100, 200])):
        client = await connect(app)
        await client.send(request(b"PUT /x", condition, b"Expect: 100-continue", b"Content-Length: 3", CLOSE))
        await client.until(b"\r\n\r\n")
        await client.send(b"abc")
        assert [seen.status for seen in responses(await client.rest())] == statuses
    assert [heard.body for heard in backend.heard if heard.method == "PUT"] == [b"abc"]


UPGRADES = [
    (b"GET /x", b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQ"),
    (b"GET /x", b"Upgrade: websocket, h2c", b"Connection: Upgrade"),
    (b"GET /x", b"Upgrade: TLS/1.0", b"Connection: Upgrade"),
    (b"OPTIONS *", b"Upgrade: TLS/1.0", b"Connection: Upgrade"),
    (b"DELETE /x", b"Upgrade: websocket", b"Connection: Upgrade"),
    (b"POST /x", b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 0"),
    (b"GET /x", b"Upgrade: websocket"),
]


@pytest.mark.parametrize("row", UPGRADES, ids=[b" ".join(row).decode() for row in UPGRADES])
async def test_nothing_but_websockets_leaves_http(
    row: tuple[bytes, ...], backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    await client.send(request(*row) + NEXT)
    seen = responses(await client.rest())
    assert [one.status for one in seen] in ([200], [200, 200])
    assert all(heard.all("upgrade") == [] for heard in backend.heard)


async def test_a_declined_websocket_ends_with_its_answer(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    await client.send(request(b"GET /x", b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 3"))
    await client.send(b"abc" + request(b"DELETE /smuggled"))
    assert [seen.status for seen in responses(await client.rest())] == [200]
    assert [(heard.line, heard.body) for heard in backend.heard] == [("GET /x", b"abc")]


async def test_a_websocket_is_tunnelled(backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello"
    backend.early = lambda _: switch
    client = await connect(await proxy(backend.url))
    await client.send(request(b"GET /x", b"Upgrade: websocket", b"Connection: Upgrade"))
    (seen,) = responses(await client.until(b"hello"))
    assert (seen.status, seen.one("upgrade"), seen.body) == (101, "websocket", b"hello")
