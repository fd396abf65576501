"""`workers: 2`: one port, one admin port, and nothing that a client could tell from one process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.legacy import Legacy
from support.proxies import Connect, Process, StartProcess, process
from support.redis_server import RedisServer
from support.wire_client import Client, request

MANY = 24  # connections: that one of two workers gets all of them has a chance of one to some millions
PATIENCE = 30.0


class Crew:
    """A supervising process with its workers, and its admin port."""

    def __init__(self, proxy: Process, admin: str) -> None:
        self.proxy = proxy
        self.address = proxy.address
        self.http = httpx.AsyncClient(base_url=admin, trust_env=False, timeout=20)

    async def count(self, name: str, **labels: str) -> float:
        """A metric, summed over the labels that are not given."""
        text = (await self.http.get("/metrics")).text
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    async def data(self) -> Any:
        """What the page of conflicts shows."""
        return (await self.http.get("/conflicts/data")).json()

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers, the latest of each."""
        said = re.findall(r"worker (\d+) \(process (\d+)\) serves", "".join(self.proxy._said))
        return [int(pid) for _, pid in sorted(dict(said).items())]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Asks again and again."""
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def serves_with(self, workers: int) -> None:
        """Waits until so many serve."""

        async def so_many() -> bool:
            return await self.count("precondition_workers") == workers

        await self.until(so_many)


StartCrew = Callable[..., Awaitable[Crew]]


@pytest.fixture
async def start_crew(start_process: StartProcess, redis: RedisServer) -> AsyncIterator[StartCrew]:
    """Starts the proxy with two workers."""
    started: list[Crew] = []

    async def start(environment: dict[str, str | None] | None = None, **flags: str) -> Crew:
        given = {"PROXY_WORKERS": "2", "PROXY_DRAIN": "5s", "PROXY_TAG_SECRET": None} | (environment or {})
        proxy = await start_process(given, store=redis.url, admin="127.0.0.1:0", **flags)
        said = await proxy.says(r"conflicts on (http://[\d.]+:\d+)")
        started.append(Crew(proxy, said[1]))
        return started[-1]

    yield start
    for crew in started:
        await crew.http.aclose()
        crew.proxy.terminate() if crew.proxy._process.returncode is None else None
        await crew.proxy.ended()


@pytest.fixture
async def crew(start_crew: StartCrew) -> Crew:
    return await start_crew()


async def connected(connect: Connect, crew: Crew, count: int = MANY) -> list[Client]:
    """Clients whose connections are spread over the workers."""
    clients = [connect(crew.address) for _ in range(count)]
    await asyncio.gather(*(client.request("GET", "/a") for client in clients))
    return clients


async def survivors(clients: list[Client]) -> list[Client]:
    """Those whose connection still answers."""
    answers = await asyncio.gather(
        *(client.request("GET", "/a") for client in clients), return_exceptions=True
    )
    return [one for one, answer in zip(clients, answers, strict=True) if not isinstance(answer, Exception)]


async def test_a_killed_worker_is_started_again_and_no_number_falls(
    legacy: Legacy, crew: Crew, connect: Connect
) -> None:
    legacy.put("/a", "old")
    clients = await connected(connect, crew)
    assert await crew.count("precondition_requests_total") == MANY
    assert await crew.count("precondition_request_seconds_count") == MANY
    assert await crew.count("precondition_client_connections") == MANY
    before = crew.workers
    os.kill(before[0], signal.SIGKILL)
    await crew.proxy.says(rf"worker 1 \(process {before[0]}\) ended \(by SIGKILL\).* started again in")
    ready = await crew.http.get("/readyz")
    assert (ready.status_code, ready.json()["workers"]) == (503, "1 of 2 workers serve")
    assert "1 of 2 workers serve" in (await crew.data())["health"]["warnings"]
    assert await crew.count("precondition_requests_total") == MANY
    alive = await survivors(clients)
    assert 0 < len(alive) < MANY  # both had served
    await crew.serves_with(2)
    assert await crew.count("precondition_worker_restarts_total") == 1
    assert await crew.count("precondition_requests_total") == MANY + len(alive)
    assert await crew.count("precondition_client_connections") == len(alive)
    assert crew.workers[0] != before[0]
    ready = await crew.http.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)


async def test_not_ready_while_a_worker_does_not_answer(crew: Crew) -> None:
    os.kill(crew.workers[0], signal.SIGSTOP)
    ready = await crew.http.get("/readyz")
    assert (ready.status_code, ready.json()["store"]) == (503, "worker 1 does not answer")
    os.kill(crew.workers[0], signal.SIGCONT)
    assert (await crew.http.get("/readyz")).status_code == 200


async def test_of_twenty_puts_with_one_tag_one_passes(legacy: Legacy, crew: Crew, connect: Connect) -> None:
    legacy.put("/a", "old")
    clients = await connected(connect, crew, 20)
    tags = {(await client.request("GET", "/a"))["ETag"] for client in clients}
    (tag,) = tags  # one key of minted tags, without a tag_secret in the settings of any
    held = legacy.hold("PUT")
    puts = [
        asyncio.ensure_future(client.request("PUT", "/a", ("If-Match", str(tag)), body=b"%d" % number))
        for number, client in enumerate(clients)
    ]
    await held.arrived.acquire()
    held.go.set()
    answers = await asyncio.gather(*puts)
    assert sorted(answer.status for answer in answers) == [204] + 19 * [412]
    assert len(legacy.seen("PUT")) == 1
    assert await crew.count("precondition_requests_total", method="PUT", status="412") == 19


async def test_conflicts_are_one_story_whichever_workers_saw_them(
    legacy: Legacy, crew: Crew, connect: Connect
) -> None:
    legacy.put("/a", "old")
    clients = await connected(connect, crew)
    for number, client in enumerate(clients):
        tag = str((await client.request("GET", "/a"))["ETag"])
        assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"%d" % number)).status == 204
        other = clients[number - 1]
        assert (await other.request("PUT", "/a", ("If-Match", tag), body=b"lost")).status == 412
    shown = await crew.data()
    assert shown["total"] == MANY
    times = [told["at"] for told in shown["conflicts"]]
    assert times == sorted(times, reverse=True)
    for told in shown["conflicts"]:
        change, refusal = (step["text"] for step in told["steps"][:2])
        assert "changed it by PUT" in change
        assert re.findall(r'"pp1[^"]*"', change)[-1] == re.findall(r'"pp1[^"]*"', refusal)[-1]
    assert (shown["routes"][0]["requests"], shown["routes"][0]["refused"]) == (4 * MANY, MANY)
    async with crew.http.stream("GET", "/conflicts/events") as stream:
        line = await anext(line async for line in stream.aiter_lines() if line.startswith("data: "))
    assert json.loads(line.removeprefix("data: "))["total"] == MANY


async def test_a_client_that_comes_back_to_another_worker_is_followed(
    legacy: Legacy, crew: Crew, connect: Connect
) -> None:
    legacy.put("/a", "old")
    answer = await request(crew.address, "PUT", "/a", ("If-Match", '"x"'), body=b"lost")
    assert answer.status == 412
    assert (await crew.data())["conflicts"][0]["end"] == "open"
    await killed(crew)
    assert (await crew.data())["conflicts"][0]["end"] == "open"  # and the new workers know of it
    await connected(connect, crew)
    assert (await crew.data())["conflicts"][0]["end"] == "read"


async def killed(crew: Crew) -> None:
    """Kills all workers, and waits for the next."""
    for worker in crew.workers:
        os.kill(worker, signal.SIGKILL)
    for number in (1, 2):
        await crew.proxy.says(f"worker {number} .* ended")
    await crew.serves_with(2)


async def test_sigterm_loses_no_request(legacy: Legacy, crew: Crew, connect: Connect) -> None:
    legacy.put("/a", "old")
    clients = await connected(connect, crew)
    held = legacy.hold("PUT")
    for number, client in enumerate(clients):
        await client.send("PUT", f"/{number}", body=b"new")
    for _ in clients:
        await held.arrived.acquire()
    assert await crew.count("precondition_requests_in_flight") == MANY
    assert await crew.count("precondition_claims_held") == MANY
    crew.proxy.terminate()
    await crew.proxy.says("stopping")
    assert (await crew.http.get("/readyz")).json()["draining"] is True
    held.go.set()
    answers = await asyncio.gather(*(client.answer() for client in clients))
    assert {(answer.status, answer["Connection"]) for answer in answers} == {(201, "close")}
    assert await crew.proxy.ended() == 0
    assert len(legacy.resources) == MANY + 1


async def test_sigterm_does_not_wait_longer_than_drain(
    legacy: Legacy, start_crew: StartCrew, connect: Connect
) -> None:
    crew = await start_crew({"PROXY_DRAIN": "200ms"})
    held = legacy.hold("PUT")
    await connect(crew.address).send("PUT", "/a", body=b"new")
    await held.arrived.acquire()
    crew.proxy.terminate()
    assert await crew.proxy.ended() == 0


def write(file: Path, **content: Any) -> Path:
    """Writes the file as editors and ConfigMaps do."""
    beside = file.with_suffix(".new")
    beside.write_text(yaml.safe_dump(content))
    beside.replace(file)
    return file


REQUIRE = {"routes": [{"match": "/a", "require": ["PUT"]}]}


async def statuses(clients: list[Client]) -> set[int]:
    """How every connection's PUT without a condition is answered."""
    return {(await client.request("PUT", "/a", body=b"new")).status for client in clients}


async def test_a_reload_reaches_every_worker_and_a_bad_one_none(
    legacy: Legacy, start_crew: StartCrew, connect: Connect, tmp_path: Path
) -> None:
    legacy.put("/a", "old")
    file = write(tmp_path / "proxy.yaml", routes=[{"match": "/a"}])
    crew = await start_crew(config=str(file))
    clients = await connected(connect, crew)
    assert await statuses(clients) == {204}
    write(file, **REQUIRE)
    crew.proxy._process.send_signal(signal.SIGHUP)
    await crew.proxy.says("read again: 1 routes are in force")
    assert await statuses(clients) == {428}
    assert (await crew.data())["routes"][0]["words"][0].startswith("PUT must carry")
    write(file, routes=[{"match": "/a", "requires": ["PUT"]}])
    await crew.proxy.says("cannot be used, the old one stays: .*proxy.yaml")
    assert await statuses(clients) == {428}
    await killed(crew)  # those that start now start with what is in force, not with the file
    assert await statuses(await connected(connect, crew)) == {428}
    assert await crew.count("precondition_config_reloads_total", result="applied") == 1
    assert await crew.count("precondition_config_reloads_total", result="refused") == 1


async def test_a_worker_that_starts_after_resources_were_renamed_believes_nothing(
    legacy: Legacy, start_crew: StartCrew, tmp_path: Path
) -> None:
    """While the route was off nobody looked at its writes; a new worker must not take the store's word."""
    legacy.put("/a", "old")
    file = write(tmp_path / "proxy.yaml", routes=[{"match": "/a"}])
    crew = await start_crew(config=str(file))
    tag = str((await request(crew.address, "GET", "/a"))["ETag"])

    async def recorded() -> bool:
        return await crew.count("precondition_observations_total", result="recorded") == 1

    await crew.until(recorded)
    for routes, said in (([{"match": "/a", "mode": "off"}], 1), ([{"match": "/a"}], 2)):
        write(file, routes=routes)
        crew.proxy._process.send_signal(signal.SIGHUP)

        async def applied(times: int = said) -> bool:
            return await crew.count("precondition_config_reloads_total", result="applied") == times

        await crew.until(applied)
        if said == 1:
            assert (await request(crew.address, "PUT", "/a", body=b"unseen")).status == 204
    await killed(crew)
    assert (await request(crew.address, "PUT", "/a", ("If-Match", tag), body=b"lost")).status == 412
    assert legacy.resources["/a"].content == b"unseen"


async def test_workers_do_not_outlive_the_process_that_started_them(crew: Crew, connect: Connect) -> None:
    await connected(connect, crew)
    crew.proxy.kill()
    await crew.proxy.ended()  # its output ends when the workers have ended too: they hold it

    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(*crew.address)


async def test_each_request_gets_a_whole_line(
    legacy: Legacy, start_crew: StartCrew, connect: Connect
) -> None:
    crew = await start_crew({"PROXY_LOG__ACCESS": "true"})
    legacy.put("/a", "old")
    clients = await connected(connect, crew)
    for _ in range(20):
        await asyncio.gather(*(client.request("GET", "/a?" + "x" * 2000) for client in clients))
    crew.proxy.terminate()
    assert await crew.proxy.ended() == 0
    assert len(crew.proxy.requests) == 21 * MANY  # each line is JSON by itself


async def failure(upstream: str, environment: dict[str, str], **flags: str) -> str:
    """What a proxy says that does not come to serve."""
    try:
        proxy = await process(upstream, {"PROXY_WORKERS": "2"} | environment, **flags)
    except AssertionError as failed:
        return str(failed)
    proxy.terminate()
    await proxy.ended()
    pytest.fail("it serves")


async def test_what_a_worker_cannot_use_ends_the_proxy(redis: RedisServer) -> None:
    said = await failure("https://127.0.0.1:1", {"PROXY_UPSTREAM__CA_FILE": "/nowhere.pem"}, store=redis.url)
    assert "upstream.ca_file: /nowhere.pem cannot be used" in said
    assert "Traceback" not in said


async def test_a_port_that_is_taken_is_said_once(redis: RedisServer, crew: Crew) -> None:
    """Also by workers of another proxy, with which the system would let us share it."""
    host, port = crew.address
    said = await failure("http://127.0.0.1:1", {}, store=redis.url, listen=f"{host}:{port}")
    assert said.count(f"listen: cannot listen on {host}:{port}") == 1
    assert "Traceback" not in said


async def test_versions_in_memory_cannot_be_shared() -> None:
    said = await failure("http://127.0.0.1:1", {})
    assert said.startswith("PROXY_WORKERS: 2 needs Redis")
