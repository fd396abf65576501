"""Who may import whom: the table of docs/architecture.md, held against every module of `proxy/`.

A room is a module or a package directly under `proxy/`. A room that is a package is entered by its door only
(`proxy.store`, never `proxy.store.redis`), but for those in OPEN, and but for the two that put the house
together. To add a room, add its line.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# fmt: off
TABLE: dict[str, str] = {
    # room        may import, beside itself and the standard library; packages from outside after the bar
    "errors":     "|",
    "rules":      "| multidict brotli zstandard",
    "store":      "rules errors | hiredis redis",
    "upstream":   "rules errors | aiohttp multidict",
    "tags":       "rules | ",
    "body":       "errors upstream | aiohttp",
    "exchange":   "rules body upstream | multidict",
    "gate":       "rules errors store upstream body exchange tags | multidict",
    "metrics":    "rules | prometheus_client",
    "log":        "|",
    "edge":       "gate metrics log rules errors upstream body exchange | aiohttp multidict",
    "admin":      "metrics store errors | aiohttp prometheus_client",
    "tracing":    "gate store upstream exchange metrics rules errors | opentelemetry",
    "settings":   "rules errors | pydantic pydantic_core pydantic_settings yaml",
    "reloading":  "settings errors |",
    "workers":    "admin metrics store settings rules errors | prometheus_client",
    "app":        "rules errors store upstream tags body exchange gate metrics log edge admin settings"
                  " reloading workers tracing | aiohttp uvloop",
    "inspection": "rules |",
    "__main__":   "settings errors reloading app inspection | uvloop",
}
# fmt: on

OPEN = {"rules", "gate"}  # every module is a door
SEES_ALL = {"app", "__main__"}
# The rules decide and do nothing else: no clock, no waiting, no I/O, no chance.
ACTS = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "select", "selectors", "shutil"}
ACTS |= {"signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time"}


def modules() -> list[str]:
    """Every module of the package, by its dotted name."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "proxy").rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def tree(module: str) -> ast.Module:
    """A module's source, parsed."""
    return ast.parse(_path(module).read_text("utf-8"))


def _path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exists(module: str) -> bool:
    return module.startswith("proxy.") and _path(module).is_file()


def imports(source: ast.Module) -> Iterator[str]:
    """The module that each import names; `from proxy import store` names proxy.store."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _exists(inner) else node.module


def room(module: str) -> str:
    """`store` of proxy.store.redis; "" of proxy itself, whose version anybody may read."""
    return (*module.split("."), "")[1]


def allowed(where: str) -> tuple[set[str], set[str]]:
    """What a room may import: rooms, and packages from outside."""
    rooms, _, foreign = TABLE[where].partition("|")
    return {where, "", *rooms.split()}, set(foreign.split())


def faults(module: str, source: ast.Module) -> list[str]:
    """What in a module's imports the table does not allow."""
    where = room(module)
    if where and where not in TABLE:
        return [f"the room {where} is not in the table"]
    rooms, foreign = allowed(where) if where else ({""}, set())
    wrong = []
    for name in imports(source):
        top = name.partition(".")[0]
        if top != "proxy":
            if top not in foreign and top not in sys.stdlib_module_names:
                wrong.append(f"{where} may not import the package {top}")
        elif room(name) not in rooms:
            wrong.append(f"{where} may not import {room(name)}")
        elif name.count(".") > 1 and room(name) not in {where, *OPEN} and where not in SEES_ALL:
            wrong.append(f"{name} is not a door: import proxy.{room(name)}")
    return wrong


def acts(source: ast.Module) -> list[str]:
    """What in a module does more than decide."""
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [f"line {node.lineno} waits" for node in ast.walk(source) if isinstance(node, waits)]
    found += [f"imports {name}" for name in imports(source) if name.partition(".")[0] in ACTS]
    calls = (node.func for node in ast.walk(source) if isinstance(node, ast.Call))
    names = {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}
    return found + [f"calls {name}" for name in sorted(names & {"open", "print", "input", "now", "utcnow"})]


@pytest.mark.parametrize("module", modules())
def test_every_module_keeps_to_the_table(module: str) -> None:
    assert faults(module, tree(module)) == []


@pytest.mark.parametrize("module", [module for module in modules() if room(module) == "rules"])
def test_rules_only_decide(module: str) -> None:
    assert acts(tree(module)) == []


PAST_THE_DOOR = "proxy.store.memory is not a door: import proxy.store"


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("proxy.gate.write", "from proxy.store import Claim", []),
        ("proxy.gate.write", "from proxy.gate.visit import Visit", []),
        ("proxy.gate.write", "from proxy.rules.etags import EntityTag", []),
        ("proxy.gate.write", "import asyncio", []),
        ("proxy.gate.write", "from proxy.store.memory import x", [PAST_THE_DOOR]),
        ("proxy.gate.write", "from proxy.store import memory", [PAST_THE_DOOR]),
        ("proxy.gate.write", "from proxy import metrics", ["gate may not import metrics"]),
        ("proxy.gate.write", "def f():\n import proxy.edge", ["gate may not import edge"]),
        ("proxy.gate.write", "import redis.asyncio", ["gate may not import the package redis"]),
        ("proxy.rules.etags", "from proxy.errors import ProxyError", ["rules may not import errors"]),
        ("proxy.edge", "from proxy.app import build", ["edge may not import app"]),
        ("proxy.app", "from proxy.store.memory import x", []),
        ("proxy.admin.server", "from proxy import __version__", []),
        ("proxy.attic", "import os", ["the room attic is not in the table"]),
        ("proxy", "from proxy.errors import ProxyError", [" may not import errors"]),
    ],
)  # fmt: skip
def test_this_test_sees(module: str, source: str, wrong: list[str]) -> None:
    assert faults(module, ast.parse(source)) == wrong


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("async def f(): pass", ["line 1 waits"]),
        ("import time", ["imports time"]),
        ("from os.path import join", ["imports os.path"]),
        ("open('x')", ["calls open"]),
        ("datetime.now()", ["calls now"]),
        ("import re", []),
    ],
)
def test_this_test_sees_acts(source: str, seen: list[str]) -> None:
    assert acts(ast.parse(source)) == seen
