"""Credentials that cover the method: a GET with those of a PUT is denied, so the backend cannot be asked."""

from __future__ import annotations

import itertools

import pytest
from support.legacy import Exchange, Legacy
from support.wire_client import Client

CREDENTIALS = [
    'Digest username="u", uri="/a", response="of {}"',
    "AWS4-HMAC-SHA256 Credential=key, SignedHeaders=host, Signature=of-{}",
]


def strict(legacy: Legacy, *, tells: bool = True) -> None:
    """Makes the backend check that credentials are for the request's own method; it tells tags of writes."""
    numbers = itertools.count(1)
    state = {"tag": '"v0"'}

    async def answer(exchange: Exchange) -> None:
        method = exchange.request.method
        content = await exchange.content()
        if not (exchange.request["Authorization"] or "").rstrip('"').endswith(method):
            await exchange.answer(401, ("WWW-Authenticate", "Digest"), body=b"not for this")
        elif method == "PUT":
            state["tag"] = f'"v{next(numbers)}"'
            await exchange.answer(200, *[("ETag", state["tag"])][: int(tells)], body=content)
        else:
            await exchange.answer(200, ("ETag", state["tag"]), body=b"content")

    for method in ("GET", "HEAD", "PUT"):
        legacy.on(method, "/a", answer)


@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_what_passed_the_proxy_is_enough_to_refuse(
    legacy: Legacy, client: Client, credentials: str
) -> None:
    strict(legacy)
    allowed = {method: ("Authorization", credentials.format(method)) for method in ("GET", "PUT")}
    tag = str((await client.request("GET", "/a", allowed["GET"]))["ETag"])
    for _ in range(3):
        written = await client.request("PUT", "/a", allowed["PUT"], ("If-Match", tag), body=b"new")
        assert written.status == 200
        refused = await client.request("PUT", "/a", allowed["PUT"], ("If-Match", tag), body=b"lost")
        # The record is not the caller's to see: nobody has checked the credentials.
        assert (refused.status, refused["ETag"]) == (412, None)
        tag = str(written["ETag"])
    exists = await client.request("PUT", "/a", allowed["PUT"], ("If-None-Match", "*"), body=b"lost")
    assert exists.status == 412
    assert len([sent for sent in legacy.requests if sent.method == "PUT"]) == 3


@pytest.mark.parametrize("tells", [True, False])
async def test_what_nobody_knows_is_the_backends_to_say(legacy: Legacy, client: Client, tells: bool) -> None:
    strict(legacy, tells=tells)
    put = ("Authorization", CREDENTIALS[0].format("PUT"))
    assert (await client.request("PUT", "/a", put, ("If-Match", '"v0"'), body=b"new")).status == 401
    assert (await client.request("PUT", "/a", put, body=b"new")).status == 200
    told = await client.request("PUT", "/a", put, ("If-Match", '"v1"'), body=b"next")
    assert told.status == (200 if tells else 401)


async def test_other_credentials_are_told_what_the_backend_says(legacy: Legacy, client: Client) -> None:
    strict(legacy)
    reader = ("Authorization", "Basic GET")
    tag = str((await client.request("GET", "/a", reader))["ETag"])
    stale = tag.replace("v0", "v9")
    writer = ("Authorization", "Basic PUT")
    assert (await client.request("PUT", "/a", writer, ("If-Match", stale), body=b"lost")).status == 401


async def test_clients_of_s3_are_refused_in_their_own_form(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", etag='"x"')
    signed = ("Authorization", CREDENTIALS[1].format("PUT"))
    refused = await client.request("PUT", "/a", signed, ("If-Match", '"y"'), body=b"lost")
    assert (refused.status, refused["Content-Type"], refused["ETag"]) == (412, "application/xml", '"x"')
    assert b"<Code>PreconditionFailed</Code>" in refused.body
