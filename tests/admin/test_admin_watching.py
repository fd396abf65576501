"""The page of conflicts over a real socket: its files, its stream, and what it lets nobody do."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from proxy.admin import Admin, Conflicts, Page, RouteText, Told, watching
from proxy.errors import StoreUnavailable
from proxy.metrics import Metrics
from proxy.store import Health

PATHS = ["/conflicts", "/conflicts/page.js", "/conflicts/page.css", "/conflicts/uplot.js", "/conflicts/data"]


class Service:
    """A store's service whose health the test decides."""

    def __init__(self) -> None:
        self.answer: Health | StoreUnavailable = Health(ready=True, detail="fine", warnings=("evicts",))

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def health(self) -> Health:
        if isinstance(self.answer, StoreUnavailable):
            raise self.answer
        return self.answer


@dataclass
class Port:
    """A running admin port."""

    admin: Admin
    service: Service
    metrics: Metrics
    conflicts: Conflicts
    client: httpx.AsyncClient

    async def data(self) -> Any:
        return (await self.client.get("/conflicts/data")).json()


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Port]:
    monkeypatch.setattr(watching, "EVERY", 0.01)
    metrics, service, conflicts = Metrics(["/notes/{id}", "default"]), Service(), Conflicts()
    routes = [
        RouteText("/notes/{id}", "/notes/{id}", ("PUT must carry a condition",)),
        RouteText("default", "all other paths", ("<b>&",)),
    ]
    page = Page(metrics, conflicts, routes, hide_names=True)
    admin = Admin(metrics, service, host="127.0.0.1", port=0, shown=page)
    host, number = await admin.start()
    async with httpx.AsyncClient(base_url=f"http://{host}:{number}", timeout=10) as client:
        yield Port(admin, service, metrics, conflicts, client)
        await admin.stop()


def refusal(number: int = 0) -> Told:
    return Told(
        began=1,
        ended=2,
        resource="/notes/1",
        route="/notes/{id}",
        method="PUT",
        client=f"10.0.0.{number}",
        request_id="r",
        status=412,
        outcome="refused",
        condition="If-Match",
        reason="stale_tag",
        held='"old"',
        tag='"new"',
    )


async def events(response: httpx.Response) -> AsyncIterator[Any]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_what_there_is_to_see(port: Port) -> None:
    port.metrics.request("/notes/{id}", "PUT", 412, 0.001, "refused", "If-Match", "stale_tag")
    port.metrics.request("/notes/{id}", "PUT", 204, 0.001, "replayed", "If-Match", "")
    port.metrics.lease_lost()
    for number in (1, 2, 2):
        port.conflicts.tell(refusal(number))
    data = await port.data()
    assert data["health"] == {
        "ready": True,
        "draining": False,
        "store": "fine",
        "warnings": ["evicts"],
        "claims_held": 0,
        "requests_in_flight": 0,
        "leases_lost": 1,
        "changes_behind": 0,
        "store_errors": 0,
        "probes": 0,
        "replayed": 1,
    }
    assert [(route["name"], route["requests"], route["refused"]) for route in data["routes"]] == [
        ("/notes/{id}", 2, 1),
        ("all other paths", 0, 0),
    ]
    (fought,) = data["resources"]
    assert (fought["conflicts"], fought["addresses"], fought["route"]) == (3, 2, "/notes/{id}")
    assert [conflict["number"] for conflict in data["conflicts"]] == [3, 2, 1]
    assert (data["total"], data["kept"]) == (3, 3)
    assert "/notes/1" not in json.dumps(data)


async def test_a_store_out_of_reach_is_shown(port: Port) -> None:
    port.service.answer, port.admin.draining = StoreUnavailable("gone"), True
    health = (await port.data())["health"]
    assert (health["ready"], health["draining"], health["store"]) == (False, True, "gone")


async def test_the_stream_goes_on_telling(port: Port) -> None:
    async with asyncio.timeout(5), port.client.stream("GET", "/conflicts/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        stream = events(response)
        assert (await anext(stream))["total"] == 0
        port.conflicts.tell(refusal())
        async for data in stream:
            if data["total"] == 1:
                break


async def test_watchers_are_few(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_WATCHERS", 1)
    async with port.client.stream("GET", "/conflicts/events") as first:
        await anext(events(first))
        second = await port.client.get("/conflicts/events")
        assert (second.status_code, second.headers["Retry-After"]) == (503, "10")
    async with asyncio.timeout(5):
        while True:  # the first one's place is free again once its absence is noticed
            async with port.client.stream("GET", "/conflicts/events") as third:
                if third.status_code == 200:
                    break


async def test_streams_end_when_the_port_closes(port: Port) -> None:
    async with asyncio.timeout(0.9), port.client.stream("GET", "/conflicts/events") as response:
        stream = events(response)
        await anext(stream)
        stopping = asyncio.ensure_future(port.admin.stop())
        async for _ in stream:
            pass
    await stopping


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_changes_state(port: Port, path: str, method: str) -> None:
    assert (await port.client.request(method, path)).status_code == 405


async def test_only_our_own_files_run(port: Port) -> None:
    page = await port.client.get("/conflicts")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    linked = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert {"/conflicts/page.js", "/conflicts/uplot.js", "/conflicts/uplot.LICENSE"} <= set(linked)
    for link in linked:
        assert (await port.client.get(link)).status_code == 200
    assert not re.search(r"https?://|<script>|<style| style=| on\w+=", page.text)
    assert "innerHTML" not in (await port.client.get("/conflicts/page.js")).text


@pytest.mark.parametrize("path", PATHS)
async def test_each_answer_is_locked_down(port: Port, path: str) -> None:
    headers = (await port.client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" in headers


async def test_without_a_page_of_its_own_there_are_totals(port: Port) -> None:
    admin = Admin(port.metrics, port.service, host="127.0.0.1", port=0)
    host, number = await admin.start()
    data = (await port.client.get(f"http://{host}:{number}/conflicts/data")).json()
    await admin.stop()
    assert (data["routes"], data["conflicts"]) == ([], [])
