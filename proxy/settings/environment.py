"""The environment and the flags as layers.

A variable is `PROXY_` and the setting's name, with `__` between levels. A section that has a bare form takes
it (`PROXY_UPSTREAM=http://localhost:8080`), any section and list takes JSON, a list of words takes commas.
An empty variable counts as not set, except for the tag secret, whose absence must not go unnoticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic.fields import FieldInfo

from proxy.settings.layers import Layer, Path, Place, Problem
from proxy.settings.model import SHORTHAND
from proxy.settings.names import CONFIG, PREFIX, fields, is_list, section, variables
from proxy.settings.values import near

FLAGS: Final = ("listen", "admin", "upstream", "store")
"""Settings that have a flag of their own."""

# Kubernetes tells every container of every service in its namespace. A service called `proxy` or
# `proxy-redis` gives such names; they are not meant for us.
_KUBERNETES: Final = re.compile(
    r"PROXY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
_KUBERNETES_PORT: Final = re.compile(r"(?:tcp|udp|sctp)://")


def environment(environ: Mapping[str, str]) -> tuple[Layer, list[Problem]]:
    """What the variables say."""
    layer, problems = Layer(), list[Problem]()
    said = {name: value for name, value in sorted(environ.items()) if _ours(name, value)}
    for name, value in said.items():
        path = variables().get(name.upper())
        if path is None:
            problems.append(_unknown(name))
        elif (value or path == ("tag_secret",)) and not _said_twice(name, path, said, problems):
            _put(layer, path, value, Place(name, path), problems)
    return layer, problems


def flags(given: Mapping[str, str]) -> tuple[Layer, list[Problem]]:
    """What the flags say.

    Args:
        given: by the flag's name without dashes.
    """
    layer, problems = Layer(), list[Problem]()
    for name in FLAGS:
        if name in given:
            _put(layer, (name,), given[name], Place(f"--{name}", (name,)), problems)
    return layer, problems


def _ours(name: str, value: str) -> bool:
    if not name.startswith(PREFIX) or name == CONFIG:
        return False
    kubernetes = _KUBERNETES.fullmatch(name) or (name.endswith("_PORT") and _KUBERNETES_PORT.match(value))
    return not kubernetes or name in variables()


def _unknown(name: str) -> Problem:
    place = Place(name, ())
    if re.match(r"PROXY_ROUTES__", name):
        return Problem(
            place,
            (),
            "routes cannot be set one by one",
            "write all of them as JSON into PROXY_ROUTES, or into a file",
        )
    # Without the prefix: it would make everything look alike.
    meant = near(name[len(PREFIX) :], [known[len(PREFIX) :] for known in (*variables(), CONFIG)])
    unset = f"unset it: variables that begin with {PREFIX} are settings"
    advice = f"did you mean {PREFIX}{meant}?" if meant else unset
    return Problem(place, (), "is not a known setting", advice)


def _said_twice(name: str, path: Path, said: Mapping[str, str], problems: list[Problem]) -> bool:
    """`PROXY_STORE=redis://...` beside `PROXY_STORE__URL`: nobody can say which one was meant."""
    short = name.upper().removesuffix("__URL")
    bare = said.get(short, "")
    if path[1:] != ("url",) or path[0] not in SHORTHAND or not bare or bare.startswith("{"):
        return False
    problems.append(Problem(Place(name, path), (), f"says the same as {short}", "keep one of the two"))
    return True


def _put(layer: Layer, path: Path, value: str, place: Place, problems: list[Problem]) -> None:
    known = fields(path[:-1])[str(path[-1])]
    try:
        read = _read(known, path, value)
    except ValueError as error:
        problems.append(Problem(place, (), *_not_json(known, error)))
        return
    if path[0] in SHORTHAND and len(path) == 1 and isinstance(read, str):
        layer.bare.add(path)
        layer.values_at[(*path, "url")] = place
        read = {"url": read}
    layer.values_at[path] = place
    _set(layer.values, path, read)


def _read(known: FieldInfo, path: Path, value: str) -> Any:
    begins = value.lstrip()[:1]
    if section(known) is not None:
        return json.loads(value) if begins == "{" or path[0] not in SHORTHAND else value
    if not is_list(known):
        return value
    if begins in ("[", "{") or path == ("routes",):
        return json.loads(value)
    if path[-1] == "query" and value in ("all", "none"):
        return value
    return [word for word in re.split(r"[,\s]+", value.strip()) if word]


def _not_json(known: FieldInfo, error: ValueError) -> tuple[str, str]:
    form = '{"key": "value"}' if section(known) is not None else '[{"match": "/api/users/{id}"}]'
    # The value is not shown: it may hold a password that only the right reader would know to hide.
    at = f" (column {error.colno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
    return f"is not JSON{at}", f"write JSON, such as {form}"


def _set(values: dict[str, Any], path: Path, value: Any) -> None:
    *around, key = map(str, path)
    for outer in around:
        inner = values.setdefault(outer, {})
        if not isinstance(inner, dict):
            return  # JSON that is no mapping: its own error says enough
        values = inner
    both = isinstance(value, dict) and isinstance(values.get(key), dict)
    values[key] = values[key] | value if both else value
