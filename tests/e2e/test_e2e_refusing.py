"""Refusals: what they say, to whom, and how early."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.redis_server import RedisServer
from support.waiting import eventually
from support.wire_client import Client

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
STALE = ("If-Match", '"stale"')


async def test_a_412_says_what_happened_and_what_to_do(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "secret content", last_modified=MODIFIED)
    tag = (await client.request("GET", "/a"))["ETag"]
    answer = await client.request("PUT", "/a", STALE, body=b"new")
    assert (answer.status, answer["ETag"], answer["Last-Modified"]) == (412, tag, MODIFIED)
    assert answer["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert {name: problem[name] for name in ("status", "condition", "reason", "sent")} == {
        "status": 412,
        "condition": "If-Match",
        "reason": "stale_tag",
        "sent": '"stale"',
    }
    assert problem["current"] == {"etag": tag, "last_modified": MODIFIED}
    assert problem["detail"].endswith(".")
    assert problem["recovery"].endswith(".")
    assert b"secret content" not in answer.body


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/json", "application/problem+json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("image/png", "application/problem+json"),
    ],
)
async def test_the_form_is_what_accept_asks_for(
    legacy: Legacy, client: Client, accept: str, form: str
) -> None:
    legacy.put("/a")
    answer = await client.request("PUT", "/a", STALE, ("Accept", accept), body=b"new")
    assert (answer.status, answer["Content-Type"], answer["Vary"]) == (412, form, "Accept")
    assert b"changed since you read it" in answer.body


async def test_the_current_representation_comes_along_where_it_is_preferred(
    legacy: Legacy, client: Client
) -> None:
    """RFC 8144 section 3.2."""
    legacy.put("/a", "current", fields=[("Content-Language", "en"), ("Set-Cookie", "probe=1")])
    tag = (await client.request("GET", "/a"))["ETag"]
    answer = await client.request("PUT", "/a", STALE, ("Prefer", "return=representation"), body=b"new")
    assert (answer.status, answer.body, answer["ETag"]) == (412, b"current", tag)
    assert (answer["Content-Location"], answer["Preference-Applied"]) == ("/a", "return=representation")
    assert (answer["Content-Type"], answer["Content-Language"]) == ("text/plain", "en")
    assert answer["Content-Length"] == "7"
    assert "Set-Cookie" not in answer


async def test_a_preferred_representation_that_is_long_or_streams_is_left_out(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "x" * 100, etag='"own"')
    client = connect(await start_proxy(defaults={"hash_limit": 99}))
    answer = await client.request("PUT", "/a", STALE, ("Prefer", "return=representation"), body=b"new")
    assert (answer.status, answer["Content-Type"]) == (412, "application/problem+json")


async def test_428_is_said_without_asking_anybody(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(defaults={"require": ["PUT", "DELETE"]}))
    legacy.put("/a", last_modified=MODIFIED)
    for method in ("PUT", "DELETE"):
        answer = await client.request(method, "/a", ("If-Modified-Since", MODIFIED), body=b"x")
        assert (answer.status, answer["Cache-Control"]) == (428, "no-store")
    assert legacy.requests == []
    assert (await client.request("PATCH", "/a", body=b"x")).status == 204
    assert (await client.request("PUT", "/a", ("If-Match", "*"), body=b"x")).status == 204
    assert (await client.request("DELETE", "/a", ("If-Unmodified-Since", MODIFIED))).status == 428


@pytest.mark.parametrize(
    "asked", [("If-Match", "junk"), ("If-None-Match", ""), ("If-Unmodified-Since", "never")]
)
async def test_400_says_which_condition_cannot_be_read(
    legacy: Legacy, client: Client, asked: tuple[str, str]
) -> None:
    legacy.put("/a")
    answer = await client.request("PUT", "/a", asked, body=b"new")
    problem = json.loads(answer.body)
    assert (answer.status, problem["condition"], problem["sent"]) == (400, *asked)
    assert legacy.requests == []


async def test_a_condition_that_is_named_in_connection_is_a_condition(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    for connection in ("If-Match", "keep-alive, if-match", "close, If-Match"):
        answer = await client.request("PUT", "/a", STALE, ("Connection", connection), body=b"new")
        assert (answer.status, legacy.seen("PUT")) == (412, [])


# Whom it tells what.


@pytest.mark.parametrize("status", [401, 403])
async def test_who_may_not_read_is_told_just_that(legacy: Legacy, client: Client, status: int) -> None:
    async def guarded(exchange: Exchange) -> None:
        if exchange.request["Authorization"] == "Bearer good":
            await exchange.answer(200, ("ETag", '"v1"'), body=b"secret")
        else:
            await exchange.answer(status, ("WWW-Authenticate", "Bearer"), body=b"who are you?")

    legacy.on("GET", "/a", guarded)
    good = ("Authorization", "Bearer good")
    assert (await client.request("GET", "/a", good)).status == 200
    answer = await client.request("PUT", "/a", STALE, body=b"new")
    assert (answer.status, answer.body, answer["WWW-Authenticate"]) == (status, b"who are you?", "Bearer")
    assert "v1" not in str(answer.fields)
    assert legacy.seen("PUT") == []
    assert (await client.request("PUT", "/a", STALE, good, body=b"new")).status == 412


async def test_a_probe_is_a_plain_get_with_the_callers_credentials(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    credentials = [
        ("Authorization", "Bearer x"),
        ("Cookie", "sid=1"),
        ("X-Tenant", "t"),
        ("Accept", "text/plain"),
    ]
    stripped = [
        ("If-Match", '"stale"'),
        ("If-None-Match", '"y"'),
        ("Range", "bytes=0-1"),
        ("Content-Type", "text/x-new"),
        ("Prefer", "return=minimal"),
        ("Idempotency-Key", "k"),
        ("Transfer-Encoding", "chunked"),
        ("TE", "trailers"),
    ]
    body = b"3\r\nnew\r\n0\r\n\r\n"
    answer = await client.request("PUT", "/a", *credentials, *stripped, body=body)
    assert answer.status == 412
    for probe in legacy.requests:
        assert (probe.method, probe["Host"]) == ("GET", "example.org")
        assert [probe[name] for name, _ in credentials] == [value for _, value in credentials]
        assert [name for name, _ in stripped if name in probe] == []
        assert "Content-Length" not in probe


@pytest.mark.parametrize("status", [500, 503, 400, 418])
async def test_what_cannot_be_found_out_is_503(legacy: Legacy, client: Client, status: int) -> None:
    legacy.put("/a", status=status, fields=[("Retry-After", "7")])
    answer = await client.request("PUT", "/a", STALE, body=b"new")
    assert (answer.status, answer["Retry-After"], legacy.seen("PUT")) == (503, "7", [])


# How early.


@pytest.mark.parametrize(
    "cut", [b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe"]
)
@pytest.mark.parametrize("comes", ["before its content", "refused already"])
@pytest.mark.parametrize(("tag", "status"), [('"own"', 204), ('"old"', 412)])
async def test_a_look_that_breaks_off_before_the_claim_is_repeated_under_it(
    legacy: Legacy, client: Client, comes: str, tag: str, status: int, cut: bytes
) -> None:
    """Servers that write in place cut off what is read meanwhile: that is no reason to answer 502."""
    reads = 0

    async def show(exchange: Exchange) -> None:
        nonlocal reads
        reads += 1
        if reads == 1:
            await exchange.send(cut)
            exchange.writer.close()
        else:
            await exchange.answer(200, ("ETag", '"own"'), body=b"content")

    legacy.put("/a", etag='"another"')
    if comes == "refused already":
        assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 412
    legacy.on("GET", "/a", show)
    if comes == "refused already":
        answer = await client.request("PUT", "/a", ("If-Match", tag), body=b"new")
    else:
        await client.send("PUT", "/a", ("If-Match", tag), ("Content-Length", "3"))
        await eventually(lambda: reads == 1)
        client.writer.write(b"new")
        answer = await client.answer("PUT")
    assert answer.status == status
    assert len(legacy.seen("PUT")) == (status == 204)


async def test_a_refusal_comes_instead_of_100_continue(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    await client.send("PUT", "/a", STALE, ("Expect", "100-continue"), ("Content-Length", "3"))
    answer = await client.answer()
    assert (answer.status, answer.interim) == (412, [])
    legacy.put("/a", etag='"own"')
    client.close()
    await client.send("PUT", "/a", ("If-Match", '"own"'), ("Expect", "100-continue"), ("Content-Length", "3"))
    assert (await client.head()).status == 100
    client.writer.write(b"new")
    assert (await client.answer()).status == 204
    assert (legacy.last("PUT").body, legacy.last("PUT")["Expect"]) == (b"new", None)


async def test_a_428_and_a_400_come_instead_of_100_continue(
    start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy(defaults={"require": ["PUT"]})
    for fields, status in (([], 428), ([("If-Match", "junk")], 400)):
        client = connect(proxy)
        await client.send("PUT", "/a", *fields, ("Expect", "100-continue"), ("Content-Length", "3"))
        answer = await client.answer()
        assert (answer.status, answer.interim) == (status, [])


async def test_a_refusal_does_not_wait_for_the_content(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    await client.send("PUT", "/a", STALE, ("Content-Length", "1000000"), body=b"the beginning")
    assert (await client.answer()).status == 412


async def test_a_refused_write_whose_content_came_along_keeps_the_connection(
    legacy: Legacy, client: Client
) -> None:
    legacy.put("/a")
    for _ in range(2):
        answer = await client.request("PUT", "/a", STALE, body=b"new")
        assert (answer.status, answer["Connection"]) == (412, None)
    answer = await client.request(
        "PUT", "/a", STALE, ("Transfer-Encoding", "chunked"), body=b"1\r\nx\r\n0\r\n\r\n"
    )
    assert answer.status == 412


# Without the store.


@pytest.fixture
async def lame(start_proxy: StartProxy) -> Inside:
    """A proxy whose Redis is gone."""
    with RedisServer() as server:
        store = {"url": server.url, "timeout": "200ms"}
        routes = [{"match": "/probed/{path*}", "on_store_failure": "probe"}]
        proxy = await start_proxy(store=store, routes=routes)
        await eventually(lambda: proxy.app._store.stamp("/a"))
    return proxy


async def test_without_the_store_reads_pass_and_guarded_writes_wait(
    legacy: Legacy, lame: Inside, connect: Connect
) -> None:
    client = connect(lame)
    legacy.put("/a", "hello")
    got = await client.request("GET", "/a")
    assert (got.status, got.body) == (200, b"hello")
    tag = str(got["ETag"])
    assert (await client.request("GET", "/a", ("If-None-Match", tag))).status == 304
    for fields in ([("If-Match", tag)], [STALE], []):
        answer = await client.request("PUT", "/a", *fields, body=b"new")
        assert answer.status == 503
        assert int(answer["Retry-After"] or 0) >= 1
    assert (await client.request("POST", "/a", body=b"x")).status == 503
    assert [one.method for one in legacy.requests if one.method != "GET"] == []


async def test_on_store_failure_probe_asks_the_backend(
    legacy: Legacy, lame: Inside, connect: Connect
) -> None:
    client = connect(lame)
    legacy.put("/probed/a", "hello")
    tag = str((await client.request("GET", "/probed/a"))["ETag"])
    assert (await client.request("PUT", "/probed/a", STALE, body=b"new")).status == 412
    assert (await client.request("PUT", "/probed/a", ("If-Match", tag), body=b"new")).status == 204
    assert (await client.request("PUT", "/probed/a", ("If-Match", tag), body=b"lost")).status == 412
    assert (await client.request("POST", "/probed/a", body=b"x")).status == 200


async def test_a_claim_that_is_held_too_long_is_503(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy(store={"url": store, "wait": "50ms"})
    first, second = connect(proxy), connect(proxy)
    legacy.put("/a", "old")
    held = legacy.hold("PUT")
    await first.send("PUT", "/a", body=b"1")
    await held.arrived.acquire()
    answer = await second.request("PUT", "/a", body=b"2")
    assert (answer.status, int(answer["Retry-After"] or 0) >= 1) == (503, True)
    held.go.set()
    assert (await first.answer()).status == 204
    assert len(legacy.seen("PUT")) == 1


async def test_paths_that_two_servers_read_in_two_ways_are_refused(legacy: Legacy, client: Client) -> None:
    for target in ("/a%2Fb", "/a%5Cb", "/a\\b", "/a%00"):
        assert (await client.request("PUT", target, body=b"x")).status == 400
    assert legacy.requests == []


async def test_one_resource_has_one_name(legacy: Legacy, proxy: Inside, connect: Connect) -> None:
    """Spellings of one path are one resource: a write under one is a write of all."""
    legacy.put("/a/b", "old")
    client = connect(proxy)
    tag = str((await client.request("GET", "/a/b"))["ETag"])
    held = legacy.hold("PUT")
    first, second = connect(proxy), connect(proxy)
    await first.send("PUT", "/a/x/../%62", ("If-Match", tag), body=b"1")
    await held.arrived.acquire()
    await second.send("PUT", "http://example.org/a/b", ("If-Match", tag), body=b"2")
    await asyncio.sleep(0)
    held.go.set()
    assert [(await first.answer()).status, (await second.answer()).status] == [204, 412]
    assert [one.target for one in legacy.seen("PUT")] == ["/a/b"]


@pytest.mark.parametrize("version", [None, {"content": True}, {"from": "/rev"}])
async def test_a_tag_of_ours_is_not_judged_without_the_key(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, version: object
) -> None:
    """It comes from Redis where it is not configured: until then nobody can tell, and nothing is written."""
    legacy.put("/a", '{"rev": 1}')
    proxy = await start_proxy(defaults={"version": version})
    client = connect(proxy)
    tag = (await client.request("GET", "/a"))["ETag"]
    proxy.app._gate.house.minter = None
    proxy.app._gate.house.suspicion.raise_for_all()
    assert (await client.request("PUT", "/a", ("If-Match", str(tag)), body=b"{}")).status == 503
    assert not legacy.seen("PUT")
