"""Machines that systemd boots: who asks one is answered by that one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.machine import Machine, ensure_base
from lab.places import CHECKOUT

CHROOT = 'mount --rbind / "$0" && exec chroot "$0" "$@"'
BOOTED = """
import sys
from pathlib import Path
from lab.machine import Machine
root, folder = map(Path, sys.argv[1:])
machine = Machine(root, folder / "console.log", folder)
machine.boot()
try:
    print(machine.run("cat", "/mnt/shared").stdout)
finally:
    machine.off()
"""


def test_it_boots_and_is_entered_where_we_are_in_a_chroot(tmp_path: Path) -> None:
    """As on a Debian that was unpacked beside another one: the root of the machine's mounts is the one outside."""
    base = ensure_base("bookworm")
    (tmp_path / "shared").write_text("what we share")
    (tmp_path / "root").mkdir()
    chroot = ["unshare", "--mount", "sh", "-c", CHROOT, str(tmp_path / "root")]
    inside = ["env", "-C", str(CHECKOUT), sys.executable, "-c", BOOTED, str(base), str(tmp_path)]
    done = subprocess.run([*chroot, *inside], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "what we share"), done.stderr


@pytest.mark.parametrize(("apart", "up"), [([], False), (["--pid"], True)])
def test_what_is_among_our_own_processes_is_not_up_yet(
    apart: list[str], up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where systemd runs on our own machine, it would answer in the place of one that is only being made."""
    machine = Machine(tmp_path, tmp_path / "console.log", tmp_path)
    answer = subprocess.CompletedProcess([], 0, "running\n", "")
    monkeypatch.setattr(machine, "run", lambda *argv, check: answer)
    starting = ["unshare", *apart, "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 60"]
    with subprocess.Popen(starting, stdout=subprocess.PIPE) as nspawn:
        assert nspawn.stdout is not None
        nspawn.stdout.readline()
        monkeypatch.setattr(machine, "_nspawn", nspawn)
        found = machine._is_up()
        nspawn.kill()
    assert found is up
