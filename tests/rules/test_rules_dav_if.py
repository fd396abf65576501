"""Tags of ours in WebDAV's If field (RFC 4918 section 10.4), as a table."""

from __future__ import annotations

import pytest

from proxy.rules.dav_if import minted_tags, told
from proxy.rules.etags import EntityTag

NOW, OLD = "pp1." + "n" * 22, "pp1." + "o" * 22
LOCK = "<urn:uuid:1>"
TRUE, FALSE = "Not <DAV:no-lock>", "<DAV:no-lock>"


def holds(resource: str | None, tag: EntityTag) -> bool | None:
    return None if resource == "/other" else tag.opaque == NOW and not tag.weak


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (f'(["{NOW}"])', f"({TRUE})"),
        (f'(["{OLD}"])', f"({FALSE})"),
        (f'(Not ["{NOW}"])', f"({FALSE})"),
        (f'(Not ["{OLD}"])', f"({TRUE})"),
        (f'(Not["{OLD}"])', f"({TRUE})"),
        # the suffix of a coding: a write may name any representation
        (f'(["{NOW}-gzip"])', f"({TRUE})"),
        (f'([W/"{NOW}"])', f"({FALSE})"),
        # lock tokens stay, and are submitted with the field
        (f'({LOCK} ["{NOW}"])', f"({LOCK} {TRUE})"),
        (f'({LOCK} ["{OLD}"]) (Not {LOCK} ["{NOW}"])', f"({LOCK} {FALSE}) (Not {LOCK} {TRUE})"),
        (f'({LOCK}["{NOW}"])({LOCK})', f"({LOCK} {TRUE}) ({LOCK})"),
        # tags of the backend's own are its own
        (f'(["own"] ["{NOW}"])', f'(["own"] {TRUE})'),
        (f'(Not [W/"own"] ["{OLD}"])', f'(Not [W/"own"] {FALSE})'),
        # Tagged-lists: what is not known is false either way
        (f'</own> (["{NOW}"])', f"</own> ({TRUE})"),
        (f'</other> (["{NOW}"])', f"</other> ({FALSE})"),
        (f'</other> (Not ["{NOW}"])', f"</other> ({FALSE})"),
        (f'</other> ({LOCK}) </own> (["{NOW}"])', f"</other> ({LOCK}) </own> ({TRUE})"),
        # no If field: the backend says so
        (f'["{NOW}"]', f'["{NOW}"]'),
        (f'(["{NOW}"]', f'(["{NOW}"]'),
        (f'(["{NOW}"]))', f'(["{NOW}"]))'),
        (f'((["{NOW}"]))', f'((["{NOW}"]))'),
        (f'(x ["{NOW}"])', f'(x ["{NOW}"])'),
        ("", ""),
    ],
)
def test_what_the_backend_is_shown(sent: str, shown: str) -> None:
    assert told(sent, holds) == shown


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (f'({LOCK} ["{NOW}-br"]) (["own"] Not ["{OLD}"])', [NOW, OLD]),
        (f"({LOCK})", []),
        ('(["own"] [pp1.] [""])', []),
        (f'(["{NOW}"', []),
    ],
)
def test_the_tags_of_ours_that_it_names(sent: str, named: list[str]) -> None:
    assert [tag.opaque for tag in minted_tags(sent)] == named
