"""What the page of conflicts keeps, and how it tells it."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.admin.conflicts import MOST_STEPS, Conflicts, Told
from proxy.admin.history import EVERY, History
from proxy.admin.stories import Names, story

NAMES = Names(hide=False)
V1, V2, V3 = '"v1"', '"v2"', '"v3"'
ALICE, BOB = "10.0.0.1", "10.0.0.2"


class Clock:
    """Each request begins when the one before has ended, and takes a second."""

    def __init__(self) -> None:
        self.now = 1000.0

    def told(self, client: str, method: str, status: int, outcome: str = "passed", **other: object) -> Told:
        self.now += 1
        other = {"condition": "If-Match"} | other if "held" in other else other
        return Told(
            began=self.now - 1,
            ended=self.now,
            resource=str(other.pop("resource", "/a")),
            route="/{name}",
            method=method,
            client=client,
            request_id=f"r{self.now - 1000:g}",
            status=status,
            outcome=outcome,
            **other,  # type: ignore[arg-type]
        )

    def put(self, client: str, status: int = 204, **other: object) -> Told:
        return self.told(client, "PUT", status, **other)  # type: ignore[arg-type]

    def get(self, client: str, **other: object) -> Told:
        return self.told(client, "GET", 200, **other)  # type: ignore[arg-type]

    def refused(self, client: str, held: str = V1, tag: str = V2, **other: object) -> Told:
        return self.told(client, "PUT", 412, "refused", reason="stale_tag", held=held, tag=tag, **other)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def texts(conflicts: Conflicts) -> list[str]:
    return [step["text"] for step in story(conflicts.latest()[0], NAMES)["steps"]]


def ends(conflicts: Conflicts) -> list[str]:
    return [story(conflict, NAMES)["end"] for conflict in conflicts.latest()]


def after(*all_told: Told) -> Conflicts:
    conflicts = Conflicts()
    for told in all_told:
        if conflicts.wants(told.method, told.outcome, told.resource, told.client):
            conflicts.tell(told)
    return conflicts


def test_a_whole_story(clock: Clock) -> None:
    conflicts = after(
        clock.get(ALICE, tag=V1),
        clock.put(ALICE, held=V1, tag=V2),
        clock.refused(BOB),
        clock.get(BOB, tag=V2),
        clock.put(BOB, held=V2, tag=V3),
        clock.get(BOB, tag=V3),
    )
    told = story(conflicts.latest()[0], NAMES)
    assert (told["resource"], told["route"], told["status"], told["end"]) == ("/a", "/{name}", 412, "passed")
    assert told["verdict"] == "tried again and passed"
    assert [(step["at"], step["text"]) for step in told["steps"]] == [
        (1002, '10.0.0.1 (request r2) changed it by PUT with If-Match: "v1"; it was then "v2".'),
        (
            1003,
            '10.0.0.2 (request r3) sent PUT with If-Match: "v1", and was refused with 412: the resource had'
            ' changed since the client read it. Current was "v2".',
        ),
        (1004, 'Then it read the resource again; it was then "v2".'),
        (1005, 'Then it sent PUT with If-Match: "v2": it passed (204).'),
    ]


# fmt: off
ENDS = [
    ("nothing",            lambda _: [],                                                 ["open"]),
    ("somebody else",      lambda clock: [clock.put(ALICE, held=V2)],                    ["open"]),
    ("something else",     lambda clock: [clock.put(BOB, held=V2, resource="/b")],       ["open"]),
    ("read",               lambda clock: [clock.get(BOB)],                               ["read"]),
    ("not modified",       lambda clock: [clock.told(BOB, "GET", 304, "not_modified")],  ["read"]),
    ("tried again",        lambda clock: [clock.put(BOB, held=V2)],                      ["passed"]),
    ("forced",             lambda clock: [clock.put(BOB)],                               ["forced"]),
    ("again",              lambda clock: [clock.refused(BOB)],                           ["open", "again"]),
    ("over, then read",    lambda clock: [clock.put(BOB), clock.get(BOB)],               ["forced"]),
    ("backend says no",    lambda clock: [clock.put(BOB, 409, held=V2)],                 ["failed"]),
    ("unknown",            lambda clock: [clock.put(BOB, 504, outcome="failed", reason="upstream", unknown=True)], ["unknown"]),
    ("busy",               lambda clock: [clock.put(BOB, 503, outcome="failed", reason="busy")], ["open", "again"]),
    ("an older one again", lambda clock: [clock.put(BOB, outcome="replayed", held=V1)],  ["open"]),
    ("no store",           lambda clock: [clock.put(BOB, 503, outcome="failed", reason="store")], ["failed"]),
]
# fmt: on


@pytest.mark.parametrize(("what", "then", "expected"), ENDS, ids=[row[0] for row in ENDS])
def test_how_it_ended(clock: Clock, what: str, then: object, expected: list[str]) -> None:  # noqa: ARG001
    assert ends(after(clock.refused(BOB), *then(clock))) == expected  # type: ignore[operator]


def test_what_was_under_way_before_the_refusal_is_no_answer_to_it(clock: Clock) -> None:
    refused = clock.refused(BOB)
    slow = replace(clock.put(BOB), began=refused.began - 1)
    assert ends(after(refused, slow)) == ["open"]


def test_nobody_known_changed_it(clock: Clock) -> None:
    told = story(after(clock.refused(BOB)).latest()[0], NAMES)
    assert told["steps"][0]["at"] is None
    assert "this proxy has not seen" in told["steps"][0]["text"]


def test_the_clients_own_write_is_named_as_such(clock: Clock) -> None:
    assert texts(after(clock.put(BOB, tag=V2), clock.refused(BOB)))[0].startswith("The same address (request")


@pytest.mark.parametrize(
    ("method", "status", "outcome", "changed"),
    [
        ("PUT", 204, "passed", True),
        ("POST", 201, "passed", True),
        ("OPTIONS", 200, "passed", False),
        ("PUT", 404, "passed", False),
        ("PUT", 200, "reported", True),
    ],
)
def test_what_counts_as_a_change(clock: Clock, method: str, status: int, outcome: str, changed: bool) -> None:
    conflicts = after(clock.told(ALICE, method, status, outcome), clock.refused(BOB))
    assert any("changed it by" in text for text in texts(conflicts)) == changed


def test_a_write_without_an_answer_may_have_changed_it(clock: Clock) -> None:
    lost = clock.put(ALICE, 504, outcome="failed", reason="upstream", unknown=True)
    assert "may have changed it" in texts(after(lost, clock.refused(BOB)))[0]


def test_the_winner_that_is_told_of_after_its_loser(clock: Clock) -> None:
    winner, loser = clock.put(ALICE, tag=V2), clock.refused(BOB, tag=V2)
    assert "10.0.0.1" in texts(after(loser, replace(winner, ended=loser.ended + 1)))[0]
    other = replace(winner, tag=V3, ended=loser.ended + 1)
    assert "not seen" in texts(after(loser, other))[0]


@pytest.mark.parametrize(
    ("method", "outcome", "resource", "wanted"),
    [
        ("GET", "passed", "/a", False),
        ("HEAD", "not_modified", "/a", False),
        ("GET", "refused", "/a", True),
        ("PUT", "passed", "/a", True),
        ("PUT", "passed", "", False),
    ],
)
def test_what_costs_nothing(method: str, outcome: str, resource: str, wanted: bool) -> None:
    assert Conflicts().wants(method, outcome, resource, BOB) is wanted


def test_reads_are_wanted_only_of_who_was_refused(clock: Clock) -> None:
    conflicts = after(clock.refused(BOB))
    assert conflicts.wants("GET", "passed", "/a", BOB)
    assert not conflicts.wants("GET", "passed", "/a", ALICE)
    assert not conflicts.wants("GET", "passed", "/b", BOB)


def test_all_of_it_is_bounded(clock: Clock) -> None:
    conflicts = Conflicts(most=10, changes=5)
    for number in range(100):
        conflicts.tell(clock.refused(f"10.0.1.{number}", resource=f"/{number % 30}"))
        conflicts.tell(clock.put(ALICE, resource=f"/{number}"))
    assert [conflict.number for conflict in conflicts.latest()] == list(range(100, 90, -1))
    assert (len(conflicts._open), len(conflicts._changes)) == (10, 5)
    assert sum(map(len, conflicts._of.values())) == 10
    for number in range(100):
        conflicts.tell(clock.told("10.0.1.99", "GET", 200, tag=f'"{number}"', resource="/9"))
    assert len(conflicts.latest()[0].steps) == MOST_STEPS


def test_polling_is_one_step(clock: Clock) -> None:
    conflicts = after(clock.refused(BOB), *(clock.get(BOB, tag=V2) for _ in range(20)))
    assert len(conflicts.latest()[0].steps) == 1


@pytest.mark.parametrize(
    ("resource", "shown"),
    [
        ("/notes/1", "/notes/1"),
        ("/notes?token=hunter2", "/notes (#"),
        ("/notes\nauthorization: Bearer hunter2", "/notes (#"),
        ("/" + "x" * 500, "/" + "x" * 116 + "..."),
        ("/\u202eevil\x1b", "/\ufffdevil\ufffd"),
    ],
)
def test_names(resource: str, shown: str) -> None:
    name = NAMES.of(resource)
    assert name.startswith(shown)
    assert "hunter2" not in name


def test_hidden_names_tell_resources_apart_and_nothing_else() -> None:
    names = Names(hide=True)
    assert names.of("/a") == names.of("/a") != names.of("/b")
    assert "/a" not in names.of("/a")
    assert Names(hide=True).of("/a") != names.of("/a")


def test_long_and_strange_tags_are_tamed(clock: Clock) -> None:
    text = texts(after(clock.refused(BOB, held='"' + "v" * 500 + '"', tag='"\x1b[2J"')))[1]
    assert len(text) < 300
    assert "\x1b" not in text


def test_rates() -> None:
    history = History()
    assert history.rates(0, {"/a": (5, 1)}) == {"/a": (0, 0)}
    for number in range(400):
        history.sample(number * EVERY, {"/a": (number * 10, number), "/b": (number * 5, 0)})
    now = 399 * EVERY + 1
    rates = history.rates(now, {"/a": (4000, 400), "/b": (2000, 0), "/new": (61, 0)})
    assert rates["/a"] == pytest.approx((120 / 56, 12 / 56))
    assert rates["/new"] == pytest.approx((61 / 56, 0))
    series = history.series()
    assert len(series["times"]) == len(series["requests"]) == 180
    assert series["requests"][-1] == pytest.approx(3.0)
    assert series["refused"][-1] == pytest.approx(0.2)


def test_a_clock_that_steps_back_leaves_the_samples_in_order() -> None:
    history = History()
    for now in (10.0, 5.0, 20.0):
        history.sample(now, {"/a": (int(now), 0)})
    assert history.series()["times"] == [20.0]
