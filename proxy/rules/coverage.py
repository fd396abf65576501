"""Whether a route can ever be reached: exact inclusion of one pattern's paths in those of earlier ones.

A pattern is a regular language, so the question has an exact answer. Each pattern becomes a few chains of
steps (a nondeterministic automaton without branches); the later pattern and all earlier ones walk in step
over every path, and the later one is covered when it never accepts a path that none of the earlier accepts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from proxy.rules.patterns import Pattern, Segment


@dataclass(frozen=True, slots=True)
class Reach:
    """A pattern with the route options that decide which paths it matches.

    Attributes:
        pattern: the pattern.
        case_insensitive: letters match in either case.
        either_slash: a last slash may be there or not (`trailing_slash: same`).
        merge_slashes: several slashes count as one.
    """

    pattern: Pattern
    case_insensitive: bool = False
    either_slash: bool = False
    merge_slashes: bool = False


class _Step(NamedTuple):
    """Takes one character of `accepts` (None: any, but no slash where `one_segment`)."""

    accepts: frozenset[str] | None
    one_segment: bool = False
    skippable: bool = False
    repeats: bool = False


_Chain = tuple[_Step, ...]
_State = tuple[_Chain, int]
_States = frozenset[_State]

_SLASH: Final = _Step(frozenset("/"))
_MORE_SLASHES: Final = _Step(frozenset("/"), skippable=True, repeats=True)
_MAYBE_SLASH: Final = _Step(frozenset("/"), skippable=True)
_SOME: Final = (_Step(None, one_segment=True), _Step(None, one_segment=True, skippable=True, repeats=True))
_REST: Final = _Step(None, skippable=True, repeats=True)


def covered(later: Reach, earlier: Sequence[Reach]) -> bool:
    """Whether every path that `later` matches is matched by one of `earlier`."""
    return escape(later, earlier) is None


def escape(later: Reach, earlier: Sequence[Reach]) -> str | None:
    """A shortest path that `later` matches and none of `earlier` does, or None where there is none."""
    rivals = [reach for reach in earlier if may_meet(later, reach)]
    alphabet = _alphabet([later, *rivals])
    start = (_begin([later]), _begin(rivals))
    seen, waiting = {start}, deque([(start, "")])
    while waiting:
        (ours, theirs), path = waiting.popleft()
        if _accepts(ours) and not _accepts(theirs):
            return path
        for char in alphabet:
            pair = (_advance(ours, char), _advance(theirs, char))
            if pair[0] and pair not in seen:
                seen.add(pair)
                waiting.append((pair, path + char))
    return None


def matches(reach: Reach, path: str) -> bool:
    """Whether the pattern matches the path, by the same chains. The router has the fast way."""
    states = _begin([reach])
    for char in path:
        states = _advance(states, char)
    return _accepts(states)


def may_meet(one: Reach, other: Reach) -> bool:
    """Whether a path may match both. Only a no is sure."""
    a, b = _literal_start(one.pattern), _literal_start(other.pattern)
    return a.startswith(b) or b.startswith(a)


def _literal_start(pattern: Pattern) -> str:
    """What every matching path begins with, but for case and repeated or last slashes."""
    start = ""
    for segment in pattern.segments:
        start += "/" + segment.before
        if segment.name is not None:
            break
    return start.rstrip("/").lower()


def _alphabet(reaches: Sequence[Reach]) -> list[str]:
    """Every character that some pattern tells apart, and one that stands for all others."""
    steps = [step for reach in reaches for chain in _chains(reach) for step in chain]
    named = frozenset("/").union(*(step.accepts for step in steps if step.accepts is not None))
    other = next(chr(code) for code in range(0x21, 0x110000) if chr(code) not in named)
    return [*sorted(named), other]


def _begin(reaches: Sequence[Reach]) -> _States:
    return frozenset(
        state for reach in reaches for chain in _chains(reach) for state in _with_skips(chain, 0)
    )


def _with_skips(chain: _Chain, at: int) -> Iterator[_State]:
    yield chain, at
    while at < len(chain) and chain[at].skippable:
        at += 1
        yield chain, at


def _advance(states: _States, char: str) -> _States:
    reached: set[_State] = set()
    for chain, at in states:
        if at < len(chain) and _takes(chain[at], char):
            reached.update(_with_skips(chain, at if chain[at].repeats else at + 1))
    return frozenset(reached)


def _takes(step: _Step, char: str) -> bool:
    if step.accepts is not None:
        return char in step.accepts
    return not (step.one_segment and char == "/")


def _accepts(states: _States) -> bool:
    return any(at == len(chain) for chain, at in states)


def _chains(reach: Reach) -> list[_Chain]:
    pattern = reach.pattern
    ends_with_slash = pattern.rest is None and pattern.segments[-1] == Segment("")
    if not reach.either_slash or not (pattern.rest is None or pattern.segments):
        return [_chain(reach)]
    if pattern.rest is not None:
        # `/static/{path*}` with either form of slash also names `/static`.
        return [_chain(reach), _chain(_without_last(reach, rest=True))]
    if ends_with_slash:
        bare = _without_last(reach, rest=False)
        return [_chain(reach)] if not bare.pattern.segments else [_chain(reach), _chain(bare)]
    return [(*_chain(reach), _MORE_SLASHES if reach.merge_slashes else _MAYBE_SLASH)]


def _without_last(reach: Reach, *, rest: bool) -> Reach:
    pattern = reach.pattern
    segments = pattern.segments if rest else pattern.segments[:-1]
    return replace(reach, pattern=Pattern(pattern.text, segments))


def _chain(reach: Reach) -> _Chain:
    slash = (_SLASH, _MORE_SLASHES) if reach.merge_slashes else (_SLASH,)
    steps: list[_Step] = []
    for segment in reach.pattern.segments:
        steps += (*slash, *_literal(segment.before, reach))
        if segment.name is not None:
            steps += (*_SOME, *_literal(segment.after, reach))
    return (*steps, *slash, _REST) if reach.pattern.rest is not None else tuple(steps)


def _literal(text: str, reach: Reach) -> list[_Step]:
    if reach.case_insensitive:
        return [_Step(frozenset((char.lower(), char.upper()))) for char in text]
    return [_Step(frozenset(char)) for char in text]
