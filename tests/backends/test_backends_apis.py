"""JSON backends that ignore If-Match: an update is lost without the proxy, and refused with it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from backends.apis import BACKENDS
from backends.proxying import proxy
from backends.stores import store_url
from backends.tools import thorough

THEIRS, MINE, LAST = ({"id": 1, "text": text, "more": "y" * 400} for text in ("theirs", "mine", "last"))


@pytest.fixture(scope="module", params=thorough("flask", "php", all_of=BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one note on a backend of each kind."""
    with BACKENDS[request.param](tmp_path_factory.mktemp("backend")) as url:
        yield url


@pytest.fixture(scope="module", params=thorough("memory", all_of=["memory", "redis"]))
def proxied(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same note through the proxy."""
    parts = urlsplit(backend)
    with (
        store_url(request.param) as store,
        proxy(tmp_path_factory.mktemp("proxy"), f"http://{parts.netloc}", store=store) as url,
    ):
        yield url + parts.path


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """As most programs send requests: gzip accepted."""
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


def lose(client: httpx.Client, url: str) -> httpx.Response:
    """Reads, has somebody else write, and writes over it with the tag of what was read."""
    assert client.put(url, json={"id": 1, "text": "first", "more": "x" * 400}).is_success
    tag = client.get(url).headers.get("ETag", '"none"')
    assert client.put(url, json=THEIRS).is_success
    return client.put(url, json=MINE, headers={"If-Match": tag})


def test_without_the_proxy_an_update_is_lost(client: httpx.Client, backend: str) -> None:
    assert lose(client, backend).is_success
    assert client.get(backend).json() == MINE


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_lost_update_is_refused(client: httpx.Client, proxied: str, coding: str) -> None:
    client.headers["Accept-Encoding"] = coding
    refused = lose(client, proxied)
    assert (refused.status_code, refused.headers["Content-Type"]) == (412, "application/problem+json")
    got = client.get(proxied)
    assert got.json() == THEIRS
    assert client.put(proxied, json=LAST, headers={"If-Match": got.headers["ETag"]}).is_success
    assert client.get(proxied).json() == LAST


def test_reads_are_told_by_the_tag(client: httpx.Client, proxied: str) -> None:
    tag = client.get(proxied).headers["ETag"]
    assert not tag.startswith("W/") or client.get(proxied).headers.get("Content-Encoding") == "gzip"
    assert client.head(proxied).headers["ETag"] == tag
    assert client.get(proxied, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(proxied, headers={"If-Match": '"other"'}).status_code == 412


def test_a_tag_of_a_writes_response_serves_for_the_next_write(client: httpx.Client, proxied: str) -> None:
    tag = client.get(proxied).headers["ETag"]
    for content in (THEIRS, MINE, LAST):
        written = client.put(proxied, json=content, headers={"If-Match": tag})
        assert written.is_success
        tag = written.headers.get("ETag") or client.get(proxied).headers["ETag"]
    assert client.get(proxied).json() == LAST


def test_one_of_many_creators_wins(client: httpx.Client, proxied: str) -> None:
    once = {"If-None-Match": "*"}
    if client.put(proxied + "0", json=MINE, headers=once).status_code == 404:
        return  # PUT does not create here, and the backend is the one to say so
    client.delete(proxied + "0")
    first, second = (
        client.put(proxied + "0", json=note, headers={"If-None-Match": "*"}) for note in (MINE, LAST)
    )
    assert (first.is_success, second.status_code) == (True, 412)
    assert client.get(proxied + "0").json() == MINE
    tag = client.get(proxied + "0").headers["ETag"]
    assert client.delete(proxied + "0", headers={"If-Match": '"other"'}).status_code == 412
    assert client.delete(proxied + "0", headers={"If-Match": tag}).is_success
    assert client.get(proxied + "0").status_code == 404
