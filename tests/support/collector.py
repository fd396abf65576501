"""A collector that speaks OTLP over HTTP: it keeps every span that it is sent."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

PATIENCE = 10.0


def installed(module: str) -> Any:
    """A module of the extra `tracing`. Without it the tests are skipped, but fail with CI=true."""
    if os.environ.get("CI") == "true":
        return importlib.import_module(module)
    return pytest.importorskip(module, reason="install the extra: pip install -e '.[dev]'")


service = installed("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
wire = installed("opentelemetry.proto.trace.v1.trace_pb2")


@dataclass
class Seen:
    """One span as it arrived.

    Attributes:
        name: its name.
        kind: "server", "client" or "internal".
        trace, id, parent: hexadecimal; parent is "" where there is none.
        told: its attributes.
        status: "unset", "ok" or "error".
        events: names of its events, each with its detail where it has one.
        resource: attributes of what sent it.
        lasted: nanoseconds.
    """

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    told: dict[str, Any]
    status: str
    events: list[str]
    resource: dict[str, Any]
    lasted: int

    def __getitem__(self, name: str) -> Any:
        return self.told.get(name)


@dataclass
class Collector:
    """The collector.

    Attributes:
        spans: in the order in which they arrived.
        requests: path and header fields of each request.
        refuse: the status that it answers with instead of taking what it is sent; 0 for none.
        go: requests are answered only while it is set.
    """

    spans: list[Seen] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    refuse: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def trace(self, trace: str) -> list[Seen]:
        """Waits until the whole of a trace is here: the request's own span, and all that hang below it."""
        await self.until(lambda: any(span.trace == trace and span.kind == "server" for span in self.spans))
        await self.until(lambda: self._complete(trace))
        return [span for span in self.spans if span.trace == trace]

    def _complete(self, trace: str) -> bool:
        spans = [span for span in self.spans if span.trace == trace]
        known = {span.id for span in spans}
        return all(span.kind == "server" or span.parent in known for span in spans)

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits until the spans that are here make something true."""
        try:
            async with asyncio.timeout(PATIENCE), self._more:
                await self._more.wait_for(true)
        except TimeoutError:
            raise AssertionError(f"only these spans came: {self.story()}") from None

    async def tells(self, trace: str, story: list[str]) -> None:
        """Holds the spans of a trace against a story, once there are as many of them.

        What goes on beside the response comes after the request's own span.
        """
        await self.until(lambda: len(self.story(trace)) >= len(story))
        assert self.story(trace) == sorted(story)

    def story(self, trace: str | None = None) -> list[str]:
        """What the spans of a trace, or all, say: one line each, the names of its parents first."""
        by_id = {span.id: span for span in self.spans if trace in (None, span.trace)}

        def line(span: Seen) -> str:
            above = by_id.get(span.parent)
            return f"{line(above)} > {span.name}" if above is not None else span.name

        return sorted(map(line, by_id.values()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Collector]:
        """Serves on a port of its own."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.go.set()
        try:
            yield self
        finally:
            self.go.set()
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        sent = service.ExportTraceServiceRequest.FromString(await request.read())
        await self.go.wait()
        self.requests.append((request.path, request.headers))
        if self.refuse:
            async with self._more:
                self._more.notify_all()
            return web.Response(status=self.refuse)
        async with self._more:
            for group in sent.resource_spans:
                resource = _told(group.resource.attributes)
                self.spans += [_seen(span, resource) for scope in group.scope_spans for span in scope.spans]
            self._more.notify_all()
        return web.Response(body=service.ExportTraceServiceResponse().SerializeToString())


def _seen(span: Any, resource: dict[str, Any]) -> Seen:
    return Seen(
        name=span.name,
        kind=wire.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        told=_told(span.attributes),
        status=wire.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").lower(),
        events=[" ".join([event.name, *_told(event.attributes).values()]) for event in span.events],
        resource=resource,
        lasted=span.end_time_unix_nano - span.start_time_unix_nano,
    )


def _told(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
