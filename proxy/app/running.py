"""Runs the proxy until it is told to stop: in this process, or with several workers."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvloop

from proxy.app import garbage
from proxy.app.house import App
from proxy.app.supervising import supervise
from proxy.errors import ConfigurationError
from proxy.log import setup
from proxy.reloading import Reloading, Source
from proxy.settings import Settings
from proxy.workers import how_many

_log = logging.getLogger("proxy.app")


def serve(settings: Settings, source: Source | None = None) -> int:
    """Runs the proxy until SIGTERM or SIGINT.

    Args:
        settings: valid ones.
        source: where they came from, and are read again from after SIGHUP and changes of the file.

    Returns:
        the exit status: 0, or 2 where a port could not be opened.
    """
    setup(settings.log.level.value, settings.log.format.value)
    source = source or Source.of(None, lambda: settings)
    try:
        if (workers := how_many(settings)) > 1:
            return supervise(settings, source, workers)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, source))
    except ConfigurationError as fault:
        print(f"precondition-proxy: {fault}", file=sys.stderr)
        return 2
    return 0


async def _run(settings: Settings, source: Source) -> None:
    app = App(settings)
    reloading = Reloading(source, app.reload, app.count_reload)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reloading.ask)
    watching: asyncio.Task[None] | None = None
    try:
        await app.start()
        watching = loop.create_task(reloading.run())
        garbage.settle()
        await stop.wait()
        _log.info("stopping: no new connections, finishing what is under way")
    finally:
        if watching is not None:
            watching.cancel()
        await app.stop()
