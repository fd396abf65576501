"""The admin port's server and its routes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from typing import Any, Final, Protocol

from aiohttp import web

from proxy import __version__
from proxy.admin import history
from proxy.admin.conflicts import Conflicts
from proxy.admin.exposition import page
from proxy.admin.hosts import Hosts
from proxy.admin.page import Page
from proxy.admin.watching import Watching
from proxy.errors import StoreError
from proxy.metrics import Metrics, Watched
from proxy.store import Health, Service

HEALTH_WITHIN: Final = 2.0  # seconds; `Service.health` promises one


class Crew(Protocol):
    """Several processes behind one admin port."""

    def lacking(self) -> str:
        """Which of them do not serve, in words, or ""."""

    def stuck(self) -> str:
        """Which of them live and do not answer, in words, or ""."""


class Admin:
    """Serves the admin port.

    Args:
        metrics: what /metrics tells.
        service: the store, whose health decides /readyz.
        host: the address to bind to. Keep it to loopback or to a network of your own: nobody is asked for
            a password.
        port: 0 for any free one.
        shown: what /conflicts shows; without it, only totals.
        names: by which browsers may open pages, besides those of `Hosts`.
        crew: those whose readiness and life count too, where several processes serve.

    Attributes:
        draining: set it when the proxy is told to stop: /readyz then says 503, so that no new requests are
            sent here.
    """

    def __init__(
        self,
        metrics: Metrics,
        service: Service,
        *,
        host: str,
        port: int,
        shown: Page | None = None,
        crew: Crew | None = None,
        names: Iterable[str] = (),
    ) -> None:
        self.draining = False
        self._metrics = metrics
        self._service = service
        self._crew = crew
        self._host = host
        self._port = port
        self._health = Health(ready=False, detail="the store has not been asked yet")
        self._index, self._policy = _index()
        self._shown = Page(metrics, Conflicts()) if shown is None else shown
        self._watching = Watching(self._document)
        self._sampling: asyncio.Task[None] | None = None
        self._hosts = Hosts([host, *names])
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)
        metrics.watch(Watched.STORE_READY, lambda: float(self._health.ready))

    async def start(self) -> tuple[str, int]:
        """Binds and serves. `stop` has to follow, even where this fails.

        Returns:
            The address and port that it is bound to.

        Raises:
            OSError: the address cannot be had.
        """
        self._sampling = asyncio.get_running_loop().create_task(self._sample())
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port, *_ = self._runner.addresses[0]
        return str(host), int(port)

    async def stop(self) -> None:
        """Stops serving. Safe to call where `start` never was."""
        self._watching.stop()
        if self._sampling is not None:
            self._sampling.cancel()
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._hosts.check])
        app.router.add_get("/", self._show_index)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_alive)
        app.router.add_get("/readyz", self._show_ready)
        self._watching.add_to(app)
        app.on_response_prepare.append(self._secure)
        return app

    async def _secure(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Every response, errors included: no foreign scripts, no framing, no sniffing, nothing kept."""
        response.headers.setdefault("Content-Security-Policy", self._policy)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "precondition-proxy"

    async def _show_index(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._index, content_type="text/html")

    async def _show_metrics(self, request: web.Request) -> web.Response:
        await self._ask()
        content, content_type = await page(self._metrics.registry, request.headers.get("Accept", ""))
        response = web.Response(body=content, headers={"Content-Type": content_type})
        response.headers["Vary"] = "Accept, Accept-Encoding"
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _show_alive(self, _request: web.Request) -> web.Response:
        stuck = self._crew.stuck() if self._crew else ""
        told = {"alive": not stuck} | ({"workers": stuck} if stuck else {})
        return web.json_response(told, status=503 if stuck else 200)

    async def _show_ready(self, _request: web.Request) -> web.Response:
        health = await self._ask()
        lacking = self._crew.lacking() if self._crew else ""
        ready = health.ready and not self.draining and not lacking
        told = {
            "ready": ready,
            "draining": self.draining,
            "store": health.detail,
            "warnings": list(health.warnings),
        } | ({"workers": lacking} if lacking else {})
        return web.json_response(told, status=200 if ready else 503)

    async def _document(self) -> dict[str, Any]:
        health = await self._ask()
        if lacking := self._crew.lacking() if self._crew else "":
            health = replace(health, warnings=(*health.warnings, lacking))
        return self._shown.document(health, draining=self.draining)

    async def _sample(self) -> None:
        while True:
            self._shown.sample()
            await asyncio.sleep(history.EVERY)

    async def _ask(self) -> Health:
        """The store's health now, which the metrics then tell too."""
        try:
            async with asyncio.timeout(HEALTH_WITHIN):
                self._health = await self._service.health()
        except TimeoutError:
            self._health = Health(ready=False, detail="the store does not answer")
        except StoreError as error:
            self._health = Health(ready=False, detail=str(error))
        return self._health


def _index() -> tuple[str, str]:
    """The index page, and the Content-Security-Policy that allows just its own style."""
    text = resources.files("proxy.admin").joinpath("index.html").read_text("utf-8")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return text.replace("{version}", html.escape(__version__)), f"{policy}; frame-ancestors 'none'"
