"""The rules of docs/consistency.md, each broken once: what the simulation must catch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.errors import LeaseLost, StoreUnavailable
from proxy.gate.holding import Holding, Renewals
from proxy.rules.conditions import Condition
from proxy.rules.preconditions import Proceed, Reason, Refuse
from proxy.rules.routing import Route, Verify
from proxy.rules.versions import UNKNOWN
from proxy.store.lua import scripts
from simulation.backend import Habits
from simulation.world import WORK, Plan

check, plain_write, replay, write = (
    importlib.import_module(f"proxy.gate.{name}") for name in ("check", "plain_write", "replay", "write")
)

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

    assert any(old.encode() in script.source for script in scripts().values()), old

    def mutate(source: bytes) -> bytes:
        return source.replace(old.encode(), new.encode())

    return lambda plan: replace(plan, memory=False, mutate=mutate, **more)


def _believing(known: str) -> Bend:
    """An incarnation is taken for the one before on less than all that tells them apart."""
    told = "if id and run == ARGV[1] and epoch <= made_epoch then"
    return _script(told, known, store_faults=True, mishaps=("save", "restart"), pause=1.0, turns=12)


def _shared(**more: Any) -> Bend:
    return lambda plan: replace(plan, memory=False, **more)


def _untouching(plan: Plan) -> Plan:
    """Shared claims forget nothing, neither when they begin nor when they end."""

    def mutate(source: bytes) -> bytes:
        begins = source.replace(b"forget(entry)\n  return {now, 'granted'", b"return {now, 'granted'")
        return begins.replace(b"forget(entry) -- its write may", b"-- its write may")

    return replace(plan, memory=False, mutate=mutate, posts=0.3, route=Route("/r/{id}", verify=Verify.NEVER))


def _graceless(plan: Plan) -> Plan:
    """A new incarnation is made, and joined, as if nobody had known another one."""

    def mutate(source: bytes) -> bytes:
        made = source.replace(b"if id or ARGV[2] ~= '' then", b"if false then")
        return made.replace(b"if ARGV[2] == '' or ARGV[2] == id then", b"if true then")

    return replace(plan, memory=False, mutate=mutate, store_faults=True, grace=None)


def _unguarded(plan: Plan) -> Plan:
    return replace(plan, route=replace(plan.route, guard=frozenset()))


def _dying(plan: Plan) -> Plan:
    """A backend that works for as long as it may, and proxies that die meanwhile."""
    habits = Habits(plan.habits.tags, WORK, 2.4, 2.2, hangs=0.4)
    return replace(
        plan,
        memory=False,
        lease=2.5,
        store_faults=False,
        mishaps=("crash",),
        pause=0.7,
        turns=12,
        habits=habits,
    )


def _no_deadline(patch: pytest.MonkeyPatch) -> None:
    async def send_now(self: Holding) -> None:
        self.sent = True
        self._house.renewals.watch(self)

    patch.setattr(Holding, "send_now", send_now)
    patch.setattr(Holding, "permit", lambda _self: None)


def _no_second_look(patch: pytest.MonkeyPatch) -> None:
    async def send_now(self: Holding) -> None:
        house = self._house
        for claim in self.claims.values():
            if claim.deadline - house.clock() < house.work:
                try:
                    await house.store.renew(claim)
                except LeaseLost:
                    raise StoreUnavailable("lost") from None
        self.sent = True
        self._house.renewals.watch(self)

    patch.setattr(Holding, "send_now", send_now)
    patch.setattr(Holding, "permit", lambda _self: None)


def _no_renewal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Renewals, "watch", lambda _self, _holding: None)


def _unsettled_is_settled(patch: pytest.MonkeyPatch) -> None:
    async def leave(self: Holding) -> None:
        await self.settle({})

    patch.setattr(Holding, "leave", leave)


def _unsettled_is_put_back(patch: pytest.MonkeyPatch) -> None:
    async def let_go(self: Holding) -> None:
        self.restore({})

    patch.setattr(Holding, "let_go", let_go)


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
        return Refuse(Reason.STALE_TAG, Condition.IF_MATCH) if current is UNKNOWN else decision

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


def _short_way_passes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plain_write, "_is_current", lambda *_: True)


def _nobody_is_known_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "recognisable", lambda _conditions, _headers: False)


def _all_writes_look_alike(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "head", lambda names, _peer, _fields: [name.encode() for name in names])
    patch.setattr(replay, "_told", lambda _house, _name, _content: b"." * 16)


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
    Mutant("1. a shared claim leaves what is recorded", 60, ANY_STALE, _untouching),
    Mutant(
        "2. a claim leaves the version in the store",
        60,
        ANY_STALE,
        _script(
            "erase_versions(entry)\nkeep()\nreturn describe({now, 'granted', number}",
            "keep()\nreturn describe({now, 'granted', number}",
        ),
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
    Mutant(
        "4. no look at the clock before the write is sent",
        120,
        LOST,
        _shared(lease=2.5, store_faults=True, mishaps=("stall",), pause=0.5),
        _no_deadline,
    ),
    Mutant(
        "4. no look at the clock after the last renewal",
        120,
        LOST,
        _shared(lease=2.5, store_faults=True, mishaps=("stall",), pause=0.5, turns=25),
        _no_second_look,
    ),
    Mutant("4. no renewal while the backend works", 120, LOST, _dying, _no_renewal),
    Mutant("5. an outcome that nobody knows ends the claim", 60, LOST, patch=_unsettled_is_settled),
    Mutant(
        "5. an outcome that nobody knows puts the version back",
        100,
        ANY_STALE,
        patch=_unsettled_is_put_back,
    ),
    Mutant(
        "6. a new incarnation has no grace",
        240,  # one in forty shows it
        LOST,
        _graceless,
    ),
    Mutant("6. an old snapshot is believed", 120, ANY_STALE, _believing("if id then")),
    Mutant(
        "6. a fail-over there and back is not noticed",
        240,  # one in a hundred and ten shows it
        ANY_STALE,
        _believing("if id and run == ARGV[1] then"),
    ),
    Mutant("7. what is unknown passes", 60, LOST, patch=_unknown_passes),
    Mutant("7. what is unknown is refused", 60, ("FALSE 412",), patch=_unknown_refuses),
    Mutant("7. a mismatch passes", 60, LOST, patch=_mismatch_passes),
    Mutant("7. on the short way a mismatch passes", 60, LOST, patch=_short_way_passes),
    Mutant("An answer that was lost stays lost", 10, ("NOT ANSWERED AGAIN",), patch=_nobody_is_known_again),
    Mutant("An answer is given to whoever writes", 30, ("MISSING",), patch=_all_writes_look_alike),
]
