"""The score: what readings cost, how long they must last, and that nothing flaps. Stories on a virtual clock."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.effects import Note, Tell
from pbxfed_ari.core.events import HealthChanged
from pbxfed_ari.core.membership.health import CALM, CALMEST, Gauge, Health, Reading

SLOW = Gauge("ari", "ARI answers after", "s", 0.3, 1.0, 4, "look at the load", after=3.0)
DISK = Gauge("disk", "there is left", "MB", 200, 20, 5, "make room")
CHECK = Gauge("check fax", "check fax says", "", 1, 1, 3, "see docs/health.md")


def told(
    health: Health, name: str, readings: Iterable[tuple[float, float]]
) -> list[tuple[float, int]]:
    """(when, how sick) of each change that peers would hear of, from (when, what was read)."""
    changes: list[tuple[float, int]] = []
    for now, value in readings:
        for effect in health.read(name, Reading(value), now):
            if isinstance(effect, Tell) and isinstance(effect.event, HealthChanged):
                changes.append((now, effect.event.sick))
    return changes


@pytest.mark.parametrize(
    ("gauge", "value", "cost"),
    [
        (SLOW, 0.29, 0),
        (SLOW, 0.3, 1),
        (SLOW, 0.6, 2),
        (SLOW, 0.99, 3),
        (SLOW, 1.0, 4),
        (SLOW, float("inf"), 4),
        (DISK, 201, 0),
        (DISK, 200, 1),
        (DISK, 110, 3),
        (DISK, 20, 5),
        (DISK, 0, 5),
        (CHECK, 0, 0),
        (CHECK, 1, 3),
    ],
)
def test_what_a_reading_costs(gauge: Gauge, value: float, cost: int) -> None:
    """From one tenth at the first limit to the most at the second; either way up."""
    assert gauge.cost(value) == cost


def test_a_peak_costs_nothing_and_what_lasts_does() -> None:
    """Two seconds of silence are not three."""
    health = Health([SLOW])
    assert told(health, "ari", [(0, 0.0), (1, 9.0), (2, 9.0), (3.9, 0.0), (4, 9.0)]) == []
    assert told(health, "ari", [(5, 9.0), (6, 9.0), (7, 0.6), (8, 9.0)]) == [(7, 2)]
    assert told(health, "ari", [(10, 9.0), (11, 9.0)]) == [(11, 4)]  # 0.6 stood until 8


def test_the_first_reading_of_a_boot_has_not_lasted() -> None:
    """However bad it is."""
    health = Health([SLOW])
    assert told(health, "ari", [(100, 9.0), (102.9, 9.0)]) == []
    assert told(health, "ari", [(103, 9.0)]) == [(103, 4)]


def test_worse_is_believed_at_once_and_better_when_it_has_stayed() -> None:
    """A disk that is freed and fills again was never free."""
    health = Health([DISK])
    assert told(health, "disk", [(0, 500), (1, 10)]) == [(1, 5)]
    assert told(health, "disk", [(2, 500), (3, 500), (4, 10), (13, 500), (22, 500)]) == []
    assert told(health, "disk", [(23, 500)]) == [(23, 0)]


def test_it_becomes_as_well_as_it_was_at_worst_meanwhile() -> None:
    """Better by half is said as that."""
    health = Health([DISK])
    told(health, "disk", [(0, 10)])
    assert told(health, "disk", [(1, 500), (2, 110), (3, 500), (11, 500)]) == [(11, 3)]
    assert told(health, "disk", [(12, 500), (22, 500)]) == [(22, 0)]


def test_who_is_worse_again_soon_waits_twice_as_long() -> None:
    """10, 20, 40 … 300 s; after ten steady minutes 10 again."""
    health = Health([DISK])
    now, waits = 0.0, []
    for _ in range(7):
        told(health, "disk", [(now, 10)])
        began = now
        while health.sick:
            now += 1
            told(health, "disk", [(now, 500)])
        waits.append(now - began - 1)
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    told(health, "disk", [(now + 601, 10)])
    assert told(health, "disk", [(now + 602, 500), (now + 612, 500)]) == [(now + 612, 0)]


def test_a_reading_that_goes_to_and_fro_is_told_a_few_times_an_hour() -> None:
    """Each change is a frame for everybody, and moves phones."""
    health, rng = Health([DISK]), Random(5)
    changes = told(health, "disk", [(float(t), rng.choice((10, 500, 500))) for t in range(3_600)])
    assert changes[0][1] == 5
    assert len(changes) <= 12


def test_costs_add_up_and_never_above_ten() -> None:
    """What a sick node has is more than one thing, often."""
    health = Health([DISK, CHECK, Gauge("sip", "SIP answers after", "s", 1, 2, 10, "restart it")])
    assert told(health, "disk", [(0, 10)]) == [(0, 5)]
    assert told(health, "check fax", [(0, 1)]) == [(0, 8)]
    assert told(health, "sip", [(0, float("inf"))]) == [(0, 10)]
    assert health.score == 0.0
    assert health.costs() == {"disk": 5, "check fax": 3, "sip": 10}
    assert [reason.gauge.name for reason in health.reasons()] == ["sip", "disk", "check fax"]


def test_a_reason_says_thing_value_limit_and_remedy() -> None:
    """To whoever is paged at night."""
    health = Health([DISK, CHECK])
    begun = health.read("disk", Reading(12.3456), 0)
    health.read("check fax", Reading(1, "exit code 2: no carrier", "exit code 0"), 0)
    assert [str(reason) for reason in health.reasons()] == [
        "there is left 12.3 MB (limit 200 MB), costs 5 of 10; make room",
        "check fax says exit code 2: no carrier (limit exit code 0), costs 3 of 10; see docs/health.md",
    ]
    fields = (
        ("sensor", "disk"),
        ("what", "there is left 12.3 MB"),
        ("limit", "200 MB"),
        ("costs", 5),
        ("remedy", "make room"),
    )
    assert begun == [Note("health reason", fields, "warning"), Tell(HealthChanged(5))]
    health.read("disk", Reading(900), 1)
    over = health.read("disk", Reading(900), 1 + CALM)
    assert over == [Note("health reason over", (("sensor", "disk"),)), Tell(HealthChanged(3))]


def test_a_reason_shows_what_was_bad_while_it_still_counts() -> None:
    """Not the good reading that has come since."""
    health = Health([DISK])
    health.read("disk", Reading(10), 0)
    health.read("disk", Reading(900), 1)
    assert "there is left 10 MB" in str(health.reasons()[0])


def test_what_cannot_be_read_any_more_is_no_reason() -> None:
    """A trunk that was removed; but it is not forgotten sooner than what has become good."""
    health = Health([DISK])
    health.read("disk", Reading(10), 0)
    assert health.read("disk", None, 1) == []
    assert health.read("disk", None, 11)[-1] == Tell(HealthChanged(0))


@given(
    st.lists(st.tuples(st.floats(0.1, 60), st.floats(0, 300)), max_size=60),
    st.floats(0, 20),
)
def test_whatever_is_read(steps: list[tuple[float, float]], after: float) -> None:
    """It costs no more than the worst reading, and, calm for long enough, what the last ones cost."""
    gauge = Gauge("x", "x", "", 100, 200, 7, "none", after=after)
    health, now, worst = Health([gauge]), 0.0, 0
    for pause, value in steps:
        now += pause
        health.read("x", Reading(value), now)
        worst = max(worst, gauge.cost(value))
        assert 0 <= health.sick <= worst
    for _ in range(3):
        now += CALMEST + after
        health.read("x", Reading(150), now)
    assert health.sick == gauge.cost(150)
