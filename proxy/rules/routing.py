"""Routes: what the operator decided for which paths. First match wins."""

from __future__ import annotations

import enum
from dataclasses import dataclass

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
