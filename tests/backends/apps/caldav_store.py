"""Radicale, deaf to conditions on writes. `python caldav_store.py PORT FOLDER`."""

from __future__ import annotations

import sys
from typing import Any

from radicale import config
from radicale.app import Application
from werkzeug.serving import run_simple

settings = config.load()
settings.update(
    {
        "auth": {"type": "none"},
        "storage": {"filesystem_folder": sys.argv[2]},
        "logging": {"level": "warning"},
    },
    "a test",
)
radicale = Application(settings)


def careless(environment: dict[str, Any], start: Any) -> Any:
    """Radicale without If-Match and If-None-Match of writes."""
    if environment["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        environment.pop("HTTP_IF_MATCH", None)
        environment.pop("HTTP_IF_NONE_MATCH", None)
    return radicale(environment, start)


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), careless, threaded=True)
