"""What README and docs tell people to type is typed here, on a node of the lab, and does what it should: it ends well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.node import DOMAIN
from lab.root import ensure_tools
from pbxfed_ari.cli import main
from tests import documents
from tests.documents import CHECKOUT, Typed
from tests.lab.conftest import SECRET, Federation

BLOCKS = list(documents.blocks())
HERE = [block for block in BLOCKS if not block.by]
LAB = [block for block in HERE if "-m lab" in block.text]
NODE = [block for block in HERE if "-m lab" not in block.text]
# what no node of a lab that others use can do, and who does it, in these words
ELSEWHERE = {
    "pbxfed run": ("lab/node.py", 'daemon_program(), "run"'),
    "pbxfed init": ("tests/lab/test_init.py", '["pbxfed", "init", *argv]'),
    "pbxfed join": ("tests/lab/test_keys.py", '"join", "-"'),
    "pbxfed ext provision": ("tests/lab/test_provisioning.py", '"ext", "provision", NUMBER'),
    "pbxfed keys rotate": ("tests/lab/test_keys.py", '"keys", "rotate"'),
}
INLINE = sorted(
    {one.text: one for one in documents.inline() if documents.whole(one.text, main)}.values(),
    key=lambda one: (one.page, one.line),
)
PHONES = {"1001": "a", "1002": "c", "1003": "b"}
TABLE = "extension,name,secret\n1007,Seven,correct-horse-7\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that people are said to have."""
    ensure_tools({"dig": "bind9-dnsutils", "jq": "jq", "curl": "curl"})
    folder = tmp_path_factory.mktemp("desk")
    (folder / "phones.csv").write_text(TABLE)
    return folder


@pytest.fixture(scope="module")
def objects(lab: Lab) -> Federation:
    """The objects that the documents take for granted."""
    federation = Federation(lab)
    federation.until(federation.whole)
    for number, node in PHONES.items():
        federation.phone(number, node)
    for command in (
        "group add 600 --members 1001,1002",
        "site add berlin --prefix 71",
        "trunk add city --site main --endpoint provider --nodes a --patterns _0.",
        "did add +493012345 --destination 600",
    ):
        done = on_node(federation, f"pbxfed {command}")
        assert done.returncode == 0, done
    return federation


def not_there(federation: Federation, text: str) -> None:
    """What these commands will add is not there before."""
    for found in re.finditer(r"^pbxfed (\w+) add (\S+)", text, re.M):
        on_node(federation, f"pbxfed {found[1]} rm '{found[2]}'")


def on_node(
    federation: Federation, text: str, desk: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Typed in a shell on node a; what documents say of an example is said of the lab."""
    node = federation.lab.node("a")
    for example, real in (("10.0.0.11", node.address), ("pbx.example", DOMAIN)):
        text = text.replace(example, real)
    argv = ["bash", "-euo", "pipefail", "-c", text]
    return node.exec(argv, capture_output=True, cwd=desk, timeout=60)


@pytest.mark.parametrize("block", NODE, ids=str)
def test_a_block_can_be_typed(objects: Federation, desk: Path, block: Typed) -> None:
    """Line after line, in one shell."""
    not_there(objects, block.text)
    done = on_node(objects, block.text, desk)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_each_command_of_the_text_can_be_typed(objects: Federation, desk: Path) -> None:
    """One after the other; what is added is not there before, and the phones are."""
    for number, node in PHONES.items():
        on_node(objects, f"pbxfed ext add {number} --secret {SECRET}")
        objects.phone(number, node)
    for one in INLINE:
        if any(one.text.startswith(prefix) for prefix in ELSEWHERE):
            continue
        not_there(objects, one.text)
        done = on_node(objects, one.text.replace("*97", "'*97'"), desk)
        assert done.returncode == 0, f"{one}: {one.text}\n{done.stdout}\n{done.stderr}"


def test_what_is_left_out_here_is_typed_elsewhere() -> None:
    """The tests that are named do it."""
    for command, (file, said) in ELSEWHERE.items():
        assert said in (CHECKOUT / file).read_text(), command


@pytest.mark.parametrize("block", LAB, ids=str)
def test_the_lab_can_be_played_with(tmp_path: Path, block: Typed) -> None:
    """In a lab of its own, line after line."""
    text = block.text.replace(".venv/bin/python", sys.executable)
    env = {**os.environ, "PBXFED_LAB": str(tmp_path / "lab")}
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=CHECKOUT,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    finally:
        down = [sys.executable, "-m", "lab", "down"]
        subprocess.run(down, cwd=CHECKOUT, env=env, check=True, capture_output=True)
