"""The way to the backend: one small door, implemented by `proxy.upstream.pool`.

A `Call` goes out, a `Reply` comes back as soon as its head is there; the reply's body streams on demand, with
back-pressure. Faults are `proxy.errors.UpstreamError` and its kinds, each saying whether the request may have
reached the backend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from multidict import CIMultiDictProxy

Fields = Sequence[tuple[bytes, bytes]]
"""Header or trailer field lines, name and value as on the wire, in order."""


class Source(Protocol):
    """A request body that can be sent.

    Attributes:
        length: its size in bytes, or None where it is not known (sent chunked, RFC 9112 section 7.1).
        replayable: whether `chunks` may be called again, for a retry on a fresh connection.
    """

    length: int | None
    replayable: bool

    def chunks(self) -> AsyncIterator[bytes]:
        """The content, from its beginning. Raises `BodyError` where the client does not deliver it."""

    def trailers(self) -> Fields:
        """Trailer fields, known once `chunks` has ended."""


@dataclass(slots=True)
class Call:
    """One request to the backend.

    Attributes:
        method: as on the wire.
        target: the origin-form request target (RFC 9112 section 3.2.1), as on the wire.
        fields: every field line but framing and Connection, which the upstream adds. Host is among them.
        body: the content; bytes are sent together with the head in one write.
        expects_upgrade: the value of Upgrade to ask for (RFC 9110 section 7.8); the connection is then
            handed over after a 101.
        early: called with status and fields for every interim (1xx) response but 101.
        once: never to be sent a second time, whatever its method says: a field may name another one.
        permit: asked just before the first byte goes out; what it raises stops the sending.
        head: the whole head as it goes out, where it was made and checked beforehand
            (`rules.fields.field_lines`), framing included; `fields` are then not looked at, and the body is
            bytes.
    """

    method: str
    target: bytes
    fields: Fields
    body: bytes | Source = b""
    expects_upgrade: bytes | None = None
    early: Callable[[int, str, Fields], None] | None = None
    once: bool = False
    permit: Callable[[], None] | None = None
    head: bytes | None = None


class Tunnel(Protocol):
    """The raw connection after a 101 (RFC 9110 section 7.8)."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Sends, waiting while the peer does not read."""

    def write_eof(self) -> None:
        """Says that no more will be written, where the transport can say so."""

    def close(self) -> None:
        """Closes both directions."""


class Reply(Protocol):
    """One response of the backend, its head read, its body on the way.

    Attributes:
        status: the final status code (or 101).
        reason: the reason phrase, perhaps empty.
        fields: field lines as on the wire, framing and Connection included.
        headers: the same, by name.
        length: the body's size by Content-Length; 0 where there is no body (HEAD, 204, 304); None where it
            is chunked or ends with the connection.
        sent_at: `loop.time()` before the request was sent.
    """

    status: int
    reason: str
    fields: Fields
    headers: CIMultiDictProxy[str]
    length: int | None
    sent_at: float

    def ready(self) -> bytes | None:
        """The whole body, where all of it has arrived and the connection is done with; else None.

        No await: this is the fast path of small responses. May be called once; takes the body.
        """

    async def read(self, limit: int) -> bytes | None:
        """The whole body where it is at most `limit` bytes, else None.

        After None the bytes read so far are still delivered by `chunks`: nothing is lost.

        Raises:
            UpstreamBroken, UpstreamTimeout: the body did not end as its framing said (RFC 9112 section 8).
        """

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, as it arrives. Raises as `read`."""

    def trailers(self) -> Fields:
        """Trailer fields (RFC 9110 section 6.5), once the body has ended."""

    def tunnel(self) -> Tunnel:
        """The connection itself, after a 101."""

    def close(self) -> None:
        """Gives the reply up. Safe at any time, any number of times.

        A connection with an unread rest is closed.
        """


class Upstream(Protocol):
    """What the gate asks of the way to the backend."""

    async def send(self, call: Call) -> Reply:
        """Sends the call and waits for the head of its final response.

        A request whose connection turned out to be dead before anything was answered is sent once more only
        where its method is idempotent and its body can be replayed (RFC 9110 section 9.2.2), never otherwise.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamBroken, BodyError.
        """


class Meter(Protocol):
    """Where the upstream says what its calls cost. `proxy.metrics` has the real one."""

    def upstream_call(self, seconds: float, outcome: str) -> None:
        """One call: seconds to the response head; outcome is "ok", "unreachable", "timeout" or "broken"."""
