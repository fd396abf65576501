"""litmus, the WebDAV conformance suite of the neon project: its verdict on every one of its tests."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from backends.tools import program

_SUITE = re.compile(r"running `(\w+)'")
_VERDICT = re.compile(r"\s*(\d+)\. (\w+)\.* +(\w+)")


def verdicts(url: str, folder: Path) -> dict[str, str]:
    """What became of each test: pass, FAIL, WARNING (a pass with a remark) or SKIPPED."""
    folder.mkdir(exist_ok=True)
    ran = subprocess.run(
        [program("litmus"), "-k", f"{url}/"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    suite, found = "", {}
    for line in re.split(r"[\r\n]", ran.stdout):
        if begun := _SUITE.search(line):
            suite = begun[1]
        elif told := _VERDICT.match(line):
            found[f"{suite} {told[2]}"] = told[3]
    assert found, ran.stdout + ran.stderr
    return found
