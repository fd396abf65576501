"""Tags that something between the proxy and its client rewrote, as they were before.

Compression on the way makes another representation, which must not have the same strong tag (RFC 9110 section
8.8.3.3). Apache's mod_deflate and Caddy append the coding to the tag (`"x-gzip"`), Jetty `--gzip`; nginx and
CDNs make it weak (`W/"x"`). The client names in If-Match what it was shown.

A suffix is taken off without asking: whoever holds any representation of a version may write on it. A weak
tag never matches in If-Match (section 13.1.1), so `W/` is overlooked only where the operator knows that the
tag was strong when it left the proxy (`weak_if_match: relaxed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from proxy.rules.conditions import Conditions
from proxy.rules.etags import EntityTag, Star

_CODINGS: Final = ("gzip", "br", "zstd", "deflate")
_SUFFIXES: Final = tuple(f"{mark}{coding}" for mark in ("--", "-", ";") for coding in _CODINGS)


def mended(conditions: Conditions, *, relaxed: bool) -> Conditions | None:
    """The conditions of a write with what its tags may have been, None where all are as they were shown.

    What was sent stays in the list: a backend may have such tags itself.

    Args:
        conditions: from `plain_tags`.
        relaxed: whether weak tags count for strong ones.
    """
    tags = conditions.if_match
    if tags is None or isinstance(tags, Star):
        return None
    if not any(tag.weak or _ends(tag) for tag in tags):
        return None
    more = tuple(other for tag in tags if tag.weak or _ends(tag) for other in _before(tag, relaxed))
    return replace(conditions, if_match=(*tags, *more), sent=conditions.sent) if more else None


def _ends(tag: EntityTag) -> bool:
    return tag.opaque.endswith(_SUFFIXES)


def _before(tag: EntityTag, relaxed: bool) -> Iterator[EntityTag]:
    if tag.weak and not relaxed:
        return
    if tag.weak:
        yield EntityTag(tag.opaque)
    if _ends(tag):
        suffix = next(one for one in _SUFFIXES if tag.opaque.endswith(one))
        yield EntityTag(tag.opaque.removesuffix(suffix))
