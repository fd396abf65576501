"""Tags for representations whose backend sends no strong one: a keyed hash of the content.

A minted tag is the same on every replica, on GET and on HEAD, and for every content coding but for a suffix
(RFC 9110 section 8.8.3.3: codings of one representation need tags of their own). It is bound to the
resource's name and keyed (HMAC, RFC 2104), so that it tells nothing about content that one could guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Iterable
from dataclasses import replace

import brotli
import zstandard

from proxy.rules.base64url import base64url
from proxy.rules.conditions import Conditions
from proxy.rules.etags import EntityTag, Star, Tags

_MINTED = re.compile(r"pp1\.[A-Za-z0-9_-]{22}(?:-([a-z0-9]+))?")
_BASE_LENGTH = len("pp1.") + 22
_MOST_CODINGS = 2
_ALWAYS_DECODED = 1 << 20  # bytes: lists of much the same are packed tighter than one in 64
_ZSTD_WINDOW = 8 << 20  # RFC 9659 section 3: no content on the web needs more


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
                unknown coding, or a bomb: see `decode`) is hashed as it is, coding included.
        """
        mac = self._start.copy()
        decoded = decode(content, coding) if coding else content
        # What is hashed as it is never has the tag of other content that happens to look like it.
        undone = "" if decoded is not None else coding
        # Neither a key nor a field's value can hold NUL (RFC 9110 section 5.5), so it parts them.
        mac.update(f"{key}\0{undone}\0".encode("utf-8", "surrogateescape"))
        mac.update(content if decoded is None else decoded)
        return _tag(mac)

    def mint_told(self, key: str, kind: str, identity: bytes, negotiated: tuple[str, str]) -> EntityTag:
        """The tag of a representation whose version is told by a part of it.

        Args:
            key: the resource's name.
            kind: what `identity` is: the same bytes of another kind have another tag.
            identity: the version, or what is left of the content.
            negotiated: the representation's media type and language: a backend's own revision is the same in
                all of them, and a strong tag is one representation's (RFC 9110 section 8.8.1).
        """
        mac = self._start.copy()
        # No field's value holds a control character, so `mint` gives no coding of this form.
        parts = (key, f"\1{kind}", *negotiated)
        mac.update("".join(f"{part}\0" for part in parts).encode("utf-8", "surrogateescape"))
        mac.update(identity)
        return _tag(mac)

    def identify(self, parts: Iterable[bytes]) -> bytes:
        """Sixteen bytes that stand for these parts, and tell nobody without the secret what they were."""
        mac = self._start.copy()
        # No resource's name begins so: this is never the hash of a tag.
        mac.update(b"\1replay\0" + joined(parts))
        return mac.digest()[:16]


def joined(parts: Iterable[bytes]) -> bytes:
    """The parts as one, for a hash: no others come to the same."""
    return b"".join([b"%d\0%b" % (len(part), part) for part in parts])


def _tag(mac: hmac.HMAC) -> EntityTag:
    return EntityTag("pp1." + base64url(mac.digest()[:16]))


def is_minted(tag: EntityTag) -> bool:
    """Whether the tag has the form of ours; weakened and suffixed ones too. The backend does not know it."""
    return _MINTED.fullmatch(tag.opaque) is not None


def names_minted(conditions: Conditions) -> bool:
    """Whether a request names a tag of ours in If-Match or If-None-Match."""
    return any_minted(conditions.if_match) or any_minted(conditions.if_none_match)


def any_minted(tags: Tags | None) -> bool:
    """Whether a tag of ours is among them."""
    return tags is not None and not isinstance(tags, Star) and any(map(is_minted, tags))


def with_coding(tag: EntityTag, coding: str) -> EntityTag:
    """The tag of the same representation under a content coding (RFC 9110 section 8.8.3.3)."""
    suffix = "".join(char for char in _plain_name(coding) if char.isalnum() and char.isascii())
    return EntityTag(f"{tag.opaque}-{suffix}") if suffix else tag


def without_coding(tag: EntityTag) -> EntityTag:
    """A minted tag without the suffix of its coding; any other tag as it is."""
    return EntityTag(tag.opaque[:_BASE_LENGTH], tag.weak) if is_minted(tag) else tag


def plain_tags(conditions: Conditions) -> Conditions:
    """A write's conditions with minted tags without the suffix of a coding.

    A write is on the resource: it may name any of its current representations (RFC 9110 section 13.1.1).
    """
    if not names_minted(conditions):
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


def decode(content: bytes, codings: str) -> bytes | None:
    """The content without its codings, which are undone from the last one on (RFC 9110 section 8.4).

    Returns:
        None where one is unknown or too many, or the content is damaged, or becomes more than 64 times its
            size and 1 MiB.
    """
    names = [name for part in codings.split(",") if (name := _plain_name(part))]
    limit = 64 * len(content) + _ALWAYS_DECODED
    decoded: bytes | None = content if len(names) <= _MOST_CODINGS else None
    for name in reversed(names):
        decoded = None if decoded is None else _undo(decoded, name, limit)
    return decoded


def _plain_name(coding: str) -> str:
    """A coding's name in lower case; "x-gzip" is gzip (RFC 9110 section 8.4.1.3)."""
    return coding.strip().lower().removeprefix("x-")


def _undo(content: bytes, coding: str, limit: int) -> bytes | None:
    """The content without one coding (RFC 9110 section 8.4.1), or None."""
    try:
        match coding:
            case "identity":
                return content
            case "gzip":
                return _inflate(content, 16 + zlib.MAX_WBITS, limit)
            case "deflate":
                return _inflate(content, zlib.MAX_WBITS, limit)
            case "br":
                return _unbrotli(content, limit)
            case "zstd":
                return _unzstd(content, limit)
            case _:
                return None
    except (zlib.error, brotli.error, zstandard.ZstdError):
        return None


def _inflate(content: bytes, window: int, limit: int) -> bytes | None:
    inflater = zlib.decompressobj(window)
    decoded = inflater.decompress(content, limit)
    return decoded if inflater.eof and not inflater.unused_data else None


def _unbrotli(content: bytes, limit: int) -> bytes | None:
    decompressor = brotli.Decompressor()
    decoded: bytes = decompressor.process(content, output_buffer_limit=limit)
    return decoded if decompressor.is_finished() else None


def _unzstd(content: bytes, limit: int) -> bytes | None:
    # The library makes room for whatever size the content claims, and reads no more than its first frame.
    if zstandard.frame_content_size(content) > limit:
        return None
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    return decompressor.decompress(content, max_output_size=limit, allow_extra_data=False)
