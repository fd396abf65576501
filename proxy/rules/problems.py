"""The documents of refusals: what they hold, and their three forms.

RFC 9457 problem documents, plain text, or a small page without anything to load. Every refusal tells in one
plain sentence what happened (`detail`) and in one what to do next (`recovery`). Its `type` is a name that
never changes, `urn:precondition-proxy:` and the kind: for programs to compare, not to fetch.
"""

from __future__ import annotations

import enum
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from proxy.rules.accept import Form, choose

LONGEST_ECHO: Final = 200
"""How many characters of what the client sent are shown to it."""

TYPE_PREFIX: Final = "urn:precondition-proxy:"

Fields = tuple[tuple[str, str], ...]

_encode: Final = json.JSONEncoder().encode
_quoted: Final = json.encoder.encode_basestring_ascii

# RFC 6585 section 3 forbids caches to store a 428; no other refusal outlives its moment either.
ALWAYS: Final[Fields] = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class Kind(enum.StrEnum):
    """What kind of refusal; the end of `type`."""

    STALE = "stale"  # 412
    CONDITION_REQUIRED = "condition-required"  # 428
    MALFORMED_CONDITION = "malformed-condition"  # 400
    BAD_REQUEST = "bad-request"  # 400
    REQUEST_TIMEOUT = "request-timeout"  # 408
    CONTENT_TOO_LARGE = "content-too-large"  # 413
    TARGET_TOO_LONG = "target-too-long"  # 414
    FIELDS_TOO_LARGE = "fields-too-large"  # 431
    INTERNAL = "internal"  # 500
    BAD_GATEWAY = "bad-gateway"  # 502
    UNAVAILABLE = "unavailable"  # 503
    GATEWAY_TIMEOUT = "gateway-timeout"  # 504


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal, in no form yet.

    Attributes:
        status: the status code.
        kind: which kind.
        title: the same for every refusal of the kind.
        detail: what happened, one sentence.
        recovery: what to do next, one sentence.
        members: further members of the document (RFC 9457 section 3.2), JSON values.
        fields: response fields that go with it, whatever its form.
    """

    status: int
    kind: Kind
    title: str
    detail: str
    recovery: str
    members: Mapping[str, object] = field(default_factory=dict)
    fields: Fields = ALWAYS


def identified(problem: Problem, request_id: str) -> Problem:
    """The problem with the id of its request, by which the operator finds it in the log.

    In the document too, not only in X-Request-ID: users show what they see.

    Args:
        problem: without.
        request_id: printable ASCII, as the edge leaves it.
    """
    members = {**problem.members, "request_id": request_id}
    kind, words = problem.kind, (problem.title, problem.detail, problem.recovery)
    return Problem(problem.status, kind, *words, members, problem.fields)


def render(problem: Problem, accept: Sequence[str] = ()) -> tuple[str, bytes]:
    """The content type and the body, in the form that the request's Accept asks for.

    Args:
        problem: from one of the functions above; its `fields` go with every form.
        accept: the lines of the request's Accept.
    """
    form = choose(accept)
    match form:
        case Form.PROBLEM:
            return form.value, _json(_document(problem)).encode("ascii") + b"\n"
        case Form.TEXT:
            return "text/plain; charset=utf-8", _text(problem).encode("utf-8")
        case Form.HTML:
            return "text/html; charset=utf-8", _page(problem).encode("utf-8")
        case _:
            assert_never(form)


def _json(value: object, margin: str = "\n") -> str:
    """A JSON text, indented for people.

    As `json.dumps` would with `indent`, which has no C code for it and leaves cycles of functions behind.
    """
    if not isinstance(value, dict) or not value:
        return _encode(value)
    inner = margin + "  "
    members = [
        f"{inner}{_quoted(name)}: {_quoted(member) if type(member) is str else _json(member, inner)}"
        for name, member in value.items()
    ]
    return "{" + ",".join(members) + margin + "}"


def _document(problem: Problem) -> dict[str, object]:
    return {
        "type": TYPE_PREFIX + problem.kind,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "recovery": problem.recovery,
        **problem.members,
    }


def _text(problem: Problem) -> str:
    facts = "".join(f"{name}: {value}\n" for name, value in _facts(problem.members))
    head = f"{problem.status} {problem.title}\n\n{problem.detail}\n{problem.recovery}\n"
    return f"{head}\n{facts}" if facts else head


_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:10vh auto;padding:0 1rem}"
    "dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere;font-family:ui-monospace,monospace}"
)


def _page(problem: Problem) -> str:
    title = html.escape(f"{problem.status} {problem.title}")
    facts = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>\n"
        for name, value in _facts(problem.members)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"<p>{html.escape(problem.detail)}</p>\n<p><strong>{html.escape(problem.recovery)}</strong></p>\n"
        f"<dl>\n{facts}</dl>\n</main>\n</body>\n</html>\n"
    )


def _facts(members: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The members as lines: names in words, `current` taken apart."""
    for name, value in members.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield from ((f"{words} {inner}", text) for inner, text in _facts(value))
        elif isinstance(value, bool):
            yield words, "yes" if value else "no"
        else:
            yield words, "none" if value is None else str(value)


def echo(text: str) -> str:
    """Text from the client, legible and short."""
    shown = legible(text[:LONGEST_ECHO])
    return shown if len(text) <= LONGEST_ECHO else shown + "..."


def legible(text: str) -> str:
    """Bytes that were not UTF-8 as Latin-1 (RFC 9110 section 5.5), what cannot be printed as U+FFFD.

    Half a surrogate pair is not a character: neither JSON parsers (RFC 8259 section 8.2) nor UTF-8 take it.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        character = chr(ord(character) - 0xDC00)
    return character if character.isprintable() else "\ufffd"
