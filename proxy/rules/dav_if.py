"""WebDAV's If field (RFC 4918 section 10.4), as far as it names tags that the proxy minted.

The field holds lists of conditions: lock tokens, which only the backend knows, and entity tags, of which it
does not know those that are ours. One of ours is replaced by a condition that every WebDAV server answers as
we would: the state token `DAV:no-lock` never matches, and `Not <DAV:no-lock>` always does (section 10.4.8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from proxy.rules.etags import EntityTag
from proxy.rules.minting import is_minted, without_coding

_NEVER: Final = "<DAV:no-lock>"
_ALWAYS: Final = f"Not {_NEVER}"

# Possessive: no text makes the matcher go back.
_TOKEN: Final = re.compile(
    r"[ \t]*+(?:(?P<not>Not[ \t]*+)?\[[ \t]*+(?P<etag>[^\]]*+)\]|Not|<[^>]*+>|[()])[ \t]*+"
)


class _Malformed(ValueError):
    """The text is no If field; what it asks for is the backend's to say."""


def minted_tags(value: str) -> tuple[EntityTag, ...]:
    """The minted tags that the field names, without the suffix of a coding; none where it is malformed."""
    try:
        return tuple(without_coding(tag) for _, _, tag, _ in _tokens(value) if tag is not None)
    except _Malformed:
        return ()


def told(value: str, holds: Callable[[str | None, EntityTag], bool | None]) -> str:
    """The field with what we know of minted tags in their place; the field as it is where it is malformed.

    Args:
        holds: whether a tag, without the suffix of a coding, names the current version of the resource whose
            URI reference is given, None for the request's own. It answers None where that is not known: then
            the condition is false, with `Not` before it or without.
    """
    try:
        return " ".join(_retold(value, holds)).replace("( ", "(").replace(" )", ")")
    except _Malformed:
        return value


def _retold(value: str, holds: Callable[[str | None, EntityTag], bool | None]) -> Iterator[str]:
    for text, resource, tag, negated in _tokens(value):
        if tag is None:
            yield text
        else:
            true = holds(resource, without_coding(tag))
            yield _NEVER if true is None or true is negated else _ALWAYS


def _tokens(value: str) -> Iterator[tuple[str, str | None, EntityTag | None, bool]]:
    """The parts of the field: text, the resource asked, the minted tag in it, whether it is negated."""
    at, inside, resource = 0, False, None
    while at < len(value):
        found = _TOKEN.match(value, at)
        if found is None:
            raise _Malformed(value)
        at = found.end()
        text = found[0].strip()
        if text in {"(", ")"}:
            if inside is (text == "("):
                raise _Malformed(value)
            inside = text == "("
        elif text.startswith("<") and not inside:
            resource = text[1:-1]  # a Resource-Tag: of the lists up to the next one
        elif not inside:
            raise _Malformed(value)
        yield text, resource, _minted(found["etag"]), found["not"] is not None
    if inside:
        raise _Malformed(value)


def _minted(text: str | None) -> EntityTag | None:
    if text is None:
        return None
    try:
        tag = EntityTag.parse(text.strip())
    except ValueError:
        return None
    return tag if is_minted(tag) else None
