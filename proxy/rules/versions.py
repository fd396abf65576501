"""What a version is, and what may be known of a resource.

A `Version` holds the validators of one representation (RFC 9110 section 8.8). What the proxy knows of a
resource is one of three: `Known` (one or more current representations), `ABSENT` (there is none), or
`UNKNOWN` (nobody has looked, or a write may be under way).
"""

from __future__ import annotations

import enum
from typing import Final

from proxy.rules.etags import EntityTag
from proxy.rules.values import value


@value
class Version:
    """The validators of one current representation.

    Attributes:
        etag: the tag that clients see: the backend's own strong tag, or one that we minted; None where the
            backend has none and nothing could be minted (a body over `hash_limit`).
        modified: Last-Modified in seconds since the epoch, or None.
        minted: whether `etag` is ours. The backend does not know a minted tag, so conditions on it are
            never forwarded.
        weak: the backend's own weak tag, where a minted strong one took its place. It still matches
            If-None-Match (weak comparison, RFC 9110 section 13.1.2).
        shared_second: another version of this resource had the same `modified`; such a date is weak, and
            an If-Unmodified-Since that names just that second is not satisfied (RFC 9110 section 8.8.2.2).
        variant: which representation, by what the backend's Vary selected it; "" where it does not vary.
    """

    etag: EntityTag | None
    modified: int | None = None
    minted: bool = False
    weak: EntityTag | None = None
    shared_second: bool = False
    variant: str = ""


@value
class Known:
    """The resource exists; these are its current representations, at least one."""

    versions: tuple[Version, ...]


class Absent(enum.Enum):
    """The resource has no current representation."""

    ABSENT = "absent"


class Unknown(enum.Enum):
    """Nobody has looked, or what was known may no longer be true."""

    UNKNOWN = "unknown"


ABSENT: Final = Absent.ABSENT
UNKNOWN: Final = Unknown.UNKNOWN

Recorded = Known | Absent | Unknown


def encode(version: Version) -> str:
    """One line of text for the store: `modified;flags;etag;weak`, the last two as on the wire.

    `modified` is decimal seconds or empty. Flags are letters: `m` minted, `s` shared second. The date comes
    first, so that a store script can compare it without knowing the rest; tags come last, since a tag may
    hold semicolons (RFC 9110 section 8.8.3). The variant is not part of it: the store keeps one line for each
    variant, under its name.
    """
    modified = "" if version.modified is None else version.modified
    flags = ("m" if version.minted else "") + ("s" if version.shared_second else "")
    # `str` of a tag, without the call: each recorded version comes by here.
    tag, weak = version.etag, version.weak
    shown = "-" if tag is None else f'W/"{tag.opaque}"' if tag.weak else f'"{tag.opaque}"'
    shown_weak = "-" if weak is None else str(weak)
    return f"{modified};{flags};{shown} {shown_weak}"


def decode(line: str, variant: str = "") -> Version:
    """The opposite of `encode`.

    Raises:
        ValueError: the line was not written by `encode`.
    """
    modified, flags, tags = line.split(";", 2)
    # An opaque-tag holds no space (etagc, RFC 9110 section 8.8.3), so the space separates safely.
    etag, weak = tags.split(" ")
    return Version(
        etag=None if etag == "-" else EntityTag.parse(etag),
        modified=int(modified) if modified else None,
        minted="m" in flags,
        weak=None if weak == "-" else EntityTag.parse(weak),
        shared_second="s" in flags,
        variant=variant,
    )
