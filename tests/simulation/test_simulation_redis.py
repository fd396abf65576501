"""The small Redis of the simulation does what a real one does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from support.redis_server import RedisServer

from proxy.store.lua import scripts
from simulation.small_redis import SmallRedis

TTL = 60_000


@pytest.fixture(scope="module")
def real() -> Iterator[Any]:
    """A client of a real server."""
    with RedisServer() as server:
        yield redis.Redis("127.0.0.1", server.port, socket_timeout=5)


def commands(chance: random.Random) -> Iterator[tuple[Any, ...]]:
    """Commands as the scripts use them, on few keys, so that they meet."""
    for _ in range(120):
        key = chance.choice(["h1", "h2"])
        fields = chance.sample(["a", "b", "c", "v", "p1"], chance.randint(1, 3))
        pairs = [word for field in fields for word in (field, chance.randint(0, 9))]
        yield chance.choice(
            [
                ("HSET", key, *pairs),
                ("HGET", key, fields[0]),
                ("HMGET", key, *fields),
                ("HGETALL", key),
                ("HDEL", key, *fields),
                ("DEL", key),
                ("PEXPIRE", key, chance.choice([0, -1, 60_000])),
                ("SET", "s1", fields[0], *chance.choice([(), ("NX",)])),
                ("GET", chance.choice(["s1", "s2"])),
            ]
        )


def plain(value: Any) -> Any:
    """Replies as redis-py and the small one both can show them."""
    if isinstance(value, dict):
        return [word for pair in value.items() for word in pair]
    if value is True:
        return b"OK"
    return value


@pytest.mark.parametrize("seed", range(40))
def test_commands_answer_alike(real: Any, seed: int) -> None:
    small = SmallRedis(lambda: 0)
    real.flushall()
    for words in commands(random.Random(seed)):
        expected = plain(real.execute_command(*words))
        got = small.command(*words)
        assert (bool(got) if words[0] == "PEXPIRE" else got) == (
            bool(expected) if words[0] == "PEXPIRE" else expected
        ), words


class Scripted:
    """Random calls of the scripts, whose times and tokens are those of the server that runs them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.tokens = ["t1", "t2"]
        self.life = b"one"

    def calls(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for _ in range(60):
            token = self.chance.choice(self.tokens)
            version = self.chance.choice(['1;;"a" -', '1;m;"b" -', ';;"c" -', '2;s;"a" -'])
            variant = self.chance.choice(["", "de"])
            lease = 60_000_000
            yield self.chance.choice(
                [
                    ("claim", (token, lease, "exclusive")),
                    ("claim", (token, lease, "shared")),
                    ("renew", (token, lease)),
                    ("release", (token, "known", variant, version)),
                    ("release", (token, self.chance.choice(["absent", "unknown", "drop"]))),
                    ("observe", ("STAMP", 60_000_000, "known", variant, version, 8)),
                    ("observe", ("STAMP", 60_000_000, "absent", "", "", 8)),
                    ("observe", ("STAMP", 60_000_000, "known", variant, version, 1)),
                    ("look", ()),
                    ("look", ()),
                    ("forget", ()),
                    ("tick", ()),
                ]
            )


@pytest.mark.parametrize("seed", range(40))
def test_scripts_answer_alike(real: Any, seed: int) -> None:
    """Each server goes by its own clock; the small one's goes on by a millisecond with each call."""
    chance = random.Random(seed)
    now = [1_700_000_000_000_000]
    small = SmallRedis(lambda: now[0])
    real.flushall()
    keys = ("pp:{0}:entry", "pp:{0}:incarnation")
    join = ("run", "", "one", 1_000_000, 0, 0, 0)
    real.eval(scripts()["incarnate"].source, 1, keys[1], *join)
    small.run(scripts()["incarnate"].source, keys[1:], join)
    for name, words in Scripted(chance).calls():
        now[0] += 1000
        source = scripts()[name].source
        seconds, rest = real.time()
        first = [seconds * 1_000_000 + rest if word == "STAMP" else word for word in words]
        second = [now[0] if word == "STAMP" else word for word in words]
        expected = real.eval(source, 2, *keys, "one", TTL, *first)
        got = small.run(source, keys, ("one", TTL, *second))
        if got[1] == b"busy":  # and the rest of a lease, by each clock
            got, expected = got[:2], expected[:2]
        if got[1] == b"granted":  # and the fence, by each clock
            got, expected = got[2:], expected[2:]
        assert got[1:] == expected[1:], (name, words)
        state, other = (
            sorted(_fields(fields)) for fields in (small.command("HGETALL", keys[0]), real.hgetall(keys[0]))
        )
        assert state == other, (name, words)


def _fields(reply: Any) -> list[Any]:
    """Fields and values; of times only that they are there."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return [(name, b"" if name in (b"t", b"u") or name[:1] == b"p" else value) for name, value in pairs]


def test_keys_expire_by_its_clock() -> None:
    now = [1_000_000]
    small = SmallRedis(lambda: now[0])
    small.command("HSET", "key", "field", "value")
    small.command("PEXPIRE", "key", "5")
    now[0] += 4_999
    assert small.command("HGET", "key", "field") == b"value"
    now[0] += 1
    assert small.command("HGETALL", "key") == []
