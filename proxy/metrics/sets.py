"""The closed sets that labels come from, the bounds of histograms, and what exists from the start."""

from __future__ import annotations

import enum
from typing import Final

from proxy.rules.conditions import Condition
from proxy.rules.preconditions import Reason

OTHER: Final = "other"
NONE: Final = "none"

# RFC 9110 section 9, PATCH (RFC 5789), WebDAV (RFC 4918) and its kin.
METHODS: Final = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"),
    }
)

REQUEST_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STORE_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
WAIT_BOUNDS: Final = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# What exists from the start, so that rate() sees the first 412 as a rise. Rarer series come as they happen.
GUARDED: Final = ("PUT", "PATCH", "DELETE")
EXPECTED: Final = (
    ("refused", Condition.IF_MATCH, Reason.STALE_TAG),  # 412
    ("replayed", Condition.IF_MATCH, Reason.STALE_TAG),
    ("refused", NONE, "required"),  # 428
)
OPERATIONS: Final = ("look", "claim", "renew", "release", "recall", "observe", "forget")
SPANS: Final = ("made", "exported", "failed")
RELOADS: Final = ("applied", "unchanged", "refused")
FAULTS: Final = ("unreachable", "timeout", "broken")
FINDINGS: Final = ("unstable", "written")
REWRITINGS: Final = ("suffix", "weak")
DATES: Final = (Condition.IF_MODIFIED_SINCE, Condition.IF_UNMODIFIED_SINCE)


class Watched(enum.StrEnum):
    """Values that are read when somebody scrapes, so that keeping them costs a request nothing."""

    REQUESTS_IN_FLIGHT = "requests_in_flight"
    CLIENT_CONNECTIONS = "client_connections"
    UPSTREAM_CONNECTIONS = "upstream_connections"
    CLAIMS_HELD = "claims_held"
    STORE_READY = "store_ready"
    ACCESS_LINES_LOST = "access_lines_lost_total"
    WORKERS = "workers"
    WORKER_RESTARTS = "worker_restarts_total"


WATCHED_TEXTS: Final = {
    Watched.REQUESTS_IN_FLIGHT: "Requests under way.",
    Watched.CLIENT_CONNECTIONS: "Open connections of clients.",
    Watched.UPSTREAM_CONNECTIONS: "Open connections to the backend, idle ones included.",
    Watched.CLAIMS_HELD: "Claims that this process holds.",
    Watched.STORE_READY: "1 while guarded writes can be served, else 0; asked at each scrape.",
    Watched.ACCESS_LINES_LOST: "Lines of the access log dropped because their reader was too slow.",
    Watched.WORKERS: "Processes that serve clients, where `workers` is more than 1.",
    Watched.WORKER_RESTARTS: "Workers that were started again since they had ended.",
}
