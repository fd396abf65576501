"""`ignore_text` on content: what is taken out, and that no content holds the process up."""

from __future__ import annotations

import re
import signal
import threading
import time

import pytest

from proxy.gate.erasing import LONGEST, erased

COMMENT = re.compile("<!--.*?-->", re.S)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a<!-- 1 -->b<!-- 2 -->", "a\0b\0"),
        ("a<!-- 1", "a<!-- 1"),
        ("<!--" * 1000, "<!--" * 1000),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert erased(COMMENT, text) == left


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (COMMENT, "<!--" * 100_000),  # a minute and more
        (re.compile("(?:a|aa)+b"), "a" * 60),  # hours
    ],
)
def test_content_that_takes_too_long_is_given_up(expression: re.Pattern[str], text: str) -> None:
    for _ in range(2):  # and again, for the timer must be ready for the next
        started = time.process_time()
        assert erased(expression, text) is None
        assert time.process_time() - started < 10 * LONGEST
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert erased(COMMENT, "a<!-- 1 -->") == "a\0"


def test_a_bell_that_rings_late_is_not_heard() -> None:
    assert erased(COMMENT, "a") == "a"
    signal.raise_signal(signal.SIGVTALRM)


def test_in_another_thread_it_takes_as_long_as_it_takes() -> None:
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(erased(COMMENT, "a<!-- 1 -->")))
    thread.start()
    thread.join()
    assert found == ["a\0"]
