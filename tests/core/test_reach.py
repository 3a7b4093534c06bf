"""The counting of heartbeats: what was lost, by their numbers alone."""

import pytest

from pbxfed_ari.core.membership.reach import CLEAN_FULL, LOST, LOST_FULL, _count, _Line
from pbxfed_ari.core.messages import NUMBERS


def line(*heartbeats: tuple[int, bool]) -> _Line:
    """A line after these: (number, whether it came by multicast)."""
    made = _Line(1)
    for number, came in heartbeats:
        _count(made, number % NUMBERS, came=came)
    return made


def test_all_that_came_is_no_loss() -> None:
    """Across the end of the numbers too."""
    assert line(*((i, True) for i in range(100, 300))).loss == 0


def test_a_gap_is_a_loss() -> None:
    """Judged when a later one comes."""
    made = line((1, True), (2, True), (5, True), (6, True))
    assert made.judged == 5
    assert made.loss == pytest.approx(2 / 5)


def test_a_copy_tells_of_heartbeats_that_did_not_come() -> None:
    """Each third is copied; none came by multicast."""
    assert line(*((i, False) for i in range(0, 30, 3))).loss == 1


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_the_copy_may_come_before_or_after(order: tuple[bool, bool]) -> None:
    """The heartbeat came by multicast, either way."""
    first, second = order
    assert line((1, first), (1, second), (2, first), (2, second), (3, True)).loss == 0


def test_an_overtaken_heartbeat_counts_as_lost_once() -> None:
    """It does not turn the clock back."""
    made = line((1, True), (3, True), (2, True), (4, True))
    assert made.number == 4
    assert made.loss == pytest.approx(1 / 3)


def test_eight_losses_in_a_row_are_enough() -> None:
    """And no single one is."""
    assert LOST < LOST_FULL
    assert line((0, True), (9, True)).bucket >= LOST_FULL
    assert line((0, True), (8, True)).bucket < LOST_FULL


def test_the_way_back_wants_a_clean_row() -> None:
    """One loss drains nearly a third of it."""
    made = line((0, False))
    made.wanted = True
    for number in range(1, CLEAN_FULL + 1):
        _count(made, number % NUMBERS, came=True)
    assert made.bucket == CLEAN_FULL - 1
    _count(made, (CLEAN_FULL + 2) % NUMBERS, came=True)
    assert made.bucket < CLEAN_FULL - 10
