"""Which trace context the backend is sent, and which the log tells, with tracing off and on."""

from __future__ import annotations

import pytest
from support.collector import Collector
from support.http1 import Message
from support.legacy import Legacy
from support.proxies import Connect, Inside, StartProcess, StartProxy
from support.waiting import eventually
from support.wire_client import Client, request

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-{CALLER}-{flags}" for flags in ("01", "00"))
NAMES = ("traceparent", "tracestate", "baggage")


def context(message: Message) -> list[tuple[str, str]]:
    """What a message says of its trace, as it was sent."""
    return [(name, value) for name, value in message.fields if name.lower() in NAMES]


# -- off ----------------------------------------------------------------------------------------------------

SENT = [
    [("traceparent", SAMPLED), ("tracestate", "a=1,b=2"), ("tracestate", "c=3"), ("baggage", "user=7;x=y")],
    [("Traceparent", SAMPLED), ("TraceState", "a=1")],
    # A service that only forwards does not analyse what it forwards (Trace Context section 3.2.4).
    [("traceparent", "nonsense"), ("tracestate", ","), ("baggage", "")],
    [("traceparent", SAMPLED), ("traceparent", UNSAMPLED)],
]


@pytest.mark.parametrize("sent", SENT)
async def test_off_it_passes_unchanged(legacy: Legacy, client: Client, sent: list[tuple[str, str]]) -> None:
    legacy.put("/a", "old")
    await client.request("GET", "/a", *sent)
    await client.request("HEAD", "/a", *sent)
    await client.request("PUT", "/a", *sent, ("If-Match", '"stale"'), body=b"new")  # a probe
    await client.request("PUT", "/a", *sent, body=b"new")  # the write, and a GET that reads it again
    await client.request("POST", "/a", *sent, body=b"new")
    await client.request("OPTIONS", "/a", *sent)
    methods = [one.method for one in legacy.requests]
    assert {"GET", "PUT", "POST", "OPTIONS"} < set(methods)
    assert methods.count("GET") >= 3
    assert [context(one) for one in legacy.requests] == [sent] * len(methods)


async def test_off_the_log_tells_the_trace(start_process: StartProcess) -> None:
    sent: list[tuple[list[tuple[str, str]], str | None]] = [
        ([("traceparent", SAMPLED)], TRACE),
        ([("traceparent", UNSAMPLED)], TRACE),
        ([("traceparent", "nonsense")], None),
        ([("traceparent", SAMPLED)] * 2, None),
        ([], None),
    ]
    process = await start_process()
    for fields, _ in sent:
        await request(process.address, "GET", "/a", *fields)
    await eventually(lambda: len(process.requests) == len(sent))
    assert [line.get("trace_id") for line in process.requests] == [told for _, told in sent]


async def test_off_nothing_stands_around_the_parts(proxy: Inside) -> None:
    house = proxy.app._gate.house
    assert house.store is proxy.app._store
    assert house.upstream is proxy.app._pool
    assert house.journal is proxy.app._metrics


# -- on -----------------------------------------------------------------------------------------------------


async def test_on_the_backend_is_told_of_the_call(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    legacy.put("/notes/1", "old")
    sent = [("Traceparent", SAMPLED), ("tracestate", "a=1,b=2"), ("tracestate", "c=3"), ("baggage", "user=7")]
    client = connect(traced)
    await client.request("PUT", "/notes/1", *sent, ("If-Match", "*"), body=b"new")
    spans = await collector.trace(TRACE)
    calls = {span.id: span["http.request.method"] for span in spans if span.kind == "client"}
    assert [one.method for one in legacy.requests] == ["GET", "PUT", "GET"]
    for one in legacy.requests:
        version, trace, parent, flags = (one["traceparent"] or "").split("-")
        assert (version, trace, calls.pop(parent), flags) == ("00", TRACE, one.method, "01")
        assert (one.all("tracestate"), one.all("baggage")) == (["a=1,b=2", "c=3"], ["user=7"])
    assert calls == {}


async def test_on_what_is_not_sampled_is_not_recorded(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect
) -> None:
    client = connect(traced)
    await client.request("PUT", "/notes/1", ("traceparent", UNSAMPLED), ("tracestate", "a=1"), body=b"new")
    await client.request("GET", "/notes/1", ("traceparent", SAMPLED.replace(TRACE, "1" * 32)))
    await collector.trace("1" * 32)  # so all that was before it would be here too
    assert {span.trace for span in collector.spans} == {"1" * 32}
    for one in legacy.requests[:2]:
        _, trace, parent, flags = (one["traceparent"] or "").split("-")
        assert (trace, flags, one["tracestate"]) == (TRACE, "00", "a=1")
        assert parent not in (CALLER, "0" * 16)


NEW_TRACE = [
    [],
    [("tracestate", "a=1")],
    [("traceparent", "nonsense"), ("tracestate", "a=1")],
    [("traceparent", f"00-{'0' * 32}-{CALLER}-01"), ("tracestate", "a=1")],
    [("traceparent", f"ff-{TRACE}-{CALLER}-01"), ("tracestate", "a=1")],
    [("traceparent", SAMPLED), ("traceparent", SAMPLED), ("tracestate", "a=1")],
]


@pytest.mark.parametrize("sent", NEW_TRACE)
async def test_on_a_new_trace_begins_where_none_can_be_read(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect, sent: list[tuple[str, str]]
) -> None:
    await connect(traced).request("GET", "/notes/1", *sent)
    await collector.until(lambda: any(span.kind == "server" for span in collector.spans))
    ((_, told),) = context(legacy.last())
    (trace,) = {span.trace for span in collector.spans}
    (root,) = [span for span in collector.spans if span.parent == ""]
    assert told.split("-")[1] == trace != TRACE
    assert (root.kind, root.trace) == ("server", trace)


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([",".join(f"k{n}=v" for n in range(32))], True),
        ([",".join(f"k{n}=v" for n in range(33))], False),
        (["a=1", "a=2"], False),
        (["A=1"], False),
        (["a=" + "v" * 256], True),
    ],
)
async def test_on_a_tracestate_that_cannot_be_read_goes_no_further(
    traced: Inside, collector: Collector, legacy: Legacy, connect: Connect, states: list[str], kept: bool
) -> None:
    sent = [("tracestate", state) for state in states]
    await connect(traced).request("GET", "/notes/1", ("traceparent", SAMPLED), *sent)
    await collector.trace(TRACE)  # the traceparent counts all the same (section 3.3)
    assert legacy.last().all("tracestate") == (states if kept else [])


@pytest.mark.parametrize(("sample", "recorded"), [(0, 0), (1, 1)])
async def test_on_new_traces_are_sampled(
    trace_with: StartProxy, collector: Collector, legacy: Legacy, connect: Connect, sample: int, recorded: int
) -> None:
    proxy = await trace_with(tracing={"sample": sample})
    client = connect(proxy)
    await client.request("GET", "/notes/1")
    assert (legacy.last()["traceparent"] or "").endswith(f"-0{recorded}")
    await client.request("GET", "/notes/1", ("traceparent", SAMPLED))  # the caller decides
    await collector.trace(TRACE)
    assert len({span.trace for span in collector.spans}) == recorded + 1


async def test_on_the_log_tells_the_trace_of_the_spans(
    start_process: StartProcess, collector: Collector
) -> None:
    environment = {"PROXY_TRACING__ENABLED": "true", "OTEL_BSP_SCHEDULE_DELAY": "10"}
    process = await start_process(environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    sent: list[list[tuple[str, str]]] = [[], [("traceparent", SAMPLED)], [("traceparent", "nonsense")]]
    for fields in sent:
        await request(process.address, "GET", "/a", *fields)

    def roots() -> list[tuple[str, str]]:
        found = [span for span in collector.spans if span.kind == "server"]
        return [(span.trace, span["precondition.request_id"]) for span in found]

    await eventually(lambda: len(process.requests) == len(roots()) == len(sent))
    assert [(line["trace_id"], line["request_id"]) for line in process.requests] == roots()
    assert [trace == TRACE for trace, _ in roots()] == [False, True, False]
