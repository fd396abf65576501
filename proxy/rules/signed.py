"""Credentials that are good for one request alone, and what clients that send them are answered in."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from multidict import CIMultiDictProxy

from proxy.rules.problems import Problem

# Their signature covers the method: AWS's (versions 2 and 4), Digest (RFC 7616 section 3.4.3), HTTP Message
# Signatures of before RFC 9421, OAuth 1.0 (RFC 5849 section 3.4.1.1), Hawk.
_SCHEMES: Final = re.compile(
    r"(?:AWS4-[A-Z0-9-]+|AWS|Digest|Signature|OAuth|Hawk)(?:[ \t]|\Z)", re.IGNORECASE
)
_FIELDS: Final = ("Signature-Input", "DPoP")  # RFC 9421 section 4.1, RFC 9449 section 4.2 (htm)
_IN_QUERY: Final = re.compile(r"[?&](?:X-Amz-Signature|Signature)=")
_AWS: Final = re.compile(r"AWS(?:4-[A-Z0-9-]+)?[ \t]")

_S3_CODES: Final = {
    400: "InvalidRequest",
    408: "RequestTimeout",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def bound_to_method(headers: CIMultiDictProxy[str], target: str) -> bool:
    """Whether the request's credentials are good for its method alone: no GET can be sent with them."""
    if _SCHEMES.match(headers.get("Authorization", "")) or any(name in headers for name in _FIELDS):
        return True
    return _IN_QUERY.search(target) is not None


def is_s3(headers: CIMultiDictProxy[str], target: str) -> bool:
    """Whether the client is one of S3, which reads errors in the form of S3 and no other."""
    return _AWS.match(headers.get("Authorization", "")) is not None or "X-Amz-Signature=" in target


def s3_error(problem: Problem, target: str, request_id: str) -> tuple[str, bytes]:
    """The content type and the body of a refusal as S3 sends it; programs look for `PreconditionFailed`."""
    code = _S3_CODES.get(problem.status, problem.title.replace(" ", ""))
    parts = {
        "Code": code,
        "Message": f"{problem.detail} {problem.recovery}",
        "Condition": problem.members.get("condition"),
        "Resource": target.partition("?")[0],
        "RequestId": request_id,
    }
    inner = "".join(
        f"<{name}>{escape(str(text))}</{name}>" for name, text in parts.items() if text is not None
    )
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>\n'
    return "application/xml", document.encode("utf-8", "replace")
