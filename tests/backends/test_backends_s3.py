"""An S3 store that ignores If-Match, driven by boto3, which signs method, Host and conditions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.deployed import free_ports, status

from backends.apis import APPS
from backends.proxying import proxy
from backends.stores import store_url
from backends.tools import package, serving, thorough

BUCKET = "bucket"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the store itself."""
    package("boto3", "moto", "flask_cors")
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("s3")
    with serving(
        sys.executable, APPS / "s3.py", str(port), folder=folder, ready=lambda: status(port, "/") == 403
    ):
        client(f"http://127.0.0.1:{port}").create_bucket(Bucket=BUCKET)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module", params=thorough("memory", all_of=["memory", "redis"]))
def proxied(
    store: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same through a proxy with the defaults."""
    with (
        store_url(request.param) as versions,
        proxy(tmp_path_factory.mktemp("p"), store, store=versions) as url,
    ):
        yield url


def client(url: str) -> Any:
    """boto3, as its users have it."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1",
        aws_access_key_id="key", aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )  # fmt: skip


def code(call: Callable[[], object]) -> str:
    """The code of the error that boto3 raises, as programs look for it."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        call()
    found: str = caught.value.response["Error"]["Code"]
    return found


def lose(s3: Any, key: str) -> Callable[[], object]:
    """Reads, has somebody else write, and makes the write that would lose theirs."""
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"first")
    tag = s3.get_object(Bucket=BUCKET, Key=key)["ETag"]
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"theirs", IfMatch=tag)
    return lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=b"mine", IfMatch=tag)


def content(s3: Any, key: str) -> bytes:
    found: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return found


def test_without_the_proxy_an_update_is_lost(store: str) -> None:
    s3 = client(store)
    lose(s3, "direct")()
    assert content(s3, "direct") == b"mine"


def test_a_lost_update_is_refused_as_s3_refuses(proxied: str) -> None:
    s3 = client(proxied)
    assert code(lose(s3, "one")) == "PreconditionFailed"
    assert content(s3, "one") == b"theirs"
    assert code(lambda: s3.delete_object(Bucket=BUCKET, Key="one", IfMatch='"other"')) == "PreconditionFailed"
    tag = s3.head_object(Bucket=BUCKET, Key="one")["ETag"]
    s3.delete_object(Bucket=BUCKET, Key="one", IfMatch=tag)
    assert code(lambda: s3.get_object(Bucket=BUCKET, Key="one")) == "NoSuchKey"


def test_the_tag_of_a_put_serves_for_the_next(proxied: str) -> None:
    """The backend cannot be asked: the signature of a PUT is good for no GET."""
    s3 = client(proxied)
    tag = s3.put_object(Bucket=BUCKET, Key="two", Body=b"0")["ETag"]
    for number in range(1, 4):
        stale, tag = tag, s3.put_object(Bucket=BUCKET, Key="two", Body=b"%d" % number, IfMatch=tag)["ETag"]
        put = {"Bucket": BUCKET, "Key": "two", "Body": b"lost"}
        assert code(lambda put=put, stale=stale: s3.put_object(**put, IfMatch=stale)) == "PreconditionFailed"
    assert code(lambda: s3.put_object(**put, IfNoneMatch="*")) == "PreconditionFailed"
    assert content(s3, "two") == b"3"


def test_all_else_is_as_without(store: str, proxied: str) -> None:
    """Uploads in parts, ranges, copies, lists, names that need encoding, metadata, content with Expect."""

    def told(url: str, prefix: str) -> list[object]:
        s3 = client(url)
        key = f"{prefix}/a b+c&d=é~'()*!"
        put = s3.put_object(Bucket=BUCKET, Key=key, Body=b"0123456789" * 300_000, Metadata={"a": "b"})
        got = s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=5-14")
        head = s3.head_object(Bucket=BUCKET, Key=key)
        begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        part = {"Bucket": BUCKET, "Key": key, "UploadId": begun}
        made = s3.upload_part(**part, PartNumber=1, Body=b"part")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": made}]}
        whole = s3.complete_multipart_upload(**part, MultipartUpload=parts)
        source = {"Bucket": BUCKET, "Key": key}
        s3.copy_object(
            Bucket=BUCKET, Key=f"{prefix}/copy", CopySource=source, CopySourceIfMatch=whole["ETag"]
        )
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")["Contents"]
        s3.put_object_tagging(Bucket=BUCKET, Key=key, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        tags = s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        same = code(lambda: s3.get_object(Bucket=BUCKET, Key=key, IfNoneMatch=whole["ETag"]))
        failed = code(lambda: s3.get_object(Bucket=BUCKET, Key=key, IfMatch='"other"'))
        gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})["Deleted"]
        return [
            put["ETag"], got["Body"].read(), got["ContentRange"], head["Metadata"], head["ContentLength"],
            made, whole["ETag"], [one["Key"][len(prefix) :] for one in listed], tags, same, failed, len(gone),
        ]  # fmt: skip

    assert told(proxied, "proxied") == told(store, "direct")


def test_the_signature_covers_the_host(store: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Which is why it is kept unless the route says otherwise: this is what `host: upstream` comes to."""
    upstream = {"url": store, "host": "upstream"}
    with proxy(tmp_path_factory.mktemp("host"), store, upstream=upstream) as url:
        assert code(lambda: client(url).list_objects_v2(Bucket=BUCKET)) == "SignatureDoesNotMatch"


def test_one_of_many_creators_wins_where_the_record_is_believed(
    store: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The route of docs/backends.md; by default the store says that the signature is not for a GET."""
    believing = {"routes": [{"match": f"/{BUCKET}/{{key*}}", "verify": "never", "after_write": "response"}]}
    new = {"Bucket": BUCKET, "Key": "new", "IfNoneMatch": "*"}
    with proxy(tmp_path_factory.mktemp("asking"), store) as url:
        assert code(lambda: client(url).put_object(**new, Body=b"one")) == "SignatureDoesNotMatch"
    with proxy(tmp_path_factory.mktemp("believing"), store, **believing) as url:
        s3 = client(url)
        assert code(lambda: s3.head_object(Bucket=BUCKET, Key="new")) == "404"
        tag = s3.put_object(**new, Body=b"one")["ETag"]
        assert code(lambda: s3.put_object(**new, Body=b"two")) == "PreconditionFailed"
        s3.put_object(Bucket=BUCKET, Key="new", Body=b"three", IfMatch=tag)
        assert content(s3, "new") == b"three"
