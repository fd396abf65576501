"""A real browser: Chromium, driven over the WebDriver protocol by its own driver.

Nothing but the two programs is needed; where they are missing, `missing()` says so.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from types import TracebackType
from typing import Any

import httpx

PATIENCE = 20.0
_KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": "\ue00d"}


def missing() -> str:
    """Why there can be no browser, or ""."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


class Browser:
    """One window. Use as `async with`."""

    def __init__(self, *, width: int = 1200, height: int = 900) -> None:
        self._size = (width, height)
        self._process: asyncio.subprocess.Process | None = None
        self._http = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)
        self._session = ""

    async def __aenter__(self) -> Browser:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._http.delete(self._session)
        finally:
            await self._end()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "chromedriver", "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        port = await self._port(self._process)
        options = ["--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"]
        options += [f"--window-size={self._size[0]},{self._size[1]}", "--hide-scrollbars"]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": options},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        base = f"http://127.0.0.1:{port}/session"
        answer = await self._http.post(base, json={"capabilities": {"alwaysMatch": wanted}})
        self._session = f"{base}/{answer.json()['value']['sessionId']}"

    async def _port(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for line in process.stdout:
                if b"successfully on port" in line:
                    return int(line.decode().rstrip(". \n").rsplit(" ", 1)[1])
        raise AssertionError("chromedriver ended")

    async def _end(self) -> None:
        await self._http.aclose()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def _post(self, path: str, **body: Any) -> Any:
        answer = await self._http.post(f"{self._session}/{path}", json=body)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    async def open(self, url: str) -> None:
        """Loads a page."""
        await self._post("url", url=url)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return await self._post("execute/sync", script=f"return {script}", args=[])

    async def until(self, script: str) -> Any:
        """Waits until an expression is true."""
        async with asyncio.timeout(PATIENCE):
            while not (value := await self.run(script)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return value

    async def press(self, key: str) -> None:
        """One key, by its name."""
        value = _KEYS[key]
        keys = [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        await self._post("actions", actions=[{"type": "key", "id": "keyboard", "actions": keys}])

    async def prefer(self, scheme: str) -> None:
        """What the user prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def command(self, name: str, **params: Any) -> Any:
        """A command of the DevTools protocol."""
        return await self._post("goog/cdp/execute", cmd=name, params=params)

    async def complaints(self) -> list[str]:
        """What the console says: script errors, and what the Content-Security-Policy stopped."""
        entries = await self._post("se/log", type="browser")
        return [entry["message"] for entry in entries]

    async def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader is told of."""
        await self.command("Accessibility.enable")
        nodes = (await self.command("Accessibility.getFullAXTree"))["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]

    async def screenshot(self) -> bytes:
        """The whole page as PNG."""
        picture = await self.command("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(picture["data"])
