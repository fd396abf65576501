"""What every store keeps, told as stories. Each runs in memory and on a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from support.stores import AnyStore, Opener, fresh_stamp, observe, record, version

from proxy.errors import ClaimBusy, LeaseLost
from proxy.rules.versions import ABSENT, UNKNOWN, Absent, Known, Recorded, Version
from proxy.store import PENDING, UNSETTLED, Claim, Keepsake, Observed, Stamp
from proxy.store.memory import MemoryStore

A, B, C = version("a"), version("b"), version("c")
IN_A, IN_B = version("a-gzip", variant="gzip"), version("b-gzip", variant="gzip")
KEY = "GET /notes/1"


async def another_process(store: AnyStore, opener: Opener, **settings: float) -> AnyStore:
    """A second process on the same store; in memory there is only one."""
    if isinstance(store, MemoryStore):
        return store
    other: AnyStore = await opener(**settings)
    return other


# Observing and looking.

OBSERVATIONS = [
    pytest.param([], A, Observed.RECORDED, Known((A,)), id="nothing was known"),
    pytest.param([A], A, Observed.SAME, Known((A,)), id="just that was known"),
    pytest.param([A], B, Observed.CHANGED, Known((B,)), id="another version was known"),
    pytest.param([], ABSENT, Observed.RECORDED, ABSENT, id="absence, and nothing was known"),
    pytest.param([ABSENT], ABSENT, Observed.SAME, ABSENT, id="absence was known"),
    pytest.param([A, IN_A], ABSENT, Observed.CHANGED, ABSENT, id="absence replaces all"),
    pytest.param([ABSENT], A, Observed.CHANGED, Known((A,)), id="a version replaces absence"),
    pytest.param([A], IN_A, Observed.RECORDED, Known((A, IN_A)), id="one more variant"),
    pytest.param([A, IN_A], A, Observed.SAME, Known((A, IN_A)), id="one of two variants, unchanged"),
    pytest.param([A, IN_A], B, Observed.CHANGED, Known((B,)), id="a changed variant drops the others"),
    pytest.param([A, IN_A, B], IN_B, Observed.RECORDED, Known((B, IN_B)), id="and they come back"),
]


@pytest.mark.parametrize(("before", "seen", "result", "after"), OBSERVATIONS)
async def test_an_observation_is_merged(
    opener: Opener,
    before: list[Version | Absent],
    seen: Version | Absent,
    result: Observed,
    after: Recorded,
) -> None:
    first = await opener()
    second = await another_process(first, opener)
    await record(first, KEY, *before)
    assert await record(second, KEY, seen) is result
    assert await first.look(KEY) == await second.look(KEY) == after


async def test_at_most_eight_variants_are_kept(store: AnyStore) -> None:
    variants = [version(f"v{n}", variant=str(n)) for n in range(9)]
    await record(store, KEY, *variants)
    found = await store.look(KEY)
    assert isinstance(found, Known)
    assert len(found.versions) == 8
    assert variants[8] in found.versions


async def test_resources_do_not_mix(store: AnyStore) -> None:
    await record(store, KEY, A)
    assert await store.look(KEY + "/") is UNKNOWN


async def test_everything_that_a_version_holds_comes_back(store: AnyStore) -> None:
    odd = Version(
        etag=version('semi;colon,\u00e9\udcff"'[:-1]).etag,
        modified=1_700_000_000,
        minted=True,
        weak=version("their-own").etag,
        variant="text/html;q=\u00e9\udcff",
    )
    await record(store, KEY, odd)
    assert await store.look(KEY) == Known((odd,))


# RFC 9110 section 8.8.2.2: two versions that share a second have weak dates.

SECONDS = [
    pytest.param(version("a", 100), version("b", 100), True, id="same second"),
    pytest.param(version("a", 100), version("b", 101), False, id="another second"),
    pytest.param(version("a"), version("b"), False, id="no dates"),
]


@pytest.mark.parametrize(("old", "new", "shared"), SECONDS)
async def test_a_shared_second_is_marked_when_seen(
    store: AnyStore, old: Version, new: Version, shared: bool
) -> None:
    await record(store, KEY, old, new)
    marked = version("b", new.modified, shared_second=shared)
    assert await store.look(KEY) == Known((marked,))
    assert await record(store, KEY, new) is Observed.SAME
    assert await store.look(KEY) == Known((marked,))


@pytest.mark.parametrize(("old", "new", "shared"), SECONDS)
async def test_a_shared_second_is_marked_when_written(
    store: AnyStore, old: Version, new: Version, shared: bool
) -> None:
    await record(store, KEY, old)
    claim = await store.claim(KEY)
    await store.release(claim, Known((new,)))
    assert await store.look(KEY) == Known((version("b", new.modified, shared_second=shared),))


DATED = [version("a", 100), Version(None, 100)]


@pytest.mark.parametrize("dated", DATED, ids=["tag and date", "date alone"])
async def test_a_refused_write_marks_nothing(store: AnyStore, dated: Version) -> None:
    await record(store, KEY, dated)
    claim = await store.claim(KEY)
    await store.release(claim, claim.recorded)
    assert await store.look(KEY) == Known((dated,))


async def test_a_write_that_shows_in_neither_tag_nor_date_is_marked(store: AnyStore) -> None:
    await record(store, KEY, Version(None, 100))
    await store.release(await store.claim(KEY), Known((Version(None, 100),)))
    assert await store.look(KEY) == Known((Version(None, 100, shared_second=True),))


# A version that was erased may have had the date of the one that comes next: its date is remembered.


async def _post(store: AnyStore) -> None:
    await store.release(await store.claim(KEY, shared=True), UNKNOWN)


async def _failed_put(store: AnyStore) -> None:
    await store.release(await store.claim(KEY), UNKNOWN)


async def _delete(store: AnyStore) -> None:
    await store.release(await store.claim(KEY), ABSENT)


async def _forgotten(store: AnyStore) -> None:
    await store.forget(KEY)


async def _gone(store: AnyStore) -> None:
    await record(store, KEY, ABSENT)


async def _twice(store: AnyStore) -> None:
    await _post(store)
    await _failed_put(store)


async def _seen(store: AnyStore, found: Version) -> None:
    await record(store, KEY, found)


async def _written(store: AnyStore, found: Version) -> None:
    await store.release(await store.claim(KEY), Known((found,)))


AT_100, AT_101 = version("a", 100), version("a", 101)
ERASED = [
    pytest.param([AT_100], version("b", 100), True, id="another tag, same second"),
    pytest.param([AT_100], version("b", 101), False, id="another tag, another second"),
    pytest.param([AT_100], AT_100, False, id="the same tag: nothing changed"),
    pytest.param([AT_100], AT_101, False, id="the same tag, another second"),
    pytest.param([AT_100], version("b"), False, id="no date"),
    pytest.param([version("a")], version("b", 100), False, id="no date before"),
    pytest.param([Version(None, 100)], Version(None, 100), True, id="dates alone"),
    pytest.param([AT_100, version("b", 100)], version("b", 100), True, id="it was weak before"),
    pytest.param([AT_100], version("b", 100, "gzip"), True, id="another variant"),
    pytest.param([AT_100, version("z", 100, "gzip")], AT_100, False, id="one of two variants, unchanged"),
]


@pytest.mark.parametrize("put", [_seen, _written])
@pytest.mark.parametrize("erase", [_post, _failed_put, _delete, _forgotten, _gone, _twice])
@pytest.mark.parametrize(("before", "found", "shared"), ERASED)
async def test_the_date_of_an_erased_version_is_not_forgotten(
    store: AnyStore, before: list[Version], erase: object, put: object, found: Version, shared: bool
) -> None:
    await record(store, KEY, *before)
    assert callable(erase)
    assert callable(put)
    await erase(store)
    await put(store, found)
    assert await store.look(KEY) == Known((replace(found, shared_second=shared),))


async def test_a_claim_hands_over_what_others_erased(store: AnyStore) -> None:
    await record(store, KEY, AT_100, version("z", 100, "gzip"))
    await _post(store)
    claim = await store.claim(KEY)
    assert claim.recorded is UNKNOWN
    assert {(one.etag, one.modified) for one in claim.erased} == {(A.etag, 100), (version("z").etag, 100)}
    await store.release(claim, Known((version("b", 101),)))
    again = await store.claim(KEY)
    assert (again.recorded, again.erased) == (Known((version("b", 101),)), ())


async def test_dates_of_other_variants_outlast_the_return_of_one(store: AnyStore) -> None:
    await record(store, KEY, AT_100, version("z", 100, "gzip"))
    await _post(store)
    await record(store, KEY, AT_100, version("y", 100, "gzip"))
    assert await store.look(KEY) == Known((AT_100, version("y", 100, "gzip", shared_second=True)))


@pytest.mark.parametrize("dated", [AT_100, Version(None, 100)], ids=["tag and date", "date alone"])
async def test_a_refused_write_after_another_marks_nothing_and_leaves_nothing(
    store: AnyStore, dated: Version
) -> None:
    await _post(store)
    await record(store, KEY, dated)
    for _ in range(2):
        claim = await store.claim(KEY)
        assert (claim.recorded, claim.erased) == (Known((dated,)), ())
        await store.release(claim, claim.recorded)
    assert await store.look(KEY) == Known((dated,))


# A date that appears or vanishes is no change: HEAD often goes without.


async def test_a_date_that_appears_or_vanishes_is_no_change(opener: Opener) -> None:
    first = await opener()
    second = await another_process(first, opener)
    await record(first, KEY, A, IN_A)
    assert await record(second, KEY, AT_100) is Observed.SAME
    assert await first.look(KEY) == Known((AT_100, IN_A))  # and now it is known
    assert await record(first, KEY, A) is Observed.SAME
    assert await second.look(KEY) == Known((AT_100, IN_A))
    assert await record(second, KEY, AT_101) is Observed.CHANGED
    assert await record(first, KEY, B) is Observed.CHANGED


async def test_a_date_that_appears_later_is_weak_where_an_erased_version_had_it(store: AnyStore) -> None:
    await record(store, KEY, AT_100)
    await _post(store)
    await record(store, KEY, B)
    assert await record(store, KEY, version("b", 100)) is Observed.SAME
    assert await store.look(KEY) == Known((version("b", 100, shared_second=True),))


# Rules 1 and 2: a claim is exclusive, and in flight is unknown.


async def test_a_claim_takes_the_version_out_and_its_release_puts_one_in(store: AnyStore) -> None:
    await record(store, KEY, A, IN_A)
    claim = await store.claim(KEY)
    assert claim.recorded == Known((A, IN_A))
    assert await store.look(KEY) is UNKNOWN
    assert await store.release(claim, Known((B, IN_B)))
    assert await store.look(KEY) == Known((B, IN_B))


@pytest.mark.parametrize("outcome", [Known((B,)), ABSENT, UNKNOWN], ids=["known", "absent", "unknown"])
async def test_the_next_claim_is_handed_what_the_last_one_left(store: AnyStore, outcome: Recorded) -> None:
    await record(store, KEY, A)
    await store.release(await store.claim(KEY), outcome)
    assert await store.look(KEY) == outcome
    assert (await store.claim(KEY)).recorded == outcome


async def test_a_claim_is_held_by_one(opener: Opener) -> None:
    one = await opener()
    other = await another_process(one, opener)
    held = await one.claim(KEY)
    waiting = asyncio.create_task(other.claim(KEY))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await one.release(held, Known((A,)))
    assert (await waiting).recorded == Known((A,))


async def test_waiting_ends_and_says_when_to_come_back(opener: Opener) -> None:
    store = await opener(wait=0.05, lease=30.0)
    await store.claim(KEY)
    with pytest.raises(ClaimBusy) as busy:
        await store.claim(KEY)
    assert 25 < busy.value.retry_after <= 30


async def test_waiters_get_their_turn_in_order(store: AnyStore) -> None:
    order: list[int] = []
    held = await store.claim(KEY)

    async def write(number: int) -> None:
        claim = await store.claim(KEY)
        order.append(number)
        await store.release(claim, UNKNOWN)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(write(number))
        await asyncio.sleep(0)
        await store.release(held, UNKNOWN)
    assert order == list(range(20))


async def test_only_one_of_many_writers_is_in_at_a_time(opener: Opener) -> None:
    first = await opener(wait=10.0)
    second = await another_process(first, opener, wait=10.0)
    inside, most, counter = 0, 0, 0

    async def write(store: AnyStore) -> None:
        nonlocal inside, most, counter
        claim = await store.claim(KEY)
        inside += 1
        most = max(most, inside)
        before = counter
        await asyncio.sleep(0.001)
        counter = before + 1
        inside -= 1
        await store.release(claim, UNKNOWN)

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(write(first if number % 2 else second))
    assert (most, counter) == (1, 30)


async def test_a_cancelled_waiter_leaves_the_line(store: AnyStore) -> None:
    held = await store.claim(KEY)
    waiting = [asyncio.create_task(store.claim(KEY)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await store.release(held, Known((A,)))
    assert (await asyncio.wait_for(waiting[2], 1)).recorded == Known((A,))


@pytest.mark.parametrize("steps", range(12))
async def test_a_claim_cancelled_at_any_moment_is_not_held(opener: Opener, steps: int) -> None:
    store = await opener(lease=30.0)
    task = asyncio.create_task(store.claim(KEY))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await store.release(await task, UNKNOWN)
    await asyncio.wait_for(store.claim(KEY), 1)


async def test_a_turn_that_comes_in_the_moment_of_cancellation_passes_on(store: AnyStore) -> None:
    held = await store.claim(KEY)
    waiting = [asyncio.create_task(store.claim(KEY)) for _ in range(2)]
    await asyncio.sleep(0)
    releasing = asyncio.ensure_future(store.release(held, UNKNOWN))
    waiting[0].cancel()  # it has the turn, and does not know it yet
    await releasing
    await asyncio.wait_for(waiting[1], 1)


async def test_a_claim_released_after_its_lease_does_not_open_the_line_for_others(opener: Opener) -> None:
    store = await opener(lease=0.1, wait=0.3)
    late = await store.claim(KEY)
    next_claim = await store.claim(KEY)
    waiting = asyncio.create_task(store.claim(KEY))
    await store.release(late, UNKNOWN)
    for _ in range(5):
        await asyncio.sleep(0.02)
        await store.renew(next_claim)
    assert not waiting.done()
    await store.release(next_claim, UNKNOWN)
    await store.release(await waiting, UNKNOWN)
    await store.release(late, UNKNOWN)


# Rule 3: stamped observations.


async def _write(store: AnyStore) -> None:
    await store.release(await store.claim(KEY), UNKNOWN)


async def _refused_write(store: AnyStore) -> None:
    claim = await store.claim(KEY)
    await store.release(claim, claim.recorded)


async def _shared_write(store: AnyStore) -> None:
    await store.release(await store.claim(KEY, shared=True), UNKNOWN)


async def _forget(store: AnyStore) -> None:
    await store.forget(KEY)


async def _begin(store: AnyStore) -> None:
    await store.claim(KEY)


async def _begin_shared(store: AnyStore) -> None:
    await store.claim(KEY, shared=True)


@pytest.mark.parametrize("write", [_write, _refused_write, _shared_write, _forget, _begin, _begin_shared])
async def test_a_read_that_a_write_overtook_is_not_recorded(store: AnyStore, write: object) -> None:
    stamp = await fresh_stamp(store, KEY)
    assert callable(write)
    await write(store)
    assert await observe(store, KEY, stamp, A) is Observed.REFUSED


@pytest.mark.parametrize("write", [_write, _refused_write, _shared_write, _forget])
async def test_a_read_that_began_after_the_write_is_recorded(store: AnyStore, write: object) -> None:
    assert callable(write)
    await write(store)
    assert await record(store, KEY, A) is Observed.RECORDED


@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
async def test_nothing_is_recorded_while_a_write_runs(store: AnyStore, shared: bool) -> None:
    await store.claim(KEY, shared=shared)
    assert await record(store, KEY, A) is Observed.REFUSED


async def test_a_read_of_another_incarnation_is_not_recorded(store: AnyStore) -> None:
    stamp = await fresh_stamp(store, KEY)
    assert await observe(store, KEY, Stamp(stamp.time, "another"), A) is Observed.REFUSED


async def test_same_is_not_said_after_a_write(store: AnyStore) -> None:
    await record(store, KEY, A, A)
    await _write(store)
    assert await record(store, KEY, A) is Observed.RECORDED


async def test_an_observation_overtaken_by_forgetting_is_not_held_for_recorded(store: AnyStore) -> None:
    stamp = await fresh_stamp(store, KEY)
    store.observe(KEY, stamp, A, lambda _: None)
    await store.forget(KEY)
    assert await record(store, KEY, A) is Observed.RECORDED


# Rules 4 and 5: leases.


async def test_a_lease_that_ran_out_frees_the_claim_and_leaves_nothing_known(opener: Opener) -> None:
    store = await opener(lease=0.1)
    await record(store, KEY, A)
    stamp = await fresh_stamp(store, KEY)
    dead = await store.claim(KEY)
    claim = await store.claim(KEY)
    assert claim.recorded is UNKNOWN
    assert not await store.release(dead, Known((B,)))
    assert await observe(store, KEY, stamp, A) is Observed.REFUSED


@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
async def test_a_read_from_before_the_end_of_a_dead_writers_lease_is_not_recorded(
    opener: Opener, shared: bool
) -> None:
    store = await opener(lease=0.1)
    claim = await store.claim(KEY, shared=shared)
    stamp = await fresh_stamp(store, KEY)
    while await record(store, KEY, A) is Observed.REFUSED:
        assert asyncio.get_running_loop().time() < claim.deadline + 1
    assert await observe(store, KEY, stamp, B) is Observed.REFUSED


async def test_a_renewed_claim_lasts_and_its_deadline_moves(opener: Opener) -> None:
    store = await opener(lease=0.2, wait=0.25)
    claim = await store.claim(KEY)
    waiting = asyncio.create_task(store.claim(KEY))
    while not waiting.done():
        before = claim.deadline
        await store.renew(claim)
        assert claim.deadline >= before
        await asyncio.sleep(0.01)
    with pytest.raises(ClaimBusy):
        await waiting


async def test_the_deadline_counts_from_before_the_claim_was_asked_for(store: AnyStore) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    claim = await store.claim(KEY)
    assert before + 5.0 <= claim.deadline <= loop.time() + 5.0


@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
async def test_a_lost_claim_can_neither_be_renewed_nor_released(opener: Opener, shared: bool) -> None:
    store = await opener(lease=0.05)
    lost = await store.claim(KEY, shared=shared)
    await asyncio.sleep(0.06)
    with pytest.raises(LeaseLost):
        await store.renew(lost)
    assert not await store.release(lost, UNSETTLED)
    assert not await store.release(lost, Known((A,)))
    assert await store.look(KEY) is UNKNOWN


async def test_a_write_that_outlived_its_lease_makes_doubtful_what_was_recorded_since(opener: Opener) -> None:
    store = await opener(lease=0.05)
    zombie = await store.claim(KEY)
    claim = await store.claim(KEY)
    assert not await store.release(zombie, Known((A,)))
    await store.release(claim, Known((B,)))
    assert await store.look(KEY) is UNKNOWN


@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
async def test_an_unsettled_claim_runs_out_by_itself(opener: Opener, shared: bool) -> None:
    store = await opener(lease=0.15)
    claim = await store.claim(KEY, shared=shared)
    begun = claim.deadline
    assert await store.release(claim, UNSETTLED)
    assert claim.deadline > begun
    assert await record(store, KEY, A) is Observed.REFUSED
    next_claim = await store.claim(KEY)
    if not shared:
        assert asyncio.get_running_loop().time() >= claim.deadline - 0.01
    assert next_claim.recorded is UNKNOWN


# Shared claims: they exclude nobody, and leave nothing known.


async def test_a_shared_claim_waits_for_nobody(store: AnyStore) -> None:
    await store.claim(KEY)
    await asyncio.wait_for(store.claim(KEY, shared=True), 1)
    await asyncio.wait_for(store.claim(KEY, shared=True), 1)


async def test_a_shared_claim_excludes_nobody_but_leaves_nothing_known(store: AnyStore) -> None:
    await record(store, KEY, A)
    shared = await store.claim(KEY, shared=True)
    assert shared.recorded is UNKNOWN
    assert await store.look(KEY) is UNKNOWN
    claim = await asyncio.wait_for(store.claim(KEY), 1)
    assert claim.recorded is UNKNOWN


STORIES = [
    pytest.param("shared claim release shared-release", id="still pending at the release"),
    pytest.param("shared claim shared-release release", id="ended during the claim"),
    pytest.param("claim shared shared-release release", id="began and ended during the claim"),
    pytest.param("claim shared release shared-release", id="began during the claim"),
    pytest.param("claim forget release", id="forgotten during the claim"),
    pytest.param("shared shared2 shared-release claim release shared2-release", id="one of two ended"),
]


@pytest.mark.parametrize("story", STORIES)
async def test_a_write_beside_a_shared_one_commits_nothing(store: AnyStore, story: str) -> None:
    held: dict[str, Claim] = {}
    for step in story.split():
        name, _, release = step.partition("-")
        if step == "forget":
            await store.forget(KEY)
        elif step == "release":
            assert await store.release(held["claim"], Known((B,)))
            assert await store.look(KEY) is UNKNOWN
        elif release:
            assert await store.release(held[name], UNKNOWN)
        else:
            held[name] = await store.claim(KEY, shared=name != "claim")
    assert await store.look(KEY) is UNKNOWN


async def test_after_shared_claims_ended_a_write_commits_again(store: AnyStore) -> None:
    shared = [await store.claim(KEY, shared=True) for _ in range(3)]
    for claim in shared:
        await store.release(claim, UNKNOWN)
    await store.release(await store.claim(KEY), Known((A,)))
    assert await store.look(KEY) == Known((A,))


async def test_a_shared_claim_that_ran_out_during_a_claim_spoils_its_commit(opener: Opener) -> None:
    store = await opener(lease=0.1)
    await store.claim(KEY, shared=True)
    claim = await store.claim(KEY)
    for _ in range(4):
        await asyncio.sleep(0.04)
        await store.renew(claim)
    await store.release(claim, Known((A,)))
    assert await store.look(KEY) is UNKNOWN


# Collections.


async def test_a_collection_waits_for_what_is_written_inside(opener: Opener) -> None:
    store = await opener(wait=0.1)
    other = await another_process(store, opener, wait=5.0)
    patient = store if isinstance(store, MemoryStore) else other
    inside = [await store.claim(KEY, shared=True, tree=True) for _ in range(2)]
    with pytest.raises(ClaimBusy):
        await store.claim(KEY, tree=True)
    await store.release(inside.pop(), UNKNOWN)
    with pytest.raises(ClaimBusy):
        await store.claim(KEY, tree=True)
    await store.release(inside.pop(), UNKNOWN)
    whole = await patient.claim(KEY, tree=True)
    assert await store.release(whole, UNKNOWN)


async def test_what_is_written_inside_waits_for_the_collection(opener: Opener) -> None:
    store = await opener(wait=2.0)
    other = await another_process(store, opener)
    whole = await store.claim(KEY, tree=True)
    inside = asyncio.ensure_future(other.claim(KEY, shared=True, tree=True))
    for _ in range(20):
        await asyncio.wait([inside], timeout=0.005)
    assert not inside.done()
    await store.release(whole, ABSENT)
    claim = await inside
    assert claim.shared
    assert await store.look(KEY) is UNKNOWN  # what is in it changes what it shows
    assert await other.release(claim, UNKNOWN)


async def test_who_gives_up_on_a_collection_leaves_it(opener: Opener) -> None:
    store = await opener(wait=0.05)
    whole = await store.claim(KEY, tree=True)
    with pytest.raises(ClaimBusy):
        await store.claim(KEY, shared=True, tree=True)
    await store.release(whole, UNKNOWN)
    inside = await store.claim(KEY, shared=True, tree=True)
    with pytest.raises(ClaimBusy):
        await store.claim(KEY, tree=True)
    await store.release(inside, UNKNOWN)
    await store.release(await store.claim(KEY, tree=True), UNKNOWN)


@pytest.mark.parametrize("tree", [True, False])
async def test_other_claims_take_a_collection_for_a_resource(store: AnyStore, tree: bool) -> None:
    claims = [
        await store.claim(KEY, shared=True),
        await store.claim(KEY, shared=True, tree=True),
        await store.claim(KEY),
        await store.claim(KEY, shared=True),
    ]
    if tree:
        claims.append(await store.claim(KEY, shared=True, tree=True))
    assert [await store.release(claim, UNKNOWN) for claim in claims] == len(claims) * [True]


async def test_a_write_inside_that_nobody_ended_ends_with_its_lease(opener: Opener) -> None:
    store = await opener(lease=0.1)
    await store.claim(KEY, shared=True, tree=True)
    whole = await store.claim(KEY, tree=True)
    assert whole.recorded is UNKNOWN
    inside = await store.claim(KEY, shared=True, tree=True)  # and so does that of the whole
    assert inside.shared


# Answers that are kept.

NAME = bytes(range(16))


def kept(words: bytes, seconds: float = 60.0, name: bytes = NAME) -> Keepsake:
    return Keepsake(name, words, seconds)


@pytest.mark.parametrize("outcome", [UNKNOWN, ABSENT, Known((A,)), Known((A, IN_A))])
async def test_an_answer_is_kept_with_the_release(opener: Opener, outcome: Recorded) -> None:
    store = await opener()
    other = await another_process(store, opener)
    assert await other.recall(KEY, NAME) is None
    claim = await store.claim(KEY)
    assert await other.recall(KEY, NAME) is PENDING
    assert await store.release(claim, outcome, kept(b"\0\xff words"))
    assert await other.recall(KEY, NAME) == b"\0\xff words"
    assert await other.recall(KEY, NAME[::-1]) is None
    assert await other.look(KEY) == outcome  # the answer is no version
    assert (await other.claim(KEY)).recorded == outcome
    assert await other.recall(KEY, NAME) == b"\0\xff words"  # whoever holds the claim meanwhile


async def test_a_version_that_is_put_back_goes_with_an_answer_too(store: AnyStore) -> None:
    await record(store, KEY, A, IN_A)
    claim = await store.claim(KEY)
    assert await store.release(claim, claim.recorded, kept(b"x"))
    assert await store.look(KEY) == Known((A, IN_A))


async def test_the_later_answer_of_a_name_is_kept(store: AnyStore) -> None:
    for words in (b"one", b"two"):
        await store.release(await store.claim(KEY), UNKNOWN, kept(words))
    assert await store.recall(KEY, NAME) == b"two"


async def test_an_answer_is_kept_for_its_time(store: AnyStore) -> None:
    await store.release(await store.claim(KEY), UNKNOWN, kept(b"x", 0.05))
    assert await store.recall(KEY, NAME) == b"x"
    async with asyncio.timeout(5):
        while await store.recall(KEY, NAME) is not None:
            pass


async def test_who_lost_the_claim_leaves_no_answer(opener: Opener) -> None:
    store = await opener(lease=0.05)
    claim = await store.claim(KEY)
    other = await another_process(store, opener)
    await other.claim(KEY)
    assert not await store.release(claim, Known((A,)), kept(b"x"))
    assert await other.recall(KEY, NAME) is PENDING


async def test_an_outcome_that_nobody_knows_leaves_no_answer(store: AnyStore) -> None:
    assert await store.release(await store.claim(KEY), UNSETTLED, kept(b"x"))
    assert await store.recall(KEY, NAME) is PENDING


async def test_a_claim_says_whether_it_was_waited_for(store: AnyStore) -> None:
    first = await store.claim(KEY)
    second = asyncio.ensure_future(store.claim(KEY))
    await asyncio.sleep(0)
    await store.release(first, UNKNOWN)
    claim = await second
    assert (first.waited, claim.waited) == (False, True)
    await store.release(claim, UNKNOWN)
    assert not (await store.claim(KEY)).waited


async def test_a_claim_that_another_process_had_was_waited_for(opener: Opener) -> None:
    store = await opener(lease=0.1)
    await store.claim(KEY)
    other = await another_process(store, opener)
    assert (await other.claim(KEY)).waited


# Forgetting.


async def test_forgetting_makes_unknown(store: AnyStore) -> None:
    await record(store, KEY, A)
    await store.forget(KEY)
    assert await store.look(KEY) is UNKNOWN
    assert (await store.claim(KEY)).recorded is UNKNOWN


# Fences.


async def test_a_fence_grows_with_every_claim(opener: Opener) -> None:
    one, two = await opener(), await opener()
    fences = []
    for shared in (False, True, False, False, True, True):
        store = one if shared or isinstance(one, MemoryStore) else two
        claim = await store.claim(KEY, shared=shared)
        fences.append(claim.fence)
        await store.release(claim, Known((A,)))
    assert fences == sorted(set(fences))
    assert fences[0] > 0
