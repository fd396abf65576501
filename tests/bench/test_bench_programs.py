"""What `make bench` rests on, as far as that can be told without its tools."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import extras
import micro
import pytest
from loads import INGRESS_PUT, ONE_GET, PASSED_ON, PUT, TAGS, heard, load_named, script
from machine import ROOT, free_port, running, wait_for
from report import Figures, Outcome, Ratio, plain, text
from support.proxies import inside
from support.recording_backend import Heard, RecordingBackend
from support.redis_server import RedisServer
from support.waiting import eventually
from support.wire_client import Client

HERE = Path(__file__).parent
V1, OLD = ("If-Match", '"v1"'), ("If-Match", '"old"')


def respond(request: Heard) -> bytes:
    """Ignores conditions, as legacy backends do; /plain has no tags."""
    tag = b"" if request.target.startswith("/plain") else b'ETag: "v1"\r\n'
    if request.method == "PUT":
        return b"HTTP/1.1 204 No Content\r\n" + tag + b"\r\n"
    return b"HTTP/1.1 200 OK\r\n" + tag + b"Content-Length: 2\r\n\r\nok"


@pytest.fixture
async def backend() -> AsyncIterator[RecordingBackend]:
    """A backend that keeps what it was sent."""
    async with RecordingBackend(respond).running() as one:
        yield one


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A real Redis."""
    with RedisServer() as started:
        yield started


async def test_the_usual_proxy_records_on_get_and_compares_on_put(
    backend: RecordingBackend, server: RedisServer, tmp_path: Path
) -> None:
    port = free_port()
    command = [sys.executable, str(HERE / "naive.py"), "--upstream", backend.url, "--store", server.url]
    with running([*command, "--port", str(port)], "", log := tmp_path / "log"):
        await asyncio.to_thread(wait_for, port, log)
        async with Client(("127.0.0.1", port)) as client:
            assert (await client.request("PUT", "/a", OLD, body=b"unknown passes")).status == 204
            assert (await client.request("GET", "/a"))["ETag"] == '"v1"'
            assert (await client.request("PUT", "/a", OLD, body=b"stale")).status == 412
            assert (await client.request("PUT", "/a", V1, body=b"fresh")).status == 204
            minted = await client.request("GET", "/plain")
            again = await client.request("GET", "/plain", ("If-None-Match", minted["ETag"] or ""))
            assert again.status == 304
    writes = [request for request in backend.heard if request.method == "PUT"]
    assert [(write.body, write.one("content-length")) for write in writes] == [
        (b"unknown passes", "14"),
        (b"fresh", "5"),
    ]
    assert backend.faults == []


async def test_the_barest_forwarding_only_forwards(backend: RecordingBackend, tmp_path: Path) -> None:
    port = free_port()
    command = [
        "env",
        f"PYTHONPATH={ROOT}",
        sys.executable,
        str(HERE / "barest.py"),
        "--upstream",
        backend.url,
    ]
    with running([*command, "--port", str(port)], "", log := tmp_path / "log"):
        await asyncio.to_thread(wait_for, port, log)
        async with Client(("127.0.0.1", port)) as client:
            assert (await client.request("GET", "/a?b")).body == b"ok"
            assert (await client.request("PUT", "/a", OLD, body=b"whatever")).status == 204
    assert backend.lines == ["GET /a?b", "PUT /a"]
    assert sorted(name for name, _ in backend.heard[1].fields) == ["content-length", "host", "if-match"]


async def test_a_million_are_remembered_under_the_names_that_the_proxy_gives(
    backend: RecordingBackend, server: RedisServer
) -> None:
    proxy = await inside(backend.url, store=server.url)
    async with Client(proxy.address) as client:
        await client.request("GET", "/tagged/1")
        name, version = extras.entry("/tagged/1"), extras.variant("/tagged/1", "example.org")
        await eventually(lambda: server.client().hexists(name, version))
    await proxy.app.stop()


def test_every_small_step_can_be_measured() -> None:
    assert [step.name for step in micro.measured(1, 1e-5)] == list(micro.STEPS)


def test_what_wrk_is_told_and_says(tmp_path: Path) -> None:
    told = script(load_named(PUT), tmp_path / "lua").read_text()
    assert 'wrk.headers["If-Match"] = \'"v1"\'' in told
    assert "if status ~= 204 then" in told
    passed_on = script(load_named(INGRESS_PUT), tmp_path / "lua").read_text()
    assert "  wrk.headers[\"X-Request-ID\"] = ('0af7651916cd43dd%016d'):format(count)\n" in passed_on
    assert passed_on.count("wrk.headers[") == len(PASSED_ON) + 1
    turn = heard("Running 1s test\nRESULT 1000 990.5 210.0 840.0 3\nRequests/sec: 990\n")
    assert (turn.requests, turn.rate, turn.p50, turn.p99, turn.wrong) == (1000, 990.5, 210.0, 840.0, 3)


def test_ratios_are_of_medians_and_beside_them_of_single_rounds() -> None:
    ratio = Ratio.of(Figures(rate=[10.0, 40.0, 20.0]), Figures(rate=[10.0, 10.0, 40.0]))
    assert (ratio.of_medians, ratio.paired, ratio.least, ratio.most) == (2.0, 1.0, 0.5, 4.0)


def test_the_aims_are_told_apart() -> None:
    def figures(rate: float, p50: float) -> Figures:
        return Figures([rate], [1e6 / rate], [p50], [4 * p50], [0.0])

    outcome = Outcome("a machine", [])
    outcome.results[TAGS] = {"naive": figures(100, 9), "lua": figures(2000, 9), "ours": figures(1000, 9)}
    outcome.results[ONE_GET] = {"nginx": figures(100, 200), "ours": figures(100, 350)}
    outcome.memory["redis"] = 177.0
    assert [(aim["what"], aim["reached"], aim["met"]) for aim in plain(outcome)["aims"]] == [
        (f"{TAGS}: x naive", 10.0, True),
        (f"{TAGS}: x nginx+Lua", 0.5, False),
        (f"{ONE_GET}: p50 more than nginx adds", 0.15, False),
        ("Redis memory of a resource", 177.0, True),
    ]
    assert "| at most 0.1 ms | 0.15 ms |  | no |" in text(outcome)
