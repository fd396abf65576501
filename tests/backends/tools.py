"""What the tests of real backends need on the machine, and processes that end with their block."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from support.deployed import running, wait_until

HELP = "see tests/backends/requirements.txt"


def missing(name: str) -> NoReturn:
    """Skips; under `make test-backends`, where everything must be there, fails."""
    if os.environ.get("BACKENDS") == "required":
        pytest.fail(f"{name} is not installed; {HELP}")
    pytest.skip(f"{name} is not installed; {HELP}")


def thorough(*some: str, all_of: Iterable[str]) -> list[str]:
    """All of these under `make test-backends`; just some under `make test`, which must not take long."""
    return [*all_of] if os.environ.get("BACKENDS") == "required" else [*some]


def program(name: str) -> str:
    """The path of a program: beside this Python, else wherever programs are."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    return found if found is not None else missing(name)


def package(*names: str) -> None:
    """Python packages that must be importable, here and in processes of this Python."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            missing(name)


def existing(*paths: str) -> Path:
    """The first of these files that is there, such as a server's module."""
    for path in paths:
        if Path(path).exists():
            return Path(path)
    return missing(paths[0])


@contextmanager
def ground() -> Iterator[Path]:
    """A folder of a server's own, which a server that drops its rights can reach; pytest's it cannot."""
    with tempfile.TemporaryDirectory(prefix="backend-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def serving(
    *command: str | Path, ready: Callable[[], object], folder: Path, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A server that answers when the block begins and has ended when it ends. `folder` has what it says."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROXY_")}
    said = folder / "said"
    with (
        said.open("w") as log,
        running(*command, cwd=folder, env=own | environment, stdout=log, stderr=log) as process,
    ):

        def answers() -> bool:
            assert process.poll() is None, f"{command[0]} ended by itself:\n{said.read_text()}"
            return bool(ready())

        wait_until(answers, f"{command[0]}")
        yield process
