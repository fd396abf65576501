"""`precondition-proxy inspect`: looks at a backend, and says what it supports and which route to write.

It only reads (GET and HEAD), but for a scratch URL: that resource is written with its own content, twice,
under conditions that do not hold, to see whether the backend enforces them.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from proxy.rules import pointers
from proxy.rules.canonical import NotCanonical, parsed
from proxy.rules.content import moment
from proxy.rules.etags import EntityTag

_REVISIONS: Final = ("_rev", "rev", "revision", "version", "_etag", "etag", "lock_version", "row_version")
_REVISION_FIELDS: Final = ("X-Revision", "X-Version", "X-Resource-Version", "X-Rev")
_DATES: Final = ("updated_at", "updatedAt", "modified_at", "modifiedAt", "last_modified", "lastModified")
_DATES_TOO: Final = ("_updated", "updated", "modified")
_AN_ID: Final = re.compile(r"\d+|[0-9a-fA-F-]{16,}")
_STALE: Final = '"precondition-proxy-inspects"'


@dataclass(frozen=True, slots=True)
class Seen:
    """One response: its fields by name in lower case, and its content."""

    status: int
    fields: Mapping[str, str]
    body: bytes = b""

    @property
    def tag(self) -> EntityTag | None:
        """Its ETag, where that is valid."""
        try:
            return EntityTag.parse(self.fields.get("etag", ""))
        except ValueError:
            return None


Send = Callable[[str, Mapping[str, str], bytes | None], Seen]
"""Sends a request to the one URL: method, fields, content."""


@dataclass(slots=True)
class Findings:
    """What was found out about one URL.

    Attributes:
        itself: what the backend supports, or does, by itself.
        adds: what the proxy would add.
        route: the route's options, as lines of YAML.
    """

    itself: list[str] = field(default_factory=list)
    adds: list[str] = field(default_factory=list)
    route: list[str] = field(default_factory=list)


def sender(url: str, fields: Mapping[str, str], timeout: float = 30.0) -> Send:
    """Sends requests to a URL.

    Args:
        fields: sent with each, such as Authorization.
        timeout: in seconds.

    Raises:
        ValueError: the URL is none of http or https.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!a} is not an http or https URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def send(method: str, more: Mapping[str, str], content: bytes | None) -> Seen:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout)
        try:
            connection.request(method, target, content, {"Accept-Encoding": "identity", **fields, **more})
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Seen(reply.status, found, reply.read())
        finally:
            connection.close()

    return send


def _connection(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout)


def inspect(send: Send) -> Findings:
    """Looks at one resource, with GET and HEAD alone."""
    found = Findings()
    first = send("GET", {}, None)
    if first.status != 200:
        found.itself.append(f"GET is answered {first.status}: nothing can be told of what is not shown")
        return found
    second = send("GET", {}, None)
    _stability(found, first, second)
    _tags(found, first, second, send)
    _dates(found, first, send)
    _head(found, first, send("HEAD", {}, None))
    _compression(found, first, send("GET", {"Accept-Encoding": "gzip"}, None))
    _variants(found, first)
    return found


def try_out(send: Send) -> list[str]:
    """Writes a scratch resource with its own content, under conditions that do not hold."""
    shown = send("GET", {}, None)
    if shown.status != 200:
        return [f"the scratch resource is answered {shown.status}: it must exist, nothing was written"]
    kind = {"Content-Type": shown.fields.get("content-type", "application/octet-stream")}
    said: list[str] = []
    for name, value in (("If-Match", _STALE), ("If-None-Match", "*")):
        status = send("PUT", {**kind, name: value}, shown.body).status
        said.append(f"PUT with {name}: {value} is answered {status}: {_meaning(status)}")
    return said


def _meaning(status: int) -> str:
    if status == 412:
        return "the backend enforces it"
    if status < 300:
        return "the backend ignores it, an update can be lost; the proxy would answer 412"
    return "nothing can be told from that"


def _stability(found: Findings, first: Seen, second: Seen) -> None:
    if first.body == second.body:
        found.itself.append("the content is the same on two GETs")
        return
    parts = pointers.differing(first.body, second.body)
    if parts is None:
        found.itself.append("the content is different on every GET, and is no JSON")
        found.route += [
            "version:",
            "  ignore_text: '...'   # a regular expression for what changes by itself",
        ]
    elif not parts:
        found.itself.append("the content is JSON in another order or with other space on every GET")
        found.route += ["version:", "  ignore: [/none]   # the canonical form is hashed"]
    else:
        written = ", ".join(pointers.written(part) for part in parts)
        found.itself.append(f"the content is different on every GET, in {written}")
        found.route += ["version:", f"  ignore: [{written}]"]
    found.adds.append("one ETag for content that only differs in what is ignored")


def _tags(found: Findings, first: Seen, second: Seen, send: Send) -> None:
    tag = first.tag
    if tag is None:
        what = "an invalid ETag" if "etag" in first.fields else "no ETag"
        found.itself.append(what)
        found.adds.append("a strong ETag, on GET and HEAD; 304 for If-None-Match, 412 for If-Match")
        _revision(found, first)
        return
    found.itself.append(f"a {'weak' if tag.weak else 'strong'} ETag")
    if tag != second.tag:
        found.itself.append("the ETag is different on every GET: clients can never use it")
    same = send("GET", {"If-None-Match": str(tag)}, None).status == 304
    found.itself.append(f"If-None-Match is {'answered 304' if same else 'ignored'}")
    if tag.weak:
        found.adds.append("a strong ETag in place of the weak one, which If-Match may not use")
    found.adds.append("412 for If-Match, under a claim, whatever the backend does with it")


def _revision(found: Findings, first: Seen) -> None:
    name = next((name for name in _REVISION_FIELDS if name.lower() in first.fields), None)
    member = None if name else _member(first.body, _REVISIONS, lambda value: _is_revision(value))
    if name or member:
        said = f"header: {name}" if name else f"from: /{member}"
        found.itself.append(f"what may be a version ({name or '/' + str(member)})")
        _version(found, f"# {said}   # if it changes with every change, and never comes back")


def _is_revision(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _dates(found: Findings, first: Seen, send: Send) -> None:
    date = first.fields.get("last-modified")
    if date is not None:
        same = send("GET", {"If-Modified-Since": date}, None).status == 304
        answer = "answered 304" if same else "ignored"
        found.itself.append(f"a Last-Modified; If-Modified-Since is {answer}")
        found.adds.append("412 for If-Unmodified-Since, except where two versions share a second")
        return
    found.itself.append("no Last-Modified")
    member = _member(first.body, (*_DATES, *_DATES_TOO), lambda value: moment(value) is not None)
    if member is not None:
        found.adds.append(f"a Last-Modified out of /{member}, and with it If-Unmodified-Since")
        _version(found, f"modified: /{member}")


def _member(body: bytes, names: Sequence[str], fits: Callable[[object], bool]) -> str | None:
    try:
        document = parsed(body)
    except NotCanonical:
        return None
    if not isinstance(document, dict):
        return None
    return next((name for name in names if name in document and fits(document[name])), None)


def _version(found: Findings, line: str) -> None:
    if not line.startswith("#") and "# version:" in found.route:
        found.route[found.route.index("# version:")] = "version:"
    elif "version:" not in found.route:
        found.route.append("# version:" if line.startswith("#") else "version:")
    found.route.append(f"  {line}")


def _head(found: Findings, first: Seen, head: Seen) -> None:
    if head.status != first.status:
        found.itself.append(f"HEAD is answered {head.status}, GET {first.status}")
    elif head.fields.get("etag") != first.fields.get("etag"):
        found.itself.append("HEAD has another ETag than GET, or none")
        found.adds.append("the same ETag for HEAD")


def _compression(found: Findings, first: Seen, zipped: Seen) -> None:
    coding = zipped.fields.get("content-encoding")
    if coding is None:
        found.itself.append("gzip is not used")
        return
    found.itself.append(f"{coding} is used")
    tag = zipped.tag
    if tag is not None and not tag.weak and tag == first.tag:
        found.itself.append(
            "the compressed content has the same strong ETag (against RFC 9110 section 8.8.3.3)"
        )
    if "accept-encoding" not in zipped.fields.get("vary", "").lower():
        found.itself.append("Vary does not name Accept-Encoding")


def _variants(found: Findings, first: Seen) -> None:
    vary = first.fields.get("vary")
    if vary is not None:
        found.itself.append(f"Vary: {vary}")
    if vary is not None and "*" in vary:
        found.adds.append("no record: Vary: * says that nothing can be told; every write asks the backend")


def match_of(url: str) -> str:
    """The route's match for a URL: what looks like the name of one resource becomes a parameter."""
    names = iter(("id", *(f"id{number}" for number in range(2, 100))))
    steps = (urlsplit(url).path or "/").split("/")
    return "/".join("{" + next(names) + "}" if _AN_ID.fullmatch(step) else step for step in steps)


def written(url: str, found: Findings, tried: Sequence[str] = ()) -> str:
    """The findings for people, with the route to write."""
    rows = [url, "  by itself:", *(f"    {line}" for line in [*found.itself, *tried])]
    if found.adds:
        rows += ["  the proxy would add:", *(f"    {line}" for line in found.adds)]
        rows += [
            "  the route to write:",
            f"    - match: {match_of(url)}",
            *(f"      {x}" for x in found.route),
        ]
    return "\n".join(rows)
