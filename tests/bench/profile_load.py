"""Where the time of one kind of request goes: the proxy in this process, the load in another one.

    cd tests/bench && PYTHONPATH=../.. python profile_load.py --load put
    ... --tool cprofile   calls and time of Python functions for each request (the default)
    ... --tool perf       where the processor is, kernel and C included (needs perf)
    ... --tool strace     system calls for each request (needs strace)
    ... --tool gc         pauses of the garbage collector

The proxy has core 0; wrk, the backend (nginx) and Redis have core 1. cProfile makes small functions look
dearer than they are: trust its counts, and perf for shares. The first line says what a request costs without.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import gc
import os
import pstats
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from contestants import backends, configuration
from loads import Load, heard, load_named, wrk
from machine import TESTED

ROOT = Path(__file__).parents[2]
NAMES = {
    "get": "GET, the backend's tags",
    "minted": "GET, minted tags",
    "304": "GET, 304",
    "put": "PUT, matching If-Match",
    "reread": "PUT, reread",
    "412": "PUT, 412 by the record",
    "412-asked": "PUT, 412 as configured",
    "ingress": "GET, behind an ingress",
    "ingress-put": "PUT, behind an ingress",
    "off": "GET, mode: off",
    "big": "GET 1 MiB, streamed",
    "hashed": "GET 1 MiB, hashed",
}


async def serve(path: Path) -> Any:
    """Starts the proxy as its command line would."""
    from proxy.app import App, garbage
    from proxy.settings.loading import load

    app = App(load(path, {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}, {}))
    await app.start()
    garbage.settle()
    return app


async def load_it(load: Load, port: int, seconds: int, folder: Path) -> float:
    """Has wrk ask, on the other core; returns how many requests there were."""
    command = wrk(load, port, seconds, folder / "load.lua")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    turn = heard((await process.communicate())[0].decode())
    if turn.wrong:
        print(f"{turn.wrong} answers were wrong")
    return turn.requests


def processor() -> tuple[float, float]:
    """User and system seconds of this process so far."""
    times = os.times()
    return times.user, times.system


async def profile(load: Load, path: Path, seconds: int, tool: str, lines: int, folder: Path) -> None:
    """Warms up, measures without a tool, then with it."""
    app = await serve(path)
    port = app.address[1]
    try:
        await load_it(load, port, 1, folder)
        before, began = processor(), time.monotonic()
        count = await load_it(load, port, seconds, folder)
        user, system = (now - then for now, then in zip(processor(), before, strict=True))
        rate, user, system = count / (time.monotonic() - began), user / count * 1e6, system / count * 1e6
        print(
            f"{load.name}: {rate:.0f} req/s, CPU {user + system:.1f} us/req"
            f" (user {user:.1f}, system {system:.1f}), without a tool"
        )
        await TOOLS[tool](load, port, seconds, lines, folder)
    finally:
        await app.stop()


async def by_cprofile(load: Load, port: int, seconds: int, lines: int, folder: Path) -> None:
    """Calls and time of each function, for each request."""
    profiler = cProfile.Profile()
    profiler.enable()
    count = await load_it(load, port, seconds, folder)
    profiler.disable()
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    calls = sum(row[1] for row in stats.values())
    own = sum(row[1] for (path, *_), row in stats.items() if "/proxy/" in path)
    python = sum(row[1] for (path, *_), row in stats.items() if not path.startswith("~"))
    print(f"calls/req: {calls / count:.1f}, of which Python {python / count:.1f}, ours {own / count:.1f}")
    print(f"{'calls/req':>9} {'self us':>8} {'cum. us':>8}  function")
    for (path, line, name), row in sorted(stats.items(), key=lambda item: -item[1][2])[:lines]:
        place = f"{_short(path)}:{line} {name}" if line else name
        print(f"{row[1] / count:9.2f} {row[2] / count * 1e6:8.2f} {row[3] / count * 1e6:8.2f}  {place}")


def _short(path: str) -> str:
    for root in (str(ROOT), *sys.path):
        if root and path.startswith(root + "/"):
            return path[len(root) + 1 :]
    return path


async def by_perf(load: Load, port: int, seconds: int, lines: int, folder: Path) -> None:
    """Shares of the processor's time, by symbol."""
    data = folder / "perf.data"
    command = ["perf", "record", "-q", "-F", "2999", "-o", str(data), "-p", str(os.getpid())]
    recording = await asyncio.create_subprocess_exec(*command)
    await load_it(load, port, seconds, folder)
    recording.send_signal(2)
    await recording.wait()
    for sort in ("dso", "dso,symbol"):
        limits = ("--sort", sort, "--percent-limit", "0.4")
        report = ["perf", "report", "--stdio", "-q", "-i", str(data), *limits]
        reporting = await asyncio.create_subprocess_exec(*report, stdout=subprocess.PIPE)
        text = (await reporting.communicate())[0].decode()
        print("\n".join([line for line in text.splitlines() if line.strip()][:lines]), end="\n\n")


async def by_strace(load: Load, port: int, seconds: int, lines: int, folder: Path) -> None:
    """System calls for each request."""
    told = folder / "strace"
    command = ["strace", "-c", "-o", str(told), "-p", str(os.getpid())]
    tracing = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    await asyncio.sleep(1)  # until it is attached; what it adds to other figures does not matter here
    count = await load_it(load, port, seconds, folder)
    tracing.send_signal(2)
    await tracing.wait()
    print("calls/req  system call")
    for line in told.read_text().splitlines()[2 : lines + 2]:
        words = line.split()
        if len(words) >= 5 and words[3].isdigit():
            print(f"{int(words[3]) / count:9.3f}  {words[-1]}")


async def by_gc(load: Load, port: int, seconds: int, lines: int, folder: Path) -> None:  # noqa: ARG001
    """Pauses of the garbage collector, by generation."""
    pauses: list[list[float]] = [[], [], []]
    began = 0.0

    def seen(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            pauses[info["generation"]].append(time.perf_counter() - began)

    gc.callbacks.append(seen)
    count = await load_it(load, port, seconds, folder)
    gc.callbacks.remove(seen)
    print("generation  times/1000 req  us/req  longest ms")
    for generation, found in enumerate(pauses):
        often, each = len(found) / count * 1000, sum(found) / count * 1e6
        print(f"{generation:10}  {often:14.2f}  {each:6.2f}  {max(found, default=0.0) * 1000:10.2f}")


TOOLS = {"cprofile": by_cprofile, "perf": by_perf, "strace": by_strace, "gc": by_gc}


def main() -> int:
    """Sets the parts up, and profiles one load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load", choices=NAMES, default="get")
    parser.add_argument("--tool", choices=TOOLS, default="cprofile")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--lines", type=int, default=45)
    options = parser.parse_args()
    load = load_named(NAMES[options.load])
    if options.connections:
        load = replace(load, connections=options.connections)
    os.sched_setaffinity(0, {TESTED})
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="precondition-profile-")))
        redis, backend = backends(stack, folder)
        unguarded = options.load in ("off", "big")
        path = configuration(folder / "proxy.yaml", redis, backend, off=unguarded)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(profile(load, path, options.seconds, options.tool, options.lines, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
