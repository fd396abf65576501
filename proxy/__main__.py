"""The command line: `precondition-proxy serve | check | inspect | schema`, also `python -m proxy`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

from proxy import __version__
from proxy.errors import ConfigurationError
from proxy.reloading import Source
from proxy.settings import Settings, config_file, explained, load, schema_text

NAME = "precondition-proxy"
MISCONFIGURED = 2
"""The exit status for a configuration that cannot be used; argparse has the same for a wrong command line."""

_FLAGS = (
    ("upstream", "URL", "the backend, such as http://localhost:8080 (PROXY_UPSTREAM)"),
    ("listen", "HOST:PORT", "where clients connect, 127.0.0.1:8412 by default (PROXY_LISTEN)"),
    ("admin", "HOST:PORT", "metrics and health, 127.0.0.1:9412 by default, or off (PROXY_ADMIN)"),
    ("store", "URL", "memory (the default), or a Redis URL (PROXY_STORE)"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0, or 2 for a command line or configuration that cannot be used.
    """
    given = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except ConfigurationError as error:
        print(f"{error}\n{NAME}: the configuration cannot be used", file=sys.stderr)
        return MISCONFIGURED


def _serve(given: argparse.Namespace) -> int:
    source = Source.of(config_file(given.config, os.environ), lambda: _settings(given))
    settings = source.load()
    # Only a proxy that really runs pays for importing the whole house.
    from proxy.app import serve

    return serve(settings, source)


def _check(given: argparse.Namespace) -> int:
    print(explained(_settings(given)))
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(schema_text())
    return 0


def _inspect(given: argparse.Namespace) -> int:
    from proxy.inspection import inspect, sender, try_out, written

    if not given.url and not given.scratch:
        print(f"{NAME} inspect: name a URL of the backend", file=sys.stderr)
        return MISCONFIGURED
    fields = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in given.header)
    }
    status = 0
    for url in dict.fromkeys([*given.url, *given.scratch]):
        try:
            send = sender(url, fields)
            found = inspect(send)
            print(written(url, found, try_out(send) if url in given.scratch else ()))
        except (OSError, HTTPException, ValueError) as fault:
            print(f"{url}\n  cannot be looked at: {fault}", file=sys.stderr)
            status = 1
    return status


def _settings(given: argparse.Namespace) -> Settings:
    flags = {name: value for name, *_ in _FLAGS if (value := getattr(given, name)) is not None}
    return load(given.config, flags, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="A reverse proxy that gives legacy HTTP backends conditional requests.",
        epilog="Flags beat PROXY_* environment variables, and these beat the file.",
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="serve | check | inspect | schema", required=True
    )
    _command(commands.add_parser("serve", help="run the proxy"), _serve)
    _command(commands.add_parser("check", help="say what the configuration does, or what is wrong"), _check)
    _inspection(
        commands.add_parser("inspect", help="look at a backend: what it supports, which route to write")
    )
    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration file")
    schema.set_defaults(command=_schema)
    return parser


def _inspection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="*", metavar="URL", help="resources of the backend; they are only read")
    parser.add_argument(
        *("--header", "-H"),
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="sent with every request, such as Authorization",
    )
    parser.add_argument(
        "--scratch",
        action="append",
        default=[],
        metavar="URL",
        help="a resource that may be WRITTEN: with its own content, under conditions that do not hold",
    )
    parser.set_defaults(command=_inspect)


def _command(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="the YAML file (PROXY_CONFIG)")
    for name, form, words in _FLAGS:
        parser.add_argument(f"--{name}", metavar=form, help=words)
    parser.set_defaults(command=command)


if __name__ == "__main__":
    sys.exit(main())
