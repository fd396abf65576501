"""Backends and clients that others wrote: nginx's WebDAV and Python's http.server; curl and httpx."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.proxies import Inside, StartProxy
from support.real_backends import http_server, nginx, program

# nginx.


@dataclass
class Dav:
    """A proxy in front of nginx."""

    proxy: Inside
    root: Path

    def url(self, path: str) -> str:
        return self.proxy.url + path


@pytest.fixture(scope="module")
def dav_server() -> Iterator[tuple[str, Path]]:
    with nginx() as started:
        yield started


@pytest.fixture
async def dav(dav_server: tuple[str, Path], start_proxy: StartProxy, request: pytest.FixtureRequest) -> Dav:
    """In front of nginx, with a folder of the test's own."""
    url, root = dav_server
    folder = root / re.sub(r"\W", "", request.node.name)
    folder.mkdir()
    return Dav(await start_proxy(url), folder)


@dataclass
class Said:
    """What curl got."""

    status: int
    headers: dict[str, str]
    body: str


async def curl(url: str, *options: str) -> Said:
    """Plain curl."""
    process = await asyncio.create_subprocess_exec(
        program("curl", "curl"), "--silent", "--show-error", "--include", "--max-time", "10", *options, url,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0
    head, _, body = said.decode().rpartition("\r\n\r\n") if "-I" not in options else (said.decode(), "", "")
    first, *lines = head.strip().split("\r\n\r\n")[-1].split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return Said(int(first.split()[1]), headers, body)


async def test_curl_nginx_a_lost_update_is_refused(dav: Dav) -> None:
    (dav.root / "note.txt").write_text("first")
    url = dav.url(f"/{dav.root.name}/note.txt")
    got = await curl(url)
    tag = got.headers["etag"]
    assert (got.status, got.body) == (200, "first")
    assert (await curl(url, "-X", "PUT", "-H", f"If-Match: {tag}", "-d", "the second one")).status == 204
    refused = await curl(url, "-X", "PUT", "-H", f"If-Match: {tag}", "-d", "lost")
    assert refused.status == 412
    assert json.loads(refused.body)["reason"] == "stale_tag"
    assert refused.headers["etag"] == (await curl(url, "-I")).headers["etag"] != tag
    assert (dav.root / "note.txt").read_text() == "the second one"
    assert (await curl(url, "-H", f"If-None-Match: {refused.headers['etag']}")).status == 304


async def test_httpx_nginx_two_versions_of_one_size_in_one_second_have_two_tags(dav: Dav) -> None:
    """nginx's tags are made of size and second: by themselves they would let the third write through."""
    url = dav.url(f"/{dav.root.name}/note.txt")
    async with httpx.AsyncClient(trust_env=False) as client:
        (dav.root / "note.txt").write_text("one")
        tag = (await client.get(url)).headers["ETag"]
        puts = [await client.put(url, content=text, headers={"If-Match": tag}) for text in ("two", "six")]
    assert [put.status_code for put in puts] == [204, 412]
    assert (dav.root / "note.txt").read_text() == "two"


async def test_curl_nginx_a_file_is_made_once_and_deleted_once(dav: Dav) -> None:
    url = dav.url(f"/{dav.root.name}/new.txt")
    once = ("-X", "PUT", "-H", "If-None-Match: *")
    assert [(await curl(url, *once, "-d", text)).status for text in ("one", "two")] == [201, 412]
    assert (dav.root / "new.txt").read_text() == "one"
    delete = ("-X", "DELETE", "-H", "If-Match: *")
    assert [(await curl(url, *delete)).status for _ in range(2)] == [204, 404]


async def test_curl_nginx_a_big_upload_and_expect(dav: Dav, tmp_path: Path) -> None:
    """curl sends `Expect: 100-continue` on its own with so much content."""
    big = tmp_path / "big"
    big.write_bytes(b"x" * (3 << 20))
    url = dav.url(f"/{dav.root.name}/big.txt")
    assert (
        await curl(url, "-T", str(big), "-H", "If-None-Match: *", "-H", "Expect: 100-continue")
    ).status == 201
    assert (dav.root / "big.txt").stat().st_size == 3 << 20
    refused = await curl(url, "-T", str(big), "-H", 'If-Match: "x"', "-H", "Expect: 100-continue")
    assert refused.status == 412


async def test_curl_nginx_move_and_copy(dav: Dav) -> None:
    (dav.root / "a.txt").write_text("a")
    (dav.root / "b.txt").write_text("bb")
    source, target = (dav.url(f"/{dav.root.name}/{name}.txt") for name in "ab")
    old = (await curl(target)).headers["etag"]
    tag = (await curl(source)).headers["etag"]
    move = ("-X", "MOVE", "-H", f"Destination: {target}")
    assert (await curl(source, *move, "-H", 'If-Match: "x"')).status == 412
    assert (await curl(source, *move, "-H", f"If-Match: {tag}")).status == 204
    assert (await curl(target, "-X", "PUT", "-H", f"If-Match: {old}", "-d", "lost")).status == 412
    assert (dav.root / "b.txt").read_text() == "a"
    assert (await curl(source)).status == 404


async def test_httpx_nginx_ten_writers_append_and_nothing_is_lost(dav: Dav) -> None:
    """Each reads, changes, and writes back with If-Match, again and again until it is not refused."""
    (dav.root / "log.txt").write_text("")
    url = dav.url(f"/{dav.root.name}/log.txt")
    assert sorted((await appended(url, writers=10, times=3)).split()) == sorted(3 * list("0123456789"))


async def appended(url: str, *, writers: int, times: int) -> str:
    """Has so many writers append their number so many times; what is there in the end."""

    async def write(client: httpx.AsyncClient, number: int) -> None:
        for _ in range(times):
            while True:
                got = await client.get(url)
                headers = {"If-Match": got.headers["ETag"]}
                put = await client.put(url, content=got.text + f"{number} ", headers=headers)
                if put.status_code != 412:
                    put.raise_for_status()
                    break

    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        await asyncio.gather(*(write(client, number) for number in range(writers)))
        return (await client.get(url)).text


# http.server.


@pytest.fixture
async def files(tmp_path: Path, start_proxy: StartProxy) -> tuple[Inside, Path]:
    """A proxy in front of Python's http.server, and the folder that it serves."""
    with http_server(tmp_path) as url:
        yield await start_proxy(url), tmp_path


async def test_httpx_http_server_gets_tags(files: tuple[Inside, Path]) -> None:
    proxy, folder = files
    (folder / "a.txt").write_text("hello")
    async with httpx.AsyncClient(base_url=proxy.url, trust_env=False) as client:
        got = await client.get("/a.txt")
        assert got.text == "hello"
        assert got.headers["ETag"].startswith('"pp1.')
        assert (await client.head("/a.txt")).headers["ETag"] == got.headers["ETag"]
        same = await client.get("/a.txt", headers={"If-None-Match": got.headers["ETag"]})
        assert (same.status_code, same.content) == (304, b"")
        since = await client.get("/a.txt", headers={"If-Modified-Since": got.headers["Last-Modified"]})
        assert since.status_code == 304
        part = {"Range": "bytes=1-3", "If-Range": got.headers["ETag"]}
        assert (await client.get("/a.txt", headers=part)).text == "ell"
        assert (await client.get("/none.txt", headers=part)).status_code == 404


async def test_httpx_http_server_five_writers_count_and_nothing_is_lost(files: tuple[Inside, Path]) -> None:
    proxy, folder = files
    (folder / "log.txt").write_text("")
    text = await appended(proxy.url + "/log.txt", writers=5, times=3)
    assert sorted(text.split()) == sorted(3 * list("01234"))


async def test_httpx_http_server_a_date_of_a_second_that_is_not_over_protects_nothing(
    files: tuple[Inside, Path],
) -> None:
    proxy, folder = files
    (folder / "a.txt").write_text("old")
    async with httpx.AsyncClient(base_url=proxy.url, trust_env=False) as client:
        date = (await client.get("/a.txt")).headers["Last-Modified"]
        assert (
            await client.put("/a.txt", content="new", headers={"If-Unmodified-Since": date})
        ).status_code == 204
        if (await client.get("/a.txt")).headers["Last-Modified"] == date:
            refused = await client.put("/a.txt", content="lost", headers={"If-Unmodified-Since": date})
            assert (refused.status_code, (folder / "a.txt").read_text()) == (412, "new")
