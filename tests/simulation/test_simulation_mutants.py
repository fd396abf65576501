"""The simulation bites: with a rule broken, it finds the harm, and says after how many seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simulation.mutants import MUTANTS, Mutant
from simulation.play import Verdict, play
from simulation.world import plan


def caught(mutant: Mutant) -> Verdict | None:
    """The first seed whose verdict shows the harm."""
    for seed in range(mutant.within):
        verdict = play(mutant.bend(plan(seed)))
        if any(wrong.startswith(mutant.signs) for wrong in verdict.wrong):
            return verdict
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.rule for mutant in MUTANTS])
def test_a_broken_rule_is_caught(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    mutant.patch(monkeypatch)
    verdict = caught(mutant)
    assert verdict is not None, f"{mutant.rule}: not caught by {mutant.within} seeds"
    seeds = verdict.seed + 1
    record_property("seeds", seeds)
    print(f"{mutant.rule}: caught after {seeds} seeds: {verdict.wrong[0]}")


def test_the_story_of_a_lost_update_can_be_read() -> None:
    mutant = MUTANTS[0]
    verdict = caught(mutant)
    assert verdict is not None
    lost = next(wrong for wrong in verdict.wrong if wrong.startswith("LOST UPDATE"))
    write = lost.split()[2]
    lines = [line for line in verdict.story.splitlines() if f" {write} " in line]
    assert "begins" in lines[0]
    assert any("takes effect over" in line for line in lines)
