"""What checks deploy/ and docs/: real tools, where they are installed, and processes to point them at."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
HELP = "see tests/deploy/requirements.txt"
PATIENCE = 40.0  # seconds; the machine may be busy


def missing(name: str) -> NoReturn:
    """Skips; under `make test-deploy`, where everything must be there, fails."""
    if os.environ.get("DEPLOY_TOOLS") == "required":
        pytest.fail(f"{name} is not installed; {HELP}")
    pytest.skip(f"{name} is not installed; {HELP}")


def tool(name: str) -> str:
    """The path of a program: beside this Python, else wherever programs are."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", ""), "/usr/sbin"]))
    return found if found is not None else missing(name)


def library(name: str) -> ModuleType:
    """A Python package."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(name)


def ran(*command: str | Path, **options: Any) -> str:
    """Runs a command that must succeed.

    Returns:
        What it wrote to standard output.
    """
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def free_ports(number: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as trials:
        sockets = [trials.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [trial.getsockname()[1] for trial in sockets]


def status(port: int, path: str) -> int:
    """The status of a GET; 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Fails where the condition does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def running(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    process = subprocess.Popen([*map(str, command)], text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Stack:
    """The demo backend with the proxy before it, as processes of their own.

    Attributes:
        listen, admin: the proxy's ports.
        backend: the backend's port.
    """

    def __init__(self) -> None:
        self.listen, self.admin, self.backend = free_ports(3)

    @contextlib.contextmanager
    def up(self, **environment: str) -> Iterator[Stack]:
        """Starts both, and waits until they serve."""
        told = {name: value for name, value in os.environ.items() if not name.startswith("PROXY_")}
        quiet = {"stdout": subprocess.DEVNULL, "env": {**told, **environment}}
        notes = [sys.executable, DEPLOY / "demo" / "notes.py", "--port", str(self.backend)]
        proxy = [sys.executable, "-m", "proxy", "serve", "--upstream", f"http://127.0.0.1:{self.backend}"]
        proxy += ["--listen", f"127.0.0.1:{self.listen}", "--admin", f"127.0.0.1:{self.admin}"]
        with running(*notes, **quiet), running(*proxy, cwd=ROOT, **quiet):
            wait_until(lambda: status(self.backend, "/notes") == 200, "the demo backend")
            wait_until(lambda: status(self.admin, "/readyz") == 200, "the proxy")
            yield self
