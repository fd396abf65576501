"""The short way of a plain GET: everything that it answers, sends and counts is what the long way does.

Every row is sent three times on one connection to a proxy that goes the short way, and to one that may not.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.http1 import Message
from support.proxies import Connect, Inside, StartProxy
from support.scripted_backend import Backend, Peer

from proxy.exchange import Trace
from proxy.rules.minting import Minter

DATE = "Date: Sun, 06 Nov 1994 09:00:00 GMT\r\n"
MODIFIED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
PACKED = gzip.compress(b"hello", mtime=0)


def said(status: str, fields: str, content: bytes = b"hello", *, length: bool = True) -> bytes:
    framing = f"Content-Length: {len(content)}\r\n" if length else ""
    return f"HTTP/1.1 {status}\r\n{DATE}{fields}{framing}\r\n".encode("latin-1") + content


CHUNKED = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
REPLIES = {
    "its own tag": said("200 OK", 'ETag: "v1"\r\n'),
    "its own tag and a date": said("200 OK", 'ETag: "v1"\r\n' + MODIFIED),
    "no tag": said("200 OK", "Content-Type: text/plain\r\n"),
    "no tag and a date": said("200 OK", MODIFIED),
    "a weak tag": said("200 OK", 'ETag: W/"v1"\r\n'),
    "two tags": said("200 OK", 'ETag: "v1"\r\nETag: "v2"\r\n'),
    "no valid tag": said("200 OK", "ETag: v1\r\n"),
    "a name in small letters": said("200 OK", 'etag: "v1"\r\nconnection: keep-alive\r\n'),
    "several representations": said("200 OK", 'ETag: "v1"\r\nVary: Accept\r\n'),
    "a choice that cannot be told": said("200 OK", 'ETag: "v1"\r\nVary: *\r\n'),
    "gzip with its own tag": said("200 OK", 'ETag: "v1"\r\nContent-Encoding: gzip\r\n', PACKED),
    "gzip without a tag": said("200 OK", "Content-Encoding: gzip\r\n", PACKED),
    "fields of the hop": said("200 OK", 'ETag: "v1"\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n'),
    "no content": said("200 OK", 'ETag: "v1"\r\n', b""),
    "chunks and a trailer": said(
        "200 OK", 'ETag: "v1"\r\nTransfer-Encoding: chunked\r\n', CHUNKED, length=False
    ),
    "chunks without a tag": said("200 OK", "Transfer-Encoding: chunked\r\n", CHUNKED, length=False),
    "a stream": said("200 OK", "Content-Type: text/event-stream\r\n"),
    "203": said("203 Non-Authoritative Information", 'ETag: "v1"\r\n'),
    "204": b'HTTP/1.1 204 No Content\r\nETag: "v1"\r\n\r\n',
    "206 that nobody asked for": said("206 Partial Content", 'ETag: "v1"\r\nContent-Range: bytes 0-4/9\r\n'),
    "304": b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n',
    "404": said("404 Not Found", ""),
    "410": said("410 Gone", 'ETag: "v1"\r\n'),
    "500": said("500 Internal Server Error", 'ETag: "v1"\r\n'),
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + said("200 OK", 'ETag: "v1"\r\n'),
    "broken": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
}
REQUESTS: dict[str, list[tuple[str, str]]] = {
    "plain": [("Accept", "*/*"), ("User-Agent", "test")],
    "If-None-Match that holds no more": [("If-None-Match", '"v1"')],
    "If-None-Match of old": [("If-None-Match", 'W/"old", "older"')],
    "If-None-Match of a minted tag": [("If-None-Match", '"pp1.AAAAAAAAAAAAAAAAAAAAAA"')],
    "If-None-Match *": [("If-None-Match", "*")],
    "If-Match": [("If-Match", '"v1"')],
    "If-Match of old": [("If-Match", '"old"')],
    "If-Match that cannot be read": [("If-Match", "v1")],
    "If-Modified-Since": [("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
    "If-Unmodified-Since": [("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")],
    "a date that cannot be read": [("If-Modified-Since", "yesterday")],
    "fields of the hop": [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("TE", "trailers")],
    "forwarded before": [("X-Forwarded-For", "192.0.2.1"), ("Via", "1.1 other"), ("If_Match", '"v1"')],
    "a part": [("Range", "bytes=0-1")],
    "a part under a condition": [("Range", "bytes=0-1"), ("If-Range", '"v1"'), ("If-None-Match", '"v2"')],
    "another method by a field": [("X-HTTP-Method-Override", "GET")],
    "max-forwards": [("Max-Forwards", "0")],
    # {n} counts the requests: these are different each time.
    "a trace": [("traceparent", "00-{n}af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("B3", "{n}")],
    "a trace of the hop": [("Connection", "traceparent"), ("traceparent", "{n}")],
    "another If-None-Match each time": [("if-none-match", '"v{n}"'), ("baggage", "a={n}")],
    "another If-Match each time": [("If-Match", '"v{n}"')],
    "another minted tag each time": [("If-None-Match", '"pp1.AAAAAAAAAAAAAAAAAAAAA{n}"')],
    "a tag and a date": [
        ("If-None-Match", '"v{n}"'),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
    "a date that cannot always be read": [("If-Modified-Since", "Sun, 06 Nov 1994 08:49:3{n} GM{n}")],
    "two tags in lines": [("If-None-Match", '"v{n}"'), ("If-None-Match", '"v1"')],
    "two dates": [("If-Modified-Since", "Sun, 06 Nov 1994 08:49:3{n} GMT")] * 2,
    "two spellings": [("If-None-Match", '"v{n}"'), ("IF-NONE-MATCH", '"v1"')],
    "an odd spelling": [("If-NONE-Match", '"v{n}"'), ("TraceParent", "{n}"), ("TRACEPARENT", "{n}")],
    "two ids": [("X-Request-ID", "{n}")],
    "a length": [("Content-Length", "0")],
}
ROUTES = [{"match": "/report/{x}", "mode": "report"}, {"match": "/off/{x}", "mode": "off"}]
NOT_PLAIN = {
    "a part",
    "a part under a condition",
    "another method by a field",
    "If-Match that cannot be read",
    "a trace of the hop",
    "two tags in lines",
    "two dates",
    "two spellings",
    "an odd spelling",
    "two ids",
    "a length",
}


@dataclass
class Watched:
    """What a proxy tells of its requests, and how many of them went the short way.

    Attributes:
        again: because the fields that do not change each time came before.
    """

    traces: list[Trace] = field(default_factory=list)
    short: int = 0
    again: int = 0


@dataclass
class Side(Watched):
    """A backend that says one thing, and the proxy before it."""

    reply: bytes = b""
    heads: list[bytes] = field(default_factory=list)

    async def play(self, peer: Peer) -> None:
        while True:
            self.heads.append(await peer.head())
            await peer.send(self.reply)


def watched(proxy: Inside, side: Watched, *, short: bool, methods: Container[str] = ("GET",)) -> None:
    """Keeps what is told of each request; without the short way of these methods where it is not wanted."""
    gate, edge = proxy.app._gate, proxy.app._edge
    shape_of, known_shape, tell = gate.shape_of, gate.known_shape, edge.tell

    def shaped(request: Any) -> Any:
        compared = request.method in methods
        shape = shape_of(request) if short or not compared else None
        side.short += compared and shape is not None
        return shape

    def known(method: str, *rest: Any) -> Any:
        compared = method in methods
        shape = known_shape(method, *rest) if short or not compared else None
        side.short += compared and shape is not None
        side.again += compared and shape is not None
        return shape

    def told(request: Any, *rest: Any) -> None:
        request.trace.upstream_seconds = request.trace.claim_wait = 0.0
        side.traces.append(request.trace)
        tell(request, *rest)

    gate.shape_of, gate.known_shape, edge.tell = shaped, known, told  # type: ignore[method-assign]


def plainly(answers: Iterable[Message], port: int) -> list[Any]:
    """The answers, but for what differs by chance: the moment, and the backend's port in messages."""
    return [
        (
            one.start,
            [line for line in one.fields if line[0] != "Date"],
            one.body.replace(str(port).encode(), b"PORT"),
            one.trailers,
            one.interim,
        )
        for one in answers
    ]


def sorted_lines(head: bytes) -> list[bytes]:
    return sorted(head.split(b"\r\n"))


@pytest.mark.parametrize("asked", REQUESTS)
async def test_both_ways_are_the_same(asked: str, start_proxy: StartProxy, connect: Connect) -> None:
    seen: list[list[Any]] = []
    shorts = []
    for short in (True, False):
        side = Side()
        backend = await Backend(side.play).start()
        proxy = await start_proxy(backend.url, routes=ROUTES)
        watched(proxy, side, short=short)
        found: list[Any] = []
        for folder, (name, side.reply) in itertools.product(("enforce", "report", "off"), REPLIES.items()):
            client = connect(proxy)
            fields = [("X-Request-ID", "same"), *REQUESTS[asked]]
            target = f"/{folder}/{name.replace(' ', '-')}"
            answers = []
            for number in range(3):
                numbered = [(name, value.replace("{n}", str(number))) for name, value in fields]
                answers.append(await client.request("GET", target, *numbered))
                if "close" in (answers[-1]["Connection"] or ""):
                    client.close()
            sent = [*map(sorted_lines, side.heads)]
            found.append((target, plainly(answers, backend.port), side.traces, sent))
            side.traces, side.heads = [], []
        counted = {
            name: proxy.count(f"precondition_{name}_total")
            for name in ("requests", "outcomes", "observations", "changes_behind", "ignored_conditions")
        }
        seen.append([*found, counted])
        shorts.append((side.short, side.again))
        await backend.stop()
    for one, other in zip(*seen, strict=True):
        assert one == other
    plain = asked not in NOT_PLAIN
    assert (shorts[0][0] > 0, shorts[0][1] > 0, shorts[1]) == (plain, plain, (0, 0))


@pytest.mark.parametrize(("target", "status"), [("/a#b", 400), ("/" + "a" * 9000, 414)])
async def test_a_target_is_looked_at_though_the_fields_are_those_of_the_last_request(
    target: str, status: int, start_proxy: StartProxy, connect: Connect
) -> None:
    side = Side(reply=REPLIES["its own tag"])
    backend = await Backend(side.play).start()
    client = connect(await start_proxy(backend.url))
    assert (await client.request("GET", "/a")).status == 200
    assert (await client.request("GET", target)).status == status
    assert len(side.heads) == 1
    await backend.stop()


LATER = "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
IN_TURN = [
    said("200 OK", ""),
    said("200 OK", ""),
    said("200 OK", "", b"other"),
    said("200 OK", ""),
    said("200 OK", MODIFIED),
    said("200 OK", LATER),
    said("200 OK", LATER, b"other"),
    said("200 OK", 'ETag: "v1"\r\n'),
    said("200 OK", 'ETag: "v1"\r\n' + LATER),
    said("200 OK", 'ETag: "v1"\r\n' + MODIFIED),
    said("200 OK", ""),
]


async def test_what_was_shown_last_is_not_shown_again_where_it_changed(
    start_proxy: StartProxy, connect: Connect
) -> None:
    seen = []
    for short in (True, False):
        side = Side()
        backend = await Backend(side.play).start()
        proxy = await start_proxy(backend.url)
        watched(proxy, side, short=short)
        client, answers = connect(proxy), []
        for secret in (b"one", b"other"):  # another replica's was in the store
            proxy.app._gate.house.minter = Minter(secret)
            for side.reply in IN_TURN:
                answers.append(await client.request("GET", "/a", ("X-Request-ID", "same")))
        seen.append((plainly(answers, backend.port), proxy.count("precondition_changes_behind_total")))
        assert (side.short > 0) is short
        await backend.stop()
        tags = [answer["ETag"] for answer in answers]
        assert [tags.index(tag) for tag in tags[:11]] == [0, 0, 2, 0, 0, 0, 2, 7, 7, 7, 0]
        assert set(tags[:11]) & set(tags[11:]) == {'"v1"'}
    assert seen[0] == seen[1]


async def test_nobody_gets_the_fields_of_another_client(start_proxy: StartProxy, connect: Connect) -> None:
    """What follows from fields is remembered for all connections: of these fields, and of no others."""
    side = Side(reply=REPLIES["its own tag"])
    backend = await Backend(side.play).start()
    proxy = await start_proxy(backend.url)
    watched(proxy, side, short=True)
    clients = [connect(proxy) for _ in range(3)]
    sent = []
    for number in range(12):
        who, traced = f"Basic {number % 4}", f"00-{number}"
        fields = [("Authorization", who), ("Cookie", f"a={number % 2}"), ("traceparent", traced)]
        if number % 5 == 0:
            fields = fields[:2]
        if number % 3 == 0:
            fields.append(("If-None-Match", f'"{number}"'))
        answer = await clients[number % 3].request("GET", "/a", *fields)
        assert answer.status == 200
        sent.append({f"{name}: {value}".encode() for name, value in fields})
    assert side.again >= 8
    private = (b"Authorization", b"Cookie", b"traceparent", b"If-None-Match")
    got = [[line for line in head.split(b"\r\n") if line.startswith(private)] for head in side.heads]
    assert [set(lines) for lines in got] == sent
    assert [len(lines) for lines in got] == [len(fields) for fields in sent]
    await backend.stop()


async def test_a_304_comes_of_what_is_shown_now(start_proxy: StartProxy, connect: Connect) -> None:
    """The decision is remembered, for the same conditions and the same version alone."""
    seen = []
    for short in (True, False):
        side = Side()
        backend = await Backend(side.play).start()
        proxy = await start_proxy(backend.url, tag_secret="s" * 32)
        watched(proxy, side, short=short)
        clients, answers = [connect(proxy), connect(proxy)], []
        side.reply = IN_TURN[0]
        minted = (await clients[0].request("GET", "/a"))["ETag"]
        asked: list[list[tuple[str, str]]] = [
            [("If-None-Match", str(minted))],
            [("If-None-Match", '"v1"')],
            [("If-None-Match", '"v2", "v1"')],
            [("If-Modified-Since", MODIFIED[15:-2])],
            [("If-None-Match", "*"), ("If-Modified-Since", MODIFIED[15:-2])],
            [("If-Match", '"v1"')],
        ]
        for fields in [*asked, *asked]:
            for side.reply in [*IN_TURN, *IN_TURN]:
                for client in (*clients, clients[0]):
                    answer = await client.request("GET", "/a", ("X-Request-ID", "same"), *fields)
                    answers.append(answer)
        seen.append((plainly(answers, backend.port), side.traces))
        await backend.stop()
        assert {answer.status for answer in answers} == {200, 304, 412}
    assert seen[0] == seen[1]
