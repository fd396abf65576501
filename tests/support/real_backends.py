"""Backends and clients that others wrote, started for a test."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE = 10.0

_NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr;
worker_processes 1;
{user}
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/temp;
  server {{
    listen unix:{folder}/socket;
    root {folder}/www;
    types {{ text/plain txt; }}
    location / {{ dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; }}
  }}
}}
"""


def program(name: str, package: str) -> str:
    """Where a program is. Without it the test is skipped on a developer's machine, but fails with CI=true."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found is None:
        missing = f"{name} is missing: apt install {package} (or your system's own package)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextmanager
def nginx() -> Iterator[tuple[str, Path]]:
    """nginx with its stock WebDAV module, which ignores conditions on PUT: its URL and its document root."""
    binary = program("nginx", "nginx-light")
    folder = Path(tempfile.mkdtemp(prefix="dav-"))
    (folder / "www").mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(_NGINX.format(folder=folder, user=user))
    process = subprocess.Popen(
        [binary, "-p", str(folder), "-c", str(folder / "conf"), "-e", "stderr"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + _PATIENCE
        while not (folder / "socket").exists():
            if process.poll() is not None or time.monotonic() > give_up:
                process.kill()
                raise RuntimeError(f"nginx does not start: {process.communicate()[1].decode()}")
            time.sleep(0.005)
        yield f"unix:{folder}/socket", folder / "www"
    finally:
        process.terminate()
        process.communicate()
        shutil.rmtree(folder)


class _Files(http.server.SimpleHTTPRequestHandler):
    """The standard library's file server, which has never heard of tags, and takes PUT and DELETE as well."""

    def do_PUT(self) -> None:
        path = Path(self.translate_path(self.path))
        existed = path.exists()
        part = path.with_suffix(".part")
        part.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        part.replace(path)
        self.send_response(204 if existed else 201)
        self.end_headers()

    def do_DELETE(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.exists():
            self.send_error(404)
            return
        path.unlink()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Python's http.server (HTTP/1.0, Last-Modified, no ETag): its URL."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *words: _Files(*words, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
