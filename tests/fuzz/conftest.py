"""How long fuzzing lasts: briefly in the suite, for minutes by `make fuzz` (FUZZ_EXAMPLES)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "suite", max_examples=150, deadline=None, derandomize=True, suppress_health_check=SLOW
)
settings.register_profile(
    "long",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "0")) or 100_000,
    deadline=None,
    suppress_health_check=SLOW,
)
settings.load_profile("long" if os.environ.get("FUZZ_EXAMPLES") else "suite")
