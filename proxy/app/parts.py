"""The parts of the house, each as the settings want it."""

from __future__ import annotations

import ssl
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.admin import RouteText
from proxy.edge import Limits
from proxy.errors import ConfigurationError
from proxy.exchange import Request
from proxy.gate import Gate, Outgoing
from proxy.metrics import Metrics
from proxy.rules.routing import Router
from proxy.rules.tracecontext import sent_trace_id
from proxy.settings import Settings
from proxy.settings.explanation import explained_routes
from proxy.store.memory import MemoryStore
from proxy.store.redis import RedisStore
from proxy.upstream.pool import Pool

if TYPE_CHECKING:
    from proxy.tracing import Tracing

Store = MemoryStore | RedisStore


def trace_id(request: Request) -> str:
    """The id of the trace that a client says its request belongs to."""
    return sent_trace_id(request.headers)


def store(settings: Settings, metrics: Metrics) -> Store:
    """Where versions and claims are kept."""
    kept = settings.store
    if kept.in_memory:
        return MemoryStore(lease=settings.lease, wait=kept.wait, capacity=kept.capacity, meter=metrics)
    return RedisStore.from_url(
        kept.url.get_secret_value(),
        lease=settings.lease,
        wait=kept.wait,
        grace=None if kept.grace == "auto" else float(kept.grace),
        timeout=kept.timeout,
        prefix=kept.prefix,
        ttl=kept.ttl,
        meter=metrics,
    )


def pool(settings: Settings, metrics: Metrics) -> Pool:
    """Connections to the backend.

    Raises:
        ConfigurationError: `upstream.ca_file` cannot be used.
    """
    upstream = settings.upstream
    return Pool(
        upstream.url,
        timeout=upstream.timeout,
        connect_timeout=upstream.connect_timeout,
        max_connections=upstream.max_connections,
        tls=_tls(settings) if upstream.url.startswith("https:") else None,
        meter=metrics,
    )


def _tls(settings: Settings) -> ssl.SSLContext:
    upstream = settings.upstream
    try:
        context = ssl.create_default_context(cafile=upstream.ca_file)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigurationError(f"upstream.ca_file: {upstream.ca_file} cannot be used: {fault}") from None
    if not upstream.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tracing(settings: Settings, metrics: Metrics) -> Tracing | None:
    """What follows requests with spans, where that is wanted.

    Raises:
        ConfigurationError: an `OTEL_*` variable cannot be used.
    """
    wanted = settings.tracing
    if not wanted.enabled:
        return None
    # The packages of the extra are there only where they are wanted.
    from proxy.tracing import Destination, Shown
    from proxy.tracing import tracing as made

    shown = Shown(names=settings.admin_names.value == "show", backend=settings.upstream.url)
    return made(Destination(wanted.endpoint, wanted.sample, wanted.service), shown, metrics)


def gate(settings: Settings, kept: Store, backend: Pool, metrics: Metrics, following: Tracing | None) -> Gate:
    """Decides on every request."""
    # Where nobody traces, nothing stands around the parts, and no request pays.
    parts = (kept, backend, metrics, Gate) if following is None else following.around(kept, backend, metrics)
    store, upstream, journal, make = parts
    return make(
        Router(settings.resolved_routes(), settings.default_route()),
        store,
        upstream,
        journal,
        _outgoing(settings, backend),
        # Not the loop's clock: uvloop's stands still within one turn, and a deadline must not (rule 4).
        clock=time.monotonic,
        now_year=_year,
        work=settings.upstream.timeout,
        lease=settings.lease,
        memory_body=settings.limits.memory_body,
        strip_override=settings.method_override.value == "strip",
        most_tags=settings.limits.tags,
    )


def route_texts(settings: Settings) -> list[RouteText]:
    """What the routes do, in words."""
    return [RouteText(route.match, name, words) for route, name, words in explained_routes(settings)]


def _outgoing(settings: Settings, pool: Pool) -> Outgoing:
    return Outgoing(
        host=pool.host() if settings.upstream.host.value == "upstream" else None,
        style=settings.forwarded.value,
        via=settings.via or "",
        trusted=settings.trusted_proxies,
        strip_override=settings.method_override.value == "strip",
        fallback=pool.host(),
    )


def limits(settings: Settings) -> Limits:
    """What clients may send."""
    given = settings.limits
    return Limits(
        target=given.target,
        field=given.header_size,
        fields=given.header_count,
        body=given.body,
        head_timeout=given.head_timeout,
        body_timeout=given.body_timeout,
        idle_timeout=given.idle_timeout,
        connections=given.connections,
    )


def _year() -> int:
    return _year_of(int(time.time()) // 3600)


@lru_cache(maxsize=1)
def _year_of(hour: int) -> int:
    return time.gmtime(hour * 3600).tm_year
