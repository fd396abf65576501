"""JSON Pointer (RFC 6901): which parts of a document a setting speaks of.

One thing is added: a step `*` stands for every element of an array and every member of an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.rules.canonical import NotCanonical, parsed

EVERY: Final = "*"
_MOST_PARTS: Final = 12  # two documents that differ in more are just two documents
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")  # RFC 6901 section 4: no leading zeros
_STRAY_TILDE: Final = re.compile(r"~(?![01])")

Pointer = tuple[str, ...]
"""The steps from the whole document to a part of it."""


class PointerError(ValueError):
    """The text is no JSON Pointer.

    Args:
        what: what is wrong.
        instead: what to write.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(what)
        self.what = what
        self.instead = instead


def parse(text: str) -> Pointer:
    """Reads a pointer to a part of a document; the whole document (an empty pointer) is no part.

    Raises:
        PointerError: it is none.
    """
    if not text.startswith("/"):
        raise PointerError("is no JSON Pointer to a part of a document", f"write /{text.lstrip('$./')}")
    if _STRAY_TILDE.search(text):
        raise PointerError("has a ~ that is neither ~0 nor ~1", "write ~0 for ~, and ~1 for / in a name")
    # RFC 6901 section 4: ~1 first, so that ~01 becomes ~1.
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def written(pointer: Pointer) -> str:
    """The opposite of `parse`."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in pointer)


def find(document: Any, pointer: Pointer) -> Any:
    """The part of a document.

    Raises:
        LookupError: there is none.
    """
    for step in pointer:
        document = document[_key(document, step)]
    return document


def remove(document: Any, pointer: Pointer) -> None:
    """Takes a part out of a document; nothing happens where there is none.

    An element of an array becomes null, so that the places of the others stay what they were.
    """
    *around, last = pointer
    for parent in _all(document, around):
        for key in _keys(parent, last):
            if isinstance(parent, dict):
                del parent[key]
            else:
                parent[key] = None


def differing(one: bytes, other: bytes) -> list[Pointer] | None:
    """The parts in which two JSON documents differ, None where they are no JSON, or differ everywhere."""
    try:
        parts = list(_parts(parsed(one), parsed(other), ()))
    except NotCanonical:
        return None
    return None if () in parts or len(parts) > _MOST_PARTS else parts


def _parts(one: Any, other: Any, at: Pointer) -> Iterator[Pointer]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {**one, **other}:
            if name in one and name in other:
                yield from _parts(one[name], other[name], (*at, name))
            else:
                yield (*at, name)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        inner = [part for pair in zip(one, other, strict=True) for part in _parts(*pair, (*at, EVERY))]
        yield from dict.fromkeys(inner)
    elif one != other:
        yield at


def _all(document: Any, pointer: list[str]) -> list[Any]:
    found = [document]
    for step in pointer:
        found = [parent[key] for parent in found for key in _keys(parent, step)]
    return found


def _keys(parent: Any, step: str) -> list[Any]:
    if step == EVERY and isinstance(parent, (dict, list)):
        return list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    try:
        return [_key(parent, step)]
    except LookupError:
        return []


def _key(parent: Any, step: str) -> Any:
    """The key or index of a step.

    Raises:
        LookupError: there is no such part.
    """
    if isinstance(parent, dict) and step in parent:
        return step
    if isinstance(parent, list) and _INDEX.fullmatch(step) and int(step) < len(parent):
        return int(step)
    raise LookupError(step)
