"""What a client would rather get, by its Prefer (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_LONGEST: Final = 2000  # characters of Prefer that are looked at

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_WORD: Final = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*+")'
_PARAMETER: Final = rf"[ \t]*+;[ \t]*+(?:{_TOKEN}(?:[ \t]*+=[ \t]*+{_WORD})?+)?+"
_PREFERENCE: Final = re.compile(
    rf"[ \t]*+(?:({_TOKEN})(?:[ \t]*+=[ \t]*+({_WORD}))?+(?:{_PARAMETER})*+[ \t]*+)?+(?:,|\Z)"
)


def wants_representation(lines: Sequence[str]) -> bool:
    """Whether `return=representation` is preferred (RFC 7240 section 4.2).

    A value may be quoted, and of a preference that comes twice the first counts (section 2). What cannot be
    read is no preference.

    Args:
        lines: the lines of Prefer, in order.
    """
    text = ", ".join(lines)
    position = 0
    while position < len(text) <= _LONGEST:
        found = _PREFERENCE.match(text, position)
        if found is None:
            return False
        if (found[1] or "").lower() == "return":
            return _unquoted(found[2] or "").lower() == "representation"
        position = found.end()
    return False


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word
