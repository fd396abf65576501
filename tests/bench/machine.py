"""Processes on cores of their own, what they cost, and the Python that they run with."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTED, OTHER = 0, 1
"""The core of whoever is tested, and that of the load, the backend and Redis."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Contestant:
    """A proxy under test.

    Attributes:
        admin: the port of its metrics, or 0.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    admin: int = 0

    def processes(self) -> list[int]:
        """Its process and that one's children."""
        found, new = [], [self.process.pid]
        while new:
            found += new
            new = [child for pid in new for child in _children(pid)]
        return found

    def cpu_seconds(self) -> float:
        """User and system time of its processes so far."""
        return sum(map(_cpu, self.processes()))

    def resident(self) -> int:
        """Bytes of memory of its processes."""
        texts = (Path(f"/proc/{pid}/statm").read_text() for pid in self.processes())
        return sum(int(text.split()[1]) for text in texts) * _PAGE


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def busy_seconds(core: int) -> float:
    """What a core has worked so far, for whomever."""
    text = Path("/proc/stat").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _wait, interrupts, soft, stolen = map(int, line.split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / _TICKS


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def running(command: list[str], cores: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process on these cores ("" for any), ended at the end."""
    pinned = ["taskset", "-c", cores, *command] if cores else command
    with log.open("wb") as output:
        process = subprocess.Popen(pinned, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(port: int, log: Path) -> None:
    """Returns when something accepts connections."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}; its log:\n{log.read_text()[-2000:]}")


def nginx() -> str:
    """Where nginx is."""
    return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"


def python_of(wanted: str, folder: Path) -> str:
    """The Python for the contestants that need one: this one, or another with what the proxy depends on."""
    if not wanted:
        return sys.executable
    home = folder / "python"
    subprocess.run([wanted, "-m", "venv", "--without-pip", str(home)], check=True)
    made = str(home / "bin" / "python")
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    install = [sys.executable, "-m", "pip", "--python", made, "install", "--quiet", "--no-input"]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), *needs], check=True)
    return made


def described(python: str) -> str:
    """The machine and the Python, in a line. How the latter was optimised is told where its build says so."""
    says = (
        "import platform, sysconfig as s; print(platform.python_version(), s.get_config_var('CONFIG_ARGS'))"
    )
    told = subprocess.run([python, "-c", says], capture_output=True, text=True, check=True).stdout
    optimised = ", built with --enable-optimizations" if "--enable-optimizations" in told else ""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {told.split()[0]}{optimised}"
