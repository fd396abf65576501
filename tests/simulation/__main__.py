"""Plays many seeds: `python -m simulation --seeds N`; or one, with its story: `--seed N`."""

from __future__ import annotations

import argparse
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
    parser = argparse.ArgumentParser(prog="simulation", description="Whole proxies under virtual time.")
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="play just this one, and tell its story")
    given = parser.parse_args(words)
    if given.seed is not None:
        return tell(play(plan(given.seed)))
    return many(given.seeds, given.first)


def many(count: int, first: int) -> int:
    """Plays many on all cores."""
    began, requests, failed = time.monotonic(), 0, 0
    total: Counter[str] = Counter()
    with ProcessPoolExecutor() as pool:
        for seed, wrong, asked, counts in pool.map(one, range(first, first + count), chunksize=20):
            requests += asked
            total.update(counts)
            if wrong:
                failed += 1
                print(f"seed {seed}: {wrong[0]} ({len(wrong)} in all)", flush=True)
    print(
        f"{count} seeds, {requests} requests, {failed} seeds with a fault, {time.monotonic() - began:.0f} s; "
        "conditional writes: " + ", ".join(f"{number} {name}" for name, number in total.items())
    )
    if failed:
        print("tell the story of one: PYTHONPATH=tests python -m simulation --seed N")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
