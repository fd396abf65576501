"""The store that many processes share: Redis, standalone, behind Sentinel, or as a Cluster.

One hash for each resource, one script for each step (`scripts/`), so every change is atomic and touches one
key beside the store's incarnation.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Final, Self

from proxy.errors import ClaimBusy, LeaseLost, StoreUnavailable
from proxy.rules.versions import Absent, Known, Recorded, Version
from proxy.store import (
    INSIDE,
    PENDING,
    UNSETTLED,
    WHOLE,
    Claim,
    Health,
    Keepsake,
    Meter,
    Observed,
    Pending,
    Seen,
    Stamp,
    Unsettled,
)
from proxy.store.address import Topology, parse_url
from proxy.store.calls import Calls, stranger
from proxy.store.cluster import ClusterServers
from proxy.store.faults import Unanswered
from proxy.store.lines import erased, outcome_words, recorded, seen_words
from proxy.store.link import Info
from proxy.store.lives import Life, Lives
from proxy.store.lua import scripts
from proxy.store.merging import MAX_VARIANTS
from proxy.store.mirror import Mirror
from proxy.store.servers import OneServer, Servers, deposed_seconds
from proxy.store.turns import Turn, Turns
from proxy.store.wire import Reply, Word, settle

_PAUSE: Final = (0.005, 0.1)  # seconds between two questions for a busy claim: the first, and the longest
_MOST_OBSERVATIONS: Final = 1024  # on their way at one time
_MOST_ORPHANS: Final = 1000
_LEAST_STAMP_AGE: Final = 60.0  # seconds
_HEALTH: Final = 0.9  # seconds

_SEEN: Final = {
    b"recorded": Observed.RECORDED,
    b"same": Observed.SAME,
    b"changed": Observed.CHANGED,
    b"refused": Observed.REFUSED,
    b"incarnation": Observed.REFUSED,
}
_NOW_RECORDED: Final = (Observed.RECORDED, Observed.SAME, Observed.CHANGED)


class RedisStore:
    """Versions and claims in Redis.

    Args:
        servers: where the scripts run.
        lease: seconds for which a claim lasts unless it is renewed.
        wait: seconds that `claim` waits for others.
        grace: None: a new incarnation waits one lease before it grants claims, unless nobody knows of an
            older one. Seconds: even a first start waits as long.
        prefix: of every key.
        ttl: seconds that a resource is remembered after its last use.
        meter: told of every call.
        chance: source of names, tokens and jitter.
        mirror_seconds: for how long this process believes that what it recorded is still recorded.
        tick: seconds between two looks at the server's clock under traffic; so old may a stamp be.
        deposed: seconds for which another process may still believe a master that was deposed: a new
            incarnation waits so much longer than a lease.
    """

    def __init__(
        self,
        servers: Servers,
        *,
        lease: float,
        wait: float,
        grace: float | None = None,
        timeout: float = 1.0,
        prefix: str = "pp",
        ttl: float = 604_800,
        meter: Meter | None = None,
        chance: random.Random | None = None,
        mirror_seconds: float = 60.0,
        tick: float = 0.1,
        deposed: float = 0.0,
    ) -> None:
        self._servers = servers
        self._lease = lease
        self._wait = wait
        self._timeout = timeout
        self._prefix = prefix
        self._chance = chance or random.Random()  # seeded by the system; to be unique, not to be secret
        self._lease_words = round(lease * 1e6)
        oldest_stamp = max(2 * lease, _LEAST_STAMP_AGE)
        self._oldest_stamp = round(oldest_stamp * 1e6)
        self._longest_unseen = oldest_stamp / 2
        self._lives = Lives(
            servers,
            prefix=prefix,
            lease=lease,
            deposed=deposed,
            grace=grace or 0.0,
            chance=self._chance,
            tick=tick,
            joined=self._release_orphans,
        )
        self._mirror = Mirror(mirror_seconds)
        # An entry outlives every claim on it and every stamp that it must still refuse (rule 3).
        kept = max(ttl, 2 * oldest_stamp)
        self._calls = Calls(servers, self._lives, self._mirror, prefix=prefix, ttl=kept, meter=meter)
        self._only_life = self._lives.groups[0] if servers.groups == 1 else None
        self._turns = Turns()
        self._held: dict[str, Turn] = {}
        self._observing: dict[tuple[Word, ...], list[Seen]] = {}
        self._orphans: dict[str, tuple[Claim, tuple[Word, ...], bytes]] = {}

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        lease: float,
        wait: float,
        grace: float | None = None,
        timeout: float = 1.0,
        prefix: str = "pp",
        ttl: float = 604_800,
        meter: Meter | None = None,
        mirror_seconds: float = 60.0,
        tick: float = 0.1,
    ) -> Self:
        """Builds a store from its URL; `proxy.store.address` lists the forms.

        Args:
            timeout: seconds for a connection and for every reply.

        Raises:
            ConfigurationError: the URL cannot be used.
        """
        parsed = parse_url(url)
        kind = ClusterServers if parsed.topology is Topology.CLUSTER else OneServer
        return cls(
            kind(parsed, timeout),
            lease=lease,
            wait=wait,
            grace=grace,
            timeout=timeout,
            prefix=prefix,
            ttl=ttl,
            meter=meter,
            mirror_seconds=mirror_seconds,
            tick=tick,
            deposed=deposed_seconds(parsed, timeout),
        )

    # The life of the store.

    async def open(self) -> None:
        """Connects; returns when connected, or after `timeout` without, and goes on trying."""
        self._lives.open()
        try:
            async with asyncio.timeout(self._timeout):
                await self._lives.wait_joined()
        except TimeoutError:
            pass

    async def close(self) -> None:
        await self._lives.close()

    async def health(self) -> Health:
        try:
            async with asyncio.timeout(_HEALTH):
                infos = await self._servers.infos()
        except StoreUnavailable as fault:
            return Health(False, fault.reason)
        except TimeoutError:
            return Health(False, "Redis did not answer in time.")
        warnings = tuple(warning for info in infos if (warning := _eviction(info)))
        if self._lives.strangers():
            return Health(False, "The store is being joined.", warnings)
        if left := self._lives.grace_left():
            return Health(False, _grace_reason(left), warnings)
        return Health(True, f"Connected to Redis {infos[0].version}.", warnings)

    async def agree_on_secret(self, own: bytes) -> bytes:
        """The key of minted tags that all replicas share: what Redis has, else our own, which it then keeps.

        Raises:
            StoreUnavailable: Redis cannot be reached.
        """
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        key = f"{self._prefix}:{{0}}:tag-secret"
        self._servers.send(0, scripts()["secret"], (key,), (own,), partial(settle, answer))
        return bytes((await answer)[1])

    # The door.

    def stamp(self, key: str) -> Stamp | None:
        lives, life = self._lives, self._only_life or self._calls.places[key].life
        if not lives.busy:
            lives.used()
        clock, stamp = life.clock, life.stamp
        if not life.id or lives.now() - clock.seen > self._longest_unseen:
            return None
        if stamp is None or stamp.time != clock.time or stamp.incarnation != life.id:
            stamp = life.stamp = Stamp(clock.time, life.id)
        return stamp

    def observe(self, key: str, stamp: Stamp, version: Version | Absent, seen: Seen) -> None:
        if self._mirror.holds(key, stamp.incarnation, version, self._lives.now()):
            seen(Observed.SAME)
            return
        words = seen_words(version)
        observation = key, *words
        if (pending := self._observing.get(observation)) is not None:
            pending.append(seen)
        elif len(self._observing) >= _MOST_OBSERVATIONS:
            seen(Observed.LOST)
        else:
            self._observing[observation] = [seen]
            words = (stamp.time, self._oldest_stamp, *words, MAX_VARIANTS)
            done = partial(self._observed, key, observation, stamp.incarnation, version)
            self._calls.send("observe", key, words, done, stamp.incarnation)

    def _observed(
        self,
        key: str,
        observation: tuple[Word, ...],
        incarnation: str,
        version: Version | Absent,
        reply: Reply,
    ) -> None:
        result = Observed.LOST if isinstance(reply, Exception) else _SEEN[reply[1]]
        if result in _NOW_RECORDED:
            alone = result is Observed.CHANGED
            self._mirror.put(key, incarnation, version, self._lives.now(), alone=alone)
        for seen in self._observing.pop(observation):
            seen(result)

    async def look(self, key: str) -> Recorded:
        reply = await self._calls.call("look", key)
        if reply[1] == b"incarnation":
            raise stranger()
        return recorded(reply[2:])

    async def claim(self, key: str, *, shared: bool = False, tree: bool = False) -> Claim:
        until = self._lives.now() + self._wait
        turn, kind, waited = None, INSIDE if tree else "", False
        if not shared:
            turn, kind = self._turns.begin(key), WHOLE if tree else ""
            if waited := turn is None:
                turn = await self._turns.wait(key, until)
        token = f"{kind}{self._chance.getrandbits(64):016x}"
        claim = Claim(key, token, shared=shared, waited=waited)
        try:
            reply = await self._ask(claim)
            if reply[1] != b"granted":
                reply = await self._ask_again(claim, turn, reply, until)
        except BaseException as fault:
            self._give_back(claim, fault)
            if turn is not None:
                turn.end()
            raise
        claim.fence = reply[2]
        if reply[3]:
            claim.erased = erased(reply[3])
        claim.recorded = recorded(reply[4:])
        if turn is not None:
            turn.hold(claim.deadline)
            self._held[token] = turn
        return claim

    async def renew(self, claim: Claim) -> None:
        began = self._lives.now()
        words = (claim.token, self._lease_words)
        reply = await self._calls.call("renew", claim.key, words, claim.incarnation)
        if reply[1] != b"renewed":
            raise LeaseLost("the claim's lease ran out, or the store was emptied or replaced")
        claim.deadline = began + self._lease
        if turn := self._held.get(claim.token):
            turn.hold(claim.deadline)

    def release(
        self, claim: Claim, outcome: Recorded | Unsettled, keepsake: Keepsake | None = None
    ) -> asyncio.Future[bool]:
        if outcome is UNSETTLED:
            return asyncio.get_running_loop().create_task(self._leave(claim), name="store-leave")
        words = (claim.token, *outcome_words(outcome, kept=outcome is claim.recorded))
        name = b""
        if keepsake is not None:
            name, words = keepsake.name, (*words, keepsake.words, round(keepsake.seconds * 1e3))
        ended: asyncio.Future[bool] = self._lives.future()
        done = partial(self._released, ended, claim, outcome, words, name)
        self._calls.send("release", claim.key, words, done, claim.incarnation, name)
        # Already on its way, and the next one's question stays behind it on the same connection.
        if turn := self._held.pop(claim.token, None):
            turn.end()
        return ended

    def _released(
        self,
        ended: asyncio.Future[bool],
        claim: Claim,
        outcome: Recorded,
        words: tuple[Word, ...],
        name: bytes,
        reply: Reply,
    ) -> None:
        if isinstance(reply, Exception):
            self._mirror.drop(claim.key)
            if isinstance(reply, Unanswered):
                self._adopt_orphan(claim, words, name)
            settle(ended, reply)
            return
        released = reply[1] == b"released"
        if released and reply[2] and isinstance(outcome, Known):
            now, first = self._lives.now(), outcome.versions[0]
            for version in outcome.versions:  # a GET that shows it need not record it again
                self._mirror.put(claim.key, claim.incarnation, version, now, alone=version is first)
        else:
            self._mirror.drop(claim.key)
        if not ended.done():
            ended.set_result(released)

    async def recall(self, key: str, name: bytes) -> bytes | Pending | None:
        reply = await self._calls.call("recall", key, kept=name)
        match reply[1]:
            case b"recalled":
                words: bytes = reply[2]
                return words
            case b"pending":
                return PENDING
            case b"incarnation":
                raise stranger()
            case _:
                return None

    async def forget(self, key: str) -> None:
        reply = await self._calls.call("forget", key)
        if reply[1] == b"incarnation":
            raise stranger()

    # Claiming.

    def _ask(self, claim: Claim) -> asyncio.Future[Reply]:
        """Asks for the claim once."""
        lives = self._lives
        claim.incarnation = self._calls.places[claim.key].life.id
        claim.deadline = lives.now() + self._lease
        words = (claim.token, self._lease_words, "shared" if claim.shared else "exclusive")
        asked: asyncio.Future[Reply] = lives.future()
        self._calls.send("claim", claim.key, words, partial(settle, asked), claim.incarnation)
        return asked

    async def _ask_again(
        self, claim: Claim, turn: Turn | None, reply: list[Reply], until: float
    ) -> list[Reply]:
        """Asks again and again, ever more slowly, until the claim is granted or the time is over.

        Args:
            turn: at the resource, in this process; None for a shared claim.
            reply: what was heard instead of a grant.
        """
        pause, longest = _PAUSE
        while reply[1] != b"granted":
            if reply[1] not in (b"busy", b"grace"):
                raise stranger()
            left = reply[2] / 1e6
            if reply[1] == b"grace":
                raise StoreUnavailable(_grace_reason(left), left)
            now, claim.waited = self._lives.now(), True
            if turn is not None:
                turn.until = now + left
            if now >= until:
                raise ClaimBusy(left)
            # Jitter, so that processes that wait for the same claim don't ask in step.
            await asyncio.sleep(min(pause * self._chance.uniform(0.5, 1.0), left, until - now))
            pause = min(pause * 2, longest)
            reply = await self._ask(claim)
        return reply

    def _give_back(self, claim: Claim, fault: BaseException) -> None:
        """Gives a claim back that nobody waits for any more, should it have been granted, or be yet."""
        if isinstance(fault, asyncio.CancelledError):
            self._calls.send("release", claim.key, (claim.token, "drop"), _ignore, claim.incarnation)
        elif isinstance(fault, Unanswered):
            self._adopt_orphan(claim, (claim.token, "drop"))

    async def _leave(self, claim: Claim) -> bool:
        """Nobody knows how the write ended: one more lease from now, and nobody to end it (rule 5)."""
        try:
            await self.renew(claim)
        except LeaseLost:
            return False
        finally:
            if turn := self._held.pop(claim.token, None):
                turn.leave()
        return True

    def _adopt_orphan(self, claim: Claim, words: tuple[Word, ...], kept: bytes = b"") -> None:
        """Remembers a release that was perhaps not heard, to say it again on the next connection."""
        if len(self._orphans) < _MOST_ORPHANS:
            self._orphans[claim.token] = (claim, words, kept)

    def _release_orphans(self, life: Life) -> None:
        group = [
            token
            for token, (claim, *_) in self._orphans.items()
            if self._calls.places[claim.key].life is life
        ]
        for token in group:
            claim, words, kept = self._orphans.pop(token)
            if claim.incarnation == life.id and claim.deadline > self._lives.now():
                self._calls.send("release", claim.key, words, _ignore, claim.incarnation, kept)


def _grace_reason(left: float) -> str:
    what = "The store is new, was emptied, or failed over"
    return f"{what}; earlier writes may be under way for {left:.1f} seconds more."


def _eviction(info: Info) -> str:
    if info.maxmemory == 0 or info.policy == "noeviction":
        return ""
    return (
        f"Redis evicts keys when it is full (maxmemory-policy {info.policy}): that may drop the claim of a "
        "write under way. Set maxmemory-policy noeviction."
    )


def _ignore(reply: Reply) -> None:
    """Nobody waits for it."""
