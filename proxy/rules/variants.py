"""Which representation of a resource a response is (RFC 9110 sections 12.5.5 and 8.8.3.3)."""

from __future__ import annotations

import hashlib
import re

from multidict import CIMultiDictProxy

_NEGOTIATES = frozenset({"accept", "accept-charset", "accept-language"})
_LONGEST = 120
_SIMPLE = re.compile(r"[A-Za-z0-9*/+\-_., ]*")  # nothing that this name of a representation is made with


def variant_of(reply: CIMultiDictProxy[str], request: CIMultiDictProxy[str], coding: str) -> str | None:
    """A name for the representation: what the backend's Vary selected it by.

    Args:
        reply: the response's fields.
        request: the request's fields.
        coding: the response's content coding where it has a tag of its own, "" where codings share one.

    Returns:
        "" where there is nothing to choose from; None where the choice cannot be told (`Vary: *`).
    """
    names = _names(reply)
    if "*" in names:
        return None
    parts = [f"{name}={_value(name, request)}" for name in names if name != "accept-encoding"]
    if coding:
        parts.append(f"coding={coding}")
    return ";".join(parts)


def negotiated_by(reply: CIMultiDictProxy[str]) -> list[str]:
    """The request fields of content negotiation that the backend's Vary names, but for Accept-Encoding.

    Others may hold credentials, which are everybody's own.
    """
    if "Vary" not in reply:
        return []
    return [name for name in _names(reply) if name.startswith("accept") and name != "accept-encoding"]


def other_coding(reply: CIMultiDictProxy[str]) -> str | None:
    """The Accept-Encoding by which the representation is sent in another content coding.

    RFC 9110 section 12.5.3. None where there seems to be no other.
    """
    if reply.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        return "identity"
    return "gzip, br" if "accept-encoding" in _names(reply) else None


def _names(reply: CIMultiDictProxy[str]) -> list[str]:
    if "Vary" not in reply:
        return []
    members = ",".join(reply.getall("Vary")).lower().split(",")
    return sorted({member.strip() for member in members} - {"", "origin"})


def _value(name: str, request: CIMultiDictProxy[str]) -> str:
    value = ",".join(request.getall(name, ()))
    if name not in _NEGOTIATES or len(value) > _LONGEST or not _SIMPLE.fullmatch(value):
        # Credentials never reach the store, and any field may be one (X-Api-Key); only those of content
        # negotiation (RFC 9110 section 12.5) are none. A long value need only be told from another.
        return "#" + hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return value
