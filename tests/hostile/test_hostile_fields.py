"""Fields: nobody disarms a condition, forges who is asking, or writes into what is not theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.raw_client import Seen, responses
from support.recording_backend import OK, Heard, RecordingBackend
from support.rows import Connect, Proxy, request

EMPTY = b"Content-Length: 0"
CLOSE = b"Connection: close"


async def one(app: Any, connect: Connect, first: bytes, *fields: bytes, body: bytes = b"") -> Seen:
    client = await connect(app)
    await client.send(request(first, *fields, CLOSE, body=body))
    return responses(await client.rest(), [first.split()[0].decode()])[-1]


def writes(backend: RecordingBackend) -> list[str]:
    return [heard.line for heard in backend.heard if heard.method not in {"GET", "HEAD"}]


# Conditions that do not hold ("v1" is current), whatever is tried to get round them.
DISARMED = [
    (b"PUT /x", b"Connection: If-Match", b'If-Match: "old"'),
    (b"PUT /x", b'If-Match: "old"', b"Connection: keep-alive, if-match"),
    (b"PUT /x", b"Connection: close, IF-MATCH", b'If-Match: "old"'),
    (b"DELETE /x", b"Connection: If-None-Match", b"If-None-Match: *"),
    (b"PUT /x", b'If-Match: "old"', b'If_Match: "v1"'),
    (b"PUT /x", b'if-match: "old"'),
    (b"PUT /x", b'IF-MATCH: "old"'),
    (b"PUT /x", b'If-Match: "old"', b'If-Match: "older"'),
    (b"PUT /x", b'If-Match: "old"', b'X-If-Match: "v1"'),
    (b"PUT /x", b'If-Match: "old"', b"If-None-Match: *"),
    (b"PUT /x", b'If-Match: "old"', b"Expect: 100-continue"),
    (b"PUT /x", b'If-Match: W/"v1"'),
    (b"PUT /x", b'If-Match: "v1', b'If-Match: "'),
    (b"PUT /x", b"If-Match: v1"),
    (b"PUT /x", b"If-Match: "),
    (b"PUT /x", b'If-Match: "old" "v1"'),
    (b"PUT /x", b'If-Match: "v1", junk'),
    (b"PUT /x", b'If-Match: *, "v1"'),
    (b"PUT /x", b"If-Unmodified-Since: yesterday"),
    (b"PUT /x", b"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", b"If-Unmodified-Since: x"),
    (b"PUT /x", b'If-Match: "old"', b"Upgrade: websocket", b"Connection: Upgrade"),
    (b"PUT /x", b'If-Match: "old"', b"Upgrade: h2c", b"Connection: Upgrade"),
    (b"PUT /x", b'If-Match: "old"', b"Cache-Control: no-cache", b"Pragma: no-cache"),
    (b"PUT /x", b'If-Match: "old"', b"X-HTTP-Method-Override: GET"),
    (b"PUT /x", b'If-Match: "old"', b"X-HTTP-Method-Override: OPTIONS"),
    (b"POST /x", b'If-Match: "old"', b"X-HTTP-Method-Override: PUT"),
    (b"POST /x", b'If-Match: "old"', b"X-HTTP-Method: GET"),
    (b"POST /x", b'If-Match: "old"'),
]  # fmt: skip


@pytest.mark.parametrize("row", DISARMED, ids=[b" + ".join(row).decode("latin-1") for row in DISARMED])
async def test_nothing_disarms_a_condition(
    row: tuple[bytes, ...], backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    seen = await one(await proxy(backend.url), connect, *row, EMPTY)
    assert seen.status in {400, 412}
    assert writes(backend) == []


# A read that a backend may take for a write is judged as that write.
OVERRIDES = [
    (b"X-HTTP-Method-Override: DELETE",),
    (b"X-HTTP-Method: PUT",),
    (b"x-method-override: patch",),
    (b"X-HTTP-Method-Override: GET", b"X-HTTP-Method-Override: DELETE"),
    (b"X-HTTP-Method-Override: GET", b"X-Method-Override: DELETE"),
    (b"X-HTTP-Method-Override: GET, DELETE",),
    (b"X-HTTP-Method-Override: DELETE", b"Upgrade: websocket", b"Connection: Upgrade"),
    (b"X-HTTP-Method-Override: DELETE", b"Connection: X-HTTP-Method-Override"),
]


@pytest.mark.parametrize("fields", OVERRIDES, ids=[b" + ".join(row).decode() for row in OVERRIDES])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
async def test_the_method_that_a_field_names_is_judged(
    method: bytes, fields: tuple[bytes, ...], backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url, defaults={"require": ["PUT", "PATCH", "DELETE", "POST"]})
    seen = await one(app, connect, method + b" /x", *fields, b'If-Match: "old"')
    assert seen.status == 412
    assert all(heard.one("x-http-method-override") is None for heard in backend.heard)


@pytest.mark.parametrize("named", [b"POST", b"LOCK"])
async def test_an_override_does_not_free_a_write_from_what_its_route_requires(
    named: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url, defaults={"require": ["PUT"]})
    seen = await one(app, connect, b"PUT /x", b"X-HTTP-Method-Override: " + named, EMPTY)
    assert seen.status == 428
    assert backend.heard == []


async def test_an_override_that_is_stripped_means_nothing(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    app = await proxy(backend.url, method_override="strip")
    seen = await one(app, connect, b"GET /x", b"X-HTTP-Method-Override: DELETE", b"X_HTTP_Method: PUT")
    assert seen.status == 200
    assert [name for name, _ in backend.heard[0].fields if "method" in name] == []


DROPPED = [
    b"Connection: x-a\r\nX-A: 1",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic c2VjcmV0",
    b"TE: trailers, gzip",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b'If_Match: "v1"',
    b"if_none_match: *",
    b"If_Unmodified-Since: x",
    b"X_HTTP_METHOD_OVERRIDE: DELETE",
    b"X_Forwarded_For: 1.2.3.4",
    b"X_Forwarded-Proto: https",
    b"Transfer_Encoding: chunked",
    b"Content_Length: 7",
    b"Forwarded: for=1.2.3.4",
    b"X-Forwarded-Server: x",
    b"X-Forwarded-Prefix: /x",
    b"X-Forwarded-Port: 1",
    b"X-Real-IP: 1.2.3.4",
]


@pytest.mark.parametrize("field", DROPPED)
async def test_fields_that_do_not_go_on(
    field: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    seen = await one(await proxy(backend.url), connect, b"POST /x", field, EMPTY)
    assert seen.status == 200
    name = field.split(b"\r\n")[-1].partition(b":")[0].decode().lower()
    assert backend.heard[0].all(name) == []


async def test_connection_takes_nothing_away_that_the_request_rests_on(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    fields = (
        b"Connection: host, content-length, authorization, cookie",
        b"Authorization: Basic YTpi",
        b"Cookie: s=1",
    )
    await one(await proxy(backend.url), connect, b"POST /x", *fields, b"Content-Length: 3", body=b"abc")
    (heard,) = backend.heard
    assert (heard.one("host"), heard.one("authorization"), heard.one("cookie")) == ("a", "Basic YTpi", "s=1")
    assert (heard.body, heard.complete) == (b"abc", True)


FORGED = (
    b"X-Forwarded-For: 1.2.3.4",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil",
    b"Forwarded: for=x",
)


async def test_what_strangers_say_of_others_is_not_believed(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    await one(await proxy(backend.url), connect, b"GET /x", *FORGED)
    (heard,) = backend.heard
    assert heard.all("x-forwarded-for") == ["127.0.0.1"]
    assert heard.all("x-forwarded-proto") == ["http"]
    assert heard.all("x-forwarded-host") == ["a"]
    assert heard.all("forwarded") == []


async def test_what_a_trusted_proxy_says_is_believed_and_extended(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    await one(await proxy(backend.url, trusted_proxies=["127.0.0.0/8"]), connect, b"GET /x", *FORGED)
    (heard,) = backend.heard
    assert heard.all("x-forwarded-for") == ["1.2.3.4, 127.0.0.1"]
    assert heard.all("x-forwarded-proto") == ["https"]
    assert heard.all("x-forwarded-host") == ["evil"]


IDS = [b"a\xffb", b"x" * 129, b"", b"a\tb"]


@pytest.mark.parametrize("given", IDS)
async def test_an_unfit_request_id_is_replaced_everywhere(
    given: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    seen = await one(
        await proxy(backend.url), connect, b"PUT /x", b"X-Request-ID: " + given, b"If-Match: x", EMPTY
    )
    own = seen.one("x-request-id")
    assert own is not None
    assert len(own) == 32
    again = await one(await proxy(backend.url), connect, b"GET /x", b"X-Request-ID: " + given)
    assert again.status == 200
    assert [len(heard.one("x-request-id") or "") for heard in backend.heard] == [32]


async def test_two_request_ids_become_one(backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    await one(await proxy(backend.url), connect, b"GET /x", b"X-Request-ID: a", b"X-Request-ID: b")
    assert backend.heard[0].all("x-request-id") == ["a"]


REFLECTED = [
    (b"PUT /x", b'If-Match: "<script>alert(1)</script>"'),
    (b"PUT /x", b'If-Match: "a%0d%0aSet-Cookie:x=1"'),
    (b"PUT /x", b'If-Match: "\xc3\xa9\xff"'),
    (b"PUT /x", b"If-Match: <script>"),
    (b"GET /%0d%0aSet-Cookie:x=1",),
    (b"PUT /x", b"Expect: <script>", EMPTY),
    (b"PUT /x", b"X-Request-ID: a\"b<c>&'", b"If-Match: x"),
]


@pytest.mark.parametrize("accept", [b"application/json", b"text/html", b"text/plain"])
@pytest.mark.parametrize("row", REFLECTED, ids=[row[-1].decode("latin-1") for row in REFLECTED])
async def test_nothing_that_is_sent_becomes_a_field_or_markup(
    row: tuple[bytes, ...], accept: bytes, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    seen = await one(await proxy(backend.url), connect, *row, b"Accept: " + accept)
    assert seen.status in {400, 412, 417}
    assert seen.all("set-cookie") == []
    if seen.one(
        "content-type",
    ) and "html" in (seen.one("content-type") or ""):
        assert b"<script" not in seen.body
    elif "json" in (seen.one("content-type") or ""):
        json.loads(seen.body)


async def test_a_refusal_ends_no_line_of_the_log(
    backend: RecordingBackend, proxy: Proxy, connect: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever is in the request, its line is one JSON object, and holds no credentials."""
    app = await proxy(backend.url, log={"access": True})
    secrets = (b"Authorization: Bearer s3cr3t", b"Cookie: sid=s3cr3t", b"Proxy-Authorization: Basic s3cr3t")
    await one(
        app,
        connect,
        b'GET /a"b{}?token=s3cr3t',
        *secrets,
        b'X-Request-ID: a","status":1,"b":"',
    )
    await one(app, connect, b"PUT http://u:s3cr3t@a/x", *secrets, EMPTY)
    await one(app, connect, b"PUT /x", *secrets, b'If-Match: "s3cr3t', EMPTY)
    await app.stop()
    said = capfd.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["status"] for line in lines] == [200, 400, 400]
    assert "s3cr3t" not in said.out + said.err


async def test_a_probe_carries_credentials_and_nothing_else_of_the_request(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    fields = [b"Authorization: Bearer t", b"Cookie: s=1", b"Accept: text/html", b"Accept-Language: de"]
    fields += [
        b'If-None-Match: "x"',
        b"Range: bytes=0-1",
        b"Prefer: x",
        b"Idempotency-Key: 1",
        b"Content-Type: a/b",
    ]
    await one(await proxy(backend.url), connect, b"PUT /x", b'If-Match: "old"', *fields, EMPTY)
    (probe,) = backend.heard
    assert (probe.line, probe.one("authorization"), probe.one("cookie")) == ("GET /x", "Bearer t", "s=1")
    assert (probe.one("accept"), probe.one("accept-language")) == ("text/html", "de")
    for name in (
        "if-match",
        "if-none-match",
        "range",
        "prefer",
        "idempotency-key",
        "content-type",
        "content-length",
    ):
        assert probe.all(name) == []


async def test_a_refusal_tells_nobody_what_they_could_not_get(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    def respond(heard: Heard) -> bytes:
        if heard.one("authorization") == "Bearer good":
            return OK.replace(b'"v1"', b'"private"')
        return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"

    backend.respond = respond
    app = await proxy(backend.url)
    await one(app, connect, b"GET /x", b"Authorization: Bearer good")
    seen = await one(app, connect, b"PUT /x", b'If-Match: "guess"', b"Prefer: return=representation", EMPTY)
    assert (seen.status, seen.all("etag"), b"private" in seen.body) == (403, [], False)
    seen = await one(app, connect, b"PUT /x", b"Authorization: Bearer good", b'If-Match: "guess"', EMPTY)
    assert (seen.status, seen.one("etag")) == (412, '"private"')
    assert writes(backend) == []
