"""The page of conflicts of a real proxy, as data and in a real browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
import pytest
from support.browser import Browser, missing
from support.legacy import Exchange, Legacy
from support.proxies import Inside, StartProxy
from support.waiting import eventually
from support.wire_client import request

ROUTES = [
    {"match": "/notes/{id}", "require": ["PUT"]},
    {"match": "/watched/{id}", "mode": "report"},
    {"match": "/static/{path*}", "mode": "off"},
]
SECRET = "hunter2-is-secret"


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Inside:
    return await start_proxy(admin="127.0.0.1:0", routes=ROUTES)


def page(proxy: Inside) -> str:
    assert proxy.app.admin_address is not None
    return f"http://127.0.0.1:{proxy.app.admin_address[1]}/conflicts"


async def data(proxy: Inside) -> Any:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{page(proxy)}/data")).json()


async def fight(proxy: Inside, path: str = "/notes/1") -> None:
    """Two read; one writes; the other is refused, reads again, and writes."""
    fields = [("Authorization", f"Bearer {SECRET}"), ("Cookie", f"sid={SECRET}")]
    tag = str((await request(proxy.address, "GET", path, *fields))["ETag"])
    match = ("If-Match", tag)
    assert (await request(proxy.address, "PUT", path, match, *fields, body=b"1")).status == 204
    assert (await request(proxy.address, "PUT", path, match, *fields, body=b"2")).status == 412
    match = ("If-Match", str((await request(proxy.address, "GET", path, *fields))["ETag"]))
    assert (await request(proxy.address, "PUT", path, match, *fields, body=b"2")).status == 204


async def test_a_fight_is_told_as_it_went(proxy: Inside, legacy: Legacy) -> None:
    legacy.put("/notes/1", "old")
    await fight(proxy)
    (told,) = (shown := await data(proxy))["conflicts"]
    assert (told["resource"], told["route"], told["status"], told["end"]) == (
        "/notes/1",
        "/notes/{id}",
        412,
        "passed",
    )
    changed, refused, read, retried = [step["text"] for step in told["steps"]]
    assert "changed it by PUT with If-Match" in changed
    assert "was refused with 412: the resource had changed" in refused
    assert "read the resource again" in read
    assert "it passed (204)" in retried
    assert [route["name"] for route in shown["routes"]] == [
        *(route["match"] for route in ROUTES),
        "all other paths",
    ]
    assert shown["routes"][0]["refused"] == 1
    assert "must carry a condition" in shown["routes"][0]["words"][0]


async def test_tags_are_told(proxy: Inside, legacy: Legacy) -> None:
    legacy.put("/notes/1", "old", etag='"before"', fields=[("Date", "x"), ("Eta", "x")])
    legacy.stamps = lambda _: ('"after"', None)
    await fight(proxy)
    (told,) = (await data(proxy))["conflicts"]
    changed, refused, *_ = [step["text"] for step in told["steps"]]
    assert 'PUT with If-Match: "before"' in changed
    assert 'Current was "after".' in refused


async def test_credentials_and_queries_are_not_told(proxy: Inside, legacy: Legacy) -> None:
    path = f"/notes/1?key={SECRET}"
    legacy.put(path, "old")
    await fight(proxy, path)
    shown = await data(proxy)
    assert len(shown["conflicts"]) == 1
    assert SECRET not in str(shown)


async def test_names_can_be_hidden(start_proxy: StartProxy, legacy: Legacy) -> None:
    proxy = await start_proxy(admin="127.0.0.1:0", admin_names="hide", routes=ROUTES)
    legacy.put("/notes/1", "old")
    await fight(proxy)
    shown = await data(proxy)
    assert shown["conflicts"][0]["resource"].startswith("resource #")
    assert "/notes/1" not in str(shown)


@pytest.mark.parametrize(
    ("path", "fields", "end", "words"),
    [
        ("/notes/1", (), "open", "the route demands a condition"),
        ("/notes/1", (("If-None-Match", "*"),), "open", "exists already"),
        ("/watched/1", (("If-Match", '"x"'),), "reported", "would have been refused"),
    ],
)
async def test_other_refusals(
    proxy: Inside, legacy: Legacy, path: str, fields: Any, end: str, words: str
) -> None:
    legacy.put(path, "old")
    await request(proxy.address, "PUT", path, *fields, body=b"new")
    (told,) = (await data(proxy))["conflicts"]
    assert told["end"] == end
    assert words in told["steps"][-1]["text"]


async def test_peace_is_not_told(proxy: Inside, legacy: Legacy) -> None:
    for path in ("/a", "/static/a"):
        legacy.put(path, "old")
        tag = str((await request(proxy.address, "GET", path))["ETag"])
        await request(proxy.address, "PUT", path, ("If-Match", tag), body=b"new")
    assert (await data(proxy))["conflicts"] == []


async def restless(proxy: Inside, legacy: Legacy, path: str) -> None:
    """A resource that is another one on every GET, and a client that wants to write it."""
    turn = count()

    async def show(exchange: Exchange) -> None:
        body = json.dumps({"name": "x", "meta": {"at": next(turn)}}).encode()
        await exchange.answer(200, ("Content-Type", "application/json"), body=body)

    legacy.on("GET", path, show)
    await request(proxy.address, "GET", path)
    await proxy.knows(path)
    answer = await request(proxy.address, "PUT", path, ("If-Match", '"x"'), body=b"{}")
    assert answer.status == 412


@pytest.mark.parametrize("names", ["show", "hide"])
async def test_unstable_content_is_shown_with_what_to_set(
    start_proxy: StartProxy, legacy: Legacy, names: str
) -> None:
    proxy = await start_proxy(admin="127.0.0.1:0", admin_names=names, routes=ROUTES)
    await restless(proxy, legacy, "/notes/1")
    shown = await data(proxy)
    (finding,) = shown["findings"]
    assert (finding["kind"], finding["route"], finding["verifying"]) == ("unstable", "/notes/{id}", True)
    assert "Set version: {ignore: [/meta/at]}" in finding["text"]
    assert ("/notes/1" in str(shown)) is (names == "show")


async def test_writes_past_the_proxy_are_shown(proxy: Inside, legacy: Legacy) -> None:
    for version, seen in (("old", []), ("behind", ["suspected"])):
        legacy.put("/notes/1", version)
        await request(proxy.address, "GET", "/notes/1")
        if not seen:
            await proxy.knows("/notes/1")
        await eventually(lambda seen=seen: kinds(proxy) == seen)  # type: ignore[misc]
    legacy.put("/notes/1", "behind again")
    await request(proxy.address, "PUT", "/notes/1", ("If-Match", '"x"'), body=b"new")
    (finding,) = (await data(proxy))["findings"]
    assert finding["kind"] == "written"
    assert "somebody writes past the proxy" in finding["text"]


def kinds(proxy: Inside) -> list[str]:
    return [finding.kind for finding in proxy.app.findings()]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    async with Browser() as browser:
        yield browser


async def test_the_page_in_a_browser(proxy: Inside, legacy: Legacy, browser: Browser) -> None:
    legacy.put("/notes/1", "old")
    await browser.open(page(proxy))
    await browser.until("document.querySelectorAll('#routes tr').length == 4")
    assert await browser.run("document.getElementById('no-stories').hidden") is False
    await fight(proxy)
    await browser.until("document.querySelector('article.passed')")
    assert "1 new conflict" in await browser.run("document.getElementById('live').textContent")
    assert "tried again and passed" in await browser.run("document.querySelector('article').textContent")
    assert "/notes/1" in await browser.run("document.getElementById('resources').textContent")
    assert await browser.complaints() == []


async def test_findings_in_a_browser(proxy: Inside, legacy: Legacy, browser: Browser) -> None:
    await browser.open(page(proxy))
    await browser.until("document.querySelectorAll('#routes tr').length")
    assert await browser.run("document.getElementById('no-findings').hidden") is False
    await restless(proxy, legacy, "/notes/1")
    await browser.until("document.querySelector('#findings li.unstable')")
    said = await browser.run("document.getElementById('findings').textContent")
    assert "/notes/1 changed although no write through the proxy did it" in said
    assert "its content is unstable" in said
    assert "verified with the backend until" in said
    assert await browser.run("document.getElementById('no-findings').hidden") is True
    assert ("region", "Changes behind the proxy") in await browser.accessible()
    assert await browser.complaints() == []
    assert await browser.run(_LEAST_CONTRAST) >= 4.5


async def test_with_the_keyboard_alone(proxy: Inside, legacy: Legacy, browser: Browser) -> None:
    legacy.put("/notes/1", "old")
    await browser.open(page(proxy))
    await browser.until("document.querySelectorAll('#routes tr').length")
    await browser.press("Tab")
    assert await browser.run("document.activeElement.className") == "skip"
    await browser.press("Tab")
    assert await browser.run("document.activeElement.id") == "pause"
    assert await browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await browser.press("Enter")
    assert await browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    await fight(proxy)
    await browser.until("heard.total === 1")
    assert await browser.run("document.querySelectorAll('article').length") == 0
    await browser.press("Space")
    await browser.until("document.querySelectorAll('article').length == 1")


async def test_with_a_screen_reader(proxy: Inside, legacy: Legacy, browser: Browser) -> None:
    legacy.put("/notes/1", "old")
    await fight(proxy)
    await browser.open(page(proxy))
    await browser.until("document.querySelector('article')")
    tree = await browser.accessible()
    for role, name in [
        ("heading", "Conflicts"),
        ("region", "Store and leases"),
        ("region", "The last conflicts"),
        ("button", "Pause"),
        ("columnheader", "What it does"),
        ("rowheader", "/notes/{id}"),
        ("article", "PUT /notes/1: 412"),
    ]:
        assert (role, name) in tree
    assert any(role == "table" and name.startswith("The first that matches wins") for role, name in tree)
    assert any(role == "status" for role, _ in tree)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_contrast(proxy: Inside, legacy: Legacy, browser: Browser, scheme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1."""
    legacy.put("/notes/1", "old")
    await fight(proxy)
    await browser.prefer(scheme)
    await browser.open(page(proxy))
    await browser.until("document.querySelector('article')")
    assert await browser.run(_LEAST_CONTRAST) >= 4.5


# The least contrast of any text with the first opaque background behind it.
_LEAST_CONTRAST = """(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if ((numbers(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let least = 21;
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    if (!e.offsetParent || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()"""  # noqa: E501
