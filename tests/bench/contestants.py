"""Who takes part: the backend and Redis on one core, each proxy on the other."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import peers
from machine import OTHER, ROOT, TESTED, Contestant, free_port, nginx, python_of, running, wait_for

HERE = Path(__file__).parent

# Every rule and all metrics are on. Lines for each request are nginx's neither, and measured in "ours+log".
CONFIGURATION = """
tag_secret: bench-secret-0123456789
log: {{level: warning, access: {access}}}
store: {{url: "redis://127.0.0.1:{redis}/0", prefix: {prefix}}}
upstream: {{url: "http://127.0.0.1:{backend}"}}
{rest}
"""
ROUTES = """
routes:
  - {match: "/tagged/never/{path*}", verify: never, after_write: response}
  - {match: "/tagged/reread/{path*}", after_write: reread}
  - {match: "/tagged/{path*}", after_write: response}
"""
OFF = "defaults: {mode: off}"


@dataclass
class House:
    """What runs."""

    contestants: dict[str, Contestant]
    redis: int
    backend: int
    folder: Path
    python: str


PREFIX = "pp"
"""What the keys of "ours" in Redis begin with. Those of the others begin with their names.

Each has another port, so each is asked under another Host, and what is recorded under one Host is not
believed under another: where they share records, each write asks the backend first.
"""


def configuration(
    path: Path, redis: int, backend: int, *, prefix: str = PREFIX, off: bool = False, access: bool = False
) -> Path:
    """Writes the configuration of a proxy of ours."""
    rest = OFF if off else ROUTES
    told = {"redis": redis, "backend": backend, "prefix": prefix, "access": str(access).lower()}
    text = CONFIGURATION.format(**told, rest=rest)
    path.write_text(text)
    return path


def backends(stack: contextlib.ExitStack, folder: Path) -> tuple[int, int]:
    """Starts Redis and nginx as the backend; returns their ports."""
    redis, backend = free_port(), free_port()
    (home := folder / "backend").mkdir()
    commands = {
        redis: ["redis-server", "--port", str(redis), "--save", "", "--bind", "127.0.0.1"],
        backend: [nginx(), "-c", str(peers.backend(home, backend))],
    }
    for port, command in commands.items():
        stack.enter_context(running(command, str(OTHER), log := folder / f"{port}.log"))
        wait_for(port, log)
    return redis, backend


def started(stack: contextlib.ExitStack, folder: Path, wanted: set[str], python: str) -> House:
    """Starts all that are wanted.

    Args:
        python: another Python than this one for naive and ours, or "".
    """
    python = python_of(python, folder)
    redis, backend = backends(stack, folder)
    house = House({}, redis, backend, folder, python)
    for name, command in _commands(house).items():
        if name in wanted:
            start(stack, house, name, command)
    return house


def start(
    stack: contextlib.ExitStack, house: House, name: str, command: list[str], cores: str = str(TESTED)
) -> Contestant:
    """Starts one. "{port}" and "{admin}" in its command are free ports."""
    port, admin = free_port(), free_port() if any("{admin}" in word for word in command) else 0
    words = [word.replace("{port}", str(port)).replace("{admin}", str(admin)) for word in command]
    if words[0] == nginx():  # its file has the port
        path = Path(words[2])
        path.write_text(path.read_text().replace("{port}", str(port)))
    process = stack.enter_context(running(words, cores, log := house.folder / f"{name}.log"))
    wait_for(port, log)
    house.contestants[name] = Contestant(name, port, process, admin)
    return house.contestants[name]


def ours(house: House, name: str, *, off: bool = False, access: bool = False, workers: int = 1) -> list[str]:
    """The command of a proxy of ours."""
    path = house.folder / f"{name}.yaml"
    prefix = PREFIX if name == "ours" else name.replace("+", "-")
    configuration(path, house.redis, house.backend, prefix=prefix, off=off, access=access)
    # Without PYTHONPATH it would be the proxy that is installed, not the one of this working tree.
    own = ["env", f"PYTHONPATH={ROOT}", house.python, "-m", "proxy", "serve", "--config", str(path)]
    if workers > 1:
        own = ["env", f"PROXY_WORKERS={workers}", *own]
    return [*own, "--listen", "127.0.0.1:{port}", "--admin", "127.0.0.1:{admin}"]


def _commands(house: House) -> dict[str, list[str]]:
    url = f"http://127.0.0.1:{house.backend}"

    def home(name: str) -> Path:
        path = house.folder / name
        path.mkdir()
        return path

    naive = [house.python, str(HERE / "naive.py"), "--store", f"redis://127.0.0.1:{house.redis}/1"]
    barest = ["env", f"PYTHONPATH={ROOT}", house.python, str(HERE / "barest.py")]
    return {
        "naive": [*naive, "--upstream", url, "--port", "{port}"],
        "nginx": [nginx(), "-c", str(peers.plain_proxy(home("nginx"), house.backend))],
        "lua": [nginx(), "-c", str(peers.lua_proxy(home("lua"), house.backend, house.redis))],
        "ours": ours(house, "ours"),
        "ours+log": ours(house, "ours+log", access=True),
        "off": ours(house, "off", off=True),
        "barest": [*barest, "--upstream", url, "--port", "{port}"],
    }
