"""Whole requests of any shape through the proxy, against h11: nobody understands them in two ways.

The proxy may refuse what it likes. What reaches the backend must be, in order, what a strict parser reads in
the client's bytes; every answer is HTTP, none is a 500, and none is missing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import h11
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from support.raw_client import Client, responses
from support.recording_backend import RecordingBackend

from proxy.app import App
from proxy.rules.resources import read_target
from proxy.settings import Settings


class Understood(NamedTuple):
    method: str
    path: str
    body: bytes


class House:
    """One proxy and its backend for all examples."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.backend = RecordingBackend()
        self.stack = AsyncExitStack()
        self.app = self.loop.run_until_complete(self._open())

    async def _open(self) -> App:
        await self.stack.enter_async_context(self.backend.running())
        limits = {"head_timeout": "2s", "body_timeout": "2s"}
        app = App(
            Settings(
                upstream=self.backend.url,
                listen="127.0.0.1:0",
                admin="off",
                log={"access": False},
                limits=limits,
            )
        )
        await app.start()
        self.stack.push_async_callback(app.stop)
        return app

    def close(self) -> None:
        self.loop.run_until_complete(self.stack.aclose())
        self.loop.close()

    def exchange(self, pieces: list[bytes]) -> tuple[bytes, list[Understood]]:
        """What the client saw, and the whole requests that the backend heard, without probes and re-reads."""
        self.backend.heard.clear()
        seen = self.loop.run_until_complete(self._exchange(pieces))
        heard = [Understood(one.method, one.target, one.body) for one in self.backend.heard if one.complete]
        return seen, heard

    async def _exchange(self, pieces: list[bytes]) -> bytes:
        client = await Client.to(self.app.address)
        try:
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0)
            client.writer.write_eof()
            return await client.rest(seconds=10.0)
        except (ConnectionError, OSError):
            return client.received
        finally:
            client.abort()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    opened = House()
    yield opened
    opened.close()


# What the proxy's parser takes and h11 does not, and what is forwarded in the one form that it can mean:
# several blanks in a request line, and line ends before it (RFC 9112 sections 2.2 and 3).
_LENIENT = re.compile(rb"[\r\n]*([!-~]+) +([!-~]+) +(HTTP/1\.[01]\r\n)")


def understood(raw: bytes) -> list[Understood]:
    """The requests that h11 reads, up to the first that it does not."""
    found: list[Understood] = []
    while raw:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        if lenient := _LENIENT.match(raw):
            raw = b" ".join(lenient.groups()) + raw[lenient.end() :]
        parser.receive_data(raw)
        try:
            first = parser.next_event()
            if not isinstance(first, h11.Request):
                break
            body = b""
            while isinstance(event := parser.next_event(), h11.Data):
                body += bytes(event.data)
        except h11.RemoteProtocolError:
            break
        if not isinstance(event, h11.EndOfMessage):
            break
        target = first.target.decode("ascii")
        found.append(Understood(first.method.decode(), read_target(target).wire().decode(), body))
        raw = parser.trailing_data[0]
    return found


def is_part_of(heard: list[Understood], meant: list[Understood]) -> bool:
    """Whether the one is the other with some left out, but for GETs that the proxy sends on its own."""
    left = iter(meant)
    return all(one in left for one in heard if one.method != "GET")


LINES = [
    b"GET /a HTTP/1.1",
    b"PUT /a HTTP/1.1",
    b"POST /a HTTP/1.1",
    b"DELETE /%61 HTTP/1.1",
    b"POST /a HTTP/1.0",
    b"HEAD /a HTTP/1.1",
    b"POST  /a HTTP/1.1",
    b"POST http://a/b HTTP/1.1",
    b"put /a HTTP/1.1",
]
FIELDS = [
    b"Host: a",
    b"Host: a",
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"Content-Length: 10",
    b"Content-Length: 03",
    b"Content-Length: 3, 3",
    b"Content-Length : 3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: x, chunked",
    b"Transfer-Encoding:\tchunked",
    b" folded",
    b'If-Match: "v1"',
    b'If-Match: "x"',
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: content-length",
    b"Expect: 100-continue",
    b"Upgrade: websocket",
    b"Connection: upgrade",
    b"X: \x01",
    b"X\x00: a",
    b"X: a\rb",
    b"Content_Length: 9",
]
BODIES = [
    b"",
    b"abc",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"3\nabc\n0\n\n",
    b"5\r\nabc\r\n0\r\n\r\n",
    b"DELETE /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
]
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n"])


@st.composite
def raw_request(draw: st.DrawFn) -> bytes:
    end = draw(ENDS)
    lines = [draw(st.sampled_from(LINES)), *draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5))]
    return end.join(lines) + end + draw(ENDS) + draw(st.sampled_from(BODIES))


@st.composite
def raw_stream(draw: st.DrawFn) -> bytes:
    raw = b"".join(draw(st.lists(raw_request(), min_size=1, max_size=3)))
    if draw(st.integers(0, 3)) == 0:  # damage it
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return raw


def judge(house: House, raw: bytes, pieces: list[bytes]) -> None:
    seen, heard = house.exchange(pieces)
    assert house.backend.faults == []
    assert is_part_of(heard, understood(raw)), (heard, understood(raw))
    answers = _answers(seen)
    assert not any(status >= 500 for status in answers), seen
    if not any(status >= 400 for status in answers):
        final = [status for status in answers if status >= 200]
        assert len(final) <= len(understood(raw)) + 1


def _answers(seen: bytes) -> list[int]:
    """Statuses, whatever the methods were: heads alone are looked for."""
    return [int(line[9:12]) for line in seen.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


@given(raw_stream())
def test_requests_are_understood_in_one_way(house: House, raw: bytes) -> None:
    judge(house, raw, [raw])


@given(raw_stream(), st.data())
def test_requests_are_understood_in_one_way_in_pieces(house: House, raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=4)))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    judge(house, raw, pieces)


@given(st.binary(max_size=200))
def test_any_bytes(house: House, raw: bytes) -> None:
    judge(house, raw, [raw])


# What fuzzing found, and what it must go on finding nothing in.
CORPUS = [
    b"POST  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPUT /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nabc",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /a HTTP/1.0\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nDELETE /b",
]


@pytest.mark.parametrize("raw", CORPUS)
def test_found(house: House, raw: bytes) -> None:
    judge(house, raw, [raw])
    assert responses(house.exchange([raw])[0])
