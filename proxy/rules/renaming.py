"""Whether another list of routes leaves every resource its name."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.rules.coverage import Reach, may_meet
from proxy.rules.patterns import parse
from proxy.rules.routing import Mode, Route


def same_names(old: Sequence[Route], new: Sequence[Route]) -> bool:
    """Whether every path is looked at as before, and names the same resource in the store.

    Only a yes is sure. A no means that versions may have been recorded before writes that nobody looked at,
    or that were recorded under another name.

    Args:
        old, new: all routes in the order in which they are tried, the default last.
    """
    return _essence(old) == _essence(new)


def _essence(routes: Sequence[Route]) -> list[object]:
    """What decides of names, without the routes that treat paths as what comes behind them does."""
    *front, default = routes
    kept: list[Route] = []
    for route in reversed(front):
        if naming(route) != naming(default) or any(_may_meet(route, later) for later in kept):
            kept.append(route)
    return [naming(default), *((route.match, naming(route)) for route in reversed(kept))]


def naming(route: Route) -> tuple[object, ...]:
    """Whether a route looks at paths, and all that makes names of them."""
    options = (route.case_insensitive, route.trailing_slash, route.merge_slashes, route.query, route.vary_by)
    return (route.mode is Mode.OFF, route.resource, route.collections, *options)


def _may_meet(one: Route, other: Route) -> bool:
    return may_meet(_reach(one), _reach(other))


def _reach(route: Route) -> Reach:
    return Reach(
        parse(route.match), route.case_insensitive, route.trailing_slash == "same", route.merge_slashes
    )
