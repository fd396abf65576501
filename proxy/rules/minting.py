"""Tags for representations whose backend sends no strong one: a keyed hash of the content.

A minted tag is the same on every replica, on GET and on HEAD, and for every content coding but for a suffix
(RFC 9110 section 8.8.3.3: codings of one representation need tags of their own). It is bound to the
resource's name and keyed (HMAC, RFC 2104), so that it tells nothing about content that one could guess.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from dataclasses import replace

import brotli
import zstandard

from proxy.rules.conditions import Conditions
from proxy.rules.etags import EntityTag, Star, Tags

_MINTED = re.compile(r"pp1\.[A-Za-z0-9_-]{22}(?:-([a-z0-9]+))?")
_BASE_LENGTH = len("pp1.") + 22
_DECODABLE = frozenset({"gzip", "deflate", "br", "zstd"})


class Minter:
    """Mints tags with one secret.

    Args:
        secret: the same on every replica; whoever has it can test guesses of content against tags.
    """

    def __init__(self, secret: bytes) -> None:
        self._start = hmac.new(hashlib.sha256(secret).digest(), digestmod=hashlib.sha256)

    def mint(self, key: str, content: bytes, coding: str = "") -> EntityTag:
        """The tag of a representation, without the suffix of its coding.

        Args:
            key: the resource's name.
            content: the body as received.
            coding: its Content-Encoding in lower case, "" for none. What cannot be decoded (damaged, an
                unknown coding, or more than 64 times its size) is hashed as it is, coding included.
        """
        mac = self._start.copy()
        mac.update(key.encode("utf-8", "surrogateescape") + b"\0")
        decoded = content if not coding else _decode(content, coding)
        mac.update(content + b"\0" + coding.encode("utf-8", "replace") if decoded is None else decoded)
        return EntityTag("pp1." + base64.urlsafe_b64encode(mac.digest()[:16]).decode("ascii")[:22])


def is_minted(tag: EntityTag) -> bool:
    """Whether the tag has the form of ours; weakened and suffixed ones too. The backend does not know it."""
    return _MINTED.fullmatch(tag.opaque) is not None


def with_coding(tag: EntityTag, coding: str) -> EntityTag:
    """The tag of the same representation under a content coding (RFC 9110 section 8.8.3.3)."""
    suffix = "".join(char for char in coding.lower() if char.isalnum() and char.isascii())
    return EntityTag(f"{tag.opaque}-{suffix}") if suffix else tag


def without_coding(tag: EntityTag) -> EntityTag:
    """A minted tag without the suffix of its coding; any other tag as it is."""
    return EntityTag(tag.opaque[:_BASE_LENGTH], tag.weak) if is_minted(tag) else tag


def plain_tags(conditions: Conditions) -> Conditions:
    """A write's conditions with minted tags without the suffix of a coding.

    A write is on the resource: it may name any of its current representations (RFC 9110 section 13.1.1).
    """
    if conditions.if_match is None and conditions.if_none_match is None:
        return conditions
    return replace(
        conditions,
        if_match=_plain(conditions.if_match),
        if_none_match=_plain(conditions.if_none_match),
        sent=conditions.sent,
    )


def _plain(tags: Tags | None) -> Tags | None:
    return tags if tags is None or isinstance(tags, Star) else tuple(map(without_coding, tags))


def coding_of(tag: EntityTag) -> str | None:
    """Which content coding a minted tag was given for ("" for none), or None where the tag is not ours."""
    match = _MINTED.fullmatch(tag.opaque)
    return None if match is None else (match[1] or "")


def _decode(content: bytes, coding: str) -> bytes | None:
    """The decoded content (RFC 9110 section 8.4.1), or None."""
    limit = 64 * len(content) + 1024
    coding = coding.removeprefix("x-")
    if coding not in _DECODABLE:
        return None
    try:
        if coding == "gzip":
            return _inflate(content, 16 + zlib.MAX_WBITS, limit)
        if coding == "deflate":
            return _inflate(content, zlib.MAX_WBITS, limit)
        if coding == "br":
            return _unbrotli(content, limit)
        return zstandard.ZstdDecompressor().decompress(content, max_output_size=limit)
    except (zlib.error, brotli.error, zstandard.ZstdError, ValueError):
        return None


def _inflate(content: bytes, window: int, limit: int) -> bytes | None:
    inflater = zlib.decompressobj(window)
    decoded = inflater.decompress(content, limit)
    return decoded if inflater.eof and not inflater.unused_data else None


def _unbrotli(content: bytes, limit: int) -> bytes | None:
    decompressor = brotli.Decompressor()
    decoded: bytes = decompressor.process(content, output_buffer_limit=limit)
    return decoded if decompressor.is_finished() else None
