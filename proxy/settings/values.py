"""Single values as people write them: durations, sizes, switches, methods. And how each is written back.

Every reader takes what YAML or an environment variable gave, returns the value, or raises what `wrong` makes:
an error that says what is wrong and what to write instead.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic_core import PydanticCustomError

DURATION: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d)?")
MOST_WORKERS: Final = 256
SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgG]i?)?[bB]?")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_FACTOR: Final = {"k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
# RFC 9110 section 9.3 and the IANA registry of methods; PURGE is in wide use without being in it.
UNSAFE: Final = frozenset({
    "POST", "PUT", "PATCH", "DELETE", "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY",
    "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE",
    "MOVE", "ORDERPATCH", "PROPPATCH", "PURGE", "REBIND", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK",
    "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
})  # fmt: skip
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

Choice = TypeVar("Choice", bound=StrEnum)


def wrong(what: str, instead: str) -> PydanticCustomError:
    """An error for the operator.

    Args:
        what: what is wrong; stands after the key.
        instead: what to write.
    """
    return PydanticCustomError("wrong", "{what}; {instead}", {"what": what, "instead": instead})


def quoted(value: object) -> str:
    """A value as the operator knows it, shortened."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    short = text if len(text) <= 60 else text[:57] + "..."
    return json.dumps(short, ensure_ascii=False) if isinstance(value, str) else short


def near(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word.lower(), {name.lower(): name for name in known}, n=1, cutoff=0.6)
    return next((name for name in known if name.lower() == found[0]), None) if found else None


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`, of one word or more."""
    *front, end = words
    return f"{', '.join(front)} {last} {end}" if front else end


def duration(value: object) -> float:
    """Seconds, of `30s`, `500ms`, `2m`, `1h`, `7d` or a plain number of seconds."""
    match = DURATION.fullmatch(_number_text(value))
    if match is None:
        raise wrong(
            f"{quoted(value)} is not a duration",
            "write a number with a unit, such as 500ms, 30s, 2m, 1h or 7d",
        )
    seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    return round(seconds, 6)


def positive_duration(value: object) -> float:
    """As `duration`, but not nothing."""
    seconds = duration(value)
    if seconds <= 0:
        raise wrong(f"{quoted(value)} leaves no time at all", "write a duration above zero, such as 30s")
    return seconds


def size(value: object) -> int:
    """Bytes, of `64KiB` (1024), `500kB` (1000), `1MiB`, `2GiB` or a plain number of bytes."""
    match = SIZE.fullmatch(_number_text(value))
    count = float(match[1]) * _FACTOR.get((match[2] or "").lower(), 1) if match else math.nan
    if not count.is_integer():
        raise wrong(
            f"{quoted(value)} is not a size",
            "write a number of bytes or one with a unit, such as 64KiB or 1MiB",
        )
    return int(count)


def count(value: object) -> int:
    """A whole number, zero or above."""
    text = _number_text(value)
    if not re.fullmatch(r"\d{1,18}", text):
        raise wrong(f"{quoted(value)} is not a whole number", "write a number such as 100")
    return int(text)


def share(value: object) -> float | None:
    """A part of the whole, from 0 to 1."""
    if value is None:
        return None
    text = _number_text(value)
    if not re.fullmatch(r"\d(?:\.\d+)?", text) or float(text) > 1:
        percent = re.fullmatch(r"(\d{1,2}(?:\.\d+)?) ?%", text)
        instead = (
            f"write {float(percent[1]) / 100:g}" if percent else "write a number such as 0.1, or 1 for all"
        )
        raise wrong(f"{quoted(value)} is not a share from 0 to 1", instead)
    return float(text)


def workers(value: object) -> int | str:
    """How many processes: a number, or auto."""
    if value == "auto":
        return "auto"
    text = _number_text(value)
    if not re.fullmatch(r"\d{1,3}", text) or not 0 < int(text) <= MOST_WORKERS:
        raise wrong(
            f"{quoted(value)} is no number of processes",
            f"write auto (one for each processor), or a number from 1 to {MOST_WORKERS}",
        )
    return int(text)


def prefix(value: object) -> str:
    """What keys in Redis begin with. Braces would move every key to one slot of a Redis Cluster."""
    if isinstance(value, str) and re.fullmatch(r"[!-z|~]+", value):
        return value
    raise wrong(
        f"{quoted(value)} cannot begin a key", "write a short word without spaces and braces, such as pp"
    )


def positive(reader: Callable[[object], int]) -> Callable[[object], int]:
    """The same reader, refusing zero."""

    def read(value: object) -> int:
        number = reader(value)
        if number == 0:
            raise wrong("0 would refuse everything", "write a number above zero")
        return number

    return read


def switch(value: object) -> bool:
    """true or false; an environment variable may also say on, off, yes, no, 1 or 0."""
    word = {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else str(value).lower()
    if word not in _SWITCH:
        raise wrong(f"{quoted(value)} is neither true nor false", "write true or false")
    return _SWITCH[word]


_SWITCH: Final = {
    "true": True, "on": True, "yes": True, "1": True,
    "false": False, "off": False, "no": False, "0": False,
}  # fmt: skip


def choice(kind: type[Choice]) -> Callable[[object], Choice]:
    """A reader for one of a closed set of words."""

    def read(value: object) -> Choice:
        words = [member.value for member in kind]
        if isinstance(value, str) and value.lower() in words:
            return kind(value.lower())
        meant = near(value, words) if isinstance(value, str) else None
        raise wrong(f"{quoted(value)} is not one of {listed(words)}", f"write {meant or listed(words)}")

    return read


def text(value: object) -> str:
    """Text that is not empty. A number is not text: YAML would have changed how it was written."""
    if not isinstance(value, str) or not value:
        raise wrong(f"{quoted(value)} is not text", "write some text, in quotes if it looks like a number")
    return value


def items(value: object) -> object:
    """A list, to be read item by item."""
    if isinstance(value, (list, tuple, frozenset)):
        return value
    example = f"[{value}]" if isinstance(value, str) and value else "a list, such as [a, b], or [] for none"
    raise wrong(f"{quoted(value)} is not a list", f"write {example}")


def write_method(value: object) -> str:
    """An unsafe method, in capitals (methods are case-sensitive, RFC 9110 section 9.1)."""
    method = text(value).upper()
    if method in UNSAFE:
        return method
    if method in SAFE:
        raise wrong(f"{method} is a safe method: it writes nothing", "name methods that write, such as PUT")
    meant = near(method, UNSAFE)
    advice = f"write {meant}" if meant else "write a method such as PUT, PATCH, DELETE or POST"
    raise wrong(f"{quoted(value)} is not a known method", advice)


def selector(value: object) -> str:
    """What a resource varies by: a field name in lower case, or `cookie:NAME`."""
    word = text(value)
    kind, colon, name = word.partition(":")
    if TOKEN.fullmatch(word):
        return word.lower()
    if colon and kind.lower() == "cookie" and TOKEN.fullmatch(name):
        return f"cookie:{name}"
    raise wrong(
        f"{quoted(value)} is no field name",
        "write a field name such as authorization, or cookie:sid for one cookie",
    )


def query(value: object) -> object:
    """Which query parameters name a resource: None for all, a list for just these."""
    if value == "none":
        return ()
    if value is None or value == "all":
        return None
    if isinstance(value, str):
        raise wrong(
            f"{quoted(value)} is not all, none or a list", f"write all, none, or names such as [{value}]"
        )
    return items(value)


def written_duration(seconds: float) -> str:
    """As short as it can be read back: `30s`, `500ms`, `7d`."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s" if seconds >= 1 or not seconds else f"{seconds * 1000:g}ms"


def written_size(number: int) -> str:
    """As short as it can be read back: `1MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if number and number % _FACTOR[unit[:2].lower()] == 0:
            return f"{number // _FACTOR[unit[:2].lower()]}{unit}"
    return str(number)


def _number_text(value: Any) -> str:
    """A number or text as text; what is neither matches nothing. True is no number here."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return value.strip() if isinstance(value, str) else repr(value)
