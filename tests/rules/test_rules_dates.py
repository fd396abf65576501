"""HTTP dates (RFC 9110 section 5.6.7). What is no date at all is in `support.rfc9110.NOT_DATES`."""

from __future__ import annotations

import calendar
import email.utils
import locale

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rfc9110 import NOT_DATES

from proxy.rules.dates import format_http_date, parse_http_date

YEAR = 2026
EXAMPLE = 784111777  # the date that RFC 9110 section 5.6.7 writes in all three forms
FIRST = calendar.timegm((1, 1, 1, 0, 0, 0))
LAST = calendar.timegm((9999, 12, 31, 23, 59, 59))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", EXAMPLE),
        ("Sun Nov 06 08:49:37 1994", EXAMPLE),
        ("Wednesday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),
        ("Mon, 01 Jan 0001 00:00:00 GMT", FIRST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LAST),
    ],
)
def test_a_date(text: str, seconds: int) -> None:
    assert parse_http_date(text, now_year=YEAR) == seconds


@pytest.mark.parametrize(
    "text", [*NOT_DATES, " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT\n"]
)
def test_not_a_date(text: str) -> None:
    assert parse_http_date(text, now_year=YEAR) is None


def test_digits_are_ascii() -> None:
    assert parse_http_date("Sun, 0\u0666 Nov 1994 08:49:37 GMT", now_year=YEAR) is None


@pytest.mark.parametrize(
    ("now_year", "digits", "year"),
    [
        (2026, "26", 2026),
        (2026, "27", 2027),
        (2026, "76", 2076),
        (2026, "77", 1977),
        (2026, "00", 2000),
        (2026, "99", 1999),
        (1999, "00", 2000),
        (1999, "49", 2049),
        (1999, "50", 1950),
        (2050, "00", 2100),
        (2049, "00", 2000),
    ],
)
def test_two_digits_mean_the_past_where_they_would_be_more_than_50_years_ahead(
    now_year: int, digits: str, year: int
) -> None:
    seconds = parse_http_date(f"Monday, 01-Mar-{digits} 00:00:00 GMT", now_year=now_year)
    assert seconds == calendar.timegm((year, 3, 1, 0, 0, 0))


@given(st.integers(FIRST, LAST))
def test_what_is_written_is_read_again(seconds: int) -> None:
    text = format_http_date(seconds)
    assert parse_http_date(text, now_year=YEAR) == seconds
    assert len(text) == 29


@given(st.integers(0, 4102444800))
def test_it_is_written_as_the_standard_library_does(seconds: int) -> None:
    assert format_http_date(seconds) == email.utils.formatdate(seconds, usegmt=True)


def test_the_locale_changes_nothing() -> None:
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert format_http_date(EXAMPLE) == "Sun, 06 Nov 1994 08:49:37 GMT"
            assert parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", now_year=YEAR) == EXAMPLE
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize("seconds", [FIRST - 1, LAST + 1])
def test_a_year_that_has_no_four_digits_is_not_written(seconds: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        format_http_date(seconds)
