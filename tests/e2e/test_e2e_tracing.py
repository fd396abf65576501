"""Spans of real requests, in a real collector: what each of them tells, and what it never tells."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from support.collector import Collector, Seen
from support.legacy import Legacy
from support.proxies import Connect, Inside, StartProxy

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SENT = ("traceparent", f"00-{TRACE}-{CALLER}-01")
ROUTES = [
    {"match": "/notes/{id}"},
    {"match": "/required/{id}", "require": ["PUT"]},
    {"match": "/away/{path*}", "mode": "off"},
]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector."""
    async with Collector().running() as running:
        yield running


@pytest.fixture
def trace_with(
    start_proxy: StartProxy, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Inside]]:
    """Starts a proxy that sends its spans at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")

    async def start(upstream: str | None = None, **options: Any) -> Inside:
        tracing = {"enabled": True, "endpoint": collector.url} | options.pop("tracing", {})
        return await start_proxy(upstream, routes=ROUTES, tracing=tracing, **options)

    return start


@pytest.fixture
async def traced(trace_with: Callable[..., Awaitable[Inside]]) -> Inside:
    """A proxy with the defaults."""
    return await trace_with()


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
    assert collector.story(TRACE) == sorted([own.name, *(f"{own.name} {below}" for below in story)])
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
