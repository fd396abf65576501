"""Names of resources as a store keeps them: short, however long a path somebody makes up."""

from __future__ import annotations

import hashlib
from typing import Final

LONGEST: Final = 64
"""Characters of a name that is kept as it is."""


def digest(key: str) -> bytes:
    """Sixteen bytes that stand for a resource's name."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def short(key: str) -> str | bytes:
    """The name itself where it is short, else its digest: 8 KB of path cost no more than 16 bytes."""
    return key if len(key) <= LONGEST else digest(key)
