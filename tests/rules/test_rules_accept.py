"""Which form a refusal takes, by Accept (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules.accept import Form, choose

P, H, T = Form.PROBLEM, Form.HTML, Form.TEXT


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        # nothing said
        ((), P),
        (("",), P),
        (("*/*",), P),
        (("application/*",), P),
        (("application/json",), P),
        (("application/problem+json",), P),
        # clients as they are: a browser, axios, jQuery, a text tool
        (("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",), H),
        (("application/json, text/plain, */*",), P),
        (("text/html, */*; q=0.01",), H),
        (("text/plain",), T),
        (("text/plain; charset=utf-8",), T),
        # quality decides
        (("text/plain;q=0.5, text/html;q=0.4",), T),
        (("text/plain;q=0.5", "text/html;q=0.6"), H),
        (("application/json;q=0.3, text/plain;q=0.301",), T),
        (("text/html;q=0.999, application/problem+json",), P),
        (("application/problem+json;q=0.1, text/html;q=0.2",), H),
        (("application/json, application/problem+json;q=0, text/plain;q=0.1",), T),
        (("text/html;Q=0.1, text/plain;q=0.2",), T),
        (("text/plain;format=flowed;q=0.9;x=y, text/html;q=0.8",), T),
        (('text/plain;a=";q=0.1,";q=0.9, text/html;q=0.8',), T),
        (("text/plain;q=0.2, text/plain;q=0.9, text/html;q=0.5",), T),
        (("text/plain;q=0.9, text/plain;q=0.2, text/html;q=0.5",), T),
        # the most specific range counts for a form
        (("text/*, text/html;q=0.1",), T),
        (("text/*;q=0.5, text/plain;q=0.4, */*;q=0.1",), H),
        (("*/*;q=0.5, application/*;q=0.1",), H),
        # of equals, the named one, then problem+json, then HTML
        (("*/*, text/plain",), T),
        (("text/html, application/json",), P),
        (("text/plain, text/html",), H),
        (("text/plain, text/html, application/problem+json",), P),
        (("text/*",), H),
        # names are case-insensitive, empty members count for nothing
        (("TEXT/Plain",), T),
        ((", ,text/plain,",), T),
        # nothing that we have, or nothing that can be read
        (("image/png",), P),
        (("text/html;q=0",), P),
        (("text/html;q=0, */*;q=0",), P),
        (("text",), P),
        (("text/html, *",), P),
        (("text/html;q=2",), P),
        (("text/html;q=0.1234",), P),
        (("text/html;q=.5",), P),
        (("text/html;q=",), P),
        (("text/html text/plain",), P),
        (("text/html;=",), P),
        (("text/html" + ";a=b" * 1000,), P),
    ],
)
def test_choice(accept: tuple[str, ...], form: Form) -> None:
    assert choose(accept) is form


@given(st.lists(st.text('text/htmlplain*;q=01.,"\\ \t', max_size=40), max_size=3))
def test_there_is_always_a_choice(accept: list[str]) -> None:
    assert choose(accept) in Form
