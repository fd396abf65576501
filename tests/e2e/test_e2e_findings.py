"""What reviews found, each told as it would happen again if its fix were lost."""

from __future__ import annotations

import asyncio

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.redis_server import RedisServer
from support.waiting import eventually
from support.wire_client import Client, request

from proxy.rules.versions import ABSENT, UNKNOWN

THEN = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


async def tag_of(client: Client, target: str = "/a", *fields: tuple[str, str]) -> str:
    """The tag that a GET shows."""
    return (await client.request("GET", target, *fields))["ETag"] or ""


# Two writes of which each believes that it is alone.


async def _slowly(legacy: Legacy, exchange: Exchange, hurry: asyncio.Event, begun: asyncio.Event) -> None:
    """Carries a write out, but reads its content so slowly that its proxy loses the claim meanwhile."""
    left = int(exchange.request["Content-Length"] or 0)
    pieces = []
    while left:
        pieces.append(piece := await exchange.reader.read(min(left, 1 << 16)))
        if not piece:
            return  # an incomplete message is not carried out
        left -= len(piece)
        if len(pieces) > 1 and not hurry.is_set():
            begun.set()
            await asyncio.sleep(0.01)
    legacy.put("/a", b"".join(pieces)[:10])
    await exchange.answer(204)


async def test_an_upload_that_outlives_its_claim_is_not_finished(
    legacy: Legacy, redis: RedisServer, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    hurry, begun = asyncio.Event(), asyncio.Event()
    legacy.on("PUT", "/a", lambda exchange: _slowly(legacy, exchange, hurry, begun))
    upstream = {"url": legacy.url, "timeout": "400ms"}
    store, limits = {"url": redis.url, "lease": "800ms", "wait": "5s"}, {"memory_body": 1024}
    first, second = [connect(await start_proxy(upstream, store=store, limits=limits)) for _ in range(2)]
    condition = ("If-Match", await tag_of(first))
    upload = asyncio.ensure_future(first.request("PUT", "/a", condition, body=b"A" * (48 << 20)))
    await begun.wait()
    redis.client().flushall()  # the claim is gone, and after one lease another writer gets it
    status = 503
    while status == 503:
        status = (await second.request("PUT", "/a", condition, body=b"from B")).status
    hurry.set()
    assert (status, (await upload).status) == (204, 503)
    assert legacy.resources["/a"].content == b"from B"


async def test_a_claim_that_is_lost_before_the_answer_leaves_it_without_a_tag(
    legacy: Legacy, redis: RedisServer, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    proxy = await start_proxy(store=redis.url)
    client = connect(proxy)
    condition = ("If-Match", await tag_of(client))
    await proxy.knows("/a")
    held = legacy.hold("GET")
    await client.send("PATCH", "/a", condition, body=b" new")
    await held.arrived.acquire()  # looking for the version after the write
    redis.client().flushall()
    held.go.set()
    answer = await client.answer("PATCH")
    assert (answer.status, answer["ETag"]) == (204, None)  # it may be the tag of another writer's version


# A record that does not say all.


async def test_a_record_without_a_date_does_not_let_an_old_date_pass(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "one", etag='"1"', last_modified=THEN)

    async def put(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content(), etag='"2"', last_modified=LATER)
        await exchange.answer(204, ("ETag", '"2"'))

    legacy.on("PUT", "/a", put)
    client = connect(await start_proxy(store=store, defaults={"after_write": "response"}))
    assert (await client.request("PUT", "/a", ("If-Match", '"1"'), body=b"two")).status == 204
    answer = await client.request("PUT", "/a", ("If-Unmodified-Since", THEN), body=b"three")
    assert (answer.status, legacy.resources["/a"].content) == (412, b"two")


async def test_what_another_caller_was_not_shown_is_not_overwritten(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "precious")

    async def get(exchange: Exchange) -> None:
        found = "Authorization" in exchange.request
        await exchange.answer(200 if found else 404, body=b"precious" if found else b"")

    legacy.on("GET", "/a", get)
    proxy = await start_proxy(store=store)
    client = connect(proxy)
    assert (await client.request("GET", "/a")).status == 404
    await proxy.knows("/a")
    assert await proxy.known("/a") is ABSENT
    fields = (("If-None-Match", "*"), ("Authorization", "Bearer me"))
    assert (await client.request("PUT", "/a", *fields, body=b"new")).status == 412
    assert legacy.seen("PUT") == []


@pytest.mark.parametrize("unconditional", ["POST", "PUT"])
async def test_a_date_that_a_write_in_the_same_second_left_behind_protects_nothing(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect, unconditional: str
) -> None:
    legacy.put("/a", "one", etag='"1"', last_modified=THEN)

    async def change(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content(), etag='"2"', last_modified=THEN)
        await exchange.answer(500)

    legacy.on(unconditional, "/a", change)
    proxy = await start_proxy(store=store)
    client = connect(proxy)
    await client.request("GET", "/a")
    await proxy.knows("/a")
    assert (await client.request(unconditional, "/a", body=b"two")).status == 500
    answer = await client.request("DELETE", "/a", ("If-Unmodified-Since", THEN))
    assert (answer.status, legacy.seen("DELETE")) == (412, [])


async def test_a_representation_that_varies_by_anything_is_never_recorded(
    legacy: Legacy, proxy: Inside, client: Client, connect: Connect
) -> None:
    legacy.put("/a", "one", etag='"1"', fields=[("Vary", "*")])
    legacy.stamps = lambda _: ('"2"', None)
    await client.request("GET", "/a")
    assert await proxy.known("/a") is UNKNOWN
    early = connect(proxy)
    await early.send("PUT", "/a", ("If-Match", '"no"'), ("Content-Length", "1"))
    assert (await early.answer()).status == 412
    assert await proxy.known("/a") is UNKNOWN
    assert (await client.request("PUT", "/a", ("If-Match", '"no"'), body=b"x")).status == 412
    assert await proxy.known("/a") is UNKNOWN
    assert (await client.request("PUT", "/a", ("If-Match", '"1"'), body=b"x")).status == 204
    assert await proxy.known("/a") is UNKNOWN


async def test_a_date_that_only_get_has_is_no_change_behind_the_proxy(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    async def show(exchange: Exchange) -> None:
        dated = [("Last-Modified", THEN)] if exchange.request.method == "GET" else []
        await exchange.answer(200, ("ETag", '"1"'), *dated, body=b"x")

    for method in ("GET", "HEAD"):
        legacy.on(method, "/a", show)
    proxy = await start_proxy(store=store)
    client = connect(proxy)
    for number, method in enumerate(["GET", "HEAD", "GET"], 1):
        await client.request(method, "/a")
        await eventually(lambda: proxy.count("precondition_observations_total") == number)  # noqa: B023
    assert proxy.count("precondition_changes_behind_total") == 0


# Methods that a field names.


async def test_the_other_end_of_a_post_that_says_move_is_written_too(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "from a")
    legacy.put("/b", "old b")

    async def move(exchange: Exchange) -> None:
        await exchange.content()
        legacy.resources["/b"] = legacy.resources.pop("/a")
        await exchange.answer(204)

    legacy.on("POST", "/a", move)
    old = await tag_of(client, "/b")
    fields = (("X-HTTP-Method-Override", "MOVE"), ("Destination", "/b"))
    assert (await client.request("POST", "/a", *fields, body=b"")).status == 204
    assert (await client.request("PUT", "/b", ("If-Match", old), body=b"edited")).status == 412
    assert legacy.resources["/b"].content == b"from a"


@pytest.mark.parametrize(
    ("required", "method", "said"),
    [("PUT", "PUT", "POST"), ("PUT", "PUT", "FOO"), ("POST", "POST", "DELETE"), ("DELETE", "POST", "DELETE")],
)
async def test_a_method_that_a_field_names_takes_no_requirement_away(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, required: str, method: str, said: str
) -> None:
    client = connect(await start_proxy(defaults={"require": [required]}))
    answer = await client.request(method, "/a", ("X-HTTP-Method-Override", said), body=b"x")
    assert (answer.status, legacy.requests) == (428, [])


@pytest.mark.parametrize("said", ["POST", "FOO", "GET"])
async def test_a_put_that_says_otherwise_takes_the_claim_of_a_put(
    legacy: Legacy, proxy: Inside, client: Client, said: str
) -> None:
    legacy.put("/a", "old")
    assert (await client.request("PUT", "/a", ("X-HTTP-Method-Override", said), body=b"new")).status == 204
    assert await proxy.known("/a") is not UNKNOWN  # only who holds the claim commits a version


async def test_a_get_that_says_delete_is_sent_once(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "x")
    await client.request("GET", "/a")  # now there is a connection, which may have ended meanwhile

    async def leave(exchange: Exchange) -> None:
        if "X-HTTP-Method-Override" not in exchange.request:
            await exchange.answer(200, body=b"x")
        exchange.writer.close()

    legacy.on("GET", "/a", leave)
    answer = await client.request("GET", "/a", ("X-HTTP-Method-Override", "DELETE"))
    sent = [one for one in legacy.seen("GET") if "X-HTTP-Method-Override" in one]
    assert (answer.status, len(sent)) == (502, 1)


# Ways around.


@pytest.mark.parametrize("target", ["/static/..%2Fa", "/static/%2e%2e%2fa", "/static/..\\a"])
async def test_no_way_through_an_open_route_to_a_guarded_resource(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, target: str
) -> None:
    client = connect(await start_proxy(routes=[{"match": "/static/{path*}", "mode": "off"}]))
    assert (await client.request("PUT", target, body=b"x")).status == 400
    assert legacy.requests == []


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(
    ("method", "upgrade"), [("GET", True), ("GET", False), ("OPTIONS", False), ("PROPFIND", False)]
)
async def test_a_minted_tag_never_reaches_the_backend(
    legacy: Legacy, client: Client, name: str, method: str, upgrade: bool
) -> None:
    legacy.put("/a", "x")
    tag = await tag_of(client)
    more = [("Connection", "Upgrade"), ("Upgrade", "websocket")] if upgrade else []
    answer = await client.request(method, "/a", (name, tag), *more)
    assert answer.status == (304 if (method, name) == ("GET", "If-None-Match") else 200)
    assert not [line for sent in legacy.requests for line in sent.fields if "pp1." in line[1]]


async def test_a_websocket_that_is_declined_is_a_read_with_conditions(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "x")
    fields = (("If-Match", '"no"'), ("Connection", "Upgrade"), ("Upgrade", "websocket"))
    answer = await client.request("GET", "/a", *fields)
    assert (answer.status, (answer["ETag"] or "")[:5]) == (412, '"pp1.')


# Validators.


async def test_a_tag_whose_key_is_not_known_yet_is_503_and_not_412(
    legacy: Legacy, proxy: Inside, start_proxy: StartProxy, connect: Connect, unused_tcp_port: int
) -> None:
    legacy.put("/a", "x")
    tag = await tag_of(connect(proxy))
    nowhere = f"redis://127.0.0.1:{unused_tcp_port}/0"
    defaults = {"on_store_failure": "probe"}
    lost = connect(await start_proxy(store=nowhere, tag_secret=None, defaults=defaults))
    for method in ("GET", "HEAD", "PUT"):
        body = b"new" if method == "PUT" else None
        assert (await lost.request(method, "/a", ("If-Match", tag), body=body)).status == 503, method
    assert legacy.seen("PUT") == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("own", "asked"),
    [(("ETag", 'W/"w"'), "If-None-Match"), (("Last-Modified", THEN), "If-Modified-Since")],
    ids=["weak tag", "date"],
)
async def test_a_304_of_the_backend_carries_the_tag_of_its_200(
    legacy: Legacy, client: Client, method: str, own: tuple[str, str], asked: str
) -> None:
    async def show(exchange: Exchange) -> None:
        current = exchange.request[asked] == own[1]
        await exchange.answer(304 if current else 200, own, body=b"" if current else b"x")

    for name in ("GET", "HEAD"):
        legacy.on(name, "/a", show)
    tag = await tag_of(client)
    assert tag.startswith('"pp1.')
    answer = await client.request(method, "/a", (asked, own[1]))
    assert (answer.status, answer["ETag"]) == (304, tag)


async def test_a_part_without_a_tag_does_not_fail_if_match(legacy: Legacy, client: Client) -> None:
    async def show(exchange: Exchange) -> None:
        if "Range" in exchange.request:
            part = ("Content-Range", "bytes 0-1/5")
            await exchange.answer(206, ("Last-Modified", THEN), part, body=b"he")
        else:
            await exchange.answer(200, ("ETag", '"1"'), ("Last-Modified", THEN), body=b"hello")

    legacy.on("GET", "/a", show)
    part = ("Range", "bytes=0-1")
    answer = await client.request("GET", "/a", ("If-Match", '"1"'), part)
    assert (answer.status, answer.body) in [(206, b"he"), (200, b"hello")]
    assert (await client.request("GET", "/a", ("If-Match", '"0"'), part)).status == 412


async def _negotiated(legacy: Legacy, exchange: Exchange) -> None:
    """JSON to those who ask for it, else HTML."""
    content = legacy.resources["/a"].content
    shown = b'"%s"' % content if "json" in (exchange.request["Accept"] or "") else b"<p>%s" % content
    await exchange.answer(200, ("Vary", "Accept, Authorization"), body=shown)


async def test_a_write_is_compared_with_the_representation_that_its_tag_is_of(
    legacy: Legacy, proxy: Inside, client: Client
) -> None:
    legacy.put("/a", "one")
    legacy.on("GET", "/a", lambda exchange: _negotiated(legacy, exchange))
    own = ("Authorization", "Bearer reader")
    tag = await tag_of(client, "/a", ("Accept", "application/json"), own)
    html = await tag_of(client, "/a", own)
    assert html != tag
    fields = (("If-Match", tag), ("Accept", "*/*"), ("Authorization", "Bearer writer"))
    await proxy.app._store.forget("/a")
    assert (await client.request("PUT", "/a", *fields, body=b"two")).status == 204
    probe = legacy.last("GET")
    assert (probe["Accept"], probe["Authorization"]) == ("application/json", "Bearer writer")
    assert (await client.request("PUT", "/a", *fields, body=b"three")).status == 412
    legacy.put("/a", "one")
    await proxy.app._store.forget("/a")
    assert (await client.request("PUT", "/a", ("If-Match", html), body=b"two")).status == 204
    assert "Accept" not in legacy.last("GET")


@pytest.mark.parametrize(
    "prefer", ['return="representation"', "return = representation; x", "a=b, Return=representation"]
)
async def test_a_preference_may_be_quoted(legacy: Legacy, client: Client, prefer: str) -> None:
    legacy.put("/a", "current")
    answer = await client.request("PUT", "/a", ("If-Match", '"old"'), ("Prefer", prefer), body=b"x")
    assert (answer.status, answer.body) == (412, b"current")


# Framing, hops and limits.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_205_says_that_it_has_no_content(legacy: Legacy, client: Client, method: str) -> None:
    legacy.on(method, "/a", lambda exchange: exchange.answer(205))
    await client.send(method, "/a", body=b"" if method != "GET" else None)
    assert (await client.head())["Content-Length"] == "0"


@pytest.mark.parametrize(
    ("method", "left", "status", "forwarded"),
    [
        ("OPTIONS", "0", 204, None),
        ("OPTIONS", "3", 200, ["2"]),
        ("OPTIONS", "many", 200, ["many"]),
        ("GET", "0", 200, ["0"]),
    ],
)
async def test_hops_are_counted(
    legacy: Legacy, client: Client, method: str, left: str, status: int, forwarded: list[str] | None
) -> None:
    legacy.put("/a")
    assert (await client.request(method, "/a", ("Max-Forwards", left))).status == status
    assert [one.all("Max-Forwards") for one in legacy.requests] == ([] if forwarded is None else [forwarded])


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize("way", ["announced", "length", "chunks"])
async def test_no_content_is_longer_than_its_limit(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, method: str, way: str
) -> None:
    client = connect(await start_proxy(limits={"body": 10}))
    if way == "announced":
        await client.send(method, "/a", ("Content-Length", "100"))
    elif way == "chunks":
        body = b"64\r\n" + 100 * b"x" + b"\r\n0\r\n\r\n"
        await client.send(method, "/a", ("Transfer-Encoding", "chunked"), body=body)
    else:
        await client.send(method, "/a", body=100 * b"x")
    assert (await client.answer(method)).status == 413
    assert [one.body for one in legacy.requests if len(one.body) >= 100] == []


async def test_posts_that_are_broken_off_leave_no_claims_behind(
    legacy: Legacy, proxy: Inside, connect: Connect
) -> None:
    legacy.put("/a", "x")
    for number in range(1, 21):
        client = connect(proxy)
        await client.send("POST", "/a", ("Content-Length", "10"), body=b"ab")
        await eventually(lambda: len(legacy.seen("POST")) == number)  # noqa: B023
        client.close()
    await eventually(lambda: proxy.app._gate.house.held == 0)
    assert (await request(proxy.address, "GET", "/a")).status == 200
    await proxy.knows("/a")  # nothing is recorded as long as any claim lasts


async def test_a_long_answer_to_a_write_does_not_wait_for_the_connection_that_it_holds(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "x")
    legacy.on("PUT", "/a", lambda exchange: _long(exchange))
    upstream = {"url": legacy.url, "max_connections": 1}
    client = connect(await start_proxy(upstream))
    async with asyncio.timeout(5):
        answer = await client.request("PUT", "/a", body=b"new")
    assert (answer.status, len(answer.body)) == (200, 2 << 20)


async def _long(exchange: Exchange) -> None:
    await exchange.content()
    await exchange.answer(200, body=b"x" * (2 << 20))
