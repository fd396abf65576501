"""The proxy as its users run it, for clients that are not Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.deployed import ROOT, free_ports, status

from backends.tools import serving


@contextmanager
def proxy(folder: Path, backend: str, **configuration: Any) -> Iterator[str]:
    """A proxy with this configuration: its URL, without a slash at the end."""
    folder.mkdir(exist_ok=True)
    listen, admin = free_ports(2)
    told = {
        "upstream": {"url": backend},
        "listen": f"127.0.0.1:{listen}",
        "admin": f"127.0.0.1:{admin}",
        "tag_secret": "a secret that is only for tests",
        **configuration,
    }
    (folder / "proxy.yaml").write_text(json.dumps(told))  # JSON is YAML
    command = (sys.executable, "-m", "proxy", "serve", "--config", folder / "proxy.yaml")
    ready = lambda: status(admin, "/readyz") == 200  # noqa: E731
    with serving(*command, folder=folder, ready=ready, PYTHONPATH=str(ROOT)):
        yield f"http://127.0.0.1:{listen}"
