"""What a contest of throughput does not tell: memory, growth, the tail at half load, several processes."""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import contestants
import redis
from loads import MILLION, TAGS, Load, Turn, load_named, send
from machine import OTHER, TESTED, Contestant

from proxy.rules.base64url import base64url
from proxy.rules.resources import Target, spelling
from proxy.rules.routing import Route
from proxy.store.names import digest

IDLE = 10_000
_CALLERS = 32


def fetch(port: int, path: str) -> bytes:
    """One GET."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        body: bytes = answer.read()
    return body


def remember_a_million(house: contestants.House) -> float:
    """Has Redis hold a million resources as the proxy records them; returns the bytes that each takes.

    The proxy records one; the others are like it, under their own names and marks. Asking for each through
    the proxy would take minutes.
    """
    ours = house.contestants["ours"]
    client = redis.Redis(port=house.redis)
    fetch(ours.port, "/tagged/1")
    first = entry("/tagged/1")
    deadline = time.monotonic() + 5
    while not (fields := client.hgetall(first)):
        if time.monotonic() > deadline:
            raise SystemExit(f"the proxy recorded nothing under {first.decode()}")
        time.sleep(0.01)
    host = f"127.0.0.1:{ours.port}"
    version = fields.pop(variant("/tagged/1", host))
    others = [word for pair in fields.items() for word in pair]
    expiry = b"%d" % client.pttl(first)
    before = client.info("memory")["used_memory"]
    loading = subprocess.Popen(
        ["redis-cli", "-p", str(house.redis), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert loading.stdin is not None
    for number in range(2, MILLION + 1):
        key, own = entry(f"/tagged/{number}"), variant(f"/tagged/{number}", host)
        loading.stdin.write(_command(b"HSET", key, *others, own, version) + _command(b"PEXPIRE", key, expiry))
    loading.stdin.close()
    if loading.wait() or client.dbsize() < MILLION:
        raise SystemExit("Redis did not take a million resources")
    used: int = client.info("memory")["used_memory"]
    return (used - before) / (MILLION - 1)


def entry(path: str) -> bytes:
    """The proxy's key in Redis of a resource; a test holds it against the real one."""
    return f"{contestants.PREFIX}:{{0}}:{base64url(digest(path))}".encode()


def variant(path: str, host: str) -> bytes:
    """The field of its entry that has its version; held by the same test."""
    return b"v" + spelling(Route(), Target(path), host).encode()


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def idle_connections(contestant: Contestant) -> dict[str, float]:
    """Memory of one process, and what 10,000 idle connections, each of which has asked once, add to it."""
    request = b"GET /tagged/1 HTTP/1.1\r\nHost: bench\r\n\r\n"
    before = contestant.resident()
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", contestant.port)))
            client.sendall(request)
            client.recv(1 << 16)
        after = contestant.resident()
    return {"process": before, "idle": after - before}


@contextlib.contextmanager
def scraped(contestant: Contestant) -> Iterator[None]:
    """Reads the metrics each second, as Prometheus would, but more often."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1.0):
            fetch(contestant.admin, "/metrics")

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass
class Tail:
    """Latency at half load.

    Attributes:
        full: requests per second that it can do.
        turns: what wrk saw.
    """

    full: float
    turns: list[Turn]

    @property
    def ratio(self) -> float:
        """The 99th percentile by the median."""
        return statistics.median(turn.p99 / turn.p50 for turn in self.turns)


def tail(load: Load, contestant: Contestant, full: float, seconds: int, folder: Path) -> Turn:
    """Asks half as often as it can answer: each caller rests between its requests."""
    pause = round(_CALLERS / (full / 2) * 1e6)
    paced = replace(load, connections=_CALLERS, pause=pause, shuffled=True)
    with scraped(contestant) if contestant.admin else contextlib.nullcontext():
        return send(paced, contestant.port, seconds, folder / "load.lua")


def processes(stack: contextlib.ExitStack, house: contestants.House) -> dict[str, float]:
    """Microseconds of the processor for a GET, with one process and with two that share a port.

    The load, Redis and the backend need a core too. So it is not throughput that is compared: where two
    processes on two cores spend no more time on a request than one on one, they scale as the cores do.
    """
    command = contestants.ours(house, "two", workers=2)
    two = contestants.start(stack, house, "two", command, cores=f"{TESTED},{OTHER}")
    found: dict[str, list[float]] = {"one": [], "two": []}
    for number in range(6):
        for name, contestant in (("one", house.contestants["ours"]), ("two", two)):
            before = contestant.cpu_seconds()
            turn = send(load_named(TAGS), contestant.port, 2, house.folder / "load.lua", number)
            found[name].append((contestant.cpu_seconds() - before) / turn.requests * 1e6)
    return {name: statistics.median(costs[1:]) for name, costs in found.items()}
