"""Which form of a refusal the client wants, by its Accept (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Final

_LONGEST: Final = 2000  # characters of Accept that are looked at; no browser sends a quarter of it

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_PARAMETER: Final = rf"[ \t]*+;[ \t]*+(?:({_TOKEN})=({_TOKEN}|{_QUOTED}))?+"
_NEXT_PARAMETER: Final = re.compile(_PARAMETER)
_RANGE: Final = re.compile(rf"[ \t]*+(?:({_TOKEN}/{_TOKEN})((?:{_PARAMETER})*+)[ \t]*+)?+(?:,|\Z)")
_QVALUE: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")  # RFC 9110 section 12.4.2


class Form(enum.StrEnum):
    """The forms that a refusal has, the preferred one first."""

    PROBLEM = "application/problem+json"
    HTML = "text/html"
    TEXT = "text/plain"


def choose(accept: Sequence[str]) -> Form:
    """The form with the highest quality; of equals the one that is named rather than covered by a wildcard.

    No Accept, one that cannot be read, and one that takes none of the forms get problem+json: a server may
    answer so (RFC 9110 section 12.5.1), and a refusal must be told in some form.

    Args:
        accept: the lines of Accept, in order.
    """
    text = ", ".join(accept)
    ranges = _ranges(text) if len(text) <= _LONGEST else None
    if not ranges:
        return Form.PROBLEM
    best = max(Form, key=lambda form: _rank(form, ranges))
    return best if _rank(best, ranges)[0] > 0 else Form.PROBLEM


def _rank(form: Form, ranges: Mapping[str, float]) -> tuple[float, int]:
    """Its quality by the most specific range that covers it, and how specific that is."""
    # A client that asks for JSON can read a problem document (RFC 9457 section 3).
    also = "application/json" if form is Form.PROBLEM else form
    for name, specific in ((form, 2), (also, 2), (f"{form.split('/')[0]}/*", 1), ("*/*", 0)):
        if name in ranges:
            return ranges[name], specific
    return 0.0, 0


def _ranges(text: str) -> dict[str, float] | None:
    """Media ranges with their quality, or None where the text is not a valid Accept.

    Parameters other than q are left aside: no form has two kinds that they could tell apart.
    """
    ranges: dict[str, float] = {}
    position = 0
    while position < len(text):
        found = _RANGE.match(text, position)
        if found is None:
            return None
        position = found.end()
        if found[1] is not None:
            quality = _quality(found[2])
            if quality is None:
                return None
            name = found[1].lower()
            ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges


def _quality(parameters: str) -> float | None:
    for found in _NEXT_PARAMETER.finditer(parameters):
        if found[1] in ("q", "Q"):
            return float(found[2]) if _QVALUE.fullmatch(found[2]) else None
    return 1.0
