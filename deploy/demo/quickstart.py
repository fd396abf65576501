"""What `make run` does: starts the proxy, and a legacy backend where none is given, and shows what to try.

Settings come from the environment:

    UPSTREAM   the backend, e.g. http://localhost:8080; without it, notes.py beside this file is started
    LISTEN     where the proxy listens, 127.0.0.1:8412
    ADMIN      where its metrics and health are, 127.0.0.1:9412

It stays in the foreground; Ctrl-C or SIGTERM ends all that it started, the proxy first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

NOTES = Path(__file__).with_name("notes.py")
NOTES_PORT = 8413
START_WITHIN = 20.0  # seconds
STOP_WITHIN = 15.0  # seconds; the proxy drains

Address = tuple[str, int]
Child = subprocess.Popen[str]


class StartError(Exception):
    """Says why, for a person."""


def main() -> int:
    """The exit status: 0 after Ctrl-C or SIGTERM, 1 where something could not start or ended by itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        listen = address("LISTEN", "127.0.0.1:8412")
        admin = address("ADMIN", "127.0.0.1:9412")
        run(listen, admin, os.environ.get("UPSTREAM", "").strip())
    except KeyboardInterrupt:
        return 0
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def run(listen: Address, admin: Address, upstream: str) -> None:
    """Starts everything, says what to try, waits."""
    for name, (host, port) in (("LISTEN", listen), ("ADMIN", admin)):
        require_free(name, host, port)
    with contextlib.ExitStack() as children:
        demo = not upstream
        if demo:
            command = [sys.executable, str(NOTES), "--port", str(notes_port())]
            upstream = told_address(children.enter_context(child(command, stdout=subprocess.PIPE)))
        command = [sys.executable, "-m", "proxy", "serve", "--upstream", upstream]
        command += ["--listen", joined(listen), "--admin", joined(admin)]
        server = children.enter_context(child(command))
        wait_until(lambda: answers(f"http://{joined(admin)}/readyz"), server, "the proxy")
        print(story(joined(listen), joined(admin), upstream, demo=demo), flush=True)
        raise StartError(f"The proxy ended by itself, with status {server.wait()}; see above.")


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough; the children are being ended
    raise KeyboardInterrupt


def address(variable: str, default: str) -> Address:
    """HOST:PORT from the environment."""
    value = os.environ.get(variable, "").strip() or default
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise StartError(f"{variable}={value} is not HOST:PORT. Write for example {variable}={default}.")
    return host.strip("[]"), int(port)


def joined(where: Address) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def require_free(variable: str, host: str, port: int) -> None:
    """Says so before anything starts if the address cannot be had."""
    try:
        free(host, port)
    except OSError as error:
        raise StartError(
            f"{joined((host, port))} cannot be used: {error.strerror}. End what listens there,"
            f" or choose another address: make run {variable}={joined((host, port + 10))}"
        ) from None


def free(host: str, port: int) -> None:
    """Raises OSError if the address cannot be listened on."""
    [(family, *_), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        trial.listen(1)


def notes_port() -> int:
    """The demo's own port, or any where that is taken."""
    try:
        free("127.0.0.1", NOTES_PORT)
    except OSError:
        return 0
    return NOTES_PORT


@contextlib.contextmanager
def child(command: list[str], stdout: int | None = None) -> Iterator[Child]:
    """A process that ends when the block does.

    It has a session of its own: Ctrl-C reaches only us, and we end the children in order.
    """
    process = subprocess.Popen(
        command,
        env={"PROXY_LOG__FORMAT": "text", **os.environ},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def end(process: Child) -> None:
    """SIGTERM, and SIGKILL to what does not listen."""
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def told_address(notes: Child) -> str:
    """The URL in the first line that the demo backend prints."""
    assert notes.stdout is not None
    line = notes.stdout.readline()
    if not line.startswith("listening on "):
        raise StartError("The demo backend did not start; see above.")
    return line.removeprefix("listening on ").strip()


def answers(url: str) -> bool:
    """Whether there is a good answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until(condition: Callable[[], bool], process: Child, name: str) -> None:
    """Waits for a condition that the process brings about."""
    deadline = time.monotonic() + START_WITHIN
    while not condition():
        if process.poll() is not None:
            raise StartError(f"Could not start {name} (status {process.returncode}); see above.")
        if time.monotonic() > deadline:
            raise StartError(f"Gave up on {name}: not ready within {START_WITHIN:.0f} s.")
        time.sleep(0.05)


def story(listen: str, admin: str, upstream: str, *, demo: bool) -> str:
    """What to try."""
    head = f"""
The proxy is on http://{listen} in front of {upstream}
(metrics and health: http://{admin}/). Ctrl-C ends it.
"""
    return head + (demo_story(listen) if demo else general_story(listen))


def demo_story(listen: str) -> str:
    """A session with the notes API; each command can be pasted into another terminal."""
    note = f"http://{listen}/notes/1"
    tag = f"TAG=$(curl -sI {note} | tr -d '\\r' | awk 'tolower($1) == \"etag:\" {{print $2}}'); echo \"$TAG\""
    put = f"curl -i -X PUT {note} -H \"If-Match: $TAG\" -H 'Content-Type: application/json'"
    return f"""
That backend knows no ETag and ignores If-Match. Paste into another terminal, one line at a time:

1. Read a note: the response has an ETag now.
curl -i {note}

2. Keep that ETag.
{tag}

3. Ask whether the note changed: 304 Not Modified.
curl -i {note} -H "If-None-Match: $TAG"

4. Change the version that you read: 200.
{put} -d '{{"title": "Groceries", "text": "bread, milk"}}'

5. Write with the old ETag, as somebody would who has not seen that change: 412 Precondition Failed.
{put} -d '{{"title": "Groceries", "text": "apples"}}'

6. The first change is still there.
curl -s {note}
"""


def general_story(listen: str) -> str:
    """The same for a backend that we know nothing of."""
    return f"""
In another terminal, with the path of a resource of yours for /PATH:

1. Read it: the response has an ETag, whether or not the backend sends one.
curl -i http://{listen}/PATH

2. Ask whether it changed, with that ETag: 304 Not Modified.
curl -i http://{listen}/PATH -H 'If-None-Match: "THE-ETAG"'

3. Write with an ETag that is not current: 412 Precondition Failed, and the backend never sees it.
curl -i -X PUT http://{listen}/PATH -H 'If-Match: "not-current"' -d 'anything'
"""


if __name__ == "__main__":
    sys.exit(main())
