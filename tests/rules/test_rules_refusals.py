"""What a refusal tells, in its three forms (RFC 9457; RFC 9110 sections 15.5 and 15.6)."""

from __future__ import annotations

import html.parser
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules import refusals
from proxy.rules.etags import EntityTag
from proxy.rules.preconditions import Condition, Conditions, Malformed, Reason, Refuse
from proxy.rules.problems import LONGEST_ECHO, Kind, Problem, identified, render
from proxy.rules.versions import ABSENT, UNKNOWN, Known, Recorded, Version

HTML = ("text/html",)
TEXT = ("text/plain",)
CURRENT = Known((Version(EntityTag("v2"), 784111777),))
EVIL = '"><script>alert(1)</script>\r\nSet-Cookie: a=b\x00\u202e\udcff\ud800' + "x" * 500


def stale(reason: Reason = Reason.STALE_TAG, current: Recorded = CURRENT, sent: str = '"v1"') -> Problem:
    dated = reason in (Reason.MODIFIED_SINCE, Reason.SHARED_SECOND)
    condition = Condition.IF_UNMODIFIED_SINCE if dated else Condition.IF_MATCH
    conditions = Conditions(sent={condition: sent})
    return refusals.stale(Refuse(reason, condition), conditions, "PUT", current)


ALL = {
    "412": stale(),
    "428": refusals.condition_required("PUT"),
    "400 condition": refusals.malformed(Malformed(Condition.IF_MATCH, "v1", "A tag is bare.", "Quote it.")),
    "503": refusals.unavailable("The version store cannot be reached", 2.5),
    "502": refusals.gateway(502, "It refused the connection.", maybe_applied=False),
    "504": refusals.gateway(504, "It took longer than 30 s.", maybe_applied=True),
    "400": refusals.rejected(400, "The chunk size is not a number"),
    "408": refusals.rejected(408, "The content stopped arriving."),
    "413": refusals.rejected(413, "The content is longer than 1 MiB."),
    "414": refusals.rejected(414, "The target is longer than 8 KiB."),
    "431": refusals.rejected(431, "The fields are longer than 32 KiB."),
    "500": refusals.internal(),
}


def document(problem: Problem) -> dict[str, Any]:
    media_type, body = render(problem)
    assert media_type == "application/problem+json"
    answer: dict[str, Any] = json.loads(body)
    return answer


@pytest.mark.parametrize("name", ALL)
def test_every_refusal_is_a_problem_document_with_two_plain_sentences(name: str) -> None:
    problem = ALL[name]
    told = document(problem)
    assert list(told)[:5] == ["type", "title", "status", "detail", "recovery"]
    assert told["type"] == f"urn:precondition-proxy:{problem.kind.value}"
    assert told["status"] == int(name[:3])
    for sentence in (told["detail"], told["recovery"]):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert not sentence.endswith("..")


@pytest.mark.parametrize("name", ALL)
def test_the_document_is_indented(name: str) -> None:
    body = render(ALL[name])[1].decode()
    assert body == json.dumps(json.loads(body), indent=2) + "\n"


def test_every_kind_is_made_by_one_of_the_functions() -> None:
    assert {problem.kind for problem in ALL.values()} == set(Kind)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("accept", [HTML, TEXT])
def test_every_form_tells_the_same(name: str, accept: tuple[str, ...]) -> None:
    problem = ALL[name]
    media_type, body = render(problem, accept)
    assert media_type == f"{accept[0]}; charset=utf-8"
    text = visible(body.decode()) if accept is HTML else body.decode()
    assert text.strip().startswith(f"{problem.status} {problem.title}")
    assert problem.detail in text
    assert problem.recovery in text


def test_412_says_what_failed_what_was_sent_and_what_is_current() -> None:
    problem = stale()
    assert document(problem) == {
        "type": "urn:precondition-proxy:stale",
        "title": "Precondition Failed",
        "status": 412,
        "detail": "The resource has changed since you read it: your If-Match names no current version,"
        " so your PUT was not carried out.",
        "recovery": "GET the resource again, make your change to what you get,"
        " and send it with the new ETag in If-Match.",
        "condition": "If-Match",
        "reason": "stale_tag",
        "sent": '"v1"',
        "method": "PUT",
        "current": {"etag": '"v2"', "last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"},
    }
    fields = dict(problem.fields)
    assert fields["ETag"] == '"v2"'
    assert fields["Last-Modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert fields["Cache-Control"] == "no-store"
    assert fields["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("current", "shown", "fields"),
    [
        (ABSENT, None, []),
        (UNKNOWN, "withheld", []),
        (Known((Version(None),)), {"etag": None, "last_modified": None}, []),
        (Known((Version(EntityTag("a")),)), {"etag": '"a"', "last_modified": None}, ["ETag"]),
        (
            Known((Version(None, 0, weak=EntityTag("w", weak=True)),)),
            {"etag": 'W/"w"', "last_modified": "Thu, 01 Jan 1970 00:00:00 GMT"},
            ["ETag", "Last-Modified"],
        ),
        (
            CURRENT,
            {"etag": '"v2"', "last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"},
            ["ETag", "Last-Modified"],
        ),
    ],
)
def test_412_shows_the_current_version_as_far_as_it_may(
    current: Recorded, shown: object, fields: list[str]
) -> None:
    problem = stale(current=current)
    assert document(problem).get("current", "withheld") == shown
    assert [name for name, _ in problem.fields if name in ("ETag", "Last-Modified")] == fields


@pytest.mark.parametrize(
    ("reason", "detail", "recovery"),
    [
        (Reason.STALE_TAG, "changed since you read it", "new ETag in If-Match"),
        (Reason.WEAK_TAG, "weak tag", "ETag without W/"),
        (Reason.NO_TAG, "no entity tag", "If-Unmodified-Since"),
        (Reason.ABSENT, "does not exist", "If-None-Match: *"),
        (Reason.EXISTS, "exists already", "in If-Match instead"),
        (Reason.TAG_MATCHES, "your If-None-Match rules out", "in If-Match instead"),
        (Reason.MODIFIED_SINCE, "modified after the date", "new ETag"),
        (Reason.SHARED_SECOND, "more than once in the second", "new ETag"),
    ],
)
def test_412_has_its_own_words_for_each_reason(reason: Reason, detail: str, recovery: str) -> None:
    told = document(stale(reason))
    assert told["reason"] == reason.value
    assert detail in told["detail"]
    assert recovery in told["recovery"]


def test_428_says_which_condition_and_where_to_get_it() -> None:
    told = document(refusals.condition_required("DELETE"))
    assert (told["condition"], told["method"]) == ("If-Match", "DELETE")
    assert "DELETE" in told["detail"]
    assert "GET the resource" in told["recovery"]
    assert "ETag" in told["recovery"]


def test_400_names_the_field_the_value_the_reason_and_what_to_write() -> None:
    told = document(ALL["400 condition"])
    assert told["detail"] == "Your If-Match cannot be read, so nothing was carried out: a tag is bare."
    assert told["recovery"] == "Quote it."
    assert (told["condition"], told["sent"], told["reason"]) == ("If-Match", "v1", "A tag is bare.")


@pytest.mark.parametrize(("wait", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (2.5, "3"), (35.0, "35")])
def test_503_says_when_to_try_again(wait: float, told: str) -> None:
    problem = refusals.unavailable("Another write holds the resource", wait)
    assert dict(problem.fields)["Retry-After"] == told
    assert document(problem)["retry_after"] == int(told)
    assert f"in {told} second" in problem.recovery
    assert ("seconds" in problem.recovery) is (told != "1")
    assert "another write holds the resource." in problem.detail


def test_502_and_504_say_whether_a_write_may_have_happened() -> None:
    assert "nothing reached the backend" in ALL["502"].recovery
    assert document(ALL["502"])["maybe_applied"] is False
    assert "see whether your change was made" in ALL["504"].recovery
    assert document(ALL["504"])["maybe_applied"] is True
    assert "maybe applied: yes" in render(ALL["504"], TEXT)[1].decode()
    assert "maybe applied: no" in render(ALL["502"], TEXT)[1].decode()


@pytest.mark.parametrize("name", ALL)
def test_every_refusal_can_name_its_request(name: str) -> None:
    told = document(identified(ALL[name], "abc-1"))
    assert told == document(ALL[name]) | {"request_id": "abc-1"}
    assert "request id: abc-1" in render(identified(ALL[name], "abc-1"), TEXT)[1].decode().splitlines()


def test_500_tells_no_more() -> None:
    assert not ALL["500"].members


def test_text_is_lines() -> None:
    lines = render(stale(current=ABSENT), TEXT)[1].decode().splitlines()
    assert lines[0] == "412 Precondition Failed"
    assert lines[-5:] == [
        "condition: If-Match",
        "reason: stale_tag",
        'sent: "v1"',
        "method: PUT",
        "current: none",
    ]
    assert 'current etag: "v2"' in render(stale(), TEXT)[1].decode().splitlines()


class Reader(html.parser.HTMLParser):
    """The text and the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text: list[str] = []
        self.body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [value or "" for _, value in attrs]
        self.body = self.body or tag == "body"

    def handle_data(self, data: str) -> None:
        if self.body:
            self.text.append(data)


def visible(page: str) -> str:
    reader = Reader()
    reader.feed(page)
    return "".join(reader.text)


def malicious() -> list[Problem]:
    conditions = Conditions(sent={Condition.IF_MATCH: EVIL})
    refused = Refuse(Reason.STALE_TAG, Condition.IF_MATCH)
    odd = Known((Version(EntityTag("<b>&\udcff'"), None),))
    return [
        refusals.stale(refused, conditions, EVIL, odd),
        refusals.malformed(Malformed(Condition.IF_MATCH, EVIL, "Bad.", "Fix it.")),
        refusals.condition_required(EVIL),
        identified(refusals.internal(), EVIL[:27]),
        refusals.rejected(400, EVIL),
        refusals.gateway(502, EVIL, maybe_applied=True),
        refusals.unavailable(EVIL, 1),
    ]


@pytest.mark.parametrize("problem", malicious(), ids=lambda problem: problem.kind.value)
def test_nothing_that_a_client_sends_becomes_markup_or_a_field(problem: Problem) -> None:
    page = render(problem, HTML)[1].decode("utf-8", "strict")
    reader = Reader()
    reader.feed(page)
    assert not {"script", "b"} & set(reader.tags)
    assert "<script>alert" in "".join(reader.text) or problem.kind is Kind.STALE
    for _, body in (render(problem, HTML), render(problem, TEXT), render(problem)):
        body.decode("utf-8", "strict")
        assert b"\x00" not in body
        assert b"\r" not in body
        assert "\u202e" not in body.decode()
    for name, value in problem.fields:
        assert "\n" not in name + value
        assert "\r" not in name + value
        assert "Set-Cookie" not in name + value


def test_what_was_sent_is_shown_up_to_a_bound() -> None:
    assert document(stale(sent="x" * LONGEST_ECHO))["sent"] == "x" * LONGEST_ECHO
    assert document(stale(sent="x" * (LONGEST_ECHO + 1)))["sent"] == "x" * LONGEST_ECHO + "..."
    assert all(len(body) < 4000 for p in malicious()[:4] for body in (render(p)[1], render(p, HTML)[1]))


def test_bytes_that_are_not_utf_8_are_shown_as_latin_1() -> None:
    """RFC 9110 section 5.5; and RFC 8259 section 8.2: half a surrogate pair is no character."""
    problem = stale(sent='"caf\udce9"', current=Known((Version(EntityTag("caf\udce9")),)))
    assert document(problem)["sent"] == '"caf\u00e9"'
    assert document(problem)["current"]["etag"] == '"caf\u00e9"'
    assert dict(problem.fields)["ETag"] == '"caf\udce9"', "the field itself keeps the bytes"


def test_the_page_loads_nothing() -> None:
    page = render(stale(), HTML)[1].decode()
    reader = Reader()
    reader.feed(page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in reader.attributes
    assert not {"script", "img", "link", "iframe"} & set(reader.tags)
    assert "//" not in page
    assert '<html lang="en">' in page


@given(st.text(), st.text(max_size=300))
def test_any_text_makes_a_document_in_every_form(method: str, sent: str) -> None:
    conditions = Conditions(sent={Condition.IF_MATCH: sent})
    problem = refusals.stale(Refuse(Reason.ABSENT, Condition.IF_MATCH), conditions, method, ABSENT)
    assert document(problem)["current"] is None
    for accept in (HTML, TEXT):
        render(problem, accept)[1].decode("utf-8", "strict")
