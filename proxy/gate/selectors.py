"""Which representation a tag was shown for, so that a write that names it is compared with just that one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.conditions import Conditions
from proxy.rules.etags import EntityTag, Star
from proxy.rules.fields import Line, replace
from proxy.rules.variants import negotiated_by

_MOST: Final = 4096
_LONGEST: Final = 1000  # characters of a name and of the values that go with it

Chosen = Mapping[str, tuple[str, ...]]
"""Fields of content negotiation, and the lines that each had; none where it was not sent."""


class Selectors:
    """A bounded memory of the fields by which the backend selected what it showed under a tag.

    It only ever saves a false 412: the client of a write often sends another Accept than it read with, and
    the GET that asks for the current version must ask for the representation that the tag is of
    (RFC 9110 section 12.5.5). Nothing that may be a credential is remembered.

    Args:
        most: how many tags are remembered; those not shown for longest are forgotten first.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._chosen: OrderedDict[tuple[str, str], Chosen] = OrderedDict()

    def note(
        self,
        key: str,
        tag: EntityTag | None,
        reply: CIMultiDictProxy[str],
        request: CIMultiDictProxy[str],
    ) -> None:
        """Remembers what a representation was selected by, where it was selected at all."""
        names = negotiated_by(reply)
        if tag is None or not names:
            return
        chosen = {name: tuple(request.getall(name, ())) for name in names}
        if len(key) + sum(len(line) for lines in chosen.values() for line in lines) > _LONGEST:
            return
        self._chosen[key, tag.opaque] = chosen
        self._chosen.move_to_end((key, tag.opaque))
        if len(self._chosen) > self._most:
            self._chosen.popitem(last=False)

    def of(self, key: str, conditions: Conditions) -> Chosen:
        """The fields that go with the first tag of If-Match that is remembered; else none."""
        tags = conditions.if_match
        for tag in () if tags is None or isinstance(tags, Star) else tags:
            if (chosen := self._chosen.get((key, tag.opaque))) is not None:
                return chosen
        return {}


def chosen_headers(headers: CIMultiDictProxy[str], chosen: Chosen) -> CIMultiDictProxy[str]:
    """The request's fields with those that choose a representation in place of its own."""
    if not chosen:
        return headers
    changed = CIMultiDict(headers)
    for name, lines in chosen.items():
        changed.popall(name, None)
        changed.extend((name, line) for line in lines)
    return CIMultiDictProxy(changed)


def chosen_fields(fields: list[Line], chosen: Chosen) -> list[Line]:
    """The same, for fields as they go out."""
    for name, lines in chosen.items():
        fields = replace(fields, name.encode(), None)
        fields += [(name.encode(), line.encode("utf-8", "surrogateescape")) for line in lines]
    return fields
