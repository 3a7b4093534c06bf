"""Where no engine can be started the tests in containers are not run, and say why."""

import os
import subprocess
import sys
from pathlib import Path

from lab.engine import engine_root
from lab.places import CHECKOUT
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
