"""What `check` says: each option in plain words, and what to think of."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from proxy.rules.content import VersionSource
from proxy.rules.cors import Cors
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
from proxy.settings import Settings, coherence, explained, load
from proxy.settings.explanation import route_words, warnings

CHECKED = "conditions are checked where a request has one"
WAIT = "PUT, PATCH, DELETE wait for each other even without one"
NO_GUARD: Any = {"guard": frozenset()}

# fmt: off
ROUTES = [
    (Route(),                                                               [CHECKED, WAIT]),
    (Route(mode=Mode.OFF, require=frozenset({"PUT"})),                      ["forwarded as it is, nothing is looked at"]),
    (Route(mode=Mode.REPORT, require=frozenset({"PUT"}), **NO_GUARD),       ["report only: conditions are evaluated and counted, but every request is forwarded", "PUT must carry a condition (would get 428)"]),
    (Route(require=frozenset({"MOVE", "DELETE", "PUT"}), **NO_GUARD),       ["PUT, DELETE, MOVE must carry a condition (else 428)"]),
    (Route(require=frozenset({"PUT"})),                                     ["PUT must carry a condition (else 428)", "PATCH, DELETE wait for each other even without one"]),
    (Route(verify=Verify.ALWAYS, **NO_GUARD),                               [CHECKED, "the backend is asked before every conditional write"]),
    (Route(verify=Verify.NEVER, **NO_GUARD),                                [CHECKED, "a recorded version is always believed"]),
    (Route(on_store_failure=OnStoreFailure.PROBE, **NO_GUARD),              [CHECKED, "without the store, writes are checked by asking the backend, without a claim"]),
    (Route(after_write=AfterWrite.RESPONSE, **NO_GUARD),                    [CHECKED, "the response to a write is believed to say the new version"]),
    (Route(after_write=AfterWrite.FORGET, **NO_GUARD),                      [CHECKED, "after a write the version is unknown until the next read"]),
    (Route(etag_on_write=EtagOnWrite.ALWAYS, **NO_GUARD),                   [CHECKED, "a write is always answered with the new ETag"]),
    (Route(collections=True, verify=Verify.ALWAYS, **NO_GUARD),             [CHECKED, "a DELETE, MOVE or COPY is one of all below; it and writes there wait for each other", "the backend is asked before every conditional write"]),
    (Route(resource="/a/{id}", **NO_GUARD),                                 [CHECKED, "a write here is a write of /a/{id}: conditions, waiting and tags are that resource's"]),
    (Route(invalidates=("/a", "/b"), **NO_GUARD),                           [CHECKED, "a write also changes /a and /b"]),
    (Route(hash_limit=64 << 10, **NO_GUARD),                                [CHECKED, "bodies up to 64KiB get an ETag"]),
    (Route(case_insensitive=True, trailing_slash="same", merge_slashes=True, **NO_GUARD), [CHECKED, "upper and lower case are the same", "a last slash makes no difference", "several slashes count as one"]),
    (Route(query=frozenset(), **NO_GUARD),                                  [CHECKED, "the query does not count"]),
    (Route(query=frozenset({"b", "a"}), **NO_GUARD),                        [CHECKED, "only a and b of the query counts"]),
    (Route(version=VersionSource(ignore=(("a", "b"), ("c",)), field=("rev",)), **NO_GUARD), [CHECKED, "the version is /rev of the JSON content", "/a/b and /c of the JSON content do not count"]),
    (Route(require=frozenset({"PUT"}), require_mode=RequireMode.REPORT, **NO_GUARD), ["PUT without a condition are counted (they would get 428)"]),
    (Route(weak_if_match=WeakIfMatch.RELAXED, fence=True, status_header=True, cors=Cors(frozenset({"https://b", "https://a"})), **NO_GUARD), [CHECKED, "weakened tags count in If-Match", "writes carry X-Precondition-Fence", "responses say in Precondition-Status what was evaluated", "scripts of https://a and https://b may send conditions and see ETag"]),
    (Route(replay=0.0, **NO_GUARD),                                         [CHECKED, "a write that succeeded and is sent again gets 412"]),
    (Route(replay=90.0, **NO_GUARD),                                        [CHECKED, "the same write sent again within 90s of its success gets the answer again"]),
    (Route(mode=Mode.REPORT, replay=90.0, **NO_GUARD),                      ["report only: conditions are evaluated and counted, but every request is forwarded"]),
    (Route(version=VersionSource(header="X-R", modified=("at",), ignore_text=re.compile("x+")), **NO_GUARD), [CHECKED, "the version is the response's X-R", "the date is /at of the JSON content", "text that matches x+ does not count"]),
    (Route(version=VersionSource(content=True), **NO_GUARD),                [CHECKED, "the hash of all content is the version, whatever tags the backend sends"]),
    (Route(vary_by=("authorization", "cookie:sid"), **NO_GUARD),            [CHECKED, "one resource for each authorization and cookie:sid"]),
]
WARNINGS = [
    # variables                                              a warning that begins with
    ({},                                                     "no tag_secret: minted ETags change with every restart"),
    ({"PROXY_STORE": "redis://r"},                           "no tag_secret: one is made at the first start and kept in Redis"),
    ({},                                                     "the store is in memory: run one process only"),
    ({"PROXY_ADMIN": ":9412"},                               "admin is not on loopback (every interface, port 9412)"),
    ({"PROXY_ADMIN": "10.1.2.3:9412"},                       "admin is not on loopback (10.1.2.3:9412)"),
    ({"PROXY_UPSTREAM": "https://b", "PROXY_UPSTREAM__VERIFY_TLS": "false"}, "upstream.verify_tls is false"),
    ({"PROXY_ROUTES": json.dumps([{"match": "/a", "mode": "off", "require": ["PUT"]}])}, "/a is off, so nothing looks at its require"),
    ({"PROXY_ROUTES": json.dumps([{"match": "/a", "verify": "never"}])}, "/a: verify never overlooks every change"),
]
QUIET = {"PROXY_TAG_SECRET": "x" * 16, "PROXY_STORE": "redis://r", "PROXY_UPSTREAM": "http://b"}
# fmt: on


@pytest.mark.parametrize(("route", "words"), ROUTES)
def test_route_in_words(route: Route, words: list[str]) -> None:
    assert list(route_words(route)) == words


@pytest.mark.parametrize(("environ", "warning"), WARNINGS)
def test_warning(environ: dict[str, str], warning: str) -> None:
    found = warnings(load(None, {}, {"PROXY_UPSTREAM": "http://b"} | environ))
    assert [words for words in found if words.startswith(warning)] != []


@pytest.mark.parametrize("admin", ["127.0.0.1:1", "[::1]:1", "localhost:1", "off"])
def test_nothing_to_warn_of(admin: str) -> None:
    assert warnings(load(None, {}, QUIET | {"PROXY_ADMIN": admin})) == []


@pytest.mark.parametrize(("workers", "words"), [("3", "3;"), ("auto", "one for each processor;")])
def test_workers_are_named_where_there_are_several(workers: str, words: str) -> None:
    environ = QUIET | {"PROXY_STORE": "redis://r"}
    assert f"\nworkers   {words} they share" in explained(
        load(None, {}, environ | {"PROXY_WORKERS": workers})
    )
    assert "workers" not in explained(load(None, {}, environ | {"PROXY_WORKERS": "1"}))


def test_the_whole_of_a_small_configuration() -> None:
    environ = QUIET | {
        "PROXY_LISTEN": ":8412",
        "PROXY_STORE": "redis://:sesame@r/0",
        "PROXY_TRUSTED_PROXIES": "10.0.0.0/8",
        "PROXY_ROUTES": json.dumps([{"match": "/s/{p*}", "mode": "off"}]),
    }
    assert explained(load(None, {}, environ)) == (
        "listen    every interface, port 8412\n"
        "admin     127.0.0.1:9412 (/metrics, /conflicts, /healthz, /readyz)\n"
        "upstream  http://b, the client's Host, answers within 30s\n"
        "store     redis://:***@r/0, keys begin with pp; a claim lasts 35s, others wait 10s for it\n"
        "clients   the backend is told of them by X-Forwarded-For, -Host and -Proto;"
        " 10.0.0.0/8 is believed when speaking for others\n"
        "\n"
        "routes    the first that matches wins\n"
        "  /s/{p*}: forwarded as it is, nothing is looked at\n"
        f"  all other paths: {CHECKED}; {WAIT}"
    )


@pytest.mark.parametrize(
    ("tracing", "words"),
    [
        ({"enabled": False, "sample": 1}, None),
        ({"enabled": True}, "spans to where the OTEL_* variables say, as OTEL_TRACES_SAMPLER says"),
        (
            {"enabled": True, "endpoint": "http://jaeger:4318", "sample": 0.1},
            "spans to http://jaeger:4318, 0.1 of new traces",
        ),
    ],
)
def test_where_traces_go(tracing: dict[str, Any], words: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coherence, "TRACING_PACKAGE", "json")  # whether the extra is installed or not
    said = explained(Settings.model_validate({"upstream": "http://b", "tracing": tracing}))
    assert re.findall("^tracing +(.*)$", said, re.M) == ([] if words is None else [words])
