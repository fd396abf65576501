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
from proxy.rules.conditions import Malformed, parse_conditions
from proxy.rules.fields import CONDITIONS, field_lines, lower, nominated
from proxy.rules.minting import names_minted
from proxy.rules.recent import Recent

_MOST: Final = 2000
_LONGEST: Final = 4096  # bytes; a client can make up any number of longer ones
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

    def known(
        self, method: str, fields: tuple[Line, ...], headers: Headers, peer: str, scheme: str
    ) -> Shape | None:
        """The shape of a request whose lasting fields came before, where they did, and it is plain.

        Args:
            method: GET without content, or PUT or PATCH with it.
            fields, headers: as in `Request`.
            peer: the client's address.
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
        names = [lower(name) for name, _ in own]
        # In another spelling they would be taken for lasting ones.
        if not _NAMES.isdisjoint(names) or not _NAMES.isdisjoint(nominated(own)):
            return None
        writes = request.method in WRITES
        shape = (write_shape if writes else read_shape)(request, own, names, self._outgoing)
        if shape is None:
            return None
        if len(shape.lines) <= _LONGEST:
            self._known.keep((writes, own, request.peer, request.scheme), shape)
        return self._completed(shape, request.method, request.fields, request.headers)

    def _completed(
        self, shape: Shape, method: str, fields: tuple[Line, ...], headers: Headers
    ) -> Shape | None:
        """The shape with what the changing fields add to it."""
        once, others = [], []
        for line in fields:
            name = CHANGING.get(line[0])
            if name in _ONCE:
                once.append(name)
            elif name is not None:
                others.append(line)
        named = frozenset(once)
        if len(named) != len(once):
            return None
        if method in WRITES:
            usual = named <= _OF_A_WRITE and b"if-match" in named
            return _with_more(shape, others) if usual else None
        if not named <= _OF_A_READ:
            return None
        if named.isdisjoint(CONDITIONS):
            return _with_more(shape, others)
        return self._asking(shape, fields, headers, others)

    def _asking(
        self, shape: Shape, fields: tuple[Line, ...], headers: Headers, others: list[Line]
    ) -> Shape | None:
        """The shape of a read under conditions."""
        asked = parse_conditions("GET", headers, now_year=self._now_year(), most_tags=self._most_tags)
        if isinstance(asked, Malformed):
            return None
        drops = withheld(asked)
        shown = CONDITIONS - drops
        others += [line for line in fields if CHANGING.get(line[0]) in shown]
        return Shape(
            asked,
            drops,
            names_minted(asked),
            shape.lines + field_lines(others),
            condition=asked.first,
            decides=asked.decides,
        )


def _with_more(shape: Shape, others: list[Line]) -> Shape:
    """The same with further lines for the backend."""
    if not others:
        return shape
    lines = shape.lines + field_lines(others)
    return Shape(shape.conditions, shape.drops, shape.minted, lines, shape.recognised)
