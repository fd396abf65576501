"""Whole proxies under simulated misfortune: no update is lost, whatever the seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.play import play
from simulation.world import plan

SEEDS = 240
CHUNK = 20
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_update_is_lost(first: int) -> None:
    accepted = 0
    for seed in range(first, first + CHUNK):
        verdict = play(plan(seed))
        assert not verdict.wrong, "\n".join(
            [verdict.story, *verdict.wrong, f"replay: PYTHONPATH=tests python -m simulation --seed {seed}"]
        )
        accepted += verdict.counts["accepted"]
    assert accepted > 3 * CHUNK  # something happened


def _told(seed: int, hashes: str) -> str:
    """The story as a process of its own tells it."""
    told = subprocess.run(
        [sys.executable, "-m", "simulation", "--seed", str(seed)],
        capture_output=True,
        text=True,
        check=True,
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": str(TESTS), "PYTHONHASHSEED": hashes},
    )
    return told.stdout


@pytest.mark.parametrize("seed", [3, 10])
def test_a_seed_replays_exactly(seed: int) -> None:
    once, again = _told(seed, "1"), _told(seed, "2")
    assert once == again
    verdict = play(plan(seed))
    assert once == f"{verdict.story}\nall is well\n"
    assert len(verdict.story.splitlines()) > 20


def test_seeds_differ() -> None:
    assert play(plan(1)).story != play(plan(2)).story
