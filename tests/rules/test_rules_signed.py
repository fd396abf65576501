"""Credentials that are good for one request alone, as tables."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.rules.problems import Kind, Problem
from proxy.rules.signed import bound_to_method, is_s3, s3_error

AWS = "AWS4-HMAC-SHA256 Credential=key/20221115/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def headers(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


@pytest.mark.parametrize(
    ("fields", "target", "bound", "s3"),
    [
        ((), "/a", False, False),
        ((("Authorization", "Basic dTpw"),), "/a", False, False),
        ((("Authorization", "Bearer AWS4-HMAC-SHA256"),), "/a", False, False),
        ((("Authorization", "Digestion x"),), "/a", False, False),
        ((("Authorization", AWS),), "/a", True, True),
        ((("Authorization", "AWS4-ECDSA-P256-SHA256 Credential=k"),), "/a", True, True),
        ((("Authorization", "AWS key:signature"),), "/a", True, True),
        ((("authorization", 'Digest username="u", uri="/a"'),), "/a", True, False),
        ((("Authorization", 'digest username="u"'),), "/a", True, False),
        ((("Authorization", 'OAuth oauth_signature="s"'),), "/a", True, False),
        ((("Authorization", 'Hawk id="h"'),), "/a", True, False),
        ((("Authorization", "Bearer t"), ("DPoP", "jwt")), "/a", True, False),
        ((("Signature-Input", 'sig=("@method")'),), "/a", True, False),
        ((), "/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0", True, True),
        ((), "/a?AWSAccessKeyId=k&Signature=s", True, False),
        ((), "/a?MySignature=s", False, False),
    ],
)
def test_what_is_bound(fields: tuple[tuple[str, str], ...], target: str, bound: bool, s3: bool) -> None:
    assert (bound_to_method(headers(*fields), target), is_s3(headers(*fields), target)) == (bound, s3)


@pytest.mark.parametrize(
    ("status", "title", "code"),
    [
        (412, "Precondition Failed", "PreconditionFailed"),
        (428, "Precondition Required", "PreconditionRequired"),
        (503, "Service Unavailable", "ServiceUnavailable"),
        (400, "Bad Request", "InvalidRequest"),
    ],
)
def test_the_errors_of_s3(status: int, title: str, code: str) -> None:
    problem = Problem(status, Kind.STALE, title, "What <happened>.", "What to do.", {"condition": "If-Match"})
    kind, content = s3_error(problem, "/bucket/a&b?x", "id")
    assert kind == "application/xml"
    assert content.decode() == (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        "<Message>What &lt;happened&gt;. What to do.</Message><Condition>If-Match</Condition>"
        "<Resource>/bucket/a&amp;b</Resource><RequestId>id</RequestId></Error>\n"
    )
