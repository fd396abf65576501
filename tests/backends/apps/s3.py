"""moto's S3 as many such stores are: it ignores conditions on writes, and checks every signature.

`python s3.py PORT`. The key is `key`, its secret `secret`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

Environment = dict[str, Any]
Application = Callable[[Environment, Any], Iterable[bytes]]
_DENIED = b"<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message></Error>"


def signed(environment: Environment) -> bool:
    """Whether the signature is that of just this request: its method, target, Host and signed fields."""
    stated = environment.get("HTTP_AUTHORIZATION", "")
    if not stated.startswith("AWS4-HMAC-SHA256 "):
        return False
    parts = dict(part.strip().split("=", 1) for part in stated.split(" ", 1)[1].split(","))
    fields = {
        name: environment.get(
            "HTTP_" + name.upper().replace("-", "_"), environment.get(name.upper().replace("-", "_"), "")
        )
        for name in parts["SignedHeaders"].split(";")
    }
    url = f"http://{environment['HTTP_HOST']}{environment['RAW_URI']}"
    request = AWSRequest(environment["REQUEST_METHOD"], url, fields)
    request.context["timestamp"] = fields["x-amz-date"]
    auth = S3SigV4Auth(Credentials("key", "secret"), "s3", "us-east-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return auth.signature(text, request) == parts["Signature"]


def careless(application: Application) -> Application:
    """The same, deaf to conditions on writes."""

    def answer(environment: Environment, start: Any) -> Iterable[bytes]:
        if environment["RAW_URI"] == "/moto-api/data.json":
            return application(environment, start)
        if not signed(environment):
            start(
                "403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(_DENIED)))]
            )
            return [_DENIED]
        if environment["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            environment.pop("HTTP_IF_MATCH", None)
            environment.pop("HTTP_IF_NONE_MATCH", None)
        return application(environment, start)

    return answer


if __name__ == "__main__":
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        careless(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
    )
