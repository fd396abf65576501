"""One byte range (RFC 9110 section 14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.ranges import Part, Unsatisfiable, select

NO = Unsatisfiable()


@pytest.mark.parametrize(
    ("text", "length", "selected"),
    [
        # The examples of section 14.1.2, for a representation of 10000 bytes.
        ("bytes=0-499", 10000, Part(0, 499)),
        ("bytes=500-999", 10000, Part(500, 999)),
        ("bytes=-500", 10000, Part(9500, 9999)),
        ("bytes=9500-", 10000, Part(9500, 9999)),
        ("bytes=0-0,-1", 10000, None),  # several: the whole instead
        ("bytes=500-600,601-999", 10000, None),
        # The last position may lie beyond the end, the first may not.
        ("bytes=0-", 10, Part(0, 9)),
        ("bytes=0-0", 10, Part(0, 0)),
        ("bytes=9-9", 10, Part(9, 9)),
        ("bytes=5-99", 10, Part(5, 9)),
        ("bytes=9-", 10, Part(9, 9)),
        ("bytes=10-", 10, NO),
        ("bytes=10-10", 10, NO),
        ("bytes=11-20", 10, NO),
        # A suffix longer than everything is everything; one of nothing is unsatisfiable.
        ("bytes=-1", 10, Part(9, 9)),
        ("bytes=-10", 10, Part(0, 9)),
        ("bytes=-11", 10, Part(0, 9)),
        ("bytes=-0", 10, NO),
        # Nothing to send a part of.
        ("bytes=0-", 0, NO),
        ("bytes=0-0", 0, NO),
        ("bytes=-0", 0, NO),
        ("bytes=-5", 0, None),
        # Units are case-insensitive (section 14.1); those unknown are ignored (section 14.2).
        ("BYTES=1-2", 10, Part(1, 2)),
        ("Bytes=1-2", 10, Part(1, 2)),
        ("items=1-2", 10, None),
        ("byte=1-2", 10, None),
        ("bytes", 10, None),
        ("", 10, None),
        # Invalid ones too.
        ("bytes=", 10, None),
        ("bytes=-", 10, None),
        ("bytes=5-4", 10, None),
        ("bytes=20-19", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1", 10, None),
        ("bytes=1--2", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=1.0-2", 10, None),
        ("bytes=0x1-2", 10, None),
        ("bytes 1-2", 10, None),
        ("bytes=1-2,", 10, None),
        ("bytes=1 -2", 10, None),
        ("bytes=1-2\n", 10, None),
        ("bytes=\u0661-\u0662", 10, None),  # digits, but not DIGIT
        ("byte\u017f=1-2", 10, None),  # the long s, which is an s without regard to case
        # Leading zeros are digits; numbers of any length cost nothing.
        ("bytes=01-002", 10, Part(1, 2)),
        (f"bytes=0-{'9' * 18}", 10, Part(0, 9)),
        (f"bytes=0-{'9' * 100_000}", 10, None),
        (f"bytes=-{'9' * 100_000}", 10, None),
        (f"bytes={'9' * 100_000}-", 10, None),
    ],
)
def test_range(text: str, length: int, selected: Part | Unsatisfiable | None) -> None:
    assert select(text, length) == selected


SMALL = st.integers(0, 30)


@given(first=SMALL | st.none(), last=SMALL | st.none(), length=SMALL)
def test_a_part_is_what_python_slices(first: int | None, last: int | None, length: int) -> None:
    content = bytes(range(length))
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    match select(text, length):
        case Part(begin, end):
            assert 0 <= begin <= end < length
            wanted = (
                content[-(last or 0) :]
                if first is None
                else content[first : None if last is None else last + 1]
            )
            assert content[begin : end + 1] == wanted
        case Unsatisfiable():
            assert last == 0 if first is None else first >= length
        case None:
            backwards = first is not None and last is not None and last < first
            assert backwards or (first is None and (last is None or not length))


@given(st.text(max_size=40), SMALL)
def test_any_text_is_read(text: str, length: int) -> None:
    assert select(text, length) is None or text.lower().startswith("bytes")
