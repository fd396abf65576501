"""Pages answer under the port's own names: a stranger's name may point to it too (DNS rebinding)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from proxy.admin import Admin
from proxy.metrics import Metrics
from proxy.store import Health

PAGES = ["/", "/conflicts", "/conflicts/page.js", "/conflicts/data", "/conflicts/events", "/nothing"]
OPEN = ["/metrics", "/healthz", "/readyz"]

OURS = [
    "localhost",
    "localhost:9412",
    "LocalHost.:9412",
    "proxy.localhost",
    "127.0.0.1",
    "127.0.0.1:9412",
    "10.1.2.3:9412",
    "[::1]:9412",
    "[fd00::1]",
    socket.gethostname(),
    f"{socket.gethostname().upper()}:9412",
    "proxy.example",
    "Proxy.Example:80",
]
STRANGERS = [
    "evil.example",
    "evil.example:9412",
    "proxy.example.evil.example",
    "notlocalhost",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "[evil.example]",
    "0x7f000001",
    "",
]


class Service:
    """A store that is well."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def health(self) -> Health:
        return Health(ready=True, detail="")


async def client_of(admin: Admin) -> httpx.AsyncClient:
    host, number = await admin.start()
    return httpx.AsyncClient(base_url=f"http://{host}:{number}", trust_env=False)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    admin = Admin(Metrics(), Service(), host="127.0.0.1", port=0, names=["proxy.example"])
    async with await client_of(admin) as client:
        yield client
    await admin.stop()


async def status(client: httpx.AsyncClient, path: str, host: str) -> int:
    async with client.stream("GET", path, headers={"Host": host}) as response:
        return response.status_code


@pytest.mark.parametrize("host", OURS)
async def test_our_names(client: httpx.AsyncClient, host: str) -> None:
    assert await status(client, "/conflicts/data", host) == 200


@pytest.mark.parametrize("host", STRANGERS)
@pytest.mark.parametrize("path", ["/", "/conflicts/data"])
async def test_names_of_strangers(client: httpx.AsyncClient, path: str, host: str) -> None:
    assert await status(client, path, host) == 421


@pytest.mark.parametrize("path", PAGES)
async def test_everything_else_is_kept_from_them(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 421
    assert "admin_hosts" in response.text
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("host", ["evil.example", "proxy-admin.shop.svc:9412", ""])
async def test_scrapers_and_probes_use_any_name(client: httpx.AsyncClient, path: str, host: str) -> None:
    assert await status(client, path, host) == 200


async def test_any_name_where_it_is_said_so() -> None:
    admin = Admin(Metrics(), Service(), host="127.0.0.1", port=0, names=["*"])
    async with await client_of(admin) as client:
        assert await status(client, "/conflicts/data", "evil.example") == 200
    await admin.stop()
