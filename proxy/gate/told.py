"""A route's `version`: what the backend's content or fields say of the version, and what they lack."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.gate.erasing import erased
from proxy.rules.content import Fault, Lack, Told, VersionSource, by_content, by_header
from proxy.rules.etags import EntityTag
from proxy.rules.minting import Minter, decode
from proxy.upstream import Reply

_log = logging.getLogger("proxy.gate")
_WHY = {
    Fault.NOT_JSON: "%s is no JSON that has a canonical form",
    Fault.MISSING: "%s is missing",
    Fault.UNUSABLE: "%s cannot be used",
    Fault.TOO_SLOW: "on %s, `ignore_text` takes longer than 0.1 s",
}


@dataclass(slots=True)
class Complaints:
    """Says once for each route what its documents lack, and counts it every time."""

    said: set[tuple[str, Lack]] = field(default_factory=set)

    def of(self, route: str, lacks: tuple[Lack, ...], count: Callable[[str, str], None]) -> None:
        """Notes what one representation lacks."""
        for lack in lacks:
            count(route, lack.fault.value)
            if (route, lack) not in self.said:
                self.said.add((route, lack))
                _log.warning(
                    "route %s: `version` does not fit what the backend sent: " + _WHY[lack.fault] + "; "
                    "such content has the hash of all of it for its version, and no date",
                    route,
                    lack.where,
                )


def told_by_fields(source: VersionSource, reply: Reply) -> Told | None:
    """What the response's fields tell without its content, or None."""
    return by_header(source, reply.headers.get)


def told_by_content(source: VersionSource, reply: Reply, content: bytes, coding: str) -> Told:
    """What the fields and the content tell."""
    decoded = decode(content, coding)
    if decoded is None:  # as if it were in a language that nobody reads
        return Told(lacks=(Lack(Fault.NOT_JSON, "the content"),))
    return by_content(source, decoded, reply.headers.get, erased)


def tag_of(told: Told, minter: Minter, key: str, reply: Reply) -> EntityTag | None:
    """The tag, or None where it is to be the hash of the whole content."""
    if told.identity is None:
        return None
    negotiated = (reply.headers.get("Content-Type", ""), reply.headers.get("Content-Language", ""))
    return minter.mint_told(key, told.kind, told.identity, negotiated)
