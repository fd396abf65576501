"""Backends that speak odd HTTP: what becomes of their answers, and that a broken one never looks whole."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest
from support.raw_client import Seen, responses
from support.recording_backend import OK, Heard, RecordingBackend
from support.rows import Connect, Proxy, request

CLOSE = b"Connection: close"
EMPTY = b"Content-Length: 0"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
LONG = {"defaults": {"hash_limit": "1"}}  # nothing is read before the head goes on
BIG = b"x" * 300_000


class Row(NamedTuple):
    """An answer of the backend, after which it closes; 0 for the status: the client's connection breaks."""

    name: str
    answer: bytes
    status: int
    body: bytes | None = None
    ended: bool = True
    method: str = "GET"
    fields: tuple[str, ...] = ()


def broken(name: str, answer: bytes, method: str = "GET") -> Row:
    return Row(name, answer, 502, method=method)


ROWS = [
    Row("a plain answer", OK, 200, b"ok"),
    Row("no reason phrase", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    Row("not even the blank before it", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    Row("HTTP/1.0 until it closes", b"HTTP/1.0 200 OK\r\n\r\nok", 200, b"ok"),
    Row("HTTP/1.1 until it closes", HEAD + b"\r\nok", 200, b"ok"),
    Row("HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    Row("chunked", CHUNKED + b"1;x=y\r\no\r\n1\r\nk\r\n0\r\nX-T: 1\r\n\r\n", 200, b"ok"),
    Row("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok"),
    Row("surplus behind a length", HEAD + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", 200, b"ok"),
    Row("surplus behind the last chunk", CHUNKED + b"2\r\nok\r\n0\r\n\r\nxx", 200, b"ok"),
    Row("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", method="PUT"),
    Row("204 with content", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", 204, b""),
    Row("204 with chunks", CHUNKED.replace(b"200 OK", b"204 X") + b"2\r\nok\r\n0\r\n\r\n", 204, b""),
    Row("205 with content", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok", 205, b""),
    Row("304 with content", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", 304, b""),
    Row("304 that nobody asked for", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 304, b""),
    Row("412 of its own", b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 2\r\n\r\nno", 412, b"no"),
    Row("412 to a write", b"HTTP/1.1 412 X\r\nContent-Length: 2\r\n\r\nno", 412, b"no", method="PUT"),
    Row("428 of its own", b"HTTP/1.1 428 X\r\nContent-Length: 2\r\n\r\nno", 428, b"no", method="PUT"),
    Row("a status nobody knows", b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", 599, b"ok"),
    Row("an ETag on a 404", b'HTTP/1.1 404 X\r\nETag: "gone"\r\nContent-Length: 2\r\n\r\nno', 404, b"no"),
    Row("content of a HEAD", HEAD + b'ETag: "v1"\r\nContent-Length: 2\r\n\r\nok', 200, b"", method="HEAD"),
    Row("103 before the answer", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, 200, b"ok"),
    Row("100 that nobody asked for", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
    Row("many interim answers", b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + OK, 200, b"ok"),
    Row("two lengths, the same", HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", 502),
    broken("two lengths, different", HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    broken("both framings", CHUNKED.replace(b"OK", b"OK\r\nContent-Length: 2") + b"2\r\nok\r\n0\r\n\r\n"),
    broken("a signed length", HEAD + b"Content-Length: +2\r\n\r\nok"),
    broken("a negative length", HEAD + b"Content-Length: -2\r\n\r\nok"),
    broken("no length but words", HEAD + b"Content-Length: two\r\n\r\nok"),
    broken("a coding that is not known", HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    broken("no HTTP", b"hello\r\n\r\n"),
    broken("HTTP/0.9", b"<html>hello</html>"),
    broken("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    broken("ICY", b"ICY 200 OK\r\n\r\nok"),
    broken("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    broken("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    broken("a status of words", b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok"),
    broken("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    broken("nothing", b" "),
    broken("only an interim answer", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    broken("101 that nobody asked for", SWITCH),
    broken("101 to a write", SWITCH, "PUT"),
    broken("a field of 100 kB", HEAD + b"X-A: " + b"x" * 100_000 + b"\r\nContent-Length: 2\r\n\r\nok"),
    broken("a thousand fields", HEAD + b"X-A: x\r\n" * 1000 + b"Content-Length: 2\r\n\r\nok"),
    broken("a head that never ends", HEAD + b"X-A: x\r\n" * 30_000),
    broken("a blank before a colon", HEAD + b"Content-Length : 2\r\n\r\nok"),
    # Short enough to be read whole before the client is told anything.
    broken("a short answer that is cut off", HEAD + b"Content-Length: 3\r\n\r\nok"),
    broken("short chunks that are cut off", CHUNKED + b"2\r\nok\r\n"),
    broken("a bad chunk size", CHUNKED + b"2\r\nok\r\nzz\r\n"),
    broken("a write's answer that is cut off", HEAD + b"Content-Length: 3\r\n\r\nok", "PUT"),
]  # fmt: skip


async def answered(
    backend: RecordingBackend,
    app_for: Proxy,
    connect: Connect,
    answer: bytes,
    method: str,
    **settings: object,
) -> tuple[list[Seen], bool]:
    backend.respond = lambda _: answer
    backend.closes = True
    client = await connect(await app_for(backend.url, **settings))
    await client.send(request(f"{method} /x".encode(), CLOSE, *([EMPTY] if method == "PUT" else [])))
    data = await client.rest()
    return responses(data, [method], reset=client.reset), client.reset


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_answers(row: Row, backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    seen, _ = await answered(backend, proxy, connect, row.answer, row.method)
    assert (seen[-1].status, seen[-1].ended) == (row.status, True)
    assert all(100 < interim.status < 200 for interim in seen[:-1])
    if row.body is not None:
        assert seen[-1].body == row.body


CUT_OFF = [
    ("within a length", HEAD + b"Content-Length: 400000\r\n\r\n" + BIG),
    ("one byte before the end", HEAD + b"Content-Length: 300001\r\n\r\n" + BIG),
    ("before the last chunk", CHUNKED + b"493e0\r\n" + BIG + b"\r\n"),
    ("within a chunk", CHUNKED + b"4ffff\r\n" + BIG),
    (
        "within the last chunk's line",
        CHUNKED + b"493e0\r\n" + BIG + b"\r\n0\r\n",
    ),
    ("by a bad size", CHUNKED + b"493e0\r\n" + BIG + b"\r\nzz\r\n0\r\n\r\n"),
    (
        "by a chunk that is too long",
        CHUNKED + b"493e0\r\n" + BIG + b"x\r\n0\r\n\r\n",
    ),
]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(("name", "answer"), CUT_OFF, ids=[name for name, _ in CUT_OFF])
async def test_an_answer_that_is_cut_off_never_looks_whole(
    name: str, answer: bytes, version: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    backend.respond, backend.closes = (lambda _: answer), True
    client = await connect(await proxy(backend.url, **LONG))
    await client.send(request(b"GET /x", CLOSE, version=version))
    data = await client.rest()
    assert data.startswith(b"HTTP/1.1 200"), name
    seen = responses(data, reset=client.reset)
    assert [one.ended for one in seen] == [False]


VALIDATORS = [
    (b'ETag: "a"\r\nETag: "b"', "a tag in two lines"),
    (b"ETag: unquoted", "no quotes"),
    (b'ETag: "a', "one quote"),
    (b"ETag: ", "nothing"),
    (b'ETag: "a b"', "a blank"),
    (b'ETag: w/"a"', "a small w"),
    (b'ETag: "a", "b"', "a list"),
    (b"Last-Modified: yesterday", "a word for a date"),
    (b"Last-Modified: Sun, 99 Nov 1994 08:49:37 GMT", "a day that is none"),
    (b"Last-Modified: 0", "a number for a date"),
]


@pytest.mark.parametrize(("field", "name"), VALIDATORS, ids=[name for _, name in VALIDATORS])
async def test_validators_that_are_none(
    field: bytes, name: str, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """A tag is minted in their place, it guards writes, and what is no tag guards nothing."""
    backend.respond = lambda heard: (
        HEAD + field + b"\r\nContent-Length: 2\r\n\r\n" + b"ok" * (heard.method != "HEAD")
    )
    app = await proxy(backend.url)

    async def status(line: bytes, *fields: bytes) -> Seen:
        client = await connect(app)
        await client.send(request(line, *fields, CLOSE))
        return responses(await client.rest(), [line.split()[0].decode()])[-1]

    tag = (await status(b"GET /x")).one("etag")
    assert tag is not None, name
    assert tag.startswith('"')
    assert (await status(b"HEAD /x")).one("etag") == tag
    assert (await status(b"DELETE /x", b"If-Match: " + tag.encode())).status == 200
    assert (await status(b"DELETE /x", b'If-Match: "a"')).status == 412
    assert (await status(b"GET /x", b"If-None-Match: " + tag.encode())).status == 304
    assert len([heard for heard in backend.heard if heard.method == "DELETE"]) == 1


HEADS = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS, ids=[head.split(b"\r\n")[0].decode() for head in HEADS])
async def test_a_head_that_differs_from_its_get_harms_no_write(
    head: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    backend.respond = lambda heard: head if heard.method == "HEAD" else OK
    app = await proxy(backend.url)
    statuses = []
    for line, condition in (
        (b"HEAD /x", b"X: y"),
        (b"PUT /x", b'If-Match: "old"'),
        (b"PUT /x", b'If-Match: "v1"'),
        (b"HEAD /x", b"X: y"),
        (b"PUT /x", b'If-Match: "v1"'),
    ):
        client = await connect(app)
        await client.send(request(line, condition, CLOSE, *([EMPTY] if line.startswith(b"PUT") else [])))
        statuses.append(responses(await client.rest(), [line.split()[0].decode()])[-1].status)
    assert statuses[1:3] == [412, 200]
    assert statuses[4] == 200
    assert sum(heard.method == "PUT" for heard in backend.heard) == 2


@pytest.mark.parametrize("status", [b"401", b"403", b"301", b"500", b"503"])
async def test_a_probe_that_is_not_answered_decides_nothing(
    status: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    backend.respond = lambda _: b"HTTP/1.1 " + status + b' X\r\nETag: "v1"\r\nContent-Length: 0\r\n\r\n'
    client = await connect(await proxy(backend.url))
    await client.send(request(b"PUT /x", b'If-Match: "v1"', EMPTY, CLOSE))
    (seen,) = responses(await client.rest())
    assert seen.status == (503 if status >= b"500" else int(status))
    assert [heard.method for heard in backend.heard] == ["GET"]


async def test_an_etag_on_a_404_is_no_version(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    def respond(heard: Heard) -> bytes:
        return OK if heard.method == "PUT" else b'HTTP/1.1 404 X\r\nETag: "v1"\r\nContent-Length: 0\r\n\r\n'

    backend.respond = respond
    app = await proxy(backend.url)
    statuses = []
    for condition in (b'If-Match: "v1"', b"If-Match: *", b"If-None-Match: *"):
        client = await connect(app)
        await client.send(request(b"PUT /x", condition, EMPTY, CLOSE))
        statuses.append(responses(await client.rest())[0].status)
    assert statuses == [412, 412, 200]


CONTROLS = [b"a\rSet-Cookie: x=1", b"a\x00b", b"a\rb", b"a\r\rb"]


@pytest.mark.parametrize("value", CONTROLS)
@pytest.mark.parametrize("interim", [b"", b"103 Early Hints"])
async def test_no_line_breaks_pass_to_the_client(
    value: bytes, interim: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """RFC 9110 section 5.5: a CR that a backend copied from a request could end a field further on."""
    field = b"X-A: " + value + b"\r\n"
    answer = (
        b"HTTP/1.1 " + interim + b"\r\n" + field + b"\r\n" + OK
        if interim
        else OK.replace(b"ETag", field + b"ETag")
    )
    seen, _ = await answered(backend, proxy, connect, answer, "GET")
    assert seen[-1].status in {200, 502}  # the client reads strictly: what it has seen is clean
    assert all(one.all("set-cookie") == [] for one in seen)


async def test_hop_by_hop_fields_of_interim_and_final_answers_stay_here(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    hop = b"Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n"
    answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" + hop + b"\r\n" + OK.replace(b"ETag", hop + b"ETag")
    )
    (early, final), _ = await answered(backend, proxy, connect, answer, "GET")
    assert early.fields == [("link", "</a>")]
    assert {name for name, _ in final.fields} == {"etag", "content-length", "date", "connection"}
    assert final.one("connection") == "close"


async def test_interim_answers_are_not_for_http_1_0(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    backend.respond = lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    client = await connect(await proxy(backend.url))
    await client.send(request(b"GET /x", version=b"1.0"))
    assert [seen.status for seen in responses(await client.rest())] == [200]


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
async def test_an_answer_before_the_content_was_read(
    method: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """The backend answers at the head, closes, and never reads the megabytes that follow."""
    backend.early = lambda heard: (
        b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
        if heard.method != "GET"
        else b""
    )
    client = await connect(await proxy(backend.url))
    body = b"x" * 4_000_000
    sending = asyncio.ensure_future(
        client.send(request(method + b" /x", b"Content-Length: 4000000", body=body))
    )
    seen = responses(await client.until(b"\r\n\r\nno"), reset=client.reset)
    sending.cancel()
    assert seen[0].status in {413, 502}


async def test_no_connection_is_used_again_after_an_answer_with_a_surplus(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """The surplus would be the answer to somebody else's request."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    backend.respond = lambda heard: OK + surplus if heard.target == "/evil" else OK
    app = await proxy(backend.url)
    first, second = await connect(app), await connect(app)
    await first.send(request(b"GET /evil", CLOSE))
    assert responses(await first.rest())[0].body == b"ok"
    await second.send(request(b"GET /good", CLOSE))
    assert responses(await second.rest())[0].body == b"ok"
