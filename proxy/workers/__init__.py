"""Several processes on one machine that share the public port, and one admin port for all of them.

The first process serves no client (`proxy.app.supervising`): it starts the workers, starts them again where
they die, sends them reloads, and shows their numbers as one. A worker (`proxy.app.worker`) is the whole proxy
without an admin port. They talk over a socket pair that only the two of them have
(docs/decisions/0016-workers.md).
"""

from proxy.workers.channel import Ask, Channel, Failed, Message, Reload, Reloaded, Sample, Start, Started
from proxy.workers.crew import Crew
from proxy.workers.processes import Processes
from proxy.workers.relay import Relay
from proxy.workers.sharing import how_many, reserve
from proxy.workers.worker import StartsFail

__all__ = [
    "Ask",
    "Channel",
    "Crew",
    "Failed",
    "Message",
    "Processes",
    "Relay",
    "Reload",
    "Reloaded",
    "Sample",
    "Start",
    "Started",
    "StartsFail",
    "how_many",
    "reserve",
]
