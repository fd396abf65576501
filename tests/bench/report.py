"""Figures, and what they say: tables of medians and ratios, the aims, and what an operator can count on."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import loads
from extras import Tail
from loads import Load

_PEERS = ("naive", "lua", "nginx")


@dataclass
class Figures:
    """What was measured of one contestant under one load, one value a round.

    Attributes:
        rate: requests per second.
        cpu: microseconds of the processor for each request.
        p50, p99: microseconds.
        foreign: what others took of the tested core, as a share of the time.
        wrong: answers of another status than expected, and broken connections, in all.
    """

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    wrong: int = 0

    def add(self, turn: Figures) -> None:
        """Takes in one more turn."""
        self.rate += turn.rate
        self.cpu += turn.cpu
        self.p50 += turn.p50
        self.p99 += turn.p99
        self.foreign += turn.foreign
        self.wrong += turn.wrong


Results = dict[str, dict[str, Figures]]


@dataclass
class Outcome:
    """All that was measured.

    Attributes:
        machine: in words.
        memory: bytes: "redis" for each of a million resources, "process", "idle" (10,000 connections).
        processes: microseconds of the processor for each request, with "one" process and with "two".
    """

    machine: str
    loads: list[Load]
    results: Results = field(default_factory=dict)
    tails: dict[str, dict[str, Tail]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    processes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """The ratio of the medians, and those of single rounds: their median, the least and the greatest."""

    of_medians: float
    paired: float
    least: float
    most: float

    @staticmethod
    def of(mine: Figures, peer: Figures) -> Ratio:
        """How many times the peer's throughput."""
        pairs = [one / other for one, other in zip(mine.rate, peer.rate, strict=True)]
        whole = statistics.median(mine.rate) / statistics.median(peer.rate)
        return Ratio(whole, statistics.median(pairs), min(pairs), max(pairs))

    def __str__(self) -> str:
        return f"{self.of_medians:.2f} ({self.least:.2f} to {self.most:.2f})"


def text(outcome: Outcome) -> str:
    """All of it, as Markdown."""
    parts = [outcome.machine, throughput(outcome), aims(outcome), capacity(outcome)]
    return "\n\n".join(part for part in parts if part)


def plain(outcome: Outcome) -> dict[str, Any]:
    """All of it, for JSON."""
    ratios = {
        load: {
            f"{name} / {peer}": asdict(Ratio.of(figures, found[peer]))
            for name, figures in found.items()
            for peer in _PEERS
            if peer in found and peer != name
        }
        for load, found in outcome.results.items()
    }
    return {
        **asdict(outcome),
        "ratios": ratios,
        "aims": [{**vars(aim), "met": aim.met} for aim in _aims(outcome)],
    }


def throughput(outcome: Outcome) -> str:
    """The medians and ratios; in brackets the least and the greatest of single rounds."""
    titles = ["load", "contestant", "req/s", "CPU us/req", "p50 us", "p99 us"]
    titles += ["x naive", "x nginx+Lua", "x nginx", "wrong"]
    rows = []
    for load, found in outcome.results.items():
        for name, figures in found.items():
            cells = [load, name, _spread(figures.rate), f"{statistics.median(figures.cpu):.1f}"]
            cells += [f"{statistics.median(times):.0f}" for times in (figures.p50, figures.p99)]
            cells += [
                str(Ratio.of(figures, found[peer])) if peer in found and peer != name else ""
                for peer in _PEERS
            ]
            rows.append([*cells, str(figures.wrong)])
    foreign = [share for found in outcome.results.values() for one in found.values() for share in one.foreign]
    said = f"Others took {statistics.median(foreign):.0%} of the tested core, and {max(foreign):.0%} at most."
    return _table(titles, rows) + "\n\n" + said


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class Aim:
    """Something to reach.

    Attributes:
        needed: the bound: what is reached must not be less, or where `most` not more.
        by_cpu: the same ratio by the processor's time for each request; drifts less on a shared machine.
    """

    what: str
    reached: float
    needed: float
    unit: str = "x"
    most: bool = False
    by_cpu: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.reached <= self.needed if self.most else self.reached >= self.needed

    def row(self) -> list[str]:
        """A line of the table."""
        bound = f"{'at most' if self.most else 'at least'} {self.needed:g} {self.unit}"
        by_cpu = "" if self.by_cpu is None else f"{self.by_cpu:.2f} {self.unit}"
        return [self.what, bound, f"{self.reached:.2f} {self.unit}", by_cpu, "yes" if self.met else "no"]


def aims(outcome: Outcome) -> str:
    """What was aimed at, and what was reached."""
    rows = [aim.row() for aim in _aims(outcome)]
    return _table(["aim", "needed", "reached", "by CPU time", "met"], rows) if rows else ""


def _aims(outcome: Outcome) -> list[Aim]:
    return [*_ratio_aims(outcome.results), *_latency_aims(outcome), *_cost_aims(outcome)]


def _ratio_aims(results: Results) -> Iterator[Aim]:
    reads = [(load, 6.0, 0.7) for load in (loads.TAGS, loads.MINTED, loads.UNCHANGED)]
    # What is aimed at, the load and the contestant, and those that it is held against.
    against = []
    for load, naive, lua in [*reads, (loads.PUT, 5.0, 0.6)]:
        against.append((f"{load}: x naive", load, "ours", load, "naive", naive))
        against.append((f"{load}: x nginx+Lua", load, "ours", load, "lua", lua))
    for load in (loads.BY_RECORD, loads.AS_CONFIGURED):
        against.append((f"{load}: x passing PUTs", load, "ours", loads.PUT, "ours", 1.5))
    big = loads.STREAMED
    against.append((f"{big}, mode: off: x nginx", big, "off", big, "nginx", 0.9))
    against.append((f"{big}, guarded: x nginx", big, "ours", big, "nginx", 0.9))
    for few, many in ((loads.FEW_GET, loads.MANY_GET), (loads.FEW_PUT, loads.MANY_PUT)):
        against.append((f"{many}: x the same of 1,000", many, "ours", few, "ours", 0.95))
    against.append(("mode: off: x the barest forwarding", loads.OFF, "off", loads.OFF, "barest", 0.9))
    for what, load, name, other, peer, needed in against:
        mine, its = results.get(load, {}).get(name), results.get(other, {}).get(peer)
        if mine is not None and its is not None:
            by_cpu = statistics.median(its.cpu) / statistics.median(mine.cpu)
            reached = statistics.median(mine.rate) / statistics.median(its.rate)
            yield Aim(what, reached, needed, by_cpu=by_cpu)


def _latency_aims(outcome: Outcome) -> Iterator[Aim]:
    for load, needed in ((loads.ONE_GET, 0.1), (loads.ONE_PUT, 0.4)):
        found = outcome.results.get(load, {})
        if "ours" in found and "nginx" in found:
            more = statistics.median(found["ours"].p50) - statistics.median(found["nginx"].p50)
            yield Aim(f"{load}: p50 more than nginx adds", more / 1000, needed, "ms", most=True)
    for load, by_contestant in outcome.tails.items():
        if "ours" in by_contestant:
            yield Aim(f"{load}, at half load: p99 by p50", by_contestant["ours"].ratio, 4.0, most=True)


def _cost_aims(outcome: Outcome) -> Iterator[Aim]:
    if "redis" in outcome.memory:
        yield Aim("Redis memory of a resource", outcome.memory["redis"], 200, "bytes", most=True)
    if outcome.processes:
        more = outcome.processes["two"] / outcome.processes["one"]
        yield Aim("processor time of a request, two processes by one", more, 1.15, most=True)


def capacity(outcome: Outcome) -> str:
    """What one core does, and what memory it takes."""
    rows = [
        [load, f"{1e6 / statistics.median(found['ours'].cpu):.0f} a second on one core"]
        for load, found in outcome.results.items()
        if "ours" in found and not load.endswith("one connection")
    ]
    for load, by_contestant in outcome.tails.items():
        for name, one in by_contestant.items():
            p50, p99 = (statistics.median(getattr(turn, key) for turn in one.turns) for key in ("p50", "p99"))
            rows.append([f"{load}, at half load, {name}", f"p50 {p50:.0f} us, p99 {p99:.0f} us"])
    in_words: list[tuple[str, str, Callable[[float], str]]] = [
        ("redis", "Redis memory of a resource", lambda size: f"{size:.0f} bytes"),
        ("process", "memory of a process after this load", lambda size: f"{size / 2**20:.0f} MiB"),
        ("idle", "memory of 10,000 idle connections", lambda size: f"{size / 2**20:.0f} MiB"),
    ]
    rows += [[name, say(outcome.memory[key])] for key, name, say in in_words if key in outcome.memory]
    for name, cost in outcome.processes.items():
        rows.append(
            [f"processor time of a GET, {name} process{'es' if name == 'two' else ''}", f"{cost:.0f} us"]
        )
    return _table(["what", "how much"], rows)
