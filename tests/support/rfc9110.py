"""RFC 9110 section 13 as a table: what a request asks, of which resource, and what must come of it.

Written from the RFC's text; every row names its section. Plain data without any import of the proxy, so that
it can be run twice: through `parse_conditions` and `evaluate`, and through a whole proxy on sockets in front
of a backend that ignores every condition.

How to read and run a row:
- Field values are text in which each byte that is not UTF-8 is a lone surrogate (`surrogateescape`). `{etag}`
  stands for the tag that a GET of the resource shows to a client at that moment.
- `State` is what the backend sends for the resource; where it sends no ETag or a weak one, the proxy mints a
  strong one.
- Rows with `wire=False` are about what a single backend response cannot bring about, about requests that an
  HTTP parser stops or routes elsewhere, or bound to NOW_YEAR.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

NOW_YEAR: Final = 2026

EARLIER: Final = "Sun, 06 Nov 1994 08:49:36 GMT"
MODIFIED: Final = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER: Final = "Sun, 06 Nov 1994 08:49:38 GMT"
FUTURE: Final = "Thu, 01 Jan 2099 00:00:00 GMT"


class Expect(enum.Enum):
    """What must come of a row."""

    PROCEED = "proceed"  # reaches the backend (or is answered with the whole response)
    IGNORED = "ignored"  # the same, and the decision says that a date had to be ignored
    FAILED = "412"
    NOT_MODIFIED = "304"
    MALFORMED = "400"
    RANGE = "206"  # Range is applied
    WHOLE = "200"  # Range is not applied
    ASK = "ask"  # the current version has to be found out first


@dataclass(frozen=True)
class Validators:
    """What the backend sends with one representation, as field values."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class State:
    """The resource.

    Attributes:
        name: for the row's id.
        representations: the current ones; none where the resource is absent; None where nobody has looked.
        mintable: whether the proxy can mint a tag where the backend sends none.
        shared_second: whether another version had the same Last-Modified.
        wire: whether one backend response can show it.
    """

    name: str
    representations: tuple[Validators, ...] | None
    mintable: bool = True
    shared_second: bool = False
    wire: bool = True


ABSENT: Final = State("absent", ())
BOTH: Final = State("etag+date", (Validators('"v1"', MODIFIED),))
TAGGED: Final = State("etag", (Validators('"v1"'),))
WEAK: Final = State("weak", (Validators('W/"v1"', MODIFIED),))
DATED: Final = State("date", (Validators(None, MODIFIED),))
BARE: Final = State("bare", (Validators(),))
HUGE: Final = State("untagged", (Validators(None, MODIFIED),), mintable=False, wire=False)
HUGE_WEAK: Final = State("weak-only", (Validators('W/"v1"', MODIFIED),), mintable=False, wire=False)
HUGE_BARE: Final = State("nothing", (Validators(),), mintable=False, wire=False)
SHARED: Final = State("shared-second", (Validators('"v1"', MODIFIED),), shared_second=True, wire=False)
SEVERAL: Final = State("several", (Validators('"v1"', MODIFIED), Validators('"v1-gz"', LATER)), wire=False)
PART_DATED: Final = State("part-dated", (Validators('"v1"', MODIFIED), Validators('"v1-gz"')), wire=False)
UNKNOWN: Final = State("unknown", None, wire=False)

EMPTY_TAG: Final = State("empty-tag", (Validators('""'),))
COMMA: Final = State("comma", (Validators('"a,b"'),))
SPECIAL: Final = State("special", (Validators('"!#$%&\'()*+-./:;<=>?@[\\]^_`{|}~"'),))
OBS_TEXT: Final = State("obs-text", (Validators('"caf\udce9"'),))
UTF8: Final = State("utf-8", (Validators('"caf\u00e9"'),))
STAR_TAG: Final = State("star-tag", (Validators('"*"'),))

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One case.

    Attributes:
        id: unique.
        section: of RFC 9110.
        method: as on the wire.
        fields: the request's conditional fields (and Range), line by line.
        state: the resource before the request.
        expect: what must come of it.
        reason: for 412, the reason that is given.
        wire: whether it can be run through sockets.
    """

    id: str
    section: str
    method: str
    fields: Fields
    state: State
    expect: Expect
    reason: str | None = None
    wire: bool = True


WRITES: Final = ("PUT", "PATCH", "DELETE", "POST", "FROB")
READS: Final = ("GET", "HEAD")
OTHERS: Final = ("OPTIONS", "PROPFIND", "REPORT", "SEARCH", "QUERY", "TRACE", "CONNECT")

YES, NO, GONE, WRONG, ASK = Expect.PROCEED, Expect.FAILED, Expect.NOT_MODIFIED, Expect.MALFORMED, Expect.ASK
IGNORED, RANGE, WHOLE = Expect.IGNORED, Expect.RANGE, Expect.WHOLE
Ask = tuple[str, str]


def _rows(
    section: str,
    methods: tuple[str, ...],
    state: State,
    asked: str | Fields,
    expect: Expect,
    reason: str | None = None,
    *,
    name: str = "",
    wire: bool = True,
) -> Iterator[Row]:
    fields = _lines(asked) if isinstance(asked, str) else asked
    title = name or " & ".join(f"{field}: {value}" for field, value in fields)
    for method in methods:
        off_the_wire = not wire or not state.wire or method in ("TRACE", "CONNECT")
        row = f"{section} {method} {title} [{state.name}]"
        yield Row(row, section, method, fields, state, expect, reason, not off_the_wire)


def _lines(text: str) -> Fields:
    """`If-Match: "a" | If-Match: "b"` as field lines."""
    lines = (line.split(":", 1) for line in text.split(" | "))
    return tuple((name, value.strip(" \t")) for name, value in lines)


def _if_match() -> Iterator[Row]:
    """Section 13.1.1, and what it says of strong comparison (8.8.3.2)."""
    for methods in (WRITES, READS):
        for asked in ("*", '"v1"', '"v0", "v1"', '"v1", "v2"', '"v0","v1","v2"'):
            yield from _rows("13.1.1", methods, BOTH, f"If-Match: {asked}", YES)
        for asked in ('"v2"', '"v2", "v3"', '"V1"', '"v1_"', '""', '"*"'):
            yield from _rows("13.1.1", methods, BOTH, f"If-Match: {asked}", NO, "stale_tag")
        for asked in ('W/"v1"', 'W/"v1", "v2"', '"v2", W/"v1"'):
            yield from _rows("8.8.3.2", methods, BOTH, f"If-Match: {asked}", NO, "weak_tag")
        for asked in ('W/"v1"', '"v1"'):
            yield from _rows("8.8.3.2", methods, WEAK, f"If-Match: {asked}", NO, "weak_tag")
        for state in (TAGGED, WEAK, DATED, BARE):
            yield from _rows("13.1.1", methods, state, "If-Match: {etag}", YES)
            yield from _rows("13.1.1", methods, state, "If-Match: *", YES)
            yield from _rows("13.1.1", methods, state, 'If-Match: "v0"', NO, "stale_tag")
        yield from _rows("13.1.1", methods, HUGE, 'If-Match: "v1"', NO, "no_tag")
        yield from _rows("13.1.1", methods, HUGE, "If-Match: *", YES)
        yield from _rows("8.8.3.2", methods, HUGE_WEAK, 'If-Match: W/"v1"', NO, "weak_tag")
        yield from _rows("8.8.3.2", methods, HUGE_WEAK, 'If-Match: W/"v0"', NO, "stale_tag")
        yield from _rows("13.1.1", methods, SEVERAL, 'If-Match: "v1-gz"', YES)
        yield from _rows("13.1.1", methods, SEVERAL, 'If-Match: "v1-br"', NO, "stale_tag")
        yield from _rows("13.2.1", methods, UNKNOWN, "If-Match: *", ASK)
    for asked in ('"v1"', "*", 'W/"v1"'):
        yield from _rows("13.1.1", WRITES, ABSENT, f"If-Match: {asked}", NO, "absent")
        # The answer without conditions would be 404, so they are ignored.
        yield from _rows("13.2.1", READS, ABSENT, f"If-Match: {asked}", YES)


def _if_none_match() -> Iterator[Row]:
    """Section 13.1.2: weak comparison; 304 for GET and HEAD, 412 for the rest."""
    for methods in (WRITES, READS):
        false = GONE if methods is READS else NO
        named = None if methods is READS else "tag_matches"
        exists = None if methods is READS else "exists"
        for asked in ('"v1"', 'W/"v1"', '"v0", "v1"', 'W/"v0", W/"v1"'):
            for state in (BOTH, WEAK):
                yield from _rows("13.1.2", methods, state, f"If-None-Match: {asked}", false, named)
        for state in (BOTH, TAGGED, WEAK, DATED, BARE, HUGE):
            yield from _rows("13.1.2", methods, state, "If-None-Match: *", false, exists)
            yield from _rows("13.1.2", methods, state, 'If-None-Match: "v0"', YES)
        for state in (TAGGED, WEAK, DATED, BARE):
            yield from _rows("13.1.2", methods, state, "If-None-Match: {etag}", false, named)
        for state in (TAGGED, DATED, BARE):
            yield from _rows("13.1.2", methods, state, "If-None-Match: W/{etag}", false, named)
        for asked in ('"V1"', 'W/"v2"', '""', '"*"'):
            yield from _rows("13.1.2", methods, BOTH, f"If-None-Match: {asked}", YES)
        yield from _rows("13.1.2", methods, HUGE_WEAK, 'If-None-Match: "v1"', false, named)
        yield from _rows("13.1.2", methods, SEVERAL, 'If-None-Match: W/"v1-gz"', false, named)
        for asked in ("*", '"v1"'):
            yield from _rows("13.1.2", methods, ABSENT, f"If-None-Match: {asked}", YES)
        yield from _rows("13.2.1", methods, UNKNOWN, 'If-None-Match: "v1"', ASK)


def _if_modified_since() -> Iterator[Row]:
    """Section 13.1.3: GET and HEAD alone, and only without If-None-Match."""
    for state in (BOTH, WEAK, DATED):
        yield from _rows("13.1.3", READS, state, f"If-Modified-Since: {MODIFIED}", GONE)
        yield from _rows("13.1.3", READS, state, f"If-Modified-Since: {LATER}", GONE)
        yield from _rows("13.1.3", READS, state, f"If-Modified-Since: {FUTURE}", GONE)
        yield from _rows("13.1.3", READS, state, f"If-Modified-Since: {EARLIER}", YES)
    yield from _rows("13.1.3", WRITES, BOTH, f"If-Modified-Since: {MODIFIED}", YES)
    yield from _rows("13.1.3", WRITES, BOTH, "If-Modified-Since: yesterday", YES)
    yield from _rows("13.1.3", READS, ABSENT, f"If-Modified-Since: {MODIFIED}", YES)
    for state in (TAGGED, BARE):
        yield from _rows("13.1.3", READS, state, f"If-Modified-Since: {MODIFIED}", IGNORED)
    yield from _rows("13.1.3", READS, PART_DATED, f"If-Modified-Since: {MODIFIED}", IGNORED)
    yield from _rows("13.1.3", READS, SEVERAL, f"If-Modified-Since: {MODIFIED}", YES)
    yield from _rows("13.1.3", READS, SEVERAL, f"If-Modified-Since: {LATER}", GONE)
    yield from _rows("8.8.2.2", READS, SHARED, f"If-Modified-Since: {MODIFIED}", YES)
    yield from _rows("8.8.2.2", READS, SHARED, f"If-Modified-Since: {LATER}", GONE)
    yield from _rows("13.2.1", READS, UNKNOWN, f"If-Modified-Since: {MODIFIED}", ASK)
    for wrong in NOT_DATES:
        yield from _rows("13.1.3", READS, BOTH, (("If-Modified-Since", wrong),), YES)
    both = (("If-Modified-Since", LATER), ("If-Modified-Since", LATER))
    yield from _rows("13.1.3", READS, BOTH, both, YES, name="If-Modified-Since twice")


def _if_unmodified_since() -> Iterator[Row]:
    """Section 13.1.4, with the one deliberate difference: an invalid date on a write is told, not dropped."""
    for methods in (WRITES, READS):
        for state in (BOTH, WEAK, DATED):
            yield from _rows("13.1.4", methods, state, f"If-Unmodified-Since: {MODIFIED}", YES)
            yield from _rows("13.1.4", methods, state, f"If-Unmodified-Since: {LATER}", YES)
            yield from _rows("13.1.4", methods, state, f"If-Unmodified-Since: {FUTURE}", YES)
            yield from _rows(
                "13.1.4", methods, state, f"If-Unmodified-Since: {EARLIER}", NO, "modified_since"
            )
        for state in (TAGGED, BARE, HUGE_BARE):
            yield from _rows("13.1.4", methods, state, f"If-Unmodified-Since: {MODIFIED}", IGNORED)
        yield from _rows("13.1.4", methods, HUGE, f"If-Unmodified-Since: {MODIFIED}", YES)
        yield from _rows("8.8.2.2", methods, SHARED, f"If-Unmodified-Since: {MODIFIED}", NO, "shared_second")
        yield from _rows("8.8.2.2", methods, SHARED, f"If-Unmodified-Since: {LATER}", YES)
        yield from _rows("8.8.2.2", methods, SHARED, f"If-Unmodified-Since: {EARLIER}", NO, "modified_since")
        yield from _rows("13.1.4", methods, SEVERAL, f"If-Unmodified-Since: {MODIFIED}", NO, "modified_since")
        yield from _rows("13.1.4", methods, SEVERAL, f"If-Unmodified-Since: {LATER}", YES)
        yield from _rows("13.1.4", methods, PART_DATED, f"If-Unmodified-Since: {MODIFIED}", YES)
        yield from _rows(
            "13.1.4", methods, PART_DATED, f"If-Unmodified-Since: {EARLIER}", NO, "modified_since"
        )
        yield from _rows("13.2.1", methods, UNKNOWN, f"If-Unmodified-Since: {MODIFIED}", ASK)
    yield from _rows("13.1.4", WRITES, ABSENT, f"If-Unmodified-Since: {LATER}", NO, "absent")
    yield from _rows("13.2.1", READS, ABSENT, f"If-Unmodified-Since: {LATER}", YES)
    for wrong in NOT_DATES:
        yield from _rows("13.1.4", ("PUT", "DELETE"), BOTH, (("If-Unmodified-Since", wrong),), WRONG)
        yield from _rows("13.1.4", ("GET",), BOTH, (("If-Unmodified-Since", wrong),), YES)
    twice = (("If-Unmodified-Since", LATER), ("If-Unmodified-Since", LATER))
    yield from _rows("13.1.4", WRITES, BOTH, twice, WRONG, name="If-Unmodified-Since twice")
    yield from _rows("13.1.4", READS, BOTH, twice, YES, name="If-Unmodified-Since twice")


NOT_DATES: Final = (
    "",
    "0",
    "-1",
    "784111777",
    "yesterday",
    "1994-11-06T08:49:37Z",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 gmt",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun, 06 Nov 1994 09:49:37 CET",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun, 06 Nov 1994 8:49:37 GMT",
    "sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 06 November 1994 08:49:37 GMT",
    "Son, 06 Nov 1994 08:49:37 GMT",
    "06 Nov 1994 08:49:37 GMT",
    "Sun 06 Nov 1994 08:49:37 GMT",
    "Sun,  06 Nov 1994 08:49:37 GMT",
    "Thu, 31 Feb 1994 08:49:37 GMT",
    "Wed, 29 Feb 2023 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:60 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "Sun, 06-Nov-94 08:49:37 GMT",
    "Sunday, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-1994 08:49:37 GMT",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov  6 08:49:37 1994 GMT",
    "Sun Nov 06 08:49:37 94",
    f"{LATER}; length=123",
    f"{LATER}, {LATER}",
    f'"{LATER}"',
    '"v1"',
    "*",
)
"""Not an HTTP-date in any of the three forms (5.6.7)."""


def _date_forms() -> Iterator[Row]:
    """Section 5.6.7: a recipient must accept all three forms; two-digit years; leap seconds."""
    forms = {
        "same": (MODIFIED, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"),
        "later": (LATER, "Sunday, 06-Nov-94 08:49:38 GMT", "Sun Nov  6 08:49:38 1994"),
        "earlier": (EARLIER, "Sunday, 06-Nov-94 08:49:36 GMT", "Sun Nov  6 08:49:36 1994"),
    }
    for when, texts in forms.items():
        for text in texts:
            holds, reason = (NO, "modified_since") if when == "earlier" else (YES, None)
            yield from _rows("5.6.7", ("PUT",), DATED, f"If-Unmodified-Since: {text}", holds, reason)
            changed = YES if when == "earlier" else GONE
            yield from _rows("5.6.7", READS, DATED, f"If-Modified-Since: {text}", changed)
    for text, holds, reason in (
        ("Sun Nov 13 08:49:37 1994", YES, None),  # asctime with two digits
        ("Mon, 06 Nov 1994 08:49:37 GMT", YES, None),  # the wrong day of the week carries no meaning
        ("Sat, 31 Dec 1994 23:59:60 GMT", YES, None),  # a leap second
        ("Tue, 01 Jan 1901 00:00:00 GMT", NO, "modified_since"),  # before 1970
        ("Thu, 29 Feb 1996 00:00:00 GMT", YES, None),
        ("Mon, 01 Jan 0001 00:00:00 GMT", NO, "modified_since"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", YES, None),
    ):
        yield from _rows("5.6.7", ("PUT", "GET"), DATED, f"If-Unmodified-Since: {text}", holds, reason)
    ahead = "If-Unmodified-Since: Sunday, 06-Nov-76 08:49:37 GMT"  # 50 years ahead of NOW_YEAR: 2076
    yield from _rows("5.6.7", ("PUT", "GET"), DATED, ahead, YES, wire=False)
    past = "If-Unmodified-Since: Sunday, 06-Nov-77 08:49:37 GMT"  # 51 years ahead means 1977
    yield from _rows("5.6.7", ("PUT", "GET"), DATED, past, NO, "modified_since", wire=False)


def _grammar() -> Iterator[Row]:
    """Sections 8.8.3 (entity-tag), 5.6.1 (lists) and 5.3 (several field lines)."""
    for state, tag in (
        (EMPTY_TAG, '""'),
        (COMMA, '"a,b"'),
        (SPECIAL, '"!#$%&\'()*+-./:;<=>?@[\\]^_`{|}~"'),
        (OBS_TEXT, '"caf\udce9"'),
        (UTF8, '"caf\u00e9"'),
        (STAR_TAG, '"*"'),
    ):
        name = f"the tag {tag!a}"
        for asked in (tag, f'"x", {tag}', f'{tag},"x"'):
            fields = (("If-Match", asked),)
            yield from _rows("8.8.3", ("PUT", "GET"), state, fields, YES, name=f"{name} in {asked!a}")
        fields = (("If-None-Match", f"W/{tag}"),)
        yield from _rows("8.8.3", ("PUT",), state, fields, NO, "tag_matches", name=f"not {name}")
        yield from _rows("8.8.3", ("GET",), state, fields, GONE, name=f"not {name}")
    for asked in ('"a"', '"b"', '"a", "b"', '"a,b,c"'):
        yield from _rows("8.8.3", ("PUT",), COMMA, f"If-Match: {asked}", NO, "stale_tag")
    for asked in (
        ',"v1"',
        '"v1",',
        ' , ,"v1", ,',
        '"v0",,"v1"',
        '"v0"\t,\t"v1"',
        '"v0" , "v1"',
        ',,,,,,"v1"',
    ):
        fields = (("If-Match", asked),)
        yield from _rows("5.6.1.2", ("PUT", "DELETE"), BOTH, fields, YES, name=f"empty members {asked!a}")
        fields = (("If-None-Match", asked),)
        yield from _rows("5.6.1.2", ("GET",), BOTH, fields, GONE, name=f"none of, empty members {asked!a}")
    lines = (("If-Match", '"v0"'), ("If-Match", '"v1"'))
    yield from _rows("5.3", ("PUT", "GET"), BOTH, lines, YES)
    lines = (("if-match", '"v0"'), ("IF-MATCH", '"v2", "v1"'))
    yield from _rows("5.3", ("PUT", "GET"), BOTH, lines, YES)
    lines = (("If-Match", '"v0"'), ("If-Match", '"v2"'))
    yield from _rows("5.3", ("PUT", "GET"), BOTH, lines, NO, "stale_tag")
    lines = (("If-Match", ""), ("If-Match", '"v1"'))
    yield from _rows("5.3", ("PUT", "GET"), BOTH, lines, YES, name="an empty line first")
    lines = (("If-None-Match", '"v0"'), ("If-None-Match", 'W/"v1"'))
    yield from _rows("5.3", ("PUT",), BOTH, lines, NO, "tag_matches")
    yield from _rows("5.3", READS, BOTH, lines, GONE)
    for wrong in NOT_TAGS:
        for name in ("If-Match", "If-None-Match"):
            fields, wire = ((name, wrong),), wrong.isprintable() or "\t" in wrong
            title = f"{name}: {wrong!a}"
            yield from _rows("8.8.3", ("PUT", "DELETE"), BOTH, fields, WRONG, name=title, wire=wire)
        # On a read, to ignore an unreadable If-None-Match is always right, an If-Match never.
        fields = (("If-Match", wrong),)
        yield from _rows("13.1.1", ("GET",), BOTH, fields, WRONG, name=f"If-Match: {wrong!a}", wire=wire)
        fields = (("If-None-Match", wrong),)
        yield from _rows("13.1.2", ("GET",), BOTH, fields, YES, name=f"If-None-Match: {wrong!a}", wire=wire)
    for lines in (
        (("If-Match", "*"), ("If-Match", '"v1"')),
        (("If-Match", '"v'), ("If-Match", '1"')),
        (("If-Match", '"v1"'), ("If-Match", "junk")),
    ):
        yield from _rows("5.3", ("PUT", "GET"), BOTH, lines, WRONG)
    many = ", ".join(f'"t{number}"' for number in range(1001))
    yield from _rows("5.6.1.2", ("PUT",), BOTH, (("If-Match", many),), WRONG, name="1001 tags")
    many = ", ".join([*(f'"t{number}"' for number in range(999)), '"v1"'])
    yield from _rows("5.6.1.2", ("PUT",), BOTH, (("If-Match", many),), YES, name="1000 tags")


NOT_TAGS: Final = (
    "",
    ",",
    " , ,",
    "v1",
    "'v1'",
    '"v1',
    'v1"',
    '"v1""v2"',
    '"v1" "v2"',
    '"v1"; "v2"',
    '"v 1"',
    '"v1\t"',
    '"v1\x7f"',
    '"a"b"',
    'w/"v1"',
    'W/ "v1"',
    "W/v1",
    "W/",
    'W"v1"',
    'X/"v1"',
    '"v1"-gzip',
    '*, "v1"',
    '"v1", *',
    "**",
    "*,",
    "* *",
    "\u201cv1\u201d",
)
"""Neither `*` nor a list of entity tags (8.8.3, 13.1.1)."""


def _precedence() -> Iterator[Row]:
    """Section 13.2.2: the order, and which field is not looked at beside which."""
    match, other = 'If-Match: "v1"', 'If-Match: "v0"'
    same, fresh = 'If-None-Match: "v1"', 'If-None-Match: "v0"'
    for methods in (WRITES, READS):
        false = GONE if methods is READS else NO
        named = None if methods is READS else "tag_matches"
        rows = (
            # Step 1, and no step 2 where there is an If-Match.
            (f"{match} | If-Unmodified-Since: {EARLIER}", YES, None),
            (f"{match} | If-Unmodified-Since: never", YES, None),
            (f"{other} | If-Unmodified-Since: {LATER}", NO, "stale_tag"),
            (f"If-Match: * | If-Unmodified-Since: {EARLIER}", YES, None),
            # Step 1 or 2 false: 412, whatever follows.
            (f"{other} | {same}", NO, "stale_tag"),
            (f"{other} | {fresh}", NO, "stale_tag"),
            (f"{other} | If-None-Match: *", NO, "stale_tag"),
            (f"If-Unmodified-Since: {EARLIER} | {same}", NO, "modified_since"),
            (f"If-Unmodified-Since: {EARLIER} | {fresh}", NO, "modified_since"),
            # Step 1 or 2 true: step 3.
            (f"{match} | {same}", false, named),
            (f"{match} | {fresh}", YES, None),
            (f"If-Unmodified-Since: {LATER} | {same}", false, named),
            (f"If-Unmodified-Since: {LATER} | {fresh}", YES, None),
            # The order of the lines means nothing.
            (f"{same} | {other}", NO, "stale_tag"),
        )
        for asked, expect, reason in rows:
            yield from _rows("13.2.2", methods, BOTH, asked, expect, reason)
    for asked, expect in (
        # Step 3, and no step 4 where there is an If-None-Match.
        (f"{same} | If-Modified-Since: {EARLIER}", GONE),
        (f"{fresh} | If-Modified-Since: {LATER}", YES),
        (f"If-None-Match: junk | If-Modified-Since: {LATER}", YES),
        (f"If-None-Match: * | If-Modified-Since: {EARLIER}", GONE),
        # Step 4 after step 1 or 2.
        (f"{match} | If-Modified-Since: {LATER}", GONE),
        (f"{match} | If-Modified-Since: {EARLIER}", YES),
        (f"If-Unmodified-Since: {MODIFIED} | If-Modified-Since: {MODIFIED}", GONE),
        (f"If-Unmodified-Since: never | If-Modified-Since: {LATER}", GONE),
    ):
        yield from _rows("13.2.2", READS, BOTH, asked, expect)
    yield from _rows("13.2.2", READS, BOTH, f"{other} | If-Modified-Since: {LATER}", NO, "stale_tag")
    asked = f"If-Unmodified-Since: {LATER} | {fresh}"
    yield from _rows("13.1.4", WRITES, TAGGED, asked, IGNORED)
    asked = f"If-Unmodified-Since: {LATER} | {same}"
    yield from _rows("13.2.2", WRITES, TAGGED, asked, NO, "tag_matches")
    asked = f"If-Unmodified-Since: {LATER} | If-Modified-Since: {LATER}"
    yield from _rows("13.1.4", READS, TAGGED, asked, IGNORED, name="both dates")
    asked = f'If-Match: "v1" | If-Modified-Since: {LATER}'
    yield from _rows("13.1.3", READS, TAGGED, asked, IGNORED)
    yield from _rows("13.2.2", WRITES, ABSENT, 'If-Match: "v1" | If-None-Match: *', NO, "absent")
    yield from _rows(
        "13.2.2", WRITES, ABSENT, f"If-Unmodified-Since: {LATER} | If-None-Match: *", NO, "absent"
    )
    yield from _rows("13.2.2", WRITES, BOTH, 'If-Match: "v1" | If-None-Match: "', WRONG)
    for methods in (WRITES, READS):
        for state in (BOTH, ABSENT, UNKNOWN):
            yield from _rows("13", methods, state, (), YES, name="no condition")


def _untouched() -> Iterator[Row]:
    """Section 13.2.1: methods that neither select nor modify a representation, and the other safe ones."""
    for asked in (
        'If-Match: "v0"',
        "If-Match: junk",
        "If-None-Match: *",
        f"If-Unmodified-Since: {EARLIER}",
        "If-Unmodified-Since: never",
        f"If-Modified-Since: {LATER}",
    ):
        yield from _rows("13.2.1", OTHERS, BOTH, asked, YES)
    # Methods are case-sensitive (9.1): this is not GET, and nothing says that it is safe.
    yield from _rows("9.1", ("get", "put"), BOTH, 'If-None-Match: "v1"', NO, "tag_matches", wire=False)


def _if_range() -> Iterator[Row]:
    """Sections 13.1.5 and 14.2. On the wire the response's Date is far later than MODIFIED."""
    part = "Range: bytes=0-1"
    for state, asked, expect in (
        (BOTH, '"v1"', RANGE),
        (BOTH, '"v0"', WHOLE),
        (BOTH, 'W/"v1"', WHOLE),
        (WEAK, 'W/"v1"', WHOLE),
        (WEAK, '"v1"', WHOLE),
        (WEAK, "{etag}", RANGE),
        (BARE, "{etag}", RANGE),
        (BARE, MODIFIED, WHOLE),
        (BOTH, MODIFIED, RANGE),
        (BOTH, "Sunday, 06-Nov-94 08:49:37 GMT", RANGE),
        (BOTH, "Sun Nov  6 08:49:37 1994", RANGE),
        (BOTH, LATER, WHOLE),
        (BOTH, EARLIER, WHOLE),
        (BOTH, "", WHOLE),
        (BOTH, "v1", WHOLE),
        (BOTH, "*", WHOLE),
        (BOTH, '"v1", "v1"', WHOLE),
        (HUGE, '"v1"', WHOLE),
        (HUGE, MODIFIED, RANGE),
        (SHARED, MODIFIED, WHOLE),
        (SHARED, '"v1"', RANGE),
    ):
        yield from _rows("13.1.5", ("GET",), state, f"{part} | If-Range: {asked}", expect)
    twice = (("Range", "bytes=0-1"), ("If-Range", '"v1"'), ("If-Range", '"v1"'))
    yield from _rows("13.1.5", ("GET",), BOTH, twice, WHOLE, name="If-Range twice")
    yield from _rows("13.1.5", ("GET",), BOTH, part, RANGE)
    # Step 5 comes after the others.
    yield from _rows("13.2.2", ("GET",), BOTH, f'{part} | If-Range: "v1" | If-Match: "v1"', RANGE)
    yield from _rows("13.2.2", ("GET",), BOTH, f'{part} | If-Range: "v0" | If-Match: "v1"', WHOLE)
    asked = f'{part} | If-Range: "v1" | If-Match: "v0"'
    yield from _rows("13.2.2", ("GET",), BOTH, asked, NO, "stale_tag")
    yield from _rows("13.2.2", ("GET",), BOTH, f'{part} | If-Range: "v1" | If-None-Match: "v1"', GONE)
    # Without Range, and on any method but GET, it says nothing.
    yield from _rows("13.1.5", READS, BOTH, 'If-Range: "v0"', YES)
    yield from _rows("14.2", ("HEAD", *WRITES), BOTH, f'{part} | If-Range: "v0"', YES)


ROWS: Final = tuple(
    row
    for part in (
        _if_match,
        _if_none_match,
        _if_modified_since,
        _if_unmodified_since,
        _date_forms,
        _grammar,
        _precedence,
        _untouched,
        _if_range,
    )
    for row in part()
)
