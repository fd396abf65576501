"""The names of all settings: as keys, as environment variables, and the nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.settings.layers import Path, dotted
from proxy.settings.model import RouteSettings, Settings
from proxy.settings.values import listed, near

PREFIX: Final = "PROXY_"
CONFIG: Final = "PROXY_CONFIG"


@cache
def variables() -> Mapping[str, Path]:
    """Every environment variable, and the setting that it sets."""
    return {PREFIX + "__".join(map(str, path)).upper(): path for path in _paths(Settings, ())}


def fields(path: Path) -> Mapping[str, FieldInfo]:
    """The settings that a mapping at this place may hold; none where no mapping belongs."""
    if len(path) == 2 and path[0] == "routes":
        return RouteSettings.model_fields
    found: Mapping[str, FieldInfo] = Settings.model_fields
    for key in path:
        model = section(found[key]) if isinstance(key, str) and key in found else None
        if model is None:
            return {}
        found = model.model_fields
    return found


def section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a section, or None for a single setting."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_list(field: FieldInfo) -> bool:
    """Whether a list belongs there (or may)."""
    kinds = (field.annotation, *get_args(field.annotation))
    return any(getattr(kind, "__origin__", None) in (tuple, frozenset) for kind in kinds)


def suggestion(path: Path) -> str:
    """What was probably meant by an unknown key."""
    *around, key = path
    known = fields(tuple(around))
    if meant := near(str(key), known):
        return f"did you mean {meant}?"
    elsewhere = [dotted(other) for other in variables().values() if other[-1] == key and len(other) > 1]
    if elsewhere:
        return f"did you mean {listed(elsewhere)}?"
    return f"known here: {', '.join(known)}" if known else "remove it"


def _paths(model: type[BaseModel], path: Path) -> list[Path]:
    found: list[Path] = []
    for name, field in model.model_fields.items():
        found.append((*path, name))
        inner = section(field)
        found += _paths(inner, (*path, name)) if inner is not None else []
    return found
