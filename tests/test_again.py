"""A second run, alone, of what failed beside others: it excuses what then holds, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.places import CHECKOUT
from tests.again import BEFORE, FEW


def run(folder: Path, module: str, *options: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", module, "-q", *options],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(CHECKOUT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (
            "seen = Path('seen').exists()\n    Path('seen').touch()\n    assert seen",
            0,
            "FAILED ONCE",
        ),
        ("assert False", 1, "run again now"),
    ],
)
def test_what_fails_again_has_failed(tmp_path: Path, body: str, code: int, said: str) -> None:
    """And what holds alone is named all the same; what is before it in its file is run with it, and nothing else."""
    tests = [f"def test_{n}(x):\n    pass" for n in range(BEFORE + 1)]
    tests += [f"def test_it(x):\n    {body}", "def test_after(x):\n    pass"]
    fixture = "@pytest.fixture(params=['[a b]/'], scope='module')\ndef x(request):\n    pass"
    text = "\n".join(["import pytest\nfrom pathlib import Path", fixture, *tests, ""])
    (tmp_path / "test_one.py").write_text(text)
    (tmp_path / "test_other.py").write_text("def test_good():\n    pass\n")
    assert run(tmp_path, "pytest")[0] == 1
    found = run(tmp_path, "tests.again")
    assert found[0] == code
    assert said in found[1]
    assert found[1].count("test_one.py::test_it") >= 1
    assert f"{BEFORE + 1 - code} passed" in found[1]


def test_many_have_not_failed_by_chance(tmp_path: Path) -> None:
    """They are named, and none is run again."""
    text = "".join(f"def test_{n}():\n    assert False\n" for n in range(FEW + 1))
    (tmp_path / "test_one.py").write_text(text)
    assert run(tmp_path, "pytest")[0] == 1
    (tmp_path / "test_one.py").write_text(text.replace("assert False", "pass"))
    code, said = run(tmp_path, "tests.again")
    assert code == 1
    assert f"{FEW + 1} failed, so none is tried again" in said


def test_where_nothing_is_known_to_have_failed_nothing_is_excused(tmp_path: Path) -> None:
    """As after an error of pytest's own."""
    assert run(tmp_path, "tests.again")[0] == 1
