"""Structured logs: events through stdlib logging, and one line for each request through `AccessLog`.

Both come as `json` (one object a line) or `text` (for people). Nothing that a client sends can end a line or
forge a field, and no credentials are written: not the query, not the userinfo of a URL, no header fields.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from queue import SimpleQueue
from typing import Final, TextIO

from proxy.log.events import Format, JsonEvents, Subject, TextEvents, about, moment, safe_url, setup

__all__ = [
    "AccessLog",
    "AccessRecord",
    "Format",
    "JsonEvents",
    "Subject",
    "TextEvents",
    "about",
    "json_line",
    "moment",
    "own_stdout",
    "safe_url",
    "setup",
    "text_line",
]

_events = logging.getLogger(__name__)


FLUSH_AFTER: Final = 0.1  # seconds that a line may wait
FLUSH_AT: Final = 64 * 1024  # characters that wait at most
KEEP_AT_MOST: Final = 8 * 1024 * 1024  # characters kept for a reader that is too slow, then lines are dropped
CLOSE_WITHIN: Final = 2.0  # seconds that the last lines may take

_PLAIN = re.compile(r"[!#-\[\]-~]+")  # visible ASCII without the quote and the backslash


@dataclass(slots=True)
class AccessRecord:
    """What is told of one request. Strings may hold anything; "" where there is nothing to say.

    Attributes:
        time: seconds since the epoch when the head had arrived.
        method, target: as on the wire; query and fragment are cut off here.
        status: as sent; 0 where the client left before an answer.
        route: the matched route's pattern.
        outcome, condition, reason: what the gate decided, as in the metrics.
        seconds: from the head to the end of the response.
        upstream, claim: seconds of it that the backend, and getting the claim, took.
        received, sent: bytes of the request's and the response's content.
        client: the peer's address.
        request_id: X-Request-ID, kept or made.
        trace_id: 32 hexadecimal digits, where the request belongs to a trace.
    """

    time: float
    method: str
    target: str
    status: int
    route: str = ""
    outcome: str = ""
    condition: str = ""
    reason: str = ""
    seconds: float = 0.0
    upstream: float = 0.0
    claim: float = 0.0
    received: int = 0
    sent: int = 0
    client: str = ""
    request_id: str = ""
    trace_id: str = ""


def json_line(record: AccessRecord) -> str:
    """One JSON object. Written out by hand: json.dumps of such a dict costs several times as much."""
    trace = f',"trace_id":"{record.trace_id}"' if record.trace_id else ""
    return (
        f'{{"time":"{moment(record.time)}","method":{quoted(record.method)},"path":{quoted(_path(record.target))}'
        f',"route":{quoted(record.route)},"status":{record.status},"outcome":{quoted(record.outcome)}'
        f',"condition":{quoted(record.condition)},"reason":{quoted(record.reason)}'
        f',"ms":{record.seconds * 1e3:.3f},"upstream_ms":{record.upstream * 1e3:.3f}'
        f',"claim_ms":{record.claim * 1e3:.3f}'
        f',"received":{record.received},"sent":{record.sent}'
        f',"client":{quoted(record.client)},"request_id":{quoted(record.request_id)}{trace}}}\n'
    )


def text_line(record: AccessRecord) -> str:
    """Words separated by spaces; a word with anything unusual in it is quoted as in JSON."""
    words = (
        *(record.client or "-", record.method, _path(record.target), str(record.status)),
        *(record.outcome or "-", record.condition or "-", record.reason or "-"),
        *(record.route or "-", record.request_id or "-"),
    )
    trace = f" trace {record.trace_id}" if record.trace_id else ""
    safe = " ".join(word if _PLAIN.fullmatch(word) else quoted(word) for word in words)
    return (
        f"{moment(record.time)} {safe} {record.seconds * 1e3:.1f}ms"
        f" (upstream {record.upstream * 1e3:.1f},"
        f" claim {record.claim * 1e3:.1f}) {record.received}/{record.sent} bytes{trace}\n"
    )


LINES: Final[dict[Format, Callable[[AccessRecord], str]]] = {"json": json_line, "text": text_line}


def own_stdout() -> TextIO:
    """A stream of one's own on standard output, so that a stuck reader cannot stop the interpreter's exit."""
    return open(sys.stdout.fileno(), "w", encoding="utf-8", newline="\n", closefd=False)


class AccessLog:
    """One line for each request, collected on the event loop and written together by a thread.

    A reader of the log that is slow or stuck must not stop the proxy: lines wait up to `KEEP_AT_MOST`
    characters, then new ones are dropped and counted in `lost`, and an event says so when it goes on.

    Args:
        stream: where to, written to by one thread only. Not closed here.
        format: json or text.
        in_turns: whether other processes write to the same stream: more than a few lines at once are else
            torn where it is a full pipe.
    """

    def __init__(self, stream: TextIO, format: Format = "json", *, in_turns: bool = False) -> None:
        self._stream = stream
        self._in_turns = in_turns
        self._format = LINES[format]
        self._waiting: list[str] = []
        self._size = 0
        self._dropped = self._said = self._unwritten = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: SimpleQueue[str | None] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that were dropped, or could not be written."""
        return self._dropped + self._unwritten

    def line(self, record: AccessRecord) -> None:
        """Adds one request's line. Never raises, never waits. To be called on the event loop."""
        if self._size >= KEEP_AT_MOST:
            self._dropped += 1
            return
        line = self._format(record)
        self._waiting.append(line)
        self._size += len(line)
        if self._size >= FLUSH_AT:
            self._flush()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._due)

    def close(self) -> None:
        """Writes what is left, waiting `CLOSE_WITHIN` seconds at most. No line may follow."""
        if self._timer is not None:
            self._timer.cancel()
        self._batches.put(self._take())
        self._batches.put(None)
        self._thread.join(CLOSE_WITHIN)
        if self._thread.is_alive():
            _events.warning("the reader of the access log is stuck: its last lines are lost")

    def _due(self) -> None:
        self._timer = None
        self._flush()
        if self._waiting:  # the thread is still busy with the last batch
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._due)

    def _flush(self) -> None:
        if self._waiting and self._idle.is_set():
            self._idle.clear()
            self._batches.put(self._take())

    def _take(self) -> str:
        if self._dropped > self._said:
            lost = self._dropped - self._said
            # In a context of its own: no request's, though one may happen to be answered now.
            Context().run(_events.warning, "access lines dropped, their reader is too slow: %d", lost)
            self._said = self._dropped
        batch = "".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return batch

    def _write_all(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                with _turn(self._stream) if self._in_turns else nullcontext():
                    self._stream.write(batch)
                    self._stream.flush()
            except (OSError, ValueError):  # the reader is gone, or the stream closed: no reason to stop
                self._unwritten += batch.count("\n")
            self._idle.set()


@contextmanager
def _turn(stream: TextIO) -> Iterator[None]:
    """Writes while no other process does that asks for its turn. The turn of one that dies ends."""
    import fcntl  # not on Windows, where there is one process only

    try:
        fcntl.lockf(stream, fcntl.LOCK_EX)
    except OSError:  # what cannot be locked is written to as it comes
        yield
        return
    try:
        yield
    finally:
        fcntl.lockf(stream, fcntl.LOCK_UN)


def _path(target: str) -> str:
    return safe_url(target) if "?" in target or "#" in target or "://" in target else target
