"""`make bench-micro`: what single steps of a request cost, in nanoseconds.

The steps take turns in every round, and the order is reversed in the next, so that a noisy machine is noisy
for all. The median of the rounds counts, less what calling a function that does nothing costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import described
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.canonical import canonical, parsed
from proxy.rules.conditions import Conditions, parse_conditions
from proxy.rules.dates import format_http_date, parse_http_date
from proxy.rules.etags import EntityTag, parse_tag_list
from proxy.rules.fields import reply_fields, request_fields
from proxy.rules.minting import Minter
from proxy.rules.preconditions import evaluate
from proxy.rules.resources import read_target, resource_key
from proxy.rules.routing import Route, Router
from proxy.rules.versions import ABSENT, Known, Version
from proxy.store.names import digest

TAG, OTHER = EntityTag("6f1ed002ab5595859014ebf0951522d9"), EntityTag("older")
DATE = 1_700_000_000
KNOWN = Known((Version(TAG, DATE),))
MATCHING, STALE = Conditions(if_match=(TAG,)), Conditions(if_match=(OTHER,))
UNCHANGED, EMPTY = Conditions(if_none_match=(TAG,)), Conditions()
KIB, MIB = b"x" * 1024, b"x" * (1 << 20)
HUNDRED = ", ".join(f'"tag-{number}"' for number in range(99)) + f", {TAG}"
JSON_1K = json.dumps({"id": 1, "price": 12.5, "tags": ["a", "b"], "text": "x" * 950}).encode()
RECORDS = json.dumps([{"id": number, "price": number / 8, "name": "n"} for number in range(25)]).encode()
MINTER = Minter(b"a secret of thirty-two bytes ....")
ROUTES = Router(
    [Route(match=f"/api/v1/kind{number}/{{id}}") for number in range(100)], Route(match="/{path*}")
)
FIELDS = [(b"Host", b"example.org"), (b"User-Agent", b"bench"), (b"Accept", b"*/*"), (b"Cookie", b"a=b")]
REPLY = [(b"Server", b"nginx"), (b"Content-Type", b"application/json"), (b"ETag", b'"v1"'), (b"Date", b"x")]


def headers(**fields: str) -> CIMultiDictProxy[str]:
    """The fields of a request."""
    return CIMultiDictProxy(CIMultiDict({"Host": "example.org"} | fields))


NONE, IF_MATCH = headers(), headers(**{"If-Match": str(TAG)})
TARGET, ROUTE = read_target("/api/v1/kind99/12345"), Route(match="/{path*}")

STEPS: dict[str, Callable[[], Any]] = {
    "evaluate: If-Match holds": lambda: evaluate(MATCHING, "PUT", KNOWN),
    "evaluate: If-Match does not hold": lambda: evaluate(STALE, "PUT", KNOWN),
    "evaluate: If-Match, nothing there": lambda: evaluate(MATCHING, "PUT", ABSENT),
    "evaluate: If-None-Match, unchanged": lambda: evaluate(UNCHANGED, "GET", KNOWN),
    "evaluate: no condition": lambda: evaluate(EMPTY, "GET", KNOWN),
    "conditions of a GET without": lambda: parse_conditions("GET", NONE, now_year=2026),
    "conditions of a PUT with If-Match": lambda: parse_conditions("PUT", IF_MATCH, now_year=2026),
    "tag": lambda: EntityTag.parse('"6f1ed002ab5595859014ebf0951522d9"'),
    "list of one tag": lambda: parse_tag_list(['"6f1ed002ab5595859014ebf0951522d9"']),
    "list of 100 tags": lambda: parse_tag_list([HUNDRED]),
    "date, read": lambda: parse_http_date("Tue, 14 Nov 2023 22:13:20 GMT", now_year=2026),
    "date, written": lambda: format_http_date(DATE),
    "minting, 1 KiB": lambda: MINTER.mint("/a/resource", KIB),
    "minting, 1 MiB": lambda: MINTER.mint("/a/resource", MIB),
    "minting, the backend's revision": lambda: MINTER.mint_told("/a", "revision", b"17", ("", "")),
    "target, plain": lambda: read_target("/api/v1/things/12345"),
    "target, with a query": lambda: read_target("/api/v1/things/12345?fields=a,b&page=2"),
    "target, with escapes and dots": lambda: read_target("/api/./v1/%74hings/a%20b/../c"),
    "route, the last of 100": lambda: ROUTES.find("/api/v1/kind99/12345"),
    "route, none of 100": lambda: ROUTES.find("/other"),
    "name of the resource": lambda: resource_key(ROUTE, TARGET, NONE),
    "key in Redis": lambda: digest("/api/v1/things/12345"),
    "fields to the backend, of 4": lambda: request_fields(FIELDS, frozenset()),
    "fields to the client, of 4": lambda: reply_fields(REPLY),
    "canonical JSON, 1 KiB of text": lambda: canonical(parsed(JSON_1K)),
    "canonical JSON, 25 records": lambda: canonical(parsed(RECORDS)),
}


def nothing() -> None:
    """What a call costs."""


@dataclass
class Step:
    """One step, and the nanoseconds that it took, one value a round."""

    name: str
    doing: Callable[[], Any]
    times: int
    found: list[float]

    def turn(self) -> None:
        """Takes one measurement."""
        self.found.append(timeit.timeit(self.doing, number=self.times) / self.times * 1e9)


def prepared(name: str, doing: Callable[[], Any], seconds: float) -> Step:
    """A step, and how often it is done in so many seconds."""
    once = timeit.timeit(doing, number=10) / 10
    return Step(name, doing, max(10, round(seconds / once)), [])


def measured(rounds: int, seconds: float, only: str = "") -> list[Step]:
    """Steps, measured in turn.

    Args:
        seconds: of each turn of each step.
        only: only steps whose name holds this.
    """
    steps = [prepared(name, doing, seconds) for name, doing in STEPS.items() if only in name]
    call = prepared("", nothing, seconds)
    for number in range(rounds):
        for step in [call, *steps] if number % 2 == 0 else [*reversed(steps), call]:
            step.turn()
    for step in steps:
        step.found = [max(0.0, all_ - empty) for all_, empty in zip(step.found, call.found, strict=True)]
    return steps


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.01, help="of each turn")
    parser.add_argument("--only", default="", help="only steps whose name holds this")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    steps = measured(options.rounds, options.seconds, options.only)
    print(f"{described(sys.executable)}\n\n| step | ns, median | min to max |\n| --- | --- | --- |")
    for step in steps:
        spread = f"{min(step.found):.0f} to {max(step.found):.0f}"
        print(f"| {step.name} | {statistics.median(step.found):.0f} | {spread} |")
    if options.json is not None:
        options.json.write_text(json.dumps({step.name: step.found for step in steps}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
