"""All workers together: started, asked, told of reloads, and their numbers as those of one process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from proxy.admin import Conflicts, Finding, Told
from proxy.metrics import Metrics, State, Watched, summed
from proxy.rules.renaming import same_names
from proxy.settings import Address, Settings
from proxy.store import Health
from proxy.workers.channel import Reload, Sample, Start
from proxy.workers.sharing import shared
from proxy.workers.worker import Worker

EVERY: Final = 1.0  # seconds between two questions: what a worker that is killed has counted since is lost
LATE: Final = 5.0  # seconds beside `drain` that a worker may take to end

_log = logging.getLogger("proxy.workers")


class Crew:
    """The workers. It is the `Service` that the admin port asks for the store's health.

    Args:
        settings: of the whole proxy.
        address: the port that they share.
        workers: how many.
        names: of all routes, as labels.
        version: of this project.

    Attributes:
        metrics: what all of them have counted since the start, those that have ended included.
        conflicts: of all of them, in the order of time.
        settings: those in force.
    """

    def __init__(
        self, settings: Settings, address: Address, workers: int, names: Sequence[str], version: str
    ) -> None:
        self.settings = settings
        self.conflicts = Conflicts()
        self.metrics = Metrics(names, version=version, process=False)
        self._own = Metrics(names, version=version, process=False)
        self._own.watch(Watched.WORKERS, lambda: sum(worker.serving for worker in self.workers))
        self._own.watch(Watched.WORKER_RESTARTS, lambda: sum(worker.restarts for worker in self.workers))
        self._ended: State = {}
        self._heard: list[Told] = []
        self._address = address
        self._distrust = False
        self.workers = [
            Worker(number, self._start_of(number, workers), self._heard.extend, self._fold)
            for number in range(1, workers + 1)
        ]
        self._running: list[asyncio.Task[None]] = []
        self._asking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts all, and waits until each serves.

        Raises:
            ConfigurationError, StartsFail: one of them does not come to serve.
        """
        loop = asyncio.get_running_loop()
        self._running = [loop.create_task(worker.run()) for worker in self.workers]
        started = loop.create_task(self._all_started())
        await asyncio.wait([started, *self._running], return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await self.broken()
        self._asking = loop.create_task(self._keep_asking())

    async def broken(self) -> None:
        """Waits until one of them cannot be kept running.

        Raises:
            ConfigurationError: what it said, where it said something.
            StartsFail: where not.
        """
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def close(self) -> None:
        """Has all finish what is under way within `drain`, and end."""
        if self._asking is not None:
            self._asking.cancel()
        for worker in self.workers:
            worker.stop()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self.settings.drain + LATE)
            if late:
                self._end_by_force()
            await asyncio.gather(*self._running, return_exceptions=True)
        self._sum_up()

    def _end_by_force(self) -> None:
        for worker in self.workers:
            if worker.pid is not None and worker.kill():
                _log.error(
                    "worker %d (process %s) did not end within %g s and was killed",
                    *(worker.number, worker.pid, self.settings.drain + LATE),
                )

    async def health(self) -> Health:
        """Asks every worker now; the store is usable where it is for each that serves."""
        samples = await self._ask_all()
        answered = {worker.number: sample.health for worker, sample in samples}
        silent = Health(ready=False, detail="")
        healths = [
            (worker.number, answered.get(worker.number, silent)) for worker in self.workers if worker.serving
        ]
        warnings = tuple(dict.fromkeys(text for _, health in healths for text in health.warnings))
        ready = bool(healths) and all(health.ready for _, health in healths)
        return Health(ready, _together(healths), warnings)

    def findings(self) -> list[Finding]:
        """Changes behind the proxy: for each route what one of the workers knows best."""
        best: dict[str, Finding] = {}
        for worker in self.workers:
            for finding in worker.sample.findings if worker.sample else ():
                known = best.get(finding.route)
                if known is None or _rank(finding) > _rank(known):
                    best[finding.route] = finding
        return list(best.values())

    def lacking(self) -> str:
        """Which workers do not serve, in words, or ""."""
        lacking = [str(worker.number) for worker in self.workers if not worker.serving]
        count = len(self.workers)
        return f"{count - len(lacking)} of {count} workers serve" if lacking else ""

    def stuck(self) -> str:
        """Which workers live and do not answer, in words, or ""."""
        stuck = [str(worker.number) for worker in self.workers if worker.stuck]
        return f"no answer from worker {', '.join(stuck)}" if stuck else ""

    async def reload(self, new: Settings) -> bool:
        """Puts other routes in force in all of them, and in those that start from now on.

        Args:
            new: as those in force, but for routes and defaults.

        Returns:
            whether all resources are named as before.
        """
        old = self.settings
        same = same_names(
            (*old.resolved_routes(), old.default_route()), (*new.resolved_routes(), new.default_route())
        )
        # A worker that starts later has not seen which writes nobody looked at.
        self._distrust = self._distrust or not same
        self.settings = new
        for route in new.resolved_routes():
            self._own.expect(route.match)
        await asyncio.gather(*(worker.reload(Reload(new)) for worker in self.workers))
        return same

    def processes(self) -> list[int]:
        """The ids of those that live."""
        return [worker.pid for worker in self.workers if worker.serving and worker.pid is not None]

    def count_reload(self, result: str) -> None:
        """Counts one attempt to read the configuration again."""
        self._own.reloaded(result)

    def _start_of(self, number: int, workers: int) -> Callable[[], Start]:
        watched = self.settings.admin is not None
        return lambda: Start(
            shared(self.settings, self._address, number, workers), number, watched, self._distrust
        )

    async def _all_started(self) -> None:
        for worker in self.workers:
            await worker.first_start.wait()

    async def _keep_asking(self) -> None:
        while True:
            await self._ask_all()
            await asyncio.sleep(EVERY)

    async def _ask_all(self) -> list[tuple[Worker, Sample]]:
        followed = self.conflicts.unfinished()
        answers = await asyncio.gather(
            *(worker.ask(followed) for worker in self.workers), return_exceptions=True
        )
        samples = [
            (worker, answer)
            for worker, answer in zip(self.workers, answers, strict=True)
            if isinstance(answer, Sample)
        ]
        self._tell()
        self._sum_up()
        return samples

    def _tell(self) -> None:
        """In the order of time, as if one process had seen it all."""
        for told in sorted(self._heard, key=lambda told: told.ended):
            self.conflicts.tell(told)
        self._heard.clear()

    def _fold(self, last: State) -> None:
        """A worker has ended: what it counted stays counted."""
        self._ended = summed([self._ended, self.metrics.counted(last)])

    def _sum_up(self) -> None:
        live = [worker.sample.state for worker in self.workers if worker.sample is not None]
        self.metrics.show(summed([self._own.state(), self._ended, *live]))


def _together(healths: Sequence[tuple[int, Health]]) -> str:
    """What all workers say of the store; who says what is wrong, where they differ."""
    said = {health.detail for _, health in healths}
    if not any(said):
        return "no worker answers"
    if len(said) == 1:
        return said.pop()
    return "; ".join(
        f"worker {number}: {health.detail}" if health.detail else f"worker {number} does not answer"
        for number, health in healths
        if not health.ready
    )


def _rank(finding: Finding) -> tuple[bool, float]:
    """Who has read the resource twice lately knows better than who has not."""
    return finding.kind != "suspected" and finding.until > time.time(), finding.at
