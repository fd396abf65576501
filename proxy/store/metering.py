"""How long a call of the store took, for the meter."""

from __future__ import annotations

import asyncio
from types import TracebackType

from proxy.errors import StoreUnavailable
from proxy.store import Meter


class Timed:
    """Tells the meter, at the end of the block, how long it took; not ok where the store was unavailable."""

    __slots__ = ("_began", "_meter", "_operation")

    def __init__(self, meter: Meter | None, operation: str) -> None:
        self._meter = meter
        self._operation = operation

    def __enter__(self) -> None:
        if self._meter is not None:
            self._began = asyncio.get_running_loop().time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._meter is not None:
            seconds = asyncio.get_running_loop().time() - self._began
            self._meter.store_call(self._operation, seconds, ok=not isinstance(error, StoreUnavailable))
