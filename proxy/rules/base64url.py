"""Bytes as text that may stand in a tag and in a key (RFC 4648 section 5)."""

from __future__ import annotations

from binascii import b2a_base64
from typing import Final

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def base64url(data: bytes) -> str:
    """The data in base64url without padding: the standard library's is three functions, and this is hot."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode("ascii")
