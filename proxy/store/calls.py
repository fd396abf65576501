"""Runs the scripts of one resource: its keys, the incarnation believed in, the clock and the meter."""

from __future__ import annotations

import asyncio
import base64
from functools import lru_cache, partial
from typing import Final

from proxy.errors import StoreUnavailable
from proxy.store import Meter
from proxy.store.lives import Life, Lives
from proxy.store.lua import scripts
from proxy.store.mirror import Mirror
from proxy.store.names import digest
from proxy.store.servers import Servers
from proxy.store.wire import Done, Reply, Word, settle

_FORGETFUL: Final = frozenset({"claim", "release", "forget"})
"""Scripts after which what the mirror holds of the resource may be wrong."""

_PLACES: Final = 16_384
_LONGEST: Final = 256  # characters; a client could make thousands of longer names up


class Calls:
    """How the store's methods reach the scripts.

    Args:
        servers: where the scripts run.
        lives: the incarnations.
        mirror: forgets a resource that a script changes.
        prefix: of every key.
        ttl: seconds that an entry is kept after its last touch.
        meter: told of every call.
    """

    def __init__(
        self,
        servers: Servers,
        lives: Lives,
        mirror: Mirror,
        *,
        prefix: str,
        ttl: float,
        meter: Meter | None,
    ) -> None:
        self._servers = servers
        self._lives = lives
        self._mirror = mirror
        self._prefix = prefix
        self._ttl = round(ttl * 1e3)
        self._meter = meter
        self._known_place = lru_cache(maxsize=_PLACES)(self._find_place)

    def life(self, key: str) -> Life:
        """The incarnation of a resource's group."""
        return self._lives[0] if self._servers.groups == 1 else self._place(key)[0]

    def call(
        self, name: str, key: str, words: tuple[Word, ...] = (), incarnation: str = "", kept: bytes = b""
    ) -> asyncio.Future[Reply]:
        """Sends a script at once; the future has its reply, or raises StoreUnavailable."""
        future: asyncio.Future[Reply] = self._lives.loop().create_future()
        self.send(name, key, words, partial(settle, future), incarnation, kept)
        return future

    def send(
        self,
        name: str,
        key: str,
        words: tuple[Word, ...],
        done: Done,
        incarnation: str = "",
        kept: bytes = b"",
    ) -> None:
        """Sends a script at once; `done` gets the reply, or a StoreUnavailable. Never raises.

        Args:
            incarnation: in which the script is to run; the present one if left out.
            kept: the name of an answer that the script keeps or recalls, if it does.
        """
        life, keys = self._place(key)
        group = life.group
        believed = incarnation or life.id
        if not believed:
            done(self._servers.fault(group) or stranger())
            return
        if name in _FORGETFUL:
            self._mirror.drop(key)
        self._lives.used()
        if kept:
            name_of_answer = base64.urlsafe_b64encode(kept)[:22].decode()
            keys = (*keys, f"{self._prefix}:{{{group}}}:answer:{name_of_answer}")
        answered = self._answered(name, key, life, believed, done)
        self._servers.send(group, scripts()[name], keys, (believed, self._ttl, *words), answered)

    def _answered(self, name: str, key: str, life: Life, believed: str, done: Done) -> Done:
        clock, began = life.clock, self._lives.now()

        def answered(reply: Reply) -> None:
            if name in _FORGETFUL:  # an observation sent before it may have been answered meanwhile
                self._mirror.drop(key)
            ok = not isinstance(reply, Exception)
            if self._meter is not None:
                self._meter.store_call(name, self._lives.now() - began, ok=ok)
            if ok:
                self._lives.saw(life, clock, reply, believed)
            done(reply)

        return answered

    def _place(self, key: str) -> tuple[Life, tuple[str, ...]]:
        return self._known_place(key) if len(key) <= _LONGEST else self._find_place(key)

    def _find_place(self, key: str) -> tuple[Life, tuple[str, ...]]:
        """The group of a resource and its key in Redis (a hash, so that a long path costs no memory).

        The group's incarnation goes with it.
        """
        whole = digest(key)
        group = whole[0] % self._servers.groups
        name = base64.urlsafe_b64encode(whole)[:22].decode()
        return self._lives[group], (f"{self._prefix}:{{{group}}}:{name}", self._lives.key(group))


def stranger() -> StoreUnavailable:
    """What a call hears while the store's incarnation is not known."""
    return StoreUnavailable("The store was emptied, restarted or replaced, and is being joined anew.")
