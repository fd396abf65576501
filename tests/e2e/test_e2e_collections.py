"""`collections`: a DELETE, MOVE or COPY of a collection is one of all that is in it (RFC 4918)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.waiting import eventually
from support.wire_client import Client

DAV: dict[str, Any] = {"match": "/dav/{path*}", "collections": True}
MOVES = {
    "DELETE": (("DELETE", "/dav/c"),),
    "DELETE with a slash": (("DELETE", "/dav/c/"),),
    "DELETE above": (("DELETE", "/dav"),),
    "MOVE away": (("MOVE", "/dav/c"), ("Destination", "/dav/d")),
    "MOVE over it": (("MOVE", "/dav/d/"), ("Destination", "http://example.org/dav/c/")),
    "COPY over it": (("COPY", "/dav/d"), ("Destination", "/dav/c")),
    "COPY from another route": (("COPY", "/elsewhere"), ("Destination", "/dav/c/")),
}


@pytest.fixture
async def proxies(store: str, legacy: Legacy, start_proxy: StartProxy) -> list[Inside]:
    """Two replicas on Redis; in memory the same one twice."""
    legacy.put("/dav/c/a.txt", "old")
    settings = {"url": store, "wait": "5s"}
    first = await start_proxy(store=settings, routes=[DAV])
    return [first, first if store == "memory" else await start_proxy(store=settings, routes=[DAV])]


@pytest.fixture
def clients(proxies: list[Inside], connect: Connect) -> tuple[Client, Client]:
    return connect(proxies[0]), connect(proxies[1])


async def tag_of(client: Client, target: str = "/dav/c/a.txt") -> str:
    return (await client.request("GET", target))["ETag"] or ""


def carry_out(legacy: Legacy, method: str) -> None:
    """Has the backend take the members along: what was in /dav/c is gone, or another file."""

    async def takes_along(exchange: Exchange) -> None:
        await exchange.content()
        legacy.resources.pop("/dav/c/a.txt", None)
        if exchange.request["Destination"] and "/c" in (exchange.request["Destination"] or ""):
            legacy.put("/dav/c/a.txt", "from elsewhere")
        await exchange.answer(204)

    legacy.on(method, "*", takes_along)


@pytest.mark.parametrize("move", MOVES)
async def test_a_members_version_is_not_believed_afterwards(
    legacy: Legacy, proxies: list[Inside], clients: tuple[Client, Client], move: str
) -> None:
    tag = await tag_of(clients[0])
    await proxies[0].knows("/dav/c/a.txt")
    (method, target), *fields = MOVES[move]
    carry_out(legacy, method)
    assert (await clients[0].request(method, target, *fields)).status == 204
    stale = await clients[1].request("PUT", "/dav/c/a.txt", ("If-Match", tag), body=b"lost")
    assert (stale.status, legacy.seen("PUT")) == (412, [])


async def asks_in_vain(proxy: Inside) -> None:
    """Long enough for a write that does not wait to be sent: other requests come and go meanwhile."""
    async with Client(proxy.address) as other:
        for _ in range(30):
            await other.request("GET", "/dav/other")
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("move", MOVES)
async def test_it_waits_for_a_write_of_a_member(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside], move: str
) -> None:
    tag = await tag_of(clients[0])
    (method, target), *fields = MOVES[move]
    carry_out(legacy, method)
    held = legacy.hold("PUT")
    await clients[0].send("PUT", "/dav/c/a.txt", ("If-Match", tag), body=b"new")
    await held.arrived.acquire()
    await clients[1].send(method, target, *fields)
    await asks_in_vain(proxies[1])
    assert legacy.seen(method) == []
    held.go.set()
    assert (await clients[0].answer("PUT")).status == 204
    assert (await clients[1].answer(method)).status == 204


@pytest.mark.parametrize("move", MOVES)
async def test_a_write_of_a_member_waits_for_it(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside], move: str
) -> None:
    tag = await tag_of(clients[0])
    (method, target), *fields = MOVES[move]
    go, arrived = asyncio.Event(), asyncio.Event()

    async def slowly(exchange: Exchange) -> None:
        await exchange.content()
        arrived.set()
        await go.wait()
        legacy.resources.pop("/dav/c/a.txt", None)
        await exchange.answer(204)

    legacy.on(method, "*", slowly)
    await clients[0].send(method, target, *fields)
    await arrived.wait()
    await clients[1].send("PUT", "/dav/c/a.txt", ("If-Match", tag), body=b"lost")
    await asks_in_vain(proxies[1])
    assert legacy.seen("PUT") == []
    go.set()
    assert (await clients[0].answer(method)).status == 204
    assert (await clients[1].answer("PUT")).status == 412
    assert legacy.seen("PUT") == []


async def test_writes_of_other_members_do_not_wait(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    held = legacy.hold("PUT")
    for number, client in enumerate(clients):
        await client.send("PUT", f"/dav/c/{number}", body=b"new")
    for _ in clients:
        await held.arrived.acquire()
    held.go.set()
    assert [(await client.answer("PUT")).status for client in clients] == [201, 201]


async def test_other_collections_do_not_wait(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    held = legacy.hold("PUT")
    legacy.put("/dav/d")
    await clients[0].send("PUT", "/dav/c/a.txt", body=b"new")
    await held.arrived.acquire()
    assert (await clients[1].request("DELETE", "/dav/d")).status == 204
    held.go.set()
    assert (await clients[0].answer("PUT")).status == 204


async def test_a_new_member_changes_what_its_collection_shows(
    legacy: Legacy, proxies: list[Inside], clients: tuple[Client, Client]
) -> None:
    for collection in ("/dav/c", "/dav/c/"):
        legacy.put(collection, "a list")
        await tag_of(clients[0], collection)
        await proxies[0].knows(collection)
    assert (await clients[1].request("PUT", "/dav/c/new", body=b"x")).status == 201
    assert [str(await proxies[0].known(name)) for name in ("/dav/c", "/dav/c/")] == ["Unknown.UNKNOWN"] * 2


async def test_moves_in_both_directions_both_end(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside]
) -> None:
    carry_out(legacy, "MOVE")
    for _ in range(20):
        await clients[0].send("MOVE", "/dav/c", ("Destination", "/dav/d/x"))
        await clients[1].send("MOVE", "/dav/d", ("Destination", "/dav/c/x"))
        async with asyncio.timeout(4):  # less than the wait after which one would give up
            assert [(await client.answer("MOVE")).status for client in clients] == [204, 204]
    await eventually(lambda: all(proxy.app._gate.house.held == 0 for proxy in proxies))


async def test_without_the_option_nothing_of_it_is_claimed(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy()
    legacy.put("/dav/c/a.txt")
    client = connect(proxy)
    assert (await client.request("PUT", "/dav/c/a.txt", body=b"x")).status == 204
    assert (await client.request("DELETE", "/dav/c/a.txt")).status == 204
    assert proxy.count("precondition_store_seconds_count", operation="claim") == 2
