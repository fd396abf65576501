"""Conflicts in words, for people who do not have RFC 9110 at hand at night."""

from __future__ import annotations

import enum
import hashlib
import secrets
from collections.abc import Iterator
from typing import Any, Final

from proxy.admin.conflicts import Conflict, Told

LONGEST_NAME: Final = 120
LONGEST_TAG: Final = 60

_REASONS: Final = {
    "stale_tag": "the resource had changed since the client read it",
    "weak_tag": "the client named the version by a weak tag, which proves too little",
    "no_tag": "the resource has no entity tag that If-Match could name",
    "absent": "the resource does not exist, or no longer",
    "exists": "the resource exists already, and the client wanted to create it",
    "tag_matches": "the resource was in the version that the client ruled out",
    "modified_since": "the resource was modified after the date that the client named",
    "shared_second": "the resource changed twice within the second that the client named",
    "required": "the route demands a condition, and the client sent none",
    "busy": "another write held the resource all the time that this one could wait",
}


class End(enum.StrEnum):
    """How a conflict ended."""

    OPEN = "open"
    READ = "read"
    PASSED = "passed"
    FORCED = "forced"
    AGAIN = "again"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REPORTED = "reported"


_VERDICTS: Final = {
    End.OPEN: "nothing since",
    End.READ: "read again, not written since",
    End.PASSED: "tried again and passed",
    End.FORCED: "passed without a condition: a change may be lost",
    End.AGAIN: "refused again",
    End.FAILED: "tried again and failed",
    End.UNKNOWN: "tried again, and nobody knows whether it took effect",
    End.REPORTED: "forwarded, as the route only reports",
}


class Names:
    """What resources are called on the page.

    Args:
        hide: no paths: a number for each resource, another one after a restart.
    """

    def __init__(self, *, hide: bool) -> None:
        self.hide = hide
        self._secret = secrets.token_bytes(16)

    def of(self, resource: str) -> str:
        """A path is shown. A query or a selecting field may hold a token: a number stands for it."""
        path = resource.partition("\n")[0].partition("?")[0]
        if self.hide:
            return f"resource {self._number(resource)}"
        shown = short(path, LONGEST_NAME)
        return shown if path == resource else f"{shown} ({self._number(resource)})"

    def _number(self, resource: str) -> str:
        name = resource.encode("utf-8", "surrogateescape")
        return "#" + hashlib.blake2b(name, key=self._secret, digest_size=3).hexdigest()


def short(text: str, longest: int) -> str:
    """Text of a client: what can be printed of it, its end left out where it is long."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def story(conflict: Conflict, names: Names) -> dict[str, Any]:
    """One conflict: its facts, and what happened in its order, each with its moment."""
    told = conflict.told
    return {
        "number": conflict.number,
        "at": told.ended,
        "resource": names.of(told.resource),
        "route": told.route,
        "method": short(told.method, 20),
        "status": told.status,
        "reason": told.reason,
        "end": (ended := end(conflict)).value,
        "verdict": _VERDICTS[ended],
        "steps": [{"at": at, "text": text} for at, text in _steps(conflict)],
    }


def _steps(conflict: Conflict) -> Iterator[tuple[float | None, str]]:
    told, change = conflict.told, conflict.change
    if change is not None:
        yield change.ended, _change(change, told)
    elif told.status == 412 and told.reason in {"stale_tag", "absent", "modified_since"}:
        yield (
            None,
            "Who changed it, this proxy has not seen: another replica, somebody past the proxy, or it was"
            " before the start.",
        )
    yield told.ended, _refusal(told)
    for step in conflict.steps:
        yield step.ended, _next(step)


def _change(change: Told, told: Told) -> str:
    who = _who(change)
    if change.client == told.client:
        who = f"The same address (request {short(change.request_id, 40)})"
    did = "may have changed it" if change.unknown else "changed it"
    return f"{who} {did} by {_method(change)}{_holding(change)}{_now(change)}."


def _refusal(told: Told) -> str:
    did = f"{_who(told)} sent {_method(told)}{_holding(told)}"
    why = _REASONS.get(told.reason, told.reason or "of its condition")
    if told.outcome == "reported":
        return f"{did}. It was forwarded (mode: report), but would have been refused: {why}."
    return f"{did}, and was refused with {told.status}: {why}.{_current(told)}"


def _next(step: Told) -> str:
    if step.conflict:
        return f"Then it sent {_method(step)}{_holding(step)}, and was refused again with {step.status}."
    if step.method in {"GET", "HEAD"}:
        if step.status in (200, 304):
            return f"Then it read the resource again{_now(step)}."
        return f"Then it read the resource again, and got {step.status}."
    result = "nobody knows whether it took effect" if step.unknown else f"it passed ({step.status})"
    if not step.change:
        result = f"the answer was {step.status}"
    return f"Then it sent {_method(step)}{_holding(step)}: {result}."


def end(conflict: Conflict) -> End:
    """How it ended, as far as this process has seen."""
    if conflict.told.outcome == "reported":
        return End.REPORTED
    if not conflict.steps:
        return End.OPEN
    last = conflict.steps[-1]
    if last.conflict:
        return End.AGAIN
    if last.unknown:
        return End.UNKNOWN
    if last.change:
        return End.PASSED if last.held else End.FORCED
    return End.READ if last.method in {"GET", "HEAD"} else End.FAILED


def _who(told: Told) -> str:
    return f"{told.client or 'a local client'} (request {short(told.request_id, 40)})"


def _method(told: Told) -> str:
    return short(told.method, 20)


def _holding(told: Told) -> str:
    if not told.condition or not told.held:
        return " without a condition"
    return f" with {told.condition}: {short(told.held, LONGEST_TAG)}"


def _now(told: Told) -> str:
    return f"; it was then {short(told.tag, LONGEST_TAG)}" if told.tag else ""


def _current(told: Told) -> str:
    return f" Current was {short(told.tag, LONGEST_TAG)}." if told.tag else ""
