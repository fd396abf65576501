"""`precondition-proxy inspect`: what it says of backends, and that what it says to write can be written."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count

import pytest
import yaml
from support.legacy import Exchange, Legacy
from support.proxies import ROOT

from proxy.inspection import match_of
from proxy.rules.pointers import differing
from proxy.settings import Settings

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"


async def said(*arguments: str) -> tuple[int, str, str]:
    """What the command prints, and its exit status."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "inspect", *arguments), stdout=pipe, stderr=pipe, cwd=ROOT
    )
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


def route_in(text: str) -> Settings:
    """The settings with the route that was printed."""
    route = text.partition("the route to write:\n")[2]
    return Settings.model_validate({"upstream": "http://b", "routes": yaml.safe_load(route)})


async def test_a_backend_without_anything(legacy: Legacy) -> None:
    legacy.put("/items/42", '{"rev": 3, "updated_at": "2022-11-15T08:12:31Z"}')
    status, text, _ = await said("-H", "Authorization: Basic x", f"{legacy.url}/items/42")
    assert status == 0
    assert "no ETag\n" in text
    assert "no Last-Modified\n" in text
    assert "what may be a version (/rev)" in text
    assert "412 for If-Match" in text
    (route,) = route_in(text).resolved_routes()
    assert (route.match, route.version and route.version.modified) == ("/items/{id}", ("updated_at",))
    assert {request.method for request in legacy.requests} == {"GET", "HEAD"}
    assert {request["Authorization"] for request in legacy.requests} == {"Basic x"}


async def test_restless_content(legacy: Legacy) -> None:
    turn = count()

    async def show(exchange: Exchange) -> None:
        at = next(turn)
        body = {"name": "x", "meta": {"at": at}, "rows": [{"at": at, "n": 1}, {"at": at, "n": 2}]}
        await exchange.answer(200, ("Content-Type", "application/json"), body=json.dumps(body).encode())

    legacy.on("GET", "/a", show)
    legacy.on("HEAD", "/a", show)
    _, text, _ = await said(f"{legacy.url}/a")
    assert "the content is different on every GET, in /meta/at, /rows/*/at\n" in text
    (route,) = route_in(text).resolved_routes()
    assert route.version is not None
    assert route.version.ignore == (("meta", "at"), ("rows", "*", "at"))


async def test_tags_and_dates_of_the_backend(legacy: Legacy) -> None:
    legacy.put("/a", etag='W/"w"', last_modified=MODIFIED, zips=True)
    _, text, _ = await said(f"{legacy.url}/a")
    for line in ("a weak ETag", "If-None-Match is ignored", "a Last-Modified; If-Modified-Since is ignored"):
        assert f"    {line}\n" in text
    assert "    gzip is used\n" in text
    assert "Vary: Accept-Encoding\n" in text
    assert "a strong ETag in place of the weak one" in text


@pytest.mark.parametrize(("enforces", "words"), [(True, "the backend enforces it"), (False, "can be lost")])
async def test_only_a_scratch_resource_is_written_and_with_its_own_content(
    legacy: Legacy, enforces: bool, words: str
) -> None:
    legacy.put("/a")
    legacy.put("/scratch", "as it was")
    if enforces:

        async def refuse(exchange: Exchange) -> None:
            await exchange.content()
            await exchange.answer(412)

        legacy.on("PUT", "/scratch", refuse)
    _, text, _ = await said(f"{legacy.url}/a", "--scratch", f"{legacy.url}/scratch")
    assert text.count(words) == 2
    puts = legacy.seen("PUT")
    assert [one.target for one in puts] == ["/scratch", "/scratch"]
    assert {one.body for one in puts} == {b"as it was"}
    assert [one["If-Match"] or one["If-None-Match"] for one in puts] == ['"precondition-proxy-inspects"', "*"]


async def test_what_cannot_be_looked_at(legacy: Legacy) -> None:
    status, text, _ = await said(f"{legacy.url}/nothing", "--scratch", f"{legacy.url}/nothing")
    assert (status, "GET is answered 404" in text, legacy.seen("PUT")) == (0, True, [])
    assert (await said())[0] == 2
    url = legacy.url
    await legacy.stop()
    for bad in (f"{url}/a", "ftp://example.org/", "nonsense"):
        status, text, errors = await said(bad)
        assert (status, text) == (1, "")
        assert "cannot be looked at" in errors


@pytest.mark.parametrize(
    ("one", "other", "parts"),
    [
        ("{}", "{}", []),
        ('{"a":1,"b":2}', '{"b":2,"a":1.0}', []),
        ('{"a":1}', '{"a":2}', [("a",)]),
        ('{"a":1}', "{}", [("a",)]),
        ('{"a":[1,2]}', '{"a":[1]}', [("a",)]),
        ("1", "2", None),
        ("x", "y", None),
    ],
)
def test_differences(one: str, other: str, parts: object) -> None:
    assert differing(one.encode(), other.encode()) == parts


def test_the_match_for_a_url() -> None:
    assert match_of("http://b/") == match_of("http://b") == "/"
    assert match_of("http://b/api/users/7/orders/0c6ad70b-ee51-4c27-b5c5-2b51ff6e4e6f?x=1") == (
        "/api/users/{id}/orders/{id2}"
    )
