"""A bounded memory: what was used lately stays, whatever else comes."""

from __future__ import annotations

import pytest

from proxy.rules.recent import Recent


class Doubled(Recent[int, int]):
    """Twice the key, and how often that had to be found out."""

    found = 0

    def unknown(self, key: int) -> int:
        self.found += 1
        self.keep(key, 2 * key)
        return 2 * key


@pytest.mark.parametrize("came", range(100, 120))
def test_it_remembers_the_last_ones_however_many_came_before(came: int) -> None:
    recent: Recent[int, str] = Recent(8)
    for number in range(came):
        recent.keep(number, str(number))
    assert all(recent.recall(number) == str(number) for number in range(came - 4, came))
    assert recent.recall(0) is None


def test_as_many_as_fill_a_generation_never_miss_in_turn() -> None:
    recent = Doubled(8)
    for _ in range(50):
        assert [recent[number] for number in range(8)] == list(range(0, 16, 2))
    assert recent.found == 8


def test_what_is_used_again_survives_what_is_used_once() -> None:
    recent = Doubled(8)
    recent[1]
    for number in range(10, 1000):
        recent[number]
        if number % 3 == 0:
            recent[1]
    assert recent.found == 991


@pytest.mark.parametrize("size", [1, 2, 8, 9])
def test_it_never_holds_more_than_a_generation_and_a_half(size: int) -> None:
    recent: Recent[int, int] = Recent(size)
    most = 0
    for number in range(1, 1000):
        recent.keep(number, number)
        recent.recall(number - 1)
        most = max(most, len({*recent._old, *recent, *recent._fading}))  # keys may be long, too
    assert most <= 1.5 * size + 1


def test_a_value_takes_the_place_of_the_last_one_without_a_new_generation() -> None:
    recent: Recent[str, int] = Recent(2)
    for number in range(10):
        recent.keep("a", number)
        recent.keep("b", number)
    assert (recent["a"], recent["b"], len(recent)) == (9, 9, 2)


def test_an_old_value_never_comes_back() -> None:
    recent: Recent[str, int] = Recent(1)
    recent.keep("a", 1)
    recent.keep("b", 1)
    recent.keep("a", 2)  # "a" of the old generation is 1
    assert recent.recall("a") == 2


def test_what_nobody_makes_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="a"):
        Recent[str, int]()["a"]
