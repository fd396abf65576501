"""Entity tags and their lists (RFC 9110 sections 8.8.3 and 5.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules import accept, etags
from proxy.rules.etags import (
    MAX_TAGS,
    STAR,
    EntityTag,
    MalformedTags,
    TooManyTags,
    parse_tag_list,
    strong_match,
    weak_match,
)
from proxy.rules.recent import MOST

ETAGC = st.one_of(
    st.sampled_from([chr(code) for code in (0x21, *range(0x23, 0x7F))]),
    st.characters(min_codepoint=0x80, exclude_categories=()),  # obs-text; lone surrogates too
)
TAGS = st.builds(EntityTag, st.text(ETAGC, max_size=8), st.booleans())
OWS = st.text(" \t", max_size=2)


@pytest.mark.parametrize(
    ("a", "b", "strong", "weak"),
    [  # the example table of RFC 9110 section 8.8.3.2
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
        ('"1"', '"2"', False, False),
        ('"1"', 'W/"1"', False, True),
    ],
)
def test_comparison(a: str, b: str, strong: bool, weak: bool) -> None:
    assert strong_match(EntityTag.parse(a), EntityTag.parse(b)) is strong
    assert weak_match(EntityTag.parse(a), EntityTag.parse(b)) is weak


@pytest.mark.parametrize(
    ("text", "tag"),
    [  # the examples of section 8.8.3, and the edges of etagc
        ('"xyzzy"', EntityTag("xyzzy")),
        ('W/"xyzzy"', EntityTag("xyzzy", weak=True)),
        ('""', EntityTag("")),
        ('"!#~"', EntityTag("!#~")),
        ('"\\"', EntityTag("\\")),
        ('"W/"', EntityTag("W/")),
        ('"\x80\u20ac\udcff"', EntityTag("\x80\u20ac\udcff")),
    ],
)
def test_one_tag(text: str, tag: EntityTag) -> None:
    assert EntityTag.parse(text) == tag
    assert str(tag) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        '"',
        '"a',
        'a"',
        ' "a"',
        '"a" ',
        '"a"\n',
        'w/"a"',
        'W/ "a"',
        '"a b"',
        '"a\x7f"',
        '"a\x1f"',
        '"a""',
        "*",
    ],
)
def test_not_a_tag(text: str) -> None:
    with pytest.raises(ValueError, match="not an entity tag"):
        EntityTag.parse(text)


def test_tags_are_remembered_but_not_without_end() -> None:
    remembered = etags._remembered
    remembered.clear()
    tag = EntityTag.parse('"a"')
    assert EntityTag.parse('"a"') is tag
    assert EntityTag.parse(f'"{"x" * 1000}"') == EntityTag("x" * 1000)
    with pytest.raises(ValueError, match="not an entity tag"):
        EntityTag.parse("a")
    assert remembered == {'"a"': tag}
    for number in range(MOST + 10):
        assert EntityTag.parse(f'"{number}"') == EntityTag(f"{number}")
    assert (len(remembered), len(remembered._old)) == (11, MOST)  # nothing fades before half of it is full
    remembered.clear()


@given(TAGS)
def test_what_is_written_is_read_again(tag: EntityTag) -> None:
    assert EntityTag.parse(str(tag)) == tag
    assert parse_tag_list([str(tag)]) == (tag,)


@given(st.data(), st.lists(TAGS, min_size=1, max_size=6))
def test_a_list_is_read_again_however_it_is_spaced_and_split(
    data: st.DataObject, tags: list[EntityTag]
) -> None:
    lines = [""]
    for tag in tags:
        lines[-1] += f"{data.draw(OWS)}{tag}{data.draw(OWS)}"
        if data.draw(st.booleans()):
            lines.append("")
        else:
            lines[-1] += "," * data.draw(st.integers(1, 3))
    assert parse_tag_list(lines) == tuple(tags)


@given(st.lists(st.text('W/"a*, \t\x7f\u00e9', max_size=12), min_size=1, max_size=3))
def test_a_list_is_a_list_or_is_refused(lines: list[str]) -> None:
    """Against a slow reading of the grammar: without its tags, only commas and space may be left."""
    text = ", ".join(lines)
    pieces = re.split(r'((?:W/)?"[!\x23-\x7e\x80-\U0010ffff]*")', text)
    between, tags = pieces[::2], pieces[1::2]
    valid = (
        bool(tags)
        and all(not piece.strip(" \t,") for piece in between)
        and all("," in piece for piece in between[1:-1])
    )
    try:
        answer = parse_tag_list(lines)
    except MalformedTags:
        assert not valid
        assert text.strip(" \t") != "*"
    else:
        assert answer is STAR if text.strip(" \t") == "*" else valid
        if answer is not STAR:
            assert [str(tag) for tag in answer] == tags


@pytest.mark.parametrize("lines", [["*"], [" *\t"]])
def test_a_star_alone(lines: list[str]) -> None:
    assert parse_tag_list(lines) is STAR


def test_no_lines_at_all_name_nothing() -> None:
    with pytest.raises(MalformedTags, match="empty"):
        parse_tag_list([])


@pytest.mark.parametrize(
    ("text", "many"),
    [
        ('"a"', False),
        ('"a","b","c"', False),
        ('"a","b","c",', False),
        ('"a","b","c", \t', False),
        ('"a",,"b"', False),
        ('"a","b","c","d"', True),
        ('"a","b","c",,', True),
        (",,,", None),
        (",,,,", True),
    ],
)
def test_the_limit_counts_members(text: str, many: bool | None) -> None:
    """Empty ones too, but for the one that a last comma leaves."""
    if many is False:
        assert parse_tag_list([text], limit=3)
        return
    with pytest.raises(MalformedTags) as refused:
        parse_tag_list([text], limit=3)
    assert isinstance(refused.value, TooManyTags) is (many is True)


class CountingPattern:
    """Counts how often a pattern is asked, and how far it looked."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.calls = 0
        self.read = 0

    def match(self, text: str, position: int) -> re.Match[str] | None:
        self.calls += 1
        found = self.pattern.match(text, position)
        self.read += found.end() - position if found else 0
        return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountingPattern:
    counting = CountingPattern(etags._MEMBER)
    monkeypatch.setattr(etags, "_MEMBER", counting)
    return counting


@pytest.mark.parametrize("member", ['"t"', "", '""', 'W/"tag"', ' \t"x" '])
def test_a_list_of_100_000_members_is_looked_at_only_as_far_as_the_limit(
    counted: CountingPattern, member: str
) -> None:
    with pytest.raises(TooManyTags):
        parse_tag_list([",".join([member] * 100_000)])
    assert counted.calls == MAX_TAGS
    assert counted.read == MAX_TAGS * (len(member) + 1)


def test_every_character_is_read_once(counted: CountingPattern) -> None:
    text = ", ".join(f'"{number}"' for number in range(MAX_TAGS))
    assert len(parse_tag_list([text])) == MAX_TAGS
    assert (counted.calls, counted.read) == (MAX_TAGS, len(text))


@pytest.mark.parametrize("pattern", [etags._ONE, etags._MEMBER, accept._RANGE, accept._NEXT_PARAMETER])
def test_the_patterns_never_go_back(pattern: re.Pattern[str]) -> None:
    """Every unbounded repetition is possessive, so that no text is read twice: linear by construction."""
    assert set(unbounded(re._parser.parse(pattern.pattern))) == {"POSSESSIVE_REPEAT"}


def unbounded(parsed: object) -> Iterator[str]:
    """The kinds of repetition without an upper bound, anywhere in a parsed pattern."""
    if isinstance(parsed, tuple) and len(parsed) == 2 and str(parsed[0]).endswith("REPEAT"):
        _, most, inner = parsed[1]
        if most is re._constants.MAXREPEAT:
            yield str(parsed[0])
        yield from unbounded(inner)
    elif isinstance(parsed, (tuple, list, re._parser.SubPattern)):
        for part in parsed:
            yield from unbounded(part)
