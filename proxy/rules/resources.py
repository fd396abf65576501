"""Which resource a request target names (RFC 9112 section 3.2, RFC 3986 section 6).

One resource has one name, however it is spelled; what is forwarded is the form that was matched and named.
The Host is not part of the name: a sidecar's backend answers under many host names, and two names for one
resource would lose an update, while one name for two resources only costs a probe. Backends that serve
different sites by Host say `vary_by: [host]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from multidict import CIMultiDictProxy

from proxy.rules.routing import Route

_PLAIN = re.compile(r"(?:/[A-Za-z0-9\-_~!$&'()*+,;=:@][A-Za-z0-9\-._~!$&'()*+,;=:@]*)+/?|/")
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?]*")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")
_TRIPLE = re.compile(r"%([0-9A-Fa-f]{2})")
_BAD_TRIPLE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_BYTES = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/%")
_QUERY_BYTES = _PATH_BYTES | frozenset(b"?")
_SLASHES = re.compile(r"/{2,}")


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in its one form.

    Attributes:
        path: canonical path: unreserved characters decoded, hex digits in upper case, no dot segments.
        query: canonical query without "?", or None where there is none.
        doubt: why two servers might read this path as two resources (an encoded slash, say), or None.
            Guarded routes refuse such a target with 400.
    """

    path: str
    query: str | None = None
    doubt: str | None = None

    def wire(self) -> bytes:
        """The origin-form request target (RFC 9112 section 3.2.1)."""
        text = self.path if self.query is None else f"{self.path}?{self.query}"
        return text.encode("ascii")


@lru_cache(maxsize=8192)
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
    return Target(
        path=path if _PLAIN.fullmatch(path) else _canonical_path(path),
        query=_canonical_query(query) if question else None,
        doubt=None if _PLAIN.fullmatch(path) else _doubt(path),
    )


def _canonical_path(path: str) -> str:
    return _without_dots(_recode(path, _PATH_BYTES))


def _canonical_query(query: str) -> str:
    return query if _PLAIN_QUERY.fullmatch(query) else _recode(query, _QUERY_BYTES)


def _recode(text: str, allowed: frozenset[int]) -> str:
    """Decodes what need not be encoded, encodes what must be (RFC 3986 sections 2.3 and 6.2.2)."""

    def triple(match: re.Match[str]) -> str:
        byte = int(match[1], 16)
        return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"

    decoded = _TRIPLE.sub(triple, text)
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


def _doubt(path: str) -> str | None:
    """Why a path may name another resource to the backend than to us, or None."""
    if _BAD_TRIPLE.search(path):
        return "a percent sign that is not followed by two hexadecimal digits"
    if "\\" in path:
        return "a backslash"
    raw = _TRIPLE.sub(lambda match: chr(int(match[1], 16)), path)
    for pattern, what in (
        (r"%2[Ff]", "an encoded slash (%2F)"),
        (r"%5[Cc]", "an encoded backslash (%5C)"),
    ):
        if re.search(pattern, path):
            return what
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in raw):
        return "an encoded control character"
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


def forwarded_target(route: Route, target: Target) -> bytes:
    """The target to send to the backend: the form that was matched and named."""
    if route.merge_slashes and "//" in target.path:
        return Target(_SLASHES.sub("/", target.path), target.query).wire()
    return target.wire()


def resource_key(route: Route, target: Target, headers: CIMultiDictProxy[str]) -> str:
    """The name of the resource in the version store: the same for every spelling and on every replica."""
    path = target.path
    if route.merge_slashes:
        path = _SLASHES.sub("/", path)
    if route.case_insensitive:
        path = path.lower()
    if route.trailing_slash == "same" and len(path) > 1:
        path = path.rstrip("/") or "/"
    query = _named_query(route, target.query)
    key = path if query is None else f"{path}?{query}"
    if not route.vary_by:
        return key
    return "\n".join([key, *(_selector(name, headers) for name in route.vary_by)])


def _named_query(route: Route, query: str | None) -> str | None:
    if query is None or route.query is None:
        return query
    pairs = [
        pair for pair in query.split("&") if _recode(pair.partition("=")[0], _QUERY_BYTES) in route.query
    ]
    return "&".join(pairs) or None


def _selector(name: str, headers: CIMultiDictProxy[str]) -> str:
    if not name.startswith("cookie:"):
        return f"{name}={','.join(headers.getall(name, ()))}"
    wanted = name.removeprefix("cookie:")
    return f"{name}={','.join(_cookies(headers.getall('Cookie', ()), wanted))}"


def _cookies(lines: Iterable[str], wanted: str) -> list[str]:
    pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
    return [value for name, _, value in pairs if name == wanted]
