"""Forwarding: what a proxy does to every message, guarded or not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.http1 import read_chunk
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.waiting import eventually
from support.wire_client import Client

BIG = 8 << 20


# Fields.


async def test_hop_by_hop_fields_stay_on_their_hop(legacy: Legacy, client: Client) -> None:
    """RFC 9110 section 7.6.1."""

    async def get(exchange: Exchange) -> None:
        await exchange.answer(
            200,
            ("Connection", "X-Hop, keep-alive"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("X-End", "1"),
        )

    legacy.on("GET", "/a", get)
    hop = [
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "x"),
        ("TE", "gzip"),
        ("X-Mine", "1"),
        ("Proxy-Authorization", "x"),
    ]
    answer = await client.request("GET", "/a", ("Connection", "keep-alive, X-Mine"), *hop, ("X-End", "2"))
    sent = legacy.last("GET")
    assert [name for name, _ in hop if name in sent] == []
    assert (sent["X-End"], answer["X-End"]) == ("2", "1")
    assert [name for name in ("X-Hop", "Keep-Alive", "Proxy-Connection") if name in answer] == []


async def test_end_to_end_fields_pass_as_they_are(legacy: Legacy, client: Client) -> None:
    fields = [
        ("X-Twice", "1"),
        ("x-twice", "2"),
        ("X-Empty", ""),
        ("X-Bytes", "caf\udce9 \u00e9"),
        ("Cookie", "a=b; c=d"),
    ]

    async def get(exchange: Exchange) -> None:
        await exchange.answer(200, *fields, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))

    legacy.on("GET", "/a", get)
    answer = await client.request("GET", "/a", *fields)
    names = {name for name, _ in fields}
    assert [line for line in legacy.last("GET").fields if line[0] in names] == fields
    assert [line for line in answer.fields if line[0] in names] == fields
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ["Date", "date", "DATE"])
async def test_a_date_stays_as_it_is(legacy: Legacy, client: Client, name: str, method: str) -> None:
    """However its name is written; RFC 9110 section 6.6.1 has us add one only where there is none."""
    date = "Sun, 06 Nov 1994 08:49:37 GMT"

    async def dated(exchange: Exchange) -> None:
        await exchange.answer(200, (name, date))

    async def undated(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nX-Date: x\r\nContent-Length: 0\r\n\r\n")

    legacy.on(method, "/a", dated)
    legacy.on(method, "/b", undated)
    assert (await client.request(method, "/a")).all("Date") == [date]
    made = (await client.request(method, "/b")).all("Date")
    assert len(made) == 1
    assert abs(parsedate_to_datetime(made[0]).timestamp() - time.time()) < 5


async def test_who_asked_is_told(legacy: Legacy, client: Client) -> None:
    forged = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"), ("X-Forwarded-Proto", "https")]
    await client.request("GET", "/a", ("Host", "notes.example:81"), *forged)
    sent = legacy.last("GET")
    names = ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via")
    assert [sent[name] for name in names] == [
        "notes.example:81",
        "127.0.0.1",
        "http",
        "notes.example:81",
        None,
        "1.1 precondition-proxy",
    ]


async def test_who_asked_is_told_by_choice(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    client = connect(await start_proxy(forwarded="forwarded", via="edge7", trusted_proxies=["127.0.0.0/8"]))
    await client.request("GET", "/a", ("Forwarded", "for=10.1.1.1"), ("Via", "1.0 other"))
    sent = legacy.last("GET")
    assert sent["Forwarded"] == 'for=10.1.1.1, for="127.0.0.1";proto=http;host="example.org"'
    assert (sent["Via"], sent["X-Forwarded-For"]) == ("1.0 other, 1.1 edge7", None)
    client = connect(await start_proxy({"url": legacy.url, "host": "upstream"}, forwarded="none", via=False))
    await client.request("GET", "/a")
    sent = legacy.last("GET")
    assert (sent["Host"], sent["Via"], sent["X-Forwarded-For"]) == (
        f"127.0.0.1:{legacy.address[1]}",
        None,
        None,
    )


async def test_a_request_id_is_kept_or_made(legacy: Legacy, client: Client) -> None:
    await client.request("GET", "/a", ("X-Request-ID", "mine-7"))
    assert legacy.last("GET").all("X-Request-ID") == ["mine-7"]
    await client.request("GET", "/a")
    (made,) = legacy.last("GET").all("X-Request-ID")
    assert len(made) >= 16
    legacy.put("/a")
    refused = await client.request("PUT", "/a", ("If-Match", '"x"'), ("X-Request-ID", "mine-8"), body=b"x")
    assert refused["X-Request-ID"] == "mine-8"


async def test_look_alikes_of_conditions_are_not_passed_on(legacy: Legacy, client: Client) -> None:
    await client.request("PUT", "/a", ("If_Match", '"x"'), body=b"x")
    assert "If_Match" not in legacy.last("PUT")


# Content.


@pytest.mark.parametrize("mode", ["off", "enforce"])
async def test_content_in_chunks_passes_both_ways(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, mode: str
) -> None:
    async def echo(exchange: Exchange) -> None:
        content = await exchange.content()
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await exchange.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))

    client = connect(await start_proxy(defaults={"mode": mode}))
    for method in ("POST", "PUT", "PATCH"):
        legacy.on(method, "/a", echo)
        body = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
        answer = await client.request(method, "/a", ("Transfer-Encoding", "chunked"), body=body)
        assert (answer.body, legacy.last(method).body) == (b"hello world", b"hello world")


async def test_a_long_upload_reaches_the_backend_while_it_is_sent(legacy: Legacy, client: Client) -> None:
    """A POST takes no claim, so its content streams, no faster than the backend reads."""
    read = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await read.wait()
        await exchange.content()
        await exchange.answer(200, body=b"%d" % len(exchange.request.body))

    legacy.on("POST", "/a", slow)
    await client.send("POST", "/a", ("Content-Length", str(4 * BIG)))
    writing = asyncio.ensure_future(feed(client, 4 * BIG))
    await eventually(lambda: legacy.seen("POST"))
    await stands_still(client)
    assert not writing.done()  # the proxy took only what its buffers hold
    read.set()
    assert (await client.answer()).body == b"%d" % (4 * BIG)
    await writing


async def feed(client: Client, size: int) -> None:
    """Sends so many bytes, as fast as they are taken."""
    for _ in range(size >> 16):
        client.writer.write(b"x" * (1 << 16))
        await client.writer.drain()


async def stands_still(client: Client) -> None:
    """Waits until the client's bytes are taken no more."""
    before, same = -1, 0
    async with asyncio.timeout(10):
        while same < 20:
            await asyncio.sleep(0.002)
            waiting = client.writer.transport.get_write_buffer_size()
            same = same + 1 if waiting == before and waiting else 0
            before = waiting


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_long_download_is_sent_no_faster_than_it_is_read(
    legacy: Legacy, client: Client, framing: str
) -> None:
    written = []
    heads = {
        "length": b"Content-Length: %d\r\n\r\n" % (4 * BIG),
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
        "close": b"Connection: close\r\n\r\n",
    }

    async def long(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + heads[framing])
        for number in range(4 * BIG >> 16):
            piece = b"x" * (1 << 16)
            await exchange.send(b"10000\r\n" + piece + b"\r\n" if framing == "chunked" else piece)
            written.append(number)
        await exchange.send(b"0\r\n\r\n" if framing == "chunked" else b"")
        if framing == "close":
            exchange.writer.close()

    legacy.on("GET", "/long", long)
    await client.send("GET", "/long")
    await client.head()
    before = -1
    async with asyncio.timeout(10):
        while before != len(written):
            before = len(written)
            await asyncio.sleep(0.05)
    assert len(written) < (4 * BIG >> 16)
    size = 0
    if framing == "length":
        size = len(await client.reader.readexactly(4 * BIG))
    else:
        while piece := await read_chunk(client.reader):
            size += len(piece)
    assert size == 4 * BIG


async def test_a_long_write_is_kept_in_a_file_and_sent_whole(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(limits={"memory_body": "64KiB"}))
    legacy.put("/a")
    body = bytes(range(256)) * (1 << 12)
    answer = await client.request("PUT", "/a", ("If-Match", "*"), body=body)
    assert (answer.status, legacy.last("PUT").body == body) == (204, True)


async def test_trailers_pass_to_a_client_that_reads_them(legacy: Legacy, client: Client) -> None:
    """RFC 9110 sections 6.5.1 and 10.1.4."""

    async def get(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        await exchange.send(b"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")

    legacy.on("GET", "/a", get)
    legacy.put("/a")
    for method in ("POST", "PUT", "GET", "OPTIONS"):
        legacy.on(method, "/a", get)
        told = await client.request(method, "/a", ("TE", "trailers"), ("Connection", "TE"))
        assert (told.body, told.trailers) == (b"hello", [("X-Sum", "42")]), method
        untold = await client.request(method, "/a")
        assert (untold.body, untold.trailers) == (b"hello", []), method


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_early_hints_pass(legacy: Legacy, client: Client, method: str) -> None:
    async def hinting(exchange: Exchange) -> None:
        await exchange.content()
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n")
        await exchange.answer(200, body=b"done")

    legacy.on(method, "/a", hinting)
    legacy.put("/a")
    answer = await client.request(method, "/a", body=None if method == "GET" else b"x")
    (hint,) = answer.interim
    assert (hint.status, hint["Link"], answer.body) == (103, "</s.css>", b"done")


@pytest.mark.parametrize("status", [204, 304, 200, 404])
async def test_what_has_no_content_has_no_framing(legacy: Legacy, client: Client, status: int) -> None:
    async def script(exchange: Exchange) -> None:
        length = b"" if status in (204, 304) else b"Content-Length: 9\r\n"
        body = b"" if status in (204, 304) or exchange.request.method == "HEAD" else b"123456789"
        await exchange.send(b'HTTP/1.1 %d X\r\nETag: "v"\r\n%b\r\n%b' % (status, length, body))

    for method in ("HEAD", "GET"):
        legacy.on(method, "/a", script)
        answer = await client.request(method, "/a")
        assert (answer.status, answer["ETag"], answer["Transfer-Encoding"]) == (status, '"v"', None)
        assert answer["Content-Length"] == (None if status in (204, 304) else "9")
        assert (await client.request("OPTIONS", "/b")).body == b"asked"  # nothing was left over


# Connections.


async def test_connections_are_used_again(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    for _ in range(5):
        assert (await client.request("GET", "/a")).status == 200
        assert (await client.request("PUT", "/a", body=b"x")).status == 204
    assert legacy.connections == 1


async def test_pipelined_requests_are_answered_in_order(legacy: Legacy, client: Client) -> None:
    for name in "abc":
        legacy.put(f"/{name}", name)
    for name in "abc":
        await client.send("GET", f"/{name}")
    assert [(await client.answer()).body for _ in "abc"] == [b"a", b"b", b"c"]


async def test_http_1_0_clients(legacy: Legacy, proxy: Inside, connect: Connect) -> None:
    async def chunks(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

    legacy.put("/a", "hello")
    legacy.on("GET", "/chunks", chunks)
    legacy.on("GET", "/errors", chunks)
    for target in ("/a", "/chunks"):
        client = connect(proxy)
        await client.send("GET", target, version="1.0")
        answer = await client.answer()
        assert (answer.body, answer["Transfer-Encoding"], answer["Connection"]) == (b"hello", None, "close")
        assert await client.closed() == b""
    client = connect(proxy)
    for _ in range(2):
        await client.send("GET", "/a", ("Connection", "keep-alive"), version="1.0")
        answer = await client.answer()
        assert (answer.body, answer["Connection"]) == (b"hello", "keep-alive")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_backend_that_is_not_there_is_502(legacy: Legacy, client: Client, method: str) -> None:
    await legacy.stop()
    answer = await client.request(method, "/a", body=None if method == "GET" else b"x")
    assert (answer.status, b"nothing reached the backend" in answer.body) == (502, True)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_backend_that_breaks_off_is_502_and_no_write_is_sent_twice(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, method: str
) -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.content()
        exchange.writer.close()

    proxy = await start_proxy(store={"wait": "50ms"})
    client = connect(proxy)
    legacy.on(method, "/a", breaks)
    answer = await client.request(method, "/a", body=None if method == "GET" else b"x")
    assert (answer.status, b'"maybe_applied": true' in answer.body) == (502, method != "GET")
    if method == "PUT":
        assert (await client.request("PUT", "/a", body=b"y")).status == 503  # the claim runs out by itself
    if method != "GET":
        assert len(legacy.seen(method)) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_backend_that_is_too_slow_is_504_and_its_write_stays_claimed(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, method: str
) -> None:
    """Rule 5: nobody knows whether the backend is still at work."""
    upstream = {"url": legacy.url, "timeout": "100ms"}
    proxy = await start_proxy(upstream, store={"wait": "50ms", "lease": "600ms"})
    client = connect(proxy)
    held = legacy.hold(method)
    answer = await client.request(method, "/a", body=None if method == "GET" else b"x")
    assert (answer.status, b'"maybe_applied": true' in answer.body) == (504, method != "GET")
    if method == "PUT":
        other = await client.request("PUT", "/a", body=b"y")
        assert (other.status, "Retry-After" in other) == (503, True)
        held.go.set()
        await eventually(lambda: legacy.resources.get("/a"))
        async with asyncio.timeout(5):
            while (await client.request("PUT", "/a", body=b"z")).status == 503:
                pass
        assert legacy.resources["/a"].content == b"z"


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateway_behind_us_that_gave_up_leaves_the_write_claimed(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, status: int
) -> None:
    """The backend behind it may still be at work."""

    async def gives_up(exchange: Exchange) -> None:
        await exchange.content()
        await exchange.answer(status, body=b"gave up")

    client = connect(await start_proxy(store={"wait": "50ms"}))
    legacy.on("PUT", "/a", gives_up)
    answer = await client.request("PUT", "/a", body=b"x")
    assert (answer.status, answer.body) == (status, b"gave up")
    assert (await client.request("PUT", "/a", body=b"y")).status == 503
    assert len(legacy.seen("PUT")) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_answer_that_breaks_off_never_looks_whole(
    legacy: Legacy, proxy: Inside, connect: Connect, framing: str
) -> None:
    async def breaks(exchange: Exchange) -> None:
        head = b"Content-Length: 4000000" if framing == "length" else b"Transfer-Encoding: chunked"
        body = b"x" * 100 if framing == "length" else b"64\r\n" + b"x" * 100 + b"\r\n"
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
        exchange.writer.close()

    legacy.on("GET", "/a", breaks)
    legacy.on("POST", "/a", breaks)
    for method in ("GET", "POST"):
        client = connect(proxy)
        await client.send(method, "/a")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            answer = await client.answer()
            assert answer.status == 502
            continue
        assert await client.closed() == b""


async def test_a_client_that_leaves_a_download_ends_it(legacy: Legacy, client: Client) -> None:
    ended = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        try:
            while True:
                await exchange.send(b"data: 1\n\n")
                await asyncio.sleep(0.01)
        except ConnectionError:
            ended.set()
            raise

    legacy.on("GET", "/events", endless)
    await client.send("GET", "/events")
    assert await read_chunk_after(await client.head(), client) == b"data: 1\n\n"
    client.close()
    await asyncio.wait_for(ended.wait(), 5)


async def read_chunk_after(_: object, client: Client) -> bytes:
    return await read_chunk(client.reader)


# Other kinds of upstream.


async def test_a_unix_socket_upstream(tmp_path: Path, start_proxy: StartProxy, connect: Connect) -> None:
    path = str(tmp_path / "s")
    backend = await Legacy().start(path=path)
    backend.put("/a", "hello")
    client = connect(await start_proxy(f"unix:{path}"))
    tag = str((await client.request("GET", "/a"))["ETag"])
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 204
    assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"lost")).status == 412
    assert backend.last("PUT")["Host"] == "example.org"
    await backend.stop()


async def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody vouches for, and a server's context with it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(cert), "-days", "1", "-subj", "/CN=backend"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return cert, context


async def test_an_https_upstream(tmp_path: Path, start_proxy: StartProxy, connect: Connect) -> None:
    cert, context = await certificate(tmp_path)
    backend = await Legacy().start(tls=context)
    backend.put("/a", "hello")
    url = f"https://127.0.0.1:{backend.address[1]}"
    distrustful = connect(await start_proxy(url))
    assert (await distrustful.request("GET", "/a")).status == 502
    for trust in ({"ca_file": str(cert)}, {"verify_tls": False}):
        client = connect(await start_proxy({"url": url, **trust}))
        tag = str((await client.request("GET", "/a"))["ETag"])
        assert (await client.request("PUT", "/a", ("If-Match", tag), body=b"hello")).status == 204
        assert (await client.request("PUT", "/a", ("If-Match", '"x"'), body=b"lost")).status == 412
    await backend.stop()


# Upgrades.


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Says everything twice, until it is told to stop."""
    socket = web.WebSocketResponse(protocols=["chat"])
    await socket.prepare(request)
    async for message in socket:
        if message.data == "stop":
            break
        if message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        else:
            await socket.send_str(message.data * 2)
    await socket.close(code=4000)
    return socket


@pytest.fixture
async def sockets() -> AsyncIterator[str]:
    """A WebSocket server."""
    app = web.Application()
    app.router.add_get("/chat", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_websocket_passes(sockets: str, start_proxy: StartProxy) -> None:
    proxy = await start_proxy(sockets)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{proxy.url}/chat", protocols=["chat"], max_msg_size=0) as socket:
            assert socket.protocol == "chat"
            await socket.send_str("a")
            assert await socket.receive_str(timeout=5) == "aa"
            big = bytes(3 << 20)
            await socket.send_bytes(big)
            assert await socket.receive_bytes(timeout=5) == big
            await socket.send_str("stop")
            assert (await socket.receive(timeout=5)).data == 4000
        async with session.get(f"{proxy.url}/chat") as plain:
            assert plain.status == 400  # the server's own words to who asks without Upgrade


async def test_an_upgrade_that_the_backend_declines_is_an_ordinary_answer(
    legacy: Legacy, client: Client
) -> None:
    legacy.put("/a", "no sockets here")
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    answer = await client.request("GET", "/a", *fields, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))
    assert (answer.status, answer.body) == (200, b"no sockets here")


@pytest.mark.parametrize("mode", ["off", "enforce"])
@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "websocket, h2c", "TLS/1.2"])
async def test_no_tunnel_for_another_kind_of_http(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, mode: str, protocol: str
) -> None:
    """Through one a client could write past every guard."""
    legacy.put("/a", "plain")
    client = connect(await start_proxy(defaults={"mode": mode}))
    fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", protocol),
        ("HTTP2-Settings", "AAMAAABk"),
    ]
    answer = await client.request("GET", "/a", *fields)
    assert (answer.status, answer.body, legacy.last()["Upgrade"]) == (200, b"plain", None)


async def test_an_upgrade_that_means_a_write_is_guarded(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("X-HTTP-Method-Override", "DELETE")]
    assert (await client.request("GET", "/a", *fields, ("If-Match", '"stale"'))).status == 412
    assert "DELETE" not in [one["X-HTTP-Method-Override"] for one in legacy.requests]


async def test_an_upgrade_is_no_way_around_the_guard(legacy: Legacy, client: Client) -> None:
    legacy.put("/a")
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("If-Match", '"stale"')]
    assert (await client.request("PUT", "/a", *fields, body=b"x")).status == 412
    assert legacy.seen("PUT") == []
