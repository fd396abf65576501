"""Backends whose content is different on every GET, or that keep a version of their own (`version`)."""

from __future__ import annotations

import json
import logging
import re
from itertools import count
from typing import Any

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.wire_client import Client

JSON = ("Content-Type", "application/json")
NEW = b'{"name": "new"}'


def document(legacy: Legacy, **parts: Any) -> dict[str, Any]:
    """A document at /a with other white space, another order and another `at` on every GET."""
    held = dict(parts)
    turn = count()

    async def show(exchange: Exchange) -> None:
        number = next(turn)
        shown = {**held, "meta": {"at": number}}
        names = sorted(shown, reverse=bool(number % 2))
        body = json.dumps({name: shown[name] for name in names}, indent=number % 3).encode()
        await exchange.answer(200, JSON, *held.get("fields", ()), body=body)

    async def store(exchange: Exchange) -> None:
        held.clear()
        held.update(json.loads(await exchange.content()))
        await exchange.answer(204, ("ETag", '"of-the-backend"'))

    legacy.on("GET", "/a", show)
    legacy.on("HEAD", "/a", show)
    legacy.on("PUT", "/a", store)
    return held


async def one(start_proxy: StartProxy, connect: Connect, **version: Any) -> tuple[Inside, Client]:
    """A proxy with this `version` for everything, and a client."""
    proxy = await start_proxy(defaults={"version": version})
    return proxy, connect(proxy)


async def test_volatile_content_has_one_tag_and_a_lost_update_is_refused(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    document(legacy, name="old")
    proxy, client = await one(start_proxy, connect, ignore=["/meta/at"])
    tags = {(await client.request("GET", "/a"))["ETag"] for _ in range(4)}
    tags |= {(await client.request("HEAD", "/a"))["ETag"]}
    (tag,) = tags
    assert (await client.request("GET", "/a", ("If-None-Match", str(tag)))).status == 304
    written = await client.request("PUT", "/a", ("If-Match", str(tag)), body=NEW)
    assert (written.status, "ETag" in written) == (204, False)  # it is not stored as it was sent
    assert legacy.last("PUT")["If-Match"] is None
    refused = await client.request("PUT", "/a", ("If-Match", str(tag)), body=b"{}")
    assert refused.status == 412
    assert refused["ETag"] == (await client.request("GET", "/a"))["ETag"] != tag
    assert proxy.count("precondition_changes_behind_total") == 0


async def test_without_ignore_the_same_backend_shows_a_tag_for_every_get(
    legacy: Legacy, client: Client
) -> None:
    document(legacy, name="old")
    assert len({(await client.request("GET", "/a"))["ETag"] for _ in range(3)}) == 3


async def test_ignored_text(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    turn = count()

    async def page(exchange: Exchange) -> None:
        body = f"<p>hello <input name=csrf value={next(turn):08}></p>".encode()
        await exchange.answer(200, ("Content-Type", "text/html"), body=body)

    legacy.on("GET", "/page", page)
    _, client = await one(start_proxy, connect, ignore_text="name=csrf value=[0-9]+")
    tag = (await client.request("GET", "/page"))["ETag"]
    assert (await client.request("PUT", "/page", ("If-Match", str(tag)), body=b"x")).status == 201


async def test_text_on_which_the_expression_takes_too_long_counts_whole(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    """Who may write content must not be able to stop the proxy with it."""
    proxy, client = await one(start_proxy, connect, ignore_text="(?s)<!--.*?-->")
    legacy.put("/page", "<!--" * 100_000)
    tag = (await client.request("GET", "/page"))["ETag"]
    assert tag is not None
    assert (await client.request("GET", "/page", ("If-None-Match", tag))).status == 304
    assert proxy.count("precondition_unfit_content_total", fault="too_slow") == 2
    legacy.put("/page", "a<!-- 1 -->")
    tag = (await client.request("GET", "/page"))["ETag"]
    legacy.put("/page", "a<!-- 2 -->")
    assert (await client.request("GET", "/page", ("If-None-Match", str(tag)))).status == 304


class InPlace:
    """A backend that writes in place: a read that meets a write is old, with the new validators."""

    def __init__(self, legacy: Legacy, *fields: tuple[str, str]) -> None:
        self.fields = fields
        self.body, self.number = b"a", 1
        self.torn: bytes | None = None
        legacy.on("GET", "/a", self.show)
        legacy.on("HEAD", "/a", self.show)
        legacy.on("PUT", "/a", self.store)

    @property
    def tag(self) -> str:
        return f'"{self.number}"'

    @property
    def date(self) -> str:
        return f"Sun, 06 Nov 1994 08:49:{self.number:02} GMT"

    async def show(self, exchange: Exchange) -> None:
        body, self.torn = self.body if self.torn is None else self.torn, None
        validators = ("ETag", self.tag), ("Last-Modified", self.date)
        await exchange.answer(200, *validators, *self.fields, body=body)

    async def store(self, exchange: Exchange) -> None:
        self.number, self.body = self.number + 1, await exchange.content()
        await exchange.answer(204, ("ETag", self.tag), ("Last-Modified", self.date))


@pytest.mark.parametrize(("version", "answered"), [({}, 204), ({"content": True}, 412)])
async def test_a_read_that_meets_a_write_has_the_next_version_s_tag(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, version: dict[str, Any], answered: int
) -> None:
    backend = InPlace(legacy)
    _, client = await one(start_proxy, connect, **version)
    assert (await client.request("PUT", "/a", body=b"ab")).status == 204
    backend.torn = b"a"
    torn = await client.request("GET", "/a")
    mine = torn.body + b"c"
    assert (await client.request("PUT", "/a", ("If-Match", str(torn["ETag"])), body=mine)).status == answered
    whole = await client.request("GET", "/a")
    written = await client.request("PUT", "/a", ("If-Match", str(whole["ETag"])), body=whole.body + b"d")
    assert (written.status, legacy.last("PUT")["If-Match"]) == (204, whole["ETag"] if not version else None)


@pytest.mark.parametrize(
    ("torn", "fields", "tagged"),
    [
        (b"a", (), True),
        (b"", (), True),
        (b"a" * 200, (), False),  # more than is hashed
        (b"a", (("X-Accel-Buffering", "no"),), False),  # it may trickle on for ever
        (b"a", (("Content-Type", "text/event-stream"),), False),
        (b"a", (("Content-Encoding", "unheard-of"),), True),
    ],
)
async def test_where_the_content_alone_counts_the_backends_validators_never_do(
    legacy: Legacy,
    start_proxy: StartProxy,
    connect: Connect,
    torn: bytes,
    fields: tuple[tuple[str, str], ...],
    tagged: bool,
) -> None:
    backend = InPlace(legacy, *fields)
    proxy = await start_proxy(
        defaults={"version": {"content": True}, "hash_limit": 100, "require": ["PUT"]},
    )
    client = connect(proxy)
    backend.body, backend.number = b"b" * max(len(torn), 1), 2
    for method in ("GET", "HEAD"):
        backend.torn = torn
        read = await client.request(method, "/a")
        assert (read["ETag"] is not None, read["Last-Modified"]) == (tagged, None)
        assert read["ETag"] != backend.tag
        # A HEAD is answered by a GET, which does not meet the write any more.
        shown = read["ETag"] if method == "GET" else None
        for tag in (backend.tag, shown or backend.tag):
            assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 412
    dated = await client.request("PUT", "/a", ("If-Unmodified-Since", backend.date), body=b"new")
    assert dated.status == 428  # there is no date, so that the condition says nothing (section 13.1.4)
    assert not legacy.seen("PUT")
    assert proxy.count("precondition_unfit_content_total") == 0


@pytest.mark.parametrize(
    ("version", "first", "second"),
    [
        ({"from": "/rev"}, {"rev": 1, "x": 1}, {"rev": 2, "x": 1}),
        ({"from": "/_meta/etag"}, {"_meta": {"etag": "a"}}, {"_meta": {"etag": "b"}}),
        ({"header": "X-Revision"}, {"fields": [["X-Revision", "1"]]}, {"fields": [["X-Revision", "2"]]}),
    ],
)
async def test_a_revision_of_the_backend_becomes_a_strong_tag(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, version: Any, first: Any, second: Any
) -> None:
    held = document(legacy, **first)
    _, client = await one(start_proxy, connect, **version)
    tag = (await client.request("GET", "/a"))["ETag"]
    assert tag is not None
    assert re.fullmatch(r'"pp1\.[\w-]{22}"', tag)
    assert (await client.request("HEAD", "/a"))["ETag"] == tag
    held["y"] = "says nothing of a revision"
    assert (await client.request("GET", "/a", ("If-None-Match", tag))).status == 304
    written = await client.request("PUT", "/a", ("If-Match", tag), body=json.dumps(second).encode())
    assert written.status == 204
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=NEW)).status == 412


async def test_a_date_out_of_the_content(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    held = document(legacy, updated_at="2022-11-15T09:12:31.5+01:00")
    version = {"modified": "/updated_at", "ignore": ["/meta"]}
    client = connect(await start_proxy(defaults={"verify": "always", "version": version}))
    date = "Tue, 15 Nov 2022 08:12:31 GMT"
    for method in ("GET", "HEAD"):
        assert (await client.request(method, "/a"))["Last-Modified"] == date
    unchanged = await client.request("GET", "/a", ("If-Modified-Since", date))
    assert unchanged.status == 304
    assert legacy.last("GET")["If-Modified-Since"] is None
    held["updated_at"] = "2022-11-15T08:12:32Z"
    since = ("If-Unmodified-Since", date)
    assert (await client.request("PUT", "/a", since, body=NEW)).status == 412
    assert (await client.request("GET", "/a"))["Last-Modified"] == "Tue, 15 Nov 2022 08:12:32 GMT"
    newer = ("If-Unmodified-Since", "Tue, 15 Nov 2022 08:12:32 GMT")
    assert (await client.request("PUT", "/a", newer, body=NEW)).status == 204


async def test_a_part_is_made_of_the_whole(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    legacy.put("/r", '{"rev": 1, "text": "hello"}', etag='"changes all the time"')
    _, client = await one(start_proxy, connect, **{"from": "/rev"})
    tag = str((await client.request("GET", "/r"))["ETag"])
    part = await client.request("GET", "/r", ("Range", "bytes=0-5"), ("If-Range", tag))
    assert (part.status, part.body, part["ETag"]) == (206, b'{"rev"', tag)
    whole = await client.request("GET", "/r", ("Range", "bytes=0-5"), ("If-Range", '"other"'))
    assert (whole.status, whole["ETag"]) == (200, tag)


async def test_the_own_tag_of_the_backend_stays_where_only_the_date_is_taken(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/r", '{"at": 1668499951}', etag='"own"')
    _, client = await one(start_proxy, connect, modified="/at")
    for method in ("GET", "HEAD"):
        got = await client.request(method, "/r")
        assert (got["ETag"], got["Last-Modified"]) == ('"own"', "Tue, 15 Nov 2022 08:12:31 GMT")
    assert (await client.request("PUT", "/r", ("If-Match", '"own"'), body=b"{}")).status == 204


async def test_what_a_document_lacks_is_said_once_and_counted(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    legacy.put("/r", '{"other": 1}')
    legacy.put("/s", "no JSON")
    proxy, client = await one(start_proxy, connect, **{"from": "/rev"})
    with caplog.at_level(logging.WARNING, "proxy.gate"):
        tag = str((await client.request("GET", "/r"))["ETag"])
        for _ in range(3):
            await client.request("GET", "/s")
            assert (await client.request("GET", "/r"))["ETag"] == tag  # a hash
    said = [line.getMessage() for line in caplog.records if "does not fit" in line.getMessage()]
    assert len(said) == 2
    assert "/rev is missing" in said[0]
    assert proxy.count("precondition_unfit_content_total", route="default", fault="missing") == 4
    assert proxy.count("precondition_unfit_content_total", route="default", fault="not_json") == 3
    assert (await client.request("PUT", "/r", ("If-Match", tag), body=b"x")).status == 204


async def test_compressed_json_is_looked_into(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/r", '{"rev": 1}', zips=True)
    _, client = await one(start_proxy, connect, **{"from": "/rev"})
    plain = str((await client.request("GET", "/r"))["ETag"])
    zipped = str((await client.request("GET", "/r", ("Accept-Encoding", "gzip")))["ETag"])
    assert zipped == plain[:-1] + '-gzip"'


async def test_representations_with_one_revision_have_tags_of_their_own(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    async def show(exchange: Exchange) -> None:
        language = exchange.request["Accept-Language"] or "en"
        fields = (("Content-Language", language), ("Vary", "Accept-Language"))
        await exchange.answer(200, JSON, *fields, body=json.dumps({"rev": 1, "in": language}).encode())

    legacy.on("GET", "/r", show)
    _, client = await one(start_proxy, connect, **{"from": "/rev"})
    tags = [(await client.request("GET", "/r", ("Accept-Language", one)))["ETag"] for one in ("en", "de")]
    assert tags[0] != tags[1]


@pytest.mark.parametrize("after_write", ["response", "reread", "forget"])
async def test_a_tag_in_the_response_to_a_write_is_none_that_counts(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, after_write: str
) -> None:
    document(legacy, rev=1)
    options = {"after_write": after_write, "version": {"from": "/rev"}}
    client = connect(await start_proxy(defaults=options))
    tag = str((await client.request("GET", "/a"))["ETag"])
    written = await client.request("PUT", "/a", ("If-Match", tag), body=b'{"rev": 2}')
    assert (written.status, "ETag" in written) == (204, False)
    own = ("If-Match", '"of-the-backend"')
    assert (await client.request("PUT", "/a", own, body=b'{"rev": 3}')).status == 412
