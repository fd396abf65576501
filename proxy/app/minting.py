"""Gets the key of minted tags, which every replica must share. Until it is there, none are minted."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Final

from proxy.app.parts import Store
from proxy.errors import StoreUnavailable
from proxy.gate import Gate
from proxy.rules.minting import Minter
from proxy.settings import Settings
from proxy.store.redis import RedisStore

_EVERY: Final = 10.0  # seconds between two looks whether the key is still in Redis
_WAIT: Final = 2.0  # seconds that a start waits for it

_log = logging.getLogger("proxy.app")


class Minting:
    """Gives the gate its minter.

    Args:
        settings: may say the key.
        store: keeps it where it is Redis.
        gate: mints.
    """

    def __init__(self, settings: Settings, store: Store, gate: Gate) -> None:
        self._given = settings.tag_secret
        self._store = store
        self._gate = gate
        self._task: asyncio.Task[None] | None = None
        self._known = asyncio.Event()

    async def start(self) -> None:
        """Begins, and waits for the key a little."""
        self._task = asyncio.get_running_loop().create_task(self._find())
        known = asyncio.ensure_future(self._known.wait())
        await asyncio.wait([self._task, known], timeout=_WAIT, return_when=asyncio.FIRST_COMPLETED)
        known.cancel()

    def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()

    async def _find(self) -> None:
        if self._given is not None:
            self._gate.house.minter = Minter(self._given.get_secret_value().encode())
        elif isinstance(self._store, RedisStore):
            await self._agree(self._store)
        else:
            self._gate.house.minter = Minter(secrets.token_bytes(32))
            _log.info("tag_secret is not set: the tags that the proxy makes change when it restarts")

    async def _agree(self, store: RedisStore) -> None:
        """Keeps the key in Redis, and puts it back where Redis was emptied."""
        secret, agreed = secrets.token_bytes(32), b""
        while True:
            try:
                secret = await store.agree_on_secret(secret)
            except StoreUnavailable:
                await asyncio.sleep(0.2)
                continue
            if secret != agreed:
                self._gate.house.minter, agreed = Minter(secret), secret
                self._known.set()
            await asyncio.sleep(_EVERY)
