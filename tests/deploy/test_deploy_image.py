"""The Dockerfile: a linter's opinion, and its very steps in a clean directory. No container engine needed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from support.deployed import ROOT, free_ports, missing, ran, running, status, tool, wait_until

PREFIXES = ("/opt/precondition-proxy", "/etc/precondition-proxy", "/src")
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """Word and rest of each, continued lines joined, in order."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.split("\n") if line)
    ]


def last(word: str) -> str:
    """What the last such instruction says."""
    return [rest for name, rest in instructions() if name == word][-1]


@dataclass
class Image:
    """What the build leaves, under a directory instead of `/`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """The same with absolute paths moved under the directory."""
        return re.sub(
            "|".join(rf"(?<![\w/])({re.escape(prefix)})\b" for prefix in PREFIXES), self._moved, text
        )

    def _moved(self, found: re.Match[str]) -> str:
        return f"{self.root}{found[0]}"

    def command(self, exec_form: str) -> list[str]:
        """Exec form, ready to run."""
        words = json.loads(exec_form)
        return [sys.executable if word == "python" else self.here(word) for word in words]

    def copy(self, rest: str) -> None:
        """COPY from the build context; COPY --from is where it already is."""
        *sources, target = shlex.split(rest)
        if sources[0].startswith("--from"):
            return
        folder = target.endswith("/")
        goal = Path(self.here(target)) if target.startswith("/") else self.root / "src" / target
        (goal if folder else goal.parent).mkdir(parents=True, exist_ok=True)
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, goal)

    def files(self) -> set[tuple[Path, int]]:
        """All that is in the image, and when it was changed."""
        return {(path, path.stat().st_mtime_ns) for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The Dockerfile's steps, carried out one after the other; it takes half a minute."""
    if os.environ.get("DEPLOY_TOOLS") != "required":
        pytest.skip("installs the proxy afresh from a registry; `make test-deploy` does it")
    built = Image(tmp_path_factory.mktemp("image"))
    (built.root / "src").mkdir()
    for word, rest in instructions():
        if word == "COPY":
            built.copy(rest)
        elif word == "ENV":
            built.environment.update(pair.split("=", 1) for pair in shlex.split(built.here(rest)))
        elif word == "RUN":
            step = subprocess.run(
                built.command(rest), cwd=built.root / "src", capture_output=True, text=True, timeout=300
            )
            if step.returncode and re.search(r"connection|resolution|No matching distribution", step.stderr):
                missing("a package registry in reach")
            assert step.returncode == 0, f"{rest}\n{step.stdout}\n{step.stderr}"
    yield built
    shutil.rmtree(built.root)


def test_the_linter_has_nothing_to_say() -> None:
    assert ran(tool("hadolint"), "--no-color", ROOT / "Dockerfile") == ""


def test_every_command_is_in_exec_form_for_there_may_be_no_shell() -> None:
    for word, rest in instructions():
        if word in ("RUN", "CMD", "ENTRYPOINT"):
            assert isinstance(json.loads(rest), list)
    assert isinstance(json.loads(last("HEALTHCHECK").partition("CMD ")[2]), list)


def test_it_does_not_run_as_root_and_says_so_by_number() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) > 1000
    assert int(group) > 1000


def test_base_is_pinned_to_one_python_and_one_distribution() -> None:
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+", instructions()[0][1])
    assert all(rest.startswith("${BASE}") for word, rest in instructions() if word == "FROM")


def test_the_context_holds_just_what_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    allowed = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        shlex.split(rest)[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest
    ]
    sources = {source.removeprefix("./") for some in copied for source in some}
    assert {next((one for one in allowed if source.startswith(one)), source) for source in sources} == set(
        allowed
    )


def test_its_default_file_is_one_that_the_proxy_reads(image: Image) -> None:
    file = Path(image.environment["PROXY_CONFIG"])
    assert yaml.safe_load(file.read_text("utf-8")) == {"listen": ":8412", "admin": ":9412"}
    assert {f"{port}" for port in (8412, 9412)} == set(last("EXPOSE").split())


def test_no_installer_is_left_in_the_environment(image: Image) -> None:
    packages = image.root / "opt" / "precondition-proxy"
    assert list(packages.glob("lib/*/site-packages/aiohttp"))
    assert not list(packages.glob("lib/*/site-packages/pip"))
    assert not list(packages.glob("lib/*/site-packages/pytest"))


def test_it_starts_is_healthy_writes_nothing_and_stops_at_sigterm(image: Image) -> None:
    listen, admin = free_ports(2)
    health = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    check = [image.here(word).replace("9412", str(admin)) for word in health]
    environment = {
        **image.environment,
        "PROXY_UPSTREAM": "http://127.0.0.1:1",
        "PROXY_LISTEN": f"127.0.0.1:{listen}",
        "PROXY_ADMIN": f"127.0.0.1:{admin}",
    }
    assert subprocess.run(check, capture_output=True).returncode == 1
    before = image.files()
    command = [*image.command(last("ENTRYPOINT")), *image.command(last("CMD"))]
    with running(*command, env=environment, cwd="/", stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: status(admin, "/readyz") == 200, "the proxy")
        assert subprocess.run(check).returncode == 0
        assert status(listen, "/") == 502  # it is the proxy, and there is no backend
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert image.files() == before
