"""The rules of docs/consistency.md, each broken once: what the simulation must catch."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.gate.holding import Holding
from proxy.rules.preconditions import Proceed, Reason, Refuse
from proxy.rules.routing import Verify
from proxy.rules.versions import UNKNOWN
from proxy.store.mirror import Mirror
from proxy.store.redis import RedisStore
from simulation.world import Plan

check, write = (importlib.import_module(f"proxy.gate.{name}") for name in ("check", "write"))

Patch = Callable[[pytest.MonkeyPatch], None]
Bend = Callable[[Plan], Plan]


@dataclass(frozen=True)
class Mutant:
    """One rule broken.

    Attributes:
        rule: which, and how.
        within: after how many seeds it must have been caught.
        signs: one of these must begin what the checker says.
        bend: changes the plans.
        patch: changes the code.
    """

    rule: str
    within: int
    signs: tuple[str, ...]
    bend: Bend = lambda plan: plan
    patch: Patch = lambda _monkeypatch: None


def _script(old: str, new: str, **more: Any) -> Bend:
    """A script with one piece replaced; whatever scripts have it."""

    def mutate(source: bytes) -> bytes:
        return source.replace(old.encode(), new.encode())

    return lambda plan: replace(plan, memory=False, mutate=mutate, **more)


def _shared(**more: Any) -> Bend:
    return lambda plan: replace(plan, memory=False, **more)


def _unguarded(plan: Plan) -> Plan:
    return replace(plan, route=replace(plan.route, guard=frozenset()))


def _no_deadline(patch: pytest.MonkeyPatch) -> None:
    async def send_now(self: Holding) -> None:
        self.sent = True
        self._arm()

    patch.setattr(Holding, "send_now", send_now)


def _no_renewal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holding, "_arm", lambda _self: None)


def _unsettled_is_settled(patch: pytest.MonkeyPatch) -> None:
    async def leave(self: Holding) -> None:
        await self.settle({})

    patch.setattr(Holding, "leave", leave)


def _unsettled_is_put_back(patch: pytest.MonkeyPatch) -> None:
    async def let_go(self: Holding) -> None:
        await self.restore({})

    patch.setattr(Holding, "_let_go", let_go)


def _unknown_passes(patch: pytest.MonkeyPatch) -> None:
    real = check.check

    async def lenient(house: Any, visit: Any, recorded: Any, stamp: Any = None) -> Any:
        if recorded is UNKNOWN:
            return check.Passed(recorded)
        return await real(house, visit, recorded, stamp)

    patch.setattr(write, "check", lenient)


def _unknown_refuses(patch: pytest.MonkeyPatch) -> None:
    real = check.evaluate

    def strict(conditions: Any, method: str, current: Any) -> Any:
        decision = real(conditions, method, current)
        return Refuse("If-Match", Reason.STALE_TAG) if current is UNKNOWN else decision

    def believed(_house: Any, visit: Any, recorded: Any) -> tuple[Any, str]:
        visit.route = replace(visit.route, verify=Verify.NEVER)
        return recorded, "unknown"

    patch.setattr(check, "evaluate", strict)
    patch.setattr(check, "_believed", believed)


def _mismatch_passes(patch: pytest.MonkeyPatch) -> None:
    real = check.evaluate

    def blind(conditions: Any, method: str, current: Any) -> Any:
        decision = real(conditions, method, current)
        return Proceed() if isinstance(decision, Refuse) else decision

    patch.setattr(check, "evaluate", blind)


def _abandoned(patch: pytest.MonkeyPatch) -> None:
    """A write ends with its client."""

    async def finish(writing: Any) -> Any:
        return await writing

    def build(gate: Any, _store: Any) -> None:
        gate.house.finish = finish

    patch.setattr("simulation.world.Plan.build", staticmethod(build), raising=False)


def _forgotten_grant(patch: pytest.MonkeyPatch) -> None:
    """Who stops waiting for a claim's grant, or never hears of it, leaves it to run out."""

    async def ask(self: RedisStore, claim: Any) -> Any:
        claim.incarnation = self._calls.life(claim.key).id
        claim.deadline = asyncio.get_running_loop().time()  # counted from the reply, as it should not be
        words = (claim.token, self._lease_words, "shared" if claim.shared else "exclusive")
        reply = await self._calls.call("claim", claim.key, words)
        claim.deadline = asyncio.get_running_loop().time() + self._lease
        from proxy.store.redis import _read_answer

        return _read_answer(claim, reply)

    patch.setattr(RedisStore, "_ask_for", ask)


def _forgetful_mirror(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mirror, "drop", lambda _self, _key: None)


LOST = ("LOST UPDATE",)
ANY_STALE = ("LOST UPDATE", "SUSPICION", "FALSE 412")

MUTANTS = [
    Mutant(
        "1. a claim excludes nobody",
        60,
        LOST,
        _script("if entry.owner then\n  return {now, 'busy'", "if false then\n  return {now, 'busy'"),
    ),
    Mutant("1. unconditional writes take no claim", 60, LOST, _unguarded),
    Mutant(
        "1. a shared claim leaves what is recorded",
        300,
        LOST,
        _script("forget(entry)\n  return {now, 'granted', 'unknown'}", "return {now, 'granted', 'unknown'}"),
    ),
    Mutant(
        "2. a claim leaves the version in the store",
        300,
        ANY_STALE,
        _script("erase_versions(entry)\nkeep()\nreturn describe({now, 'granted'}", "keep()\nreturn describe({now, 'granted'}"),
    ),
    Mutant(
        "3. a read is recorded whatever happened meanwhile",
        60,
        ANY_STALE,
        _script("if entry.owner or entry.is_shared or entry.changed >= stamp then", "if false then"),
    ),
    Mutant(
        "3. a read is recorded though a write ended since its stamp",
        200,
        ANY_STALE,
        _script("or entry.changed >= stamp then", "then"),
    ),
    Mutant("4. no look at the clock before the write is sent", 300, LOST, _shared(store_faults=True), _no_deadline),
    Mutant("4. no renewal while the backend works", 300, LOST, _shared(store_faults=False), _no_renewal),
    Mutant("5. an outcome that nobody knows ends the claim", 60, LOST, patch=_unsettled_is_settled),
    Mutant("5. an outcome that nobody knows puts the version back", 100, ANY_STALE, patch=_unsettled_is_put_back),
    Mutant(
        "6. a new incarnation has no grace",
        300,
        LOST,
        _script("if id or ARGV[2] ~= '' then", "if false then", store_faults=True, grace=None),
    ),
    Mutant(
        "6. an old snapshot is believed",
        300,
        ANY_STALE,
        _script("if id and run == ARGV[1] then", "if id then", store_faults=True),
    ),
    Mutant("7. what is unknown passes", 60, LOST, patch=_unknown_passes),
    Mutant("7. what is unknown is refused", 60, ("FALSE 412",), patch=_unknown_refuses),
]
