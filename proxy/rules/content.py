"""Versions out of content: what a route's `version` makes of a representation that the backend shows.

A backend may already keep a version (in a field, in its JSON), or a date; or its content says something else
on every GET although nothing changed. What is found here becomes the tag and the date of a representation.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from proxy.rules import pointers
from proxy.rules.canonical import NotCanonical, canonical, parsed
from proxy.rules.pointers import Pointer

_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?P<fraction>\.\d+)?(?P<zone>[Zz]|[+-]\d\d:\d\d)"
)
_DECIMAL: Final = re.compile(r"\d{1,18}(?:\.\d{1,18})?")
_LAST_SECOND: Final = 253_402_300_799  # the end of the year 9999: HTTP dates have four digits for the year
# Seconds until the year 5138, milliseconds from 1973 on, and so on: they cannot be taken for each other.
_UNITS: Final = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))


class Fault(enum.StrEnum):
    """Why content did not say what the route's `version` expects; also a label of the metrics."""

    NOT_JSON = "not_json"  # the content is no JSON that has a canonical form (RFC 8785)
    MISSING = "missing"  # the document or the response lacks the field
    UNUSABLE = "unusable"  # it is there, and is no version or no date
    TOO_SLOW = "too_slow"  # the regular expression takes too long on the content


@dataclass(frozen=True)
class VersionSource:
    """Where the version of a route's representations comes from.

    Attributes:
        ignore: parts of a JSON document that are left out of the hash.
        ignore_text: what is left out of the hash of other content.
        field: a part of a JSON document that is the version.
        modified: a part of a JSON document that is the date of the last change.
        header: a field of the response that is the version.
        content: all of the content is, though the backend sends tags of its own.
    """

    ignore: tuple[Pointer, ...] = ()
    ignore_text: re.Pattern[str] | None = None
    field: Pointer | None = None
    modified: Pointer | None = None
    header: str | None = None
    content: bool = False

    @cached_property
    def tags(self) -> bool:
        """Whether the tag is made from what is found here, whatever tag the backend sends."""
        return bool(self.ignore or self.ignore_text or self.field or self.header or self.content)

    @cached_property
    def reads_json(self) -> bool:
        """Whether the content is read as JSON."""
        return bool(self.ignore or self.field or self.modified)


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that was expected of a representation, and is not so."""

    fault: Fault
    where: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a representation says of its version.

    Attributes:
        kind: what `identity` is; tags of different kinds are never the same.
        identity: what the tag is made from; None where it is to be the hash of the content as it is.
        modified: seconds since the epoch, or None.
        lacks: what was expected and is not so.
    """

    kind: str = ""
    identity: bytes | None = None
    modified: int | None = None
    lacks: tuple[Lack, ...] = ()


def by_header(source: VersionSource, header: Callable[[str], str | None]) -> Told | None:
    """What the response's fields alone tell; None where the content has to be read, too."""
    if source.header is None or source.modified is not None:
        return None
    value = (header(source.header) or "").strip()
    return Told("header", value.encode("utf-8", "surrogateescape")) if value else None


Erase = Callable[[re.Pattern[str], str], str | None]
"""The text with a mark for all that matches ("a" and "b" around it must not become "ab"); None: too slow."""


def erased(expression: re.Pattern[str], text: str) -> str | None:
    """Takes as long as it takes."""
    return expression.sub("\0", text)


def by_content(
    source: VersionSource, content: bytes, header: Callable[[str], str | None], erase: Erase = erased
) -> Told:
    """What the fields and the content tell.

    Args:
        content: without its content codings.
        header: gives the response's field of a name, or None.
        erase: takes out what `ignore_text` matches.
    """
    lacks: list[Lack] = []
    document = _document(source, content, lacks)
    modified = _modified(source, document, lacks)
    kind, identity = _named(source, document, header, lacks)
    if identity is None:
        kind, identity = _reduced(source, document, content, lacks, erase)
    return Told(kind, identity, modified, tuple(lacks))


class _Nothing(enum.Enum):
    NOTHING = "nothing"


_NOTHING: Final = _Nothing.NOTHING


def _document(source: VersionSource, content: bytes, lacks: list[Lack]) -> Any:
    if not source.reads_json:
        return _NOTHING
    try:
        return parsed(content)
    except NotCanonical:
        # With a regular expression too, the route has both kinds of content.
        if source.ignore_text is None or source.field or source.modified:
            lacks.append(Lack(Fault.NOT_JSON, "the content"))
        return _NOTHING


def _named(
    source: VersionSource, document: Any, header: Callable[[str], str | None], lacks: list[Lack]
) -> tuple[str, bytes | None]:
    """The version that the backend keeps itself."""
    if source.header is not None:
        value = (header(source.header) or "").strip()
        if value:
            return "header", value.encode("utf-8", "surrogateescape")
        lacks.append(Lack(Fault.MISSING, f"the field {source.header}"))
    if source.field is None or document is _NOTHING:
        return "", None
    value = _part(document, source.field, lacks)
    if value is _NOTHING:
        return "", None
    if value is None or value == "" or isinstance(value, (bool, dict, list)):
        lacks.append(Lack(Fault.UNUSABLE, pointers.written(source.field)))
        return "", None
    return _canonical("field", value)


def _reduced(
    source: VersionSource, document: Any, content: bytes, lacks: list[Lack], erase: Erase
) -> tuple[str, bytes | None]:
    """The content without what is ignored."""
    if source.ignore and document is not _NOTHING:
        for pointer in source.ignore:
            pointers.remove(document, pointer)
        kind, identity = _canonical("json", document)
        if identity is None:
            lacks.append(Lack(Fault.NOT_JSON, "the content"))
        return kind, identity
    if source.ignore_text is not None:
        text = erase(source.ignore_text, content.decode("utf-8", "surrogateescape"))
        if text is None:
            lacks.append(Lack(Fault.TOO_SLOW, "the content"))
            return "", None
        return "text", text.encode("utf-8", "surrogateescape")
    return "", None


def _canonical(kind: str, value: Any) -> tuple[str, bytes | None]:
    try:
        return kind, canonical(value)
    except NotCanonical:
        return "", None


def _modified(source: VersionSource, document: Any, lacks: list[Lack]) -> int | None:
    if source.modified is None or document is _NOTHING:
        return None
    value = _part(document, source.modified, lacks)
    if value is _NOTHING:
        return None
    seconds = moment(value)
    if seconds is None:
        lacks.append(Lack(Fault.UNUSABLE, pointers.written(source.modified)))
    return seconds


def _part(document: Any, pointer: Pointer, lacks: list[Lack]) -> Any:
    try:
        return pointers.find(document, pointer)
    except LookupError:
        lacks.append(Lack(Fault.MISSING, pointers.written(pointer)))
        return _NOTHING


def moment(value: object) -> int | None:
    """A date of a JSON document: RFC 3339, or a number since the epoch in s, ms, us or ns.

    A time without its zone is none: when local time goes back an hour, a later change would have the earlier
    time, and pass for no change.

    Returns:
        whole seconds since the epoch, or None.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and (found := _RFC3339.fullmatch(value)):
        return _rfc3339(value, found)
    if isinstance(value, (int, float)) or (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        number = float(value) if isinstance(value, float) or "." in str(value) else int(value)
        unit = next((unit for below, unit in _UNITS if 0 <= number < below), None)
        return None if unit is None else int(number // unit)
    return None


def _rfc3339(text: str, found: re.Match[str]) -> int | None:
    whole = text[: found.start("fraction")] if found["fraction"] else text[: found.start("zone")]
    try:
        moment = datetime.fromisoformat(whole.upper() + found["zone"].upper())
    except ValueError:
        return None
    seconds = int(moment.timestamp())
    return seconds if 0 <= seconds <= _LAST_SECOND else None
