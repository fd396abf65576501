"""What a request target comes to: its route, its resource's name, the form that is forwarded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from proxy.exchange import Line, Request
from proxy.gate.representation import Representation
from proxy.gate.visit import Visit
from proxy.rules.conditions import Conditions
from proxy.rules.minting import Minter
from proxy.rules.patterns import expand
from proxy.rules.recent import Recent
from proxy.rules.resources import (
    Target,
    collections_above,
    forwarded_target,
    other_route_path,
    read_target,
    resource_key,
    spelling,
)
from proxy.rules.routing import Mode, OnStoreFailure, Route, Router, Verify
from proxy.rules.versions import Version

# RFC 4918 sections 9.6, 9.8 and 9.9: the members of a collection go with it.
_WHOLE: Final = frozenset({"DELETE", "MOVE", "COPY"})
_LONGEST: Final = 256  # characters; a client can make up thousands of long ones


@dataclass(slots=True)
class Named:
    """A target and what follows from it, whatever the method.

    Attributes:
        route: the settings that apply.
        target: the target in its one form.
        wire: the target as it is forwarded.
        key: the resource's name in the store; "" where nothing is looked at.
        mark: of the Host and target; see `proxy.rules.resources.spelling`.
        doubt: why such a target is refused, or None.
        plain: whether a GET may take the short way: see `proxy.gate.plain`.
        writes: whether a PUT or PATCH may: see `proxy.gate.plain_write`.
        shown: what the backend showed last, by its fields ETag and Last-Modified as they were sent.
        minted: the version of the last content that had none, and the field that tells it; by who minted its
            tag, the content's SHA-256, and Last-Modified as it was sent.
        unmodified: which condition had a 304 come of which conditions and version, the last time.
    """

    route: Route
    target: Target
    wire: bytes
    key: str = ""
    mark: str = ""
    doubt: str | None = None
    plain: bool = False
    writes: bool = False
    shown: tuple[str, str | None, Representation] | None = None
    minted: tuple[tuple[Minter, bytes, str | None], Version, Line] | None = None
    unmodified: tuple[Conditions, Version, str] | None = None

    def visit(self, request: Request, method: str, conditions: Conditions) -> Visit:
        """A request for it."""
        return Visit(request, method, self.route, self.target, self.wire, self.key, self.mark, conditions)

    def get_head(self, request: Request, lines: bytes) -> bytes:
        """The head of a GET of it on behalf of a request, with field lines that are bytes already."""
        return b"GET %b HTTP/1.1\r\n%bX-Request-ID: %b\r\n\r\n" % (self.wire, lines, request.id.encode())


class Names:
    """Names targets, and remembers what it named: a resource is asked for again and again."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._recent: Recent[tuple[str, str], Named] = Recent()

    def of(self, request: Request) -> Named:
        """What the request's target names."""
        host = request.headers.get("Host", "")
        key = (request.target, host)
        named = self._recent.get(key) or self._recent.recall(key)
        if named is None:
            named = self._make(request.target, request, host)
            if not named.route.vary_by and len(request.target) + len(host) <= _LONGEST:
                self._recent.keep(key, named)
        return named

    def key_of(self, text: str, request: Request) -> str | None:
        """The name of another resource than the request's own, None where nothing is looked at."""
        target = read_target(text)
        route = self._router.find(target.path)
        if route.mode is Mode.OFF or target.doubt is not None:
            return None
        return resource_key(route, target, request.headers)

    def place(self, visit: Visit, destination: str | None) -> None:
        """Says which collections a write is in, and whether it is one of all that is in its own.

        Of a DELETE, MOVE or COPY whatever its route says: what is in there may be another route's.

        A collection goes by its name without the last slash, which clients leave out as they like (RFC 4918
        section 5.2).
        """
        visit.whole = visit.method in _WHOLE or destination is not None
        if not visit.whole and not visit.route.collections:
            return
        paths = [visit.target.path, *([] if destination is None else [read_target(destination).path])]
        above = [collections_above(path) for path in paths]
        own = [path.rstrip("/") or "/" for path in paths]
        inside = [*chain.from_iterable(above), *([] if visit.whole else own)]
        visit.inside = self._keys(inside, visit)
        visit.also = self._keys(own, visit) if visit.whole else ()
        # What is listed there changes, and it may be known by its name with the slash alone.
        parents = [f"{one[0].rstrip('/')}/" for one in above if one]
        visit.touched = (*visit.touched, *self._keys(parents, visit))

    def _keys(self, paths: Iterable[str], visit: Visit) -> tuple[str, ...]:
        found = (self.key_of(path, visit.request) for path in paths)
        return tuple(dict.fromkeys(key for key in found if key is not None))

    def changed_by(self, named: Named, request: Request) -> Named | None:
        """The resource that a write of this target changes, where the route names another one."""
        template = named.route.resource
        path = None if template is None else expand(template, self._router.parameters(named.target.path))
        if path is None:
            return None
        host = request.headers.get("Host", "")
        about = self._make(path, request, host)
        if about.doubt is None and not about.key:  # not looked at but for this
            about.key = resource_key(about.route, about.target, request.headers)
            about.mark = spelling(about.route, about.target, host)
        return about

    def _make(self, text: str, request: Request, host: str) -> Named:
        target = read_target(text)
        route = self._router.find(target.path)
        doubt = self._doubt(route, target)
        if doubt is not None:
            return Named(route, target, b"", doubt=doubt)
        wire = forwarded_target(route, target)
        if route.mode is Mode.OFF:
            return Named(route, target, wire, plain=True)
        key = resource_key(route, target, request.headers)
        plain = route.version is None and route.match not in self._router.finishing
        writes = plain and not self._router.collections and _writes_plainly(route)
        mark = spelling(route, target, host)
        return Named(route, target, wire, key, mark, plain=plain, writes=writes)

    def _doubt(self, route: Route, target: Target) -> str | None:
        """Why two servers may read the path as two resources; a guard on one would not hold for the other."""
        if target.doubt is not None and self._reaches_guarded(route, target):
            return target.doubt
        merged = other_route_path(target)
        if merged is not None and self._router.find(merged) is not route:
            return "an empty segment (//), without which another route applies"
        return None

    def _reaches_guarded(self, route: Route, target: Target) -> bool:
        """Whether a path that is read in two ways may name a resource that is looked at."""
        if route.mode is not Mode.OFF or target.careless is None:
            return True
        return self._router.find(target.careless).mode is not Mode.OFF


def _writes_plainly(route: Route) -> bool:
    """Whether a write of this route comes to nothing but claim, check, forward, refresh and release."""
    return (
        route.mode is Mode.ENFORCE
        and route.verify is not Verify.ALWAYS
        and route.on_store_failure is OnStoreFailure.REJECT
        and route.resource is None
        and not route.invalidates
        and not route.fence
    )
