"""One request on its way through the gate, and what the gate needs of the house."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.exchange import Request
from proxy.gate.holding import Renewals
from proxy.gate.outgoing import Outgoing
from proxy.gate.selectors import Selectors
from proxy.gate.suspicion import Suspicion
from proxy.gate.told import Complaints
from proxy.rules.etags import Tags
from proxy.rules.minting import Minter
from proxy.rules.preconditions import Conditions
from proxy.rules.recent import Recent
from proxy.rules.resources import Target
from proxy.rules.routing import Mode, Route
from proxy.rules.versions import Version
from proxy.store import Store
from proxy.upstream import Source, Upstream


class Journal(Protocol):
    """What the gate tells the metrics. `proxy.metrics.Metrics` is one."""

    def probe(self, route: str, reason: str) -> None:
        """The backend was asked for the current version."""

    def recorded(self, source: str) -> None:
        """A version was recorded: seen in a "read", a "probe", a "reread" or a write's "response"."""

    def observation(self, result: str) -> None:
        """What became of an observation."""

    def claim_wait(self, seconds: float) -> None:
        """How long a write waited for its claim."""

    def lease_lost(self) -> None:
        """A claim ran out, or its store began anew, while its write was under way."""

    def changed_behind(self, route: str) -> None:
        """A change that no write through the proxy explains."""

    def unrecorded(self, route: str) -> None:
        """A read passed while the store was out of reach."""

    def ignored(self, route: str, condition: str) -> None:
        """A condition that had to be ignored."""

    def judged(self, route: str, finding: str) -> None:
        """A suspicious resource was read twice: it is "unstable", or somebody has "written" it."""

    def mended(self, route: str, how: str) -> None:
        """A condition held because a tag was taken for what it was before something rewrote it."""

    def unfit(self, route: str, fault: str) -> None:
        """Content that lacks what the route's `version` expects of it."""


@dataclass(slots=True)
class House:
    """What every chapter of the gate works with.

    Attributes:
        store: the version store.
        upstream: the way to the backend.
        minter: makes tags; None until the secret that all replicas share is known.
        outgoing: makes the fields that go to the backend.
        journal: the metrics.
        suspicion: which routes change behind the proxy.
        clock: monotonic seconds, on the same scale as `loop.time`.
        now_year: the present year, for dates of two digits.
        work: the longest that the backend works on a request, in seconds (rule 4).
        lease: how long a claim lasts without renewal, in seconds.
        memory_body: content up to so many bytes is kept in memory before a write.
        key_of: the name of the resource behind a target that a response or a template names.
        held: how many claims this process holds now.
        writing: how many guarded writes are under way, those of clients that left included.
        refused: the If-Match that each resource was last refused for; only ever a hint.
        endings: claims that are being ended, beside the answers to their writes.
        renewals: keeps the claims of writes that are under way.
        complaints: about content that a route's `version` does not fit.
        selectors: by which fields the backend selected what a tag was shown for.
    """

    store: Store
    upstream: Upstream
    minter: Minter | None
    outgoing: Outgoing
    journal: Journal
    suspicion: Suspicion
    clock: Callable[[], float]
    now_year: Callable[[], int]
    work: float
    lease: float
    memory_body: int
    key_of: Callable[[str, Request], str | None]
    held: int = 0
    writing: int = 0
    refused: Recent[str, Tags] = field(default_factory=Recent)
    endings: set[asyncio.Future[bool]] = field(default_factory=set)
    renewals: Renewals = field(init=False)
    selectors: Selectors = field(default_factory=Selectors)
    complaints: Complaints = field(default_factory=Complaints)

    def __post_init__(self) -> None:
        self.renewals = Renewals(self.clock, self.lease, self.work)


@dataclass(slots=True)
class Visit:
    """One request, its route, and the resource that it names.

    Attributes:
        request: as the client sent it.
        method: what it asks for: the method on the wire, or the one that an override field names.
        route: the settings that apply.
        target: the request target in its one form.
        wire: the resource's target as it is forwarded.
        key: the resource's name in the store.
        mark: of the Host and target; only versions that were seen under the same are believed.
        conditions: what the request asks for.
        destination: the key of a MOVE's or COPY's other end, or None.
        unmended: the conditions as they were sent, where a tag of theirs may have been rewritten on the way.
        inside: keys of the collections that the written resources are in.
        also: further keys under which it is written: a collection's, without its last slash.
        whole: whether all that is in it is written with it.
        touched: keys of other resources that the write changes.
        erased: versions that other writes erased; see `aftermath.marked`.
        dav_if: WebDAV's If field where it names tags of ours, then as the backend is shown it.
        content: the content of a read, in the rare case that it has any.
        alias: the request target as it is forwarded, where it is another than the resource's: the route's
            `resource` says what its writes change.
        overlapped: whether another write of the resource was under way when this one came.
    """

    request: Request
    method: str
    route: Route
    target: Target
    wire: bytes
    key: str
    mark: str
    conditions: Conditions
    destination: str | None = None
    unmended: Conditions | None = None
    inside: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    whole: bool = False
    touched: tuple[str, ...] = ()
    erased: tuple[Version, ...] = ()
    dav_if: str | None = None
    content: bytes | Source = b""
    overlapped: bool = False
    alias: bytes | None = None

    @property
    def reporting(self) -> bool:
        """Whether refusals are counted only."""
        return self.route.mode is Mode.REPORT
