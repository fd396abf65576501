"""CORS on guarded routes, as tables (the Fetch standard, section 3.3)."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.cors import Cors, is_preflight, origin_of, preflight_fields, with_cors

APP = "https://app.example"
ONE = Cors(frozenset({APP}))
ANY = Cors(frozenset({"*"}))
TRUSTED = Cors(frozenset({APP}), credentials=True)
PASSED = Cors(frozenset({APP}), passed=True)
EXPOSED = (
    b"ETag, Last-Modified, Location, Content-Location, Retry-After, Preference-Applied,"
    b" Precondition-Status, X-Request-ID"
)


def sent(**fields: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()}))


@pytest.mark.parametrize(
    ("cors", "headers", "origin"),
    [
        (ONE, sent(), None),
        (ONE, sent(Origin=APP), APP),
        (ONE, sent(Origin=APP.upper()), APP.upper()),
        (ONE, sent(Origin="https://other.example"), None),
        (ONE, sent(Origin="null"), None),
        (ANY, sent(Origin="https://other.example"), "*"),
    ],
)
def test_whose_origin_is_allowed(cors: Cors, headers: CIMultiDictProxy[str], origin: str | None) -> None:
    assert origin_of(cors, headers) == origin


@pytest.mark.parametrize(
    ("method", "headers", "asks"),
    [
        ("OPTIONS", sent(Origin=APP, Access_Control_Request_Method="PUT"), True),
        ("OPTIONS", sent(Origin=APP), False),
        ("OPTIONS", sent(Access_Control_Request_Method="PUT"), False),
        ("PUT", sent(Origin=APP, Access_Control_Request_Method="PUT"), False),
    ],
)
def test_what_is_a_preflight(method: str, headers: CIMultiDictProxy[str], asks: bool) -> None:
    assert is_preflight(method, headers) is asks


def test_a_preflight_may_send_what_it_asks_for_and_nothing_that_is_no_name() -> None:
    asked = sent(
        Origin=APP,
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="if-match, content-type, bad name, ",
    )
    assert preflight_fields(ONE, asked) == [
        (b"Access-Control-Max-Age", b"600"),
        (b"Access-Control-Allow-Methods", b"PUT"),
        (b"Access-Control-Allow-Headers", b"if-match, content-type"),
        (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]


@pytest.mark.parametrize("method", ["", "PUT\r\nX: y", "P UT"])
def test_a_preflight_for_no_method_allows_none(method: str) -> None:
    fields = preflight_fields(ONE, sent(Origin=APP, Access_Control_Request_Method=method))
    assert fields is not None
    assert b"Access-Control-Allow-Methods" not in dict(fields)
    assert b"Access-Control-Allow-Headers" not in dict(fields)


@pytest.mark.parametrize("cors", [ONE, PASSED])
def test_a_preflight_of_another_origin_or_passed_on_is_not_ours(cors: Cors) -> None:
    origin = APP if cors.passed else "https://other.example"
    assert preflight_fields(cors, sent(Origin=origin, Access_Control_Request_Method="PUT")) is None


@pytest.mark.parametrize(
    ("cors", "method", "headers", "before", "after"),
    [
        (ONE, "GET", sent(), [], [(b"Vary", b"Origin")]),
        (ONE, "GET", sent(), [(b"vary", b"Accept, ORIGIN")], [(b"vary", b"Accept, ORIGIN")]),
        (ONE, "GET", sent(), [(b"Vary", b"*")], [(b"Vary", b"*")]),
        (
            ONE,
            "GET",
            sent(Origin=APP),
            [],
            [
                (b"Vary", b"Origin"),
                (b"Access-Control-Allow-Origin", APP.encode()),
                (b"Access-Control-Expose-Headers", EXPOSED),
            ],
        ),
        (
            TRUSTED,
            "PUT",
            sent(Origin=APP),
            [],
            [
                (b"Vary", b"Origin"),
                (b"Access-Control-Allow-Origin", APP.encode()),
                (b"Access-Control-Allow-Credentials", b"true"),
                (b"Access-Control-Expose-Headers", EXPOSED),
            ],
        ),
        (  # the backend's own policy stays, and is added to
            TRUSTED,
            "PUT",
            sent(Origin=APP),
            [
                (b"Vary", b"Origin"),
                (b"access-control-allow-origin", b"*"),
                (b"Access-Control-Expose-Headers", b"X-Total, etag"),
            ],
            [
                (b"Vary", b"Origin"),
                (b"access-control-allow-origin", b"*"),
                (b"Access-Control-Expose-Headers", b"X-Total, etag, " + EXPOSED[len("ETag, ") :]),
            ],
        ),
        (  # a preflight that the backend answers may send conditions too
            PASSED,
            "OPTIONS",
            sent(Origin=APP, Access_Control_Request_Method="PUT"),
            [
                (b"Vary", b"Origin"),
                (b"Access-Control-Allow-Origin", APP.encode()),
                (b"Access-Control-Allow-Headers", b"X-Csrf"),
            ],
            [
                (b"Vary", b"Origin"),
                (b"Access-Control-Allow-Origin", APP.encode()),
                (
                    b"Access-Control-Allow-Headers",
                    b"X-Csrf, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Prefer",
                ),
            ],
        ),
        (
            ONE,
            "OPTIONS",
            sent(Origin=APP, Access_Control_Request_Method="PUT"),
            [],
            [(b"Vary", b"Origin"), (b"Access-Control-Allow-Origin", APP.encode())],
        ),
    ],
)
def test_what_a_script_sees(
    cors: Cors,
    method: str,
    headers: CIMultiDictProxy[str],
    before: list[tuple[bytes, bytes]],
    after: list[tuple[bytes, bytes]],
) -> None:
    assert with_cors(cors, method, headers, before) == after
