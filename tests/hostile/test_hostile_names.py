"""One resource has one name, however it is spelled, and what is forwarded is the form that was named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.raw_client import responses
from support.recording_backend import RecordingBackend
from support.rows import Connect, Proxy, request
from support.scripted_backend import eventually

BELIEVED = {"defaults": {"verify": "never"}}  # the record alone decides: a 412 without a probe shows the key

# How a GET spells the resource, how a PUT does, what the backend hears of the PUT, and the settings.
SAME: list[tuple[str, str, str, dict[str, Any]]] = [
    ("/notes/1", "/notes/1", "/notes/1", {}),
    ("/notes/1", "/%6eotes/%31", "/notes/1", {}),
    ("/notes/1", "/%6Eotes/1", "/notes/1", {}),
    ("/a-b._~c", "/a%2Db%2E%5F%7Ec", "/a-b._~c", {}),
    ("/caf%C3%A9", "/caf%c3%a9", "/caf%C3%A9", {}),
    ("/a%20b", "/a%20%62", "/a%20b", {}),
    ('/a"b', "/a%22b", "/a%22b", {}),
    ("/a@b:c,d", "/a%40b%3ac%2Cd", "/a%40b%3Ac%2Cd", {}),
    ("/notes/1", "/notes/./1", "/notes/1", {}),
    ("/notes/1", "/notes/x/../1", "/notes/1", {}),
    ("/notes/1", "/notes/x/%2e%2E/1", "/notes/1", {}),
    ("/notes/1", "/../../notes/1", "/notes/1", {}),
    ("/notes/", "/notes/1/..", "/notes/", {}),
    ("/notes/1", "//notes//1", "//notes//1", {}),
    ("/notes/1", "//notes///1", "/notes/1", {"merge_slashes": True}),
    ("/notes/1", "http://a/notes/1", "/notes/1", {}),
    ("/notes/1", "HTTP://A:80/notes/1", "/notes/1", {}),
    ("/notes/1", "http://other.example/notes/1", "/notes/1", {}),
    ("/", "http://a", "/", {}),
    ("/?q", "http://a?q", "/?q", {}),
    ("/notes/1", "/notes/1?", "/notes/1?", {}),
    ("/notes/1?a=%7e", "/notes/1?a=~", "/notes/1?a=~", {}),
    ("/notes/1", "/notes/1;jsessionid=5", "/notes/1;jsessionid=5", {}),
    ("/notes/1", "/Notes/1", "/Notes/1", {"case_insensitive": True}),
    ("/notes/1", "/notes/1/", "/notes/1/", {"trailing_slash": "same"}),
    ("/notes/1?id=7", "/notes/1?t=9&id=7", "/notes/1?t=9&id=7", {"query": ["id"]}),
    ("/notes/1?id=7&b=2", "/notes/1?b=2&%69d=7", "/notes/1?b=2&id=7", {"query": ["id", "b"]}),
    ("/notes/1?id=7", "/notes/1?id=8", "/notes/1?id=8", {"query": []}),
]


@pytest.mark.parametrize(("read", "written", "wire", "options"), SAME, ids=[row[1] for row in SAME])
async def test_spellings_of_one_resource(
    read: str,
    written: str,
    wire: str,
    options: dict[str, Any],
    backend: RecordingBackend,
    proxy: Proxy,
    connect: Connect,
) -> None:
    client = await connect(await proxy(backend.url, defaults=options | BELIEVED["defaults"]))
    await client.send(request(b"GET " + read.encode()))
    await client.until(b"ok")
    put, fields = b"PUT " + written.encode(), (b"Content-Length: 0",)
    await client.send(request(put, b'If-Match: "old"', *fields), request(put, b'If-Match: "v1"', *fields))
    await client.send(request(b"GET /", b"Connection: close"))
    seen = responses(await client.rest())
    assert [answer.status for answer in seen] == [200, 412, 200, 200]
    written_to = [line for line in backend.lines if line.startswith("PUT")]
    assert written_to == [f"PUT {wire}"]  # the other was refused


@pytest.mark.parametrize(("one", "other", "wire", "options"), SAME, ids=[row[1] for row in SAME])
async def test_spellings_of_one_resource_share_its_claim(
    one: str,
    other: str,
    wire: str,
    options: dict[str, Any],
    backend: RecordingBackend,
    proxy: Proxy,
    connect: Connect,
) -> None:
    """While a write of it is under way, one under another spelling waits, here until it is sent away."""
    release = asyncio.Event()
    backend.hold = release.wait
    app = await proxy(backend.url, defaults=options, store={"url": "memory", "wait": "20ms"})
    first, second = await connect(app), await connect(app)
    await first.send(request(b"PUT " + one.encode(), b"Content-Length: 0", b"Connection: close"))
    await eventually(lambda: backend.heard)
    await second.send(request(b"PUT " + other.encode(), b"Content-Length: 0", b"Connection: close"))
    assert [answer.status for answer in responses(await second.rest())] == [503], wire
    release.set()
    assert [answer.status for answer in responses(await first.rest())] == [200]
    assert sum(heard.method == "PUT" for heard in backend.heard) == 1


DIFFERENT: list[tuple[str, str, dict[str, Any]]] = [
    ("/notes/1", "/notes/2", {}),
    ("/notes/1", "/Notes/1", {}),
    ("/notes/1", "/notes/1/", {}),
    ("/notes/1?a", "/notes/1?b", {}),
    ("/notes/1", "/notes/1?b", {}),
    ("/notes/1", "/notes/%2531", {}),
    ("/a+b", "/a%20b", {}),
    ("/notes/1?id=7", "/notes/1?id=8", {"query": ["id"]}),
]


@pytest.mark.parametrize(("read", "written", "options"), DIFFERENT, ids=[row[1] for row in DIFFERENT])
async def test_names_of_two_resources(
    read: str,
    written: str,
    options: dict[str, Any],
    backend: RecordingBackend,
    proxy: Proxy,
    connect: Connect,
) -> None:
    client = await connect(await proxy(backend.url, defaults=options | BELIEVED["defaults"]))
    await client.send(request(b"GET " + read.encode()))
    await client.until(b"ok")
    await client.send(
        request(b"PUT " + written.encode(), b'If-Match: "old"', b"Content-Length: 0", b"Connection: close")
    )
    assert [answer.status for answer in responses(await client.rest())] == [200, 412]
    assert len(backend.heard) == 2  # nothing was known of it: the backend was asked


REFUSED = [
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a\\b",
    "/a%00",
    "/a%0d%0ab",
    "/a%0Ab",
    "/a%09b",
    "/a%7fb",
    "/a%",
    "/a%2",
    "/a%zz",
    "/a%u002f",
    "/a%%32",
    "/%c0%af",
    "/%C0%AE%C0%AE/a",
    "/%e0%80%af",
    "/%f0%80%80%af",
    "/%ff",
    "/%ed%a0%80",
    "/a%c3",
    "/a/..;/b",
    "/a;x/b",
    "/a/%2e%2e;x",
    "/a//../b",
    "/.//b",
    "/a%2f..%2fb",
]


@pytest.mark.parametrize("target", REFUSED)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_servers_read_in_different_ways_is_refused(
    target: str, method: str, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    first = f"{method} {target}".encode()
    await client.send(request(first, b"Content-Length: 0", b"Connection: close"))
    assert [answer.status for answer in responses(await client.rest())] == [400]
    assert backend.heard == []


TARGETS = [
    ("ftp://a/x", 400),
    ("http:///x", 400),
    ("http://user:secret@a/x", 400),
    ("//user@a/x", 200),
    ("/\xe9", 400),
    ("/caf\u00e9", 400),
    ("/\x01", 400),
    ("/\x7f", 400),
    ("/?a%00", 200),
    ("/?100%", 200),
]


@pytest.mark.parametrize(("target", "status"), TARGETS)
async def test_targets(
    target: str, status: int, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    coding = "utf-8" if "caf" in target else "latin-1"
    await client.send(request(b"GET " + target.encode(coding), b"Connection: close"))
    assert [answer.status for answer in responses(await client.rest())] == [status]
    assert len(backend.heard) == (status == 200)


HOSTS = [
    (b"", 200),
    (b"a", 200),
    (b"A.example:8080", 200),
    (b"[::1]:80", 200),
    (b"a_b", 200),
    (b"a b", 400),
    (b"a/b", 400),
    (b"a?b", 400),
    (b"a#b", 400),
    (b"u@a", 400),
    (b"a, b", 400),
    (b"a,b", 400),
    (b'a"b', 400),
    (b"a:b", 400),
    (b"a:80:80", 400),
    (b"a\xff", 400),
    (b"<script>", 400),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_hosts(
    host: bytes, status: int, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    await client.send(request(b"GET /", b"Connection: close", host=host))
    assert [answer.status for answer in responses(await client.rest())] == [status]
    assert [heard.one("host") for heard in backend.heard] == ([host.decode()] if status == 200 else [])


async def test_two_hosts(backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    client = await connect(await proxy(backend.url))
    await client.send(request(b"GET /", b"Host: b"))
    assert [answer.status for answer in responses(await client.rest())] == [400]
    assert backend.heard == []


async def test_the_target_says_the_host(backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    """RFC 9112 section 3.2.2: a Host beside an absolute-form target is ignored."""
    client = await connect(await proxy(backend.url))
    await client.send(
        request(b"GET http://real.example:8080/x", b"Connection: close", host=b"forged.example")
    )
    assert [answer.status for answer in responses(await client.rest())] == [200]
    assert backend.heard[0].all("host") == ["real.example:8080"]
    assert backend.heard[0].all("x-forwarded-host") == ["real.example:8080"]


async def test_hosts_in_the_name_differ_by_neither_case_nor_default_port(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url, defaults={"verify": "never", "vary_by": ["host"]}))
    await client.send(request(b"GET /n", host=b"Site.Example"))
    await client.until(b"ok")
    for host in (b"site.example:80", b"SITE.EXAMPLE:", b"site.example"):
        await client.send(request(b"DELETE /n", b'If-Match: "old"', host=host))
    await client.send(request(b"DELETE /n", b'If-Match: "old"', b"Connection: close", host=b"other.example"))
    assert [answer.status for answer in responses(await client.rest())] == [200, 412, 412, 412, 412]
    assert backend.lines == ["GET /n", "GET /n"]  # only the other site's resource had to be asked for


async def test_other_names_in_fields_are_dropped(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    fields = (b"X-Original-URL: /admin", b"X-Rewrite-URL: /admin", b"X_Original_URL: /admin")
    await client.send(request(b"PUT /x", *fields, b"Content-Length: 0", b"Connection: close"))
    await client.rest()
    assert not any("url" in name for heard in backend.heard for name, _ in heard.fields)


@pytest.mark.parametrize(
    "target",
    ["/static/..%2fapi/1", "/static/%2e%2e%5capi/1", "/static/..;/api/1", "/static/%c0%ae%c0%ae/api/1"],
)
async def test_no_way_into_a_guarded_route_through_an_open_one(
    target: str, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    routes = [{"match": "/static/{path*}", "mode": "off"}, {"match": "/api/{id}", "require": ["PUT"]}]
    client = await connect(await proxy(backend.url, routes=routes))
    await client.send(request(b"PUT " + target.encode(), b"Content-Length: 0", b"Connection: close"))
    assert [answer.status for answer in responses(await client.rest())] == [400]
    assert backend.heard == []


async def test_dot_segments_leave_an_open_route(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    routes = [{"match": "/static/{path*}", "mode": "off"}, {"match": "/api/{id}", "require": ["PUT"]}]
    client = await connect(await proxy(backend.url, routes=routes))
    await client.send(request(b"PUT /static/%2e%2e/api/1", b"Content-Length: 0", b"Connection: close"))
    assert [answer.status for answer in responses(await client.rest())] == [428]
    assert backend.heard == []
