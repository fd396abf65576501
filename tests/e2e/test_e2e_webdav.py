"""What WebDAV servers and clients do besides: the If field, and tags that are weak for a second."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.wire_client import Client

LOCK = "<urn:uuid:1>"
TRUE, FALSE = "Not <DAV:no-lock>", "<DAV:no-lock>"


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("method", ["PUT", "LOCK", "PROPPATCH"])
async def test_the_backend_is_told_what_is_true_of_our_tags(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, method: str, mode: str
) -> None:
    """It has never seen them, and would refuse a condition that holds (RFC 4918 section 10.4)."""
    legacy.put("/a", "old")
    client = connect(await start_proxy(defaults={"mode": mode}))
    old = str((await client.request("GET", "/a"))["ETag"])

    async def shown(field: str) -> str | None:
        await client.request(method, "/a", ("If", field), body=b"new")
        return legacy.last(method)["If"]

    assert await shown(f"({LOCK} [{old}])") == f"({LOCK} {TRUE})"
    legacy.put("/a", "new")
    assert await shown(f"({LOCK} [{old}]) (Not [{old}])") == f"({LOCK} {FALSE}) ({TRUE})"
    new = str((await client.request("GET", "/a"))["ETag"])
    assert await shown(f"</a> ([{new}]) </b> ([{new}])") == f"</a> ({TRUE}) </b> ({FALSE})"
    assert await shown(f"({LOCK})") == f"({LOCK})"
    assert await shown('(["own"])') == '(["own"])'


async def test_a_tag_in_if_is_judged_while_nobody_else_writes(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    proxy = await start_proxy()
    one, other = connect(proxy), connect(proxy)
    tag = str((await one.request("GET", "/a"))["ETag"])
    held = legacy.hold("PUT")
    first = asyncio.ensure_future(one.request("PUT", "/a", body=b"first"))
    await held.arrived.acquire()
    second = asyncio.ensure_future(other.request("LOCK", "/a", ("If", f"([{tag}])")))
    await proxy_waits(proxy)
    for _ in range(100):  # turns of the loop, in which it would be asked about without the claim
        await asyncio.sleep(0)
    held.go.set()
    await asyncio.gather(first, second)
    assert legacy.last("LOCK")["If"] == f"({FALSE})"


async def proxy_waits(proxy: Inside) -> None:
    """Until two requests are under way."""
    async with asyncio.timeout(10):
        while proxy.count("precondition_requests_in_flight") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_who_may_not_read_is_told_that(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "old")
    tag = (await client.request("GET", "/a"))["ETag"]

    async def forbidden(exchange: Exchange) -> None:
        await exchange.answer(403, body=b"no")

    legacy.on("GET", "/a", forbidden)
    assert (await client.request("PUT", "/a", ("If", f"([{tag}])"), body=b"x")).status == 403
    assert [sent.method for sent in legacy.requests].count("PUT") == 0


# Apache's tags are weak while another change in the same second could not be told apart.


def show(legacy: Legacy, content: str, *, strong: bool) -> None:
    """A file that was changed long enough ago, or a moment ago, as Apache shows it; and so after writes."""
    etag, changed = stamps(content, strong=strong)
    legacy.put("/a", content, etag=etag, last_modified=changed, fields=[("Date", formatdate(usegmt=True))])
    legacy.stamps = lambda _: stamps("written", strong=False)


def stamps(content: str, *, strong: bool) -> tuple[str, str]:
    return f'"{content}"' if strong else f'W/"{content}"', formatdate(time.time() - 60 * strong, usegmt=True)


async def test_a_tag_from_before_the_backends_became_strong_still_holds(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    show(legacy, "old", strong=False)
    proxy = await start_proxy()
    client = connect(proxy)
    tag = str((await client.request("GET", "/a"))["ETag"])
    assert tag.startswith('"pp1.')
    show(legacy, "old", strong=True)
    assert (await client.request("GET", "/a"))["ETag"] == '"old"'
    for method in ("GET", "HEAD"):
        assert (await client.request(method, "/a", ("If-None-Match", tag))).status == 304
        assert (await client.request(method, "/a", ("If-Match", tag))).status == 200
    await client.request("PUT", "/a", ("If", f"([{tag}])"), body=b"old")
    assert legacy.last("PUT")["If"] == f"({TRUE})"
    show(legacy, "old", strong=True)
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 204
    assert legacy.last("PUT")["If-Match"] is None
    show(legacy, "new", strong=True)
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"lost")).status == 412
    assert (await client.request("GET", "/a", ("If-None-Match", tag))).status == 200
    assert proxy.count("precondition_changes_behind_total") == 0


async def test_that_a_tag_becomes_strong_is_no_change_behind_the_proxy(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy()
    client = connect(proxy)
    for content in ("one", "two"):
        show(legacy, content, strong=False)
        tag = str((await client.request("GET", "/a"))["ETag"])
        assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"next")).status == 204
        show(legacy, "next", strong=True)
        await client.request("GET", "/a")
    assert proxy.count("precondition_changes_behind_total") == 0


async def test_a_method_that_the_parser_does_not_know_is_a_write_like_any_other(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    client = connect(await start_proxy(defaults={"require": ["ORDERPATCH"]}))
    tag = str((await client.request("GET", "/a"))["ETag"])
    assert (await client.request("ORDERPATCH", "/a", body=b"new")).status == 428
    assert (await client.request("VERSION-CONTROL", "/a", ("If-Match", '"x"'))).status == 412
    await client.request("ORDERPATCH", "/a", ("If-Match", tag), body=b"new")
    assert [sent.method for sent in legacy.requests if sent.method != "GET"] == ["ORDERPATCH"]
