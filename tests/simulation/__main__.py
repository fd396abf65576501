"""Plays many seeds: `python -m simulation COUNT [FIRST]`; or one, with its story: `... =SEED`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulation.play import Verdict, play
from simulation.world import plan


def one(seed: int) -> tuple[int, list[str], int, dict[str, int]]:
    """One seed, without its story."""
    verdict = play(plan(seed))
    return seed, verdict.wrong, verdict.requests, verdict.counts


def tell(verdict: Verdict) -> int:
    """The whole story."""
    print(verdict.story)
    print("\n".join(verdict.wrong) or "all is well")
    return 1 if verdict.wrong else 0


def main(words: list[str]) -> int:
    """Plays what the command line asks for."""
    if words[0].startswith("="):
        return tell(play(plan(int(words[0][1:]))))
    count, first = int(words[0]), int(words[1]) if len(words) > 1 else 0
    began, requests, failed = time.monotonic(), 0, 0
    total: Counter[str] = Counter()
    with ProcessPoolExecutor() as pool:
        for seed, wrong, asked, counts in pool.map(one, range(first, first + count), chunksize=20):
            requests += asked
            total.update(counts)
            if wrong:
                failed += 1
                print(f"seed {seed}: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""))
    print(
        f"{count} seeds, {requests} requests, {failed} seeds with a fault, {time.monotonic() - began:.0f} s; "
        "conditional writes: " + ", ".join(f"{number} {name}" for name, number in total.items())
    )
    if failed:
        print("replay one with its story: PYTHONPATH=tests python -m simulation =SEED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["300"]))
