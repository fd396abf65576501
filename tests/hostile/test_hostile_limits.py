"""Limits: each one a setting, each refused with its own status, and none of them at others' expense."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.raw_client import responses
from support.recording_backend import OK, RecordingBackend
from support.rows import NEXT, Connect, Proxy, request
from support.scripted_backend import eventually

CLOSE = b"Connection: close"
SMALL = {"header_size": "2048", "header_count": 10, "target": "512", "body": "1000"}

ROWS: list[tuple[str, bytes, int]] = [
    ("a target that just fits", request(b"GET /" + b"a" * 511), 200),
    ("a target that is too long", request(b"GET /" + b"a" * 512), 414),
    ("a target that the parser refuses", request(b"GET /" + b"a" * 10_000), 414),
    ("a target of a megabyte", request(b"GET /" + b"a" * 1_000_000), 414),
    ("a target that never ends", b"GET /" + b"a" * 1_000_000, 414),
    ("a query that is too long", request(b"GET /?" + b"a" * 512), 414),
    ("an absolute target that is too long", request(b"GET http://a/" + b"a" * 10_000), 414),
    ("a field that just fits", request(b"GET /", b"X-A: " + b"a" * 1900), 200),
    ("a field that is too long", request(b"GET /", b"X-A: " + b"a" * 2049), 431),
    ("a field that looks like a target", request(b"GET /", b"X-A: /" + b"a" * 10_000), 431),
    ("a field that is named like one", request(b"GET /", b"http" + b"a" * 10_000 + b": x"), 431),
    ("a name that is too long", request(b"GET /", b"X" * 10_000 + b": a"), 431),
    ("a field that never ends", request(b"GET /")[:-2] + b"X-A: " + b"a" * 1_000_000, 431),
    ("fields that are too long together", request(b"GET /", *[b"X-A: " + b"a" * 500] * 5), 431),
    ("fields that just fit", request(b"GET /", *[b"X-A: a"] * 9), 200),
    ("one field too many", request(b"GET /", *[b"X-A: a"] * 10), 431),
    ("fields without end", request(b"GET /")[:-2] + b"X-A: a\r\n" * 100_000, 431),
    ("content that just fits", request(b"PUT /", b"Content-Length: 1000", body=b"a" * 1000), 200),
    ("a length that is too large", request(b"PUT /", b"Content-Length: 1001", body=b"a"), 413),
    ("a length that is too large, of a POST", request(b"POST /", b"Content-Length: 1001", body=b"a"), 413),
    ("a length of 10^18 - 1", request(b"PUT /", b"Content-Length: " + b"9" * 18), 413),
    ("chunks that are too large", request(b"PUT /", CLOSE, b"Transfer-Encoding: chunked",
        body=b"3e9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n"), 413),
    ("chunks that are too large, of a POST", request(b"POST /", CLOSE, b"Transfer-Encoding: chunked",
        body=b"1f5\r\n" + b"a" * 501 + b"\r\n1f5\r\n" + b"a" * 501 + b"\r\n0\r\n\r\n"), 413),
    ("a length that is too large, with Expect", request(b"PUT /", b"Expect: 100-continue",
        b"Content-Length: 1001"), 413),
]  # fmt: skip


@pytest.mark.parametrize(("name", "raw", "status"), ROWS, ids=[name for name, _, _ in ROWS])
async def test_sizes(
    name: str, raw: bytes, status: int, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, limits=SMALL))
    await client.send(raw + NEXT if status == 200 else raw)
    seen = responses(await client.rest(), reset=client.reset)
    assert [one.status for one in seen] == ([200, 200] if status == 200 else [status]), name
    assert (status == 200) == any(heard.complete for heard in backend.heard)


TAGS = [
    (b"If-Match: " + b",".join([b'"t"'] * 50), 412),
    (b"If-Match: " + b",".join([b'"t"'] * 51), 400),
    (b"If-Match: " + b"," * 51 + b'"v1"', 400),
    (b"If-None-Match: " + b",".join([b'"t"'] * 51), 400),
]


@pytest.mark.parametrize(("field", "status"), TAGS, ids=["50", "51", "commas", "If-None-Match"])
async def test_tags(
    field: bytes, status: int, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, limits={"tags": 50}))
    await client.send(request(b"DELETE /", field, CLOSE))
    assert [seen.status for seen in responses(await client.rest())] == [status]
    assert not any(heard.method == "DELETE" for heard in backend.heard)


@pytest.mark.parametrize("tag", [b'"%d",', b'W/"%d" , ', b",%d", b'"%d" '])
@pytest.mark.parametrize("limits", [{}, {"header_size": "4MiB"}], ids=["", "large heads allowed"])
async def test_a_hundred_thousand_tags_cost_nothing_to_speak_of(
    tag: bytes, limits: dict[str, Any], backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, limits=limits))
    raw = request(b"DELETE /", b"If-Match: " + b"".join(tag % number for number in range(100_000)))
    began = time.process_time()
    await client.send(raw)
    (seen,) = responses(await client.until(b"\r\n\r\n"))
    assert seen.status == (400 if limits else 431)
    assert time.process_time() - began < 0.25
    assert backend.heard == []


SLOW = [
    ("nothing but a method", b"GET"),
    ("a head without its end", request(b"GET /")[:-2]),
    ("a field that goes on", request(b"PUT /")[:-2] + b"X-A: b"),
]


@pytest.mark.parametrize(("name", "raw"), SLOW, ids=[name for name, _ in SLOW])
async def test_a_head_must_come_in_time(
    name: str, raw: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, limits={"head_timeout": "50ms"}))
    await client.send(raw)
    assert [seen.status for seen in responses(await client.rest())] == [408], name


async def test_a_head_that_drips_must_come_in_time_too(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, limits={"head_timeout": "100ms"}))
    await client.send(request(b"GET /")[:-2])
    waiting = client.rest()

    async def drip() -> None:
        while True:
            await client.send(b"X: y\r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.ensure_future(drip())
    assert [seen.status for seen in responses(await waiting)] == [408]
    dripping.cancel()


@pytest.mark.parametrize("method", [b"PUT", b"POST"])
async def test_content_must_go_on(
    method: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, limits={"body_timeout": "50ms"}))
    await client.send(request(method + b" /", b"Content-Length: 10", body=b"a"))
    assert [seen.status for seen in responses(await client.rest())] == [408]
    assert not any(heard.complete for heard in backend.heard)


async def test_an_idle_connection_is_closed(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url, limits={"idle_timeout": "50ms"})
    silent, used = await connect(app), await connect(app)
    await used.send(request(b"GET /"))
    assert await silent.rest() == b""
    assert [seen.status for seen in responses(await used.rest())] == [200]


async def test_connections(backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    app = await proxy(backend.url, limits={"connections": 2})
    first, second = await connect(app), await connect(app)
    for client in (first, second):
        await client.send(request(b"GET /"))
        await client.until(b"ok")
    third = await connect(app)
    (seen,) = responses(await third.rest())
    assert (seen.status, seen.one("retry-after"), seen.ended) == (503, "1", True)
    first.close()
    for _ in range(100):  # until the proxy has seen that the first has gone
        fourth = await connect(app)
        await fourth.send(request(b"GET /", CLOSE))
        if responses(await fourth.rest(), reset=fourth.reset)[0].status == 200:
            return
    raise AssertionError("the place was not given free")


async def test_a_client_that_does_not_read_is_given_up(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """It holds a connection to the backend, and whatever waits to be sent."""
    size = 30_000_000
    backend.respond = lambda _: (
        OK.replace(b"Content-Length: 2", b"Content-Length: %d" % size)[:-2] + b"x" * size
    )
    app = await proxy(backend.url, limits={"body_timeout": "100ms"})
    client = await connect(app)
    client.writer.transport.pause_reading()
    await client.send(request(b"GET /"))
    await eventually(lambda: backend.heard)
    await eventually(lambda: app._edge.open == 0)


async def test_a_client_that_takes_no_short_answers_is_given_up_too(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url, limits={"body_timeout": "100ms", "idle_timeout": "50ms"})
    client = await connect(app)
    client.writer.transport.pause_reading()
    backend.respond = lambda _: (
        OK.replace(b"Content-Length: 2", b"Content-Length: 50000")[:-2] + b"x" * 50_000
    )
    sending = asyncio.ensure_future(client.send(*[request(b"GET /")] * 3000))
    await eventually(lambda: app._edge.open == 0, seconds=10.0)
    sending.cancel()


async def test_slow_clients_hold_no_claim(backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    app = await proxy(backend.url)
    slow = [await connect(app) for _ in range(50)]
    for client in slow:
        await client.send(request(b"PUT /x", b'If-Match: "v1"', b"Content-Length: 10", body=b"a"))
    quick = await connect(app)
    await quick.send(request(b"PUT /x", b'If-Match: "v1"', b"Content-Length: 1", CLOSE, body=b"q"))
    assert [seen.status for seen in responses(await quick.rest())] == [200]
    assert [heard.body for heard in backend.heard if heard.method == "PUT"] == [b"q"]


async def test_the_memory_store_is_bounded_and_forgetting_is_safe(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url, store={"url": "memory", "capacity": 10})
    client = await connect(app)
    for number in range(100):
        await client.send(request(b"GET /%d" % number))
    await client.send(request(b"PUT /0", b'If-Match: "old"', b"Content-Length: 0"))
    await client.send(request(b"PUT /99", b'If-Match: "old"', b"Content-Length: 0", CLOSE))
    seen = responses(await client.rest())
    assert [one.status for one in seen] == [200] * 100 + [412, 412]
    assert not any(heard.method == "PUT" for heard in backend.heard)


async def test_a_head_is_bounded_before_it_ends(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """No field is too long, and there are not too many: it is the head as a whole that goes on and on."""
    client = await connect(await proxy(backend.url, limits={"header_size": "2048", "header_count": 1000}))
    await client.send(request(b"GET /")[:-2], *[b"X: " + b"a" * 2000 + b"\r\n"] * 100)
    assert [seen.status for seen in responses(await client.rest(), reset=client.reset)] == [431]
