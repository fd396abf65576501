"""Which method a request is judged by."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.methods import OVERRIDES, effective_method


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


CASES = [  # the method on the wire, what the field names, what the request is judged by
    # What may change something beats what may not, whichever of the two the backend obeys.
    ("GET", "DELETE", "DELETE"),
    ("GET", "delete", "DELETE"),
    ("GET", " put\t", "PUT"),
    ("GET", "WHATEVER", "WHATEVER"),
    ("HEAD", "PATCH", "PATCH"),
    ("OPTIONS", "POST", "POST"),
    ("POST", "GET", "POST"),
    ("PUT", "HEAD", "PUT"),
    ("DELETE", "PROPFIND", "DELETE"),
    ("GET", "HEAD", "GET"),
    # Of two that may, the one that is guarded without being asked to.
    ("POST", "PUT", "PUT"),
    ("POST", "PATCH", "PATCH"),
    ("POST", "DELETE", "DELETE"),
    ("PUT", "POST", "PUT"),
    ("DELETE", "POST", "DELETE"),
    ("LOCK", "DELETE", "DELETE"),
    ("DELETE", "LOCK", "DELETE"),
    ("PUT", "DELETE", "PUT"),
    # A tie is the wire's: most backends know no such field.
    ("POST", "LOCK", "POST"),
    ("LOCK", "POST", "LOCK"),
    # Nothing is named, or not by one name.
    ("POST", "", "POST"),
    ("GET", "GET, DELETE", "DELETE"),
    ("GET", "", "GET"),
    ("GET", " , ", "GET"),
]


@pytest.mark.parametrize("field", [*OVERRIDES, *(name.lower() for name in OVERRIDES)])
@pytest.mark.parametrize(("method", "named", "judged"), CASES)
def test_method(method: str, field: str, named: str, judged: str) -> None:
    assert effective_method(method, headers((field, named)), strip=False) == judged
    assert effective_method(method, headers((field, named)), strip=True) == method


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "get", "X"])
def test_without_the_fields_it_is_the_one_on_the_wire(method: str) -> None:
    assert effective_method(method, headers(("X-HTTP-Methods", "DELETE")), strip=False) == method


@pytest.mark.parametrize(
    "lines",
    [
        (("X-HTTP-Method-Override", "GET"), ("X-HTTP-Method-Override", "DELETE")),
        (("X-HTTP-Method-Override", "GET"), ("X-HTTP-Method", "DELETE")),
        (("X-Method-Override", "DELETE"), ("X-HTTP-Method-Override", "POST")),
    ],
)
def test_a_backend_may_obey_any_line(lines: tuple[tuple[str, str], ...]) -> None:
    assert effective_method("POST", headers(*lines), strip=False) == "DELETE"


@pytest.mark.parametrize(
    ("method", "named", "require", "judged"),
    [
        ("PUT", "DELETE", {"DELETE"}, "DELETE"),
        ("PUT", "DELETE", {"PUT"}, "PUT"),
        ("POST", "PUT", {"POST"}, "POST"),
        ("POST", "LOCK", {"LOCK"}, "LOCK"),
        ("POST", "GET", {"GET"}, "POST"),
    ],
)
def test_what_the_route_requires_a_condition_of_counts_first(
    method: str, named: str, require: set[str], judged: str
) -> None:
    fields = headers((OVERRIDES[0], named))
    assert effective_method(method, fields, strip=False, require=frozenset(require)) == judged
