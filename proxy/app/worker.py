"""One of several workers: the whole proxy without an admin port. Started as `python -m proxy.app.worker`.

Its arguments are its number, for people who look at the list of processes, and the descriptor of its end of
the socket pair. It ends by SIGTERM, or where the supervising process is gone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from typing import Final

import uvloop

from proxy.app import garbage
from proxy.app.house import App
from proxy.errors import ConfigurationError
from proxy.log import setup
from proxy.workers import Ask, Channel, Failed, Message, Relay, Reload, Reloaded, Sample, Start, Started

MISCONFIGURED: Final = 2

_log = logging.getLogger("proxy.app")


class Work:
    """Serves, and answers the supervising process.

    Args:
        channel: to that process.
        start: what it said first.
    """

    def __init__(self, channel: Channel, start: Start) -> None:
        self._channel = channel
        self._relay = Relay()
        self._app = App(start.settings, shared=True, relay=self._relay if start.watched else None)
        self._stop = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        if start.distrust:
            self._app.distrust()

    async def run(self) -> None:
        """Until it is told to stop.

        Raises:
            ConfigurationError: the port cannot be opened.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        listening: asyncio.Task[None] | None = None
        try:
            await self._app.start()
            garbage.settle()
            self._channel.send(Started())
            listening = loop.create_task(self._listen())
            await self._stop.wait()
        finally:
            await self._app.stop()
            if listening is not None:
                listening.cancel()
        self._channel.send(await self._sample(0))

    async def _listen(self) -> None:
        """Hears the supervising process, also while it finishes what is under way."""
        while (message := await self._channel.receive()) is not None:
            await self._hear(message)
        if not self._stop.is_set():
            _log.error("the supervising process is gone: finishing what is under way")
            self._stop.set()

    async def _hear(self, message: Message) -> None:
        match message:
            case Ask(number, followed):
                self._relay.followed = followed
                # The store may take its time to answer; a reload need not wait for that.
                answer = asyncio.get_running_loop().create_task(self._answer(number))
                self._answers.add(answer)
                answer.add_done_callback(self._answers.discard)
            case Reload(settings):
                await self._app.reroute(settings)
                self._channel.send(Reloaded())

    async def _answer(self, number: int) -> None:
        self._channel.send(await self._sample(number))

    async def _sample(self, number: int) -> Sample:
        health = await self._app.health()
        return Sample(number, self._app.state(), health, tuple(self._app.findings()), self._relay.take())


async def _work(end: socket.socket) -> int:
    channel = await Channel.of(end)
    start = await channel.receive()
    if not isinstance(start, Start):
        return 0  # the supervising process is gone already
    log = start.settings.log
    setup(log.level.value, log.format.value, worker=start.number)
    try:
        await Work(channel, start).run()
    except ConfigurationError as fault:
        channel.send(Failed(str(fault)))
        return MISCONFIGURED
    finally:
        await channel.flush()
    return 0


def main() -> int:
    """Runs one worker.

    Returns:
        the exit status: 0, or 2 where it could not start.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervising process reads the configuration
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(socket.socket(fileno=int(sys.argv[2]))))


if __name__ == "__main__":
    sys.exit(main())
