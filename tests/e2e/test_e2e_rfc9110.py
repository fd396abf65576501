"""RFC 9110 section 13, row by row, on sockets, in front of a backend that ignores every condition.

`fresh`: nothing is known of the resource when the request comes. `warm`: a GET has been recorded before.
"""

from __future__ import annotations

import pytest
from support.legacy import Legacy
from support.proxies import Connect, StartProxy
from support.rfc9110 import OTHERS, READS, ROWS, Expect, Row
from support.wire_client import Client

WIRE = [row for row in ROWS if row.wire]
SECTIONS = sorted({row.section for row in WIRE})
STATUS = {
    Expect.FAILED: 412,
    Expect.NOT_MODIFIED: 304,
    Expect.MALFORMED: 400,
    Expect.RANGE: 206,
    Expect.WHOLE: 200,
}
DONE = {"PUT": 204, "PATCH": 204, "DELETE": 204, "FROB": 204, "POST": 200}
ON_THE_WIRE = {"FROB": "UNLINK"}  # the edge's parser knows the registered methods only


def set_up(legacy: Legacy, row: Row, target: str) -> None:
    """Brings the backend into the row's state."""
    assert row.state.representations is not None
    for shown in row.state.representations:
        legacy.put(target, f"content of {target}", etag=shown.etag, last_modified=shown.last_modified)


def wanted(row: Row) -> int:
    """The status that the row asks for, of this backend."""
    absent = not row.state.representations
    if row.expect in STATUS:
        if row.reason == "absent" and row.method in ("DELETE", "PATCH"):
            return 404  # what the request would be answered without its condition (section 13.2.1)
        return STATUS[row.expect]
    if row.method in OTHERS:
        return 200
    if absent:
        return {"PUT": 201, "POST": 200}.get(row.method, 404)
    return 200 if row.method in READS else DONE[row.method]


async def tag_of(scout: Client, target: str) -> str:
    """The tag that a client is shown."""
    return (await scout.request("GET", target))["ETag"] or ""


async def run(row: Row, client: Client, scout: Client, legacy: Legacy, target: str) -> str | None:
    """What is wrong with the answer to a row, or None."""
    tag = await tag_of(scout, target) if any("{etag}" in value for _, value in row.fields) else ""
    fields = tuple((name, value.replace("{etag}", tag)) for name, value in row.fields)
    body = None if row.method in (*READS, *OTHERS, "DELETE") else b"new"
    method = ON_THE_WIRE.get(row.method, row.method)
    legacy.requests.clear()
    answer = await client.request(method, target, *fields, body=body)
    arrived = legacy.seen(method)
    if answer.status != wanted(row):
        return f"{answer.status}, not {wanted(row)}: {answer.body[:300]!r}"
    carried_out = row.expect in (Expect.PROCEED, Expect.IGNORED)
    if row.method not in (*READS, *OTHERS) and bool(arrived) != carried_out:
        return "reached the backend" if arrived else "did not reach the backend"
    if (
        answer.status == 412
        and row.method != "HEAD"
        and f'"reason": "{row.reason}"'.encode() not in answer.body
    ):
        return f"not for {row.reason}: {answer.body!r}"
    return _content(row, answer.status, answer.body, f"content of {target}".encode())


def _content(row: Row, status: int, body: bytes, content: bytes) -> str | None:
    if row.method != "GET" or status not in (200, 206):
        return None
    span = next((value for name, value in row.fields if name == "Range"), "")
    if status == 206:
        first, last = span.removeprefix("bytes=").split("-")
        content = content[int(first) : int(last) + 1]
    return None if body == content else f"other content: {body!r}"


@pytest.fixture(params=["fresh", "warm"])
def warmth(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("section", SECTIONS)
async def test_section(
    section: str, store: str, warmth: str, legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy(store=store, limits={"header_size": "64KiB"})
    scout = connect(await start_proxy())  # shows tags, and tells the other's store nothing
    client = connect(proxy)
    wrong = {}
    for number, row in enumerate(row for row in WIRE if row.section == section):
        target = f"/{number}"
        set_up(legacy, row, target)
        if warmth == "warm":
            await client.request("GET", target)
            await proxy.knows(target)
        if (fault := await run(row, client, scout, legacy, target)) is not None:
            wrong[row.id] = fault
    assert wrong == {}
