"""Reading through the proxy: validators that were not there, conditions that the backend never heard of."""

from __future__ import annotations

import asyncio
import gzip
import re

import pytest
from support.http1 import Message, read_chunk
from support.legacy import DATE, Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.wire_client import Client

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
MINTED = re.compile(r'"pp1\.[A-Za-z0-9_-]{22}"')


def minted(answer: Message) -> str:
    """The answer's one tag, which the proxy must have made."""
    (tag,) = answer.all("ETag")
    assert MINTED.fullmatch(tag), tag
    return tag


# Tags.


async def test_a_tag_is_minted_and_head_shows_the_same(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "hello")
    got = await client.request("GET", "/a")
    head = await client.request("HEAD", "/a")
    assert (got.status, got.body, head.status, head.body) == (200, b"hello", 200, b"")
    assert minted(got) == minted(head)
    assert got["Content-Length"] == head["Content-Length"] == "5"
    assert head["Content-Type"] == "text/plain"


async def test_a_tag_is_the_same_on_every_replica_and_means_one_content_of_one_resource(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "hello")
    legacy.put("/b", "hello")
    one, other = connect(await start_proxy()), connect(await start_proxy())
    stranger = connect(await start_proxy(tag_secret="some other secret, long enough"))
    tag = minted(await one.request("GET", "/a"))
    assert minted(await other.request("GET", "/a")) == tag
    assert minted(await one.request("GET", "/b")) != tag
    assert minted(await stranger.request("GET", "/a")) != tag
    legacy.put("/a", "hello!")
    assert minted(await other.request("GET", "/a")) != tag


@pytest.mark.parametrize("etag", ['"own"', '"caf\u00e9"', '""'])
async def test_a_strong_tag_of_the_backend_is_left_alone(legacy: Legacy, client: Client, etag: str) -> None:
    legacy.put("/a", etag=etag)
    for method in ("GET", "HEAD"):
        assert (await client.request(method, "/a")).all("ETag") == [etag]


async def test_a_weak_tag_is_replaced_and_still_matches(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", etag='W/"w"')
    got = await client.request("GET", "/a")
    tag = minted(got)
    assert minted(await client.request("HEAD", "/a")) == tag
    for asked in ('W/"w"', '"w"', tag, f"W/{tag}", f'"x", {tag}'):
        same = await client.request("GET", "/a", ("If-None-Match", asked))
        assert (same.status, same["ETag"]) == (304, tag), asked
    assert (await client.request("GET", "/a", ("If-None-Match", '"v"'))).status == 200


@pytest.mark.parametrize("invalid", ["unquoted", '"a", "b"', "W/unquoted", '"open'])
async def test_an_invalid_tag_of_the_backend_is_none(legacy: Legacy, client: Client, invalid: str) -> None:
    legacy.put("/a", etag=invalid)
    assert minted(await client.request("GET", "/a")) == minted(await client.request("HEAD", "/a"))


async def test_gzip_has_a_tag_of_its_own_and_a_write_may_name_either(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "hello " * 20, zips=True)
    plain = await client.request("GET", "/a")
    zipped = await client.request("GET", "/a", ("Accept-Encoding", "gzip"))
    assert gzip.decompress(zipped.body) == plain.body
    assert zipped["ETag"] == minted(plain)[:-1] + '-gzip"'
    for tag in (plain["ETag"], zipped["ETag"]):
        legacy.put("/a", "hello " * 20, zips=True)
        assert (await client.request("PUT", "/a", ("If-Match", str(tag)), body=b"x")).status == 204
    legacy.put("/a", "changed", zips=True)
    assert (await client.request("PUT", "/a", ("If-Match", str(zipped["ETag"])), body=b"x")).status == 412


# 304 and 412.


async def test_a_304_has_the_fields_of_its_200_but_for_the_content(legacy: Legacy, client: Client) -> None:
    fields = [
        ("Vary", "Accept"),
        ("Cache-Control", "max-age=5"),
        ("Expires", DATE),
        ("Content-Location", "/a.txt"),
    ]
    legacy.put("/a", "hello", last_modified=MODIFIED, fields=[*fields, ("Content-Language", "de")])
    tag = minted(await client.request("GET", "/a"))
    for method in ("GET", "HEAD"):
        same = await client.request(method, "/a", ("If-None-Match", tag))
        assert (same.status, same.body, same["ETag"], same["Date"]) == (304, b"", tag, DATE)
        # RFC 9110 section 15.4.5: these would have been sent in the 200.
        assert [same[name] for name in ("Vary", "Cache-Control", "Expires")] == ["Accept", "max-age=5", DATE]
        for name in ("Content-Length", "Transfer-Encoding", "Content-Type", "Content-Language"):
            assert name not in same, name
    assert legacy.last("GET")["If-None-Match"] is None  # the backend does not know our tag


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_conditions_of_a_read_that_fail_are_412(legacy: Legacy, client: Client, method: str) -> None:
    legacy.put("/a", "hello", last_modified=MODIFIED)
    tag = minted(await client.request("GET", "/a"))
    for asked in (("If-Match", '"other"'), ("If-Unmodified-Since", EARLIER)):
        answer = await client.request(method, "/a", asked)
        assert (answer.status, answer["ETag"], answer["Last-Modified"]) == (412, tag, MODIFIED)
        assert b"hello" not in answer.body
    for asked in (("If-Match", tag), ("If-Match", "*"), ("If-Unmodified-Since", MODIFIED)):
        assert (await client.request(method, "/a", asked)).status == 200


async def test_a_backend_that_does_answer_304_is_believed(legacy: Legacy, client: Client) -> None:
    async def not_modified(exchange: Exchange) -> None:
        await exchange.answer(304 if exchange.request["If-None-Match"] == '"own"' else 200, ("ETag", '"own"'))

    legacy.on("GET", "/a", not_modified)
    answer = await client.request("GET", "/a", ("If-None-Match", '"own"'))
    assert (answer.status, answer["ETag"], answer.body) == (304, '"own"', b"")
    assert (await client.request("GET", "/a")).status == 200


# Ranges.


@pytest.mark.parametrize("etag", [None, 'W/"w"'])
async def test_if_range_with_a_minted_tag(legacy: Legacy, client: Client, etag: str | None) -> None:
    legacy.put("/a", "0123456789", etag=etag)
    tag = minted(await client.request("GET", "/a"))
    for span, part in (("2-4", "2-4"), ("7-", "7-9"), ("-3", "7-9"), ("5-99", "5-9")):
        answer = await client.request("GET", "/a", ("Range", f"bytes={span}"), ("If-Range", tag))
        first, last = map(int, part.split("-"))
        assert (answer.status, answer.body) == (206, b"0123456789"[first : last + 1])
        assert (answer["Content-Range"], answer["ETag"]) == (f"bytes {part}/10", tag)
    answer = await client.request("GET", "/a", ("Range", "bytes=10-"), ("If-Range", tag))
    assert (answer.status, answer["Content-Range"]) == (416, "bytes */10")
    legacy.put("/a", "abcdefghij", etag=etag)
    answer = await client.request("GET", "/a", ("Range", "bytes=2-4"), ("If-Range", tag))
    assert (answer.status, answer.body, "Content-Range" in answer) == (200, b"abcdefghij", False)


@pytest.mark.parametrize(
    ("if_range", "status"),
    [('"own"', 206), ('"old"', 200), ('W/"own"', 200), (MODIFIED, 206), (EARLIER, 200), ("junk", 200)],
)
async def test_if_range_with_what_the_backend_sends(
    legacy: Legacy, client: Client, if_range: str, status: int
) -> None:
    legacy.put("/a", "0123456789", etag='"own"', last_modified=MODIFIED)
    answer = await client.request("GET", "/a", ("Range", "bytes=2-4"), ("If-Range", if_range))
    assert answer.status == status
    assert answer.body == (b"234" if status == 206 else b"0123456789")


async def test_a_date_of_the_same_second_is_too_weak_for_if_range(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "0123456789", last_modified=DATE)  # RFC 9110 section 13.1.5: not a strong validator
    answer = await client.request("GET", "/a", ("Range", "bytes=2-4"), ("If-Range", DATE))
    assert (answer.status, answer.body) == (200, b"0123456789")


async def test_a_206_without_conditions_passes_untouched(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "0123456789")
    answer = await client.request("GET", "/a", ("Range", "bytes=2-4"))
    assert (answer.status, answer.body, answer["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert "ETag" not in answer
    assert len(legacy.seen("GET")) == 1


# What is not looked at.


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_content_over_the_hash_limit_streams_through_without_a_tag(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, framing: str
) -> None:
    async def big(exchange: Exchange) -> None:
        if exchange.request.method == "HEAD":
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n")
        elif framing == "length":
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000)
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await exchange.send((b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 3 + b"0\r\n\r\n")

    legacy.on("GET", "/big", big)
    legacy.on("HEAD", "/big", big)
    client = connect(await start_proxy(defaults={"hash_limit": 2999}))
    head = await client.request("HEAD", "/big")
    assert (head.status, head["Content-Length"], "ETag" in head) == (200, "3000", False)
    answer = await client.request("GET", "/big")
    assert (answer.status, answer.body, "ETag" in answer) == (200, b"x" * 3000, False)
    client = connect(await start_proxy(defaults={"hash_limit": 3000}))
    answer = await client.request("GET", "/big")
    assert (answer.body, bool(minted(answer))) == (b"x" * 3000, True)


async def test_events_arrive_when_they_are_sent(legacy: Legacy, client: Client) -> None:
    seen = asyncio.Event()

    async def events(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n")
        await exchange.send(b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
        await seen.wait()
        await exchange.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    legacy.on("GET", "/events", events)
    await client.send("GET", "/events")
    head = await client.head()
    assert (head.status, "ETag" in head) == (200, False)
    async with asyncio.timeout(5):
        assert await read_chunk(client.reader) == b"data: 1\n\n"
        seen.set()
        assert await read_chunk(client.reader) == b"data: 2\n\n"


async def test_errors_pass_untouched_and_unbuffered(legacy: Legacy, client: Client) -> None:
    seen = asyncio.Event()

    async def failing(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 500 Oh dear\r\nX-Why: it broke\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n"
        )
        await seen.wait()
        await exchange.send(b"2\r\npe\r\n0\r\n\r\n")

    legacy.on("GET", "/fails", failing)
    await client.send("GET", "/fails", ("If-None-Match", "*"))
    head = await client.head()
    assert (head.start, head["X-Why"], "ETag" in head) == (("HTTP/1.1", "500", "Oh dear"), "it broke", False)
    async with asyncio.timeout(5):
        assert await read_chunk(client.reader) == b"no"
        seen.set()
        assert await read_chunk(client.reader) == b"pe"


@pytest.mark.parametrize("status", [301, 401, 403, 404, 410, 500, 503])
async def test_a_read_that_fails_anyway_ignores_its_conditions(
    legacy: Legacy, client: Client, status: int
) -> None:
    legacy.put("/a", "sorry", status=status, fields=[("X-Own", "yes")])
    for asked in (("If-Match", '"x"'), ("If-None-Match", "*"), ("If-Unmodified-Since", EARLIER)):
        answer = await client.request("GET", "/a", asked)
        assert (answer.status, answer.body, answer["X-Own"], "ETag" in answer) == (
            status,
            b"sorry",
            "yes",
            False,
        )


async def test_mode_off_looks_at_nothing(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    legacy.put("/a", "hello", etag='W/"w"')
    client = connect(await start_proxy(defaults={"mode": "off"}))
    got = await client.request("GET", "/a", ("If-None-Match", "*"))
    assert (got.status, got["ETag"], legacy.last()["If-None-Match"]) == (200, 'W/"w"', "*")
    head = await client.request("HEAD", "/a")
    assert (head["ETag"], head["Content-Length"]) == ('W/"w"', "5")
    put = await client.request("PUT", "/a", ("If-Match", "junk"), body=b"new")
    assert (put.status, legacy.last()["If-Match"], legacy.resources["/a"].content) == (204, "junk", b"new")


# The record.


async def test_a_slow_read_does_not_bring_an_old_version_back(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    """Rule 3: what a GET saw before a write is not recorded after it."""
    legacy.put("/a", "old")
    proxy = await start_proxy(store=store, defaults={"after_write": "forget"})
    client, slow = connect(proxy), connect(proxy)
    old = minted(await client.request("GET", "/a"))
    arrived, go = asyncio.Event(), asyncio.Event()

    async def late(exchange: Exchange) -> None:
        content = legacy.resources["/a"].content
        arrived.set()
        await go.wait()
        legacy.on("GET", "/a", now)
        await exchange.answer(200, body=content)

    async def now(exchange: Exchange) -> None:
        await exchange.answer(200, body=legacy.resources["/a"].content)

    legacy.on("GET", "/a", late)
    await slow.send("GET", "/a")
    await arrived.wait()
    legacy.on("GET", "/a", now)
    assert (await client.request("PUT", "/a", ("If-Match", old), body=b"new")).status == 204
    go.set()
    assert (await slow.answer()).body == b"old"
    answer = await client.request("PUT", "/a", ("If-Match", old), body=b"lost")
    assert (answer.status, legacy.resources["/a"].content) == (412, b"new")


async def test_a_read_is_recorded_so_that_a_write_needs_no_probe(
    legacy: Legacy, proxy: Inside, client: Client
) -> None:
    legacy.put("/a", "old")
    tag = minted(await client.request("GET", "/a"))
    await proxy.knows("/a")
    held = legacy.hold("PUT")
    legacy.requests.clear()
    await client.send("PUT", "/a", ("If-Match", tag), body=b"new")
    await held.arrived.acquire()
    assert [one.method for one in legacy.requests] == ["PUT"]
    held.go.set()
    assert (await client.answer()).status == 204
