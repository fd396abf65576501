"""Routes: what the operator decided for which paths. First match wins."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from proxy.rules.content import VersionSource
from proxy.rules.cors import Cors
from proxy.rules.patterns import Pattern, Segment, parse

UNSAFE_GUARDED = frozenset({"PUT", "PATCH", "DELETE"})


class Mode(enum.StrEnum):
    """How far a route is guarded."""

    ENFORCE = "enforce"
    REPORT = "report"
    OFF = "off"


class Verify(enum.StrEnum):
    """When a recorded version may be believed (DESIGN section 4)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class AfterWrite(enum.StrEnum):
    """Where the version after a write comes from."""

    REREAD = "reread"
    RESPONSE = "response"
    FORGET = "forget"


class EtagOnWrite(enum.StrEnum):
    """When the response to a write carries a validator that we found (RFC 9110 section 9.3.4)."""

    STRICT = "strict"
    ALWAYS = "always"


class OnStoreFailure(enum.StrEnum):
    """What becomes of a guarded write while the store is out of reach."""

    REJECT = "reject"
    PROBE = "probe"


class RequireMode(enum.StrEnum):
    """What a request without a condition that `require` demands is answered."""

    ENFORCE = "enforce"
    REPORT = "report"


class WeakIfMatch(enum.StrEnum):
    """Whether a tag that something on the way made weak counts in If-Match."""

    STRICT = "strict"
    RELAXED = "relaxed"


@dataclass(frozen=True, slots=True)
class Route:
    """One route's settings, all of them resolved.

    Attributes:
        match: the pattern as written; also the `route` label of the metrics. "default" for the fallback.
        mode: enforce, report or off.
        require: methods that must carry a condition, else 428 (RFC 6585 section 3).
        guard: methods that take the claim even without conditions.
        verify: when a recorded version may be believed.
        after_write: where the version after a write comes from.
        etag_on_write: when a write's response carries the version found after it.
        invalidates: path templates whose resources a write changes too.
        hash_limit: the largest body, in bytes, that is hashed for a minted tag.
        on_store_failure: reject (503) or probe the backend without a claim.
        case_insensitive: paths that differ in case only are one resource.
        trailing_slash: "distinct" or "same".
        merge_slashes: whether `//` names the same as `/`.
        query: which query parameters are part of a resource's name: None for all, else just these.
        vary_by: request fields, or `cookie:NAME`, that are part of a resource's name.
        version: where the version of a representation comes from; None for the backend's validators, else the
            hash of the content.
        require_mode: enforce (428), or report: what lacks a condition is counted and forwarded.
        weak_if_match: strict (RFC 9110 section 13.1.1), or relaxed: `W/` in If-Match is overlooked.
        fence: whether writes carry X-Precondition-Fence, a number that grows with every write of a resource.
        status_header: whether responses say in Precondition-Status what was evaluated.
        cors: which scripts of other origins may send conditions and see the answers.
        replay: for so many seconds the answer to a conditional write that succeeded is given again where
            the very same write comes a second time; 0.0 for never.
        collections: whether a path holds those that begin with it, so that a DELETE, MOVE or COPY of it is
            one of them all (RFC 4918 sections 9.6, 9.8 and 9.9).
        resource: template of the path of what writes of this route change; None for their own target.
    """

    match: str = "default"
    mode: Mode = Mode.ENFORCE
    require: frozenset[str] = frozenset()
    guard: frozenset[str] = UNSAFE_GUARDED
    verify: Verify = Verify.AUTO
    after_write: AfterWrite = AfterWrite.REREAD
    etag_on_write: EtagOnWrite = EtagOnWrite.STRICT
    invalidates: tuple[str, ...] = ()
    hash_limit: int = 1 << 20
    on_store_failure: OnStoreFailure = OnStoreFailure.REJECT
    case_insensitive: bool = False
    trailing_slash: str = "distinct"
    merge_slashes: bool = False
    query: frozenset[str] | None = None
    vary_by: tuple[str, ...] = ()
    version: VersionSource | None = None
    require_mode: RequireMode = RequireMode.ENFORCE
    weak_if_match: WeakIfMatch = WeakIfMatch.STRICT
    fence: bool = False
    status_header: bool = False
    cors: Cors | None = None
    replay: float = 120.0
    collections: bool = False
    resource: str | None = None


def on_behalf(alias: Route, own: Route, method: str, *, doubtful: bool) -> Route:
    """How a write is treated that goes to one route's target and changes another one's resource.

    Args:
        alias: the target's route: what is asked of writes.
        own: the resource's: what its versions are made of.
        doubtful: whether the resource is written past the proxy.
    """
    return replace(
        alias,
        version=own.version,
        hash_limit=own.hash_limit,
        guard=alias.guard | {method},
        collections=alias.collections or own.collections,
        verify=Verify.ALWAYS if doubtful and alias.verify is Verify.AUTO else alias.verify,
        # The tag in its response, if there is one, is the target's.
        after_write=AfterWrite.REREAD if alias.after_write is AfterWrite.RESPONSE else alias.after_write,
    )


class Router:
    """Finds the route of a path: one regular expression for all routes, which tries them in their order.

    Args:
        routes: in the order in which they were written; the first that matches wins.
        default: the route of every path that none matches.

    Attributes:
        finishing: the routes that add something to every answer, by their match.
        collections: whether there are any.

    Raises:
        PatternError: a route's match is no pattern (the settings have checked that before).
    """

    def __init__(self, routes: Sequence[Route], default: Route) -> None:
        self._default = default
        self.finishing = {route.match: route for route in (*routes, default) if _finishes(route)}
        self.collections = any(route.collections for route in (*routes, default))
        self._found: dict[int, tuple[Route, tuple[tuple[str, int], ...]]] = {}
        group, alternatives = 1, []
        for route in routes:
            pattern = parse(route.match)
            # The group around an alternative closes last, so it is the match's `lastindex`.
            self._found[group] = (
                route,
                tuple((name, group + at) for at, name in enumerate(pattern.names, 1)),
            )
            alternatives.append(f"({expression(route, pattern)})")
            group += 1 + len(pattern.names)
        self._match = re.compile("|".join(alternatives) or r"(?!)", re.ASCII | re.DOTALL).fullmatch

    def find(self, path: str) -> Route:
        """The route of a path.

        Args:
            path: in normal form, percent-encoded, without query.
        """
        match = self._match(path)
        return self._default if match is None else self._found[match.lastindex or 0][0]

    def parameters(self, path: str) -> dict[str, str]:
        """The values that a path has for the parameters of its route's pattern."""
        match = self._match(path)
        if match is None:
            return {}
        route, groups = self._found[match.lastindex or 0]
        return {name: _value(route, match[group]) for name, group in groups}


def _finishes(route: Route) -> bool:
    return route.mode is not Mode.OFF and (route.status_header or route.cors is not None)


def expression(route: Route, pattern: Pattern) -> str:
    """The regular expression for a route's pattern: one group for each parameter.

    No expression backtracks: a parameter ends at its segment's end, and a segment has one at most.
    """
    slash = "/+" if route.merge_slashes else "/"
    body = "".join(slash + _segment(segment) for segment in pattern.segments)
    if pattern.rest is not None:
        body += _optional(f"{slash}(.*)", route) if pattern.segments else f"{slash}(.*)"
    elif pattern.segments[-1] == Segment("") and len(pattern.segments) > 1:
        body = body[: -len(slash)] + _optional(slash, route)
    elif route.trailing_slash == "same" and pattern.segments != (Segment(""),):
        body += "/*" if route.merge_slashes else "/?"
    return f"(?i:{body})" if route.case_insensitive else body


def _segment(segment: Segment) -> str:
    if segment.name is None:
        return re.escape(segment.before)
    return f"{re.escape(segment.before)}([^/]+){re.escape(segment.after)}"


def _optional(part: str, route: Route) -> str:
    return f"(?:{part})?" if route.trailing_slash == "same" else part


def _value(route: Route, found: str | None) -> str:
    if found is None:
        return ""  # `/static` as `/static/{path*}` with either form of slash: nothing is left for the rest
    return re.sub("/+", "/", found) if route.merge_slashes else found
