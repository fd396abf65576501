"""The command line, as people type it: real processes for what a shell sees, the function for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import __version__
from proxy.__main__ import main
from proxy.settings import schema_text

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROXY_")}
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean | environ,
        check=False,
        timeout=30,
    )


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PROXY_"):
            monkeypatch.delenv(name)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"precondition-proxy {__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["run"], ["check", "--nonsense"], ["schema", "--upstream", "x"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: precondition-proxy" in capsys.readouterr().err


def test_schema() -> None:
    done = run("schema")
    assert (done.returncode, done.stdout, done.stderr) == (0, schema_text() + "\n", "")


def test_check_of_a_right_configuration() -> None:
    done = run("check", "--config", "config/proxy.yaml", PROXY_STORE="redis://u:sesame@r:1/0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  /api/users/{id}: PUT, PATCH, DELETE must carry a condition (else 428)" in done.stdout
    assert "redis://u:***@r:1/0" in done.stdout
    assert "sesame" not in done.stdout


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_wrong_configuration(command: str) -> None:
    done = run(command, "--upstream", "b:1", PROXY_DRAIN="x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        '--upstream: "b:1" is not a URL\n'
        "    write http://b:1\n"
        'PROXY_DRAIN: "x" is not a duration\n'
        "    write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d\n"
        "precondition-proxy: the configuration cannot be used\n"
    )


def test_every_flag_reaches_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--listen",
        "127.0.0.1:1",
        "--admin",
        "off",
        "--upstream",
        "http://b:2",
        "--store",
        "redis://r:3",
    ]
    assert main(["check", *flags]) == 0
    shown = capsys.readouterr().out
    assert [
        shown.count(word) for word in ("127.0.0.1:1\n", "admin     off", "http://b:2,", "redis://r:3,")
    ] == [1] * 4
