"""The Lua scripts, read from `scripts/`. Each is one atomic step of the store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """One script as Redis gets it.

    Attributes:
        name: also the operation's name in metrics.
        source: whole text.
        sha: by which EVALSHA names it.
    """

    name: str
    source: bytes
    sha: bytes


def _read(name: str, *, entry: bool = True) -> Script:
    folder = files("proxy.store") / "scripts"
    source = (folder / f"{name}.lua").read_bytes()
    if entry:
        source = (folder / "entry.lua").read_bytes() + source
    # Not for security: Redis names scripts by their SHA-1.
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


@cache
def scripts() -> dict[str, Script]:
    """All scripts by name. Those that are about one resource begin with `entry.lua`."""
    names = ("claim", "renew", "release", "observe", "look", "recall", "forget", "tick")
    whole = {name: _read(name) for name in names}
    return whole | {name: _read(name, entry=False) for name in ("incarnate", "secret")}
