"""prepare.sh where a release has no Asterisk of its own: unstable's is taken where it can be, elsewhere nothing is touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.booted import PREPARE

# Its own /etc/os-release and /etc/apt; the sources that it has afterwards are printed.
HERE = """mount --bind "$0" /etc/os-release && mount -t tmpfs tmpfs /etc/apt
mkdir /etc/apt/sources.list.d /etc/apt/preferences.d
sh "$1" asterisk; code=$?; ls /etc/apt/sources.list.d; exit $code"""
NOTHING = {"dpkg-query": "exit 1", "apt-cache": "", "apt-get": "echo http://mirror.invalid >&2"}


@pytest.mark.parametrize(
    ("release", "taken"),
    [
        ("ID=debian\nVERSION_ID=13\n", True),
        ("ID=debian\n", True),  # testing
        ("ID=debian\nVERSION_ID=12\n", False),  # its dpkg would stop halfway
        ("ID=ubuntu\nVERSION_ID=24.04\n", False),
    ],
)
def test_unstable_s_is_taken_by_debian_13_and_later(
    release: str, taken: bool, tmp_path: Path
) -> None:
    (tmp_path / "os-release").write_text(release)
    for name, does in NOTHING.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    apart = ["unshare", "--mount", "sh", "-c", HERE, str(tmp_path / "os-release"), str(PREPARE)]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(apart, env=path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == ((0, "sid.list\n") if taken else (1, "")), done.stderr
    assert ("or install Asterisk 20 or later yourself" in done.stderr) is not taken
