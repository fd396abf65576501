"""Spans of real requests, in a real collector: what each of them tells, and what it never tells."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import asyncio

import pytest
from support.collector import Collector, Seen
from support.legacy import Exchange, Legacy
from support.proxies import Connect, Inside, StartProxy
from support.redis_server import RedisServer
from support.waiting import eventually

from proxy.tracing.attributes import authority, path

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SENT = ("traceparent", f"00-{TRACE}-{CALLER}-01")


def named(spans: list[Seen], name: str) -> Seen:
    """The one span of that name."""
    (found,) = [span for span in spans if span.name == name]
    return found


def server(spans: list[Seen]) -> Seen:
    """The span of the request itself."""
    (found,) = [span for span in spans if span.kind == "server"]
    return found


# -- what a request's spans say -----------------------------------------------------------------------------

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
FRESH, STALE = "the tag that a GET showed", '"stale"'
WRITTEN = ["> claim", "> decision", "> PUT", "> probe", "> probe > GET", "> release"]
ASKED = ["> claim", "> decision", "> decision > probe", "> decision > probe > GET", "> release"]
# fmt: off
STORIES = [
    # method, target, condition,          status, spans below the request's own           what its own tells
    ("GET", "/notes/1", None,                200, ["> GET", "> observe"],                 "passed"),
    ("HEAD", "/notes/1", None,               200, ["> HEAD", "> GET", "> observe"],       "passed"),
    ("GET", "/notes/1", (IF_NONE_MATCH, FRESH), 304, ["> GET", "> observe"],              "not_modified If-None-Match"),
    ("GET", "/notes/none", None,             404, ["> GET", "> observe"],                 "passed"),
    ("GET", "/away/1", None,                 404, ["> GET"],                              "off"),
    ("PUT", "/notes/1", (IF_MATCH, FRESH),   204, WRITTEN,                                "passed If-Match"),
    ("PUT", "/notes/1", (IF_MATCH, STALE),   412, ASKED,                                  "refused If-Match stale_tag"),
    ("PUT", "/notes/none", (IF_MATCH, "*"),  412, ASKED,                                  "refused If-Match absent"),
    ("PUT", "/notes/1", None,                204, [one for one in WRITTEN if one != "> decision"], "passed"),
    ("PUT", "/required/1", None,             428, [],                                     "refused required"),
    ("PUT", "/notes/1", (IF_MATCH, "nonsense"), 400, [],                                  "refused If-Match malformed"),
    ("POST", "/notes/1", None,               200, ["> POST", "> claim", "> release"],     "passed"),
    ("GET", "/notes//1", None,               400, [],                                     "refused target"),
    ("CONNECT", "/notes/1", None,            400, [],                                     "refused unacceptable"),
]
# fmt: on


@pytest.mark.parametrize(("method", "target", "condition", "status", "story", "outcome"), STORIES)
async def test_a_requests_spans(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect,
    method: str, target: str, condition: tuple[str, str] | None, status: int, story: list[str], outcome: str,
) -> None:  # fmt: skip
    legacy.put("/notes/1", "old")
    client = connect(traced)
    tag = (await client.request("GET", "/notes/1"))["ETag"] or ""
    await traced.knows("/notes/1")
    fields = [] if condition is None else [(condition[0], tag if condition[1] == FRESH else condition[1])]
    answer = await client.request(method, target, SENT, *fields, body=b"new" if method == "PUT" else None)
    spans = await collector.trace(TRACE)
    own = server(spans)
    assert answer.status == own["http.response.status_code"] == status
    await collector.tells(TRACE, [own.name, *(f"{own.name} {below}" for below in story)])
    told = (own[f"precondition.{what}"] for what in ("outcome", "condition", "reason"))
    assert " ".join(filter(None, told)) == outcome
    assert own.parent == CALLER


async def test_what_a_write_tells(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    target = "/notes/1?token=SECRET"
    legacy.put(target, "old")
    client = connect(traced)
    tag = (await client.request("GET", target))["ETag"] or ""
    await traced.knows(target)
    sent = (SENT, (IF_MATCH, tag), ("Host", "shop.example:81"), ("X-Request-ID", "call-7"))
    sent += (("Authorization", "Bearer SECRET"), ("Cookie", "sid=SECRET"))
    await client.request("PUT", target, *sent, body=b"SECRET")
    spans = await collector.trace(TRACE)
    first = [span for span in spans if span.parent == server(spans).id]
    assert "SECRET" not in str(collector.spans)
    assert server(spans).name == "PUT /notes/{id}"
    assert server(spans).resource["service.name"] == "precondition-proxy"
    assert server(spans).told == {
        "http.request.method": "PUT",
        "http.route": "/notes/{id}",
        "http.response.status_code": 204,
        "url.path": "/notes/1",
        "url.scheme": "http",
        "server.address": "shop.example",
        "server.port": 81,
        "client.address": "127.0.0.1",
        "precondition.request_id": "call-7",
        "precondition.outcome": "passed",
        "precondition.condition": "If-Match",
    }
    assert named(first, "decision").told == {
        "precondition.recorded": "known",
        "precondition.recorded.etag": [tag],
        "precondition.held": tag,
        "precondition.condition": "If-Match",
        "precondition.outcome": "passed",
    }
    assert named(first, "PUT").kind == "client"
    assert named(first, "PUT").told == {
        "http.request.method": "PUT",
        "http.response.status_code": 204,
        "server.address": "127.0.0.1",
        "server.port": legacy.address[1],
        "url.full": f"{legacy.url}/notes/1",
    }


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("shop.example", ("shop.example", 0)),
        ("shop.example:81", ("shop.example", 81)),
        ("shop.example:", ("shop.example", 0)),
        ("[::1]:81", ("::1", 81)),
        ("[::1]", ("::1", 0)),
        ("", ("", 0)),
    ],
)
def test_the_authority(host: str, told: tuple[str, int]) -> None:
    assert authority(host) == told


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/a/b?token=SECRET", "/a/b"),
        ("/a#SECRET", "/a"),
        ("http://user:SECRET@host/a?b", "/a"),
        ("http://host", ""),
        ("*", ""),
        ("/\udcff", "/\\udcff"),
    ],
)
def test_the_path(target: str, told: str) -> None:
    assert path(target) == told


# -- what goes wrong ----------------------------------------------------------------------------------------


async def test_a_backend_that_is_gone(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    await legacy.stop()
    assert (await connect(traced).request("GET", "/notes/1", SENT)).status == 502
    spans = await collector.trace(TRACE)
    assert (server(spans).status, server(spans)["error.type"]) == ("error", "502")
    assert server(spans)["precondition.reason"] == "upstream"
    assert (named(spans, "GET").status, named(spans, "GET")["error.type"]) == ("error", "UpstreamUnreachable")


async def test_a_write_whose_outcome_nobody_knows(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    async def breaks(exchange: Exchange) -> None:
        exchange.writer.close()

    legacy.on("PUT", "/notes/1", breaks)
    assert (await connect(traced).request("PUT", "/notes/1", SENT, body=b"new")).status == 502
    spans = await collector.trace(TRACE)
    assert server(spans)["precondition.applied_unknown"] is True
    assert named(spans, "PUT")["error.type"] == "UpstreamBroken"


async def test_a_store_that_is_away(
    trace_with: StartProxy, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    with RedisServer() as redis:
        proxy = await trace_with(store={"url": redis.url, "timeout": "200ms"})
        client = connect(proxy)
        legacy.put("/notes/1", "old")
        assert (await client.request("PUT", "/notes/1", body=b"new")).status == 204
        redis.stop()
        assert (await client.request("PUT", "/notes/1", SENT, body=b"newer")).status == 503
    spans = await collector.trace(TRACE)
    assert (server(spans).status, server(spans)["precondition.reason"]) == ("error", "store")
    assert (named(spans, "claim").status, named(spans, "claim")["error.type"]) == (
        "error",
        "StoreUnavailable",
    )


async def test_a_write_that_waits_for_another(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    held = legacy.hold("PUT")
    first, second = connect(traced), connect(traced)
    await first.send("PUT", "/notes/1", body=b"first")
    await held.arrived.acquire()
    await second.send("PUT", "/notes/1", SENT, body=b"second")
    await eventually(lambda: traced.count("precondition_requests_in_flight") == 2)
    await asyncio.sleep(0.05)  # not for a state: so long the wait is to be, at least
    held.go.set()
    assert [(await one.answer()).status for one in (first, second)] == [201, 204]
    claim = named(await collector.trace(TRACE), "claim")
    assert (claim.status, claim["error.type"]) == ("unset", None)
    assert claim.lasted > 40e6


async def test_a_claim_that_is_never_free(
    trace_with: StartProxy, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    proxy = await trace_with(store={"url": "memory", "wait": "50ms"})
    held = legacy.hold("PUT")
    first, second = connect(proxy), connect(proxy)
    await first.send("PUT", "/notes/1", body=b"first")
    await held.arrived.acquire()
    assert (await second.request("PUT", "/notes/1", SENT, body=b"second")).status == 503
    held.go.set()
    spans = await collector.trace(TRACE)
    assert named(spans, "claim")["error.type"] == "ClaimBusy"
    assert server(spans)["precondition.reason"] == "busy"


async def test_a_refusal_before_the_content_is_here(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    legacy.put("/notes/1", "old")
    client = connect(traced)
    await client.send("PUT", "/notes/1", SENT, (IF_MATCH, STALE), ("Content-Length", "3"))
    assert (await client.answer()).status == 412
    spans = await collector.trace(TRACE)
    own = server(spans).name
    below = ["look", "decision", "decision > probe", "decision > probe > GET", "decision > observe"]
    await collector.tells(TRACE, [own, *(f"{own} > {one}" for one in below)])
    decision = named(spans, "decision")
    assert (decision["precondition.early"], decision["precondition.outcome"]) == (True, "refused")
    assert named(spans, "probe")["precondition.probe.reason"] == "unknown"


async def test_a_check_before_the_content_and_one_after(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    legacy.put("/notes/1", "old", etag='"1"')
    client = connect(traced)
    await client.send("PUT", "/notes/1", SENT, (IF_MATCH, '"1"'), ("Content-Length", "3"))
    await eventually(lambda: traced.count("precondition_probes_total") == 1)
    client.writer.write(b"new")
    assert (await client.answer()).status == 204
    decisions = [span for span in await collector.trace(TRACE) if span.name == "decision"]
    assert [one["precondition.early"] for one in decisions] == [True, None]
    assert [one["precondition.outcome"] for one in decisions] == ["passed", "passed"]


async def test_a_client_that_left(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    held = legacy.hold("GET")
    client = connect(traced)
    await client.send("GET", "/notes/1", SENT)
    await held.arrived.acquire()
    client.close()
    held.go.set()
    assert server(await collector.trace(TRACE))["http.response.status_code"] == 404


async def test_a_request_that_does_not_end_within_drain(
    trace_with: StartProxy, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    proxy = await trace_with(drain="50ms")
    held = legacy.hold("GET")
    await connect(proxy).send("GET", "/notes/1", SENT)
    await held.arrived.acquire()
    await proxy.app.stop()
    assert server(await collector.trace(TRACE))["error.type"] == "cancelled"


async def test_a_change_behind_the_proxy_is_an_event(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    legacy.put("/notes/1", "old")
    client = connect(traced)
    await client.request("GET", "/notes/1")
    await traced.knows("/notes/1")
    legacy.put("/notes/1", "changed by somebody else")
    assert (await client.request("PUT", "/notes/1", SENT, (IF_MATCH, STALE), body=b"new")).status == 412
    assert server(await collector.trace(TRACE)).events == [
        "precondition.changed_behind",
        "precondition.judged written",
    ]


async def test_names_can_be_hidden(
    trace_with: StartProxy, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    proxy = await trace_with(admin_names="hide")
    legacy.put("/notes/HIDDEN", "old", etag='"HIDDEN"')
    client = connect(proxy)
    await client.request("GET", "/notes/HIDDEN")
    await client.request("PUT", "/notes/HIDDEN", SENT, (IF_MATCH, '"HIDDEN"'), body=b"new")
    spans = await collector.trace(TRACE)
    assert server(spans)["http.route"] == "/notes/{id}"
    assert {"decision", "probe", "PUT", "GET"} < {span.name for span in spans}
    assert "HIDDEN" not in str(collector.spans)


async def test_odd_requests_are_told_as_text(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    legacy.put("/notes/1", "old")
    client = connect(traced)
    await client.request("GET", "/notes/1")
    await traced.knows("/notes/1")
    await client.request("PURGE", "http://example.org:80/notes/1", SENT, (IF_MATCH, '"\udcff"'))
    spans = await collector.trace(TRACE)
    own = server(spans)
    assert own.name == "_OTHER /notes/{id}"
    assert own["http.request.method_original"] == "PURGE"
    assert (own["server.address"], own["server.port"]) == ("example.org", 80)
    assert own["url.path"] == "/notes/1"
    assert named(spans, "decision")["precondition.held"] == '"\\udcff"'


async def test_a_write_that_goes_on_after_its_request_was_cut_off(
    trace_with: StartProxy, collector: Collector, legacy: Legacy, connect: Connect,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    proxy = await trace_with(drain="50ms")
    held = legacy.hold("PUT")
    await connect(proxy).send("PUT", "/notes/1", SENT, body=b"new")
    await held.arrived.acquire()
    await proxy.app.stop()
    held.go.set()
    assert server(await collector.trace(TRACE))["error.type"] == "cancelled"
    await proxy.app._gate.drain()
    assert [one for one in caplog.records if one.name.startswith("opentelemetry")] == []
