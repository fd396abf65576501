"""Counts are taken on uvloop, as in production, with a tap on every connection."""

from __future__ import annotations

from typing import Any

from support.taps import Loop


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:  # noqa: ARG001
    """uvloop, tapped."""
    return {"uvloop": Loop}
