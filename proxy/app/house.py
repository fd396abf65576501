"""The whole proxy in one event loop: its parts put together, opened, closed, and told of other routes."""

from __future__ import annotations

import asyncio
import logging
import time

from proxy import __version__
from proxy.admin import Admin, Conflicts, Finding, Page
from proxy.app import parts
from proxy.app.minting import Minting
from proxy.app.opening import opened
from proxy.app.telling import Teller, Watcher
from proxy.edge import Edge
from proxy.errors import StoreError
from proxy.log import AccessLog, own_stdout
from proxy.metrics import Metrics, State, Watched
from proxy.reloading import routes_of, say_applied
from proxy.rules.renaming import same_names
from proxy.rules.routing import Router
from proxy.settings import Settings
from proxy.store import Health

_log = logging.getLogger("proxy.app")
_LAST_SPANS = 1.0  # seconds that sending the last spans may take, even where nothing is left of `drain`


class App:
    """The whole proxy in one event loop.

    Args:
        settings: valid ones.
        shared: whether this is one of several workers, which share the port and standard output.
        relay: who keeps conflicts for all of them.

    Attributes:
        address: host and port that clients connect to, once started.
        admin_address: the same of the admin port, or None where there is none.
    """

    def __init__(self, settings: Settings, *, shared: bool = False, relay: Watcher | None = None) -> None:
        self._settings = settings
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        names = [*(route.match for route in settings.resolved_routes()), settings.default_route().match]
        self._metrics = Metrics(names, version=__version__)
        self._store = parts.store(settings, self._metrics)
        self._pool = parts.pool(settings, self._metrics)
        tracing = self._tracing = parts.tracing(settings, self._metrics)
        self._gate = parts.gate(settings, self._store, self._pool, self._metrics, tracing)
        self._minting = Minting(settings, self._store, self._gate)
        self._access: AccessLog | None = None
        if settings.log.access:
            self._access = AccessLog(own_stdout(), settings.log.format.value, in_turns=self._shared)
        self._conflicts = Conflicts()
        # Nobody sees conflicts where there is no admin port.
        watching = relay or (None if settings.admin is None else self._conflicts)
        trace_id = parts.trace_id if tracing is None else tracing.trace_id
        tell = Teller(self._metrics, watching, self._access, trace_id).tell
        told = tell if tracing is None else tracing.telling(tell)
        self._edge = Edge(self._gate, parts.limits(settings), told)
        self._shown = Page(
            self._metrics,
            self._conflicts,
            parts.route_texts(settings),
            findings=self.findings,
            hide_names=settings.admin_names.value == "hide",
        )
        self._admin: Admin | None = None
        self._server: asyncio.Server | None = None
        self.address: tuple[str, int] = ("", 0)
        self.admin_address: tuple[str, int] | None = None

    async def start(self) -> None:
        """Opens the store and both ports.

        Raises:
            ConfigurationError: a port cannot be opened.
        """
        settings = self._settings
        await self._store.open()
        await self._minting.start()
        if settings.admin is not None:
            self._admin = Admin(
                self._metrics,
                self._store,
                host=settings.admin.host,
                port=settings.admin.port,
                shown=self._shown,
                names=settings.admin_hosts,
            )
            self.admin_address = await opened("admin", settings.admin, self._admin.start())
        listening = self._loop.create_server(
            self._edge,
            settings.listen.host or None,
            settings.listen.port,
            backlog=1024,
            reuse_port=self._shared or None,
        )
        self._server = await opened("listen", settings.listen, listening)
        self.address = self._server.sockets[0].getsockname()[:2]
        self._watch()
        if not self._shared:
            _log.info("serving on http://%s:%d in front of %s", *self.address, settings.upstream.url)
        if self.admin_address is not None:
            _log.info("metrics, health and conflicts on http://%s:%d", *self.admin_address)

    async def stop(self) -> None:
        """Stops accepting, lets what is under way finish within `drain`, and closes everything."""
        if self._admin is not None:
            self._admin.draining = True
        if self._server is not None:
            self._server.close()
        drain = self._settings.drain
        until = self._loop.time() + drain
        try:
            async with asyncio.timeout(drain):
                await self._edge.drain(drain)
                await self._gate.drain()
        except TimeoutError:
            _log.warning(
                "requests were still under way after %g s; their claims run out by themselves", drain
            )
        self._minting.stop()
        if self._admin is not None:
            await self._admin.stop()
        await self._pool.close()
        await self._store.close()
        if self._tracing is not None:
            await self._tracing.close(max(until - self._loop.time(), _LAST_SPANS))
        if self._access is not None:
            self._access.close()

    async def reload(self, settings: Settings) -> str:
        """Puts other routes and defaults in force, for requests that come from now on.

        Args:
            settings: valid ones. What differs in them besides is only named in the log.

        Returns:
            "applied", or "unchanged".
        """
        new = routes_of(self._settings, settings)
        if new is None:
            return "unchanged"
        say_applied(len(new.routes), same_names=await self.reroute(new))
        return "applied"

    async def reroute(self, new: Settings) -> bool:
        """The same for settings that differ in routes and defaults only, without a word.

        Returns:
            whether all resources are named as before.
        """
        old = self._settings
        routes, default = new.resolved_routes(), new.default_route()
        router = await asyncio.to_thread(Router, routes, default)
        for route in routes:
            self._metrics.expect(route.match)
        same = same_names((*old.resolved_routes(), old.default_route()), (*routes, default))
        self._gate.reroute(router, same_names=same)
        self._shown.routes = parts.route_texts(new)
        self._settings = new
        return same

    def distrust(self) -> None:
        """Believes no recorded version from now on."""
        self._gate.house.suspicion.raise_for_all()

    def state(self) -> State:
        """All that was counted."""
        return self._metrics.state()

    async def health(self) -> Health:
        """Asks the store; its refusal to answer is an answer."""
        try:
            return await self._store.health()
        except StoreError as error:
            return Health(ready=False, detail=str(error))

    def count_reload(self, result: str) -> None:
        """Counts one attempt to read the configuration again."""
        self._metrics.reloaded(result)

    def findings(self) -> list[Finding]:
        """What is known of changes behind the proxy, by route."""
        now = time.time()
        return [
            Finding(one.route, one.key, one.kind, one.parts, now - one.age, now + one.left)
            for one in self._gate.house.suspicion.findings()
        ]

    def _watch(self) -> None:
        """Offers the values that are read when somebody scrapes."""
        watch = self._metrics.watch
        watch(Watched.CLIENT_CONNECTIONS, lambda: self._edge.open)
        watch(Watched.REQUESTS_IN_FLIGHT, lambda: self._edge.busy)
        watch(Watched.UPSTREAM_CONNECTIONS, lambda: self._pool.connections[0])
        watch(Watched.CLAIMS_HELD, lambda: self._gate.house.held)
        if (access := self._access) is not None:
            watch(Watched.ACCESS_LINES_LOST, lambda: access.lost)
