"""`make run` keeps its word: the lines that it prints do what it says they do."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[2] / "deploy" / "demo" / "quickstart.py"
Started = tuple["subprocess.Popen[str]", list[str]]


@pytest.fixture
def free() -> list[str]:
    """Addresses for LISTEN and ADMIN that nothing listens on."""
    with ExitStack() as trials:
        sockets = [trials.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        return [f"127.0.0.1:{trial.getsockname()[1]}" for trial in sockets]


@contextmanager
def quickstart(last: str, **environment: str) -> Iterator[Started]:
    """The process, and the lines that it printed up to one that starts with `last`."""
    process = subprocess.Popen(
        [sys.executable, str(QUICKSTART)],
        env={**os.environ, "UPSTREAM": "", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(last):
                break
        yield process, lines
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def statuses(output: str) -> list[int]:
    """The status of each response that `curl -i` shows."""
    return [int(status) for status in re.findall(r"^HTTP/1\.1 (\d+)", output, re.MULTILINE)]


def counted(admin: str, labels: str) -> float:
    """How many PUTs with If-Match had this outcome, by the metrics."""
    with urllib.request.urlopen(f"http://{admin}/metrics") as response:
        page = response.read().decode()
    sample = (
        rf'^precondition_outcomes_total{{condition="If-Match",method="PUT",{labels},route="[^"]+"}} (\S+)$'
    )
    return sum(float(value) for value in re.findall(sample, page, re.MULTILINE))


def listens(address: str) -> bool:
    """Whether anybody accepts there."""
    host, port = address.split(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_printed_session_works_and_nothing_is_left(free: list[str], number: int) -> None:
    listen, admin = free
    with quickstart("curl -s ", LISTEN=listen, ADMIN=admin) as (process, lines):
        commands = [line for line in lines if line.startswith(("curl", "TAG="))]
        shown = subprocess.run(
            ["bash", "-c", "\n".join(commands)], capture_output=True, text=True, check=True
        )
        assert statuses(shown.stdout) == [200, 304, 200, 412]
        assert json.loads(shown.stdout.splitlines()[-1])["text"] == "bread, milk"
        assert counted(admin, 'outcome="refused",reason="stale_tag"') == 1
        [upstream] = re.findall(r"in front of http://(\S+)", "\n".join(lines))
        assert listens(upstream)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert [listens(address) for address in (listen, admin, upstream)] == [False] * 3


def test_another_backend(free: list[str]) -> None:
    listen, admin = free
    with quickstart("curl -i -X PUT", LISTEN=listen, ADMIN=admin, UPSTREAM="http://127.0.0.1:9") as (
        _,
        lines,
    ):
        assert f"The proxy is on http://{listen} in front of http://127.0.0.1:9" in lines
        curl = ["curl", "-i", f"http://{listen}/"]
        shown = subprocess.run(curl, capture_output=True, text=True, check=True)
        assert statuses(shown.stdout) == [502]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LISTEN", "taken", "cannot be used: Address already in use"),
        ("ADMIN", "taken", "cannot be used: Address already in use"),
        ("LISTEN", "8412", "LISTEN=8412 is not HOST:PORT"),
        ("UPSTREAM", "ftp://nowhere", "Could not start the proxy"),
    ],
)
def test_what_cannot_start_says_why(free: list[str], variable: str, value: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {"LISTEN": free[0], "ADMIN": free[1], "UPSTREAM": "http://127.0.0.1:9"}
        environment[variable] = f"127.0.0.1:{taken.getsockname()[1]}" if value == "taken" else value
        ended = subprocess.run(
            [sys.executable, str(QUICKSTART)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
