"""Options that are small mappings, `version` and `cors`: read whole, written back, and described."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.rules import pointers
from proxy.rules.content import VersionSource
from proxy.rules.cors import Cors
from proxy.rules.pointers import Pointer, PointerError
from proxy.settings import values
from proxy.settings.values import listed, near, quoted, text, wrong

_POINTER: Final = {
    "type": "string",
    "pattern": "^(?:/(?:[^~]|~[01])*)$",
    "examples": ["/rev", "/meta/generatedAt", "/items/*/fetchedAt"],
}
VERSION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "ignore": {
            "type": "array",
            "items": _POINTER,
            "description": "Parts of a JSON document (RFC 6901; * for all elements) that are left out of the "
            "hash; the rest is hashed in its canonical form (RFC 8785).",
        },
        "ignore_text": {
            "type": "string",
            "minLength": 1,
            "description": "A regular expression (Python's): what it matches is left out of the hash of "
            "content that is no JSON, or, without other keys, of any content.",
        },
        "from": _POINTER | {"description": "The part of a JSON document that is its version."},
        "modified": _POINTER
        | {
            "description": "The part of a JSON document that is the date of its last change: RFC 3339, or a "
            "number since the epoch."
        },
        "header": {
            "type": "string",
            "pattern": f"^(?:{values.TOKEN.pattern})$",
            "examples": ["X-Revision"],
            "description": "The response field that is the version.",
        },
        "content": {
            "type": "boolean",
            "description": "The hash of all content is the version, whatever tags the backend sends: "
            "for a backend whose tag and content may be of two states.",
        },
    },
}


CORS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["origins"],
    "properties": {
        "origins": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "string",
                "pattern": r"^(?:\*|[A-Za-z][A-Za-z0-9+.\-]*://[^/?#@,\s]+)$",
                "examples": ["https://app.example", "http://localhost:3000", "*"],
            },
            "description": "Origins whose scripts may use the route; * for every one.",
        },
        "credentials": {
            "type": "boolean",
            "description": "Whether they may send cookies and see what is answered then.",
        },
        "preflight": {
            "enum": ["answer", "pass"],
            "description": "Preflights are answered by the proxy, or by a backend that knows CORS; then what "
            "conditional requests need is added.",
        },
    },
}
_ORIGIN: Final = re.compile(CORS_SCHEMA["properties"]["origins"]["items"]["pattern"])


def cors(value: object) -> Cors | None:
    """Which scripts of other origins are allowed; None for none."""
    if value is None or isinstance(value, Cors):
        return value
    found = _mapping(value, "{origins: [https://app.example]}")
    _known(found, CORS_SCHEMA["properties"])
    origins = values.items(found.get("origins"))
    read = frozenset(map(_origin, origins)) if isinstance(origins, (list, tuple)) else frozenset()
    if not read:
        raise wrong("allows no origin", "write origins: [https://app.example], or leave cors out")
    credentials = values.switch(found.get("credentials", False))
    if credentials and "*" in read:
        raise wrong("would show every site what is only for its visitors", "name the origins instead of *")
    passed = found.get("preflight", "answer")
    if passed not in ("answer", "pass"):
        raise wrong(f"preflight: {quoted(passed)} is not one of answer or pass", "write answer")
    return Cors(read, credentials, passed == "pass")


def written_cors(cors: Cors | None) -> dict[str, Any] | None:
    """As it would be written in the file."""
    if cors is None:
        return None
    preflight = "pass" if cors.passed else "answer"
    return {"origins": sorted(cors.origins), "credentials": cors.credentials, "preflight": preflight}


def _origin(value: object) -> str:
    written = text(value)
    if not _ORIGIN.fullmatch(written):
        raise wrong(f"{quoted(written)} is no origin", "write scheme and host, such as https://app.example")
    return written.lower()


def version_source(value: object) -> VersionSource | None:
    """Where versions come from; None for the backend's validators, else a hash of all content."""
    if value is None or isinstance(value, VersionSource):
        return value
    found = _mapping(value, "{ignore: [/meta/generatedAt]}")
    read = {key: reader(key, found[key]) for key, reader in _VERSION.items() if key in found}
    _known(found, _VERSION)
    if "from" in read and "header" in read:
        raise wrong("has its version from two places", "keep from, or header")
    if read.get("content") and (others := read.keys() - {"content", "modified"}):
        raise wrong(
            "has its version from all of the content, and from elsewhere",
            f"keep content, or {listed(sorted(others), 'and')}",
        )
    if not any(read.values()):
        return None
    return VersionSource(
        ignore=read.get("ignore", ()),
        ignore_text=read.get("ignore_text"),
        field=read.get("from"),
        modified=read.get("modified"),
        header=read.get("header"),
        content=read.get("content", False),
    )


def written_version(source: VersionSource | None) -> dict[str, Any] | None:
    """As it would be written in the file."""
    if source is None:
        return None
    found: dict[str, Any] = {
        "ignore": [pointers.written(pointer) for pointer in source.ignore],
        "ignore_text": source.ignore_text and source.ignore_text.pattern,
        "from": source.field and pointers.written(source.field),
        "modified": source.modified and pointers.written(source.modified),
        "header": source.header,
        "content": source.content,
    }
    return {key: value for key, value in found.items() if value}


def _known(found: Mapping[Any, Any], known: Mapping[str, Any]) -> None:
    for key in found:
        if key not in known:
            raise wrong(f"has no key {quoted(key)}", f"write {near(str(key), known) or listed(known)}")


def _mapping(value: object, example: str) -> Mapping[Any, Any]:
    """A mapping; an environment variable has it as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            raise wrong(f"{quoted(value)} is not JSON", f"write a mapping, such as {example}") from None
    if not isinstance(value, Mapping):
        raise wrong(f"{quoted(value)} is not a mapping", f"write one, such as {example}")
    return value


def _pointer(key: str, value: object) -> Pointer:
    written = text(value)
    try:
        return pointers.parse(written)
    except PointerError as error:
        raise wrong(f"{key}: {quoted(written)} {error.what}", error.instead) from None


def _one_part(key: str, value: object) -> Pointer:
    pointer = _pointer(key, value)
    if pointers.EVERY in pointer:
        raise wrong(f"{key}: {quoted(value)} names many parts", "name one, such as /rev")
    return pointer


def _pointers(key: str, value: object) -> tuple[Pointer, ...]:
    found = values.items(value)
    return tuple(_pointer(key, one) for one in found) if isinstance(found, (list, tuple)) else ()


def _expression(key: str, value: object) -> re.Pattern[str]:
    written = text(value)
    try:
        expression = re.compile(written)
    except re.error as error:
        raise wrong(
            f"{key}: {quoted(written)} is no regular expression ({error.msg})", "write Python's"
        ) from None
    if expression.search("") is not None:
        raise wrong(f"{key}: {quoted(written)} matches nothing at all, too", "demand one character or more")
    return expression


def _field_name(key: str, value: object) -> str:
    written = text(value)
    if not values.TOKEN.fullmatch(written):
        raise wrong(f"{key}: {quoted(written)} is no field name", "write one, such as X-Revision")
    return written


_VERSION: Final[dict[str, Callable[[str, object], Any]]] = {
    "ignore": _pointers,
    "ignore_text": _expression,
    "from": _one_part,
    "modified": _one_part,
    "header": _field_name,
    "content": lambda _, value: values.switch(value),
}
