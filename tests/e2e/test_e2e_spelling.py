"""One name may stand for two resources: they share a claim, but never what is known of one of them."""

from __future__ import annotations

from support.legacy import Legacy
from support.proxies import Connect, StartProxy


async def test_a_version_is_believed_only_of_the_host_and_target_it_was_seen_under(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    """Two targets that many servers do not tell apart; this one does, and counts revisions for each."""
    legacy.put("/doc", "ours", etag='"3"')
    legacy.put("/doc;of=them", "theirs", etag='"5"')
    proxy = await start_proxy()
    client = connect(proxy)
    assert (await client.request("GET", "/doc"))["ETag"] == '"3"'
    await proxy.knows("/doc")

    refused = await client.request("PUT", "/doc;of=them", ("If-Match", '"3"'), body=b"over theirs")
    assert refused.status == 412
    passed = await client.request("PUT", "/doc;of=them", ("If-Match", '"5"'), body=b"theirs anew")
    assert passed.status < 300
    assert legacy.resources["/doc;of=them"].content == b"theirs anew"


async def test_an_empty_segment_does_not_lead_past_a_route(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    """A backend may merge the slashes, and so reach what the route guards."""
    legacy.put("/api/1")
    routes = [{"match": "/api/{id}", "require": ["PUT"]}]
    client = connect(await start_proxy(routes=routes))
    assert (await client.request("PUT", "//api/1", body=b"new")).status == 400
    assert (await client.request("PUT", "/api/1", body=b"new")).status == 428
    assert legacy.requests == []
