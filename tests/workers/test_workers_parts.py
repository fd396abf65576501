"""What the process that starts the workers decides: parts, ports, numbers, and when it gives up."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.admin import Finding, Told
from proxy.errors import ConfigurationError
from proxy.settings import Address, Settings
from proxy.store import Health
from proxy.workers import (
    Crew,
    Processes,
    Relay,
    Sample,
    Start,
    StartsFail,
    how_many,
    relay,
    reserve,
    sharing,
    worker,
)
from proxy.workers.worker import Worker


def settings(**options: Any) -> Settings:
    return Settings.model_validate({"upstream": "http://h", "store": "redis://r", **options})


@pytest.mark.parametrize(
    ("total", "workers", "parts"),
    [(0, 3, [0, 0, 0]), (3, 3, [1, 1, 1]), (10, 4, [3, 3, 2, 2]), (5, 1, [5])],
)
def test_limits_are_for_all_workers_together(total: int, workers: int, parts: list[int]) -> None:
    given = settings(upstream={"url": "http://h", "max_connections": total}, limits={"connections": total})
    mine = [sharing.shared(given, Address("h", 1), number, workers) for number in range(1, workers + 1)]
    assert [one.upstream.max_connections for one in mine] == parts
    assert [one.limits.connections for one in mine] == parts
    assert {(one.listen, one.admin) for one in mine} == {(Address("h", 1), None)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"workers": 1}, 1),
        ({"workers": 7}, 7),
        ({"workers": "auto"}, 8),
        ({"workers": "auto", "limits": {"connections": 3}}, 3),
        ({"workers": "auto", "upstream": {"url": "http://h", "max_connections": 2}}, 2),
    ],
)
def test_how_many(options: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_processors", lambda: 8)
    assert how_many(settings(**options)) == expected


def test_a_system_that_cannot_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    with pytest.raises(ConfigurationError, match=r"workers: 2 cannot be had on .*\n    write workers: 1"):
        how_many(settings(workers=2))
    assert how_many(settings(workers=1)) == 1


@pytest.mark.parametrize(
    ("mine", "text", "expected"),
    [
        ("0::/\n", "max 100000\n", math.inf),
        ("0::/\n", "150000 100000\n", 1.5),
        ("0::/a/b\n", "400000 100000\n", 4),
        ("0::/\n", "", math.inf),
        ("", "100000 100000\n", 1),
    ],
)
def test_what_a_container_may_use(tmp_path: Path, mine: str, text: str, expected: float) -> None:
    place = mine.strip().removeprefix("0::").strip("/")
    tmp_path.joinpath(place).mkdir(parents=True, exist_ok=True)
    tmp_path.joinpath(place, "cpu.max").write_text(text)
    (tmp_path / "mine").write_text(mine)
    if not mine:
        expected = math.inf  # no control groups of the second version
    assert sharing._quota(tmp_path, tmp_path / "mine") == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_a_reserved_port_is_shared_with_nobody_else(host: str) -> None:
    address, held = reserve(Address(host, 0))
    with held:
        assert address.port
        with socket.socket() as listening:  # as a worker does
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((host if host == "127.0.0.1" else "127.0.0.1", address.port))
            listening.listen()
            with pytest.raises(OSError, match="in use"):
                reserve(address)
    reserve(address)[1].close()


def told(status: int = 204, outcome: str = "passed", resource: str = "/a", method: str = "PUT") -> Told:
    return Told(1, 2, resource, "default", method, "c", "r", status, outcome)


def test_a_relay_hands_on_what_it_was_told_once() -> None:
    kept = Relay()
    kept.tell(told())
    assert (len(kept.take()), len(kept.take())) == (1, 0)


def test_a_relay_wants_what_follows_a_refusal_elsewhere() -> None:
    kept = Relay()
    assert not kept.wants("GET", "passed", "/a", "c")
    kept.followed = frozenset({("/a", "c")})
    assert kept.wants("GET", "passed", "/a", "c")
    assert not kept.wants("GET", "passed", "/a", "other")


def test_of_too_much_a_relay_keeps_the_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MOST_KEPT", 3)
    kept = Relay()
    for _ in range(10):
        kept.tell(told())
        kept.tell(told(412, "refused"))
    taken = kept.take()
    assert len(taken) == 6
    assert [one.status for one in taken] == [204, 412, 204, 412, 412, 412]


def test_processor_time_of_a_worker_that_has_ended_stays() -> None:
    workers = [os.getpid()]  # one that is like us
    collector = Processes(lambda: workers)

    def values() -> dict[str, float]:
        return {sample.name: sample.value for family in collector.collect() for sample in family.samples}

    with_worker = values()
    workers.clear()
    alone = values()
    assert alone["process_cpu_seconds_total"] >= with_worker["process_cpu_seconds_total"]
    assert alone["process_resident_memory_bytes"] < with_worker["process_resident_memory_bytes"]
    assert alone["process_start_time_seconds"] == with_worker["process_start_time_seconds"]


async def test_a_worker_that_never_serves_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_number: int, _theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")

    monkeypatch.setattr(worker, "_started", broken)
    monkeypatch.setattr(worker, "FIRST_PAUSE", 0.001)
    one = Worker(1, lambda: Start(settings(), 1, False, False), lambda _: None, lambda _: None)
    with pytest.raises(StartsFail, match=r"worker 1 has ended 5 times .* \(exit status 3\)"):
        await one.run()
    assert sum("it is started again" in line.getMessage() for line in caplog.records) == 4


async def test_a_worker_is_not_started_again_once_it_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    started = 0

    async def broken(_number: int, _theirs: socket.socket) -> asyncio.subprocess.Process:
        nonlocal started
        started += 1
        return await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")

    monkeypatch.setattr(worker, "_started", broken)
    monkeypatch.setattr(worker, "FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(worker, "LONGEST_PAUSE", 1000.0)
    one = Worker(1, lambda: Start(settings(), 1, False, False), lambda _: None, lambda _: None)
    running = asyncio.ensure_future(one.run())
    async with asyncio.timeout(20):
        while not started or one._process is not None or one._channel is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        one.stop()
        await running
    assert (started, one.restarts) == (1, 0)


NOW = time.time()
# What each worker has found (kind, seconds ago, seconds that it is still verified), and whose is shown.
FOUND = [
    ([None, None], None),
    ([("suspected", 5, 300), None], 0),
    ([("suspected", 5, 300), ("unstable", 9, 290)], 1),
    ([("suspected", 5, 300), ("unstable", 900, 0)], 0),
    ([("written", 9, 300), ("unstable", 5, 300)], 1),
]


@pytest.mark.parametrize(("found", "expected"), FOUND)
async def test_of_a_route_the_worker_tells_that_knows_best(
    found: list[tuple[str, float, float] | None], expected: int | None
) -> None:
    crew = Crew(settings(), Address("h", 1), 2, ["default"], "1")
    for one, each in zip(crew.workers, found, strict=True):
        findings = () if each is None else (finding(*each),)
        one.sample = Sample(1, {}, Health(ready=True, detail=""), findings, ())
    kinds = [one.kind for one in crew.findings()]
    assert kinds == ([] if expected is None else [found[expected][0]])  # type: ignore[index]


def finding(kind: str, ago: float, left: float) -> Finding:
    return Finding("default", "/a", kind, (), NOW - ago, NOW + left)


# Who serves, what they say, whether the store is usable, and in what words.
SAID = [
    ([None, None], False, "no worker answers"),
    ([(True, "fine"), None], True, "fine"),
    ([(True, "fine"), (True, "fine")], True, "fine"),
    ([(True, "fine"), (False, "gone")], False, "worker 2: gone"),
    ([(False, "gone"), (False, "gone")], False, "gone"),
    ([(True, "fine"), "silent"], False, "worker 2 does not answer"),
    (["silent", "silent"], False, "no worker answers"),
]


@pytest.mark.parametrize(("said", "ready", "words"), SAID)
async def test_the_store_is_usable_where_every_worker_that_serves_says_so(
    said: list[Any], ready: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = Crew(settings(), Address("h", 1), 2, ["default"], "1")

    async def ask(self: Worker, _followed: object) -> Sample | None:
        health = said[self.number - 1]
        return Sample(1, {}, Health(*health), (), ()) if isinstance(health, tuple) else None

    monkeypatch.setattr(Worker, "ask", ask)
    for one, each in zip(crew.workers, said, strict=True):
        one.serving = each is not None
    health = await crew.health()
    assert (health.ready, health.detail) == (ready, words)
