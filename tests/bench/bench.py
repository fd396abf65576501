"""`make bench`: the proxy beside the usual aiohttp proxy, plain nginx, and nginx with Lua and Redis.

Each contestant has one core to itself; the backend, Redis and the load generator share the other. Contestants
take turns within each round, and the order is reversed in the next, so that a noisy machine is noisy for all.
Quote ratios of medians; requests per second mean nothing elsewhere.

Needs, from Debian's packages: wrk, nginx-light, libnginx-mod-http-lua, lua-nginx-redis, redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import contestants
import extras
import report
from loads import LOADS, PUT, QUICK, TAGS, Load, load_named, send
from machine import TESTED, Contestant, busy_seconds, described
from report import Figures, Results

_NEEDED = ("wrk", "redis-server", "redis-cli", "taskset")
_PYTHON = ("naive", "ours", "ours+log")
_PACKAGES = "wrk redis-server util-linux nginx-light libnginx-mod-http-lua lua-nginx-redis"


def measure(load: Load, contestant: Contestant, seconds: int, folder: Path, seed: int) -> Figures:
    """One turn."""
    before, busy, began = contestant.cpu_seconds(), busy_seconds(TESTED), time.monotonic()
    turn = send(load, contestant.port, seconds, folder / "load.lua", seed)
    spent, elapsed = contestant.cpu_seconds() - before, time.monotonic() - began
    foreign = max(0.0, busy_seconds(TESTED) - busy - spent) / elapsed
    cpu = spent / max(turn.requests, 1) * 1e6
    return Figures([turn.rate], [cpu], [turn.p50], [turn.p99], [foreign], turn.wrong)


def warm_up(load: Load, name: str) -> int:
    """Seconds in which a contestant has been asked for each resource once, but for those of a million."""
    a_second = 2000 if name in _PYTHON else 10_000
    return min(5, math.ceil(load.resources / a_second))


def contest(house: contestants.House, loads: list[Load], rounds: int, seconds: int) -> Results:
    """Runs every load in every round, after one round that does not count; figures by load and contestant."""
    results: Results = {load.name: {name: Figures() for name in load.by} for load in loads}
    for number in range(rounds + 1):
        for load in loads:
            for name in load.by if number % 2 == 0 else reversed(load.by):
                lasting = seconds if number else warm_up(load, name)
                turn = measure(load, house.contestants[name], lasting, house.folder, number + 1)
                if number > 0:
                    results[load.name][name].add(turn)
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def tails(house: contestants.House, results: Results, seconds: int) -> dict[str, dict[str, extras.Tail]]:
    """Latency at half load, with metrics read each second."""
    found: dict[str, dict[str, extras.Tail]] = {}
    for load in (load_named(TAGS), load_named(PUT)):
        names = [name for name in ("nginx", "lua", "ours") if name in results.get(load.name, {})]
        found[load.name] = {
            name: extras.Tail(statistics.median(results[load.name][name].rate), []) for name in names
        }
    for _ in range(3):
        for name, by_contestant in found.items():
            for contestant, one in by_contestant.items():
                where = house.contestants[contestant]
                one.turns.append(extras.tail(load_named(name), where, one.full, seconds, house.folder))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def run(options: argparse.Namespace, loads: list[Load]) -> report.Outcome:
    """Starts everything, measures, and stops it."""
    wanted = {name for load in loads for name in load.by} | {"ours"}
    whole = not options.quick and not options.only
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="precondition-bench-")))
        house = contestants.started(stack, folder, wanted, options.python)
        outcome = report.Outcome(described(house.python), loads)
        if any(load.resources == extras.MILLION for load in loads):
            outcome.memory["redis"] = extras.remember_a_million(house)
        # Those of a million resources come last: they displace what a process remembers of all the others.
        apart = [load for load in loads if load.shuffled]
        for group in ([load for load in loads if not load.shuffled], apart):
            outcome.results |= contest(house, group, options.rounds, options.seconds)
        if whole or options.only == "tail":
            outcome.tails = tails(house, outcome.results, 4)
        if whole:
            outcome.processes = extras.processes(stack, house)
            outcome.memory |= extras.idle_connections(house.contestants["ours"])
    return outcome


def main() -> int:
    """Runs the contest and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four loads, one minute")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=1, help="of each turn; whole ones, for wrk")
    parser.add_argument("--only", default="", help='only loads whose name holds this, or "tail"')
    parser.add_argument(
        "--python", default="", help="another Python for the contestants, e.g. /usr/bin/python3"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 7)
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        print(f"missing: {', '.join(missing)}; on Debian: apt install {_PACKAGES}", file=sys.stderr)
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    chosen = [load for load in LOADS if not options.quick or load.name in QUICK]
    if options.only == "tail":
        chosen = [load_named(TAGS), load_named(PUT)]
    elif options.only:
        chosen = [load for load in LOADS if options.only in load.name]
    began = time.monotonic()
    outcome = run(options, chosen)
    print(report.text(outcome))
    print(f"\n{time.monotonic() - began:.0f} seconds", file=sys.stderr)
    if options.json is not None:
        options.json.write_text(json.dumps(report.plain(outcome), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
