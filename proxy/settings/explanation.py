"""What a configuration means, in plain words, for `precondition-proxy check`; never a secret."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.rules import pointers
from proxy.rules.routing import (
    AfterWrite,
    EtagOnWrite,
    Mode,
    OnStoreFailure,
    RequireMode,
    Route,
    Verify,
    WeakIfMatch,
)
from proxy.settings.kinds import Forwarded, HostField
from proxy.settings.model import Settings
from proxy.settings.values import listed, written_duration, written_size

_WRITES = "PUT, PATCH, DELETE"


def explained(settings: Settings) -> str:
    """The whole configuration: where it listens, what it guards and how, and what to think of."""
    rows = [*_house(settings), ("", ""), ("routes", "the first that matches wins")]
    lines = [f"{name:<9} {words}".rstrip() for name, words in rows]
    lines += [f"  {name}: {'; '.join(words)}" for _, name, words in explained_routes(settings)]
    found = warnings(settings)
    return "\n".join([*lines, *([""] if found else []), *(f"warning: {warning}" for warning in found)])


def explained_routes(settings: Settings) -> Iterator[tuple[Route, str, tuple[str, ...]]]:
    """Each route, the default last, with what people call it and what it does."""
    for route in (*settings.resolved_routes(), settings.default_route()):
        yield route, _name(route, settings), tuple(route_words(route))


def route_words(route: Route) -> Iterator[str]:
    """What a route does, one clause for each thing."""
    if route.mode is Mode.OFF:
        yield "forwarded as it is, nothing is looked at"
        return
    if route.mode is Mode.REPORT:
        yield "report only: conditions are evaluated and counted, but every request is forwarded"
    yield from _conditions(route)
    yield from _versions(route)
    yield from _names(route)


def warnings(settings: Settings) -> list[str]:
    """What is allowed, but should be known."""
    return [*_secret_warnings(settings), *_reach_warnings(settings), *_route_warnings(settings)]


def _house(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "listen", _bound(str(settings.listen))
    shown = (
        f"{_bound(str(settings.admin))} (/metrics, /conflicts, /healthz, /readyz)"
        if settings.admin
        else "off"
    )
    yield "admin", shown
    if settings.workers != 1:
        many = "one for each processor" if settings.workers == "auto" else str(settings.workers)
        yield "workers", f"{many}; they share these two ports, and the limits on connections"
    upstream, store = settings.upstream, settings.store
    host = "the client's Host" if upstream.host is HostField.KEEP else "its own Host"
    yield "upstream", f"{upstream.url}, {host}, answers within {written_duration(upstream.timeout)}"
    lasts = (
        f"a claim lasts {written_duration(settings.lease)}, others wait {written_duration(store.wait)} for it"
    )
    if store.in_memory:
        yield "store", f"in this process's memory, at most {store.capacity} resources; {lasts}"
    else:
        yield "store", f"{store.shown}, keys begin with {store.prefix}; {lasts}"
    told = {
        Forwarded.X_FORWARDED: "by X-Forwarded-For, -Host and -Proto",
        Forwarded.FORWARDED: "by Forwarded",
        Forwarded.NONE: "nothing",
    }[settings.forwarded]
    trusted = listed(map(str, settings.trusted_proxies), "and") if settings.trusted_proxies else "nobody"
    if settings.tracing.enabled:
        yield "tracing", _traced(settings)
    yield "clients", f"the backend is told of them {told}; {trusted} is believed when speaking for others"


def _traced(settings: Settings) -> str:
    wanted = settings.tracing
    share = "as OTEL_TRACES_SAMPLER says" if wanted.sample is None else f"{wanted.sample:.3g} of new traces"
    return f"spans to {wanted.endpoint or 'where the OTEL_* variables say'}, {share}"


def _bound(address: str) -> str:
    return f"every interface, port {address[1:]}" if address.startswith(":") else address


def _name(route: Route, settings: Settings) -> str:
    if route.match != "default":
        return route.match
    return "all other paths" if settings.routes else "all paths"


def _conditions(route: Route) -> Iterator[str]:
    would = "would get" if route.mode is Mode.REPORT else "else"
    if route.require and route.require_mode is RequireMode.REPORT:
        yield f"{_methods(route.require)} without a condition are counted (they would get 428)"
    elif route.require:
        yield f"{_methods(route.require)} must carry a condition ({would} 428)"
    elif route.mode is Mode.ENFORCE:
        yield "conditions are checked where a request has one"
    unconditional = route.guard - route.require
    if unconditional:
        yield f"{_methods(unconditional)} wait for each other even without one"
    if route.verify is Verify.ALWAYS and not route.collections:
        yield "the backend is asked before every conditional write"
    elif route.verify is Verify.NEVER:
        yield "a recorded version is always believed"
    if route.weak_if_match is WeakIfMatch.RELAXED:
        yield "weakened tags count in If-Match"
    if route.fence:
        yield "writes carry X-Precondition-Fence"
    if route.status_header:
        yield "responses say in Precondition-Status what was evaluated"
    if route.cors is not None:
        yield f"scripts of {listed(sorted(route.cors.origins), 'and')} may send conditions and see ETag"
    if route.mode is Mode.ENFORCE and route.replay != Route().replay:
        yield _replay(route)
    if route.on_store_failure is OnStoreFailure.PROBE:
        yield "without the store, writes are checked by asking the backend, without a claim"


def _replay(route: Route) -> str:
    if not route.replay:
        return "a write that succeeded and is sent again gets 412"
    within = written_duration(route.replay)
    return f"the same write sent again within {within} of its success gets the answer again"


def _versions(route: Route) -> Iterator[str]:
    if route.after_write is AfterWrite.RESPONSE:
        yield "the response to a write is believed to say the new version"
    elif route.after_write is AfterWrite.FORGET:
        yield "after a write the version is unknown until the next read"
    if route.etag_on_write is EtagOnWrite.ALWAYS:
        yield "a write is always answered with the new ETag"
    if route.collections:
        yield "a DELETE, MOVE or COPY is one of all below; it and writes there wait for each other"
        yield "the backend is asked before every conditional write"
    if route.resource is not None:
        yield f"a write here is a write of {route.resource}: conditions, waiting and tags are that resource's"
    if route.invalidates:
        yield f"a write also changes {listed(route.invalidates, 'and')}"
    yield from _sources(route)
    if route.hash_limit != Route().hash_limit:
        yield f"bodies up to {written_size(route.hash_limit)} get an ETag"


def _sources(route: Route) -> Iterator[str]:
    """Where versions come from, if not from the usual place."""
    source = route.version
    if source is None:
        return
    if source.header is not None:
        yield f"the version is the response's {source.header}"
    if source.field is not None:
        yield f"the version is {pointers.written(source.field)} of the JSON content"
    if source.modified is not None:
        yield f"the date is {pointers.written(source.modified)} of the JSON content"
    if source.ignore:
        yield f"{listed(map(pointers.written, source.ignore), 'and')} of the JSON content do not count"
    if source.ignore_text is not None:
        yield f"text that matches {source.ignore_text.pattern} does not count"
    if source.content:
        yield "the hash of all content is the version, whatever tags the backend sends"


def _names(route: Route) -> Iterator[str]:
    if route.case_insensitive:
        yield "upper and lower case are the same"
    if route.trailing_slash == "same":
        yield "a last slash makes no difference"
    if route.merge_slashes:
        yield "several slashes count as one"
    if route.query is not None:
        names = sorted(route.query)
        yield f"only {listed(names, 'and')} of the query counts" if names else "the query does not count"
    if route.vary_by:
        yield f"one resource for each {listed(route.vary_by, 'and')}"


def _methods(methods: frozenset[str]) -> str:
    usual = [method for method in _WRITES.split(", ") if method in methods]
    return ", ".join([*usual, *sorted(methods - set(usual))])


def _secret_warnings(settings: Settings) -> Iterator[str]:
    if settings.tag_secret is not None:
        return
    if settings.store.in_memory:
        yield "no tag_secret: minted ETags change with every restart (set PROXY_TAG_SECRET to keep them)"
    else:
        yield (
            "no tag_secret: one is made at the first start and kept in Redis; if Redis loses it, minted ETags"
            " change (set PROXY_TAG_SECRET, the same for every replica)"
        )


def _reach_warnings(settings: Settings) -> Iterator[str]:
    if settings.admin is not None and not settings.admin.loopback:
        yield (
            f"admin is not on loopback ({_bound(str(settings.admin))}): whoever reaches it sees metrics and"
            " conflicts"
        )
    if settings.store.in_memory:
        yield "the store is in memory: run one process only, or give all of them one Redis (store)"
    if settings.upstream.url.startswith("https:") and not settings.upstream.verify_tls:
        yield "upstream.verify_tls is false: anybody in between can pose as the backend"


def _route_warnings(settings: Settings) -> Iterator[str]:
    for route, resolved in zip(settings.routes, settings.resolved_routes(), strict=True):
        unused = sorted(route.model_fields_set - {"match", "mode"})
        if resolved.mode is Mode.OFF and unused:
            yield f"{route.match} is off, so nothing looks at its {listed(unused, 'and')}"
        if resolved.verify is Verify.NEVER and resolved.mode is Mode.ENFORCE:
            yield f"{route.match}: verify never overlooks every change that does not pass through the proxy"
