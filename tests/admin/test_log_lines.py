"""What the logs say, and what no client can make them say."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import get_args

import pytest

from proxy import log
from proxy.log import AccessLog, AccessRecord, Format, json_line, safe_url, setup, text_line

FORMATS: tuple[Format, ...] = get_args(Format)
NASTY = [
    'x"}\n{"forged":"',
    "x\r\nforged",
    "x\u2028forged",
    "x\x85forged",
    "x\x1b[2Jforged",
    "x\\",
    'x" forged',
    "x forged",
    "x\udcff",
    "\u00e9",
]
CLIENTS_OWN = ["method", "target", "request_id"]


def record(**changed: object) -> AccessRecord:
    """A request's record, as the edge makes one."""
    made = AccessRecord(1_700_000_000.1239, "PUT", "/notes/1", 412)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def test_a_json_line_tells_all() -> None:
    line = json_line(
        record(
            route="/notes/{id}",
            outcome="refused",
            condition="If-Match",
            reason="stale_tag",
            seconds=0.0121,
            upstream=0.01,
            claim=0.0005,
            received=7,
            sent=200,
            client="::1",
            request_id="abc",
        )
    )
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "method": "PUT",
        "path": "/notes/1",
        "route": "/notes/{id}",
        "status": 412,
        "outcome": "refused",
        "condition": "If-Match",
        "reason": "stale_tag",
        "ms": 12.1,
        "upstream_ms": 10.0,
        "claim_ms": 0.5,
        "received": 7,
        "sent": 200,
        "client": "::1",
        "request_id": "abc",
    }


def test_a_text_line_reads_well() -> None:
    assert text_line(record(route="/notes/{id}", client="::1", seconds=0.0121)) == (
        "2023-11-14T22:13:20.123Z ::1 PUT /notes/1 412 - - - /notes/{id} -"
        " 12.1ms (upstream 0.0, claim 0.0) 0/0 bytes\n"
    )


def test_lines_tell_the_trace_where_there_is_one() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert json.loads(json_line(record(trace_id=trace)))["trace_id"] == trace
    assert text_line(record(trace_id=trace)).endswith(f"0/0 bytes trace {trace}\n")


@pytest.mark.parametrize("field", CLIENTS_OWN)
@pytest.mark.parametrize("value", NASTY)
def test_json_gives_back_just_what_the_client_sent(field: str, value: str) -> None:
    line = json_line(record(**{field: value}))
    assert line.isascii()
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line)["path" if field == "target" else field] == value


@pytest.mark.parametrize("field", CLIENTS_OWN)
@pytest.mark.parametrize("value", NASTY)
def test_text_keeps_a_clients_word_one_word(field: str, value: str) -> None:
    line = text_line(record(**{field: value}))
    assert line.isascii()
    assert line.splitlines() == [line[:-1]]
    assert "\x1b" not in line
    assert json.dumps(value) in line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/notes/1", "/notes/1"),
        ("/notes/1?token=SECRET", "/notes/1"),
        ("/notes/1#SECRET", "/notes/1"),
        ("http://user:SECRET@host/notes?x=SECRET", "http://host/notes"),
        ("redis://:SECRET@redis:6379/0", "redis://redis:6379/0"),
        ("redis://SECRET@redis", "redis://redis"),
        ("http://user:SEC@RET@host/", "http://host/"),
        ("http://host/@notes", "http://host/@notes"),
    ],
)
@pytest.mark.parametrize("write", [json_line, text_line])
def test_secrets_stay_out(url: str, shown: str, write: Callable[[AccessRecord], str]) -> None:
    assert safe_url(url) == shown
    assert "SEC" not in write(record(target=url))
    assert shown in write(record(target=url))


# -- events ----------------------------------------------------------------------------------------


@pytest.fixture
def restored() -> Iterator[None]:
    """The root logger as it was, afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("format", "told"), [("json", '"message": "odd", "request_id": "abc"'), ("text", "proxy.test: odd [abc]")]
)
def test_an_event_tells_of_which_request_it_is(format: Format, told: str) -> None:
    stream = io.StringIO()
    setup("INFO", format, stream)

    def say() -> None:
        log.about.set(SimpleNamespace(request_id="abc"))
        logging.getLogger("proxy.test").warning("odd")

    contextvars.copy_context().run(say)
    logging.getLogger("proxy.test").warning("odd")
    with_it, without = stream.getvalue().splitlines()
    assert told in with_it
    assert "abc" not in without
    assert "request_id" not in without


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("value", NASTY)
def test_an_event_is_one_line(format: Format, value: str) -> None:
    stream = io.StringIO()
    setup("INFO", format, stream)
    logging.getLogger("proxy.test").warning("odd: %s", value)
    line = stream.getvalue()
    line.encode()
    assert line.splitlines() == [line[:-1]]
    assert "\x1b" not in line
    if format == "json":
        event = json.loads(line)
        assert (event["level"], event["logger"], event["message"]) == (
            "warning",
            "proxy.test",
            f"odd: {value}",
        )


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("format", FORMATS)
def test_a_traceback_starts_no_line_of_its_own(format: Format) -> None:
    stream = io.StringIO()
    setup("info", format, stream)
    try:
        raise ValueError("http://user:SECRET@host\n2023-11-14T22:13:20.123Z info forged: x")
    except ValueError:
        logging.getLogger("proxy.test").exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert "failed" in first
    assert "SECRET" not in stream.getvalue()
    assert "forged" in stream.getvalue()
    assert all(line.startswith("    | ") for line in rest)
    assert bool(rest) == (format == "text")


@pytest.mark.usefixtures("restored")
def test_below_the_level_is_silence() -> None:
    stream = io.StringIO()
    setup("warning", "text", stream)
    logging.getLogger("proxy.test").info("quiet")
    assert stream.getvalue() == ""


# -- the access log --------------------------------------------------------------------------------


async def until(condition: Callable[[], bool], within: float = 5) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


class Writes(io.StringIO):
    """A stream that knows how often it was written to, and that can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.open = threading.Event()
        self.open.set()

    def write(self, text: str) -> int:
        self.open.wait()
        self.count += 1
        return super().write(text)


async def test_lines_go_out_together_and_by_themselves() -> None:
    stream = Writes()
    access = AccessLog(stream)
    for number in range(100):
        access.line(record(sent=number))
    await until(lambda: stream.count > 0)
    assert [json.loads(line)["sent"] for line in stream.getvalue().splitlines()] == list(range(100))
    assert stream.count == 1
    access.line(record(sent=100))
    await until(lambda: stream.count > 1)
    access.close()


async def test_much_does_not_wait_for_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FLUSH_AFTER", 3600)
    stream = Writes()
    access = AccessLog(stream, "text")
    line = text_line(record())
    for _ in range(log.FLUSH_AT // len(line) + 1):
        access.line(record())
    await until(lambda: stream.count == 1)
    access.close()


async def test_close_writes_what_is_left() -> None:
    stream = Writes()
    access = AccessLog(stream, "text")
    access.line(record())
    access.close()
    assert stream.getvalue() == text_line(record())


@pytest.mark.usefixtures("restored")
async def test_a_stuck_reader_costs_lines_but_never_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    events = io.StringIO()
    setup("INFO", "json", events)
    log.about.set(SimpleNamespace(request_id="abc"))  # which is not what the lost lines are about
    line = text_line(record())
    monkeypatch.setattr(log, "FLUSH_AT", len(line))
    monkeypatch.setattr(log, "FLUSH_AFTER", 0.01)
    monkeypatch.setattr(log, "KEEP_AT_MOST", 10 * len(line))
    stream = Writes()
    stream.open.clear()
    access = AccessLog(stream, "text")
    for _ in range(100):  # one is with the writer, ten wait
        access.line(record())
    assert access.lost == 89
    turned = asyncio.Event()  # the log's timer comes and finds the writer busy
    asyncio.get_running_loop().call_later(5 * log.FLUSH_AFTER, turned.set)
    await turned.wait()
    stream.open.set()
    await until(lambda: stream.getvalue() == 11 * line)
    (event,) = events.getvalue().splitlines()
    assert json.loads(event)["message"].endswith(": 89")
    assert "request_id" not in event
    access.line(record())
    await until(lambda: stream.getvalue() == 12 * line)
    access.close()
    assert access.lost == 89


async def test_a_reader_that_never_comes_back_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "CLOSE_WITHIN", 0.05)
    stream = Writes()
    stream.open.clear()
    access = AccessLog(stream)
    access.line(record())
    access.close()
    stream.open.set()


async def test_a_reader_that_left_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115, ASYNC230
    access = AccessLog(stream)
    access.line(record())
    access.close()
    assert access.lost == 1
    with pytest.raises(BrokenPipeError):
        stream.close()


WRITER = """
import asyncio, sys
from proxy.log import AccessLog, AccessRecord, own_stdout

async def main():
    log = AccessLog(own_stdout(), in_turns=True)
    for number in range(2000):
        log.line(AccessRecord(1.0, "GET", "/" + sys.argv[1] * 300, 200, request_id=str(number)))
    print("full", file=sys.stderr, flush=True)
    log.close()

asyncio.run(main())
"""


def test_lines_of_several_processes_on_a_full_pipe_stay_whole() -> None:
    """What does not fit into a pipe is written in parts, with those of others in between."""
    reading, writing = os.pipe()
    ends = {"stdout": writing, "stderr": subprocess.PIPE}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], **ends)  # type: ignore[call-overload]
        for name in ("a", "b", "c", "d")
    ]
    os.close(writing)
    for writer in writers:
        assert writer.stderr is not None
        writer.stderr.readline()  # nobody reads before both have more than fits
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        content = b"".join(iter(lambda: pipe.read(4096), b""))
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * 4
    assert sum(is_json(line) for line in content.splitlines()) == 8000


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("format", "words"),
    [("json", '"worker": "2"'), ("text", " info proxy.test (worker 2): hello")],
)
def test_an_event_of_a_worker_names_it(format: Format, words: str) -> None:
    stream = io.StringIO()
    setup("info", format, stream, worker=2)
    logging.getLogger("proxy.test").info("hello")
    assert words in stream.getvalue()
