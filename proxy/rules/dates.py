"""HTTP dates (RFC 9110 section 5.6.7): all three forms are read, the preferred one is written.

Seconds count from 1970-01-01T00:00:00Z, without leap seconds; earlier dates are negative.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400

# Names are case-sensitive (RFC 9110 section 5.6.7), digits are ASCII, and GMT is the only zone.
_SHORT: Final = f"(?:{'|'.join(_DAYS)})"
_LONG: Final = f"(?:{'|'.join(_LONG_DAYS)})"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DAY: Final = "(?P<day>[0-9]{2})"
_FIXDATE: Final = re.compile(f"{_SHORT}, {_DAY} {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT")
_RFC850: Final = re.compile(f"{_LONG}, {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT")
_ASCTIME: Final = re.compile(f"{_SHORT} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})")


def parse_http_date(text: str, *, now_year: int) -> int | None:
    """Reads a date in any of the three forms that a recipient must accept.

    The name of the day must be one, but it need not be the right one: it carries no information, senders
    that compute it wrongly exist, and the meaning of the rest is not in doubt.

    Args:
        text: the field value, without white space around it.
        now_year: the present year, four digits, for the two-digit years of the rfc850 form.

    Returns:
        Seconds since the epoch, or None where the text is not a valid date. 23:59:60 is the second after
        23:59:59, as a leap second has no number of its own.
    """
    found = _FIXDATE.fullmatch(text)
    if found is None:
        found = _RFC850.fullmatch(text)
        if found is not None:
            return _seconds(found, _full_year(int(found["year"]), now_year))
        found = _ASCTIME.fullmatch(text)
    return None if found is None else _seconds(found, int(found["year"]))


def _full_year(two_digits: int, now_year: int) -> int:
    """The most recent year that ends so and is not more than 50 years ahead (RFC 9110 section 5.6.7)."""
    latest = now_year + 50
    return latest - (latest - two_digits) % 100


def _seconds(found: re.Match[str], year: int) -> int | None:
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    leap = (hour, minute, second) == (23, 59, 60)
    if hour > 23 or minute > 59 or (second > 59 and not leap):
        return None
    try:
        day = date(year, _MONTH_NUMBER[found["month"]], int(found["day"]))
    except ValueError:  # a day that the month does not have, or the year 0
        return None
    return (day.toordinal() - _EPOCH) * _DAY_SECONDS + hour * 3600 + minute * 60 + second


def format_http_date(seconds: int) -> str:
    """Writes an IMF-fixdate, in English whatever the locale.

    Args:
        seconds: since the epoch, within the years 1 to 9999.

    Raises:
        ValueError: the year is outside of them.
    """
    days, rest = divmod(seconds, _DAY_SECONDS)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    day = date.fromordinal(days + _EPOCH)
    name, month = _DAYS[day.weekday()], _MONTHS[day.month - 1]
    return f"{name}, {day.day:02} {month} {day.year:04} {hour:02}:{minute:02}:{second:02} GMT"
