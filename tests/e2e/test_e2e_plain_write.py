"""The short way of a plain write: all that it answers, sends, records and counts is what the long way does.

Every row is sent to a proxy that goes the short way, and to one that may not, each time in one story: read,
write with what was read, write the same again (stale now), and again (refused a moment ago), read.
"""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from e2e.test_e2e_plain import Watched, plainly, said, sorted_lines, watched
from support.http1 import Message
from support.proxies import Connect, Inside, StartProxy
from support.redis_server import RedisServer
from support.scripted_backend import Backend, Peer

from proxy.rules.dates import format_http_date

OLD = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
NEW = "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n"

COUNTED = ("requests", "outcomes", "changes_behind", "probes", "observations", "versions_recorded")
_FENCE = re.compile(rb"(?<=X-Precondition-Fence: )\d+")


@dataclass(frozen=True)
class Says:
    """What the backend answers a GET before the write, the write, and a GET after it.

    Attributes:
        written: None: the connection breaks instead.
    """

    before: bytes
    written: bytes | None
    after: bytes


def tagged(number: int, more: str = "") -> bytes:
    return said("200 OK", f'ETag: "v{number}"\r\n{more}')


NO_CONTENT = b'HTTP/1.1 204 No Content\r\nETag: "v2"\r\n\r\n'
REPLIES = {
    "204 with the new tag": Says(tagged(1), NO_CONTENT, tagged(2)),
    "200 with the new tag": Says(tagged(1), said("200 OK", 'ETag: "v2"\r\n', b"done"), tagged(2)),
    "201 with the new tag": Says(tagged(1), said("201 Created", 'ETag: "v2"\r\n', b""), tagged(2)),
    "a date too": Says(tagged(1, OLD), said("200 OK", 'ETag: "v2"\r\n' + NEW), tagged(2, NEW)),
    "the same date again": Says(tagged(1, OLD), said("200 OK", 'ETag: "v2"\r\n' + OLD), tagged(2, OLD)),
    "a date that cannot be read": Says(
        tagged(1), said("200 OK", 'ETag: "v2"\r\nLast-Modified: now\r\n'), tagged(2)
    ),
    "no tag": Says(tagged(1), said("200 OK", ""), tagged(2)),
    "a weak tag": Says(tagged(1), said("200 OK", 'ETag: W/"v2"\r\n'), tagged(2)),
    "two tags": Says(tagged(1), said("200 OK", 'ETag: "v2"\r\nETag: "v3"\r\n'), tagged(2)),
    "another tag than a GET": Says(tagged(1), said("200 OK", 'ETag: "v3"\r\n'), tagged(2)),
    "no tags at all": Says(
        said("200 OK", "", b"1"), b"HTTP/1.1 204 No Content\r\n\r\n", said("200 OK", "", b"2")
    ),
    "a part of it": Says(tagged(1), said("206 Partial Content", 'ETag: "v2"\r\n'), tagged(2)),
    "202": Says(tagged(1), said("202 Accepted", 'ETag: "v2"\r\n'), tagged(2)),
    "205": Says(
        tagged(1), b'HTTP/1.1 205 Reset Content\r\nETag: "v2"\r\nContent-Length: 0\r\n\r\n', tagged(2)
    ),
    "303": Says(tagged(1), said("303 See Other", 'ETag: "v2"\r\nLocation: /other\r\n'), tagged(2)),
    "where it is": Says(tagged(1), said("201 Created", 'ETag: "v2"\r\nLocation: /told/named\r\n'), tagged(2)),
    "where its content is": Says(
        tagged(1), said("200 OK", 'ETag: "v2"\r\nContent-Location: /told/named\r\n'), tagged(2)
    ),
    "chunks": Says(
        tagged(1),
        said(
            "200 OK",
            'ETag: "v2"\r\nTransfer-Encoding: chunked\r\n',
            b"2\r\nok\r\n0\r\nX: 1\r\n\r\n",
            length=False,
        ),
        tagged(2),
    ),
    "more than is hashed": Says(tagged(1), said("200 OK", 'ETag: "v2"\r\n', b"x" * 3000), tagged(2)),
    "events without content": Says(
        tagged(1),
        b'HTTP/1.1 204 No Content\r\nETag: "v2"\r\nContent-Type: text/event-stream\r\n\r\n',
        tagged(2),
    ),
    "events": Says(tagged(1), said("200 OK", 'ETag: "v2"\r\nContent-Type: text/event-stream\r\n'), tagged(2)),
    "fields of the hop": Says(
        tagged(1), said("200 OK", 'ETag: "v2"\r\nConnection: X-Hop\r\nX-Hop: 1\r\n'), tagged(2)
    ),
    "several representations": Says(
        tagged(1, "Vary: Accept\r\n"), said("200 OK", 'ETag: "v2"\r\n'), tagged(2, "Vary: Accept\r\n")
    ),
    "in gzip": Says(
        tagged(1, "Content-Encoding: gzip\r\n"), NO_CONTENT, tagged(2, "Content-Encoding: gzip\r\n")
    ),
    "gone": Says(tagged(1), said("204 No Content", ""), said("404 Not Found", "")),
    "not for everybody": Says(tagged(1), NO_CONTENT, said("403 Forbidden", "")),
    "out of order": Says(tagged(1), NO_CONTENT, said("500 Internal Server Error", "")),
    "400": Says(tagged(1), said("400 Bad Request", ""), tagged(1)),
    "412 of its own": Says(tagged(1), said("412 Precondition Failed", 'ETag: "v1"\r\n'), tagged(1)),
    "500": Says(tagged(1), said("500 Internal Server Error", ""), tagged(1)),
    "502": Says(tagged(1), said("502 Bad Gateway", ""), tagged(1)),
    "early hints": Says(tagged(1), b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + NO_CONTENT, tagged(2)),
    "it breaks off": Says(tagged(1), None, tagged(2)),
    "broken": Says(tagged(1), b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", tagged(2)),
    "a tag of the second and the size": Says(
        said("200 OK", 'ETag: "2ebb9861-5"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n'),
        NO_CONTENT,
        tagged(2),
    ),
}
SHOWN = "the tag that was shown"
REQUESTS: dict[str, list[tuple[str, str]]] = {
    "plain": [("If-Match", SHOWN), ("Accept", "*/*"), ("Content-Type", "text/plain")],
    "in small letters": [("if-match", SHOWN), ("content-type", "text/plain")],
    "with credentials": [("Authorization", "Basic eDp5"), ("If-Match", SHOWN)],
    "with a key": [("Idempotency-Key", "1"), ("If-Match", SHOWN)],
    "forwarded before": [("X-Forwarded-For", "192.0.2.1"), ("If-Match", SHOWN), ("If_Match", '"v9"')],
    "fields of the hop": [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("If-Match", SHOWN)],
    "If-Match of the hop": [("Connection", "If-Match"), ("If-Match", SHOWN)],
    "a stale tag": [("If-Match", '"old"')],
    "another one's minted tag": [("If-Match", '"pp1.AAAAAAAAAAAAAAAAAAAAAA"')],
    "a suffix of a coding": [("If-Match", '"v1-gzip"')],
    "a weak tag": [("If-Match", 'W/"v1"')],
    "a long tag": [("If-Match", f'"{"v" * 300}"')],
    "two tags": [("If-Match", '"old", "v1"')],
    "two lines": [("If-Match", '"old"'), ("If-Match", SHOWN)],
    "any": [("If-Match", "*")],
    "no tag": [("If-Match", "v1")],
    "nothing": [("If-Match", "")],
    "a date besides": [("If-Match", SHOWN), ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")],
    "If-None-Match besides": [("If-Match", SHOWN), ("If-None-Match", '"v1"')],
    "only If-None-Match": [("If-None-Match", "*")],
    "a part": [("If-Match", SHOWN), ("Range", "bytes=0-1")],
    "another method by a field": [("If-Match", SHOWN), ("X-HTTP-Method-Override", "DELETE")],
    "what WebDAV asks": [("If-Match", SHOWN), ("If", '(["v1"])')],
    "a stale tag, and wants a page": [("If-Match", '"old"'), ("Accept", "text/html")],
    "a stale tag, and wants text": [("If-Match", '"old"'), ("Accept", "text/plain")],
    "a stale tag, and an odd id": [("If-Match", '"old"'), ("X-Request-ID", '<a"b>')],
    "a stale tag of S3": [("If-Match", '"old"'), ("Authorization", "AWS4-HMAC-SHA256 Credential=x")],
    # {n} counts the requests: these are different each time.
    "a trace": [
        ("Traceparent", "00-{n}"),
        ("If-Match", SHOWN),
        ("tracestate", "a={n}"),
        ("x-b3-sampled", "{n}"),
    ],
    "a trace and credentials": [("Traceparent", "00-{n}"), ("If-Match", SHOWN), ("Cookie", "a=b")],
    "a trace, and refused": [("Traceparent", "00-{n}"), ("If-Match", '"old"')],
    "a trace of the hop": [("Connection", "traceparent"), ("Traceparent", "00-{n}"), ("If-Match", SHOWN)],
    "a trace in another spelling": [("TRACEPARENT", "00-{n}"), ("If-Match", SHOWN)],
    "a trace, and not If-Match": [("Traceparent", "00-{n}"), ("If-Unmodified-Since", "{n}")],
    "another minted tag each time": [("If-Match", '"pp1.AAAAAAAAAAAAAAAAAAAAA{n}"')],
    "wants the representation": [("If-Match", '"old"'), ("Prefer", "return=representation")],
}
NOT_PLAIN = {
    *("two lines", "fields of the hop", "If-Match of the hop", "a date besides", "If-None-Match besides"),
    *("only If-None-Match", "a part", "another method by a field", "what WebDAV asks"),
    *("a trace of the hop", "a trace in another spelling", "a trace, and not If-Match"),
}
"""Requests whose fields alone say that they go the long way."""

ROUTES: list[dict[str, Any]] = [
    {"match": "/reread/{x}"},
    {"match": "/never/{x}", "verify": "never", "after_write": "response"},
    {"match": "/always/{x}", "verify": "always", "after_write": "response"},
    {"match": "/report/{x}", "mode": "report"},
    {"match": "/off/{x}", "mode": "off"},
    {"match": "/fence/{x}", "fence": True, "after_write": "response"},
    {"match": "/touch/{x}", "invalidates": ["/list"], "after_write": "response"},
    {"match": "/alias/{x}", "resource": "/told/{x}"},
    {"match": "/told/{x}", "after_write": "response", "hash_limit": 2000},
]
EVERY = ("told", "reread")
"""Routes on which each reply is tried; on the others a few are."""

OTHERS = ("never", "always", "report", "off", "fence", "touch", "alias")
FEW = ("204 with the new tag", "a date too", "no tag", "400")


@dataclass
class Side(Watched):
    """A backend that says what it is told to say, and the proxy before it."""

    says: Says = REPLIES["204 with the new tag"]
    written: bool = False
    heads: list[bytes] = field(default_factory=list)

    async def play(self, peer: Peer) -> None:
        while True:
            head = await peer.head()
            self.heads.append(head)
            if head.startswith(b"GET"):
                await peer.send(self.says.after if self.written else self.says.before)
                continue
            await peer.take(4)
            self.written = True
            if self.says.written is None:
                return
            await peer.send(self.says.written)


async def story(proxy: Inside, connect: Connect, target: str, method: str, asked: str) -> list[Any]:
    """Read, write, write the same twice again, read. One connection, but where it has to be another."""
    client, answers = connect(proxy), []
    shown = '"nothing was shown"'
    for step in ("GET", method, method, method, "GET"):
        own = step != "GET" and "X-Request-ID" in dict(REQUESTS[asked])
        fields = [] if own else [("X-Request-ID", f"same-{len(answers)}")]
        if step != "GET":
            fields += [
                (name, shown if value == SHOWN else value.replace("{n}", str(len(answers))))
                for name, value in REQUESTS[asked]
            ]
        answer = await client.request(step, target, *fields, body=b"next" if step != "GET" else None)
        answers.append(answer)
        shown = answer["ETag"] or shown if len(answers) == 1 else shown
        if "close" in (answer["Connection"] or ""):
            client.close()
    return answers


def timeless(answer: Message) -> Message:
    """Without the rest of a lease, which goes by."""
    if answer.status != 503:
        return answer
    return replace(answer, fields=[line for line in answer.fields if line[0] != "Retry-After"], body=b"")


@pytest.mark.parametrize(
    ("asked", "store"),
    [*((asked, "memory") for asked in REQUESTS), ("plain", "redis"), ("a stale tag", "redis")],
)
async def test_both_ways_are_the_same(
    asked: str, store: str, start_proxy: StartProxy, connect: Connect, redis_server: RedisServer
) -> None:
    seen: list[list[Any]] = []
    shorts = []
    for short in (True, False):
        side = Side()
        backend = await Backend(side.play).start()
        url = redis_server.url if store == "redis" else "memory://"
        at = {"url": url, "wait": 0.02, "prefix": f"{short}-{len(asked)}"}
        proxy = await start_proxy(backend.url, routes=ROUTES, store=at, tag_secret="s" * 32)
        watched(proxy, side, short=short, methods=("PUT", "PATCH"))
        found: list[Any] = []
        for folder, name in (*itertools.product(EVERY, REPLIES), *itertools.product(OTHERS, FEW)):
            side.says, side.written = REPLIES[name], False
            target = f"/{folder}/{name.replace(' ', '-')}"
            await connect(proxy).request("GET", "/told/named")
            side.heads, side.traces = [], []
            answers = await story(proxy, connect, target, "PATCH" if folder == "never" else "PUT", asked)
            sent = [
                sorted_lines(_FENCE.sub(b"", head).replace(b"if-match:", b"If-Match:")) for head in side.heads
            ]
            # Each row for itself: after a change behind the proxy all writes of its route ask the backend.
            proxy.app._gate.house.suspicion._until.clear()
            # With Redis the moment decides whether the last read is recorded: stamps are some time old.
            keys = (target, "/told/named") if store == "memory" else ()
            kept = [await proxy.known(key) for key in keys]
            found.append((target, plainly(map(timeless, answers), backend.port), side.traces, sent, kept))
            side.traces, side.heads = [], []
        # What Redis made of the last read may still be on its way.
        names = COUNTED if store == "memory" else COUNTED[:4]
        counted = {name: proxy.count(f"precondition_{name}_total") for name in names}
        seen.append([*found, counted])
        shorts.append((side.short, side.again))
        await backend.stop()
    for one, other in zip(*seen, strict=True):
        assert one == other
    plain = asked not in NOT_PLAIN
    assert (shorts[0][0] > 0, shorts[0][1] > 0, shorts[1]) == (plain, plain, (0, 0))


async def test_a_tag_of_the_second_and_the_size_is_not_given_twice(
    start_proxy: StartProxy, connect: Connect
) -> None:
    """Within one second such a tag would name the version before too: the write waits until it is over."""
    second, arrived = int(time.time()), []
    shown = f'"{second:x}-4"'

    async def play(peer: Peer) -> None:
        while True:
            if (await peer.head()).startswith(b"GET"):
                date = f"Last-Modified: {format_http_date(second)}\r\n"
                await peer.send(said("200 OK", f"ETag: {shown}\r\n{date}", b"last"))
            else:
                arrived.append(time.time())
                await peer.take(4)
                await peer.send(NO_CONTENT)

    backend = await Backend(play).start()
    proxy = await start_proxy(backend.url, routes=ROUTES)
    client = connect(proxy)
    await client.request("GET", "/told/a")
    await proxy.knows("/told/a")
    assert (await client.request("PUT", "/told/a", ("If-Match", shown), body=b"next")).status == 204
    assert arrived[0] >= second + 1
    await backend.stop()
