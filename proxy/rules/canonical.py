"""JSON in one form, whatever the order of its members, its white space and how it writes numbers (RFC 8785).

One thing is different. RFC 8785 takes every number for a double (section 3.2.2.3), so that 9007199254740993
becomes 9007199254740992; two versions that differ in just that would be one, and an update would be lost. A
number that is no double's is kept as its exact decimal value instead.

What I-JSON forbids (RFC 7493) has no canonical form: members of the same name, of which servers take the
first or the last, and text that is no Unicode.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

# Written where JSON's own encoder would write a number otherwise: a string that begins with half of a
# surrogate pair, which canonical JSON cannot hold. `_number` puts it, `canonical` takes it out.
_MARK: Final = "\udc00"
_MARKED: Final = re.compile(f'"{_MARK}([^"]*)"')
_FORGED: Final = re.compile(rb'"\\u[dD][cC]00')
_EXACT_DIGITS: Final = 15  # any decimal of so many digits survives as a double (IEEE 754)
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode


class NotCanonical(ValueError):
    """The text is no JSON, or none that has a canonical form."""


def parsed(content: bytes) -> Any:
    """A JSON text as values: objects have their members in canonical order.

    Raises:
        NotCanonical: it is no JSON in UTF-8, or no I-JSON.
    """
    if _FORGED.search(content):
        raise NotCanonical("it holds half of a surrogate pair")
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_float=_number,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError) as wrong:
        raise NotCanonical(str(wrong)) from None


def canonical(value: Any) -> bytes:
    """What `parsed` gave, in canonical form; parts may have been taken out of it.

    Raises:
        NotCanonical: it holds text that is no Unicode.
    """
    try:
        text = _encode(value)
        return _MARKED.sub(r"\1", text).encode("utf-8")
    except (ValueError, RecursionError) as wrong:  # a surrogate without its other half
        raise NotCanonical(str(wrong)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("two members of one object have the same name")
    names = sorted(found)
    if not "".join(names).isascii():
        names.sort(key=_utf16)
    return {name: found[name] for name in names}


def _utf16(name: str) -> bytes:
    """RFC 8785 section 3.2.3: names are ordered by their UTF-16 code units."""
    return name.encode("utf-16-be", "surrogatepass")


def _constant(name: str) -> Any:
    raise NotCanonical(f"{name} is not JSON")


def _number(text: str) -> Any:
    """A number with a fraction or an exponent, so that it will be written as ECMAScript does."""
    number = float(text)
    if not _is_exact(text, number):
        return _MARK + _decimal(text)
    if number.is_integer() and abs(number) < 1e21:
        return int(Decimal(repr(number)))  # beyond 2**53 the shortest digits, then zeros
    return number if abs(number) >= 1e-4 and abs(number) < 1e16 else _MARK + _ecmascript(number)


def _is_exact(text: str, number: float) -> bool:
    """Whether the shortest form of the double says all that the text says."""
    if not math.isfinite(number) or (number == 0 and text.strip("-0.eE+")):
        return False
    if len(text) <= _EXACT_DIGITS:
        return True
    # Who writes doubles writes the fewest digits that tell one from another, or always 17.
    return Decimal(text) in (Decimal(repr(number)), Decimal(f"{number:.17g}"))


def _decimal(text: str) -> str:
    """An exact decimal value in one form, however it was written."""
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        raise NotCanonical("a number is out of all bounds") from None
    significant = "".join(map(str, digits)).lstrip("0")
    short = significant.rstrip("0")
    if not short or not isinstance(exponent, int):
        return "0"
    return f"{'-' if sign else ''}{short}e{exponent + len(significant) - len(short)}"


def _ecmascript(number: float) -> str:
    """A small or large double as ECMAScript writes it (RFC 8785 section 3.2.2.3)."""
    text = repr(number)
    mantissa, _, exponent = text.partition("e")
    power = int(exponent or "0")
    if not -7 < power < 0:
        return f"{mantissa}e{power:+d}" if exponent else text
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}"
