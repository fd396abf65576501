"""`make bench`: the proxy beside the usual aiohttp proxy, plain nginx, and nginx with Lua and Redis.

Each contestant has one core to itself; the backend, Redis and the load generator share the other. Contestants
take turns within each round, and the order is reversed in the next, so that a noisy machine is noisy for all.
Quote ratios of medians; requests per second mean nothing elsewhere.

Needs, from Debian's packages: wrk, nginx-light, libnginx-mod-http-lua, lua-nginx-redis, redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import peers

HERE = Path(__file__).parent
RESOURCES = 10_000
MINTED = "bench-secret-0123456789"

ROUTES = """
tag_secret: {secret}
log: {{level: warning, access: false}}
store: {{url: "redis://127.0.0.1:{redis}/0"}}
upstream: {{url: "http://127.0.0.1:{backend}"}}
routes:
  - {{match: "/off/{{path*}}", mode: "off"}}
  - {{match: "/tagged/never/{{path*}}", verify: never, after_write: response}}
  - {{match: "/tagged/reread/{{path*}}", after_write: reread}}
  - {{match: "/tagged/{{path*}}", after_write: response}}
"""


@dataclass(frozen=True)
class Load:
    """One workload: what wrk sends, and to whom."""

    name: str
    path: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    body: bool = False
    connections: int = 64
    expect: int = 200
    only: tuple[str, ...] = ()


LOADS = (
    Load("GET, the backend's tags", "/tagged/"),
    Load("GET, minted tags", "/plain/"),
    Load(
        "GET, 304", "/tagged/", fields=(("If-None-Match", '"v1"'),), expect=304, only=("naive", "lua", "ours")
    ),
    Load("PUT, matching If-Match", "/tagged/", "PUT", (("If-Match", '"v1"'),), True, expect=204),
    Load(
        "PUT, reread",
        "/tagged/reread/",
        "PUT",
        (("If-Match", '"v1"'),),
        True,
        expect=204,
        only=("lua", "ours"),
    ),
    Load(
        "PUT, 412 by the record",
        "/tagged/never/",
        "PUT",
        (("If-Match", '"old"'),),
        True,
        expect=412,
        only=("lua", "ours"),
    ),
    Load(
        "PUT, 412 as configured",
        "/tagged/",
        "PUT",
        (("If-Match", '"old"'),),
        True,
        expect=412,
        only=("lua", "ours"),
    ),
    Load("GET, mode: off", "/tagged/", only=("nginx", "off")),
    Load("GET 1 MiB, streamed", "/big/", connections=8, only=("nginx", "naive", "off")),
    Load("GET 1 MiB, hashed", "/big/", connections=8, only=("nginx", "ours")),
    Load("GET, one connection", "/tagged/", connections=1, only=("nginx", "lua", "ours")),
    Load(
        "PUT, one connection",
        "/tagged/",
        "PUT",
        (("If-Match", '"v1"'),),
        True,
        1,
        204,
        ("nginx", "lua", "ours"),
    ),
)
QUICK = ("GET, the backend's tags", "GET, minted tags", "PUT, matching If-Match")


@dataclass
class Figures:
    """What was measured of one contestant under one load, one value a round."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    wrong: int = 0


@dataclass
class Contestant:
    """A proxy under test."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        return sum(_cpu(pid) for pid in (self.process.pid, *_children(self.process.pid)))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def running(command: list[str], core: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core, ended at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(port: int) -> None:
    """Returns when something accepts connections."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}; see the logs")


def script(load: Load, path: Path) -> Path:
    """The wrk script of a load: resources in turn, tags and bodies as it says."""
    fields = "".join(f"wrk.headers[\"{name}\"] = '{value}'\n" for name, value in load.fields)
    body = "string.rep('x', 1024)" if load.body else "nil"
    spread = "1" if load.path == "/big/" else str(RESOURCES)
    path.write_text(
        f"{fields}local n = 0\nlocal body = {body}\n"
        f"request = function()\n  n = n % {spread} + 1\n"
        f'  return wrk.format("{load.method}", "{load.path}" .. n, nil, body)\nend\n'
        f"response = function(status) if status ~= {load.expect} then wrong = (wrong or 0) + 1 end end\n"
        "threads = {}\nsetup = function(thread) table.insert(threads, thread) end\n"
        "done = function(summary, latency, requests)\n"
        '  local bad = 0\n  for _, thread in ipairs(threads) do bad = bad + (thread:get("wrong") or 0) end\n'
        '  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / summary.duration * 1e6,\n'
        "    latency:percentile(50), latency:percentile(99),\n"
        "    bad + summary.errors.connect + summary.errors.read))\n"
        "end\n"
    )
    return path


def measure(load: Load, contestant: Contestant, seconds: int, folder: Path, figures: Figures) -> None:
    """One turn."""
    before = contestant.cpu_seconds()
    began = time.monotonic()
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "-s"]
    command += [str(script(load, folder / "load.lua")), f"http://127.0.0.1:{contestant.port}/"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT ([\d.]+) ([\d.]+) ([\d.]+) (\d+)", output)
    if found is None:
        raise SystemExit(f"wrk said nothing useful:\n{output}")
    rate = float(found[1])
    spent = contestant.cpu_seconds() - before
    figures.rate.append(rate)
    figures.cpu.append(spent / (rate * (time.monotonic() - began)) * 1e6)
    figures.p50.append(float(found[2]))
    figures.p99.append(float(found[3]))
    figures.wrong += int(found[4])


def contest(rounds: int, seconds: int, loads: tuple[Load, ...]) -> dict[str, dict[str, Figures]]:
    """Starts everything, runs every load in every round, and returns the figures by load and contestant."""
    results: dict[str, dict[str, Figures]] = {load.name: {} for load in loads}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="precondition-bench-")))
        contestants = started(stack, folder)
        for number in range(rounds):
            for load in loads:
                names = [name for name in contestants if not load.only or name in load.only]
                names = [name for name in names if name != "off" or "off" in load.only]
                for name in names if number % 2 == 0 else reversed(names):
                    figures = results[load.name].setdefault(name, Figures())
                    measure(load, contestants[name], seconds, folder, figures)
                    print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def started(stack: contextlib.ExitStack, folder: Path) -> dict[str, Contestant]:
    """The backend and Redis on core 1, the contestants on core 0."""
    backend, redis = free_port(), free_port()

    def start(name: str, port: int, command: list[str], core: int = 0) -> Contestant:
        process = stack.enter_context(running(command, core, folder / f"{name}.log"))
        wait_for(port)
        return Contestant(name, port, process)

    def home(name: str) -> Path:
        path = folder / name
        path.mkdir()
        return path

    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"
    start("redis", redis, ["redis-server", "--port", str(redis), "--save", "", "--bind", "127.0.0.1"], 1)
    start("backend", backend, [nginx, "-c", str(peers.backend(home("backend"), backend))], 1)
    ports = {name: free_port() for name in ("naive", "nginx", "lua", "ours", "off")}
    configuration = folder / "proxy.yaml"
    configuration.write_text(ROUTES.format(secret=MINTED, redis=redis, backend=backend))
    ours = [sys.executable, "-m", "proxy", "serve", "--config", str(configuration), "--admin", "off"]
    off = [
        sys.executable,
        "-m",
        "proxy",
        "serve",
        "--upstream",
        f"http://127.0.0.1:{backend}",
        "--admin",
        "off",
    ]
    off_env = ["env", "PROXY_DEFAULTS__MODE=off", "PROXY_LOG__ACCESS=false", *off]
    naive = [sys.executable, str(HERE / "naive.py"), "--upstream", f"http://127.0.0.1:{backend}"]
    commands = {
        "naive": [*naive, "--store", f"redis://127.0.0.1:{redis}/1", "--port", str(ports["naive"])],
        "nginx": [nginx, "-c", str(peers.plain_proxy(home("nginx"), ports["nginx"], backend))],
        "lua": [nginx, "-c", str(peers.lua_proxy(home("lua"), ports["lua"], backend, redis))],
        "ours": [*ours, "--listen", f"127.0.0.1:{ports['ours']}"],
        "off": [*off_env, "--listen", f"127.0.0.1:{ports['off']}"],
    }
    return {name: start(name, ports[name], command) for name, command in commands.items()}


def table(results: dict[str, dict[str, Figures]]) -> str:
    """The medians and ratios, as Markdown."""
    lines = [
        "| load | contestant | req/s (min to max) | CPU us/req | p50 us | p99 us"
        " | x naive | x nginx+Lua | x nginx | wrong |",
        "|" + " --- |" * 10,
    ]
    for load, figures in results.items():
        for name, found in figures.items():
            rate = statistics.median(found.rate)
            ratios = " | ".join(_ratio(found, figures.get(peer)) for peer in ("naive", "lua", "nginx"))
            lines.append(
                f"| {load} | {name} | {rate:.0f} ({min(found.rate):.0f} to {max(found.rate):.0f})"
                f" | {statistics.median(found.cpu):.1f} | {statistics.median(found.p50):.0f}"
                f" | {statistics.median(found.p99):.0f} | {ratios} | {found.wrong} |"
            )
    return "\n".join(lines)


def _ratio(mine: Figures, peer: Figures | None) -> str:
    """The ratio of the medians of the same run."""
    if peer is None or peer is mine:
        return ""
    return f"{statistics.median(mine.rate) / statistics.median(peer.rate):.2f}"


def main() -> int:
    """Runs the contest and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three loads, one minute")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=2, help="of each turn; whole ones, for wrk")
    parser.add_argument("--only", default="", help="only loads whose name holds this")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    missing = [tool for tool in ("wrk", "redis-server", "taskset") if shutil.which(tool) is None]
    if missing:
        print(
            f"missing: {', '.join(missing)}; on Debian: apt install wrk redis-server util-linux nginx-light "
            "libnginx-mod-http-lua lua-nginx-redis",
            file=sys.stderr,
        )
        return 1
    loads = tuple(load for load in LOADS if not options.quick or load.name in QUICK)
    loads = tuple(load for load in loads if options.only in load.name)
    results = contest(options.rounds or (3 if options.quick else 5), options.seconds, loads)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(table(results))
    if options.json is not None:
        options.json.write_text(
            json.dumps(
                {
                    load: {name: vars(found) for name, found in figures.items()}
                    for load, figures in results.items()
                },
                indent=2,
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
