"""Is Asterisk's process dead, for certain? Against processes of our own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxfed_ari.asterisk.process import Process


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    """One that lives until it is killed."""
    with subprocess.Popen(["sleep", "600"]) as found:
        yield found
        found.kill()


def test_a_death_is_certain_and_said_once(program: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Not before it; and the next one is another matter."""
    process = Process(tmp_path / "asterisk.ctl")
    (tmp_path / "asterisk.pid").write_text(f"{program.pid}\n")
    process.remember()
    assert not process.has_died()
    program.kill()
    program.wait()
    assert [process.has_died(), process.has_died()] == [True, False]


def test_another_users_process_lives() -> None:
    """We may not signal it, and know that it is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.kill", lambda pid, number: (_ for _ in ()).throw(PermissionError))
        patch.setattr(Path, "read_text", lambda path: "4711\n")
        process = Process(Path("/run/asterisk/asterisk.ctl"))
        process.remember()
        assert repr(process) == "Process(4711)"
        assert not process.has_died()


@pytest.mark.parametrize("said", [None, "", "x", "0", "-1", "999999999"])
def test_what_was_never_seen_alive_does_not_die(said: str | None, tmp_path: Path) -> None:
    """No file, one of another machine's, or one that makes no sense."""
    if said is not None:
        (tmp_path / "asterisk.pid").write_text(said)
    process = Process(tmp_path / "asterisk.ctl")
    process.remember()
    assert not process.has_died()
