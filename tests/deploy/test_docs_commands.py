"""The docs: what they tell to type is typed, and the answer is what they say.

* `console` blocks of a page are one session in bash, before the demo backend. `$ ` begins a command, `> `
  goes on with it; what follows is its output: `...` stands for any lines, and minted tags are all alike.
* `python` and `javascript` blocks are run, `yaml` ones that are configurations are loaded, `promql` parsed.
* `sh` blocks need what is not here (a cluster, a container engine): only their paths are looked at.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from support.deployed import DEPLOY, ROOT, Stack, ran, tool

from proxy.metrics import Metrics
from proxy.settings import Settings, load

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("getting-started", "clients", "migrating", "operating")]
PAGES += [ROOT / "docs" / "recipes.md", ROOT / "docs" / "kubernetes.md", ROOT / "CONTRIBUTING.md"]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SERVED = ("python", "javascript", "console")


class Block(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*kinds: str) -> Iterator[Block]:
    """Those of these kinds, without the indentation of a list that they stand in."""
    for page in PAGES:
        whole = page.read_text("utf-8")
        for found in BLOCK.finditer(whole):
            if found[2] in kinds:
                line = whole.count("\n", 0, found.start()) + 1
                yield Block(page, line, found[2], re.sub(rf"(?m)^{found[1]}", "", found[3]))


class Step(NamedTuple):
    """A command and what it prints."""

    command: str
    output: list[str]


def steps(page: Path) -> list[Step]:
    """The session of a page."""
    found: list[Step] = []
    for block in blocks("console"):
        for line in block.text.splitlines() if block.page == page else ():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            elif line.startswith("> ") or line == ">":
                found[-1] = Step(f"{found[-1].command}\n{line[2:]}", [])
            else:
                found[-1].output.append(line)
    return found


def environment(page: Path) -> dict[str, str]:
    """What the page's comment asks for."""
    told = re.match(r"<!-- run with (.*) -->", page.read_text("utf-8"))
    return dict(pair.split("=", 1) for pair in shlex.split(told[1])) if told else {}


@pytest.fixture(
    scope="module", params=sorted({block.page for block in blocks(*SERVED)}), ids=lambda page: page.name
)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Stack]]:
    """A page, and a fresh proxy for it."""
    with Stack().up(PROXY_LOG__LEVEL="error", **environment(request.param)) as stack:
        yield request.param, stack


def here(text: str, stack: Stack) -> str:
    """With this stack's ports instead of the usual ones."""
    return text.replace("127.0.0.1:8412", f"127.0.0.1:{stack.listen}").replace(
        "127.0.0.1:9412", f"127.0.0.1:{stack.admin}"
    )


def session(commands: list[str], folder: Path) -> list[list[str]]:
    """What each command of one bash session prints, both streams."""
    mark = "=== the next command ==="
    lines = ["precondition-proxy() { " + shlex.join([sys.executable, "-m", "proxy"]) + ' "$@"; }']
    lines += ['curl() { command curl --no-progress-meter "$@"; }']  # a terminal shows none either
    for command in commands:
        lines += [command, f"printf '\\n%s\\n' {shlex.quote(mark)}"]
    told = {name: value for name, value in os.environ.items() if not name.startswith("PROXY_")}
    told["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return [part.rstrip("\n").splitlines() for part in done.stdout.split(mark)[:-1]]


def alike(line: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"pp1\.[\w-]+", "pp1.TAG", line.strip())


def fits(said: list[str], printed: list[str]) -> bool:
    """Whether the output is what the page says, `...` being any number of lines, or the rest of one."""

    @functools.cache
    def rest(at: int, line: int) -> bool:
        if at == len(said):
            return all(not text.strip() for text in printed[line:])
        if said[at].strip() == "...":
            return any(rest(at + 1, later) for later in range(line, len(printed) + 1))
        if line == len(printed):
            return False
        wanted, got = alike(said[at]), alike(printed[line])
        same = got.startswith(wanted[:-3]) if wanted.endswith("...") else got == wanted
        if not got and not wanted:
            same = True
        return (same and rest(at + 1, line + 1)) or (not got and rest(at, line + 1))

    return rest(0, 0)


def test_the_session_of_the_page_is_what_happens(served: tuple[Path, Stack], tmp_path: Path) -> None:
    page, stack = served
    for name in ("deploy", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    told = steps(page)
    for name in {step.command.split()[0] for step in told} & {"kubectl", "curl"}:
        tool(name)
    printed = session([here(step.command, stack) for step in told], tmp_path)
    assert len(printed) == len(told)
    for step, lines in zip(told, printed, strict=True):
        assert fits(step.output, lines), f"{step.command}\nsaid:\n" + "\n".join(
            [*step.output, "printed:", *lines]
        )
    for block in blocks("python", "javascript"):
        if block.page == page:
            run(block, stack, tmp_path)


def run(block: Block, stack: Stack, folder: Path) -> None:
    """Runs a client, three at once: they get in each other's way, and no change may be lost."""
    name = folder / {"python": "client.py", "javascript": "client.mjs"}[block.kind]
    name.write_text(here(block.text, stack))
    command = [sys.executable if block.kind == "python" else tool("node"), str(name)]
    together = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [one.wait(60) for one in together] == [0, 0, 0]
    added = {"python": ", cheese", "javascript": ", olives"}[block.kind]
    assert ran(tool("curl"), "-s", f"http://127.0.0.1:{stack.listen}/notes/1").count(added) == 3


@pytest.mark.parametrize("block", list(blocks("yaml")), ids=str)
def test_every_configuration_can_be_used(block: Block, tmp_path: Path) -> None:
    values = yaml.safe_load(block.text)
    if values.keys() <= Settings.model_fields.keys():
        (tmp_path / "proxy.yaml").write_text(block.text)
        load(tmp_path / "proxy.yaml", {}, {})
    else:
        assert values.keys() & {"apiVersion", "lifecycle"}, "neither a configuration nor of Kubernetes"


def test_every_query_is_promql_and_asks_for_what_there_is(tmp_path: Path) -> None:
    names = {metric.name for metric in Metrics().described()}
    rules = []
    for block in blocks("promql"):
        assert set(re.findall(r"precondition_\w+", block.text)) <= names
        rules.append({"record": f"query{len(rules)}", "expr": block.text})
    assert rules
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}))
    ran(tool("promtool"), "check", "rules", tmp_path / "rules.json")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_link_and_path_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        goal = page.parent / path if path else page
        assert goal.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", goal.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, (
                target
            )
    for path in re.findall(r"(?<![\w./-])((?:deploy|config|docs|tests)/[\w./-]*\w)", text):
        assert (ROOT / path).exists(), path


def test_every_setting_that_is_named_exists() -> None:
    known = {*Settings.model_fields}
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        known |= {*inner, *(f"{name}.{key}" for key in inner)}
    for page in PAGES:
        for section, key in re.findall(
            r"`(store|upstream|limits|log|defaults)\.(\w+)`", page.read_text("utf-8")
        ):
            assert f"{section}.{key}" in known, page.name


def test_the_reference_is_what_the_settings_say() -> None:
    page = ran(sys.executable, DEPLOY / "docs" / "reference.py", env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == page, (
        "python deploy/docs/reference.py > docs/configuration.md"
    )
