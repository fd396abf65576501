"""W3C Trace Context: which trace a request belongs to, and what may be told of it further on.

The specification is https://www.w3.org/TR/trace-context/, named here by its sections.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.fields import Line, lower

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_SAMPLED: Final = 1  # section 3.2.2.5: the one flag of version 00
_MOST_MEMBERS: Final = 32  # section 3.3.1
# Section 3.2.2, in lower case only. Versions to come may add fields after these (section 3.2.4).
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
# Section 3.3.1.3: a value may hold spaces, but not end with one.
_MEMBER = re.compile(r"([a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]", re.ASCII)
_OURS = frozenset({TRACEPARENT.encode(), TRACESTATE.encode()})


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Where a request stands in a trace.

    Attributes:
        trace_id: of the whole trace, 32 hexadecimal digits in lower case.
        parent_id: of the caller's part in it, 16 of them.
        sampled: whether the caller may have recorded its part.
    """

    trace_id: str
    parent_id: str
    sampled: bool

    @staticmethod
    def parse(text: str) -> TraceParent | None:
        """Reads a field's value; None where it is not valid (section 3.2.2), and so to be ignored."""
        found = _TRACEPARENT.fullmatch(text)
        if found is None or found[1] == "ff" or (found[1] == "00" and found[5] is not None):
            return None
        if not found[2].strip("0") or not found[3].strip("0"):
            return None
        return TraceParent(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))

    def __str__(self) -> str:
        """The field's value, in version 00; flags that nobody has defined are zero (section 3.2.2.5)."""
        return f"00-{self.trace_id}-{self.parent_id}-{_SAMPLED if self.sampled else 0:02x}"


def sent_parent(headers: CIMultiDictProxy[str] | CIMultiDict[str]) -> TraceParent | None:
    """The caller's place in a trace, where it told one; two of them are none."""
    told = headers.getall(TRACEPARENT, ())
    return TraceParent.parse(told[0]) if len(told) == 1 else None


def sent_trace_id(headers: CIMultiDictProxy[str] | CIMultiDict[str]) -> str:
    """The id of the trace that a request says it belongs to, "" where it says none that is valid."""
    if TRACEPARENT not in headers:
        return ""
    parent = sent_parent(headers)
    return "" if parent is None else parent.trace_id


def valid_state(values: Sequence[str]) -> bool:
    """Whether tracestate can be read (section 3.3.1); its lines count as one list.

    Args:
        values: of every tracestate line.
    """
    members = [member.strip(" \t") for value in values for member in value.split(",")]
    matched = [_MEMBER.fullmatch(member) for member in members if member]
    keys = {match[1] for match in matched if match is not None}
    return len(keys) == len(matched) <= _MOST_MEMBERS


def continued(fields: Sequence[Line], here: TraceParent, *, keep_state: bool) -> list[Line]:
    """The fields of a request that goes further under our own place in the trace.

    Args:
        fields: as they would be sent without.
        here: our own place.
        keep_state: whether what others say of the trace goes on: not where the caller's traceparent could not
            be read, since tracestate belongs to it (section 3.3), nor where it could not be read itself.
    """
    dropped = _OURS - {TRACESTATE.encode()} if keep_state else _OURS
    kept = [line for line in fields if lower(line[0]) not in dropped]
    return [*kept, (TRACEPARENT.encode(), str(here).encode())]
