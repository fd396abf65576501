"""The proxy: in this process, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from proxy.app import App
from proxy.rules.versions import UNKNOWN
from proxy.settings import Settings
from support.wire_client import Client

ROOT = Path(__file__).parents[2]
SECRET = "a secret that is only for tests"
PATIENCE = 30.0


def settings(upstream: str, **options: Any) -> Settings:
    """Settings for a proxy in a test: any port, no admin port, no lines for requests."""
    return Settings.model_validate(
        {
            "upstream": upstream,
            "listen": "127.0.0.1:0",
            "admin": "off",
            "tag_secret": SECRET,
            "log": {"access": False},
            **options,
        }
    )


class Inside:
    """A proxy in this process."""

    def __init__(self, app: App) -> None:
        self.app = app

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        return self.app.address

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    async def knows(self, key: str) -> None:
        """Waits until a read of this resource has been recorded, beside its response."""
        async with asyncio.timeout(PATIENCE):
            while await self.app._store.look(key) is UNKNOWN:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def known(self, key: str) -> Any:
        """What the store has recorded."""
        return await self.app._store.look(key)

    def count(self, name: str, **labels: str) -> float:
        """A metric, summed over the labels that are not given."""
        total = 0.0
        for family in self.app._metrics.registry.collect():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total


async def inside(upstream: str, **options: Any) -> Inside:
    """Starts one."""
    app = App(settings(upstream, **options))
    await app.start()
    return Inside(app)


class Process:
    """A proxy as its users run it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said: list[str] = []
        self._told = asyncio.Event()
        self._reading = [
            asyncio.ensure_future(self._read(stream)) for stream in (process.stdout, process.stderr)
        ]
        self.address = ("", 0)

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        async for line in stream:
            self._said.append(line.decode())
            self._told.set()
        await self._process.wait()
        self._told.set()

    async def says(self, pattern: str) -> re.Match[str]:
        """Waits for a line of its log, or of its access log."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._told.clear()
                for line in self._said:
                    if found := re.search(pattern, line):
                        return found
                if self._process.returncode is not None:
                    raise AssertionError("".join(self._said))
                await self._told.wait()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Its access log."""
        parsed = [json.loads(line) for line in self._said if line.startswith("{")]
        return [line for line in parsed if "method" in line]

    def terminate(self) -> None:
        """Tells it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it in the middle of whatever it does."""
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> int:
        """Waits for its end; its exit status."""
        async with asyncio.timeout(PATIENCE):
            status = await self._process.wait()
            await asyncio.gather(*self._reading)
            return status


async def process(
    upstream: str, environment: Mapping[str, str | None] | None = None, **flags: str
) -> Process:
    """Starts one with the command line, and waits until it serves. None unsets a variable."""
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROXY_")}
    given = {"PROXY_TAG_SECRET": SECRET, **(environment or {})}
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "proxy",
            "serve",
            "--upstream",
            upstream,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "off",
            *words,
        ),
        cwd=ROOT,
        env=own | {name: value for name, value in given.items() if value is not None},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    proxy = Process(started)
    try:
        found = await proxy.says(r"serving on http://([\d.]+):(\d+)")
    except BaseException:
        proxy.kill()
        raise
    proxy.address = (found[1], int(found[2]))
    return proxy


StartProxy = Callable[..., Awaitable[Inside]]
StartProcess = Callable[..., Awaitable[Process]]
Connect = Callable[..., Client]
