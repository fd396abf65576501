"""Path patterns: what a route's `match` may say, and which paths it names.

    /api/users          just this path
    /api/users/{id}     one segment, never empty, under the name `id`
    /items/{id}.json    a segment with literal text around its parameter; one parameter in a segment
    /static/{path*}     `/static/` and everything below it (not `/static`); only at the end

A pattern is matched against the path as it is forwarded, still percent-encoded. Its literal text is brought
into the same normal form (RFC 3986 section 6.2.2): `/caf%c3%a9`, `/caf%C3%A9` and the letter itself are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_PARAMETER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# pchar without percent-encodings (RFC 3986 section 3.3).
_PCHAR: Final = _UNRESERVED | frozenset("!$&'()*+,;=:@")


class PatternError(ValueError):
    """The pattern cannot be used.

    Args:
        what: what is wrong with it, to stand after the pattern itself.
        instead: what to write instead.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}; {instead}")
        self.what = what
        self.instead = instead


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: literal text, or a parameter with literal text around it.

    Attributes:
        before: the text before the parameter, or the whole text where there is none.
        name: the parameter's name, or None.
        after: the text after the parameter.
    """

    before: str
    name: str | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, taken apart.

    Attributes:
        text: as written.
        segments: what stands between the slashes; the last is empty where the pattern ends with a slash.
        rest: the name of `{name*}` at the end, or None.
    """

    text: str
    segments: tuple[Segment, ...]
    rest: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        named = [segment.name for segment in self.segments if segment.name is not None]
        return (*named, self.rest) if self.rest is not None else tuple(named)

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for patterns that differ in nothing but the names of their parameters."""
        parts = [(segment.before, segment.name is None, segment.after) for segment in self.segments]
        return (*parts, self.rest is None)


def parse(text: str) -> Pattern:
    """Takes a pattern apart.

    Raises:
        PatternError: it is not one.
    """
    _refuse_text_that_never_matches(text)
    *front, last = text[1:].split("/")
    rest = _rest_name(last)
    written = front if rest is not None else [*front, last]
    pattern = Pattern(text, tuple(_segment(part) for part in written), rest)
    _refuse_empty_or_dotted(pattern)
    _refuse_repeated(pattern.names)
    return pattern


def expand(template: str, parameters: Mapping[str, str]) -> str | None:
    """The path that a template of `invalidates` names, or None where a parameter of it is not known.

    `{path*}` and `{path}` both stand for the whole value.
    """
    missing = [name for name in template_names(template) if name not in parameters]
    if missing:
        return None
    parts = _PARAMETER.split(template)
    return "".join(
        parameters[part.removesuffix("*")] if at % 2 else normal(part) for at, part in enumerate(parts)
    )


def template_names(template: str) -> tuple[str, ...]:
    """The parameters that a template of `invalidates` needs."""
    return tuple(name.removesuffix("*") for name in _PARAMETER.findall(template))


def check_template(template: str, known: Iterable[str]) -> None:
    """Refuses a template of `invalidates` that could never be expanded.

    Args:
        known: the parameters of the route's own match.

    Raises:
        PatternError: it is no path, or names a parameter that the match does not have.
    """
    _refuse_text_that_never_matches(template)
    _refuse_stray_braces(template)
    names = list(known)
    for name in template_names(template):
        if name not in names:
            have = f"use {_braced(names)}" if names else "write it without parameters: the match has none"
            raise PatternError(f"names {{{name}}}, which the route's match does not have", have)


def normal(literal: str) -> str:
    """Literal text in the normal form of a path (RFC 3986 sections 6.2.2.1 and 6.2.2.2)."""
    encoded = "".join(
        char if char in _PCHAR or char in "%/" else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in literal
    )
    return _PERCENT.sub(_unreserved_or_upper, encoded)


def _unreserved_or_upper(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else match[0].upper()


def _refuse_text_that_never_matches(text: str) -> None:
    if not text.startswith("/"):
        raise PatternError("does not begin with a slash", f"write /{text.lstrip('/')}" if text else "write /")
    if "?" in text or "#" in text:
        path = re.split("[?#]", text)[0]
        raise PatternError("has a query or fragment", f"write {path}: only the path is looked at")
    if _BAD_PERCENT.search(text):
        raise PatternError("has a % that begins no percent-encoding", "write %25 for the character itself")


def _rest_name(part: str) -> str | None:
    match = _PARAMETER.fullmatch(part)
    if match is None or not match[1].endswith("*"):
        return None
    return _checked_name(match[1][:-1])


def _segment(part: str) -> Segment:
    _refuse_stray_braces(part)
    pieces = _PARAMETER.split(part)
    if len(pieces) == 1:
        return Segment(normal(part))
    if len(pieces) > 3:
        # Two open-ended parameters side by side have no single reading, and cost the matcher backtracking.
        raise PatternError(f"has two parameters in the segment {part}", "write one parameter in each segment")
    if pieces[1].endswith("*"):
        raise PatternError(
            f"has {{{pieces[1]}}} before its end or beside other text",
            f"write {{{pieces[1]}}} as the whole last segment, or {{{pieces[1][:-1]}}} for one segment",
        )
    return Segment(normal(pieces[0]), _checked_name(pieces[1]), normal(pieces[2]))


def _refuse_stray_braces(text: str) -> None:
    if set(_PARAMETER.sub("", text)) & set("{}"):
        raise PatternError(
            "has a brace without its partner", "write {name}, or %7B and %7D for the characters"
        )


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise PatternError(
            f"has the parameter {{{name}}}, which is no name", "use letters, digits and _, such as {id}"
        )
    return name


def _refuse_empty_or_dotted(pattern: Pattern) -> None:
    inner = pattern.segments if pattern.rest is not None else pattern.segments[:-1]
    if Segment("") in inner:
        raise PatternError(
            "has an empty segment (//)",
            f"write {re.sub('/+', '/', pattern.text)}, with merge_slashes if need be",
        )
    if {Segment("."), Segment("..")} & set(pattern.segments):
        # Dot segments are removed before anything is matched (RFC 3986 section 6.2.2.3).
        raise PatternError(
            "has a dot segment, which no request path keeps", "write the path without . and .."
        )


def _refuse_repeated(names: tuple[str, ...]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise PatternError(f"has the parameter {{{name}}} twice", "give each parameter a name of its own")


def _braced(names: Iterable[str]) -> str:
    return " or ".join(f"{{{name}}}" for name in names)
