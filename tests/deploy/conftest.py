"""A proxy with the demo backend, for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.deployed import Stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One for all tests of a file."""
    with Stack().up() as started:
        yield started
