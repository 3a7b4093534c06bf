"""The weight of a machine: in steps, kept while little changes, within the limits of its control group."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from pbxfed_ari.sensors import capacity
from pbxfed_ari.sensors.capacity import Capacity


def test_weights_come_in_steps_of_a_tenth() -> None:
    """And within the bounds that a weight has."""
    found = [capacity.stepped(raw) for raw in (0.0, 1.0, 99.0, 101.0, 107.0, 1e9)]
    assert found == [1, 1, 97, 97, 107, 1_000]
    steps = sorted({capacity.stepped(float(raw)) for raw in range(20, 1_000)})
    assert all(1.05 < b / a < 1.15 for a, b in pairwise(steps))


def test_a_small_difference_changes_nothing() -> None:
    """Two measures of one machine are never equal."""
    assert [capacity.stepped(raw, 97) for raw in (89.0, 97.0, 106.0)] == [97] * 3
    assert capacity.stepped(87.0, 97) == 88
    assert capacity.stepped(109.0, 97) == 107


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    """What cannot be read is as if nothing had been found."""
    assert capacity.kept(tmp_path) is None
    found = Capacity(98, 2_000.0, 2.0, 5)
    found.save(tmp_path)
    assert capacity.kept(tmp_path) == found
    for text in (
        "",
        "{",
        "[]",
        '{"weight": 5}',
        '{"weight":0,"pieces":1,"processors":1,"wall_ms":1}',
    ):
        (tmp_path / capacity.KEPT_AS).write_text(text)
        assert capacity.kept(tmp_path) is None, text


@pytest.mark.parametrize(
    ("group", "limits", "found"),
    [
        ("/", {}, float("inf")),
        ("/a/b", {"a": "max 100000", "a/b": "50000 100000"}, 0.5),
        ("/a/b", {"a": "150000 100000", "a/b": "max 100000"}, 1.5),
        ("/a", {"a": "nonsense"}, float("inf")),
    ],
)
def test_the_control_groups_limits_are_kept(
    tmp_path: Path, group: str, limits: dict[str, str], found: float
) -> None:
    """Its own and those above it."""
    mine = tmp_path / "mine"
    mine.write_text(f"1:name=x:/elsewhere\n0::{group}\n")
    for name, text in limits.items():
        (tmp_path / "cg" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cg" / name / "cpu.max").write_text(text)
    assert capacity.quota(tmp_path / "cg", mine) == found
    assert capacity.quota(tmp_path / "cg", tmp_path / "none") == float("inf")


def test_all_processors_that_may_be_used_are_measured() -> None:
    """And those alone."""
    ours = os.sched_getaffinity(0)
    whole = capacity.measure(0.1, 7)
    assert (whole.processors, whole.wall_ms) == (float(len(ours)), 7)
    assert whole.weight == capacity.stepped(whole.pieces * whole.processors / capacity.PER_UNIT)
    os.sched_setaffinity(0, {min(ours)})
    try:
        assert capacity.measure(0.1, 7).processors == 1.0
    finally:
        os.sched_setaffinity(0, ours)
