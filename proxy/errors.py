"""The one tree of faults. Refusals (412, 428, 304 ...) are answers, not errors, and are not here.

Foreign exceptions (asyncio, redis, ssl, aiohttp) are mapped to these at the seam where they appear:
`proxy/store/` and `proxy/upstream/`. Nothing else catches a foreign exception.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Base of every fault that this project raises on purpose."""


class ConfigurationError(ProxyError):
    """The configuration cannot be used. The message says what is wrong, where, and what to write instead."""


class StoreError(ProxyError):
    """The version store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, is read-only, full, still in its grace period, or its circuit is open.

    Args:
        reason: one plain sentence for the log and the 503.
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, reason: str, retry_after: float = 1.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class ClaimBusy(StoreError):
    """Another write held the resource's claim for longer than `store.wait`.

    Args:
        retry_after: seconds until the other claim's lease runs out, as far as is known.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("another write holds the claim of this resource")
        self.retry_after = retry_after


class LeaseLost(StoreError):
    """The claim is no longer ours: its lease ran out, or the store has a new incarnation."""


class UpstreamError(ProxyError):
    """The backend did not give a usable answer.

    Args:
        reason: one plain sentence.
        maybe_applied: True where any byte of the request may have reached the backend, so that a write
            may have taken effect or may still do so (DESIGN rule 5: an outcome that nobody knows).
    """

    def __init__(self, reason: str, *, maybe_applied: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_applied = maybe_applied


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, unknown name, TLS failure. Nothing was sent. Answered with 502."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, maybe_applied=False)


class UpstreamTimeout(UpstreamError):
    """The backend did not answer in time. Answered with 504 (RFC 9110 section 15.6.5)."""


class UpstreamBroken(UpstreamError):
    """The connection broke, or the answer is not valid HTTP. Answered with 502 (RFC 9110 section 15.6.3)."""


class BodyError(ProxyError):
    """The client's request body could not be read whole: it left, it was too slow, or too long.

    Args:
        status: what to answer where an answer can still be sent: 400, 408 or 413.
        reason: one plain sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
