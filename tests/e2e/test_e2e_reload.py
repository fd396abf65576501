"""Other routes without a restart: by SIGHUP, by a changed file, and never by a bad one."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.legacy import Legacy
from support.proxies import Connect, Inside, Process, StartProcess, StartProxy, settings
from support.redis_server import RedisServer
from support.wire_client import request

from proxy import reloading
from proxy.errors import ConfigurationError
from proxy.reloading import Reloading, Source, restart_needed
from proxy.settings import Settings

REQUIRE = {"routes": [{"match": "/a", "require": ["PUT"]}]}
FREE: dict[str, Any] = {"routes": [{"match": "/a"}]}


def write(file: Path, **content: Any) -> Path:
    """Writes the file as editors and ConfigMaps do: another file, moved over it."""
    beside = file.with_suffix(".new")
    beside.write_text(yaml.safe_dump(content))
    beside.replace(file)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "proxy.yaml", **FREE)


def spoil(file: Path, content: str | None) -> None:
    """Writes what cannot be used, or takes the file away."""
    if content is None:
        file.unlink()
    else:
        file.write_text(content)


def hang_up(process: Process) -> None:
    process._process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize("by", ["signal", "file"])
async def test_a_connection_stays_and_meets_other_routes(
    legacy: Legacy, start_process: StartProcess, connect: Connect, file: Path, by: str
) -> None:
    legacy.put("/a", "old")
    process = await start_process(config=str(file))
    client = connect(process)
    assert (await client.request("PUT", "/a", body=b"1")).status == 204
    write(file, **REQUIRE)
    if by == "signal":
        hang_up(process)
    await process.says("read again: 1 routes are in force")
    assert (await client.request("PUT", "/a", body=b"2")).status == 428
    assert legacy.resources["/a"].content == b"1"


async def test_a_request_under_way_ends_as_it_began(
    legacy: Legacy, start_process: StartProcess, connect: Connect, file: Path
) -> None:
    legacy.put("/a", "old")
    process = await start_process(config=str(file))
    held = legacy.hold("PUT")
    client = connect(process)
    await client.send("PUT", "/a", body=b"1")
    await held.arrived.acquire()
    write(file, **REQUIRE)
    hang_up(process)
    await process.says("read again")
    held.go.set()
    assert (await client.answer()).status == 204
    assert (await client.request("PUT", "/a", body=b"2")).status == 428


BAD = {
    "not known": "routes: [{match: /a, requires: [PUT]}]",
    "not YAML": "routes: [",
    "not there": None,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
async def test_a_bad_file_changes_nothing(
    start_process: StartProcess, file: Path, content: str | None
) -> None:
    write(file, **REQUIRE)
    process = await start_process(config=str(file))
    spoil(file, content)
    await process.says("cannot be used, the old one stays: .*proxy.yaml")
    assert (await request(process.address, "PUT", "/a", body=b"2")).status == 428
    write(file, **FREE)
    await process.says("read again: 1 routes are in force")
    assert (await request(process.address, "PUT", "/a", body=b"2")).status == 201


async def test_what_needs_a_restart_is_named(start_process: StartProcess, file: Path) -> None:
    process = await start_process(config=str(file))
    write(file, **REQUIRE, via="other", limits={"tags": 7})
    said = await process.says("only after a restart: (.*)")
    assert "limits.tags" in said[1]
    assert "via" in said[1]
    await process.says("routes are in force")
    assert (await request(process.address, "PUT", "/a", body=b"2")).status == 428


Reload = Callable[..., Awaitable[str]]


@pytest.fixture
def reload(legacy: Legacy) -> Reload:
    async def reload(proxy: Inside, **options: Any) -> str:
        return await proxy.app.reload(settings(legacy.url, drain="1s", admin="127.0.0.1:0", **options))

    return reload


async def test_a_version_from_before_a_pause_is_not_believed(
    legacy: Legacy, start_proxy: StartProxy, reload: Reload
) -> None:
    """While the route was off, nobody looked at its writes: the record of before is stale."""
    proxy = await start_proxy(admin="127.0.0.1:0", **FREE)
    legacy.put("/a", "old")
    tag = str((await request(proxy.address, "GET", "/a"))["ETag"])
    await proxy.knows("/a")
    assert await reload(proxy, routes=[{"match": "/a", "mode": "off"}]) == "applied"
    assert (await request(proxy.address, "PUT", "/a", body=b"unseen")).status == 204
    assert await reload(proxy, **FREE) == "applied"
    assert (await request(proxy.address, "PUT", "/a", ("If-Match", tag), body=b"lost")).status == 412
    assert legacy.resources["/a"].content == b"unseen"


async def test_the_same_names_are_believed_as_before(
    legacy: Legacy, start_proxy: StartProxy, reload: Reload
) -> None:
    proxy = await start_proxy(admin="127.0.0.1:0", **FREE)
    legacy.put("/a", "old")
    tag = str((await request(proxy.address, "GET", "/a"))["ETag"])
    await proxy.knows("/a")
    assert await reload(proxy, **REQUIRE) == "applied"
    before = proxy.count("precondition_probes_total", reason="verify") + proxy.count(
        "precondition_probes_total", reason="suspected"
    )
    reads = len(legacy.seen("GET"))
    assert (await request(proxy.address, "PUT", "/a", ("If-Match", tag), body=b"new")).status == 204
    assert proxy.count("precondition_probes_total", reason="verify") == before
    assert len(legacy.seen("GET")) == reads + 1  # the re-read after the write, and nothing before it


async def test_nothing_new_is_unchanged(start_proxy: StartProxy, reload: Reload) -> None:
    proxy = await start_proxy(admin="127.0.0.1:0", **FREE)
    router = proxy.app._gate._router
    assert await reload(proxy, **FREE) == "unchanged"
    assert proxy.app._gate._router is router


async def test_metrics_and_pages_know_the_new_routes(start_proxy: StartProxy, reload: Reload) -> None:
    proxy = await start_proxy(admin="127.0.0.1:0", **FREE)
    await reload(proxy, routes=[{"match": "/new/{id}"}])
    assert proxy.count("precondition_outcomes_total", route="/new/{id}") == 0
    assert "/new/{id}" in proxy.app._metrics.totals()
    assert [route.name for route in proxy.app._shown.routes] == ["/new/{id}", "all other paths"]


async def test_each_attempt_is_counted(tmp_path: Path) -> None:
    counted: list[str] = []
    answers: list[Settings | ConfigurationError] = [settings("http://h"), ConfigurationError("no")]

    def load() -> Settings:
        answer = answers.pop(0)
        if isinstance(answer, ConfigurationError):
            raise answer
        return answer

    async def apply(_: Settings) -> str:
        return "applied"

    watching = Reloading(Source.of(tmp_path / "none", load), apply, counted.append)
    await watching.reload()
    await watching.reload()
    assert counted == ["applied", "refused"]


def test_what_is_named_as_needing_a_restart() -> None:
    old = settings("http://h")
    new = settings("http://other", listen="127.0.0.1:1", store={"wait": "1s"}, routes=[{"match": "/a"}])
    assert restart_needed(old, old) == []
    assert restart_needed(old, new) == ["listen", "store.wait", "upstream.url"]


def test_secrets_are_not_named_by_their_value() -> None:
    old, new = settings("http://h"), settings("http://h", tag_secret="x" * 20)
    assert restart_needed(old, new) == ["tag_secret"]


async def test_a_file_that_still_changes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter([1, 2, 3, 3, 3, 3])  # the first is as known
    watching = Reloading(Source(Settings, tmp_path, (1, 0, 0)), None, None)  # type: ignore[arg-type]
    read_at: list[int] = []
    seen: list[int] = []

    class Enough(Exception):
        """No more stamps."""

    def stamp(_: Path | None) -> Any:
        seen.append(next(stamps, 0))
        if seen[-1] == 0:
            raise Enough
        return seen[-1], 0, 0

    async def reload() -> None:
        read_at.append(len(seen))

    monkeypatch.setattr(reloading, "EVERY", 0)
    monkeypatch.setattr(reloading, "stamp", stamp)
    monkeypatch.setattr(watching, "reload", reload)
    with pytest.raises(Enough):
        await watching.run()
    assert read_at == [4]


async def test_claims_hold_through_a_reload(
    redis: RedisServer, legacy: Legacy, start_process: StartProcess, connect: Connect, file: Path
) -> None:
    process = await start_process(config=str(file), store=redis.url)
    legacy.put("/a", "old")
    tag = str((await request(process.address, "GET", "/a"))["ETag"])
    held = legacy.hold("PUT")
    first, second = connect(process), connect(process)
    await first.send("PUT", "/a", ("If-Match", tag), body=b"first")
    await held.arrived.acquire()
    write(file, **REQUIRE)
    hang_up(process)
    await process.says("read again")
    await second.send("PUT", "/a", ("If-Match", tag), body=b"second")
    held.go.set()
    assert (await first.answer()).status == 204
    assert (await second.answer()).status == 412
    assert legacy.resources["/a"].content == b"first"
