"""The demo backend is what it says: a plain API that ignores every condition."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

NOTES = Path(__file__).parents[2] / "deploy" / "demo" / "notes.py"


@pytest.fixture
async def notes() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a freshly started backend, which then has to end by SIGTERM, cleanly."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(NOTES), "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    async with httpx.AsyncClient(base_url=line.removeprefix("listening on ").strip()) as client:
        yield client
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_life(notes: httpx.AsyncClient) -> None:
    created = await notes.post("/notes", json={"title": "New", "text": "one"})
    assert (created.status_code, created.headers["Location"]) == (201, "/notes/4")
    assert (await notes.get("/notes/4")).json() == {"id": 4, "title": "New", "text": "one"}
    assert (await notes.put("/notes/4", json={"title": "New", "text": "two"})).status_code == 200
    assert (await notes.patch("/notes/4", json={"text": None})).json() == {
        "id": 4,
        "title": "New",
        "text": "",
    }
    assert [note["id"] for note in (await notes.get("/notes")).json()] == [1, 2, 3, 4]
    assert (await notes.delete("/notes/4")).status_code == 204
    assert (await notes.get("/notes/4")).status_code == 404
    assert (await notes.put("/notes/9", json={"title": "Nine"})).status_code == 201


async def test_it_has_no_validators_and_ignores_conditions(notes: httpx.AsyncClient) -> None:
    for path in ("/notes", "/notes/1"):
        for response in (await notes.get(path), await notes.head(path)):
            assert not {"etag", "last-modified"} & set(response.headers)
    stale = {"If-Match": '"stale"', "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}
    assert (await notes.put("/notes/1", json={"title": "x"}, headers=stale)).status_code == 200
    assert (await notes.get("/notes/1", headers={"If-None-Match": "*"})).status_code == 200
    assert (await notes.delete("/notes/1", headers=stale)).status_code == 204


async def test_the_same_note_is_the_same_bytes(notes: httpx.AsyncClient) -> None:
    assert (await notes.get("/notes/1")).content == (await notes.get("/notes/1")).content
    head, get = await notes.head("/notes/1"), await notes.get("/notes/1")
    assert head.headers["Content-Length"] == str(len(get.content))


REFUSED = [
    ("POST", "/notes", "not json", 400),
    ("POST", "/notes", "[]", 400),
    ("POST", "/notes", '{"title": 1}', 400),
    ("POST", "/notes", '{"title": "x", "colour": "red"}', 400),
    ("PUT", "/notes/1", "{}", 400),
    ("PATCH", "/notes/1", '{"title": null}', 400),
    ("PATCH", "/notes/77", '{"title": "x"}', 404),
    ("DELETE", "/notes/77", "", 404),
    ("GET", "/notes/zero", "", 404),
    ("POST", "/notes/1", "{}", 405),
]


async def test_what_it_refuses_changes_nothing(notes: httpx.AsyncClient) -> None:
    before = (await notes.get("/notes")).content
    for method, path, content, status in REFUSED:
        response = await notes.request(method, path, content=content)
        assert response.status_code == status, (method, path, content)
    assert (await notes.get("/notes")).content == before
