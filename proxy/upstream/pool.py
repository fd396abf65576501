"""The connections to one backend, lent out last in, first out, for one exchange at a time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

from proxy.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.upstream import Call, Meter
from proxy.upstream.address import Connect, connector, parse_address
from proxy.upstream.connection import Connection, Unanswered
from proxy.upstream.head import request_head
from proxy.upstream.reply import BackendReply

# RFC 9110 section 9.2.1. Idempotent is not enough for sending twice: a PUT that was applied, then overwritten
# by somebody else, must not be applied again (DESIGN rule 5, an outcome that nobody knows).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

_FRESH = 1.0
"""Seconds: an unsafe request uses only a connection that was in use within this time.

The backend may close an idle connection just as a request is written to it, and nobody then knows the outcome
of a write. Servers wait seconds before they close: one that has just been used is hardly being closed.
"""

_WARY = 60.0
"""Seconds for which unsafe requests open connections of their own, once the backend closed one that had been
in use less than `_FRESH` before, or under a request: it closes without saying so."""


class Pool:
    """Sends calls to one backend.

    Args:
        url: `http://host[:port]`, `https://host[:port]` or `unix:///path/to.sock`.
        timeout: seconds from `send` to the head of the final response: waiting for a connection, connecting,
            the backend's work. For a `Source` the backend has this long for every piece, and after the last.
        connect_timeout: seconds for connecting, TLS included.
        body_timeout: seconds between two pieces of a response body that is waited for; default `timeout`.
        max_idle: connections kept for later; 0 closes each after its exchange.
        idle_timeout: seconds after which an idle connection is closed; should be below the backend's own.
        max_connections: connections in all, 0 for no limit. Callers beyond it wait in line.
        tls: how to check an https backend; see `proxy.upstream.address.tls_context`.
        server_name: the name that the certificate must have, where it is not the URL's host.
        meter: told of every call.
        connect: makes connections instead of the event loop, for simulations.

    Raises:
        ConfigurationError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        body_timeout: float | None = None,
        max_idle: int = 100,
        idle_timeout: float = 15.0,
        max_connections: int = 0,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        meter: Meter | None = None,
        connect: Connect | None = None,
    ) -> None:
        address = parse_address(url)
        self._host = address.authority
        self._backend = str(address)
        self._connect = connect or connector(address, tls, server_name)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._body_timeout = timeout if body_timeout is None else body_timeout
        self._max_idle = max_idle
        self._idle_timeout = idle_timeout
        self._max_connections = max_connections
        self._meter = meter
        self._now: Callable[[], float] = self._first_now
        self._idle: list[Connection] = []  # the one used last is the last
        self._open = 0
        self._line: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._wary_until = float("-inf")

    def host(self) -> bytes:
        """The default value of Host."""
        return self._host

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections there are in all, those being made included, and how many of them are idle."""
        return self._open, len(self._idle)

    async def send(self, call: Call) -> BackendReply:
        """Sends the call and waits for the head of its final response (`proxy.upstream.Upstream.send`).

        Only GET, HEAD, OPTIONS and TRACE are ever sent twice, and only where a connection that had been used
        before died without a byte of an answer. A `BodyError` is the client's, and not told to the meter.
        """
        began = self._now()
        meter = self._meter
        try:
            head = call.head or request_head(call, close=self._max_idle == 0)
            deadline = began + self._timeout
            connection = self._take(began, safe=call.method in _SAFE and not call.once)
            connection = connection or await self._obtain(deadline)
            used = connection.used
            while True:
                answer = connection.exchange(call, head, began, deadline)
                try:
                    reply = await answer
                    break
                except asyncio.CancelledError:
                    connection.given_up(answer)
                    raise
                except Unanswered:
                    if used:
                        self._grow_wary()
                    if not used or not _resendable(call):
                        raise
                connection, used = await self._obtain(deadline), 0  # sent a second time, never a third
        except UpstreamError as fault:
            if meter is not None:
                meter.upstream_call(self._now() - began, _outcome(fault))
            raise
        if meter is not None:
            meter.upstream_call(self._now() - began, "ok")
        return reply

    async def close(self) -> None:
        """Closes the idle connections, and each other one when its exchange is over. Waits for nothing."""
        self._max_idle = 0
        while self._idle:
            self._idle.pop().close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _first_now(self) -> float:
        """The event loop's time; the loop is looked up once (a system call each time before Python 3.12)."""
        self._now = asyncio.get_running_loop().time
        return self._now()

    # Getting a connection.

    def _take(self, now: float, *, safe: bool) -> Connection | None:
        """The connection used last of those that are idle; an unsafe request needs one that is surely wanted.

        Args:
            now: `loop.time()`.
            safe: whether the request may be sent twice.
        """
        idle = self._idle
        if not safe and now < self._wary_until:
            return None
        while idle and (safe or now - idle[-1].idle_since < _FRESH):
            connection = idle.pop()
            transport = connection.transport
            stands = not connection.gone and transport is not None and not transport.is_closing()
            if stands and now < connection.idle_since + self._idle_timeout:
                return connection
            connection.close()
        return None

    async def _obtain(self, deadline: float) -> Connection:
        """A new connection, or where there may be no more, the one that becomes free next."""
        while self._max_connections and self._open >= self._max_connections:
            if self._idle:
                self._idle.pop(0).close()
                continue
            connection = await self._stand_in_line(deadline)
            if connection is None:  # another one was closed, and its place given to us
                return await self._connected(deadline)
            if connection.usable:
                return connection
        self._open += 1
        return await self._connected(deadline)

    async def _stand_in_line(self, deadline: float) -> Connection | None:
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                return await turn
        except BaseException as fault:
            if turn.done() and not turn.cancelled():
                self._pass_on(turn.result())
            elif turn in self._line:
                self._line.remove(turn)
            if isinstance(fault, TimeoutError):
                reason = f"all connections to {self._backend} were in use for too long"
                raise UpstreamTimeout(reason, maybe_applied=False) from fault
            raise

    async def _connected(self, deadline: float) -> Connection:
        """Connects; the place among `max_connections` is taken already, and given back where it fails."""
        loop = asyncio.get_running_loop()
        connection = Connection(
            loop,
            self._backend,
            timeout=self._timeout,
            body_timeout=self._body_timeout,
            on_free=self._freed,
            on_lost=self._lost,
        )
        try:
            async with asyncio.timeout_at(min(loop.time() + self._connect_timeout, deadline)):
                await self._connect(lambda: connection)
        except BaseException as fault:
            connection.abort()
            if isinstance(fault, OSError | UnicodeError):
                raise UpstreamUnreachable(f"{self._backend} {_why(fault)}") from fault
            raise
        return connection

    # Getting it back.

    def _freed(self, connection: Connection) -> None:
        now = self._now()
        if self._max_idle == 0 or (self._line and now < self._wary_until):
            connection.close()
            return
        if self._line and (turn := self._next_turn()) is not None:
            turn.set_result(connection)
            return
        if len(self._idle) >= self._max_idle:
            self._idle.pop(0).close()
        connection.idle_since = now
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_at(now + self._idle_timeout, self._sweep)

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:  # the backend closed it: those that we close are taken out before
            self._idle.remove(connection)
            if self._now() - connection.idle_since < _FRESH:
                self._grow_wary()
        self._pass_on(None)

    def _grow_wary(self) -> None:
        self._wary_until = self._now() + _WARY

    def _pass_on(self, connection: Connection | None) -> None:
        """Gives a connection, or the place of one that is gone, to whoever is next."""
        if connection is not None:
            if connection.usable:
                self._freed(connection)
        elif (turn := self._next_turn()) is not None:
            turn.set_result(None)
        else:
            self._open -= 1

    def _next_turn(self) -> asyncio.Future[Connection | None] | None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                return turn
        return None

    def _sweep(self) -> None:
        """Closes what was idle for too long; the oldest stand first."""
        loop = asyncio.get_running_loop()
        self._sweeper = None
        while self._idle and self._idle[0].idle_since + self._idle_timeout <= loop.time():
            self._idle.pop(0).close()
        if self._idle:
            self._sweeper = loop.call_at(self._idle[0].idle_since + self._idle_timeout, self._sweep)


def _resendable(call: Call) -> bool:
    return call.method in _SAFE and not call.once and (isinstance(call.body, bytes) or call.body.replayable)


def _outcome(fault: UpstreamError) -> str:
    match fault:
        case UpstreamUnreachable():
            return "unreachable"
        case UpstreamTimeout():
            return "timeout"
        case _:
            return "broken"


def _why(fault: OSError | UnicodeError) -> str:
    match fault:
        case ConnectionRefusedError():
            return "refused the connection"
        case ssl.SSLCertVerificationError():
            return "has a certificate that cannot be trusted"
        case ssl.SSLError():
            return "and the proxy did not agree on TLS"
        case TimeoutError():
            return "did not accept a connection in time"
        case socket.gaierror() | UnicodeError():
            return "has a name that cannot be resolved"
        case _:
            return "cannot be connected to"
