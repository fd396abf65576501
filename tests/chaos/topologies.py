"""The Redis servers under chaos, and what befalls them: one alone, some behind sentinels, a Cluster."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import redis
from support.redis_server import RedisServer

Tell = Callable[[str], None]


def until(condition: Callable[[], object], seconds: float) -> None:
    """Waits for a condition, while the servers are set up.

    Raises:
        TimeoutError: it did not come true.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("the Redis servers did not find together")
        time.sleep(0.02)


class Topology:
    """Some Redis servers.

    Attributes:
        url: where proxies find them.
        servers: those that hold data.
    """

    def __init__(self, stack: ExitStack, chance: random.Random, tell: Tell) -> None:
        self._stack = stack
        self._chance = chance
        self.tell = tell
        self.url = ""
        self.servers: list[RedisServer] = []

    def start(self) -> None:
        """One server."""
        self.servers = [self._stack.enter_context(RedisServer())]
        self.url = self.servers[0].url

    @property
    def mishaps(self) -> list[Callable[[], Awaitable[None]]]:
        """What can befall the servers."""
        return [self._pause, self._restart, self._flush, self._cut, self._old_snapshot]

    def _one(self) -> RedisServer:
        return self._chance.choice(self.servers)

    async def _pause(self) -> None:
        server, seconds = self._one(), self._chance.uniform(0.1, 2.0)
        self.tell(f"redis:{server.port} is paused for {seconds:.1f} s")
        server.pause()
        await asyncio.sleep(seconds)
        server.resume()

    async def _restart(self) -> None:
        server, save = self._one(), self._chance.random() < 0.5
        self.tell(f"redis:{server.port} is restarted {'with a snapshot' if save else 'empty'}")
        await asyncio.to_thread(server.restart, save=save)

    async def _old_snapshot(self) -> None:
        server = self._one()
        with suppress(redis.RedisError):
            await asyncio.to_thread(server.client().save)
        await asyncio.sleep(self._chance.uniform(0.2, 1.0))
        self.tell(f"redis:{server.port} is killed, and comes back with an old snapshot")
        server.kill()
        await asyncio.to_thread(server.start)

    async def _flush(self) -> None:
        server = self._one()
        self.tell(f"redis:{server.port} is emptied")
        with suppress(redis.RedisError):
            await asyncio.to_thread(server.client().flushall)

    async def _cut(self) -> None:
        server = self._one()
        self.tell(f"redis:{server.port}: all connections are cut")
        with suppress(redis.RedisError):
            client = server.client()
            await asyncio.to_thread(client.client_kill_filter, _type="normal", skipme=True)


class Sentinels(Topology):
    """A master, its replica, and three sentinels."""

    def start(self) -> None:
        master = self._stack.enter_context(RedisServer())
        replica = self._stack.enter_context(RedisServer({"replicaof": f"127.0.0.1 {master.port}"}))
        watch = [
            f"sentinel monitor main 127.0.0.1 {master.port} 2",
            "sentinel down-after-milliseconds main 400",
            "sentinel failover-timeout main 3000",
        ]
        self.three = [self._stack.enter_context(RedisServer(sentinel=watch)) for _ in range(3)]
        self.servers = [master, replica]
        until(lambda: all(self._sees_all(sentinel) for sentinel in self.three), 15)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.three)
        self.url = f"redis+sentinel://{hosts}/main/0"

    @property
    def mishaps(self) -> list[Callable[[], Awaitable[None]]]:
        return [self._fail_over, self._cut, self._ask_for_fail_over, self._there_and_back]

    @staticmethod
    def _sees_all(sentinel: RedisServer) -> bool:
        client: Any = sentinel.client()
        state = client.sentinel_master("main")
        return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)

    def _master(self) -> RedisServer | None:
        for server in self.servers:
            with suppress(redis.RedisError):
                info: Any = server.client().info("replication")
                if info["role"] == "master":
                    return server
        return None

    async def _fail_over(self) -> None:
        """The master is killed, the replica takes its place, and the old master comes back as a replica."""
        master = await asyncio.to_thread(self._master)
        if master is None:
            return
        self.tell(f"redis:{master.port}, the master, is killed")
        master.kill()
        await asyncio.sleep(3.0)
        await asyncio.to_thread(master.start)
        await asyncio.sleep(3.0)

    async def _ask_for_fail_over(self) -> None:
        """As an administrator does: without loss, but the data is another process's all the same."""
        self.tell("the sentinels are asked for a fail-over")
        client: Any = self.three[0].client()
        with suppress(redis.RedisError):
            await asyncio.to_thread(client.execute_command, "SENTINEL", "FAILOVER", "main")
        await asyncio.sleep(4.0)

    async def _there_and_back(self) -> None:
        """The first master is made a replica ten seconds later; till then it takes itself for the master."""
        await self._ask_for_fail_over()
        await asyncio.sleep(self._chance.uniform(0.0, 3.0))
        await self._ask_for_fail_over()


class Cluster(Topology):
    """Three masters that share the slots."""

    def start(self) -> None:
        options = {"cluster-enabled": "yes", "cluster-node-timeout": "1000"}
        self.servers = [self._stack.enter_context(RedisServer(options)) for _ in range(3)]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(self.servers):
            client: Any = node.client()
            client.execute_command("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        until(lambda: all(self._formed(node) for node in self.servers), 30)
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.servers)

    @staticmethod
    def _formed(node: RedisServer) -> bool:
        client: Any = node.client()
        info = client.execute_command("CLUSTER INFO")
        return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3")

    @property
    def mishaps(self) -> list[Callable[[], Awaitable[None]]]:
        return [self._pause, self._kill, self._flush, self._cut]

    async def _kill(self) -> None:
        server = self._one()
        self.tell(f"redis:{server.port} is killed, and comes back empty")
        server.kill()
        await asyncio.to_thread(server.start)
        await asyncio.sleep(2.0)


TOPOLOGIES = {"standalone": Topology, "sentinel": Sentinels, "cluster": Cluster}
