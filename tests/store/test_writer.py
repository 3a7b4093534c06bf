"""One thread writes, in order; who waits for it waits no longer than PATIENCE."""

import threading
from collections.abc import Iterator

import pytest

from pbxfed_ari.errors import Refused
from pbxfed_ari.store import writer
from pbxfed_ari.store.writer import PATIENCE, Writer


class Hanging:
    """A writer whose disk hangs until it is let go, and whose clock is ours."""

    def __init__(self) -> None:
        self.now = 0.0
        self.writer = Writer(lambda: self.now)
        self.done: list[str] = []
        self._begun, self._free = threading.Event(), threading.Event()
        self.writer.later(self._hang)
        self._begun.wait(5)

    def _hang(self) -> None:
        self._begun.set()
        self._free.wait(5)
        self.done.append("hung")

    def let_go(self) -> None:
        """The disk answers again; returns when all in line is done."""
        end = threading.Event()
        self.writer.later(end.set)
        self._free.set()
        assert end.wait(5)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    one = Hanging()
    yield one
    one.let_go()
    one.writer.close()


def test_what_is_asked_is_done_in_order() -> None:
    """And not by whoever asks."""
    done: list[int] = []
    one = Writer()
    for i in range(100):
        one.later(lambda i=i: done.append(i))  # type: ignore[misc]
    assert one.wait()
    assert done == list(range(100))
    assert one.ask(threading.get_ident) != threading.get_ident()
    assert one.behind() == 0.0
    assert one.close()


def test_a_disk_that_hangs_holds_nobody_for_longer(hanging: Hanging) -> None:
    """Once for all who come: PATIENCE counts from the oldest job."""
    hanging.now = PATIENCE
    assert not hanging.writer.wait()
    assert hanging.writer.late
    assert hanging.writer.behind() == PATIENCE
    with pytest.raises(Refused, match="does not answer"):
        hanging.writer.ask(lambda: 1)


def test_nothing_is_lost_by_a_disk_that_hangs(hanging: Hanging) -> None:
    """When it answers again, what was asked meanwhile is done, in order."""
    hanging.now = 60.0
    for word in "one", "two":
        hanging.writer.later(lambda word=word: hanging.done.append(word))  # type: ignore[misc]
    assert hanging.done == []
    hanging.let_go()
    assert hanging.done == ["hung", "one", "two"]
    assert hanging.writer.wait()


def test_too_much_in_line_is_told(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is not endless, either."""
    monkeypatch.setattr(writer, "MOST", 2)
    assert not hanging.writer.full
    hanging.writer.later(lambda: None)
    assert hanging.writer.full


def test_a_job_that_fails_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is a mistake of ours, and logged."""
    one = Writer()
    one.later(lambda: 1 / 0)
    assert one.ask(lambda: "next") == "next"
    assert "ZeroDivisionError" in caplog.text
    one.close()


def test_an_end_is_not_kept_up_by_a_disk_that_hangs(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in line is lost, and that is said."""
    monkeypatch.setattr(writer, "CLOSING", 0.01)
    hanging.writer.later(lambda: None)
    assert not hanging.writer.close()
    assert "the disk hangs: 2 writes are lost with this daemon" in caplog.text
