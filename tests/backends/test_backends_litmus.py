"""A WebDAV conformance suite says the same of a server through the proxy as without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.litmus import verdicts
from backends.proxying import proxy
from backends.stores import store_url
from backends.tools import ground, thorough
from backends.webdav import SERVERS, Share

MINTED = {"version": {"content": True}}
EVERY = ["PUT", "DELETE", "POST", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "PROPPATCH"]
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "tags of our own": {"defaults": MINTED},
    "tags of responses, on Redis": {"defaults": {"after_write": "response"}, "store": "redis"},
    "all asked, all claimed, on Redis": {"defaults": {"verify": "always", "guard": EVERY}, "store": "redis"},
    "report": {"defaults": {"mode": "report", **MINTED}},
}
# What the proxy refuses on its own: a fragment in a target, which some servers cut off (RFC 9112 section 3).
REFUSED = {"basic delete_fragment"}


@pytest.fixture(scope="module", params=thorough("apache", all_of=SERVERS))
def served(request: pytest.FixtureRequest) -> Iterator[Share]:
    """A server of each kind."""
    with ground() as folder, SERVERS[request.param](folder) as share:
        yield share


@pytest.fixture(scope="module")
def direct(served: Share, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What litmus says of the server itself."""
    return verdicts(served.url, tmp_path_factory.mktemp("direct"))


@pytest.mark.parametrize("name", thorough("defaults", "tags of our own", all_of=SETTINGS))
def test_the_verdicts_are_the_same(served: Share, direct: dict[str, str], name: str, tmp_path: Path) -> None:
    configuration = dict(SETTINGS[name])
    with (
        store_url(configuration.pop("store", "memory")) as store,
        proxy(tmp_path / "proxy", served.url, store=store, **configuration) as url,
    ):
        proxied = verdicts(url, tmp_path / "litmus")
    # Tests of tags are skipped where a server has none; with the proxy's they must pass.
    expected = {
        test: "pass" if (verdict == "SKIPPED" and proxied.get(test) == "pass") or test in REFUSED else verdict
        for test, verdict in direct.items()
    }
    assert proxied == expected
    assert sum(verdict == "pass" for verdict in proxied.values()) >= 30
