"""What is asked: the workloads, and how wrk sends them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine import OTHER

RESOURCES = 10_000
FEW = 1000
MILLION = 1_000_000
Fields = tuple[tuple[str, str], ...]
V1: Fields = (("If-Match", '"v1"'),)
OLD: Fields = (("If-Match", '"old"'),)
# What an ingress passes on of an instrumented program. {n} is another number in each request.
PASSED_ON: Fields = (
    ("User-Agent", "python-requests/2.32.5"),
    ("Accept", "application/json, */*"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Authorization", f"Bearer {'x' * 300}"),
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "api.example"),
    ("X-Real-IP", "192.0.2.7"),
    ("X-Request-ID", "0af7651916cd43dd{n}"),
    ("traceparent", "00-0af7651916cd43dd{n}-b7ad6b7169203331-01"),
)


@dataclass(frozen=True)
class Load:
    """One workload: what wrk sends, and to whom.

    Attributes:
        by: the contestants.
        fields: of each request; "{n}" in a value is a number of its own in each, in 16 digits.
        resources: so many, in turn, or at random where `shuffled`.
        pause: microseconds that each connection rests before each request, on average; 0 for none.
    """

    name: str
    path: str
    by: tuple[str, ...]
    method: str = "GET"
    fields: Fields = ()
    connections: int = 64
    expect: int = 200
    resources: int = RESOURCES
    shuffled: bool = False
    pause: int = 0


TAGS, MINTED, UNCHANGED = "GET, the backend's tags", "GET, minted tags", "GET, 304"
PUT, REREAD, BY_RECORD, AS_CONFIGURED = (
    "PUT, matching If-Match",
    "PUT, reread",
    "PUT, 412 by the record",
    "PUT, 412 as configured",
)
INGRESS_GET, INGRESS_PUT = "GET, behind an ingress", "PUT, behind an ingress"
OFF, STREAMED, HASHED = "GET, mode: off", "GET 1 MiB, streamed", "GET 1 MiB, hashed"
ONE_GET, ONE_PUT = "GET, one connection", "PUT, one connection"
FEW_GET, MANY_GET = "GET, of 1,000 resources", "GET, of 1,000,000 resources"
FEW_PUT, MANY_PUT = "PUT, of 1,000 resources", "PUT, of 1,000,000 resources"

LOADS = (
    # So few that a turn does not measure the first read of each minute again and again, which has Redis
    # record what was seen. The rows of 1,000,000 resources say what those cost.
    Load(TAGS, "/tagged/", ("naive", "nginx", "lua", "ours", "ours+log"), resources=FEW),
    Load(MINTED, "/plain/", ("naive", "lua", "ours"), resources=FEW),
    Load(
        UNCHANGED,
        "/tagged/",
        ("naive", "lua", "ours"),
        fields=(("If-None-Match", '"v1"'),),
        expect=304,
        resources=FEW,
    ),
    Load(PUT, "/tagged/", ("naive", "nginx", "lua", "ours", "ours+log"), "PUT", V1, expect=204),
    Load(REREAD, "/tagged/reread/", ("ours",), "PUT", V1, expect=204),
    Load(BY_RECORD, "/tagged/never/", ("ours",), "PUT", OLD, expect=412),
    Load(AS_CONFIGURED, "/tagged/", ("ours",), "PUT", OLD, expect=412),
    # As requests come in real life: with credentials, so that the answer to a write is kept for a retry.
    Load(INGRESS_GET, "/tagged/", ("naive", "ours"), fields=PASSED_ON, resources=FEW),
    Load(INGRESS_PUT, "/tagged/", ("naive", "ours"), "PUT", (*V1, *PASSED_ON), expect=204),
    Load(OFF, "/tagged/", ("nginx", "barest", "off")),
    Load(STREAMED, "/big/tagged/", ("naive", "nginx", "off", "ours"), connections=8, resources=1),
    Load(HASHED, "/big/plain/", ("nginx", "ours"), connections=8, resources=1),
    Load(ONE_GET, "/tagged/", ("naive", "nginx", "lua", "ours"), connections=1),
    Load(ONE_PUT, "/tagged/", ("naive", "nginx", "lua", "ours"), "PUT", V1, 1, 204),
    Load(FEW_GET, "/tagged/", ("ours",), resources=FEW, shuffled=True),
    Load(MANY_GET, "/tagged/", ("ours",), resources=MILLION, shuffled=True),
    Load(FEW_PUT, "/tagged/", ("ours",), "PUT", V1, expect=204, resources=FEW, shuffled=True),
    Load(MANY_PUT, "/tagged/", ("ours",), "PUT", V1, expect=204, resources=MILLION, shuffled=True),
)
QUICK = (TAGS, MINTED, UNCHANGED, PUT)


def load_named(name: str) -> Load:
    """The load of that name."""
    return next(load for load in LOADS if load.name == name)


@dataclass(frozen=True)
class Turn:
    """What wrk saw.

    Attributes:
        requests: how many were answered.
        rate: how many in a second.
        p50, p99: microseconds.
        wrong: answers of another status, and connections that broke.
    """

    requests: int
    rate: float
    p50: float
    p99: float
    wrong: int


def script(load: Load, path: Path, seed: int = 1) -> Path:
    """The wrk script of a load: resources in turn, tags and bodies as it says."""
    fields = "".join(
        f"wrk.headers[\"{name}\"] = '{value}'\n" for name, value in load.fields if "{n}" not in value
    )
    numbered = "".join(
        f"  wrk.headers[\"{name}\"] = ('{value.replace('{n}', '%016d')}'):format(count)\n"
        for name, value in load.fields
        if "{n}" in value
    )
    body = "string.rep('x', 1024)" if load.method == "PUT" else "nil"
    following = f"math.random({load.resources})" if load.shuffled else f"n % {load.resources} + 1"
    path.write_text(
        f"{fields}local n, count = 0, 0\nlocal body = {body}\n{_PAUSE if load.pause else ''}"
        f"request = function()\n  n, count = {following}, count + 1\n{numbered}"
        f"{f'  rest({load.pause})' if load.pause else ''}\n"
        f'  return wrk.format("{load.method}", "{load.path}" .. n, nil, body)\nend\n'
        f"response = function(status) if status ~= {load.expect} then wrong = (wrong or 0) + 1 end end\n"
        "threads = {}\nsetup = function(thread)\n  table.insert(threads, thread)\n"
        f"  thread:set('seed', {seed} * 1000 + #threads)\nend\n"
        "init = function() math.randomseed(seed) end\n"
        "done = function(summary, latency, requests)\n"
        '  local bad = 0\n  for _, thread in ipairs(threads) do bad = bad + (thread:get("wrong") or 0) end\n'
        "  local errors = summary.errors\n"
        '  io.write(string.format("RESULT %d %f %f %f %d\\n", summary.requests,\n'
        "    summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99),\n"
        "    bad + errors.connect + errors.read + errors.write + errors.timeout))\nend\n"
    )
    return path


# wrk's own delay() counts in milliseconds, so that requests would come in bursts. The clock of a request
# starts only after this; a thread has one connection.
_PAUSE = """local ffi = require("ffi")
ffi.cdef("int usleep(unsigned int microseconds);")
local rest = function(mean) ffi.C.usleep(-math.log(1 - math.random()) * mean) end
"""


def wrk(load: Load, port: int, seconds: int, path: Path, seed: int = 1) -> list[str]:
    """The command that sends a load."""
    threads = load.connections if load.pause else 1
    command = [
        "taskset",
        "-c",
        str(OTHER),
        "wrk",
        f"-t{threads}",
        f"-c{load.connections}",
        f"-d{seconds}s",
        "-s",
    ]
    return [*command, str(script(load, path, seed)), f"http://127.0.0.1:{port}/"]


def heard(output: str) -> Turn:
    """What wrk said."""
    found = re.search(r"RESULT (\d+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+)", output)
    if found is None:
        raise SystemExit(f"wrk said nothing useful:\n{output}")
    return Turn(int(found[1]), float(found[2]), float(found[3]), float(found[4]), int(found[5]))


def send(load: Load, port: int, seconds: int, path: Path, seed: int = 1) -> Turn:
    """Sends a load for so long."""
    command = wrk(load, port, seconds, path, seed)
    return heard(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
