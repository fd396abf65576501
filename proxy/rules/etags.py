"""Entity tags: their grammar, their two comparisons, and the lists of If-Match and If-None-Match.

Text is field text as aiohttp decodes it: UTF-8, and each byte that is not valid UTF-8 as one lone surrogate
(`surrogateescape`). So obs-text (RFC 9110 section 5.6.4) is every code point from U+0080 on.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from proxy.rules.recent import Recent

MAX_TAGS: Final = 1000
"""How many members of one list are looked at, empty ones included, before it is refused."""

# etagc = %x21 / %x23-7E / obs-text (RFC 9110 section 8.8.3). W/ is case-sensitive, and an opaque-tag knows
# no escapes: a backslash is a character like any other.
_TAG: Final = r'(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*+)"'
_ONE: Final = re.compile(_TAG)
# One member of a list with the comma after it; the member may be missing (RFC 9110 section 5.6.1.2). Every
# repetition is possessive: no text makes the matcher go back, so a list costs what its length is.
_MEMBER: Final = re.compile(rf"[ \t]*+(?:{_TAG}[ \t]*+)?+(?:,|\Z)")

_LONGEST: Final = 128
"""Characters of a tag that is remembered: a client could make thousands of longer ones up."""

_QUOTE_IT: Final = 'Put each tag in double quotes, just as the ETag field of a GET response has it: "abc".'


class Star(enum.Enum):
    """The `*` of If-Match and If-None-Match: any current representation."""

    STAR = "*"


STAR: Final = Star.STAR


class MalformedTags(ValueError):
    """The text is not `*` or a list of entity tags.

    Args:
        reason: one plain sentence: what is wrong.
        hint: one plain sentence: what to write instead.
    """

    def __init__(self, reason: str, hint: str = _QUOTE_IT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class TooManyTags(MalformedTags):
    """The list has more members than are looked at."""


@dataclass(frozen=True, slots=True)
class EntityTag:
    """One entity tag (RFC 9110 section 8.8.3).

    Attributes:
        opaque: what stands between the quotes; only characters of etagc.
        weak: whether `W/` stands before it.
    """

    opaque: str
    weak: bool = False

    parse: ClassVar[Callable[[str], EntityTag]]
    """Reads exactly one tag, without white space around it.

    Raises:
        ValueError: the text is anything else.
    """

    def __str__(self) -> str:
        """The tag as on the wire."""
        return f'W/"{self.opaque}"' if self.weak else f'"{self.opaque}"'


class _Remembered(Recent[str, EntityTag]):
    """Tags by their text: one is read again and again: in a response, in the store, in a request."""

    def unknown(self, text: str) -> EntityTag:
        found = _ONE.fullmatch(text)
        if found is None:
            raise ValueError(f"not an entity tag: {text[:80]!a}")
        tag = EntityTag(found[2], found[1] is not None)
        if len(text) <= _LONGEST:
            self.keep(text, tag)
        return tag


_remembered = _Remembered()
EntityTag.parse = _remembered.__getitem__  # itself: every request comes by here, and a function more costs


Tags = Star | tuple[EntityTag, ...]
"""What If-Match and If-None-Match hold: `*`, or the tags of the list in their order."""


def strong_match(a: EntityTag, b: EntityTag) -> bool:
    """Whether both are strong and the same, character by character (RFC 9110 section 8.8.3.2)."""
    return not a.weak and not b.weak and a.opaque == b.opaque


def weak_match(a: EntityTag, b: EntityTag) -> bool:
    """Whether both are the same but for `W/` (RFC 9110 section 8.8.3.2)."""
    return a.opaque == b.opaque


def parse_tag_list(values: Iterable[str], limit: int = MAX_TAGS) -> Tags:
    """Reads If-Match or If-None-Match: `*` or `#entity-tag` (RFC 9110 sections 13.1.1 and 13.1.2).

    Args:
        values: the field's lines, in order; they are one list (RFC 9110 section 5.3).
        limit: the most members that are looked at. Empty members count: a recipient ignores "a reasonable
            number" of them (RFC 9110 section 5.6.1.2).

    Raises:
        TooManyTags: there are more members than `limit`.
        MalformedTags: it is neither; an empty value too, as it names nothing.
    """
    # Joined by a space as well as a comma: neither a quote nor a tag that one line leaves open can go on in
    # the next, since no tag holds a space.
    text = ", ".join(values)
    if "," not in text:
        try:
            return (EntityTag.parse(text),)
        except ValueError:
            pass  # it may have blanks around it, or be "*", or no tag
    if text.strip(" \t") == "*":
        return STAR
    return _members(text, limit)


def _members(text: str, limit: int) -> tuple[EntityTag, ...]:
    tags: list[EntityTag] = []
    position = 0
    for _ in range(limit):
        found = _MEMBER.match(text, position)
        if found is None:
            raise _explained(text, position)
        if found[2] is not None:
            tags.append(EntityTag(found[2], found[1] is not None))
        position = found.end()
        # The end without a comma before it: the last member has been read, or was empty.
        if position == len(text) and not found[0].endswith(","):
            return _not_empty(tags)
    if not text[position:].strip(" \t"):
        return _not_empty(tags)
    raise TooManyTags(f"It lists more than {limit} entity tags.", "Name only the versions that you hold.")


def _not_empty(tags: list[EntityTag]) -> tuple[EntityTag, ...]:
    if not tags:
        raise MalformedTags("It is empty: it names no version.", 'Name a version ("abc") or send "*" alone.')
    return tuple(tags)


def _explained(text: str, position: int) -> MalformedTags:
    """What is wrong with the member that starts at `position`, for the person who wrote the client."""
    member = text[position:].lstrip(" \t")
    if member.startswith("*"):
        return MalformedTags('"*" stands beside other members of the list.', 'Send either "*" alone or tags.')
    if member.startswith("w/"):
        return MalformedTags("The mark of a weak tag is a capital W.", 'Write W/"abc".')
    if member.startswith(('"', 'W/"')):
        return MalformedTags(
            "A tag has no closing quote, holds a character that no tag may hold, or lacks a comma."
        )
    return MalformedTags("A tag is not in double quotes.")
