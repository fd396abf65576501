"""A small Redis in this process: the commands that the store's scripts use, and the scripts themselves.

`test_simulation_redis.py` holds it against a real one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import lupa.lua51

Value = Any

_RUNNER = """
function(call, table_of)
  local function run(...)
    local reply = call(...)
    if reply == nil then
      return false
    end
    return reply
  end
  return {call = run, pcall = run}
end
"""


class Engine:
    """Lua 5.1, as Redis has it. Compiles every script once."""

    def __init__(self) -> None:
        self._lua = lupa.lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._make = self._lua.eval(_RUNNER)

    @lru_cache(maxsize=256)  # noqa: B019
    def function(self, source: bytes) -> Any:
        """The script as a function of its keys, its arguments, and `redis`."""
        return self._lua.eval(b"function(KEYS, ARGV, redis)\n" + source + b"\nend")

    def table(self, words: Sequence[Value]) -> Any:
        """A Lua table of a reply; nil becomes false, as in Redis."""
        return self._lua.table_from([False if word is None else word for word in words])

    def redis(self, call: Callable[..., Value]) -> Any:
        """The table `redis` that scripts see."""
        return self._make(call, self.table)


_ENGINE = Engine()


class SmallRedis:
    """One server.

    Args:
        clock: microseconds since the epoch.
        mutate: changes a script's text; for tests that break a rule.
    """

    def __init__(
        self, clock: Callable[[], int], mutate: Callable[[bytes], bytes] = lambda text: text
    ) -> None:
        self._clock = clock
        self._mutate = lru_cache(mutate)
        self._now = 0
        self._keys: dict[bytes, Value] = {}
        self._expires: dict[bytes, int] = {}
        self._redis = _ENGINE.redis(self._in_script)

    # Scripts.

    def run(self, source: bytes, keys: Sequence[Value], arguments: Sequence[Value]) -> Value:
        """EVAL. The clock stands still meanwhile."""
        self._now = self._clock()
        function = _ENGINE.function(self._mutate(source))
        keys_, arguments_ = _ENGINE.table([_bytes(key) for key in keys]), [_bytes(word) for word in arguments]
        return _reply(function(keys_, _ENGINE.table(arguments_), self._redis))

    def _in_script(self, *words: Value) -> Value:
        reply = self._execute([_bytes(word) for word in words])
        if isinstance(reply, list):
            return _ENGINE.table(reply)
        return False if reply is None else reply

    # Commands.

    def command(self, *words: Value) -> Value:
        """One command, as a client sends it."""
        self._now = self._clock()
        return self._execute([_bytes(word) for word in words])

    def _execute(self, words: list[bytes]) -> Value:
        name, *arguments = words
        command: Callable[..., Value] = getattr(self, f"_{name.decode().lower()}")
        for key in arguments[:1]:
            self._expire(key)
        return command(*arguments)

    def _expire(self, key: bytes) -> None:
        if self._expires.get(key, self._now + 1) <= self._now:
            self._del(key)

    def _time(self) -> list[bytes]:
        seconds, rest = divmod(self._now, 1_000_000)
        return [b"%d" % seconds, b"%d" % rest]

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        fields = self._keys.setdefault(key, {})
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def _hget(self, key: bytes, field: bytes) -> Value:
        return self._keys.get(key, {}).get(field)

    def _hmget(self, key: bytes, *names: bytes) -> list[bytes | None]:
        fields = self._keys.get(key, {})
        return [fields.get(name) for name in names]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return [word for pair in self._keys.get(key, {}).items() for word in pair]

    def _hdel(self, key: bytes, *names: bytes) -> int:
        fields = self._keys.get(key, {})
        gone = sum(fields.pop(name, None) is not None for name in names)
        if not fields:
            self._del(key)
        return gone

    def _del(self, *keys: bytes) -> int:
        for key in keys:
            self._expires.pop(key, None)
        return sum(self._keys.pop(key, None) is not None for key in keys)

    def _pexpire(self, key: bytes, milliseconds: bytes) -> int:
        if key not in self._keys:
            return 0
        self._expires[key] = self._now + int(milliseconds) * 1000
        self._expire(key)
        return 1

    def _set(self, key: bytes, value: bytes, *options: bytes) -> bytes | None:
        if b"NX" in options and key in self._keys:
            return None
        self._keys[key] = value
        self._expires.pop(key, None)
        if b"PX" in options:
            self._expires[key] = self._now + int(options[options.index(b"PX") + 1]) * 1000
        return b"OK"

    def _get(self, key: bytes) -> bytes | None:
        return self._keys.get(key)

    # What befalls it.

    def flush(self) -> None:
        """FLUSHALL."""
        self._keys.clear()
        self._expires.clear()

    def snapshot(self) -> tuple[dict[bytes, Value], dict[bytes, int]]:
        """What it holds now."""
        return copy.deepcopy(self._keys), dict(self._expires)

    def load(self, snapshot: tuple[dict[bytes, Value], dict[bytes, int]]) -> None:
        """Goes back to what it held then."""
        keys, self._expires = copy.deepcopy(snapshot[0]), dict(snapshot[1])
        self._keys = keys

    def claims(self, now: int) -> list[bytes]:
        """Keys on which a claim lasts."""
        return [
            key
            for key, fields in self._keys.items()
            if isinstance(fields, dict)
            and any(
                (name == b"u" or name[:1] == b"p") and float(value) > now for name, value in fields.items()
            )
        ]


def _bytes(word: Value) -> bytes:
    if isinstance(word, bytes):
        return word
    if isinstance(word, float):  # as Lua writes a number
        return b"%.14g" % word
    return str(word).encode()


def _reply(value: Value) -> Value:
    """A script's reply as hiredis shows it."""
    if isinstance(value, bytes | int):
        return value
    if isinstance(value, float):
        return int(value)
    if value is None or value is False:
        return None
    if value is True:
        return 1
    return [_reply(value[at]) for at in range(1, len(value) + 1)]
