"""Tags that were rewritten on the way (RFC 9110 section 8.8.3.3), as a table."""

from __future__ import annotations

import pytest

from proxy.rules.conditions import NONE, Condition, Conditions
from proxy.rules.etags import STAR, parse_tag_list
from proxy.rules.mending import mended


@pytest.mark.parametrize(
    ("sent", "relaxed", "counts"),
    [
        ('"x"', False, None),
        ('"x-gzip"', False, '"x-gzip", "x"'),  # Apache, Caddy
        ('"x;gzip"', False, '"x;gzip", "x"'),
        ('"x--gzip"', False, '"x--gzip", "x"'),  # Jetty
        ('"x-br", "y", "z-zstd"', False, '"x-br", "y", "z-zstd", "x", "z"'),
        ('"x-deflate"', False, '"x-deflate", "x"'),
        ('"x-gzip-"', False, None),
        ('"x-gz"', False, None),
        ('W/"x"', False, None),  # weak never matches (section 13.1.1)
        ('W/"x-gzip"', False, None),
        ('W/"x"', True, 'W/"x", "x"'),
        ('W/"x-gzip"', True, 'W/"x-gzip", "x-gzip", "x"'),
        ('"x"', True, None),
    ],
)
def test_what_a_tag_may_have_been(sent: str, relaxed: bool, counts: str | None) -> None:
    conditions = Conditions(parse_tag_list([sent]), sent={Condition.IF_MATCH: sent})
    found = mended(conditions, relaxed=relaxed)
    if counts is None:
        assert found is None
    else:
        assert found is not None
        assert found.if_match == parse_tag_list([counts])
        assert found.sent == conditions.sent


@pytest.mark.parametrize(
    "conditions", [NONE, Conditions(STAR), Conditions(None, parse_tag_list(['"x-gzip"']))]
)
def test_only_a_list_in_if_match_is_looked_at(conditions: Conditions) -> None:
    assert mended(conditions, relaxed=True) is None
