"""The admin port, asked over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from proxy import __version__
from proxy.admin import Admin, server
from proxy.admin.exposition import page
from proxy.errors import StoreUnavailable
from proxy.metrics import Metrics
from proxy.store import Health


class Service:
    """A store's service whose health the test decides."""

    def __init__(self) -> None:
        self.answer: Health | StoreUnavailable | None = Health(ready=True, detail="all is well")

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def health(self) -> Health:
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, StoreUnavailable):
            raise self.answer
        assert self.answer is not None
        return self.answer


@dataclass
class Port:
    """A running admin port."""

    admin: Admin
    service: Service
    metrics: Metrics
    client: httpx.AsyncClient


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    metrics, service = Metrics(["/notes/{id}"], version="1.2.3"), Service()
    admin = Admin(metrics, service, host="127.0.0.1", port=0)
    host, number = await admin.start()
    async with httpx.AsyncClient(base_url=f"http://{host}:{number}") as client:
        yield Port(admin, service, metrics, client)
    await admin.stop()


async def test_alive_even_where_the_store_is_not(port: Port) -> None:
    port.service.answer = None
    port.admin.draining = True
    assert (await port.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("answer", "draining", "status", "said"),
    [
        (Health(True, "fine"), False, 200, {"ready": True, "store": "fine", "warnings": []}),
        (
            Health(True, "fine", ("evicts",)),
            False,
            200,
            {"ready": True, "store": "fine", "warnings": ["evicts"]},
        ),
        (Health(True, "fine"), True, 503, {"ready": False, "draining": True}),
        (Health(False, "in its grace period"), False, 503, {"ready": False, "store": "in its grace period"}),
        (StoreUnavailable("gone"), False, 503, {"ready": False, "store": "gone"}),
        (None, False, 503, {"ready": False, "store": "the store does not answer"}),
    ],
)
async def test_ready(
    port: Port,
    monkeypatch: pytest.MonkeyPatch,
    answer: Health | StoreUnavailable | None,
    draining: bool,
    status: int,
    said: dict[str, object],
) -> None:
    monkeypatch.setattr(server, "HEALTH_WITHIN", 0.05)
    port.service.answer, port.admin.draining = answer, draining
    response = await port.client.get("/readyz")
    assert response.status_code == status
    assert said.items() <= response.json().items()


@pytest.mark.parametrize("ready", [True, False])
async def test_a_scrape_asks_the_store(port: Port, ready: bool) -> None:
    port.service.answer = Health(ready, "")
    assert f"precondition_store_ready {float(ready)}" in (await port.client.get("/metrics")).text


async def test_metrics_as_text(port: Port) -> None:
    port.metrics.request("/notes/{id}", "PUT", 412, 0.001)
    response = await port.client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in plain_text(response.text)}
    assert {described.name.removesuffix("_total") for described in port.metrics.described()} <= names
    assert 'precondition_requests_total{method="PUT",route="/notes/{id}",status="412"} 1.0' in response.text
    assert "# EOF" not in response.text


async def test_metrics_as_openmetrics(port: Port) -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    response = await port.client.get("/metrics", headers=accept)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {"precondition_requests", "precondition_build_info"} <= {
        family.name
        for family in open_metrics(response.text)  # type: ignore[no-untyped-call]
    }


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip", "gzip"), ("deflate, gzip", "gzip"), ("identity", None)]
)
async def test_metrics_compressed_where_asked_for(port: Port, accepted: str, coding: str | None) -> None:
    async with port.client.stream("GET", "/metrics", headers={"Accept-Encoding": accepted}) as response:
        raw = b"".join([part async for part in response.aiter_raw()])
    assert response.headers.get("Content-Encoding") == coding
    assert b"precondition_requests_total" in (gzip.decompress(raw) if coding else raw)


async def test_a_scrape_lets_others_run_in_between(port: Port) -> None:
    for number in range(200):
        port.metrics.expect(f"/route{number}")
    turns, done = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await page(port.metrics.registry, "")
    done.set()
    await task
    assert turns > 15


async def test_the_index_links_to_all_that_there_is(port: Port) -> None:
    response = await port.client.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"Version {__version__}" in response.text
    links = re.findall(r'href="([^"]+)"', response.text)
    assert sorted(links) == ["/conflicts", "/healthz", "/metrics", "/readyz"]
    for link in links:
        assert (await port.client.get(link)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_nothing_changes_state(port: Port, path: str, method: str) -> None:
    response = await port.client.request(method, path)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz"])
async def test_head_has_the_head_of_get(port: Port, path: str) -> None:
    response = await port.client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Type"] == (await port.client.get(path)).headers["Content-Type"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/metrics"), ("GET", "/readyz"), ("GET", "/nothing"), ("POST", "/metrics")],
)
async def test_every_response_is_locked_down(port: Port, method: str, path: str) -> None:
    headers = (await port.client.request(method, path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "precondition-proxy"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_a_taken_port_is_an_oserror_and_leaves_nothing(port: Port) -> None:
    number = port.client.base_url.port
    assert number is not None
    second = Admin(Metrics(), Service(), host="127.0.0.1", port=number)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.stop()
    assert (await port.client.get("/healthz")).status_code == 200
