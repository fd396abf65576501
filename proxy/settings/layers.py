"""Layers: what one source says (flags, environment, file), and where it says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Key = str | int
Path = tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is said.

    Attributes:
        where: `config/proxy.yaml:3:9`, `PROXY_LISTEN` or `--listen`.
        path: the setting that this place sets; what lies deeper is named in addition.
        order: sorts the places of one source.
    """

    where: str
    path: Path
    in_file: bool = False
    order: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Layer:
    """One source.

    Attributes:
        values: nested as the settings are; a bare URL is already `{url: ...}`.
        values_at: where each value is said.
        keys_at: where each key is said, in a file.
        bare: the sections that are written as their bare URL.
    """

    values: dict[str, Any] = field(default_factory=dict)
    values_at: dict[Path, Place] = field(default_factory=dict)
    keys_at: dict[Path, Place] = field(default_factory=dict)
    bare: set[Path] = field(default_factory=set)

    def place(self, path: Path, *, of_key: bool = False) -> Place | None:
        """The place of a setting, or of the nearest one around it."""
        if of_key and path in self.keys_at:
            return self.keys_at[path]
        for end in range(len(path), -1, -1):
            if path[:end] in self.values_at:
                return self.values_at[path[:end]]
        return None


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        place: where it was made, or None where something was left out altogether.
        path: the setting, as people write it; () where the place says it all.
        what: what is wrong.
        instead: what to do about it.
    """

    place: Place | None
    path: Path
    what: str
    instead: str

    def __str__(self) -> str:
        parts = [self.place.where] if self.place else []
        if self.path and (self.place is None or self.place.in_file or self.place.path != self.path):
            parts.append(dotted(self.path))
        return ": ".join([*parts, self.what]) + f"\n    {self.instead}"


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """All layers in one; the first that says something wins, key by key. Lists are taken whole."""
    whole: dict[str, Any] = {}
    for layer in reversed(layers):
        whole = _over(layer.values, whole)
    return whole


def speaker(layers: Sequence[Layer], path: Path) -> Layer | None:
    """The layer whose word counts for a setting, or for the nearest one around it that is set."""
    saying = [(layer, layer.values) for layer in layers]
    best = next((layer for layer in layers if layer.values), None)
    for key in path:
        inner = [(layer, found[1]) for layer, values in saying if (found := _under(values, key))]
        if not inner:
            return best
        best = inner[0][0]
        # Below anything but a mapping nothing is merged: the first layer's word is the only one.
        saying = inner if isinstance(inner[0][1], dict) else inner[:1]
    return best


def dotted(path: Path) -> str:
    """`routes[2].match`"""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(lower)
    for key, value in upper.items():
        under = both.get(key)
        mix = isinstance(value, dict) and isinstance(under, dict)
        both[key] = _over(value, under) if mix and isinstance(under, dict) else value
    return both


def _under(values: Any, key: Key) -> tuple[bool, Any] | None:
    if isinstance(values, dict) and key in values:
        return True, values[key]
    if isinstance(values, list) and isinstance(key, int) and key < len(values):
        return True, values[key]
    return None
