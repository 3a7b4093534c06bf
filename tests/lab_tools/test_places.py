"""Locks of the lab: the kernel's, so none outlives who holds it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lab.places import locked
from lab.root import kept


def test_what_a_killed_builder_has_left_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lock died with it; the next one says nothing of waiting, and removes what it had begun."""
    monkeypatch.setenv("PBXFED_LAB_CACHE", str(tmp_path))
    (tmp_path / "building.lock").touch()
    (tmp_path / "building-17").mkdir()

    def build(folder: Path, lock: int, what: str) -> None:
        folder.mkdir()

    assert kept(tmp_path / "thing", "a thing", build).is_dir()
    assert "waiting" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_who_waits_for_a_living_holder_says_so_and_has_it_next(tmp_path: Path) -> None:
    """There is one holder at a time, and no file is left."""
    path, waits, order = tmp_path / "a.lock", threading.Event(), []

    def second() -> None:
        with locked(path, waits.set):
            order.append("second")

    beside = threading.Thread(target=second)
    with locked(path, waits.set):
        assert not waits.is_set()
        beside.start()
        assert waits.wait(10)
        order.append("first")
    beside.join(10)
    assert order == ["first", "second"]
    assert not path.exists()
