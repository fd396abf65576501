"""A change that no write through the proxy explains: unstable content, or somebody else's writes?"""

from __future__ import annotations

import json
import logging
from itertools import count

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, StartProxy


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the gate has warned of."""
    return [line.getMessage() for line in caplog.records if line.name == "proxy.gate"]


async def test_somebody_else_writes(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await start_proxy()
    client = connect(proxy)
    with caplog.at_level(logging.WARNING, "proxy.gate"):
        for number in range(3):
            legacy.put("/a", f"behind {number}")
            await client.request("GET", "/a")
            await proxy.knows("/a")
            legacy.put("/a", f"behind {number} again")
            stale = await client.request("PUT", "/a", ("If-Match", '"x"'), body=b"x")
            assert stale.status == 412
    said = [line for line in warnings(caplog) if "read twice" in line]
    assert said == ["route default: read twice, the resource is the same: somebody writes past the proxy"]
    assert proxy.count("precondition_suspicions_judged_total", finding="written") == 1
    assert proxy.count("precondition_suspicions_judged_total") == 1
    assert proxy.count("precondition_probes_total", reason="twice") == 1


async def test_unstable_content_and_in_what(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    turn = count()

    async def show(exchange: Exchange) -> None:
        body = json.dumps({"name": "x", "meta": {"at": next(turn)}}).encode()
        await exchange.answer(200, ("Content-Type", "application/json"), body=body)

    legacy.on("GET", "/a", show)
    proxy = await start_proxy()
    client = connect(proxy)
    with caplog.at_level(logging.WARNING, "proxy.gate"):
        for _ in range(2):
            await client.request("GET", "/a")
            await proxy.knows("/a")
            refused = await client.request("PUT", "/a", ("If-Match", '"x"'), body=b"{}")
            assert refused.status == 412
            assert refused["ETag"] is not None
    (said,) = [line for line in warnings(caplog) if "read twice" in line]
    assert "different in /meta/at: its content is unstable" in said
    assert proxy.count("precondition_suspicions_judged_total", finding="unstable") == 1


async def test_a_quiet_route_is_never_read_twice(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy()
    client = connect(proxy)
    legacy.put("/a", "old")
    tag = str((await client.request("GET", "/a"))["ETag"])
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 204
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"newer")).status == 412
    assert proxy.count("precondition_probes_total", reason="twice") == 0
