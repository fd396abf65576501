"""The protocol loses no update; and each of its rules is needed: without it, the model finds one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from protocol_model import POST, Kind, Options, Violation, explore

LOSING = {"losses": True}

HOLDS: list[tuple[tuple[Kind, ...], int, dict[str, bool]]] = [
    ((0, 0), 1, {}),
    ((0, None), 1, {}),
    ((0, 1), 1, {}),
    ((0, 0), 2, {"crashes": False}),
    ((0, None), 1, LOSING),
    ((0, POST), 1, {}),
    ((0, POST), 1, LOSING),
    ((0, None, 0), 1, {}),
    ((0, None, 0), 0, LOSING),
    ((0, 1, None), 1, {"stalls": False}),
    ((0, POST, 0), 1, {}),
    ((0, POST, None), 0, LOSING),
    ((0, POST, POST), 1, {"crashes": False}),
]


@pytest.mark.parametrize(("writers", "readers", "options"), HOLDS)
def test_with_all_rules_no_update_is_lost(
    writers: tuple[Kind, ...], readers: int, options: dict[str, bool]
) -> None:
    found = explore(Options(**options), writers, readers)
    assert not isinstance(found, Violation), "\n".join(found.story)
    assert found > 500


NEEDED: list[tuple[str, tuple[Kind, ...], int, dict[str, bool]]] = [
    ("unconditional_writes_claim", (0, None), 0, {}),
    ("in_flight_is_unknown", (0, 0), 0, {}),
    ("stamped_observations", (0, 0), 1, {}),
    ("own_deadline", (0, 0), 0, {}),
    ("unsettled_runs_out", (0, 0), 0, {}),
    ("grace", (0, 0), 0, LOSING),
    ("probe_when_in_doubt", (0, None), 0, {}),
    ("shared_claims", (0, POST), 1, {}),
]


@pytest.mark.parametrize(
    ("rule", "writers", "readers", "options"), NEEDED, ids=[needed[0] for needed in NEEDED]
)
def test_without_a_rule_an_update_is_lost(
    rule: str, writers: tuple[Kind, ...], readers: int, options: dict[str, bool]
) -> None:
    found = explore(Options(**{rule: False}, **options), writers, readers)
    assert isinstance(found, Violation), f"{found} states without a lost update"
    assert "takes effect over" in found.story[-1]
