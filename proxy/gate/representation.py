"""What the backend just showed: the version of a representation, and the tag that clients see for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from multidict import CIMultiDictProxy, istr

from proxy.errors import StoreUnavailable
from proxy.gate.told import tag_of, told_by_content, told_by_fields
from proxy.gate.visit import House, Visit
from proxy.rules.aftermath import own_tag, strong_tag
from proxy.rules.conditions import NONE, READS
from proxy.rules.content import Told, VersionSource
from proxy.rules.dates import parse_http_date
from proxy.rules.etags import EntityTag
from proxy.rules.fields import Line
from proxy.rules.minting import Minter, names_minted, with_coding
from proxy.rules.variants import variant_of
from proxy.rules.versions import Version
from proxy.upstream import Reply

Headers = CIMultiDictProxy[str]

SHOWS = frozenset({200, 203})
"""Statuses of a GET whose content is the current representation, whole (RFC 9110 section 15.3)."""

GONE = frozenset({404, 410})
"""Statuses of a GET that say that there is no current representation."""

NO_CONTENT = frozenset({204, 205, 304})
"""Statuses of responses without content, whatever their fields say."""

_WEAK_SECONDS = 2  # both dates are cut to whole seconds

# Names that are looked up in every response: an `istr` is not put into lower case each time.
_VARY, _ENCODING, _MODIFIED = istr("Vary"), istr("Content-Encoding"), istr("Last-Modified")
_TYPE, _BUFFERING = istr("Content-Type"), istr("X-Accel-Buffering")

_STREAMS = ("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/grpc")


@dataclass(slots=True)
class Representation:
    """One representation.

    Attributes:
        version: its validators, as they are recorded.
        shown: the same, as the client of this response is shown them: a coding has a tag of its own.
        body: the whole content where it was read, else None: it streams on from the reply.
        settled: whether the version may be recorded: it has validators and a variant that can be told.
        dated: whether the date is out of the content, so that the response's own field says something else.
        alone: whether clients are shown no validators but these, whatever the backend says.
        line: the ETag field, where that is all that the response lacks.
        also: the same under the tag that was minted for it while the backend had no strong one.
    """

    version: Version
    shown: Version
    body: bytes | None
    settled: bool
    dated: bool = False
    alone: bool = False
    line: Line | None = None
    also: tuple[Version, ...] = ()


async def look_at(reply: Reply, house: House, seen_by: Visit, asked: Headers | None = None) -> Representation:
    """Finds the version of a 200: what the route says, or the backend's own strong tag, else a keyed hash.

    Reads the body only where a tag must be minted, and at most `hash_limit` bytes of it.

    Args:
        asked: the fields that the backend selected it by, where they are not the request's own.
    """
    asked = seen_by.request.headers if asked is None else asked
    seen = await _looked_at(reply, house, seen_by, asked)
    house.selectors.note(seen_by.key, seen.version.etag, reply.headers, asked)
    return seen


def seen_at_once(reply: Reply, house: House, seen_by: Visit) -> Representation | None:
    """What `look_at` finds, where nothing has to be waited for: a strong tag, or content that is here."""
    if seen_by.route.version is not None:
        return None
    own = own_tag(reply.headers)
    seen = _by_own_tag(own, reply, house, seen_by, seen_by.request.headers)
    if seen is not None and seen_by.conditions is not NONE and names_minted(seen_by.conditions):
        return None  # the content tells whether that tag is of what is shown
    if seen is None and house.minter is not None and reply.length is not None:
        if reply.length > seen_by.route.hash_limit or streams(reply) or (body := reply.ready()) is None:
            return None
        seen = _minted(house.minter, body, own, reply, house, seen_by, seen_by.request.headers)
    if seen is not None and _VARY in reply.headers:
        house.selectors.note(seen_by.key, seen.version.etag, reply.headers, seen_by.request.headers)
    return seen


async def _looked_at(reply: Reply, house: House, seen_by: Visit, asked: Headers) -> Representation:
    if (source := seen_by.route.version) is not None:
        _demand_key(house, seen_by)
        found = _by_content_alone if source.content else _by_source
        seen = await found(source, reply, house, seen_by, asked, _coding(reply))
        seen.dated, seen.alone = source.modified is not None, source.content
        return seen
    own = own_tag(reply.headers)
    if (told := _by_own_tag(own, reply, house, seen_by, asked)) is not None:
        if seen_by.conditions is not NONE and names_minted(seen_by.conditions):
            await _mint_besides(told, reply, house, seen_by, _coding(reply))
        return told
    _demand_key(house, seen_by)
    body = await _content(reply, house, seen_by)
    if body is None or house.minter is None:
        version = Version(None, modified_in(reply, house), weak=own)
        return _named(version, version, body, reply, seen_by, asked, _coding(reply))
    return _minted(house.minter, body, own, reply, house, seen_by, asked)


def _demand_key(house: House, seen_by: Visit) -> None:
    """Nobody can say without the key whether a tag of ours is current."""
    if house.minter is None and names_minted(seen_by.conditions):
        raise StoreUnavailable("the key of the tags that the proxy makes is not known yet")


def _by_own_tag(
    own: EntityTag | None, reply: Reply, house: House, seen_by: Visit, asked: Headers
) -> Representation | None:
    if own is None or own.weak:
        return None
    version = Version(own, modified_in(reply, house), variant=seen_by.mark)
    return _named(version, version, None, reply, seen_by, asked, _coding(reply))


def _minted(
    minter: Minter,
    body: bytes,
    own: EntityTag | None,
    reply: Reply,
    house: House,
    seen_by: Visit,
    asked: Headers,
) -> Representation:
    coding, modified = _coding(reply), modified_in(reply, house)
    minted = minter.mint(seen_by.key, body, coding)
    version = Version(minted, modified, minted=True, weak=own, variant=seen_by.mark)
    shown = Version(with_coding(minted, coding), modified, minted=True, weak=own) if coding else version
    seen = _named(version, shown, body, reply, seen_by, asked, "")
    if own is not None and _may_become_strong(reply, modified, house):
        seen.settled = False
    return seen


async def _mint_besides(
    seen: Representation, reply: Reply, house: House, seen_by: Visit, coding: str
) -> None:
    """Adds the tag that we would have given the content: the client names one of ours.

    It got that while the backend had no strong one: see `_may_become_strong`.
    """
    if house.minter is None:
        raise StoreUnavailable("the key of the tags that the proxy makes is not known yet")
    seen.body = await _content(reply, house, seen_by)
    if seen.body is None:
        return
    minted = house.minter.mint(seen_by.key, seen.body, coding)
    if seen_by.method in READS:  # a write may name any representation: `plain_tags`
        minted = with_coding(minted, coding)
    seen.also = (replace(seen.version, etag=minted, minted=True),)


def _may_become_strong(reply: Reply, modified: int | None, house: House) -> bool:
    """Whether the backend may soon have a strong tag for what has a weak one now.

    Apache's tags are weak until the second of the modification is over, since another one in it could not be
    told apart (RFC 9110 section 8.8.2.2). Recorded meanwhile, a version would seem to change though it stays.
    """
    if modified is None:
        return False
    date = parse_http_date(reply.headers.get("Date", ""), now_year=house.now_year())
    return date is not None and date - modified < _WEAK_SECONDS


def _coding(reply: Reply) -> str:
    coding = reply.headers.get(_ENCODING)
    coding = "" if coding is None else coding.strip().lower()
    return "" if coding == "identity" else coding


async def _by_source(
    source: VersionSource, reply: Reply, house: House, seen_by: Visit, asked: Headers, coding: str
) -> Representation:
    """The version as the route's `version` finds it; the backend's own tag counts where that has none."""
    body: bytes | None = None
    told = told_by_fields(source, reply)
    if told is None:
        body = await _content(reply, house, seen_by)
        told = told_by_content(source, reply, body, coding) if body else Told()
        house.complaints.of(seen_by.route.match, told.lacks, house.journal.unfit)
    own = own_tag(reply.headers)
    modified = modified_in(reply, house) if told.modified is None else told.modified
    weak = own if own is not None and own.weak else None
    minted = None if house.minter is None else tag_of(told, house.minter, seen_by.key, reply)
    if minted is None and own is not None and not own.weak and not (source.tags and body):
        version = Version(own, modified)  # it only lacked a date, or the content is too large to look into
        return _named(version, version, body, reply, seen_by, asked, coding)
    if minted is None and body is not None and house.minter is not None:
        minted = house.minter.mint(seen_by.key, body, coding)
    if minted is None:
        version = Version(None, modified, weak=own)
        return _named(version, version, body, reply, seen_by, asked, coding)
    version = Version(minted, modified, minted=True, weak=weak)
    shown = Version(with_coding(minted, coding), modified, minted=True, weak=weak)
    return _named(version, shown, body, reply, seen_by, asked, "")


async def _by_content_alone(
    source: VersionSource, reply: Reply, house: House, seen_by: Visit, asked: Headers, coding: str
) -> Representation:
    """The version as just the content tells it; none where that is not looked into.

    The backend's tag and date may be those of another state: they never count (docs/decisions/0024).
    """
    body = await _content(reply, house, seen_by)
    if body is None or house.minter is None:
        return _named(Version(None), Version(None), body, reply, seen_by, asked, coding)
    told = Told() if source.modified is None else told_by_content(source, reply, body, coding)
    house.complaints.of(seen_by.route.match, told.lacks, house.journal.unfit)
    minted = house.minter.mint(seen_by.key, body, coding)
    version = Version(minted, told.modified, minted=True)
    shown = Version(with_coding(minted, coding), told.modified, minted=True)
    return _named(version, shown, body, reply, seen_by, asked, "")


def told_in_head(reply: Reply, seen_by: Visit) -> bool:
    """Whether a response without content tells the version: by the backend's own tag, where that counts.

    Not by a field that `version` names: the rest of what such a tag is made from is often not sent with HEAD.
    And not where the client names a tag of ours, which only the content can tell.
    """
    if seen_by.route.version is not None or (
        seen_by.conditions is not NONE and names_minted(seen_by.conditions)
    ):
        return False
    return strong_tag(reply.headers) is not None


def _named(
    version: Version,
    shown: Version,
    body: bytes | None,
    reply: Reply,
    seen_by: Visit,
    asked: Headers,
    coding: str,
) -> Representation:
    variant = variant_of(reply.headers, asked, coding) if coding or _VARY in reply.headers else ""
    mark = seen_by.mark + variant if variant else seen_by.mark
    if version.variant != mark:
        version = replace(version, variant=mark)
    validators = version.etag is not None or version.modified is not None
    return Representation(version, shown, body, validators and variant is not None)


def modified_in(reply: Reply, house: House) -> int | None:
    """What Last-Modified says, in seconds since the epoch (RFC 9110 section 8.8.2)."""
    text = reply.headers.get(_MODIFIED)
    return None if text is None else parse_http_date(text, now_year=house.now_year())


async def _content(reply: Reply, house: House, seen_by: Visit) -> bytes | None:
    """The whole body, where it is short enough to hash and does not trickle on for ever."""
    limit = seen_by.route.hash_limit
    if house.minter is None or (reply.length is not None and reply.length > limit) or streams(reply):
        return None
    # Of what comes without a length, `ready` would tell by chance whether it is short enough.
    whole = None if reply.length is None else reply.ready()
    return await reply.read(limit) if whole is None else whole


def streams(reply: Reply) -> bool:
    """Whether the content trickles on, so that nobody can wait for its end."""
    kind = reply.headers.get(_TYPE, "").lower()
    return kind.startswith(_STREAMS) or reply.headers.get(_BUFFERING, "").lower() == "no"
