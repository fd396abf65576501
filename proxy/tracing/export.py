"""Where spans go: batches, sent by a thread of OpenTelemetry's SDK, so that no request waits for a collector.

What a collector does not take is counted and lost; the log says so once, and once more when it goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from proxy import __version__
from proxy.errors import ConfigurationError

SERVICE: Final = "precondition-proxy"
"""The name in traces where nothing gives another."""

_log = logging.getLogger("proxy.tracing")
# These speak of every failed batch, and again at every retry.
_TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)


class Meter(Protocol):
    """Where the export is counted. `proxy.metrics` has the real one."""

    def spans(self, result: str, count: int) -> None:
        """Spans were "made", "exported" or "failed" to be; the last two may be told by another thread."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where spans go. What is None is as the `OTEL_*` variables say, or as the SDK's defaults do.

    Attributes:
        endpoint: base URL of a collector that speaks OTLP over HTTP.
        sample: the share of new traces that is recorded, from 0 to 1. A caller's own decision is followed.
        service: `service.name` of the resource.
    """

    endpoint: str | None = None
    sample: float | None = None
    service: str | None = None


class Exporting:
    """A tracer, and the thread that sends what it makes.

    Raises:
        ConfigurationError: an `OTEL_*` variable cannot be used.
    """

    def __init__(self, destination: Destination, meter: Meter) -> None:
        try:
            self._exporter = Told(_exporter(destination), meter)
            self._provider = TracerProvider(
                _sampler(destination), _resource(destination), shutdown_on_exit=False
            )
            self._provider.add_span_processor(Made(meter))
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        except (ValueError, OSError) as fault:
            raise ConfigurationError(f"tracing: an OTEL_* variable cannot be used: {fault}") from None
        self.tracer = self._provider.get_tracer("proxy.tracing", __version__)

    async def close(self, within: float) -> None:
        """Sends what is left.

        Args:
            within: seconds that it may take; then what is left is lost.
        """
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more, the loop is closed
                loop.call_soon_threadsafe(ended.set)

        # Not the loop's executor: the interpreter would wait for its threads at the end, however long.
        threading.Thread(target=shut_down, name="tracing-end", daemon=True).start()
        try:
            async with asyncio.timeout(within):
                await ended.wait()
        except TimeoutError:
            _log.warning("the last spans could not be exported within %.1f s, and are lost", within)
            self._exporter.give_up()


class Made(SpanProcessor):
    """Counts the spans that are to be exported."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._meter.spans("made", 1)


class Told(SpanExporter):
    """An exporter that counts, and says when it begins to fail and when it works again."""

    def __init__(self, exporter: SpanExporter, meter: Meter) -> None:
        self._exporter = exporter
        self._meter = meter
        self._failing = False
        self._ended = False
        self._said = Said()
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(self._said)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends spans; called by the thread of the batches."""
        self._said.last = ""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        self._meter.spans("failed" if failed else "exported", len(spans))
        if failed and not self._failing:
            _log.warning(
                "spans cannot be exported, and are lost until they can: %s", self._said.last or result
            )
        if self._failing and not failed:
            _log.info("spans are exported again")
        self._failing = failed
        return result

    def give_up(self) -> None:
        """Ends the retries of a batch that is under way."""
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()

    def shutdown(self) -> None:
        """Closes connections."""
        self.give_up()
        for name in _TALKATIVE:
            logging.getLogger(name).removeFilter(self._said)


class Said(logging.Filter):
    """Keeps what a library has to say, to be said once and in our own words.

    Attributes:
        last: its last words.
    """

    last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Hears a record, and lets none pass."""
        self.last = record.getMessage()
        return False


def _exporter(destination: Destination) -> SpanExporter:
    endpoint = None if destination.endpoint is None else destination.endpoint.rstrip("/") + "/v1/traces"
    return OTLPSpanExporter(endpoint=endpoint)


def _sampler(destination: Destination) -> Sampler | None:
    return None if destination.sample is None else ParentBased(TraceIdRatioBased(destination.sample))


def _resource(destination: Destination) -> Resource:
    own = {"service.version": __version__, "service.instance.id": str(uuid4())}
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    if destination.service is not None or not named:
        own["service.name"] = destination.service or SERVICE
    return Resource.create(own)
