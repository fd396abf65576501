"""`python -m chaos [--topology all|standalone|sentinel|cluster] [--seconds N] [--seed N] [--history FILE]`

Three proxy processes, a slow backend and tens of clients; proxies are killed in mid-write, Redis is paused,
restarted, emptied and failed over, the backend stalls, connections are cut. Then the checker of the
simulation reads what the backend and the clients saw.
The exit status is 0 if nothing happened that may not happen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from simulation.history import History, faults
from support.proxies import Process, process

from chaos.backend import Backend
from chaos.clients import Client
from chaos.topologies import TOPOLOGIES, Topology

ROOT = Path(__file__).parents[2]
WORK, LEASE, WAIT = 1.0, 2.0, 1.0  # seconds: short, so that grace periods are
PROXIES, CLIENTS, RESOURCES = 3, 40, 80
SETTINGS = {
    "PROXY_UPSTREAM__TIMEOUT": f"{WORK:g}s",
    "PROXY_UPSTREAM__CONNECT_TIMEOUT": "500ms",
    "PROXY_STORE__LEASE": f"{LEASE:g}s",
    "PROXY_STORE__WAIT": f"{WAIT:g}s",
    "PROXY_STORE__TIMEOUT": "300ms",
    # Proxies and store are killed within one lease of each other here, which `auto` does not cover.
    "PROXY_STORE__GRACE": f"{LEASE:g}s",
    "PROXY_LOG__ACCESS": "false",
}


class Chaos:
    """One run on one topology."""

    def __init__(self, topology: Topology, seconds: float, chance: random.Random) -> None:
        self._topology = topology
        self._seconds = seconds
        self._until = 0.0
        self._chance = chance
        self.history = History({f"/r/{number}": f"first-{number}" for number in range(RESOURCES)}, [], {})
        self.mishaps: list[str] = []
        margin = (LEASE - WORK) / 2
        self._backend = Backend(chance, self.history, WORK, 0.8 * margin)
        self._proxies: list[Process] = []
        topology.tell = self._note

    async def run(self) -> None:
        """Everything, from start to silence."""
        await self._backend.start()
        for _ in range(PROXIES):
            self._proxies.append(await self._proxy())
        self._until = time.monotonic() + self._seconds
        clients = [
            Client(number, self.history, self._addresses, self._chance, patience=10.0)
            for number in range(CLIENTS)
        ]
        misfortune = [asyncio.create_task(self._misfortune()), asyncio.create_task(self._killer())]
        await asyncio.gather(*(client.run(lambda: time.monotonic() < self._until) for client in clients))
        for task in misfortune:
            task.cancel()
        await asyncio.gather(*misfortune, return_exceptions=True)
        await asyncio.sleep(WORK + LEASE)  # what still works in the backend ends
        for proxy in self._proxies:
            proxy.kill()
            await proxy.ended()
        await self._backend.stop()

    async def _proxy(self) -> Process:
        while True:
            try:
                return await process(self._backend.url, SETTINGS, store=self._topology.url)
            except TimeoutError:  # a machine with too much to do
                continue

    def _addresses(self) -> list[str]:
        return ["http://{}:{}".format(*proxy.address) for proxy in self._proxies]

    def _note(self, what: str) -> None:
        self.mishaps.append(f"{time.monotonic():.3f} {what}")

    async def _killer(self) -> None:
        """SIGKILL, in the middle of whatever a proxy is at; another takes its place."""
        while True:
            await asyncio.sleep(self._chance.uniform(2.0, 6.0))
            victim = self._proxies.pop(self._chance.randrange(len(self._proxies)))
            self._note(f"the proxy on port {victim.address[1]} is killed")
            victim.kill()
            await victim.ended()
            self._proxies.append(await self._proxy())

    async def _misfortune(self) -> None:
        own: list[Callable[[], Awaitable[None]]] = [self._stall, self._cut]
        while True:
            await asyncio.sleep(self._chance.uniform(1.0, 5.0))
            await self._chance.choice([*own, *self._topology.mishaps])()

    async def _stall(self) -> None:
        seconds = self._chance.uniform(0.2, 2.0)
        self._note(f"the backend begins nothing for {seconds:.1f} s")
        await self._backend.stall(seconds)

    async def _cut(self) -> None:
        self._note("the backend's connections are cut")
        self._backend.cut()


async def play(name: str, seconds: float, seed: int) -> Chaos:
    """One topology's run."""
    chance = random.Random(f"{name} {seed}")
    with ExitStack() as stack:
        topology = TOPOLOGIES[name](stack, chance, print)
        await asyncio.to_thread(topology.start)
        chaos = Chaos(topology, seconds, chance)
        await chaos.run()
        return chaos


def main(words: list[str]) -> int:
    """Runs what the command line asks for, and prints what came of it."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--topology", choices=["all", *TOPOLOGIES], default="all")
    parser.add_argument("--seconds", type=float, default=90.0, help="for each topology")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--history", type=Path, default=ROOT / "chaos-history.json")
    given = parser.parse_args(words)
    names = list(TOPOLOGIES) if given.topology == "all" else [given.topology]
    print(f"seed {given.seed}", flush=True)
    wrong, documents, writes = [], {}, 0
    for name in names:
        chaos = asyncio.run(play(name, given.seconds, given.seed))
        counts, found = chaos.history.counts(), faults(chaos.history)
        print(f"{name}: {len(chaos.mishaps)} mishaps; conditional writes: ", end="")
        print(", ".join(f"{number} {what}" for what, number in counts.items()), flush=True)
        print("\n".join(found[:20]))
        wrong += found
        writes += counts["tried"]
        documents[name] = chaos.history.as_document() | {"mishaps": chaos.mishaps, "wrong": found}
        given.history.write_text(json.dumps(documents))
    print(f"{writes} conditional writes; the history is in {given.history}; {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
