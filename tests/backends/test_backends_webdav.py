"""WebDAV servers and clients with conditions: lost updates, and all that must be as without the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from backends.differential import HOST, Ask, differences, play
from backends.proxying import proxy
from backends.stores import store_url
from backends.tools import ground, thorough
from backends.webdav import SERVERS, Share, apache_gzip, wsgidav


@pytest.fixture(scope="module", params=thorough("nginx", "apache", all_of=SERVERS))
def served(request: pytest.FixtureRequest) -> Iterator[Share]:
    """A server of each kind."""
    with ground() as folder, SERVERS[request.param](folder) as share:
        yield share


@pytest.fixture(scope="module", params=thorough("memory", all_of=["memory", "redis"]))
def proxied(
    served: Share, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same through the proxy."""
    with (
        store_url(request.param) as store,
        proxy(tmp_path_factory.mktemp("proxy"), served.url, store=store, routes=served.routes) as url,
    ):
        yield url


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client


@pytest.mark.parametrize("name", thorough("nginx", all_of=["nginx", "nginx-ext", "rclone"]))
def test_an_update_is_lost_without_the_proxy(client: httpx.Client, name: str) -> None:
    """These never evaluate If-Match of a PUT; Apache, lighttpd and WsgiDAV do so by themselves."""
    with ground() as folder, SERVERS[name](folder) as share:
        client.put(f"{share.url}/a.txt", content="first")
        tag = client.get(f"{share.url}/a.txt").headers["ETag"]
        client.put(f"{share.url}/a.txt", content="theirs, longer")
        assert client.put(f"{share.url}/a.txt", content="mine", headers={"If-Match": tag}).is_success
        assert client.get(f"{share.url}/a.txt").text == "mine"


def test_a_server_that_enforces_by_itself_loses_one_of_the_same_second(
    client: httpx.Client,
) -> None:
    """WsgiDAV's tags are of second and size, so that two versions may share one."""
    lost = 0
    with ground() as folder, wsgidav(folder) as share:
        for number in range(5):  # a second may end in the middle
            client.put(f"{share.url}/{number}", content="one")
            tag = client.get(f"{share.url}/{number}").headers["ETag"]
            client.put(f"{share.url}/{number}", content="two")
            lost += client.put(f"{share.url}/{number}", content="six", headers={"If-Match": tag}).is_success
    assert lost


@pytest.mark.parametrize("lengths", ["same", "other"])
def test_a_lost_update_is_refused(client: httpx.Client, proxied: str, lengths: str) -> None:
    url = f"{proxied}/{lengths}.txt"
    client.put(url, content="one")
    tag = client.get(url).headers["ETag"]
    theirs = "two" if lengths == "same" else "theirs"
    assert client.put(url, content=theirs).is_success
    assert client.put(url, content="six", headers={"If-Match": tag}).status_code == 412
    assert client.delete(url, headers={"If-Match": tag}).status_code == 412
    moved = client.request("MOVE", url, headers={"If-Match": tag, "Destination": f"{proxied}/moved.txt"})
    assert moved.status_code == 412
    got = client.get(url)
    assert got.text == theirs
    assert client.put(url, content="mine", headers={"If-Match": got.headers["ETag"]}).is_success
    assert client.get(url).text == "mine"
    assert client.put(url, content="new", headers={"If-None-Match": "*"}).status_code == 412
    assert client.delete(url, headers={"If-Match": client.head(url).headers["ETag"]}).is_success
    assert client.put(url, content="new", headers={"If-None-Match": "*"}).status_code == 201


def test_a_tag_still_holds_when_the_second_is_over(client: httpx.Client, proxied: str) -> None:
    """Apache's own tags are weak until then, so that the proxy's stand in for them."""
    url = f"{proxied}/second.txt"
    client.put(url, content="one")
    early = client.get(url)
    changed = early.headers["Last-Modified"]
    while client.get(url).headers["Date"] <= changed or client.get(url).headers["Date"][:-4] == changed[:-4]:
        pass  # the server's own clock, as its answers tell it
    for _ in range(3):
        client.get(url)
    assert client.get(url, headers={"If-None-Match": early.headers["ETag"]}).status_code == 304
    assert client.put(url, content="two", headers={"If-Match": early.headers["ETag"]}).is_success


async def test_eight_writers_append_and_nothing_is_lost(proxied: str) -> None:
    url = f"{proxied}/log.txt"

    async def append(client: httpx.AsyncClient, mark: str) -> None:
        while True:
            try:
                got = await client.get(url)
            except httpx.TransportError:
                continue  # rclone cuts off what is read while it is written, and so does the proxy then
            if got.status_code == 502:
                continue  # or it says so, where it had to read the content for its tag
            put = await client.put(url, content=got.text + mark, headers={"If-Match": got.headers["ETag"]})
            if put.is_success:
                return
            assert put.status_code == 412

    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        await client.put(url, content="")
        await asyncio.gather(*(append(client, mark) for mark in "abcdefgh"))
        assert sorted((await client.get(url)).text) == list("abcdefgh")


# The same script, to a server itself and to its twin through the proxy.

XML = {"Content-Type": "application/xml"}
ALL = (
    b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getcontenttype/>'
    b"</prop></propfind>"
)
LOCK = (
    b'<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
    b"<locktype><write/></locktype><owner>me</owner></lockinfo>"
)
SET = (
    b'<?xml version="1.0"?><propertyupdate xmlns="DAV:"><set><prop><x xmlns="http://e/">v</x></prop></set>'
    b"</propertyupdate>"
)
TO = {"Destination": f"http://{HOST}/b.txt"}
SCRIPT = [
    Ask("OPTIONS", "/"),
    Ask("GET", "/a.txt"),
    Ask("PUT", "/a.txt", b"hello"),
    Ask("PUT", "/a.txt", b"hello again"),
    Ask("GET", "/a.txt"),
    Ask("HEAD", "/a.txt"),
    Ask("GET", "/a.txt", fields={"Range": "bytes=1-2"}),
    Ask("GET", "/a.txt", fields={"Range": "bytes=99-"}),
    Ask("GET", "/a.txt", fields={"Accept-Encoding": "gzip"}),
    Ask("POST", "/a.txt", b"x"),
    Ask("MKCOL", "/d/"),
    Ask("MKCOL", "/d/"),
    Ask("PUT", "/d/", b"x"),
    Ask("PROPFIND", "/a.txt", ALL, {"Depth": "0", **XML}),
    Ask("PROPFIND", "/d/", ALL, {"Depth": "1", **XML}),
    Ask("PROPFIND", "/nope", ALL, {"Depth": "0", **XML}),
    Ask("PROPFIND", "/", b"<no xml", {"Depth": "0", **XML}),
    Ask("PROPPATCH", "/a.txt", SET, XML),
    Ask("COPY", "/a.txt", fields=TO),
    Ask("COPY", "/a.txt", fields={**TO, "Overwrite": "F"}),
    Ask("COPY", "/a.txt"),
    Ask("MOVE", "/b.txt", fields={"Destination": f"http://{HOST}/d/c.txt"}),
    Ask("MOVE", "/b.txt", fields={"Destination": f"http://{HOST}/d/c.txt"}),
    Ask("LOCK", "/a.txt", LOCK, {**XML, "Timeout": "Second-300"}),
    Ask("PUT", "/a.txt", b"without the lock"),
    Ask("PUT", "/a.txt", b"with the lock", {"If": "({lock})"}),
    Ask("UNLOCK", "/a.txt", fields={"Lock-Token": "{lock}"}),
    Ask("DELETE", "/d/c.txt"),
    Ask("DELETE", "/d/c.txt"),
    Ask("DELETE", "/d/"),
    Ask("PUT", "/sp%20ace", b"x"),
    Ask("GET", "/sp%20ace"),
    Ask("PUT", "/%C3%A9'(x)!,a+b&c=d", b"x"),
    Ask("GET", "/%C3%A9'(x)!,a+b&c=d"),
    Ask("GET", "/a.txt?x=1&&y=%20"),
    Ask("REPORT", "/", b"<x/>", XML),
    Ask("MKCALENDAR", "/cal", b"", XML),
]


@pytest.mark.parametrize("name", thorough("apache", all_of=SERVERS))
def test_all_else_is_as_without(name: str, tmp_path: Path) -> None:
    with ExitStack() as running:
        one, two = (running.enter_context(SERVERS[name](running.enter_context(ground()))) for _ in range(2))
        url = running.enter_context(proxy(tmp_path / "proxy", two.url))
        found = differences(SCRIPT, play(one.url, SCRIPT), play(url, SCRIPT), minted=True)
    assert found == []


ENFORCE_BY_THEMSELVES = ["apache", "wsgidav"]  # the latter but for If-Match: * on what is not there
OTHER = {"If-Match": '"other"'}
CONDITIONS = [
    Ask("PUT", "/a", b"x", {"If-None-Match": "*"}),
    Ask("PUT", "/a", b"x", {"If-None-Match": "*"}, checked=False),
    Ask("PUT", "/a", b"x", OTHER, checked=False),
    Ask("DELETE", "/a", None, OTHER, checked=False),
    Ask("MOVE", "/a", None, {**OTHER, **TO}, checked=False),
    Ask("COPY", "/a", None, {**OTHER, **TO}, checked=False),
    Ask("GET", "/a", None, OTHER, checked=False),
    Ask("PUT", "/a", b"x", {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, checked=False),
    Ask("PUT", "/a", b"x", {"If": '(["other"])'}, checked=False),
    Ask("PUT", "/a", b"x", {"If-Match": "*"}),
    Ask("DELETE", "/a", None, {"If-Match": "*"}),
    Ask("DELETE", "/a", None, {"If-Match": "*"}, checked=False),
]


@pytest.mark.parametrize("name", thorough("apache", all_of=ENFORCE_BY_THEMSELVES))
def test_conditions_are_answered_as_by_a_server_that_enforces_them(name: str, tmp_path: Path) -> None:
    with ExitStack() as running:
        one, two = (running.enter_context(SERVERS[name](running.enter_context(ground()))) for _ in range(2))
        url = running.enter_context(proxy(tmp_path / "proxy", two.url))
        found = differences(CONDITIONS, play(one.url, CONDITIONS), play(url, CONDITIONS), minted=True)
    assert found == []


def test_credentials_that_cover_the_method(client: httpx.Client) -> None:
    """Digest (RFC 7616): WsgiDAV answers 401 to a GET with the credentials of a PUT."""
    users = '{"me": {"password": "secret"}}'
    with ExitStack() as running:
        share = running.enter_context(wsgidav(running.enter_context(ground()), users=users, digest="true"))
        url = running.enter_context(proxy(running.enter_context(ground()), share.url)) + "/a.txt"
        client.auth = httpx.DigestAuth("me", "secret")
        assert client.put(url, content="first").is_success
        tag = client.get(url).headers["ETag"]
        assert client.put(url, content="theirs", headers={"If-Match": tag}).is_success
        assert client.put(url, content="mine!", headers={"If-Match": tag}).status_code == 412
        got = client.get(url)
        assert got.text == "theirs"
        assert client.put(url, content="merged!", headers={"If-Match": got.headers["ETag"]}).is_success
        tag = client.get(url).headers["ETag"]
        client.auth = httpx.DigestAuth("me", "wrong")
        assert client.put(url, content="no", headers={"If-Match": tag}).status_code == 401


@pytest.mark.parametrize("read", ["gzip", "identity"])
@pytest.mark.parametrize("written", ["gzip", "identity"])
def test_apache_compresses_and_renames_the_tag(client: httpx.Client, read: str, written: str) -> None:
    """mod_deflate appends `-gzip`, and Apache itself then refuses its own tag."""
    accept = {"gzip": {"Accept-Encoding": "gzip"}, "identity": {"Accept-Encoding": "identity"}}
    with ground() as one, apache_gzip(one) as share, ground() as other, proxy(other, share.url) as through:
        url = f"{through}/a.txt"
        client.put(url, content="first " * 100)
        got = client.get(url, headers=accept[read])
        while got.headers["Last-Modified"] == got.headers["Date"]:
            got = client.get(url, headers=accept[read])  # until Apache's own tag is strong
        tag = got.headers["ETag"]
        assert (got.headers.get("Content-Encoding", "identity"), tag.startswith("W/")) == (read, False)
        later = client.get(url, headers=accept[read]).headers["ETag"]
        for current in (tag, later):
            assert client.get(url, headers={**accept[read], "If-None-Match": current}).status_code == 304
        put = client.put(url, content="theirs " * 100, headers={**accept[written], "If-Match": later})
        assert put.is_success
        put = client.put(url, content="mine", headers={**accept[written], "If-Match": later})
        assert put.status_code == 412
