"""From flags, environment and file to settings, or to every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from proxy.errors import ConfigurationError
from proxy.settings import document
from proxy.settings.environment import environment, flags
from proxy.settings.layers import Layer, Path, Place, Problem, merged, speaker
from proxy.settings.model import SHORTHAND, Settings
from proxy.settings.names import CONFIG, section, suggestion
from proxy.settings.names import fields as fields_at

_NO_UPSTREAM: Final = (
    "nothing says where the backend is",
    "write upstream: http://localhost:8080 into the file, or give --upstream http://localhost:8080,"
    " or set PROXY_UPSTREAM",
)


def load(config: FilePath | None, flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Reads the configuration: flags over environment over file over defaults.

    Args:
        config: the file that `--config` names; without it `PROXY_CONFIG` names one, or there is none.
        flags: by name without dashes: listen, admin, upstream, store.
        environ: the environment; only what begins with `PROXY_` is looked at.

    Raises:
        ConfigurationError: with every mistake, one or two lines each.
    """
    layers, problems = _layers(config, flags, environ)
    try:
        settings = Settings(**merged(layers))
    except ValidationError as error:
        said = {problem.place for problem in problems}
        found = [_problem(layers, line["loc"], line["type"], line.get("ctx", {})) for line in error.errors()]
        problems += [problem for problem in found if problem.place is None or problem.place not in said]
    if problems:
        raise ConfigurationError("\n".join(map(str, _in_order(problems))))
    return settings


def config_file(config: FilePath | None, environ: Mapping[str, str]) -> FilePath | None:
    """The file that is read: the one that `--config` names, else `PROXY_CONFIG`, else none."""
    if config is not None:
        return config
    return FilePath(environ[CONFIG]) if environ.get(CONFIG) else None


def _layers(
    config: FilePath | None, given: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[list[Layer], list[Problem]]:
    by_flags, first = flags(given)
    by_environment, second = environment(environ)
    by_file, third = _file(config, environ)
    return [by_flags, by_environment, by_file], [*first, *second, *third]


def _file(config: FilePath | None, environ: Mapping[str, str]) -> tuple[Layer, list[Problem]]:
    path = config_file(config, environ)
    if path is None:
        return Layer(), []
    layer, problems = document.read(path, Place("--config" if config is not None else CONFIG, ()))
    for name in SHORTHAND:
        if isinstance(layer.values.get(name), str):
            layer.bare.add((name,))
            layer.values[name] = {"url": layer.values[name]}
    for name, value in list(layer.values.items()):
        if value is None and name in Settings.model_fields and name != "admin":
            del layer.values[name]  # `routes:` with nothing behind it: as if it were not there
    return layer, problems


def _problem(layers: Sequence[Layer], loc: Path, kind: str, ctx: Mapping[str, Any]) -> Problem:
    unknown = kind == "extra_forbidden"
    layer = speaker(layers, loc)
    place = layer.place(loc, of_key=unknown) if layer is not None else None
    path = loc[:-1] if layer is not None and loc[-1] == "url" and loc[:-1] in layer.bare else loc
    if kind == "missing" and loc[0] == "upstream":
        return Problem(None, ("upstream",), *_NO_UPSTREAM)
    return Problem(place, path, *_words(loc, kind, ctx))


def _words(loc: Path, kind: str, ctx: Mapping[str, Any]) -> tuple[str, str]:
    """What to say of an error: our own say it themselves, pydantic's are few."""
    if kind == "wrong":
        return ctx["what"], ctx["instead"]
    if kind == "extra_forbidden":
        return "is not a known setting", suggestion(loc)
    if kind == "missing":
        return "is missing", f"write {loc[-1]}: /api/users/{{id}}, or another path"
    if kind in ("tuple_type", "list_type"):
        return (
            "is not a list",
            f"write a list: {loc[-1]}: and below it one - match: /api/users/{{id}} for each",
        )
    return "is not a mapping", _mapping_advice(loc)


def _mapping_advice(loc: Path) -> str:
    if loc[0] == "routes":
        return "write - match: /api/users/{id}, with its options below"
    known = fields_at(loc[:-1]).get(str(loc[-1]))
    inner = section(known) if known is not None else None
    example = next(iter(inner.model_fields)) if inner is not None else "key"
    bare = ", or the bare URL" if loc[-1] in SHORTHAND else ""
    return f"write {loc[-1]}: {{{example}: ...}}{bare}"


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    def rank(problem: Problem) -> tuple[object, ...]:
        place = problem.place
        if place is None:
            return (2, (0, 0))
        return (1, place.order) if place.in_file else (0, (0, 0))

    return sorted(problems, key=rank)
