"""Nothing is left behind: one long-lived world, requests with faults, and what is alive after each round."""

from __future__ import annotations

import gc
import os
from collections import Counter
from dataclasses import replace

from proxy.gate.shapes import Shapes
from proxy.rules import etags
from proxy.rules.recent import Recent
from proxy.store import lines
from simulation.backend import Habits
from simulation.play import Growth, play
from simulation.world import WORK, plan

REQUESTS = int(os.environ.get("LEAK_REQUESTS", "2000"))
"""`LEAK_REQUESTS=100000 pytest tests/simulation/test_simulation_leaks.py` is the long run."""

CLIENTS = 6


def test_requests_with_faults_leave_nothing_behind() -> None:
    alive: list[Counter[str]] = []

    def look() -> None:
        etags._remembered.clear()  # bounded by themselves, and far from full here
        lines._remembered.clear()
        for shapes in [thing for thing in gc.get_objects() if isinstance(thing, Shapes)]:
            shapes._known = Recent(1)  # each write of the simulation has a field of its own
        gc.collect()
        kinds = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
        ours = ("proxy.", "asyncio.", "_asyncio.")
        alive.append(Counter({kind: count for kind, count in kinds.items() if kind.startswith(ours)}))

    rounds = 4
    habits = Habits(True, WORK, 0.9, 0.9, slow=0.05, breaks=0.05, hangs=0.02)
    grown = Growth(rounds, look)
    verdict = play(
        replace(
            plan(0),
            memory=False,
            proxies=2,
            clients=CLIENTS,
            turns=REQUESTS // CLIENTS // rounds,
            lease=4.0,
            store_faults=True,
            crashes=False,
            grace=None,
            pause=20.0,
            habits=habits,
        ),
        grown,
    )
    assert not verdict.wrong, verdict.wrong[:3]
    assert verdict.requests > REQUESTS
    # After the first round caches are full. What is alive then is alive at the end, and no more.
    more = alive[-1] - alive[0]
    assert sum(more.values()) < 100, more
