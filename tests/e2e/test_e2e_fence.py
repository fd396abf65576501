"""`fence: true`: a number that grows with every write of a resource, for backends that check it."""

from __future__ import annotations

from support.legacy import Legacy
from support.proxies import Connect, StartProxy

NAME = "X-Precondition-Fence"


async def test_the_fence_grows_with_every_write(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/doc")
    client = connect(await start_proxy(defaults={"fence": True}))
    for method in ("PUT", "POST", "PATCH", "PUT"):
        await client.request(method, "/doc", (NAME, "99999999999999999999"), body=b"new")
    writes = [sent for sent in legacy.requests if sent.method != "GET"]
    fences = [int(sent[NAME]) for sent in writes]
    assert fences == sorted(set(fences))  # grows, and is never the client's own
    assert len(fences) == 4
    assert fences[-1] < 99999999999999999999


async def test_without_the_option_the_field_is_the_clients(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/doc")
    client = connect(await start_proxy())
    await client.request("PUT", "/doc", (NAME, "7"), body=b"new")
    assert next(sent for sent in legacy.requests if sent.method == "PUT")[NAME] == "7"
