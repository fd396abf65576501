"""W3C Trace Context: which traceparent and tracestate are valid, and what goes on."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.rules.tracecontext import TraceParent, continued, sent_parent, sent_trace_id, valid_state

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
HERE = TraceParent(TRACE, "00f067aa0ba902b7", sampled=True)


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-02", False),  # the sampled flag is one bit of eight
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"cc-{TRACE}-{SPAN}-01", True),  # a version to come, read as this one
        (f"cc-{TRACE}-{SPAN}-01-what the future brings", True),
    ],
)
def test_a_valid_traceparent(text: str, sampled: bool) -> None:
    assert TraceParent.parse(text) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 has no more
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",  # no version at all
        f"0-{TRACE}-{SPAN}-01",
        f"0x-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",  # lower case only
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",  # all zeros mean none
        f"00-{TRACE}-{'0' * 16}-01",
        f"00_{TRACE}_{SPAN}_01",
        f" {GOOD}",
        f"{GOOD}\n",
        f"00-{TRACE[:-1]}\u0663-{SPAN}-01",  # a digit, but not of ours
    ],
)
def test_an_invalid_traceparent(text: str) -> None:
    assert TraceParent.parse(text) is None


@pytest.mark.parametrize(
    ("sent", "trace_id"),
    [
        ([], ""),
        ([("traceparent", GOOD)], TRACE),
        ([("TraceParent", GOOD)], TRACE),
        ([("traceparent", "nonsense")], ""),
        ([("traceparent", GOOD), ("traceparent", GOOD)], ""),  # whose?
        ([("tracestate", "a=1")], ""),
    ],
)
def test_the_trace_of_a_request(sent: list[tuple[str, str]], trace_id: str) -> None:
    headers = CIMultiDict(sent)
    assert sent_trace_id(headers) == trace_id
    assert (sent_parent(headers) is not None) == bool(trace_id)


@pytest.mark.parametrize(
    ("values", "valid"),
    [
        ([], True),
        ([""], True),  # empty members are allowed, and an empty field
        (["a=1"], True),
        (["a=1,b=2", "c=3"], True),  # one list in two lines
        (["a=1 ,\t b=2,,c=3"], True),
        (["tenant@system=x"], True),
        (["0a=x"], True),
        (["a=" + "v" * 256], True),
        (["a=" + "v" * 257], False),
        (["a" * 256 + "=1"], True),
        (["a" * 257 + "=1"], False),
        (["a=b c"], True),
        (["A=1"], False),
        (["a"], False),
        (["a="], False),
        (["=1"], False),
        (["a=b=c"], False),
        (["a=\u00e9"], False),
        (["a=1,a=2"], False),  # one entry for each key
        (["a=1", "a=2"], False),
        ([",".join(f"k{n}=v" for n in range(32))], True),
        ([",".join(f"k{n}=v" for n in range(33))], False),
    ],
)
def test_tracestate(values: list[str], valid: bool) -> None:
    assert valid_state(values) is valid


@pytest.mark.parametrize(
    ("keep_state", "states"),
    [(True, [(b"Tracestate", b"a=1"), (b"tracestate", b"b=2")]), (False, [])],
)
def test_what_goes_on(keep_state: bool, states: list[tuple[bytes, bytes]]) -> None:
    sent = [
        (b"Host", b"a"),
        (b"Traceparent", GOOD.encode()),
        (b"Tracestate", b"a=1"),
        (b"tracestate", b"b=2"),
        (b"baggage", b"k=v"),
    ]
    assert continued(sent, HERE, keep_state=keep_state) == [
        (b"Host", b"a"),
        *states,
        (b"baggage", b"k=v"),
        (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode()),
    ]


def test_undefined_flags_are_not_sent_on() -> None:
    parsed = TraceParent.parse(f"01-{TRACE}-{SPAN}-fe")
    assert str(parsed) == f"00-{TRACE}-{SPAN}-00"
