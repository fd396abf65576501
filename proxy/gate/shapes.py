"""What plain requests come to by their fields alone: most often what an earlier one came to.

A client sends the same fields again and again, but for a few (`CHANGING`); a proxy before us does so for
several clients in turn. What follows from the fields that stay is found out once, for all connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from multidict import CIMultiDictProxy, istr

from proxy.exchange import Line, Request, Shape
from proxy.gate.outgoing import CHANGING, Outgoing
from proxy.gate.plain import read_shape
from proxy.gate.plain_write import WRITES, write_shape
from proxy.gate.read import withheld
from proxy.rules.conditions import NONE, Malformed, parse_conditions
from proxy.rules.fields import CONDITIONS, field_lines, lower, nominated, size
from proxy.rules.minting import names_minted
from proxy.rules.recent import Recent

_MOST: Final = 1000
_LONGEST: Final = 4096  # bytes; a client can make up any number of longer ones
_MOST_TAGS: Final = 5000
_LONGEST_TAG: Final = 128  # bytes
_NAMES: Final = frozenset(CHANGING.values())
_OF_A_WRITE: Final = frozenset({b"if-match", b"content-length", b"x-request-id"})
_OF_A_READ: Final = (CONDITIONS - {b"if-range"}) | {b"x-request-id"}
_ONCE: Final = _OF_A_WRITE | _OF_A_READ
_IF_MATCH, _ID, _LENGTH = istr("If-Match"), istr("X-Request-ID"), istr("Content-Length")

Headers = CIMultiDictProxy[str]


class Shapes:
    """The shapes of earlier requests.

    Args:
        outgoing: makes the fields that go to the backend.
        now_year: the present year.
        most_tags: how many tags one If-Match or If-None-Match may have.
    """

    def __init__(self, outgoing: Outgoing, *, now_year: Callable[[], int], most_tags: int) -> None:
        self._outgoing = outgoing
        self._now_year = now_year
        self._most_tags = most_tags
        self._known: Recent[tuple[object, ...], Shape] = Recent(_MOST)
        self._asked: Recent[tuple[Line, ...], Shape] = Recent(_MOST_TAGS)

    def known(
        self, method: str, fields: tuple[Line, ...], headers: Headers, peer: str, scheme: str
    ) -> Shape | None:
        """The shape of a request whose lasting fields came before, where they did, and it is plain.

        Args:
            method: GET without content, or PUT or PATCH with it.
            fields, headers, peer, scheme: as in `Request`.
        """
        own = tuple([line for line in fields if line[0] not in CHANGING])
        key = (method in WRITES, own, peer, scheme)
        shape = self._known.get(key) or self._known.recall(key)
        if shape is None:
            return None
        if (
            len(fields) - len(own) == (3 if _ID in headers else 2)
            and method in WRITES
            and _IF_MATCH in headers
            and _LENGTH in headers
        ):
            return shape  # what changes is the write's own business
        return self._completed(shape, method, fields, headers)

    def of(self, request: Request) -> Shape | None:
        """The same of any such request; None where it is not plain."""
        own = tuple([line for line in request.fields if line[0] not in CHANGING])
        writes = request.method in WRITES
        key = (writes, own, request.peer, request.scheme)
        if (shape := self._known.recall(key)) is not None:  # it is not plain for what changes
            return self._completed(shape, request.method, request.fields, request.headers)
        names = [lower(name) for name, _ in own]
        # In another spelling they would be taken for lasting ones.
        if not _NAMES.isdisjoint(names) or not _NAMES.isdisjoint(nominated(own)):
            return None
        shape = (write_shape if writes else read_shape)(request, own, names, self._outgoing)
        if shape is None:
            return None
        if size(own) <= _LONGEST:
            self._known.keep(key, shape)
        return self._completed(shape, request.method, request.fields, request.headers)

    def _completed(
        self, shape: Shape, method: str, fields: tuple[Line, ...], headers: Headers
    ) -> Shape | None:
        """The shape with what the changing fields add to it."""
        names, asked, others = set(), [], []
        for line in fields:
            name = CHANGING.get(line[0])
            if name in _ONCE:
                if name in names:
                    return None
                names.add(name)
                if name in CONDITIONS:
                    asked.append(line)
            elif name is not None:
                others.append(line)
        if method in WRITES:
            usual = names <= _OF_A_WRITE and b"if-match" in names
            return _with_more(shape, others) if usual else None
        if not names <= _OF_A_READ:
            return None
        if not asked:
            return _with_more(shape, others)
        conditional = self._asking(tuple(asked), headers)
        if conditional is None:
            return None
        return Shape(
            *(conditional.conditions, conditional.drops, conditional.minted),
            shape.lines + conditional.lines + (field_lines(others) if others else b""),
            condition=conditional.condition,
            decides=conditional.decides,
        )

    def _asking(self, asked: tuple[Line, ...], headers: Headers) -> Shape | None:
        """What the conditions of a read come to; None where they cannot be read."""
        known = self._asked.get(asked) or self._asked.recall(asked)
        if known is not None:
            return known
        conditions = parse_conditions("GET", headers, now_year=self._now_year(), most_tags=self._most_tags)
        if isinstance(conditions, Malformed):
            return None
        drops = withheld(conditions)
        lines = field_lines([line for line in asked if CHANGING[line[0]] not in drops])
        shape = Shape(
            *(conditions, drops, names_minted(conditions), lines),
            condition=conditions.first,
            decides=conditions.decides,
        )
        # A date is read by the present year (RFC 9110 section 5.6.7): only tags are remembered.
        if len(asked) == 1 and CHANGING[asked[0][0]] == b"if-none-match" and len(asked[0][1]) <= _LONGEST_TAG:
            self._asked.keep(asked, shape)
        return shape


def _with_more(shape: Shape, others: list[Line]) -> Shape:
    """The same with further lines for the backend."""
    if not others:
        return shape
    lines = shape.lines + field_lines(others)
    return Shape(NONE, shape.drops, False, lines, shape.recognised, shape.sender)
