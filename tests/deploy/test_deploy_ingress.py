"""Behind nginx and Envoy: real ones, with the shipped files, before the proxy; and the systemd unit."""

from __future__ import annotations

import http.client
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from support.deployed import DEPLOY, Stack, free_ports, ran, running, status, tool, wait_until

INGRESS = DEPLOY / "ingress"
NOTE = "/notes/1"
COMPRESSES = "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; etag on;"


@contextmanager
def nginx(stack: Stack, folder: Path, drop: str = "$^") -> Iterator[int]:
    """nginx with the snippet, in an http block that compresses; `drop` is a pattern of lines to leave out."""
    [port] = free_ports(1)
    text = (INGRESS / "nginx.conf").read_text("utf-8")
    text = text.replace("127.0.0.1:8412", f"127.0.0.1:{stack.listen}").replace(
        "listen 80;", f"listen 127.0.0.1:{port};"
    )
    text = re.sub(rf"(?m)^\s*(?:{drop})$", "", text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; events {{}}"
        f" http {{ access_log off; {temporary} {COMPRESSES} {text} }}"
    )
    command = [tool("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
    ran(*command, "-t")
    with running(*command):
        wait_until(lambda: status(port, NOTE) == 200, "nginx")
        yield port


@contextmanager
def envoy(stack: Stack, folder: Path, drop: str = "$^") -> Iterator[int]:
    """Envoy with the shipped file."""
    [port] = free_ports(1)
    text = (INGRESS / "envoy.yaml").read_text("utf-8")
    text = text.replace("port_value: 8412", f"port_value: {stack.listen}")
    text = text.replace("0.0.0.0, port_value: 10000", f"127.0.0.1, port_value: {port}")
    (folder / "envoy.yaml").write_text(re.sub(rf"(?m)^\s*(?:{drop})$", "", text))
    program = tool("envoy")
    ran(program, "--mode", "validate", "-c", folder / "envoy.yaml")
    command = [program, "-c", folder / "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1"]
    with running(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_until(lambda: status(port, NOTE) == 200, "Envoy")
        yield port


Ingress = Callable[..., AbstractContextManager[int]]


def asked(
    port: int, method: str, *, content: str | None = None, **fields: str
) -> tuple[int, str | None, str | None]:
    """Status, ETag and Content-Encoding of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    if content is not None:
        named["Content-Type"] = "application/json"
    connection.request(method, NOTE, content, {"Accept-Encoding": "gzip", **named})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.getheader("ETag"), response.getheader("Content-Encoding")


@pytest.mark.parametrize("ingress", [nginx, envoy])
def test_tags_pass_both_ways_unchanged(ingress: Ingress, stack: Stack, tmp_path: Path) -> None:
    with ingress(stack, tmp_path) as port:
        answer, tag, _ = asked(port, "GET")
        assert (answer, tag) == asked(stack.listen, "GET")[:2]
        assert tag is not None
        assert tag.startswith('"')
        assert asked(port, "GET", If_None_Match=tag)[0] == 304
        title = f'{{"title": "by way of {port}"}}'
        assert asked(port, "PUT", content=title, If_Match=tag)[0] == 200
        answer, current, _ = asked(port, "PUT", content='{"title": "too late"}', If_Match=tag)
        assert answer == 412
        assert current == asked(stack.listen, "GET")[1] != tag


@pytest.mark.parametrize(
    ("ingress", "line"),
    [(nginx, "gzip off;"), (envoy, "disable_on_etag_header: true|response_direction_config:")],
)
def test_the_line_against_compression_is_needed(
    ingress: Ingress, line: str, stack: Stack, tmp_path: Path
) -> None:
    with ingress(stack, tmp_path, drop=line) as port:
        _, tag, encoding = asked(port, "GET")
        assert encoding == "gzip"
        assert tag is None or tag.startswith("W/")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "precondition-proxy"
    program.parent.mkdir()
    program.touch(0o755)
    unit = (DEPLOY / "systemd" / "precondition-proxy.service").read_text("utf-8")
    (tmp_path / "precondition-proxy.service").write_text(
        unit.replace("/opt/precondition-proxy", str(tmp_path))
    )
    checked = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", tmp_path / "precondition-proxy.service"],
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_unit_gives_the_proxy_little_to_lose() -> None:
    unit = DEPLOY / "systemd" / "precondition-proxy.service"
    ran(tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", unit)
