"""Where no engine can be started the tests in containers are not run, and say why."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.engine import Engine, NoEngine, engine_root
from lab.places import CHECKOUT, LabError
from lab.root import ensure_tools

LESS = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]  # no namespaces for it


def test_it_is_said_why(tmp_path: Path) -> None:
    """Root that may not make namespaces, as in many a container: skipped with the kernel's own words."""
    ensure_tools({"setpriv": "util-linux"})
    root = engine_root()
    (tmp_path / root.name).symlink_to(root)
    suite = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*LESS, *suite, "tests/docker/test_compose.py"],
        cwd=CHECKOUT,
        env={**os.environ, "PBXFED_LAB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "not run: " in done.stdout
    assert "Operation not permitted" in done.stdout
    assert " skipped" in done.stdout


def test_it_is_said_of_one_that_has_ended_before_anybody_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(argv: list[str], *, log: Path, **_: Any) -> None:
        log.write_text("unshare failed: Operation not permitted\n")
        raise LabError(f"{argv[0]} ended at once")

    monkeypatch.setenv("PBXFED_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr("lab.engine.process.spawn", ends)
    with pytest.raises(NoEngine, match="Operation not permitted"):
        Engine()._start(tmp_path)
