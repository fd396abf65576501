"""Framing, as attackers and middleboxes get it wrong: what the client is told, and what the backend hears.

Every row is sent twice, in one packet and byte by byte, and a second request follows on the same connection.
Where the first is refused, nobody may take what follows it for a request.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from support.raw_client import responses
from support.recording_backend import RecordingBackend
from support.rows import NEXT, Connect, Proxy, chunked, request


class Row(NamedTuple):
    name: str
    raw: bytes
    status: int
    heard: str = ""
    body: bytes = b""


def refused(name: str, raw: bytes, status: int = 400) -> Row:
    return Row(name, raw, status)


POST = b"POST /x"
CHUNKED = b"Transfer-Encoding: chunked"
THREE = b"Content-Length: 3"


def length(value: bytes) -> bytes:
    return request(b"POST /x", b"Content-Length:" + value, body=b"abc")


def coding(value: bytes, *more: bytes) -> bytes:
    return request(b"POST /x", b"Transfer-Encoding:" + value, *more, body=b"3\r\nabc\r\n0\r\n\r\n")


def line(first: bytes) -> bytes:
    return first + b"\r\nHost: a\r\n\r\n"


def field(text: bytes) -> bytes:
    return b"GET /x HTTP/1.1\r\nHost: a\r\n" + text + b"\r\n\r\n"


ROWS = [
    # Both framings at once: RFC 9112 section 6.1 leaves the choice; two servers may choose differently.
    refused("Content-Length, then Transfer-Encoding", coding(b" chunked", THREE)),
    refused("Transfer-Encoding, then Content-Length", request(POST, THREE,
            CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n")),
    refused("Content-Length: 0 with Transfer-Encoding", coding(b" chunked", b"Content-Length: 0")),
    refused("Content-Length in a trailer", request(POST, CHUNKED,
            body=b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n")),
    # Content-Length: 1*DIGIT, once (RFC 9110 section 8.6).
    refused("twice, the same", request(POST, THREE, THREE, body=b"abc")),
    refused("twice, different", request(POST, THREE, b"Content-Length: 30", body=b"abc")),
    refused("a list of lengths", length(b" 3, 3")),
    refused("a signed length", length(b" +3")),
    refused("a negative length", length(b" -3")),
    refused("no length at all", length(b"")),
    refused("blanks for a length", length(b"   ")),
    refused("two numbers", length(b" 3 3")),
    refused("a hexadecimal length", length(b" 0x3")),
    refused("an underscore in a length", length(b" 0_3")),
    refused("a fraction", length(b" 3.0")),
    refused("an exponent", length(b" 3e0")),
    refused("Arabic digits", length(" \u0663".encode())),
    refused("a length over 64 bits", length(b" 18446744073709551619")),
    refused("a length of 2^64 - 1", length(b" 18446744073709551615")),
    refused("a length of 2^63", length(b" 9223372036854775808")),
    refused("a length of thirty digits", length(b" " + b"9" * 30)),
    refused("a vertical tab before the length", length(b" \x0b3")),
    refused("a blank before the colon of the length", request(POST, b"Content-Length : 3", body=b"abc")),
    Row("leading zeros", length(b" 003"), 200, "POST /x", b"abc"),
    Row("white space around a length", length(b" \t 3 \t"), 200, "POST /x", b"abc"),
    Row("no white space at all", length(b"3"), 200, "POST /x", b"abc"),
    # Transfer-Encoding: "chunked" and nothing else, once (RFC 9112 section 6.1).
    Row("chunked", coding(b" chunked"), 200, "POST /x", b"abc"),
    Row("chunked in capitals", coding(b" CHUNKED"), 200, "POST /x", b"abc"),
    Row("chunked behind a tab", coding(b"\tchunked"), 200, "POST /x", b"abc"),
    refused("identity", coding(b" identity")),
    refused("chunked, identity", coding(b" chunked, identity")),
    refused("identity, chunked", coding(b" identity, chunked")),
    refused("gzip, chunked", coding(b" gzip, chunked")),
    refused("chunked, chunked", coding(b" chunked, chunked")),
    refused("chunked twice", coding(b" chunked", CHUNKED)),
    refused("chunked, then identity in a second line", coding(b" chunked", b"Transfer-Encoding: identity")),
    refused("identity, then chunked in a second line", coding(b" identity", CHUNKED)),
    refused("xchunked", coding(b" xchunked")),
    refused("chunkedx", coding(b" chunkedx")),
    refused("a parameter of chunked", coding(b" chunked;q=1")),
    refused("chunked in quotes", coding(b' "chunked"')),
    refused("a vertical tab before chunked", coding(b" \x0bchunked")),
    refused("a form feed before chunked", coding(b" \x0cchunked")),
    refused("an empty Transfer-Encoding", coding(b" ")),
    refused("an empty member before chunked", coding(b" ,chunked")),
    refused("an empty member after chunked", coding(b" chunked,")),
    refused("a folded Transfer-Encoding", coding(b"\r\n chunked")),
    refused("a blank before its colon", request(POST, b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    refused("a NUL in its name", request(POST, b"Transfer-Encoding\0: chunked", body=b"0\r\n\r\n")),
    Row("Transfer_Encoding is no framing", request(POST, b"Transfer_Encoding: chunked",
        THREE, body=b"abc"), 200, "POST /x", b"abc"),
    Row("Content_Length is no framing", request(POST, b"Content_Length: 30", THREE,
        body=b"abc"), 200, "POST /x", b"abc"),
    # Chunks (RFC 9112 section 7.1).
    Row("chunk extensions", chunked(b'3;a;c="d;e"\r\nabc\r\n0;f\r\n\r\n'), 200, "POST /x", b"abc"),
    Row("a size with leading zeros", chunked(b"0003\r\nabc\r\n00\r\n\r\n"), 200, "POST /x", b"abc"),
    Row("a size in either case", chunked(b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"), 200, "POST /x",
        b"01234567890123456789a"),
    Row("a trailer is dropped", chunked(b"3\r\nabc\r\n0\r\nX-A: b\r\n\r\n"), 200, "POST /x", b"abc"),
    Row("no chunk but the last", chunked(b"0\r\n\r\n"), 200, "POST /x", b""),
    refused("a size with 0x", chunked(b"0x3\r\nabc\r\n0\r\n\r\n")),
    refused("a signed size", chunked(b"+3\r\nabc\r\n0\r\n\r\n")),
    refused("a negative size", chunked(b"-1\r\nabc\r\n0\r\n\r\n")),
    refused("a blank before a size", chunked(b" 3\r\nabc\r\n0\r\n\r\n")),
    refused("a blank behind a size", chunked(b"3 \r\nabc\r\n0\r\n\r\n")),
    refused("no hexadecimal digit", chunked(b"g\r\nabc\r\n0\r\n\r\n")),
    refused("no size", chunked(b"\r\nabc\r\n0\r\n\r\n")),
    refused("no size but an extension", chunked(b";a\r\nabc\r\n0\r\n\r\n")),
    refused("a size over 64 bits", chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n")),
    refused("an underscore in a size", chunked(b"0_3\r\nabc\r\n0\r\n\r\n")),
    refused("bare LF in every chunk", chunked(b"3\nabc\n0\n\n")),
    refused("bare LF behind a size", chunked(b"3\nabc\r\n0\r\n\r\n")),
    refused("bare LF behind the data", chunked(b"3\r\nabc\n0\r\n\r\n")),
    refused("bare LF behind the last size", chunked(b"3\r\nabc\r\n0\n\r\n")),
    refused("bare LF at the very end", chunked(b"3\r\nabc\r\n0\r\n\n")),
    refused("bare CR for line ends", chunked(b"3\rabc\r0\r\r")),
    refused("more data than the size says", chunked(b"3\r\nabcd\r\n0\r\n\r\n")),
    refused("no line end behind the data", chunked(b"3\r\nabc0\r\n\r\n")),
    refused("an LF in an extension", chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n")),
    refused("a CR in an extension", chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n")),
    refused("a NUL in an extension", chunked(b"3;a\0b\r\nabc\r\n0\r\n\r\n")),
    refused("a trailer without a colon", chunked(b"3\r\nabc\r\n0\r\nX-A\r\n\r\n")),
    refused("a trailer with a blank in its name", chunked(b"3\r\nabc\r\n0\r\nX A: b\r\n\r\n")),
    refused("a folded trailer", chunked(b"3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n")),
    # Lines end in CRLF (RFC 9112 section 2.2).
    refused("bare LF everywhere", b"GET /x HTTP/1.1\nHost: a\n\n"),
    refused("bare LF behind the request line", b"GET /x HTTP/1.1\nHost: a\r\n\r\n"),
    refused("bare LF behind a field", b"GET /x HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
    refused("bare LF for the blank line", b"GET /x HTTP/1.1\r\nHost: a\r\n\n"),
    refused("bare CR everywhere", b"GET /x HTTP/1.1\rHost: a\r\r"),
    refused("bare CR in a field", field(b"X-A: b\rX-C: d")),
    refused("CR CR LF", b"GET /x HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    refused("an LF hidden in a field", field(b"X-A: b\nTransfer-Encoding: chunked")),
    # Fields (RFC 9112 section 5, RFC 9110 section 5).
    refused("a folded field", field(b"X-A: b\r\n c")),
    refused("a field folded by a tab", field(b"X-A: b\r\n\tc")),
    refused("a folded condition", field(b'If-Match:\r\n "v1"')),
    refused("white space before the first field", b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused("a blank before a colon", field(b"X-A : b")),
    refused("a tab before a colon", field(b"X-A\t: b")),
    refused("a blank before the colon of a condition", field(b'If-Match : "old"')),
    refused("a blank in a name", field(b"X A: b")),
    refused("no colon", field(b"X-A")),
    refused("no name", field(b": b")),
    refused("a NUL in a name", field(b"X\0A: b")),
    refused("an octet of 8 bits in a name", field(b"X\xe9: b")),
    refused("a quote in a name", field(b'X"A": b')),
    refused("a NUL in a value", field(b"X-A: b\0c")),
    refused("a control character in a value", field(b"X-A: b\x01c")),
    refused("an escape character in a value", field(b"X-A: \x1b[2J")),
    refused("a DEL in a value", field(b"X-A: b\x7fc")),
    Row("a tab in a value", field(b"X-A: b\tc"), 200, "GET /x"),
    Row("obs-text in a value", field(b"X-A: b\xffc"), 200, "GET /x"),
    Row("an empty value", field(b"X-A:"), 200, "GET /x"),
    # The request line (RFC 9112 section 3).
    refused("HTTP/0.9", b"GET /x\r\n\r\n"),
    refused("HTTP/0.9 by name", line(b"GET /x HTTP/0.9")),
    refused("HTTP/1.2", line(b"GET /x HTTP/1.2")),
    refused("HTTP/2.0", line(b"GET /x HTTP/2.0")),
    refused("HTTP/1.10", line(b"GET /x HTTP/1.10")),
    refused("HTTP/01.1", line(b"GET /x HTTP/01.1")),
    refused("HTTP/1", line(b"GET /x HTTP/1")),
    refused("http/1.1", line(b"GET /x http/1.1")),
    refused("HTTPS/1.1", line(b"GET /x HTTPS/1.1")),
    refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40 + b"\r\n\r\n"),
    refused("white space behind the version", line(b"GET /x HTTP/1.1 ")),
    refused("white space before the method", line(b" GET /x HTTP/1.1")),
    refused("a tab for a blank", line(b"GET\t/x\tHTTP/1.1")),
    refused("a blank in the target", line(b"GET /x y HTTP/1.1")),
    refused("a version in the target", line(b"GET /x HTTP/1.1 HTTP/1.1")),
    refused("no target", line(b"GET HTTP/1.1")),
    refused("no method", line(b"/x HTTP/1.1")),
    refused("a method in lower case", line(b"put /x HTTP/1.1")),
    refused("a method in mixed case", line(b"Put /x HTTP/1.1")),
    refused("no token for a method", line(b"G@T /x HTTP/1.1")),
    refused("CONNECT", line(b"CONNECT a:80 HTTP/1.1")),
    refused("CONNECT to a path", line(b"CONNECT /x HTTP/1.1")),
    refused("a relative path", line(b"GET x HTTP/1.1")),
    refused("a query alone", line(b"GET ?x HTTP/1.1")),
    # To cut a fragment off would delete what the client did not name (litmus, delete_fragment).
    refused("a fragment", line(b"DELETE /x/#y HTTP/1.1")),
    refused("a fragment behind a query", line(b"GET /x?y#z HTTP/1.1")),
    refused("an empty fragment", line(b"GET /x# HTTP/1.1")),
    refused("a fragment of an absolute-form", line(b"GET http://a/x#y HTTP/1.1")),
    refused("* with GET", line(b"GET * HTTP/1.1")),
    refused("* with PUT", line(b"PUT * HTTP/1.1")),
    Row("* with OPTIONS", line(b"OPTIONS * HTTP/1.1"), 200, "OPTIONS *"),
    Row("an empty line before the request", b"\r\n" + line(b"GET /x HTTP/1.1"), 200, "GET /x"),
    Row("two blanks in the request line", line(b"GET  /x HTTP/1.1"), 200, "GET /x"),
    # Content that is unusual, but framed.
    Row("content of a GET", request(b"GET /x", THREE, body=b"abc"), 200, "GET /x", b"abc"),
    Row("chunked content of a DELETE", request(b"DELETE /x", CHUNKED,
        body=b"3\r\nabc\r\n0\r\n\r\n"), 200, "DELETE /x", b"abc"),
    Row("a request within content", request(POST, b"Content-Length: 30",
        body=b"DELETE /y HTTP/1.1\r\nHost:a\r\n\r\n"), 200, "POST /x",
        b"DELETE /y HTTP/1.1\r\nHost:a\r\n\r\n"),
]  # fmt: skip

TOGETHER, APART = "in one packet", "byte by byte"


@pytest.mark.parametrize("way", [TOGETHER, APART])
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_framing(row: Row, way: str, backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    client = await connect(await proxy(backend.url))
    sent = row.raw + NEXT
    await client.send(*([sent] if way == TOGETHER else [sent[at : at + 1] for at in range(len(sent))]))
    seen = responses(await client.rest())
    whole = [(heard.line, heard.body) for heard in backend.heard if heard.complete]
    if row.heard:
        assert [answer.status for answer in seen] == [row.status, 200]
        assert whole[0] == (row.heard, row.body)
        assert whole[-1] == ("GET /next", b"")
    else:
        assert [answer.status for answer in seen] == [row.status]
        assert whole == []
        assert seen[0].one("connection") == "close"
    assert all(answer.ended for answer in seen)


EXTENSIONS = [
    # RFC 3253, RFC 3648, RFC 4437, and what somebody made up: a method is any token (RFC 9110 section 9.1).
    *[
        Row(name, line(b"%b /x HTTP/1.1" % name.encode()), 200, f"{name} /x")
        for name in ("VERSION-CONTROL", "ORDERPATCH", "UPDATEREDIRECTREF", "GETX", "FOO")
    ],
    Row("with content", request(b"FOO /x", THREE, body=b"abc"), 200, "FOO /x", b"abc"),
    Row("with chunks", request(b"FOO /x", CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"), 200, "FOO /x", b"abc"),
    refused("both framings", request(b"FOO /x", CHUNKED, THREE, body=b"3\r\nabc\r\n0\r\n\r\n")),
    refused("bare LF", b"FOO /x HTTP/1.1\nHost: a\n\r\n\r\n"),
    refused("two blanks", b"FOO  /x HTTP/1.2\r\nHost: a\r\n\r\n"),
    refused("no version", b"FOO /x\r\nHost: a\r\n\r\n"),
    refused("no Host", b"FOO /x HTTP/1.1\r\n\r\n"),
    refused("a folded field", request(b"FOO /x", b"X-A: b\r\n c")),
    refused("a method of 65 characters", line(b"F" * 65 + b" /x HTTP/1.1")),
    refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("PRI", line(b"PRI /x HTTP/1.1")),
    refused("capitals and others", line(b"FOo /x HTTP/1.1")),
]  # fmt: skip


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("row", EXTENSIONS, ids=[row.name for row in EXTENSIONS])
async def test_methods_that_the_parser_does_not_know(
    row: Row, second: bool, backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    """As the first request of a connection, and when another one has been answered on it."""
    client = await connect(await proxy(backend.url))
    if second:
        await client.send(request(b"GET /first"))
        await client.until(b"ok")
    await client.send(row.raw + NEXT)
    seen = responses(await client.rest())[second:]
    heard = [(one.line, one.body) for one in backend.heard if one.complete][second:]
    if row.heard:
        assert [answer.status for answer in seen] == [row.status, 200]
        assert heard == [(row.heard, row.body), ("GET /next", b"")]
    else:
        assert ([answer.status for answer in seen], heard) == ([row.status], [])


async def test_a_method_that_the_parser_does_not_know_comes_in_one_piece(
    backend: RecordingBackend, proxy: Proxy, connect: Connect
) -> None:
    client = await connect(await proxy(backend.url))
    sent = line(b"FOO /x HTTP/1.1")
    await client.send(*(sent[at : at + 1] for at in range(len(sent))))
    assert [answer.status for answer in responses(await client.rest())] == [400]
    assert backend.heard == []


ALONE = [
    refused("HTTP/0.9", b"GET /x\r\n\r\n"),
    refused("HTTP/0.9 by name", b"GET /x HTTP/0.9\r\n\r\n"),
    refused("HTTP/2.0", line(b"GET /x HTTP/2.0")),
    refused("HTTP/1.0 with Transfer-Encoding", request(POST, CHUNKED,
            version=b"1.0", body=b"3\r\nabc\r\n0\r\n\r\n")),
    refused("an empty Transfer-Encoding", request(POST, b"Transfer-Encoding: ")),
    refused("a length of 2^64 - 1, and nothing", request(POST, b"Content-Length: 18446744073709551615")),
    refused("HTTP/1.1 without Host", b"GET /x HTTP/1.1\r\n\r\n"),
    Row("HTTP/1.0 without Host", b"GET /x HTTP/1.0\r\n\r\n", 200, "GET /x"),
    Row("HTTP/1.0 with Host", b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n", 200, "GET /x"),
    Row("HTTP/1.0 that expects 100 (RFC 9110 section 10.1.1)", request(POST, THREE,
        b"Expect: 100-continue", version=b"1.0", body=b"abc"), 200, "POST /x", b"abc"),
    Row("Connection: close", request(b"GET /x", b"Connection: close"), 200, "GET /x"),
]  # fmt: skip


@pytest.mark.parametrize("row", ALONE, ids=[row.name for row in ALONE])
async def test_alone(row: Row, backend: RecordingBackend, proxy: Proxy, connect: Connect) -> None:
    """What a client that means to send one request only is told; the connection ends by itself."""
    client = await connect(await proxy(backend.url))
    await client.send(row.raw)
    (seen,) = responses(await client.rest())
    assert (seen.status, seen.ended, seen.one("connection")) == (row.status, True, "close")
    assert [(heard.line, heard.body) for heard in backend.heard] == (
        [(row.heard, row.body)] if row.heard else []
    )
