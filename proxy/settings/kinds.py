"""The types of single settings: how each is read, written back, and described in the JSON Schema."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, PlainSerializer, SecretStr, WithJsonSchema

from proxy.rules.content import VersionSource
from proxy.rules.cors import Cors
from proxy.rules.patterns import PatternError, parse
from proxy.rules.routing import (
    AfterWrite,
    EtagOnWrite,
    Mode,
    OnStoreFailure,
    RequireMode,
    Verify,
    WeakIfMatch,
)
from proxy.settings import addresses, structures, values
from proxy.settings.values import quoted, text, wrong

SECRET_LENGTH: Final = 16
"""The fewest characters of `tag_secret`: fewer could be guessed, and with them what a minted tag hides."""


class HostField(StrEnum):
    """Which Host the backend sees."""

    KEEP = "keep"
    UPSTREAM = "upstream"


class Forwarded(StrEnum):
    """Which fields tell the backend about the client."""

    X_FORWARDED = "x-forwarded"
    FORWARDED = "forwarded"
    NONE = "none"


class Override(StrEnum):
    """What X-HTTP-Method-Override and its kin mean."""

    EVALUATE = "evaluate"
    STRIP = "strip"


class ShownNames(StrEnum):
    """Whether the page of conflicts and the spans of traces name resources."""

    SHOW = "show"
    HIDE = "hide"


class LogLevel(StrEnum):
    """The least important lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line of the log looks."""

    JSON = "json"
    TEXT = "text"


class Slash(StrEnum):
    """What a last slash means for a resource's name."""

    DISTINCT = "distinct"
    SAME = "same"


def match_pattern(value: object) -> str:
    """A route's pattern, as written."""
    written = text(value)
    try:
        parse(written)
    except PatternError as error:
        raise wrong(f"{quoted(written)} {error.what}", error.instead) from None
    return written


def tag_secret(value: object) -> SecretStr | None:
    """The key of minted tags; never shown, not even when it is wrong."""
    secret = value.get_secret_value() if isinstance(value, SecretStr) else value
    if secret is None:
        return None
    if not isinstance(secret, str):
        raise wrong("is not text", "write it in quotes")
    if len(secret) < SECRET_LENGTH:
        raise wrong(
            f"has {len(secret)} characters, and could be guessed" if secret else "is empty",
            f"write at least {SECRET_LENGTH}, such as the output of: openssl rand -base64 32",
        )
    return SecretStr(secret)


def secret_store_url(value: object) -> SecretStr:
    """A store URL, which may hold a password."""
    return SecretStr(addresses.store_url(value.get_secret_value() if isinstance(value, SecretStr) else value))


def grace(value: object) -> float | str:
    """`auto`, or seconds."""
    return "auto" if value == "auto" else values.duration(value)


def replay(value: object) -> float:
    """Seconds; off for none."""
    return 0.0 if value is False or value == "off" else values.duration(value)


def pseudonym(value: object) -> str | None:
    """The name in Via (RFC 9110 section 7.6.3): true for the usual one, false for no Via at all."""
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
        return "precondition-proxy" if values.switch(value) else None
    if isinstance(value, str) and values.TOKEN.fullmatch(value):
        return value
    if value is None:
        return None
    raise wrong(f"{quoted(value)} cannot stand in Via", "write true, false, or one word such as edge-proxy")


def _schema(*forms: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(forms[0] if len(forms) == 1 else {"anyOf": list(forms)})


def _string(pattern: str, *examples: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$", "examples": list(examples)}


_DURATION = _string(values.DURATION.pattern, "500ms", "30s", "2m", "1h", "7d")
_SIZE = _string(values.SIZE.pattern, "64KiB", "1MiB")
_METHOD = {"enum": sorted([*values.UNSAFE, *(method.lower() for method in values.UNSAFE)])}
_WRITE_DURATION = PlainSerializer(values.written_duration, return_type=str)
_WRITE_SIZE = PlainSerializer(values.written_size, return_type=str)
_SORTED = PlainSerializer(sorted, return_type=list[str])

Text = Annotated[str, BeforeValidator(text), _schema({"type": "string", "minLength": 1})]
Switch = Annotated[bool, BeforeValidator(values.switch), _schema({"type": "boolean"})]
Count = Annotated[int, BeforeValidator(values.count), _schema({"type": "integer", "minimum": 0})]
PositiveCount = Annotated[
    int, BeforeValidator(values.positive(values.count)), _schema({"type": "integer", "minimum": 1})
]
Size = Annotated[
    int, BeforeValidator(values.size), _WRITE_SIZE, _schema({"type": "integer", "minimum": 0}, _SIZE)
]
PositiveSize = Annotated[
    int,
    BeforeValidator(values.positive(values.size)),
    _WRITE_SIZE,
    _schema({"type": "integer", "minimum": 1}, _SIZE),
]
Duration = Annotated[
    float,
    BeforeValidator(values.duration),
    _WRITE_DURATION,
    _schema({"type": "number", "minimum": 0}, _DURATION),
]
PositiveDuration = Annotated[
    float,
    BeforeValidator(values.positive_duration),
    _WRITE_DURATION,
    _schema({"type": "number", "exclusiveMinimum": 0}, _DURATION),
]
Grace = Annotated[
    float | Literal["auto"],
    BeforeValidator(grace),
    _schema({"const": "auto"}, {"type": "number", "minimum": 0}, _DURATION),
]
Replay = Annotated[
    float,
    BeforeValidator(replay),
    _WRITE_DURATION,
    _schema({"enum": ["off", False]}, {"type": "number", "minimum": 0}, _DURATION),
]
Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(values.workers),
    _schema({"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": values.MOST_WORKERS}),
]
HostNames = Annotated[
    tuple[Annotated[str, BeforeValidator(addresses.host_name)], ...],
    BeforeValidator(values.items),
    _schema({"type": "array", "items": {"type": "string", "examples": ["proxy.example", "*"]}}),
]
Prefix = Annotated[str, BeforeValidator(values.prefix), _schema(_string(r"[!-z|~]+", "pp"))]
TagSecret = Annotated[
    SecretStr | None, BeforeValidator(tag_secret), _schema({"type": "string", "minLength": SECRET_LENGTH})
]
Pseudonym = Annotated[
    str | None,
    BeforeValidator(pseudonym),
    _schema({"type": "boolean"}, _string(values.TOKEN.pattern, "edge-proxy")),
]

_LISTEN = _string(r"(?:\[[^\]]*\]|[^:\[\]]*):\d{1,5}", "127.0.0.1:8412", "[::1]:8412", ":8412")
_TO_TEXT = PlainSerializer(str, return_type=str)
Listen = Annotated[addresses.Address, BeforeValidator(addresses.address), _TO_TEXT, _schema(_LISTEN)]
Admin = Annotated[
    addresses.Address | None,
    BeforeValidator(addresses.admin_address),
    PlainSerializer(lambda value: str(value or "off"), return_type=str),
    _schema(_LISTEN, {"enum": ["off", False, None]}),
]
UpstreamUrl = Annotated[
    str,
    BeforeValidator(addresses.upstream_url),
    _schema(_string(r"https?://[^/?#@]+/?|unix:/.+", "http://localhost:8080", "unix:/run/backend.sock")),
]
StoreUrl = Annotated[
    SecretStr,
    BeforeValidator(secret_store_url),
    PlainSerializer(lambda url: addresses.redacted(url.get_secret_value()), return_type=str),
    _schema(
        _string(
            r"memory(?::(?://)?)?|rediss?(?:\+(?:sentinel|cluster))?://.+|unix:/.+",
            "memory",
            "redis://redis:6379/0",
            "rediss://:password@redis.example:6380/0",
            "redis+sentinel://one:26379,two:26379/mymaster/0",
            "redis+cluster://one:6379,two:6379",
        )
    ),
]
CollectorUrl = Annotated[
    str | None,
    BeforeValidator(addresses.collector_url),
    _schema(_string(r"https?://[^?#@]+", "http://localhost:4318"), {"type": "null"}),
]
Share = Annotated[
    float | None,
    BeforeValidator(values.share),
    _schema({"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}),
]
Networks = Annotated[
    tuple[Annotated[addresses.Network, BeforeValidator(addresses.network), _TO_TEXT], ...],
    BeforeValidator(values.items),
    _schema({"type": "array", "items": {"type": "string", "examples": ["10.0.0.0/8", "fd00::/8"]}}),
]

Match = Annotated[
    str, BeforeValidator(match_pattern), _schema(_string(r"/[^?#]*", "/api/users/{id}", "/static/{path*}"))
]
Methods = Annotated[
    frozenset[Annotated[str, BeforeValidator(values.write_method)]],
    BeforeValidator(values.items),
    _SORTED,
    _schema({"type": "array", "items": _METHOD}),
]
Templates = Annotated[
    tuple[Text, ...],
    BeforeValidator(values.items),
    _schema({"type": "array", "items": _string(r"/[^?#]*", "/api/users", "/api/users/{id}/orders")}),
]
Template = Annotated[
    Text | None,
    _schema(_string(r"/[^?#]*", "/items/{id}"), {"type": "null"}),
]
Names = Annotated[
    frozenset[Text] | None,
    BeforeValidator(values.query),
    PlainSerializer(lambda names: "all" if names is None else sorted(names) or "none"),
    _schema({"enum": ["all", "none"]}, {"type": "array", "items": {"type": "string", "minLength": 1}}),
]
Selectors = Annotated[
    tuple[Annotated[str, BeforeValidator(values.selector)], ...],
    BeforeValidator(values.items),
    _schema(
        {
            "type": "array",
            "items": _string(
                rf"{values.TOKEN.pattern}|cookie:{values.TOKEN.pattern}", "authorization", "cookie:sid"
            ),
        }
    ),
]
VersionChoice = Annotated[
    VersionSource | None,
    BeforeValidator(structures.version_source),
    PlainSerializer(structures.written_version),
    _schema(structures.VERSION_SCHEMA, {"type": "null"}),
]
CorsChoice = Annotated[
    Cors | None,
    BeforeValidator(structures.cors),
    PlainSerializer(structures.written_cors),
    _schema(structures.CORS_SCHEMA, {"type": "null"}),
]


def _words(kind: type[StrEnum]) -> WithJsonSchema:
    return WithJsonSchema({"enum": [member.value for member in kind]})


HostChoice = Annotated[HostField, BeforeValidator(values.choice(HostField)), _words(HostField)]
OverrideChoice = Annotated[Override, BeforeValidator(values.choice(Override)), _words(Override)]
ForwardedChoice = Annotated[Forwarded, BeforeValidator(values.choice(Forwarded)), _words(Forwarded)]
NamesChoice = Annotated[ShownNames, BeforeValidator(values.choice(ShownNames)), _words(ShownNames)]
LevelChoice = Annotated[LogLevel, BeforeValidator(values.choice(LogLevel)), _words(LogLevel)]
FormatChoice = Annotated[LogFormat, BeforeValidator(values.choice(LogFormat)), _words(LogFormat)]
ModeChoice = Annotated[Mode, BeforeValidator(values.choice(Mode)), _words(Mode)]
VerifyChoice = Annotated[Verify, BeforeValidator(values.choice(Verify)), _words(Verify)]
AfterWriteChoice = Annotated[AfterWrite, BeforeValidator(values.choice(AfterWrite)), _words(AfterWrite)]
EtagOnWriteChoice = Annotated[EtagOnWrite, BeforeValidator(values.choice(EtagOnWrite)), _words(EtagOnWrite)]
OnStoreFailureChoice = Annotated[
    OnStoreFailure, BeforeValidator(values.choice(OnStoreFailure)), _words(OnStoreFailure)
]
RequireModeChoice = Annotated[RequireMode, BeforeValidator(values.choice(RequireMode)), _words(RequireMode)]
WeakIfMatchChoice = Annotated[WeakIfMatch, BeforeValidator(values.choice(WeakIfMatch)), _words(WeakIfMatch)]
SlashChoice = Annotated[Slash, BeforeValidator(values.choice(Slash)), _words(Slash)]
