"""RFC 9110 section 13, row by row, through `parse_conditions`, `evaluate` and `if_range_holds`."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from support.rfc9110 import NOW_YEAR, ROWS, Expect, Row, State, Validators

from proxy.rules.dates import parse_http_date
from proxy.rules.etags import STAR, EntityTag
from proxy.rules.preconditions import (
    NEED_CURRENT,
    NONE,
    PROCEED,
    Condition,
    Conditions,
    Malformed,
    NeedCurrent,
    NotModified,
    Proceed,
    Reason,
    Refuse,
    evaluate,
    if_range_holds,
    parse_conditions,
)
from proxy.rules.versions import ABSENT, UNKNOWN, Known, Recorded, Version

MINTED = EntityTag("minted")
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def recorded(state: State) -> Recorded:
    """What the proxy knows once it has seen the state's response."""
    if state.representations is None:
        return UNKNOWN
    if not state.representations:
        return ABSENT
    return Known(tuple(_version(shown, state) for shown in state.representations))


def _version(shown: Validators, state: State) -> Version:
    tag = EntityTag.parse(shown.etag) if shown.etag else None
    date = shown.last_modified
    modified = parse_http_date(date, now_year=NOW_YEAR) if date else None
    if tag is not None and not tag.weak:
        return Version(tag, modified, shared_second=state.shared_second)
    minted = MINTED if state.mintable else None
    return Version(minted, modified, minted is not None, tag, state.shared_second)


def request(row: Row) -> CIMultiDictProxy[str]:
    current = recorded(row.state)
    tag = current.versions[0].etag if isinstance(current, Known) else None
    lines = ((name, value.replace("{etag}", str(tag))) for name, value in row.fields)
    return CIMultiDictProxy(CIMultiDict(lines))


def outcome(row: Row) -> tuple[Expect, str | None]:
    conditions = parse_conditions(row.method, request(row), now_year=NOW_YEAR)
    if isinstance(conditions, Malformed):
        return Expect.MALFORMED, None
    current = recorded(row.state)
    match evaluate(conditions, row.method, current):
        case Refuse(reason, _):
            return Expect.FAILED, reason.value
        case NotModified():
            return Expect.NOT_MODIFIED, None
        case NeedCurrent():
            return Expect.ASK, None
        case Proceed(ignored) if ignored is not None:
            return Expect.IGNORED, None
        case _:
            return _range(row, conditions, current), None


def _range(row: Row, conditions: Conditions, current: Recorded) -> Expect:
    if row.expect not in (Expect.RANGE, Expect.WHOLE) or not isinstance(current, Known):
        return Expect.PROCEED
    version = current.versions[0]
    holds = if_range_holds(conditions, version, date=(version.modified or 0) + 3600)
    return Expect.RANGE if holds else Expect.WHOLE


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_row(row: Row) -> None:
    assert outcome(row) == (row.expect, row.reason)


def test_the_table_is_as_large_as_promised_and_says_each_thing_once() -> None:
    assert sum(row.wire for row in ROWS) >= 150
    assert [row for row, count in Counter(row.id for row in ROWS).items() if count > 1] == []
    assert {row.expect for row in ROWS} == set(Expect)
    assert {row.reason for row in ROWS if row.reason} == {reason.value for reason in Reason}


def test_a_request_without_conditions_builds_nothing() -> None:
    fields = CIMultiDict({"Host": "a", "Accept": "*/*", "Range": "bytes=0-"})
    for method in ("GET", "PUT"):
        assert parse_conditions(method, fields, now_year=NOW_YEAR) is NONE
    assert NONE.empty
    assert not NONE.guards
    assert evaluate(NONE, "PUT", UNKNOWN) is PROCEED


@pytest.mark.parametrize(
    ("fields", "guards", "decides", "empty"),
    [
        ({"If-Match": "*"}, True, True, False),
        ({"If-None-Match": "*"}, True, True, False),
        ({"If-Unmodified-Since": DATE}, True, True, False),
        ({"If-Modified-Since": DATE}, False, True, False),
        ({"If-Range": '"a"', "Range": "bytes=0-1"}, False, False, False),
        ({"If-Range": '"a"'}, False, False, True),
        ({"If-Modified-Since": "junk"}, False, False, True),
    ],
)
def test_which_conditions_guard_and_decide(
    fields: dict[str, str], guards: bool, decides: bool, empty: bool
) -> None:
    conditions = parse_conditions("GET", CIMultiDict(fields), now_year=NOW_YEAR)
    assert isinstance(conditions, Conditions)
    assert (conditions.guards, conditions.decides, conditions.empty) == (guards, decides, empty)


def test_a_write_is_not_conditional_by_the_fields_of_reads() -> None:
    """So that a route's `require` is not met by a condition that is never evaluated (13.1.3, 14.2)."""
    fields = {"If-Modified-Since": DATE, "If-Range": '"a"', "Range": "bytes=0-1"}
    conditions = parse_conditions("PUT", CIMultiDict(fields), now_year=NOW_YEAR)
    assert isinstance(conditions, Conditions)
    assert conditions.empty


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", {"If-Match": '"a"', "If-Unmodified-Since": DATE}),
        ("PUT", {"If-Match": '"a"', "If-Unmodified-Since": DATE}),
        ("GET", {"If-None-Match": '"a"', "If-Modified-Since": DATE}),
        ("HEAD", {"If-Match": '"a"', "If-Range": '"a"', "Range": "bytes=0-1"}),
        ("GET", {"If-Match": '"a"', "If-Range": '"a"'}),
    ],
)
def test_what_must_not_be_looked_at_is_not_there(method: str, fields: dict[str, str]) -> None:
    """Sections 13.1.4, 13.1.3, 14.2 and 13.1.5: the first field counts, the others do not."""
    first, *_ = fields
    assert parse_conditions(method, CIMultiDict(fields), now_year=NOW_YEAR) == parse_conditions(
        method, CIMultiDict({first: fields[first]}), now_year=NOW_YEAR
    )


@pytest.mark.parametrize(
    ("method", "names", "first"),
    [
        (
            "GET",
            ["If-Range", "If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "If-Match"],
            "If-Match",
        ),
        (
            "GET",
            ["If-Range", "If-Modified-Since", "If-None-Match", "If-Unmodified-Since"],
            "If-Unmodified-Since",
        ),
        ("GET", ["If-Range", "If-Modified-Since", "If-None-Match"], "If-None-Match"),
        ("GET", ["If-Range", "If-Modified-Since"], "If-Modified-Since"),
        ("GET", ["If-Range"], "If-Range"),
        ("GET", [], ""),
        # what is not looked at is not first
        ("PUT", ["If-Modified-Since", "If-Range"], ""),
        ("PUT", ["If-Modified-Since", "If-None-Match"], "If-None-Match"),
        ("PROPFIND", ["If-Match"], ""),
    ],
)
def test_which_field_is_evaluated_first(method: str, names: list[str], first: str) -> None:
    values = {name: DATE if name.endswith("Since") else '"a"' for name in names}
    conditions = parse_conditions(method, CIMultiDict({**values, "Range": "bytes=0-1"}), now_year=NOW_YEAR)
    assert isinstance(conditions, Conditions)
    assert conditions.first == first


def test_what_was_sent_is_kept_as_sent() -> None:
    lines = [("If-Match", '"a",'), ("if-match", 'W/"b"'), ("If-None-Match", "*"), ("Accept", "*/*")]
    conditions = parse_conditions("PUT", CIMultiDict(lines), now_year=NOW_YEAR)
    assert isinstance(conditions, Conditions)
    assert conditions.sent == {Condition.IF_MATCH: '"a",, W/"b"', Condition.IF_NONE_MATCH: "*"}
    assert conditions.if_match == (EntityTag("a"), EntityTag("b", weak=True))
    assert conditions.if_none_match is STAR


@pytest.mark.parametrize(
    ("name", "value", "reason", "hint"),
    [
        ("If-Match", "abc", "not in double quotes", '"abc"'),
        ("If-Match", 'w/"abc"', "capital W", 'W/"abc"'),
        ("If-None-Match", '*, "abc"', "stands beside other", "alone"),
        ("If-Match", '"abc', "no closing quote", "double quotes"),
        ("If-Match", "", "empty", '"*"'),
        ("If-Match", '"a",' * 1001, "more than 1000", "that you hold"),
        ("If-Unmodified-Since", "2026-01-01", "not one valid HTTP date", "06 Nov 1994"),
    ],
)
def test_what_is_malformed_is_explained(name: str, value: str, reason: str, hint: str) -> None:
    answer = parse_conditions("PUT", CIMultiDict({name: value}), now_year=NOW_YEAR)
    assert isinstance(answer, Malformed)
    assert (answer.field, answer.value) == (name, value)
    assert reason in answer.reason
    assert hint in answer.hint


@pytest.mark.parametrize(
    ("date", "shared", "holds"),
    [
        (1000, False, False),
        (1001, False, True),
        (999, False, False),
        (None, False, False),
        (2000, True, False),
    ],
)
def test_a_date_in_if_range_must_be_strong(date: int | None, shared: bool, holds: bool) -> None:
    """RFC 9110 sections 13.1.5 and 8.8.2.2: at least one second older than Date."""
    version = Version(None, 1000, shared_second=shared)
    assert if_range_holds(Conditions(if_range=1000), version, date) is holds


def test_if_range_without_any_validator_of_ours() -> None:
    bare = Version(None)
    assert not if_range_holds(Conditions(if_range=EntityTag("a")), bare, 2000)
    assert not if_range_holds(Conditions(if_range=1000), bare, 2000)
    assert if_range_holds(Conditions(), bare, None)


def test_the_date_that_was_ignored_is_named() -> None:
    undated = Known((Version(EntityTag("a")),))
    ignored = Proceed(ignored=Condition.IF_UNMODIFIED_SINCE)
    both = Conditions(if_unmodified_since=1, if_modified_since=1)
    assert evaluate(Conditions(if_unmodified_since=1), "PUT", undated) == ignored
    assert evaluate(both, "GET", undated) == ignored
    ignored = Proceed(ignored=Condition.IF_MODIFIED_SINCE)
    assert evaluate(Conditions(if_modified_since=1), "GET", undated) == ignored


def test_the_labels_of_the_metrics_are_these() -> None:
    assert {str(condition) for condition in Condition} == {
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "If-Range",
    }
    assert all(reason.value.replace("_", "").islower() for reason in Reason)


tags = st.builds(EntityTag, st.sampled_from("abc"), st.booleans())
tag_lists = st.one_of(st.none(), st.just(STAR), st.lists(tags, min_size=1, max_size=3).map(tuple))
dates = st.one_of(st.none(), st.integers(0, 3))
versions = st.builds(
    Version,
    etag=st.one_of(st.none(), st.sampled_from("abc").map(EntityTag)),
    modified=dates,
    weak=st.one_of(st.none(), st.sampled_from("abc").map(lambda tag: EntityTag(tag, weak=True))),
    shared_second=st.booleans(),
)
known = st.lists(versions, min_size=1, max_size=3).map(lambda some: Known(tuple(some)))
some_conditions = st.builds(
    Conditions,
    if_match=tag_lists,
    if_none_match=tag_lists,
    if_modified_since=dates,
    if_unmodified_since=dates,
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "FROB"])


@given(some_conditions, methods, st.one_of(known, st.just(ABSENT)))
def test_it_always_answers_once_the_version_is_known(
    conditions: Conditions, method: str, current: Recorded
) -> None:
    decision = evaluate(conditions, method, current)
    assert decision is not NEED_CURRENT
    if isinstance(decision, NotModified):
        assert method in ("GET", "HEAD")


@given(some_conditions, methods, known)
def test_a_write_under_if_match_names_a_current_strong_tag(
    conditions: Conditions, method: str, current: Known
) -> None:
    """The promise itself, said in the other direction: what proceeds has named what is there."""
    if not isinstance(evaluate(conditions, method, current), Proceed):
        return
    wanted = conditions.if_match
    if isinstance(wanted, tuple):
        assert {tag for tag in wanted if not tag.weak} & {version.etag for version in current.versions}
    elif wanted is None and conditions.if_unmodified_since is not None:
        seen = [version.modified for version in current.versions if version.modified is not None]
        assert max(seen, default=0) <= conditions.if_unmodified_since


@given(some_conditions, methods, known)
def test_more_versions_never_turn_a_false_date_true(
    conditions: Conditions, method: str, current: Known
) -> None:
    alone = [evaluate(conditions, method, Known((version,))) for version in current.versions]
    if any(isinstance(one, Refuse) and one.condition == "If-Unmodified-Since" for one in alone):
        assert isinstance(evaluate(conditions, method, current), Refuse)


def test_every_field_is_looked_at_before_the_request_is_taken_for_unconditional() -> None:
    for name in Condition:
        fields = CIMultiDict({name.value: "junk", "Range": "bytes=0-1"})
        assert parse_conditions("GET", fields, now_year=NOW_YEAR) is not NONE
