"""A program beside others: after them, and gone with who has started it."""

from __future__ import annotations

import os
import select
import subprocess
import sys

from lab.places import CHECKOUT
from tests.beside import NICE

BESIDE = '"$0" -m tests.beside sh -c "$1" & wait $!'  # as make's shell does it
GONE_WITHIN = 60.0  # seconds, on however busy a machine


def test_the_others_go_first_and_its_end_is_told() -> None:
    program = "cat /proc/$$/stat; exit 3"
    done = subprocess.run(
        ["bash", "-c", BESIDE, sys.executable, program],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done
    fields = done.stdout.rpartition(")")[2].split()  # proc(5), from the third on
    assert fields[3] == done.stdout.split()[0], "a session of its own"
    assert fields[16] == str(NICE)


def test_it_ends_with_who_has_started_it() -> None:
    """Whose tests were interrupted has no others that go on."""
    reads, writes = os.pipe()  # at its end, when nobody can write any more
    program = "echo; exec sleep 600"
    starter = subprocess.Popen(
        ["bash", "-c", BESIDE, sys.executable, program], cwd=CHECKOUT, stdout=writes
    )
    os.close(writes)
    try:
        assert os.read(reads, 1) == b"\n"
        starter.kill()
        assert select.select([reads], [], [], GONE_WITHIN)[0], "it goes on"
        assert os.read(reads, 1) == b""
    finally:
        starter.kill()
        starter.wait()
        os.close(reads)
