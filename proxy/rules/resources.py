"""Which resource a request target names (RFC 9112 section 3.2, RFC 3986 section 6).

One resource has one name, however it is spelled; what is forwarded is the form that was matched and named.
The Host is not part of the name: a sidecar's backend answers under many host names, and two names for one
resource would lose an update, while one name for two resources only makes them share a claim: `spelling`
keeps their versions apart. Backends that serve different sites by Host may say `vary_by: [host]`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from urllib.parse import quote, unquote, unquote_plus

from multidict import CIMultiDictProxy

from proxy.rules.base64url import base64url
from proxy.rules.routing import Route

_PLAIN = re.compile(r"(?:/[A-Za-z0-9\-_~!$&'()*+,;=:@][A-Za-z0-9\-._~!$&'()*+,;=:@]*)+/?|/")
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?]*")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")
_TRIPLE = re.compile(r"%([0-9A-Fa-f]{2})")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})?")
_BAD_TRIPLE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_BYTES = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/%")
_QUERY_BYTES = _PATH_BYTES | frozenset(b"?")
_SUB_DELIMS = frozenset(b"!$&'()*+,;=:@")
_SAME_IN_QUERY = frozenset(b"!$'()*,;=:@/?")  # not "&", which parts parameters, nor "+", a space in forms
_SLASHES = re.compile(r"/{2,}")
_PARAMETERS = re.compile(r";[^/]*")
# How lenient decoders read overlong UTF-8 (RFC 3629 section 10 forbids it): "/", "." and "\\".
_OVERLONG = {"%C0%AF": "/", "%C0%AE": ".", "%C1%9C": "/", "%E0%80%AF": "/", "%E0%80%AE": "."}
_DEFAULT_PORT = re.compile(r":(?:80|443)?\Z")  # RFC 9110 section 4.2.3


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in its one form.

    Attributes:
        path: canonical path: unreserved characters decoded, hex digits in upper case, no dot segments.
        query: canonical query without "?", or None where there is none.
        doubt: why two servers might read this path as two resources (an encoded slash, say), or None.
            Guarded routes refuse such a target with 400.
        careless: where there is a doubt, the path as a careless server may read it: the route that such a
            server would serve it by.
    """

    path: str
    query: str | None = None
    doubt: str | None = None
    careless: str | None = None

    def wire(self) -> bytes:
        """The origin-form request target (RFC 9112 section 3.2.1)."""
        text = self.path if self.query is None else f"{self.path}?{self.query}"
        return text.encode("ascii")


def read_target(text: str) -> Target:
    """Reads a request target in origin-form or absolute-form; a fragment is cut off.

    Args:
        text: as received; non-ASCII bytes as `surrogateescape`.
    """
    text = text.partition("#")[0]
    absolute = _ABSOLUTE.match(text)
    if absolute:  # RFC 9112 section 3.2.2: a server must accept it, though only proxies are sent it
        text = text[absolute.end() :]
        text = text if text.startswith("/") else "/" + text
    path, question, query = text.partition("?")
    query_known = _canonical_query(query) if question else None
    if _PLAIN.fullmatch(path) and ";" not in path:
        return Target(path, query_known)
    doubt = _doubt(path)
    careless = None if doubt is None else _careless(path)
    return Target(_canonical_path(path), query_known, doubt, careless)


def _canonical_path(path: str) -> str:
    return _without_dots(_recode(path, _PATH_BYTES))


def _canonical_query(query: str) -> str:
    return query if _PLAIN_QUERY.fullmatch(query) else _recode(query, _QUERY_BYTES)


def _recode(text: str, allowed: frozenset[int]) -> str:
    """Decodes what need not be encoded, encodes what must be (RFC 3986 sections 2.3 and 6.2.2).

    A percent sign that encodes nothing is encoded itself: "%%34%31" must not become "%41", another "A".
    """

    def triple(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%25"
        byte = int(match[1], 16)
        return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"

    decoded = _PERCENT.sub(triple, text)
    raw = decoded.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in raw)


def _without_dots(path: str) -> str:
    """Removes dot segments (RFC 3986 section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


_DOTS = re.compile(r"/(?:\.|%2[Ee]){1,2}(?:/|\Z)")
_DOUBTS = (
    (_BAD_TRIPLE, "a percent sign that is not followed by two hexadecimal digits"),
    (re.compile(r"\\"), "a backslash"),
    (re.compile(r"%2[Ff]"), "an encoded slash (%2F)"),
    (re.compile(r"%5[Cc]"), "an encoded backslash (%5C)"),
    (re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])|[\x00-\x1f\x7f]"), "an encoded control character"),
    (re.compile(r"/(?:\.|%2[Ee]){1,2};"), "a parameter (;) behind a dot segment"),
)


def _doubt(path: str) -> str | None:
    """Why a path may name another resource to the backend than to us, or None."""
    for pattern, what in _DOUBTS:
        if pattern.search(path):
            return what
    # Servlet containers cut parameters off before they look: to them "/a;b/c" is "/a/c", and "/..;" is "/..".
    if ";" in path.rpartition("/")[0]:
        return "a parameter (;) before its last segment"
    if "//" in path and _DOTS.search(path):
        # Whether "/a//../b" is "/a/b" or "/b" depends on which is done first, merging or removing.
        return "an empty segment beside a dot segment"
    return _utf8_doubt(path)


def _utf8_doubt(path: str) -> str | None:
    """Overlong or broken UTF-8, which lenient servers decode to other characters (RFC 3629 section 10)."""
    raw = path.encode("utf-8", "surrogateescape")
    data = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "an encoding that is not valid UTF-8"
    return None


def _careless(path: str) -> str:
    """The path to a server that decodes all it can, takes backslashes for slashes, and cuts parameters."""
    for encoded, meant in _OVERLONG.items():
        path = re.sub(encoded, meant, path, flags=re.IGNORECASE)
    path = re.sub(r"%2[Ff]|%5[Cc]|\\", "/", _PARAMETERS.sub("", path))
    return _SLASHES.sub("/", _canonical_path(path))


def collections_above(path: str) -> tuple[str, ...]:
    """The collections that a path is in (RFC 4918 section 5.2), the nearest first, without a last slash."""
    above: list[str] = []
    path = path.rstrip("/")
    while path:
        path = path.rpartition("/")[0]
        above.append(path or "/")
    return tuple(above)


def spelling(route: Route, target: Target, host: str) -> str:
    """A short mark of the Host and target that a request was sent to.

    One name may stand for two resources (`resource_key`): under two Hosts, say. They share a claim, which
    only costs time. But a version that was seen under one spelling is not believed under another, unless the
    route says that they are the same: two resources may have one tag, where backends count revisions.
    """
    path = _SLASHES.sub("/", target.path) if route.merge_slashes else target.path
    path = _as_the_route_says(route, path)
    query = target.query if route.query is None else _named_query(route, target.query or "")
    text = path if query is None else f"{path}?{query}"
    data = f"{plain_authority(host)}\0{text}".encode("utf-8", "surrogateescape")
    return base64url(hashlib.blake2b(data, digest_size=6).digest())


def other_route_path(target: Target) -> str | None:
    """The path as a server that merges slashes reads it, None where that is the same."""
    return _SLASHES.sub("/", target.path) if "//" in target.path else None


def forwarded_target(route: Route, target: Target) -> bytes:
    """The target to send to the backend: the form that was matched and named."""
    if route.merge_slashes and "//" in target.path:
        return Target(_SLASHES.sub("/", target.path), target.query).wire()
    return target.wire()


def resource_key(route: Route, target: Target, headers: CIMultiDictProxy[str]) -> str:
    """The name of the resource in the version store: the same for every spelling and on every replica."""
    path = _as_the_route_says(route, _named_path(target.path))
    query = _named_query(route, target.query) if target.query else ""
    key = f"{path}?{query}" if query else path
    if not route.vary_by:
        return key
    return "\n".join([key, *(_selector(name, headers) for name in route.vary_by)])


def _as_the_route_says(route: Route, path: str) -> str:
    if route.case_insensitive:
        path = _folded(path)
    if route.trailing_slash == "same" and len(path) > 1:
        path = path.rstrip("/")
    return path


def _named_path(path: str) -> str:
    """The path without what many servers do not tell apart.

    That is a parameter (";jsessionid=..."), "//" for "/", and encoded sub-delims (RFC 3986 section 2.2).
    """
    if "%" in path:
        path = _TRIPLE.sub(partial(_plain, _SUB_DELIMS), path)
    if ";" in path:  # after that, so that "%3B" names what ";" does
        path = _PARAMETERS.sub("", path)
    return _SLASHES.sub("/", path) if "//" in path else path


def _plain(characters: frozenset[int], match: re.Match[str]) -> str:
    byte = int(match[1], 16)
    return chr(byte) if byte in characters else match[0]


def _folded(path: str) -> str:
    """The path without regard to case, that of letters beyond ASCII included."""
    if "%" not in path:
        return path.lower()
    text = unquote(path, errors="surrogateescape").casefold()
    return quote(text, safe="/!$&'()*+,;=:@", errors="surrogateescape")


def _named_query(route: Route, query: str) -> str:
    """The query without what no server tells apart: "%2F" and "/", say, or a space as "+" and as "%20"."""
    if route.query is not None:
        pairs = [pair for pair in query.split("&") if _parameter(pair) in route.query]
        query = "&".join(sorted(pairs, key=_parameter))  # only order among namesakes may mean anything
    if "%" in query:
        query = _TRIPLE.sub(partial(_plain, _SAME_IN_QUERY), query.replace("%20", "+"))
    return query


def _parameter(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


@lru_cache(maxsize=256)
def plain_authority(text: str) -> str:
    """Host and port in one form: lower case, without userinfo and default port (RFC 9110 section 4.2.3).

    Which of the two default ports it is does not matter: TLS may well have ended in front of us.
    """
    return _DEFAULT_PORT.sub("", text.rpartition("@")[2].lower())


def _selector(name: str, headers: CIMultiDictProxy[str]) -> str:
    if name.lower() == "host":
        return f"{name}={plain_authority(headers.get('Host', ''))}"
    if not name.startswith("cookie:"):
        return f"{name}={','.join(headers.getall(name, ()))}"
    wanted = name.removeprefix("cookie:")
    return f"{name}={','.join(_cookies(headers.getall('Cookie', ()), wanted))}"


def _cookies(lines: Iterable[str], wanted: str) -> list[str]:
    pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
    return [value.strip() for name, _, value in pairs if name.strip() == wanted]
