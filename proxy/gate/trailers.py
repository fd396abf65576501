"""A response that was read whole and still has trailer fields to deliver (RFC 9110 section 6.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.exchange import Answer
from proxy.upstream import Fields, Reply, Tunnel


def with_trailers(answer: Answer, reply: Reply) -> Answer:
    """The answer made of this reply, with its trailer fields: only content in chunks can carry them."""
    if isinstance(answer.body, bytes) and reply.trailers():
        answer.body = _Whole(reply, answer.body)
    return answer


class _Whole:
    """A `proxy.upstream.Reply` whose content is at hand."""

    def __init__(self, reply: Reply, content: bytes) -> None:
        self.status, self.reason = reply.status, reply.reason
        self.fields, self.headers = reply.fields, reply.headers
        self.length: int | None = None
        self.sent_at = reply.sent_at
        self._reply = reply
        self._content = content

    def ready(self) -> bytes | None:
        return None

    async def read(self, limit: int) -> bytes | None:
        return self._content if len(self._content) <= limit else None

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._content:  # an empty chunk would be the last one (RFC 9112 section 7.1)
            yield self._content

    def trailers(self) -> Fields:
        return self._reply.trailers()

    def tunnel(self) -> Tunnel:
        return self._reply.tunnel()

    def close(self) -> None:
        self._reply.close()
