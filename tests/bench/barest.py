"""The barest forwarding that our own edge and upstream can do: no gate, no routes, no metrics, no names.

The yardstick of `mode: off` in `make bench`: what the gate costs where it looks at nothing.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import uvloop

from proxy.app import garbage
from proxy.edge import Edge, Limits
from proxy.exchange import Answer, Request, Shape
from proxy.gate import Gate
from proxy.gate.read import passed
from proxy.rules.conditions import NONE
from proxy.rules.fields import field_lines, request_fields
from proxy.upstream import Call
from proxy.upstream.pool import Pool


class Barest:
    """In the gate's place: sends on what comes, but for fields that are for one hop (RFC 9110, 7.6.1)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def shape_of(self, request: Request) -> Shape | None:
        """What the fields of a GET come to, found out once for each connection; writes have no short way."""
        if request.method != "GET":
            return None
        return Shape(NONE, frozenset(), False, field_lines(request_fields(request.fields, frozenset())))

    def known_shape(self, *_: object) -> Shape | None:
        """None: all its clients send the same fields again."""
        return None

    async def answer(self, request: Request) -> Answer:
        """The backend's answer."""
        target = request.target.encode()
        if request.shape is not None:
            head = b"GET %b HTTP/1.1\r\n%b\r\n" % (target, request.shape.lines)
            return passed(await self._pool.send(Call("GET", target, (), head=head)))
        whole = request.body.complete()
        body = request.body if whole is None else whole
        fields = request_fields(request.fields, frozenset())
        return passed(await self._pool.send(Call(request.method, target, fields, body)))


async def serve(port: int, upstream: str) -> None:
    """Serves until it is killed."""
    edge = Edge(cast(Gate, Barest(Pool(upstream))), Limits(), lambda *_: None)
    server = await asyncio.get_running_loop().create_server(edge, "127.0.0.1", port, backlog=1024)
    garbage.settle()
    await server.serve_forever()


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options.port, options.upstream))


if __name__ == "__main__":
    main()
