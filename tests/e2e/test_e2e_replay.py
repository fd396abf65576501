"""A client that lost the answer to a write that succeeded, and sends the very same write again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.http1 import Message
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.redis_server import RedisServer
from support.waiting import eventually
from support.wire_client import Client

ME = ("Authorization", "Bearer mine")
NOT_ME = ("Authorization", "Bearer another")
Field = tuple[str, str]


async def tag_of(client: Client) -> Field:
    """If-Match with what a GET shows."""
    return ("If-Match", (await client.request("GET", "/a", ME))["ETag"] or "")


async def put(client: Client, *fields: Field, body: bytes = b"new") -> Message:
    return await client.request("PUT", "/a", *fields, body=body)


@pytest.fixture
async def proxies(store: str, legacy: Legacy, start_proxy: StartProxy) -> list[Inside]:
    """Two replicas on Redis; in memory the same one twice."""
    legacy.put("/a", "old")
    first = await start_proxy(store=store)
    return [first, first if store == "memory" else await start_proxy(store=store)]


@pytest.fixture
def clients(proxies: list[Inside], connect: Connect) -> tuple[Client, Client]:
    return connect(proxies[0]), connect(proxies[1])


async def test_the_first_answer_is_given_again(
    legacy: Legacy, proxies: list[Inside], clients: tuple[Client, Client]
) -> None:
    tag = await tag_of(clients[0])
    fields = [("Date", "Tue, 15 Nov 2022 08:12:31 GMT"), ("Set-Cookie", "s=1"), ("X-Made-By", "legacy")]

    async def answers(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content())
        await exchange.answer(200, *fields, ("Content-Type", "text/plain"), body=b"stored: new")

    legacy.on("PUT", "/a", answers)
    first = await put(clients[0], tag, ME, ("X-Request-ID", "1"))
    assert (first.status, first["Set-Cookie"]) == (200, "s=1")
    again = await put(clients[1], tag, ME, ("X-Request-ID", "2"))
    assert (again.status, again.body) == (200, b"stored: new")
    assert (again["X-Made-By"], again["Content-Type"]) == ("legacy", "text/plain")
    assert (again["ETag"], again["Set-Cookie"], again["Age"]) == (first["ETag"], None, None)
    assert again["Date"] != first["Date"]  # it is answered now
    assert len(legacy.seen("PUT")) == 1
    assert proxies[1].count("precondition_outcomes_total", outcome="replayed", method="PUT") == 1


async def test_its_tag_is_the_one_to_go_on_with(clients: tuple[Client, Client]) -> None:
    tag = await tag_of(clients[0])
    first = await put(clients[0], tag, ME)
    again = await put(clients[1], tag, ME)
    assert (first.status, again.status, again["ETag"]) == (204, 204, first["ETag"])
    assert first["ETag"] is not None
    assert (await put(clients[1], ("If-Match", first["ETag"]), ME, body=b"newer")).status == 204


@pytest.mark.parametrize(
    ("first", "second", "body"),
    [
        pytest.param([ME], [NOT_ME], b"new", id="another caller"),
        pytest.param([ME], [], b"new", id="nobody"),
        pytest.param([ME], [ME], b"newer", id="another content"),
        pytest.param([ME], [ME, ("Content-Type", "a/b")], b"new", id="of another type"),
        pytest.param([ME], [ME, ("Cookie", "a=b")], b"new", id="another session"),
        pytest.param([ME], [ME, ("Idempotency-Key", '"1"')], b"new", id="a key"),
        pytest.param([("Idempotency-Key", '"1"')], [("Idempotency-Key", '"2"')], b"new", id="another key"),
        pytest.param([], [], b"new", id="two that nobody can tell apart"),
    ],
)
async def test_another_write_is_refused(
    legacy: Legacy,
    clients: tuple[Client, Client],
    first: list[Field],
    second: list[Field],
    body: bytes,
) -> None:
    tag = await tag_of(clients[0])
    assert (await put(clients[0], tag, *first)).status == 204
    assert (await put(clients[1], tag, *second, body=body)).status == 412
    assert len(legacy.seen("PUT")) == 1


async def test_another_resource_method_or_condition_is_refused(
    legacy: Legacy, clients: tuple[Client, Client]
) -> None:
    tag = await tag_of(clients[0])
    legacy.put("/b", "b")
    assert (await put(clients[0], tag, ME)).status == 204
    refused = [
        await clients[1].request("PUT", "/b", tag, ME, body=b"new"),
        await clients[1].request("PUT", "/a?x=1", tag, ME, body=b"new"),
        await clients[1].request("PUT", "/a", tag, ME, ("Host", "other.example"), body=b"new"),
        await clients[1].request("PATCH", "/a", tag, ME, body=b"new"),
        await put(clients[1], ("If-Match", f'{tag[1]}, "x"'), ME),
    ]
    assert {answer.status for answer in refused} == {412}


async def test_a_key_tells_who_asks(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    key = ("Idempotency-Key", '"8e03978e"')
    tag = await tag_of(clients[0])
    assert [(await put(client, tag, key)).status for client in clients] == [204, 204]
    new = [await client.request("PUT", "/new", ("If-None-Match", "*"), key, body=b"x") for client in clients]
    assert [answer.status for answer in new] == [201, 201]
    assert len(legacy.seen("PUT")) == 2


async def test_of_two_creators_of_the_same_one_wins(clients: tuple[Client, Client]) -> None:
    """RFC 9110 section 13.1.2 knows no second success, and the content of a lock is always the same."""
    new = [await client.request("PUT", "/new", ("If-None-Match", "*"), ME, body=b"x") for client in clients]
    assert [answer.status for answer in new] == [201, 412]


async def test_a_delete_that_succeeded_is_no_404(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    tag = await tag_of(clients[0])
    statuses = [(await client.request("DELETE", "/a", tag, ME)).status for client in clients]
    assert (statuses, len(legacy.seen("DELETE"))) == ([204, 204], 1)


async def test_a_condition_that_holds_again_is_a_write(
    legacy: Legacy, clients: tuple[Client, Client]
) -> None:
    tag = await tag_of(clients[0])
    assert (await put(clients[0], tag, ME)).status == 204
    assert (await put(clients[0], ME, body=b"old")).status == 204
    assert (await put(clients[1], tag, ME)).status == 204
    assert len(legacy.seen("PUT")) == 3


async def test_what_somebody_wrote_since_is_kept(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    """The first answer is still the truth about the first write; its tag is stale."""
    tag = await tag_of(clients[0])
    first = await put(clients[0], tag, ME)
    assert (await put(clients[1], NOT_ME, body=b"another's")).status == 204
    again = await put(clients[1], tag, ME)
    assert (again.status, again["ETag"]) == (204, first["ETag"])
    assert (await put(clients[1], ("If-Match", again["ETag"] or ""), ME, body=b"x")).status == 412
    assert legacy.resources["/a"].content == b"another's"


# While the first one is under way.


async def waits(proxy: Inside) -> None:
    """Until a write waits for the claim that another one has."""
    turns, calls = proxy.app._store._turns, "precondition_store_seconds_count"
    asked = proxy.count(calls, operation="claim")
    await eventually(
        lambda: (
            any(line.waiters for line in turns._lines.values())
            or proxy.count(calls, operation="claim") > asked
        )
    )


async def test_a_client_that_left_gets_what_it_left(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside]
) -> None:
    tag = await tag_of(clients[0])
    held = legacy.hold("PUT")
    await clients[0].send("PUT", "/a", tag, ME, body=b"new")
    await held.arrived.acquire()
    clients[0].close()
    await clients[1].send("PUT", "/a", tag, ME, body=b"new")
    await waits(proxies[1])
    held.go.set()
    assert (await clients[1].answer("PUT")).status == 204
    assert len(legacy.seen("PUT")) == 1


async def test_two_that_both_wait_are_two(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside]
) -> None:
    """They count up the same number: one of them has to read again (RFC 9110 section 13.1.1)."""
    tag = await tag_of(clients[0])
    held = legacy.hold("PUT")
    await clients[0].send("PUT", "/a", tag, ME, body=b"new")
    await held.arrived.acquire()
    await clients[1].send("PUT", "/a", tag, ME, body=b"new")
    await waits(proxies[1])
    held.go.set()
    statuses = sorted([(await client.answer("PUT")).status for client in clients])
    assert statuses == [204, 412]


# Content that is still on its way.


async def test_content_that_is_awaited_is_read_to_tell(
    legacy: Legacy, clients: tuple[Client, Client]
) -> None:
    tag = await tag_of(clients[0])
    assert (await put(clients[0], tag, ME)).status == 204
    expects = (("Expect", "100-continue"), ("Content-Length", "3"))
    for content, status in ((b"new", 204), (b"odd", 412)):
        await clients[1].send("PUT", "/a", tag, ME, *expects)
        assert (await clients[1].head()).status == 100
        clients[1].writer.write(content)
        assert (await clients[1].answer("PUT")).status == status
    await clients[1].send("PUT", "/a", tag, NOT_ME, *expects)
    assert (await clients[1].answer("PUT")).status == 412  # nobody waits for what changes nothing
    assert len(legacy.seen("PUT")) == 1


@pytest.mark.parametrize(("leaves", "status"), [(True, 200), (False, 412)])
async def test_content_is_awaited_while_the_first_may_still_be_answered(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside], leaves: bool, status: int
) -> None:
    """The backend has carried it out, and the answer is on its way: that may be why the tag is stale."""
    tag = await tag_of(clients[0])
    carried_out, go = asyncio.Event(), asyncio.Event()

    async def slowly(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content())
        carried_out.set()
        await go.wait()
        await exchange.answer(200, body=b"done")

    legacy.on("PUT", "/a", slowly)
    await clients[0].send("PUT", "/a", tag, ME, body=b"new")
    await carried_out.wait()
    if leaves:
        clients[0].close()
    await clients[1].send("PUT", "/a", tag, ME, ("Expect", "100-continue"), ("Content-Length", "3"))
    assert (await clients[1].head()).status == 100
    go.set()
    await eventually(lambda: proxies[0].app._gate.house.held == 0)
    clients[1].writer.write(b"new")
    assert (await clients[1].answer("PUT")).status == status
    assert len(legacy.seen("PUT")) == 1


async def test_content_in_a_file_is_told_apart(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    client = connect(await start_proxy(store=store, limits={"memory_body": "1KiB"}))
    tag = await tag_of(client)
    content = b"x" * 5000
    for sent, status in ((content, 204), (content, 204), (content[:-1] + b"y", 412)):
        await client.send("PUT", "/a", tag, ME, ("Content-Length", "5000"))
        client.writer.write(sent[:2000])
        await client.writer.drain()
        async with Client(client._address) as other:
            await other.request("GET", "/a")  # by now the first half has arrived
        client.writer.write(sent[2000:])
        assert (await client.answer("PUT")).status == status
    assert len(legacy.seen("PUT")) == 1


# When it is not remembered.


@pytest.mark.parametrize(
    "defaults",
    [{"replay": "off"}, {"replay": 0}, {"replay": "1ms"}],
)
async def test_it_can_be_off_and_ends(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect, defaults: dict[str, Any]
) -> None:
    legacy.put("/a", "old")
    client = connect(await start_proxy(store=store, defaults=defaults))
    tag = await tag_of(client)
    assert (await put(client, tag, ME)).status == 204

    async def refused() -> bool:
        return (await put(client, tag, ME)).status == 412

    if defaults["replay"] != "1ms":
        assert await refused()
    async with asyncio.timeout(5):
        while not await refused():
            pass


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000, id="too long"),
        pytest.param(b"HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", id="no success"),
    ],
)
async def test_some_answers_are_not_given_again(
    legacy: Legacy, clients: tuple[Client, Client], answer: bytes
) -> None:
    tag = await tag_of(clients[0])

    async def answers(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content())
        await exchange.send(answer)

    legacy.on("PUT", "/a", answers)
    await put(clients[0], tag, ME)
    assert (await put(clients[1], tag, ME)).status == 412


async def test_an_outcome_that_nobody_knows_is_not_given_again(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, store: str
) -> None:
    legacy.put("/a", "old")
    proxy = await start_proxy(
        upstream={"url": legacy.url, "timeout": "0.2s"}, store={"url": store, "lease": "0.3s", "wait": "2s"}
    )

    async def breaks(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content())
        exchange.writer.close()

    legacy.on("PUT", "/a", breaks)
    client = connect(proxy)
    tag = await tag_of(client)
    assert (await put(client, tag, ME)).status == 502
    assert (await put(client, tag, ME)).status == 412


async def test_a_route_that_reports_answers_nothing_itself(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    client = connect(await start_proxy(defaults={"mode": "report"}))
    tag = await tag_of(client)
    assert [(await put(client, tag, ME)).status for _ in range(2)] == [204, 204]
    assert len(legacy.seen("PUT")) == 2


async def test_a_caller_that_may_not_read_gets_the_backends_word(
    legacy: Legacy, clients: tuple[Client, Client]
) -> None:
    tag = await tag_of(clients[0])
    assert (await put(clients[0], tag, ME)).status == 204
    legacy.resources["/a"].status = 403
    assert (await put(clients[1], tag, ME)).status == 403


async def test_it_is_seen(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    legacy.put("/a", "old")
    client = connect(await start_proxy(defaults={"status_header": True}))
    tag = await tag_of(client)
    assert (await put(client, tag, ME))["Precondition-Status"] == "passed;condition=If-Match"
    again = await put(client, tag, ME)
    assert again["Precondition-Status"] == "replayed;condition=If-Match;reason=stale_tag;asked=mismatch"


async def test_redis_holds_no_credentials_and_forgets(
    redis: RedisServer, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    client = connect(await start_proxy(store=redis.url))
    tag = await tag_of(client)
    assert (await put(client, tag, ME, body=b"secret")).status == 204
    server = redis.client()
    (key,) = server.keys("*answer*")
    assert 110_000 < server.pttl(key) <= 120_000
    kept = server.dump(key)
    assert not any(word in kept for word in (b"mine", b"secret", b"Bearer"))
    answer = await client.request("PUT", "/b", ("If-None-Match", "*"), body=b"anybody")
    assert answer.status == 201
    assert server.keys("*answer*") == [key]
