"""The proxy as its users run it: a command, signals, several processes on one Redis."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Process, StartProcess
from support.redis_server import RedisServer
from support.wire_client import request


async def test_of_twenty_puts_through_two_processes_one_reaches_the_backend(
    redis: RedisServer, legacy: Legacy, start_process: StartProcess
) -> None:
    proxies = await asyncio.gather(start_process(store=redis.url), start_process(store=redis.url))
    legacy.put("/a", "old")
    tags = {(await request(proxy.address, "GET", "/a"))["ETag"] for proxy in proxies}
    (tag,) = tags
    held = legacy.hold("PUT")
    puts = [
        asyncio.ensure_future(
            request(proxies[number % 2].address, "PUT", "/a", ("If-Match", str(tag)), body=b"%d" % number)
        )
        for number in range(20)
    ]
    await held.arrived.acquire()
    held.go.set()
    answers = await asyncio.gather(*puts)
    assert sorted(answer.status for answer in answers) == [204] + 19 * [412]
    assert len(legacy.seen("PUT")) == 1
    current = (await request(proxies[0].address, "GET", "/a"))["ETag"]
    assert {answer["ETag"] for answer in answers} == {current}


async def test_replicas_share_their_secret_through_redis(
    redis: RedisServer, legacy: Legacy, start_process: StartProcess
) -> None:
    legacy.put("/a", "old")
    proxies = [await start_process({"PROXY_TAG_SECRET": None}, store=redis.url) for _ in range(2)]
    first, second = [(await request(proxy.address, "GET", "/a"))["ETag"] for proxy in proxies]
    assert first is not None
    assert first == second


@pytest.fixture
async def process(start_process: StartProcess) -> Process:
    """One process, in memory."""
    return await start_process()


async def test_sigterm_lets_a_write_finish_and_takes_no_more(
    legacy: Legacy, process: Process, connect: Connect
) -> None:
    legacy.put("/a", "old")
    held = legacy.hold("PUT")
    writer, idle = connect(process), connect(process)
    await idle.request("GET", "/a")
    await writer.send("PUT", "/a", ("If-Match", "*"), body=b"new")
    await held.arrived.acquire()
    process.terminate()
    await process.says("stopping")
    assert await idle.closed() == b""
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(*process.address)
    held.go.set()
    answer = await writer.answer()
    assert (answer.status, answer["Connection"]) == (204, "close")
    assert await process.ended() == 0
    assert legacy.resources["/a"].content == b"new"


async def test_sigterm_does_not_wait_longer_than_drain(
    legacy: Legacy, start_process: StartProcess, connect: Connect
) -> None:
    process = await start_process({"PROXY_DRAIN": "200ms"})
    held = legacy.hold("PUT")
    await connect(process).send("PUT", "/a", body=b"new")
    await held.arrived.acquire()
    process.terminate()
    assert await process.ended() == 0


@pytest.mark.parametrize("stays", [True, False])
async def test_sigterm_leaves_no_claim_behind(
    redis: RedisServer, legacy: Legacy, start_process: StartProcess, connect: Connect, stays: bool
) -> None:
    """Also where the client of the write under way is gone."""
    first, second = await asyncio.gather(start_process(store=redis.url), start_process(store=redis.url))
    held = legacy.hold("PUT")
    client = connect(first)
    await client.send("PUT", "/a", body=b"1")
    await held.arrived.acquire()
    if not stays:
        client.close()
    first.terminate()
    await first.says("stopping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first.ended(), 0.3)  # it waits for the write
    held.go.set()
    assert await first.ended() == 0
    assert (await request(second.address, "PUT", "/a", body=b"2")).status == 204
    assert [one.body for one in legacy.seen("PUT")] == [b"1", b"2"]


async def test_a_killed_process_leaves_its_claim_to_run_out(
    redis: RedisServer, legacy: Legacy, start_process: StartProcess, connect: Connect
) -> None:
    """Rules 2 and 5: nobody writes while the backend may still be at it, and then the version is unknown."""
    environment = {
        "PROXY_STORE__LEASE": "1s",
        "PROXY_UPSTREAM__TIMEOUT": "900ms",
        "PROXY_STORE__WAIT": "50ms",
    }
    first, second = await asyncio.gather(*(start_process(environment, store=redis.url) for _ in range(2)))
    legacy.put("/a", "old")
    tag = str((await request(second.address, "GET", "/a"))["ETag"])
    held = legacy.hold("PUT")
    await connect(first).send("PUT", "/a", ("If-Match", tag), body=b"dying")
    await held.arrived.acquire()
    first.kill()
    answer = await request(second.address, "PUT", "/a", ("If-Match", tag), body=b"lost")
    assert (answer.status, "Retry-After" in answer) == (503, True)
    held.go.set()
    async with asyncio.timeout(5):
        while answer.status == 503:
            answer = await request(second.address, "PUT", "/a", ("If-Match", tag), body=b"lost")
    assert (answer.status, legacy.resources["/a"].content) == (412, b"dying")


async def test_each_request_gets_a_line(legacy: Legacy, start_process: StartProcess) -> None:
    process = await start_process({"PROXY_LOG__ACCESS": "true"})
    legacy.put("/a", "old")
    await request(process.address, "GET", "/a", ("X-Request-ID", "r-1"))
    await request(process.address, "PUT", "/a", ("If-Match", '"x"'), ("X-Request-ID", "r-2"), body=b"new")
    await process.says("r-2")
    lines = {line["request_id"]: line for line in process.requests}
    assert (lines["r-1"]["outcome"], lines["r-1"]["status"]) == ("passed", 200)
    refused = lines["r-2"]
    assert [refused[name] for name in ("method", "status", "outcome", "condition", "reason")] == [
        "PUT",
        412,
        "refused",
        "If-Match",
        "stale_tag",
    ]


async def test_redis_that_comes_back_is_used_again(
    legacy: Legacy, start_process: StartProcess, connect: Connect
) -> None:
    with RedisServer() as server:
        environment = {"PROXY_STORE__LEASE": "300ms", "PROXY_UPSTREAM__TIMEOUT": "200ms"}
        process = await start_process(environment, store=server.url)
        client = connect(process)
        legacy.put("/a", "old")
        tag = str((await client.request("GET", "/a"))["ETag"])
        assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 204
        server.stop()
        answer = await client.request("PUT", "/a", ("If-Match", tag), body=b"lost")
        assert (answer.status, "Retry-After" in answer) == (503, True)
        assert (await client.request("GET", "/a")).body == b"new"
        server.start()
        async with asyncio.timeout(10):
            while answer.status == 503:
                answer = await client.request("PUT", "/a", ("If-Match", tag), body=b"lost")
        assert (answer.status, legacy.resources["/a"].content) == (412, b"new")


async def test_events_say_of_which_request_they_are(legacy: Legacy, process: Process) -> None:
    async def breaks(exchange: Exchange) -> None:
        exchange.writer.close()

    legacy.on("GET", "/a", breaks)
    await request(process.address, "PUT", "/b", ("X-Request-ID", "another"), body=b"new")
    answer = await request(process.address, "PUT", "/a", ("X-Request-ID", "call-7"), body=b"new")
    assert answer.status == 201
    event = json.loads((await process.says("the version after a write stays unknown")).string)
    assert event["request_id"] == "call-7"


async def test_a_refusal_is_found_in_the_log(legacy: Legacy, process: Process) -> None:
    legacy.put("/a", "old")
    answer = await request(process.address, "PUT", "/a", ("If-Match", '"stale"'), body=b"new")
    shown = json.loads(answer.body)["request_id"]
    assert shown == answer["X-Request-ID"]
    line = json.loads((await process.says(f'"request_id":"{shown}"')).string)
    assert (line["status"], line["reason"]) == (412, "stale_tag")
