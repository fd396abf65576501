"""What several settings say together: the lease and the timeout, two addresses, workers, the order of routes.

The checks work on the values as written and pass over what cannot be read (that is reported elsewhere), so
that one mistake does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from pydantic import SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from proxy.rules.coverage import Reach, covered
from proxy.rules.patterns import Pattern, PatternError, check_template, parse
from proxy.settings import values
from proxy.settings.addresses import Address, address, admin_address, store_url
from proxy.settings.values import listed, positive_duration, quoted, switch, written_duration, wrong

LEASE_MARGIN: Final = 5.0
"""Seconds by which the lease outlasts `upstream.timeout` where `store.lease` is not set (DESIGN rule 5)."""

TRACING_PACKAGE: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
"""What of the extra `tracing` brings all of it."""

_ALONE: Final[int | str] = 1
_EVERYWHERE: Final = ("", "0.0.0.0", "::")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Written:
    """A route whose match can be read, and where it stands."""

    at: int
    reach: Reach

    def __str__(self) -> str:
        return f"routes[{self.at}] ({self.reach.pattern.text})"


def errors(data: Mapping[str, Any]) -> list[InitErrorDetails]:
    """Everything that contradicts something else.

    Args:
        data: the merged settings, without shorthand.
    """
    return [
        *_lease(data),
        *_addresses(data),
        *_workers(data),
        *_routes(data),
        *_templates(data),
        *_collections(data),
        *_tracing(data),
    ]


def joined(error: ValidationError | None, more: Sequence[InitErrorDetails]) -> ValidationError:
    """One error that says both. Values are left out: they may be secret."""
    lines = list(more)
    for line in error.errors(include_url=False) if error else []:
        ctx = line.get("ctx", {})
        kind: Any = wrong(ctx["what"], ctx["instead"]) if line["type"] == "wrong" else line["type"]
        again = InitErrorDetails(type=kind, loc=line["loc"], input=None, ctx=ctx)
        # pydantic-settings validates twice, inside `model_validate` and inside the constructor.
        if not any(str(again["type"]) == str(old["type"]) and again["loc"] == old["loc"] for old in lines):
            lines.append(again)
    return ValidationError.from_exception_data("Settings", lines, hide_input=True)


def _lease(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    lease = _attempt(positive_duration, _at(data, "store", "lease"))
    timeout = _attempt(positive_duration, _at(data, "upstream", "timeout"), 30.0)
    if lease is not None and timeout is not None and lease <= timeout:
        # A claim that ends while the backend may still be writing lets a second writer in (DESIGN rule 5).
        yield _error(
            ("store", "lease"),
            f"{written_duration(lease)} is not longer than upstream.timeout ({written_duration(timeout)}):"
            " a claim would end while its write may still be under way",
            f"write {written_duration(timeout + LEASE_MARGIN)} or more, or leave it out",
        )


def _addresses(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    listen = _attempt(address, data.get("listen"), Address("127.0.0.1", 8412))
    admin = Address("127.0.0.1", 9412) if "admin" not in data else _attempt(admin_address, data["admin"])
    if listen is None or admin is None or listen.port != admin.port or not listen.port:
        return
    if listen.host == admin.host or listen.host in _EVERYWHERE or admin.host in _EVERYWHERE:
        free = Address(admin.host, 9412 if admin.port != 9412 else 9413)
        key = "admin" if "admin" in data else "listen"
        yield _error(
            (key,),
            f"listen ({listen}) and admin ({admin}) cannot share one port",
            f"write {f'{free}, or off' if key == 'admin' else Address(listen.host, 8412)}",
        )


def _workers(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    workers = _attempt(values.workers, data.get("workers"), _ALONE)
    if workers is None or workers == 1:
        return
    if _attempt(_store_url, _at(data, "store", "url"), "memory") == "memory":
        # Each process would have versions and claims of its own, and see no write of the others.
        yield _error(
            ("workers",),
            f"{workers} needs Redis: processes must see each other's versions and claims, and the store is in"
            " memory",
            "write store: redis://redis:6379/0, or workers: 1",
        )
    for section, key in (("upstream", "max_connections"), ("limits", "connections")):
        most = _attempt(values.count, _at(data, section, key), 0)
        if most and isinstance(workers, int) and most < workers:
            yield _error(
                (section, key),
                f"{most} cannot be shared by {workers} workers: each needs one",
                f"write {workers} or more, or 0 for no limit",
            )


def _routes(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    earlier: list[_Written] = []
    for route in _written_routes(data):
        twin = next((other for other in earlier if _shape(other) == _shape(route)), None)
        if twin is not None:
            yield _error(
                ("routes", route.at, "match"),
                f"{quoted(route.reach.pattern.text)} is the same match as {twin}, which comes first",
                "put all options into one of the two, and remove the other",
            )
        elif rivals := _rivals(route, earlier):
            yield _error(
                ("routes", route.at, "match"),
                f"{quoted(route.reach.pattern.text)} can never match: {listed(map(str, rivals), 'and')}"
                f" {'comes first and takes' if len(rivals) == 1 else 'come first and take'} all its paths",
                f"move it above {rivals[0]}, or remove it",
            )
        earlier.append(route)


def _rivals(route: _Written, earlier: Sequence[_Written]) -> list[_Written]:
    """The earlier routes that leave this one nothing: one if one does, else as few as do."""
    if not covered(route.reach, [other.reach for other in earlier]):
        return []
    for other in earlier:
        if covered(route.reach, [other.reach]):
            return [other]
    needed = list(earlier)
    for other in earlier:
        fewer = [rival for rival in needed if rival is not other]
        needed = fewer if covered(route.reach, [rival.reach for rival in fewer]) else needed
    return needed


def _collections(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    """Nothing that is recorded of members may be believed, which `verify: never` would."""
    written = data.get("defaults")
    defaults = written if isinstance(written, Mapping) else {}
    places: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [(("defaults",), defaults)]
    routes = data.get("routes")
    for at, raw in enumerate(routes if isinstance(routes, (list, tuple)) else ()):
        if isinstance(raw, Mapping) and {"collections", "verify"} & raw.keys():
            places.append((("routes", at), {**defaults, **raw}))
    for loc, options in places:
        if _attempt(switch, options.get("collections"), False) and options.get("verify") == "never":
            what = '"never" believes versions of members that have gone with their collection'
            yield _error((*loc, "verify"), what, "leave it out, or write collections: false")


def _templates(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    yield from _unknown_names(("defaults",), _at(data, "defaults", "invalidates"), ())
    for route in _written_routes(data):
        written, names = data["routes"][route.at], route.reach.pattern.names
        yield from _unknown_names(("routes", route.at), written.get("invalidates"), names)
        yield from _resource(("routes", route.at, "resource"), written.get("resource"), route)


def _resource(loc: tuple[str | int, ...], template: object, route: _Written) -> Iterator[InitErrorDetails]:
    if template is None:
        return
    text = template if isinstance(template, str) and template else ""
    try:
        check_template(text, route.reach.pattern.names)
    except PatternError as error:
        yield _error(loc, f"{quoted(template)} {error.what}", error.instead)
    else:
        if text == route.reach.pattern.text:
            yield _error(
                loc, f"{quoted(text)} is the route's own match", "leave it out, or name another path"
            )


def _unknown_names(
    loc: tuple[str | int, ...], templates: object, known: tuple[str, ...]
) -> Iterator[InitErrorDetails]:
    for at, template in enumerate(templates if isinstance(templates, (list, tuple)) else ()):
        try:
            check_template(template if isinstance(template, str) and template else "/", known)
        except PatternError as error:
            yield _error((*loc, "invalidates", at), f"{quoted(template)} {error.what}", error.instead)


def _tracing(data: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    if _attempt(switch, _at(data, "tracing", "enabled")) and not _installed(TRACING_PACKAGE):
        yield _error(
            ("tracing", "enabled"),
            "needs packages that are not installed here",
            "install them with: pip install 'precondition-proxy[tracing]', or write false",
        )


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _written_routes(data: Mapping[str, Any]) -> Iterator[_Written]:
    routes = data.get("routes")
    defaults = data.get("defaults")
    for at, raw in enumerate(routes if isinstance(routes, (list, tuple)) else ()):
        pattern = _attempt(_pattern, raw.get("match")) if isinstance(raw, Mapping) else None
        if pattern is not None:
            options = {**(defaults if isinstance(defaults, Mapping) else {}), **raw}
            yield _Written(at, _reach(pattern, options))


def _reach(pattern: Pattern, options: Mapping[str, Any]) -> Reach:
    return Reach(
        pattern,
        case_insensitive=bool(_attempt(switch, options.get("case_insensitive"), False)),
        either_slash=options.get("trailing_slash") == "same",
        merge_slashes=bool(_attempt(switch, options.get("merge_slashes"), False)),
    )


def _shape(route: _Written) -> object:
    shape = route.reach.pattern.shape
    return str(shape).lower() if route.reach.case_insensitive else str(shape)


def _pattern(value: object) -> Pattern:
    try:
        return parse(value if isinstance(value, str) else "")
    except PatternError as error:
        raise wrong(error.what, error.instead) from None


def _store_url(value: object) -> str:
    return store_url(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _at(data: Mapping[str, Any], section: str, key: str) -> object:
    found = data.get(section)
    return found.get(key) if isinstance(found, Mapping) else None


def _attempt(read: Callable[[object], _Value], value: object, absent: _Value | None = None) -> _Value | None:
    """The value, `absent` where it is not written, None where it cannot be read."""
    if value is None:
        return absent
    try:
        return read(value)
    except PydanticCustomError:
        return None


def _error(loc: tuple[str | int, ...], what: str, instead: str) -> InitErrorDetails:
    return InitErrorDetails(type=wrong(what, instead), loc=loc, input=None)
