"""The chunked coding, alone: any split, against h11 as the reference, and the ways to get it wrong."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.upstream.framing import MAX_CHUNK_LINE, MAX_TRAILERS, Chunked, FramingError, body_framer

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def decode(pieces: list[bytes]) -> tuple[bytes, bool, list[tuple[bytes, bytes]], bytes]:
    framer = Chunked()
    content = b"".join([framer.feed(piece) for piece in pieces])
    return content, framer.ended, framer.trailers(), framer.excess


def decode_by_h11(body: bytes) -> tuple[bytes, bool, list[tuple[bytes, bytes]], bytes]:
    reference = h11.Connection(h11.CLIENT)
    reference.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    reference.send(h11.EndOfMessage())
    reference.receive_data(HEAD + body)
    assert isinstance(reference.next_event(), h11.Response)
    content = b""
    while isinstance(event := reference.next_event(), h11.Data):
        content += event.data
    if event is h11.NEED_DATA:
        return content, False, [], b""
    assert isinstance(event, h11.EndOfMessage)
    return content, True, list(event.headers.raw_items()), reference.trailing_data[0]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def chunked(
    pieces: list[bytes], extension: bytes = b"", trailers: tuple[tuple[bytes, bytes], ...] = ()
) -> bytes:
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return body + b"0\r\n" + b"".join(b"%b: %b\r\n" % line for line in trailers) + b"\r\n"


contents = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
extensions = st.sampled_from([b"", b";a=b", b';a="b;c"', b";", b"  "])
trailer_lines = st.sampled_from([(), ((b"X-Sum", b"1"),), ((b"A", b""), (b"a", b"b c"))])
cuts = st.lists(st.integers(0, 10**6), max_size=12)


@given(contents, extensions, trailer_lines, st.binary(max_size=10), cuts)
def test_any_split_of_a_well_formed_body_gives_what_h11_gives(
    pieces: list[bytes],
    extension: bytes,
    trailers: tuple[tuple[bytes, bytes], ...],
    surplus: bytes,
    where: list[int],
) -> None:
    wire = chunked(pieces, extension, trailers) + surplus
    assert decode(split(wire, where)) == (b"".join(pieces), True, list(trailers), surplus)
    content, ended, their_trailers, their_surplus = decode_by_h11(wire)
    assert (content, ended, their_surplus) == (b"".join(pieces), True, surplus)
    assert their_trailers == list(trailers)


@given(contents, trailer_lines, st.data())
def test_a_damaged_body_is_never_read_otherwise_than_h11_reads_it(
    pieces: list[bytes], trailers: tuple[tuple[bytes, bytes], ...], data: st.DataObject
) -> None:
    wire = bytearray(chunked(pieces, trailers=trailers))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"0", b"f", b"\r", b"\n", b"\r\n", b"\0", b":", b"-", b"\x0b", b"_"])
        )
        if not wire:
            return
    _same_or_stricter(bytes(wire), data.draw(cuts))


@given(
    st.lists(st.sampled_from([b"0", b"5", b"aF", b"\r\n", b"\n", b"\r", b";", b":", b"+", b"x"]), max_size=12)
)
@example([b"5", b"\n", b"xxxxx", b"\r\n"])
@example([b"0", b"\r\n", b"\r\n", b"0"])
def test_a_body_of_odd_bits_is_never_read_otherwise_than_h11_reads_it(bits: list[bytes]) -> None:
    _same_or_stricter(b"".join(bits), [])


def _same_or_stricter(wire: bytes, where: list[int]) -> None:
    try:
        ours = decode(split(wire, where))
    except FramingError:
        return
    # h11 takes a bare LF for a trailer's end; here such a body just never ends, and is truncated in the end.
    if ours[1]:
        assert decode_by_h11(wire) == ours


GOOD = {
    "nothing": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "capital digits": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "leading zeros": (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "extensions": (b'5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n', b"hello"),
    "padded by an old server": (b"5   \r\nhello\r\n0  \r\n\r\n", b"hello"),
    "blanks before an extension": (b"5 ;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "content that looks like framing": (b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n\r\n"),
}


@pytest.mark.parametrize(("wire", "content"), GOOD.values(), ids=GOOD)
def test_good_chunked_bodies_in_single_bytes_and_whole(wire: bytes, content: bytes) -> None:
    assert decode([wire]) == (content, True, [], b"")
    assert decode([wire[at : at + 1] for at in range(len(wire))]) == (content, True, [], b"")


BAD = {
    "no size": b"\r\nhello\r\n",
    "not a number": b"g\r\n",
    "a sign": b"+5\r\nhello\r\n",
    "negative": b"-5\r\nhello\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "an underscore": b"1_0\r\n",
    "blank before": b" 5\r\nhello\r\n",
    "more than 64 bits": b"1" + b"0" * 16 + b"\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "NUL in an extension": b"5;a\0b\r\nhello\r\n",
    "longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "endless size line": b"5;" + b"a" * MAX_CHUNK_LINE,
    "trailer without colon": b"0\r\nabc\r\n\r\n",
    "trailer with blank in its name": b"0\r\nA : b\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "trailer with NUL": b"0\r\nA: b\0\r\n\r\n",
    "trailer with bare LF": b"0\r\nA: b\nC: d\r\n\r\n",
    "endless trailer": b"0\r\nA: " + b"a" * MAX_TRAILERS,
    "endless trailers": b"0\r\n" + b"A: b\r\n" * MAX_TRAILERS,
}


@pytest.mark.parametrize("wire", BAD.values(), ids=BAD)
def test_bad_chunked_bodies_are_refused_however_they_arrive(wire: bytes) -> None:
    with pytest.raises(FramingError):
        decode([wire])
    with pytest.raises(FramingError):
        decode([wire[at : at + 1] for at in range(len(wire))])


def test_trailers_are_kept_but_never_those_of_framing() -> None:
    wire = b"0\r\nX-Sum: 1 \r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\nHost: a\r\n\r\n"
    assert decode([wire]) == (b"", True, [(b"X-Sum", b"1")], b"")


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


CHUNKED = ("Transfer-Encoding", "chunked")
FRAMINGS = {
    # method, status, fields: length, ended at once
    "GET with a length": ("GET", 200, [("Content-Length", "5")], 5, False),
    "GET with length 0": ("GET", 200, [("Content-Length", "0")], 0, True),
    "GET chunked": ("GET", 200, [CHUNKED], None, False),
    "GET until close": ("GET", 200, [], None, False),
    "HEAD with a length": ("HEAD", 200, [("Content-Length", "5")], 0, True),
    "HEAD chunked": ("HEAD", 200, [CHUNKED], 0, True),
    "204 with a length": ("PUT", 204, [("Content-Length", "5")], 0, True),
    "304 with a length": ("GET", 304, [("Content-Length", "5")], 0, True),
    "205 is like any other": ("POST", 205, [("Content-Length", "0")], 0, True),
    "404 until close": ("GET", 404, [], None, False),
}


@pytest.mark.parametrize(("method", "status", "fields", "length", "ended"), FRAMINGS.values(), ids=FRAMINGS)
def test_which_framing_a_response_has(
    method: str, status: int, fields: list[tuple[str, str]], length: int | None, ended: bool
) -> None:
    framer = body_framer(method, status, headers(*fields))
    assert (framer.length, framer.ended) == (length, ended)


AMBIGUOUS = {
    "both": [CHUNKED, ("Content-Length", "5")],
    "gzip last": [("Transfer-Encoding", "chunked, gzip")],
    "gzip below chunked": [("Transfer-Encoding", "gzip, chunked")],
    "gzip alone": [("Transfer-Encoding", "gzip")],
    "identity": [("Transfer-Encoding", "identity")],
    "chunked twice": [CHUNKED, CHUNKED],
    "chunked twice in one": [("Transfer-Encoding", "chunked, chunked")],
    "two lengths": [("Content-Length", "5"), ("Content-Length", "6")],
    "a list of lengths": [("Content-Length", "5, 5")],
    "negative": [("Content-Length", "-1")],
    "signed": [("Content-Length", "+1")],
    "other digits": [("Content-Length", "\u0665")],
    "empty": [("Content-Length", "")],
    "hexadecimal": [("Content-Length", "0x5")],
}


@pytest.mark.parametrize("fields", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_framing_is_refused(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(FramingError):
        body_framer("GET", 200, headers(*fields))
