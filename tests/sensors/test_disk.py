"""The disk's sensor: what hangs is somebody else's thread."""

from collections.abc import Callable
from pathlib import Path

from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.sensors.disk import HUNG, NAME, PROBE, Disk


class Bench:
    """A sensor, the thread that it looks by, and the clock."""

    def __init__(self, folder: Path) -> None:
        self.jobs: list[Callable[[], object]] = []
        self.behind = self.now = 0.0
        self.disk = Disk(
            folder,
            later=self.jobs.append,
            behind=lambda: self.behind,
            trouble=lambda: "",
            clock=lambda: self.now,
        )

    def look(self) -> Reading | str:
        """Read, let the thread look, and read again."""
        self.disk.read()
        while self.jobs:
            self.jobs.pop()()
        return self.disk.read()


def test_room_is_what_was_seen_last(tmp_path: Path) -> None:
    """The first look is yet to come when it is first asked."""
    bench = Bench(tmp_path)
    assert bench.disk.read() == "not looked at yet"
    found = bench.look()
    assert isinstance(found, Reading)
    assert " left of " in found.said
    assert len(bench.jobs) == 1  # never two, or they would pile up while the disk hangs


def test_a_write_that_does_not_return_is_told_and_is_over_by_itself(tmp_path: Path) -> None:
    """It is bad at once: nothing is kept here."""
    bench = Bench(tmp_path)
    bench.look()
    bench.behind = HUNG - 0.1
    assert isinstance(found := bench.disk.read(), Reading)
    assert found.value > 0
    bench.behind = 7.0
    assert bench.disk.read() == Reading(0.0, "not taken a write for 7 s", "5 s")
    bench.behind = 0.0
    assert bench.disk.read() == "not looked at yet"
    assert isinstance(found := bench.look(), Reading)
    assert found.value > 0


def test_bytes_are_written_now_and_then(tmp_path: Path) -> None:
    """An idle daemon would not notice before it is needed."""
    bench = Bench(tmp_path)
    bench.look()
    assert (tmp_path / NAME).read_bytes() == b"pbxfed\n"
    (tmp_path / NAME).unlink()
    bench.now = PROBE - 0.1
    bench.look()
    assert not (tmp_path / NAME).exists()
    bench.now = PROBE
    bench.look()
    assert (tmp_path / NAME).exists()


def test_a_disk_that_refuses_is_as_bad_as_a_full_one(tmp_path: Path) -> None:
    """As one that the kernel has made read-only after an error: there is room, and nothing is taken."""
    bench = Bench(tmp_path / "gone")
    assert bench.look() == Reading(0.0, "refused a write: No such file or directory", "none")
