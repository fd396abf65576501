"""One byte range of a representation that we hold whole (RFC 9110 section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No byte of the representation is asked for: 416 (RFC 9110 section 15.5.17)."""


def select(text: str, length: int) -> Part | Unsatisfiable | None:
    """What a Range field asks for.

    Args:
        text: the field's value.
        length: the representation's size in bytes.

    Returns:
        None where the whole representation is to be sent: another unit, several ranges or an invalid one,
        all of which a server may ignore (RFC 9110 section 14.2).
    """
    match = _ONE.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last so many bytes
        count = min(int(match[2]), length)
        return Part(length - count, length - 1) if count else Unsatisfiable()
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    if first >= length:
        return Unsatisfiable()
    return Part(first, min(int(match[2]), length - 1) if match[2] else length - 1)
