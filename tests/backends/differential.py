"""The same requests sent twice: to a backend itself, and to its twin through the proxy. What differs?"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HOST = "files.example"
_OF_THE_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "date",
    "via",
    "x-request-id",
}
_OF_THE_CLOCK = {"etag", "last-modified"}  # twins differ in these; that they are there is compared
# What two twins tell differently by themselves: times, lock tokens (those of Go's library are the second in
# which the server started, and Apache's time-out may be a second shorter by then), their ports.
_TIMES = re.compile(
    r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?Z?"
    r"|(?:opaquelocktoken|urn:uuid|urn):[0-9a-fx-]+|:\d{4,5}\b|Port \d+"
    r"|\w{3} \w{3} +\d+ \d{2}:\d{2}:\d{2} \d{4}|\b\d{10}\b|Second-(?:299|300)\b"
)
_UNORDERED = {"allow"}


@dataclass(frozen=True)
class Ask:
    """One request of a script.

    Attributes:
        fields: `{tag}` is the last tag that was shown for this path, `{lock}` the last lock token.
        checked: whether the answers' fields and content are compared besides the status: a 412 of the
            proxy's own has its own.
    """

    method: str
    path: str
    content: bytes | None = None
    fields: dict[str, str] = field(default_factory=dict)
    checked: bool = True


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    fields: dict[str, list[str]]
    content: bytes

    def plain(self, *, checked: bool) -> object:
        """What of it must be the same."""
        if not checked:
            return self.status
        kept = {
            name: ["..."]
            if name in _OF_THE_CLOCK
            else [_TIMES.sub("...", one) for one in ordered(name, values)]
            for name, values in self.fields.items()
            if name not in _OF_THE_HOP
        }
        return self.status, kept, _TIMES.sub("...", self.content.decode("utf-8", "replace"))


def ordered(name: str, values: list[str]) -> list[str]:
    """The values of a field; the members of a list without an order in one."""
    if name not in _UNORDERED:
        return values
    return sorted(member.strip() for value in values for member in value.split(","))


def play(url: str, script: Iterable[Ask]) -> list[Got]:
    """Sends the requests one after the other on one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    tags: dict[str, str] = {}
    lock = ""
    answers = []
    try:
        for ask in script:
            known = {"tag": tags.get(ask.path, '"none"'), "lock": lock}
            fields = {name: value.format(**known) for name, value in ask.fields.items()}
            connection.request(ask.method, ask.path, ask.content, {"Host": HOST, **fields})
            reply = connection.getresponse()
            told: dict[str, list[str]] = {}
            for name, value in reply.getheaders():
                told.setdefault(name.lower(), []).append(value)
            try:
                content = reply.read()
            except http.client.IncompleteRead as cut:  # the backend said so much more than it sent
                content = cut.partial
                connection.close()
            answers.append(Got(reply.status, told, content))
            if ask.method in {"GET", "HEAD"} and "etag" in told:
                tags[ask.path] = told["etag"][0]
            lock = told.get("lock-token", [lock])[0]
    finally:
        connection.close()
    return answers


def differences(
    script: list[Ask], direct: list[Got], proxied: list[Got], *, minted: bool = False
) -> list[str]:
    """What a client sees otherwise through the proxy, one sentence each.

    Args:
        minted: whether the proxy may add an ETag where the backend has none.
    """
    found = []
    for ask, ours, theirs in zip(script, proxied, direct, strict=True):
        if minted and "etag" not in theirs.fields:
            ours.fields.pop("etag", None)
        one, other = ours.plain(checked=ask.checked), theirs.plain(checked=ask.checked)
        if one != other:
            found.append(f"{ask.method} {ask.path} {ask.fields}:\n  direct  {other}\n  proxied {one}")
    return found
