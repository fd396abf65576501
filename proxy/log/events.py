"""Events: the lines of stdlib logging, as JSON or text, on standard error."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from typing import Final, Literal, Protocol, TextIO

Format = Literal["json", "text"]

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_BREAKS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class Subject(Protocol):
    """What events are about.

    Attributes:
        request_id: of the request that is answered now, "" where there is none.
    """

    request_id: str


about: Final[ContextVar[Subject | None]] = ContextVar("about", default=None)
"""Set once for each connection, not for each request. Tasks that a request starts inherit it."""


def safe_url(url: str) -> str:
    """A URL or request target without userinfo, query and fragment: fit for logs and messages."""
    return _USERINFO.sub("", re.split(r"[?#]", url, maxsplit=1)[0])


def setup(
    level: str = "info", format: Format = "json", stream: TextIO | None = None, worker: int | None = None
) -> None:
    """Sends the events of this process (the root logger) to `stream`, standard error by default.

    Args:
        level: a name of the logging module, in any case.
        format: json or text.
        stream: where to.
        worker: the number of this one of several processes, which each event then names.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonEvents(worker) if format == "json" else TextEvents(worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class _Events(logging.Formatter):
    """Args: worker: the number that each event names, if any."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker


class JsonEvents(_Events):
    """One event as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """time, level, logger, message, and where there are such, worker, request and traceback."""
        event = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _USERINFO.sub("", record.getMessage()),
        }
        if self._worker is not None:
            event["worker"] = str(self._worker)
        if request_id := _request_id():
            event["request_id"] = request_id
        if record.exc_info:
            event["traceback"] = _USERINFO.sub("", self.formatException(record.exc_info))
        return json.dumps(event)


class TextEvents(_Events):
    """One event as one line; a traceback follows indented, so that none of its lines looks like an event."""

    def format(self, record: logging.LogRecord) -> str:
        """time, level, logger, message, and the request where there is one."""
        message = _tame(record.getMessage())
        where = record.name if self._worker is None else f"{record.name} (worker {self._worker})"
        line = f"{moment(record.created)} {record.levelname.lower()} {where}: {message}"
        if request_id := _request_id():
            line += f" [{_tame(request_id)}]"
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).split("\n")
        return "\n    | ".join([line, *(_tame(part) for part in trace)])


def _request_id() -> str:
    subject = about.get()
    return "" if subject is None else subject.request_id


def moment(when: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    milliseconds = int(when * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


def _tame(text: str) -> str:
    """Without userinfo, and without what ends a line, steers a terminal, or cannot be encoded."""
    return _USERINFO.sub("", text).translate(_BREAKS).encode("utf-8", "backslashreplace").decode()


_last_second = (0, "")


def _second(second: int) -> str:
    global _last_second
    if _last_second[0] != second:
        _last_second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return _last_second[1]
