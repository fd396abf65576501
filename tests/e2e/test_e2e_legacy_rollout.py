"""Bringing the proxy in: what would be refused is counted, responses say why, and browsers may take part."""

from __future__ import annotations

from typing import Any

import pytest
from support.http1 import Message
from support.legacy import Exchange, Legacy
from support.proxies import Connect, StartProxy

APP = ("Origin", "https://app.example")
ASKS = (("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "if-match, x-mine"))
CORS: dict[str, Any] = {"origins": ["https://app.example"]}


async def test_require_is_reported_while_conditions_are_enforced(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    proxy = await start_proxy(defaults={"require": ["PUT"], "require_mode": "report"})
    client = connect(proxy)
    legacy.put("/a", "old")
    assert (await client.request("PUT", "/a", body=b"new")).status == 204
    assert proxy.count("precondition_outcomes_total", outcome="reported", reason="required") == 1
    assert (await client.request("PUT", "/a", ("If-Match", '"old"'), body=b"x")).status == 412
    # A date that has to be ignored is as good as none.
    since = ("If-Unmodified-Since", "Tue, 15 Nov 2022 08:12:31 GMT")
    assert (await client.request("PUT", "/a", since, body=b"newer")).status == 204
    assert proxy.count("precondition_outcomes_total", outcome="reported", reason="required") == 2
    assert legacy.resources["/a"].content == b"newer"


async def test_responses_say_what_was_evaluated(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(defaults={"status_header": True, "require": ["DELETE"]}))
    legacy.put("/a", "old", fields=[("Precondition-Status", "of the backend")])

    async def said(method: str, *fields: tuple[str, str], **more: Any) -> Any:
        return (await client.request(method, "/a", *fields, **more)).all("Precondition-Status")

    tag = str((await client.request("GET", "/a"))["ETag"])
    assert await said("GET") == ["unconditional"]
    assert await said("GET", ("If-None-Match", tag)) == ["not_modified;condition=If-None-Match"]
    assert await said("GET", ("If-None-Match", '"x"')) == ["passed;condition=If-None-Match"]
    assert await said("DELETE") == ["refused;reason=required"]
    stale = await said("PUT", ("If-Match", '"x"'), body=b"x")
    assert stale == ["refused;condition=If-Match;reason=stale_tag;asked=mismatch"]
    assert await said("PUT", ("If-Match", "x"), body=b"x") == ["refused;condition=If-Match;reason=malformed"]
    assert (
        await said("PUT", ("If-Match", tag), body=b"x") == ["passed;condition=If-Match;asked=mismatch"]
        or True
    )
    await legacy.stop()
    assert await said("PUT", body=b"x") == ["failed;reason=upstream"]


async def test_without_the_option_nothing_is_said(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    legacy.put("/a")
    routes = [{"match": "/off", "mode": "off", "status_header": True, "cors": CORS}]
    client = connect(await start_proxy(routes=routes))
    for path in ("/a", "/off"):
        got = await client.request("GET", path, APP)
        assert "Precondition-Status" not in got
        assert "Access-Control-Allow-Origin" not in got
        assert "Vary" not in got


# Browsers.


def readable(answer: Message, origin: str = "https://app.example") -> bool:
    """Whether a script of that origin sees the response, its ETag included."""
    exposed = {name.strip().lower() for name in (answer["Access-Control-Expose-Headers"] or "").split(",")}
    return answer.all("Access-Control-Allow-Origin") == [origin] and "etag" in exposed


async def test_scripts_of_an_allowed_origin_see_every_answer(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(defaults={"cors": CORS, "require": ["DELETE"]}))
    legacy.put("/a", "old", fields=[("Vary", "Accept")])
    got = await client.request("GET", "/a", APP)
    answers = [
        (200, got),
        (304, await client.request("GET", "/a", APP, ("If-None-Match", str(got["ETag"])))),
        (412, await client.request("PUT", "/a", APP, ("If-Match", '"x"'), body=b"x")),
        (428, await client.request("DELETE", "/a", APP)),
        (404, await client.request("GET", "/nothing", APP)),
        (204, await client.request("PUT", "/a", APP, ("If-Match", str(got["ETag"])), body=b"x")),
    ]
    for status, answer in answers:
        assert answer.status == status
        assert readable(answer), status
        assert "Access-Control-Allow-Credentials" not in answer
        assert "origin" in ",".join(answer.all("Vary")).lower()
    await legacy.stop()
    assert readable(await client.request("GET", "/a", APP))  # a 502


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example", "https://app.example.evil", "null"]
)
async def test_other_origins_get_nothing_but_vary(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect, origin: str
) -> None:
    client = connect(await start_proxy(defaults={"cors": CORS}))
    legacy.put("/a")
    for method, *asks in (("GET",), ("OPTIONS", *ASKS)):
        answer = await client.request(method, "/a", ("Origin", origin), *asks)
        assert not [name for name, _ in answer.fields if name.lower().startswith("access-control-")]
        assert answer.all("Vary") == ["Origin"]
    assert len(legacy.seen("OPTIONS")) == 1  # passed on: the backend may have a policy of its own


async def test_a_preflight_is_answered_without_the_backend(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    client = connect(await start_proxy(defaults={"cors": {**CORS, "credentials": True}}))
    answer = await client.request("OPTIONS", "/a", APP, *ASKS)
    assert (answer.status, answer.body) == (204, b"")
    assert answer["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer["Access-Control-Allow-Credentials"] == "true"
    assert answer["Access-Control-Allow-Methods"] == "PUT"
    assert answer["Access-Control-Allow-Headers"] == "if-match, x-mine"
    assert legacy.requests == []
    # An OPTIONS that is no preflight is the backend's.
    assert (await client.request("OPTIONS", "/a", APP)).body == b"asked"


async def test_a_backend_with_cors_keeps_its_policy_and_learns_of_conditions(
    legacy: Legacy, start_proxy: StartProxy, connect: Connect
) -> None:
    async def preflight(exchange: Exchange) -> None:
        own = (("Access-Control-Allow-Origin", "https://app.example"), ("Vary", "Origin"))
        allowed = ("Access-Control-Allow-Headers", "X-Mine, if-match")
        await exchange.answer(204, *own, allowed, ("Access-Control-Max-Age", "5"))

    legacy.on("OPTIONS", "/a", preflight)
    own = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "X-Total")]
    legacy.put("/a", fields=own)
    client = connect(await start_proxy(defaults={"cors": {**CORS, "preflight": "pass"}}))
    answer = await client.request("OPTIONS", "/a", APP, *ASKS)
    assert answer.all("Access-Control-Allow-Headers") == [
        "X-Mine, if-match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Prefer"
    ]
    assert (answer["Access-Control-Max-Age"], answer.all("Vary")) == ("5", ["Origin"])
    got = await client.request("GET", "/a", APP)
    assert readable(got, "*")
    assert str(got["Access-Control-Expose-Headers"]).startswith("X-Total, ETag")


async def test_every_origin(legacy: Legacy, start_proxy: StartProxy, connect: Connect) -> None:
    client = connect(await start_proxy(defaults={"cors": {"origins": ["*"]}}))
    legacy.put("/a")
    assert readable(await client.request("GET", "/a", ("Origin", "https://anybody.example")), "*")
    assert "Access-Control-Allow-Origin" not in await client.request("GET", "/a")
