"""Writing through the proxy: what reaches the backend, and what is known afterwards."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.waiting import eventually
from support.wire_client import Client, request

from proxy.rules.versions import UNKNOWN

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
UNSAFE = ("PUT", "PATCH", "DELETE", "POST", "PROPPATCH", "LOCK", "UNLINK")


async def tag_of(client: Client, target: str = "/a") -> str:
    """The tag that a GET shows."""
    return (await client.request("GET", target))["ETag"] or ""


# Conditions.


@pytest.mark.parametrize("method", UNSAFE)
async def test_a_current_tag_passes_and_an_old_one_does_not(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect, method: str
) -> None:
    legacy.put("/a", "one")
    client = connect(await start_proxy(store=store))
    old = await tag_of(client)
    legacy.put("/a", "two")
    current = await tag_of(client)
    refused = await client.request(method, "/a", ("If-Match", old), body=b"new")
    assert (refused.status, refused["ETag"], legacy.seen(method)) == (412, current, [])
    passed = await client.request(method, "/a", ("If-Match", current), body=b"new")
    assert 200 <= passed.status < 300
    (sent,) = legacy.seen(method)
    assert (sent.body, sent["If-Match"]) == (b"new", None)  # the backend does not know our tag


async def test_a_backends_own_tag_passes_through_both_ways(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", etag='"own"')
    assert (await client.request("PUT", "/a", ("If-Match", '"own"'), body=b"x")).status == 204
    assert legacy.last("PUT")["If-Match"] == '"own"'


async def test_a_resource_is_made_once(legacy: Legacy, client: Client) -> None:
    fields = ("If-None-Match", "*")
    assert (await client.request("PUT", "/new", fields, body=b"first")).status == 201
    answer = await client.request("PUT", "/new", fields, body=b"second")
    assert (answer.status, legacy.resources["/new"].content) == (412, b"first")


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PROPPATCH"])
@pytest.mark.parametrize("asked", [("If-Match", "*"), ("If-Match", '"x"'), ("If-Unmodified-Since", MODIFIED)])
async def test_what_is_not_there_is_the_backends_404(
    legacy: Legacy, client: Client, method: str, asked: tuple[str, str]
) -> None:
    answer = await client.request(method, "/none", asked, body=b"x")
    assert (answer.status, answer.body, legacy.seen(method)) == (404, b"not here", [])


# Twenty at once.


async def race(proxies: list[tuple[str, int]], legacy: Legacy, tag: str) -> list[int]:
    """Twenty PUTs with the same current tag; the statuses, sorted."""
    held = legacy.hold("PUT")
    puts = [
        asyncio.ensure_future(
            request(proxies[number % len(proxies)], "PUT", "/a", ("If-Match", tag), body=b"%d" % number)
        )
        for number in range(20)
    ]
    await held.arrived.acquire()
    held.go.set()
    return sorted(answer.status for answer in await asyncio.gather(*puts))


async def test_of_twenty_puts_one_reaches_the_backend(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    proxies = [await start_proxy(store=store) for _ in range(1 if store == "memory" else 2)]
    tag = await tag_of(connect(proxies[0]))
    assert await race([proxy.address for proxy in proxies], legacy, tag) == [204] + 19 * [412]
    assert len(legacy.seen("PUT")) == 1


async def test_an_unconditional_write_does_not_slip_in_between(
    legacy: Legacy, proxy: Inside, connect: Connect
) -> None:
    """Rule 1: it waits for the claim of the conditional one, and the tag of before is old after it."""
    legacy.put("/a", "old")
    first, second, third = connect(proxy), connect(proxy), connect(proxy)
    tag = await tag_of(first)
    held = legacy.hold("PUT")
    await first.send("PUT", "/a", body=b"unconditional")
    await held.arrived.acquire()
    await second.send("PUT", "/a", ("If-Match", tag), body=b"conditional")
    await third.send("GET", "/a")
    assert (await third.answer()).body == b"old"  # reads wait for nobody
    held.go.set()
    assert (await first.answer()).status == 204
    assert (await second.answer()).status == 412
    assert legacy.resources["/a"].content == b"unconditional"


@pytest.mark.parametrize("creates", [True, False])
async def test_of_twenty_creators_one_wins_where_put_creates(
    store: str, legacy: Legacy, start_proxy: StartProxy, creates: bool
) -> None:
    proxy = await start_proxy(store=store)
    legacy.creates = creates
    fields = ("If-None-Match", "*")
    puts = (request(proxy.address, "PUT", "/new", fields, body=b"%d" % number) for number in range(20))
    statuses = sorted(answer.status for answer in await asyncio.gather(*puts))
    assert statuses == ([201] + 19 * [412] if creates else 20 * [404])


# After the write.


async def test_a_put_that_was_stored_as_sent_is_answered_with_the_new_tag(
    legacy: Legacy, client: Client
) -> None:
    legacy.put("/a", "old")
    put = await client.request("PUT", "/a", ("If-Match", await tag_of(client)), body=b"new")
    assert (put.status, put["ETag"]) == (204, await tag_of(client))
    assert legacy.seen("GET")[-1]["If-Match"] is None
    again = await client.request("PUT", "/a", ("If-Match", str(put["ETag"])), body=b"newer")
    assert again.status == 204


@pytest.mark.parametrize(
    ("stores", "told"), [(bytes, True), (bytes.upper, False), (lambda content: content + b"x", False)]
)
async def test_content_that_waited_in_a_file_is_compared_too(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, stores: Callable[[bytes], bytes], told: bool
) -> None:
    legacy.put("/a", "old")
    legacy.stores = stores
    client = connect(await start_proxy(limits={"memory_body": "1KiB"}))
    put = await client.request("PUT", "/a", body=b"new" * 1000)
    assert (put.status, put["ETag"]) == (204, await tag_of(client) if told else None)


@pytest.mark.parametrize(("choice", "told"), [("strict", False), ("always", True)])
async def test_a_put_that_was_stored_otherwise_is_told_the_tag_only_by_choice(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, choice: str, told: bool
) -> None:
    """RFC 9110 section 9.3.4."""
    legacy.put("/a", "old")
    legacy.stores = bytes.upper
    client = connect(await start_proxy(defaults={"etag_on_write": choice}))
    put = await client.request("PUT", "/a", body=b"new")
    assert (put.status, put["ETag"]) == (204, await tag_of(client) if told else None)


async def test_a_patch_is_told_the_tag(legacy: Legacy, client: Client) -> None:
    legacy.put("/a", "old")
    patch = await client.request("PATCH", "/a", body=b"+")
    assert (patch.status, patch["ETag"]) == (204, await tag_of(client))


async def test_a_tag_in_a_writes_response_that_names_nothing_current_is_taken_away(
    legacy: Legacy, client: Client
) -> None:
    async def put(exchange: Exchange) -> None:
        legacy.put("/a", await exchange.content() + b"!", etag='"as-stored"')
        await exchange.answer(200, ("ETag", '"as-sent"'))

    legacy.on("PUT", "/a", put)
    assert (await client.request("PUT", "/a", body=b"new"))["ETag"] is None


async def test_a_tag_of_what_a_get_shows_none_of_is_the_backends_own_affair(
    legacy: Legacy, client: Client
) -> None:
    """S3 gives a part of an upload a tag that completing the upload must name; a GET lists the parts."""

    async def put(exchange: Exchange) -> None:
        await exchange.content()
        await exchange.answer(200, ("ETag", '"of-the-part"'))

    legacy.put("/a?partNumber=1", "<ListPartsResult/>")
    legacy.on("PUT", "/a?partNumber=1", put)
    assert (await client.request("PUT", "/a?partNumber=1", body=b"part"))["ETag"] == '"of-the-part"'


@pytest.mark.parametrize(
    ("after_write", "methods"),
    [("reread", ["PUT", "GET", "PUT"]), ("forget", ["PUT", "GET", "PUT"]), ("response", ["PUT", "PUT"])],
)
async def test_where_the_version_after_a_write_comes_from(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, after_write: str, methods: list[str]
) -> None:
    """reread: GET at once. forget: the next writer asks. response: nobody asks."""
    numbers = itertools.count()

    async def put(exchange: Exchange) -> None:
        tag = f'"v{next(numbers)}"'
        legacy.put("/a", await exchange.content(), etag=tag)
        await exchange.answer(200, ("ETag", tag))

    legacy.on("PUT", "/a", put)
    proxy = await start_proxy(defaults={"after_write": after_write})
    client = connect(proxy)
    await client.request("PUT", "/a", body=b"new")
    assert (await proxy.known("/a") is UNKNOWN) == (after_write == "forget")
    assert (await client.request("PUT", "/a", ("If-Match", '"v0"'), body=b"newer")).status == 200
    assert [one.method for one in legacy.requests][: len(methods)] == methods


async def test_a_failed_write_is_relayed_and_leaves_the_version_to_be_asked_for(
    legacy: Legacy, proxy: Inside, client: Client
) -> None:
    async def fails(exchange: Exchange) -> None:
        await exchange.content()
        legacy.put("/a", "changed all the same")
        await exchange.answer(500, ("X-Why", "oh"), body=b"sorry")

    legacy.put("/a", "old")
    old = await tag_of(client)
    legacy.on("PUT", "/a", fails)
    answer = await client.request("PUT", "/a", ("If-Match", old), body=b"new")
    assert (answer.status, answer["X-Why"], answer.body) == (500, "oh", b"sorry")
    assert await proxy.known("/a") is UNKNOWN
    assert (await client.request("PATCH", "/a", ("If-Match", old), body=b"new")).status == 412


@pytest.mark.parametrize("conditional", [False, True])
async def test_a_post_makes_its_target_unknown(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect, conditional: bool
) -> None:
    async def post(exchange: Exchange) -> None:
        await exchange.content()
        legacy.put("/a", "posted")
        await exchange.answer(200)

    legacy.put("/a", "old")
    legacy.on("POST", "/a", post)
    proxy = await start_proxy(store=store)
    client = connect(proxy)
    old = await tag_of(client)
    await proxy.knows("/a")
    fields = [("If-Match", old)] if conditional else []
    assert (await client.request("POST", "/a", *fields, body=b"x")).status == 200
    assert (await client.request("PUT", "/a", ("If-Match", old), body=b"lost")).status == 412
    assert legacy.resources["/a"].content == b"posted"


async def test_a_post_under_way_lets_nothing_be_recorded(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a", "old")
    proxy = await start_proxy(store=store)
    client, other = connect(proxy), connect(proxy)
    held = legacy.hold("POST")
    await other.send("POST", "/a", body=b"x")
    await held.arrived.acquire()
    old = await tag_of(client)
    legacy.put("/a", "posted")  # what the POST does
    held.go.set()
    assert (await other.answer()).status == 200
    assert (await client.request("PUT", "/a", ("If-Match", old), body=b"lost")).status == 412


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("value", ["/b", "b", "http://example.org/b", "//example.org/b"])
async def test_what_a_response_names_changed_too(
    legacy: Legacy, proxy: Inside, client: Client, method: str, field: str, value: str
) -> None:
    """RFC 9111 section 4.4."""

    async def write(exchange: Exchange) -> None:
        await exchange.content()
        legacy.put("/b", "changed")
        await exchange.answer(201, (field, value))

    legacy.put("/b", "old")
    legacy.on(method, "/a", write)
    old = await tag_of(client, "/b")
    await proxy.knows("/b")
    await client.request(method, "/a", body=b"x")
    assert (await client.request("PUT", "/b", ("If-Match", old), body=b"lost")).status == 412


async def test_another_origins_location_is_not_ours(legacy: Legacy, proxy: Inside, client: Client) -> None:
    async def post(exchange: Exchange) -> None:
        await exchange.content()
        await exchange.answer(201, ("Location", "http://other.example/b"))

    legacy.put("/b", "old")
    legacy.on("POST", "/a", post)
    await tag_of(client, "/b")
    await proxy.knows("/b")
    await client.request("POST", "/a", body=b"x")
    assert await proxy.known("/b") is not UNKNOWN


async def test_what_a_route_invalidates_changed_too(
    store: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    routes = [{"match": "/users/{id}", "invalidates": ["/users", "/pages/{id}"]}]
    proxy = await start_proxy(store=store, routes=routes)
    client = connect(proxy)
    for target in ("/users", "/pages/7", "/pages/8"):
        legacy.put(target, "old")
        await tag_of(client, target)
        await proxy.knows(target)
    await client.request("PUT", "/users/7", body=b"x")
    unknown = [await proxy.known(target) is UNKNOWN for target in ("/users", "/pages/7", "/pages/8")]
    assert unknown == [True, True, False]


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
async def test_the_other_end_of_a_move_is_written_too(
    legacy: Legacy, proxy: Inside, client: Client, connect: Connect, method: str
) -> None:
    async def move(exchange: Exchange) -> None:
        await started(exchange)
        legacy.put("/b", legacy.resources["/a"].content)
        await exchange.answer(204)

    arrived, go = asyncio.Event(), asyncio.Event()

    async def started(_: Exchange) -> None:
        arrived.set()
        await go.wait()

    legacy.put("/a", "a")
    legacy.put("/b", "b")
    legacy.on(method, "/a", move)
    other = connect(proxy)
    old = await tag_of(client, "/b")
    await proxy.knows("/b")
    fields = [("Destination", "http://example.org/b"), ("If-Match", await tag_of(client, "/a"))]
    await client.send(method, "/a", *fields)
    await arrived.wait()
    await other.send("PUT", "/b", ("If-Match", old), body=b"lost")  # waits for the claim on /b
    go.set()
    assert (await client.answer()).status == 204
    assert (await other.answer()).status == 412
    assert legacy.resources["/b"].content == b"a"


@pytest.mark.parametrize("destination", ["/b", "http://example.org/b", "https://front.example/b", "/x/../b"])
async def test_the_other_end_of_an_unconditional_move_is_unknown_afterwards(
    legacy: Legacy, proxy: Inside, client: Client, destination: str
) -> None:
    async def move(exchange: Exchange) -> None:
        legacy.put("/b", "moved")
        await exchange.answer(204)

    legacy.put("/a")
    legacy.put("/b", "old")
    legacy.on("MOVE", "/a", move)
    old = await tag_of(client, "/b")
    await proxy.knows("/b")
    assert (await client.request("MOVE", "/a", ("Destination", destination))).status == 204
    assert (await client.request("PUT", "/b", ("If-Match", old), body=b"lost")).status == 412


async def test_a_move_onto_itself_waits_for_nobody(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(store={"wait": "100ms"}))
    legacy.put("/a")
    fields = [("If-Match", "*"), ("Destination", "http://example.org/./a")]
    assert (await client.request("MOVE", "/a", *fields)).status == 204


# Changes behind the proxy.


async def test_a_stale_record_never_refuses_anybody(legacy: Legacy, proxy: Inside, client: Client) -> None:
    """Rule 7: a mismatch is asked about."""
    legacy.put("/a", "old", etag='"v0"')
    await tag_of(client)
    await proxy.knows("/a")
    legacy.put("/a", "changed behind the proxy", etag='"v1"')
    assert (await client.request("PUT", "/a", ("If-Match", '"v1"'), body=b"new")).status == 204


@pytest.mark.parametrize(
    ("verify", "statuses"), [("always", [412, 412]), ("auto", [204, 412]), ("never", [204, 204])]
)
async def test_verify_says_how_far_the_record_is_believed(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, verify: str, statuses: list[int]
) -> None:
    """The first write meets an unnoticed change, the second one comes after a change was noticed."""
    proxy = await start_proxy(defaults={"verify": verify})
    client = connect(proxy)
    seen = []
    for target in ("/unnoticed", "/noticed"):
        legacy.put(target, "old", etag='"v0"')
        await tag_of(client, target)
        await proxy.knows(target)
        if target == "/noticed":
            legacy.put("/other", "old")
            await tag_of(client, "/other")
            await proxy.knows("/other")
            legacy.put("/other", "changed behind the proxy")
            await tag_of(client, "/other")
            await eventually(lambda: proxy.count("precondition_changes_behind_total") or verify == "never")
        legacy.put(target, "changed behind the proxy", etag='"v1"')
        seen.append((await client.request("PUT", target, ("If-Match", '"v0"'), body=b"new")).status)
    assert seen == statuses


async def test_never_refuses_by_the_record_alone(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy(defaults={"verify": "never"})
    client = connect(proxy)
    legacy.put("/a", "old", etag='"v0"')
    await tag_of(client)
    await proxy.knows("/a")
    legacy.requests.clear()
    answer = await client.request("PUT", "/a", ("If-Match", '"v1"'), body=b"new")
    assert (answer.status, answer["ETag"], legacy.requests) == (412, None, [])


# Dates.


async def test_a_date_that_two_versions_share_protects_nothing(legacy: Legacy, client: Client) -> None:
    """RFC 9110 section 8.8.2.2."""
    legacy.put("/a", "old", last_modified=MODIFIED)
    legacy.stamps = lambda _: (None, MODIFIED)
    asked = ("If-Unmodified-Since", MODIFIED)
    await tag_of(client)
    assert (await client.request("PUT", "/a", asked, body=b"new")).status == 204
    answer = await client.request("PUT", "/a", asked, body=b"lost")
    assert (answer.status, legacy.resources["/a"].content) == (412, b"new")


# Modes.


async def test_report_counts_and_forwards(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    proxy = await start_proxy(defaults={"mode": "report", "require": ["PUT"]})
    client = connect(proxy)
    legacy.put("/a", "old")
    for fields in ([("If-Match", '"x"')], [("If-Match", "junk")], []):
        assert (await client.request("PUT", "/a", *fields, body=b"new")).status == 204
    assert len(legacy.seen("PUT")) == 3
    assert (await client.request("GET", "/a", ("If-Match", '"x"'))).status == 200
    reported = {
        reason: proxy.count("precondition_outcomes_total", outcome="reported", reason=reason)
        for reason in ("stale_tag", "malformed", "required")
    }
    assert reported == {"stale_tag": 2, "malformed": 1, "required": 1}


async def test_a_method_that_is_not_guarded_takes_no_claim_without_conditions(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy(defaults={"guard": []})
    legacy.put("/a", "old")
    held = legacy.hold("PUT")
    first, second = connect(proxy), connect(proxy)
    await first.send("PUT", "/a", body=b"1")
    await second.send("PUT", "/a", body=b"2")
    for _ in range(2):
        await asyncio.wait_for(held.arrived.acquire(), 5)  # both at once
    held.go.set()
    assert {(await first.answer()).status, (await second.answer()).status} == {204}


# Clients that leave.


async def test_a_write_whose_client_left_is_finished_and_committed(
    legacy: Legacy, proxy: Inside, client: Client, connect: Connect
) -> None:
    legacy.put("/a", "old")
    held = legacy.hold("PUT")
    await client.send("PUT", "/a", ("If-Match", await tag_of(client)), body=b"new")
    await held.arrived.acquire()
    client.close()
    held.go.set()
    await proxy.knows("/a")
    legacy.requests.clear()
    other = connect(proxy)
    assert (await other.request("PUT", "/a", ("If-Match", await tag_of(other)), body=b"x")).status == 204
    assert legacy.requests[1].method == "PUT"  # without a probe: what the first one left was recorded


async def test_a_client_that_leaves_in_the_middle_of_its_content_wrote_nothing(
    legacy: Legacy, proxy: Inside, connect: Connect
) -> None:
    legacy.put("/a", "old")
    client, other = connect(proxy), connect(proxy)
    tag = await tag_of(other)
    await client.send("PUT", "/a", ("If-Match", tag), ("Content-Length", "100"), body=b"half")
    await eventually(lambda: proxy.count("precondition_client_connections") == 2)
    client.close()
    await eventually(lambda: proxy.count("precondition_client_connections") == 1)
    assert (await other.request("PUT", "/a", ("If-Match", tag), body=b"new")).status == 204
    assert [one.body for one in legacy.seen("PUT")] == [b"new"]


async def test_a_slow_upload_holds_nobody_up(legacy: Legacy, proxy: Inside, connect: Connect) -> None:
    """A claim is never held at the mercy of a client's network."""
    legacy.put("/a", "old")
    slow, quick = connect(proxy), connect(proxy)
    tag = await tag_of(quick)
    await slow.send("PUT", "/a", ("If-Match", tag), ("Content-Length", "4"), body=b"sl")
    assert (await quick.request("PUT", "/a", ("If-Match", tag), body=b"quick")).status == 204
    slow.writer.write(b"ow")
    assert ((await slow.answer()).status, legacy.resources["/a"].content) == (412, b"quick")
