"""Crowds of members without frames: ours, plain SWIM beside it, and what is counted."""

from functools import partial

import pytest

from tests.stories import long, slow
from tests.stories.crowd import Crowd, Make, Ours
from tests.stories.swim import Swim

MAKES = pytest.mark.parametrize("make", [Ours, partial(Swim, period=0.12)], ids=["ours", "swim"])


@MAKES
def test_a_death_is_known_to_all_and_nobody_else_dies(make: Make) -> None:
    """Both detect; else there were nothing to compare."""
    crowd = Crowd(32, seed=1, loss=0.05, make=make)
    crowd.run(5)
    crowd.kill(7)
    assert crowd.run(10, lambda: crowd.all_hold_down(7))
    assert {death.of for death in crowd.deaths} == {7}


@MAKES
def test_who_was_paused_is_dead_and_comes_back(make: Make) -> None:
    """By its own word, with a higher incarnation or an answer."""
    crowd = Crowd(8, seed=2, make=make)
    crowd.run(3)
    crowd.pause(3)
    assert crowd.run(10, lambda: crowd.all_hold_down(3))
    crowd.wake(3)
    assert crowd.run(10, lambda: not any(s.detector.holds_down(3) for s in crowd.seats[:3]))


def test_blocked_members_are_our_undoing_less_than_plain_swims() -> None:
    """Lifeguard's finding; the whole experiment is part of `make stories`."""
    ours = slow.false_deaths(Ours, 32, 4, "blocked", 20, seed=1)
    swim = slow.false_deaths(partial(Swim, period=0.12), 32, 4, "blocked", 20, seed=1)
    assert ours == (0, 0)
    assert swim[0] > 100


def test_five_minutes_of_loss_kill_nobody() -> None:
    """The day is part of `make stories`."""
    found = long.quiet(0.05, 1 / 12, seed=1)
    assert found.false_deaths == 0
    assert found.node_days == pytest.approx(32 / 288)


@pytest.mark.parametrize(("found", "bound"), [(0, 2.996), (1, 4.744), (3, 7.754)])
def test_the_bound_is_poissons(found: int, bound: float) -> None:
    """With none seen, three could have been expected."""
    assert long.poisson_bound(found) == pytest.approx(bound, abs=0.001)


def test_a_newcomer_in_a_crowd_is_known_to_all() -> None:
    """And all to it, though 5 % of what they say is lost."""
    found = long.large(64, 0.05)
    assert found.joined < 5
    assert found.detected < 5
