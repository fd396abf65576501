"""Serves the page of conflicts: its files, its document, and the stream that keeps it up to date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Final

from aiohttp import web

EVERY: Final = 1.0  # seconds between two events of a stream
MOST_WATCHERS: Final = 16  # each costs some milliseconds of every second

# Only our own files, no inline script or style, and nobody to talk to but this port.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_FILES: Final = {
    "/conflicts": ("conflicts.html", "text/html"),
    "/conflicts/page.js": ("conflicts.js", "text/javascript"),
    "/conflicts/page.css": ("conflicts.css", "text/css"),
    "/conflicts/uplot.js": ("uplot.js", "text/javascript"),
    "/conflicts/uplot.css": ("uplot.css", "text/css"),
    "/conflicts/uplot.LICENSE": ("uplot.LICENSE", "text/plain"),
}

Document = Callable[[], Awaitable[dict[str, Any]]]


class Watching:
    """The handlers of `/conflicts` and what is below.

    Args:
        document: what is shown now.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._watchers = 0
        self._stopped = asyncio.Event()
        self._made, self._made_at = b": nothing yet\n\n", -EVERY
        folder = resources.files("proxy.admin").joinpath("static")
        self._files = {path: folder.joinpath(name).read_bytes() for path, (name, _) in _FILES.items()}

    def add_to(self, app: web.Application) -> None:
        """Adds the paths."""
        for path in _FILES:
            app.router.add_get(path, self._show_file)
        app.router.add_get("/conflicts/data", self._show_data)
        app.router.add_get("/conflicts/events", self._show_events, allow_head=False)

    def stop(self) -> None:
        """Ends every stream."""
        self._stopped.set()

    async def _show_file(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._files[request.path],
            content_type=_FILES[request.path][1],
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY},
        )

    async def _show_data(self, _request: web.Request) -> web.Response:
        return web.json_response(await self._document())

    async def _show_events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, each with all that the page shows: who missed some needs none of them."""
        if self._watchers >= MOST_WATCHERS:
            text = f"{self._watchers} people watch already; /conflicts/data still answers\n"
            return web.Response(status=503, headers={"Retry-After": "10"}, text=text)
        self._watchers += 1
        try:
            return await self._stream(request)
        finally:
            self._watchers -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        while not self._stopped.is_set():
            try:
                await response.write(await self._event())
            except ConnectionError:
                break
            await self._pause()
        return response

    async def _event(self) -> bytes:
        """What the page shows; one document for all who watch at this time."""
        now = asyncio.get_running_loop().time()
        if now - self._made_at >= EVERY / 2:
            self._made_at = now
            self._made = f"retry: 2000\ndata: {json.dumps(await self._document())}\n\n".encode("ascii")
        return self._made

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY):
                await self._stopped.wait()
        except TimeoutError:
            pass
