"""Tags that come back otherwise than they went out, since something on the way compresses."""

from __future__ import annotations

import gzip

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, StartProxy

from proxy.rules.conditions import Conditions
from proxy.rules.etags import STAR, EntityTag
from proxy.rules.mending import mended

RELAXED = {"weak_if_match": "relaxed"}


@pytest.mark.parametrize(
    ("sent", "relaxed", "more"),
    [
        ('"x"', True, []),
        ('"x-gzip"', False, ['"x"']),
        ('"x--gzip"', False, ['"x"']),
        ('"x;br"', False, ['"x"']),
        ('"x-lzma"', False, []),
        ('W/"x"', False, []),
        ('W/"x-gzip"', False, []),
        ('W/"x"', True, ['"x"']),
        ('W/"x-gzip"', True, ['"x-gzip"', '"x"']),
    ],
)
def test_what_a_tag_may_have_been(sent: str, relaxed: bool, more: list[str]) -> None:
    tag = EntityTag.parse(sent)
    found = mended(Conditions(if_match=(tag,)), relaxed=relaxed)
    assert (found is None) == (not more)
    if found is not None:
        assert found.if_match == (tag, *map(EntityTag.parse, more))
    assert mended(Conditions(if_match=STAR), relaxed=relaxed) is None
    assert mended(Conditions(if_none_match=(tag,)), relaxed=relaxed) is None


REWRITTEN = [
    # what is sent for "TAG"    route     status  counted as
    ('"TAG"', {}, 204, None),
    ('"TAG-gzip"', {}, 204, "suffix"),
    ('"TAG--gzip"', {}, 204, "suffix"),
    ('"TAG;gzip"', {}, 204, "suffix"),
    ('W/"TAG"', {}, 412, None),
    ('W/"TAG"', RELAXED, 204, "weak"),
    ('W/"TAG-gzip"', RELAXED, 204, "weak"),
    ('"old-gzip"', RELAXED, 412, None),
    ('W/"old"', RELAXED, 412, None),
]


@pytest.mark.parametrize("own", ['"own"', None])
@pytest.mark.parametrize(("sent", "options", "status", "how"), REWRITTEN)
async def test_a_rewritten_tag_is_understood_and_counted(
    legacy: Legacy,
    start_proxy: StartProxy,
    connect: Connect,
    own: str | None,
    sent: str,
    options: dict[str, str],
    status: int,
    how: str | None,
) -> None:
    proxy = await start_proxy(defaults=options)
    client = connect(proxy)
    legacy.put("/a", "old", etag=own)
    tag = str((await client.request("GET", "/a"))["ETag"]).strip('"')
    named = sent.replace("TAG", tag)
    assert (await client.request("PUT", "/a", ("If-Match", named), body=b"new")).status == status
    # Of our own tags a suffix of a coding is no surprise: the proxy makes the same.
    ours = own is None and sent == '"TAG-gzip"'
    counted = 0 if how is None or ours else 1
    assert proxy.count("precondition_mended_tags_total") == counted
    if counted:
        assert proxy.count("precondition_mended_tags_total", route="default", how=str(how)) == 1
        assert legacy.last("PUT")["If-Match"] is None  # it would not know the tag again


async def test_a_weak_tag_of_the_backend_itself_never_counts(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(defaults=RELAXED))
    legacy.put("/a", "old", etag='W/"w"')
    for sent in ('W/"w"', '"w"'):
        assert (await client.request("PUT", "/a", ("If-Match", sent), body=b"new")).status == 412


CODED = {  # what a backend that compresses sends: the tag without, and with gzip
    "a tag of its own": ('"x"', '"y"'),
    "the tag made weak (Django)": ('"x"', 'W/"x"'),
    "a suffix (Apache)": ('"x"', '"x-gzip"'),
}


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize(("read", "written"), [("identity", "gzip"), ("gzip", "identity"), ("gzip", None)])
async def test_a_write_may_accept_another_coding_than_the_read(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, name: str, read: str, written: str | None
) -> None:
    plain, coded = CODED[name]
    state = {"number": 0}

    async def show(exchange: Exchange) -> None:
        gzips = "gzip" in (exchange.request["Accept-Encoding"] or "")
        content = f"content {state['number']}".encode()
        tag = (coded if gzips else plain).replace('"', f'"{state["number"]}', 1)
        fields = [("ETag", tag), ("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip")][: 2 + gzips]
        await exchange.answer(200, *fields, body=gzip.compress(content) if gzips else content)

    async def store(exchange: Exchange) -> None:
        await exchange.content()
        state["number"] += 1
        await exchange.answer(204)

    legacy.on("GET", "/a", show)
    legacy.on("PUT", "/a", store)
    client = connect(await start_proxy(defaults={"verify": "always"}))
    tag = str((await client.request("GET", "/a", ("Accept-Encoding", read)))["ETag"])
    accepts = () if written is None else (("Accept-Encoding", written),)
    assert (await client.request("PUT", "/a", ("If-Match", tag), *accepts, body=b"new")).status == 204
    assert (await client.request("PUT", "/a", ("If-Match", tag), *accepts, body=b"lost")).status == 412
