"""Changes behind the proxy, in words: what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.admin.stories import Names, short

MOST_FINDINGS: Final = 20
LONGEST_PART: Final = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """The last change on a route that no write through the proxy explains.

    Attributes:
        route: its `match`.
        resource: its name in the store.
        kind: "suspected", then "unstable" or "written" once the resource was read twice.
        parts: in what the two readings of unstable content differ.
        at: when, in seconds since the epoch.
        until: until when every conditional write on the route is verified.
    """

    route: str
    resource: str
    kind: str
    parts: Sequence[str]
    at: float
    until: float


_ADVICE: Final = {
    "suspected": "It is read twice at its next conditional write, which tells why.",
    "written": "Read twice, it is the same: somebody writes past the proxy. Close the other way.",
}


def found(findings: Sequence[Finding], names: Names, now: float) -> list[dict[str, Any]]:
    """What the page shows of them, the latest first."""
    latest = sorted(findings, key=lambda one: one.at, reverse=True)
    return [_shown(finding, names, now) for finding in latest[:MOST_FINDINGS]]


def _shown(finding: Finding, names: Names, now: float) -> dict[str, Any]:
    return {
        "route": finding.route,
        "resource": names.of(finding.resource),
        "kind": finding.kind,
        "at": round(finding.at),
        "until": round(finding.until),
        "verifying": finding.until > now,
        "text": _ADVICE.get(finding.kind) or _unstable(finding),
    }


def _unstable(finding: Finding) -> str:
    parts = [short(part, LONGEST_PART) for part in finding.parts]
    where = f" in {', '.join(parts)}" if parts else ""
    ignored = f"[{', '.join(parts)}]" if parts and all(part.startswith("/") for part in parts) else "..."
    return (
        f"Read twice, it is different{where}: its content is unstable, so no tag of it stays current and"
        f" every conditional write is refused. Set version: {{ignore: {ignored}}} on the route."
    )
