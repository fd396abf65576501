"""The metrics as text, made piece by piece: a scrape must not hold up the requests that it measures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

_END = b"# EOF\n"


class _Only(Collector):
    """One family, for an encoder that wants a registry."""

    def __init__(self, family: Metric) -> None:
        self.family = family

    def collect(self) -> Iterator[Metric]:
        yield self.family


async def page(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All metrics as they are at this moment.

    Args:
        registry: what to tell.
        accept: the request's Accept, which chooses between OpenMetrics and Prometheus' text format.

    Returns:
        The content and its Content-Type.
    """
    encode, content_type = choose_encoder(accept)
    families = list(registry.collect())  # in one go, so that the numbers of a page belong together
    parts = []
    for family in families:
        parts.append(encode(_Only(family)))
        await asyncio.sleep(0)
    if parts and parts[-1].endswith(_END):  # OpenMetrics: once, at the end of all
        parts = [part.removesuffix(_END) for part in parts] + [_END]
    return b"".join(parts), content_type
