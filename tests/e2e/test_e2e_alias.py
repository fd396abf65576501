"""`resource`: writes that go to one target and change the resource of another one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.http1 import Message
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.waiting import eventually
from support.wire_client import Client

ALIAS: dict[str, Any] = {"match": "/items/{id}/update", "resource": "/items/{id}", "require": ["POST"]}


@pytest.fixture
async def proxies(store: str, legacy: Legacy, start_proxy: StartProxy) -> list[Inside]:
    """Two replicas on Redis; in memory the same one twice."""
    legacy.put("/items/5", "old")
    legacy.put("/items/5/update", "a form")

    async def updates(exchange: Exchange) -> None:
        legacy.put("/items/5", await exchange.content())
        await exchange.answer(204)

    legacy.on("POST", "/items/5/update", updates)
    first = await start_proxy(store=store, routes=[ALIAS])
    return [first, first if store == "memory" else await start_proxy(store=store, routes=[ALIAS])]


@pytest.fixture
def clients(proxies: list[Inside], connect: Connect) -> tuple[Client, Client]:
    return connect(proxies[0]), connect(proxies[1])


async def tag_of(client: Client, target: str = "/items/5") -> str:
    return (await client.request("GET", target))["ETag"] or ""


async def update(client: Client, *fields: tuple[str, str], body: bytes = b"new") -> Message:
    return await client.request("POST", "/items/5/update", *fields, body=body)


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


async def test_the_condition_is_on_the_resource(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    tag = await tag_of(clients[0])
    first = await update(clients[1], ("If-Match", tag))
    assert (first.status, first["ETag"]) == (204, await tag_of(clients[0]))
    sent = legacy.last("POST")
    assert (sent.target, sent["If-Match"], sent.body) == ("/items/5/update", None, b"new")
    stale = await update(clients[0], ("If-Match", tag), body=b"lost")
    assert (stale.status, stale["ETag"]) == (412, await tag_of(clients[0]))
    told = json.loads(stale.body)
    assert told["resource"] == "/items/5"
    assert told["recovery"].endswith("The resource is /items/5.")
    assert len(legacy.seen("POST")) == 1


async def test_the_targets_own_tag_is_another_resources(clients: tuple[Client, Client]) -> None:
    tag = await tag_of(clients[0], "/items/5/update")
    assert (await update(clients[0], ("If-Match", tag))).status == 412
    # A read of the target is a read of the target.
    fields = ("If-None-Match", tag)
    assert (await clients[0].request("GET", "/items/5/update", fields)).status == 304


async def test_a_missing_condition_names_the_resource(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    answer = await update(clients[0])
    assert (answer.status, json.loads(answer.body)["resource"], legacy.seen("POST")) == (428, "/items/5", [])


async def test_writes_of_the_resource_and_of_its_alias_exclude_each_other(
    legacy: Legacy, clients: tuple[Client, Client], proxies: list[Inside]
) -> None:
    tag = await tag_of(clients[0])
    held = legacy.hold("PUT")
    await clients[0].send("PUT", "/items/5", ("If-Match", tag), body=b"put")
    await held.arrived.acquire()
    await clients[1].send("POST", "/items/5/update", ("If-Match", tag), body=b"posted")
    await waits(proxies[1])
    held.go.set()
    assert [(await client.answer("PUT")).status for client in clients] == [204, 412]
    assert legacy.resources["/items/5"].content == b"put"


async def test_the_version_after_it_is_known(legacy: Legacy, clients: tuple[Client, Client]) -> None:
    tag = await tag_of(clients[0])
    await update(clients[0], ("If-Match", tag))
    before = len(legacy.seen("GET"))
    assert (await clients[1].request("PUT", "/items/5", ("If-Match", tag), body=b"x")).status == 412
    assert len(legacy.seen("GET")) == before + 1  # the record was no match, so the backend was asked
    assert {one.target for one in legacy.seen("GET")} == {"/items/5"}


async def test_a_post_without_a_condition_waits_too(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/items/5", "old")
    proxy = await start_proxy(store=store, routes=[ALIAS | {"require": []}])
    first, second = connect(proxy), connect(proxy)
    held = legacy.hold("POST")
    await first.send("POST", "/items/5/update", body=b"1")
    await held.arrived.acquire()
    await second.send("POST", "/items/5/update", body=b"2")
    await waits(proxy)
    assert len(legacy.seen("POST")) == 1
    held.go.set()
    assert [(await client.answer("POST")).status for client in (first, second)] == [200, 200]


async def test_a_tag_of_the_target_is_not_taken_for_the_resources(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/items/5", "old")

    async def updates(exchange: Exchange) -> None:
        legacy.put("/items/5", await exchange.content())
        await exchange.answer(200, ("ETag", '"form"'), body=b"done")

    legacy.on("POST", "/items/5/update", updates)
    client = connect(await start_proxy(routes=[ALIAS | {"after_write": "response"}]))
    answer = await update(client, ("If-Match", await tag_of(client)))
    assert (answer.status, answer.all("ETag")) == (200, [await tag_of(client)])


async def test_the_resources_own_route_makes_its_versions(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    item = {"match": "/items/{id}", "version": {"from": "/rev"}, "vary_by": ["X-Tenant"]}
    client = connect(await start_proxy(routes=[ALIAS | {"verify": "always"}, item]))
    legacy.put("/items/5", '{"rev": 1, "n": 1}', fields=[("Content-Type", "application/json")])
    tenant = ("X-Tenant", "a")
    tag = (await client.request("GET", "/items/5", tenant))["ETag"] or ""
    legacy.put("/items/5", '{"rev": 1, "n": 2}', fields=[("Content-Type", "application/json")])
    answer = await client.request("POST", "/items/5/update", ("If-Match", tag), tenant, body=b"x")
    assert answer.status == 200


async def test_what_a_read_of_the_resource_showed_is_believed(
    legacy: Legacy, proxies: list[Inside], clients: tuple[Client, Client]
) -> None:
    tag = await tag_of(clients[0])
    await proxies[0].knows("/items/5")
    assert (await update(clients[1], ("If-Match", tag))).status == 204
    assert len(legacy.seen("GET")) == 2  # that read, and the one after the write


async def test_a_condition_on_the_resource_is_none_of_the_backends_business(
    legacy: Legacy, clients: tuple[Client, Client]
) -> None:
    legacy.put("/items/5", etag='"own"')
    assert (await update(clients[0], ("If-Match", '"own"'))).status == 204
    assert legacy.last("POST")["If-Match"] is None


async def test_the_responses_tag_is_no_version_of_the_resource(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/items/5", etag='"1"')

    async def replaces(exchange: Exchange) -> None:
        legacy.put("/items/5", await exchange.content(), etag='"2"')
        await exchange.answer(200, ("ETag", '"form"'))

    legacy.on("PUT", "/items/5/update", replaces)
    options = {"after_write": "response", "verify": "never"}
    client = connect(await start_proxy(routes=[ALIAS | options, {"match": "/items/{id}", **options}]))
    tag = ("If-Match", '"1"')
    assert (await client.request("PUT", "/items/5/update", tag, body=b"x")).status == 200
    assert (await client.request("PUT", "/items/5", ("If-Match", '"form"'), body=b"y")).status == 412
    assert (await client.request("PUT", "/items/5", ("If-Match", '"2"'), body=b"y")).status == 204


async def test_nor_is_it_where_the_resource_cannot_be_read_any_more(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/items/5", etag='"1"')

    async def closes(exchange: Exchange) -> None:
        legacy.put("/items/5", await exchange.content(), etag='"2"', status=403)
        await exchange.answer(200, ("ETag", '"form"'))

    legacy.on("PUT", "/items/5/update", closes)
    client = connect(await start_proxy(routes=[ALIAS]))
    tag = ("If-Match", '"1"')
    assert (await client.request("PUT", "/items/5/update", tag, body=b"x")).status == 200
    assert (await client.request("PUT", "/items/5", ("If-Match", '"form"'), body=b"y")).status == 403
    assert legacy.seen("PUT", "/items/5") == []


async def test_a_resource_that_may_be_another_one_is_refused(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    routes = [{"match": "/do/{id}", "resource": "/x//{id}"}, {"match": "/x/{id}"}]
    client = connect(await start_proxy(routes=routes))
    assert ((await client.request("POST", "/do/a", body=b"x")).status, legacy.seen("POST")) == (400, [])
