"""One byte range of a representation that we hold whole (RFC 9110 section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)


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
        all of which a server may ignore (RFC 9110 section 14.2); or there is nothing to send.
    """
    match = _ONE.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last so many bytes
        return _last(int(match[2]), length)
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    if first >= length:
        return Unsatisfiable()
    return Part(first, min(int(match[2]), length - 1) if match[2] else length - 1)


def _last(count: int, length: int) -> Part | Unsatisfiable | None:
    if not count:
        return Unsatisfiable()
    # The end of an empty representation is satisfiable (section 14.1.2), but no Content-Range can say so.
    return Part(max(length - count, 0), length - 1) if length else None
