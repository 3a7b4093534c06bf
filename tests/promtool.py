"""Prometheus' own judge of metrics, rules and expressions: the one that is installed, or Debian's."""

import shutil
import subprocess
from pathlib import Path

from lab.package import taken
from lab.places import LabError


def promtool(*argv: str, given: str = "", cwd: Path | None = None) -> str:
    """What it has to say of its input, if anything. Fails if it refuses, or warns."""
    program = shutil.which("promtool") or _debians()
    done = subprocess.run(
        [program, *argv],
        input=given,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    assert not done.stderr, f"{argv}: {done.stderr}"
    return done.stdout


def _debians() -> Path:
    """Debian 13 has it in a package of its own, 12 beside the server."""
    try:
        return taken("prometheus", "usr/bin/promtool")
    except LabError:
        return taken("promtool", "usr/bin/promtool")
