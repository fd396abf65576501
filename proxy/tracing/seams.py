"""The doors of the gate, the store, the upstream and the journal, with spans around what passes through.

Which request a call belongs to is told by a context variable; what belongs to none (a task of the store's
own) passes as if there were no tracing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import partial

from opentelemetry.trace import Span

from proxy.errors import ProxyError
from proxy.exchange import Answer, Request, Trace
from proxy.gate import Gate, Journal
from proxy.rules.versions import Absent, Recorded, Version
from proxy.store import Claim, Keepsake, Observed, Pending, Seen, Stamp, Store, Unsettled
from proxy.tracing.spans import Story, answered, failed
from proxy.upstream import Call, Reply, Upstream

_OF_ALL = tuple(field.name for field in fields(Trace))
_current: ContextVar[Story | None] = ContextVar("story", default=None)


@dataclass(slots=True)
class Followed(Trace):
    """What happened to a request that has spans.

    Attributes:
        story: its spans.
    """

    story: Story | None = None

    @classmethod
    def replace(cls, request: Request, story: Story) -> None:
        """Gives a request its story; what is known of it so far stays."""
        known = {name: getattr(request.trace, name) for name in _OF_ALL}
        request.trace = cls(**known, story=story)


class TracedGate(Gate):
    """A gate whose requests have spans.

    Attributes:
        begin: makes a request's story.
    """

    begin: Callable[[Request], Story]

    def shape_of(self, request: Request) -> None:
        """None: the short way sends fields that were made beforehand, and each request has its own trace.

        So none is ever known to `known_shape`.
        """

    async def answer(self, request: Request) -> Answer:
        """As the gate's; the request's span lasts until its response has ended."""
        story = self.begin(request)
        Followed.replace(request, story)
        token = _current.set(story)
        try:
            answer = await super().answer(request)
        except asyncio.CancelledError:
            story.abandon()
            raise
        finally:
            _current.reset(token)
        story.decided()
        return answer


class TracedUpstream:
    """An upstream whose calls have spans, and that tells the backend of them."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def send(self, call: Call) -> Reply:
        """As the upstream's; the span lasts until the head of the response."""
        story = _current.get()
        if story is None:
            return await self._upstream.send(call)
        if not story.probing:
            story.decided()
            return await self._told(story, call, None)
        reason, story.probing = story.probing, ""
        with _lasting(story.span("probe", {"precondition.probe.reason": reason})) as probe:
            return await self._told(story, call, probe)

    async def _told(self, story: Story, call: Call, parent: Span | None) -> Reply:
        span, call.fields = story.call(call, parent)
        with _lasting(span):
            reply = await self._upstream.send(call)
            answered(span, reply.status)
            return reply


class TracedStore:
    """A store whose calls have spans."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def stamp(self, key: str) -> Stamp | None:
        """As the store's; it costs nothing, and so has no span."""
        return self._store.stamp(key)

    def observe(self, key: str, stamp: Stamp, version: Version | Absent, seen: Seen) -> None:
        """As the store's; the span lasts until it is known what became of the observation."""
        story = _current.get()
        if story is None:
            self._store.observe(key, stamp, version, seen)
            return
        span = story.span("observe")

        def told(result: Observed) -> None:
            span.set_attribute("precondition.observed", result.value)
            span.end()
            seen(result)

        self._store.observe(key, stamp, version, told)

    async def look(self, key: str) -> Recorded:
        """As the store's; what is decided next rests on what was found."""
        story = _current.get()
        if story is None:
            return await self._store.look(key)
        with _lasting(story.span("look")):
            recorded = await self._store.look(key)
        story.deciding(key, recorded, early=True)
        return recorded

    async def claim(self, key: str, *, shared: bool = False, tree: bool = False) -> Claim:
        """As the store's; the span lasts as long as the write waits."""
        story = _current.get()
        if story is None:
            return await self._store.claim(key, shared=shared, tree=tree)
        story.decided(early=True)
        with _lasting(story.span("claim", {"precondition.claim.shared": shared})) as span:
            claim = await self._store.claim(key, shared=shared, tree=tree)
            span.set_attribute("precondition.claim.fence", claim.fence)
        if not shared:
            story.deciding(key, claim.recorded)
        return claim

    async def renew(self, claim: Claim) -> None:
        """As the store's."""
        with _step("renew"):
            await self._store.renew(claim)

    def release(
        self, claim: Claim, outcome: Recorded | Unsettled, keepsake: Keepsake | None = None
    ) -> asyncio.Future[bool]:
        """As the store's; with it, a decision that sends nothing is made. The answer may not wait for it."""
        story = _current.get()
        if story is None:
            return self._store.release(claim, outcome, keepsake)
        story.decided()
        span = story.span("release")
        ending = self._store.release(claim, outcome, keepsake)
        ending.add_done_callback(partial(_released, span))
        return ending

    async def recall(self, key: str, name: bytes) -> bytes | Pending | None:
        """As the store's."""
        with _step("recall"):
            return await self._store.recall(key, name)

    async def forget(self, key: str) -> None:
        """As the store's."""
        with _step("forget"):
            await self._store.forget(key)


class TracedJournal:
    """A journal that also tells the spans what it is told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # What is only counted.
        self.recorded = journal.recorded
        self.observation = journal.observation
        self.claim_wait = journal.claim_wait

    def probe(self, route: str, reason: str) -> None:
        """The next call of the backend asks for the current version."""
        if (story := _current.get()) is not None:
            story.probing = reason
        self._journal.probe(route, reason)

    def lease_lost(self) -> None:
        """As the journal's, and an event of the request's span."""
        _note("lease_lost")
        self._journal.lease_lost()

    def changed_behind(self, route: str) -> None:
        """As the journal's, and an event of the request's span."""
        _note("changed_behind")
        self._journal.changed_behind(route)

    def unrecorded(self, route: str) -> None:
        """As the journal's, and an event of the request's span."""
        _note("unrecorded")
        self._journal.unrecorded(route)

    def ignored(self, route: str, condition: str) -> None:
        """As the journal's, and an event of the request's span."""
        _note("ignored", condition)
        self._journal.ignored(route, condition)

    def judged(self, route: str, finding: str) -> None:
        """As the journal's, and an event of the request's span."""
        _note("judged", finding)
        self._journal.judged(route, finding)

    def mended(self, route: str, how: str) -> None:
        """As the journal's, and an event of the request's span."""
        _note("mended", how)
        self._journal.mended(route, how)

    def unfit(self, route: str, fault: str) -> None:
        """As the journal's, and an event of the request's span."""
        _note("unfit", fault)
        self._journal.unfit(route, fault)


def _note(event: str, what: str = "") -> None:
    if (story := _current.get()) is not None:
        story.note(event, what)


@contextmanager
def _step(name: str) -> Iterator[None]:
    story = _current.get()
    if story is None:
        yield
        return
    with _lasting(story.span(name)):
        yield


@contextmanager
def _lasting(span: Span) -> Iterator[Span]:
    """Ends a span with what it is about, whether that went well or not."""
    try:
        yield span
    except asyncio.CancelledError:
        span.set_attribute("error.type", "cancelled")
        raise
    except ProxyError as fault:
        failed(span, fault)
        raise
    finally:
        span.end()


def _released(span: Span, ending: asyncio.Future[bool]) -> None:
    """Ends the span of a release when it is known how that went."""
    if ending.cancelled():
        span.set_attribute("error.type", "cancelled")
    elif (fault := ending.exception()) is not None:
        failed(span, fault)
    else:
        span.set_attribute("precondition.claim.ours", ending.result())
    span.end()
