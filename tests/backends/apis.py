"""JSON backends on frameworks that others wrote: context managers that yield the URL of one note."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support.deployed import free_ports, status

from backends.tools import existing, package, program, serving

HERE = Path(__file__).parent
APPS = HERE / "apps"
NODE = HERE / "node_modules"

Start = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def _app(folder: Path, path: str, *command: str | Path, **environment: str) -> Iterator[str]:
    (port,) = free_ports(1)
    words = [str(word).replace("PORT", str(port)) for word in command]
    with serving(*words, folder=folder, ready=lambda: status(port, "/") != 0, **environment):
        yield f"http://127.0.0.1:{port}{path}"


@contextmanager
def flask(folder: Path) -> Iterator[str]:
    """Flask: a strong tag on GET."""
    package("flask")
    with _app(folder, "/notes/1", sys.executable, APPS / "flask_notes.py", "PORT") as url:
        yield url


@contextmanager
def django(folder: Path) -> Iterator[str]:
    """Django REST framework: a strong tag on GET, which becomes weak where it is compressed."""
    package("django", "rest_framework")
    with _app(folder, "/notes/1", sys.executable, APPS / "django_notes.py", "PORT") as url:
        yield url


@contextmanager
def express(folder: Path) -> Iterator[str]:
    """Express: weak tags."""
    existing(str(NODE / "express"))
    with _app(folder, "/notes/1", program("node"), APPS / "express_notes.js", "PORT") as url:
        yield url


@contextmanager
def json_server(folder: Path) -> Iterator[str]:
    """json-server: weak tags, and a file of JSON for its database."""
    cli = existing(str(NODE / "json-server/lib/cli/bin.js"))
    (folder / "db.json").write_text(json.dumps({"notes": [{"id": 1, "text": "first"}]}))
    command = (program("node"), cli, "--host", "127.0.0.1", "--port", "PORT", folder / "db.json")
    with _app(folder, "/notes/1", *command) as url:
        yield url


@contextmanager
def php(folder: Path) -> Iterator[str]:
    """PHP's own server: nothing at all."""
    command = (program("php"), "-S", "127.0.0.1:PORT", APPS / "php_notes.php")
    with _app(folder, "/notes/1", *command, TMPDIR=str(folder)) as url:
        yield url


BACKENDS: dict[str, Start] = {
    "flask": flask,
    "django": django,
    "express": express,
    "json-server": json_server,
    "php": php,
}
