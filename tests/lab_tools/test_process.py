"""How the lab starts what outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from lab import process
from lab.machine import own_groups


def test_what_comes_first_does_so_before_every_other_session(tmp_path: Path) -> None:
    """Each daemon has a session of its own, and Linux shares a machine among sessions before it looks at nice values."""
    started = process.spawn(
        ["sleep", "60"], record=tmp_path / "a.daemon", log=tmp_path / "log", nice=-10
    )
    try:
        assert os.getpriority(os.PRIO_PROCESS, started.pid) == -10
        group = Path(f"/proc/{started.pid}/autogroup")
        assert not group.exists() or group.read_text().split()[1:] == ["nice", "-10"]
    finally:
        started.signal(signal.SIGKILL, wait=5)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_a_tree_of_control_groups_that_is_mounted_twice_counts_once(tmp_path: Path) -> None:
    """As a root folder has it that somebody works in."""
    before = own_groups()
    subprocess.run(["mount", "--bind", str(before[0]), str(tmp_path)], check=True)
    try:
        assert own_groups() == before
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
