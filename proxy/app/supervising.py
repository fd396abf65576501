"""Runs several workers that share the port, and the admin port for all of them, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

from proxy import __version__
from proxy.admin import Admin, Page
from proxy.app import parts
from proxy.app.opening import opened
from proxy.errors import ConfigurationError
from proxy.reloading import Reloading, Source, routes_of, say_applied
from proxy.settings import Settings
from proxy.workers import Crew, Processes, StartsFail, reserve

_log = logging.getLogger("proxy.app")


class Supervisor:
    """The process that starts the workers, and serves the admin port.

    Args:
        settings: valid ones, of the whole proxy.
        workers: how many.
    """

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings = settings
        self._count = workers
        self._names = [*(route.match for route in settings.resolved_routes()), settings.default_route().match]
        self._admin: Admin | None = None

    async def run(self, source: Source) -> None:
        """Serves until SIGTERM or SIGINT.

        Raises:
            ConfigurationError: a port cannot be opened, or the workers cannot use the settings.
            StartsFail: the workers do not come to serve.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        address, held = await opened(
            "listen", self._settings.listen, asyncio.to_thread(reserve, self._settings.listen)
        )
        with held:
            crew = Crew(self._settings, address, self._count, self._names, __version__)
            reloading = Reloading(source, lambda new: self._reload(crew, new), crew.count_reload)
            loop.add_signal_handler(signal.SIGHUP, reloading.ask)
            tasks = [
                loop.create_task(stop.wait()),
                loop.create_task(self._serve(crew, reloading, str(address))),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                _log.info("stopping: no new connections, finishing what is under way")
            finally:
                await self._stop(crew, tasks)

    async def _serve(self, crew: Crew, reloading: Reloading, address: str) -> None:
        """Starts everything, and watches until a worker cannot be kept running."""
        await self._open_admin(crew)
        await crew.open()
        _log.info(
            "serving on http://%s in front of %s, with %d workers",
            address,
            self._settings.upstream.url,
            self._count,
        )
        watching = asyncio.get_running_loop().create_task(reloading.run())
        try:
            await crew.broken()
        finally:
            watching.cancel()

    async def _open_admin(self, crew: Crew) -> None:
        settings = self._settings
        if settings.admin is None:
            return
        crew.metrics.registry.register(Processes(crew.processes))
        self._page = Page(
            crew.metrics,
            crew.conflicts,
            parts.route_texts(settings),
            findings=crew.findings,
            hide_names=settings.admin_names.value == "hide",
        )
        self._admin = Admin(
            crew.metrics,
            crew,
            host=settings.admin.host,
            port=settings.admin.port,
            shown=self._page,
            crew=crew,
            names=settings.admin_hosts,
        )
        host, port = await opened("admin", settings.admin, self._admin.start())
        _log.info("metrics, health and conflicts on http://%s:%d", host, port)

    async def _stop(self, crew: Crew, tasks: Sequence[asyncio.Task[object]]) -> None:
        if self._admin is not None:
            self._admin.draining = True
        for task in tasks:
            task.cancel()
        await crew.close()
        if self._admin is not None:
            await self._admin.stop()

    async def _reload(self, crew: Crew, settings: Settings) -> str:
        new = routes_of(crew.settings, settings)
        if new is None:
            return "unchanged"
        same = await crew.reload(new)
        if self._admin is not None:
            self._page.routes = parts.route_texts(new)
        say_applied(len(new.routes), same_names=same)
        return "applied"


def supervise(settings: Settings, source: Source, workers: int) -> int:
    """Runs until it is told to stop.

    Returns:
        the exit status: 0; 2 where the configuration cannot be used; 1 where workers do not come to serve.
    """
    if sys.platform != "linux":
        _log.warning(
            "on %s the system may give all connections to one of the workers; only Linux spreads them",
            sys.platform,
        )
    try:
        asyncio.run(Supervisor(settings, workers).run(source))
    except (ConfigurationError, StartsFail) as fault:
        print(f"precondition-proxy: {fault}", file=sys.stderr)
        return 2 if isinstance(fault, ConfigurationError) else 1
    return 0
