"""What a write leaves behind: whose version is known afterwards, and what may be told of it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from multidict import CIMultiDictProxy, istr

from proxy.rules.etags import EntityTag
from proxy.rules.resources import plain_authority
from proxy.rules.routing import AfterWrite, EtagOnWrite, Route
from proxy.rules.versions import Absent, Known, Recorded, Version


class Aftermath(enum.Enum):
    """How to find the version after a write."""

    REREAD = "reread"  # GET it under the claim
    RESPONSE = "response"  # the response's own ETag is right
    UNKNOWN = "unknown"  # leave it unknown: the next writer asks
    UNSETTLED = "unsettled"  # nobody knows whether the backend is still at work


# A gateway behind us gave up waiting; the backend behind it may not have (RFC 9110 sections 15.6.3, 15.6.5).
_UNSETTLED = frozenset({502, 504})
_ETAG = istr("ETag")  # looked up in every response: an `istr` is not put into lower case each time
_HERE_HOST = "same-origin.invalid"
_HERE = f"http://{_HERE_HOST}"
# The validators of a POST's 201 are those of what it made, not of its target (RFC 9110 section 15.3.2).
_TELL_OF_TARGET = frozenset({"PUT", "PATCH"})
_ACCEPTED = 202  # not done yet (RFC 9110 section 15.3.3)


def aftermath(route: Route, method: str, status: int, headers: CIMultiDictProxy[str]) -> Aftermath:
    """Decides from the write's response.

    A failed write (4xx, 5xx) should have changed nothing, but that is the backend's word for a legacy
    backend's deed: unknown, and the next writer asks.
    """
    if status in _UNSETTLED:
        return Aftermath.UNSETTLED
    if status >= 400 or status == _ACCEPTED or route.after_write is AfterWrite.FORGET:
        return Aftermath.UNKNOWN
    if route.after_write is AfterWrite.RESPONSE and told_version(route, method, status, headers) is not None:
        return Aftermath.RESPONSE
    return Aftermath.REREAD


def told_version(route: Route, method: str, status: int, headers: CIMultiDictProxy[str]) -> EntityTag | None:
    """The tag of what a write wrote, where its response has the one that GETs are shown."""
    if status >= 300 or method not in _TELL_OF_TARGET or route.version is not None:
        return None  # with a `version`, the backend's tag is none of those that clients are shown
    return strong_tag(headers)


def strong_tag(headers: CIMultiDictProxy[str]) -> EntityTag | None:
    """The one strong tag of a response, or None."""
    tag = own_tag(headers)
    return None if tag is None or tag.weak else tag


def own_tag(headers: CIMultiDictProxy[str]) -> EntityTag | None:
    """The backend's tag; an invalid one, or more than one, is none (RFC 9110 section 8.8.3)."""
    text = headers.get(_ETAG)
    if text is None or len(headers.getall(_ETAG)) != 1:
        return None
    try:
        return EntityTag.parse(text)
    except ValueError:
        return None


def may_tell_tag(route: Route, method: str, status: int, *, stored_as_sent: bool) -> bool:
    """Whether a write's response may carry the version that we found after it.

    RFC 9110 section 9.3.4: a successful PUT's response must not carry a validator unless the content was
    stored without any change. PATCH has no such rule (RFC 5789 section 2.1 shows one that does).

    Args:
        stored_as_sent: whether the content that was read afterwards is, byte for byte, what the PUT sent.
    """
    if not 200 <= status < 300 or method == "DELETE":
        return False
    if route.etag_on_write is EtagOnWrite.ALWAYS:
        return True
    return method == "PATCH" or (method == "PUT" and stored_as_sent)


def misleading_tag(told: EntityTag | None, after: Version) -> bool:
    """Whether the tag of a write's response would have the client's next write refused.

    It names no version of the resource where a GET shows another strong tag of the backend's own, and it
    never matches where it is weak (RFC 9110 section 13.1.1) and GETs are shown a strong one. A strong tag of
    a backend whose GET shows none is its own affair: S3 gives the parts of an upload such tags, and wants
    them back.

    Args:
        told: the tag of the response, None where it is none by its grammar.
        after: the version that a GET shows.
    """
    if told is None or told.weak:
        return told != after.etag
    return told != after.etag and not after.minted


def doubted(recorded: Recorded, found: Known | Absent, erased: tuple[Version, ...] = ()) -> Known | Absent:
    """What a GET showed just now, with what was recorded of its dates.

    That two versions share a second cannot be seen in a response: it is the store's own finding, and a date
    stays weak until another one takes its place (RFC 9110 section 8.8.2.2).

    Args:
        erased: dated versions that were recorded before; see `marked`.
    """
    if not isinstance(found, Known):
        return found
    known = recorded.versions if isinstance(recorded, Known) else ()
    before = {version.variant: version for version in known}
    doubts = (_doubted(before.get(version.variant), version) for version in found.versions)
    return Known(tuple(marked(version, erased)[0] for version in doubts))


def _doubted(old: Version | None, new: Version) -> Version:
    if old is None or new.modified is None or old.modified != new.modified:
        return new
    changed = old.etag is not None and new.etag is not None and old.etag != new.etag
    return replace(new, shared_second=True) if old.shared_second or changed else new


def marked(version: Version, erased: tuple[Version, ...]) -> tuple[Version, tuple[Version, ...]]:
    """A version that comes after others were erased, and those of them that still matter then.

    Its date is weak where an erased version had it too (RFC 9110 section 8.8.2.2), unless their strong tags
    say that it is the same. `store/scripts/entry.lua` does the same in Redis.
    """
    if version.modified is None or not erased:
        return version, erased
    twins = [old for old in erased if version.etag is not None and _unmarked(old) == _unmarked(version)]
    if twins:  # nothing changed, so the others are of the same state
        weak = version.shared_second or any(old.shared_second for old in twins)
        return replace(version, shared_second=weak), tuple(old for old in erased if old not in twins)
    weak = version.shared_second or any(old.modified == version.modified for old in erased)
    return replace(version, shared_second=weak), ()


def is_same(old: Version, seen: Version) -> bool:
    """Whether an observation shows what is known of that variant already.

    A date that is sent now and then tells nothing where it is not sent: HEAD often goes without.
    """
    if old.modified is None or seen.modified is None:
        old, seen = replace(old, modified=None), replace(seen, modified=None)
    return _unmarked(old) == _unmarked(seen)


def _unmarked(version: Version) -> Version:
    return replace(version, shared_second=False, variant="")


def named_resources(headers: CIMultiDictProxy[str], target: str, hosts: frozenset[str]) -> Iterator[str]:
    """Targets of the same origin in Location and Content-Location, which the write changed too.

    RFC 9111 section 4.4.

    Args:
        target: the request's origin-form target, which relative references start from.
        hosts: the authorities (`host:port`) under which this backend is known.
    """
    for name in ("Location", "Content-Location"):
        for value in headers.getall(name, ()):
            named = same_origin_target(value, target, hosts)
            if named is not None:
                yield named


def same_origin_target(reference: str, target: str, hosts: frozenset[str]) -> str | None:
    """The origin-form target that a URI reference names, or None where it is another origin's."""
    try:
        # Against a whole URL: a target that begins with "//" would be taken for an authority.
        named = urlsplit(urljoin(_HERE + target, reference.strip()))
    except ValueError:
        return None
    ours = {_HERE_HOST, *map(plain_authority, hosts)}
    if named.scheme not in {"http", "https"} or plain_authority(named.netloc) not in ours:
        return None
    return (named.path or "/") + (f"?{named.query}" if named.query else "")


def target_of(reference: str) -> str | None:
    """The origin-form target that a URI reference names, on whatever host; None where it cannot be read."""
    try:
        host = urlsplit(urljoin(_HERE, reference.strip())).netloc
    except ValueError:
        return None
    return same_origin_target(reference, "/", frozenset({host}))


_PARTS = re.compile(r"[-_:;,/ ]")


def ambiguous_until(before: Recorded, size: int | None) -> int | None:
    """The second until which a write would leave a tag that names both versions, or None.

    nginx, WsgiDAV and their like make strong tags of Last-Modified and size: two versions of one size within
    one second share their tag, against RFC 9110 section 8.8.1. Such a tag can be told, as it has the same
    second in it.

    Args:
        before: the versions before the write.
        size: of the content that is about to be written, None where that is not known.
    """
    if not isinstance(before, Known):
        return None
    for version in before.versions:
        if version.etag is not None and version.modified is not None and not version.minted:
            parts = _PARTS.split(version.etag.opaque.lower())
            if any(_same_tag_again(parts, version.modified, size, base) for base in ("d", "x")):
                return version.modified
    return None


def _same_tag_again(parts: list[str], second: int, size: int | None, base: str) -> bool:
    """Whether these parts of a tag would be the same for content of this size within this second."""
    written = format(second, base)
    if written not in parts:
        return False
    # Behind the second stands the size, which tells versions of other sizes apart, or nothing that does.
    behind = parts[parts.index(written) + 1 :]
    return size is None or not behind or format(size, base) in behind
