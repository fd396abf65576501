"""One worker as the supervising process sees it: its process, its answers, its lives one after the other."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import proxy
from proxy.admin import Told
from proxy.errors import ConfigurationError, ProxyError
from proxy.metrics import State
from proxy.workers.channel import Ask, Channel, Failed, Message, Reload, Reloaded, Sample, Start, Started

ANSWER_WITHIN: Final = 1.5  # seconds; asking the store may take one of them
RELOAD_WITHIN: Final = 10.0
STUCK_AFTER: Final = 10.0  # seconds without an answer
STEADY_AFTER: Final = 30.0  # seconds of serving after which an end counts as the first again
FIRST_PAUSE: Final = 0.1  # seconds; doubled with each end
LONGEST_PAUSE: Final = 10.0
MOST_STARTS: Final = 5  # that fail one after the other

_log = logging.getLogger("proxy.workers")


class StartsFail(ProxyError):
    """A worker ends again and again before it serves, for a reason that is none of the configuration's."""


class Worker:
    """Keeps one worker running.

    Args:
        number: from 1.
        start: what to tell it when it starts.
        hear: is given what each sample tells of conflicts.
        fold: is given the numbers of each of its lives, as they were last.

    Attributes:
        serving: whether clients are served.
        restarts: how often it was started again.
        sample: its last one, None where it has ended.
    """

    def __init__(
        self,
        number: int,
        start: Callable[[], Start],
        hear: Callable[[tuple[Told, ...]], None],
        fold: Callable[[State], None],
    ) -> None:
        self.number = number
        self.serving = False
        self.restarts = 0
        self.sample: Sample | None = None
        self.pid: int | None = None
        self._served = False
        self._start = start
        self._told = hear
        self._fold = fold
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0
        self._answers: dict[int, asyncio.Future[Sample]] = {}
        self._reloads: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._answered_at = self._loop.time()
        self._reason = ""
        self._stopping = asyncio.Event()
        self.first_start = asyncio.Event()

    @property
    def stuck(self) -> bool:
        """Whether it lives, and does not answer."""
        return self.serving and self._loop.time() - self._answered_at > STUCK_AFTER

    async def run(self) -> None:
        """Starts it, and again where it ends, until `stop`.

        Raises:
            ConfigurationError: it says that it cannot use the settings.
            StartsFail: it does not come to serve.
        """
        ends = failed = 0
        while not self._stopping.is_set():
            began = self._loop.time()
            status = await self._live()
            if self._stopping.is_set():
                return
            lived = self._loop.time() - began
            failed = 0 if self._served else failed + 1
            if self._reason and (failed == MOST_STARTS or not self.first_start.is_set()):
                raise ConfigurationError(self._reason)
            if failed == MOST_STARTS:
                raise StartsFail(
                    f"worker {self.number} has ended {failed} times before it served anybody"
                    f" ({_ended(status)})\n    see what the log says above, or try with workers: 1"
                )
            ends = 1 if lived > STEADY_AFTER else ends + 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (ends - 1))
            _log.error(
                "worker %d (process %s) ended (%s) after %.1f s; it is started again in %.1f s",
                *(self.number, self.pid, _ended(status), lived, pause),
            )
            if not await self._told_to_stop(pause):
                self.restarts += 1

    async def _told_to_stop(self, seconds: float) -> bool:
        """Waits so long, or until it is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """Tells it to finish what is under way, and to end."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> bool:
        """Ends it in the middle of whatever it does; False where it has ended already."""
        self._stopping.set()
        return self._signal(signal.SIGKILL)

    async def ask(self, followed: frozenset[tuple[str, str]]) -> Sample | None:
        """How it is; None where it does not say in time."""
        if self._channel is None or not self.serving:
            return None
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[Sample] = self._loop.create_future()
        self._answers[number] = answer
        self._channel.send(Ask(number, followed))
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await answer
        except (TimeoutError, ConnectionError):
            return None
        finally:
            del self._answers[number]

    async def reload(self, message: Reload) -> None:
        """Has it take other routes. One that ends meanwhile starts with them."""
        if self._channel is None:
            return
        answer: asyncio.Future[None] = self._loop.create_future()
        self._reloads.append(answer)
        self._channel.send(message)
        try:
            async with asyncio.timeout(RELOAD_WITHIN):
                await answer
        except ConnectionError:
            pass
        except TimeoutError:
            _log.error("worker %d does not answer: whether it has the new routes is not known", self.number)

    async def _live(self) -> int:
        """One life; its exit status, negative for the signal that ended it."""
        self._served, self._reason = False, ""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await _started(self.number, theirs)
        self.pid = self._process.pid
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        self._channel = channel = await Channel.of(ours)
        channel.send(self._start())
        while (message := await channel.receive()) is not None:
            self._hear(message)
        self.serving, self._channel = False, None
        channel.close()
        self._let_go()
        status = await self._process.wait()
        self._process = None
        if self.sample is not None:
            self._fold(self.sample.state)
            self.sample = None
        return status

    def _hear(self, message: Message) -> None:
        self._answered_at = self._loop.time()
        match message:
            case Started():
                self.serving = self._served = True
                self.first_start.set()
                _log.info("worker %d (process %s) serves", self.number, self.pid)
            case Failed(reason):
                self._reason = reason
            case Sample(number):
                self.sample = message
                self._told(message.told)
                if (answer := self._answers.get(number)) is not None and not answer.done():
                    answer.set_result(message)
            case Reloaded():
                if not (answered := self._reloads.pop(0)).done():
                    answered.set_result(None)

    def _let_go(self) -> None:
        """Nobody answers any more."""
        gone = ConnectionError("the worker has ended")
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(gone)
        for reload in self._reloads:
            if not reload.done():
                reload.set_exception(gone)
        self._reloads.clear()

    def _signal(self, number: int) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        self._process.send_signal(number)
        return True


async def _started(number: int, theirs: socket.socket) -> asyncio.subprocess.Process:
    """The process, with its end of the socket pair, in a group of its own: a terminal's Ctrl-C is for us."""
    # -P and the path: our own package, whatever lies in the working directory.
    path = os.pathsep.join(filter(None, (str(Path(proxy.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "proxy.app.worker", str(number), str(theirs.fileno())),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        process_group=0,
        env=os.environ | {"PYTHONPATH": path},
    )


def _ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
