"""Builds the house from the settings, and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import ssl
import sys
import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import TypeVar

import uvloop

from proxy import __version__
from proxy.admin import Admin, Conflicts, Page, RouteText, Told
from proxy.edge import Edge, Limits
from proxy.errors import ConfigurationError, StoreUnavailable
from proxy.exchange import Answer, Request
from proxy.gate import Gate, Outgoing
from proxy.log import AccessLog, AccessRecord, own_stdout, setup
from proxy.metrics import Metrics, Watched
from proxy.reloading import Reloading, Source, restart_needed
from proxy.rules.minting import Minter
from proxy.rules.renaming import same_names
from proxy.rules.routing import Router
from proxy.settings import Address, Settings
from proxy.settings.explanation import explained_routes
from proxy.store.memory import MemoryStore
from proxy.store.redis import RedisStore
from proxy.upstream.pool import Pool

_log = logging.getLogger("proxy.app")
_SECRET_EVERY = 10.0  # seconds between two looks whether the key of minted tags is still in Redis


class App:
    """The whole proxy in one event loop.

    Args:
        settings: valid ones.

    Attributes:
        address: host and port that clients connect to, once started.
        admin_address: the same of the admin port, or None where there is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        routes = settings.resolved_routes()
        default = settings.default_route()
        names = [*(route.match for route in routes), default.match]
        self._metrics = Metrics(names, version=__version__)
        self._store = _store(settings, self._metrics)
        self._pool = _pool(settings, self._metrics)
        self._gate = Gate(
            Router(routes, default),
            self._store,
            self._pool,
            self._metrics,
            _outgoing(settings, self._pool),
            # Not the loop's clock: uvloop's stands still within one turn, and a deadline must not (rule 4).
            clock=time.monotonic,
            now_year=_year,
            work=settings.upstream.timeout,
            lease=settings.lease,
            memory_body=settings.limits.memory_body,
            strip_override=settings.method_override.value == "strip",
            most_tags=settings.limits.tags,
        )
        self._access = AccessLog(own_stdout(), settings.log.format.value) if settings.log.access else None
        self._edge = Edge(self._gate, _limits(settings), self._tell)
        self._conflicts = Conflicts()
        self._shown = Page(
            self._metrics,
            self._conflicts,
            _route_texts(settings),
            hide_names=settings.admin_names.value == "hide",
        )
        self._admin: Admin | None = None
        self._server: asyncio.Server | None = None
        self._minting: asyncio.Task[None] | None = None
        self._secret_known = asyncio.Event()
        self.address: tuple[str, int] = ("", 0)
        self.admin_address: tuple[str, int] | None = None

    async def start(self) -> None:
        """Opens the store and both ports.

        Raises:
            ConfigurationError: a port cannot be opened.
        """
        settings = self._settings
        await self._store.open()
        self._minting = self._loop.create_task(self._find_secret())
        known = asyncio.ensure_future(self._secret_known.wait())
        await asyncio.wait([self._minting, known], timeout=2.0, return_when=asyncio.FIRST_COMPLETED)
        known.cancel()
        if settings.admin is not None:
            self._admin = Admin(
                self._metrics,
                self._store,
                host=settings.admin.host,
                port=settings.admin.port,
                shown=self._shown,
            )
            self.admin_address = await _opened("admin", settings.admin, self._admin.start())
        listening = self._loop.create_server(
            self._edge, settings.listen.host or None, settings.listen.port, backlog=1024
        )
        self._server = await _opened("listen", settings.listen, listening)
        self.address = self._server.sockets[0].getsockname()[:2]
        self._watch()
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
        try:
            async with asyncio.timeout(drain):
                await self._edge.drain(drain)
                await self._gate.drain()
        except TimeoutError:
            _log.warning(
                "requests were still under way after %g s; their claims run out by themselves", drain
            )
        if self._minting is not None:
            self._minting.cancel()
        if self._admin is not None:
            await self._admin.stop()
        await self._pool.close()
        await self._store.close()
        if self._access is not None:
            self._access.close()

    async def reload(self, settings: Settings) -> str:
        """Puts other routes and defaults in force, for requests that come from now on.

        Args:
            settings: valid ones. What differs in them besides is only named in the log.

        Returns:
            "applied", or "unchanged".
        """
        old = self._settings
        if waiting := restart_needed(old, settings):
            _log.warning("changed in the configuration, but in force only after a restart: %s", waiting)
        new = old.model_copy(update={"routes": settings.routes, "defaults": settings.defaults})
        if new == old:
            _log.info("the configuration was read again: the routes are the same")
            return "unchanged"
        routes, default = new.resolved_routes(), new.default_route()
        router = await asyncio.to_thread(Router, routes, default)
        for route in routes:
            self._metrics.expect(route.match)
        same = same_names((*old.resolved_routes(), old.default_route()), (*routes, default))
        self._gate.reroute(router, same_names=same)
        self._shown.routes = _route_texts(new)
        self._settings = new
        _log.info("the configuration was read again: %d routes are in force", len(routes))
        if not same:
            _log.warning(
                "resources are named otherwise than before, or looked at that were not: until this process is"
                " started again, every conditional write is verified with the backend"
            )
        return "applied"

    def count_reload(self, result: str) -> None:
        """Counts one attempt to read the configuration again."""
        self._metrics.reloaded(result)

    def _watch(self) -> None:
        """Offers the values that are read when somebody scrapes."""
        watch = self._metrics.watch
        watch(Watched.CLIENT_CONNECTIONS, lambda: self._edge.open)
        watch(Watched.REQUESTS_IN_FLIGHT, lambda: self._edge.busy)
        watch(Watched.UPSTREAM_CONNECTIONS, lambda: self._pool.connections[0])
        watch(Watched.CLAIMS_HELD, lambda: self._gate.house.held)
        if (access := self._access) is not None:
            watch(Watched.ACCESS_LINES_LOST, lambda: access.lost)

    async def _find_secret(self) -> None:
        """Gets the key of minted tags, which every replica must share. Until it is there, none are minted."""
        given = self._settings.tag_secret
        if given is not None:
            self._gate.house.minter = Minter(given.get_secret_value().encode())
        elif isinstance(self._store, RedisStore):
            await self._agree_on_secret(self._store)
        else:
            self._gate.house.minter = Minter(secrets.token_bytes(32))
            _log.info("tag_secret is not set: the tags that the proxy makes change when it restarts")

    async def _agree_on_secret(self, store: RedisStore) -> None:
        """Keeps the secret in Redis, and puts it back where Redis was emptied."""
        secret, agreed = secrets.token_bytes(32), b""
        while True:
            try:
                secret = await store.agree_on_secret(secret)
            except StoreUnavailable:
                await asyncio.sleep(0.2)
                continue
            if secret != agreed:
                self._gate.house.minter, agreed = Minter(secret), secret
                self._secret_known.set()
            await asyncio.sleep(_SECRET_EVERY)

    def _tell(self, request: Request, answer: Answer, seconds: float, sent: int) -> None:
        trace = request.trace
        self._metrics.request(trace.route, request.method, answer.status, seconds)
        if trace.outcome != "off":
            self._metrics.outcome(trace.route, request.method, trace.outcome, trace.condition, trace.reason)
        if self._admin is not None and self._conflicts.wants(
            request.method, trace.outcome, trace.resource, request.peer
        ):
            self._conflicts.tell(_told(request, answer, seconds))
        if self._access is not None:
            self._access.line(
                AccessRecord(
                    time=time.time() - seconds,
                    method=request.method,
                    target=request.target,
                    status=answer.status,
                    route=trace.route,
                    outcome=trace.outcome,
                    condition=trace.condition,
                    reason=trace.reason,
                    seconds=seconds,
                    upstream=trace.upstream_seconds,
                    claim=trace.claim_wait,
                    received=request.body.received,
                    sent=sent,
                    client=request.peer,
                    request_id=request.id,
                )
            )


def serve(settings: Settings, source: Source | None = None) -> int:
    """Runs the proxy until SIGTERM or SIGINT.

    Args:
        settings: valid ones.
        source: where they came from, and are read again from after SIGHUP and changes of the file.

    Returns:
        the exit status: 0, or 2 where a port could not be opened.
    """
    setup(settings.log.level.value, settings.log.format.value)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, source or Source.of(None, lambda: settings)))
    except ConfigurationError as fault:
        print(f"precondition-proxy: {fault}", file=sys.stderr)
        return 2
    return 0


async def _run(settings: Settings, source: Source) -> None:
    app = App(settings)
    reloading = Reloading(source, app.reload, app.count_reload)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reloading.ask)
    watching: asyncio.Task[None] | None = None
    try:
        await app.start()
        watching = loop.create_task(reloading.run())
        gc.collect()
        gc.freeze()  # what was built so far lives as long as the process
        await stop.wait()
        _log.info("stopping: no new connections, finishing what is under way")
    finally:
        if watching is not None:
            watching.cancel()
        await app.stop()


_Opened = TypeVar("_Opened")


async def _opened(key: str, address: Address, opening: Awaitable[_Opened]) -> _Opened:
    try:
        return await opening
    except OSError as fault:
        raise ConfigurationError(
            f"{key}: cannot listen on {address}: {fault.strerror or fault}. "
            f"Free the port or choose another, e.g. --{key} {address.host or '127.0.0.1'}:0"
        ) from None


def _told(request: Request, answer: Answer, seconds: float) -> Told:
    trace, now = request.trace, time.time()
    held = request.headers.get(trace.condition, "") if trace.condition else ""
    return Told(
        began=now - seconds,
        ended=now,
        resource=trace.resource,
        route=trace.route,
        method=request.method,
        client=request.peer,
        request_id=request.id,
        status=answer.status,
        outcome=trace.outcome,
        condition=trace.condition,
        reason=trace.reason,
        held=held[:200],
        tag=next((value.decode("utf-8", "replace") for name, value in answer.fields if _is_etag(name)), ""),
        unknown=trace.applied_unknown,
    )


def _is_etag(name: bytes) -> bool:
    return len(name) == 4 and name.lower() == b"etag"


def _route_texts(settings: Settings) -> list[RouteText]:
    return [RouteText(route.match, name, words) for route, name, words in explained_routes(settings)]


def _store(settings: Settings, metrics: Metrics) -> MemoryStore | RedisStore:
    store = settings.store
    if store.in_memory:
        return MemoryStore(lease=settings.lease, wait=store.wait, capacity=store.capacity, meter=metrics)
    return RedisStore.from_url(
        store.url.get_secret_value(),
        lease=settings.lease,
        wait=store.wait,
        grace=None if store.grace == "auto" else float(store.grace),
        timeout=store.timeout,
        prefix=store.prefix,
        ttl=store.ttl,
        meter=metrics,
    )


def _pool(settings: Settings, metrics: Metrics) -> Pool:
    upstream = settings.upstream
    return Pool(
        upstream.url,
        timeout=upstream.timeout,
        connect_timeout=upstream.connect_timeout,
        max_connections=upstream.max_connections,
        tls=_tls(settings) if upstream.url.startswith("https:") else None,
        meter=metrics,
    )


def _tls(settings: Settings) -> ssl.SSLContext:
    upstream = settings.upstream
    try:
        context = ssl.create_default_context(cafile=upstream.ca_file)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigurationError(f"upstream.ca_file: {upstream.ca_file} cannot be used: {fault}") from None
    if not upstream.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _outgoing(settings: Settings, pool: Pool) -> Outgoing:
    return Outgoing(
        host=pool.host() if settings.upstream.host.value == "upstream" else None,
        style=settings.forwarded.value,
        via=settings.via or "",
        trusted=settings.trusted_proxies,
        strip_override=settings.method_override.value == "strip",
        fallback=pool.host(),
    )


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        target=limits.target,
        field=limits.header_size,
        fields=limits.header_count,
        body=limits.body,
        head_timeout=limits.head_timeout,
        body_timeout=limits.body_timeout,
        idle_timeout=limits.idle_timeout,
        connections=limits.connections,
    )


def _year() -> int:
    return _year_of(int(time.time()) // 3600)


@lru_cache(maxsize=1)
def _year_of(hour: int) -> int:
    return time.gmtime(hour * 3600).tm_year
